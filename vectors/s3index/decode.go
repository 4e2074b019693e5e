package s3index

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/genaistore/genaistore/vectors"
)

// A page is what a list, get or query answers: matches, whose distance is 0 if
// the answer has none, and the token of the next page.
type page struct {
	matches []vectors.Match
	next    string
}

// decodePage reads {"vectors":[{"key","data":{"float32"},"metadata","distance"}],"nextToken"},
// in any order, with other members between.
func decodePage(body []byte, dimension int) (page, error) {
	d := decoder{s: body, dimension: dimension}
	var p page
	for d.open('{'); d.more('}'); {
		switch d.name() {
		case "vectors":
			p.matches = make([]vectors.Match, 0, 128)
			for d.open('['); d.more(']'); {
				p.matches = append(p.matches, d.match())
			}
		case "nextToken":
			p.next, _ = d.value(0).(string)
		default:
			d.skip()
		}
	}
	if d.space(); d.err == nil && d.i != len(d.s) {
		d.fail("something after the answer")
	}
	return p, corrupt(d.err)
}

// A decoder reads JSON with one pass and few allocations: names and short strings,
// which repeat from vector to vector, are made once.
type decoder struct {
	s         []byte
	i         int
	err       error
	dimension int
	first     bool // an object or array was opened and nothing of it is read
	names     map[string]string
	short     map[string]any
	list      []any           // of the array that is being read
	room      strings.Builder // for strings
	numbers   []float32       // room for data
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%s at byte %d", what, d.i)
	}
	d.i = len(d.s)
}

func (d *decoder) space() {
	for d.i < len(d.s) {
		switch d.s[d.i] {
		case ' ', '\t', '\n', '\r':
			d.i++
		default:
			return
		}
	}
}

// peek returns the next byte that is no space, or 0.
func (d *decoder) peek() byte {
	if d.space(); d.i < len(d.s) {
		return d.s[d.i]
	}
	return 0
}

// take passes over c, which must be next.
func (d *decoder) take(c byte) bool {
	if d.peek() != c {
		d.fail("no " + string(rune(c)))
		return false
	}
	d.i++
	return true
}

// open begins an object or array, whose members the caller reads while
// [decoder.more] says so.
func (d *decoder) open(c byte) {
	d.first = d.take(c)
}

// more reports whether there is another member, or passes over the end.
func (d *decoder) more(end byte) bool {
	first := d.first
	d.first = false
	switch c := d.peek(); {
	case d.err != nil:
		return false
	case c == end:
		d.i++
		return false
	case first:
		return true
	}
	return d.take(',')
}

// quoted is a string without its quotes, as it is written.
type quoted struct {
	text    []byte
	escapes bool
}

// text returns the string that is next.
func (d *decoder) text() quoted {
	if !d.take('"') {
		return quoted{}
	}
	start, escapes := d.i, false
	for ; d.i < len(d.s); d.i++ {
		switch d.s[d.i] {
		case '"':
			d.i++
			return quoted{d.s[start : d.i-1], escapes}
		case '\\':
			escapes = true
			d.i++
		}
	}
	d.fail("a string without end")
	return quoted{}
}

func (d *decoder) unescaped(q quoted) string {
	if !q.escapes {
		return d.copied(q.text)
	}
	var s string
	if err := json.Unmarshal(append(append([]byte{'"'}, q.text...), '"'), &s); err != nil {
		d.fail("a string that is none")
	}
	return s
}

// roomBytes is what strings are made of at a time, and what one that is kept
// keeps from being collected.
const roomBytes = 32 << 10

// copied returns text as a string, one allocation for many.
func (d *decoder) copied(text []byte) string {
	if len(text) > roomBytes/8 {
		return string(text)
	}
	if d.room.Cap()-d.room.Len() < len(text) {
		d.room = strings.Builder{}
		d.room.Grow(roomBytes)
	}
	start := d.room.Len()
	d.room.Write(text)
	return d.room.String()[start:]
}

// name reads the name of a member and the colon behind it.
func (d *decoder) name() string {
	name := d.known(d.text())
	d.take(':')
	return name
}

