package artifacts_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
)

var lake = artifacts.Name{Tenant: "acme", Path: "lake"}

func texts(pairs ...string) map[string][]byte {
	out := map[string][]byte{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = []byte(pairs[i+1])
	}
	return out
}

func published(t *testing.T, store artifacts.Store, pairs ...string) artifacts.ID {
	t.Helper()
	p, err := store.Publish(t.Context(), lake, artifacts.Files(texts(pairs...)), nil)
	require.NoError(t, err)
	return p.Version.ID
}

func changes(list []artifacts.Difference) string {
	var out []string
	for _, d := range list {
		switch {
		case d.Added():
			out = append(out, "+"+d.Path)
		case d.Removed():
			out = append(out, "-"+d.Path)
		default:
			out = append(out, d.Path)
		}
	}
	return strings.Join(out, " ")
}

func TestSyncMakesAVersionOfEachState(t *testing.T) {
	var store artifacts.InMemory
	sync := func(files fs.FS, opts *artifacts.SyncOptions) artifacts.Synced {
		t.Helper()
		s, err := artifacts.Sync(t.Context(), &store, lake, files, opts)
		require.NoError(t, err)
		return s
	}
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("a", "1")
	write("b.json", "{}")
	first := sync(os.DirFS(dir), nil)
	require.True(t, first.Published)
	require.Equal(t, "+a +b.json", changes(first.Changes))
	require.Equal(t, int64(3), first.Sent)

	write("a", "1") // another time, the same content
	again := sync(os.DirFS(dir), nil)
	require.False(t, again.Published)
	require.Empty(t, again.Changes)
	require.Equal(t, first.Version.ID, again.Version.ID)

	write("a", "2")
	require.NoError(t, os.Remove(filepath.Join(dir, "b.json")))
	write("c", "3")
	opts := &artifacts.SyncOptions{Publish: artifacts.PublishOptions{Kind: artifacts.Dataset, With: []artifacts.Change{artifacts.SetAlias{Alias: "live"}}}}
	second := sync(os.DirFS(dir), opts)
	require.Equal(t, int64(2), second.Version.ID.Number)
	require.Equal(t, "a -b.json +c", changes(second.Changes))
	require.Equal(t, []string{"live"}, second.Version.Aliases)

	// Against an alias that went back, the latest is not what counts.
	_, err := store.Apply(t.Context(), lake, artifacts.SetAlias{Alias: "live", Version: 1})
	require.NoError(t, err)
	opts.Alias = "live"
	third := sync(os.DirFS(dir), opts)
	require.Equal(t, int64(3), third.Version.ID.Number)
	require.Zero(t, third.Sent, "content that a version has")
	typed := sync(os.DirFS(dir), &artifacts.SyncOptions{Publish: artifacts.PublishOptions{MediaTypes: map[string]string{"a": "text/x"}}})
	require.Equal(t, "a", changes(typed.Changes))
}

func TestSyncRefusesWhatItCannotCompare(t *testing.T) {
	var store artifacts.InMemory
	for _, tt := range []struct {
		files fs.FS
		opts  *artifacts.SyncOptions
	}{
		{artifacts.Streams(map[string]io.Reader{"s": strings.NewReader("x")}), nil},
		{nil, nil},
		{fstest.MapFS{}, nil},
		{fstest.MapFS{"a": {}}, &artifacts.SyncOptions{Alias: "a/b"}},
		{fstest.MapFS{"a": {}}, &artifacts.SyncOptions{Publish: artifacts.PublishOptions{ID: "i", Ranks: 2}}},
	} {
		_, err := artifacts.Sync(t.Context(), &store, lake, tt.files, tt.opts)
		require.ErrorIs(t, err, artifacts.ErrInvalid)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := artifacts.Sync(ctx, &store, lake, fstest.MapFS{"a": {}}, nil)
	require.ErrorIs(t, err, context.Canceled)
	_, err = store.Resolve(t.Context(), artifacts.Ref{Name: lake})
	require.ErrorIs(t, err, artifacts.ErrNotFound)
}

func TestDiffIsInTheOrderOfPaths(t *testing.T) {
	var store artifacts.InMemory
	one := published(t, &store, "a.b", "1", "a/b", "1", "a0", "1", "gone", "1", "same", "1")
	two := published(t, &store, "a.b", "2", "a0", "1", "new", "1", "same", "1")
	diff := func(from, to artifacts.ID) (list []artifacts.Difference, err error) {
		for d, err := range artifacts.Diff(t.Context(), &store, from, to) {
			if err != nil {
				return nil, err
			}
			list = append(list, d)
		}
		return list, nil
	}
	list, err := diff(one, two)
	require.NoError(t, err)
	require.Equal(t, "a.b -a/b -gone +new", changes(list))
	list, err = diff(artifacts.ID{}, two)
	require.NoError(t, err)
	require.Equal(t, "+a.b +a0 +new +same", changes(list))
	list, err = diff(two, two)
	require.NoError(t, err)
	require.Empty(t, list)
	_, err = store.Apply(t.Context(), lake, artifacts.Delete{Version: 1})
	require.NoError(t, err)
	_, err = diff(one, two)
	require.ErrorIs(t, err, artifacts.ErrNotFound)
	_, err = diff(one, artifacts.ID{})
	require.ErrorIs(t, err, artifacts.ErrInvalid)
}

func folder(t *testing.T) (*os.Root, string) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, root.Close()) })
	return root, dir
}

