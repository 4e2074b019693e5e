package fsshare_test

import (
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/fsshare"
)

// FuzzNames holds what backends rely on when they join a name to a directory, or
// keep a lock's name in a record.
func FuzzNames(f *testing.F) {
	for _, name := range []string{".", "a/b", "../a", "a//b", "/a", "a/..", `a\b`, ".fsshare/x", "é", "\x00", strings.Repeat("d/", 70), strings.Repeat("n", 256)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if err := fsshare.ValidateName(name); err != nil {
			require.ErrorIs(t, err, fsshare.ErrInvalid)
			require.True(t, utf8.ValidString(err.Error()))
			require.Less(t, len(err.Error()), 2000)
		} else {
			require.True(t, fs.ValidPath(name))
			require.True(t, filepath.IsLocal(filepath.FromSlash(name)))
			require.Equal(t, name, path.Clean(name))
			require.NotContains(t, name, "\x00")
			require.NotContains(t, "/"+name, "/.fsshare")
			for e := range strings.SplitSeq(name, "/") {
				require.LessOrEqual(t, len(e), fsshare.MaxName)
			}
			require.Less(t, strings.Count(name, "/"), fsshare.MaxDepth)
		}
		if err := fsshare.ValidateLock(name); err != nil {
			require.ErrorIs(t, err, fsshare.ErrInvalid)
		} else {
			require.NotEmpty(t, name)
			require.LessOrEqual(t, len(name), fsshare.MaxLock)
			require.True(t, utf8.ValidString(name))
			require.NotContains(t, name, "\n")
		}
	})
}

func TestOptionsMayBeNil(t *testing.T) {
	require.Equal(t, fs.FileMode(0o644), (*fsshare.WriteOptions)(nil).WithDefaults().Mode)
	require.Equal(t, fsshare.DefaultEvery, (*fsshare.WatchOptions)(nil).WithDefaults().Every)
	require.Zero(t, (*fsshare.LockOptions)(nil).WithDefaults())
	require.NoError(t, (*fsshare.WriteOptions)(nil).Validate())
	require.NoError(t, (*fsshare.WatchOptions)(nil).Validate())
	require.NoError(t, (*fsshare.LockOptions)(nil).Validate())
}

func TestEveryErrorOfThePackageIsOfAKind(t *testing.T) {
	require.ErrorIs(t, fsshare.ErrLost, fsshare.ErrConflict)
	require.ErrorIs(t, fsshare.ErrHung, fsshare.ErrThrottled)
	require.ErrorIs(t, fsshare.ErrNotFound, fs.ErrNotExist)
	require.ErrorIs(t, fsshare.ErrDenied, fs.ErrPermission)
}
