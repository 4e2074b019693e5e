// Package pathfold tells paths that some file systems take for one: by the case of
// their letters, as those of Windows and macOS do, or by the normal form of their
// characters, as that of macOS does.
package pathfold

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Fold returns a text that is the same for two paths if they differ by case or by
// normal form alone: characters are decomposed, marks are in one order, and each is the
// smallest of those that differ by case. It is for comparing, not for showing. Bytes
// that are no UTF-8 stay.
func Fold(path string) string {
	if folded, ascii := foldASCII(path); ascii {
		return folded
	}
	out := make([]rune, 0, len(path))
	for i, r := range path {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(path[i:]); size == 1 {
				out = append(out, unicode.MaxRune+1+rune(path[i])) // not like another byte
				continue
			}
		}
		out = decompose(out, r)
	}
	for i, r := range out {
		out[i] = smallest(r)
	}
	order(out)
	var b strings.Builder
	for _, r := range out {
		if r > unicode.MaxRune {
			b.WriteByte(byte(r - unicode.MaxRune - 1))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func foldASCII(path string) (string, bool) {
	for i := range len(path) {
		if path[i] >= utf8.RuneSelf {
			return "", false
		}
	}
	return strings.ToUpper(path), true // upper case is the smaller one, as smallest has it
}

// smallest returns the first of the characters that differ from r by case alone, but no
// mark, as which the small iota can stand on another letter.
func smallest(r rune) rune {
	if r > unicode.MaxRune {
		return r
	}
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		if unicode.Is(unicode.Mn, least) || next < least && !unicode.Is(unicode.Mn, next) {
			least = next
		}
	}
	return least
}

// Hangul syllables are made of a leading consonant, a vowel and perhaps a trailing
// consonant, in the order of their numbers.
const (
	hangulFirst, hangulLast       = 0xAC00, 0xD7A3
	leadFirst, vowelFirst, before = 0x1100, 0x1161, 0x11A7
	vowels, trails                = 21, 28
)

// decompose adds to out what r is made of.
func decompose(out []rune, r rune) []rune {
	switch {
	case r < 0xC0:
		return append(out, r)
	case r >= hangulFirst && r <= hangulLast:
		n := r - hangulFirst
		out = append(out, leadFirst+n/(vowels*trails), vowelFirst+n/trails%vowels)
		if trail := n % trails; trail != 0 {
			out = append(out, before+trail)
		}
		return out
	}
	if line := find(r); line != "" {
		return append(out, []rune(line)...)
	}
	return append(out, r)
}

// find looks for what r decomposes to, which is empty if it is made of nothing else.
func find(r rune) string {
	low, high := 0, len(table)
	for low < high {
		// The line that the middle is in.
		middle := low + (high-low)/2
		start := strings.LastIndexByte(table[:middle], '\n') + 1
		end := start + strings.IndexByte(table[start:], '\n')
		at, size := utf8.DecodeRuneInString(table[start:])
		switch {
		case at == r:
			return table[start+size : end]
		case at < r:
			low = end + 1
		default:
			high = start
		}
	}
	return ""
}

// order sorts the marks on each character. Some orders of marks mean different things,
// and are one here: too many paths are the same rather than too few.
func order(text []rune) {
	for i := 0; i < len(text); i++ {
		n := i
		for n < len(text) && text[n] <= unicode.MaxRune && unicode.Is(unicode.Mn, text[n]) {
			n++
		}
		slices.Sort(text[i:n])
		i = max(i, n-1)
	}
}
