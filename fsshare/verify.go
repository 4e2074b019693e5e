package fsshare

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Verify reads a release and compares it with its manifest. ErrCorrupt names a file
// that is not as published, is missing, or was added; ErrNotFound says that there
// is no such release. It reads every byte: on a share that moves cold files to
// cheaper storage, that has a price.
func (t Tree) Verify(ctx context.Context, id string) error {
	if err := cmp.Or(t.Validate(), validateID(id)); err != nil {
		return wrap("verify", t.Name, err)
	}
	if err := t.verify(ctx, id); err != nil {
		return wrap("verify", t.Name, err)
	}
	return nil
}

func (t Tree) verify(ctx context.Context, id string) error {
	m, err := t.manifest(ctx, id)
	if err != nil {
		return err
	}
	files, err := fs.Sub(t.Share.FS(ctx), m.Release.Dir)
	if err != nil {
		return err
	}
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreNotFound(err)
		}
		if _, ok := slices.BinarySearchFunc(m.Files, name, func(e Entry, name string) int { return strings.Compare(e.Path, name) }); !ok {
			return fmt.Errorf("%w: %.300q was added after publishing", ErrCorrupt, name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return each(ctx, DefaultParallel, m.Files, func(ctx context.Context, e *Entry) error {
		return verifyFile(ctx, files, e)
	})
}

func verifyFile(ctx context.Context, files fs.FS, e *Entry) error {
	info, err := fs.Stat(files, e.Path)
	if ignoreNotFound(err) != nil {
		return err
	}
	if err != nil {
		return fmt.Errorf("%w: %.300q is missing", ErrCorrupt, e.Path)
	}
	if info.Size() != e.Size || info.Mode() != e.Mode { // not regular, if only the type differs
		return fmt.Errorf("%w: %.300q has %d bytes, %v: published with %d, %v", ErrCorrupt, e.Path, info.Size(), info.Mode(), e.Size, e.Mode)
	}
	_, sum, err := digest(ctx, files, e.Path)
	if err != nil {
		return err
	}
	if sum != e.SHA256 {
		return fmt.Errorf("%w: %.300q has other bytes than those published", ErrCorrupt, e.Path)
	}
	return nil
}
