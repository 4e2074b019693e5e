package vectors

import (
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// AppendValue appends a value of [Metadata], in the types that [Schema.Normal]
// returns, to out as compact JSON, escaping only what JSON must. Others are null.
func AppendValue(out []byte, value any) []byte {
	switch v := value.(type) {
	case string:
		return appendString(out, v)
	case float64:
		return appendNumber(out, v)
	case bool:
		return strconv.AppendBool(out, v)
	case []any:
		out = append(out, '[')
		for i, element := range v {
			if i > 0 {
				out = append(out, ',')
			}
			out = AppendValue(out, element)
		}
		return append(out, ']')
	}
	return append(out, "null"...)
}

// AppendJSON appends m, as [Schema.Normal] returns it, to out as compact JSON
// with sorted keys.
func (m Metadata) AppendJSON(out []byte) []byte {
	var few [16]string
	keys := few[:0]
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	out = append(out, '{')
	for i, key := range keys {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendString(out, key), ':')
		out = AppendValue(out, m[key])
	}
	return append(out, '}')
}

// appendNumber writes as encoding/json does, which [Metadata.Size] counts by.
func appendNumber(out []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(out, "null"...)
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	out = strconv.AppendFloat(out, f, format, -1, 64)
	// e-09 is e-9 there.
	if n := len(out); format == 'e' && n >= 4 && out[n-4] == 'e' && out[n-3] == '-' && out[n-2] == '0' {
		out[n-2] = out[n-1]
		out = out[:n-1]
	}
	return out
}

const hexDigits = "0123456789abcdef"

func appendString(out []byte, s string) []byte {
	out = append(out, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == '\u2028' || r == '\u2029' {
				out = append(append(append(out, s[start:i]...), `\u202`...), hexDigits[r&0xf])
				start = i + size
			}
			i += size
			continue
		}
		if c < ' ' || c == '"' || c == '\\' {
			out = append(out, s[start:i]...)
			start = i + 1
			out = appendEscape(out, c)
		}
		i++
	}
	return append(append(out, s[start:]...), '"')
}

func appendEscape(out []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(out, '\\', c)
	case '\n':
		return append(out, `\n`...)
	case '\r':
		return append(out, `\r`...)
	case '\t':
		return append(out, `\t`...)
	case '\b':
		return append(out, `\b`...)
	case '\f':
		return append(out, `\f`...)
	}
	return append(out, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}
