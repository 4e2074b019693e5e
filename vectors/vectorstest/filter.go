package vectorstest

import (
	"fmt"
	"math"
	"slices"

	"github.com/genaistore/genaistore/vectors"
)

// shelf is what the promises on filters select from: every type of value, and
// none.
var shelf = map[string]md{
	"none":   {},
	"a":      {"k": "a", "n": 1},
	"ab":     {"k": "ab", "n": 2},
	"b":      {"k": "b", "n": -1.5},
	"empty":  {"k": "", "n": 0},
	"one":    {"k": 1, "n": 1e300},
	"two":    {"k": 2.0},
	"digit":  {"k": "1", "n": "2"},
	"true":   {"k": true, "n": true},
	"false":  {"k": false, "n": []int{}},
	"list":   {"k": []any{"a", 1, true}, "n": []int{1, 2}},
	"words":  {"k": []string{"abc", "b"}, "n": []any{2, "x"}},
	"hollow": {"k": []string{}},
}

type selection struct {
	filter vectors.Filter
	keys   []string // of shelf
}

var (
	all     = []string{"none", "a", "ab", "b", "empty", "one", "two", "digit", "true", "false", "list", "words", "hollow"}
	having  = all[1:]
	without = func(keys ...string) []string {
		return slices.DeleteFunc(slices.Clone(having), func(k string) bool { return slices.Contains(keys, k) })
	}
)

// selects checks what each filter selects of shelf: exactly in List and Delete,
// and nothing else in Query.
func selects(selections ...selection) func(t *fixture) {
	return func(t *fixture) {
		for i, key := range all {
			t.put(v(key, shelf[key], float32(i+1), 1, 2))
		}
		for _, s := range selections {
			what := fmt.Sprintf("%+v", s.filter)
			t.same("List "+what, t.list(&vectors.ListOptions{Filter: s.filter, Fields: vectors.KeysOnly}), s.keys)
			for _, m := range t.query(vectors.Query{Vector: []float32{1, 1, 1}, TopK: 100, Filter: s.filter, Fields: vectors.KeysOnly}) {
				if !slices.Contains(s.keys, m.Key) {
					t.Errorf("Query %s yields %s, which does not match", what, m.Key)
				}
			}
			if s.filter.IsZero() {
				continue
			}
			report, err := t.index.Delete(t.Context(), vectors.Selection{Filter: s.filter}, &vectors.DeleteOptions{DryRun: true})
			if err != nil || report.Done != len(s.keys) {
				t.Errorf("a dry Delete %s = %+v, %v, want %d done", what, report, err, len(s.keys))
			}
		}
	}
}

