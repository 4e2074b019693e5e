package vectors_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/vectors"
)

// document is a filter as AWS writes it: what is written is then read by a
// second evaluator, made from the page of S3 Vectors on metadata filtering
// alone, with the reading of this package where that page is silent.
func document(f vectors.Filter) map[string]any {
	operator := func(name string, operand any) map[string]any {
		return map[string]any{f.Key: map[string]any{name: operand}}
	}
	exists := map[string]any{f.Key: map[string]any{"$exists": true}}
	switch f.Op {
	case vectors.OpEqual:
		return map[string]any{f.Key: f.Values[0]} // a bare value is $eq
	case vectors.OpNotEqual:
		return map[string]any{"$and": []any{exists, operator("$ne", f.Values[0])}}
	case vectors.OpIn:
		return operator("$in", f.Values)
	case vectors.OpNotIn:
		return map[string]any{"$and": []any{exists, operator("$nin", f.Values)}}
	case vectors.OpLess, vectors.OpAtMost, vectors.OpMore, vectors.OpAtLeast, vectors.OpStartsWith:
		return operator("$"+string(f.Op), f.Values[0])
	case vectors.OpExists:
		return operator("$exists", true)
	case vectors.OpMissing:
		return operator("$exists", false)
	}
	of := make([]any, len(f.Of))
	for i, g := range f.Of {
		of[i] = document(g)
	}
	return map[string]any{"$" + string(f.Op): of}
}

// page is that second evaluator, in one reading of what the page leaves open.
type page struct {
	*testing.T
	missingFails bool // $ne and $nin do not match what lacks the key
	listsDiffer  bool // an order asks for one element of a list, $startsWith for none
}

func (p page) evaluate(doc map[string]any, m map[string]any) bool {
	matches := true
	for key, condition := range doc {
		var ok bool
		switch key {
		case "$and":
			ok = !slices.ContainsFunc(condition.([]any), func(d any) bool { return !p.evaluate(d.(map[string]any), m) })
		case "$or":
			ok = slices.ContainsFunc(condition.([]any), func(d any) bool { return p.evaluate(d.(map[string]any), m) })
		default:
			operators, isMap := condition.(map[string]any)
			if !isMap {
				operators = map[string]any{"$eq": condition}
			}
			ok = true
			for name, operand := range operators {
				ok = ok && p.operator(name, operand, m, key)
			}
		}
		matches = matches && ok
	}
	return matches
}

func (p page) operator(name string, operand any, m map[string]any, key string) bool {
	value, there := m[key]
	// A list stands for its elements; a scalar for itself.
	elements, isList := value.([]any)
	if there && !isList {
		elements = []any{value}
	}
	anyElement := func(test func(v any) bool) bool { return slices.ContainsFunc(elements, test) }
	same := func(a, b any) bool {
		return fmt.Sprintf("%T", a) == fmt.Sprintf("%T", b) && a == b
	}
	oneOf := func(v any) bool {
		return slices.ContainsFunc(operand.([]any), func(w any) bool { return same(v, w) })
	}
	number := func(test func(n float64) bool) bool {
		return (!isList || p.listsDiffer) && anyElement(func(v any) bool {
			n, ok := v.(float64)
			return ok && test(n)
		})
	}
	switch name {
	case "$exists":
		return there == operand.(bool)
	case "$eq":
		return anyElement(func(v any) bool { return same(v, operand) })
	case "$ne":
		return (there || !p.missingFails) && !anyElement(func(v any) bool { return same(v, operand) })
	case "$in":
		return anyElement(oneOf)
	case "$nin":
		return (there || !p.missingFails) && !anyElement(oneOf)
	case "$lt":
		return number(func(n float64) bool { return n < operand.(float64) })
	case "$lte":
		return number(func(n float64) bool { return n <= operand.(float64) })
	case "$gt":
		return number(func(n float64) bool { return n > operand.(float64) })
	case "$gte":
		return number(func(n float64) bool { return n >= operand.(float64) })
	case "$startsWith":
		return (!isList || !p.listsDiffer) && anyElement(func(v any) bool {
			s, ok := v.(string)
			return ok && strings.HasPrefix(s, operand.(string))
		})
	}
	p.Fatalf("operator %s is not on the page", name)
	return false
}

// dice make filters and metadata of few keys and values, so that they meet.
type dice struct{ *rand.Rand }

func (d dice) scalar() any {
	values := []any{"", "a", "ab", "b", "1", 0.0, 1.0, 2.0, -1.5, 1e300, true, false}
	return values[d.IntN(len(values))]
}

func (d dice) key() string { return []string{"x", "y", "z"}[d.IntN(3)] }

