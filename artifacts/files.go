package artifacts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"
)

// FS returns the files of a version as an [fs.FS], for fs.WalkDir, os.CopyFS,
// template.ParseFS or a Publish elsewhere. Its files are [File]s, and every read
// ends with ctx.
func FS(ctx context.Context, store Store, id ID) fs.FS { return versionFS{ctx, store, id} }

type versionFS struct {
	ctx   context.Context //nolint:containedctx // fs.FS takes none; FS says whose it is
	store Store
	id    ID
}

func (v versionFS) Open(path string) (fs.File, error) {
	if !fs.ValidPath(path) {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrInvalid}
	}
	f, err := v.store.Open(v.ctx, v.id, path)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return f, nil
}

// Manifest returns all files of a version, sorted by path, without reading them.
func Manifest(ctx context.Context, store Store, id ID) ([]FileInfo, error) {
	var files []FileInfo
	err := fs.WalkDir(FS(ctx, store, id), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		stat, err := d.Info()
		if err != nil {
			return err
		}
		info, is := stat.Sys().(FileInfo)
		if !is {
			return fmt.Errorf("%w: the directory entry of %s from %T has no FileInfo in its Sys", ErrInvalid, path, store)
		}
		files = append(files, info)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("manifest of %s: %w", id, err)
	}
	// A walk goes by names, in which "a.b" is after "a", and its files before it by path.
	slices.SortFunc(files, func(a, b FileInfo) int { return strings.Compare(a.Path, b.Path) })
	return files, nil
}

// Files returns a file system of files that are in memory, by path, for a
// [Store.Publish]. It does not copy them: neither the map nor the bytes may change
// while it is in use. Paths are those of io/fs; where one is not, or is a file and
// a directory at once, all of the file system fails with ErrInvalid.
func Files(files map[string][]byte) fs.FS {
	list := make([]leafFile, 0, len(files))
	for path, data := range files {
		list = append(list, leafFile{FileInfo{Path: path, Size: int64(len(data)), MediaType: MediaType(path)}, &blob{data: data}})
	}
	t, err := newTree(list, time.Time{})
	return memFS{t, err}
}

type memFS struct {
	tree tree
	err  error
}

func (m memFS) Open(path string) (fs.File, error) {
	if m.err != nil {
		return nil, m.err
	}
	f, err := m.tree.open(context.Background(), path) //nolint:forbidigo // bytes in memory do not wait
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Streams returns a file system for one [Store.Publish] of readers whose length
// nobody knows yet, by path: a response, a pipe, an encoder. Each is read once, to
// its end; opening it again is ErrInvalid, so a Publish that is repeated needs new
// ones, unless its ID was published. A Publish reads several at a time and in an
// order of its own: none may wait until another one is read.
//
// The size of such a file, in its FileInfo, is -1. Another file system may do the
// same: a Store takes the size of a regular file for its length only if it is not
// negative.
func Streams(readers map[string]io.Reader) fs.FS {
	list := make([]leafFile, 0, len(readers))
	for path := range readers {
		list = append(list, leafFile{FileInfo{Path: path, Size: -1, MediaType: MediaType(path)}, &blob{}})
	}
	t, err := newTree(list, time.Time{})
	for path, r := range readers {
		if r == nil {
			err = fmt.Errorf("%w: the stream %s is nil", ErrInvalid, path)
		}
	}
	return &streamFS{memFS: memFS{t, err}, readers: readers, opened: map[string]bool{}}
}

type streamFS struct {
	memFS
	readers map[string]io.Reader
	mu      sync.Mutex
	opened  map[string]bool
}

func (s *streamFS) Open(path string) (fs.File, error) {
	f, err := s.memFS.Open(path)
	if err != nil {
		return nil, err
	}
	r, is := s.readers[path]
	if !is {
		return f, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened[path] {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("%w: a stream can be read once", ErrInvalid)}
	}
	s.opened[path] = true
	return stream{f, r}, nil
}

type stream struct {
	fs.File
	r io.Reader
}

func (s stream) Read(p []byte) (int, error) { return s.r.Read(p) }

// Scan walks the files that a [Store.Publish] is given and returns their paths and
// sizes, sorted by path: the rules of Publish that need no reading. A size is
// negative where it is not known.
func Scan(ctx context.Context, files fs.FS) ([]FileInfo, error) {
	if files == nil {
		return nil, fmt.Errorf("%w: there are no files: nil", ErrInvalid)
	}
	var out []FileInfo
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err != nil {
			return fmt.Errorf("walk: %w", vanished(path, err))
		}
		if d.IsDir() {
			return nil
		}
		if len(out) == MaxFiles {
			return fmt.Errorf("%w: %s is one more than %d files", ErrInvalid, path, MaxFiles)
		}
		info, err := scan(path, d)
		out = append(out, info)
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b FileInfo) int { return strings.Compare(a.Path, b.Path) })
	return out, Distinct(out)
}

func scan(path string, d fs.DirEntry) (FileInfo, error) {
	if err := validatePath(path); err != nil {
		return FileInfo{}, err
	}
	if !d.Type().IsRegular() {
		return FileInfo{}, fmt.Errorf("%w: %s is not a regular file: %s", ErrInvalid, path, d.Type())
	}
	info, err := d.Info()
	if err != nil {
		return FileInfo{}, vanished(path, err)
	}
	return FileInfo{Path: path, Size: max(info.Size(), -1)}, nil
}

// vanished names the path of an error. A file that was there a moment ago has
// changed.
func vanished(path string, err error) error {
	if path != "." && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w: it is gone: %w", path, ErrConflict, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// readFile reads one of the files of a Publish.
func readFile(ctx context.Context, files fs.FS, path string, each func(n int64)) (_ *blob, _ string, err error) {
	f, err := files.Open(path)
	if err != nil {
		return nil, "", vanished(path, err)
	}
	defer func() {
		if cerr := f.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("%s: %w", path, cerr)
		}
	}()
	before, err := f.Stat()
	if err != nil {
		return nil, "", vanished(path, err)
	}
	if !before.Mode().IsRegular() {
		return nil, "", fmt.Errorf("%w: %s is not a regular file: %s", ErrInvalid, path, before.Mode().Type())
	}
	b, digest, err := readAll(ctx, f, before.Size(), each)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	after, err := f.Stat()
	if err != nil {
		return nil, "", vanished(path, err)
	}
	known := before.Size() >= 0
	if known && (int64(len(b.data)) != before.Size() || after.Size() != before.Size()) || !after.ModTime().Equal(before.ModTime()) {
		return nil, "", fmt.Errorf("%s: %w: it changed while it was read: %d bytes, and %d said at first", path, ErrConflict, len(b.data), before.Size())
	}
	return b, digest, nil
}
