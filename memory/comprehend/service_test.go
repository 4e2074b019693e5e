package comprehend_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/comprehend"
)

const endpoint = "arn:aws:comprehend:us-east-1:111122223333:document-classifier-endpoint/intents"

// A request is what any of the three calls sends.
type request struct {
	Op           string   `json:"-"`
	LanguageCode string   // of BatchDetectSentiment
	TextList     []string // of both batches
	Text         string   // of ClassifyDocument
	EndpointArn  string
}

type reply struct {
	status int    // 200 if zero
	code   string // of the error
	body   string
}

type itemError struct {
	Index        int
	ErrorCode    string
	ErrorMessage string
}

// A service answers as Comprehend does, without a socket: a text names what it is, as
// in "de:0.5 guten Tag" for German with a sentiment of 0.5. It refuses what the limits
// of Comprehend forbid.
type service struct {
	before func(request) *reply                  // answers instead, if not nil
	failed func(op, text string, try int) string // the error code for a text of a batch, if not empty

	mu    sync.Mutex
	calls []request
	tries map[string]int
}

func (s *service) Do(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var in request
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, err
	}
	_, in.Op, _ = strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	s.mu.Lock()
	s.calls = append(s.calls, in)
	s.mu.Unlock()
	out := s.answer(in)
	status := out.status
	if status == 0 {
		status = http.StatusOK
	}
	header := http.Header{"Content-Type": {"application/x-amz-json-1.1"}}
	if out.code != "" {
		header.Set("X-Amzn-Errortype", out.code)
		out.body = `{"message":"no"}`
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(out.body)), Request: r}, nil
}

func (s *service) answer(in request) reply {
	if s.before != nil {
		if r := s.before(in); r != nil {
			return *r
		}
	}
	if len(in.TextList) > 25 {
		return reply{400, "BatchSizeLimitExceededException", ""}
	}
	var results []any
	errs := []itemError{}
	for i, text := range in.TextList {
		if text == "" || len(text) > 5000 || !utf8.ValidString(text) {
			return reply{400, "TextSizeLimitExceededException", ""}
		}
		if code := s.fails(in.Op, text); code != "" {
			errs = append(errs, itemError{i, code, "no"})
			continue
		}
		var language string
		var score float64
		if _, err := fmt.Sscanf(strings.Replace(text, ":", " ", 1), "%s %g", &language, &score); err != nil {
			return reply{400, "InvalidRequestException", ""}
		}
		if in.Op == "BatchDetectDominantLanguage" {
			results = append(results, map[string]any{"Index": i, "Languages": []map[string]any{
				{"LanguageCode": "xx", "Score": 0.1}, {"LanguageCode": language, "Score": 0.8}, {"LanguageCode": "yy", "Score": 0.05},
			}})
			continue
		}
		if in.LanguageCode != language {
			return reply{400, "InvalidRequestException", ""}
		}
		results = append(results, map[string]any{"Index": i, "Sentiment": "MIXED", "SentimentScore": map[string]any{
			"Positive": max(0, score), "Negative": max(0, -score), "Neutral": 0.1, "Mixed": 0.1,
		}})
	}
	if in.Op == "ClassifyDocument" {
		return classes(in)
	}
	raw, err := json.Marshal(map[string]any{"ResultList": results, "ErrorList": errs})
	if err != nil {
		return reply{status: 500}
	}
	return reply{body: string(raw)}
}

func (s *service) fails(op, text string) string {
	if s.failed == nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tries == nil {
		s.tries = map[string]int{}
	}
	s.tries[op+text]++
	return s.failed(op, text, s.tries[op+text])
}

// classes takes the last word of a text for its class.
func classes(in request) reply {
	if in.EndpointArn != endpoint || len(in.Text) > 5000 {
		return reply{400, "InvalidRequestException", ""}
	}
	words := strings.Fields(in.Text)
	raw, err := json.Marshal(map[string]any{"Classes": []map[string]any{{"Name": "other", "Score": 0.2}, {"Name": words[len(words)-1], "Score": 0.7}}})
	if err != nil {
		return reply{status: 500}
	}
	return reply{body: string(raw)}
}

func client(s *service, attempts int) *sdk.Client {
	return sdk.New(sdk.Options{
		Region: "us-east-1", HTTPClient: s, RetryMaxAttempts: attempts,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
}
