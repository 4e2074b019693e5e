package glove

import (
	"cmp"
	"context"
	"slices"
	"unicode"
	"unicode/utf8"
)

// A token is one word of a text.
type token struct {
	hash  uint64 // of the word
	stem  uint64 // hash of its first letters
	known uint32 // 1 + its position in the table, 0 if it is not there
}

// stemLength is the number of letters that a word shares with its inflections,
// roughly: "Colombia" and "Colombian" have one signature.
const stemLength = 6

// FNV-1a with 64 bits.
const (
	hashBasis = 14695981039346656037
	hashPrime = 1099511628211
)

// tokenize appends the words of text in lower case: runs of letters, marks and
// digits; a percent sign is the word "percent". The result is sorted by hash.
func (t *table) tokenize(ctx context.Context, tokens []token, text string) ([]token, error) {
	var space [64]byte
	word := space[:0]
	for _, r := range text {
		switch {
		case unicode.In(r, unicode.L, unicode.N) || unicode.Is(unicode.M, r) && len(word) > 0:
			word = utf8.AppendRune(word, unicode.ToLower(r))
			continue
		case len(word) > 0:
			tokens = append(tokens, t.token(word))
			word = word[:0]
		}
		if r == '%' {
			tokens = append(tokens, t.token([]byte("percent")))
		}
		const often = 1 << 12
		if len(tokens)%often == often-1 {
			if err := ctx.Err(); err != nil {
				return tokens, err
			}
		}
	}
	if len(word) > 0 {
		tokens = append(tokens, t.token(word))
	}
	slices.SortFunc(tokens, func(a, b token) int { return cmp.Compare(a.hash, b.hash) })
	return tokens, nil
}

func (t *table) token(word []byte) token {
	var tok token
	if i, ok := t.index[string(word)]; ok {
		tok.known = i + 1
	}
	tok.hash = hashBasis
	letters := 0
	for _, c := range word {
		if utf8.RuneStart(c) {
			if letters == stemLength {
				tok.stem = tok.hash
			}
			letters++
		}
		tok.hash = (tok.hash ^ uint64(c)) * hashPrime
	}
	if letters <= stemLength {
		tok.stem = tok.hash
	}
	return tok
}

// spread mixes a hash so that all its bits depend on each other: the finalizer
// of splitmix64.
func spread(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