func on(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		out[name] = string(data)
		return err
	}))
	return out
}

func TestCheckoutFetchesWhatDiffers(t *testing.T) {
	var store artifacts.InMemory
	one := published(t, &store, "a", "1", "d/b", "22", "d/e/c", "")
	two := published(t, &store, "a", "2", "d", "now a file", "x/y", "new")
	root, dir := folder(t)
	checkout := func(id artifacts.ID, opts *artifacts.CheckoutOptions) artifacts.CheckedOut {
		t.Helper()
		done, err := artifacts.Checkout(t.Context(), &store, id, root, opts)
		require.NoError(t, err)
		return done
	}
	require.Equal(t, artifacts.CheckedOut{Fetched: 3, Bytes: 3}, checkout(one, nil))
	require.Equal(t, artifacts.CheckedOut{Unchanged: 3}, checkout(one, nil))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a"), []byte("X"), 0o600)) // of the same size
	require.NoError(t, os.WriteFile(filepath.Join(dir, "extra"), nil, 0o600))
	require.Equal(t, artifacts.CheckedOut{Fetched: 1, Unchanged: 2, Bytes: 1}, checkout(one, nil))
	require.Equal(t, map[string]string{"a": "1", "d/b": "22", "d/e/c": "", "extra": ""}, on(t, dir))

	_, err := artifacts.Checkout(t.Context(), &store, two, root, nil)
	require.ErrorIs(t, err, artifacts.ErrConflict, "d is a folder")
	require.Equal(t, "22", on(t, dir)["d/b"])
	done := checkout(two, &artifacts.CheckoutOptions{Delete: true})
	require.Equal(t, 3, done.Deleted)
	require.Equal(t, map[string]string{"a": "2", "d": "now a file", "x/y": "new"}, on(t, dir))
	require.Equal(t, artifacts.CheckedOut{Unchanged: 3}, checkout(two, &artifacts.CheckoutOptions{Delete: true, Concurrency: 1}))
	_, err = artifacts.Checkout(t.Context(), &store, one, root, nil)
	require.ErrorIs(t, err, artifacts.ErrConflict, "d is a file")
	require.Equal(t, 2, checkout(one, &artifacts.CheckoutOptions{Delete: true}).Deleted)
	require.NoDirExists(t, filepath.Join(dir, "x"))
}

// torn is a store whose files end too early or fail.
type torn struct {
	artifacts.Store
	err error
}

func (s torn) Open(ctx context.Context, id artifacts.ID, path string) (artifacts.File, error) {
	f, err := s.Store.Open(ctx, id, path)
	if err != nil || f.Info().Size < 2 {
		return f, err
	}
	return tornFile{f, s.err}, nil
}

type tornFile struct {
	artifacts.File
	err error
}

func (f tornFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p[:1])
	if err != nil {
		return n, err
	}
	return n, f.err
}

// A file is replaced whole or not at all, and nothing is left of what was not.
func TestCheckoutLeavesNoHalfFiles(t *testing.T) {
	var store artifacts.InMemory
	id := published(t, &store, "a", "first")
	root, dir := folder(t)
	_, err := artifacts.Checkout(t.Context(), &store, id, root, nil)
	require.NoError(t, err)
	id = published(t, &store, "a", "other", "b", "longer")
	failed := errors.New("the network is gone")
	for cause, want := range map[error]error{failed: failed, io.EOF: artifacts.ErrCorrupt} {
		_, err = artifacts.Checkout(t.Context(), torn{&store, cause}, id, root, nil)
		require.ErrorIs(t, err, want)
		require.Equal(t, map[string]string{"a": "first"}, on(t, dir))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = artifacts.Checkout(ctx, &store, id, root, nil)
	require.ErrorIs(t, err, context.Canceled)
	_, err = artifacts.Checkout(t.Context(), &store, id, nil, nil)
	require.ErrorIs(t, err, artifacts.ErrInvalid)
	_, err = artifacts.Checkout(t.Context(), &store, artifacts.ID{Name: lake, Number: 9}, root, nil)
	require.ErrorIs(t, err, artifacts.ErrNotFound)
	bad := published(t, &store, "a.genaistore-partial", "")
	_, err = artifacts.Checkout(t.Context(), &store, bad, root, nil)
	require.ErrorIs(t, err, artifacts.ErrInvalid)
}

// A link that leads out of the folder is not followed.
func TestCheckoutStaysInItsFolder(t *testing.T) {
	var store artifacts.InMemory
	id := published(t, &store, "link/a", "1", "file", "2")
	root, dir := folder(t)
	outside := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "file"), []byte("outside"), 0o600))
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Skipf("no links here: %v", err)
	}
	require.NoError(t, os.Symlink(filepath.Join(outside, "file"), filepath.Join(dir, "file")))
	_, err := artifacts.Checkout(t.Context(), &store, id, root, nil)
	require.Error(t, err)
	require.Equal(t, map[string]string{"file": "outside"}, on(t, outside))
	_, err = artifacts.Checkout(t.Context(), &store, id, root, &artifacts.CheckoutOptions{Delete: true})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"file": "outside"}, on(t, outside))
	require.Equal(t, map[string]string{"file": "2", "link/a": "1"}, on(t, dir))
}
