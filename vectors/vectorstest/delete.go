package vectorstest

import (
	"fmt"
	"slices"

	"github.com/genaistore/genaistore/vectors"
)

var deletes = []promise{
	{"Delete by keys removes these, and absent ones are no error", plain, deleteKeys},
	{"Delete of more than a batch removes all", plain, deleteBatches},
	{"Delete by prefix removes what begins with it", plain, deletePrefix},
	{"Delete by filter removes exactly what matches", plain, deleteFilter},
	{"Delete by prefix and filter removes what matches both", plain, deletePrefixAndFilter},
	{"Delete of All empties the index", plain, deleteAll},
	{"a dry Delete reports and removes nothing", plain, dryRun},
	{"an empty or mixed selection is invalid and removes nothing", plain, badSelections},
	{"a Delete with a bad key removes nothing", plain, deleteBadKey},
	{"repeating a Delete is safe", plain, deleteTwice},
	{"a deleted key can be put again", plain, putAfterDelete},
	{"an index that shrank and grew answers right", plain, shrinkAndGrow},
}

func deleteKeys(t *fixture) {
	t.put(v("a", nil), v("b", nil), v("c", nil))
	report := t.remove(vectors.Selection{Keys: []string{"a", "absent", "c", "a"}})
	if report.Done+report.Skipped > 3 || report.Done < 2 {
		t.Errorf("Delete = %+v, want two or three done of three keys", report)
	}
	t.same("List", t.list(nil), []string{"b"})
	if found := t.get("a", "b", "c"); len(found) != 1 {
		t.Errorf("Get after Delete = %+v, want b", found)
	}
}

func deleteBatches(t *fixture) {
	t.put(numbered(1203)...)
	keys := make([]string, 0, 1200)
	for i := range 1200 {
		keys = append(keys, fmt.Sprintf("%04d", i))
	}
	if report := t.remove(vectors.Selection{Keys: keys}); report.Done != 1200 {
		t.Errorf("Delete = %+v, want 1,200 done", report)
	}
	t.same("List", t.list(nil), []string{"1200", "1201", "1202"})
}

func deletePrefix(t *fixture) {
	t.put(v("a#1", nil), v("a#2", nil), v("ab#1", nil), v("b", nil))
	if report := t.remove(vectors.Selection{Prefix: "a#"}); report.Done != 2 {
		t.Errorf("Delete = %+v, want two done", report)
	}
	t.same("List", t.list(nil), []string{"ab#1", "b"})
}

func deleteFilter(t *fixture) {
	t.put(numbered(1203)...)
	t.put(v("other", nil))
	if report := t.remove(vectors.Selection{Filter: vectors.Equal("even", true)}); report.Done != 602 {
		t.Errorf("Delete = %+v, want 602 done", report)
	}
	t.equal("even vectors left", len(t.list(&vectors.ListOptions{Filter: vectors.Equal("even", true)})), 0)
	t.equal("odd vectors left", len(t.list(&vectors.ListOptions{Filter: vectors.Equal("even", false)})), 601)
	t.equal("others left", len(t.get("other")), 1)
	if report := t.remove(vectors.Selection{Filter: vectors.In[int]("n")}); report.Done != 0 {
		t.Errorf("Delete by In with no values = %+v, want none done", report)
	}
	if report := t.remove(vectors.Selection{Filter: vectors.Or()}); report.Done != 0 {
		t.Errorf("Delete by Or of nothing = %+v, want none done", report)
	}
	t.equal("vectors left", len(t.list(nil)), 602)
}

func deletePrefixAndFilter(t *fixture) {
	t.put(v("a1", md{"n": 1}), v("a2", md{"n": 2}), v("b1", md{"n": 1}), v("a3", nil))
	if report := t.remove(vectors.Selection{Prefix: "a", Filter: vectors.Equal("n", 1)}); report.Done != 1 {
		t.Errorf("Delete = %+v, want one done", report)
	}
	t.same("List", t.list(nil), []string{"a2", "a3", "b1"})
}

func deleteAll(t *fixture) {
	t.put(numbered(700)...)
	t.remove(vectors.Selection{All: true})
	t.same("List", t.list(nil), nil)
	t.remove(vectors.Selection{All: true})
	schema, err := t.index.Describe(t.Context())
	if err != nil || schema.Dimension != 3 {
		t.Errorf("Describe = %+v, %v, want the dimension it had", schema, err)
	}
	t.put(v("a", nil))
	t.same("List", t.list(nil), []string{"a"})
}

