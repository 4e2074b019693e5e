//go:build goexperiment.simd && amd64

package vectors

import (
	"simd/archsimd"
	"unsafe"
)

func dotKernel() kernel {
	switch {
	case archsimd.X86.AVX512():
		return dotsAVX512
	case archsimd.X86.AVX2() && archsimd.X86.FMA():
		return dotsAVX2
	}
	return dotsPortable
}

func squaresKernel() kernel {
	switch {
	case archsimd.X86.AVX512():
		return squaresAVX512
	case archsimd.X86.AVX2() && archsimd.X86.FMA():
		return squaresAVX2
	}
	return squaresPortable
}

func codesKernel() codeKernel {
	switch {
	case archsimd.X86.AVX512():
		return codeKernel{127, sumsAVX512}
	case archsimd.X86.AVX2():
		return codeKernel{127, sumsAVX2}
	}
	return codeKernel{63, sumsPortable}
}

// The sums of two products of codes fit in 16 bits: 2 * 127 * 127.
func sumsAVX2(q *queryCodes, rows []uint8, sums []int32) {
	stride := len(q.codes)
	ones := archsimd.BroadcastInt16x16(1)
	for n := range sums {
		row := rows[n*stride : (n+1)*stride]
		var s0, s1 archsimd.Int32x8
		for i := 0; i < stride; i += codeBlock {
			s0 = s0.Add(codes32(row, i).DotProductPairsSaturated(signed32(q.codes, i)).DotProductPairs(ones))
			s1 = s1.Add(codes32(row, i+32).DotProductPairsSaturated(signed32(q.codes, i+32)).DotProductPairs(ones))
		}
		s := s0.Add(s1)
		sums[n] = sum4(s.GetLo().Add(s.GetHi()))
	}
	archsimd.ClearAVXUpperBits()
}

func sumsAVX512(q *queryCodes, rows []uint8, sums []int32) {
	stride := len(q.codes)
	ones := archsimd.BroadcastInt16x32(1)
	for n := range sums {
		row := rows[n*stride : (n+1)*stride]
		var s0, s1 archsimd.Int32x16
		i := 0
		for ; i+2*codeBlock <= stride; i += 2 * codeBlock {
			s0 = s0.Add(codes64(row, i).DotProductPairsSaturated(signed64(q.codes, i)).DotProductPairs(ones))
			s1 = s1.Add(codes64(row, i+codeBlock).DotProductPairsSaturated(signed64(q.codes, i+codeBlock)).DotProductPairs(ones))
		}
		if i < stride {
			s0 = s0.Add(codes64(row, i).DotProductPairsSaturated(signed64(q.codes, i)).DotProductPairs(ones))
		}
		all := s0.Add(s1)
		s := all.GetLo().Add(all.GetHi())
		sums[n] = sum4(s.GetLo().Add(s.GetHi()))
	}
	archsimd.ClearAVXUpperBits()
}

func dotsAVX2(query, rows, sums []float32) {
	n := len(query)
	most := n / 32 * 32
	for i := range sums {
		row := rows[i*n : (i+1)*n]
		var s0, s1, s2, s3 archsimd.Float32x8
		for j := 0; j < most; j += 32 {
			s0 = load8(query, j).MulAdd(load8(row, j), s0)
			s1 = load8(query, j+8).MulAdd(load8(row, j+8), s1)
			s2 = load8(query, j+16).MulAdd(load8(row, j+16), s2)
			s3 = load8(query, j+24).MulAdd(load8(row, j+24), s3)
		}
		sums[i] = sum8(s0.Add(s1).Add(s2.Add(s3)))
	}
	archsimd.ClearAVXUpperBits()
	addRest(query, rows, sums, most, dot)
}

