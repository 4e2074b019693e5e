package efsshare

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/internal/kernel"
)

// tempPrefix begins the names of files that are being written. They are the
// share's own, and not listed.
const tempPrefix = folder + "-tmp-"

// abandonedAfter is the age from which on Remove takes a file that was being
// written for one whose writer died.
const abandonedAfter = time.Hour

// WriteFile implements [fsshare.Share]. The bytes go to a file in the same
// directory, or in the nearest one above that exists, which is synced, closed and
// renamed, and the directory is synced: a full disk or a quota shows at the sync or
// at the close, where both are looked at. A file that takes more than an hour
// between two reads may be taken for that of a writer that died.
func (s *Share) WriteFile(ctx context.Context, name string, r io.Reader, opts *fsshare.WriteOptions) (fsshare.Info, error) {
	info, err := s.write(ctx, name, r, opts)
	if err != nil {
		return fsshare.Info{}, wrap("write", name, kind(err))
	}
	return info, nil
}

func (s *Share) write(ctx context.Context, name string, r io.Reader, opts *fsshare.WriteOptions) (fsshare.Info, error) {
	if err := cmp.Or(validateFile(name), opts.Validate(), ended(ctx)); err != nil {
		return fsshare.Info{}, err
	}
	if r == nil {
		return fsshare.Info{}, fmt.Errorf("%w: the reader is nil", fsshare.ErrInvalid)
	}
	w := &writing{share: s, name: name, opts: opts.WithDefaults()}
	if err := do(ctx, s.pool, w.mayPut); err != nil { // before r is used up
		return fsshare.Info{}, err
	}
	file, err := call(ctx, s.pool, w.begin, w.drop)
	if err != nil {
		return fsshare.Info{}, err
	}
	w.file = file
	if err := w.finish(ctx, r); err != nil {
		s.discardTemp(w)
		return fsshare.Info{}, err
	}
	return w.info, nil
}

func validateFile(name string) error {
	if name == "." {
		return fmt.Errorf("%w: the root is a directory", fsshare.ErrInvalid)
	}
	return fsshare.ValidateName(name)
}

// A writing is a WriteFile under way.
type writing struct {
	share *Share
	name  string
	opts  fsshare.WriteOptions
	temp  string // the name of the file that has the bytes
	file  kernel.File
	made  fs.FileInfo // of that file, when it was written
	info  fsshare.Info
}

// mayPut says why no file can be put at the name.
func (w *writing) mayPut() error {
	var info fs.FileInfo
	err := w.share.unstale(func() (err error) {
		info, err = w.share.root.Lstat(w.name)
		return err
	})
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: a name above it is a file: %w", fsshare.ErrConflict, err)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%w: it is a directory", fsshare.ErrConflict)
	case w.opts.MustMake:
		return fmt.Errorf("%w: it exists", fsshare.ErrConflict)
	}
	return nil
}

// begin makes the file for the bytes.
func (w *writing) begin() (kernel.File, error) {
	const ownerOnly = 0o600
	base := tempPrefix + randomName()
	dir := path.Dir(w.name)
	for {
		temp := path.Join(dir, base)
		var f kernel.File
		err := w.share.unstale(func() (err error) {
			f, err = w.share.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, ownerOnly)
			return err
		})
		if err == nil {
			w.temp = temp
			return f, nil
		}
		if dir == "." || !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		dir = path.Dir(dir)
	}
}

// drop removes a file that nobody will finish.
func (w *writing) drop(f kernel.File) {
	closeFile(f)
	_ = w.share.root.Remove(w.temp)
}

