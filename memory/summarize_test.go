package memory_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/memory"
)

// join is a Summarizer whose text is all the texts so far, tool calls and results in
// brackets.
func join(_ context.Context, previous memory.Gist, messages []memory.Message) (string, int, error) {
	words := []string{}
	if previous.Text != "" {
		words = append(words, previous.Text)
	}
	for _, m := range messages {
		for _, p := range m.Parts {
			switch {
			case p.Call != nil:
				words = append(words, "("+p.Call.ID)
			case p.Result != nil:
				words = append(words, p.Result.ID+")")
			default:
				words = append(words, p.Text)
			}
		}
	}
	return strings.Join(words, " "), 0, nil
}

// script appends a record for each word: "1:a" is text a of turn 1, "1:(c" a tool call,
// "1:c)" its result.
func script(tb testing.TB, store memory.Store, words string) (ids []memory.RecordID) {
	tb.Helper()
	for word := range strings.FieldsSeq(words) {
		turn, text, _ := strings.Cut(word, ":")
		part := memory.Part{Text: text}
		if id, ok := strings.CutPrefix(text, "("); ok {
			part = memory.Part{Call: &memory.ToolCall{ID: id}}
		} else if id, ok := strings.CutSuffix(text, ")"); ok {
			part = memory.Part{Result: &memory.ToolResult{ID: id}}
		}
		entry := memory.Entry{Turn: turn, Messages: []memory.Message{{Role: "user", Parts: []memory.Part{part}, Tokens: 10}}}
		r, err := store.Append(tb.Context(), talk, entry, nil)
		require.NoError(tb, err)
		ids = append(ids, r.Record.ID)
	}
	return ids
}

func gist(tb testing.TB, store memory.Store) memory.Gist {
	tb.Helper()
	w, err := store.Open(tb.Context(), talk, &memory.WindowOptions{Last: -1})
	require.NoError(tb, err)
	return w.Gist
}

func TestSummarizeCutsWhereNothingIsParted(t *testing.T) {
	tests := []struct {
		name, script string
		opts         memory.SummarizeOptions
		want         string // of the text
		left         int
	}{
		{"the newest stay out", ":a :b :c :d", memory.SummarizeOptions{Keep: 2}, "a b", 2},
		{"twenty stay out by default", strings.Repeat(":x ", 21), memory.SummarizeOptions{}, "x", 20},
		{"nothing is older than those", ":a :b", memory.SummarizeOptions{Keep: 2}, "", 2},
		{"none stay out", ":a :b", memory.SummarizeOptions{Keep: -1}, "a b", 0},
		{"what fits in tokens stays out", ":a :b :c :d", memory.SummarizeOptions{Keep: -1, KeepTokens: 25}, "a b", 2},
		{"the stricter of both holds", ":a :b :c :d", memory.SummarizeOptions{Keep: 3, KeepTokens: 25}, "a", 3},
		{"the stricter of both holds, tokens", ":a :b :c :d", memory.SummarizeOptions{Keep: 1, KeepTokens: 30}, "a", 3},
		{"all fit in tokens", ":a :b", memory.SummarizeOptions{Keep: -1, KeepTokens: 20}, "", 2},
		{"not inside a turn", "1:a 1:b 2:c 2:d 3:e", memory.SummarizeOptions{Keep: 2}, "a b", 3},
		{"not inside the newest turn, which may go on", "1:a 2:b 2:c", memory.SummarizeOptions{Keep: -1}, "a", 2},
		{"the only turn", "1:a 1:b 1:c", memory.SummarizeOptions{Keep: 1}, "", 3},
		{"not between a call and its result", ":a :(c :b :c) :d", memory.SummarizeOptions{Keep: 2}, "a", 4},
		{"after the result", ":a :(c :b :c) :d", memory.SummarizeOptions{Keep: 1}, "a (c b c)", 1},
		{"calls that overlap", ":a :(c :(d :c) :b :d) :e :f", memory.SummarizeOptions{Keep: 3}, "a", 7},
		{"ids used again", ":(c :c) :(c :c) :a", memory.SummarizeOptions{Keep: 2}, "(c c)", 3},
		{"not past a call that may still run", ":a :(c :b :d", memory.SummarizeOptions{Keep: 1}, "a", 3},
		{"less than the least", ":a :b :c", memory.SummarizeOptions{Keep: 1, Least: 21}, "", 3},
		{"as much as the least", ":a :b :c", memory.SummarizeOptions{Keep: 1, Least: 20}, "a b", 1},
		{"several batches", ":a :b :c :d :e", memory.SummarizeOptions{Keep: 1, Batch: 20}, "a b c d", 1},
		{"a batch ends at a turn", "1:a 1:b 2:c 2:d :e", memory.SummarizeOptions{Keep: 1, Batch: 30}, "a b c d", 1},
		{"a turn larger than a batch", ":a 1:b 1:c 1:d :e :f", memory.SummarizeOptions{Keep: 1, Batch: 20}, "a b c d e", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store := &memory.InMemory{}
			ids := script(t, store, tt.script)
			done, err := memory.Summarize(t.Context(), store, talk, join, &tt.opts)
			require.NoError(t, err)
			require.Equal(t, tt.want, done.Gist.Text)
			require.Equal(t, tt.left, done.Left)
			require.Equal(t, len(ids)-tt.left, done.Records)
			require.Equal(t, done.Gist, gist(t, store))
			if tt.want != "" {
				require.Equal(t, ids[done.Records-1], done.Gist.UpTo)
				require.Equal(t, (len(tt.want)+3)/4, done.Gist.Tokens)
			}
			again, err := memory.Summarize(t.Context(), store, talk, join, &tt.opts)
			require.NoError(t, err)
			require.Equal(t, memory.Summarized{Gist: done.Gist, Left: tt.left}, again)
		})
	}
}

