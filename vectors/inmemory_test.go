package vectors_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/vectors"
	"github.com/genaistore/genaistore/vectors/vectorstest"
)

func newInMemory(tb testing.TB, schema vectors.Schema) *vectors.InMemory {
	tb.Helper()
	index, err := vectors.NewInMemory(schema)
	require.NoError(tb, err)
	return index
}

func TestInMemory(t *testing.T) {
	vectorstest.Run(t, func(t *testing.T, schema vectors.Schema) vectors.Index { return newInMemory(t, schema) })
}

func FuzzInMemory(f *testing.F) {
	vectorstest.Fuzz(f, func(t *testing.T, schema vectors.Schema) vectors.Index { return newInMemory(t, schema) })
}

func BenchmarkInMemory(b *testing.B) {
	vectorstest.Bench(b, func(b *testing.B, schema vectors.Schema) vectors.Index { return newInMemory(b, schema) })
}

func TestTheZeroValueTakesTheDimensionOfTheFirstVector(t *testing.T) {
	var index vectors.InMemory
	dimension := func() int {
		schema, err := index.Describe(t.Context())
		require.NoError(t, err)
		require.Equal(t, vectors.Cosine, schema.Metric)
		return schema.Dimension
	}
	require.Zero(t, dimension())
	for _, err := range index.Query(t.Context(), vectors.Query{Vector: []float32{1, 2, 3}}) {
		require.NoError(t, err)
	}
	for _, bad := range [][]float32{nil, {}, make([]float32, vectors.MaxDimension+1), {0, 0}} {
		_, err := index.Put(t.Context(), vectors.Of(vectors.Vector{Key: "k", Data: bad}), nil)
		require.ErrorIs(t, err, vectors.ErrInvalid)
		require.Zero(t, dimension(), "a rejected vector decides nothing")
	}
	report, err := index.Put(t.Context(), vectors.Of(vectors.Vector{Key: "a", Data: []float32{1, 2}}, vectors.Vector{Key: "b", Data: []float32{1, 2, 3}}), nil)
	require.ErrorIs(t, err, vectors.ErrInvalid)
	require.Equal(t, 1, report.Done)
	require.Equal(t, 2, dimension())
	_, err = index.Delete(t.Context(), vectors.Selection{All: true}, nil)
	require.NoError(t, err)
	require.Equal(t, 2, dimension())
	_, err = index.Put(t.Context(), vectors.Of(vectors.Vector{Key: "b", Data: []float32{1, 2, 3}}), nil)
	require.ErrorIs(t, err, vectors.ErrInvalid)
}

func TestTwoPutsDecideOneDimension(t *testing.T) {
	var index vectors.InMemory
	// The inner Put is first to store, the outer one was first to begin.
	_, err := index.Put(t.Context(), func(yield func(vectors.Vector, error) bool) {
		if !yield(vectors.Vector{Key: "a", Data: []float32{1, 2}}, nil) {
			return
		}
		_, err := index.Put(t.Context(), vectors.Of(vectors.Vector{Key: "b", Data: []float32{1, 2, 3}}), nil)
		require.NoError(t, err)
	}, nil)
	require.ErrorIs(t, err, vectors.ErrInvalid)
	require.Equal(t, []string{"b"}, listed(t, &index, nil))
}

func TestListIsNotInTheOrderOfKeys(t *testing.T) {
	index := newInMemory(t, vectors.Schema{Dimension: 1})
	for i := range 100 {
		_, err := index.Put(t.Context(), vectors.Of(vectors.Vector{Key: fmt.Sprintf("%02d", i), Data: []float32{1}}), nil)
		require.NoError(t, err)
	}
	var first, second []string
	for v := range index.List(t.Context(), nil) {
		first = append(first, v.Key)
	}
	for v := range index.List(t.Context(), nil) {
		second = append(second, v.Key)
	}
	require.Equal(t, first, second)
	require.False(t, slices.IsSorted(first), "who relies on an order in a test should see it fail there")
}

