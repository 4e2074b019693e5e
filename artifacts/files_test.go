package artifacts_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
)

func TestFilesIsAFileSystem(t *testing.T) {
	files := artifacts.Files(map[string][]byte{"a": []byte("1"), "a.b": nil, "d/b": []byte("22"), "d/e/c": nil, "d/e.x": nil})
	require.NoError(t, fstest.TestFS(files, "a", "a.b", "d/b", "d/e/c", "d/e.x"))
	require.NoError(t, fstest.TestFS(artifacts.Files(nil)))
}

func TestFilesWithABadPathFailAsAWhole(t *testing.T) {
	for _, bad := range []map[string][]byte{{"/a": nil, "b": nil}, {"a": nil, "a/b": nil}, {"a": nil, "a-b": nil, "a/b": nil}, {".": nil}, {"": nil}} {
		_, err := fs.ReadDir(artifacts.Files(bad), ".")
		require.ErrorIs(t, err, artifacts.ErrInvalid, "%v", bad)
		_, err = artifacts.Files(bad).Open("b")
		require.ErrorIs(t, err, artifacts.ErrInvalid, "%v", bad)
	}
}

func TestStreamsAreReadOnce(t *testing.T) {
	streams := artifacts.Streams(map[string]io.Reader{"d/a": strings.NewReader("data")})
	stat, err := fs.Stat(artifacts.Streams(map[string]io.Reader{"d/a": strings.NewReader("data")}), "d/a")
	require.NoError(t, err)
	require.EqualValues(t, -1, stat.Size())
	data, err := fs.ReadFile(streams, "d/a")
	require.NoError(t, err)
	require.Equal(t, "data", string(data))
	_, err = streams.Open("d/a")
	require.ErrorIs(t, err, artifacts.ErrInvalid)
	_, err = fs.ReadDir(artifacts.Streams(map[string]io.Reader{"a": nil}), ".")
	require.ErrorIs(t, err, artifacts.ErrInvalid)
}

func TestAPipeIsPublishedWhileItIsWritten(t *testing.T) {
	var store artifacts.InMemory
	r, w := io.Pipe()
	boom := errors.New("boom")
	go func() {
		_, _ = io.WriteString(w, strings.Repeat("row\n", 1000))
		_ = w.CloseWithError(boom)
	}()
	_, err := store.Publish(t.Context(), ranker, artifacts.Streams(map[string]io.Reader{"rows": r}), nil)
	require.ErrorIs(t, err, boom, "a stream that breaks off is not published")
	_, err = store.Resolve(t.Context(), artifacts.Ref{Name: ranker})
	require.ErrorIs(t, err, artifacts.ErrNotFound)
}

func TestAReaderWithoutProgressFails(t *testing.T) {
	var store artifacts.InMemory
	_, err := store.Publish(t.Context(), ranker, artifacts.Streams(map[string]io.Reader{"a": iotest.ErrReader(nil)}), nil)
	require.ErrorIs(t, err, io.ErrNoProgress)
}

func TestAFolderIsPublishedAndComesBack(t *testing.T) {
	dir, back := t.TempDir(), filepath.Join(t.TempDir(), "back")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "d"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "d", "f"), []byte("data"), 0o600))
	var store artifacts.InMemory
	p, err := store.Publish(t.Context(), ranker, os.DirFS(dir), nil)
	require.NoError(t, err)
	require.NoError(t, os.CopyFS(back, artifacts.FS(t.Context(), &store, p.Version.ID)))
	data, err := os.ReadFile(filepath.Join(back, "d", "f"))
	require.NoError(t, err)
	require.Equal(t, "data", string(data))

	require.NoError(t, os.Symlink("f", filepath.Join(dir, "d", "link")))
	_, err = store.Publish(t.Context(), ranker, os.DirFS(dir), nil)
	require.ErrorIs(t, err, artifacts.ErrInvalid)
	require.ErrorContains(t, err, "d/link")
	_, err = store.Publish(t.Context(), ranker, os.DirFS(filepath.Join(dir, "absent")), nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NotErrorIs(t, err, artifacts.ErrConflict)
}

// A shrinking file system loses a file between its listing and its opening.
type shrinking struct{ fs.FS }

func (s shrinking) Open(path string) (fs.File, error) {
	if path == "b" {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return s.FS.Open(path)
}

func TestAFileThatGoesAwayIsAConflict(t *testing.T) {
	var store artifacts.InMemory
	_, err := store.Publish(t.Context(), ranker, shrinking{artifacts.Files(map[string][]byte{"a": nil, "b": nil})}, nil)
	require.ErrorIs(t, err, artifacts.ErrConflict)
	require.ErrorContains(t, err, "b")
}

func TestAVersionHasAtMostMaxFiles(t *testing.T) {
	many := make(map[string][]byte, artifacts.MaxFiles+1)
	for i := range artifacts.MaxFiles + 1 {
		many[fmt.Sprintf("%d/%d", i%100, i)] = nil
	}
	found, err := artifacts.Scan(t.Context(), artifacts.Files(many))
	require.ErrorIs(t, err, artifacts.ErrInvalid)
	require.Empty(t, found)
	delete(many, "0/0")
	found, err = artifacts.Scan(t.Context(), artifacts.Files(many))
	require.NoError(t, err)
	require.Len(t, found, artifacts.MaxFiles)
}

func TestScanStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := artifacts.Scan(ctx, artifacts.Files(map[string][]byte{"a": nil}))
	require.ErrorIs(t, err, context.Canceled)
}

func TestTimesAreThoseOfTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store artifacts.InMemory
		start := time.Now()
		_, err := store.Publish(t.Context(), ranker, artifacts.Files(map[string][]byte{"a": nil}), nil)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		p, err := store.Publish(t.Context(), ranker, artifacts.Files(map[string][]byte{"a": nil}), nil)
		require.NoError(t, err)
		require.True(t, p.Version.Created.Equal(start.Add(time.Hour)))
		require.Equal(t, p.Version.Created, p.Record.Time)
	})
}
