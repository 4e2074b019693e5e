package s3index

import (
	"fmt"
	"math"
	"strconv"

	"github.com/genaistore/genaistore/vectors"
)

// powers are the powers of ten that float64 has exactly.
var powers = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22} //nolint:gochecknoglobals // a table that Go has no const for

const pairs = "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899"

// appendFloat appends the shortest decimal that is nearer to x than to any other
// float32, however it is rounded on the way: as float32, or as float64 first.
func appendFloat(out []byte, x float32) []byte {
	abs := math.Abs(float64(x))
	if !(abs >= 1e-6 && abs < 1e6) {
		return strconv.AppendFloat(out, float64(x), 'g', -1, 32)
	}
	if x < 0 {
		out = append(out, '-')
	}
	// Nine digits, as a float64 that is off by less than a millionth of the last,
	// and half of the distance to the next float32 in the same unit.
	bits := math.Float32bits(float32(abs))
	exponent := int(bits>>23) - 127
	decimals := 8 - (exponent*1233)>>12
	nine := abs * powers[decimals]
	if nine >= 1e9 {
		decimals--
		nine = abs * powers[decimals]
	}
	below := exponent - 24
	if bits&(1<<23-1) == 0 { // the one below a power of two is nearer than the one above
		below--
	}
	half := math.Float64frombits(uint64(below+1023)<<52) * powers[decimals] * (1 - 1e-6)
	digits, unit := uint64(nine+0.5), uint64(1)
	for shorter := uint64(10); shorter <= 1e8; shorter *= 10 {
		rounded := (uint64(nine) + shorter/2) / shorter * shorter
		if math.Abs(float64(rounded)-nine) >= half {
			break
		}
		digits, unit = rounded, shorter
		decimals--
	}
	return appendDecimal(out, digits/unit, decimals)
}

// appendNine appends x with nine digits, which takes a fraction of the time of
// appendFloat and about a tenth more bytes. What it appends is off by at most half
// of the ninth digit, 5e-9 of x. Between x and what lies half way to the next
// float32 there is at least 1.49e-8 of x, so it is read as x again, however it is
// rounded on the way. Numbers that are not from 1e-6 to 1e6 are written shortest.
func appendNine(out []byte, x float32) []byte {
	abs := math.Abs(float64(x))
	if !(abs >= 1e-6 && abs < 1e6) {
		return appendFloat(out, x)
	}
	if x < 0 {
		out = append(out, '-')
	}
	exponent := int(math.Float32bits(x)>>23&0xff) - 127
	decimals := 8 - (exponent*1233)>>12
	nine := abs * powers[decimals]
	if nine >= 1e9 {
		decimals--
		nine = abs * powers[decimals]
	}
	digits := uint32(nine + 0.5) // no float32 is so near below a power of ten that this is one digit more
	var text [9]byte
	for i := 7; i > 0; i -= 2 {
		p := digits % 100 * 2
		digits /= 100
		text[i], text[i+1] = pairs[p], pairs[p+1]
	}
	text[0] = '0' + byte(digits)
	if whole := len(text) - decimals; whole > 0 {
		out = append(append(out, text[:whole]...), '.')
		return append(out, text[whole:]...)
	}
	out = append(append(out, "0."...), "0000000"[:decimals-len(text)]...)
	return append(out, text[:]...)
}

// appendDecimal appends v / 10^decimals.
func appendDecimal(out []byte, v uint64, decimals int) []byte {
	var digits [24]byte
	i := len(digits)
	for v >= 100 {
		p := v % 100 * 2
		v /= 100
		i -= 2
		digits[i], digits[i+1] = pairs[p], pairs[p+1]
	}
	if v >= 10 {
		i -= 2
		digits[i], digits[i+1] = pairs[v*2], pairs[v*2+1]
	} else {
		i--
		digits[i] = '0' + byte(v)
	}
	whole := len(digits) - i - decimals
	switch {
	case decimals <= 0:
		out = append(out, digits[i:]...)
		return append(out, "00000000"[:-decimals]...)
	case whole > 0:
		out = append(out, digits[i:i+whole]...)
		return append(append(out, '.'), digits[i+whole:]...)
	}
	out = append(append(out, "0."...), "0000000000000000"[:-whole]...)
	return append(out, digits[i:]...)
}

// parseFloat32 reads the JSON number at s[i:] and returns where it ends.
func parseFloat32(s []byte, i int) (float32, int, error) {
	f, end, err := parseNumber(s, i)
	if err != nil {
		return 0, end, err
	}
	// What is half way between two float32 may be there by rounding alone.
	if math.Float64bits(f)&(1<<29-1) == 1<<28 {
		if f, err = strconv.ParseFloat(string(s[i:end]), 32); err != nil {
			return 0, end, fmt.Errorf("%w: %w", vectors.ErrCorrupt, err)
		}
	}
	x := float32(f)
	if x-x != 0 {
		return 0, end, fmt.Errorf("%w: %v is no float32", vectors.ErrCorrupt, f)
	}
	return x, end, nil
}

// parseNumber reads the JSON number at s[i:] and returns where it ends.
func parseNumber(s []byte, i int) (float64, int, error) {
	start := i
	negative := i < len(s) && s[i] == '-'
	if negative {
		i++
	}
	mantissa, end := scanDigits(s, i, 0)
	digits, scale := end-i, 0
	i = end
	if i < len(s) && s[i] == '.' {
		mantissa, end = scanDigits(s, i+1, mantissa)
		scale = i + 1 - end
		digits -= scale
		i = end
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		exponent, end := parseExponent(s, i+1)
		scale += exponent
		i = end
	}
	if digits == 0 {
		return 0, i, fmt.Errorf("%w: no number at byte %d", vectors.ErrCorrupt, start)
	}
	// A mantissa and a power that are exact make a result that is rounded once.
	f, exact := float64(mantissa), digits <= 15
	switch {
	case exact && scale <= 0 && scale >= -22:
		f /= powers[-scale]
	case exact && scale > 0 && scale <= 22:
		f *= powers[scale]
	default:
		exact = false
	}
	if !exact {
		return parseSlowly(s, start, i)
	}
	if negative {
		f = -f
	}
	return f, i, nil
}

// scanDigits adds the digits at s[i:] to n and returns where they end.
func scanDigits(s []byte, i int, n uint64) (uint64, int) {
	for ; i < len(s) && '0' <= s[i] && s[i] <= '9'; i++ {
		n = n*10 + uint64(s[i]-'0')
	}
	return n, i
}

func parseExponent(s []byte, i int) (exponent, end int) {
	negative := i < len(s) && s[i] == '-'
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	for ; i < len(s) && '0' <= s[i] && s[i] <= '9'; i++ {
		exponent = min(exponent*10+int(s[i]-'0'), 10_000)
	}
	if negative {
		exponent = -exponent
	}
	return exponent, i
}

func parseSlowly(s []byte, start, end int) (float64, int, error) {
	f, err := strconv.ParseFloat(string(s[start:end]), 64)
	if err != nil {
		return 0, end, fmt.Errorf("%w: %w", vectors.ErrCorrupt, err)
	}
	return f, end, nil
}
