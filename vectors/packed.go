package vectors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// Kinds of values in snapshots. Values are ordered by kind first.
const (
	packedFalse byte = iota
	packedTrue
	packedNumber
	packedString
	packedList
)

// packMetadata appends m, which is normal: the number of keys, and for each in
// order the key, the kind of its value, and the value.
func packMetadata(out []byte, m Metadata) []byte {
	out = binary.AppendUvarint(out, uint64(len(m)))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		out = packValue(packText(out, key), m[key])
	}
	return out
}

func packText(out []byte, s string) []byte {
	return append(binary.AppendUvarint(out, uint64(len(s))), s...)
}

func packValue(out []byte, value any) []byte {
	switch v := value.(type) {
	case bool:
		if v {
			return append(out, packedTrue)
		}
		return append(out, packedFalse)
	case float64:
		return binary.LittleEndian.AppendUint64(append(out, packedNumber), math.Float64bits(v))
	case string:
		return packText(append(out, packedString), v)
	}
	list, _ := value.([]any)
	out = binary.AppendUvarint(append(out, packedList), uint64(len(list)))
	for _, element := range list {
		out = packValue(out, element)
	}
	return out
}

// unpackMetadata returns what packMetadata wrote, or what could be read of it.
func unpackMetadata(b []byte) Metadata {
	m, _ := readMetadata(b)
	return m
}

// readMetadata is unpackMetadata for bytes that nobody has looked at.
func readMetadata(b []byte) (Metadata, error) {
	r := unpacker{rest: b}
	n := r.count()
	m := make(Metadata, min(n, MaxMetadataKeys))
	for range n {
		key := r.text()
		value := r.value(true)
		if r.err != nil {
			break
		}
		m[key] = value
	}
	if r.err == nil && len(r.rest) > 0 {
		r.fail("bytes after its end")
	}
	return m, r.err
}

// An unpacker reads values until it fails.
type unpacker struct {
	rest []byte
	err  error
}

func (r *unpacker) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: metadata: %s", ErrCorrupt, what)
	}
	r.rest = nil
}

