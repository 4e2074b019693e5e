package vectors

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func randomData(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

// one is what a kernel makes of one row.
func one(k kernel, query, row []float32) float32 {
	var sums [1]float32
	k(query, row, sums[:])
	return sums[0]
}

// kernels returns those of this build beside the portable ones.
func kernels() map[string][2]kernel {
	return map[string][2]kernel{"portable": {dotsPortable, squaresPortable}, "of this build": {dotKernel(), squaresKernel()}}
}

func TestKernelsAgreeWithFloat64(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	lengths := []int{0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 127, 128, 129, 384, 767, 768, 1024, 1536, 4095, 4096}
	for name, k := range kernels() {
		for _, n := range lengths {
			for range 20 {
				a, b := randomData(r, n), randomData(r, n)
				scale := math.Sqrt(dotWide(a, a)*dotWide(b, b)) + 1e-30
				require.InDelta(t, dotWide(a, b)/scale, float64(one(k[0], a, b))/scale, 1e-5, "dot %s of %d", name, n)
				require.InEpsilon(t, squaresWide(a, b)+1, float64(one(k[1], a, b))+1, 1e-5, "squares %s of %d", name, n)
			}
		}
	}
}

// A kernel that left out a number would be within 1e-5 too, if that were small.
func TestKernelsReadEveryNumberOnce(t *testing.T) {
	for name, k := range kernels() {
		for n := 1; n <= 200; n++ {
			ones := make([]float32, n+1)
			for i := range ones {
				ones[i] = 1
			}
			require.InDelta(t, n, one(k[0], ones[:n], ones[:n]), 0, "dot %s of %d", name, n)
			for i := range n {
				lone := make([]float32, n)
				lone[i] = 3
				require.InDelta(t, 3, one(k[0], lone, ones[:n]), 0, "dot %s of %d at %d", name, n, i)
				require.InDelta(t, n+3, one(k[1], lone, ones[:n]), 0, "squares %s of %d at %d", name, n, i)
			}
		}
	}
}

func TestKernelsKeepRowsApart(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for name, k := range kernels() {
		for _, n := range []int{1, 63, 64, 65, 100, 768} {
			query, rows := randomData(r, n), randomData(r, 5*n)
			for i, kernel := range k {
				sums := make([]float32, 5)
				kernel(query, rows, sums)
				for row, sum := range sums {
					require.InDelta(t, one(kernel, query, rows[row*n:(row+1)*n]), sum, 0, "kernel %d %s of %d, row %d", i, name, n, row)
				}
			}
		}
	}
}

func TestDistancesOfEveryMagnitude(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, metric := range []Metric{Cosine, Euclidean} {
		for _, x := range []float64{1e-21, 1e-10, 1, 1e10, 1e19, 1e30, 1e37} {
			for _, y := range []float64{1e-21, 1, 1e37} {
				name := fmt.Sprintf("%s of %g and %g", metric, x, y)
				q, row := randomData(r, 100), randomData(r, 100)
				for i := range q {
					q[i], row[i] = q[i]*float32(x), row[i]*float32(y)
				}
				ruler := newRuler(metric, q)
				scale := cosineScale(row)
				got := ruler.distance(ruler.figure(one(ruler.sums, ruler.query, row), scale), row, scale)
				want := math.Sqrt(squaresWide(q, row))
				if metric == Cosine {
					want = 1 - dotWide(q, row)*scale*cosineScale(q)
				}
				require.InDelta(t, 1, (got+1e-20)/(want+1e-20), 1e-4, name)
			}
		}
	}
}

func TestCosineDistancesAreFrom0To2(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 2000 {
		q := randomData(r, 1+r.IntN(50))
		ruler := newRuler(Cosine, q)
		for _, factor := range []float32{1, 3, -1, -0.7} {
			row := make([]float32, len(q))
			for i := range q {
				row[i] = q[i] * factor
			}
			scale := cosineScale(row)
			d := ruler.distance(ruler.figure(one(ruler.sums, ruler.query, row), scale), row, scale)
			require.True(t, d >= 0 && d <= 2 && (d < 1e-5 || d > 2-1e-5), "distance %v", d)
		}
	}
}

func BenchmarkDot768(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	x, y := randomData(r, 768), randomData(r, 768)
	for name, k := range kernels() {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(768 * 4)
			for b.Loop() {
				one(k[0], x, y)
			}
		})
	}
}
