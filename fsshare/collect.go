package fsshare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"
)

// DefaultGrace is how long a [Tree.Collect] leaves what nobody needs.
const DefaultGrace = 10 * time.Minute

// CollectOptions adjusts a [Tree.Collect]. A nil *CollectOptions means the zero
// value.
type CollectOptions struct {
	// Grace is for readers without a pin: how long ago a release was published or
	// fell out of Rollback's reach, by the clocks of this machine and of the share.
	// It has to be longer than such readers run, and than a mount caches names:
	// [DefaultGrace] if zero.
	Grace time.Duration
}

// Collect removes releases that nobody needs, and what publishers that died left,
// and returns what it removed, also with an error. It never removes the current
// release, one that Rollback can reach, or one that is pinned, and it does not wait
// for any of them; of a tree never switched it removes nothing, as what is current
// may have been lost with a copy of the share. A repeat goes on where a crash left off; several at once share
// the work.
func (t Tree) Collect(ctx context.Context, opts *CollectOptions) ([]Release, error) {
	var grace time.Duration
	if opts != nil {
		grace = opts.Grace
	}
	if grace < 0 {
		return nil, wrap("collect", t.Name, fmt.Errorf("%w: a grace of %v", ErrInvalid, grace))
	}
	if err := cmp.Or(t.Validate(), ended(ctx)); err != nil {
		return nil, wrap("collect", t.Name, err)
	}
	removed, err := t.collect(ctx, cmp.Or(grace, DefaultGrace))
	if err != nil {
		return removed, wrap("collect", t.Name, err)
	}
	return removed, nil
}

func (t Tree) collect(ctx context.Context, grace time.Duration) ([]Release, error) {
	dirs, err := fs.ReadDir(t.Share.FS(ctx), t.Name)
	if err != nil {
		return nil, ignoreNotFound(err)
	}
	var removed []Release
	for _, d := range dirs {
		if !d.IsDir() || validateID(d.Name()) != nil {
			continue // a tree below this one, or nothing of ours
		}
		// Looking first spares the releases in use an exclusive lock.
		if needed, err := t.needed(ctx, d.Name(), grace); err != nil {
			return removed, err
		} else if needed {
			continue
		}
		done, err := t.remove(ctx, d.Name(), grace)
		if done {
			removed = append(removed, t.release(d.Name()))
		}
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// needed reports whether a release is in the ring, or too young.
func (t Tree) needed(ctx context.Context, id string, grace time.Duration) (bool, error) {
	ring, err := t.ring(ctx)
	if err != nil || len(ring) == 0 || slices.Contains(ring, id) {
		return true, err
	}
	files := t.Share.FS(ctx)
	for _, name := range []string{"", manifestName, retired} {
		info, err := fs.Stat(files, path.Join(t.dir(id), name))
		if err == nil && time.Since(info.ModTime()) < grace {
			return true, nil
		}
		if ignoreNotFound(err) != nil {
			return true, err
		}
	}
	return false, nil
}

// remove removes a release unless somebody needs it, and reports whether it did.
// The manifest goes first: from then on there is no such release, whatever is left.
func (t Tree) remove(ctx context.Context, id string, grace time.Duration) (done bool, err error) {
	opts := &LockOptions{Try: true, Purpose: "collect"}
	ours := false
	err = Hold(ctx, t.Share, t.releaseLock(id), opts, func(ctx context.Context, _ Lock) error {
		ours = true
		// It may have been switched to, or published again, before the lock was ours.
		if needed, err := t.needed(ctx, id, grace); needed || err != nil {
			return err
		}
		if err := t.Share.Remove(ctx, t.dir(id)+"/"+manifestName); err != nil {
			return err
		}
		done = true
		return RemoveAll(ctx, t.Share, t.dir(id))
	})
	if !ours && errors.Is(err, ErrConflict) {
		return false, nil // somebody needs it
	}
	return done, err
}

// RemoveAll removes a file, or a directory with all that is in it, which need not
// exist. It is no transaction: others see it shrink, and an error leaves a part,
// ErrConflict among others if somebody puts files into it meanwhile. The root is
// ErrInvalid.
func RemoveAll(ctx context.Context, share Share, name string) error {
	if err := validateFile(name); err != nil {
		return wrap("remove all of", name, err)
	}
	var files, dirs []string
	err := fs.WalkDir(share.FS(ctx), name, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return ignoreNotFound(err)
		case d.IsDir():
			dirs = append(dirs, name)
		default:
			files = append(files, name)
		}
		return nil
	})
	if err == nil {
		err = each(ctx, DefaultParallel, files, func(ctx context.Context, name *string) error {
			return share.Remove(ctx, *name)
		})
	}
	for _, dir := range slices.Backward(dirs) { // a directory is walked before what is in it
		if err != nil {
			break
		}
		err = share.Remove(ctx, dir)
	}
	if err != nil {
		return wrap("remove all of", name, err)
	}
	return nil
}

func ignoreNotFound(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