var filters = []promise{
	{"the zero filter selects all", plain, selects(selection{vectors.Filter{}, all}, selection{vectors.And(), all})},
	{"Equal selects an equal value and a list with one", plain, selects(
		selection{vectors.Equal("k", "a"), []string{"a", "list"}},
		selection{vectors.Equal("k", "b"), []string{"b", "words"}},
		selection{vectors.Equal("k", "absent"), nil},
		selection{vectors.Equal("absent", "a"), nil},
		selection{vectors.Equal("k", ""), []string{"empty"}},
	)},
	{"values of different types are different", plain, selects(
		selection{vectors.Equal("k", 1), []string{"one", "list"}},
		selection{vectors.Equal("k", "1"), []string{"digit"}},
		selection{vectors.Equal("k", true), []string{"true", "list"}},
		selection{vectors.Equal("k", false), []string{"false"}},
		selection{vectors.Equal("k", 0), nil},
	)},
	{"numbers compare as float64", plain, selects(
		selection{vectors.Equal("k", 1.0), []string{"one", "list"}},
		selection{vectors.Equal("k", int64(2)), []string{"two"}},
		selection{vectors.Equal("k", float32(2)), []string{"two"}},
		selection{vectors.Equal("n", -1.5), []string{"b"}},
		selection{vectors.Equal("n", math.Copysign(0, -1)), []string{"empty"}},
	)},
	{"NotEqual selects a value that is there and differs", plain, selects(
		selection{vectors.NotEqual("k", "a"), without("a", "list")},
		selection{vectors.NotEqual("k", 1), without("one", "list")},
		selection{vectors.NotEqual("k", "absent"), having},
		selection{vectors.NotEqual("absent", "a"), nil},
	)},
	{"In selects what Equal selects for one of its values", plain, selects(
		selection{vectors.In("k", "a", "ab", "absent"), []string{"a", "ab", "list"}},
		selection{vectors.In("k", 1, 2), []string{"one", "two", "list"}},
		selection{vectors.Filter{Op: vectors.OpIn, Key: "k", Values: []any{"b", 2.0, false}}, []string{"b", "words", "two", "false"}},
		selection{vectors.In("absent", "a"), nil},
	)},
	{"NotIn selects a value that is there and in none", plain, selects(
		selection{vectors.NotIn("k", "a", "ab"), without("a", "ab", "list")},
		selection{vectors.NotIn("k", 1, 2), without("one", "two", "list")},
		selection{vectors.NotIn("absent", 1), nil},
	)},
	{"In with no values selects nothing, NotIn with none what exists", plain, selects(
		selection{vectors.In[string]("k"), nil},
		selection{vectors.NotIn[string]("k"), having},
	)},
	{"an order selects numbers and no lists, strings or booleans", plain, selects(
		selection{vectors.Less("n", 1), []string{"b", "empty"}},
		selection{vectors.AtMost("n", 1), []string{"a", "b", "empty"}},
		selection{vectors.More("n", 1), []string{"ab", "one"}},
		selection{vectors.AtLeast("n", 1), []string{"a", "ab", "one"}},
		selection{vectors.AtLeast("n", -math.MaxFloat64), []string{"a", "ab", "b", "empty", "one"}},
		selection{vectors.Less("absent", 1), nil},
		selection{vectors.And(vectors.AtLeast("n", 0), vectors.Less("n", 2)), []string{"a", "empty"}},
	)},
	{"Exists selects what has the key, Missing what lacks it", plain, selects(
		selection{vectors.Exists("k"), having},
		selection{vectors.Missing("k"), []string{"none"}},
		selection{vectors.Missing("n"), []string{"none", "two", "hollow"}},
		selection{vectors.Exists("absent"), nil},
		selection{vectors.Missing("absent"), all},
	)},
	{"StartsWith selects strings that begin so, and lists with one", plain, selects(
		selection{vectors.StartsWith("k", "a"), []string{"a", "ab", "list", "words"}},
		selection{vectors.StartsWith("k", "ab"), []string{"ab", "words"}},
		selection{vectors.StartsWith("k", "A"), nil},
		selection{vectors.StartsWith("k", "1"), []string{"digit"}},
		selection{vectors.StartsWith("absent", "a"), nil},
	)},
	{"OrMissing adds what lacks the key", plain, selects(
		selection{vectors.OrMissing(vectors.NotEqual("k", "a")), append(without("a", "list"), "none")},
		selection{vectors.OrMissing(vectors.Equal("n", 1)), []string{"a", "list", "none", "two", "hollow"}},
	)},
	{"And selects what all select", plain, selects(
		selection{vectors.And(vectors.StartsWith("k", "a"), vectors.AtLeast("n", 2)), []string{"ab"}},
		selection{vectors.And(vectors.Exists("k"), vectors.Missing("k")), nil},
		selection{vectors.And(vectors.Equal("k", "a"), vectors.Equal("k", 1)), []string{"list"}},
		selection{vectors.And(vectors.Filter{}, vectors.Equal("k", "a"), vectors.Filter{}), []string{"a", "list"}},
		selection{vectors.Filter{Op: vectors.OpAnd, Of: []vectors.Filter{vectors.Equal("k", "ab")}}, []string{"ab"}},
	)},
	{"Or selects what any selects, and of nothing nothing", plain, selects(
		selection{vectors.Or(vectors.Equal("k", "a"), vectors.Equal("n", 2)), []string{"a", "list", "ab", "words"}},
		selection{vectors.Or(vectors.Less("n", 0), vectors.More("n", 1), vectors.Missing("k")), []string{"b", "ab", "one", "none"}},
		selection{vectors.Or(), nil},
		selection{vectors.Or(vectors.Equal("k", "a"), vectors.Filter{}), all},
		selection{vectors.And(vectors.Exists("k"), vectors.Or()), nil},
	)},
	{"And and Or nest", plain, selects(
		selection{vectors.And(vectors.Or(vectors.Equal("k", "a"), vectors.Equal("k", "ab")), vectors.Or(vectors.Equal("n", 2), vectors.Equal("n", 0))), []string{"ab", "list"}},
		selection{vectors.Or(vectors.And(vectors.Exists("n"), vectors.Missing("k")), vectors.And(vectors.Exists("k"), vectors.Missing("n"))), []string{"two", "hollow"}},
		selection{vectors.And(vectors.NotEqual("k", "a"), vectors.Or(vectors.Less("n", 0), vectors.StartsWith("k", "ab"), vectors.Equal("k", false))), []string{"b", "ab", "words", "false"}},
	)},
	{"filters carry any number of values", plain, manyValues},
	{"filters of many terms are answered", plain, manyTerms},
	{"filters see what overwrites and deletes left", plain, filterAfterWrites},
	{"a new vector has nothing of a deleted one", plain, nothingInherited},
	{"a filter on a non-filterable key is invalid", plain, nonFilterable},
	{"a filter that breaks a rule is invalid", plain, badFilters},
	{"a non-filterable key holds what a filterable one does", plain, nonFilterableValues},
}

