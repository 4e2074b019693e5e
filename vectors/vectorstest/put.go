package vectorstest

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/genaistore/genaistore/vectors"
)

var puts = []promise{
	{"a vector comes back as it was put", plain, roundTrip},
	{"a vector without metadata comes back with empty metadata", plain, noMetadata},
	{"metadata comes back in the types of Metadata", plain, metadataTypes},
	{"integers up to 2^53 are exact", plain, exactIntegers},
	{"Put replaces a vector whole", plain, replaceWhole},
	{"of two vectors with one key in a Put the last wins", plain, lastWins},
	{"of two vectors with one key far apart in a Put the last wins", plain, lastWinsFarApart},
	{"a bad vector keeps no other out", plain, oneBadVector},
	{"a bad vector leaves the one it would have replaced", plain, badReplacement},
	{"a Put of more than a batch stores all", plain, manyBatches},
	{"Progress grows to what Put returns", plain, progress},
	{"an error in the sequence ends a Put after what came before", plain, sequenceError},
	{"an error in the sequence is returned beside what was rejected", plain, sequenceErrorAndRejected},
	{"an empty or nil sequence is a Put of nothing", plain, putNothing},
	{"repeating a Put is safe", plain, putTwice},
	{"SkipEqual skips what has the same value stored", plain, skipEqual},
	{"Put keeps nothing of its arguments", plain, putKeepsNothing},
	{"the sequence of a Put may use the index", plain, sequenceUsesIndex},
	{"Progress may use the index", plain, progressUsesIndex},
	{"keys are case-sensitive and of any characters", plain, strangeKeys},
}

func roundTrip(t *fixture) {
	want := v("k", md{"s": "text <&>\" \u2028 ü", "n": 1.5, "b": true, "l": []any{"x", 2.0, false}, "text": "long"}, 0.1, -1e-7, 12345.678)
	t.put(want)
	t.equal("the vector", t.one("k"), want)
}

func noMetadata(t *fixture) {
	t.put(v("nil", nil), v("empty", md{}))
	for _, key := range []string{"nil", "empty"} {
		if m := t.one(key).Metadata; m == nil || len(m) != 0 {
			t.Errorf("metadata of %s = %#v, want an empty map", key, m)
		}
	}
}

type (
	color   string
	count   uint16
	weights []float32
)

func metadataTypes(t *fixture) {
	t.put(v("k", md{
		"int": 7, "int64": int64(-8), "uint8": uint8(9), "named": count(10), "float32": float32(0.5), "color": color("red"),
		"strings": []string{"a", "b"}, "ints": []int{1, 2}, "colors": []color{"red"}, "weights": weights{0.25}, "bools": []bool{true}, "empty": []string{},
	}))
	t.equal("metadata", t.one("k").Metadata, md{
		"int": 7.0, "int64": -8.0, "uint8": 9.0, "named": 10.0, "float32": 0.5, "color": "red",
		"strings": []any{"a", "b"}, "ints": []any{1.0, 2.0}, "colors": []any{"red"}, "weights": []any{0.25}, "bools": []any{true}, "empty": []any{},
	})
}

func exactIntegers(t *fixture) {
	t.put(v("k", md{"most": int64(1) << 53, "least": -(int64(1) << 53), "uint": uint64(1) << 53, "odd": int64(1)<<53 - 1}))
	t.equal("metadata", t.one("k").Metadata, md{"most": 0x1p53, "least": -0x1p53, "uint": 0x1p53, "odd": 0x1p53 - 1})
	for what, value := range map[string]any{"2^53+1": int64(1)<<53 + 1, "2^53+2": int64(1)<<53 + 2, "the greatest int64": int64(math.MaxInt64), "-2^53-1": -(int64(1) << 53) - 1, "2^53+1 unsigned": uint64(1)<<53 + 1, "the greatest uint64": uint64(math.MaxUint64)} {
		t.rejects(what, v("bad", md{"n": value}))
	}
}

func replaceWhole(t *fixture) {
	t.put(v("k", md{"old": "x", "both": 1}, 1, 0, 0))
	t.put(v("k", md{"new": "y", "both": 2}, 0, 1, 0))
	t.equal("the vector", t.one("k"), v("k", md{"new": "y", "both": 2.0}, 0, 1, 0))
	t.same("List(Exists old)", t.list(&vectors.ListOptions{Filter: vectors.Exists("old")}), nil)
	t.same("List(both = 1)", t.list(&vectors.ListOptions{Filter: vectors.Equal("both", 1)}), nil)
	t.same("List(both = 2)", t.list(&vectors.ListOptions{Filter: vectors.Equal("both", 2)}), []string{"k"})
	t.near(t.query(vectors.Query{Vector: []float32{1, 0, 0}}), map[string]float64{"k": 1})
}

