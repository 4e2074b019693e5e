package converse_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/examples/internal/converse"
	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/memory"
)

func model(fake *awsfake.Bedrock) *converse.Model {
	credentials := aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, ctx.Err()
	})
	return converse.New(bedrockruntime.New(bedrockruntime.Options{
		Region: "us-east-1", HTTPClient: fake, Retryer: aws.NopRetryer{}, Credentials: credentials,
	}), "m1")
}

func TestAModelHearsUserAndAssistantInTurn(t *testing.T) {
	var heard []string
	fake := awsfake.NewBedrock(func(_ string, said []string) string { heard = said; return "so it is" })
	conversation := []memory.Message{
		memory.Text("assistant", "the end of what is cut off"),
		memory.Text("user", "one"), memory.Text("user", "two"),
		{Role: "assistant", Parts: []memory.Part{{Text: "hm", Thought: true}, {Text: "three"}}},
		{Role: "assistant", Parts: []memory.Part{{Call: &memory.ToolCall{ID: "c", Name: "look"}}}},
		memory.Text("user", "four"),
	}
	reply, err := model(fake).Reply(t.Context(), conversation)
	require.NoError(t, err)
	require.Equal(t, []string{"one", "three", "four"}, heard, "the first text of each turn")
	require.Equal(t, "so it is", reply.Parts[0].Text)
	require.Equal(t, "assistant", reply.Role)
	require.Equal(t, "m1", reply.Name)
	require.Equal(t, 1, reply.Tokens)
}

func TestErrorsOfAModelHaveAKind(t *testing.T) {
	fake := awsfake.NewBedrock(func(string, []string) string { return "" })
	hello := []memory.Message{memory.Text("user", "hello")}
	_, err := model(fake).Reply(t.Context(), hello)
	require.ErrorContains(t, err, "sent no text")
	_, err = model(fake).Reply(t.Context(), []memory.Message{memory.Text("user", "a"), memory.Text("assistant", "b")})
	require.ErrorIs(t, err, memory.ErrInvalid)
	require.EqualValues(t, 1, fake.Calls(), "it was not asked")
	for code, kind := range map[string]error{
		"ThrottlingException": memory.ErrThrottled, "AccessDeniedException": memory.ErrDenied, "ValidationException": memory.ErrInvalid,
	} {
		fake.Intercept(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
			w.Header().Set("X-Amzn-Errortype", code)
			w.WriteHeader(http.StatusBadRequest)
			return true
		})
		_, err := model(fake).Reply(t.Context(), hello)
		require.ErrorIs(t, err, kind)
		if code != "ValidationException" {
			require.ErrorIs(t, model(fake).Warm(t.Context()), kind)
		}
	}
	fake.Intercept(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool { awsfake.Lose(w); return true })
	_, err = model(fake).Reply(t.Context(), hello)
	require.ErrorIs(t, err, memory.ErrThrottled)
	fake.Intercept(nil)
	require.NoError(t, model(fake).Warm(t.Context()))
	require.EqualValues(t, 1, fake.Calls(), "Warm makes no answer")
}