func (d *decoder) known(q quoted) string {
	if name, ok := d.names[string(q.text)]; ok {
		return name
	}
	if d.names == nil {
		d.names = make(map[string]string, 16)
	}
	name := d.unescaped(q)
	d.names[string(q.text)] = name
	return name
}

// repeats is the length up to which strings are looked up, and manyShort how
// many are kept for it.
const (
	repeats   = 32
	manyShort = 4096
)

func (d *decoder) str() any {
	q := d.text()
	if len(q.text) > repeats {
		return d.unescaped(q)
	}
	if known, ok := d.short[string(q.text)]; ok {
		return known
	}
	value := any(d.unescaped(q))
	if d.short == nil {
		d.short = make(map[string]any, 64)
	}
	if len(d.short) < manyShort {
		d.short[string(q.text)] = value
	}
	return value
}

// maxNesting bounds what is passed over.
const maxNesting = 100

// value returns a string, float64, bool, []any, or nil for null. Objects are
// passed over and nil.
func (d *decoder) value(depth int) any {
	if depth > maxNesting {
		d.fail("deeper nesting than anything stored has")
		return nil
	}
	switch c := d.peek(); {
	case c == '"':
		return d.str()
	case c == '[':
		return d.array(depth)
	case c == '{':
		for d.open('{'); d.more('}'); {
			d.name()
			d.value(depth + 1)
		}
		return nil
	case c == '-' || '0' <= c && c <= '9':
		return d.number()
	case c == 't' && d.literal("true"):
		return true
	case c == 'f' && d.literal("false"):
		return false
	case c == 'n' && d.literal("null"):
		return nil
	}
	d.fail("no value")
	return nil
}

// array collects in one place for all arrays, so that each is made once, in its
// size.
func (d *decoder) array(depth int) any {
	start := len(d.list)
	for d.open('['); d.more(']'); {
		value := d.value(depth + 1)
		d.list = append(d.list, value)
	}
	list := append(make([]any, 0, len(d.list)-start), d.list[start:]...)
	d.list = d.list[:start]
	return list
}

func (d *decoder) skip() { d.value(0) }

func (d *decoder) literal(word string) bool {
	if len(d.s)-d.i < len(word) || string(d.s[d.i:d.i+len(word)]) != word {
		return false
	}
	d.i += len(word)
	return true
}

func (d *decoder) number() float64 {
	f, end, err := parseNumber(d.s, d.i)
	if err != nil {
		d.fail(err.Error())
		return 0
	}
	d.i = end
	return f
}

func (d *decoder) match() (m vectors.Match) {
	for d.open('{'); d.more('}'); {
		switch d.name() {
		case "key":
			m.Key = d.unescaped(d.text())
		case "distance":
			d.peek()
			m.Distance = d.number()
		case "data":
			m.Data = d.data()
		case "metadata":
			m.Metadata = d.metadata()
		default:
			d.skip()
		}
	}
	return m
}

func (d *decoder) data() (data []float32) {
	if d.peek() == 'n' {
		d.skip()
		return nil
	}
	for d.open('{'); d.more('}'); {
		if d.name() == "float32" {
			data = d.floats()
		} else {
			d.skip()
		}
	}
	return data
}

// roomFloats is how many numbers are made at a time.
const roomFloats = 32 << 10

// floats reads an array of numbers, one allocation for several.
func (d *decoder) floats() []float32 {
	if cap(d.numbers)-len(d.numbers) < d.dimension {
		d.numbers = make([]float32, 0, max(roomFloats, d.dimension))
	}
	start := len(d.numbers)
	for d.open('['); d.more(']'); {
		d.space()
		x, end, err := parseFloat32(d.s, d.i)
		if err != nil {
			d.fail(err.Error())
			return nil
		}
		d.i = end
		d.numbers = append(d.numbers, x)
	}
	return slices.Clip(d.numbers[start:])
}

// metadata leaves out what has no value in [vectors.Metadata]: null and objects,
// which the service does not take, and others may have stored all the same.
func (d *decoder) metadata() vectors.Metadata {
	m := vectors.Metadata{}
	if d.peek() == 'n' {
		d.skip()
		return m
	}
	for d.open('{'); d.more('}'); {
		name := d.name()
		if value := d.value(0); value != nil {
			m[name] = value
		}
	}
	return m
}
