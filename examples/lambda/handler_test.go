package lambda_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/examples/lambda"
	"github.com/genaistore/genaistore/memory"
)

var key = memory.Key{Tenant: "acme", App: "support", User: "ada", Session: "s1"}

func invocation(ctx context.Context, id string) context.Context {
	return lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: id})
}

func Example() {
	handler := &lambda.Handler{
		Store: new(memory.InMemory),
		Model: func(_ context.Context, conversation []memory.Message) (memory.Message, error) {
			return memory.Text("assistant", fmt.Sprintf("that was message %d", len(conversation))), nil
		},
	}
	ctx := invocation(context.Background(), "request-1")
	for range 2 { // Lambda repeats an invocation whose answer was lost
		answer, err := handler.Ask(ctx, lambda.Request{Key: key, Text: "hello"})
		fmt.Println(answer, err)
	}
	// Output:
	// that was message 1 <nil>
	// that was message 1 <nil>
}

func Example_stateMachine() {
	var store memory.InMemory
	handler := &lambda.Handler{Store: &store, Model: func(context.Context, []memory.Message) (memory.Message, error) {
		return memory.Text("assistant", "hello yourself"), nil
	}}
	step, err := handler.Receive(invocation(context.Background(), "execution-1"), lambda.Request{Key: key, Text: "hello"})
	if err != nil {
		fmt.Println(err)
		return
	}
	state, err := json.Marshal(step) // what the state machine carries
	if err != nil {
		fmt.Println(err)
		return
	}
	var next lambda.Step
	if err := json.Unmarshal(state, &next); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := handler.Answer(context.Background(), next); err != nil {
		fmt.Println(err)
		return
	}
	window, err := store.Open(context.Background(), key, nil)
	fmt.Println(len(window.Records), len(state) < 1000, err)
	// Output: 2 true <nil>
}

func TestARepeatedInvocationAsksTheModelOnce(t *testing.T) {
	var calls atomic.Int64
	var store memory.InMemory
	handler := &lambda.Handler{Store: &store, Model: func(context.Context, []memory.Message) (memory.Message, error) {
		calls.Add(1)
		return memory.Text("assistant", "hello"), nil
	}}
	for range 3 {
		answer, err := handler.Ask(invocation(t.Context(), "r1"), lambda.Request{Key: key, Text: "hi"})
		require.NoError(t, err)
		require.Equal(t, "hello", answer)
	}
	require.EqualValues(t, 1, calls.Load())
	w, err := store.Open(t.Context(), key, nil)
	require.NoError(t, err)
	require.Len(t, w.Records, 2)
}

func TestInvocationsThatRaceAnswerAlike(t *testing.T) {
	var store memory.InMemory
	var n atomic.Int64
	handler := &lambda.Handler{Store: &store, Model: func(context.Context, []memory.Message) (memory.Message, error) {
		return memory.Text("assistant", fmt.Sprint("answer ", n.Add(1))), nil
	}}
	var wg sync.WaitGroup
	answers := make([]string, 8)
	errs := make([]error, len(answers))
	for i := range answers {
		wg.Go(func() {
			answers[i], errs[i] = handler.Ask(invocation(t.Context(), "r1"), lambda.Request{Key: key, Text: "hi"})
		})
	}
	wg.Wait()
	for i := range answers {
		require.NoError(t, errs[i])
		require.Equal(t, answers[0], answers[i])
	}
}

func TestAFailedModelLeavesTheQuestionOnly(t *testing.T) {
	var store memory.InMemory
	down := errors.New("model is down")
	handler := &lambda.Handler{Store: &store, Model: func(context.Context, []memory.Message) (memory.Message, error) {
		return memory.Message{}, down
	}}
	_, err := handler.Ask(invocation(t.Context(), "r1"), lambda.Request{Key: key, Text: "hi"})
	require.ErrorIs(t, err, down)
	w, err := store.Open(t.Context(), key, nil)
	require.NoError(t, err)
	require.Len(t, w.Records, 1)
}

func TestWithoutAnInvocationNothingIsStored(t *testing.T) {
	var store memory.InMemory
	handler := &lambda.Handler{Store: &store}
	_, err := handler.Ask(t.Context(), lambda.Request{Key: key, Text: "hi"})
	require.ErrorContains(t, err, "request id")
	_, err = store.Open(t.Context(), key, nil)
	require.ErrorIs(t, err, memory.ErrNotFound)
}
