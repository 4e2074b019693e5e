package vectorstest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/genaistore/genaistore/vectors"
)

// Weather is what an Index meets in production, and a test seldom does. Over lets an
// Index be met through it. It changes nothing but what the contract leaves open: a
// program that fails in bad weather has relied on something that nobody promised.
//
// The zero Weather is calm, but that List yields vectors in an order that Seed
// decides, in pages of any size. Chances are from 0, never, to 1, always. What the
// n-th call of a method meets depends on Seed alone, so that a test of one goroutine
// is the same every time.
//
// A test of a program gives it an Index in a storm, and looks at what it has stored
// with the Index itself. A test that is not about failures puts a [Patient] between.
// An index passes the suite in any weather:
//
//	vectorstest.Run(t, func(t *testing.T, schema vectors.Schema) vectors.Index {
//		return vectorstest.NewPatient(vectorstest.Storm(1).Over(newIndex(t, schema)))
//	})
//
// The limits of the service are not here: every Index has them. Arguments that break
// a rule meet no weather.
type Weather struct {
	Seed uint64

	// Throttle is the chance that a call, or a later page of a Query or List, is
	// refused with ErrThrottled. A Put or Delete may have done a part of its work, which
	// its report says.
	Throttle float64
	// LostReply is the chance that a call is done and its answer, whatever it was,
	// does not arrive. The error matches ErrThrottled, as it is the kind for what may
	// succeed later, and os.ErrDeadlineExceeded.
	LostReply float64
	// Capacity is the most vectors that one Put stores, as where the service is short
	// of capacity: those after are rejected with ErrThrottled. 0 means any number.
	Capacity int
	// Shortfall is the share of the vectors that a Query with a filter does not find:
	// the same ones each time, for a seed.
	Shortfall float64
	// Mode is how the service evaluates filters.
	Mode Mode
	// TokenLife is how long the token of a page lives. A Query whose loop rests longer
	// after 100 matches, or 200, ends with an error that matches ErrInvalid: a program
	// that works long on each match collects them first. 0 means for ever. Use it under
	// testing/synctest, where time costs none.
	TokenLife time.Duration
	// Strict fails this test where a filter selects a vector in one reading of what AWS
	// does not document and not in another. It names the filter, the key and what is
	// open. Nil leaves it at the reading of vectors.Filter.
	Strict testing.TB
}

// A Mode is how a service evaluates filters. Indexes in buckets made on or after
// 2026-09-30 are Enhanced.
type Mode string

// The modes. The zero Mode finds all that match.
const (
	// Classic evaluates while it searches: a Query with StartsWith is ErrInvalid.
	Classic Mode = "CLASSIC"
	// Enhanced evaluates before it searches, and finds what S3 Vectors found in October
	// 2026: all of 5 vectors that match, 9 in 10 of 50, or 6 in 10 if asked for all, 49 in 50
	// of 500, 99 in 100 of more.
	Enhanced Mode = "ENHANCED"
)

// Fair is weather with every kind of fault that is no error. No call fails in it.
func Fair(seed uint64) Weather { return Weather{Seed: seed, Shortfall: 0.1, Mode: Enhanced} }

// Bad is weather of a busy day: one call in ten fails, and no Put stores more than
// 200 vectors.
func Bad(seed uint64) Weather {
	w := Fair(seed)
	w.Throttle, w.LostReply, w.Capacity = 0.06, 0.04, 200
	return w
}

// Storm is weather of a day on which a zone fails: two calls in five fail, no Put
// stores more than 20 vectors, and half of what filters select is not found.
func Storm(seed uint64) Weather {
	w := Fair(seed)
	w.Throttle, w.LostReply, w.Capacity, w.Shortfall = 0.2, 0.2, 20, 0.5
	return w
}

// Over returns index as it is met through the weather.
func (w Weather) Over(index vectors.Index) *Weathered { return &Weathered{weather: w, index: index} }

// Weathered is an Index in some [Weather]. It is safe for concurrent use.
type Weathered struct {
	weather Weather
	index   vectors.Index
	calls   [methods]atomic.Uint64
	met     faults
}

var _ vectors.Index = (*Weathered)(nil)

// Faults counts what an Index has met.
type Faults struct {
	Throttled, Lost uint64 // calls and pages that failed so
	Short           uint64 // vectors rejected for want of capacity
	Missed          uint64 // matches that were not found
	Expired         uint64 // queries whose token had expired
	Ambiguous       uint64 // filters on vectors for which they are open
}

type faults struct {
	throttled, lost, short, missed, expired, ambiguous atomic.Uint64
}

// Faults returns what x has met so far: a test that met nothing shows nothing.
func (x *Weathered) Faults() Faults {
	return Faults{
		Throttled: x.met.throttled.Load(), Lost: x.met.lost.Load(), Short: x.met.short.Load(),
		Missed: x.met.missed.Load(), Expired: x.met.expired.Load(), Ambiguous: x.met.ambiguous.Load(),
	}
}

// A method is one of the six, which draw from schedules of their own.
type method uint64

const (
	callPut method = iota
	callGet
	callQuery
	callList
	callDelete
	callDescribe
	methods
)

// A call is what one call meets. All of the call itself is drawn before it begins, so
// that the schedule does not depend on what the index answers.
type call struct {
	throttled, lost bool
	part            int // of the work of a write, before it is refused
	pages           *rand.Rand
}

func (x *Weathered) call(m method) call {
	w := x.weather
	// An odd constant keeps neighbouring calls and methods apart.
	r := rand.New(rand.NewPCG(w.Seed, (x.calls[m].Add(1)<<3|uint64(m))*0x9e3779b97f4a7c15))
	chance := func(p float64) bool { return r.Float64() < p }
	return call{throttled: chance(w.Throttle), lost: chance(w.LostReply), part: r.IntN(8), pages: r}
}

var (
	errRefused = fmt.Errorf("%w: the weather", vectors.ErrThrottled)
	errLost    = fmt.Errorf("%w: the answer did not arrive: %w", vectors.ErrThrottled, os.ErrDeadlineExceeded)
)

// begin refuses a call.
func (x *Weathered) begin(ctx context.Context, c call) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.throttled {
		x.met.throttled.Add(1)
		return errRefused
	}
	return nil
}

// end loses an answer.
func (x *Weathered) end(c call, err error) error {
	if c.lost {
		x.met.lost.Add(1)
		return errLost
	}
	return err
}

// Describe implements [vectors.Index].
func (x *Weathered) Describe(ctx context.Context) (vectors.Schema, error) {
	c := x.call(callDescribe)
	if err := x.begin(ctx, c); err != nil {
		return vectors.Schema{}, fmt.Errorf("describe: %w", err)
	}
	schema, err := x.index.Describe(ctx)
	if err = x.end(c, err); err != nil {
		return vectors.Schema{}, err
	}
	return schema, nil
}

// Get implements [vectors.Index].
func (x *Weathered) Get(ctx context.Context, keys []string, opts *vectors.GetOptions) ([]vectors.Vector, error) {
	c := x.call(callGet)
	found, err := x.index.Get(ctx, keys, opts)
	if err != nil {
		return nil, err
	}
	if err := x.begin(ctx, c); err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	if err := x.end(c, nil); err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	return found, nil
}

// scatter is a number between 0 and 1 that a key has for a seed.
func scatter(seed uint64, key string) float64 {
	h := seed ^ 14695981039346656037
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, h)).Float64()
}
