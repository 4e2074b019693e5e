package s3index_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/meter"
	"github.com/genaistore/genaistore/vectors"
	"github.com/genaistore/genaistore/vectors/s3index"
)

// corpus is a source of n vectors. Of every hundred one is of the wrong dimension,
// one is refused by the service alone, and some have the key of an earlier one.
func corpus(n int64) func(from int64) iter.Seq2[vectors.Vector, error] {
	return func(from int64) iter.Seq2[vectors.Vector, error] {
		return func(yield func(vectors.Vector, error) bool) {
			for i := from; i < n; i++ {
				v := vectors.Vector{Key: fmt.Sprintf("%05d", i), Data: []float32{float32(i + 1), 1, 0}, Metadata: vectors.Metadata{"n": i}}
				switch {
				case i%100 == 17:
					v.Data = v.Data[:2]
				case i%100 == 31:
					v.Key += "-refused"
				case i%7 == 6:
					v.Key = fmt.Sprintf("%05d", i/2)
				}
				if !yield(v, nil) {
					return
				}
			}
		}
	}
}

// A run is one process that loads a corpus and may be killed.
type run struct {
	fake *awsfake.Vectors
	kept *[]byte // the cursor, where the next process finds it
	from func(int64) iter.Seq2[vectors.Vector, error]

	mu     sync.Mutex
	puts   int
	saves  int
	dead   bool
	cancel context.CancelFunc
	killed func(r *run, event string) bool // called with r.mu held
}

// strike kills the process if it is time.
func (r *run) strike(event string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch event {
	case "put", "put, whose answer is lost":
		r.puts++
	case "save":
		r.saves++
	}
	if !r.dead && r.killed != nil && r.killed(r, event) {
		r.dead = true
		r.cancel()
	}
	return r.dead
}

// start runs until the load ends or is killed, and returns what a caller would get
// that is not.
func (r *run) start(t *testing.T) (s3index.Cursor, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.cancel = cancel
	r.fake.Intercept(func(w http.ResponseWriter, q *http.Request, next http.Handler) bool {
		if awsfake.Operation(q) != "PutVectors" {
			return false
		}
		if r.strike("put") {
			awsfake.Lose(w)
			return true
		}
		if key := refusedKey(bodyOf(q)); key != "" {
			awsfake.Fail(w, q, http.StatusBadRequest, "ValidationException", "Invalid record for key '"+key+"': it is refused")
			return true
		}
		next.ServeHTTP(w, q)
		if r.strike("after") {
			awsfake.Lose(w)
		}
		return true
	})
	defer r.fake.Intercept(nil)
	opts := fast()
	opts.BodyBytes = 1500 // a dozen or two of vectors
	x := open(t, r.fake.Client(), opts)
	o := &s3index.LoadOptions{Save: func(_ context.Context, c s3index.Cursor) error {
		if r.strike("before the save") {
			return errors.New("killed")
		}
		text, err := json.Marshal(c)
		if err == nil {
			*r.kept = text
		}
		r.strike("save")
		return err
	}}
	if len(*r.kept) > 0 {
		require.NoError(t, json.Unmarshal(*r.kept, &o.From))
	}
	return x.Load(ctx, r.from, o)
}

// refusedKey returns the first key of a request that the service refuses.
func refusedKey(body string) string {
	before, _, found := strings.Cut(body, `-refused"`)
	if !found {
		return ""
	}
	return before[strings.LastIndex(before, `"`)+1:] + "-refused"
}

// content returns all that an index has.
func content(t *testing.T, fake *awsfake.Vectors) map[string]vectors.Vector {
	t.Helper()
	all := map[string]vectors.Vector{}
	for v, err := range open(t, fake.Client(), nil).List(t.Context(), &vectors.ListOptions{Fields: vectors.Everything}) {
		require.NoError(t, err)
		all[v.Key] = v
	}
	return all
}

func rejectedKeys(c s3index.Cursor) []string {
	var keys []string
	for _, r := range c.Rejected {
		keys = append(keys, r.Key)
	}
	slices.Sort(keys)
	return keys
}

const corpusSize = 800

// whole loads the corpus without an accident.
func whole(t *testing.T) (map[string]vectors.Vector, s3index.Cursor, *run) {
	t.Helper()
	fake := newFake(t)
	create(t, fake, plain)
	r := &run{fake: fake, kept: new([]byte), from: corpus(corpusSize)}
	c, err := r.start(t)
	require.ErrorIs(t, err, vectors.ErrInvalid)
	require.True(t, c.Finished)
	require.EqualValues(t, corpusSize, c.Next)
	require.Equal(t, corpusSize-16, c.Done)
	require.Len(t, c.Rejected, 16)
	return content(t, fake), c, r
}

