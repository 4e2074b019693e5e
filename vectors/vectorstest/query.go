package vectorstest

import (
	"fmt"
	"math"
	"slices"

	"github.com/genaistore/genaistore/vectors"
)

var queries = []promise{
	{"Query yields the nearest first by cosine", plain, cosine},
	{"Query yields the nearest first by straight-line distance", flat, euclidean},
	{"every dimension counts under cosine", vectors.Schema{Dimension: 71, Metric: vectors.Cosine}, everyDimension},
	{"every dimension counts under euclidean", vectors.Schema{Dimension: 71, Metric: vectors.Euclidean}, everyDimension},
	{"Query yields ten unless TopK says otherwise", plain, topK},
	{"Query yields more than a page", plain, manyMatches},
	{"Query yields all if there are fewer than TopK", plain, fewMatches},
	{"Query of an empty index yields none", plain, queryEmpty},
	{"Query yields equal distances in an order that repeats", plain, ties},
	{"Query never yields one that does not match", plain, queryFilter},
	{"Query with a filter that none matches yields none", plain, queryNoMatch},
	{"Query finds what was just written and not what was deleted", plain, queryAfterWrites},
	{"Query searches when the loop starts, and again with each loop", plain, queryIsLazy},
	{"Query may be left early", plain, queryBreak},
	{"the loop over a Query may write", plain, writeInQuery},
	{"Query keeps nothing of its arguments", plain, queryKeepsNothing},
	{"a bad Query is invalid whatever the index holds", plain, badQuery},
}

func cosine(t *fixture) {
	t.put(v("same", nil, 2, 0, 0), v("near", nil, 1, 1, 0), v("square", nil, 0, 0, 5), v("far", nil, -1, 1, 0), v("opposite", nil, -3, 0, 0))
	found := t.query(vectors.Query{Vector: []float32{10, 0, 0}})
	t.equal("keys", keysOf(found), []string{"same", "near", "square", "far", "opposite"})
	t.near(found, map[string]float64{"same": 0, "near": 1 - math.Sqrt2/2, "square": 1, "far": 1 + math.Sqrt2/2, "opposite": 2})
	for _, m := range found {
		if m.Distance < -1e-4 || m.Distance > 2+1e-4 {
			t.Errorf("distance of %s = %v, want 0 to 2", m.Key, m.Distance)
		}
	}
}

func euclidean(t *fixture) {
	t.put(v("same", nil, 1, 1, 1), v("near", nil, 1, 1, 2), v("far", nil, 4, 5, 1), v("negative", nil, -5, 1, 9))
	found := t.query(vectors.Query{Vector: []float32{1, 1, 1}})
	t.equal("keys", keysOf(found), []string{"same", "near", "far", "negative"})
	t.near(found, map[string]float64{"same": 0, "near": 1, "far": 5, "negative": 10})
}

// everyDimension puts a vector along each axis: a sum that left one out, or took
// one twice, would find another vector or another distance.
func everyDimension(t *fixture) {
	axes := make([]vectors.Vector, t.schema.Dimension)
	for i := range axes {
		data := make([]float32, len(axes))
		data[i] = 2
		axes[i] = vectors.Vector{Key: fmt.Sprintf("%04d", i), Data: data}
	}
	t.put(axes...)
	away := math.Sqrt(8)
	if t.schema.Metric == vectors.Cosine {
		away = 1
	}
	for i, axis := range axes {
		found := t.query(vectors.Query{Vector: axis.Data, TopK: 2})
		if len(found) != 2 || found[0].Key != axis.Key || math.Abs(found[0].Distance) > 0.01 || math.Abs(found[1].Distance-away) > 0.01 {
			t.Errorf("Query along axis %d yields %q at %v, want %s and another, at 0 and %v", i, keysOf(found), distances(found), axis.Key, away)
		}
	}
}

