// Package debian brings packages of Debian into a cache folder: downloaded by
// apt-get, which verifies that they are Debian's, compared with what is known of
// their version, and unpacked by dpkg-deb. Nothing is installed, and no rights are
// needed.
package debian

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

// A Set is packages that are unpacked into one folder. Its name is that of the
// first package, with its version and architecture.
type Set struct {
	Packages []string

	// Known has the SHA-256 digests of the packages that this was tested with, by
	// name_version_architecture. Another version is used too, and named in the log:
	// Debian publishes a new one with every security fix, and removes the old one.
	// That it is Debian's is apt's to check; that a known version is the one we know
	// is checked here.
	Known map[string]string
}

// Install brings the set into the cache folder, unless present finds it there.
// What it does is written to log.
func Install(ctx context.Context, cache string, set Set, log io.Writer, present func() bool) error {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fmt.Errorf("install %s: %w: it runs on linux/amd64, not on %s/%s",
			set.Packages[0], errors.ErrUnsupported, runtime.GOOS, runtime.GOARCH)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(cache, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if present() {
		return nil
	}
	work, err := os.MkdirTemp(cache, "install-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	debs, err := download(ctx, work, set.Packages, log)
	if err != nil {
		return fmt.Errorf("download %s: %w", strings.Join(set.Packages, ", "), err)
	}
	unpacked := filepath.Join(work, "unpacked")
	first := ""
	for i, deb := range debs {
		name, err := set.check(deb, log)
		if err != nil {
			return err
		}
		if i == 0 {
			first = name
		}
		if err := command(ctx, work, log, "dpkg-deb", "-x", deb, unpacked); err != nil {
			return err
		}
	}
	return os.Rename(unpacked, filepath.Join(cache, first))
}

// download has apt-get fetch packages into a folder, and returns them in their
// order. The host's package lists are tried first; where they are absent or too
// old, fresh ones are fetched into the folder, which needs no rights.
func download(ctx context.Context, folder string, packages []string, log io.Writer) (debs []string, err error) {
	always := []string{
		"-q", "-o", "APT::Sandbox::User=root", // no other user could write to the folder
		"-o", "APT::Get::AllowUnauthenticated=false", "-o", "Acquire::AllowInsecureRepositories=false",
	}
	get := func(options []string, what ...string) error {
		return command(ctx, folder, log, "apt-get", append(append(append([]string{}, always...), options...), what...)...)
	}
	fetch := append([]string{"download"}, packages...)
	if get(nil, fetch...) != nil {
		fmt.Fprintln(log, "the host's package lists do not do: fetching fresh ones into the cache")
		lists := filepath.Join(folder, "lists")
		archives := filepath.Join(folder, "archives")
		if err := errors.Join(os.MkdirAll(filepath.Join(lists, "partial"), 0o755), os.MkdirAll(filepath.Join(archives, "partial"), 0o755)); err != nil {
			return nil, err
		}
		private := []string{"-o", "Dir::State::lists=" + lists, "-o", "Dir::Cache=" + archives, "-o", "Dir::Cache::archives=" + archives}
		if err := get(private, "update"); err != nil {
			return nil, err
		}
		if err := get(private, fetch...); err != nil {
			return nil, err
		}
	}
	for _, name := range packages {
		found, err := filepath.Glob(filepath.Join(folder, name+"_*.deb"))
		if err != nil {
			return nil, err
		}
		if len(found) != 1 {
			return nil, fmt.Errorf("apt-get left %d files of %s", len(found), name)
		}
		debs = append(debs, found[0])
	}
	return debs, nil
}

// check compares a package with what is known of its version, and returns its name.
func (set Set) check(deb string, log io.Writer) (string, error) {
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
	want, ok := set.Known[name]
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
