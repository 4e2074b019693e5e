//go:build goexperiment.simd && amd64

package vectors

import (
	"simd/archsimd"
	"unsafe"
)

func dotKernel() kernel {
	switch {
	case archsimd.X86.AVX512():
		return dotAVX512
	case archsimd.X86.AVX2() && archsimd.X86.FMA():
		return dotAVX2
	}
	return dotPortable
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

func dotAVX2(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 archsimd.Float32x8
	i := 0
	for ; i+32 <= len(a); i += 32 {
		s0 = load8(a, i).MulAdd(load8(b, i), s0)
		s1 = load8(a, i+8).MulAdd(load8(b, i+8), s1)
		s2 = load8(a, i+16).MulAdd(load8(b, i+16), s2)
		s3 = load8(a, i+24).MulAdd(load8(b, i+24), s3)
	}
	sum := sum8(s0.Add(s1).Add(s2.Add(s3)))
	archsimd.ClearAVXUpperBits()
	return sum + dotPortable(a[i:], b[i:])
}

func squaresAVX2(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 archsimd.Float32x8
	i := 0
	for ; i+32 <= len(a); i += 32 {
		d0 := load8(a, i).Sub(load8(b, i))
		d1 := load8(a, i+8).Sub(load8(b, i+8))
		d2 := load8(a, i+16).Sub(load8(b, i+16))
		d3 := load8(a, i+24).Sub(load8(b, i+24))
		s0, s1 = d0.MulAdd(d0, s0), d1.MulAdd(d1, s1)
		s2, s3 = d2.MulAdd(d2, s2), d3.MulAdd(d3, s3)
	}
	sum := sum8(s0.Add(s1).Add(s2.Add(s3)))
	archsimd.ClearAVXUpperBits()
	return sum + squaresPortable(a[i:], b[i:])
}

func dotAVX512(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 archsimd.Float32x16
	i := 0
	for ; i+64 <= len(a); i += 64 {
		s0 = load16(a, i).MulAdd(load16(b, i), s0)
		s1 = load16(a, i+16).MulAdd(load16(b, i+16), s1)
		s2 = load16(a, i+32).MulAdd(load16(b, i+32), s2)
		s3 = load16(a, i+48).MulAdd(load16(b, i+48), s3)
	}
	all := s0.Add(s1).Add(s2.Add(s3))
	sum := sum8(all.GetLo().Add(all.GetHi()))
	archsimd.ClearAVXUpperBits()
	return sum + dotPortable(a[i:], b[i:])
}

func squaresAVX512(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 archsimd.Float32x16
	i := 0
	for ; i+64 <= len(a); i += 64 {
		d0 := load16(a, i).Sub(load16(b, i))
		d1 := load16(a, i+16).Sub(load16(b, i+16))
		d2 := load16(a, i+32).Sub(load16(b, i+32))
		d3 := load16(a, i+48).Sub(load16(b, i+48))
		s0, s1 = d0.MulAdd(d0, s0), d1.MulAdd(d1, s1)
		s2, s3 = d2.MulAdd(d2, s2), d3.MulAdd(d3, s3)
	}
	all := s0.Add(s1).Add(s2.Add(s3))
	sum := sum8(all.GetLo().Add(all.GetHi()))
	archsimd.ClearAVXUpperBits()
	return sum + squaresPortable(a[i:], b[i:])
}

// load8 and load16 read v[i:] with no bounds check: their callers' loops end
// before the end of v.
func load8(v []float32, i int) archsimd.Float32x8 {
	return archsimd.LoadFloat32x8((*[8]float32)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(v)), 4*i)))
}

func load16(v []float32, i int) archsimd.Float32x16 {
	return archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(v)), 4*i)))
}

func sum8(v archsimd.Float32x8) float32 {
	x := v.GetLo().Add(v.GetHi())
	return (x.GetElem(0) + x.GetElem(1)) + (x.GetElem(2) + x.GetElem(3))
}
