package awsfake

import (
	"encoding/json"
	"net/http"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/comprehend"

	"github.com/genaistore/genaistore/memory"
)

// Comprehend is a fake of Amazon Comprehend that understands what [memory.Lexicon]
// does. Its custom classifiers all know the intents of that.
//
// It has BatchDetectDominantLanguage, BatchDetectSentiment and ClassifyDocument.
type Comprehend struct {
	Server
	calls atomic.Int64
}

// NewComprehend returns a fake.
func NewComprehend() *Comprehend {
	f := &Comprehend{}
	f.Server = Server{service: "comprehend", serve: f.handle}
	return f
}

// Client returns a client of the fake.
func (f *Comprehend) Client(options ...func(*comprehend.Options)) *comprehend.Client {
	return comprehend.New(comprehend.Options{Region: region, HTTPClient: &f.Server, Credentials: aws.CredentialsProviderFunc(retrieve)}, options...)
}

// Calls is how many requests it has answered without an error.
func (f *Comprehend) Calls() int64 { return f.calls.Load() }

// maxComprehendText is the most bytes of a document.
const maxComprehendText = 5000

func (f *Comprehend) handle(w http.ResponseWriter, r *http.Request) {
	var in struct {
		TextList                        []string
		Text, EndpointArn, LanguageCode string
	}
	if err := json.Unmarshal(body(r), &in); err != nil {
		Fail(w, r, http.StatusBadRequest, "SerializationException", err.Error())
		return
	}
	texts := in.TextList
	if Operation(r) == "ClassifyDocument" {
		texts = []string{in.Text}
	}
	switch {
	case len(texts) == 0:
		Fail(w, r, http.StatusBadRequest, "InvalidRequestException", "no text")
		return
	case len(texts) > 25:
		Fail(w, r, http.StatusBadRequest, "BatchSizeLimitExceededException", "at most 25 texts")
		return
	}
	for _, text := range texts {
		if text == "" || len(text) > maxComprehendText {
			Fail(w, r, http.StatusBadRequest, "TextSizeLimitExceededException", "from 1 to 5000 bytes")
			return
		}
	}
	found, err := memory.Lexicon{}.Enrich(r.Context(), texts)
	if err != nil {
		Fail(w, r, http.StatusInternalServerError, "InternalServerException", err.Error())
		return
	}
	answer, ok := comprehended(Operation(r), found)
	if !ok {
		Fail(w, r, http.StatusBadRequest, "UnknownOperationException", "the fake does not know "+Operation(r))
		return
	}
	f.calls.Add(1)
	answerDynamoDB(w, http.StatusOK, answer)
}

func comprehended(operation string, found []memory.Finding) (map[string]any, bool) {
	results := []map[string]any{}
	for i, one := range found {
		switch n := one.Notes; operation {
		case "BatchDetectDominantLanguage":
			results = append(results, map[string]any{"Index": i, "Languages": []map[string]any{{"LanguageCode": n.Language, "Score": 0.9}}})
		case "BatchDetectSentiment":
			score := 0.0
			if n.Sentiment != nil {
				score = *n.Sentiment
			}
			results = append(results, map[string]any{"Index": i, "Sentiment": "MIXED", "SentimentScore": map[string]any{
				"Positive": max(0, score), "Negative": max(0, -score), "Neutral": 0, "Mixed": 0,
			}})
		case "ClassifyDocument":
			return map[string]any{"Classes": []map[string]any{{"Name": n.Intent, "Score": 0.9}}}, true
		default:
			return nil, false
		}
	}
	return map[string]any{"ResultList": results, "ErrorList": []any{}}, true
}
