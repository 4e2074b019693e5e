package vectors

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func codeKernels() map[string]codeKernel {
	return map[string]codeKernel{"portable": {63, sumsPortable}, "of this build": codesKernel()}
}

// Codes at their ends make the greatest sums, of either sign.
func TestKernelsOfCodesAddEveryProduct(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, kernel := range codeKernels() {
		for _, n := range []int{64, 65, 100, 127, 128, 129, 192, 200, 768, 1000, 4096} {
			stride := codeStride(n)
			for _, choose := range []func() (query float32, code uint8){
				func() (float32, uint8) { return float32(r.NormFloat64()), uint8(1 + r.IntN(127)) },
				func() (float32, uint8) { return 1, 127 },
				func() (float32, uint8) { return -1, 127 },
				func() (float32, uint8) { return float32(1 - 2*r.IntN(2)), uint8(1 + 126*r.IntN(2)) },
			} {
				query, rows, sums := make([]float32, n), make([]uint8, 3*stride), make([]int32, 3)
				for i := range n {
					for row := range sums {
						query[i], rows[row*stride+i] = choose()
					}
				}
				q, _, _ := newQueryCodes(query, kernel.levels)
				kernel.sums(&q, rows, sums)
				for row, got := range sums {
					var want, sum int32
					for i, code := range q.codes {
						want += int32(code) * int32(rows[row*stride+i])
						sum += int32(code)
					}
					require.Equal(t, want, got, "%s of %d, row %d", name, n, row)
					require.Equal(t, sum, q.sum)
				}
			}
		}
	}
}

// adversary makes vectors whose codes say as little as codes can.
type adversary struct{ *rand.Rand }

func (a adversary) signs(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(1 - 2*a.IntN(2))
	}
	return v
}

// onCodes returns numbers that levels codes have exactly, but for a part of a
// step that each is off in the direction of along: what is off adds up.
func (a adversary) onCodes(along []float32, levels int, off float64) []float32 {
	v := make([]float32, len(along))
	for i := range v {
		code := a.IntN(2*levels-1) - (levels - 1)
		v[i] = float32(float64(code) + off*float64(along[i]))
	}
	v[0] = float32(levels)
	return v
}

// pair returns a query and a row of n numbers.
func (a adversary) pair(n int) (query, row []float32) {
	query, row = randomData(a.Rand, n), randomData(a.Rand, n)
	switch a.IntN(9) {
	case 0: // the row is off its codes along the query
		query = a.signs(n)
		row = a.onCodes(query, rowLevels, 0.499*float64(1-2*a.IntN(2)))
	case 1: // the query is off along the row
		row = a.signs(n)
		query = a.onCodes(row, []int{63, 127}[a.IntN(2)], 0.499*float64(1-2*a.IntN(2)))
	case 2: // as near as can be
		row = append(row[:0], query...)
		for i := range row {
			row[i] += float32(a.NormFloat64()) * float32(math.Pow(10, -float64(a.IntN(9))))
		}
	case 3: // one number beside which all are nothing
		row[a.IntN(n)] = 1e6
	case 4: // one that is all there is
		clear(row)
		row[a.IntN(n)] = 1
	case 5:
		query = append(query[:0], row...)
	case 6: // across
		for i := range row {
			row[i] = -query[i]
		}
	case 7:
		row = a.signs(n)
		query = a.signs(n)
	}
	magnitudes := []float64{1, 1, 1, 1e-3, 1e10, 1e30, 3e37, 1e-18, 1e-22, 1e-30, 1e-44}
	if a.IntN(2) == 0 {
		scaled(query, magnitudes[a.IntN(len(magnitudes))])
		scaled(row, magnitudes[a.IntN(len(magnitudes))])
	}
	return query, row
}

func scaled(v []float32, by float64) {
	for i := range v {
		v[i] = float32(max(-math.MaxFloat32, min(math.MaxFloat32, float64(v[i])*by)))
	}
}

// requireNotFar checks that a row is never left out where its own distance is in
// reach: the bound is one of what the kernels compute, to the last bit.
func requireNotFar(t *testing.T, metric Metric, kernel codeKernel, query, row []float32) {
	t.Helper()
	schema := Schema{Metric: metric}
	if schema.ValidateData(query) != nil || schema.ValidateData(row) != nil {
		return // zero, under cosine
	}
	scale := 1.0
	if metric == Cosine {
		scale = cosineScale(row)
	}
	codes := make([]uint8, codeStride(len(row)))
	m := encodeRow(row, scale, codes)
	ruler := newRuler(metric, query)
	s := newSieve(ruler, kernel)
	var sums [1]int32
	kernel.sums(&s.query, codes, sums[:])
	figure := ruler.figure(one(ruler.sums, ruler.query, row), scale)
	reach := ruler.reach(ruler.distance(figure, row, scale))
	require.False(t, s.far(sums[0], m, s.limit(reach)), "%s of %d: figure %v, reach %v", metric, len(row), figure, reach)
}

