// Package vectorstest checks implementations of vectors.Index.
//
// It uses only package testing, so that an Index in another module can run it:
//
//	func TestMyIndex(t *testing.T) {
//		vectorstest.Run(t, func(t *testing.T, schema vectors.Schema) vectors.Index { return newMyIndex(t, schema) })
//	}
package vectorstest

import (
	"errors"
	"iter"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/genaistore/genaistore/vectors"
)

// A promise is one sentence of the contract and what shows that it is kept.
type promise struct {
	name   string
	schema vectors.Schema // plain if it has no dimension
	check  func(t *fixture)
}

// plain is the schema of most promises.
var plain = vectors.Schema{Dimension: 3, Metric: vectors.Cosine, NonFilterable: []string{"text"}}

// flat is plain with straight-line distances.
var flat = vectors.Schema{Dimension: 3, Metric: vectors.Euclidean, NonFilterable: []string{"text"}}

// Run tests the Index that newIndex returns, which must be empty and made for
// schema, against every promise of vectors.Index. It calls newIndex once a
// subtest. Where a promise allows a Query to be approximate, Run does.
func Run(t *testing.T, newIndex func(t *testing.T, schema vectors.Schema) vectors.Index) {
	t.Helper()
	for _, p := range slices.Concat(puts, limits, gets, queries, filters, lists, deletes, calls) {
		t.Run(p.name, func(t *testing.T) {
			if p.schema.Dimension == 0 {
				p.schema = plain
			}
			p.check(newFixture(t, newIndex(t, p.schema)))
		})
	}
}

// A fixture is the index under test, with calls that must succeed.
type fixture struct {
	*testing.T
	index  vectors.Index
	schema vectors.Schema // as Describe returns it
}

func newFixture(t *testing.T, index vectors.Index) *fixture {
	t.Helper()
	schema, err := index.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{t, index, schema}
}

// v returns a vector in the direction of x, y, z.
func v(key string, metadata vectors.Metadata, data ...float32) vectors.Vector {
	if len(data) == 0 {
		data = []float32{1, 2, 3}
	}
	return vectors.Vector{Key: key, Data: data, Metadata: metadata}
}

type md = vectors.Metadata

func (t *fixture) put(vs ...vectors.Vector) {
	t.Helper()
	report, err := t.index.Put(t.Context(), vectors.Of(vs...), nil)
	if err != nil || report.Done != len(vs) || report.Skipped != 0 || len(report.Rejected) != 0 {
		t.Fatalf("Put of %d vectors = %+v, %v", len(vs), report, err)
	}
}

func (t *fixture) get(keys ...string) []vectors.Vector {
	t.Helper()
	found, err := t.index.Get(t.Context(), keys, &vectors.GetOptions{Fields: vectors.Everything})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// one returns the vector under key, which must be there.
func (t *fixture) one(key string) vectors.Vector {
	t.Helper()
	found := t.get(key)
	if len(found) != 1 || found[0].Key != key {
		t.Fatalf("Get(%.40q) = %+v, want that vector", key, found)
	}
	return found[0]
}

// list returns the keys that opts select, sorted, each once.
func (t *fixture) list(opts *vectors.ListOptions) []string {
	t.Helper()
	keys := []string{}
	for v, err := range t.index.List(t.Context(), opts) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, v.Key)
	}
	slices.Sort(keys)
	if n := len(keys); n != len(slices.Compact(slices.Clone(keys))) {
		t.Fatalf("List yielded a vector twice: %.200q", keys)
	}
	return keys
}

func (t *fixture) query(q vectors.Query) []vectors.Match {
	t.Helper()
	var found []vectors.Match
	for m, err := range t.index.Query(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, m)
	}
	if !slices.IsSorted(distances(found)) {
		t.Errorf("Query yielded distances %v, want the nearest first", distances(found))
	}
	return found
}

func distances(found []vectors.Match) []float64 {
	out := make([]float64, len(found))
	for i, m := range found {
		out[i] = m.Distance
	}
	return out
}

func keysOf(found []vectors.Match) []string {
	out := make([]string, len(found))
	for i, m := range found {
		out[i] = m.Key
	}
	return out
}

func (t *fixture) remove(sel vectors.Selection) vectors.Report {
	t.Helper()
	report, err := t.index.Delete(t.Context(), sel, nil)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// rejects checks that v is not stored, alone and with the reason in the report.
func (t *fixture) rejects(what string, bad vectors.Vector) {
	t.Helper()
	report, err := t.index.Put(t.Context(), vectors.Of(bad), nil)
	if !errors.Is(err, vectors.ErrInvalid) || report.Done != 0 || len(report.Rejected) != 1 {
		t.Errorf("Put of a vector with %s = %+v, %v, want it rejected with ErrInvalid", what, report, err)
		return
	}
	if r := report.Rejected[0]; r.Key != bad.Key || !errors.Is(r.Err, vectors.ErrInvalid) {
		t.Errorf("Put of a vector with %s: rejection %.40q %v, want its key and ErrInvalid", what, r.Key, r.Err)
	}
}

func (t *fixture) same(what string, got, want []string) {
	t.Helper()
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("%s = %.300q, want %.300q", what, got, want)
	}
}

func (t *fixture) invalid(what string, err error) {
	t.Helper()
	if !errors.Is(err, vectors.ErrInvalid) {
		t.Errorf("%s: error %v, want one that matches ErrInvalid", what, err)
	}
}

// lastError ranges to the end and returns the error, which must come last.
func lastError[T any](t *fixture, seq iter.Seq2[T, error]) (last error) {
	t.Helper()
	for _, err := range seq {
		if last != nil {
			t.Errorf("an iterator went on after the error %v", last)
		}
		last = err
	}
	return last
}

func (t *fixture) equal(what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s = %#v, want %#v", what, got, want)
	}
}

// near checks distances to a tolerance that approximate services keep.
func (t *fixture) near(found []vectors.Match, want map[string]float64) {
	t.Helper()
	t.same("keys of the matches", slices.Sorted(slices.Values(keysOf(found))), slices.Collect(maps.Keys(want)))
	for _, m := range found {
		if d := want[m.Key]; math.Abs(m.Distance-d) > 0.01 {
			t.Errorf("distance of %s = %v, want %v", m.Key, m.Distance, d)
		}
	}
}

// name returns s repeated to n characters.
func name(s string, n int) string { return string([]rune(strings.Repeat(s, n))[:n]) }
