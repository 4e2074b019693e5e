package s3index_test

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/meter"
	"github.com/genaistore/genaistore/vectors"
	"github.com/genaistore/genaistore/vectors/s3index"
)

func TestExactFindsWhatTheReferenceDoes(t *testing.T) {
	for _, metric := range []vectors.Metric{vectors.Cosine, vectors.Euclidean} {
		schema := vectors.Schema{Dimension: 8, Metric: metric}
		fake := newFake(t)
		x := open(t, create(t, fake, schema), fast())
		reference, err := vectors.NewInMemory(schema)
		require.NoError(t, err)
		r := rand.New(rand.NewPCG(1, 2))
		var vs []vectors.Vector
		for i := range 3000 {
			v := vectors.Vector{Key: strconv.Itoa(i), Data: make([]float32, 8), Metadata: vectors.Metadata{"n": i, "mod": i % 7}}
			for j := range v.Data {
				v.Data[j] = float32(r.NormFloat64())
			}
			vs = append(vs, v)
		}
		for _, index := range []vectors.Index{x, reference} {
			_, err := index.Put(t.Context(), vectors.Of(vs...), nil)
			require.NoError(t, err)
		}
		fake.Options.Shortfall = 0.4
		for _, q := range []vectors.Query{
			{TopK: 20},
			{TopK: 500, Filter: vectors.Equal("mod", 3), Fields: vectors.Everything},
			{TopK: 5, Filter: vectors.Less("n", 3), Fields: vectors.KeysOnly},
			{Filter: vectors.Or()},
			{TopK: 30, Filter: vectors.Exists("n"), Fields: vectors.KeysAndData},
		} {
			q.Vector = vs[0].Data
			got, err := x.Exact(t.Context(), q)
			require.NoError(t, err)
			var want []vectors.Match
			for m, err := range reference.Query(t.Context(), q) {
				require.NoError(t, err)
				want = append(want, m)
			}
			require.Len(t, got, len(want))
			for i := range want {
				require.Equal(t, want[i].Vector, got[i].Vector)
				require.InDelta(t, want[i].Distance, got[i].Distance, 1e-5)
			}
		}
		recall, err := x.AuditRecall(t.Context(), vectors.Query{Vector: vs[0].Data}, vectors.Query{Vector: vs[1].Data, TopK: 500, Filter: vectors.Equal("mod", 3)})
		require.NoError(t, err)
		require.Equal(t, s3index.Recall{Queries: 2, Exact: 10 + 429, Found: recall.Found, Short: 1}, recall)
		require.InDelta(t, 0.6, recall.Share(), 0.1)
	}
	require.InDelta(t, 1, s3index.Recall{}.Share(), 0)
}

func TestExactReadsTheDataOfWhatMatchesAlone(t *testing.T) {
	x := loaded(t, newFake(t), 900, fast())
	var m meter.Meter
	found, err := x.Exact(meter.With(t.Context(), &m), vectors.Query{Vector: []float32{1, 0, 0}, Filter: vectors.Less("n", 150)})
	require.NoError(t, err)
	require.Len(t, found, 10)
	require.EqualValues(t, 1+2, m.Cost().Requests)
}

func TestABadExactQueryIsInvalid(t *testing.T) {
	x := loaded(t, newFake(t), 5, fast())
	for _, q := range []vectors.Query{{Vector: []float32{1}}, {Vector: []float32{1, 0, 0}, TopK: -1}, {Vector: []float32{1, 0, 0}, Filter: vectors.Exists("text")}} {
		_, err := x.Exact(t.Context(), q)
		require.ErrorIs(t, err, vectors.ErrInvalid)
		_, err = x.AuditRecall(t.Context(), q)
		require.ErrorIs(t, err, vectors.ErrInvalid)
	}
}
