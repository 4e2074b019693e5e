package vectors_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/vectors"
)

func ExampleFilter_JSON() {
	f := vectors.And(vectors.Equal("tenant", "acme"), vectors.AtLeast("year", 2020), vectors.NotEqual("lang", "de"))
	text, err := f.JSON()
	fmt.Println(string(text), err)
	// Output: {"$and":[{"tenant":{"$eq":"acme"}},{"year":{"$gte":2020}},{"$and":[{"lang":{"$exists":true}},{"lang":{"$ne":"de"}}]}]} <nil>
}

func ExampleDocument_Ambiguities() {
	d, err := vectors.ParseDocument([]byte(`{"lang": {"$ne": "de"}}`))
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(d.Ambiguities(vectors.Metadata{"year": 2020.0})[0])
	// Output: $ne on "lang", which is missing: add {"lang":{"$exists":true}} by $and, or {"lang":{"$exists":false}} by $or
}

func TestWhatJSONWritesMeansTheSame(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(5, 6))}
	for range 30_000 {
		requireSameInJSON(t, d.filter(3), d.metadata())
	}
}

func FuzzFilterJSON(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		d := dice{rand.New(rand.NewPCG(a, b))}
		requireSameInJSON(t, d.filter(4), d.metadata())
	})
}

func requireSameInJSON(t *testing.T, f vectors.Filter, m vectors.Metadata) {
	t.Helper()
	want := f.Match(m)
	text, err := f.JSON()
	if f.Simplified().IsNone() {
		require.ErrorIs(t, err, vectors.ErrInvalid)
		require.False(t, want)
		return
	}
	require.NoError(t, err)
	read, err := vectors.ParseDocument(text)
	require.NoError(t, err, "%s", text)
	require.Equal(t, want, read.Filter().Match(m), "%s on %v", text, m)
	require.Equal(t, f.Simplified().Constraints(), read.Constraints(), "%s", text)
	var tree map[string]any
	require.NoError(t, json.Unmarshal(text, &tree))
	require.Equal(t, want, page{T: t}.evaluate(tree, m), "%s on %v", text, m)
	require.Equal(t, want, page{T: t, missingFails: true}.evaluate(tree, m), "%s is not open on missing keys: %v", text, m)
	for _, a := range read.Ambiguities(m) {
		require.True(t, !a.Missing || slices.ContainsFunc(read.Ambiguities(m), func(b vectors.Ambiguity) bool { return !b.Missing }),
			"%s on %v: %v", text, m, a)
	}
}

// plainDocument is f with the operators as they are: what is open stays open.
func plainDocument(f vectors.Filter) map[string]any {
	switch f.Op {
	case vectors.OpNotEqual:
		return map[string]any{f.Key: map[string]any{"$ne": f.Values[0]}}
	case vectors.OpNotIn:
		return map[string]any{f.Key: map[string]any{"$nin": f.Values}}
	case vectors.OpAnd, vectors.OpOr:
		of := make([]any, len(f.Of))
		for i, g := range f.Of {
			of[i] = plainDocument(g)
		}
		return map[string]any{"$" + string(f.Op): of}
	}
	return document(f)
}

func TestEveryDisagreementOfReadingsIsReported(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(7, 8))}
	reported, differing := 0, 0
	for range 50_000 {
		f, m := d.filter(3), d.metadata()
		tree := plainDocument(f)
		text, err := json.Marshal(tree)
		require.NoError(t, err)
		read, err := vectors.ParseDocument(text)
		if strings.Contains(string(text), `[]`) {
			require.ErrorIs(t, err, vectors.ErrInvalid, "%s has an empty list", text)
			continue
		}
		require.NoError(t, err, "%s", text)
		base := page{T: t}.evaluate(tree, m)
		require.Equal(t, base, read.Filter().Match(m), "%s on %v", text, m)
		differ := false
		for _, p := range []page{{t, true, false}, {t, false, true}, {t, true, true}} {
			differ = differ || p.evaluate(tree, m) != base
		}
		open := read.Ambiguities(m)
		if len(open) > 0 {
			reported++
		}
		if differ {
			differing++
			require.NotEmpty(t, open, "%s on %v", text, m)
		}
	}
	require.Greater(t, differing, 1000)
	require.Less(t, reported, 2*differing, "what is reported is rarely harmless")
}

func TestBadDocumentsAreInvalid(t *testing.T) {
	tests := []struct{ name, text, says string }{
		{"no JSON", `{`, ""},
		{"no object", `[]`, "a filter is an object"},
		{"an empty object", `{}`, "leave it out"},
		{"two filters", `{"a":1}{"b":1}`, "after the filter"},
		{"an unknown operator", `{"a":{"$regex":"x"}}`, "$regex"},
		{"an operator in the place of a key", `{"$not":{"a":1}}`, "$and or $or"},
		{"an operator without its dollar", `{"a":{"eq":1}}`, "the operators are"},
		{"an operator of ours alone", `{"a":{"$missing":true}}`, "the operators are"},
		{"an empty key", `{"":1}`, "stands where a key does"},
		{"no operators", `{"a":{}}`, "no operator"},
		{"null", `{"a":null}`, "string, number or boolean"},
		{"null to compare with", `{"a":{"$ne":null}}`, "string, number or boolean"},
		{"a list to compare with", `{"a":["x"]}`, "string, number or boolean"},
		{"an order of strings", `{"a":{"$lt":"x"}}`, "orders take one number"},
		{"a prefix that is a number", `{"a":{"$startsWith":1}}`, "startsWith one string"},
		{"an empty list of values", `{"a":{"$in":[]}}`, "at least one"},
		{"a value that is no list", `{"a":{"$in":"x"}}`, "takes a list"},
		{"a nested list", `{"a":{"$in":[["x"]]}}`, "string, number or boolean"},
		{"exists without a boolean", `{"a":{"$exists":1}}`, "true or false"},
		{"an empty list of filters", `{"$and":[]}`, "at least one"},
		{"a filter that is no object", `{"$or":[1]}`, "a list of filters"},
		{"an empty filter among others", `{"$or":[{"a":1},{}]}`, "leave it out"},
		{"the same key twice", `{"a":1,"a":2}`, "twice"},
		{"a number too great", `{"a":1e999}`, ""},
		{"bytes that are not UTF-8", "{\"a\":\"\xff\"}", "UTF-8"},
		{"deep nesting", strings.Repeat(`{"$and":[`, 70) + `{"a":1}` + strings.Repeat(`]}`, 70), "deeper"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := vectors.ParseFilter([]byte(tt.text))
			require.ErrorIs(t, err, vectors.ErrInvalid)
			require.ErrorContains(t, err, tt.says)
		})
	}
}