// fan returns n vectors that turn away from the first axis one after the other.
func fan(n int) []vectors.Vector {
	vs := numbered(n)
	for i := range vs {
		angle := math.Pi * float64(i) / float64(n)
		vs[i].Data = []float32{float32(math.Cos(angle)), float32(math.Sin(angle)), 0}
	}
	return vs
}

func topK(t *fixture) {
	t.put(fan(30)...)
	q := vectors.Query{Vector: []float32{1, 0, 0}}
	for k, want := range map[int]int{0: vectors.DefaultTopK, 1: 1, 3: 3, 29: 29, 30: 30} {
		q.TopK = k
		found := t.query(q)
		if len(found) != want {
			t.Errorf("Query with TopK %d yields %d", k, len(found))
		}
		t.same("keys", slices.Sorted(slices.Values(keysOf(found))), t.list(nil)[:want])
	}
}

func manyMatches(t *fixture) {
	t.put(fan(730)...)
	found := t.query(vectors.Query{Vector: []float32{1, 0, 0}, TopK: 512})
	if len(found) < 500 { // services are approximate
		t.Fatalf("Query with TopK 512 yields %d of 730", len(found))
	}
	seen := slices.Sorted(slices.Values(keysOf(found)))
	if n := len(slices.Compact(seen)); n != len(found) {
		t.Errorf("Query yields %d vectors, of which %d different", len(found), n)
	}
}

func fewMatches(t *fixture) {
	t.put(fan(7)...)
	for _, k := range []int{7, 8, 1000, vectors.MaxTopK} {
		if found := t.query(vectors.Query{Vector: []float32{1, 0, 0}, TopK: k}); len(found) != 7 {
			t.Errorf("Query with TopK %d of seven yields %d", k, len(found))
		}
	}
}

func queryEmpty(t *fixture) {
	q := vectors.Query{Vector: []float32{1, 0, 0}, Filter: vectors.Equal("n", 1), Fields: vectors.Everything}
	if found := t.query(q); len(found) != 0 {
		t.Errorf("Query of an empty index = %+v", found)
	}
	t.put(v("a", nil))
	t.remove(vectors.Selection{All: true})
	if found := t.query(vectors.Query{Vector: []float32{1, 0, 0}}); len(found) != 0 {
		t.Errorf("Query of an index that was emptied = %+v", found)
	}
}

func ties(t *fixture) {
	for _, key := range []string{"d", "a", "f", "c", "b", "e"} {
		t.put(v(key, nil, 1, 1, 1))
	}
	q := vectors.Query{Vector: []float32{1, 0, 0}, TopK: 4}
	first := keysOf(t.query(q))
	if len(first) != 4 {
		t.Fatalf("Query with TopK 4 yields %d of six", len(first))
	}
	for range 5 {
		t.equal("keys", keysOf(t.query(q)), first)
	}
}

func queryFilter(t *fixture) {
	t.put(fan(200)...)
	want := 0
	for _, m := range t.query(vectors.Query{Vector: []float32{1, 0, 0}, TopK: 150, Filter: vectors.Equal("even", true)}) {
		if m.Metadata["even"] != true {
			t.Errorf("Query yields %s, which does not match", m.Key)
		}
		want++
	}
	if want == 0 || want > 100 {
		t.Errorf("Query yields %d, of 100 that match", want)
	}
}

func queryNoMatch(t *fixture) {
	t.put(fan(20)...)
	for _, f := range []vectors.Filter{vectors.Equal("n", 99), vectors.Exists("absent"), vectors.In[string]("n"), vectors.Or()} {
		if found := t.query(vectors.Query{Vector: []float32{1, 0, 0}, Filter: f}); len(found) != 0 {
			t.Errorf("Query(%+v) yields %q", f, keysOf(found))
		}
	}
}