func TestALoadKilledAtAnyRequestGoesOnWhereItWas(t *testing.T) {
	want, cursor, alone := whole(t)
	require.Greater(t, alone.puts, 30)
	require.Greater(t, alone.saves, 8)
	type death struct {
		event string
		at    int
	}
	var deaths []death
	for i := range alone.puts {
		deaths = append(deaths, death{"put", i + 1}, death{"after", i + 1})
	}
	for i := range alone.saves {
		deaths = append(deaths, death{"before the save", i + 1}, death{"save", i + 1})
	}
	for _, d := range deaths {
		fake := newFake(t)
		create(t, fake, plain)
		seen := map[string]int{}
		first := &run{fake: fake, kept: new([]byte), from: corpus(corpusSize), killed: func(_ *run, event string) bool {
			seen[event]++
			return event == d.event && seen[event] == d.at
		}}
		_, err := first.start(t)
		require.Error(t, err, "%+v", d)
		second := &run{fake: fake, kept: first.kept, from: corpus(corpusSize)}
		got, err := second.start(t)
		require.ErrorIs(t, err, vectors.ErrInvalid, "%+v", d)
		require.True(t, got.Finished, "%+v: %v", d, err)
		require.Equal(t, []int64{cursor.Next, int64(cursor.Done)}, []int64{got.Next, int64(got.Done)}, "%+v", d)
		require.Equal(t, rejectedKeys(cursor), rejectedKeys(got), "%+v: each is named once", d)
		require.Equal(t, want, content(t, fake), "%+v", d)
		// Eight batches, with what the service refuses in them.
		require.LessOrEqual(t, first.puts+second.puts, alone.puts+8*2+4, "%+v", d)
	}
}

func TestALoadThatIsKilledAgainAndAgainEnds(t *testing.T) {
	want, cursor, _ := whole(t)
	fake := newFake(t)
	create(t, fake, plain)
	kept := new([]byte)
	for attempt := 1; ; attempt++ {
		require.Less(t, attempt, 200)
		puts := 0
		r := &run{fake: fake, kept: kept, from: corpus(corpusSize), killed: func(_ *run, event string) bool {
			if event == "after" {
				puts++
			}
			return puts == 5
		}}
		c, _ := r.start(t)
		if c.Finished {
			require.Greater(t, attempt, 2)
			require.Equal(t, cursor.Done, c.Done)
			require.Equal(t, rejectedKeys(cursor), rejectedKeys(c))
			break
		}
	}
	require.Equal(t, want, content(t, fake))
}

func TestAFinishedLoadDoesNothingAgain(t *testing.T) {
	fake := newFake(t)
	x := open(t, create(t, fake, plain), fast())
	c, err := x.Load(t.Context(), corpus(90), nil)
	require.ErrorIs(t, err, vectors.ErrInvalid)
	require.ErrorContains(t, err, `load bucket/docs: 1 of the vectors rejected, the first "00017": invalid: vector must have length 3, but has length 2`)
	var m meter.Meter
	again, err := x.Load(meter.With(t.Context(), &m), corpus(90), &s3index.LoadOptions{From: c})
	require.ErrorIs(t, err, vectors.ErrInvalid)
	require.Equal(t, c, again)
	require.Zero(t, m.Cost().Requests)
	require.Equal(t, "00017", c.Report().Rejected[0].Key)
	require.ErrorIs(t, c.Report().Rejected[0].Err, vectors.ErrInvalid)
	require.Equal(t, c.Rejected[0].Reason, c.Report().Rejected[0].Err.Error())
}

func TestALoadOfAnotherSourceIsAConflict(t *testing.T) {
	fake := newFake(t)
	x := open(t, create(t, fake, plain), fast())
	here := s3index.Cursor{Next: 11, Done: 11, Last: "00010"}
	c, err := x.Load(t.Context(), corpus(15), &s3index.LoadOptions{From: here})
	require.NoError(t, err)
	require.Equal(t, s3index.Cursor{Next: 15, Done: 15, Last: "00014", Finished: true}, c)
	require.Equal(t, 4, count(t, x), "the number of the vectors from the cursor on")
	for name, tt := range map[string]struct {
		size int64
		last string
	}{"another key": {15, "b"}, "fewer vectors": {10, "00010"}} {
		here.Last = tt.last
		c, err := x.Load(t.Context(), corpus(tt.size), &s3index.LoadOptions{From: here})
		require.ErrorIs(t, err, vectors.ErrConflict, name)
		require.Equal(t, here, c, name)
		require.Equal(t, 4, count(t, x), name)
	}
}

