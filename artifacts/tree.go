package artifacts

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// A tree is files in memory, sorted by path.
type tree struct {
	files   []leafFile
	created time.Time
}

// A leafFile is a file of a tree.
type leafFile struct {
	FileInfo
	blob *blob
}

// A blob is content that never changes. Where leaves are known they are what its
// bytes are verified by.
type blob struct {
	data   []byte
	leaves [][sha256.Size]byte
}

// newTree sorts files and reports an error that matches [ErrInvalid] if a path
// breaks the rules, or if one is a file and a directory at once.
func newTree(files []leafFile, created time.Time) (tree, error) {
	slices.SortFunc(files, func(a, b leafFile) int { return strings.Compare(a.Path, b.Path) })
	t := tree{files: files, created: created}
	for i, f := range files {
		if err := validatePath(f.Path); err != nil {
			return tree{}, err
		}
		if i > 0 && files[i-1].Path == f.Path || len(t.under(f.Path)) > 0 {
			return tree{}, fmt.Errorf("%w: path %.200q is there twice, or is a file and a directory", ErrInvalid, f.Path)
		}
	}
	return t, nil
}

func validatePath(p string) error {
	if !fs.ValidPath(p) || p == "." || len(p) > MaxFilePath {
		return fmt.Errorf("%w: path %.200q: one that io/fs allows, of at most %d bytes", ErrInvalid, p, MaxFilePath)
	}
	return nil
}

// find returns the file at path p.
func (t tree) find(p string) (leafFile, bool) {
	i, found := slices.BinarySearchFunc(t.files, p, func(f leafFile, p string) int { return strings.Compare(f.Path, p) })
	if !found {
		return leafFile{}, false
	}
	return t.files[i], true
}

// under returns the files below directory dir.
func (t tree) under(dir string) []leafFile {
	if dir == "." {
		return t.files
	}
	from := func(p string) int {
		i, _ := slices.BinarySearchFunc(t.files, p, func(f leafFile, p string) int { return strings.Compare(f.Path, p) })
		return i
	}
	return t.files[from(dir+"/"):from(dir+"0")] // "0" is what comes after "/"
}

// open opens a file or directory of t. Its life ends with ctx.
func (t tree) open(ctx context.Context, p string) (*openFile, error) {
	if !fs.ValidPath(p) {
		return nil, &fs.PathError{Op: "open", Path: p, Err: fmt.Errorf("%w: %w", ErrInvalid, fs.ErrInvalid)}
	}
	if f, found := t.find(p); found {
		out := &openFile{ctx: ctx, stat: stat{info: f.FileInfo, created: t.created}}
		if f.blob != nil {
			out.content = &verifying{blob: f.blob, digest: f.Digest, verified: make([]atomic.Bool, len(f.blob.leaves))}
		}
		return out, nil
	}
	if p != "." && len(t.under(p)) == 0 {
		return nil, &fs.PathError{Op: "open", Path: p, Err: ErrNotFound}
	}
	return &openFile{ctx: ctx, stat: stat{info: FileInfo{Path: p}, created: t.created, dir: true}, tree: t}, nil
}

