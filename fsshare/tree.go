package fsshare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"
)

// Limits of a [Tree].
const (
	MaxTree     = 128 // bytes in a tree's name
	MaxKeep     = 12  // earlier releases: with the current one, as many as a Commit holds
	DefaultKeep = 4
)

// A Tree is a directory that is released as a whole: code, configuration, an
// environment, weights. A release is immutable and named for its content; which
// one is current is committed under a lock of the tree, so that a publisher that
// froze cannot bring back the past.
//
//	NAME/ID/files/…   the files of a release
//	NAME/ID/MANIFEST  what they are; written last, its SHA-256 is the ID
//	NAME/ID/RETIRED   its time says since when Rollback reaches the release no more
//	lock tree/NAME        commits the current release and those before it
//	lock release/NAME/ID  shared by who needs the release, exclusive for who removes it
//
// The methods need nothing but a [Share], so they work on every one, and on
// several machines at once. The locks named above belong to them.
type Tree struct {
	Share Share
	Name  string // the directory, by [ValidateName]; at most [MaxTree] bytes
	// Keep is how many releases before the current one Rollback can reach and
	// Collect leaves: [DefaultKeep] if zero, at most [MaxKeep].
	Keep int
}

// A Release is one immutable state of a [Tree].
type Release struct {
	ID  string // SHA-256 of its manifest, in hexadecimal
	Dir string // holds its files: fs.Sub(share.FS(ctx), r.Dir)
}

// Validate reports an error that matches [ErrInvalid] unless t is well formed.
func (t Tree) Validate() error {
	if t.Share == nil {
		return fmt.Errorf("%w: the tree has no share", ErrInvalid)
	}
	if t.Keep < 0 || t.Keep > MaxKeep {
		return fmt.Errorf("%w: a tree that keeps %d releases: at most %d", ErrInvalid, t.Keep, MaxKeep)
	}
	if len(t.Name) > MaxTree {
		return fmt.Errorf("%w: a tree's name of %d bytes: at most %d", ErrInvalid, len(t.Name), MaxTree)
	}
	for e := range strings.SplitSeq(t.Name, "/") {
		if validateID(e) == nil { // it would be a release of the tree above
			return fmt.Errorf("%w: the tree's name has the form of a release's", ErrInvalid)
		}
	}
	return validateFile(t.Name)
}

// Current returns the release that was switched to last, or ErrNotFound.
func (t Tree) Current(ctx context.Context) (Release, error) {
	ring, err := t.Releases(ctx)
	if err != nil {
		return Release{}, err
	}
	if len(ring) == 0 {
		return Release{}, wrap("current release of", t.Name, fmt.Errorf("%w: none was switched to", ErrNotFound))
	}
	return ring[0], nil
}

// Releases returns the current release, then those that [Tree.Rollback] can reach,
// newest first. A tree never switched has none.
func (t Tree) Releases(ctx context.Context) ([]Release, error) {
	if err := t.Validate(); err != nil {
		return nil, wrap("releases of", t.Name, err)
	}
	ring, err := t.ring(ctx)
	if err != nil {
		return nil, wrap("releases of", t.Name, err)
	}
	releases := make([]Release, 0, len(ring))
	for _, id := range ring {
		releases = append(releases, t.release(id))
	}
	return releases, nil
}

// Switch makes a published release current. It waits in turn for the tree's lock.
// The error matches ErrNotFound if there is no such release, perhaps because it
// was collected: publish it again. After ErrLost it is current or it is not;
// a repeat is safe, and does nothing if it is.
func (t Tree) Switch(ctx context.Context, id string) error {
	if err := cmp.Or(t.Validate(), validateID(id)); err != nil {
		return wrap("switch", t.Name, err)
	}
	err := t.move(ctx, "switch to "+id, func(_ context.Context, ring []string) ([]string, error) {
		if len(ring) > 0 && ring[0] == id {
			return ring, nil
		}
		ring = slices.DeleteFunc(ring, func(r string) bool { return r == id })
		return slices.Insert(ring, 0, id), nil
	})
	if err != nil {
		return wrap("switch", t.Name, err)
	}
	return nil
}

// Rollback leaves the release bad, which is forgotten, for the newest before it
// that is still there, which it returns. A second Rollback goes further back, never
// to and fro. It is ErrConflict if bad is not current, perhaps because another
// rolled back first; ErrNotFound if nothing is left to go back to.
func (t Tree) Rollback(ctx context.Context, bad string) (Release, error) {
	if err := cmp.Or(t.Validate(), validateID(bad)); err != nil {
		return Release{}, wrap("roll back", t.Name, err)
	}
	var to string
	err := t.move(ctx, "roll back from "+bad, func(ctx context.Context, ring []string) ([]string, error) {
		if len(ring) == 0 || ring[0] != bad {
			return nil, fmt.Errorf("%w: %s is not current", ErrConflict, bad)
		}
		for ring = ring[1:]; len(ring) > 0; ring = ring[1:] {
			err := t.published(ctx, ring[0])
			if err == nil {
				to = ring[0]
				return ring, nil
			}
			if !errors.Is(err, ErrNotFound) {
				return nil, err
			}
		}
		return nil, fmt.Errorf("%w: no release before %s", ErrNotFound, bad)
	})
	if err != nil {
		return Release{}, wrap("roll back", t.Name, err)
	}
	return t.release(to), nil
}

