package dynamomemory

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/genaistore/genaistore/memory"
)

// The body of a record is written by hand: lengths are varints, and what may be nil
// has its length plus one, so that nil and empty stay apart. Map keys are sorted, so
// that equal records have equal bytes.

const bodyVersion = 1

// A body is what a record holds besides its id.
type body struct {
	memory.Entry
	requestID string
	version   int64 // the session's after an Append with IfVersion
	redacted  bool
	edited    bool
}

type encoder []byte

func (e *encoder) uint(n uint64)   { *e = binary.AppendUvarint(*e, n) }
func (e *encoder) int(n int64)     { *e = binary.AppendVarint(*e, n) }
func (e *encoder) byte(b byte)     { *e = append(*e, b) }
func (e *encoder) string(s string) { e.uint(uint64(len(s))); *e = append(*e, s...) }

func (e *encoder) flags(bits ...bool) {
	b := byte(0)
	for i, is := range bits {
		if is {
			b |= 1 << i
		}
	}
	e.byte(b)
}

func (e *encoder) bytes(b []byte) {
	if b == nil {
		e.byte(0)
		return
	}
	e.uint(uint64(len(b)) + 1)
	*e = append(*e, b...)
}

// length begins a list or map with n elements, -1 for nil.
func (e *encoder) length(n int) { e.uint(uint64(n + 1)) }

func listLength[T any](l []T) int {
	if l == nil {
		return -1
	}
	return len(l)
}

func (e *encoder) strings(m map[string]string) {
	if m == nil {
		e.length(-1)
		return
	}
	e.length(len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		e.string(k)
		e.string(m[k])
	}
}

func (e *encoder) list(l []string) {
	e.length(listLength(l))
	for _, s := range l {
		e.string(s)
	}
}

func (e *encoder) body(b body) {
	e.byte(bodyVersion)
	e.flags(b.redacted, b.edited)
	e.string(b.requestID)
	e.int(b.version)
	e.string(b.Turn)
	e.length(listLength(b.Messages))
	for i := range b.Messages {
		e.message(&b.Messages[i])
	}
	e.delta(&b.State)
	e.bytes(b.Extra)
}

func (e *encoder) message(m *memory.Message) {
	e.string(m.Role)
	e.string(m.Name)
	e.flags(!m.Time.IsZero())
	if !m.Time.IsZero() {
		e.int(m.Time.Unix())
		e.uint(uint64(m.Time.Nanosecond()))
	}
	e.parts(m.Parts)
	e.uint(uint64(m.Tokens))
	e.strings(m.Labels)
	e.bytes(m.Extra)
}

const (
	partThought = 1 << iota
	partBlob
	partCall
	partResult
	partError
)

func (e *encoder) parts(parts []memory.Part) {
	e.length(listLength(parts))
	for i := range parts {
		p := &parts[i]
		flags := byte(0)
		if p.Thought {
			flags |= partThought
		}
		switch {
		case p.Blob != nil:
			flags |= partBlob
		case p.Call != nil:
			flags |= partCall
		case p.Result != nil && p.Result.IsError:
			flags |= partResult | partError
		case p.Result != nil:
			flags |= partResult
		}
		e.byte(flags)
		e.bytes(p.Extra)
		switch {
		case p.Blob != nil:
			e.string(p.Blob.MediaType)
			e.string(p.Blob.Name)
			e.bytes(p.Blob.Data)
			e.string(p.Blob.URI)
		case p.Call != nil:
			e.string(p.Call.ID)
			e.string(p.Call.Name)
			e.bytes(p.Call.Arguments)
		case p.Result != nil:
			e.string(p.Result.ID)
			e.string(p.Result.Name)
			e.bytes(p.Result.Content)
			e.parts(p.Result.Parts)
		default:
			e.string(p.Text)
		}
	}
}

// delta writes a zero byte for the usual one, which is empty.
func (e *encoder) delta(d *memory.Delta) {
	sets := []memory.State{d.Set.Session, d.Set.User, d.Set.App}
	unsets := [][]string{d.Unset.Session, d.Unset.User, d.Unset.App}
	flags := byte(0)
	for i := range sets {
		if sets[i] != nil {
			flags |= 1 << i
		}
		if unsets[i] != nil {
			flags |= 8 << i
		}
	}
	e.byte(flags)
	for i := range sets {
		if sets[i] != nil {
			e.state(sets[i])
		}
		if unsets[i] != nil {
			e.list(unsets[i])
		}
	}
}

func (e *encoder) state(s memory.State) {
	e.uint(uint64(len(s)))
	for _, k := range slices.Sorted(maps.Keys(s)) {
		e.string(k)
		e.any(s[k])
	}
}

const (
	kindNil = iota
	kindFalse
	kindTrue
	kindNumber
	kindString
	kindList
	kindMap
)

// any writes a value of the types that memory.State names.
func (e *encoder) any(v any) {
	switch v := v.(type) {
	case bool:
		if v {
			e.byte(kindTrue)
			return
		}
		e.byte(kindFalse)
	case float64:
		e.byte(kindNumber)
		*e = binary.BigEndian.AppendUint64(*e, math.Float64bits(v))
	case string:
		e.byte(kindString)
		e.string(v)
	case []any:
		e.byte(kindList)
		e.uint(uint64(len(v)))
		for _, x := range v {
			e.any(x)
		}
	case map[string]any:
		e.byte(kindMap)
		e.state(v)
	default:
		e.byte(kindNil)
	}
}

var errShort = errors.New("it ends too early")

// A decoder reads what an encoder wrote. The first problem stays, and everything
// read after it is zero.
type decoder struct {
	data []byte
	err  error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.data = nil
}

