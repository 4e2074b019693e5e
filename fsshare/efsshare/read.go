package efsshare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/internal/kernel"
)

// NFS clients answer names and attributes from caches of up to a minute, and open
// a file that was replaced by its old handle while anybody has the old one open.
// Opening a directory asks the server for its attributes, and a changed directory
// drops what is cached of its names. So every way to a file is walked by opening
// each directory, as os.Root does, the root included, which os.Root does not.
func refresh(root kernel.Root) error {
	f, err := root.Open(".")
	if err != nil {
		return err
	}
	return f.Close()
}

// attempts is how often a call is made in whose way something was replaced or
// removed by another client: the kernel repeats it once, with what it then knows.
const attempts = 10

// A file that is replaced while a process of the replacing client has it open is
// absent for a moment, everywhere: that client renames the open one first, to a name
// that begins with .nfs, and then the new one. So absence is believed where there is
// no such name, or when it has lasted twice this long.
const longestAbsence = 40 * time.Millisecond

// isAside reports whether an NFS client gave the name to a file that is in use: .nfs,
// the file's number and a counter, in hexadecimal.
func isAside(name string) bool {
	const prefix, digits = ".nfs", 24
	return strings.HasPrefix(name, prefix) && len(name) == len(prefix)+digits && strings.Trim(name[len(prefix):], "0123456789abcdef") == ""
}

// inBetween reports whether an absent file may be about to be replaced.
func (s *Share) inBetween(name string) bool {
	d, err := s.root.Open(path.Dir(name))
	if err != nil {
		return false
	}
	defer closeFile(d)
	const most = 1000 // names; with more, it may be
	names, err := d.Readdirnames(most)
	return len(names) == most || err == nil && slices.ContainsFunc(names, func(n string) bool {
		return n == path.Base(name) || isAside(n)
	})
}

// unstale makes a call with fresh names, and again where it met a name that had
// become stale in between.
func (s *Share) unstale(f func() error) error {
	var err error
	for range attempts {
		if err = refresh(s.root); err != nil {
			return err
		}
		if err = f(); !errors.Is(err, syscall.ESTALE) {
			return err
		}
	}
	return err
}

// What the kernel keeps of a file's data is read again below this size, or when the
// file has changed within this time.
const (
	keptFrom  = 1 << 20
	keptAfter = 10 * time.Minute
)

// unkeep has the kernel forget a file's data. Opening the file does that only where
// no process of this machine has it open for writing: while one has, changes by
// others stay unseen. What is large and old is left: it is not what many machines
// write to, and to read it again is not cheap.
func (s *Share) unkeep(f kernel.File, info fs.FileInfo) error {
	if !s.mount.NFS() || !info.Mode().IsRegular() || info.Size() >= keptFrom && time.Since(info.ModTime()) > keptAfter {
		return nil
	}
	return f.Forget()
}

// openFresh opens a file or directory as it is on the server now.
func (s *Share) openFresh(name string) (f kernel.File, info fs.FileInfo, err error) {
	for rest := time.Millisecond; ; rest *= 2 {
		err = s.unstale(func() (err error) {
			if f, err = s.root.OpenFile(name, os.O_RDONLY|kernel.NonBlock, 0); err != nil {
				return err
			}
			if info, err = f.Stat(); err == nil {
				err = s.unkeep(f, info)
			}
			if err != nil {
				return errors.Join(err, f.Close())
			}
			return nil
		})
		if !errors.Is(err, fs.ErrNotExist) || rest > longestAbsence || !s.mount.NFS() || !s.inBetween(name) {
			break
		}
		<-time.After(rest)
	}
	if err == nil && !info.IsDir() && !info.Mode().IsRegular() {
		err = errors.Join(fmt.Errorf("%w: neither a file nor a directory, but %v", fsshare.ErrConflict, info.Mode().Type()), f.Close())
	}
	return f, info, err
}

// shareFS shows a share from a directory down, for as long as its context lives.
type shareFS struct {
	share *Share
	ctx   context.Context
	dir   string
}

var (
	_ fs.ReadFileFS = shareFS{}
	_ fs.ReadDirFS  = shareFS{}
	_ fs.StatFS     = shareFS{}
	_ fs.SubFS      = shareFS{}
)

