package daxtest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
)

// A decimal is units * 10^exponent.
type decimal struct {
	units    *big.Int
	exponent int
}

// DynamoDB's numbers have 38 digits and exponents to 125, which may be written out.
const (
	maxDigits   = 256
	maxExponent = 1000
)

func parseDecimal(s string) (decimal, error) {
	bad := fmt.Errorf("%q is no number", s)
	digits, exp, scientific := strings.Cut(strings.ToLower(s), "e")
	exponent := 0
	if scientific {
		var err error
		if exponent, err = strconv.Atoi(exp); err != nil {
			return decimal{}, bad
		}
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	exponent -= len(fraction)
	if len(whole)+len(fraction) > maxDigits || exponent < -maxExponent || exponent > maxExponent {
		return decimal{}, bad
	}
	units, ok := new(big.Int).SetString(whole+fraction, 10)
	if !ok {
		return decimal{}, bad
	}
	return decimal{units, exponent}, nil
}

// String is d without an exponent, where that is not too long, as DynamoDB writes it.
func (d decimal) String() string {
	digits := new(big.Int).Abs(d.units).String()
	switch {
	case d.units.Sign() == 0:
		return "0"
	case d.exponent >= 0 && d.exponent <= 40:
		digits += strings.Repeat("0", d.exponent)
	case d.exponent < 0 && d.exponent >= -80:
		if pad := 1 - d.exponent - len(digits); pad > 0 {
			digits = strings.Repeat("0", pad) + digits
		}
		point := len(digits) + d.exponent
		digits = strings.TrimRight(strings.TrimRight(digits[:point]+"."+digits[point:], "0"), ".")
	default:
		digits += "E" + strconv.Itoa(d.exponent)
	}
	if d.units.Sign() < 0 {
		digits = "-" + digits
	}
	return digits
}

// Tags of numbers, RFC 8949 section 3.4.
const (
	tagBigUint = 2
	tagBigNeg  = 3
	tagDecimal = 4
)

func (w *writer) bigInt(n *big.Int) {
	major, tag := byte(majorUint), uint64(tagBigUint)
	if n.Sign() < 0 {
		n, major, tag = new(big.Int).Not(n), majorNeg, tagBigNeg
	}
	if n.IsUint64() {
		w.head(major, n.Uint64())
		return
	}
	w.tag(tag)
	w.bytes(n.Bytes())
}

func (w *writer) number(s string) error {
	d, err := parseDecimal(s)
	if err != nil {
		return err
	}
	if d.exponent == 0 {
		w.bigInt(d.units)
		return nil
	}
	w.tag(tagDecimal)
	w.array(2)
	w.int(int64(d.exponent))
	w.bigInt(d.units)
	return nil
}

// number reads an integer, a big integer or a decimal.
func (r *reader) number() (decimal, error) {
	h, err := r.head()
	if err != nil {
		return decimal{}, err
	}
	if h.major != majorTag || h.value != tagDecimal {
		n, err := r.bigInt(h)
		return decimal{units: n}, err
	}
	if err := r.array(2); err != nil {
		return decimal{}, err
	}
	exponent, err := r.int()
	if err != nil {
		return decimal{}, err
	}
	if exponent < -maxExponent || exponent > maxExponent {
		return decimal{}, fmt.Errorf("cbor: a number with the exponent %d", exponent)
	}
	if h, err = r.head(); err != nil {
		return decimal{}, err
	}
	n, err := r.bigInt(h)
	return decimal{n, int(exponent)}, err
}

func (r *reader) bigInt(h head) (*big.Int, error) {
	switch {
	case h.indefinite:
	case h.major == majorUint:
		return new(big.Int).SetUint64(h.value), nil
	case h.major == majorNeg:
		n := new(big.Int).SetUint64(h.value)
		return n.Not(n), nil
	case h.major == majorTag && (h.value == tagBigUint || h.value == tagBigNeg):
		b, err := r.bytes()
		if err != nil {
			return nil, err
		}
		if len(b) > maxDigits {
			return nil, fmt.Errorf("cbor: a number of %d bytes", len(b))
		}
		n := new(big.Int).SetBytes(b)
		if h.value == tagBigNeg {
			n.Not(n)
		}
		return n, nil
	}
	return nil, fmt.Errorf("cbor: integer expected, %#x found", h.raw)
}

var errLexDecimal = errors.New("a range key is no number that sorts")

// appendLexDecimal appends a number so that the bytes sort as the numbers do: a
// byte of sign and exponent, then groups of three digits in 10 bits each, then a
// group that says how many digits of the last one count.
func appendLexDecimal(b []byte, d decimal) []byte {
	if d.units.Sign() == 0 {
		return append(b, 0x80)
	}
	negative := d.units.Sign() < 0
	digits := new(big.Int).Abs(d.units).String()
	b = appendLexHeader(b, len(digits)+d.exponent, negative)

	last := (len(digits)+2)%3 + 1 // how many digits of the last group count
	digits += strings.Repeat("0", 3-last)
	terminator := last - 1
	if negative {
		terminator = 1023 - terminator
	}
	acc, bits := uint64(0), 0
	push := func(group int) {
		acc, bits = acc<<10|uint64(group), bits+10
		for bits >= 8 {
			bits -= 8
			b = append(b, byte(acc>>bits))
		}
	}
	for i := 0; i < len(digits); i += 3 {
		group := int(digits[i]-'0')*100 + int(digits[i+1]-'0')*10 + int(digits[i+2]-'0') + 12
		if negative {
			group = 1023 - group
		}
		push(group)
	}
	push(terminator)
	if bits > 0 {
		b = append(b, byte(acc<<(8-bits)))
	}
	return b
}

func appendLexHeader(b []byte, exponent int, negative bool) []byte {
	switch short := -62 <= exponent && exponent < 62; {
	case short && negative:
		return append(b, byte(0x3f-exponent))
	case short:
		return append(b, byte(0xc0+exponent))
	}
	header, x := byte(0xfe), uint32(int32(exponent))^0x80000000
	if exponent < 0 {
		header = 0x81
	}
	if negative {
		header, x = ^header, ^x
	}
	return binary.BigEndian.AppendUint32(append(b, header), x)
}

func readLexDecimal(r io.ByteReader) (decimal, error) {
	h, err := r.ReadByte()
	if err != nil {
		return decimal{}, errLexDecimal
	}
	if h == 0x7f || h == 0x80 {
		return decimal{units: new(big.Int)}, nil
	}
	negative := h < 0x80
	exponent, err := readLexExponent(r, h)
	if err != nil {
		return decimal{}, err
	}
	var digits []byte
	acc, bits := uint64(0), 0
	for {
		c, err := r.ReadByte()
		if err != nil {
			return decimal{}, errLexDecimal
		}
		acc, bits = acc<<8|uint64(c), bits+8
		if bits < 10 {
			continue
		}
		bits -= 10
		group := int(acc>>bits) & 1023
		if negative {
			group = 1023 - group
		}
		if group <= 2 {
			if len(digits) == 0 {
				return decimal{}, errLexDecimal
			}
			digits = digits[:len(digits)-(2-group)]
			break
		}
		if group < 12 || group > 1011 || len(digits) > maxDigits {
			return decimal{}, errLexDecimal
		}
		digits = fmt.Appendf(digits, "%03d", group-12)
	}
	units, ok := new(big.Int).SetString(string(digits), 10)
	if !ok {
		return decimal{}, errLexDecimal
	}
	if negative {
		units.Neg(units)
	}
	return decimal{units, exponent - len(digits)}, nil
}

func readLexExponent(r io.ByteReader, header byte) (int, error) {
	negative := header < 0x80
	switch header {
	case 0x00, 0xff:
		return 0, errLexDecimal
	case 0x01, 0x7e, 0x81, 0xfe:
		var x uint32
		for range 4 {
			c, err := r.ReadByte()
			if err != nil {
				return 0, errLexDecimal
			}
			x = x<<8 | uint32(c)
		}
		if negative {
			x = ^x
		}
		exponent := int(int32(x ^ 0x80000000))
		if exponent < -maxExponent || exponent > maxExponent {
			return 0, errLexDecimal
		}
		return exponent, nil
	}
	if negative {
		return 0x3f - int(header), nil
	}
	return int(header) - 0xc0, nil
}
