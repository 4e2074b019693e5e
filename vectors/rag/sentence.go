package rag

import "strings"

// Sentences returns the sentences of text in order, without the space around
// them. A blank line ends one too. Where a sentence ends is a guess by its
// punctuation, made for English.
func Sentences(text string) []string {
	var out []string
	start := 0
	add := func(end int) {
		if s := strings.TrimSpace(text[start:end]); s != "" {
			out = append(out, s)
		}
		start = end
	}
	for at := 1; at < len(text); at++ {
		if sentenceEnd(text, at) || paragraphEnd(text, at) {
			add(at)
		}
	}
	add(len(text))
	return out
}
