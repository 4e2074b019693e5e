package rag_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/vectors/rag"
)

func TestSentencesEndWhereTheyLookLikeIt(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"nothing", " \n ", nil},
		{"one without an end", "no end", []string{"no end"}},
		{"two", "One. Two?", []string{"One.", "Two?"}},
		{"an initial is no end", "J. Doe came. He left.", []string{"J. Doe came.", "He left."}},
		{"a blank line ends one", "Title\n\nText here.", []string{"Title", "Text here."}},
		{"no space in the language", "東京です。そうです。", []string{"東京です。", "そうです。"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { require.Equal(t, tt.want, rag.Sentences(tt.text)) })
	}
}

func FuzzSentencesLoseNothing(f *testing.F) {
	f.Add("One. Two? \n\nThree")
	f.Fuzz(func(t *testing.T, text string) {
		require.Equal(t, strings.Join(strings.Fields(text), ""), strings.Join(strings.Fields(strings.Join(rag.Sentences(text), "")), ""))
	})
}
