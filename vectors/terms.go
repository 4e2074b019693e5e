package vectors

import (
	"math"
	"math/bits"
	"slices"
	"strings"
)

// A lexicon finds rows by their metadata.
type lexicon interface {
	// term returns what is known of a filterable key: of none if no row has it.
	term(key string) finder
}

// A finder finds rows by the values of one key. It adds to sets that are long
// enough for any row; the sets it returns are its caller's.
type finder interface {
	addExists(to bitset)
	addEqual(values []any, to bitset)
	startsWith(f Filter, within bitset, metadata func(row uint32) Metadata) bitset
	inOrder(f Filter, within bitset) bitset
}

// terms is a lexicon that can be added to and removed from: for every filterable key the rows that
// have it, and those of each value. The elements of a list are values of it.
type terms struct {
	except []string // non-filterable keys
	keys   map[string]*term
}

type term struct {
	exists posting
	values map[any]*posting
	// numbers has the number of each row, NaN where there is none, in pages of as
	// many rows as a word of a bitset has: orders read these and no metadata.
	numbers map[uint32]*[64]float64
}

func newTerms(except []string) terms { return terms{except, make(map[string]*term)} }

func (ts terms) term(key string) finder {
	if t, ok := ts.keys[key]; ok {
		return t
	}
	return new(term)
}

func (ts terms) add(row uint32, m Metadata) {
	for key, value := range m {
		if slices.Contains(ts.except, key) {
			continue
		}
		t, ok := ts.keys[key]
		if !ok {
			t = &term{values: make(map[any]*posting), numbers: make(map[uint32]*[64]float64)}
			ts.keys[key] = t
		}
		t.exists.add(row)
		switch value := value.(type) {
		case []any:
			for _, v := range value {
				t.addValue(row, v)
			}
		case float64:
			t.addValue(row, value)
			t.setNumber(row, value)
		default:
			t.addValue(row, value)
		}
	}
}

func (t *term) setNumber(row uint32, n float64) {
	page, ok := t.numbers[row/64]
	if !ok {
		page = new([64]float64)
		for i := range page {
			page[i] = math.NaN()
		}
		t.numbers[row/64] = page
	}
	page[row%64] = n
}

func (t *term) addValue(row uint32, value any) {
	p, ok := t.values[value]
	if !ok {
		p = new(posting)
		t.values[value] = p
	}
	p.add(row)
}

func (ts terms) remove(row uint32, m Metadata) {
	for key, value := range m {
		t, ok := ts.keys[key]
		if !ok {
			continue
		}
		t.exists.remove(row)
		switch value := value.(type) {
		case []any:
			for _, v := range value {
				t.removeValue(row, v)
			}
		case float64:
			t.removeValue(row, value)
			t.setNumber(row, math.NaN())
		default:
			t.removeValue(row, value)
		}
		if t.exists.n == 0 {
			delete(ts.keys, key)
		}
	}
}

func (t *term) removeValue(row uint32, value any) {
	if p, ok := t.values[value]; ok {
		if p.remove(row); p.n == 0 {
			delete(t.values, value)
		}
	}
}

// matching returns the rows of within that match f, in a set of its own; metadata
// returns that of a row.
func matching(lex lexicon, f Filter, within bitset, metadata func(row uint32) Metadata) bitset {
	switch f.Op {
	case "":
		return slices.Clone(within)
	case OpAnd:
		return matchingAll(lex, f.Of, within, metadata)
	case OpOr:
		return matchingAny(lex, f.Of, within, metadata)
	}
	t := lex.term(f.Key)
	found := make(bitset, len(within))
	switch f.Op {
	case OpExists:
		t.addExists(found)
	case OpMissing:
		t.addExists(found)
		return within.without(found)
	case OpEqual, OpIn:
		t.addEqual(f.Values, found)
	case OpNotEqual, OpNotIn:
		t.addEqual(f.Values, found)
		exists := make(bitset, len(within))
		t.addExists(exists)
		found = exists.without(found)
	case OpStartsWith:
		return t.startsWith(f, within, metadata)
	default:
		return t.inOrder(f, within)
	}
	found.intersect(within)
	return found
}

// matchingAll narrows within by one filter after the other, those that need to
// look at metadata last.
func matchingAll(lex lexicon, of []Filter, within bitset, metadata func(row uint32) Metadata) bitset {
	found := slices.Clone(within)
	for _, byRow := range []bool{false, true} {
		for _, f := range of {
			if f.byRow() == byRow {
				found = matching(lex, f, found, metadata)
			}
		}
	}
	return found
}

func matchingAny(lex lexicon, of []Filter, within bitset, metadata func(row uint32) Metadata) bitset {
	found := make(bitset, len(within))
	for _, f := range of {
		found.union(matching(lex, f, within.without(found), metadata))
	}
	return found
}

// byRow reports whether f may look at the metadata of every row.
func (f Filter) byRow() bool {
	switch f.Op {
	case OpAnd, OpOr:
		return slices.ContainsFunc(f.Of, Filter.byRow)
	case OpStartsWith:
		return true
	}
	return false
}

func (t *term) addExists(to bitset) { t.exists.addTo(to) }

// inOrder reads the numbers of the rows of within.
func (t *term) inOrder(f Filter, within bitset) bitset {
	found := make(bitset, len(within))
	for i, word := range within {
		page, ok := t.numbers[uint32(i)]
		if word == 0 || !ok {
			continue
		}
		for ; word != 0; word &= word - 1 {
			if bit := bits.TrailingZeros64(word); f.matchOrder(page[bit]) {
				found[i] |= 1 << bit
			}
		}
	}
	return found
}

// startsWith tries f on every value, or on every row if these are not many more.
func (t *term) startsWith(f Filter, within bitset, metadata func(row uint32) Metadata) bitset {
	found := make(bitset, len(within))
	if len(t.values) < t.exists.n/4 {
		for value, p := range t.values {
			if f.matchPrefix(value) {
				p.addTo(found)
			}
		}
		found.intersect(within)
		return found
	}
	t.exists.addTo(found)
	found.intersect(within)
	for row := range found.rows() {
		if !f.matchPrefix(metadata(row)[f.Key]) {
			found.remove(row)
		}
	}
	return found
}

func (t *term) addEqual(values []any, to bitset) {
	for _, v := range values {
		if p, ok := t.values[v]; ok {
			p.addTo(to)
		}
	}
}

// keepPrefix removes from found the rows whose keys do not begin with prefix.
func (t *table) keepPrefix(prefix string, found bitset) {
	for row := range found.rows() {
		if !strings.HasPrefix(t.key(row), prefix) {
			found.remove(row)
		}
	}
}

func (b bitset) intersect(other bitset) {
	for i := range b {
		b[i] &= other[i]
	}
}

func (b bitset) union(other bitset) {
	for i := range b {
		b[i] |= other[i]
	}
}

func (b bitset) without(other bitset) bitset {
	out := slices.Clone(b)
	for i := range out {
		out[i] &^= other[i]
	}
	return out
}
