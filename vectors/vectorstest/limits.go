package vectorstest

import (
	"fmt"
	"math"
	"strings"

	"github.com/genaistore/genaistore/vectors"
)

var limits = []promise{
	{"a key has 1 to 1,024 characters of UTF-8", plain, keyLimit},
	{"a vector has the dimension of the index", plain, wrongDimension},
	{"a vector is finite", plain, notFinite},
	{"a zero vector is invalid under cosine", plain, zeroUnderCosine},
	{"a zero vector is one like any under euclidean", flat, zeroUnderEuclidean},
	{"the greatest dimension works", vectors.Schema{Dimension: vectors.MaxDimension}, greatestDimension},
	{"one dimension works", vectors.Schema{Dimension: 1, Metric: vectors.Euclidean}, oneDimension},
	{"the length of vectors does not matter under cosine", plain, extremeLengths},
	{"metadata has at most 50 keys", plain, metadataKeys},
	{"filterable metadata has at most 2 KB", plain, filterableBytes},
	{"all metadata has at most 40 KB", plain, metadataBytes},
	{"metadata is counted in bytes of JSON", plain, countedAsJSON},
	{"metadata that no service keeps is invalid", plain, badMetadata},
	{"TopK is from 1 to 10,000", plain, topKLimit},
	{"filters nest to a limit", plain, filterDepth},
}

func keyLimit(t *fixture) {
	most := vectors.MaxKey - t.schema.Reserved.KeyCharacters
	for _, key := range []string{"k", name("k", most), name("ü", most), name("日", most)} {
		t.put(v(key, nil))
		t.one(key)
	}
	t.rejects("no key", v("", nil))
	t.rejects("a key too long", v(name("k", most+1), nil))
	t.rejects("a key of too many characters", v(name("ü", most+1), nil))
	t.rejects("a key that is not UTF-8", v("a\xff", nil))
}

func wrongDimension(t *fixture) {
	for _, data := range [][]float32{{1}, {1, 2}, {1, 2, 3, 4}, make([]float32, vectors.MaxDimension+1)} {
		t.rejects(fmt.Sprintf("a length of %d", len(data)), v("k", nil, data...))
		t.invalid(fmt.Sprintf("Query with a length of %d", len(data)), lastError(t, t.index.Query(t.Context(), vectors.Query{Vector: data})))
	}
	t.rejects("no data", vectors.Vector{Key: "k"})
	t.invalid("Query with no data", lastError(t, t.index.Query(t.Context(), vectors.Query{})))
}

func notFinite(t *fixture) {
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		t.rejects(fmt.Sprint(x), v("k", nil, 1, float32(x), 1))
		t.invalid(fmt.Sprintf("Query with %v", x), lastError(t, t.index.Query(t.Context(), vectors.Query{Vector: []float32{1, 1, float32(x)}})))
	}
}

func zeroUnderCosine(t *fixture) {
	for what, data := range map[string][]float32{"zeros": {0, 0, 0}, "a square of zero": {0, 1e-30, 0}} {
		t.rejects(what, v("k", nil, data...))
		t.invalid("Query with "+what, lastError(t, t.index.Query(t.Context(), vectors.Query{Vector: data})))
	}
}

func zeroUnderEuclidean(t *fixture) {
	t.put(v("zero", nil, 0, 0, 0), v("far", nil, 3, 0, 4))
	t.near(t.query(vectors.Query{Vector: []float32{0, 0, 0}}), map[string]float64{"zero": 0, "far": 5})
}

func greatestDimension(t *fixture) {
	data := make([]float32, vectors.MaxDimension)
	data[vectors.MaxDimension-1] = 1
	t.put(v("last", nil, data...))
	t.equal("the data", t.one("last").Data, data)
	t.near(t.query(vectors.Query{Vector: data}), map[string]float64{"last": 0})
}

func oneDimension(t *fixture) {
	t.put(v("a", nil, 1), v("b", nil, -4))
	t.near(t.query(vectors.Query{Vector: []float32{2}}), map[string]float64{"a": 1, "b": 6})
}

func extremeLengths(t *fixture) {
	t.put(v("long", nil, 3e12, 3e12, 0), v("short", nil, 1e-12, 1e-12, 0), v("away", nil, -1e12, 0, 0))
	for _, q := range [][]float32{{1, 1, 0}, {3e12, 3e12, 0}, {1e-12, 1e-12, 0}} {
		t.near(t.query(vectors.Query{Vector: q}), map[string]float64{"long": 0, "short": 0, "away": 1 + math.Sqrt2/2})
	}
	t.equal("the data", t.one("long").Data, []float32{3e12, 3e12, 0})
}