func dryRun(t *fixture) {
	t.put(numbered(20)...)
	dry := func(sel vectors.Selection) vectors.Report {
		report, err := t.index.Delete(t.Context(), sel, &vectors.DeleteOptions{DryRun: true})
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	if r := dry(vectors.Selection{Prefix: "001"}); r.Done != 10 {
		t.Errorf("a dry Delete by prefix = %+v, want ten", r)
	}
	if r := dry(vectors.Selection{Filter: vectors.Equal("even", true)}); r.Done != 10 {
		t.Errorf("a dry Delete by filter = %+v, want ten", r)
	}
	if r := dry(vectors.Selection{Keys: []string{"0001", "absent"}}); r.Done < 1 || r.Done+r.Skipped > 2 {
		t.Errorf("a dry Delete by keys = %+v, want one or two", r)
	}
	dry(vectors.Selection{All: true})
	t.equal("vectors left", len(t.list(nil)), 20)
}

func badSelections(t *fixture) {
	t.put(v("a", md{"n": 1}))
	for what, sel := range map[string]vectors.Selection{
		"nothing":               {},
		"no keys":               {Keys: []string{}},
		"a zero filter":         {Filter: vectors.And()},
		"keys and a prefix":     {Keys: []string{"a"}, Prefix: "a"},
		"keys and a filter":     {Keys: []string{"a"}, Filter: vectors.Exists("n")},
		"keys and all":          {Keys: []string{"a"}, All: true},
		"all and a prefix":      {All: true, Prefix: "a"},
		"all and a filter":      {All: true, Filter: vectors.Exists("n")},
		"a prefix not UTF-8":    {Prefix: "\xff"},
		"a bad filter":          {Filter: vectors.Filter{Op: "like", Key: "n"}},
		"a filter on text":      {Filter: vectors.Missing("text")},
		"a bad filter by a key": {Prefix: "a", Filter: vectors.Exists("")},
	} {
		for _, dry := range []bool{false, true} {
			report, err := t.index.Delete(t.Context(), sel, &vectors.DeleteOptions{DryRun: dry})
			t.invalid("Delete of "+what, err)
			if report.Done != 0 {
				t.Errorf("Delete of %s = %+v beside its error", what, report)
			}
		}
	}
	t.one("a")
}

func deleteBadKey(t *fixture) {
	t.put(v("a", nil))
	for _, key := range []string{"", "\xff", name("k", vectors.MaxKey+1)} {
		_, err := t.index.Delete(t.Context(), vectors.Selection{Keys: []string{"a", key}}, nil)
		t.invalid(fmt.Sprintf("Delete(%.10q)", key), err)
	}
	t.one("a")
}

func deleteTwice(t *fixture) {
	t.put(numbered(10)...)
	sel := vectors.Selection{Filter: vectors.Less("n", 5)}
	t.remove(sel)
	if report := t.remove(sel); report.Done != 0 {
		t.Errorf("the second Delete = %+v, want none done", report)
	}
	t.remove(vectors.Selection{Keys: []string{"0007"}})
	t.remove(vectors.Selection{Keys: []string{"0007"}})
	t.equal("vectors left", len(t.list(nil)), 4)
}

func putAfterDelete(t *fixture) {
	t.put(v("k", md{"old": true}, 1, 0, 0))
	t.remove(vectors.Selection{Keys: []string{"k"}})
	t.put(v("k", md{"new": true}, 0, 1, 0))
	t.equal("the vector", t.one("k"), v("k", md{"new": true}, 0, 1, 0))
	t.same("List(old)", t.list(&vectors.ListOptions{Filter: vectors.Exists("old")}), nil)
	t.near(t.query(vectors.Query{Vector: []float32{0, 1, 0}}), map[string]float64{"k": 0})
}

func shrinkAndGrow(t *fixture) {
	const n = 3000
	t.put(fan(n)...)
	t.remove(vectors.Selection{Filter: vectors.And(vectors.AtLeast("n", 10), vectors.Less("n", n-100))})
	q := vectors.Query{Vector: []float32{1, 0, 0}, TopK: 12}
	want := append(keysOf(t.query(vectors.Query{Vector: []float32{1, 0, 0}})), "2900", "2901")
	t.equal("keys", keysOf(t.query(q)), want)
	t.equal("the ten that stayed", want[:10], t.list(&vectors.ListOptions{Prefix: "00"}))
	t.put(fan(n)[:20]...)
	t.equal("keys after growing", keysOf(t.query(q)), t.list(nil)[:12])
	t.equal("even vectors", len(t.list(&vectors.ListOptions{Filter: vectors.Equal("even", true)})), 60)
	for _, v := range t.get("0000", "0019", "2999") {
		i := slices.IndexFunc(fan(n), func(w vectors.Vector) bool { return w.Key == v.Key })
		t.equal("the data of "+v.Key, v.Data, fan(n)[i].Data)
	}
}
