package daxtest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Major types and simple values of CBOR, RFC 8949 section 3.
const (
	majorUint   = 0
	majorNeg    = 1
	majorBytes  = 2
	majorText   = 3
	majorArray  = 4
	majorMap    = 5
	majorTag    = 6
	majorSimple = 7

	simpleFalse = 0xf4
	simpleTrue  = 0xf5
	simpleNull  = 0xf6
	breakCode   = 0xff
)

// What one request may hold. A DynamoDB request is at most 16 MB; a document nests
// at most 32 levels, which the encoding of expressions and paths adds to.
const (
	maxString   = 17 << 20
	maxElements = 1 << 20
	maxDepth    = 512
)

var errTooDeep = errors.New("cbor: nested too deeply")

// A reader decodes CBOR from a stream. The protocol has no frames, so every method
// takes exactly what it names, and a stream is lost with the first error.
type reader struct {
	br    *bufio.Reader
	depth int
}

func newReader(r io.Reader) *reader     { return &reader{br: bufio.NewReader(r)} }
func newBytesReader(b []byte) *reader   { return newReader(bytes.NewReader(b)) }
func (r *reader) enter() error          { r.depth++; return r.tooDeep() }
func (r *reader) leave()                { r.depth-- }
func (r *reader) readByte() error       { _, err := r.br.ReadByte(); return err }
func (r *reader) text() (string, error) { b, err := r.string(majorText); return string(b), err }
func (r *reader) bytes() ([]byte, error) {
	return r.string(majorBytes)
}

func (r *reader) tooDeep() error {
	if r.depth > maxDepth {
		return errTooDeep
	}
	return nil
}

