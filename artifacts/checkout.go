package artifacts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// CheckoutOptions adjusts a Checkout. A nil *CheckoutOptions means the zero value.
type CheckoutOptions struct {
	// Delete removes what the version does not have, folders that become empty too.
	// Otherwise it stays.
	Delete bool
	// Concurrency is how many files are compared and fetched at a time: the number of
	// processors, and at least 4, if zero.
	Concurrency int
}

// A CheckedOut is what a Checkout did. It counts files.
type CheckedOut struct {
	Fetched, Unchanged, Deleted int
	Bytes                       int64 // that were fetched
}

// partial is what the name of a file that is being fetched ends in.
const partial = ".genaistore-partial"

// Checkout makes a folder hold the files of a version. A file that is there already is
// compared by its content, and fetched only if it is another one; it is replaced whole,
// by a rename, when all of it was read and verified. The files that an interrupted
// Checkout has fetched are not fetched again. Paths stay inside the folder, whatever links it has.
//
// A folder in the place of a file, or a file in the place of a folder, is ErrConflict,
// unless Delete says that it may go.
func Checkout(ctx context.Context, store Store, id ID, folder *os.Root, options *CheckoutOptions) (CheckedOut, error) {
	opts := *cmp.Or(options, &CheckoutOptions{})
	if err := cmp.Or(ctx.Err(), id.Validate()); err != nil {
		return CheckedOut{}, fmt.Errorf("checkout: %w", err)
	}
	if folder == nil || opts.Concurrency < 0 {
		return CheckedOut{}, fmt.Errorf("checkout %s: %w: a folder, and a Concurrency of 0 or more", id, ErrInvalid)
	}
	opts.Concurrency = cmp.Or(opts.Concurrency, max(runtime.GOMAXPROCS(0), 4))
	c := &checkout{store: store, id: id, folder: folder, opts: opts}
	done, err := c.run(ctx)
	if err != nil {
		return done, fmt.Errorf("checkout %s: %w", id, err)
	}
	return done, nil
}

type checkout struct {
	store  Store
	id     ID
	folder *os.Root
	opts   CheckoutOptions
}

func (c *checkout) run(ctx context.Context) (done CheckedOut, err error) {
	files, err := Manifest(ctx, c.store, c.id)
	if err != nil {
		return done, err
	}
	if i := slices.IndexFunc(files, func(f FileInfo) bool { return strings.HasSuffix(f.Path, partial) }); i >= 0 {
		return done, fmt.Errorf("%w: %s ends as files do that are being fetched", ErrInvalid, files[i].Path)
	}
	if c.opts.Delete {
		if done.Deleted, err = c.clear(ctx, files); err != nil {
			return done, err
		}
	}
	fetched := make([]bool, len(files))
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(c.opts.Concurrency)
	for i, f := range files {
		if each.Err() != nil {
			break
		}
		g.Go(func() (err error) {
			fetched[i], err = c.file(each, f)
			return err
		})
	}
	err = cmp.Or(g.Wait(), ctx.Err())
	for i, is := range fetched {
		if is {
			done.Fetched++
			done.Bytes += files[i].Size
		} else {
			done.Unchanged++
		}
	}
	return done, err
}

// file makes one file what it should be, and says whether it had to be fetched.
func (c *checkout) file(ctx context.Context, f FileInfo) (fetched bool, err error) {
	stat, err := c.folder.Lstat(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return false, c.inTheWay(f.Path, err)
	case stat.IsDir():
		return false, fmt.Errorf("%w: %s is a folder, and should be a file", ErrConflict, f.Path)
	case stat.Mode().IsRegular() && stat.Size() == f.Size:
		same, err := c.same(ctx, f)
		if err != nil || same {
			return false, err
		}
	}
	if err := c.folder.MkdirAll(path.Dir(f.Path), 0o777); err != nil {
		return false, c.inTheWay(f.Path, err)
	}
	return true, c.fetch(ctx, f)
}

// inTheWay tells a file in the place of a folder.
func (c *checkout) inTheWay(file string, err error) error {
	for dir := path.Dir(file); dir != "."; dir = path.Dir(dir) {
		if stat, serr := c.folder.Stat(dir); serr == nil && !stat.IsDir() {
			return fmt.Errorf("%w: %s is a file, and should be a folder: %w", ErrConflict, dir, err)
		}
	}
	return err
}

// same says whether a file has the digest that it should have.
func (c *checkout) same(ctx context.Context, f FileInfo) (is bool, err error) {
	d := NewDigest()
	_, err = ReadFile(ctx, c.folder.FS(), f.Path, make([]byte, min(max(f.Size, 512), 1<<20)), func(piece []byte) error {
		_, err := d.Write(piece)
		return err
	})
	if errors.Is(err, ErrConflict) {
		return false, nil // somebody writes it
	}
	return err == nil && d.String() == f.Digest, err
}

// fetch reads a file beside its place, and puts it there when it is whole.
func (c *checkout) fetch(ctx context.Context, f FileInfo) (err error) {
	beside := f.Path + partial
	from, err := c.store.Open(ctx, c.id, f.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := c.folder.OpenFile(beside, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	n, err := io.Copy(to, from)
	if err = errors.Join(err, to.Close()); err == nil && n != f.Size {
		err = fmt.Errorf("%w: %s has %d bytes, not %d", ErrCorrupt, f.Path, n, f.Size)
	}
	if err == nil {
		err = c.folder.Rename(beside, f.Path)
	}
	if err != nil {
		return errors.Join(err, c.folder.Remove(beside))
	}
	return nil
}

// clear removes what a version does not have, the deepest first.
func (c *checkout) clear(ctx context.Context, files []FileInfo) (deleted int, err error) {
	wanted := map[string]bool{".": true} // files, and with a slash their folders
	for _, f := range files {
		wanted[f.Path] = true
		for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
			wanted[dir+"/"] = true
		}
	}
	gone, err := c.stray(ctx, wanted)
	if err != nil {
		return 0, err
	}
	for _, is := range slices.Backward(gone) { // a folder comes before what is in it
		if err := c.folder.Remove(is.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return deleted, err
		}
		if !is.folder && !strings.HasSuffix(is.path, partial) {
			deleted++
		}
	}
	return deleted, nil
}

// A strayFile is what a version does not have.
type strayFile struct {
	path   string
	folder bool
}

func (c *checkout) stray(ctx context.Context, wanted map[string]bool) (gone []strayFile, err error) {
	err = fs.WalkDir(c.folder.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err := cmp.Or(ctx.Err(), err); err != nil {
			return err
		}
		key := name
		if d.IsDir() && name != "." {
			key += "/"
		}
		if !wanted[key] {
			gone = append(gone, strayFile{name, d.IsDir()})
		}
		return nil
	})
	return gone, err
}
