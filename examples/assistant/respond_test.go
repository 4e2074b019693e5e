package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/memory"
)

// A model answers requests without a socket.
type model func(request map[string]any) (status int, answer string)

func (m model) Do(r *http.Request) (*http.Response, error) {
	var request map[string]any
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		return nil, err
	}
	request["path"] = r.URL.Path
	status, answer := m(request)
	return &http.Response{
		StatusCode: status, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}, "X-Amzn-Errortype": {"ThrottlingException"}},
		Body:   io.NopCloser(bytes.NewReader([]byte(answer))),
	}, nil
}

func bedrockClient(m model) *bedrockruntime.Client {
	return bedrockruntime.New(bedrockruntime.Options{
		Region: "us-east-1", HTTPClient: m, RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
}

func record(role, text string) memory.Record {
	return memory.Record{Entry: memory.Entry{Messages: []memory.Message{memory.Text(role, text)}}}
}

func TestAModelGetsTheSourcesAndTheConversation(t *testing.T) {
	var got map[string]any
	r := converse{model: "some.model-v1:0", client: bedrockClient(func(request map[string]any) (int, string) {
		got = request
		return http.StatusOK, `{"output":{"message":{"role":"assistant","content":[{"text":"Windhoek"},{"text":" [1]."}]}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2},"metrics":{"latencyMs":1}}`
	})}
	passages := []passage{{key: "k", title: "Namibia", text: "Capital: Windhoek"}}
	window := memory.Window{Records: []memory.Record{record(roleAssistant, "cut off"), record(roleUser, "hi"), record(roleAssistant, "hello"), record(roleUser, "unanswered")}}
	a, err := r.respond(t.Context(), prompt{question: "What is the capital?", passages: passages, window: window})
	require.NoError(t, err)
	require.Equal(t, "Windhoek [1].", a.text)
	require.Equal(t, passages, a.cited)
	require.Empty(t, a.note)
	require.Contains(t, got["path"], "some.model-v1:0")
	messages, err := json.Marshal(got["messages"])
	require.NoError(t, err)
	require.JSONEq(t, `[
		{"role":"user","content":[{"text":"hi"}]},
		{"role":"assistant","content":[{"text":"hello"}]},
		{"role":"user","content":[{"text":"[1] Namibia\nCapital: Windhoek\n\nQuestion: What is the capital?"}]}
	]`, string(messages))
}

func TestAModelThatFailsIsNamed(t *testing.T) {
	r := converse{model: "some.model-v1:0", client: bedrockClient(func(map[string]any) (int, string) {
		return http.StatusTooManyRequests, `{"message":"slow down"}`
	})}
	_, err := r.respond(t.Context(), prompt{question: "q"})
	require.ErrorContains(t, err, "some.model-v1:0")
	require.ErrorContains(t, err, "slow down")
}

func TestAModelThatSaysNothingIsAnError(t *testing.T) {
	r := converse{model: "m", client: bedrockClient(func(map[string]any) (int, string) {
		return http.StatusOK, `{"output":{"message":{"role":"assistant","content":[]}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2},"metrics":{"latencyMs":1}}`
	})}
	_, err := r.respond(t.Context(), prompt{question: "q"})
	require.ErrorContains(t, err, "no text")
}

func TestQuotesAreWholeAndSaidOnce(t *testing.T) {
	p := prompt{question: "Where does the boundary river flow?", passages: []passage{
		{key: "a", title: "One", text: "Name.\n\nThe boundary river flows\nto the sea. Nothing else matters here."},
		{key: "b", title: "Two", text: "The boundary river flows to the sea."},
	}}
	a, err := extractive{}.respond(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, "The boundary river flows to the sea. [1] Nothing else matters here. [1]", a.text)
	require.Len(t, a.cited, 1)
	require.Equal(t, offlineNote, a.note)
}

func TestWithoutPassagesNothingIsMadeUp(t *testing.T) {
	a, err := extractive{}.respond(t.Context(), prompt{question: "Where?"})
	require.NoError(t, err)
	require.Equal(t, "The sources say nothing about that.", a.text)
	require.Empty(t, a.cited)
}
