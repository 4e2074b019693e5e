package vectors

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"
)

// packTerms returns ts as it lies in a snapshot: the number of keys; the lengths
// of each and of its term, uint32 and uint64; the keys; and the terms. A term is
// the numbers of its rows, numbers, values and rows of values, uint32 each, the
// length of its text, uint64, and what [packedTerm] has, in that order.
func packTerms(ts terms) []byte {
	keys := slices.Sorted(maps.Keys(ts.keys))
	out := binary.LittleEndian.AppendUint32(nil, uint32(len(keys)))
	var all []byte
	for _, key := range keys {
		before := len(all)
		all = ts.keys[key].pack(all)
		out = binary.LittleEndian.AppendUint32(out, uint32(len(key)))
		out = binary.LittleEndian.AppendUint64(out, uint64(len(all)-before))
	}
	return append(append(out, strings.Join(keys, "")...), all...)
}

// ranked is a number and its row.
type ranked struct {
	number float64
	row    uint32
}

func (t *term) ranked() []ranked {
	var all []ranked
	for first, page := range t.numbers {
		for i, n := range page {
			if !math.IsNaN(n) {
				all = append(all, ranked{n, first*64 + uint32(i)})
			}
		}
	}
	slices.SortFunc(all, func(a, b ranked) int { return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.row, b.row)) })
	return all
}

func (t *term) pack(out []byte) []byte {
	le := binary.LittleEndian
	numbers := t.ranked()
	var values, rows []byte
	var text strings.Builder
	for _, value := range slices.SortedFunc(maps.Keys(t.values), compareScalars) {
		kind, size, payload := scalarKind(value), 0, uint64(0)
		switch v := value.(type) {
		case float64:
			payload = math.Float64bits(v)
		case string:
			size, payload = len(v), uint64(text.Len())
			text.WriteString(v)
		}
		first := uint32(len(rows) / 4)
		rows = t.values[value].pack(rows)
		values = le.AppendUint32(le.AppendUint32(values, uint32(kind)), uint32(size))
		values = le.AppendUint64(values, payload)
		values = le.AppendUint32(le.AppendUint32(values, first), uint32(len(rows)/4)-first)
	}
	for _, n := range []int{t.exists.n, len(numbers), len(values) / packedValue, len(rows) / 4} {
		out = le.AppendUint32(out, uint32(n))
	}
	out = t.exists.pack(le.AppendUint64(out, uint64(text.Len())))
	for _, r := range numbers {
		out = le.AppendUint64(out, math.Float64bits(r.number))
	}
	for _, r := range numbers {
		out = le.AppendUint32(out, r.row)
	}
	return append(append(append(out, values...), rows...), text.String()...)
}

// pack appends the rows of p, ascending.
func (p *posting) pack(out []byte) []byte {
	for i, word := range p.dense {
		for ; word != 0; word &= word - 1 {
			out = binary.LittleEndian.AppendUint32(out, uint32(i*64+bits.TrailingZeros64(word)))
		}
	}
	for _, row := range p.list {
		out = binary.LittleEndian.AppendUint32(out, row)
	}
	return out
}

func scalarKind(v any) byte {
	switch v := v.(type) {
	case bool:
		if v {
			return packedTrue
		}
		return packedFalse
	case float64:
		return packedNumber
	}
	return packedString
}

func compareScalars(a, b any) int {
	if c := cmp.Compare(scalarKind(a), scalarKind(b)); c != 0 {
		return c
	}
	switch a := a.(type) {
	case float64:
		b, _ := b.(float64)
		return cmp.Compare(a, b)
	case string:
		b, _ := b.(string)
		return strings.Compare(a, b)
	}
	return 0
}

// A section is a part of a snapshot that is taken apart. Once it was too short,
// all that is taken of it is empty.
type section struct {
	rest []byte
	bad  bool
}

func (s *section) take(n uint64) []byte {
	if s.bad || n > uint64(len(s.rest)) {
		s.bad = true
		return nil
	}
	taken := s.rest[:n:n]
	s.rest = s.rest[n:]
	return taken
}

