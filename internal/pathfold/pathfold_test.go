package pathfold_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/pathfold"
)

func TestPathsThatAreOneToSomeFileSystem(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"README.md", "readme.MD", true},
		{"a/b", "a/c", false},
		{"caf\u00e9", "cafe\u0301", true},
		{"caf\u00e9", "CAFE\u0301", true},
		{"caf\u00e9", "cafe", false},
		{"\u00c5", "\u212b", true},             // the letter and the unit
		{"\u1ec7", "e\u0323\u0302", true},      // two marks
		{"\u1ec7", "e\u0302\u0323", true},      // in the other order
		{"\ud55c", "\u1112\u1161\u11ab", true}, // Hangul of three
		{"\ud558", "\u1112\u1161", true},       // and of two
		{"\ud55c", "\ud558", false},
		{"\u03c3", "\u03c2", true}, // two small sigmas of one capital
		{"K", "\u212a", true},      // the sign of kelvin
		{"\U0001d15e", "\U0001d157\U0001d165", true},
		{"bad\xff", "bad\xfe", false},
		{"bad\xff", "BAD\xff", true},
		{"\ufffd", "\xff", false},
		{"日本語", "日本語", true},
		{"", "", true},
	} {
		require.Equal(t, tt.same, pathfold.Fold(tt.a) == pathfold.Fold(tt.b), "%q %q", tt.a, tt.b)
	}
}

// What is folded twice is what it was, and case never matters.
func FuzzFold(f *testing.F) {
	f.Add("caf\u00e9/\ud55c\xff\u212b")
	f.Fuzz(func(t *testing.T, path string) {
		once := pathfold.Fold(path)
		if pathfold.Fold(once) != once {
			t.Fatalf("%q: %q, then %q", path, once, pathfold.Fold(once))
		}
	})
}

func TestEveryLetterIsItsOtherCase(t *testing.T) {
	for r := range rune(unicode.MaxRune) {
		if r >= 0xd800 && r < 0xe000 {
			continue
		}
		next := unicode.SimpleFold(r)
		if a, b := pathfold.Fold(string(r)), pathfold.Fold(string(next)); a != b {
			t.Fatalf("%q and %q: %q and %q", r, next, a, b)
		}
	}
}

func BenchmarkFold(b *testing.B) {
	for _, path := range []string{strings.Repeat("folder/", 8) + "Model-00001.safetensors", strings.Repeat("ordner/", 8) + "Größe-é.bin"} {
		b.Run(path[:6], func(b *testing.B) {
			for b.Loop() {
				pathfold.Fold(path)
			}
		})
	}
}
