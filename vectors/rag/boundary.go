package rag

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// A boundary says whether text may be cut before the byte at, which is neither
// its first nor past its last.

// paragraphEnd is after a blank line.
func paragraphEnd(text string, at int) bool {
	if text[at-1] != '\n' {
		return false
	}
	line := strings.TrimSuffix(strings.TrimSuffix(text[:at], "\n"), "\r")
	return len(line) == 0 || line[strings.LastIndexByte(line, '\n')+1:] == ""
}

// lineEnd is after a line feed.
func lineEnd(text string, at int) bool { return text[at-1] == '\n' }

// wordEnd is after a space and before something else.
func wordEnd(text string, at int) bool {
	if !utf8.RuneStart(text[at]) {
		return false
	}
	before, _ := utf8.DecodeLastRuneInString(text[:at])
	after, _ := utf8.DecodeRuneInString(text[at:])
	return unicode.IsSpace(before) && !unicode.IsSpace(after)
}

// sentenceEnd is after the space that follows a full stop, a question or
// exclamation mark, where what comes next does not look like the middle of a
// sentence, as after "e.g. " or "J. "; or directly after the marks of
// languages that put no space.
func sentenceEnd(text string, at int) bool {
	if !utf8.RuneStart(text[at]) {
		return false
	}
	before, size := utf8.DecodeLastRuneInString(text[:at])
	if strings.ContainsRune("。！？", before) {
		return true
	}
	if !unicode.IsSpace(before) {
		return false
	}
	after, _ := utf8.DecodeRuneInString(text[at:])
	if unicode.IsSpace(after) || unicode.IsLower(after) {
		return false
	}
	sentence := strings.TrimRightFunc(text[:at-size], func(r rune) bool {
		return unicode.IsSpace(r) || strings.ContainsRune(`"')]”’`, r)
	})
	mark, size := utf8.DecodeLastRuneInString(sentence)
	switch mark {
	case '!', '?', '…':
		return true
	case '.':
		return !initial(sentence[:len(sentence)-size])
	}
	return false
}

// initial reports whether text ends in a single letter.
func initial(text string) bool {
	letter, size := utf8.DecodeLastRuneInString(text)
	before, _ := utf8.DecodeLastRuneInString(text[:len(text)-size])
	return unicode.IsLetter(letter) && !unicode.IsLetter(before) && !unicode.IsDigit(before)
}

// letterEnd is before a character that does not join the one before it, as an
// accent or the parts of an emoji do.
func letterEnd(text string, at int) bool {
	const joiner = '\u200d'
	if !utf8.RuneStart(text[at]) {
		return false
	}
	before, _ := utf8.DecodeLastRuneInString(text[:at])
	after, _ := utf8.DecodeRuneInString(text[at:])
	return before != joiner && after != joiner && !unicode.Is(unicode.M, after) && !unicode.Is(unicode.Sk, after)
}