func (r *reader) peek() (byte, error) {
	b, err := r.br.Peek(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// A head begins each CBOR value.
type head struct {
	major      byte
	value      uint64
	indefinite bool
	raw        byte
}

func (r *reader) head() (head, error) {
	raw, err := r.br.ReadByte()
	if err != nil {
		return head{}, err
	}
	h := head{major: raw >> 5, raw: raw}
	switch m := raw & 0x1f; {
	case m < 24:
		h.value = uint64(m)
	case m == 31:
		h.indefinite = true
	case m <= 27:
		var b [8]byte
		if _, err := io.ReadFull(r.br, b[8-1<<(m-24):]); err != nil {
			return h, unexpected(err)
		}
		h.value = binary.BigEndian.Uint64(b[:])
	default:
		return h, fmt.Errorf("cbor: %#x begins no value", raw)
	}
	return h, nil
}

// unexpected makes the end of a stream inside of a value an error that is no end.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (r *reader) want(major byte) (head, error) {
	h, err := r.head()
	if err == nil && h.major != major {
		err = fmt.Errorf("cbor: major type %d expected, %#x found", major, h.raw)
	}
	return h, err
}

// int reads an integer, and false and true as 0 and 1: the client sends
// ConsistentRead as either.
func (r *reader) int() (int64, error) {
	h, err := r.head()
	switch {
	case err != nil:
		return 0, err
	case h.raw == simpleTrue:
		return 1, nil
	case h.raw == simpleFalse:
		return 0, nil
	case h.value > math.MaxInt64, h.indefinite:
	case h.major == majorUint:
		return int64(h.value), nil
	case h.major == majorNeg:
		return ^int64(h.value), nil
	}
	return 0, fmt.Errorf("cbor: integer expected, %#x found", h.raw)
}

func (r *reader) string(major byte) ([]byte, error) {
	h, err := r.want(major)
	if err != nil {
		return nil, err
	}
	if h.indefinite || h.value > maxString {
		return nil, fmt.Errorf("cbor: a string of %d bytes: at most %d, and of a definite length", h.value, maxString)
	}
	// Grown by what arrives, not by what is announced.
	var b bytes.Buffer
	n, err := io.CopyN(&b, r.br, int64(h.value))
	if err != nil {
		return nil, fmt.Errorf("cbor: a string ends after %d of %d bytes: %w", n, h.value, unexpected(err))
	}
	return b.Bytes(), nil
}

// null takes a null, if one is next.
func (r *reader) null() (bool, error) {
	b, err := r.peek()
	if err != nil || b != simpleNull {
		return false, err
	}
	return true, r.readByte()
}

func (r *reader) nullText() (string, error) {
	if ok, err := r.null(); ok || err != nil {
		return "", err
	}
	return r.text()
}

// nullBytes returns nil for a null, and an empty slice for an empty string.
func (r *reader) nullBytes() ([]byte, error) {
	if ok, err := r.null(); ok || err != nil {
		return nil, err
	}
	b, err := r.bytes()
	if b == nil && err == nil {
		b = []byte{}
	}
	return b, err
}

// each calls read for each element of an array, or each pair of a map, definite or
// not.
func (r *reader) each(major byte, read func(i int) error) error {
	if err := r.enter(); err != nil {
		return err
	}
	defer r.leave()
	h, err := r.want(major)
	if err != nil {
		return err
	}
	for i := 0; h.indefinite || uint64(i) < h.value; i++ {
		if i == maxElements {
			return fmt.Errorf("cbor: more than %d elements", maxElements)
		}
		if h.indefinite {
			b, err := r.peek()
			if err != nil {
				return unexpected(err)
			}
			if b == breakCode {
				return r.readByte()
			}
		}
		if err := read(i); err != nil {
			return unexpected(err)
		}
	}
	return nil
}

// array reads the head of a definite array of n elements.
func (r *reader) array(n uint64) error {
	h, err := r.want(majorArray)
	if err == nil && (h.indefinite || h.value != n) {
		err = fmt.Errorf("cbor: an array of %d expected, %#x found", n, h.raw)
	}
	return err
}

func (r *reader) byteStrings() (out [][]byte, err error) {
	err = r.each(majorArray, func(int) error {
		b, err := r.nullBytes()
		out = append(out, b)
		return err
	})
	return out, err
}

func (r *reader) ints() (out []int64, err error) {
	err = r.each(majorArray, func(int) error {
		n, err := r.int()
		out = append(out, n)
		return err
	})
	return out, err
}

// A writer encodes CBOR.
type writer struct{ buf []byte }

func (w *writer) head(major byte, n uint64) {
	t := major << 5
	switch {
	case n < 24:
		w.buf = append(w.buf, t|byte(n))
	case n <= math.MaxUint8:
		w.buf = append(w.buf, t|24, byte(n))
	case n <= math.MaxUint16:
		w.buf = binary.BigEndian.AppendUint16(append(w.buf, t|25), uint16(n))
	case n <= math.MaxUint32:
		w.buf = binary.BigEndian.AppendUint32(append(w.buf, t|26), uint32(n))
	default:
		w.buf = binary.BigEndian.AppendUint64(append(w.buf, t|27), n)
	}
}

func (w *writer) int(n int64) {
	if n < 0 {
		w.head(majorNeg, uint64(^n))
	} else {
		w.head(majorUint, uint64(n))
	}
}

func (w *writer) bytes(b []byte) {
	w.head(majorBytes, uint64(len(b)))
	w.buf = append(w.buf, b...)
}

func (w *writer) text(s string) {
	w.head(majorText, uint64(len(s)))
	w.buf = append(w.buf, s...)
}

func (w *writer) nullText(s *string) {
	if s == nil {
		w.null()
	} else {
		w.text(*s)
	}
}

func (w *writer) float(f float64) {
	w.buf = binary.BigEndian.AppendUint64(append(w.buf, majorSimple<<5|27), math.Float64bits(f))
}

func (w *writer) bool(b bool) {
	if b {
		w.buf = append(w.buf, simpleTrue)
	} else {
		w.buf = append(w.buf, simpleFalse)
	}
}

func (w *writer) array(n int)   { w.head(majorArray, uint64(n)) }
func (w *writer) mapping(n int) { w.head(majorMap, uint64(n)) }
func (w *writer) tag(n uint64)  { w.head(majorTag, n) }
func (w *writer) null()         { w.buf = append(w.buf, simpleNull) }