func TestSeveralFieldsAndOperatorsAreJoinedByAnd(t *testing.T) {
	f, err := vectors.ParseFilter([]byte(`{"price":{"$gte":10,"$lte":50},"sold":false,"$or":[{"a":1},{"b":{"$exists":false}}]}`))
	require.NoError(t, err)
	require.Equal(t, vectors.And(vectors.And(vectors.AtLeast("price", 10), vectors.AtMost("price", 50)), vectors.Equal("sold", false),
		vectors.Or(vectors.Equal("a", 1), vectors.Missing("b"))), f)
}

func TestADocumentKnowsWhatItUses(t *testing.T) {
	d, err := vectors.ParseDocument([]byte(`{"$or":[{"a":{"$in":["x","y","z"]}},{"b":{"$startsWith":"q"}}]}`))
	require.NoError(t, err)
	require.Equal(t, 4, d.Constraints())
	require.True(t, d.Uses(vectors.OpStartsWith))
	require.False(t, d.Uses(vectors.OpLess))
	require.NoError(t, d.Validate(vectors.Schema{}))
	require.ErrorIs(t, d.Validate(vectors.Schema{NonFilterable: []string{"b"}}), vectors.ErrInvalid)
}

func TestPartsOfASplitFilterSelectWhatItDoes(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(9, 10))}
	split := 0
	for range 20_000 {
		f := d.filter(4)
		most := 3 + d.IntN(6)
		parts, err := f.Split(most)
		if err != nil {
			require.ErrorIs(t, err, vectors.ErrInvalid)
			continue
		}
		if len(parts) > 1 {
			split++
		}
		for _, part := range parts {
			require.LessOrEqual(t, part.Constraints(), most)
		}
		for range 10 {
			m := d.metadata()
			require.Equal(t, f.Match(m), slices.ContainsFunc(parts, func(p vectors.Filter) bool { return p.Match(m) }), "%+v on %v", f, m)
		}
	}
	require.Greater(t, split, 200)
}

func TestAHundredConstraintsAreNotSplit(t *testing.T) {
	ids := make([]int, 301)
	for i := range ids {
		ids[i] = i
	}
	tenant := vectors.Equal("tenant", "acme")
	parts, err := vectors.And(tenant, vectors.In("id", ids[:99]...)).Split(vectors.MaxConstraints)
	require.NoError(t, err)
	require.Len(t, parts, 1)
	parts, err = vectors.And(tenant, vectors.In("id", ids...)).Split(vectors.MaxConstraints)
	require.NoError(t, err)
	require.Len(t, parts, 4)
	for _, id := range append(ids, -1, len(ids)) {
		m := vectors.Metadata{"tenant": "acme", "id": float64(id)}
		require.Equal(t, id >= 0 && id < len(ids), slices.ContainsFunc(parts, func(p vectors.Filter) bool { return p.Match(m) }), id)
	}
	_, err = vectors.NotIn("id", ids...).Split(vectors.MaxConstraints)
	require.ErrorIs(t, err, vectors.ErrInvalid)
	_, err = vectors.In("id", ids...).Split(2)
	require.ErrorContains(t, err, "more than 100")
}

func TestMetadataIsWrittenAsEncodingJSONDoes(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(11, 12))}
	for range 5000 {
		m := d.metadata()
		m[string([]byte{byte(d.IntN(128))})] = string([]rune{rune(d.IntN(0x3000)), '<', rune(d.IntN(64))})
		m["n"] = d.NormFloat64() * []float64{1, 1e-300, 1e-9, 1e-6, 1e20, 1e21, 1e22, 1e300}[d.IntN(8)]
		text := m.AppendJSON(nil)
		size, err := m.Size()
		require.NoError(t, err)
		require.Len(t, text, size, "%s", text)
		want, err := json.Marshal(m)
		require.NoError(t, err)
		require.JSONEq(t, string(want), string(text))
	}
}

func FuzzParseDocument(f *testing.F) {
	for _, s := range []string{`{"a":1}`, `{"$or":[{"a":{"$nin":["x"]}},{"b":{"$gte":1,"$lt":2}}]}`, `{"a":{"$exists":false}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		read, err := vectors.ParseDocument(text)
		if err != nil {
			require.ErrorIs(t, err, vectors.ErrInvalid)
			return
		}
		d := dice{rand.New(rand.NewPCG(1, 2))}
		again, err := read.Filter().JSON()
		if err != nil {
			require.ErrorIs(t, err, vectors.ErrInvalid) // it nests too deep for a Filter
			return
		}
		back, err := vectors.ParseFilter(again)
		require.NoError(t, err)
		for range 5 {
			m := d.metadata()
			require.Equal(t, read.Filter().Match(m), back.Match(m), "%s as %s on %v", text, again, m)
		}
	})
}
