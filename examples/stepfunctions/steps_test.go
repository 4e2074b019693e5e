package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/examples/internal/function"
	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/memory"
)

const execution = "arn:aws:states:us-east-1:123456789012:execution:answer:e1"

var key = memory.Key{Tenant: "acme", App: "support", User: "ada", Session: "s1"}

func newMachine(store memory.Store) (s *Steps, calls *atomic.Int64) {
	calls = new(atomic.Int64)
	return &Steps{
		Tenant: "acme", Store: store, Sentiment: memory.Lexicon{}, Intent: memory.Lexicon{},
		Model: func(_ context.Context, conversation []memory.Message) (memory.Message, error) {
			message := memory.Text("assistant", fmt.Sprintf("answer %d to %d messages", calls.Add(1), len(conversation)))
			message.Name, message.Tokens = "m1", 7
			return message, nil
		},
	}, calls
}

// say is what an execution starts with.
func say(t *testing.T, store memory.Store, text string) State {
	t.Helper()
	r, err := store.Append(t.Context(), key, memory.Entry{Turn: "t1", Messages: []memory.Message{memory.Text("user", text)}}, nil)
	require.NoError(t, err)
	return State{Execution: execution, Key: key, Record: r.Record.ID, After: r.Bookmark}
}

// run runs the steps in their order, each times over, and hands on the last answer.
func (s *Steps) run(ctx context.Context, in State, times int) (State, error) {
	again := func(step func(context.Context, State) (State, error), in State) (out State, err error) {
		for range times {
			if out, err = step(ctx, in); err != nil {
				return State{}, err
			}
		}
		return out, nil
	}
	state, err := again(s.Fetch, in)
	if err != nil {
		return State{}, err
	}
	for _, find := range []func(context.Context, State) (Finding, error){s.FindSentiment, s.FindIntent} {
		found, err := find(ctx, state)
		if err != nil {
			return State{}, err
		}
		state.Findings = append(state.Findings, found)
	}
	for _, step := range []func(context.Context, State) (State, error){s.Annotate, s.Ask, s.Append} {
		if state, err = again(step, state); err != nil {
			return State{}, err
		}
	}
	return state, nil
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

func TestEveryStepMayBeRepeated(t *testing.T) {
	var store memory.InMemory
	s, calls := newMachine(&store)
	in := say(t, &store, "That is wrong and useless!")
	out, err := s.run(t.Context(), in, 3)
	require.NoError(t, err)
	again, err := s.run(t.Context(), in, 2)
	require.NoError(t, err, "the whole execution again")
	require.Equal(t, out.Record, again.Record)
	require.EqualValues(t, 1, calls.Load())
	all := records(t, &store)
	require.Len(t, all, 2)
	require.Equal(t, out.Record, all[1].ID)
	require.Equal(t, "answer 1 to 1 messages", textOf(all[1]))
	require.Equal(t, "m1", all[1].Messages[0].Name)
	require.Equal(t, 7, all[1].Messages[0].Tokens)
	require.Equal(t, all[0].Turn, all[1].Turn, "question and answer are one turn")
	require.Equal(t, "complaint", all[0].Notes.Intent)
	require.InDelta(t, -1, *all[0].Notes.Sentiment, 0)
	require.Equal(t, "en", all[0].Notes.Language)
	w, err := store.Open(t.Context(), key, &memory.WindowOptions{AtLeast: out.After})
	require.NoError(t, err)
	require.Empty(t, w.States.Session, "no draft is left")
}

func TestStepsThatRaceAppendOnce(t *testing.T) {
	var store memory.InMemory
	s, _ := newMachine(&store)
	in := say(t, &store, "hello")
	var wg sync.WaitGroup
	outs, errs := make([]State, 8), make([]error, 8)
	for i := range outs {
		wg.Go(func() { outs[i], errs[i] = s.run(t.Context(), in, 2) })
	}
	wg.Wait()
	for i := range outs {
		require.NoError(t, errs[i])
		require.Equal(t, outs[0].Record, outs[i].Record)
	}
	require.Len(t, records(t, &store), 2)
}

func TestWhatIsSaidMeanwhileIsForAnotherExecution(t *testing.T) {
	var store memory.InMemory
	s, _ := newMachine(&store)
	first := say(t, &store, "what is that?")
	second := say(t, &store, "and this?")
	second.Execution += "-2"
	_, err := s.run(t.Context(), second, 1)
	require.NoError(t, err)
	_, err = s.run(t.Context(), first, 1)
	require.NoError(t, err)
	var texts []string
	for _, r := range records(t, &store) {
		texts = append(texts, textOf(r))
	}
	require.Equal(t, []string{"what is that?", "and this?", "answer 1 to 2 messages", "answer 2 to 1 messages"}, texts)
}

func TestAStateHoldsNoContents(t *testing.T) {
	var store memory.InMemory
	s, _ := newMachine(&store)
	in := say(t, &store, strings.Repeat("a secret that is long ", 10_000))
	out, err := s.run(t.Context(), in, 1)
	require.NoError(t, err)
	for _, state := range []State{in, out} {
		raw, err := json.Marshal(state)
		require.NoError(t, err)
		require.Less(t, len(raw), 1000)
		require.NotContains(t, string(raw), "secret")
	}
}

func TestBadStatesAreRefusedBeforeAnythingIsDone(t *testing.T) {
	var store memory.InMemory
	s, calls := newMachine(&store)
	good := say(t, &store, "hello")
	change := func(f func(*State)) State {
		bad := good
		f(&bad)
		return bad
	}
	for name, tt := range map[string]struct {
		state State
		want  error
	}{
		"no key":             {change(func(s *State) { s.Key = memory.Key{} }), memory.ErrInvalid},
		"another tenant":     {change(func(s *State) { s.Key.Tenant = "rival" }), memory.ErrDenied},
		"no execution":       {change(func(s *State) { s.Execution = "" }), memory.ErrInvalid},
		"a long execution":   {change(func(s *State) { s.Execution = strings.Repeat("x", maxExecution+1) }), memory.ErrInvalid},
		"no record":          {change(func(s *State) { s.Record = "" }), memory.ErrInvalid},
		"a forged bookmark":  {change(func(s *State) { s.After = "forged" }), memory.ErrInvalid},
		"a long bookmark":    {change(func(s *State) { s.After = memory.Bookmark(strings.Repeat("x", 300)) }), memory.ErrInvalid},
		"a session not here": {change(func(s *State) { s.Key.Session = "s2" }), memory.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.run(t.Context(), tt.state, 1)
			require.ErrorIs(t, err, tt.want)
			for _, step := range []func(context.Context, State) (State, error){s.Ask, s.Append} {
				_, err := step(t.Context(), tt.state)
				require.Error(t, err)
			}
		})
	}
	_, err := s.Append(t.Context(), good)
	require.ErrorIs(t, err, errNoDraft)
	require.ErrorIs(t, err, memory.ErrNotFound)
	require.Len(t, records(t, &store), 1)
	require.Zero(t, calls.Load(), "the model was not asked")
}

