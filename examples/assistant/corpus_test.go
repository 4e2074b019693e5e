package main

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/memory"
)

// A question with the passages that answer it.
type knownQuestion struct {
	Question string
	Answers  []string
	Contains string
}

func knownQuestions(t *testing.T) []knownQuestion {
	t.Helper()
	data, err := os.ReadFile("questions.json")
	require.NoError(t, err)
	var questions []knownQuestion
	require.NoError(t, json.Unmarshal(data, &questions))
	require.GreaterOrEqual(t, len(questions), 40)
	return questions
}

func corpusAssistant(t *testing.T) (*assistant, *retriever) {
	t.Helper()
	line := commandLine{Backend: "memory", State: t.TempDir(), User: "u", Session: "s"}
	a, s, err := open(t.Context(), line, terminal{strings.NewReader(""), t.Output(), t.Output()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.close()) })
	r, err := a.retriever(t.Context())
	require.NoError(t, err)
	require.True(t, a.changed)
	return a, r
}

// passageID is what questions call a passage: its id in the corpus, whichever
// piece of it was found.
func passageID(key string) string {
	id := strings.TrimPrefix(key, builtInName+"#")
	if i := strings.IndexByte(id, '#'); i >= 0 {
		id = id[:i]
	}
	return id
}

func TestEveryQuestionHasItsAnswerInTheCorpus(t *testing.T) {
	_, r := corpusAssistant(t)
	texts := map[string]string{}
	for _, p := range r.passages {
		texts[passageID(p.key)] += p.text
	}
	for _, q := range knownQuestions(t) {
		require.NotEmpty(t, q.Answers, q.Question)
		require.True(t, slices.ContainsFunc(q.Answers, func(id string) bool {
			return strings.Contains(texts[id], q.Contains)
		}), "%s: no passage of %v contains %q", q.Question, q.Answers, q.Contains)
	}
}

// The README states the rates; a margin of a few questions keeps the test from
// breaking on harmless changes.
func TestHitRates(t *testing.T) {
	_, r := corpusAssistant(t)
	questions := knownQuestions(t)
	ranks := map[int]int{}
	for _, q := range questions {
		found, err := r.find(t.Context(), q.Question, 20)
		require.NoError(t, err)
		var seen []string
		for _, p := range found {
			if id := passageID(p.key); !slices.Contains(seen, id) {
				seen = append(seen, id)
			}
		}
		rank := slices.IndexFunc(seen, func(id string) bool { return slices.Contains(q.Answers, id) })
		for _, k := range []int{1, 5, 10} {
			if rank >= 0 && rank < k {
				ranks[k]++
			}
		}
		if rank < 0 || rank >= 5 {
			t.Logf("rank %d: %s", rank+1, q.Question)
		}
	}
	rate := func(k int) float64 { return float64(ranks[k]) / float64(len(questions)) }
	t.Logf("%d questions: hit@1 %.3f, hit@5 %.3f, hit@10 %.3f", len(questions), rate(1), rate(5), rate(10))
	require.GreaterOrEqual(t, rate(1), 0.60)
	require.GreaterOrEqual(t, rate(5), 0.83)
	require.GreaterOrEqual(t, rate(10), 0.87)
}

func TestAFollowUpBringsTheQuestionBefore(t *testing.T) {
	a, r := corpusAssistant(t)
	require.NoError(t, a.answer(t.Context(), r, "What is the capital of Namibia?"))
	require.NoError(t, a.answer(t.Context(), r, "What is its population?"))
	w, err := a.stores.Memory.Open(t.Context(), a.key, nil)
	require.NoError(t, err)
	require.Len(t, w.Records, 4)
	last := w.Records[3].Messages[0]
	require.Equal(t, "assistant", last.Role)
	require.Contains(t, last.Labels["source.1"], "wa/")
	require.Equal(t, w.Records[2].Turn, w.Records[3].Turn)
}

func TestQuestionsAreAnnotated(t *testing.T) {
	const unknown = 2 // in a language that the lexicon does not know
	tests := []struct {
		text, intent string
		sentiment    float64
	}{
		{"What is the capital of Namibia?", "question", 0},
		{"tell me about Chad", "question", 0},
		{"That is wrong and useless!", intentComplaint, -1},
		{"Thanks, that was excellent.", intentThanks, 1},
		{"This is not good.", intentComplaint, -1},
		{"Hello there", intentGreeting, 0},
		{"I live in Windhoek.", "statement", 0},
		{"Quelle est la capitale de la Namibie ?", "question", unknown},
		{"…", "statement", unknown},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			n, err := annotate(t.Context(), tt.text)
			require.NoError(t, err)
			require.Equal(t, tt.intent, n.Intent)
			if tt.sentiment == unknown {
				require.Nil(t, n.Sentiment)
				require.Equal(t, "  {"+tt.intent+", in "+n.Language+"}", noteText(n))
			} else {
				require.InDelta(t, tt.sentiment, *n.Sentiment, 0)
			}
			require.NoError(t, memory.Annotate{Record: "r", Notes: n}.Validate())
		})
	}
}
