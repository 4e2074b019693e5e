package memorytest

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/genaistore/genaistore/memory"
)

// A sea is what the caches and replicas of one store have seen, and how far its
// index has come.
type sea struct {
	mu       sync.Mutex
	issues   uint64
	issued   map[memory.Bookmark]uint64 // which of the issues was the last of each
	images   map[memory.Key][]image     // in the order of their asOf
	drops    map[memory.Key]uint64
	requests map[requestKey]memo
	unseen   []unseen // by the index, in the order in which it happened
}

func newSea() *sea {
	return &sea{issued: map[memory.Bookmark]uint64{}, images: map[memory.Key][]image{}, drops: map[memory.Key]uint64{}, requests: map[requestKey]memo{}}
}

// An image is what a cache or a replica has of a key: everything that the
// bookmarks up to asOf prove, for they were issued before it was read, and nothing
// that came after until.
type image struct {
	store  memory.Store // that read it: another one has not seen it, and would append below
	asOf   uint64
	until  uint64
	absent bool
	window memory.Window // with all records, notes and states
}

// maxImages is how many of one key are kept: the newest.
const maxImages = 8

// A sight is the moment at which a read begins.
type sight struct{ asOf, drops uint64 }

// issue notes that b was returned. One that is returned again may prove more: in a
// store whose bookmark is its last id, a record that came in below.
func (s *sea) issue(b memory.Bookmark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b != "" {
		s.issues++
		s.issued[b] = s.issues
	}
}

// seen says when b was issued last. It does not know bookmarks of other stores, nor
// those whose write lost its answer.
func (s *sea) seen(b memory.Bookmark) (uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.issued[b]
	return at, ok
}

func (s *sea) look(key memory.Key) sight {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.issues++ // so that no two images are of one moment
	return sight{s.issues, s.drops[key]}
}

// keep takes an image that was read from what was there at the moment at.
func (s *sea) keep(key memory.Key, at sight, im image) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drops[key] != at.drops {
		return // it may show what was deleted meanwhile
	}
	im.asOf, im.until = at.asOf, s.issues
	images := append(s.images[key], im)
	slices.SortFunc(images, func(a, b image) int { return cmp.Compare(a.asOf, b.asOf) })
	if len(images) > maxImages {
		// One that was read at the same time may have less, and not stand in for it.
		gone := images[0].until
		images = slices.DeleteFunc(images, func(im image) bool { return im.asOf <= gone })
	}
	s.images[key] = images
}

func (s *sea) drop(key memory.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.images, key)
	s.drops[key]++
}

// find returns the image of store's that has seen a bookmark and as little more as
// there is.
func (s *sea) find(key memory.Key, bookmark uint64, store memory.Store) (image, bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, im := range s.images[key] {
		end := im.window.Head.Expires
		if im.asOf >= bookmark && same(im.store, store) && (end.IsZero() || now.Before(end)) {
			if b := im.window.Bookmark; b != "" {
				s.issued[b] = max(s.issued[b], im.asOf) // it proves this image now
			}
			return im, true
		}
	}
	return image{}, false
}

// same says whether two are one Store.
func same(a, b memory.Store) bool {
	return reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}

// picture makes an image of what is there now, if the schedule says so. One that
// cannot be made is none.
func (s *Weathered) picture(ctx context.Context, key memory.Key, c call) {
	if !c.remember {
		return
	}
	at := s.sea.look(key)
	w, err := s.store.Open(ctx, key, &memory.WindowOptions{Last: math.MaxInt, Verbatim: true, Scopes: memory.AllStates, Notes: true})
	if err == nil && !w.Earlier {
		s.sea.keep(key, at, image{store: s.store, window: w})
	}
}

// open answers from the image as a store would.
func (im image) open(opts memory.WindowOptions) (memory.Window, error) {
	w := im.window
	w.Head.Labels = maps.Clone(w.Head.Labels)
	var err error
	if w.States, err = scoped(w, opts.Scopes); err != nil || w.Key.Session == "" {
		return w, err
	}
	records := w.Records[max(0, len(w.Records)-max(0, opts.Last)):]
	var before *memory.Record
	if low := len(w.Records) - len(records); low > 0 {
		before = &w.Records[low-1]
	}
	from, split := opts.Cut(records, w.Gist.Tokens, before)
	w.Earlier, w.Split, w.Records = before != nil || from > 0, split, slices.Clone(records[from:])
	for i, r := range w.Records {
		if w.Records[i].Entry, err = r.Normal(); err != nil {
			return memory.Window{}, err
		}
		w.Records[i].Notes = memory.Notes{}
		if opts.Notes {
			w.Records[i].Notes = copyNotes(r.Notes)
		}
	}
	w.Orphans = memory.FindOrphans(w.Records)
	return w, nil
}

// scoped copies the states of w that scopes asks for.
func scoped(w memory.Window, scopes memory.Scopes) (memory.States, error) {
	in, out := w.States, memory.States{}
	if scopes == memory.NoState {
		return out, nil
	}
	all := scopes == memory.AllStates
	var err [3]error
	if w.Key.Session != "" {
		out.Session, err[0] = in.Session.Normal()
	}
	if all || w.Key.Session == "" && w.Key.User != "" {
		out.User, err[1] = in.User.Normal()
	}
	if all || w.Key.User == "" {
		out.App, err[2] = in.App.Normal()
	}
	return out, errors.Join(err[:]...)
}

func copyNotes(n memory.Notes) memory.Notes {
	if n.Sentiment != nil {
		n.Sentiment = new(*n.Sentiment)
	}
	n.Labels = maps.Clone(n.Labels)
	return n
}

type requestKey struct {
	key  memory.Key
	name string
}

// A memo is a request id that the service has not removed yet.
type memo struct {
	record  memory.RecordID
	time    time.Time // of the record, by the clock that wrote it
	at      time.Time
	version int64
}

func (s *sea) remember(key memory.Key, r memory.Receipt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Record.RequestID != "" {
		s.requests[requestKey{key, r.Record.RequestID}] = memo{r.Record.ID, r.Record.Time, time.Now(), r.Version}
	}
}

func (s *sea) recall(key memory.Key, name string) (memo, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.requests[requestKey{key, name}]
	return m, ok
}

// lateReplay answers an Append whose request id has had its life and is still there.
func (s *Weathered) lateReplay(ctx context.Context, key memory.Key, opts memory.AppendOptions) (memory.Receipt, bool, error) {
	m, ok := s.sea.recall(key, opts.RequestID)
	if age := time.Since(m.at); !ok || age < memory.RequestLife || age >= memory.RequestLife+s.weather.LateTTL {
		return memory.Receipt{}, false, nil
	}
	w, err := s.store.Open(ctx, key, &memory.WindowOptions{Last: -1, Scopes: memory.NoState})
	if errors.Is(err, memory.ErrNotFound) || err == nil && w.Head.Created.After(m.time) {
		return memory.Receipt{}, false, nil // its session is gone, and the request with it
	}
	if err != nil {
		return memory.Receipt{}, false, err
	}
	receipt := memory.Receipt{
		Record:   memory.Record{ID: m.record, Time: m.time, RequestID: opts.RequestID, Redacted: true},
		Bookmark: w.Bookmark, Version: m.version, Replayed: true,
	}
	for r, err := range s.store.Records(ctx, key, &memory.RangeOptions{From: m.record, To: m.record}) {
		if err != nil {
			return memory.Receipt{}, false, err
		}
		receipt.Record = r
	}
	s.met.remembered.Add(1)
	return receipt, true, nil
}
