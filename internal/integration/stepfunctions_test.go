package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/internal/integration/servers"
	"github.com/genaistore/genaistore/internal/lambdatest"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

// The state machine of the example runs on moto's interpreter, its functions as the
// programs that are deployed, and the conversation is on DynamoDB Local. Moto runs no
// functions: the machine's tasks wait for a token instead, which goes through a queue to
// a worker here.
type workflow struct {
	*testing.T
	states *sfn.Client
	queue  *sqs.Client
	url    string
	models *awsfake.Bedrock
	env    []string
	store  *dynamomemory.Store
	key    memory.Key

	// trouble is what the worker reports of an attempt of a step, counted from 1: that it
	// failed instead of being done, or after it was done.
	trouble func(step string, attempt int) (instead, after string)

	mu        sync.Mutex
	functions map[string]*lambdatest.Function
	attempts  map[string]int
	largest   int      // bytes of a state
	leaks     []string // states with contents in them
}

const secretText = "That is wrong and useless!"

func newWorkflow(t *testing.T) *workflow {
	t.Helper()
	program, err := filepath.Abs("../../.cache/stepfunctions")
	require.NoError(t, err)
	if _, err := os.Stat(program); err != nil {
		t.Skip("the example is not built: make integration builds it")
	}
	moto := servers.Moto(t)
	local := servers.DynamoDBLocal(t).Options()
	client := dynamodb.New(local, func(o *dynamodb.Options) {
		o.Credentials = credentials.NewStaticCredentialsProvider("test", "test", "")
	})
	table := memoryTable(t, client)

	w := &workflow{
		T: t, states: stepFunctions(moto), queue: sqs.NewFromConfig(moto), store: memoryStore(t, client, table, nil),
		key:       memory.Key{Tenant: "acme", App: "support", User: "ada", Session: "s1"},
		functions: map[string]*lambdatest.Function{}, attempts: map[string]int{},
		trouble: func(string, int) (string, string) { return "", "" },
	}
	w.models = awsfake.NewBedrock(func(_ string, said []string) string { return "an answer to: " + said[len(said)-1] })
	base, err := url.Parse(*local.BaseEndpoint)
	require.NoError(t, err)
	server := httptest.NewServer(awsfake.Socket(map[string]aws.HTTPClient{
		"dynamodb": forward{base}, "comprehend": awsfake.NewComprehend(), "bedrock": w.models,
	}))
	t.Cleanup(server.Close)
	w.env = []string{
		"AWS_ENDPOINT_URL=" + server.URL, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "TABLE=" + table, "TENANT=acme", "MODEL_ID=some.model-v1",
		"CLASSIFIER=arn:aws:comprehend:us-east-1:111122223333:document-classifier-endpoint/intents",
	}
	for _, step := range []string{"fetch", "sentiment", "intent", "annotate", "ask", "append"} {
		f, err := lambdatest.Start(t.Context(), program, &lambdatest.Options{Env: w.env, Handler: step})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, f.Close()) })
		w.functions[step] = f
	}
	made, err := w.queue.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: new(servers.Unique(t, "steps"))})
	require.NoError(t, err)
	w.url = *made.QueueUrl
	ctx, cancel := context.WithCancel(t.Context())
	var worker sync.WaitGroup
	var broken error
	worker.Go(func() { broken = w.work(ctx) })
	t.Cleanup(func() {
		cancel()
		worker.Wait()
		require.ErrorIs(t, broken, context.Canceled)
	})
	return w
}

// forward sends what a program asks to DynamoDB Local.
type forward struct{ base *url.URL }

func (f forward) Do(r *http.Request) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.RequestURI = f.base.Scheme, f.base.Host, ""
	return http.DefaultTransport.RoundTrip(out)
}

// definition is the example's machine, with its tasks waiting for a token.
func (w *workflow) definition() string {
	w.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "examples", "stepfunctions", "machine.asl.json"))
	require.NoError(w, err)
	var machine map[string]any
	require.NoError(w, json.Unmarshal(raw, &machine))
	tasks := 0
	w.throughQueue(machine, &tasks)
	require.Equal(w, 6, tasks)
	out, err := json.Marshal(machine)
	require.NoError(w, err)
	return string(out)
}