func TestALoadEndsWithWhatItsSourceOrItsStoreSays(t *testing.T) {
	broken := errors.New("the disk is gone")
	x := open(t, create(t, newFake(t), plain), fast())
	c, err := x.Load(t.Context(), func(from int64) iter.Seq2[vectors.Vector, error] {
		return func(yield func(vectors.Vector, error) bool) {
			for v, err := range corpus(10)(from) {
				if !yield(v, err) {
					return
				}
			}
			yield(vectors.Vector{}, broken)
		}
	}, nil)
	require.ErrorIs(t, err, broken)
	require.Equal(t, s3index.Cursor{Next: 10, Last: "00009", Done: 10}, c)

	c, err = x.Load(t.Context(), corpus(15), &s3index.LoadOptions{From: c, Save: func(context.Context, s3index.Cursor) error { return broken }})
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "save the cursor at 15")
	require.EqualValues(t, 15, c.Next, "what is returned can still be kept")
}

func TestASourceThatIsBadThroughoutIsNotReadToItsEnd(t *testing.T) {
	x := open(t, create(t, newFake(t), plain), fast())
	read := 0
	bad := func(int64) iter.Seq2[vectors.Vector, error] {
		return func(yield func(vectors.Vector, error) bool) {
			for i := range 1_000_000 {
				read++
				v := vectors.Vector{Key: fmt.Sprint(i), Data: []float32{1, 2, 3}}
				if i%2 == 0 {
					v.Data = nil
				}
				if !yield(v, nil) {
					return
				}
			}
		}
	}
	c, err := x.Load(t.Context(), bad, &s3index.LoadOptions{MaxRejected: 700})
	require.ErrorIs(t, err, vectors.ErrInvalid)
	require.ErrorContains(t, err, "more than 700")
	require.Less(t, read, 20_000)
	require.False(t, c.Finished)
	for name, o := range map[string]*s3index.LoadOptions{
		"a cursor that does not add up": {From: s3index.Cursor{Next: 3, Done: 2}}, "one before the start": {From: s3index.Cursor{Next: -1, Done: -1}},
		"no room for rejections": {MaxRejected: -1},
	} {
		_, err = x.Load(t.Context(), corpus(3), o)
		require.ErrorIs(t, err, vectors.ErrInvalid, name)
	}
	_, err = x.Load(t.Context(), nil, nil)
	require.ErrorIs(t, err, vectors.ErrInvalid)
}

// A throttled batch is not settled: the next load sends it again.
func TestALoadStopsAtWhatWasThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := awsfake.NewVectors()
		x := open(t, create(t, fake, plain), nil)
		var puts atomic.Int32
		sizes(fake, func(body string, _ int) (int, string, string) {
			if puts.Add(1); strings.Contains(body, `"00700"`) {
				return http.StatusTooManyRequests, "TooManyRequestsException", "slow down"
			}
			return 0, "", ""
		})
		good := func(from int64) iter.Seq2[vectors.Vector, error] {
			return func(yield func(vectors.Vector, error) bool) {
				n := int64(0)
				for v, err := range numbered(3000) {
					if n++; n > from && !yield(v, err) {
						return
					}
				}
			}
		}
		c, err := x.Load(t.Context(), good, nil)
		require.ErrorIs(t, err, vectors.ErrThrottled)
		require.Equal(t, s3index.Cursor{Next: 500, Last: "00499", Done: 500}, c)
		fake.Intercept(nil)
		time.Sleep(time.Minute)
		c, err = x.Load(t.Context(), good, &s3index.LoadOptions{From: c})
		require.NoError(t, err)
		require.Equal(t, s3index.Cursor{Next: 3000, Last: "02999", Done: 3000, Finished: true}, c)
		require.Equal(t, 3000, count(t, x))
	})
}

// What is sent while the first request takes long would be sent again by who resumes.
func TestALoadIsNotFarAheadOfWhatIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := awsfake.NewVectors()
		x := open(t, create(t, fake, plain), fast())
		var puts, before atomic.Int32
		fake.Intercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			if awsfake.Operation(r) == "PutVectors" && puts.Add(1) == 1 {
				time.Sleep(time.Minute)
				before.Store(puts.Load())
			}
			return false
		})
		c, err := x.Load(t.Context(), func(int64) iter.Seq2[vectors.Vector, error] { return numbered(20_000) }, nil)
		require.NoError(t, err)
		require.Equal(t, 20_000, c.Done)
		require.EqualValues(t, 40, puts.Load())
		require.EqualValues(t, 8, before.Load())
	})
}

func TestALoadSkipsWhatIsEqual(t *testing.T) {
	fake := newFake(t)
	x := open(t, create(t, fake, plain), fast())
	_, err := x.Put(t.Context(), numbered(5), nil)
	require.NoError(t, err)
	c, err := x.Load(t.Context(), func(int64) iter.Seq2[vectors.Vector, error] { return numbered(8) }, &s3index.LoadOptions{SkipEqual: "n"})
	require.NoError(t, err)
	require.Equal(t, s3index.Cursor{Next: 8, Last: "00007", Done: 3, Skipped: 5, Finished: true}, c)
}
