package vectorstest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/vectors"
	"github.com/genaistore/genaistore/vectors/vectorstest"
)

func newIndex(t *testing.T, schema vectors.Schema) *vectors.InMemory {
	t.Helper()
	index, err := vectors.NewInMemory(schema)
	require.NoError(t, err)
	return index
}

func TestAnIndexKeepsItsPromisesInFairWeather(t *testing.T) {
	for seed := range uint64(2) {
		for name, w := range map[string]vectorstest.Weather{"fair": vectorstest.Fair(seed), "calm": {Seed: seed}, "few found": {Seed: seed, Shortfall: 0.5}} {
			t.Run(fmt.Sprint(name, " ", seed), func(t *testing.T) {
				vectorstest.Run(t, func(t *testing.T, schema vectors.Schema) vectors.Index { return w.Over(newIndex(t, schema)) })
			})
		}
	}
}

func TestAnIndexKeepsItsPromisesToWhoIsPatient(t *testing.T) {
	for seed := range uint64(2) {
		for name, w := range map[string]vectorstest.Weather{
			"bad": vectorstest.Bad(seed), "storm": vectorstest.Storm(seed), "one at a time": {Seed: seed, Capacity: 1},
		} {
			t.Run(fmt.Sprint(name, " ", seed), func(t *testing.T) {
				vectorstest.Run(t, func(t *testing.T, schema vectors.Schema) vectors.Index {
					return vectorstest.NewPatient(w.Over(newIndex(t, schema)))
				})
			})
		}
	}
}

func FuzzPatientInAStorm(f *testing.F) {
	vectorstest.Fuzz(f, func(t *testing.T, schema vectors.Schema) vectors.Index {
		return vectorstest.NewPatient(vectorstest.Storm(7).Over(newIndex(t, schema)))
	})
}

// documents are n vectors that lie on a line, of which every tenth is marked.
func documents(n int) []vectors.Vector {
	vs := make([]vectors.Vector, n)
	for i := range vs {
		vs[i] = vectors.Vector{Key: fmt.Sprintf("%04d", i), Data: []float32{1, float32(i)}, Metadata: vectors.Metadata{"tenth": i%10 == 0, "n": i, "name": fmt.Sprint("d", i)}}
	}
	return vs
}

func loaded(t *testing.T, n int) *vectors.InMemory {
	t.Helper()
	index := newIndex(t, vectors.Schema{Dimension: 2})
	_, err := index.Put(t.Context(), vectors.Of(documents(n)...), nil)
	require.NoError(t, err)
	return index
}

func keysOf[T any](t *testing.T, seq func(func(T, error) bool), key func(T) string) (keys []string) {
	t.Helper()
	for v, err := range seq {
		require.NoError(t, err)
		keys = append(keys, key(v))
	}
	return keys
}

func listed(t *testing.T, index vectors.Index) []string {
	t.Helper()
	return keysOf(t, index.List(t.Context(), nil), func(v vectors.Vector) string { return v.Key })
}

func found(t *testing.T, index vectors.Index, q vectors.Query) []string {
	t.Helper()
	return keysOf(t, index.Query(t.Context(), q), func(m vectors.Match) string { return m.Key })
}

func TestASeedIsAnOrder(t *testing.T) {
	index := loaded(t, 200)
	one, again, other := listed(t, vectorstest.Weather{Seed: 1}.Over(index)), listed(t, vectorstest.Weather{Seed: 1}.Over(index)), listed(t, vectorstest.Weather{Seed: 2}.Over(index))
	require.Equal(t, one, again)
	require.NotEqual(t, one, other)
	require.False(t, slices.IsSorted(one))
	slices.Sort(one)
	slices.Sort(other)
	require.Equal(t, one, other)
}

func TestASeedIsASchedule(t *testing.T) {
	outcomes := func(seed uint64) (all []bool) {
		x := vectorstest.Storm(seed).Over(loaded(t, 10))
		for range 100 {
			_, err := x.Get(t.Context(), []string{"0001"}, nil)
			all = append(all, err == nil)
		}
		return all
	}
	first := outcomes(1)
	require.Equal(t, first, outcomes(1))
	require.NotEqual(t, first, outcomes(2))
}

