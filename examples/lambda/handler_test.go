package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/memory"
)

var key = memory.Key{Tenant: "acme", App: "support", User: "ada", Session: "s1"}

func invocation(ctx context.Context, id string) context.Context {
	return lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: id})
}

// newHandler is one whose model numbers its answers.
func newHandler(store memory.Store) (h *Handler, calls *atomic.Int64) {
	calls = new(atomic.Int64)
	return &Handler{
		Tenant: "acme", Store: store, Enricher: memory.Lexicon{},
		Model: func(context.Context, []memory.Message) (memory.Message, error) {
			return memory.Text("assistant", fmt.Sprint("answer ", calls.Add(1))), nil
		},
	}, calls
}

func records(t *testing.T, store memory.Store) []memory.Record {
	t.Helper()
	var all []memory.Record
	for r, err := range store.Records(t.Context(), key, &memory.RangeOptions{Notes: true}) {
		require.NoError(t, err)
		all = append(all, r)
	}
	return all
}

func Example() {
	handler := &Handler{
		Tenant: "acme", Store: new(memory.InMemory), Enricher: memory.Lexicon{},
		Model: func(_ context.Context, conversation []memory.Message) (memory.Message, error) {
			return memory.Text("assistant", fmt.Sprintf("that was message %d", len(conversation))), nil
		},
	}
	ctx := invocation(context.Background(), "request-1")
	for range 2 { // Lambda repeats an invocation whose answer was lost
		answer, err := handler.Ask(ctx, Request{Key: key, Text: "Why is this so slow?"})
		fmt.Println(answer.Text, answer.Turns, answer.Intent, err)
	}
	// Output:
	// that was message 1 1 question <nil>
	// that was message 1 1 question <nil>
}

func TestAConversationHasTurnsStateAndNotes(t *testing.T) {
	var store memory.InMemory
	h, _ := newHandler(&store)
	for i, said := range []string{"Hello there", "That is wrong and useless!"} {
		answer, err := h.Ask(invocation(t.Context(), fmt.Sprint("r", i)), Request{Key: key, Text: said})
		require.NoError(t, err)
		require.Equal(t, i+1, answer.Turns)
	}
	all := records(t, &store)
	require.Len(t, all, 4)
	require.Equal(t, "greeting", all[0].Notes.Intent)
	require.Equal(t, "complaint", all[2].Notes.Intent)
	require.InDelta(t, -1, *all[2].Notes.Sentiment, 0)
	require.Equal(t, all[2].Turn, all[3].Turn)
	w, err := store.Open(t.Context(), key, nil)
	require.NoError(t, err)
	require.Equal(t, memory.State{"turns": 2.0, "intent": "complaint"}, w.States.Session)
}

func TestARepeatedInvocationAsksTheModelOnce(t *testing.T) {
	var store memory.InMemory
	h, calls := newHandler(&store)
	for range 3 {
		answer, err := h.Ask(invocation(t.Context(), "r1"), Request{Key: key, Text: "I love this"})
		require.NoError(t, err)
		require.Equal(t, "answer 1", answer.Text)
		require.InDelta(t, 1, *answer.Sentiment, 0)
	}
	require.EqualValues(t, 1, calls.Load())
	require.Len(t, records(t, &store), 2)
}

func TestInvocationsThatRaceAnswerAlike(t *testing.T) {
	var store memory.InMemory
	h, _ := newHandler(&store)
	var wg sync.WaitGroup
	answers, errs := make([]Answer, 8), make([]error, 8)
	for i := range answers {
		wg.Go(func() { answers[i], errs[i] = h.Ask(invocation(t.Context(), "r1"), Request{Key: key, Text: "hi"}) })
	}
	wg.Wait()
	for i := range answers {
		require.NoError(t, errs[i])
		require.Equal(t, answers[0].Text, answers[i].Text)
		require.Equal(t, 1, answers[i].Turns)
	}
	require.Len(t, records(t, &store), 2)
}

// Ada says a second thing before the first is answered: each has its answer, and the
// model never sees a conversation that ends with its own words.
func TestWhatIsSaidMeanwhileIsAnsweredByItself(t *testing.T) {
	var store memory.InMemory
	h, _ := newHandler(&store)
	model := h.Model
	var heard []string
	h.Model = func(ctx context.Context, conversation []memory.Message) (memory.Message, error) {
		heard = append(heard, conversation[len(conversation)-1].Parts[0].Text)
		return model(ctx, conversation)
	}
	slow := &slowAppend{InMemory: &store, after: func() {
		_, err := h.Ask(invocation(t.Context(), "second"), Request{Key: key, Text: "and this?"})
		require.NoError(t, err)
	}}
	h.Store = slow
	_, err := h.Ask(invocation(t.Context(), "first"), Request{Key: key, Text: "what is that?"})
	require.NoError(t, err)
	require.Equal(t, []string{"and this?", "what is that?"}, heard)
	require.Len(t, records(t, &store), 4)
}

