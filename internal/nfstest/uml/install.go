package uml

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

const packageName = "user-mode-linux"

// known has the digests of the packages that this was tested with. Another
// version is used too, and named in the log: Debian publishes a new kernel with
// every security fix, and removes the old one. That it is Debian's is apt's to
// check; that a known version is the one we know is checked here.
var known = map[string]string{
	"user-mode-linux_6.1um4+b13_amd64": "0ce700f835c385ab09860ad33137817402403a29e424177510244bd75a81c687",
}

// Install brings Debian's kernel package into the cache folder, if it is not
// there, and returns it. It needs apt-get and dpkg-deb, but no rights, and
// changes nothing outside of the cache. What it does is written to log.
func Install(ctx context.Context, cache string, log io.Writer) (Kernel, error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return Kernel{}, fmt.Errorf("install a kernel: %w: user-mode Linux runs on linux/amd64, not on %s/%s",
			errors.ErrUnsupported, runtime.GOOS, runtime.GOARCH)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return Kernel{}, err
	}
	unlock, err := lock(filepath.Join(cache, "lock"))
	if err != nil {
		return Kernel{}, err
	}
	defer unlock()
	k, err := Find(cache)
	if err == nil || !errors.Is(err, ErrNotInstalled) {
		return k, err
	}
	work, err := os.MkdirTemp(cache, "install-")
	if err != nil {
		return Kernel{}, err
	}
	defer func() { _ = os.RemoveAll(work) }()
	deb, err := download(ctx, work, log)
	if err != nil {
		return Kernel{}, fmt.Errorf("download %s: %w", packageName, err)
	}
	name, err := check(deb, log)
	if err != nil {
		return Kernel{}, err
	}
	unpacked := filepath.Join(work, "unpacked")
	if err := command(ctx, work, log, "dpkg-deb", "-x", deb, unpacked); err != nil {
		return Kernel{}, err
	}
	if err := os.Rename(unpacked, filepath.Join(cache, name)); err != nil {
		return Kernel{}, err
	}
	return Find(cache)
}

// download has apt-get fetch the package into a folder. The host's package lists
// are tried first; where they are absent or too old, fresh ones are fetched into
// the folder, which needs no rights.
func download(ctx context.Context, folder string, log io.Writer) (string, error) {
	always := []string{
		"-q", "-o", "APT::Sandbox::User=root", // no other user could write to the folder
		"-o", "APT::Get::AllowUnauthenticated=false", "-o", "Acquire::AllowInsecureRepositories=false",
	}
	get := func(options ...string) error {
		return command(ctx, folder, log, "apt-get", append(always, options...)...)
	}
	if get("download", packageName) != nil {
		fmt.Fprintln(log, "the host's package lists do not do: fetching fresh ones into the cache")
		lists := filepath.Join(folder, "lists")
		archives := filepath.Join(folder, "archives")
		if err := errors.Join(os.MkdirAll(filepath.Join(lists, "partial"), 0o755), os.MkdirAll(filepath.Join(archives, "partial"), 0o755)); err != nil {
			return "", err
		}
		private := []string{"-o", "Dir::State::lists=" + lists, "-o", "Dir::Cache=" + archives, "-o", "Dir::Cache::archives=" + archives}
		if err := get(append(private, "update")...); err != nil {
			return "", err
		}
		if err := get(append(private, "download", packageName)...); err != nil {
			return "", err
		}
	}
	debs, err := filepath.Glob(filepath.Join(folder, packageName+"_*.deb"))
	if err != nil {
		return "", err
	}
	if len(debs) != 1 {
		return "", fmt.Errorf("apt-get left %d packages", len(debs))
	}
	return debs[0], nil
}

// check compares a package with what is known of its version, and returns its name.
func check(deb string, log io.Writer) (string, error) {
	f, err := os.Open(deb)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	name := strings.TrimSuffix(filepath.Base(deb), ".deb")
	sum := hex.EncodeToString(h.Sum(nil))
	want, ok := known[name]
	switch {
	case !ok:
		fmt.Fprintf(log, "%s is not a version this was tested with; apt has verified that it is Debian's (sha256 %s)\n", name, sum)
	case sum != want:
		return "", fmt.Errorf("%s has sha256 %s, not %s as recorded: it is not the package of that version", name, sum, want)
	default:
		fmt.Fprintf(log, "%s has the recorded sha256 %s\n", name, sum)
	}
	return name, nil
}

func command(ctx context.Context, folder string, log io.Writer, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = folder
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
