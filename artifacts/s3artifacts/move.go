package s3artifacts

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/genaistore/genaistore/artifacts"
)

// A moving is files of versions on their way to other objects, which are copies.
type moving struct {
	*Store
	ledger *ledger
	moves  func(file) bool
	// leave, where it is set, changes the place of a file after it is copied.
	leave func(file) *blob

	base   int64 // the newest record before the first copy was made
	mu     sync.Mutex
	copied map[string]*blob // by digest
	count  int              // of copies
}

func (s *Store) moving(l *ledger, moves func(file) bool) *moving {
	return &moving{Store: s, ledger: l, moves: moves, base: l.seq(), copied: map[string]*blob{}}
}

// errMoved says that somebody else moved a version meanwhile.
var errMoved = errors.New("moved")

// move copies files of a version, and commits that they are the version's. A
// collector that condemned a copy before that has it made again.
func (m *moving) move(ctx context.Context, version int64) error {
	for range maxUnclear {
		before := m.digest(version)
		files, err := m.files(ctx, m.ledger, version)
		if err != nil {
			return err
		}
		next, err := m.copyAll(ctx, files)
		if err != nil {
			return err
		}
		at, err := m.put(ctx, next)
		if err != nil {
			return err
		}
		err = m.commitTo(ctx, version, before, at, next)
		if lost, is := errors.AsType[*lostError](err); is {
			m.forget(lost.keys)
			continue
		}
		if !errors.Is(err, errMoved) {
			return err
		}
		if err := m.refresh(ctx, m.ledger); err != nil {
			return err
		}
	}
	return fmt.Errorf("version %d: %w: others move it at the same time", version, artifacts.ErrConflict)
}

// digest is that of the list of files of a version, as it is now.
func (m *moving) digest(version int64) (digest string) {
	_ = m.ledger.look(func(f *fold) error {
		if at := f.manifests[version]; at != nil {
			digest = at.Digest
		}
		return nil
	})
	return digest
}

func (m *moving) forget(keys []string) {
	maps.DeleteFunc(m.copied, func(_ string, b *blob) bool { return slices.Contains(keys, b.Key) })
}

// copyAll returns files of which some are copies.
func (m *moving) copyAll(ctx context.Context, files []file) ([]file, error) {
	out := slices.Clone(files)
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(m.opts.Concurrency)
	due := map[string]file{}
	for _, f := range files {
		if m.moves(f) && m.copied[f.Digest] == nil {
			due[f.Digest] = f
		}
	}
	for _, f := range due {
		g.Go(func() error {
			b, err := m.copy(each, f)
			m.mu.Lock()
			defer m.mu.Unlock()
			if err == nil {
				m.copied[f.Digest] = b
				m.count++
			}
			return err
		})
	}
	if err := cmp.Or(ctx.Err(), g.Wait()); err != nil {
		return nil, err
	}
	for i, f := range files {
		if m.moves(f) {
			out[i].blob = m.copied[f.Digest]
		}
		if m.leave != nil {
			out[i].blob = m.leave(out[i])
		}
	}
	return out, nil
}

// copy has S3 copy a file to a new object in the home bucket.
func (m *moving) copy(ctx context.Context, f file) (*blob, error) {
	b := *f.blob
	b.Key, b.Version, b.From = m.blobKey(f.Digest), "", ""
	c := &copying{class: m.opts.Class, mirror: &mirror{Store: m.Store, bucket: m.bucket}, from: m.place(m.ledger, f.blob), file: f, key: m.ledger.base + b.Key}
	var err error
	_, b.Version, err = c.copy(ctx)
	return &b, err
}

// put puts a list of files where a record finds it, always in an object of its own.
func (m *moving) put(ctx context.Context, files []file) (*list, error) {
	data, err := encodeFiles(files)
	if err != nil {
		return nil, err
	}
	at := &list{Digest: contentSum(data), Size: int64(len(data)), Key: m.fresh("m", contentSum(data)), Hot: unsettled(files)}
	at.Version, err = m.Store.put(ctx, m.ledger.base+at.Key, data, nil)
	return at, err
}

// commitTo commits that a version has these files, unless it has others than those
// that were copied, or a copy was condemned.
func (m *moving) commitTo(ctx context.Context, version int64, before string, at *list, files []file) error {
	needed := append(blobKeys(files), at.Key)
	checked := int64(-1)
	for {
		_, err := m.commit(ctx, m.ledger, func(f *fold) (*entry, error) {
			err := m.allowed(f, version, before)
			if err == nil && f.log.Last().Seq != checked {
				err = m.usable(f, needed)
			}
			if err != nil {
				return nil, err
			}
			r, err := f.own(m.record(rand.Text(), nil))
			return &entry{Record: r, Moved: map[int64]*list{version: at}}, err
		})
		if err == nil {
			m.lists.keep(at.Digest, files)
		}
		if !errors.Is(err, errUnchecked) {
			return err
		}
		checked = m.ledger.seq()
		if err := m.lasting(ctx, needed); err != nil {
			return err
		}
	}
}

// lasting does what usable does, with what can be read.
func (m *moving) lasting(ctx context.Context, needed []string) error {
	lost, err := m.lost(ctx, m.ledger, m.base, needed)
	if len(lost) > 0 {
		err = &lostError{lost}
	}
	return err
}

// allowed reports that a version is not there any more, or not where it was.
func (*moving) allowed(f *fold, version int64, before string) error {
	switch now := f.manifests[version]; {
	case now == nil:
		return fmt.Errorf("version %d was deleted: %w", version, artifacts.ErrNotFound)
	case now.Digest != before:
		return errMoved
	}
	return nil
}

// usable does for copies what that of a publishing does.
func (m *moving) usable(f *fold, needed []string) error {
	lost, known := f.lost(m.base, needed)
	if len(lost) > 0 {
		return &lostError{lost}
	}
	if !known {
		return errUnchecked
	}
	return nil
}
