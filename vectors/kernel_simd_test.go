//go:build goexperiment.simd && amd64

package vectors

import (
	"math/rand/v2"
	"simd/archsimd"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSIMDKernelsAgreeWithThePortableOnes(t *testing.T) {
	type pair struct{ simd, portable kernel }
	pairs := map[string]pair{}
	if archsimd.X86.AVX2() && archsimd.X86.FMA() {
		pairs["dot AVX2"], pairs["squares AVX2"] = pair{dotsAVX2, dotsPortable}, pair{squaresAVX2, squaresPortable}
	}
	if archsimd.X86.AVX512() {
		pairs["dot AVX-512"], pairs["squares AVX-512"] = pair{dotsAVX512, dotsPortable}, pair{squaresAVX512, squaresPortable}
	}
	if len(pairs) == 0 {
		t.Skip("this processor has neither AVX2 with FMA nor AVX-512")
	}
	r := rand.New(rand.NewPCG(9, 10))
	for name, p := range pairs {
		for n := range 700 {
			// An odd start: loads need no alignment.
			a, b := randomData(r, n+1)[1:], randomData(r, n+3)[3:]
			require.InDelta(t, one(p.portable, a, b), one(p.simd, a, b), 1e-5*float64(n+1), "%s of %d", name, n)
			ones := make([]float32, n)
			for i := range ones {
				ones[i] = 1
			}
			require.InDelta(t, one(p.portable, ones, make([]float32, n)), one(p.simd, ones, make([]float32, n)), 0, "%s of %d ones", name, n)
			require.InDelta(t, one(p.portable, ones, ones), one(p.simd, ones, ones), 0, "%s of %d ones", name, n)
		}
	}
}

func TestSIMDKernelsOfCodesAgree(t *testing.T) {
	if !archsimd.X86.AVX2() {
		t.Skip("this processor has no AVX2")
	}
	r := rand.New(rand.NewPCG(11, 12))
	for _, n := range []int{64, 128, 192, 700, 768, 4096} {
		stride := codeStride(n)
		rows, sums, wide, want := make([]uint8, 5*stride), make([]int32, 5), make([]int32, 5), make([]int32, 5)
		for i := range rows {
			rows[i] = uint8(r.IntN(128))
		}
		q, _, _ := newQueryCodes(randomData(r, n), 127)
		for row := range want {
			for i, code := range q.codes {
				want[row] += int32(code) * int32(rows[row*stride+i])
			}
		}
		sumsAVX2(&q, rows, sums)
		require.Equal(t, want, sums, n)
		if archsimd.X86.AVX512() {
			sumsAVX512(&q, rows, wide)
			require.Equal(t, want, wide, n)
		}
	}
}