func manyValues(t *fixture) {
	t.put(numbered(700)...)
	values := make([]int, 450)
	for i := range values {
		values[i] = i*3 + 1
	}
	filter := vectors.In("n", values...)
	if got, want := len(t.list(&vectors.ListOptions{Filter: filter})), 233; got != want {
		t.Errorf("List(In 450 values) yields %d, want %d", got, want)
	}
	if got, want := len(t.list(&vectors.ListOptions{Filter: vectors.NotIn("n", values...)})), 467; got != want {
		t.Errorf("List(NotIn 450 values) yields %d, want %d", got, want)
	}
	for _, m := range t.query(vectors.Query{Vector: []float32{1, 1, 1}, TopK: 300, Filter: filter}) {
		if int(m.Metadata["n"].(float64))%3 != 1 {
			t.Errorf("Query(In 450 values) yields n = %v", m.Metadata["n"])
		}
	}
}

func manyTerms(t *fixture) {
	t.put(numbered(50)...)
	var of []vectors.Filter
	for i := range 150 {
		of = append(of, vectors.And(vectors.Equal("n", i*2), vectors.Equal("even", true)))
	}
	if got := len(t.list(&vectors.ListOptions{Filter: vectors.Or(of...)})); got != 25 {
		t.Errorf("List(Or of 150) yields %d, want 25", got)
	}
	for _, m := range t.query(vectors.Query{Vector: []float32{1, 1, 1}, Filter: vectors.Or(of...)}) {
		if m.Metadata["even"] != true {
			t.Errorf("Query(Or of 150) yields n = %v", m.Metadata["n"])
		}
	}
}

func filterAfterWrites(t *fixture) {
	t.put(v("a", md{"color": "red", "tags": []string{"x", "x", "y"}}), v("b", md{"color": "red"}), v("c", md{"color": "blue"}))
	t.put(v("a", md{"color": "blue"}))
	t.put(v("b", md{"color": "red", "n": 5}), v("c", md{"color": "blue", "n": 6}))
	t.put(v("b", md{"color": "red", "n": "5"}))
	list := func(f vectors.Filter) []string { return t.list(&vectors.ListOptions{Filter: f}) }
	t.same("red", list(vectors.Equal("color", "red")), []string{"b"})
	t.same("blue", list(vectors.Equal("color", "blue")), []string{"a", "c"})
	t.same("n of 1 or more", list(vectors.AtLeast("n", 1)), []string{"c"})
	t.same("tagged x", list(vectors.Equal("tags", "x")), nil)
	t.same("untagged", list(vectors.Missing("tags")), []string{"a", "b", "c"})
	t.remove(vectors.Selection{Keys: []string{"b", "c"}})
	t.same("red", list(vectors.Equal("color", "red")), nil)
	t.same("not green", list(vectors.NotEqual("color", "green")), []string{"a"})
	t.put(v("d", md{"color": "red"}))
	t.same("red", list(vectors.Equal("color", "red")), []string{"d"})
	t.same("untagged", list(vectors.Missing("tags")), []string{"a", "d"})
}

func nothingInherited(t *fixture) {
	for _, key := range []string{"a", "b", "c", "stays"} {
		t.put(v(key, md{"s": "x", "n": 1, "l": []string{"y", "z"}, "b": true}))
	}
	t.remove(vectors.Selection{Keys: []string{"a", "b", "c"}})
	t.put(v("d", nil), v("e", md{"s": 2, "n": "3"}), v("f", md{"l": []any{}}))
	for _, f := range []vectors.Filter{
		vectors.Equal("s", "x"), vectors.Equal("n", 1), vectors.AtLeast("n", 0), vectors.Equal("l", "z"), vectors.In("l", "y", "z"), vectors.Exists("b"), vectors.StartsWith("s", ""),
	} {
		t.same(fmt.Sprintf("List %+v", f), t.list(&vectors.ListOptions{Filter: f}), []string{"stays"})
	}
	t.same("List Missing", t.list(&vectors.ListOptions{Filter: vectors.Missing("b")}), []string{"d", "e", "f"})
}

