package bedrock_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/meter"
	"github.com/genaistore/genaistore/vectors/embed"
	"github.com/genaistore/genaistore/vectors/embed/bedrock"
	"github.com/genaistore/genaistore/vectors/embed/embedtest"
)

const model = "amazon.titan-embed-text-v2:0"

// A service answers requests without a socket.
type service func(r *http.Request, body []byte) (status int, code, answer string)

func (s service) Do(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	status, code, answer := s(r, body)
	header := http.Header{"Content-Type": {"application/json"}}
	if code != "" {
		header.Set("X-Amzn-Errortype", code)
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader([]byte(answer))), Request: r}, nil
}

func client(s service) *bedrockruntime.Client {
	return bedrockruntime.New(bedrockruntime.Options{
		Region: "us-east-1", HTTPClient: s, RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
}

// titan answers as the model does, with a vector that only the text decides.
func titan(_ *http.Request, body []byte) (int, string, string) {
	var in struct {
		InputText  string
		Dimensions int
		Normalize  bool
	}
	if err := json.Unmarshal(body, &in); err != nil || !in.Normalize {
		return http.StatusBadRequest, "ValidationException", `{"message":"bad request"}`
	}
	answer, err := json.Marshal(map[string]any{"embedding": numbers(in.Dimensions, "", in.InputText), "inputTextTokenCount": len(in.InputText) / 4})
	if err != nil {
		return http.StatusInternalServerError, "", ""
	}
	return http.StatusOK, "", string(answer)
}

func Example() {
	embedder, err := bedrock.New(client(titan), model, &bedrock.Options{Dimension: 256})
	if err != nil {
		fmt.Println(err)
		return
	}
	vector, err := embedder.Query(context.Background(), "What is the capital of Namibia?")
	fmt.Println(len(vector), err)
	// Output: 256 <nil>
}

func TestTheSuite(t *testing.T) {
	embedtest.Run(t, func(t *testing.T) embed.Embedder {
		e, err := bedrock.New(client(titan), model, nil)
		require.NoError(t, err)
		return e
	})
}

func TestARequestIsWhatTitanTakes(t *testing.T) {
	var path, body string
	e, err := bedrock.New(client(func(r *http.Request, b []byte) (int, string, string) {
		path, body = r.URL.EscapedPath(), string(b)
		return titan(r, b)
	}), "us."+model, &bedrock.Options{Dimension: 512})
	require.NoError(t, err)
	var m meter.Meter
	_, err = e.Query(meter.With(t.Context(), &m), "hello")
	require.NoError(t, err)
	require.Equal(t, "/model/us.amazon.titan-embed-text-v2%3A0/invoke", path)
	require.JSONEq(t, `{"inputText":"hello","dimensions":512,"normalize":true}`, body)
	require.EqualValues(t, 1, m.Cost().Requests)
	require.EqualValues(t, len(body), m.Cost().BytesSent)
}

func TestErrorsOfTheServiceHaveAKind(t *testing.T) {
	tests := []struct {
		code   string
		status int
		want   error
	}{
		{"ThrottlingException", 429, embed.ErrThrottled},
		{"ServiceUnavailableException", 503, embed.ErrThrottled},
		{"ModelNotReadyException", 429, embed.ErrThrottled},
		{"ModelTimeoutException", 408, embed.ErrThrottled},
		{"InternalServerException", 500, embed.ErrThrottled},
		{"ServiceQuotaExceededException", 400, embed.ErrDenied},
		{"AccessDeniedException", 403, embed.ErrDenied},
		{"ResourceNotFoundException", 404, embed.ErrNotFound},
		{"ValidationException", 400, embed.ErrInvalid},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			e, err := bedrock.New(client(func(*http.Request, []byte) (int, string, string) {
				return tt.status, tt.code, `{"message":"no"}`
			}), model, nil)
			require.NoError(t, err)
			_, err = e.Documents(t.Context(), []string{"some text"})
			require.ErrorIs(t, err, tt.want, tt.code)
			require.ErrorContains(t, err, "embed document 0: ")
		})
	}
}

func TestAnswersThatAreNoVectorAreCorrupt(t *testing.T) {
	for name, answer := range map[string]string{
		"not JSON": "{", "another dimension": `{"embedding":[1,2]}`, "zero": `{"embedding":[` + strings.Repeat("0,", 255) + `0]}`,
	} {
		t.Run(name, func(t *testing.T) {
			e, err := bedrock.New(client(func(*http.Request, []byte) (int, string, string) { return 200, "", answer }), model, &bedrock.Options{Dimension: 256})
			require.NoError(t, err)
			_, err = e.Query(t.Context(), "some text")
			require.ErrorIs(t, err, embed.ErrCorrupt)
		})
	}
}

func TestAModelThatIsNotKnownIsRefused(t *testing.T) {
	_, err := bedrock.New(client(titan), "amazon.titan-embed-text-v1", nil)
	require.ErrorIs(t, err, embed.ErrInvalid)
	require.ErrorContains(t, err, "amazon.titan-embed-text-v2")
	_, err = bedrock.New(client(titan), model, &bedrock.Options{Dimension: 100})
	require.ErrorIs(t, err, embed.ErrInvalid)
	for _, o := range []bedrock.Options{{Concurrency: -1}, {RequestsPerMinute: -1}, {TokensPerMinute: -1}, {Searched: "MUSIC"}} {
		_, err = bedrock.New(client(titan), model, &o)
		require.ErrorIs(t, err, embed.ErrInvalid, "%+v", o)
	}
	for _, id := range []string{"my-" + model, model + "-copy", "", "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/a1b2c3d4"} {
		_, err = bedrock.New(client(titan), id, nil)
		require.ErrorIs(t, err, embed.ErrInvalid, id)
	}
	e, err := bedrock.New(client(titan), "arn:aws:bedrock:us-east-1::foundation-model/"+model, nil)
	require.NoError(t, err)
	require.Equal(t, model+":normalized", e.Model().ID)
}