// Rows are where history put them; answers must not show it.
func TestAnswersDoNotDependOnTheOrderOfWrites(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(1, 2))}
	const n = 4000
	vs := make([]vectors.Vector, n)
	for i := range vs {
		vs[i] = vectors.Vector{Key: fmt.Sprint(i), Data: []float32{float32(d.IntN(3)), float32(d.IntN(3)), 1}, Metadata: d.metadata()}
	}
	a, b := newInMemory(t, vectors.Schema{Dimension: 3}), newInMemory(t, vectors.Schema{Dimension: 3})
	_, err := a.Put(t.Context(), vectors.Of(vs...), nil)
	require.NoError(t, err)
	for _, i := range d.Perm(n) {
		_, err := b.Put(t.Context(), vectors.Of(vs[i], vectors.Vector{Key: "x" + vs[i].Key, Data: vs[i].Data}), nil)
		require.NoError(t, err)
	}
	_, err = b.Delete(t.Context(), vectors.Selection{Prefix: "x"}, nil)
	require.NoError(t, err)
	for range 100 {
		q := vectors.Query{Vector: []float32{d.Float32(), d.Float32(), d.Float32()}, TopK: 1 + d.IntN(300), Filter: d.filter(1), Fields: vectors.Everything}
		if d.IntN(3) == 0 {
			q.Filter = vectors.Filter{}
		}
		require.Equal(t, matches(t, a, q), matches(t, b, q), "%+v", q)
	}
}

func matches(t *testing.T, index vectors.Index, q vectors.Query) (found []vectors.Match) {
	t.Helper()
	for m, err := range index.Query(t.Context(), q) {
		require.NoError(t, err)
		found = append(found, m)
	}
	return found
}

func TestQueryIsExact(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(1, 2))}
	for _, metric := range []vectors.Metric{vectors.Cosine, vectors.Euclidean} {
		for _, dimension := range []int{1, 3, 64, 1025} { // slabs of 4,096 rows to 128
			index := newInMemory(t, vectors.Schema{Dimension: dimension, Metric: metric})
			n := 300 + d.IntN(300)
			vs := make([]vectors.Vector, n)
			for i := range vs {
				vs[i] = vectors.Vector{Key: fmt.Sprint(i), Data: gaussian(d, dimension), Metadata: vectors.Metadata{"half": i%2 == 0}}
			}
			_, err := index.Put(t.Context(), vectors.Of(vs...), nil)
			require.NoError(t, err)
			for _, k := range []int{1, 10, n - 1, n + 1} {
				q := vectors.Query{Vector: gaussian(d, dimension), TopK: k}
				requireExact(t, index, vs, metric, q)
				q.Filter = vectors.Equal("half", true)
				requireExact(t, index, vs, metric, q)
			}
		}
	}
}

func requireExact(t *testing.T, index vectors.Index, vs []vectors.Vector, metric vectors.Metric, q vectors.Query) {
	t.Helper()
	var want []float64
	for _, v := range vs {
		if q.Filter.Match(v.Metadata) {
			want = append(want, distance64(metric, q.Vector, v.Data))
		}
	}
	slices.Sort(want)
	found := matches(t, index, q)
	require.Len(t, found, min(q.TopK, len(want)))
	for i, m := range found {
		require.InDelta(t, want[i], m.Distance, 1e-5*(1+want[i]), "%s of %d, match %d", metric, len(q.Vector), i)
	}
}

func gaussian(d dice, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(d.NormFloat64())
	}
	return v
}

func distance64(metric vectors.Metric, a, b []float32) float64 {
	var dot, aa, bb, squares float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		dot, aa, bb, squares = dot+x*y, aa+x*x, bb+y*y, squares+(x-y)*(x-y)
	}
	if metric == vectors.Euclidean {
		return math.Sqrt(squares)
	}
	return 1 - dot/math.Sqrt(aa*bb)
}

