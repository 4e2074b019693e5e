package vectorstest

import (
	"fmt"

	"github.com/genaistore/genaistore/vectors"
)

var gets = []promise{
	{"Get keeps the order of keys, leaves absent ones out, repeats none", plain, getOrder},
	{"Get of more than a page returns all", plain, getPages},
	{"Get of no keys returns none", plain, getNothing},
	{"Get with a bad key is invalid", plain, getBadKey},
	{"Fields select what Get, Query and List return", plain, fields},
	{"without options reads return keys and metadata", plain, defaultFields},
	{"unknown Fields are invalid", plain, unknownFields},
	{"what a read returns is its caller's", plain, readsAreCopies},
}

func getOrder(t *fixture) {
	t.put(v("a", nil), v("b", nil), v("c", nil))
	var keys []string
	for _, v := range t.get("c", "absent", "a", "c", "a", "b", "absent") {
		keys = append(keys, v.Key)
	}
	t.equal("keys", keys, []string{"c", "a", "b"})
	if found := t.get("absent"); len(found) != 0 {
		t.Errorf("Get of an absent key = %+v, want none", found)
	}
}

func getPages(t *fixture) {
	t.put(numbered(730)...)
	keys := make([]string, 730)
	for i := range keys {
		keys[i] = fmt.Sprintf("%04d", (i*7)%730)
	}
	found := t.get(keys...)
	if len(found) != len(keys) {
		t.Fatalf("Get of %d keys returns %d vectors", len(keys), len(found))
	}
	for i, v := range found {
		if v.Key != keys[i] || len(v.Data) != 3 || v.Metadata["n"] != float64((i*7)%730) {
			t.Fatalf("vector %d = %+v, want the one under %s", i, v, keys[i])
		}
	}
}

func getNothing(t *fixture) {
	t.put(v("a", nil))
	for _, keys := range [][]string{nil, {}} {
		if found := t.get(keys...); len(found) != 0 {
			t.Errorf("Get of no keys = %+v, want none", found)
		}
	}
}

func getBadKey(t *fixture) {
	t.put(v("a", nil))
	for _, key := range []string{"", "\xff", name("k", vectors.MaxKey+1)} {
		found, err := t.index.Get(t.Context(), []string{"a", key}, nil)
		t.invalid(fmt.Sprintf("Get(%.10q)", key), err)
		if len(found) != 0 {
			t.Errorf("Get(%.10q) = %+v beside its error", key, found)
		}
	}
}

// reads returns what each way to read returns for the one vector of the index.
func (t *fixture) reads(f vectors.Fields) map[string]vectors.Vector {
	t.Helper()
	found, err := t.index.Get(t.Context(), []string{"k"}, &vectors.GetOptions{Fields: f})
	if err != nil || len(found) != 1 {
		t.Fatalf("Get = %+v, %v", found, err)
	}
	got := map[string]vectors.Vector{"Get": found[0]}
	for v, err := range t.index.List(t.Context(), &vectors.ListOptions{Fields: f}) {
		if err != nil {
			t.Fatal(err)
		}
		got["List"] = v
	}
	for _, m := range t.query(vectors.Query{Vector: []float32{1, 2, 3}, Fields: f}) {
		got["Query"] = m.Vector
	}
	return got
}

func fields(t *fixture) {
	t.put(v("k", md{"n": 1, "l": []string{"a"}}))
	data, metadata := []float32{1, 2, 3}, md{"n": 1.0, "l": []any{"a"}}
	for f, want := range map[vectors.Fields]vectors.Vector{
		vectors.KeysOnly:        {Key: "k"},
		vectors.KeysAndData:     {Key: "k", Data: data},
		vectors.KeysAndMetadata: {Key: "k", Metadata: metadata},
		vectors.Everything:      {Key: "k", Data: data, Metadata: metadata},
	} {
		for method, got := range t.reads(f) {
			t.equal(fmt.Sprintf("%s with fields %d", method, f), got, want)
		}
	}
}

func defaultFields(t *fixture) {
	t.put(v("k", md{"n": 1}))
	want := v("k", md{"n": 1.0})
	want.Data = nil
	found, err := t.index.Get(t.Context(), []string{"k"}, nil)
	if err != nil || len(found) != 1 {
		t.Fatalf("Get = %+v, %v", found, err)
	}
	t.equal("Get", found[0], want)
	for v, err := range t.index.List(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		t.equal("List", v, want)
	}
	for _, m := range t.query(vectors.Query{Vector: []float32{1, 2, 3}}) {
		t.equal("Query", m.Vector, want)
	}
}

func unknownFields(t *fixture) {
	const unknown = vectors.Everything + 1
	_, err := t.index.Get(t.Context(), []string{"k"}, &vectors.GetOptions{Fields: unknown})
	t.invalid("Get", err)
	_, err = t.index.Get(t.Context(), nil, &vectors.GetOptions{Fields: unknown})
	t.invalid("Get of no keys", err)
	t.invalid("List", lastError(t, t.index.List(t.Context(), &vectors.ListOptions{Fields: unknown})))
	t.invalid("Query", lastError(t, t.index.Query(t.Context(), vectors.Query{Vector: []float32{1, 2, 3}, Fields: unknown})))
}

func readsAreCopies(t *fixture) {
	want := v("k", md{"n": 1.0, "l": []any{"a", 2.0}})
	t.put(want)
	for range 2 {
		for method, got := range t.reads(vectors.Everything) {
			t.equal(method, got, want)
			clear(got.Data)
			got.Metadata["l"].([]any)[0] = "changed"
			got.Metadata["more"] = true
			delete(got.Metadata, "n")
		}
	}
	t.same("List(Exists n)", t.list(&vectors.ListOptions{Filter: vectors.Exists("n")}), []string{"k"})
	t.same("List(l = a)", t.list(&vectors.ListOptions{Filter: vectors.Equal("l", "a")}), []string{"k"})
}
