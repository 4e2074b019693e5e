package kittests

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/dirhash"
)

const (
	kit = "google.golang.org/adk/v2"

	// added is the test file that each package under test gets, oursFolder the
	// folder of the copy of package ours.
	added      = "zz_ours_test.go"
	oursFolder = "internal/zzours"

	constructor = "func InMemoryService() Service {\n"
	hook        = "// Override makes the services in place of the kit's own.\nvar Override func() Service\n\n" +
		constructor + "\tif Override != nil {\n\t\treturn Override()\n\t}\n"
)

// patched are the files with the kit's constructors, of sessions and of artifacts.
func patched() []string { return []string{"session/service.go", "artifact/inmemory.go"} }

// patch puts the hook into one of the kit's constructors.
func patch(source []byte) ([]byte, error) {
	if n := strings.Count(string(source), constructor); n != 1 {
		return nil, fmt.Errorf("%d constructors to patch, not one", n)
	}
	return []byte(strings.Replace(string(source), constructor, hook, 1)), nil
}

// switchOn is the test file of a package under test. An external test, which no
// import of ours can make a cycle; both kinds are one binary.
func switchOn(pkg string) []byte {
	return fmt.Appendf(nil, `package %s_test

import (
	"%s/artifact"
	"%s/session"
	ours "%s/%s"
)

func init() {
	var err error
	if session.Override, artifact.Override, err = ours.Makers(); err != nil {
		panic(err)
	}
}
`, pkg, kit, kit, kit, oursFolder)
}

// A module as the go command knows it.
type module struct{ Path, Version, Dir string }

// published returns the kit as go.mod pins it and go.sum's checksum holds it.
func published(ctx context.Context) (m module, sum string, err error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", kit)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return m, "", err
	}
	if err := json.Unmarshal(out, &m); err != nil {
		return m, "", err
	}
	sums, err := os.ReadFile("go.sum")
	for line := range strings.Lines(string(sums)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == m.Path && f[1] == m.Version {
			return m, f[2], nil
		}
	}
	return m, "", cmp.Or(err, errors.New("go.sum has no checksum of the kit"))
}

// copyKit makes the copy, or takes the one that is there, and checks it.
func copyKit(m module, sum, to string) (packages []string, err error) {
	if _, err := os.Stat(to); errors.Is(err, fs.ErrNotExist) {
		part := to + ".part"
		if err := errors.Join(os.RemoveAll(part), copyFiles(part, os.DirFS(m.Dir)), os.Rename(part, to)); err != nil {
			return nil, err
		}
	}
	if packages, err = usesServices(os.DirFS(m.Dir)); err != nil {
		return nil, err
	}
	if err := change(to, m.Dir, packages); err != nil {
		return nil, err
	}
	return packages, verify(m, sum, to, packages)
}

// copyFiles is os.CopyFS without the module cache's mode, which lets nobody write.
func copyFiles(to string, from fs.FS) error {
	return fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		}
		data, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), data, 0o644)
	})
}

// usesServices returns the folders whose tests keep sessions or artifacts in the
// services of the constructors, but for the one of sessions, whose tests are about the
// kit's own. The one of artifacts runs the kit's suite.
func usesServices(kit fs.FS) (folders []string, err error) {
	err = fs.WalkDir(kit, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		source, err := fs.ReadFile(kit, name)
		folder := filepath.Dir(name)
		uses := strings.Contains(string(source), "session.InMemoryService()") || strings.Contains(string(source), "artifact.InMemoryService()")
		if uses && folder != "session" && !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
		return err
	})
	return folders, err
}

// change writes all that the copy has and the kit has not.
func change(to, from string, packages []string) error {
	for _, name := range patched() {
		source, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return err
		}
		if source, err = patch(source); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(to, name), source, 0o644); err != nil {
			return err
		}
	}
	for _, folder := range packages {
		pkg, err := packageName(filepath.Join(to, folder))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, folder, added), switchOn(pkg), 0o644); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(to, oursFolder), 0o755); err != nil {
		return err
	}
	return copyFiles(filepath.Join(to, oursFolder), os.DirFS("ours"))
}

// packageName reads a package clause.
func packageName(folder string) (string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return "", err
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		for line := range strings.Lines(string(source)) {
			if name, ok := strings.CutPrefix(line, "package "); ok {
				return strings.TrimSuffix(strings.TrimSpace(name), "_test"), nil
			}
		}
	}
	return "", fmt.Errorf("%s: no package", folder)
}

// verify holds the copy to the module's checksum, with the patch and the added files
// undone: every other file of the kit is there, byte for byte, and nothing else.
func verify(m module, sum, copied string, packages []string) error {
	var files []string
	err := filepath.WalkDir(copied, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err = filepath.Rel(copied, name)
		ours := filepath.Base(name) == added && slices.Contains(packages, filepath.Dir(name))
		if !ours && filepath.Dir(name) != oursFolder {
			files = append(files, m.Path+"@"+m.Version+"/"+filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		return err
	}
	got, err := dirhash.Hash1(files, func(name string) (io.ReadCloser, error) {
		name = strings.TrimPrefix(name, m.Path+"@"+m.Version+"/")
		if slices.Contains(patched(), name) {
			return os.Open(filepath.Join(m.Dir, name))
		}
		return os.Open(filepath.Join(copied, name))
	})
	if err == nil && got != sum {
		err = fmt.Errorf("the copy is not the kit: it hashes to %s, go.sum says %s; remove %s", got, sum, copied)
	}
	return err
}

// A copy in which one byte of a test, or one file, differs is not the kit.
func TestACopyThatDiffersIsFound(t *testing.T) {
	from := t.TempDir()
	for name, source := range map[string]string{
		"session/service.go": "package session\n\n" + constructor + "\treturn nil\n}\n", "session/service_test.go": "package session\n\nvar _ = session.InMemoryService()\n",
		"artifact/inmemory.go": "package artifact\n\n" + constructor + "\treturn nil\n}\n", "artifact/inmemory_test.go": "package artifact_test\n\nvar _ = artifact.InMemoryService()\n",
		"runner/runner.go": "package runner\n", "runner/runner_test.go": "package runner_test\n\nvar _ = session.InMemoryService()\n", "tool/tool_test.go": "package tool\n",
	} {
		require.NoError(t, os.MkdirAll(filepath.Join(from, filepath.Dir(name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(from, name), []byte(source), 0o444))
	}
	m := module{kit, "v2.0.0", from}
	sum, err := dirhash.HashDir(from, kit+"@v2.0.0", dirhash.Hash1)
	require.NoError(t, err)
	for name, spoil := range map[string]func(to string) error{
		"a changed test": func(to string) error {
			return os.WriteFile(filepath.Join(to, "tool/tool_test.go"), []byte("package tool \n"), 0o644)
		},
		"a test too few":  func(to string) error { return os.Remove(filepath.Join(to, "runner/runner_test.go")) },
		"a file too many": func(to string) error { return os.WriteFile(filepath.Join(to, "tool", added), nil, 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "copy")
			for range 2 {
				packages, err := copyKit(m, sum, to)
				require.NoError(t, err)
				require.Equal(t, []string{"artifact", "runner"}, packages)
			}
			source, err := os.ReadFile(filepath.Join(to, "runner", added))
			require.NoError(t, err)
			require.Contains(t, string(source), "package runner_test\n")
			require.NoError(t, spoil(to))
			require.ErrorContains(t, verify(m, sum, to, []string{"artifact", "runner"}), "not the kit")
		})
	}
	_, err = patch([]byte("package session\n"))
	require.ErrorContains(t, err, "0 constructors")
}
