package fsshare

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sync/errgroup"
)

// DefaultParallel is how many files a [Tree] reads, writes or removes at a time.
const DefaultParallel = 16

// PublishOptions adjusts a [Tree.Publish]. A nil *PublishOptions means the zero
// value.
type PublishOptions struct {
	Parallel int // files at a time; [DefaultParallel] if zero
}

// Publish writes a release of files, which it reads twice: to name the release by
// their content, and to write it unless it is there already. It keeps paths,
// permissions (0o644 for none) and bytes; what is neither a regular file nor a
// directory is ErrInvalid, empty directories are left out. It makes nothing
// current: see [Tree.Switch].
//
// After an error a repeat is safe, as are two at once. ErrConflict says that files
// changed meanwhile; ErrLost that the release may have been collected meanwhile.
func (t Tree) Publish(ctx context.Context, files fs.FS, opts *PublishOptions) (Release, error) {
	var o PublishOptions
	if opts != nil {
		o = *opts
	}
	if files == nil || o.Parallel < 0 {
		return Release{}, wrap("publish", t.Name, fmt.Errorf("%w: files and a Parallel of at least 0 are needed", ErrInvalid))
	}
	if err := cmp.Or(t.Validate(), ended(ctx)); err != nil {
		return Release{}, wrap("publish", t.Name, err)
	}
	r, err := t.publish(ctx, files, cmp.Or(o.Parallel, DefaultParallel))
	if err != nil {
		return Release{}, wrap("publish", t.Name, err)
	}
	return r, nil
}

// publish writes the files, then the manifest. What a reader sees, also for good if
// the publisher dies there:
//
//	after each file: no release; Switch and Pin are ErrNotFound. A repeat writes
//	  the same names with the same bytes; without one, Collect removes them.
//	after the manifest: a release that is not current, complete and immutable.
//	after Switch's commit: the current release.
//
// The release's lock in shared mode keeps Collect away until the manifest is there.
func (t Tree) publish(ctx context.Context, files fs.FS, parallel int) (Release, error) {
	anyID := strings.Repeat("0", 2*sha256.Size) // all are of one length
	entries, err := describe(ctx, files, t.release(anyID).Dir, parallel)
	if err != nil {
		return Release{}, err
	}
	manifest, err := encodeManifest(entries)
	if err != nil {
		return Release{}, err
	}
	r := t.release(idOf(manifest))
	name := t.dir(r.ID) + "/" + manifestName
	opts := &LockOptions{Shared: true, Purpose: "publish"}
	return r, Hold(ctx, t.Share, t.releaseLock(r.ID), opts, func(ctx context.Context, lock Lock) error {
		there, err := fs.ReadFile(t.Share.FS(ctx), name)
		if ignoreNotFound(err) != nil || err == nil && idOf(there) == r.ID {
			return err
		}
		err = each(ctx, parallel, entries, func(ctx context.Context, e *Entry) error {
			return t.copy(ctx, files, r, e)
		})
		if err != nil {
			return err
		}
		_, err = t.Share.WriteFile(ctx, name, bytes.NewReader(manifest), &WriteOptions{Under: lock})
		return err
	})
}

func (t Tree) copy(ctx context.Context, files fs.FS, r Release, e *Entry) (err error) {
	f, err := files.Open(e.Path)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, f.Close()) }()
	info, err := t.Share.WriteFile(ctx, path.Join(r.Dir, e.Path), f, &WriteOptions{Mode: e.Mode})
	if err != nil {
		return err
	}
	if info.SHA256 != e.SHA256 {
		return fmt.Errorf("%w: %.300q changed while it was published", ErrConflict, e.Path)
	}
	return nil
}

// each calls do for every element, at most parallel at a time, until one fails.
func each[E any](ctx context.Context, parallel int, list []E, do func(context.Context, *E) error) error {
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i := range list {
		if inner.Err() != nil {
			break
		}
		g.Go(func() error { return do(inner, &list[i]) })
	}
	return cmp.Or(g.Wait(), ended(ctx))
}