// FS implements [fsshare.Share]. On NFS each call asks the server for the attributes
// of each directory on the way, so what it returns is what was there when it began.
func (s *Share) FS(ctx context.Context) fs.FS { return shareFS{s, ctx, "."} }

func (f shareFS) full(name string) (string, error) {
	full := path.Join(f.dir, name)
	if !fs.ValidPath(name) {
		full = "" // "a/../b" must not become valid by joining
	}
	if err := fsshare.ValidateName(full); err != nil {
		return "", fmt.Errorf("%w (%w)", err, fs.ErrInvalid)
	}
	return full, nil
}

// fail makes what an FS returns of an error. A name below a file is absent.
func fail(op, name string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok && errors.Is(pathErr.Err, err) {
		err = pathErr.Err
	}
	return &fs.PathError{Op: op, Path: name, Err: kind(err)}
}

func (f shareFS) open(op, name string) (*openFile, error) {
	full, err := f.full(name)
	if err == nil {
		err = ended(f.ctx)
	}
	if err != nil {
		return nil, fail(op, name, err)
	}
	opened, err := call(f.ctx, f.share.pool, func() (*openFile, error) {
		file, info, err := f.share.openFresh(full)
		if errors.Is(err, syscall.ENOTDIR) {
			err = fmt.Errorf("%w: %w", fsshare.ErrNotFound, err)
		}
		return &openFile{ctx: f.ctx, share: f.share, file: file, name: name, info: named{info, path.Base(name)}}, err
	}, func(o *openFile) { closeFile(o.file) })
	if err != nil {
		return nil, fail(op, name, err)
	}
	return opened, nil
}

// Open implements [fs.FS].
func (f shareFS) Open(name string) (fs.File, error) {
	o, err := f.open("open", name)
	if err != nil {
		return nil, err
	}
	if o.info.IsDir() {
		return &openDirFile{openFile: o}, nil
	}
	return o, nil
}

// ReadFile implements [fs.ReadFileFS].
func (f shareFS) ReadFile(name string) ([]byte, error) {
	for attempt := 1; ; attempt++ {
		o, err := f.open("read", name)
		if err != nil {
			return nil, err
		}
		data, err := call(f.ctx, f.share.pool, func() ([]byte, error) {
			defer closeFile(o.file)
			return readAll(o.file, o.info.Size())
		}, nil)
		if errors.Is(err, syscall.ESTALE) && attempt < attempts { // removed, and the server forgot it
			continue
		}
		if err != nil {
			return nil, fail("read", name, err)
		}
		return data, nil
	}
}

// readAll reads a file that is about this long.
func readAll(f kernel.File, size int64) ([]byte, error) {
	const most = 1 << 30 // what is allocated on the word of a size
	data := make([]byte, 0, min(size, most)+1)
	for {
		n, err := f.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if errors.Is(err, io.EOF) {
			return data, nil
		}
		if err != nil {
			return nil, err
		}
		if len(data) == cap(data) {
			data = slices.Grow(data, len(data))
		}
	}
}

// ReadDir implements [fs.ReadDirFS].
func (f shareFS) ReadDir(name string) ([]fs.DirEntry, error) {
	o, err := f.open("readdir", name)
	if err != nil {
		return nil, err
	}
	d := openDirFile{openFile: o}
	entries, err := d.ReadDir(-1)
	if err = errors.Join(err, d.Close()); err != nil {
		return nil, err
	}
	return entries, nil
}

// Stat implements [fs.StatFS].
func (f shareFS) Stat(name string) (fs.FileInfo, error) {
	o, err := f.open("stat", name)
	if err != nil {
		return nil, err
	}
	return o.info, o.Close()
}

// Sub implements [fs.SubFS].
func (f shareFS) Sub(dir string) (fs.FS, error) {
	full, err := f.full(dir)
	if err != nil {
		return nil, fail("sub", dir, err)
	}
	return shareFS{f.share, f.ctx, full}, nil
}

// named is an info under the name by which it was asked for.
type named struct {
	fs.FileInfo
	name string
}

func (n named) Name() string { return n.name }

// An openFile is a file of an FS.
type openFile struct {
	ctx    context.Context
	share  *Share
	file   kernel.File
	name   string
	info   named
	closed atomic.Bool
}

