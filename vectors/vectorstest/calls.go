package vectorstest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/genaistore/genaistore/vectors"
)

// calls are the promises that hold for every method.
var calls = []promise{
	{"Describe returns what the index was made for", detailed, describe},
	{"Describe fills in the metric", vectors.Schema{Dimension: 2}, describeDefault},
	{"a cancelled context stops every method", plain, cancelled},
	{"a cancelled Put stops taking vectors", plain, cancelledPut},
	{"a cancelled Put stops within a sequence of bad vectors", plain, cancelledBadPut},
	{"a loop ends with the error when its context is cancelled", plain, cancelledLoops},
	{"a deadline is a cancellation too", plain, deadline},
	{"methods may be called at the same time", plain, concurrent},
	{"a vector written by many at once is one of theirs", plain, wholeVectors},
	{"filters select nothing once the only vector is deleted", plain, onlyDeleted},
}

var detailed = vectors.Schema{
	Dimension: 7, Metric: vectors.Euclidean, NonFilterable: []string{"text", "html"},
	Tags: map[string]string{"model": "amazon.titan-embed-text-v2:0", "team": ""},
}

func describe(t *fixture) {
	for range 2 {
		got, err := t.index.Describe(t.Context())
		if err != nil || got.Dimension != detailed.Dimension || got.Metric != detailed.Metric {
			t.Fatalf("Describe = %+v, %v, want %+v", got, err, detailed)
		}
		t.equal("non-filterable keys", slices.Sorted(slices.Values(got.NonFilterable)), []string{"html", "text"})
		t.equal("tags", got.Tags, detailed.Tags)
		got.NonFilterable[0], got.Tags["model"] = "changed", "changed" // which must not reach the index
	}
}

func describeDefault(t *fixture) {
	got, err := t.index.Describe(t.Context())
	if err != nil || got.Metric != vectors.Cosine || len(got.NonFilterable) != 0 {
		t.Errorf("Describe = %+v, %v, want cosine and no non-filterable keys", got, err)
	}
}

