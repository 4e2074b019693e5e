package vectors

import (
	"encoding/binary"
	"math"
)

// A search reads codes first: a byte for each number of a vector, which take a
// quarter of the memory traffic. From the codes follows how near a vector can be
// at most, whatever rounding did; only one that can have a place among the hits is
// measured. So the answer is the one of a search that measures all.

// codedFrom is the least dimension whose vectors have codes, and codeBlock what a
// row of codes is a multiple of.
const (
	codedFrom = 64
	codeBlock = 64
)

// rowLevels is the greatest code of a row, on either side of the middle: codes
// are 1 to 127, with 0 beyond the dimension. The sums of the kernels rely on it.
const (
	rowLevels = 63
	rowMiddle = 64
)

// A mark goes with the codes of a row. The row, of length 1 under Cosine, is the
// codes less rowMiddle, times step, but for a rest of at most that length.
type mark struct {
	step float32
	rest float32
	norm float32 // at least the length of what the codes say
}

// encodeRow fills codes with those of row times scale.
func encodeRow(row []float32, scale float64, codes []uint8) mark {
	var bits uint32 // of the greatest number; max of floats is slow
	for _, x := range row {
		bits = max(bits, math.Float32bits(x)&^(1<<31))
	}
	most := float64(math.Float32frombits(bits))
	codes = codes[:len(row)]
	if most == 0 {
		for i := range codes {
			codes[i] = rowMiddle
		}
		return mark{}
	}
	inverse, step := rowLevels/most, float32(most*scale/rowLevels)
	rest, squares := 0.0, int32(0)
	for i, x := range row {
		code := int32(float64(x)*inverse + (rowMiddle + 0.5))
		codes[i] = uint8(code)
		code -= rowMiddle
		squares += code * code
		off := float64(x)*scale - float64(step)*float64(code)
		rest += off * off
	}
	return mark{step, above(math.Sqrt(rest)), above(float64(step) * math.Sqrt(float64(squares)))}
}

// above returns a float32 greater than x, which rounding took a little from.
func above(x float64) float32 {
	return math.Nextafter32(float32(x*(1+1e-9)), float32(math.Inf(1)))
}

// A codeKernel sums products of codes of a query, from -levels to levels, and
// codes of rows that lie one after the other.
type codeKernel struct {
	levels int
	sums   func(q *queryCodes, rows []uint8, sums []int32)
}

// queryCodes are the codes of a query, in the forms that kernels read.
type queryCodes struct {
	codes []int8
	words []uint64
	sum   int32 // of codes
}

func newQueryCodes(query []float32, levels int) (q queryCodes, step, rest float64) {
	stride := codeStride(len(query))
	q.codes, q.words = make([]int8, stride), make([]uint64, stride/4)
	var most float64
	for _, x := range query {
		most = max(most, math.Abs(float64(x)))
	}
	if most == 0 {
		return q, 0, 0
	}
	step = most / float64(levels)
	for i, x := range query {
		code := math.Round(float64(x) / step)
		off := float64(x) - code*step
		rest += off * off
		q.codes[i] = int8(code)
		q.sum += int32(code)
		// The 8 codes of a row from i&^7 on make two words, of the even and of the
		// odd ones, in fields of 16 bits; products meet in the last field.
		q.words[i/8*2+i%2] += uint64(int64(code)) << (48 - 16*(i%8/2))
	}
	return q, step, math.Sqrt(rest) * (1 + 1e-9)
}

// codeStride returns how many codes a row has, 0 if none.
func codeStride(dimension int) int {
	if dimension < codedFrom {
		return 0
	}
	return (dimension + codeBlock - 1) / codeBlock * codeBlock
}

// sumsPortable multiplies four codes of a row by four of the query at a time: in
// the product of two words of four fields each, the last field has the sum of four
// products, which is below 4 * 127 * 63, so that it fits. What the other fields
// carry into it is -1 or 0, and 0 once half of it is added.
func sumsPortable(q *queryCodes, rows []uint8, sums []int32) {
	const even, half = 0x00ff00ff00ff00ff, 1 << 47
	stride := len(q.codes)
	for i := range sums {
		row, words := rows[i*stride:(i+1)*stride], q.words
		var s0, s1 int64
		for len(row) >= 32 && len(words) >= 8 {
			r, p := (*[32]uint8)(row), (*[8]uint64)(words)
			w := binary.LittleEndian.Uint64(r[0:])
			s0 += int64((w&even)*p[0]+half) >> 48
			s1 += int64((w>>8&even)*p[1]+half) >> 48
			w = binary.LittleEndian.Uint64(r[8:])
			s0 += int64((w&even)*p[2]+half) >> 48
			s1 += int64((w>>8&even)*p[3]+half) >> 48
			w = binary.LittleEndian.Uint64(r[16:])
			s0 += int64((w&even)*p[4]+half) >> 48
			s1 += int64((w>>8&even)*p[5]+half) >> 48
			w = binary.LittleEndian.Uint64(r[24:])
			s0 += int64((w&even)*p[6]+half) >> 48
			s1 += int64((w>>8&even)*p[7]+half) >> 48
			row, words = row[32:], words[8:]
		}
		sums[i] = int32(s0 + s1)
	}
}

// A sieve tells by their codes which rows are too far from a query.
type sieve struct {
	metric  Metric
	kernel  codeKernel
	query   queryCodes
	step    float64
	rest    float64 // at least the length of what the codes leave of the query
	norm    float64 // at least the length of the query
	squares float64 // of the query
	// rounding is more than what a kernel's figure may be off, relative to the
	// product of lengths, or to the distance under Euclidean, and underflow what it
	// may be off in any case.
	rounding, underflow float64
}

func newSieve(r ruler, kernel codeKernel) *sieve {
	s := &sieve{metric: r.metric, kernel: kernel, squares: dotWide(r.query, r.query)}
	s.query, s.step, s.rest = newQueryCodes(r.query, s.kernel.levels)
	s.norm = math.Sqrt(s.squares) * (1 + 1e-9)
	// A kernel adds a quarter of the numbers one after the other at most, each sum
	// is off by half a unit in the last place, and so is each product.
	s.rounding = float64(len(r.query)/4+16) * 0x1p-24 * 1.01
	s.underflow = float64(len(r.query)) * 0x1p-149
	return s
}

// limit turns a reach, see [ruler.reach], into what far compares with.
func (s *sieve) limit(reach float64) float64 {
	if s.metric == Euclidean {
		return math.Sqrt((reach + s.underflow) / (1 - s.rounding))
	}
	return 1 - reach - s.rounding*s.norm - 1e-9
}

// far reports whether the figure of the row whose codes have this sum is certain
// to be greater than the reach of limit. What is not a number is not far.
func (s *sieve) far(sum int32, m mark, limit float64) bool {
	norm, rest := float64(m.norm), float64(m.rest)
	said := float64(m.step) * s.step * float64(sum-rowMiddle*s.query.sum)
	if s.metric == Euclidean {
		// The distance of what the codes say, of which the row is off by its rest.
		squares := s.squares + norm*norm*(1-1e-6)
		reach := limit + rest
		return squares-2*(said+s.rest*norm)-1e-12*(s.squares+norm*norm) > reach*reach
	}
	return said+s.norm*rest+s.rest*norm < limit
}