func (s *section) uint32() uint64 {
	if b := s.take(4); b != nil {
		return uint64(binary.LittleEndian.Uint32(b))
	}
	return 0
}

func (s *section) uint64() uint64 {
	if b := s.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// parseTerms takes what packTerms wrote apart, and checks all that finders rely
// on: rows are of n, ascending, and so are numbers and values.
func parseTerms(b []byte, n uint32) (map[string]packedTerm, error) {
	s := section{rest: b}
	count := s.uint32()
	lengths := section{rest: s.take(12 * count)}
	terms := make(map[string]packedTerm)
	var names []string
	var sizes []uint64
	for range count {
		if lengths.bad || s.bad {
			break
		}
		names = append(names, string(s.take(lengths.uint32())))
		sizes = append(sizes, lengths.uint64())
	}
	for i, name := range names {
		own := section{rest: s.take(sizes[i])}
		t, ok := own.term(n)
		if _, twice := terms[name]; s.bad || !ok || twice || name == "" || !utf8.ValidString(name) {
			return nil, fmt.Errorf("%w: what is known of metadata %.80q", ErrCorrupt, name)
		}
		terms[name] = t
	}
	if s.bad || len(s.rest) > 0 {
		return nil, fmt.Errorf("%w: what is known of metadata", ErrCorrupt)
	}
	return terms, nil
}

func (s *section) term(n uint32) (t packedTerm, ok bool) {
	exists, numbers, values, rows, text := s.uint32(), s.uint32(), s.uint32(), s.uint32(), s.uint64()
	t.exists = s.take(4 * exists)
	t.numbers = s.take(8 * numbers)
	t.ranked = s.take(4 * numbers)
	t.values = s.take(packedValue * values)
	t.rows = s.take(4 * rows)
	t.text = s.take(text)
	if s.bad || len(s.rest) > 0 || !ascending(t.exists, n) {
		return t, false
	}
	for i := range int(numbers) {
		number := binary.LittleEndian.Uint64(t.numbers[8*i:])
		if row32(t.ranked, i) >= n || !finite(math.Float64frombits(number)) ||
			i > 0 && math.Float64frombits(number) < math.Float64frombits(binary.LittleEndian.Uint64(t.numbers[8*(i-1):])) {
			return t, false
		}
	}
	for i := range int(values) {
		if !t.validValue(i, n) {
			return t, false
		}
	}
	return t, true
}

func (t packedTerm) validValue(i int, n uint32) bool {
	v := t.values[i*packedValue:]
	kind, size := binary.LittleEndian.Uint32(v), uint64(binary.LittleEndian.Uint32(v[4:]))
	payload := binary.LittleEndian.Uint64(v[8:])
	from, count := uint64(binary.LittleEndian.Uint32(v[16:])), uint64(binary.LittleEndian.Uint32(v[20:]))
	if kind > uint32(packedString) || from+count > uint64(len(t.rows)/4) || !ascending(t.rows[4*from:4*(from+count)], n) {
		return false
	}
	switch byte(kind) {
	case packedNumber:
		if !finite(math.Float64frombits(payload)) {
			return false
		}
	case packedString:
		if payload > uint64(len(t.text)) || size > uint64(len(t.text))-payload {
			return false
		}
	}
	return i == 0 || t.compare(t.scalar(i-1), i) < 0
}

// scalar returns value i.
func (t packedTerm) scalar(i int) any {
	switch kind, number, text := t.at(i); kind {
	case packedNumber:
		return number
	case packedString:
		return string(text)
	default:
		return kind == packedTrue
	}
}

// ascending reports whether rows are of n, each greater than the one before.
func ascending(rows []byte, n uint32) bool {
	for i := range len(rows) / 4 {
		if row := row32(rows, i); row >= n || i > 0 && row <= row32(rows, i-1) {
			return false
		}
	}
	return true
}