func queryAfterWrites(t *fixture) {
	q := vectors.Query{Vector: []float32{1, 0, 0}, TopK: 1}
	t.put(fan(50)...)
	t.equal("keys", keysOf(t.query(q)), []string{"0000"})
	t.remove(vectors.Selection{Keys: []string{"0000", "0001"}})
	t.equal("keys after a delete", keysOf(t.query(q)), []string{"0002"})
	t.put(v("new", nil, 1, 0, 0))
	t.equal("keys after a put", keysOf(t.query(q)), []string{"new"})
	t.put(v("new", nil, -1, 0, 0))
	t.equal("keys after it moved away", keysOf(t.query(q)), []string{"0002"})
	t.remove(vectors.Selection{Keys: []string{"new"}})
	q.TopK = 100
	if found := t.query(q); len(found) != 48 {
		t.Errorf("Query yields %d of 48", len(found))
	}
}

func queryIsLazy(t *fixture) {
	t.put(v("a", nil))
	q := t.index.Query(t.Context(), vectors.Query{Vector: []float32{1, 2, 3}})
	count := func() (n int) {
		for _, err := range q {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	t.put(v("b", nil))
	t.equal("matches of a loop after a Put", count(), 2)
	t.put(v("c", nil))
	t.equal("matches of the next loop", count(), 3)
	t.remove(vectors.Selection{All: true})
	t.equal("matches after a Delete", count(), 0)
}

func queryBreak(t *fixture) {
	t.put(fan(20)...)
	q := t.index.Query(t.Context(), vectors.Query{Vector: []float32{1, 0, 0}})
	for range 3 {
		n := 0
		for m, err := range q {
			if err != nil {
				t.Fatal(err)
			}
			if m.Key != numbered(3)[n].Key {
				t.Fatalf("match %d = %s", n, m.Key)
			}
			if n++; n == 3 {
				break
			}
		}
	}
}

func writeInQuery(t *fixture) {
	t.put(fan(5)...)
	for m, err := range t.index.Query(t.Context(), vectors.Query{Vector: []float32{1, 0, 0}}) {
		if err != nil {
			t.Fatal(err)
		}
		t.put(v("copy of "+m.Key, nil))
		t.remove(vectors.Selection{Keys: []string{m.Key}})
	}
	t.same("List", t.list(nil), []string{"copy of 0000", "copy of 0001", "copy of 0002", "copy of 0003", "copy of 0004"})
}

func queryKeepsNothing(t *fixture) {
	t.put(v("x", md{"axis": "x"}, 1, 0, 0), v("y", md{"axis": "y"}, 0, 1, 0))
	q := vectors.Query{Vector: []float32{1, 0, 0}, TopK: 1, Filter: vectors.In("axis", "x", "-")}
	seq := t.index.Query(t.Context(), q)
	opts := vectors.ListOptions{Filter: vectors.Or(vectors.Equal("axis", "x"), vectors.Equal("axis", "-"))}
	list := t.index.List(t.Context(), &opts)
	q.Vector[0], q.Vector[1], q.Filter.Values[0] = 0, 1, "y"
	opts.Filter.Of[0].Values[0] = "y"
	opts.Fields = vectors.KeysOnly
	for m, err := range seq {
		if m.Key != "x" || err != nil {
			t.Errorf("Query yields %q, %v, want x, as asked at first", m.Key, err)
		}
	}
	for v, err := range list {
		if v.Key != "x" || v.Metadata == nil || err != nil {
			t.Errorf("List yields %+v, %v, want x, as asked at first", v, err)
		}
	}
}

func badQuery(t *fixture) {
	for range 2 {
		t.invalid("Query with a filter on text", lastError(t, t.index.Query(t.Context(), vectors.Query{Vector: []float32{1, 0, 0}, Filter: vectors.Exists("text")})))
		t.invalid("Query of two dimensions", lastError(t, t.index.Query(t.Context(), vectors.Query{Vector: []float32{1, 0}})))
		t.invalid("Query with TopK -1", lastError(t, t.index.Query(t.Context(), vectors.Query{Vector: []float32{1, 0, 0}, TopK: -1})))
		t.put(v("a", nil))
	}
}