func (d dice) metadata() vectors.Metadata {
	m := vectors.Metadata{}
	for range d.IntN(4) {
		if d.IntN(3) > 0 {
			m[d.key()] = d.scalar()
			continue
		}
		list := make([]any, d.IntN(4))
		for i := range list {
			list[i] = d.scalar()
		}
		m[d.key()] = list
	}
	return m
}

func (d dice) filter(depth int) vectors.Filter {
	f := vectors.Filter{Key: d.key()}
	ops := []vectors.Op{
		vectors.OpEqual, vectors.OpNotEqual, vectors.OpIn, vectors.OpNotIn, vectors.OpLess, vectors.OpAtMost, vectors.OpMore,
		vectors.OpAtLeast, vectors.OpStartsWith, vectors.OpExists, vectors.OpMissing, vectors.OpAnd, vectors.OpOr,
	}
	if depth == 0 {
		ops = ops[:11]
	}
	switch f.Op = ops[d.IntN(len(ops))]; f.Op {
	case vectors.OpEqual, vectors.OpNotEqual:
		f.Values = []any{d.scalar()}
	case vectors.OpIn, vectors.OpNotIn:
		f.Values = make([]any, d.IntN(4))
		for i := range f.Values {
			f.Values[i] = d.scalar()
		}
	case vectors.OpLess, vectors.OpAtMost, vectors.OpMore, vectors.OpAtLeast:
		f.Values = []any{float64(d.IntN(4) - 1)}
	case vectors.OpStartsWith:
		f.Values = []any{[]string{"", "a", "ab"}[d.IntN(3)]}
	case vectors.OpAnd, vectors.OpOr:
		f.Key = ""
		for range d.IntN(3) + 1 {
			f.Of = append(f.Of, d.filter(depth-1))
		}
	}
	return f
}

func TestMatchAgreesWithTheDocumentedOperators(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(1, 2))}
	matched := 0
	for range 100_000 {
		f, m := d.filter(3), d.metadata()
		require.NoError(t, f.Validate(vectors.Schema{}))
		got := f.Match(m)
		require.Equal(t, page{T: t}.evaluate(document(f), m), got, "%+v on %v", f, m)
		if got {
			matched++
		}
	}
	require.InDelta(t, 50_000, matched, 40_000, "as many filters match as not, or the test shows little")
}

func FuzzMatch(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		d := dice{rand.New(rand.NewPCG(a, b))}
		filter, m := d.filter(4), d.metadata()
		require.Equal(t, page{T: t}.evaluate(document(filter), m), filter.Match(m), "%+v on %v", filter, m)
	})
}

func TestMatchOnMetadataThatIsNotNormalDoesNotPanic(t *testing.T) {
	odd := map[string]any{"a": []any{1}}
	f := vectors.Filter{Op: vectors.OpIn, Key: "x", Values: []any{odd, []any{1}, nil, 1}}
	for _, value := range []any{odd, []any{odd, []any{1}}, nil, 1, []string{"a"}} {
		require.False(t, f.Match(vectors.Metadata{"x": value}))
	}
}

// The index answers filters from postings, which must select what Match does,
// also after vectors were replaced and deleted, and when the bitsets are long.
func TestPostingsSelectWhatMatchDoes(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(3, 4))}
	for _, n := range []int{3, 60, 500, 3000} {
		index := newInMemory(t, vectors.Schema{Dimension: 1, Metric: vectors.Euclidean})
		model := make(map[string]vectors.Metadata)
		for range 3 {
			for range n {
				key, m := fmt.Sprint(d.IntN(n)), d.metadata()
				_, err := index.Put(t.Context(), vectors.Of(vectors.Vector{Key: key, Data: []float32{d.Float32()}, Metadata: m}), nil)
				require.NoError(t, err)
				model[key] = m
			}
			for range n / 2 {
				key := fmt.Sprint(d.IntN(n))
				_, err := index.Delete(t.Context(), vectors.Selection{Keys: []string{key}}, nil)
				require.NoError(t, err)
				delete(model, key)
			}
			for range 60 {
				requireSelection(t, index, model, d.filter(3))
			}
		}
	}
}

func requireSelection(t *testing.T, index vectors.Index, model map[string]vectors.Metadata, f vectors.Filter) {
	t.Helper()
	want, listed, found := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for key, m := range model {
		if f.Match(m) {
			want[key] = true
		}
	}
	for v, err := range index.List(t.Context(), &vectors.ListOptions{Filter: f}) {
		require.NoError(t, err)
		listed[v.Key] = true
	}
	require.Equal(t, want, listed, "List %+v", f)
	for m, err := range index.Query(t.Context(), vectors.Query{Vector: []float32{0}, TopK: vectors.MaxTopK, Filter: f}) {
		require.NoError(t, err)
		found[m.Key] = true
	}
	require.Equal(t, want, found, "Query %+v", f)
}