// children returns the entries of directory dir, sorted by name.
func (t tree) children(dir string) []fs.DirEntry {
	var out []fs.DirEntry
	last := ""
	for _, f := range t.under(dir) {
		rest := f.Path
		if dir != "." {
			rest = rest[len(dir)+1:]
		}
		first, _, deeper := strings.Cut(rest, "/")
		s := stat{info: f.FileInfo, created: t.created}
		if deeper {
			if first == last {
				continue
			}
			last = first
			s.info, s.dir = FileInfo{Path: path.Join(dir, first)}, true
		}
		out = append(out, fs.FileInfoToDirEntry(s))
	}
	slices.SortFunc(out, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	return out
}

// A stat is the fs.FileInfo of a file or directory of a tree.
type stat struct {
	info    FileInfo
	created time.Time
	dir     bool
}

func (s stat) Name() string       { return path.Base(s.info.Path) }
func (s stat) Size() int64        { return s.info.Size }
func (s stat) ModTime() time.Time { return s.created }
func (s stat) IsDir() bool        { return s.dir }
func (s stat) Sys() any           { return s.info }
func (s stat) Mode() fs.FileMode {
	if s.dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

// An openFile is a [File] of a tree.
type openFile struct {
	ctx     context.Context //nolint:containedctx // io.Reader takes none, and the contract says whose context it is
	stat    stat
	tree    tree // of a directory
	entries []fs.DirEntry
	listed  bool
	content Content // of a file
	offset  int64
	closed  atomic.Bool
}

// verifying reads a blob, each leaf of which it verifies once.
type verifying struct {
	blob     *blob
	digest   string
	verified []atomic.Bool
}

var _ File = (*openFile)(nil)

func (f *openFile) Info() FileInfo { return f.stat.info }

func (f *openFile) Stat() (fs.FileInfo, error) {
	if err := f.alive(); err != nil {
		return nil, f.fail("stat", err)
	}
	return f.stat, nil
}

func (f *openFile) Close() error {
	if f.closed.Swap(true) {
		return f.fail("close", fs.ErrClosed)
	}
	return nil
}

func (f *openFile) Read(p []byte) (int, error) {
	n, err := f.readAt(p, f.offset)
	f.offset += int64(n)
	switch {
	case err != nil:
		return n, f.fail("read", err)
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}

func (f *openFile) ReadAt(p []byte, offset int64) (int, error) {
	n, err := f.readAt(p, offset)
	switch {
	case err != nil:
		return n, f.fail("read", err)
	case n < len(p):
		return n, io.EOF
	}
	return n, nil
}

// readAt reads less than p is long only at the end of the file.
func (f *openFile) readAt(p []byte, offset int64) (int, error) {
	if err := f.alive(); err != nil {
		return 0, err
	}
	if f.stat.dir {
		return 0, fmt.Errorf("%w: a directory", ErrInvalid)
	}
	if offset < 0 {
		return 0, fmt.Errorf("%w: offset %d", ErrInvalid, offset)
	}
	size := f.stat.info.Size
	if offset >= size || len(p) == 0 {
		return 0, nil
	}
	return f.content.ReadAt(f.ctx, p[:min(int64(len(p)), size-offset)], offset)
}

// ReadAt implements [Content].
func (v *verifying) ReadAt(ctx context.Context, p []byte, offset int64) (int, error) {
	end := offset + int64(len(p))
	for leaf := offset / LeafSize; leaf*LeafSize < end && int(leaf) < len(v.verified); leaf++ {
		if v.verified[leaf].Load() {
			continue
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		part := v.blob.data[leaf*LeafSize : min((leaf+1)*LeafSize, int64(len(v.blob.data)))]
		if sha256.Sum256(part) != v.blob.leaves[leaf] {
			return 0, fmt.Errorf("%w: bytes from %d on are not those of %s", ErrCorrupt, leaf*LeafSize, v.digest)
		}
		v.verified[leaf].Store(true)
	}
	return copy(p, v.blob.data[offset:end]), nil
}

func (f *openFile) Seek(offset int64, whence int) (int64, error) {
	if err := f.alive(); err != nil {
		return 0, f.fail("seek", err)
	}
	if f.stat.dir {
		if offset != 0 || whence != io.SeekStart {
			return 0, f.fail("seek", fmt.Errorf("%w: a directory can only be rewound", ErrInvalid))
		}
		f.listed = false
		return 0, nil
	}
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += f.offset
	case io.SeekEnd:
		offset += f.stat.info.Size
	default:
		return 0, f.fail("seek", fmt.Errorf("%w: whence %d", ErrInvalid, whence))
	}
	if offset < 0 {
		return 0, f.fail("seek", fmt.Errorf("%w: before the start", ErrInvalid))
	}
	f.offset = offset
	return offset, nil
}

func (f *openFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if err := f.alive(); err != nil {
		return nil, f.fail("readdir", err)
	}
	if !f.stat.dir {
		return nil, f.fail("readdir", fmt.Errorf("%w: not a directory", ErrInvalid))
	}
	if !f.listed {
		f.entries, f.listed = f.tree.children(f.stat.info.Path), true
	}
	if n <= 0 {
		n = len(f.entries)
	} else if len(f.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(f.entries))
	out := f.entries[:n:n]
	f.entries = f.entries[n:]
	return out, nil
}

func (f *openFile) alive() error {
	if f.closed.Load() {
		return fs.ErrClosed
	}
	return f.ctx.Err()
}

func (f *openFile) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: f.stat.info.Path, Err: err}
}

// readAll reads r to its end, asking ctx between reads. It stops with
// [ErrConflict] where more than size bytes come, unless size is negative.
func readAll(ctx context.Context, r io.Reader, size int64, each func(n int64)) (*blob, string, error) {
	const (
		block   = 1 << 20
		trusted = 64 << 20 // what is allocated because a size says so
	)
	var (
		d     = NewDigest()
		data  = bytes.NewBuffer(make([]byte, 0, min(max(size, 0), trusted)+1))
		empty = 0
	)
	for {
		if err := ctx.Err(); err != nil {
			return nil, "", err
		}
		if data.Available() == 0 {
			data.Grow(min(max(data.Len(), 512), 16*block))
		}
		free := data.AvailableBuffer()
		free = free[:min(cap(free), block)]
		n, err := r.Read(free)
		if n < 0 || n > len(free) {
			return nil, "", fmt.Errorf("%w: a read of %d bytes returned %d", ErrInvalid, len(free), n)
		}
		data.Write(free[:n])
		_, _ = d.Write(free[:n])
		each(int64(n))
		switch {
		case size >= 0 && int64(data.Len()) > size:
			return nil, "", fmt.Errorf("%w: it grew past %d bytes while it was read", ErrConflict, size)
		case errors.Is(err, io.EOF):
			leaves := d.Leaves()
			return &blob{data: slices.Clip(data.Bytes()), leaves: leaves}, TreeDigest(d.size, leaves), nil
		case err != nil:
			return nil, "", err
		}
		if n > 0 {
			empty = 0
		} else if empty++; empty > 100 {
			return nil, "", io.ErrNoProgress
		}
	}
}
