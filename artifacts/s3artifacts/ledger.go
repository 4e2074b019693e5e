package s3artifacts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/genaistore/genaistore/artifacts"
)

const (
	snapshotEvery = 64
	readAhead     = 16 // records that are read at a time where many are new
	maxNames      = 4096
)

// A ledger is what a process knows of a name.
type ledger struct {
	name artifacts.Name
	base string

	mu      sync.Mutex
	fold    *fold // nil before it was read
	checked time.Time
	hinted  bool // the fold is that of a hint: nobody looked whether there is a newer record
	index   *index
	trees   map[treeKey]*artifacts.Tree
}

// A treeKey is a version, and the digest of its list of files: its files may move.
type treeKey struct {
	version int64
	list    string
}

// ledger returns that of a name. It forgets others where there are very many.
func (s *Store) ledger(name artifacts.Name) *ledger {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.names[name]
	if l == nil {
		for other := range s.names {
			if len(s.names) < maxNames {
				break
			}
			delete(s.names, other)
		}
		l = &ledger{name: name, base: s.base(name)}
		s.names[name] = l
	}
	return l
}

// look calls do with the fold, which nobody changes meanwhile. It must not wait.
func (l *ledger) look(do func(f *fold) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fold.remark(time.Now())
	return do(l.fold)
}

// seq returns the newest record that was read, or -1 before anything was.
func (l *ledger) seq() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fold == nil {
		return -1
	}
	return l.fold.log.Last().Seq
}

// take adds what was read, if nobody else has meanwhile.
func (l *ledger) take(e *entry, condemned []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Record.Seq != l.fold.log.Last().Seq+1 {
		return nil
	}
	return l.fold.add(e, condemned)
}

// fresh returns the ledger of a name as its log is now.
func (s *Store) current(ctx context.Context, name artifacts.Name) (*ledger, error) {
	l := s.ledger(name)
	return l, s.refresh(ctx, l)
}

// hinted returns the ledger of a name as its hint has it, where the process knows
// nothing of it yet. Whoever commits to it finds out what is newer by that.
func (s *Store) hinted(ctx context.Context, name artifacts.Name) (*ledger, error) {
	l := s.ledger(name)
	if l.seq() < 0 {
		if err := s.begin(ctx, l); err != nil || l.isHint() {
			return l, err
		}
	}
	return l, s.refresh(ctx, l)
}

func (l *ledger) isHint() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hinted
}

// recent is current, but for what MaxStale allows.
func (s *Store) recent(ctx context.Context, name artifacts.Name) (*ledger, error) {
	l := s.ledger(name)
	if s.opts.MaxStale > 0 {
		l.mu.Lock()
		young := l.fold != nil && time.Since(l.checked) <= s.opts.MaxStale
		l.mu.Unlock()
		if young {
			return l, nil
		}
	}
	return l, s.refresh(ctx, l)
}

