package rag_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/vectors/rag"
)

func newBM25(t *testing.T, opts *rag.BM25Options, docs ...rag.Document) *rag.BM25 {
	t.Helper()
	x, err := rag.NewBM25(opts)
	require.NoError(t, err)
	require.NoError(t, x.Add(docs...))
	return x
}

// Three documents, worked out by hand from the formula.
func TestScoresAreOkapiBM25(t *testing.T) {
	x := newBM25(t, &rag.BM25Options{PrefixWeight: -1},
		rag.Document{ID: "a", Text: "fox fox dog"},
		rag.Document{ID: "b", Text: "fox"},
		rag.Document{ID: "c", Text: "cat hen"},
	)
	mean := 2.0
	part := func(with, count, length float64) float64 {
		return math.Log(1+(3-with+0.5)/(with+0.5)) * count * 2.2 / (count + 1.2*(0.25+0.75*length/mean))
	}
	hits := x.Search("fox dog", 10)
	require.Equal(t, []string{"a", "b"}, ids(hits))
	require.InDelta(t, part(2, 2, 3)+part(1, 1, 3), hits[0].Score, 1e-9)
	require.InDelta(t, part(2, 1, 1), hits[1].Score, 1e-9)
}

func TestPrefixesDoNotMakeADocumentLonger(t *testing.T) {
	x := newBM25(t, nil, rag.Document{ID: "a", Text: "fox elephant"}, rag.Document{ID: "b", Text: "fox dog"})
	hits := x.Search("fox", 2)
	require.InDelta(t, hits[0].Score, hits[1].Score, 1e-12)
}

func TestWordsMatchInTheirForms(t *testing.T) {
	for name, c := range map[string]struct{ text, query string }{
		"case":               {"Exports COTTON.", "cotton"},
		"plural":             {"many rivers", "river"},
		"derivation":         {"it gained independence", "independent"},
		"accents":            {"Curaçao and São Tomé", "curacao sao tome"},
		"combining accents":  {"Sa\u0303o", "São"},
		"possessive":         {"the country's coast", "country"},
		"typographic":        {"Kenya’s coast", "kenya"},
		"number":             {"founded in 1911", "1911?"},
		"percent":            {"rose by 12%", "percent"},
		"name and adjective": {"Thailand", "Thai"},
		"other scripts":      {"Ελλάδα", "ΕΛΛΆΔΑ"},
	} {
		x := newBM25(t, nil, rag.Document{ID: "it", Text: c.text}, rag.Document{ID: "other", Text: "something different"})
		require.Equal(t, []string{"it"}, ids(x.Search(c.query, 5)), name)
	}
}

func TestWordsThatSayNothingFindNothing(t *testing.T) {
	x := newBM25(t, nil, rag.Document{ID: "a", Text: "What is it that they were, and isn't?"})
	for _, query := range []string{"", "?", "what is it", "the", "isn't", "unknown"} {
		require.Empty(t, x.Search(query, 5), query)
	}
	require.Empty(t, newBM25(t, nil).Search("word", 5))
}

func TestTitleCountsMoreThanText(t *testing.T) {
	x := newBM25(t, nil,
		rag.Document{ID: "about", Title: "Chad", Text: "Its neighbour is large."},
		rag.Document{ID: "mentions", Title: "Niger", Text: "Chad is large."},
	)
	require.Equal(t, []string{"about", "mentions"}, ids(x.Search("chad", 5)))
}

func TestEqualScoresComeInTheOrderOfIDs(t *testing.T) {
	x := newBM25(t, nil)
	for _, id := range []string{"c", "a", "d", "b"} {
		require.NoError(t, x.Add(rag.Document{ID: id, Text: "same words"}))
	}
	require.Equal(t, []string{"a", "b", "c"}, ids(x.Search("words", 3)))
	require.Len(t, x.Search("words", 100), 4)
	require.Empty(t, x.Search("words", 0))
	require.Empty(t, x.Search("words", -1))
}

func TestAddingAnIDAgainReplacesIt(t *testing.T) {
	x := newBM25(t, nil, rag.Document{ID: "a", Text: "cotton"}, rag.Document{ID: "a", Text: "gold"})
	require.Equal(t, 1, x.Len())
	require.Empty(t, x.Search("cotton", 5))
	require.Len(t, x.Search("gold", 5), 1)
}

