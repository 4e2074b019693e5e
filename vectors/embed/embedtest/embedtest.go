// Package embedtest checks that an [embed.Embedder] keeps the promises of its
// contract. It needs the standard library only, so any implementation can run
// it.
package embedtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/genaistore/genaistore/vectors/embed"
)

// texts are what every embedder must accept: several scripts, numbers, names
// that no vocabulary has, and one that is longer than most services take at
// once in a test.
var texts = []string{
	"The capital of France is Paris.",
	"42",
	"Qwxzvut Blorbnik",
	"東京は日本の首都です",
	"Ελλάδα",
	strings.Repeat("rivers and mountains ", 200),
}

// Run runs the suite. Each case gets its own embedder from newEmbedder.
func Run(t *testing.T, newEmbedder func(t *testing.T) embed.Embedder) {
	t.Helper()
	for _, promise := range []struct {
		name  string
		check func(t *testing.T, e embed.Embedder)
	}{
		{"the model can be recorded", checkModel},
		{"documents come one for one and in order", checkOrder},
		{"vectors fit an index", checkVectors},
		{"the same text gives the same vector", checkStable},
		{"the caller owns what is returned", checkOwnership},
		{"no texts give no vectors", checkEmptyBatch},
		{"many texts go in one call", checkMany},
		{"text without meaning is refused", checkRefused},
		{"a cancelled context stops both methods", checkCancel},
		{"calls run concurrently", checkConcurrent},
	} {
		t.Run(promise.name, func(t *testing.T) { promise.check(t, newEmbedder(t)) })
	}
}

func checkModel(t *testing.T, e embed.Embedder) {
	if err := e.Model().Validate(); err != nil {
		t.Fatal(err)
	}
	if err := e.Model().Check(e.Model().Tags()); err != nil {
		t.Errorf("the model's own tags: %v", err)
	}
}

func checkOrder(t *testing.T, e embed.Embedder) {
	together := documents(t, e, texts...)
	for i, text := range texts {
		if alone := documents(t, e, text)[0]; !near(alone, together[i]) {
			t.Errorf("text %d has another vector alone than in a batch", i)
		}
	}
	for i := 1; i < len(together); i++ {
		if near(together[0], together[i]) {
			t.Errorf("texts 0 and %d have the same vector", i)
		}
	}
}

func checkVectors(t *testing.T, e embed.Embedder) {
	vectors := documents(t, e, texts...)
	for _, text := range texts {
		vectors = append(vectors, query(t, e, text))
	}
	for i, v := range vectors {
		if len(v) != e.Model().Dimension {
			t.Fatalf("vector %d has %d elements, want %d", i, len(v), e.Model().Dimension)
		}
		var sum float64
		for _, x := range v {
			sum += float64(x) * float64(x)
		}
		if sum == 0 || math.IsNaN(sum) || math.IsInf(sum, 0) {
			t.Errorf("vector %d has squared length %v", i, sum)
		}
	}
}

func checkStable(t *testing.T, e embed.Embedder) {
	for _, text := range texts {
		if !near(documents(t, e, text)[0], documents(t, e, text)[0]) {
			t.Errorf("document %.20q changed", text)
		}
		if !near(query(t, e, text), query(t, e, text)) {
			t.Errorf("query %.20q changed", text)
		}
	}
}

func checkOwnership(t *testing.T, e embed.Embedder) {
	first := documents(t, e, texts[0], texts[0])
	kept := slices.Clone(first[1])
	clear(first[0])
	if !slices.Equal(first[1], kept) {
		t.Error("two vectors of one batch share memory")
	}
	if !near(documents(t, e, texts[0])[0], kept) {
		t.Error("writing to a document's vector changed a later answer")
	}
	answer := query(t, e, texts[0])
	kept = slices.Clone(answer)
	clear(answer)
	if !near(query(t, e, texts[0]), kept) {
		t.Error("writing to a query's vector changed a later answer")
	}
}

func checkEmptyBatch(t *testing.T, e embed.Embedder) {
	for _, none := range [][]string{nil, {}} {
		vectors, err := e.Documents(t.Context(), none)
		if err != nil || len(vectors) != 0 {
			t.Errorf("got %d vectors and error %v", len(vectors), err)
		}
	}
}

func checkMany(t *testing.T, e embed.Embedder) {
	var many []string
	for i := range 300 {
		many = append(many, fmt.Sprintf("passage number %d", i))
	}
	vectors := documents(t, e, many...)
	for _, i := range []int{0, 95, 96, 150, 299} {
		if !near(vectors[i], documents(t, e, many[i])[0]) {
			t.Errorf("text %d of 300 has the vector of another", i)
		}
	}
}

func checkRefused(t *testing.T, e embed.Embedder) {
	for _, text := range []string{"", " \n\t", "?!…", "\xff\xfe word"} {
		if _, err := e.Query(t.Context(), text); !errors.Is(err, embed.ErrInvalid) {
			t.Errorf("query %q: got error %v, want one that matches ErrInvalid", text, err)
		}
		vectors, err := e.Documents(t.Context(), []string{"fine", text})
		if !errors.Is(err, embed.ErrInvalid) {
			t.Errorf("document %q: got error %v, want one that matches ErrInvalid", text, err)
		} else if !strings.Contains(err.Error(), "1") {
			t.Errorf("document %q: error %q does not name position 1", text, err)
		}
		if len(vectors) != 0 {
			t.Errorf("document %q: got %d vectors beside the error", text, len(vectors))
		}
	}
}

func checkCancel(t *testing.T, e embed.Embedder) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Documents(ctx, texts); !errors.Is(err, context.Canceled) {
		t.Errorf("Documents: got error %v", err)
	}
	if _, err := e.Query(ctx, texts[0]); !errors.Is(err, context.Canceled) {
		t.Errorf("Query: got error %v", err)
	}
}

func checkConcurrent(t *testing.T, e embed.Embedder) {
	want := documents(t, e, texts...)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			text := i % len(texts)
			got, err := e.Documents(t.Context(), texts[text:text+1])
			if err != nil || !near(got[0], want[text]) {
				t.Errorf("text %d: another vector, or error %v", text, err)
			}
		})
	}
	wg.Wait()
}

func documents(t *testing.T, e embed.Embedder, texts ...string) [][]float32 {
	t.Helper()
	vectors, err := e.Documents(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	if len(vectors) != len(texts) {
		t.Fatalf("got %d vectors for %d texts", len(vectors), len(texts))
	}
	return vectors
}

func query(t *testing.T, e embed.Embedder, text string) []float32 {
	t.Helper()
	v, err := e.Query(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// near allows for the last bits, which a model on other hardware may change.
func near(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Abs(float64(x-y)) < 1e-4 })
}
