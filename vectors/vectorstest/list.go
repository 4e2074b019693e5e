package vectorstest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/genaistore/genaistore/vectors"
)

var lists = []promise{
	{"List yields every vector once, past one page", plain, listAll},
	{"List of an empty index yields none", plain, listEmpty},
	{"List by prefix yields what begins with it", plain, listPrefix},
	{"List by prefix and filter yields what matches both", plain, listPrefixAndFilter},
	{"List by filter misses none", plain, listFilter},
	{"List starts when the loop does, and again with each loop", plain, listIsLazy},
	{"List may be left early", plain, listBreak},
	{"the loop over a List may put, once for each", plain, putInList},
	{"the loop over a List may delete", plain, deleteInList},
	{"List yields what is there throughout exactly once", plain, listThroughout},
	{"a bad List is invalid", plain, badList},
}

func listAll(t *fixture) {
	const n = 1203
	vs := numbered(n)
	t.put(vs...)
	got := t.list(nil)
	if len(got) != n {
		t.Fatalf("List yields %d vectors, want %d", len(got), n)
	}
	for i, key := range got {
		if key != vs[i].Key {
			t.Fatalf("vector %d = %s, want %s", i, key, vs[i].Key)
		}
	}
}

func listEmpty(t *fixture) {
	t.same("List", t.list(nil), nil)
	t.same("List", t.list(&vectors.ListOptions{Prefix: "a", Filter: vectors.Equal("n", 1)}), nil)
}

func listPrefix(t *fixture) {
	for _, key := range []string{"a", "a#1", "a#2", "a#10", "ab#1", "A#1", "é", "éa"} {
		t.put(v(key, nil))
	}
	for prefix, want := range map[string][]string{
		"a#": {"a#1", "a#2", "a#10"}, "a": {"a", "a#1", "a#2", "a#10", "ab#1"}, "a#1": {"a#1", "a#10"},
		"é": {"é", "éa"}, "z": nil, "a#2x": nil, "%": nil, "*": nil,
	} {
		t.same("List "+prefix, t.list(&vectors.ListOptions{Prefix: prefix}), want)
	}
}

func listPrefixAndFilter(t *fixture) {
	t.put(v("a1", md{"n": 1}), v("a2", md{"n": 2}), v("b1", md{"n": 1}), v("a3", nil))
	t.same("List", t.list(&vectors.ListOptions{Prefix: "a", Filter: vectors.Equal("n", 1)}), []string{"a1"})
	t.same("List", t.list(&vectors.ListOptions{Prefix: "a", Filter: vectors.Missing("n")}), []string{"a3"})
	t.same("List", t.list(&vectors.ListOptions{Prefix: "b", Filter: vectors.Equal("n", 2)}), nil)
}

func listFilter(t *fixture) {
	t.put(numbered(1203)...)
	if got := len(t.list(&vectors.ListOptions{Filter: vectors.Equal("even", true)})); got != 602 {
		t.Errorf("List(even) yields %d, want 602", got)
	}
	t.same("List(n < 3)", t.list(&vectors.ListOptions{Filter: vectors.Less("n", 3)}), []string{"0000", "0001", "0002"})
	t.same("List(n = 1202)", t.list(&vectors.ListOptions{Filter: vectors.Equal("n", 1202)}), []string{"1202"})
}

func listIsLazy(t *fixture) {
	t.put(v("a", nil))
	seq := t.index.List(t.Context(), nil)
	keys := func() (keys []string) {
		for v, err := range seq {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, v.Key)
		}
		slices.Sort(keys)
		return keys
	}
	t.put(v("b", nil))
	t.same("a loop after a Put", keys(), []string{"a", "b"})
	t.remove(vectors.Selection{Keys: []string{"a"}})
	t.same("the next loop", keys(), []string{"b"})
}

func listBreak(t *fixture) {
	t.put(numbered(20)...)
	seq := t.index.List(t.Context(), nil)
	for range 3 {
		n := 0
		for _, err := range seq {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 7 {
				break
			}
		}
		if n != 7 {
			t.Errorf("the loop yields %d, want to leave it after 7", n)
		}
	}
}

func putInList(t *fixture) {
	const n = 600
	t.put(numbered(n)...)
	seen := 0
	for v, err := range t.index.List(t.Context(), &vectors.ListOptions{Fields: vectors.Everything}) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(v.Key, "new") {
			continue
		}
		if seen++; seen > n {
			t.Fatalf("List yields more than the %d vectors there were", n)
		}
		v.Metadata["seen"] = true
		t.put(v) // the same key again
		if seen%100 == 0 {
			t.put(vectors.Vector{Key: fmt.Sprintf("new%d", seen), Data: v.Data})
		}
	}
	t.equal("vectors seen", seen, n)
	t.equal("vectors marked", len(t.list(&vectors.ListOptions{Filter: vectors.Equal("seen", true)})), n)
	t.equal("vectors in all", len(t.list(nil)), n+6)
}

func deleteInList(t *fixture) {
	t.put(numbered(600)...)
	for v, err := range t.index.List(t.Context(), &vectors.ListOptions{Filter: vectors.Equal("even", false)}) {
		if err != nil {
			t.Fatal(err)
		}
		t.remove(vectors.Selection{Keys: []string{v.Key}})
	}
	t.equal("vectors left", len(t.list(nil)), 300)
	t.equal("even vectors left", len(t.list(&vectors.ListOptions{Filter: vectors.Equal("even", true)})), 300)
}

func listThroughout(t *fixture) {
	t.put(numbered(600)...)
	seen := make(map[string]int)
	for v, err := range t.index.List(t.Context(), &vectors.ListOptions{Prefix: "0"}) {
		if err != nil {
			t.Fatal(err)
		}
		if v.Metadata["n"] == nil {
			t.Errorf("%s has no metadata", v.Key)
		}
		seen[v.Key]++
		if i := len(seen); i <= 100 { // the last hundred go, others come
			t.remove(vectors.Selection{Keys: []string{fmt.Sprintf("%04d", 600-i)}})
			t.put(v2(fmt.Sprintf("new%d", i)))
		}
	}
	for i := range 500 {
		if key := fmt.Sprintf("%04d", i); seen[key] != 1 {
			t.Fatalf("List yields %s %d times", key, seen[key])
		}
	}
	for key, n := range seen {
		if n != 1 || strings.HasPrefix(key, "new") {
			t.Errorf("List yields %s %d times", key, n)
		}
	}
}

func v2(key string) vectors.Vector { return v(key, md{"n": -1}, 3, 2, 1) }

func badList(t *fixture) {
	t.put(v("a", nil))
	t.invalid("List with a prefix that is not UTF-8", lastError(t, t.index.List(t.Context(), &vectors.ListOptions{Prefix: "a\xff"})))
	t.invalid("List with a bad filter", lastError(t, t.index.List(t.Context(), &vectors.ListOptions{Filter: vectors.Filter{Op: "like", Key: "n"}})))
}