func lastWins(t *fixture) {
	report, err := t.index.Put(t.Context(), vectors.Of(v("k", md{"n": 1}, 1, 0, 0), v("other", nil), v("k", md{"n": 2}, 0, 1, 0)), nil)
	if err != nil || report.Done != 3 {
		t.Errorf("Put = %+v, %v, want three done", report, err)
	}
	t.equal("the vector", t.one("k"), v("k", md{"n": 2.0}, 0, 1, 0))
}

func lastWinsFarApart(t *fixture) {
	t.put(slices.Concat([]vectors.Vector{v("k", md{"n": 1})}, numbered(700), []vectors.Vector{v("k", md{"n": 2})})...)
	t.equal("n", t.one("k").Metadata["n"], 2.0)
	if n := len(t.list(nil)); n != 701 {
		t.Errorf("List yields %d vectors, want 701", n)
	}
}

// numbered returns n vectors with keys 0000 and on and their number as metadata.
func numbered(n int) []vectors.Vector {
	vs := make([]vectors.Vector, n)
	for i := range vs {
		vs[i] = v(fmt.Sprintf("%04d", i), md{"n": i, "even": i%2 == 0}, float32(i+1), 1, float32(i%7))
	}
	return vs
}

func oneBadVector(t *fixture) {
	report, err := t.index.Put(t.Context(), vectors.Of(v("a", nil), v("", nil), v("b", nil), v("short", nil, 1), v("c", nil)), nil)
	t.invalid("Put with two bad vectors", err)
	if report.Done != 3 || len(report.Rejected) != 2 || report.Rejected[0].Key != "" || report.Rejected[1].Key != "short" {
		t.Errorf("Put = %+v, want three done and two rejected in their order", report)
	}
	for _, r := range report.Rejected {
		t.invalid("the reason for "+r.Key, r.Err)
	}
	t.same("List", t.list(nil), []string{"a", "b", "c"})
}

func badReplacement(t *fixture) {
	t.put(v("k", md{"n": 1}))
	t.rejects("a length of 2", v("k", md{"n": 2}, 1, 2))
	t.equal("n", t.one("k").Metadata["n"], 1.0)
}

func manyBatches(t *fixture) {
	const n = 1203
	t.put(numbered(n)...)
	if got := len(t.list(nil)); got != n {
		t.Errorf("List yields %d vectors, want %d", got, n)
	}
	for _, i := range []int{0, 499, 500, 999, 1000, n - 1} {
		t.equal("n", t.one(fmt.Sprintf("%04d", i)).Metadata["n"], float64(i))
	}
}

func progress(t *fixture) {
	var seen []vectors.Report
	vs := append(numbered(1203), v("short", nil, 1))
	report, err := t.index.Put(t.Context(), vectors.Of(vs...), &vectors.PutOptions{Progress: func(r vectors.Report) { seen = append(seen, r) }})
	t.invalid("Put with a bad vector", err)
	if len(seen) < 2 {
		t.Fatalf("Progress was called %d times for 1,203 vectors, want once a batch", len(seen))
	}
	for i, r := range seen[1:] {
		if r.Done < seen[i].Done {
			t.Errorf("Progress went from %d done to %d", seen[i].Done, r.Done)
		}
	}
	if last := seen[len(seen)-1]; last.Done != 1203 || report.Done != 1203 || len(report.Rejected) != 1 {
		t.Errorf("the last progress says %d done, Put %d and %d rejected, want 1,203 and one", last.Done, report.Done, len(report.Rejected))
	}
}

// failing yields vs and then err.
func failing(err error, vs ...vectors.Vector) iter.Seq2[vectors.Vector, error] {
	return func(yield func(vectors.Vector, error) bool) {
		for _, v := range vs {
			if !yield(v, nil) {
				return
			}
		}
		if yield(vectors.Vector{}, err) {
			yield(v("after", nil), nil)
		}
	}
}

var errBoom = errors.New("boom")

func sequenceError(t *fixture) {
	report, err := t.index.Put(t.Context(), failing(errBoom, numbered(3)...), nil)
	if !errors.Is(err, errBoom) || errors.Is(err, vectors.ErrInvalid) {
		t.Errorf("Put = %v, want the error of the sequence", err)
	}
	if report.Done != 3 || len(report.Rejected) != 0 {
		t.Errorf("Put = %+v, want three done", report)
	}
	t.same("List", t.list(nil), []string{"0000", "0001", "0002"})
}

func sequenceErrorAndRejected(t *fixture) {
	report, err := t.index.Put(t.Context(), failing(errBoom, v("a", nil), v("short", nil, 1)), nil)
	if !errors.Is(err, errBoom) || !errors.Is(err, vectors.ErrInvalid) || report.Done != 1 || len(report.Rejected) != 1 {
		t.Errorf("Put = %+v, %v, want one done, one rejected, and both errors", report, err)
	}
}

