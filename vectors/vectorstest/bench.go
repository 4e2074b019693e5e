package vectorstest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/genaistore/genaistore/vectors"
)

// Bench measures the Index that newIndex returns: puts, gets, lists and queries
// of 5,000 vectors of 384 dimensions, with a filter and without.
func Bench(b *testing.B, newIndex func(b *testing.B, schema vectors.Schema) vectors.Index) {
	b.Helper()
	const n, dimension = 5000, 384
	vs := random(n, dimension)
	index := newIndex(b, vectors.Schema{Dimension: dimension})
	put := func(b *testing.B, vs []vectors.Vector) {
		if _, err := index.Put(b.Context(), vectors.Of(vs...), nil); err != nil {
			b.Fatal(err)
		}
	}
	put(b, vs)
	b.Run("Put500", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			put(b, vs[:500])
		}
	})
	b.Run("Get100", func(b *testing.B) {
		keys := make([]string, 100)
		for i := range keys {
			keys[i] = vs[i*7].Key
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := index.Get(b.Context(), keys, &vectors.GetOptions{Fields: vectors.Everything}); err != nil {
				b.Fatal(err)
			}
		}
	})
	query := func(q vectors.Query) func(b *testing.B) {
		q.Vector = vs[17].Data
		return func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for _, err := range index.Query(b.Context(), q) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		}
	}
	b.Run("Query10", query(vectors.Query{}))
	b.Run("Query10Where1Percent", query(vectors.Query{Filter: vectors.Equal("hundredth", 7)}))
	b.Run("Query10WhereHalfAndRange", query(vectors.Query{Filter: vectors.And(vectors.Equal("even", true), vectors.AtLeast("n", 1000))}))
	b.Run("Query1000", query(vectors.Query{TopK: 1000, Fields: vectors.KeysOnly}))
	b.Run("List", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, err := range index.List(b.Context(), nil) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

// random returns n vectors in random directions.
func random(n, dimension int) []vectors.Vector {
	r := rand.New(rand.NewPCG(1, 2))
	vs := make([]vectors.Vector, n)
	for i := range vs {
		data := make([]float32, dimension)
		for j := range data {
			data[j] = float32(r.NormFloat64())
		}
		vs[i] = vectors.Vector{Key: fmt.Sprintf("k%06d", i), Data: data, Metadata: md{"n": i, "even": i%2 == 0, "hundredth": i % 100}}
	}
	return vs
}