func TestAQueryWithAFilterMissesSome(t *testing.T) {
	x := vectorstest.Weather{Seed: 1, Shortfall: 0.3}.Over(loaded(t, 1000))
	tenth := vectors.Query{Vector: []float32{1, 1}, TopK: 1000, Filter: vectors.Equal("tenth", true)}
	first := found(t, x, tenth)
	require.InDelta(t, 70, len(first), 20)
	require.Equal(t, first, found(t, x, tenth), "the same are missed each time")
	require.Equal(t, uint64(2*(100-len(first))), x.Faults().Missed)
	tenth.TopK = 20
	require.Len(t, found(t, x, tenth), 20, "others take the places of what is missed")
	require.Len(t, found(t, x, vectors.Query{Vector: []float32{1, 1}, TopK: 1000}), 1000, "without a filter all are found")
}

func TestEnhancedFindsWhatTheServiceFound(t *testing.T) {
	for _, tt := range []struct {
		matching, topK int
		least, most    float64
	}{{5, 10, 1, 1}, {50, 10, 1, 1}, {50, 50, 0.4, 0.8}, {400, 400, 0.85, 0.97}, {2000, 2000, 0.97, 1}} {
		t.Run(fmt.Sprint(tt.matching, " for ", tt.topK), func(t *testing.T) {
			x := vectorstest.Weather{Seed: 3, Mode: vectorstest.Enhanced}.Over(loaded(t, 2500))
			n := len(found(t, x, vectors.Query{Vector: []float32{1, 1}, TopK: tt.topK, Filter: vectors.Less("n", float64(tt.matching))}))
			share := float64(n) / float64(min(tt.topK, tt.matching))
			require.True(t, share >= tt.least && share <= tt.most, "%d found", n)
		})
	}
}

func TestClassicKnowsNoPrefix(t *testing.T) {
	q := vectors.Query{Vector: []float32{1, 1}, Filter: vectors.Or(vectors.Exists("n"), vectors.StartsWith("name", "d1"))}
	for _, err := range (vectorstest.Weather{Mode: vectorstest.Classic}).Over(loaded(t, 10)).Query(t.Context(), q) {
		require.ErrorIs(t, err, vectors.ErrInvalid)
		require.ErrorContains(t, err, "ENHANCED")
	}
	require.NotEmpty(t, found(t, vectorstest.Weather{Mode: vectorstest.Enhanced}.Over(loaded(t, 10)), q))
}

func TestATokenExpiresWhileALoopRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := vectorstest.Weather{TokenLife: 5 * time.Minute}.Over(loaded(t, 250))
		rest := func(after int, d time.Duration) (n int, last error) {
			for _, err := range x.Query(t.Context(), vectors.Query{Vector: []float32{1, 1}, TopK: 250}) {
				if last = err; err == nil {
					n++
				}
				if n == after {
					time.Sleep(d)
				}
			}
			return n, last
		}
		n, err := rest(150, 6*time.Minute)
		require.Equal(t, 200, n)
		require.ErrorIs(t, err, vectors.ErrInvalid)
		require.ErrorContains(t, err, "start the query again")
		require.Equal(t, uint64(1), x.Faults().Expired)
		for after, d := range map[int]time.Duration{150: 4 * time.Minute, 220: time.Hour} {
			n, err = rest(after, d)
			require.NoError(t, err)
			require.Equal(t, 250, n)
		}
		require.Len(t, found(t, vectorstest.NewPatient(x), vectors.Query{Vector: []float32{1, 1}, TopK: 250}), 250)
	})
}