func TestSummarizeGivesEachBatchWhole(t *testing.T) {
	store := &memory.InMemory{}
	script(t, store, ":a 1:b 1:c 1:d :e :f :(g :g) :h :i")
	var batches []string
	note := func(ctx context.Context, previous memory.Gist, messages []memory.Message) (string, int, error) {
		text, _, err := join(ctx, memory.Gist{}, messages)
		batches = append(batches, text)
		return previous.Text + "|", 7, err
	}
	done, err := memory.Summarize(t.Context(), store, talk, note, &memory.SummarizeOptions{Keep: 1, Batch: 20})
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b c d", "e f", "(g g)", "h"}, batches)
	require.Equal(t, memory.Summarized{Gist: memory.Gist{UpTo: done.Gist.UpTo, Text: "|||||", Tokens: 7}, Records: 9, Calls: 5, Left: 1}, done)
}

func TestSummarizeBuildsOnTheGistThatIsThere(t *testing.T) {
	store := &memory.InMemory{}
	script(t, store, ":a :b :c")
	_, err := memory.Summarize(t.Context(), store, talk, join, &memory.SummarizeOptions{Keep: 2})
	require.NoError(t, err)
	script(t, store, ":d")
	calls := 0
	done, err := memory.Summarize(t.Context(), store, talk, func(ctx context.Context, previous memory.Gist, messages []memory.Message) (string, int, error) {
		calls++
		require.Equal(t, "a", previous.Text)
		require.Len(t, messages, 1)
		return join(ctx, previous, messages)
	}, &memory.SummarizeOptions{Keep: 2})
	require.NoError(t, err)
	require.Equal(t, 1, calls)
	require.Equal(t, "a b", done.Gist.Text)
	require.Equal(t, 1, done.Records)
}

func TestSummarizeDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory.InMemory{}
		script(t, store, ":a :(c 1:b 1:d")
		opts := &memory.SummarizeOptions{Keep: -1, Patience: time.Hour}
		done, err := memory.Summarize(t.Context(), store, talk, join, opts)
		require.NoError(t, err)
		require.Equal(t, "a", done.Gist.Text)
		time.Sleep(time.Hour)
		done, err = memory.Summarize(t.Context(), store, talk, join, opts)
		require.NoError(t, err)
		require.Equal(t, "a (c c) b d", done.Gist.Text, "the tool that died has an answer")
	})
}

func TestSummarizeAnswersACallAtTheEndOfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory.InMemory{}
		script(t, store, ":a :(c")
		time.Sleep(48 * time.Hour)
		done, err := memory.Summarize(t.Context(), store, talk, join, &memory.SummarizeOptions{Keep: -1})
		require.NoError(t, err)
		require.Equal(t, "a (c c)", done.Gist.Text)
	})
}

func TestSummarizePassesOverRecordsThatSayNothing(t *testing.T) {
	store := &memory.InMemory{}
	ids := script(t, store, ":a :b :c :d")
	_, err := store.Update(t.Context(), talk, memory.Redact{Record: ids[0]}, memory.Redact{Record: ids[2]})
	require.NoError(t, err)
	opts := &memory.SummarizeOptions{Keep: 3, Batch: 10}
	done, err := memory.Summarize(t.Context(), store, talk, join, opts)
	require.NoError(t, err)
	require.Equal(t, memory.Summarized{Left: 4}, done, "no gist of nothing")
	opts.Keep = 1
	done, err = memory.Summarize(t.Context(), store, talk, join, opts)
	require.NoError(t, err)
	require.Equal(t, memory.Summarized{Gist: memory.Gist{UpTo: ids[2], Text: "b", Tokens: 1}, Records: 3, Calls: 1, Left: 1}, done)
}