func (w *workflow) throughQueue(v any, tasks *int) {
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			w.throughQueue(one, tasks)
		}
	case map[string]any:
		for _, one := range v {
			w.throughQueue(one, tasks)
		}
		if v["Resource"] != "arn:aws:states:::lambda:invoke" {
			return
		}
		*tasks++
		given, ok := v["Parameters"].(map[string]any)
		require.True(w, ok)
		name, ok := given["FunctionName"].(string)
		require.True(w, ok)
		message := map[string]any{"step": strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(name, "${"), "Function}")), "token.$": "$$.Task.Token"}
		for _, payload := range []string{"Payload", "Payload.$"} {
			if in, ok := given[payload]; ok {
				message[strings.Replace(payload, "Payload", "input", 1)] = in
			}
		}
		for _, one := range v["Retry"].([]any) {
			one.(map[string]any)["BackoffRate"] = 1 // which waits long enough
		}
		v["Resource"] = "arn:aws:states:::sqs:sendMessage.waitForTaskToken"
		v["Parameters"] = map[string]any{"QueueUrl": w.url, "MessageBody": message}
		delete(v, "OutputPath")
	}
}

// work answers tasks until ctx ends.
func (w *workflow) work(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		got, err := w.queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &w.url, MaxNumberOfMessages: 10, WaitTimeSeconds: 1})
		if err != nil {
			return errors.Join(err, ctx.Err())
		}
		for _, m := range got.Messages {
			if _, err := w.queue.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &w.url, ReceiptHandle: m.ReceiptHandle}); err != nil {
				return err
			}
			if err := w.task(ctx, *m.Body); err != nil {
				return err
			}
		}
	}
}

func (w *workflow) task(ctx context.Context, body string) error {
	var task struct {
		Step, Token string
		Input       json.RawMessage
	}
	if err := json.Unmarshal([]byte(body), &task); err != nil {
		return fmt.Errorf("task %s: %w", body, err)
	}
	w.mu.Lock()
	w.attempts[task.Step]++
	attempt := w.attempts[task.Step]
	w.mu.Unlock()
	instead, after := w.trouble(task.Step, attempt)
	if instead != "" {
		return w.fail(ctx, task.Token, instead, "not done")
	}
	answer, err := w.functions[task.Step].Invoke(ctx, task.Input)
	w.seen(string(task.Input))
	w.seen(string(answer))
	if after != "" {
		return w.fail(ctx, task.Token, after, "done, and nobody knows")
	}
	if failure, ok := errors.AsType[*lambdatest.Error](err); ok {
		return w.fail(ctx, task.Token, failure.Type, failure.Message)
	}
	if err != nil {
		return err
	}
	_, err = w.states.SendTaskSuccess(ctx, &sfn.SendTaskSuccessInput{TaskToken: &task.Token, Output: new(string(answer))})
	return unlessOver(err)
}

// unlessOver forgives an answer to a task that is over, as every worker has to.
func unlessOver(err error) error {
	if _, over := errors.AsType[*sfntypes.InvalidToken](err); over {
		return nil
	}
	return err
}

func (w *workflow) fail(ctx context.Context, token, kind, cause string) error {
	_, err := w.states.SendTaskFailure(ctx, &sfn.SendTaskFailureInput{TaskToken: &token, Error: &kind, Cause: &cause})
	return unlessOver(err)
}

func (w *workflow) seen(state string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.largest = max(w.largest, len(state))
	if strings.Contains(state, "useless") {
		w.leaks = append(w.leaks, state)
	}
}

// machine makes a state machine of this name, in place of one that is there.
func (w *workflow) machine(name string) string {
	w.Helper()
	made, err := w.states.CreateStateMachine(w.Context(), &sfn.CreateStateMachineInput{
		Name: &name, Definition: new(w.definition()), RoleArn: new("arn:aws:iam::123456789012:role/machine"),
	})
	require.NoError(w, err)
	return *made.StateMachineArn
}

// execute runs an execution to its end, and returns its output or its error.
func (w *workflow) execute(machine, name string, input any) (out, failed string) {
	w.Helper()
	ctx := w.Context()
	raw, err := json.Marshal(input)
	require.NoError(w, err)
	e, err := w.states.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: &machine, Name: &name, Input: new(string(raw))})
	require.NoError(w, err)
	var d *sfn.DescribeExecutionOutput
	require.Eventually(w, func() bool {
		d, err = w.states.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: e.ExecutionArn})
		return err != nil || d.Status != sfntypes.ExecutionStatusRunning
	}, 2*time.Minute, 100*time.Millisecond)
	require.NoError(w, err)
	if d.Status == sfntypes.ExecutionStatusSucceeded {
		return *d.Output, ""
	}
	return "", value(d.Error)
}