func TestAThrottledWriteSaysWhatItHasDone(t *testing.T) {
	index := loaded(t, 0)
	x := vectorstest.Weather{Seed: 5, Throttle: 1}.Over(index)
	partly := 0
	for range 20 {
		before := len(listed(t, index))
		report, err := x.Put(t.Context(), vectors.Of(documents(20)[before:]...), nil)
		require.ErrorIs(t, err, vectors.ErrThrottled)
		require.Len(t, listed(t, index), before+report.Done)
		partly += report.Done
	}
	require.Positive(t, partly)
	for range 20 {
		before := len(listed(t, index))
		report, err := x.Delete(t.Context(), vectors.Selection{Filter: vectors.AtLeast("n", 0)}, nil)
		require.ErrorIs(t, err, vectors.ErrThrottled)
		require.Len(t, listed(t, index), before-report.Done)
	}
	require.Empty(t, listed(t, index), "each has done a part of it")
	require.Equal(t, uint64(40), x.Faults().Throttled)
}

func TestALostReplyIsThatOfACallThatWasDone(t *testing.T) {
	index := loaded(t, 10)
	x := vectorstest.Weather{LostReply: 1}.Over(index)
	_, err := x.Put(t.Context(), vectors.Of(documents(12)...), nil)
	require.ErrorIs(t, err, vectors.ErrThrottled)
	require.Len(t, listed(t, index), 12)
	_, err = x.Delete(t.Context(), vectors.Selection{All: true}, nil)
	require.ErrorIs(t, err, vectors.ErrThrottled)
	require.Empty(t, listed(t, index))
	_, err = x.Describe(t.Context())
	require.ErrorIs(t, err, vectors.ErrThrottled)
	require.Equal(t, uint64(3), x.Faults().Lost)
}

func TestAPutBeyondTheCapacityIsRejectedForNow(t *testing.T) {
	index := newIndex(t, vectors.Schema{Dimension: 2})
	x := vectorstest.Weather{Capacity: 30}.Over(index)
	report, err := x.Put(t.Context(), vectors.Of(documents(100)...), nil)
	require.ErrorIs(t, err, vectors.ErrThrottled)
	require.NotErrorIs(t, err, vectors.ErrInvalid)
	require.Equal(t, 30, report.Done)
	require.Len(t, report.Rejected, 70)
	require.Equal(t, "0030", report.Rejected[0].Key)
	require.Len(t, listed(t, index), 30)
	require.Equal(t, uint64(70), x.Faults().Short)
}

func TestArgumentsThatBreakARuleMeetNoWeather(t *testing.T) {
	x := vectorstest.Weather{Throttle: 1, LostReply: 1}.Over(loaded(t, 3))
	_, err := x.Get(t.Context(), []string{""}, nil)
	require.ErrorIs(t, err, vectors.ErrInvalid)
	_, err = x.Delete(t.Context(), vectors.Selection{}, nil)
	require.ErrorIs(t, err, vectors.ErrInvalid)
	for _, err := range x.Query(t.Context(), vectors.Query{}) {
		require.ErrorIs(t, err, vectors.ErrInvalid)
	}
	for _, err := range x.List(t.Context(), &vectors.ListOptions{Prefix: "\xff"}) {
		require.ErrorIs(t, err, vectors.ErrInvalid)
	}
	require.Zero(t, x.Faults())
}

func TestAPatientSkipsWhatTheIndexWould(t *testing.T) {
	vs := []vectors.Vector{
		{Key: "k", Data: []float32{1, 1}, Metadata: vectors.Metadata{"hash": "a", "n": 1}},
		{Key: "k", Data: []float32{1, 2}, Metadata: vectors.Metadata{"hash": "a", "n": 2}},
		{Key: "k", Data: []float32{1, 2}, Metadata: vectors.Metadata{"hash": "b", "n": 3}},
		{Key: "k", Data: []float32{1}, Metadata: vectors.Metadata{"hash": "b"}},
		{Key: "l", Data: []float32{1, 2}},
		{Key: "l", Data: []float32{2, 2}},
	}
	want, err := newIndex(t, vectors.Schema{Dimension: 2}).Put(t.Context(), vectors.Of(vs...), &vectors.PutOptions{SkipEqual: "hash"})
	require.ErrorIs(t, err, vectors.ErrInvalid)
	for seed := range uint64(10) {
		index := newIndex(t, vectors.Schema{Dimension: 2})
		got, err := vectorstest.NewPatient(vectorstest.Storm(seed).Over(index)).Put(t.Context(), vectors.Of(vs...), &vectors.PutOptions{SkipEqual: "hash"})
		require.ErrorIs(t, err, vectors.ErrInvalid)
		require.Equal(t, want, got)
		require.Len(t, listed(t, index), 2)
	}
}

