package servers

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// errChecksum is what a download with other bytes than expected ends in.
var errChecksum = errors.New("checksum differs")

// A cache is the folder that keeps installed servers between runs.
type cache string

// folder is where s is installed: present if and only if complete.
func (c cache) folder(s *server) string {
	sum := sha256.New()
	for _, part := range s.recipe {
		fmt.Fprintf(sum, "%d:", len(part))
		sum.Write(part)
	}
	return filepath.Join(string(c), s.folder+"-"+hex.EncodeToString(sum.Sum(nil))[:8])
}

func (c cache) has(s *server) bool {
	info, err := os.Stat(c.folder(s))
	return err == nil && info.IsDir()
}

// install makes s present and reports whether it had to. One process at a time
// fills a temporary folder, which gets its name only when it is complete: whatever
// kills an installation leaves nothing that looks like one.
func (c cache) install(ctx context.Context, s *server) (bool, error) {
	if c.has(s) {
		return false, nil
	}
	if err := os.MkdirAll(string(c), 0o755); err != nil {
		return false, err
	}
	final := c.folder(s)
	unlock, err := lock(ctx, final+".lock")
	if err != nil {
		return false, fmt.Errorf("lock: %w", err)
	}
	defer unlock()
	if c.has(s) { // by the process that held the lock
		return false, nil
	}
	stale, err := filepath.Glob(final + ".tmp*")
	if err != nil {
		return false, err
	}
	for _, dir := range stale {
		if err := remove(dir); err != nil {
			return false, err
		}
	}
	dir, err := os.MkdirTemp(string(c), filepath.Base(final)+".tmp")
	if err != nil {
		return false, err
	}
	defer remove(dir) // nothing is left to remove after the rename
	if err := s.install(ctx, dir); err != nil {
		return false, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // other users may run what is there
		return false, err
	}
	if err := os.Rename(dir, final); err != nil {
		return false, err
	}
	return true, nil
}

// run runs a program in dir until it ends or ctx does; what it said is in the error.
func run(ctx context.Context, dir, program string, args ...string) error {
	return runEnv(ctx, dir, nil, program, args...)
}

func runEnv(ctx context.Context, dir string, env []string, program string, args ...string) error {
	_, err := output(ctx, dir, env, program, args...)
	return err
}

func output(ctx context.Context, dir string, env []string, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 10 * time.Second
	tie(cmd)
	cmd.Cancel = func() error { return kill(cmd.Process.Pid) }
	if err := spawn(cmd); err != nil {
		return nil, fmt.Errorf("%s: %w", program, err)
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, tail(stdout.String()+"\n"+stderr.String(), 15))
	}
	return stdout.Bytes(), nil
}

// tail is the last n lines of what a program wrote.
func tail(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// verifyModule compares the checksum of a Go module with the one pinned here.
func verifyModule(ctx context.Context, dir, module, sum string) error {
	out, err := output(ctx, dir, []string{"GOFLAGS=-mod=mod"}, "go", "mod", "download", "-json", module)
	if err != nil {
		return err
	}
	var got struct{ Sum string }
	if err := json.Unmarshal(out, &got); err != nil {
		return fmt.Errorf("go mod download: %w", err)
	}
	if got.Sum != sum {
		return fmt.Errorf("%s: %w: %s, expected %s", module, errChecksum, got.Sum, sum)
	}
	return nil
}

func verifySHA256(path, sum string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		return fmt.Errorf("%s: %w: %s, expected %s", filepath.Base(path), errChecksum, got, sum)
	}
	return nil
}

// verifyAll compares a folder with a list in the format of sha256sum: every file of
// the list must be there with its checksum, and nothing else.
func verifyAll(dir string, list []byte) error {
	expected := map[string]bool{}
	for line := range strings.Lines(string(list)) {
		sum, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok {
			return fmt.Errorf("checksum list: bad line %q", line)
		}
		if err := verifySHA256(filepath.Join(dir, name), sum); err != nil {
			return err
		}
		expected[name] = true
	}
	found, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range found {
		if !expected[entry.Name()] {
			return fmt.Errorf("%s: %w: not in the list", entry.Name(), errChecksum)
		}
	}
	return nil
}

// unpack verifies an npm archive in dir against its integrity string, extracts it
// there and removes it. Names are confined to dir.
func unpack(dir, archive, integrity string) error {
	path := filepath.Join(dir, archive)
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	sum := sha512.Sum512(data)
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); got != integrity {
		return fmt.Errorf("%s: %w: %s, expected %s", archive, errChecksum, got, integrity)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	zipped, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return err
	}
	files := tar.NewReader(zipped)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return os.Remove(path)
		}
		if err != nil {
			return err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if err := extract(root, header.Name, files); err != nil {
			return err
		}
	}
}

func extract(root *os.Root, name string, from io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, from); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// remove deletes a tree, also one with read-only folders, as Go's module cache makes.
func remove(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil {
		return nil
	}
	walk := func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return os.Chmod(path, 0o755)
		}
		return nil
	}
	return errors.Join(filepath.WalkDir(dir, walk), os.RemoveAll(dir))
}
