"""Installs the peers that requirements.txt pins, next to the servers of the tests.

    python3 testdata/peers/install.py           installs what is missing
    python3 testdata/peers/install.py --where   prints the folder of the packages

Every package is a wheel whose checksum is compared; nothing is built from source. The
folder gets its name when it is complete, so that a killed installation leaves nothing
that looks like one. Its name has a hash of all that it is made from.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

here = pathlib.Path(__file__).resolve().parent
requirements = here / "requirements.txt"


def folder():
    root = os.environ.get("GENAISTORE_CACHE") or here.parents[3] / ".cache" / "servers"
    made_from = requirements.read_bytes() + sys.implementation.cache_tag.encode()
    return pathlib.Path(root).resolve() / ("peers-" + hashlib.sha256(made_from).hexdigest()[:8])


def install(final):
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=final.name + ".tmp", dir=final.parent))
    try:
        venv = temporary / "venv"
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run(
            [
                venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input",
                "--require-hashes", "--only-binary", ":all:", "--target", temporary / "site", "-r", requirements,
            ],
            check=True,
        )
        shutil.rmtree(venv)
        temporary.chmod(0o755)
        try:
            temporary.rename(final)
        except OSError:
            if not final.is_dir():  # by another process, meanwhile
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


if sys.argv[1:] == ["--where"]:
    print(folder() / "site")
elif not folder().is_dir():
    install(folder())