func TestAPatientGivesUp(t *testing.T) {
	p := vectorstest.NewPatient(vectorstest.Weather{Throttle: 1}.Over(loaded(t, 3)))
	_, err := p.Get(t.Context(), []string{"0001"}, nil)
	require.ErrorIs(t, err, vectors.ErrThrottled)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Get(ctx, []string{"0001"}, nil)
	require.ErrorIs(t, err, context.Canceled)
}

// recorder is a test that keeps what it is told.
type recorder struct {
	testing.TB

	said []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

func TestStrictWeatherNamesFilterKeyAndVector(t *testing.T) {
	index := newIndex(t, vectors.Schema{Dimension: 1})
	_, err := index.Put(t.Context(), vectors.Of(
		vectors.Vector{Key: "scalar", Data: []float32{1}, Metadata: vectors.Metadata{"year": 2020}},
		vectors.Vector{Key: "list", Data: []float32{1}, Metadata: vectors.Metadata{"year": []int{2019, 2021}}},
		vectors.Vector{Key: "missing", Data: []float32{1}},
	), nil)
	require.NoError(t, err)
	for _, tt := range []struct {
		filter vectors.Filter
		says   []string
	}{
		{vectors.Equal("year", 2020), nil},
		{vectors.NotEqual("year", 2020), nil},
		{vectors.OrMissing(vectors.NotIn("year", 2020)), nil},
		{vectors.Or(), nil},
		{vectors.AtLeast("year", 2021), []string{`filter {"year":{"$gte":2021}} has two readings for vector "list": [$gte on "year", which is a list: keep what is compared so under a key that has no lists]`}},
		{vectors.And(vectors.Equal("year", 7), vectors.AtLeast("year", 2021)), nil},
	} {
		r := &recorder{TB: t}
		x := vectorstest.Weather{Strict: r}.Over(index)
		found(t, x, vectors.Query{Vector: []float32{1}, Filter: tt.filter})
		require.Equal(t, tt.says, r.said)
		require.Equal(t, uint64(len(tt.says)), x.Faults().Ambiguous)
		for range x.List(t.Context(), &vectors.ListOptions{Filter: tt.filter}) {
		}
		_, err := x.Delete(t.Context(), vectors.Selection{Filter: tt.filter}, &vectors.DeleteOptions{DryRun: true})
		require.NoError(t, err)
		require.Len(t, r.said, 3*len(tt.says), "so do List and Delete")
	}
}

// A load that ends at the first error loses what a storm does not let through; one
// that repeats what was rejected for now loses nothing.
func ExampleWeather() {
	ctx := context.Background()
	for _, stubborn := range []bool{false, true} {
		var kept vectors.InMemory
		index := vectorstest.Storm(1).Over(&kept)
		docs := documents(100)
		for len(docs) > 0 {
			report, err := index.Put(ctx, vectors.Of(docs...), nil)
			if !errors.Is(err, vectors.ErrThrottled) || !stubborn {
				break
			}
			docs = docs[report.Done:]
		}
		n := 0
		for range kept.List(ctx, nil) { // as it is, in calm
			n++
		}
		fmt.Println(n, "of 100 stored; met:", index.Faults().Throttled, "refusals,", index.Faults().Lost, "lost replies")
	}
	// Output:
	// 20 of 100 stored; met: 0 refusals, 1 lost replies
	// 100 of 100 stored; met: 3 refusals, 5 lost replies
}
