package awsfake_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/comprehend"
	comprehendtypes "github.com/aws/aws-sdk-go-v2/service/comprehend/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
)

func TestASocketPassesRequestsToTheFakeOfTheirService(t *testing.T) {
	tables, texts := awsfake.NewDynamoDB(), awsfake.NewComprehend()
	server := httptest.NewTLSServer(awsfake.Socket(map[string]aws.HTTPClient{"dynamodb": tables, "comprehend": texts}))
	defer server.Close()
	_, err := tables.Client(func(o *dynamodb.Options) { o.HTTPClient, o.BaseEndpoint = server.Client(), &server.URL }).
		DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: new("talks")})
	require.ErrorContains(t, err, "ResourceNotFoundException")

	client := texts.Client(func(o *comprehend.Options) {
		o.HTTPClient, o.BaseEndpoint, o.Retryer = server.Client(), &server.URL, aws.NopRetryer{}
	})
	ask := func(ctx context.Context) (*comprehend.BatchDetectSentimentOutput, error) {
		return client.BatchDetectSentiment(ctx, &comprehend.BatchDetectSentimentInput{LanguageCode: "en", TextList: []string{"this is useless", "I love this"}})
	}
	found, err := ask(t.Context())
	require.NoError(t, err)
	require.InDelta(t, 1, *found.ResultList[0].SentimentScore.Negative, 0)
	require.InDelta(t, 1, *found.ResultList[1].SentimentScore.Positive, 0)
	require.EqualValues(t, 1, texts.Calls())

	texts.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		next.ServeHTTP(w, r)
		awsfake.Lose(w)
		return true
	})
	_, err = ask(t.Context())
	require.ErrorContains(t, err, "EOF")
	require.EqualValues(t, 2, texts.Calls(), "it was done")
}

func TestComprehendHasItsLimits(t *testing.T) {
	client := awsfake.NewComprehend().Client()
	for code, texts := range map[string][]string{
		"InvalidRequestException":         {},
		"BatchSizeLimitExceededException": make([]string, 26),
		"TextSizeLimitExceededException":  {string(make([]byte, 5001))},
	} {
		_, err := client.BatchDetectDominantLanguage(t.Context(), &comprehend.BatchDetectDominantLanguageInput{TextList: texts})
		require.ErrorContains(t, err, code)
	}
	out, err := client.ClassifyDocument(t.Context(), &comprehend.ClassifyDocumentInput{Text: new("Hello there"), EndpointArn: new("arn")})
	require.NoError(t, err)
	require.Equal(t, []comprehendtypes.DocumentClass{{Name: new("greeting"), Score: new(float32(0.9))}}, out.Classes)
}
