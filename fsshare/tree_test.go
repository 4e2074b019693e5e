package fsshare_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/fsshare"
)

var errDied = errors.New("died")

// A mortal is a client that dies at one of its writes: it gets no further, and its
// locks are given back, as the server does for it.
type mortal struct {
	fsshare.Share
	left   atomic.Int32 // writes it survives
	landed bool         // whether the one it dies at takes effect
}

func newMortal(share fsshare.Share, writes int32, landed bool) *mortal {
	m := &mortal{Share: share, landed: landed}
	m.left.Store(writes)
	return m
}

func (m *mortal) do(write func() error) error {
	switch left := m.left.Add(-1); {
	case left >= 0:
		return write()
	case left == -1 && m.landed:
		return errors.Join(write(), errDied)
	}
	return errDied
}

func (m *mortal) WriteFile(ctx context.Context, name string, r io.Reader, opts *fsshare.WriteOptions) (info fsshare.Info, err error) {
	err = m.do(func() (err error) { info, err = m.Share.WriteFile(ctx, name, r, opts); return err })
	return info, err
}

func (m *mortal) Remove(ctx context.Context, name string) error {
	return m.do(func() error { return m.Share.Remove(ctx, name) })
}

func (m *mortal) Lock(ctx context.Context, lock string, opts *fsshare.LockOptions) (fsshare.Lock, error) {
	l, err := m.Share.Lock(ctx, lock, opts)
	return mortalLock{l, m}, err
}

type mortalLock struct {
	fsshare.Lock
	m *mortal
}

func (l mortalLock) Commit(ctx context.Context, data []byte) error {
	return l.m.do(func() error { return l.Lock.Commit(ctx, data) })
}

// deaths runs do with a client that dies at its first write, at its second, and so
// on until it lives through all of them.
func deaths(t *testing.T, do func(t *testing.T, share *fsshare.InMemory, dying *mortal) error) {
	for _, landed := range []bool{false, true} {
		for writes := int32(0); ; writes++ {
			require.Less(t, writes, int32(100))
			share := &fsshare.InMemory{}
			err := do(t, share, newMortal(share, writes, landed))
			if err == nil {
				require.Greater(t, writes, int32(2), "a test in which nothing dies")
				break
			}
			require.ErrorIs(t, err, errDied)
		}
	}
}

func version(v string) fstest.MapFS {
	return fstest.MapFS{"a": {Data: []byte(v)}, "d/b": {Data: []byte(v + v)}, "d/e/c": {Data: []byte("same")}}
}

func mustRelease(t *testing.T, tree fsshare.Tree, v string) fsshare.Release {
	t.Helper()
	r, err := tree.Publish(t.Context(), version(v), nil)
	require.NoError(t, err)
	require.NoError(t, tree.Switch(t.Context(), r.ID))
	return r
}

func TestAPublisherThatDiesLeavesTheOldReleaseOrTheNew(t *testing.T) {
	deaths(t, func(t *testing.T, share *fsshare.InMemory, dying *mortal) error {
		ctx := t.Context()
		tree := fsshare.Tree{Share: share, Name: "tree", Keep: 1}
		mustRelease(t, tree, "zero")
		one := mustRelease(t, tree, "one")
		var two fsshare.Release
		{ // its id, from elsewhere
			r, err := fsshare.Tree{Share: &fsshare.InMemory{}, Name: "tree"}.Publish(ctx, version("two"), nil)
			require.NoError(t, err)
			two = r
		}

		tree.Share = dying
		_, err := tree.Publish(ctx, version("two"), &fsshare.PublishOptions{Parallel: 1})
		published := err == nil
		if published {
			err = tree.Switch(ctx, two.ID)
		}
		tree.Share = share

		// A reader sees one whole release.
		now, cerr := tree.Current(ctx)
		require.NoError(t, cerr)
		require.Contains(t, []fsshare.Release{one, two}, now)
		require.NoError(t, tree.Verify(ctx, now.ID))
		if verr := tree.Verify(ctx, two.ID); !published && verr != nil {
			require.ErrorIs(t, verr, fsshare.ErrNotFound)
			require.ErrorIs(t, tree.Switch(ctx, two.ID), fsshare.ErrNotFound)
			_, perr := tree.Pin(ctx, &fsshare.PinOptions{ID: two.ID})
			require.ErrorIs(t, perr, fsshare.ErrNotFound)
		} else {
			require.NoError(t, verr)
		}

		// Another does what the dead one wanted.
		require.Equal(t, two, mustRelease(t, tree, "two"))
		require.NoError(t, tree.Verify(ctx, two.ID))
		_, cerr = tree.Collect(ctx, &fsshare.CollectOptions{Grace: time.Nanosecond})
		require.NoError(t, cerr)
		entries, cerr := fs.ReadDir(share.FS(ctx), "tree")
		require.NoError(t, cerr)
		require.Len(t, entries, 2) // one and two
		return err
	})
}