func putNothing(t *fixture) {
	for _, seq := range []iter.Seq2[vectors.Vector, error]{nil, vectors.Of()} {
		report, err := t.index.Put(t.Context(), seq, nil)
		if err != nil || report.Done != 0 || report.Skipped != 0 || len(report.Rejected) != 0 {
			t.Errorf("Put of nothing = %+v, %v", report, err)
		}
	}
}

func putTwice(t *fixture) {
	t.put(numbered(10)...)
	t.put(numbered(10)...)
	if got := len(t.list(nil)); got != 10 {
		t.Errorf("List yields %d vectors after the second Put, want 10", got)
	}
	if got := t.query(vectors.Query{Vector: []float32{1, 1, 1}, TopK: 100}); len(got) != 10 {
		t.Errorf("Query yields %d matches after the second Put, want 10", len(got))
	}
}

func skipEqual(t *fixture) {
	t.put(v("same", md{"hash": "a"}), v("other", md{"hash": "a"}), v("type", md{"hash": "1"}), v("gone", md{"hash": "a"}), v("none", nil), v("list", md{"hash": []string{"a", "b"}}), v("order", md{"hash": []string{"a", "b"}}), v("neither", nil))
	next := []vectors.Vector{
		v("same", md{"hash": "a", "new": true}), v("other", md{"hash": "b", "new": true}), v("type", md{"hash": 1, "new": true}), v("gone", md{"new": true}),
		v("none", md{"hash": "a", "new": true}), v("list", md{"hash": []any{"a", "b"}, "new": true}), v("order", md{"hash": []any{"b", "a"}, "new": true}), v("fresh", md{"hash": "a", "new": true}), v("neither", md{"new": true}),
	}
	report, err := t.index.Put(t.Context(), vectors.Of(next...), &vectors.PutOptions{SkipEqual: "hash"})
	if err != nil || report.Done != 7 || report.Skipped != 2 {
		t.Errorf("Put = %+v, %v, want seven done and two skipped", report, err)
	}
	t.same("List(new)", t.list(&vectors.ListOptions{Filter: vectors.Exists("new")}), []string{"other", "type", "gone", "none", "order", "fresh", "neither"})
}

func putKeepsNothing(t *fixture) {
	data, list, metadata := []float32{0, 0, 0}, []string{""}, md{}
	seq := func(yield func(vectors.Vector, error) bool) {
		for i := range 5 {
			data[0], data[1], data[2] = float32(i+1), 1, 1
			list[0] = fmt.Sprint(i)
			metadata["list"], metadata["n"] = list, i
			if !yield(vectors.Vector{Key: fmt.Sprint(i), Data: data, Metadata: metadata}, nil) {
				return
			}
		}
	}
	if _, err := t.index.Put(t.Context(), seq, nil); err != nil {
		t.Fatal(err)
	}
	data[0], list[0], metadata["n"] = 99, "changed", 99
	for i := range 5 {
		key := fmt.Sprint(i)
		t.equal("the vector", t.one(key), v(key, md{"list": []any{key}, "n": float64(i)}, float32(i+1), 1, 1))
	}
}

func sequenceUsesIndex(t *fixture) {
	seq := func(yield func(vectors.Vector, error) bool) {
		for i := range 3 {
			t.put(v(fmt.Sprintf("inner%d", i), nil))
			if !yield(v(fmt.Sprintf("outer%d", i), md{"there": len(t.list(nil))}), nil) {
				return
			}
		}
	}
	if _, err := t.index.Put(t.Context(), seq, nil); err != nil {
		t.Fatal(err)
	}
	t.same("List", t.list(nil), []string{"inner0", "inner1", "inner2", "outer0", "outer1", "outer2"})
}

func progressUsesIndex(t *fixture) {
	called := false
	opts := vectors.PutOptions{Progress: func(vectors.Report) {
		called = true
		t.put(v("inner", nil))
	}}
	if _, err := t.index.Put(t.Context(), vectors.Of(v("outer", nil)), &opts); err != nil {
		t.Fatal(err)
	}
	if !called {
		t.Error("Progress was not called")
	}
	t.same("List", t.list(nil), []string{"inner", "outer"})
}

func strangeKeys(t *fixture) {
	keys := []string{"a", "A", " ", "a ", "/", "a/b", "..", "\u00e9", "e\u0301", "日本語", "🙂", "%2F", "a%2Fb", `"`, `\`, "<&>", "#", "?x=y", "null", "0", "\n"}
	for i, key := range keys {
		t.put(v(key, md{"n": i}))
	}
	t.same("List", t.list(nil), keys)
	for i, key := range keys {
		t.equal("n of "+key, t.one(key).Metadata["n"], float64(i))
	}
}