// invalidFilter checks that no method takes f.
func (t *fixture) invalidFilter(what string, f vectors.Filter) {
	t.Helper()
	t.invalid("List with "+what, lastError(t, t.index.List(t.Context(), &vectors.ListOptions{Filter: f})))
	t.invalid("Query with "+what, lastError(t, t.index.Query(t.Context(), vectors.Query{Vector: []float32{1, 1, 1}, Filter: f})))
	_, err := t.index.Delete(t.Context(), vectors.Selection{Filter: f}, nil)
	t.invalid("Delete with "+what, err)
}

func nonFilterable(t *fixture) {
	t.put(v("a", md{"text": "x", "n": 1}))
	for _, f := range []vectors.Filter{
		vectors.Equal("text", "x"), vectors.Exists("text"), vectors.Missing("text"),
		vectors.And(vectors.Equal("n", 1), vectors.Exists("text")), vectors.Or(vectors.Equal("n", 1), vectors.StartsWith("text", "x")),
	} {
		t.invalidFilter(fmt.Sprintf("%+v", f), f)
	}
	t.one("a")
}

func badFilters(t *fixture) {
	t.put(v("a", md{"n": 1}))
	for what, f := range map[string]vectors.Filter{
		"no operator":                {Key: "n", Values: []any{1.0}},
		"an unknown operator":        {Op: "like", Key: "n", Values: []any{"x"}},
		"no key":                     vectors.Equal("", 1),
		"a key that is not UTF-8":    vectors.Equal("\xff", 1),
		"a key that is an operator":  vectors.Equal("$or", 1),
		"two values":                 {Op: vectors.OpEqual, Key: "n", Values: []any{1.0, 2.0}},
		"no value":                   {Op: vectors.OpNotEqual, Key: "n"},
		"a string for an order":      {Op: vectors.OpLess, Key: "n", Values: []any{"1"}},
		"two numbers for an order":   {Op: vectors.OpAtLeast, Key: "n", Values: []any{1.0, 2.0}},
		"a number for startsWith":    {Op: vectors.OpStartsWith, Key: "n", Values: []any{1.0}},
		"a value for exists":         {Op: vectors.OpExists, Key: "n", Values: []any{true}},
		"an int":                     {Op: vectors.OpEqual, Key: "n", Values: []any{1}},
		"nil":                        {Op: vectors.OpEqual, Key: "n", Values: []any{nil}},
		"a list":                     {Op: vectors.OpIn, Key: "n", Values: []any{[]any{1.0}}},
		"NaN":                        vectors.Equal("n", math.NaN()),
		"an infinity":                vectors.Less("n", math.Inf(1)),
		"a string that is not UTF-8": vectors.Equal("n", "\xff"),
		"an integer beyond 2^53":     vectors.In("n", int64(1)<<53+1),
		"filters under equal":        {Op: vectors.OpEqual, Key: "n", Values: []any{1.0}, Of: []vectors.Filter{vectors.Exists("n")}},
		"an empty and":               {Op: vectors.OpAnd},
		"a key for and":              {Op: vectors.OpAnd, Key: "n", Of: []vectors.Filter{vectors.Exists("n")}},
		"values for or":              {Op: vectors.OpOr, Values: []any{1.0}, Of: []vectors.Filter{vectors.Exists("n")}},
		"a zero filter within":       {Op: vectors.OpAnd, Of: []vectors.Filter{{}}},
		"one bad within":             {Op: vectors.OpOr, Of: []vectors.Filter{vectors.Exists("n"), {Op: "like", Key: "n"}}},
	} {
		t.invalidFilter(what, f)
	}
	t.one("a")
}

func nonFilterableValues(t *fixture) {
	want := md{"text": []any{"a", 1.0}, "n": 1.0}
	t.put(v("a", want), v("b", md{"text": false}))
	t.equal("metadata", t.one("a").Metadata, want)
	t.equal("metadata", t.one("b").Metadata, md{"text": false})
	report, err := t.index.Put(t.Context(), vectors.Of(v("b", md{"text": false, "n": 2})), &vectors.PutOptions{SkipEqual: "text"})
	if err != nil || report.Skipped != 1 {
		t.Errorf("Put with SkipEqual of a non-filterable key = %+v, %v, want one skipped", report, err)
	}
}