func TestSummarizeWhileOthersWrite(t *testing.T) {
	type world struct {
		t     *testing.T
		store *memory.InMemory
		ids   []memory.RecordID
	}
	update := func(w world, changes ...memory.Change) {
		_, err := w.store.Update(w.t.Context(), talk, changes...)
		require.NoError(w.t, err)
	}
	tests := []struct {
		name  string
		other func(w world)
		want  string
		calls int
	}{
		{"an append", func(w world) { script(w.t, w.store, ":e") }, "a b c", 1},
		{"a change of the head, whose summary is still good", func(w world) { update(w, memory.SetTitle{Title: "x"}) }, "a b c", 1},
		{"notes, which are not said", func(w world) { update(w, memory.Annotate{Record: w.ids[1], Notes: memory.Notes{Intent: "x"}}) }, "a b c", 1},
		{"an edit in what is summarized", func(w world) {
			update(w, memory.Edit{Record: w.ids[1], Messages: []memory.Message{memory.Text("user", "B")}})
		}, "a B c", 2},
		{"a redaction in what is summarized", func(w world) { update(w, memory.Redact{Record: w.ids[1]}) }, "a c", 2},
		{"an edit of what is kept", func(w world) {
			update(w, memory.Edit{Record: w.ids[3], Messages: []memory.Message{memory.Text("user", "D")}})
		}, "a b c", 1},
		{"a rewind into what is summarized", func(w world) { update(w, memory.Rewind{To: w.ids[1]}) }, "a", 2},
		{"a further gist", func(w world) { update(w, memory.SetGist{UpTo: w.ids[3], Text: "theirs"}) }, "theirs", 1},
		{"a gist as far", func(w world) { update(w, memory.SetGist{UpTo: w.ids[2], Text: "theirs"}) }, "theirs", 1},
		{"a gist less far", func(w world) { update(w, memory.SetGist{UpTo: w.ids[0], Text: "theirs"}) }, "theirs b c", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store := &memory.InMemory{}
			w := world{t, store, script(t, store, ":a :b :c :d")}
			done, err := memory.Summarize(t.Context(), store, talk, func(ctx context.Context, previous memory.Gist, messages []memory.Message) (string, int, error) {
				if tt.other != nil {
					tt.other(w)
					tt.other = nil
				}
				return join(ctx, previous, messages)
			}, &memory.SummarizeOptions{Keep: 1})
			require.NoError(t, err)
			require.Equal(t, tt.want, done.Gist.Text)
			require.Equal(t, tt.want, gist(t, store).Text)
			require.Equal(t, tt.calls, done.Calls)
		})
	}
}

func TestSummarizeOfABatchThatIsGone(t *testing.T) {
	store := &memory.InMemory{}
	ids := script(t, store, ":a :b :c :d")
	rewound := false
	done, err := memory.Summarize(t.Context(), store, talk, func(ctx context.Context, previous memory.Gist, messages []memory.Message) (string, int, error) {
		if previous.Text == "a" && !rewound {
			rewound = true
			_, err := store.Update(ctx, talk, memory.Rewind{To: ids[1]})
			require.NoError(t, err)
		}
		return join(ctx, previous, messages)
	}, &memory.SummarizeOptions{Keep: 1, Batch: 10})
	require.NoError(t, err)
	require.True(t, rewound)
	require.Equal(t, memory.Summarized{Gist: gist(t, store), Records: 2, Calls: 2}, done, "c, the next batch, went while b was summarized")
	require.Equal(t, "a b", done.Gist.Text)
}

// A lossy store does an Update and loses its answer, once.
type lossy struct {
	memory.Store
	lost bool
}

func (s *lossy) Update(ctx context.Context, key memory.Key, changes ...memory.Change) (memory.Bookmark, error) {
	b, err := s.Store.Update(ctx, key, changes...)
	if err == nil && !s.lost {
		s.lost = true
		return "", fmt.Errorf("%w: it found its own first work", memory.ErrConflict)
	}
	return b, err
}

func TestSummarizeKnowsItsOwnGist(t *testing.T) {
	store := &lossy{Store: &memory.InMemory{}}
	script(t, store, ":a :b :c")
	done, err := memory.Summarize(t.Context(), store, talk, join, &memory.SummarizeOptions{Keep: 1, Batch: 10})
	require.NoError(t, err)
	require.True(t, store.lost)
	require.Equal(t, memory.Summarized{Gist: gist(t, store), Records: 2, Calls: 2, Left: 1}, done)
}