func TestWhatAPublisherThatDiedLeftIsCollected(t *testing.T) {
	deaths(t, func(t *testing.T, share *fsshare.InMemory, dying *mortal) error {
		ctx := t.Context()
		tree := fsshare.Tree{Share: share, Name: "tree"}
		one := mustRelease(t, tree, "one")
		tree.Share = dying
		_, err := tree.Publish(ctx, version("two"), nil)
		tree.Share = share
		_, cerr := tree.Collect(ctx, &fsshare.CollectOptions{Grace: time.Nanosecond})
		require.NoError(t, cerr)
		entries, cerr := fs.ReadDir(share.FS(ctx), "tree")
		require.NoError(t, cerr)
		require.Len(t, entries, 1)
		require.NoError(t, tree.Verify(ctx, one.ID))
		return err
	})
}

func TestACollectorThatDiesIsFinishedByTheNext(t *testing.T) {
	deaths(t, func(t *testing.T, share *fsshare.InMemory, dying *mortal) error {
		ctx := t.Context()
		tree := fsshare.Tree{Share: share, Name: "tree", Keep: 1}
		one, two := mustRelease(t, tree, "one"), mustRelease(t, tree, "two")
		three, four := mustRelease(t, tree, "three"), mustRelease(t, tree, "four")
		soon := &fsshare.CollectOptions{Grace: time.Nanosecond}

		tree.Share = dying
		first, err := tree.Collect(ctx, soon)
		tree.Share = share
		for _, r := range []fsshare.Release{one, two} { // whole, or no release
			if verr := tree.Verify(ctx, r.ID); verr != nil {
				require.ErrorIs(t, verr, fsshare.ErrNotFound)
			}
		}
		second, cerr := tree.Collect(ctx, soon)
		require.NoError(t, cerr)
		require.Subset(t, append(first, second...), []fsshare.Release{one, two})
		entries, cerr := fs.ReadDir(share.FS(ctx), "tree")
		require.NoError(t, cerr)
		require.Len(t, entries, 2)
		require.NoError(t, tree.Verify(ctx, three.ID))
		require.NoError(t, tree.Verify(ctx, four.ID))
		return err
	})
}

func TestARollbackThatDiesIsDoneOrNot(t *testing.T) {
	for _, landed := range []bool{false, true} {
		share := &fsshare.InMemory{}
		tree := fsshare.Tree{Share: share, Name: "tree"}
		one, two := mustRelease(t, tree, "one"), mustRelease(t, tree, "two")
		tree.Share = newMortal(share, 1, landed) // one file, then the commit
		_, err := tree.Rollback(t.Context(), two.ID)
		require.ErrorIs(t, err, errDied)
		tree.Share = share
		_, err = tree.Rollback(t.Context(), two.ID)
		if landed {
			require.ErrorIs(t, err, fsshare.ErrConflict)
		} else {
			require.NoError(t, err)
		}
		now, err := tree.Current(t.Context())
		require.NoError(t, err)
		require.Equal(t, one, now)
	}
}

func TestRollbackPassesOverAReleaseThatIsGone(t *testing.T) {
	share := &fsshare.InMemory{}
	tree := fsshare.Tree{Share: share, Name: "tree"}
	one, two, three := mustRelease(t, tree, "one"), mustRelease(t, tree, "two"), mustRelease(t, tree, "three")
	require.NoError(t, fsshare.RemoveAll(t.Context(), share, "tree/"+two.ID))
	got, err := tree.Rollback(t.Context(), three.ID)
	require.NoError(t, err)
	require.Equal(t, one, got)
}

func TestGraceBeginsWhenAReleaseIsOutOfReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := fsshare.Tree{Share: &fsshare.InMemory{}, Name: "tree", Keep: 1}
		one, two := mustRelease(t, tree, "one"), mustRelease(t, tree, "two")
		time.Sleep(24 * time.Hour) // the releases are old, and in use
		three := mustRelease(t, tree, "three")
		_, err := tree.Rollback(t.Context(), three.ID)
		require.NoError(t, err)
		collect := func() []fsshare.Release {
			removed, err := tree.Collect(t.Context(), nil)
			require.NoError(t, err)
			return removed
		}
		require.Empty(t, collect())
		time.Sleep(fsshare.DefaultGrace - time.Second)
		require.Empty(t, collect())
		time.Sleep(time.Second)
		require.ElementsMatch(t, []fsshare.Release{one, three}, collect())
		require.NoError(t, tree.Verify(t.Context(), two.ID))
	})
}

