package fsshare

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// A memFS shows an InMemory from a directory down, for as long as its context lives.
type memFS struct {
	share *InMemory
	ctx   context.Context
	dir   string
}

var (
	_ fs.ReadFileFS = memFS{}
	_ fs.ReadDirFS  = memFS{}
	_ fs.StatFS     = memFS{}
	_ fs.SubFS      = memFS{}
)

// A memView is what a call of a memFS sees: copied under the mutex, or immutable.
type memView struct {
	info    memInfo
	data    []byte
	entries []fs.DirEntry
}

func (f memFS) look(op, name string) (memView, error) {
	if err := ended(f.ctx); err != nil {
		return memView{}, &fs.PathError{Op: op, Path: name, Err: err}
	}
	full, err := f.full(name)
	if err != nil {
		return memView{}, &fs.PathError{Op: op, Path: name, Err: err}
	}
	f.share.mu.Lock()
	defer f.share.mu.Unlock()
	n := f.share.root.at(full)
	if n == nil && full == "." {
		n = &node{mode: dirMode, children: map[string]*node{}}
	}
	if n == nil {
		return memView{}, &fs.PathError{Op: op, Path: name, Err: ErrNotFound}
	}
	return memView{n.stat(path.Base(name)), n.data, n.entries()}, nil
}

func (f memFS) full(name string) (string, error) {
	full := path.Join(f.dir, name)
	if !fs.ValidPath(name) {
		full = "" // "a/../b" must not become valid by joining
	}
	if err := ValidateName(full); err != nil {
		return "", fmt.Errorf("%w (%w)", err, fs.ErrInvalid)
	}
	return full, nil
}

func (n *node) stat(base string) memInfo {
	return memInfo{base, int64(len(n.data)), n.mode, n.modified}
}

func (n *node) entries() []fs.DirEntry {
	entries := make([]fs.DirEntry, 0, len(n.children))
	for name, child := range n.children {
		entries = append(entries, fs.FileInfoToDirEntry(child.stat(name)))
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries
}

// Open implements [fs.FS].
func (f memFS) Open(name string) (fs.File, error) {
	v, err := f.look("open", name)
	if err != nil {
		return nil, err
	}
	file := memFile{ctx: f.ctx, name: name, info: v.info, closed: new(atomic.Bool)}
	if v.info.IsDir() {
		return &memDirFile{file, v.entries}, nil
	}
	return &memDataFile{file, bytes.NewReader(v.data)}, nil
}

// ReadFile implements [fs.ReadFileFS].
func (f memFS) ReadFile(name string) ([]byte, error) {
	v, err := f.look("read", name)
	if err != nil {
		return nil, err
	}
	if v.info.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errIsDir}
	}
	return append([]byte{}, v.data...), nil
}

// ReadDir implements [fs.ReadDirFS].
func (f memFS) ReadDir(name string) ([]fs.DirEntry, error) {
	v, err := f.look("readdir", name)
	if err != nil {
		return nil, err
	}
	if !v.info.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errNotDir}
	}
	return v.entries, nil
}

// Stat implements [fs.StatFS].
func (f memFS) Stat(name string) (fs.FileInfo, error) {
	v, err := f.look("stat", name)
	if err != nil {
		return nil, err
	}
	return v.info, nil
}

// Sub implements [fs.SubFS].
func (f memFS) Sub(dir string) (fs.FS, error) {
	full, err := f.full(dir)
	if err != nil {
		return nil, &fs.PathError{Op: "sub", Path: dir, Err: err}
	}
	return memFS{f.share, f.ctx, full}, nil
}

var (
	errIsDir  = fmt.Errorf("%w: it is a directory", ErrConflict)
	errNotDir = fmt.Errorf("%w: it is not a directory", ErrConflict)
)

type memInfo struct {
	name     string
	size     int64
	mode     fs.FileMode
	modified time.Time
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) Mode() fs.FileMode  { return i.mode }
func (i memInfo) ModTime() time.Time { return i.modified }
func (i memInfo) IsDir() bool        { return i.mode.IsDir() }
func (memInfo) Sys() any             { return nil }

type memFile struct {
	ctx    context.Context
	name   string
	info   memInfo
	closed *atomic.Bool
}

func (f memFile) usable(op string) error {
	err := ended(f.ctx)
	if f.closed.Load() {
		err = fs.ErrClosed
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: f.name, Err: err}
	}
	return nil
}

// Stat implements [fs.File].
func (f memFile) Stat() (fs.FileInfo, error) { return f.info, f.usable("stat") }

// Close implements [fs.File].
func (f memFile) Close() error {
	if f.closed.Swap(true) {
		return &fs.PathError{Op: "close", Path: f.name, Err: fs.ErrClosed}
	}
	return nil
}

type memDataFile struct {
	memFile
	r *bytes.Reader
}

// Read implements [fs.File].
func (f *memDataFile) Read(p []byte) (int, error) {
	if err := f.usable("read"); err != nil {
		return 0, err
	}
	return f.r.Read(p)
}

// ReadAt implements [io.ReaderAt].
func (f *memDataFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.usable("read"); err != nil {
		return 0, err
	}
	return f.r.ReadAt(p, off)
}

// Seek implements [io.Seeker].
func (f *memDataFile) Seek(offset int64, whence int) (int64, error) {
	if err := f.usable("seek"); err != nil {
		return 0, err
	}
	return f.r.Seek(offset, whence)
}

type memDirFile struct {
	memFile
	entries []fs.DirEntry // those not read yet
}

// Read implements [fs.File].
func (f *memDirFile) Read([]byte) (int, error) {
	if err := f.usable("read"); err != nil {
		return 0, err
	}
	return 0, &fs.PathError{Op: "read", Path: f.name, Err: errIsDir}
}

// ReadDir implements [fs.ReadDirFile].
func (f *memDirFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if err := f.usable("readdir"); err != nil {
		return nil, err
	}
	if n <= 0 {
		n = len(f.entries)
	} else if len(f.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(f.entries))
	entries := f.entries[:n:n]
	f.entries = f.entries[n:]
	return entries, nil
}
