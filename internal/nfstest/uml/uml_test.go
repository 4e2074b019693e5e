package uml

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheKernelUnpackedLastIsFound(t *testing.T) {
	cache := t.TempDir()
	_, err := Find(cache)
	require.ErrorIs(t, err, ErrNotInstalled)

	for name, age := range map[string]time.Duration{"user-mode-linux_1_amd64": time.Hour, "user-mode-linux_2_amd64": time.Minute, "user-mode-linux_3_amd64": 2 * time.Hour} {
		folder := filepath.Join(cache, name)
		for _, file := range []string{"usr/bin/linux.uml", "usr/lib/uml/modules/6.1/modules.dep"} {
			path := filepath.Join(folder, filepath.FromSlash(file))
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, nil, 0o600))
		}
		then := time.Now().Add(-age)
		require.NoError(t, os.Chtimes(folder, then, then))
	}
	k, err := Find(cache)
	require.NoError(t, err)
	require.Equal(t, "user-mode-linux_2_amd64", k.Name)
	require.FileExists(t, k.Image)
	require.FileExists(t, filepath.Join(k.Modules, "modules.dep"))
}

func TestACommandLineCannotCarrySpaces(t *testing.T) {
	o := (*Options)(nil).WithDefaults()
	words, err := commandLine("/a/init", "/a/folder", o)
	require.NoError(t, err)
	require.Contains(t, words, "mem=512M")
	require.Contains(t, words, "init=/a/init")

	_, err = commandLine("/a b/init", "/a/folder", o)
	require.ErrorContains(t, err, "cannot carry")
}

func TestTheTailKeepsTheEnd(t *testing.T) {
	var last tail
	for range 3 * tailBytes / 10 {
		_, err := last.Write([]byte("0123456789"))
		require.NoError(t, err)
	}
	_, err := last.Write([]byte("the end\r\n"))
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(last.String(), "9the end"))
	require.LessOrEqual(t, len(last.String()), tailBytes)
}

func TestTheCacheIsWhereTheEnvironmentSays(t *testing.T) {
	t.Setenv("GENAISTORE_CACHE", t.TempDir())
	dir, err := Cache()
	require.NoError(t, err)
	require.Equal(t, filepath.Join(os.Getenv("GENAISTORE_CACHE"), "nfstest"), dir)

	t.Setenv("GENAISTORE_CACHE", "")
	dir, err = Cache()
	require.NoError(t, err)
	require.Equal(t, filepath.Join(".cache", "nfstest"), lastTwo(dir))

	t.Chdir(t.TempDir())
	_, err = Cache()
	require.Error(t, err)
	require.NotErrorIs(t, err, errors.ErrUnsupported)
}

func lastTwo(path string) string {
	return filepath.Join(filepath.Base(filepath.Dir(path)), filepath.Base(path))
}
