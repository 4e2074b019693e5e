package vectors

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A set of 64 rows is a word: row 64 would be beyond it.
func TestRowsBeyondTheEndAreCorrupt(t *testing.T) {
	for what, m := range map[string]Metadata{"a string": {"k": "x"}, "a boolean": {"k": true}, "a number": {"k": 1.0}, "an empty list": {"k": []any{}}} {
		ts := newTerms(nil)
		ts.add(3, m)
		ts.add(64, m)
		raw := packTerms(ts)
		_, err := parseTerms(raw, 64)
		require.ErrorIs(t, err, ErrCorrupt, what)
		_, err = parseTerms(raw, 65)
		require.NoError(t, err, what)
	}
}

func TestRowsOfAValueBeyondTheEndAreCorrupt(t *testing.T) {
	ts := newTerms(nil)
	ts.add(3, Metadata{"k": "x"})
	ts.keys["k"].values["x"].add(64)
	_, err := parseTerms(packTerms(ts), 64)
	require.ErrorIs(t, err, ErrCorrupt)
	ts = newTerms(nil)
	ts.add(3, Metadata{"k": 1.0})
	ts.keys["k"].setNumber(64, 2)
	_, err = parseTerms(packTerms(ts), 64)
	require.ErrorIs(t, err, ErrCorrupt)
}
