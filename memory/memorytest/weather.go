package memorytest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"github.com/genaistore/genaistore/internal/hlc"
	"github.com/genaistore/genaistore/memory"
)

// Weather is what a Store meets in production, and a test seldom does. Over lets a
// Store be met through it. It changes nothing but what the contract leaves open: a
// program that fails in bad weather has relied on something that nobody promised.
//
// The zero Weather is calm. Chances are from 0, never, to 1, always. What the n-th
// call of a method meets depends on Seed alone, so that a test of one goroutine is
// the same every time.
//
// A test of an agent gives it a Store in a storm, and looks at what it has kept with
// the Store itself. A test that is not about failures puts a [Patient] between. A
// backend passes the suite in any weather:
//
//	memorytest.Run(t, func(t *testing.T) memory.Store {
//		return memorytest.NewPatient(memorytest.Storm(1).Over(newStore(t)))
//	})
//
// Two things are not here. Items whose time to live has ended and which the service
// has not removed yet are never seen, as the contract makes whoever expires be not
// found at once; of late removal only LateTTL shows. And a Store always reads its
// own Region strongly, as Open promises without AtLeast; what another Region has
// not seen yet shows as Behind and Stale.
type Weather struct {
	Seed uint64

	// Throttle is the chance that a call is refused with ErrThrottled before it has
	// done anything. A list may be refused after its first items.
	Throttle float64
	// LostReply is the chance that a call is done and its answer, whatever it was,
	// does not arrive. The error matches ErrThrottled, as it is the kind for what may
	// succeed later, and os.ErrDeadlineExceeded. So ErrThrottled alone never says that
	// nothing was done: an Append without a RequestID that is repeated may be stored
	// twice.
	LostReply float64
	// Stale is the chance to remember what a session looked like, or that it was not
	// there, and the chance of a read with AtLeast to be answered from that: by a cache
	// or a replica that has seen the bookmark and not what came later. Deletes, and
	// Updates that end a session, reach all of them at once.
	Stale float64
	// Behind is the chance that a read with AtLeast meets a replica that has not seen
	// the bookmark, which is ErrBehind.
	Behind float64
	// IndexLag is how many Finds by intent may miss a change to what they find, at
	// most: a record that is new there, one whose intent was taken back, one that was
	// rewound or deleted. It counts Finds and no time, so that no test waits.
	IndexLag int
	// Coarse lets Head.Active be as old as it may be, the start of its five minutes.
	Coarse bool
	// LateTTL is how much longer than memory.RequestLife a request id is remembered.
	LateTTL time.Duration
	// Delay is the longest that a call may take before it does its work, and once more
	// before it answers. A context that ends meanwhile ends the call. Use it under
	// testing/synctest, where it costs no time; no preset has it.
	Delay time.Duration
	// Skew is how far the clock of the machine that writes is from that of the
	// service. Beyond a minute, either way, every write is ErrClockSkew. Within it, and
	// ahead, the records of a memory.InMemory have ids and times from that clock;
	// other stores have clocks of their own.
	Skew time.Duration
}

// Fair is weather with every kind of fault that is no error: stale caches, late
// indexes, coarse times. No call fails in it.
func Fair(seed uint64) Weather {
	return Weather{Seed: seed, Stale: 0.5, IndexLag: 2, Coarse: true, LateTTL: 48 * time.Hour}
}

// Bad is weather of a busy day: one call in ten fails.
func Bad(seed uint64) Weather {
	w := Fair(seed)
	w.Throttle, w.LostReply, w.Behind, w.Skew = 0.06, 0.04, 0.1, 2*time.Second
	return w
}

// Storm is weather of a day on which a zone fails: two calls in five fail, and the
// clock is as wrong as it may be.
func Storm(seed uint64) Weather {
	w := Fair(seed)
	w.Throttle, w.LostReply, w.Behind, w.Stale, w.Skew = 0.2, 0.2, 0.4, 0.9, 59*time.Second
	return w
}

// Over returns store as it is met through the weather.
func (w Weather) Over(store memory.Store) *Weathered {
	return &Weathered{weather: w, store: store, sea: newSea()}
}

