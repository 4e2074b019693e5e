package rag

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// prefixLength is the number of letters of a prefix term.
const prefixLength = 4

// prefixMark begins a prefix term, and no word.
const prefixMark = '~'

func isPrefix(term string) bool { return term[0] == prefixMark }

// stopwords say nothing about what a text is about.
const stopwords = " a about above after again all also am an and any are as at be because been before being below" +
	" between both but by can could did do does doing down during each few for from further had has have having he" +
	" her here hers him his how i if in into is it its itself just me more most my no nor not now of off on once only" +
	" or other our out over own same she should so some such than that the their theirs them then there these they" +
	" this those through to too under until up very was we were what when where which while who whom whose why will" +
	" with would you your s t d ll re ve isn aren wasn weren don doesn didn hasn" +
	" haven hadn wouldn couldn shouldn "

// longestStopword is the length in bytes that no stopword exceeds.
const longestStopword = 8

func isStopword(word []byte) bool {
	if len(word) > longestStopword {
		return false
	}
	var space [longestStopword + 2]byte
	spaced := append(append(append(space[:0], ' '), word...), ' ')
	return strings.Contains(stopwords, string(spaced))
}

// terms yields what text is indexed and searched by: the stem of each word that
// is no stopword, and the prefix of each that is long enough. Words are runs of
// letters and digits, in lower case and without accents; a percent sign is the
// word "percent".
func terms(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		var space [64]byte
		word := space[:0]
		for _, r := range text {
			switch {
			case unicode.In(r, unicode.L, unicode.N):
				word = appendFolded(word, r)
				continue
			case unicode.Is(unicode.M, r):
				// An accent may be a rune of its own; it ends no word.
				continue
			}
			if !yieldWord(word, yield) || r == '%' && !yieldWord([]byte("percent"), yield) {
				return
			}
			word = word[:0]
		}
		yieldWord(word, yield)
	}
}

// yieldWord yields the terms of one word and reports whether to go on.
func yieldWord(word []byte, yield func(string) bool) bool {
	if len(word) == 0 || isStopword(word) {
		return true
	}
	if prefix := firstLetters(word); prefix != nil && !yield(string(prefixMark)+string(prefix)) {
		return false
	}
	return yield(string(stem(word)))
}

// firstLetters returns the prefix that stands for word, nil if it is too short
// to have one.
func firstLetters(word []byte) []byte {
	letters := 0
	for i := range word {
		if utf8.RuneStart(word[i]) {
			if letters == prefixLength {
				return word[:i]
			}
			letters++
		}
	}
	if letters < prefixLength {
		return nil
	}
	return word
}

// Each letter of accented stands for the one at its place in plain.
const (
	accented = "àáâãäåāăąçćčĉċďđèéêëēĕėęěĝğġģĥħìíîïĩīĭįıĵķĺļľłñńņňòóôõöøōŏőŕŗřśŝşšţťŧùúûüũūŭůűųŵýÿŷźżžðþæœß"
	plain    = "aaaaaaaaacccccddeeeeeeeeegggghhiiiiiiiiijkllllnnnnooooooooorrrsssstttuuuuuuuuuuwyyyzzzdtaos"
)

func appendFolded(word []byte, r rune) []byte {
	r = unicode.ToLower(r)
	if r >= utf8.RuneSelf {
		if i := strings.IndexRune(accented, r); i >= 0 {
			return append(word, plain[utf8.RuneCountInString(accented[:i])])
		}
	}
	return utf8.AppendRune(word, r)
}
