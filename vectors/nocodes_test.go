package vectors_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/vectors"
)

// twins are two indexes that are told the same, one of which has no codes: all
// that they answer must be the same to the last bit.
type twins struct {
	*testing.T
	dice

	coded, plain *vectors.InMemory
	dimension    int
	metric       vectors.Metric
}

func newTwins(t *testing.T, d dice) *twins {
	t.Helper()
	tw := &twins{T: t, dice: d, dimension: []int{63, 64, 65, 100, 128, 200}[d.IntN(6)], metric: []vectors.Metric{vectors.Cosine, vectors.Euclidean}[d.IntN(2)]}
	schema := vectors.Schema{Dimension: tw.dimension, Metric: tw.metric}
	tw.coded, tw.plain = newInMemory(t, schema), newInMemory(t, schema)
	tw.plain.NoCodes = true
	return tw
}

// data are numbers of one kind of many: what makes codes of little use.
func (tw *twins) data(center []float32) []float32 {
	v := gaussian(tw.dice, tw.dimension)
	switch tw.IntN(8) {
	case 0: // near
		for i := range v {
			v[i] = center[i] + v[i]*float32(math.Pow(10, -float64(tw.IntN(8))))
		}
	case 1: // the same, or at the same distance
		copy(v, center)
		if tw.metric == vectors.Euclidean {
			v[tw.IntN(len(v))]++
		}
	case 2: // one great number
		v[tw.IntN(len(v))] = 1e4
	case 3:
		for i := range v {
			v[i] = float32(1 - 2*tw.IntN(2))
		}
	case 4:
		by := []float32{1e-22, 1e-10, 1e10, 1e18, 1e37}[tw.IntN(5)]
		for i := range v {
			v[i] *= by
		}
	case 5: // denormal numbers beside one that is not
		for i := range v {
			v[i] *= 1e-42
		}
		v[0] = []float32{1e-20, 1, 1e-38}[tw.IntN(3)]
	case 6:
		clear(v)
		v[tw.IntN(len(v))] = 1
		if tw.metric == vectors.Euclidean {
			v[0] = float32(tw.IntN(2))
		}
	}
	return v
}

func (tw *twins) both(do func(index *vectors.InMemory) (vectors.Report, error)) {
	tw.Helper()
	a, errA := do(tw.coded)
	b, errB := do(tw.plain)
	require.Equal(tw, errB == nil, errA == nil)
	require.Equal(tw, b.Done, a.Done)
	require.Len(tw, a.Rejected, len(b.Rejected))
}

func (tw *twins) run(n, queries int) {
	center := gaussian(tw.dice, tw.dimension)
	var vs []vectors.Vector
	for range n {
		vs = append(vs, vectors.Vector{Key: fmt.Sprint(tw.IntN(2 * n)), Data: tw.data(center), Metadata: tw.metadata()})
	}
	tw.both(func(index *vectors.InMemory) (vectors.Report, error) {
		return index.Put(tw.Context(), vectors.Of(vs...), nil)
	})
	sel := vectors.Selection{Prefix: fmt.Sprint(1 + tw.IntN(9))}
	tw.both(func(index *vectors.InMemory) (vectors.Report, error) { return index.Delete(tw.Context(), sel, nil) })
	for range queries {
		q := vectors.Query{Vector: tw.data(center), TopK: 1 + tw.IntN(1+n/4), Fields: vectors.KeysOnly}
		if tw.IntN(2) == 0 {
			q.TopK = 1 + tw.IntN(5)
		}
		if tw.IntN(3) == 0 {
			q.Filter = tw.filter(1)
		}
		if q.Validate(vectors.Schema{Dimension: tw.dimension, Metric: tw.metric}) != nil {
			continue // zero, under cosine
		}
		require.Equal(tw, matches(tw.T, tw.plain, q), matches(tw.T, tw.coded, q), "%s of %d, top %d of %+v", tw.metric, tw.dimension, q.TopK, q.Filter)
	}
}

func TestCodesChangeNoAnswer(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(21, 22))}
	for range 25 {
		newTwins(t, d).run(100+d.IntN(900), 40)
	}
}

func FuzzCodesChangeNoAnswer(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		newTwins(t, dice{rand.New(rand.NewPCG(a, b))}).run(200, 10)
	})
}

func TestCodesOfManySlabsChangeNoAnswer(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(23, 24))}
	tw := newTwins(t, d)
	tw.dimension, tw.metric = 768, vectors.Cosine
	tw.coded, tw.plain = newInMemory(t, vectors.Schema{Dimension: 768}), newInMemory(t, vectors.Schema{Dimension: 768})
	tw.plain.NoCodes = true
	tw.run(5000, 20)
}
