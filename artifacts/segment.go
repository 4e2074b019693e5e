package artifacts

import (
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// EscapeSegment writes any text that is not empty as a segment of a [Name], for names
// that are made of what somebody else chose: users, sessions, files. What a segment may
// have stays, so that it can be read; "%", "/", control characters and bytes that are
// no UTF-8 become "%" and two digits. The result may be longer than [MaxSegment].
func EscapeSegment(text string) string {
	if text == "." || text == ".." {
		return "%2E" + text[1:]
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		if r == '%' || r == '/' || unicode.IsControl(r) || r == utf8.RuneError && n == 1 {
			for _, c := range []byte(text[i : i+n]) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		} else {
			b.WriteString(text[i : i+n])
		}
		i += n
	}
	return b.String()
}

// UnescapeSegment reads what [EscapeSegment] wrote. Another text is ErrCorrupt.
func UnescapeSegment(segment string) (string, error) {
	text, err := url.PathUnescape(segment)
	if err != nil || EscapeSegment(text) != segment {
		return "", fmt.Errorf("%w: segment %.140q is not escaped as it would be", ErrCorrupt, segment)
	}
	return text, nil
}