// move commits what next makes of the ring, under the tree's lock.
//
// A reader sees the ring before the commit or the one after it. Before it, a crash
// leaves at most times of retirement, which only make Collect wait. The new head is
// held in shared mode, so that Collect cannot be removing it; once committed it is
// in the ring, where Collect looks again after it has its lock.
func (t Tree) move(ctx context.Context, purpose string, next func(context.Context, []string) ([]string, error)) error {
	opts := &LockOptions{Purpose: purpose}
	return Hold(ctx, t.Share, t.lock(), opts, func(ctx context.Context, lock Lock) error {
		now, err := t.ring(ctx)
		if err != nil {
			return err
		}
		then, err := next(ctx, slices.Clone(now))
		if err != nil || slices.Equal(now, then) {
			return err
		}
		then = then[:min(len(then), 1+cmp.Or(t.Keep, DefaultKeep))]
		opts := &LockOptions{Shared: true, Purpose: purpose}
		return Hold(ctx, t.Share, t.releaseLock(then[0]), opts, func(ctx context.Context, _ Lock) error {
			return t.commit(ctx, lock, now, then)
		})
	})
}

func (t Tree) commit(ctx context.Context, lock Lock, now, then []string) error {
	if err := t.published(ctx, then[0]); err != nil {
		return err
	}
	for _, id := range now {
		if slices.Contains(then, id) {
			continue
		}
		_, err := t.Share.WriteFile(ctx, t.dir(id)+"/"+retired, strings.NewReader(""), &WriteOptions{Under: lock})
		if err != nil {
			return err
		}
	}
	return lock.Commit(ctx, encodeRing(then))
}

// Watch yields the current release, then each that becomes current; see
// [Share.Watch]. It yields nothing for as long as there is none.
func (t Tree) Watch(ctx context.Context, opts *WatchOptions) iter.Seq2[Release, error] {
	return func(yield func(Release, error) bool) {
		if err := t.Validate(); err != nil {
			yield(Release{}, wrap("watch tree", t.Name, err))
			return
		}
		if err := t.follow(ctx, opts, yield); err != nil {
			yield(Release{}, wrap("watch tree", t.Name, err))
		}
	}
}

// follow returns nil when the loop has ended itself.
func (t Tree) follow(ctx context.Context, opts *WatchOptions, yield func(Release, error) bool) error {
	last := ""
	for event, err := range t.Share.Watch(ctx, Target{Lock: t.lock()}, opts) {
		if err != nil {
			return err
		}
		ring, err := decodeRing(event.Status.Data)
		if err != nil {
			return err
		}
		if len(ring) == 0 || ring[0] == last {
			continue
		}
		if last = ring[0]; !yield(t.release(last), nil) {
			return nil
		}
	}
	return nil
}

// A Pin keeps a release from being collected until Close, or until it is lost.
type Pin struct {
	Release Release
	lock    Lock
}

// PinOptions adjusts a [Tree.Pin]. A nil *PinOptions means the zero value.
type PinOptions struct {
	ID      string // the current release if empty
	Purpose string // for people who ask; at most [MaxPurpose] bytes
}

// Pin holds a release until Close. It is ErrNotFound if there is none. On Amazon
// EFS a release can be pinned 512 times at once: pin once a process, or a node.
func (t Tree) Pin(ctx context.Context, opts *PinOptions) (*Pin, error) {
	var o PinOptions
	if opts != nil {
		o = *opts
	}
	if err := t.Validate(); err != nil {
		return nil, wrap("pin", t.Name, err)
	}
	pin, err := t.pinCurrent, error(nil)
	if o.ID != "" {
		pin, err = t.pinID, validateID(o.ID)
	}
	if err != nil {
		return nil, wrap("pin", t.Name, err)
	}
	held, err := pin(ctx, o)
	if err != nil {
		return nil, wrap("pin", t.Name, err)
	}
	return held, nil
}

func (t Tree) pinID(ctx context.Context, o PinOptions) (*Pin, error) {
	lock, err := t.Share.Lock(ctx, t.releaseLock(o.ID), &LockOptions{Shared: true, Purpose: o.Purpose})
	if err != nil {
		return nil, err
	}
	if err := t.published(ctx, o.ID); err != nil {
		return nil, cmp.Or(err, lock.Unlock())
	}
	return &Pin{t.release(o.ID), lock}, nil
}

// pinCurrent tries again where the current release was replaced before it was
// pinned: it may have been collected.
func (t Tree) pinCurrent(ctx context.Context, o PinOptions) (*Pin, error) {
	for {
		now, err := t.Current(ctx)
		if err != nil {
			return nil, err
		}
		pin, err := t.pinID(ctx, PinOptions{now.ID, o.Purpose})
		if err == nil {
			return pin, nil
		}
		again, cerr := t.Current(ctx)
		if cerr != nil || again == now {
			return nil, err
		}
	}
}

// Context is a child of the one given to Pin, ended by Close and when the pin is
// lost, with ErrLost as its cause: then the release may be removed.
func (p *Pin) Context() context.Context { return p.lock.Context() }

// Close gives the pin back. It returns ErrLost if it was lost; a second call
// returns nil.
func (p *Pin) Close() error { return p.lock.Unlock() }

// published returns ErrNotFound unless the release is complete.
func (t Tree) published(ctx context.Context, id string) error {
	if _, err := fs.Stat(t.Share.FS(ctx), t.dir(id)+"/"+manifestName); err != nil {
		return fmt.Errorf("release %s: %w", id, err)
	}
	return nil
}

// ring returns the ids of the current release and those before it.
func (t Tree) ring(ctx context.Context) ([]string, error) {
	status, err := t.Share.Inspect(ctx, t.lock())
	if err != nil {
		return nil, err
	}
	return decodeRing(status.Data)
}

func (t Tree) lock() string                 { return "tree/" + t.Name }
func (t Tree) releaseLock(id string) string { return "release/" + t.Name + "/" + id }
func (t Tree) dir(id string) string         { return t.Name + "/" + id }
func (t Tree) release(id string) Release    { return Release{id, t.dir(id) + "/" + filesDir} }