func TestKeepHasALimitThatFitsACommit(t *testing.T) {
	tree := fsshare.Tree{Share: &fsshare.InMemory{}, Name: "tree", Keep: fsshare.MaxKeep}
	var all []fsshare.Release
	for i := range fsshare.MaxKeep + 3 {
		all = append([]fsshare.Release{mustRelease(t, tree, fmt.Sprint(i))}, all...)
	}
	releases, err := tree.Releases(t.Context())
	require.NoError(t, err)
	require.Equal(t, all[:fsshare.MaxKeep+1], releases)
	for i := range fsshare.MaxKeep {
		got, err := tree.Rollback(t.Context(), all[i].ID)
		require.NoError(t, err)
		require.Equal(t, all[i+1], got)
	}
	tree.Keep = fsshare.MaxKeep + 1
	require.ErrorIs(t, tree.Switch(t.Context(), all[0].ID), fsshare.ErrInvalid)
}

func TestATreeOfBadFilesIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/file", nil, 0o600))
	require.NoError(t, os.Symlink("file", dir+"/link"))
	share := &fsshare.InMemory{}
	tree := fsshare.Tree{Share: share, Name: "tree"}
	for what, files := range map[string]fs.FS{
		"a symbolic link": os.DirFS(dir),
		"nothing":         fstest.MapFS{"empty": {Mode: fs.ModeDir}},
		"a device":        fstest.MapFS{"null": {Mode: fs.ModeDevice}},
		"a reserved name": fstest.MapFS{".fsshare-x": {}},
		"a bad name":      fstest.MapFS{"a\nb": {}},
		"too deep":        fstest.MapFS{strings.Repeat("d/", 61) + "f": {}},
		"nil":             nil,
	} {
		_, err := tree.Publish(t.Context(), files, nil)
		require.ErrorIs(t, err, fsshare.ErrInvalid, what)
	}
	_, err := fs.Stat(share.FS(t.Context()), "tree")
	require.ErrorIs(t, err, fsshare.ErrNotFound)
}

func TestATreeWithABadNameIsInvalid(t *testing.T) {
	share := &fsshare.InMemory{}
	id := strings.Repeat("0a", 32)
	for _, tree := range []fsshare.Tree{
		{Name: "tree"},
		{Share: share},
		{Share: share, Name: "."},
		{Share: share, Name: "../tree"},
		{Share: share, Name: "a/" + id},
		{Share: share, Name: strings.Repeat("n", fsshare.MaxTree+1)},
		{Share: share, Name: "tree", Keep: -1},
	} {
		_, err := tree.Publish(t.Context(), version("one"), nil)
		require.ErrorIs(t, err, fsshare.ErrInvalid)
		_, err = tree.Rollback(t.Context(), id)
		require.ErrorIs(t, err, fsshare.ErrInvalid)
		_, err = tree.Releases(t.Context())
		require.ErrorIs(t, err, fsshare.ErrInvalid)
		_, err = tree.Pin(t.Context(), nil)
		require.ErrorIs(t, err, fsshare.ErrInvalid)
		_, err = tree.Collect(t.Context(), nil)
		require.ErrorIs(t, err, fsshare.ErrInvalid)
		_, err = tree.Manifest(t.Context(), id)
		require.ErrorIs(t, err, fsshare.ErrInvalid)
		require.ErrorIs(t, tree.Switch(t.Context(), id), fsshare.ErrInvalid)
		require.ErrorIs(t, tree.Verify(t.Context(), id), fsshare.ErrInvalid)
		for _, err := range tree.Watch(t.Context(), nil) {
			require.ErrorIs(t, err, fsshare.ErrInvalid)
		}
	}
	longest := fsshare.Tree{Share: share, Name: strings.Repeat("n", fsshare.MaxTree)}
	mustRelease(t, longest, "one")
	status, err := share.Inspect(t.Context(), "tree/"+longest.Name)
	require.NoError(t, err)
	require.NotNil(t, status.Data, "the lock is named as documented")
}

// A changing FS has other bytes at each open.
type changing struct {
	fs.FS
	n int
}

func (c *changing) Open(name string) (fs.File, error) {
	if name != "a" {
		return c.FS.Open(name)
	}
	c.n++
	return fstest.MapFS{"a": {Data: []byte(fmt.Sprint(c.n))}}.Open(name)
}