// What a state machine must not carry is refused by the limit, or as a field that no
// state has.
func TestAStateOfMoreThan256KBIsAClearError(t *testing.T) {
	var store memory.InMemory
	s, _ := newMachine(&store)
	handler := function.Handler[State, State]{Limit: function.StateLimit, Handle: s.Fetch}
	raw, err := json.Marshal(say(t, &store, "hello"))
	require.NoError(t, err)
	_, err = handler.Invoke(t.Context(), raw)
	require.NoError(t, err)
	large := strings.Replace(string(raw), `"after"`, `"padding":"`+strings.Repeat("x", 256<<10)+`","after"`, 1)
	small := strings.Replace(string(raw), `"after"`, `"text":"hello","after"`, 1)
	for event, says := range map[string]string{large: "at most 262144", small: `unknown field "text"`} {
		_, err := handler.Invoke(t.Context(), []byte(event))
		var failure messages.InvokeResponse_Error
		require.ErrorAs(t, err, &failure)
		require.Equal(t, function.TypeInvalid, failure.Type)
		require.Contains(t, failure.Message, says)
	}
	require.Len(t, records(t, &store), 1)
}

func TestAModelThatFailsLeavesNoDraft(t *testing.T) {
	var store memory.InMemory
	s, _ := newMachine(&store)
	in := say(t, &store, "hello")
	down := errors.New("down")
	s.Model = func(context.Context, []memory.Message) (memory.Message, error) { return memory.Message{}, down }
	_, err := s.run(t.Context(), in, 1)
	require.ErrorIs(t, err, down)
	w, err := store.Open(t.Context(), key, nil)
	require.NoError(t, err)
	require.Empty(t, w.States.Session)
	require.Len(t, w.Records, 1)
}

func TestAClassifierFindsIntentsAlone(t *testing.T) {
	fake := awsfake.NewComprehend()
	c := &classifier{fake.Client(), "arn"}
	long := "Hello there " + strings.Repeat("é", 3000)
	found, err := c.Enrich(t.Context(), []string{"Why?", long})
	require.NoError(t, err)
	require.Equal(t, memory.Notes{Intent: "question", Model: "arn"}, found[0].Notes)
	require.Equal(t, "greeting", found[1].Notes.Intent)
	require.EqualValues(t, 2, fake.Calls())
	_, err = c.Enrich(t.Context(), []string{""})
	require.ErrorIs(t, err, memory.ErrInvalid)
}

// The machine has a function for each step and no other.
func TestTheMachineHasEveryStep(t *testing.T) {
	raw, err := os.ReadFile("machine.asl.json")
	require.NoError(t, err)
	m, err := newSteps(aws.Config{Region: "us-east-1"}, func(name string) string { return map[string]string{"TABLE": "t", "MODEL_ID": "m"}[name] })
	require.NoError(t, err)
	text := string(raw)
	for step := range m.handlers() {
		require.Equal(t, 1, strings.Count(text, `"${`+strings.ToUpper(step[:1])+step[1:]+`Function}"`), step)
	}
	require.Equal(t, len(m.handlers()), strings.Count(text, "Function}"))
	require.Equal(t, len(m.handlers()), strings.Count(text, `"Retry"`))
	require.NotContains(t, text, `.text`)
}
