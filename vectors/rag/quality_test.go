package rag_test

import (
	"cmp"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/vectors/embed/glove"
	"github.com/genaistore/genaistore/vectors/rag"
)

type passage struct{ ID, Country, Section, Text string }

type question struct {
	Question string
	Answers  []string
	Contains string
}

const exampleFolder = "../../examples/assistant/"

func load[T any](t *testing.T, name string) T {
	t.Helper()
	data, err := os.ReadFile(exampleFolder + name)
	require.NoError(t, err)
	var v T
	require.NoError(t, json.Unmarshal(data, &v))
	return v
}

func TestQuestionsHaveTheAnswersThatTheyName(t *testing.T) {
	text := map[string]string{}
	for _, p := range load[[]passage](t, "corpus/factbook_passages.json") {
		require.NotContains(t, text, p.ID)
		text[p.ID] = p.Text
	}
	require.Len(t, text, 1907)
	questions := load[[]question](t, "questions.json")
	require.GreaterOrEqual(t, len(questions), 48)
	asked := map[string]bool{}
	for _, q := range questions {
		require.False(t, asked[q.Question], q.Question)
		asked[q.Question] = true
		require.NotEmpty(t, q.Answers, q.Question)
		require.NotEmpty(t, q.Contains, q.Question)
		for _, id := range q.Answers {
			require.Contains(t, text[id], q.Contains, q.Question)
		}
	}
}

// A search holds the two retrievers over the passages of the corpus.
type search struct {
	words   *rag.BM25
	embed   *glove.Embedder
	vectors [][]float32
	owners  []string // the passage of each vector
}

func newSearch(t *testing.T, words *rag.BM25Options, chunks rag.ChunkOptions) *search {
	t.Helper()
	index, err := rag.NewBM25(words)
	require.NoError(t, err)
	s := &search{words: index, embed: glove.New()}
	var contents []string
	for _, p := range load[[]passage](t, "corpus/factbook_passages.json") {
		require.NoError(t, index.Add(rag.Document{ID: p.ID, Title: p.Country, Text: p.Text}))
		o := chunks
		o.Title = p.Country
		pieces, err := rag.Paragraphs(p.ID, strings.TrimPrefix(p.Text, p.Country+". "), &o)
		require.NoError(t, err)
		for _, c := range pieces {
			contents = append(contents, c.Content())
			s.owners = append(s.owners, p.ID)
		}
	}
	s.vectors, err = s.embed.Documents(t.Context(), contents)
	require.NoError(t, err)
	return s
}

// depth is how many passages each retriever gives.
const depth = 100

func (s *search) byWords(query string) []rag.Hit { return s.words.Search(query, depth) }

func (s *search) byMeaning(t *testing.T, query string) []rag.Hit {
	t.Helper()
	q, err := s.embed.Query(t.Context(), query)
	require.NoError(t, err)
	best := map[string]float64{}
	for i, v := range s.vectors {
		var dot float32
		for j := range v {
			dot += v[j] * q[j]
		}
		if was, ok := best[s.owners[i]]; !ok || float64(dot) > was {
			best[s.owners[i]] = float64(dot)
		}
	}
	var hits []rag.Hit
	for id, score := range best {
		hits = append(hits, rag.Hit{ID: id, Score: score})
	}
	slices.SortFunc(hits, func(a, b rag.Hit) int { return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID)) })
	return hits[:depth]
}

func ids(hits []rag.Hit) []string {
	var all []string
	for _, hit := range hits {
		all = append(all, hit.ID)
	}
	return all
}

func (s *search) fused(t *testing.T, query string, opts *rag.FuseOptions) []rag.Hit {
	t.Helper()
	hits, err := rag.Fuse([][]string{ids(s.byWords(query)), ids(s.byMeaning(t, query))}, opts)
	require.NoError(t, err)
	return hits
}

func (s *search) blended(t *testing.T, query string, weights ...float64) []rag.Hit {
	t.Helper()
	hits, err := rag.Blend([][]rag.Hit{s.byWords(query), s.byMeaning(t, query)}, &rag.BlendOptions{Weights: weights})
	require.NoError(t, err)
	return hits
}

// quality is how often an answer was among the first 1, 5 and 10, and the mean
// reciprocal rank of the first.
type quality struct{ at1, at5, at10, mrr float64 }

// measure asks the questions of one half: those with an even position were used
// to choose what the retrievers do, the others only to report.
func measure(questions []question, half int, retrieve func(query string) []rag.Hit) quality {
	var q quality
	n := 0.0
	for i, question := range questions {
		if i%2 != half {
			continue
		}
		n++
		at := slices.IndexFunc(retrieve(question.Question), func(hit rag.Hit) bool {
			return slices.Contains(question.Answers, hit.ID)
		})
		if at < 0 {
			continue
		}
		q.mrr += 1 / float64(at+1)
		for limit, sum := range map[int]*float64{1: &q.at1, 5: &q.at5, 10: &q.at10} {
			if at < limit {
				*sum++
			}
		}
	}
	return quality{q.at1 / n, q.at5 / n, q.at10 / n, q.mrr / n}
}

// The floors lie a little below what was measured when the defaults were
// chosen, so that a change that costs quality does not pass unseen.
func TestWordsAndMeaningTogetherFindMoreThanEither(t *testing.T) {
	s := newSearch(t, nil, rag.ChunkOptions{Size: 700})
	questions := load[[]question](t, "questions.json")
	byMeaning := func(q string) []rag.Hit { return s.byMeaning(t, q) }
	fused := func(q string) []rag.Hit { return s.fused(t, q, &rag.FuseOptions{K: 20, Weights: []float64{1, 0.4}}) }
	blended := func(q string) []rag.Hit { return s.blended(t, q, 1, 0.4) }
	t.Log("                      @1    @5    @10   mrr")
	for half, name := range []string{"chosen with", "held out"} {
		words, meaning := measure(questions, half, s.byWords), measure(questions, half, byMeaning)
		ranks, both := measure(questions, half, fused), measure(questions, half, blended)
		t.Logf("%-11s words   %.3f", name, words)
		t.Logf("%-11s meaning %.3f", name, meaning)
		t.Logf("%-11s fused   %.3f", name, ranks)
		t.Logf("%-11s blended %.3f", name, both)
		require.Greater(t, both.mrr, words.mrr, name)
		require.Greater(t, both.mrr, meaning.mrr, name)
		require.GreaterOrEqual(t, both.at5, words.at5, name)
		require.GreaterOrEqual(t, both.at1, 0.58, name)
		require.GreaterOrEqual(t, both.at5, 0.78, name)
		require.GreaterOrEqual(t, both.at10, 0.83, name)
		require.GreaterOrEqual(t, words.mrr, 0.62, name)
		require.GreaterOrEqual(t, meaning.mrr, 0.36, name)
	}
}

// Each part of the default is worth having: without it the questions that it
// was chosen with find less.
func TestEachDefaultOfTheIndexByWordsEarnsItsPlace(t *testing.T) {
	questions := load[[]question](t, "questions.json")
	score := func(o *rag.BM25Options) float64 {
		return measure(questions, 0, newSearch(t, o, rag.ChunkOptions{}).byWords).mrr
	}
	standard := score(nil)
	for name, without := range map[string]*rag.BM25Options{
		"title":    {TitleWeight: -1},
		"prefixes": {PrefixWeight: -1},
		"lengths":  {B: -1},
		"counts":   {K1: -1},
	} {
		worse := score(without)
		t.Logf("%.3f with all, %.3f without %s", standard, worse, name)
		require.Greater(t, standard, worse, name)
	}
}
