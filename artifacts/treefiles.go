package artifacts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// A Content reads a file of a [Tree]. ReadAt fills p from offset on, or reads to
// the end of the file if that comes first, and returns only bytes that it has
// verified. Both are within the file. It is safe for concurrent use.
type Content interface {
	ReadAt(ctx context.Context, p []byte, offset int64) (int, error)
}

// A Tree is the files of one version as a Store opens them: it makes directories
// of paths, and files that do what [File] promises of what a backend reads. It is
// safe for concurrent use.
type Tree struct {
	tree    tree
	content func(FileInfo) (Content, error)
}

// NewTree returns a tree of files, whose ModTime is created and whose bytes are
// those that content returns when one is opened. It sorts files by path and keeps
// them. ErrInvalid reports a path that breaks the rules, or that is a file and a
// directory at once.
func NewTree(files []FileInfo, created time.Time, content func(FileInfo) (Content, error)) (*Tree, error) {
	list := make([]leafFile, len(files))
	for i, f := range files {
		list[i] = leafFile{FileInfo: f}
	}
	t, err := newTree(list, created)
	return &Tree{t, content}, err
}

// Open does what [Store.Open] says of one version.
func (t *Tree) Open(ctx context.Context, path string) (File, error) {
	f, err := t.tree.open(ctx, path)
	if err != nil || f.stat.dir {
		return f, err
	}
	if f.content, err = t.content(f.stat.info); err != nil {
		return nil, f.fail("open", err)
	}
	return f, nil
}

// ReadFile reads one of the files of a [Store.Publish] to its end, through buffer,
// and calls each with every piece, which is valid until it returns. It asks ctx
// between reads and returns how many bytes there were. ErrConflict reports a file
// whose size or time changes meanwhile, ErrInvalid one that is not regular. A
// buffer without a byte is ErrInvalid.
func ReadFile(ctx context.Context, files fs.FS, path string, buffer []byte, each func([]byte) error) (n int64, err error) {
	f, err := files.Open(path)
	if err != nil {
		return 0, vanished(path, err)
	}
	defer func() {
		if cerr := f.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("%s: %w", path, cerr)
		}
	}()
	before, err := f.Stat()
	if err != nil {
		return 0, vanished(path, err)
	}
	if !before.Mode().IsRegular() || len(buffer) == 0 {
		return 0, fmt.Errorf("%w: %s is not a regular file: %s, or the buffer of %d bytes is empty", ErrInvalid, path, before.Mode().Type(), len(buffer))
	}
	if n, err = readPieces(ctx, f, before.Size(), buffer, each); err != nil {
		return n, fmt.Errorf("%s: %w", path, err)
	}
	after, err := f.Stat()
	if err != nil {
		return n, vanished(path, err)
	}
	known := before.Size() >= 0
	if known && (n != before.Size() || after.Size() != before.Size()) || !after.ModTime().Equal(before.ModTime()) {
		return n, fmt.Errorf("%s: %w: it changed while it was read: %d bytes, and %d said at first", path, ErrConflict, n, before.Size())
	}
	return n, nil
}

func readPieces(ctx context.Context, r io.Reader, size int64, buffer []byte, each func([]byte) error) (total int64, err error) {
	for empty := 0; empty <= 100; empty++ {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		n, err := r.Read(buffer)
		total += int64(n)
		if err := credible(n, len(buffer), total, size); err != nil {
			return total, err
		}
		if n > 0 {
			empty = 0
			if err := each(buffer[:n]); err != nil {
				return total, err
			}
		}
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
	return total, io.ErrNoProgress
}

// credible reports a read that cannot be, or that goes past the size of the file.
func credible(n, asked int, total, size int64) error {
	if n < 0 || n > asked {
		return fmt.Errorf("%w: a read of %d bytes returned %d", ErrInvalid, asked, n)
	}
	if size >= 0 && total > size {
		return fmt.Errorf("%w: it grew past %d bytes while it was read", ErrConflict, size)
	}
	return nil
}