// slowAppend does something else right after its first Append.
type slowAppend struct {
	*memory.InMemory
	after func()
}

func (s *slowAppend) Append(ctx context.Context, k memory.Key, e memory.Entry, opts *memory.AppendOptions) (memory.Receipt, error) {
	r, err := s.InMemory.Append(ctx, k, e, opts)
	if after := s.after; after != nil {
		s.after = nil
		after()
	}
	return r, err
}

type failing struct{ err error }

func (f failing) Enrich(context.Context, []string) ([]memory.Finding, error) { return nil, f.err }

func TestWhatFailsOnTheWay(t *testing.T) {
	down := errors.New("down")
	t.Run("without the model there is the question alone, and a repeat ends it", func(t *testing.T) {
		var store memory.InMemory
		h, calls := newHandler(&store)
		model := h.Model
		h.Model = func(context.Context, []memory.Message) (memory.Message, error) { return memory.Message{}, down }
		_, err := h.Ask(invocation(t.Context(), "r1"), Request{Key: key, Text: "hi"})
		require.ErrorIs(t, err, down)
		require.Len(t, records(t, &store), 1)
		h.Model = model
		_, err = h.Ask(invocation(t.Context(), "r1"), Request{Key: key, Text: "hi"})
		require.NoError(t, err)
		require.EqualValues(t, 1, calls.Load())
		require.Len(t, records(t, &store), 2)
	})
	t.Run("without the enricher there are no notes", func(t *testing.T) {
		var store memory.InMemory
		h, _ := newHandler(&store)
		h.Enricher = failing{down}
		answer, err := h.Ask(invocation(t.Context(), "r1"), Request{Key: key, Text: "hi"})
		require.NoError(t, err)
		require.Equal(t, "answer 1", answer.Text)
		require.True(t, records(t, &store)[0].Notes.IsZero())
		done, err := memory.Enrich(t.Context(), &store, key, memory.Lexicon{}, nil)
		require.NoError(t, err)
		require.Equal(t, 1, done.Annotated, "later")
	})
}

func TestBadRequestsStoreNothing(t *testing.T) {
	var store memory.InMemory
	h, calls := newHandler(&store)
	other, nobody := key, key
	other.Tenant, nobody.Session = "rival", ""
	for name, tt := range map[string]struct {
		request Request
		want    error
		text    string
	}{
		"no key":              {Request{Text: "hi"}, memory.ErrInvalid, "names no session"},
		"no session":          {Request{Key: nobody, Text: "hi"}, memory.ErrInvalid, "names no session"},
		"a session of others": {Request{Key: other, Text: "hi"}, memory.ErrDenied, "another tenant's key"},
		"no text":             {Request{Key: key}, memory.ErrInvalid, "the event has no text"},
		"blanks":              {Request{Key: key, Text: " \n"}, memory.ErrInvalid, "the event has no text"},
		"too much text":       {Request{Key: key, Text: strings.Repeat("x", maxText+1)}, memory.ErrInvalid, "a text of 16385 bytes: at most 16384"},
		"text that is none":   {Request{Key: key, Text: "\xff"}, memory.ErrInvalid, "UTF-8"},
		"a forged separator":  {Request{Key: memory.Key{Tenant: "acme", User: "a\x00", Session: "s"}, Text: "hi"}, memory.ErrInvalid, "control characters"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := h.Ask(invocation(t.Context(), "r1"), tt.request)
			require.ErrorIs(t, err, tt.want)
			require.ErrorContains(t, err, tt.text)
		})
	}
	_, err := h.Ask(t.Context(), Request{Key: key, Text: "hi"})
	require.ErrorIs(t, err, errNoRequestID)
	require.Zero(t, calls.Load())
	require.Empty(t, records(t, &store))

	_, err = h.Ask(invocation(t.Context(), "r1"), Request{Key: key, Text: "hi"})
	require.NoError(t, err, "the same request id is good for the right event")
	require.Len(t, records(t, &store), 2)
}