func (r *unpacker) take(n int) []byte {
	if n > len(r.rest) {
		r.fail("it ends early")
		return make([]byte, min(n, 8))
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

// count reads a number of things of which each takes a byte at least.
func (r *unpacker) count() int {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || n > uint64(len(r.rest)) {
		r.fail("a length beyond its end")
		return 0
	}
	r.rest = r.rest[size:]
	return int(n)
}

func (r *unpacker) text() string {
	raw := r.take(r.count())
	if !utf8.Valid(raw) {
		r.fail("text that is not UTF-8")
	}
	return string(raw)
}

func (r *unpacker) value(lists bool) any {
	switch kind := r.take(1)[0]; {
	case kind == packedFalse:
		return false
	case kind == packedTrue:
		return true
	case kind == packedNumber:
		n := math.Float64frombits(binary.LittleEndian.Uint64(r.take(8)))
		if !finite(n) {
			r.fail("a number that is not finite")
		}
		return n
	case kind == packedString:
		return r.text()
	case kind == packedList && lists:
		list := make([]any, r.count())
		for i := range list {
			list[i] = r.value(false)
		}
		return list
	default:
		r.fail(fmt.Sprintf("a value of kind %d", kind))
		return nil
	}
}

// packed is what a table in a snapshot has for maps: the rows in the order of
// their keys, and a lexicon, both as they lie in the file, little endian.
type packed struct {
	order []byte // a uint32 a row
	terms map[string]packedTerm
}

func row32(rows []byte, i int) uint32 { return binary.LittleEndian.Uint32(rows[4*i:]) }

func (p *packed) find(key string, keyOf func(row uint32) string) (uint32, bool) {
	n := len(p.order) / 4
	i, ok := sort.Find(n, func(i int) int { return strings.Compare(key, keyOf(row32(p.order, i))) })
	if !ok {
		return 0, false
	}
	return row32(p.order, i), true
}

func (p *packed) term(key string) finder { return p.terms[key] }

// A packedTerm is a finder: rows that have the key; the numbers that are values of
// it, ascending, and their rows; and the values, ascending, with the rows of each.
type packedTerm struct {
	exists  []byte // a uint32 each
	numbers []byte // a float64 each
	ranked  []byte // a uint32 for each of numbers
	values  []byte // packedValue bytes each
	rows    []byte // of values, a uint32 each
	text    []byte // of values
}

// A value in the file is its kind and the length of its text, uint32 each; where
// its text begins, or the number, uint64; and the first and the number of its
// rows, uint32 each.
const packedValue = 24

func addRows(rows []byte, to bitset) {
	for ; len(rows) >= 4; rows = rows[4:] {
		to.set(binary.LittleEndian.Uint32(rows))
	}
}

func (t packedTerm) addExists(to bitset) { addRows(t.exists, to) }

func (t packedTerm) count() int { return len(t.values) / packedValue }

// at returns value i: its kind, its number if it is one, and its text if it is.
func (t packedTerm) at(i int) (kind byte, number float64, text []byte) {
	v := t.values[i*packedValue:]
	kind = byte(binary.LittleEndian.Uint32(v))
	payload := binary.LittleEndian.Uint64(v[8:])
	switch kind {
	case packedNumber:
		return kind, math.Float64frombits(payload), nil
	case packedString:
		return kind, 0, t.text[payload : payload+uint64(binary.LittleEndian.Uint32(v[4:]))]
	}
	return kind, 0, nil
}

func (t packedTerm) addValue(i int, to bitset) {
	v := t.values[i*packedValue:]
	from, n := binary.LittleEndian.Uint32(v[16:]), binary.LittleEndian.Uint32(v[20:])
	addRows(t.rows[4*from:4*(from+n)], to)
}

// compare orders a scalar beside value i.
func (t packedTerm) compare(value any, i int) int {
	kind, number, text := t.at(i)
	switch v := value.(type) {
	case bool:
		own := packedFalse
		if v {
			own = packedTrue
		}
		return cmp.Compare(own, kind)
	case float64:
		return cmp.Or(cmp.Compare(packedNumber, kind), cmp.Compare(v, number))
	case string:
		return cmp.Or(cmp.Compare(packedString, kind), bytes.Compare([]byte(v), text))
	}
	return -1
}

func (t packedTerm) addEqual(values []any, to bitset) {
	for _, value := range values {
		if i, ok := sort.Find(t.count(), func(i int) int { return t.compare(value, i) }); ok {
			t.addValue(i, to)
		}
	}
}

func (t packedTerm) startsWith(f Filter, within bitset, _ func(row uint32) Metadata) bitset {
	found := make(bitset, len(within))
	prefix, ok := operand[string](f)
	if !ok {
		return found
	}
	first, _ := sort.Find(t.count(), func(i int) int { return t.compare(prefix, i) })
	for i := first; i < t.count(); i++ { // strings are the last kind
		_, _, text := t.at(i)
		if !bytes.HasPrefix(text, []byte(prefix)) {
			break
		}
		t.addValue(i, found)
	}
	found.intersect(within)
	return found
}

func (t packedTerm) inOrder(f Filter, within bitset) bitset {
	found := make(bitset, len(within))
	bound, ok := operand[float64](f)
	if !ok {
		return found
	}
	n := len(t.numbers) / 8
	number := func(i int) float64 {
		return math.Float64frombits(binary.LittleEndian.Uint64(t.numbers[8*i:]))
	}
	less := sort.Search(n, func(i int) bool { return number(i) >= bound })
	atMost := sort.Search(n, func(i int) bool { return number(i) > bound })
	switch f.Op {
	case OpLess:
		addRows(t.ranked[:4*less], found)
	case OpAtMost:
		addRows(t.ranked[:4*atMost], found)
	case OpMore:
		addRows(t.ranked[4*atMost:], found)
	case OpAtLeast:
		addRows(t.ranked[4*less:], found)
	}
	found.intersect(within)
	return found
}