func TestSummarizeGivesUpOnASessionThatNeverRests(t *testing.T) {
	store := &memory.InMemory{}
	ids := script(t, store, ":a :b")
	calls := 0
	_, err := memory.Summarize(t.Context(), store, talk, func(ctx context.Context, previous memory.Gist, messages []memory.Message) (string, int, error) {
		calls++
		_, err := store.Update(ctx, talk, memory.Edit{Record: ids[0], Messages: []memory.Message{memory.Text("user", fmt.Sprint(calls))}})
		require.NoError(t, err)
		return join(ctx, previous, messages)
	}, &memory.SummarizeOptions{Keep: 1})
	require.ErrorIs(t, err, memory.ErrConflict)
	require.Equal(t, 8, calls)
	require.Zero(t, gist(t, store))
}

func TestSummarizeRefusesWhatItCannotDo(t *testing.T) {
	store := &memory.InMemory{}
	keep := &memory.SummarizeOptions{Keep: -1}
	_, err := memory.Summarize(t.Context(), store, talk, join, nil)
	require.ErrorIs(t, err, memory.ErrNotFound)
	_, err = memory.Summarize(t.Context(), store, talk.Owner(), join, nil)
	require.ErrorIs(t, err, memory.ErrInvalid)
	script(t, store, ":a")
	for _, opts := range []memory.SummarizeOptions{{KeepTokens: -1}, {Least: -1}, {Batch: -1}, {Patience: -1}} {
		_, err = memory.Summarize(t.Context(), store, talk, join, &opts)
		require.ErrorIs(t, err, memory.ErrInvalid)
	}
	tests := map[string]struct {
		text   string
		tokens int
		err    error
		want   error
	}{
		"no text":         {"", 0, nil, memory.ErrInvalid},
		"too much text":   {strings.Repeat("x", memory.MaxGist+1), 0, nil, memory.ErrInvalid},
		"negative tokens": {"x", -1, nil, memory.ErrInvalid},
		"its own error":   {"x", 0, context.DeadlineExceeded, context.DeadlineExceeded},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := memory.Summarize(t.Context(), store, talk, func(context.Context, memory.Gist, []memory.Message) (string, int, error) {
				return tt.text, tt.tokens, tt.err
			}, keep)
			require.ErrorIs(t, err, tt.want)
			require.Zero(t, gist(t, store))
		})
	}
	broken := errors.New("broken")
	s := &interrupted{Store: store, before: []func() error{func() error { return broken }}}
	_, err = memory.Summarize(t.Context(), s, talk, join, keep)
	require.ErrorIs(t, err, broken)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = memory.Summarize(ctx, store, talk, join, keep)
	require.ErrorIs(t, err, context.Canceled)
}

// Whatever a session holds, and however often it is summarized while it grows, the gist
// parts no turn and no call from its result, and says each word once and in order.
func TestSummarizePartsNothing(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		store := &memory.InMemory{}
		var said []string // as join writes them
		type span struct{ from, to int }
		var whole []span // what a cut must not fall into: after from and before to
		open := map[string]int{}
		turn, n, started := "", 0, 0
		opts := &memory.SummarizeOptions{Keep: rng.IntN(8) - 1, KeepTokens: rng.IntN(80), Batch: 1 + rng.IntN(60), Least: rng.IntN(40)}
		for range 8 {
			for range rng.IntN(10) {
				if rng.IntN(3) == 0 {
					turn = []string{"", fmt.Sprint("t", n)}[rng.IntN(2)]
					started = n
				}
				word := fmt.Sprint("w", n)
				switch rng.IntN(4) {
				case 0:
					word = "(" + fmt.Sprint("c", n)
					open[fmt.Sprint("c", n)] = n
				case 1:
					for id, from := range open {
						word = id + ")"
						whole = append(whole, span{from, n})
						delete(open, id)
						break
					}
				}
				script(t, store, turn+":"+word)
				if turn != "" {
					whole = append(whole, span{started, n})
				}
				said = append(said, word)
				n++
			}
			if n == 0 {
				continue
			}
			done, err := memory.Summarize(t.Context(), store, talk, join, opts)
			require.NoError(t, err)
			end := n - done.Left
			require.Equal(t, strings.Join(said[:end], " "), done.Gist.Text, "seed %d", seed)
			if done.Records == 0 {
				continue // the gist is from before: what has come since it could not know
			}
			for _, w := range whole {
				require.False(t, w.from < end && end <= w.to, "seed %d: the gist ends at %d, inside %v", seed, end, w)
			}
			for id, from := range open {
				require.LessOrEqual(t, end, from, "seed %d: the gist is past call %s, which still runs", seed, id)
			}
			require.GreaterOrEqual(t, done.Left, min(n, opts.Keep))
		}
	}
}