func squaresAVX2(query, rows, sums []float32) {
	n := len(query)
	most := n / 32 * 32
	for i := range sums {
		row := rows[i*n : (i+1)*n]
		var s0, s1, s2, s3 archsimd.Float32x8
		for j := 0; j < most; j += 32 {
			d0 := load8(query, j).Sub(load8(row, j))
			d1 := load8(query, j+8).Sub(load8(row, j+8))
			d2 := load8(query, j+16).Sub(load8(row, j+16))
			d3 := load8(query, j+24).Sub(load8(row, j+24))
			s0, s1 = d0.MulAdd(d0, s0), d1.MulAdd(d1, s1)
			s2, s3 = d2.MulAdd(d2, s2), d3.MulAdd(d3, s3)
		}
		sums[i] = sum8(s0.Add(s1).Add(s2.Add(s3)))
	}
	archsimd.ClearAVXUpperBits()
	addRest(query, rows, sums, most, squares)
}

func dotsAVX512(query, rows, sums []float32) {
	n := len(query)
	most := n / 64 * 64
	for i := range sums {
		row := rows[i*n : (i+1)*n]
		var s0, s1, s2, s3 archsimd.Float32x16
		for j := 0; j < most; j += 64 {
			s0 = load16(query, j).MulAdd(load16(row, j), s0)
			s1 = load16(query, j+16).MulAdd(load16(row, j+16), s1)
			s2 = load16(query, j+32).MulAdd(load16(row, j+32), s2)
			s3 = load16(query, j+48).MulAdd(load16(row, j+48), s3)
		}
		all := s0.Add(s1).Add(s2.Add(s3))
		sums[i] = sum8(all.GetLo().Add(all.GetHi()))
	}
	archsimd.ClearAVXUpperBits()
	addRest(query, rows, sums, most, dot)
}

func squaresAVX512(query, rows, sums []float32) {
	n := len(query)
	most := n / 64 * 64
	for i := range sums {
		row := rows[i*n : (i+1)*n]
		var s0, s1, s2, s3 archsimd.Float32x16
		for j := 0; j < most; j += 64 {
			d0 := load16(query, j).Sub(load16(row, j))
			d1 := load16(query, j+16).Sub(load16(row, j+16))
			d2 := load16(query, j+32).Sub(load16(row, j+32))
			d3 := load16(query, j+48).Sub(load16(row, j+48))
			s0, s1 = d0.MulAdd(d0, s0), d1.MulAdd(d1, s1)
			s2, s3 = d2.MulAdd(d2, s2), d3.MulAdd(d3, s3)
		}
		all := s0.Add(s1).Add(s2.Add(s3))
		sums[i] = sum8(all.GetLo().Add(all.GetHi()))
	}
	archsimd.ClearAVXUpperBits()
	addRest(query, rows, sums, most, squares)
}

// addRest adds what pair makes of the numbers from most on, of which there are
// fewer than a kernel takes at a time.
func addRest(query, rows, sums []float32, most int, pair func(a, b []float32) float32) {
	if n := len(query); most < n {
		for i := range sums {
			sums[i] += pair(query[most:], rows[i*n+most:(i+1)*n])
		}
	}
}

// load8 and load16 read v[i:] with no bounds check: their callers' loops end
// before the end of v.
func load8(v []float32, i int) archsimd.Float32x8 {
	return archsimd.LoadFloat32x8((*[8]float32)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(v)), 4*i)))
}

func load16(v []float32, i int) archsimd.Float32x16 {
	return archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(v)), 4*i)))
}

// The same for codes, whose length is a multiple of codeBlock.
func codes32(row []uint8, i int) archsimd.Uint8x32 {
	return archsimd.LoadUint8x32((*[32]uint8)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(row)), i)))
}

func signed32(q []int8, i int) archsimd.Int8x32 {
	return archsimd.LoadInt8x32((*[32]int8)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(q)), i)))
}

func codes64(row []uint8, i int) archsimd.Uint8x64 {
	return archsimd.LoadUint8x64((*[64]uint8)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(row)), i)))
}

func signed64(q []int8, i int) archsimd.Int8x64 {
	return archsimd.LoadInt8x64((*[64]int8)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(q)), i)))
}

func sum4(v archsimd.Int32x4) int32 {
	return v.GetElem(0) + v.GetElem(1) + v.GetElem(2) + v.GetElem(3)
}

func sum8(v archsimd.Float32x8) float32 {
	x := v.GetLo().Add(v.GetHi())
	return (x.GetElem(0) + x.GetElem(1)) + (x.GetElem(2) + x.GetElem(3))
}
