package vectors

import (
	"maps"
	"slices"
	"strings"
)

// terms finds rows by their metadata: for every filterable key the rows that
// have it, and those of each value. The elements of a list are values of it.
type terms struct {
	except []string // non-filterable keys
	keys   map[string]*term
}

type term struct {
	exists posting
	values map[any]*posting
	lists  int // rows with a list: an order matches none of their values
}

func (ts terms) add(row uint32, m Metadata) {
	for key, value := range m {
		if slices.Contains(ts.except, key) {
			continue
		}
		t, ok := ts.keys[key]
		if !ok {
			t = &term{values: make(map[any]*posting)}
			ts.keys[key] = t
		}
		t.exists.add(row)
		list, ok := value.([]any)
		if !ok {
			t.addValue(row, value)
			continue
		}
		t.lists++
		for _, v := range list {
			t.addValue(row, v)
		}
	}
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
		if list, ok := value.([]any); ok {
			t.lists--
			for _, v := range list {
				t.removeValue(row, v)
			}
		} else {
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

// filter returns the rows of within that match f, in a set of its own; metadata
// returns that of a row.
func (ts terms) filter(f Filter, within bitset, metadata func(row uint32) Metadata) bitset {
	switch f.Op {
	case "":
		return slices.Clone(within)
	case OpAnd:
		return ts.all(f.Of, within, metadata)
	case OpOr:
		return ts.any(f.Of, within, metadata)
	}
	t := ts.keys[f.Key]
	if t == nil {
		t = new(term)
	}
	found := make(bitset, len(within))
	switch f.Op {
	case OpExists:
		t.exists.addTo(found)
	case OpMissing:
		t.exists.addTo(found)
		return within.without(found)
	case OpEqual, OpIn:
		t.addEqual(f.Values, found)
	case OpNotEqual, OpNotIn:
		t.addEqual(f.Values, found)
		exists := make(bitset, len(within))
		t.exists.addTo(exists)
		found = exists.without(found)
	default:
		if t.lists == 0 && len(t.values) < t.exists.n/4 {
			t.addMatching(f, found)
			break
		}
		t.exists.addTo(found)
		found.intersect(within)
		for row := range found.rows() {
			if !f.Match(metadata(row)) {
				found.remove(row)
			}
		}
		return found
	}
	found.intersect(within)
	return found
}

// all narrows within by one filter after the other, those that need to look at
// metadata last.
func (ts terms) all(of []Filter, within bitset, metadata func(row uint32) Metadata) bitset {
	found := slices.Clone(within)
	for _, byRow := range []bool{false, true} {
		for _, f := range of {
			if f.byRow() == byRow {
				found = ts.filter(f, found, metadata)
			}
		}
	}
	return found
}

func (ts terms) any(of []Filter, within bitset, metadata func(row uint32) Metadata) bitset {
	found := make(bitset, len(within))
	for _, f := range of {
		found.union(ts.filter(f, within.without(found), metadata))
	}
	return found
}

// byRow reports whether f may look at the metadata of every row.
func (f Filter) byRow() bool {
	switch f.Op {
	case OpAnd, OpOr:
		return slices.ContainsFunc(f.Of, Filter.byRow)
	case OpLess, OpAtMost, OpMore, OpAtLeast, OpStartsWith:
		return true
	}
	return false
}

func (t *term) addEqual(values []any, to bitset) {
	for _, v := range values {
		if p, ok := t.values[v]; ok {
			p.addTo(to)
		}
	}
}

// addMatching tries f on each value instead of each row.
func (t *term) addMatching(f Filter, to bitset) {
	for value, p := range maps.All(t.values) {
		if f.Match(Metadata{f.Key: value}) {
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