func (d *decoder) uint() uint64 {
	n, size := binary.Uvarint(d.data)
	if size <= 0 {
		d.fail(errShort)
		return 0
	}
	d.data = d.data[size:]
	return n
}

func (d *decoder) int() int64 {
	n, size := binary.Varint(d.data)
	if size <= 0 {
		d.fail(errShort)
		return 0
	}
	d.data = d.data[size:]
	return n
}

func (d *decoder) byte() byte {
	if len(d.data) == 0 {
		d.fail(errShort)
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return b
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.data)) {
		d.fail(errShort)
		return nil
	}
	out := d.data[:n]
	d.data = d.data[n:]
	return out
}

func (d *decoder) string() string { return string(d.take(d.uint())) }

func (d *decoder) bytes() []byte {
	n := d.uint()
	if n == 0 {
		return nil
	}
	return append([]byte{}, d.take(n-1)...)
}

// length reads the length of a list or map, -1 for nil. Every element has at least
// one byte, which bounds what a broken length can make it reserve.
func (d *decoder) length() int {
	n := d.uint()
	if n > uint64(len(d.data))+1 {
		d.fail(errShort)
		return -1
	}
	return int(n) - 1
}

func (d *decoder) count() int {
	n := d.uint()
	if n > uint64(len(d.data)) {
		d.fail(errShort)
		return 0
	}
	return int(n)
}

func (d *decoder) strings() map[string]string {
	n := d.length()
	if n < 0 {
		return nil
	}
	m := make(map[string]string, n)
	for range n {
		k := d.string()
		m[k] = d.string()
	}
	return m
}

func (d *decoder) list() []string {
	n := d.length()
	if n < 0 {
		return nil
	}
	l := make([]string, n)
	for i := range l {
		l[i] = d.string()
	}
	return l
}

func decodeBody(data []byte) (body, error) {
	d := &decoder{data: data}
	if v := d.byte(); v != bodyVersion {
		return body{}, fmt.Errorf("%w: a body of version %d: this version of the library reads %d", memory.ErrCorrupt, v, bodyVersion)
	}
	flags := d.byte()
	b := body{redacted: flags&1 != 0, edited: flags&2 != 0, requestID: d.string(), version: d.int()}
	b.Turn = d.string()
	if n := d.length(); n >= 0 {
		b.Messages = make([]memory.Message, n)
	}
	for i := range b.Messages {
		d.message(&b.Messages[i])
	}
	d.delta(&b.State)
	b.Extra = d.bytes()
	return b, d.end()
}

// end reports what was wrong.
func (d *decoder) end() error {
	if d.err == nil && len(d.data) > 0 {
		d.err = errors.New("something follows it")
	}
	if d.err != nil {
		return fmt.Errorf("%w: a stored body: %w", memory.ErrCorrupt, d.err)
	}
	return nil
}

func (d *decoder) message(m *memory.Message) {
	m.Role, m.Name = d.string(), d.string()
	if d.byte() != 0 {
		seconds := d.int()
		m.Time = time.Unix(seconds, int64(d.uint())).UTC()
	}
	m.Parts = d.parts(0)
	m.Tokens = int(d.uint())
	m.Labels, m.Extra = d.strings(), d.bytes()
}

func (d *decoder) parts(depth int) []memory.Part {
	n := d.length()
	if n < 0 {
		return nil
	}
	if depth > memory.MaxNesting+1 {
		d.fail(errors.New("it nests too deep"))
		return nil
	}
	parts := make([]memory.Part, n)
	for i := range parts {
		p := &parts[i]
		flags := d.byte()
		p.Thought, p.Extra = flags&partThought != 0, d.bytes()
		switch {
		case flags&partBlob != 0:
			p.Blob = &memory.Blob{MediaType: d.string(), Name: d.string(), Data: d.bytes(), URI: d.string()}
		case flags&partCall != 0:
			p.Call = &memory.ToolCall{ID: d.string(), Name: d.string(), Arguments: d.bytes()}
		case flags&partResult != 0:
			p.Result = &memory.ToolResult{ID: d.string(), Name: d.string(), Content: d.bytes(), Parts: d.parts(depth + 1), IsError: flags&partError != 0}
		default:
			p.Text = d.string()
		}
	}
	return parts
}

func (d *decoder) delta(out *memory.Delta) {
	sets := []*memory.State{&out.Set.Session, &out.Set.User, &out.Set.App}
	unsets := []*[]string{&out.Unset.Session, &out.Unset.User, &out.Unset.App}
	flags := d.byte()
	for i := range sets {
		if flags&(1<<i) != 0 {
			*sets[i] = d.state(0)
		}
		if flags&(8<<i) != 0 {
			*unsets[i] = d.list()
		}
	}
}

func (d *decoder) state(depth int) map[string]any {
	n := d.count()
	s := make(map[string]any, n)
	for range n {
		k := d.string()
		s[k] = d.any(depth)
	}
	return s
}

func (d *decoder) any(depth int) any {
	if depth > memory.MaxNesting+2 {
		d.fail(errors.New("it nests too deep"))
		return nil
	}
	switch kind := d.byte(); kind {
	case kindNil:
		return nil
	case kindFalse:
		return false
	case kindTrue:
		return true
	case kindNumber:
		if raw := d.take(8); raw != nil {
			return math.Float64frombits(binary.BigEndian.Uint64(raw))
		}
		return nil
	case kindString:
		return d.string()
	case kindList:
		list := make([]any, d.count())
		for i := range list {
			list[i] = d.any(depth + 1)
		}
		return list
	case kindMap:
		return d.state(depth + 1)
	default:
		d.fail(fmt.Errorf("a value of kind %d", kind))
		return nil
	}
}