func (o *openFile) usable() error {
	if o.closed.Load() {
		return fs.ErrClosed
	}
	return ended(o.ctx)
}

// Stat implements [fs.File]: the file as it was when it was opened.
func (o *openFile) Stat() (fs.FileInfo, error) {
	if err := o.usable(); err != nil {
		return nil, fail("stat", o.name, err)
	}
	return o.info, nil
}

// Read implements [fs.File].
func (o *openFile) Read(p []byte) (int, error) {
	return o.into(p, o.file.Read)
}

// ReadAt implements [io.ReaderAt].
func (o *openFile) ReadAt(p []byte, off int64) (int, error) {
	return o.into(p, func(b []byte) (int, error) { return o.file.ReadAt(b, off) })
}

// into reads into a buffer of its own: a read that was left may come back when the
// caller uses p for something else.
func (o *openFile) into(p []byte, read func([]byte) (int, error)) (int, error) {
	if err := o.usable(); err != nil {
		return 0, fail("read", o.name, err)
	}
	const most = 4 << 20
	type result struct {
		data []byte
		err  error
	}
	got, err := call(o.ctx, o.share.pool, func() (result, error) {
		b := make([]byte, min(len(p), most))
		n, err := read(b)
		return result{b[:n], err}, nil
	}, nil)
	if err != nil {
		return 0, fail("read", o.name, err)
	}
	n := copy(p, got.data)
	if got.err == nil && n < len(p) && n == most { // of ReadAt, which must fill p
		more, err := o.into(p[n:], func(b []byte) (int, error) { return read(b) })
		return n + more, err
	}
	return n, fail("read", o.name, got.err)
}

// Seek implements [io.Seeker].
func (o *openFile) Seek(offset int64, whence int) (int64, error) {
	if err := o.usable(); err != nil {
		return 0, fail("seek", o.name, err)
	}
	n, err := o.file.Seek(offset, whence)
	return n, fail("seek", o.name, err)
}

// Close implements [fs.File]. It is the one call that works when the context has
// ended, and it does not wait for a mount that hangs.
func (o *openFile) Close() error {
	if o.closed.Swap(true) {
		return fail("close", o.name, fs.ErrClosed)
	}
	o.share.discard(o.file)
	return nil
}

// An openDirFile is a directory of an FS.
type openDirFile struct {
	*openFile
	read    bool
	entries []fs.DirEntry // those not given yet
}

// Read implements [fs.File].
func (d *openDirFile) Read([]byte) (int, error) {
	if err := d.usable(); err != nil {
		return 0, fail("read", d.name, err)
	}
	return 0, fail("read", d.name, fmt.Errorf("%w: it is a directory", fsshare.ErrConflict))
}

// ReadDir implements [fs.ReadDirFile]. The directory is read as a whole, by the
// first call.
func (d *openDirFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if err := d.usable(); err != nil {
		return nil, fail("readdir", d.name, err)
	}
	if !d.read {
		entries, err := call(d.ctx, d.share.pool, func() ([]fs.DirEntry, error) { return d.share.readEntries(d.file) }, nil)
		if err != nil {
			return nil, fail("readdir", d.name, err)
		}
		d.read, d.entries = true, entries
	}
	if n <= 0 {
		n = len(d.entries)
	} else if len(d.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.entries))
	entries := d.entries[:n:n]
	d.entries = d.entries[n:]
	return entries, nil
}

// readEntries lists a directory, without what is the share's own or the NFS client's, and
// without what a share has no name for or cannot read, such as sockets.
func (s *Share) readEntries(dir kernel.File) ([]fs.DirEntry, error) {
	infos, err := dir.Readdir(-1)
	if err != nil {
		return nil, err
	}
	entries := make([]fs.DirEntry, 0, len(infos))
	for _, info := range infos {
		kind := info.Mode().Type()
		if fsshare.ValidateName(info.Name()) != nil || s.mount.NFS() && isAside(info.Name()) {
			continue
		}
		if kind == 0 || kind == fs.ModeDir || kind == fs.ModeSymlink {
			entries = append(entries, fs.FileInfoToDirEntry(info))
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}
