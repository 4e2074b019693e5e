package vectors

import (
	"iter"
	"math/bits"
	"slices"
)

// A bitset is a set of row numbers, one bit a row.
type bitset []uint64

func (b bitset) has(row uint32) bool {
	word := int(row / 64)
	return word < len(b) && b[word]&(1<<(row%64)) != 0
}

func (b *bitset) add(row uint32) {
	for int(row/64) >= len(*b) {
		*b = append(*b, 0)
	}
	(*b)[row/64] |= 1 << (row % 64)
}

// set is add for a set that is long enough.
func (b bitset) set(row uint32) { b[row/64] |= 1 << (row % 64) }

func (b bitset) remove(row uint32) {
	if int(row/64) < len(b) {
		b[row/64] &^= 1 << (row % 64)
	}
}

func (b bitset) len() (n int) {
	for _, word := range b {
		n += bits.OnesCount64(word)
	}
	return n
}

// rows yields the rows of b in order.
func (b bitset) rows() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for i, word := range b {
			for ; word != 0; word &= word - 1 {
				if !yield(uint32(i*64 + bits.TrailingZeros64(word))) {
					return
				}
			}
		}
	}
}

// A posting is the set of rows that have something: a sorted list, or a bitset
// from where that is the smaller. Its zero value is empty.
type posting struct {
	list  []uint32
	dense bitset // nil while list is used
	n     int
}

func (p *posting) add(row uint32) {
	if p.dense != nil {
		if !p.dense.has(row) {
			p.dense.add(row)
			p.n++
		}
		return
	}
	i, found := slices.BinarySearch(p.list, row)
	if found {
		return
	}
	p.list = slices.Insert(p.list, i, row)
	p.n++
	if last := p.list[len(p.list)-1]; p.n > 64 && uint32(p.n) > last/32 {
		p.dense = make(bitset, last/64+1)
		for _, row := range p.list {
			p.dense.add(row)
		}
		p.list = nil
	}
}

func (p *posting) remove(row uint32) {
	if p.dense != nil {
		if p.dense.has(row) {
			p.dense.remove(row)
			p.n--
		}
		return
	}
	if i, found := slices.BinarySearch(p.list, row); found {
		p.list = slices.Delete(p.list, i, i+1)
		p.n--
	}
}

// addTo adds p's rows to b, which is long enough for any row.
func (p *posting) addTo(b bitset) {
	for i, word := range p.dense {
		b[i] |= word
	}
	for _, row := range p.list {
		b.set(row)
	}
}
