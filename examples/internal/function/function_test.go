package function_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/examples/internal/function"
	"github.com/genaistore/genaistore/memory"
)

type event struct{ Text string }

func TestErrorsHaveTypesThatAStateMachineCanMatch(t *testing.T) {
	for kind, err := range map[string]error{
		function.TypeInvalid: memory.ErrInvalid, function.TypeNotFound: memory.ErrNotFound, function.TypeConflict: memory.ErrConflict,
		function.TypeThrottled: memory.ErrBehind, function.TypeDenied: memory.ErrDenied, function.TypeFailed: memory.ErrCorrupt,
	} {
		h := function.Handler[event, event]{Limit: function.StateLimit, Handle: func(context.Context, event) (event, error) {
			return event{}, fmt.Errorf("step: %w", err)
		}}
		_, failure := h.Invoke(t.Context(), []byte(`{}`))
		var typed messages.InvokeResponse_Error
		require.ErrorAs(t, failure, &typed)
		require.Equal(t, kind, typed.Type)
		require.Equal(t, "step: "+err.Error(), typed.Message)
	}
}

func TestEventsAndAnswersHaveALimit(t *testing.T) {
	called := 0
	h := function.Handler[event, event]{Limit: 100, Handle: func(_ context.Context, in event) (event, error) {
		called++
		return event{strings.Repeat(in.Text, 10)}, nil
	}}
	out, err := h.Invoke(t.Context(), []byte(`{"Text": "short"}`))
	require.NoError(t, err)
	require.JSONEq(t, `{"Text": "`+strings.Repeat("short", 10)+`"}`, string(out))
	_, err = h.Invoke(t.Context(), []byte(`{"Text": "not so short"}`))
	require.ErrorContains(t, err, "an answer of 131 bytes: at most 100")
	require.Equal(t, 2, called)
	for text, says := range map[string]string{
		`{"Text": "` + strings.Repeat("x", 100) + `"}`: "an event of 112 bytes: at most 100",
		``:          "event: EOF",
		`[]`:        "cannot unmarshal array",
		`{"Txt":1}`: `unknown field "Txt"`,
		`{} {}`:     "more than one JSON value",
	} {
		_, err := h.Invoke(t.Context(), []byte(text))
		var typed messages.InvokeResponse_Error
		require.ErrorAs(t, err, &typed)
		require.Equal(t, function.TypeInvalid, typed.Type)
		require.Contains(t, typed.Message, says)
	}
	require.Equal(t, 2, called)
}

func TestConfigIsReadFromTheEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token", "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
	} {
		t.Setenv(name, value)
	}
	cfg, err := function.Config(t.Context())
	require.NoError(t, err)
	require.Equal(t, "eu-west-1", cfg.Region)
	require.Equal(t, "http://127.0.0.1:1", *cfg.BaseEndpoint)
	who, err := cfg.Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"id", "secret", "token"}, []string{who.AccessKeyID, who.SecretAccessKey, who.SessionToken})
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	_, err = function.Config(t.Context())
	require.ErrorContains(t, err, "are not set")
	t.Setenv("AWS_REGION", "")
	_, err = function.Config(t.Context())
	require.ErrorContains(t, err, "AWS_REGION")
}