// refresh reads the log from where the ledger is to its end.
func (s *Store) refresh(ctx context.Context, l *ledger) error {
	began := time.Now()
	seq := l.seq()
	if seq < 0 {
		if err := s.begin(ctx, l); err != nil {
			return err
		}
	}
	for n := 0; ; n++ {
		// Where many are new they are read several at a time, the more the longer.
		end, err := s.follow(ctx, l, min(1<<max(min(n, 10)-1, 0), readAhead))
		if err != nil {
			return err
		}
		if end {
			break
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hinted = false
	if began.After(l.checked) {
		l.checked = began
	}
	return nil
}

// follow reads the next n records, and says whether it found the end.
func (s *Store) follow(ctx context.Context, l *ledger, n int) (end bool, err error) {
	next := l.seq() + 1
	entries, err := s.entries(ctx, l, next, n)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		if e.entry == nil {
			return true, nil
		}
		if err := l.take(e.entry, e.condemned); err != nil {
			return false, err
		}
	}
	return false, nil
}

// A reading is an entry with the keys that it condemns.
type reading struct {
	*entry
	condemned []string
}

// entries reads n records from seq on; what is not there is left nil.
func (s *Store) entries(ctx context.Context, l *ledger, seq int64, n int) ([]reading, error) {
	out := make([]reading, n)
	if n == 1 {
		var err error
		out[0], err = s.entry(ctx, l, seq)
		return out, err
	}
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(readAhead)
	for i := range n {
		g.Go(func() (err error) {
			out[i], err = s.entry(each, l, seq+int64(i))
			return err
		})
	}
	return out, cmp.Or(ctx.Err(), g.Wait())
}

// entry reads one record, which is nil if there is none.
func (s *Store) entry(ctx context.Context, l *ledger, seq int64) (reading, error) {
	got, err := s.get(ctx, l.base+logKey(seq), "", span{})
	switch {
	case errors.Is(err, artifacts.ErrNotFound) && !isNoBucket(err):
		return reading{}, nil
	case err != nil:
		return reading{}, explained(err)
	}
	e, err := decodeEntry(got.data)
	if err != nil {
		return reading{}, fmt.Errorf("%s: %w", l.base+logKey(seq), err)
	}
	if e.Record.Seq != seq || e.Version != nil && e.Version.ID.Name != l.name {
		return reading{}, fmt.Errorf("%s: %w: it is record %d of another place", l.base+logKey(seq), artifacts.ErrCorrupt, e.Record.Seq)
	}
	if e.Condemn == nil {
		return reading{entry: e}, nil
	}
	text, err := s.text(ctx, l, e.Condemn)
	return reading{e, keys(text)}, err
}

// explained says what a denied read most often is.
func explained(err error) error {
	if errors.Is(err, artifacts.ErrDenied) {
		return fmt.Errorf("%w (without s3:ListBucket an object that is not there is denied too)", err)
	}
	return err
}

// text returns what a list says, from its record or its object, verified.
func (s *Store) text(ctx context.Context, l *ledger, at *list) ([]byte, error) {
	text := []byte(at.Text)
	if at.Key != "" {
		got, err := s.get(ctx, l.base+at.Key, at.Version, span{})
		if errors.Is(err, artifacts.ErrNotFound) {
			return nil, fmt.Errorf("%w: a record needs it: %w", artifacts.ErrCorrupt, err)
		}
		if err != nil {
			return nil, err
		}
		text = got.data
	}
	if contentSum(text) != at.Digest {
		return nil, fmt.Errorf("%s: %w: its digest is not %s", l.base+at.Key, artifacts.ErrCorrupt, at.Digest)
	}
	return text, nil
}

// begin finds a fold to begin with: in the hint, in the snapshot before it, in
// the newest snapshot there is, or before the first record.
func (s *Store) begin(ctx context.Context, l *ledger) error {
	seq, f, err := s.folded(ctx, l, headKey)
	if err != nil {
		return err
	}
	hinted := f != nil
	if f == nil && seq >= s.every {
		if _, f, err = s.folded(ctx, l, snapKey(seq-seq%s.every)); err != nil {
			return err
		}
	}
	if f == nil {
		if f, err = s.newestSnapshot(ctx, l); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fold == nil {
		l.fold, l.hinted = f, hinted
	}
	return nil
}

// newestSnapshot finds a snapshot in a number of requests that grows with the
// logarithm of the log. Where some were not written it may find an older one.
func (s *Store) newestSnapshot(ctx context.Context, l *ledger) (*fold, error) {
	best := newFold()
	low, high := int64(0), int64(0) // in snapshots: low is there, high is not
	for step := int64(1); high == 0 || high-low > 1; {
		try := low + step
		if high != 0 {
			try = (low + high) / 2
		}
		_, f, err := s.folded(ctx, l, snapKey(try*s.every))
		switch {
		case err != nil:
			return nil, err
		case f == nil:
			high = try
		default:
			best, low, step = f, try, 2*step
		}
	}
	return best, nil
}

// folded reads a fold. What is not there, broken or of another release is nil: it
// says nothing that the log does not say.
func (s *Store) folded(ctx context.Context, l *ledger, key string) (int64, *fold, error) {
	got, err := s.get(ctx, l.base+key, "", span{})
	switch {
	case errors.Is(err, artifacts.ErrNotFound) && !isNoBucket(err):
		return 0, nil, nil
	case err != nil:
		return 0, nil, explained(err)
	}
	seq, f, err := unseal(got.data, l.name)
	if err != nil {
		return 0, nil, nil //nolint:nilerr // it is a cache
	}
	return seq, f, nil
}

// lost returns which keys were condemned after a record. What was condemned and
// swept since, a fold has forgotten: then known is false.
func (f *fold) lost(since int64, keys []string) (lost []string, known bool) {
	if len(f.condemned) > 0 {
		for _, key := range keys {
			if f.condemned[key] > since {
				lost = append(lost, key)
			}
		}
	}
	return lost, max(f.forgotten, f.cooled) <= since
}

// archived returns the keys that a record condemns, or gives to an archive.
func (s *Store) archived(ctx context.Context, l *ledger, e reading) ([]string, error) {
	if e.entry == nil || e.Archive == nil {
		return e.condemned, nil
	}
	text, err := s.text(ctx, l, e.Archive)
	return keys(text), err
}

// lost is that of the fold, with the records whose keys it has forgotten.
func (s *Store) lost(ctx context.Context, l *ledger, since int64, keys []string) ([]string, error) {
	var (
		lost      []string
		forgotten int64
	)
	_ = l.look(func(f *fold) error {
		lost, _ = f.lost(since, keys)
		forgotten = max(f.forgotten, f.cooled)
		return nil
	})
	for seq := since + 1; seq <= forgotten; seq += readAhead {
		gone, err := s.givenUp(ctx, l, seq, int(min(readAhead, forgotten-seq+1)))
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			if gone[key] && !slices.Contains(lost, key) {
				lost = append(lost, key)
			}
		}
	}
	return lost, nil
}

// givenUp returns the keys that n records from seq on condemn or archive.
func (s *Store) givenUp(ctx context.Context, l *ledger, seq int64, n int) (map[string]bool, error) {
	entries, err := s.entries(ctx, l, seq, n)
	if err != nil {
		return nil, err
	}
	gone := map[string]bool{}
	for _, e := range entries {
		given, err := s.archived(ctx, l, e)
		if err != nil {
			return nil, err
		}
		for _, key := range given {
			gone[key] = true
		}
	}
	return gone, nil
}
