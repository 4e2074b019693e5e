package efsshare_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A client does not drop what it has of a file's data when the file is opened, as
// long as one of its own processes has it open for writing. The simulation had this
// from the kernel's source, and Inspect failed on it; here it is seen.
func TestNFSDataIsFreshWhileTheFileIsOpenForWritingHere(t *testing.T) {
	a, b, clients := twoClients(t)
	l, err := a.Acquire(t.Context(), "lock", nil)
	require.NoError(t, err)
	require.NoError(t, l.Commit(t.Context(), []byte("old")))
	put(t, a, "file", "old")
	lockFile, err := b.LockPath("lock")
	require.NoError(t, err)
	path := filepath.Join(clients[1].Dir, "file")
	for _, path := range []string{lockFile, path} { // as who waits for the lock has it open
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		require.NoError(t, err)
		defer f.Close()
	}
	require.Equal(t, "old", committed(t, b))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "old", string(data))

	require.NoError(t, l.Commit(t.Context(), []byte("new")))
	require.NoError(t, os.WriteFile(filepath.Join(clients[0].Dir, "file"), []byte("new"), 0o666))
	data, err = os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "old", string(data), "the trap is not there, so this shows nothing")
	require.Equal(t, "new", committed(t, b))
	data, err = fs.ReadFile(b.FS(t.Context()), "file")
	require.NoError(t, err)
	require.Equal(t, "new", string(data))
	require.NoError(t, l.Unlock())
}