func cancelled(t *fixture) {
	t.put(v("a", nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, put := t.index.Put(ctx, vectors.Of(v("b", nil)), nil)
	_, get := t.index.Get(ctx, []string{"a"}, nil)
	_, remove := t.index.Delete(ctx, vectors.Selection{All: true}, nil)
	_, describe := t.index.Describe(ctx)
	for method, err := range map[string]error{
		"Put": put, "Get": get, "Delete": remove, "Describe": describe,
		"Query": lastError(t, t.index.Query(ctx, vectors.Query{Vector: []float32{1, 0, 0}})),
		"List":  lastError(t, t.index.List(ctx, nil)),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v, want context.Canceled", method, err)
		}
	}
	t.same("List", t.list(nil), []string{"a"})
}

// endless yields vectors until it is stopped, and cancels after n of them.
func endless(n int, cancel func(), vector func(i int) vectors.Vector) iter.Seq2[vectors.Vector, error] {
	return func(yield func(vectors.Vector, error) bool) {
		for i := 0; ; i++ {
			if i == n {
				cancel()
			}
			if i > n+1_000_000 || !yield(vector(i), nil) {
				return
			}
		}
	}
}

func cancelledPut(t *fixture) {
	ctx, cancel := context.WithCancel(t.Context())
	report, err := t.index.Put(ctx, endless(1200, cancel, func(i int) vectors.Vector { return v(fmt.Sprint(i), nil) }), nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Put = %v, want context.Canceled", err)
	}
	if n := len(t.list(nil)); report.Done > n || n > 5000 {
		t.Errorf("Put reports %d done and the index holds %d", report.Done, n)
	}
}

func cancelledBadPut(t *fixture) {
	ctx, cancel := context.WithCancel(t.Context())
	report, err := t.index.Put(ctx, endless(100, cancel, func(int) vectors.Vector { return v("", nil) }), nil)
	if !errors.Is(err, context.Canceled) || report.Done != 0 || len(report.Rejected) > 5000 {
		t.Errorf("Put = %d done, %d rejected, %v, want context.Canceled", report.Done, len(report.Rejected), err)
	}
}

func cancelledLoops(t *fixture) {
	t.put(fan(40)...)
	for method, start := range map[string]func(ctx context.Context) func(yield func(string, error) bool){
		"Query": func(ctx context.Context) func(yield func(string, error) bool) {
			return names(t.index.Query(ctx, vectors.Query{Vector: []float32{1, 0, 0}, TopK: 40}), func(m vectors.Match) string { return m.Key })
		},
		"List": func(ctx context.Context) func(yield func(string, error) bool) {
			return names(t.index.List(ctx, nil), func(v vectors.Vector) string { return v.Key })
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		n, last := 0, error(nil)
		for _, err := range start(ctx) {
			if last = err; err == nil {
				n++
			}
			if n == 3 {
				cancel()
			}
		}
		cancel()
		if !errors.Is(last, context.Canceled) || n == 40 {
			t.Errorf("%s went on for %d vectors of 40 and ended with %v, want context.Canceled", method, n, last)
		}
	}
}

func names[T any](seq iter.Seq2[T, error], name func(T) string) func(yield func(string, error) bool) {
	return func(yield func(string, error) bool) {
		for v, err := range seq {
			if !yield(name(v), err) {
				return
			}
		}
	}
}

func deadline(t *fixture) {
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if _, err := t.index.Put(ctx, vectors.Of(v("b", nil)), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Put = %v, want context.DeadlineExceeded", err)
	}
	if err := lastError(t, t.index.Query(ctx, vectors.Query{Vector: []float32{1, 0, 0}})); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Query = %v, want context.DeadlineExceeded", err)
	}
}

func concurrent(t *fixture) {
	t.put(numbered(100)...)
	var group sync.WaitGroup
	for i := range 8 {
		mine := fmt.Sprintf("mine%d", i)
		group.Go(func() {
			for n := range 10 {
				t.put(v(mine, md{"n": n, "of": i}, float32(n+1), float32(i), 1))
				if got := t.get(mine); len(got) != 1 || got[0].Metadata["n"] != float64(n) {
					t.Errorf("Get after Put %d of %s = %+v", n, mine, got)
				}
				t.same("List", t.list(&vectors.ListOptions{Filter: vectors.Equal("of", i)}), []string{mine})
				for _, m := range t.query(vectors.Query{Vector: []float32{1, 1, 1}, TopK: 20, Fields: vectors.Everything}) {
					if len(m.Data) != 3 || m.Key == "" {
						t.Errorf("Query yields %+v", m)
					}
				}
				t.remove(vectors.Selection{Keys: []string{mine}})
			}
		})
	}
	group.Wait()
	t.equal("vectors in the end", len(t.list(nil)), 100)
}

func wholeVectors(t *fixture) {
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 20 {
				t.put(v("k", md{"n": i + 1}, float32(i+1), float32(i+1), float32(i+1)))
				got := t.one("k")
				for _, x := range got.Data {
					if float64(x) != got.Metadata["n"] {
						t.Errorf("Get = %+v, of two writers", got)
					}
				}
			}
		})
	}
	group.Wait()
	n := t.one("k").Metadata["n"]
	t.same("List", t.list(&vectors.ListOptions{Filter: vectors.Equal("n", n.(float64))}), []string{"k"})
}

func onlyDeleted(t *fixture) {
	t.put(v("only", md{"n": 1}))
	t.remove(vectors.Selection{Keys: []string{"only"}})
	for _, f := range []vectors.Filter{vectors.Exists("n"), vectors.Equal("n", 1), vectors.Missing("n"), vectors.NotEqual("n", 2)} {
		t.same("List", t.list(&vectors.ListOptions{Filter: f}), nil)
	}
}
