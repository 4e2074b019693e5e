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
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAnInstallationIsMadeOnceByAllWhoWantIt(t *testing.T) {
	c := cache(t.TempDir())
	var made, did atomic.Int32
	s := &server{folder: "s-1", install: func(_ context.Context, dir string) error {
		made.Add(1)
		return os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o644)
	}}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			ok, err := c.install(t.Context(), s)
			if err != nil {
				t.Error(err)
			}
			if ok {
				did.Add(1)
			}
		})
	}
	wg.Wait()
	require.Equal(t, int32(1), made.Load())
	require.Equal(t, int32(1), did.Load())
	require.FileExists(t, filepath.Join(c.folder(s), "file"))
}

func TestAFailedInstallationLeavesNothing(t *testing.T) {
	c := cache(t.TempDir())
	broken := errors.New("broken")
	s := &server{folder: "s-1", install: func(_ context.Context, dir string) error {
		return errors.Join(os.WriteFile(filepath.Join(dir, "half"), nil, 0o644), broken)
	}}
	_, err := c.install(t.Context(), s)
	require.ErrorIs(t, err, broken)
	require.False(t, c.has(s))
	left, err := filepath.Glob(filepath.Join(string(c), "*tmp*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestWhatAKilledInstallationLeftIsRemoved(t *testing.T) {
	c := cache(t.TempDir())
	s := &server{folder: "s-1", install: func(context.Context, string) error { return nil }}
	half := c.folder(s) + ".tmp123"
	require.NoError(t, os.MkdirAll(filepath.Join(half, "deep"), 0o555))
	require.False(t, c.has(s))
	made, err := c.install(t.Context(), s)
	require.NoError(t, err)
	require.True(t, made)
	require.NoDirExists(t, half)
}

func TestAnInstallationThatIsLockedIsWaitedForOnlyAsLongAsTheContext(t *testing.T) {
	c := cache(t.TempDir())
	s := &server{folder: "s-1", install: func(context.Context, string) error { return nil }}
	unlock, err := lock(t.Context(), c.folder(s)+".lock")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = c.install(ctx, s)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	unlock()
	_, err = c.install(t.Context(), s)
	require.NoError(t, err)
}

func TestAChangedRecipeIsAnotherInstallation(t *testing.T) {
	c := cache("cache")
	one := c.folder(&server{folder: "s", recipe: [][]byte{[]byte("a"), []byte("bc")}})
	two := c.folder(&server{folder: "s", recipe: [][]byte{[]byte("ab"), []byte("c")}})
	require.NotEqual(t, one, two)
}

func TestABinaryThatDiffersIsRefused(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
		sum := sha256.Sum256([]byte(content))
		return hex.EncodeToString(sum[:])
	}
	a, b := write("a.jar", "a"), write("b.jar", "b")
	list := []byte(a + "  a.jar\n" + b + "  b.jar\n")
	require.NoError(t, verifyAll(dir, list))
	write("c.jar", "c")
	require.ErrorIs(t, verifyAll(dir, list), errChecksum)
	require.NoError(t, os.Remove(filepath.Join(dir, "c.jar")))
	write("b.jar", "changed")
	require.ErrorIs(t, verifyAll(dir, list), errChecksum)
	require.NoError(t, os.Remove(filepath.Join(dir, "b.jar")))
	require.ErrorIs(t, verifyAll(dir, list), os.ErrNotExist)
}

func TestAnArchiveIsVerifiedAndKeptInItsFolder(t *testing.T) {
	pack := func(dir string, names ...string) string {
		var b bytes.Buffer
		zipped := gzip.NewWriter(&b)
		files := tar.NewWriter(zipped)
		for _, name := range names {
			require.NoError(t, files.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 1, Mode: 0o644}))
			_, err := files.Write([]byte("x"))
			require.NoError(t, err)
		}
		require.NoError(t, files.Close())
		require.NoError(t, zipped.Close())
		require.NoError(t, os.WriteFile(filepath.Join(dir, "p.tgz"), b.Bytes(), 0o644))
		sum := sha512.Sum512(b.Bytes())
		return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
	}
	dir := t.TempDir()
	good := pack(dir, "package/lib/a.jar")
	require.ErrorIs(t, unpack(dir, "p.tgz", "sha512-other"), errChecksum)
	require.NoFileExists(t, filepath.Join(dir, "package/lib/a.jar"))
	require.NoError(t, unpack(dir, "p.tgz", good))
	require.FileExists(t, filepath.Join(dir, "package/lib/a.jar"))
	require.NoFileExists(t, filepath.Join(dir, "p.tgz"))

	inner := filepath.Join(dir, "inner")
	require.NoError(t, os.Mkdir(inner, 0o755))
	require.Error(t, unpack(inner, "p.tgz", pack(inner, "../outside")))
	require.NoFileExists(t, filepath.Join(dir, "outside"))
}

func TestAFailedProgramSaysWhatItPrinted(t *testing.T) {
	err := run(t.Context(), t.TempDir(), "sh", "-c", "echo first; echo to the end >&2; exit 3")
	require.ErrorContains(t, err, "exit status 3")
	require.ErrorContains(t, err, "to the end")
}

func TestJavaVersionsAreRead(t *testing.T) {
	for out, want := range map[string]int{
		"openjdk version \"17.0.15\" 2025-04-15\nmore": 17,
		"java version \"1.8.0_392\"":                   1,
		"openjdk version \"25\" 2025-09-16":            25,
		"no version":                                   0,
	} {
		require.Equal(t, want, majorVersion(out), out)
	}
}

func TestAMissingToolIsNamed(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	require.Equal(t, "npm is not on PATH", missing(t.Context(), []tool{toolNPM}))
	require.Equal(t, "java is not on PATH", missing(t.Context(), []tool{toolJava}))
	require.Equal(t, "python3 is not on PATH", missing(t.Context(), []tool{toolPip}))

	fake := func(name, script string) {
		require.NoError(t, os.WriteFile(filepath.Join(os.Getenv("PATH"), name), []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	}
	fake("java", `echo 'openjdk version "11.0.2" 2019-01-15'`)
	require.Equal(t, `java is older than 17: openjdk version "11.0.2" 2019-01-15`, missing(t.Context(), []tool{toolJava}))
	fake("java", `echo 'openjdk version "21.0.2" 2024-01-16'`)
	require.Empty(t, missing(t.Context(), []tool{toolJava}))
	fake("python3", "exit 1")
	require.Contains(t, missing(t.Context(), []tool{toolPip}), "neither pip nor ensurepip")
	require.Empty(t, missing(t.Context(), []tool{toolPython}))
}