func metadataKeys(t *fixture) {
	m := md{}
	for i := range vectors.MaxMetadataKeys - t.schema.Reserved.MetadataKeys {
		m[fmt.Sprintf("k%d", i)] = i
	}
	t.put(v("full", m))
	m["more"] = 1
	t.rejects("a key too many", v("bad", m))
	delete(m, "k0")
	delete(m, "more")
	m["text"] = "non-filterable keys count too"
	t.put(v("text", m))
	m["more"] = 1
	t.rejects("a key too many, of which one non-filterable", v("bad", m))
}

// sized returns metadata of n bytes as JSON with a value under key.
func sized(key string, n int) md { return md{key: strings.Repeat("x", n-len(`{"":""}`)-len(key))} }

func filterableBytes(t *fixture) {
	most := vectors.MaxFilterableBytes - t.schema.Reserved.MetadataBytes
	t.put(v("full", sized("s", most)))
	t.rejects("a filterable byte too many", v("bad", sized("s", most+1)))
	m := sized("s", most)
	m["text"] = strings.Repeat("y", 10_000)
	t.put(v("both", m))
	t.equal("the length of text", len(t.one("both").Metadata["text"].(string)), 10_000)
	m["s"] = m["s"].(string) + "x"
	t.rejects("a filterable byte too many beside text", v("bad", m))
}

func metadataBytes(t *fixture) {
	most := vectors.MaxMetadataBytes - t.schema.Reserved.MetadataBytes
	t.put(v("full", sized("text", most)))
	t.rejects("a byte too many", v("bad", sized("text", most+1)))
}

func countedAsJSON(t *fixture) {
	most := vectors.MaxFilterableBytes - t.schema.Reserved.MetadataBytes
	room := most - len(`{"s":""}`)
	t.put(v("ü", md{"s": strings.Repeat("ü", room/2)}), v("<", md{"s": strings.Repeat("<", room)}))
	t.rejects("two bytes a character", v("bad", md{"s": strings.Repeat("ü", room/2+1)}))
	t.rejects("two bytes a quote", v("bad", md{"s": strings.Repeat(`"`, room/2+1)}))
}

func badMetadata(t *fixture) {
	for what, m := range map[string]md{
		"nil":                   {"k": nil},
		"a map":                 {"k": map[string]any{"a": 1}},
		"a struct":              {"k": struct{}{}},
		"a pointer":             {"k": new(1)},
		"a list in a list":      {"k": []any{[]any{"a"}}},
		"nil in a list":         {"k": []any{nil}},
		"a map in a list":       {"k": []any{map[string]any{}}},
		"NaN":                   {"k": math.NaN()},
		"an infinity":           {"k": math.Inf(-1)},
		"NaN in a list":         {"k": []float64{1, math.NaN()}},
		"a float32 infinity":    {"k": float32(math.Inf(1))},
		"a value not UTF-8":     {"k": "a\xff"},
		"an element not UTF-8":  {"k": []string{"a\xff"}},
		"a metadata key of ''":  {"": "a"},
		"a metadata key \\xff":  {"\xff": "a"},
		"a bad value under one": {"ok": 1, "text": nil},
	} {
		t.rejects(what, v("bad", m))
	}
	t.same("List", t.list(nil), nil)
}

func topKLimit(t *fixture) {
	t.put(v("a", nil))
	query := func(k int) error {
		return lastError(t, t.index.Query(t.Context(), vectors.Query{Vector: []float32{1, 0, 0}, TopK: k}))
	}
	for _, k := range []int{1, vectors.MaxTopK} {
		if err := query(k); err != nil {
			t.Errorf("Query with TopK %d: %v", k, err)
		}
	}
	for _, k := range []int{-1, vectors.MaxTopK + 1} {
		t.invalid(fmt.Sprintf("Query with TopK %d", k), query(k))
	}
}

func filterDepth(t *fixture) {
	t.put(v("a", md{"n": 1}), v("b", md{"n": 2}))
	f := vectors.Equal("n", 1)
	for range vectors.MaxFilterDepth - t.schema.Reserved.FilterDepth {
		f = vectors.Or(f, vectors.Equal("n", -1))
	}
	t.same("List with the deepest filter", t.list(&vectors.ListOptions{Filter: f}), []string{"a"})
	f = vectors.Or(f, vectors.Equal("n", -1))
	t.invalid("List with a deeper filter", lastError(t, t.index.List(t.Context(), &vectors.ListOptions{Filter: f})))
	t.invalid("Query with a deeper filter", lastError(t, t.index.Query(t.Context(), vectors.Query{Vector: []float32{1, 0, 0}, Filter: f})))
}