func TestNoRowIsLeftOutThatIsInReach(t *testing.T) {
	a := adversary{rand.New(rand.NewPCG(3, 4))}
	for _, kernel := range codeKernels() {
		for range 20_000 {
			query, row := a.pair([]int{64, 65, 100, 256, 768}[a.IntN(5)])
			requireNotFar(t, Cosine, kernel, query, row)
			requireNotFar(t, Euclidean, kernel, query, row)
		}
	}
	zero := make([]float32, 64)
	for _, kernel := range codeKernels() {
		for range 100 {
			query, row := a.pair(64)
			requireNotFar(t, Euclidean, kernel, zero, row)
			requireNotFar(t, Euclidean, kernel, query, zero)
			requireNotFar(t, Euclidean, kernel, zero, zero)
		}
	}
}

func FuzzNoRowIsLeftOutThatIsInReach(f *testing.F) {
	f.Add(uint64(1), uint64(2), []byte{0, 0, 128, 63})
	f.Add(uint64(3), uint64(4), []byte{1, 0, 0, 0, 255, 255, 127, 127})
	f.Fuzz(func(t *testing.T, x, y uint64, numbers []byte) {
		a := adversary{rand.New(rand.NewPCG(x, y))}
		query, row := a.pair(64 + a.IntN(130))
		for i := 0; i+4 <= len(numbers) && i/4 < len(row); i += 4 {
			v := math.Float32frombits(uint32(numbers[i]) | uint32(numbers[i+1])<<8 | uint32(numbers[i+2])<<16 | uint32(numbers[i+3])<<24)
			if finite(float64(v)) {
				row[i/4] = v
			}
		}
		for _, kernel := range codeKernels() {
			requireNotFar(t, Cosine, kernel, query, row)
			requireNotFar(t, Euclidean, kernel, query, row)
		}
	})
}

// A bound that leaves out nothing is safe too, and of no use.
func TestMostRowsAreLeftOut(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const rows, n = 3000, 768
	for _, metric := range []Metric{Cosine, Euclidean} {
		for name, kernel := range codeKernels() {
			ruler := newRuler(metric, randomData(r, n))
			s := newSieve(ruler, kernel)
			top := topK{k: 10}
			marks, sums, codes := make([]mark, rows), make([]int32, rows), make([]uint8, rows*n)
			for i := range rows {
				row := randomData(r, n)
				scale := 1.0
				if metric == Cosine {
					scale = cosineScale(row)
				}
				marks[i] = encodeRow(row, scale, codes[i*n:(i+1)*n])
				top.push(hit{distance: ruler.distance(ruler.figure(one(ruler.sums, ruler.query, row), scale), row, scale), key: fmt.Sprint(i)})
			}
			s.kernel.sums(&s.query, codes, sums)
			limit, left := s.limit(ruler.reach(top.worst())), 0
			for i, sum := range sums {
				if !s.far(sum, marks[i], limit) {
					left++
				}
			}
			require.Less(t, left, rows/20, "%s, %s", metric, name)
			require.GreaterOrEqual(t, left, 10)
		}
	}
}

// Where codes lie, the nearest is not found: so they are what a search reads.
func TestASearchBelievesTheCodes(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	var index InMemory
	near := randomData(r, 64)
	for i := range 200 {
		data := randomData(r, 64)
		if i == 150 {
			data = near
		}
		_, err := index.Put(t.Context(), Of(Vector{Key: fmt.Sprint(i), Data: data, Metadata: Metadata{"n": i}}), nil)
		require.NoError(t, err)
	}
	first := func(f Filter) string {
		for m, err := range index.Query(t.Context(), Query{Vector: near, TopK: 1, Filter: f}) {
			require.NoError(t, err)
			return m.Key
		}
		return ""
	}
	for _, f := range []Filter{{}, AtLeast("n", 20)} {
		require.Equal(t, "150", first(f))
	}
	slab, i := index.table.at(index.table.rows["150"])
	slab.marks[i] = mark{}
	for _, f := range []Filter{{}, AtLeast("n", 20)} {
		require.NotEqual(t, "150", first(f))
	}
}

func BenchmarkCodes768(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	row := randomData(r, 768)
	for name, kernel := range codeKernels() {
		b.Run(name, func(b *testing.B) {
			codes, sums := make([]uint8, 64*768), make([]int32, 64)
			q, _, _ := newQueryCodes(row, kernel.levels)
			for b.Loop() {
				kernel.sums(&q, codes, sums)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/row")
		})
	}
	b.Run("encode", func(b *testing.B) {
		codes := make([]uint8, 768)
		for b.Loop() {
			encodeRow(row, 1, codes)
		}
	})
}