// Weathered is a Store in some [Weather]. It is safe for concurrent use.
type Weathered struct {
	weather Weather
	store   memory.Store
	sea     *sea
	clock   hlc.Clock // that of a machine whose clock is wrong
	calls   [methods]atomic.Uint64
	met     faults
}

var _ memory.Store = (*Weathered)(nil)

// Elsewhere returns the same data as another process or another Region meets it,
// through store, which may be the same Store or another one over the same table,
// and in weather of its own. Each knows the bookmarks of the other, and what was deleted;
// caches are those of one Store.
func (s *Weathered) Elsewhere(store memory.Store, w Weather) *Weathered {
	return &Weathered{weather: w, store: store, sea: s.sea}
}

// Faults counts what a Store has met.
type Faults struct {
	Throttled, Lost, Behind uint64 // calls that failed so
	Stale                   uint64 // reads that were answered with less than there was, or might have been
	Negative                uint64 // of those, reads that found nothing where there is a session, or might be
	Unindexed               uint64 // matches by intent that were missing or out of date
	Remembered              uint64 // appends that were replays of a request after its life
	Skewed                  uint64 // appends with an id from a wrong clock, and writes that were refused for it
}

type faults struct {
	throttled, lost, behind, stale, negative, unindexed, remembered, skewed atomic.Uint64
}

// Faults returns what s has met so far: a test that met nothing shows nothing.
func (s *Weathered) Faults() Faults {
	return Faults{
		Throttled: s.met.throttled.Load(), Lost: s.met.lost.Load(), Behind: s.met.behind.Load(),
		Stale: s.met.stale.Load(), Negative: s.met.negative.Load(), Unindexed: s.met.unindexed.Load(),
		Remembered: s.met.remembered.Load(), Skewed: s.met.skewed.Load(),
	}
}

// A method is one of the six, which draw from schedules of their own.
type method uint64

const (
	callAppend method = iota
	callOpen
	callRecords
	callUpdate
	callFind
	callDelete
	methods
)

// A call is what one call meets. All is drawn before it begins, so that the
// schedule does not depend on what the store answers.
type call struct {
	throttled, lost, behind, stale, remember bool

	before, after time.Duration // how long it takes
	items         int           // of a list, before it fails
	lag           int           // of what it changes in an index
}

func (s *Weathered) call(m method) call {
	w := s.weather
	// An odd constant keeps neighbouring calls and methods apart.
	r := rand.New(rand.NewPCG(w.Seed, (s.calls[m].Add(1)<<3|uint64(m))*0x9e3779b97f4a7c15))
	chance := func(p float64) bool { return r.Float64() < p }
	upTo := func(d time.Duration) time.Duration { return time.Duration(r.Float64() * float64(d)) }
	return call{
		throttled: chance(w.Throttle), lost: chance(w.LostReply), behind: chance(w.Behind), stale: chance(w.Stale), remember: chance(w.Stale),
		before: upTo(w.Delay), after: upTo(w.Delay), items: r.IntN(8), lag: r.IntN(max(0, w.IndexLag) + 1),
	}
}

var (
	errRefused = fmt.Errorf("%w: the weather", memory.ErrThrottled)
	errLost    = fmt.Errorf("%w: the answer did not arrive: %w", memory.ErrThrottled, os.ErrDeadlineExceeded)
)

// begin takes the time that the call takes before its work, and refuses it.
func (s *Weathered) begin(ctx context.Context, c call) error {
	if err := wait(ctx, c.before); err != nil {
		return err
	}
	if c.throttled {
		s.met.throttled.Add(1)
		return errRefused
	}
	return nil
}

// beginWrite is begin on a machine whose clock may be too wrong to write.
func (s *Weathered) beginWrite(ctx context.Context, c call) error {
	if s.weather.Skew.Abs() > hlc.MaxSkew {
		s.met.skewed.Add(1)
		return fmt.Errorf("%w: %s off the service", memory.ErrClockSkew, s.weather.Skew)
	}
	return s.begin(ctx, c)
}

// end takes the time of the answer, and loses it.
func (s *Weathered) end(ctx context.Context, c call) error {
	if err := wait(ctx, c.after); err != nil {
		return err
	}
	if c.lost {
		s.met.lost.Add(1)
		return errLost
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// isTimeout says whether somebody stopped waiting.
func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

func wrap(op string, key memory.Key, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", op, key, err)
}