func TestTheLongestAndShortestVectorsAreMeasured(t *testing.T) {
	index := newInMemory(t, vectors.Schema{Dimension: 3})
	_, err := index.Put(t.Context(), vectors.Of(
		vectors.Vector{Key: "long", Data: []float32{3e38, 3e38, 0}}, vectors.Vector{Key: "short", Data: []float32{1e-22, 1e-22, 0}}, vectors.Vector{Key: "away", Data: []float32{-1e38, 0, 0}},
	), nil)
	require.NoError(t, err)
	for _, q := range [][]float32{{1, 1, 0}, {3e38, 3e38, 0}, {1e-22, 1e-22, 0}} {
		found := matches(t, index, vectors.Query{Vector: q, TopK: 2})
		require.Len(t, found, 2)
		for _, m := range found {
			require.NotEqual(t, "away", m.Key)
			require.InDelta(t, 0, m.Distance, 1e-5)
		}
	}
	far := newInMemory(t, vectors.Schema{Dimension: 2, Metric: vectors.Euclidean})
	_, err = far.Put(t.Context(), vectors.Of(vectors.Vector{Key: "farther", Data: []float32{-3e38, 0}}, vectors.Vector{Key: "far", Data: []float32{3e38, 0}}, vectors.Vector{Key: "near", Data: []float32{3, 4}}), nil)
	require.NoError(t, err)
	found := matches(t, far, vectors.Query{Vector: []float32{1e38, 0}, TopK: 2})
	require.Equal(t, "near", found[0].Key)
	require.InDelta(t, 2e38, found[1].Distance, 1e33)
}

// A context that is cancelled after it was looked at n times.
type patience struct {
	context.Context //nolint:containedctx // it is a context
	left            atomic.Int64
}

func (p *patience) Err() error {
	if p.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

func TestACancelledContextStopsAScan(t *testing.T) {
	index := newInMemory(t, vectors.Schema{Dimension: 4096})
	data := make([]float32, 4096)
	data[0] = 1
	for i := range 1000 { // 16 slabs
		_, err := index.Put(t.Context(), vectors.Of(vectors.Vector{Key: fmt.Sprint(i), Data: data, Metadata: vectors.Metadata{"n": i}}), nil)
		require.NoError(t, err)
	}
	for _, f := range []vectors.Filter{{}, vectors.Exists("n")} {
		ctx := &patience{Context: t.Context()}
		ctx.left.Store(6)
		n := 0
		for _, err := range index.Query(ctx, vectors.Query{Vector: data, Filter: f}) {
			require.ErrorIs(t, err, context.Canceled)
			n++
		}
		require.Equal(t, 1, n)
	}
}

func TestASearchAllocatesNothingForACandidate(t *testing.T) {
	allocations := func(n int, f vectors.Filter) float64 {
		index := newInMemory(t, vectors.Schema{Dimension: 2})
		var vs []vectors.Vector
		for i := range n {
			vs = append(vs, vectors.Vector{Key: fmt.Sprint(i), Data: []float32{1, float32(i)}, Metadata: vectors.Metadata{"half": i%2 == 0, "n": i}})
		}
		_, err := index.Put(t.Context(), vectors.Of(vs...), nil)
		require.NoError(t, err)
		return testing.AllocsPerRun(20, func() {
			for range index.Query(t.Context(), vectors.Query{Vector: []float32{1, 1}, Filter: f, Fields: vectors.KeysOnly}) {
			}
		})
	}
	for _, f := range []vectors.Filter{{}, vectors.Equal("half", true), vectors.And(vectors.Equal("half", true), vectors.AtLeast("n", 5))} {
		few, many := allocations(100, f), allocations(50_000, f)
		require.InDelta(t, few, many, 20, "%+v", f)
	}
}

func TestLoopsHoldNoLock(t *testing.T) {
	index := filled(t, 100)
	for range index.List(t.Context(), nil) {
		for range index.Query(t.Context(), vectors.Query{Vector: make([]float32, 5)}) {
			_, err := index.Get(t.Context(), []string{"k1"}, nil)
			require.NoError(t, err)
			_, err = index.Put(t.Context(), vectors.Of(vectors.Vector{Key: "new", Data: make([]float32, 5)}), nil)
			require.NoError(t, err)
			break
		}
		break
	}
}