// discardTemp is discard with the file's name.
func (s *Share) discardTemp(w *writing) {
	done := s.pool.eventually(func() { w.drop(w.file) })
	timer := time.NewTimer(slow)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

func (w *writing) finish(ctx context.Context, r io.Reader) error {
	sum, size, err := w.copy(ctx, r)
	if err != nil {
		return err
	}
	if err := do(ctx, w.share.pool, w.seal); err != nil {
		return err
	}
	w.info = fsshare.Info{Name: w.name, Size: size, Modified: w.made.ModTime(), SHA256: sum}
	if w.opts.Under != nil {
		if err := w.opts.Under.Check(ctx); err != nil {
			return err
		}
	}
	return do(ctx, w.share.pool, w.put)
}

// copy brings the bytes of r, which runs in the caller, to the file.
func (w *writing) copy(ctx context.Context, r io.Reader) (sum [sha256.Size]byte, size int64, err error) {
	const chunk = 1 << 20
	hash := sha256.New()
	for {
		// A chunk that was left may still be written when this has returned, so each
		// has its own bytes.
		b := make([]byte, min(chunk, max(512, size)))
		n, err := fill(ctx, r, b)
		if n > 0 {
			hash.Write(b[:n])
			size += int64(n)
			if err := do(ctx, w.share.pool, func() error {
				_, err := w.file.Write(b[:n])
				return err
			}); err != nil {
				return sum, size, err
			}
		}
		if errors.Is(err, io.EOF) {
			return [sha256.Size]byte(hash.Sum(nil)), size, nil
		}
		if err != nil {
			return sum, size, err
		}
	}
}

// fill reads until b is full or r ends, and heeds ctx before each Read.
func fill(ctx context.Context, r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		if err = ended(ctx); err != nil {
			return n, err
		}
		var m int
		m, err = r.Read(b[n:])
		n += m
	}
	return n, err
}

// seal gives the file its mode and has the server keep all of it.
func (w *writing) seal() error {
	if err := w.file.Chmod(w.opts.Mode); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	info, err := w.file.Stat()
	if err != nil {
		return err
	}
	w.made = info
	return w.file.Close() // NFS may report a full disk only here
}

// put gives the file its name.
func (w *writing) put() error {
	root := w.share.root
	dir := path.Dir(w.name)
	const rounds = 1000 // of others that remove the directory again and again
	var err error
	for range rounds {
		if err = root.MkdirAll(dir, dirMode); err == nil {
			err = w.rename()
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ESTALE) {
			break
		}
		if err := refresh(root); err != nil {
			return err
		}
		if _, gone := root.Lstat(w.temp); errors.Is(gone, fs.ErrNotExist) {
			return fmt.Errorf("%w: the file was removed while it was written", fsshare.ErrConflict)
		}
	}
	if err != nil {
		return err
	}
	d, err := root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESTALE) {
		return nil // removed by another in the meantime, with the file
	}
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// rename is not repeated blindly by the kernel: after a lost connection a server
// without a reply cache may say that it fails because it was done already. Then the
// name tells.
func (w *writing) rename() error {
	root := w.share.root
	var err error
	if w.opts.MustMake {
		err = root.Link(w.temp, w.name)
	} else {
		err = root.Rename(w.temp, w.name)
	}
	if errors.Is(err, fs.ErrNotExist) || w.opts.MustMake && errors.Is(err, fs.ErrExist) {
		if refreshed := refresh(root); refreshed != nil {
			return errors.Join(err, refreshed)
		}
		if info, stat := root.Lstat(w.name); stat == nil && kernel.SameFile(info, w.made) {
			err = nil
		}
	}
	if err == nil && w.opts.MustMake {
		_ = root.Remove(w.temp) // it has its other name; this one is not listed
	}
	return err
}

// Remove implements [fsshare.Share]. A directory in which there is nothing but what
// writers left that died is empty.
func (s *Share) Remove(ctx context.Context, name string) error {
	if err := cmp.Or(validateFile(name), ended(ctx)); err != nil {
		return wrap("remove", name, err)
	}
	err := do(ctx, s.pool, func() error {
		err := s.unstale(func() error { return s.root.Remove(name) })
		if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) {
			if swept := s.sweep(name); swept != nil {
				return errors.Join(err, swept)
			}
			err = s.root.Remove(name)
		}
		return err
	})
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	return wrap("remove", name, kind(err))
}

// sweep removes from a directory what writers left that died.
func (s *Share) sweep(dir string) error {
	d, err := s.root.Open(dir)
	if err != nil {
		return err
	}
	infos, err := d.Readdir(-1)
	if err := errors.Join(err, d.Close()); err != nil {
		return err
	}
	for _, info := range infos {
		if strings.HasPrefix(info.Name(), tempPrefix) && time.Since(info.ModTime()) > abandonedAfter {
			err = errors.Join(err, s.root.Remove(path.Join(dir, info.Name())))
		}
	}
	return err
}