func TestFilesThatChangeWhileTheyArePublishedAreAConflict(t *testing.T) {
	tree := fsshare.Tree{Share: &fsshare.InMemory{}, Name: "tree"}
	_, err := tree.Publish(t.Context(), &changing{FS: version("one")}, &fsshare.PublishOptions{Parallel: 1})
	require.ErrorIs(t, err, fsshare.ErrConflict)
}

func TestAForeignCommitUnderTheTreesLockIsCorrupt(t *testing.T) {
	share := &fsshare.InMemory{}
	tree := fsshare.Tree{Share: share, Name: "tree", Keep: 1}
	one := mustRelease(t, tree, "one")
	require.NoError(t, fsshare.Hold(t.Context(), share, "tree/tree", nil, func(ctx context.Context, l fsshare.Lock) error {
		return l.Commit(ctx, []byte("one"))
	}))
	_, err := tree.Current(t.Context())
	require.ErrorIs(t, err, fsshare.ErrCorrupt)
	require.ErrorIs(t, tree.Switch(t.Context(), one.ID), fsshare.ErrCorrupt)
	removed, err := tree.Collect(t.Context(), &fsshare.CollectOptions{Grace: time.Nanosecond})
	require.ErrorIs(t, err, fsshare.ErrCorrupt)
	require.Empty(t, removed)
	for _, err := range tree.Watch(t.Context(), nil) {
		require.ErrorIs(t, err, fsshare.ErrCorrupt)
	}
	require.NoError(t, tree.Verify(t.Context(), one.ID))
}

func TestAPinThatIsLostSaysSo(t *testing.T) {
	share := &catching{Share: &fsshare.InMemory{}}
	tree := fsshare.Tree{Share: share, Name: "tree"}
	mustRelease(t, tree, "one")
	pin, err := tree.Pin(t.Context(), nil)
	require.NoError(t, err)
	require.NoError(t, pin.Context().Err())
	fsshare.Lose(share.last)
	require.ErrorIs(t, context.Cause(pin.Context()), fsshare.ErrLost)
	_, err = fs.ReadFile(share.FS(pin.Context()), pin.Release.Dir+"/a")
	require.ErrorIs(t, err, fsshare.ErrLost)
	require.ErrorIs(t, pin.Close(), fsshare.ErrLost)
}

func TestAPublisherThatLosesItsReleaseSaysSo(t *testing.T) {
	share := &catching{Share: &fsshare.InMemory{}}
	tree := fsshare.Tree{Share: share, Name: "tree"}
	share.lose = true
	_, err := tree.Publish(t.Context(), version("one"), nil)
	require.ErrorIs(t, err, fsshare.ErrLost)
	share.lose = false
	mustRelease(t, tree, "one")
}

// A catching share remembers the last lock it gave, and may lose it at once.
type catching struct {
	fsshare.Share
	last fsshare.Lock
	lose bool
}

func (c *catching) Lock(ctx context.Context, lock string, opts *fsshare.LockOptions) (fsshare.Lock, error) {
	l, err := c.Share.Lock(ctx, lock, opts)
	if c.last = l; err == nil && c.lose {
		fsshare.Lose(l)
	}
	return l, err
}

func FuzzDecodeManifest(f *testing.F) {
	good, err := fsshare.EncodeManifest([]fsshare.Entry{{Path: "a", Mode: 0o644, Size: 1}, {Path: "b/c", Mode: 0o755}})
	require.NoError(f, err)
	f.Add(good)
	f.Add([]byte(`{"schema":2,"files":[]}`))
	f.Add([]byte(`{"schema":1,"files":[{"path":"../a","mode":420,"size":0,"sha256":"` + strings.Repeat("00", 32) + `"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		files, err := fsshare.DecodeManifest(data)
		if err != nil {
			require.ErrorIs(t, err, fsshare.ErrCorrupt)
			return
		}
		for _, e := range files {
			require.NoError(t, fsshare.ValidateName(e.Path))
		}
		again, err := fsshare.EncodeManifest(files)
		require.NoError(t, err)
		back, err := fsshare.DecodeManifest(again)
		require.NoError(t, err)
		require.Equal(t, files, back)
	})
}

func FuzzDecodeRing(f *testing.F) {
	f.Add(fsshare.EncodeRing([]string{strings.Repeat("0a", 32), strings.Repeat("1b", 32)}))
	f.Add([]byte{})
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, data []byte) {
		ids, err := fsshare.DecodeRing(data)
		if err != nil {
			require.ErrorIs(t, err, fsshare.ErrCorrupt)
			return
		}
		require.NotEmpty(t, ids)
		require.Equal(t, data, fsshare.EncodeRing(ids))
	})
}