func TestBadDocumentsAreInvalidAndAddNothing(t *testing.T) {
	good := rag.Document{ID: "good", Text: "word"}
	for name, bad := range map[string]rag.Document{
		"no id":           {Text: "word"},
		"id not UTF-8":    {ID: "\xff", Text: "word"},
		"title not UTF-8": {ID: "x", Title: "\xff"},
		"text not UTF-8":  {ID: "x", Text: "word \xff"},
	} {
		x := newBM25(t, nil)
		require.ErrorIs(t, x.Add(good, bad), rag.ErrInvalid, name)
		require.Zero(t, x.Len(), name)
	}
}

func TestBadBM25OptionsAreInvalid(t *testing.T) {
	for _, o := range []rag.BM25Options{{B: 1.1}, {K1: math.NaN()}, {TitleWeight: math.Inf(1)}} {
		_, err := rag.NewBM25(&o)
		require.ErrorIs(t, err, rag.ErrInvalid, "%+v", o)
	}
}

// After any adding, replacing and removing, an index answers as one that was
// built from what is left.
func TestAnIndexForgetsWhatWasRemoved(t *testing.T) {
	words := strings.Fields("cotton gold rice river mountains mountain exports exported fox thai thailand")
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		text := func() string {
			var b strings.Builder
			for range 1 + r.IntN(8) {
				b.WriteString(words[r.IntN(len(words))] + " ")
			}
			return b.String()
		}
		x, kept := newBM25(t, nil), map[string]rag.Document{}
		for range 60 {
			id := fmt.Sprint(r.IntN(12))
			if r.IntN(3) == 0 {
				x.Remove(id, "absent")
				delete(kept, id)
				continue
			}
			doc := rag.Document{ID: id, Title: text(), Text: text()}
			require.NoError(t, x.Add(doc))
			kept[id] = doc
		}
		fresh := newBM25(t, nil)
		for _, doc := range kept {
			require.NoError(t, fresh.Add(doc))
		}
		require.Equal(t, len(kept), x.Len())
		for _, word := range words {
			want, got := fresh.Search(word, 100), x.Search(word, 100)
			require.True(t, slices.EqualFunc(want, got, func(a, b rag.Hit) bool {
				return a.ID == b.ID && math.Abs(a.Score-b.Score) < 1e-9
			}), "seed %d, %s: got %v, want %v", seed, word, got, want)
		}
	}
}

func TestSearchesRunWhileDocumentsCome(t *testing.T) {
	x := newBM25(t, nil, rag.Document{ID: "stays", Text: "gold"})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 50 {
				id := fmt.Sprint(i, "/", j)
				if err := x.Add(rag.Document{ID: id, Text: "cotton and gold"}); err != nil {
					t.Error(err)
				}
				x.Remove(id)
			}
		})
		wg.Go(func() {
			for range 50 {
				if !slices.Contains(ids(x.Search("gold", 10)), "stays") {
					t.Error("a document was missing while others came")
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, 1, x.Len())
}

func BenchmarkBM25(b *testing.B) {
	x, err := rag.NewBM25(nil)
	if err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	size := 0
	var docs []rag.Document
	for i := range 2000 {
		var text strings.Builder
		for range 110 {
			// The square makes some words frequent and most rare, as in a language.
			fmt.Fprintf(&text, "word%d ", int(math.Pow(r.Float64(), 2)*20_000))
		}
		size += text.Len()
		docs = append(docs, rag.Document{ID: fmt.Sprint(i), Text: text.String()})
	}
	for name, fresh := range map[string]bool{"Add": true, "Replace": false} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				if fresh {
					x, _ = rag.NewBM25(nil)
				}
				if err := x.Add(docs...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("Search", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			x.Search("word1 word20 word300 word4000 word15000", 10)
		}
	})
}

// Any text can be indexed, and one that a query finds is found by itself.
func FuzzBM25(f *testing.F) {
	f.Add("The 3 rivers' agreements — 12%", "agreed")
	f.Add("İstanbul ǅ ß", "istanbul")
	f.Add("eed ing ed s ational ~x", "ies")
	f.Fuzz(func(t *testing.T, text, query string) {
		x, err := rag.NewBM25(nil)
		require.NoError(t, err)
		if err := x.Add(rag.Document{ID: "it", Title: query, Text: text}); err != nil {
			require.ErrorIs(t, err, rag.ErrInvalid)
			return
		}
		for _, hit := range x.Search(query, 3) {
			require.Equal(t, "it", hit.ID)
			require.False(t, math.IsNaN(hit.Score) || math.IsInf(hit.Score, 0))
			require.NotEmpty(t, x.Search(text+" "+query, 1))
		}
		x.Remove("it")
		require.Empty(t, x.Search(query, 3))
	})
}