// start is what a user says, and the input of its execution.
func (w *workflow) start(said string) map[string]any {
	w.Helper()
	r, err := w.store.Append(w.Context(), w.key, memory.Entry{Messages: []memory.Message{memory.Text("user", said)}}, nil)
	require.NoError(w, err)
	return map[string]any{"key": w.key, "record": r.Record.ID, "after": r.Bookmark}
}

func (w *workflow) records() []memory.Record {
	w.Helper()
	var all []memory.Record
	for r, err := range w.store.Records(w.Context(), w.key, &memory.RangeOptions{Notes: true}) {
		require.NoError(w, err)
		all = append(all, r)
	}
	return all
}

func TestAStateMachineAppendsOnceHoweverOftenItsStepsRun(t *testing.T) {
	t.Parallel()
	w := newWorkflow(t)
	// The first attempt of each step is done, and its answer is lost.
	w.trouble = func(_ string, attempt int) (instead, after string) {
		return "", map[int]string{1: "Lambda.Unknown"}[attempt]
	}
	name := servers.Unique(t, "machine")
	input := w.start(secretText)
	first, failed := w.execute(w.machine(name), "e1", input)
	require.Empty(t, failed)
	for _, step := range slices.Sorted(maps.Keys(w.functions)) {
		require.GreaterOrEqual(t, w.attempts[step], 2, step)
	}
	check := func() {
		t.Helper()
		all := w.records()
		require.Len(t, all, 2)
		require.Equal(t, "an answer to: "+secretText, textOf(all[1]))
		require.Equal(t, "complaint", all[0].Notes.Intent)
		require.InDelta(t, -1, *all[0].Notes.Sentiment, 0)
		require.Equal(t, "en", all[0].Notes.Language)
		require.EqualValues(t, 1, w.models.Calls())
		require.Contains(t, first, string(all[1].ID))
		require.Empty(t, windowOf(t, w.store, w.key).States.Session, "no draft is left")
	}
	check()

	// The execution again, with the same name of the same machine: as one that was
	// redriven, or started anew by who did not know that it had run.
	w.trouble = func(string, int) (string, string) { return "", "" }
	_, err := w.states.DeleteStateMachine(t.Context(), &sfn.DeleteStateMachineInput{StateMachineArn: new(machineARN(name))})
	require.NoError(t, err)
	again, failed := w.execute(w.machine(name), "e1", input)
	require.Empty(t, failed)
	check()
	require.JSONEq(t, idOf(t, first), idOf(t, again))
	require.Less(t, w.largest, 2000, "bytes of a state")
	require.Empty(t, w.leaks)

	// Another execution is another answer.
	_, failed = w.execute(machineARN(name), "e2", input)
	require.Empty(t, failed)
	require.Len(t, w.records(), 3)
}

func TestAStateMachineGoesOnWithoutNotesAndEndsWithAClearError(t *testing.T) {
	t.Parallel()
	w := newWorkflow(t)
	machine := w.machine(servers.Unique(t, "machine"))
	w.trouble = func(step string, _ int) (instead, after string) {
		return map[string]string{"sentiment": "Denied"}[step], ""
	}
	_, failed := w.execute(machine, "e1", w.start(secretText))
	require.Empty(t, failed)
	all := w.records()
	require.Len(t, all, 2)
	require.True(t, all[0].Notes.IsZero())
	require.Zero(t, w.attempts["annotate"])

	w.trouble = func(string, int) (string, string) { return "", "" }
	input := w.start("hello")
	missing := maps.Clone(input)
	elsewhere := w.key
	elsewhere.Session = "s2"
	other, err := w.store.Append(t.Context(), elsewhere, said("hello"), nil)
	require.NoError(t, err)
	missing["record"] = other.Record.ID
	_, failed = w.execute(machine, "e2", missing)
	require.Equal(t, "NotFound", failed)
	foreign := maps.Clone(input)
	foreign["key"] = memory.Key{Tenant: "rival", User: "ada", Session: "s1"}
	_, failed = w.execute(machine, "e3", foreign)
	require.Equal(t, "Denied", failed)
	require.Len(t, w.records(), 3, "nothing was appended")
}

func idOf(t *testing.T, state string) string {
	t.Helper()
	var s struct{ Record string }
	require.NoError(t, json.Unmarshal([]byte(state), &s))
	return fmt.Sprintf("%q", s.Record)
}

func machineARN(name string) string {
	return "arn:aws:states:us-east-1:123456789012:stateMachine:" + name
}
