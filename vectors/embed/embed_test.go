package embed_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/vectors/embed"
)

func TestModelsThatAnIndexCannotRecordAreInvalid(t *testing.T) {
	require.NoError(t, embed.Model{ID: "amazon.titan-embed-text-v2:0", Dimension: 1024}.Validate())
	require.NoError(t, embed.Model{ID: strings.Repeat("é", 256), Dimension: 4096}.Validate())
	for name, m := range map[string]embed.Model{
		"no id":             {Dimension: 8},
		"id too long":       {ID: strings.Repeat("x", 257), Dimension: 8},
		"id with a bracket": {ID: "model(2)", Dimension: 8},
		"id not UTF-8":      {ID: "model\xff", Dimension: 8},
		"no dimension":      {ID: "m"},
		"dimension too big": {ID: "m", Dimension: 4097},
	} {
		require.ErrorIs(t, m.Validate(), embed.ErrInvalid, name)
	}
}

func TestAnIndexOfAnotherModelIsRefused(t *testing.T) {
	m := embed.Model{ID: "m:1", Dimension: 8}
	require.NoError(t, m.Check(m.Tags()))
	require.ErrorIs(t, m.Check(embed.Model{ID: "m:2", Dimension: 8}.Tags()), embed.ErrInvalid)
	require.ErrorIs(t, m.Check(embed.Model{ID: "m:1", Dimension: 16}.Tags()), embed.ErrInvalid)
}

func TestAnIndexThatNamesNoModelIsNotTakenForRight(t *testing.T) {
	m := embed.Model{ID: "m:1", Dimension: 8}
	require.ErrorIs(t, m.Check(nil), embed.ErrNotFound)
	tags := m.Tags()
	delete(tags, embed.TagDimension)
	require.ErrorIs(t, m.Check(tags), embed.ErrNotFound)
}

func TestTextNeedsALetterOrDigit(t *testing.T) {
	for _, text := range []string{"a", "7", "½", "東", "… ok"} {
		require.NoError(t, embed.CheckText(text), text)
	}
	for _, text := range []string{"", " ", "?", "\u0301", "a\xff"} {
		require.ErrorIs(t, embed.CheckText(text), embed.ErrInvalid, "%q", text)
	}
}
