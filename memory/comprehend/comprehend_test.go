package comprehend_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/comprehend"
	"github.com/aws/aws-sdk-go-v2/service/comprehend/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/comprehend"
	"github.com/genaistore/genaistore/meter"
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

func enricher(tb testing.TB, s *service, opts *comprehend.Options) *comprehend.Enricher {
	tb.Helper()
	e, err := comprehend.New(client(s, 1), opts)
	require.NoError(tb, err)
	return e
}

func (s *service) count(op string) (n int) {
	for _, c := range s.calls {
		if c.Op == op {
			n++
		}
	}
	return n
}

func notes(language string, sentiment float64) memory.Notes {
	return memory.Notes{Language: language, Sentiment: &sentiment, Model: "amazon-comprehend"}
}

// requireNotes compares up to what scores lose as a float32 on the wire.
func requireNotes(tb testing.TB, want memory.Notes, got memory.Finding) {
	tb.Helper()
	require.NoError(tb, got.Err)
	if want.Sentiment != nil {
		require.NotNil(tb, got.Notes.Sentiment)
		require.InDelta(tb, *want.Sentiment, *got.Notes.Sentiment, 1e-6)
		want.Sentiment = got.Notes.Sentiment
	}
	require.Equal(tb, want, got.Notes)
	require.NoError(tb, got.Notes.Validate())
}

func Example() {
	enricher, err := comprehend.New(client(&service{}, 3), &comprehend.Options{Classifier: endpoint})
	if err != nil {
		fmt.Println(err)
		return
	}
	findings, err := enricher.Enrich(context.Background(), []string{"en:-0.75 The parcel never came, this is a complaint"})
	if err != nil {
		fmt.Println(err)
		return
	}
	n := findings[0].Notes
	fmt.Println(n.Language, n.Intent, *n.Sentiment)
	// Output: en complaint -0.75
}

func TestTextsOfManyLanguagesKeepTheirOrder(t *testing.T) {
	s := &service{}
	languages := []string{"en", "de", "zh-TW", "sw"} // Swahili has no sentiment
	var texts []string
	for i := range 130 {
		texts = append(texts, fmt.Sprintf("%s:%g text %d", languages[i%4], float64(i%9-4)/8, i))
	}
	var m meter.Meter
	findings, err := enricher(t, s, nil).Enrich(meter.With(t.Context(), &m), texts)
	require.NoError(t, err)
	require.Len(t, findings, 130)
	for i, f := range findings {
		want := notes(languages[i%4], float64(i%9-4)/8)
		if i%4 == 3 {
			want.Sentiment = nil
		}
		requireNotes(t, want, f)
	}
	require.Equal(t, 6, s.count("BatchDetectDominantLanguage"))
	require.Equal(t, 6, s.count("BatchDetectSentiment"), "33 English, 33 German, 32 Chinese")
	require.Zero(t, s.count("ClassifyDocument"))
	require.EqualValues(t, 12, m.Cost().Requests)
	require.Positive(t, m.Cost().BytesSent)
}

func TestALanguageThatIsKnownIsNotDetected(t *testing.T) {
	s := &service{}
	findings, err := enricher(t, s, &comprehend.Options{Language: "en"}).Enrich(t.Context(), []string{"en:1 a", "en:-1 b"})
	require.NoError(t, err)
	requireNotes(t, notes("en", 1), findings[0])
	requireNotes(t, notes("en", -1), findings[1])
	require.Len(t, s.calls, 1)
}

func TestTextsThatSayNothingAreNotSent(t *testing.T) {
	s := &service{}
	findings, err := enricher(t, s, nil).Enrich(t.Context(), []string{"", " \n\t", "en:0.5 a", "\xff"})
	require.NoError(t, err)
	require.Equal(t, memory.Finding{}, findings[0])
	require.Equal(t, memory.Finding{}, findings[1])
	requireNotes(t, notes("en", 0.5), findings[2])
	require.ErrorIs(t, findings[3].Err, memory.ErrInvalid)
	require.Equal(t, []string{"en:0.5 a"}, s.calls[0].TextList)
	s.calls = nil
	findings, err = enricher(t, s, nil).Enrich(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, findings)
	require.Empty(t, s.calls)
}

func TestLongTextsAreCutBetweenRunes(t *testing.T) {
	for _, r := range []string{"x", "é", "語", "😀"} {
		for pad := range 4 {
			s := &service{}
			text := "en:0.5 " + strings.Repeat(" ", pad) + strings.Repeat(r, 5000)
			_, err := enricher(t, s, &comprehend.Options{Classifier: endpoint}).Enrich(t.Context(), []string{text})
			require.NoError(t, err)
			sent := s.calls[0].TextList[0]
			require.True(t, utf8.ValidString(sent))
			require.LessOrEqual(t, len(sent), 5000)
			require.Greater(t, len(sent), 5000-len(r))
			require.True(t, strings.HasPrefix(text, sent))
			require.Equal(t, sent, s.calls[2].Text)
		}
	}
	s := &service{}
	text := "en:0 " + strings.Repeat("x", 4995)
	_, err := enricher(t, s, nil).Enrich(t.Context(), []string{text})
	require.NoError(t, err)
	require.Equal(t, text, s.calls[0].TextList[0])
}

func TestOnlyTheTextsThatFailedAreSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{failed: func(op, text string, try int) string {
			switch {
			case strings.Contains(text, "once") && try == 1:
				return "INTERNAL_SERVER_ERROR"
			case strings.Contains(text, "always") && op == "BatchDetectSentiment":
				return "INTERNAL_SERVER_ERROR"
			case strings.Contains(text, "toolong"):
				return "TEXT_SIZE_LIMIT_EXCEEDED"
			}
			return ""
		}}
		texts := []string{"en:0.1 a", "en:0.2 once", "en:0.3 always", "en:0.4 toolong", "en:0.5 b"}
		start := time.Now()
		findings, err := enricher(t, s, &comprehend.Options{Retries: 2}).Enrich(t.Context(), texts)
		require.NoError(t, err)
		requireNotes(t, notes("en", 0.1), findings[0])
		requireNotes(t, notes("en", 0.2), findings[1])
		require.ErrorIs(t, findings[2].Err, memory.ErrThrottled)
		require.True(t, findings[2].Notes.IsZero(), "half a finding is none")
		require.ErrorIs(t, findings[3].Err, memory.ErrInvalid)
		requireNotes(t, notes("en", 0.5), findings[4])

		var sent [][]string
		for _, c := range s.calls {
			sent = append(sent, c.TextList)
		}
		require.Equal(t, [][]string{
			texts, {texts[1]}, // languages
			{texts[0], texts[1], texts[2], texts[4]}, {texts[1]}, {texts[2]}, {texts[2]}, // sentiments
		}, sent)
		require.Greater(t, time.Since(start), 300*time.Millisecond)
		require.Less(t, time.Since(start), 2*time.Second)
	})
}

func TestABatchThatIsRefusedIsSentOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{}
		// The text in the middle is no request that Comprehend takes.
		findings, err := enricher(t, s, nil).Enrich(t.Context(), []string{"en:0.1 a", "?", "en:0.3 c"})
		require.NoError(t, err)
		requireNotes(t, notes("en", 0.1), findings[0])
		require.ErrorIs(t, findings[1].Err, memory.ErrInvalid)
		requireNotes(t, notes("en", 0.3), findings[2])
		require.Len(t, s.calls, 5)
	})
}

func TestALanguageThatIsRefusedHasNoSentiment(t *testing.T) {
	s := &service{before: func(in request) *reply {
		if in.LanguageCode == "hi" {
			return &reply{400, "UnsupportedLanguageException", ""}
		}
		return nil
	}}
	findings, err := enricher(t, s, nil).Enrich(t.Context(), []string{"hi:0.5 a", "en:0.5 b"})
	require.NoError(t, err)
	requireNotes(t, memory.Notes{Language: "hi", Model: "amazon-comprehend"}, findings[0])
	requireNotes(t, notes("en", 0.5), findings[1])

	synctest.Test(t, func(t *testing.T) {
		s.before = func(in request) *reply {
			if in.LanguageCode == "hi" && len(in.TextList) == 1 {
				return &reply{400, "UnsupportedLanguageException", ""}
			}
			return nil
		}
		s.failed = func(op, text string, _ int) string {
			if op == "BatchDetectSentiment" && text == "hi:0.5 a" {
				return "INTERNAL"
			}
			return ""
		}
		findings, err := enricher(t, s, nil).Enrich(t.Context(), []string{"hi:0.5 a", "hi:0.5 b"})
		require.NoError(t, err)
		requireNotes(t, memory.Notes{Language: "hi", Model: "amazon-comprehend"}, findings[0])
		requireNotes(t, notes("hi", 0.5), findings[1])
	})
}

func TestAnAnswerThatLacksATextIsNotTaken(t *testing.T) {
	tests := map[string]string{
		"no result":         `{"ResultList":[],"ErrorList":[]}`,
		"another index":     `{"ResultList":[{"Index":7,"Languages":[{"LanguageCode":"en","Score":1}]}],"ErrorList":[]}`,
		"no index":          `{"ResultList":[{"Languages":[{"LanguageCode":"en","Score":1}]}],"ErrorList":[]}`,
		"no language":       `{"ResultList":[{"Index":0,"Languages":[]}],"ErrorList":[]}`,
		"error of no index": `{"ResultList":[],"ErrorList":[{"ErrorCode":"x"}]}`,
	}
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			s := &service{before: func(request) *reply { return &reply{body: body} }}
			findings, err := enricher(t, s, &comprehend.Options{Retries: -1}).Enrich(t.Context(), []string{"en:0.5 a"})
			require.NoError(t, err)
			require.ErrorIs(t, findings[0].Err, memory.ErrCorrupt)
		})
	}
	for name, score := range map[string]string{
		"no scores": `null`, "half a score": `{"Positive":1}`, "no number": `{"Positive":"NaN","Negative":0}`, "too much": `{"Positive":3,"Negative":0}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := &service{before: func(request) *reply {
				return &reply{body: `{"ResultList":[{"Index":0,"SentimentScore":` + score + `}],"ErrorList":[]}`}
			}}
			findings, err := enricher(t, s, &comprehend.Options{Language: "en"}).Enrich(t.Context(), []string{"en:0.5 a"})
			require.NoError(t, err)
			require.ErrorIs(t, findings[0].Err, memory.ErrCorrupt)
		})
	}
}

func TestIntentsAreTheBestClassOrLabel(t *testing.T) {
	tests := []struct {
		body, want string
		least      float64
	}{
		{`{"Classes":[{"Name":"a","Score":0.2},{"Name":"b","Score":0.7},{"Name":"c","Score":0.1}]}`, "b", 0},
		{`{"Classes":[{"Name":"a","Score":0.4},{"Name":"b","Score":0.3}]}`, "", 0},
		{`{"Classes":[{"Name":"a","Score":0.4},{"Name":"b","Score":0.3}]}`, "a", 0.25},
		{`{"Classes":[{"Name":"a","Score":0.5}]}`, "a", 0.5},
		{`{"Labels":[{"Name":"a","Score":0.6},{"Name":"b","Score":0.9}]}`, "b", 0},
		{`{"Classes":[{"Score":0.9},{"Name":"b"}]}`, "", 0},
		{`{}`, "", 0},
	}
	for _, tt := range tests {
		s := &service{before: func(in request) *reply {
			if in.Op == "ClassifyDocument" {
				return &reply{body: tt.body}
			}
			return nil
		}}
		findings, err := enricher(t, s, &comprehend.Options{Classifier: endpoint, MinScore: tt.least}).Enrich(t.Context(), []string{"en:0.5 x"})
		require.NoError(t, err)
		want := notes("en", 0.5)
		want.Intent, want.Model = tt.want, endpoint
		requireNotes(t, want, findings[0])
	}
}

func TestATextThatTheClassifierRefusesFailsAlone(t *testing.T) {
	s := &service{before: func(in request) *reply {
		if in.Op == "ClassifyDocument" && strings.Contains(in.Text, "bad") {
			return &reply{400, "TextSizeLimitExceededException", ""}
		}
		return nil
	}}
	findings, err := enricher(t, s, &comprehend.Options{Classifier: endpoint}).Enrich(t.Context(), []string{"en:0.5 bad", "sw:0.5 good"})
	require.NoError(t, err)
	require.ErrorIs(t, findings[0].Err, memory.ErrInvalid)
	requireNotes(t, memory.Notes{Language: "sw", Intent: "good", Model: endpoint}, findings[1])
}

func TestErrorsThatMeetEveryTextHaveAKind(t *testing.T) {
	tests := []struct {
		code   string
		status int
		want   error
	}{
		{"ThrottlingException", 400, memory.ErrThrottled},
		{"TooManyRequestsException", 400, memory.ErrThrottled},
		{"InternalServerException", 500, memory.ErrThrottled},
		{"ServiceUnavailableException", 503, memory.ErrThrottled},
		{"AccessDeniedException", 400, memory.ErrDenied},
		{"ExpiredTokenException", 400, memory.ErrDenied},
		{"ResourceNotFoundException", 400, memory.ErrNotFound},
		{"ResourceUnavailableException", 400, memory.ErrNotFound},
	}
	for _, tt := range tests {
		for _, op := range []string{"BatchDetectDominantLanguage", "BatchDetectSentiment", "ClassifyDocument"} {
			t.Run(tt.code+" "+op, func(t *testing.T) {
				s := &service{before: func(in request) *reply {
					if in.Op == op {
						return &reply{tt.status, tt.code, ""}
					}
					return nil
				}}
				findings, err := enricher(t, s, &comprehend.Options{Classifier: endpoint}).Enrich(t.Context(), []string{"en:0.5 a", "", "en:0.5 b"})
				require.ErrorIs(t, err, tt.want)
				require.Len(t, findings, 3)
				require.ErrorIs(t, findings[0].Err, tt.want)
				require.Equal(t, memory.Finding{}, findings[1])
				require.ErrorIs(t, findings[2].Err, tt.want)
			})
		}
	}
	s := &service{before: func(request) *reply { return &reply{400, "SomethingNew", ""} }}
	_, err := enricher(t, s, nil).Enrich(t.Context(), []string{"en:0.5 a"})
	require.ErrorContains(t, err, "SomethingNew")
	s = &service{before: func(request) *reply { return &reply{400, "ValidationException", ""} }}
	findings, err := enricher(t, s, nil).Enrich(t.Context(), []string{"en:0.5 a"})
	require.NoError(t, err)
	require.ErrorIs(t, findings[0].Err, memory.ErrInvalid)
}

func TestThrottlingIsWaitedOutByTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		s := &service{before: func(request) *reply {
			if n++; n%3 != 0 {
				return &reply{400, "ThrottlingException", ""}
			}
			return nil
		}}
		e, err := comprehend.New(client(s, 3), &comprehend.Options{Classifier: endpoint, Concurrency: 1})
		require.NoError(t, err)
		start := time.Now()
		var m meter.Meter
		findings, err := e.Enrich(meter.With(t.Context(), &m), []string{"en:0.5 a"})
		require.NoError(t, err)
		require.Equal(t, "a", findings[0].Notes.Intent)
		require.Len(t, s.calls, 9)
		require.EqualValues(t, 3, m.Cost().Requests)
		require.Positive(t, time.Since(start))
	})
}

func TestWhatWasFoundBeforeAThrottleIsKept(t *testing.T) {
	s := &service{before: func(in request) *reply {
		if in.LanguageCode == "en" {
			return &reply{400, "ThrottlingException", ""}
		}
		return nil
	}}
	store, session := &memory.InMemory{}, memory.Key{User: "u", Session: "s"}
	for _, text := range []string{"en:0.5 a", "de:0.5 b", "sw:0.5 c"} {
		_, err := store.Append(t.Context(), session, memory.Entry{Messages: []memory.Message{memory.Text("user", text)}}, nil)
		require.NoError(t, err)
	}
	e := enricher(t, s, &comprehend.Options{Concurrency: 1})
	done, err := memory.Enrich(t.Context(), store, session, e, nil)
	require.ErrorIs(t, err, memory.ErrThrottled)
	require.Equal(t, 2, done.Annotated)
	s.before, s.calls = nil, nil
	done, err = memory.Enrich(t.Context(), store, session, e, &memory.EnrichOptions{From: done.Next})
	require.NoError(t, err)
	require.Equal(t, 1, done.Annotated)
	for _, c := range s.calls {
		require.Equal(t, []string{"en:0.5 a"}, c.TextList, "what has notes is not paid for twice")
	}
}

func TestACancelledContextStopsEveryStep(t *testing.T) {
	for stop := range 4 {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			n := 0
			s := &service{
				before: func(request) *reply {
					if n == stop {
						cancel()
					}
					n++
					return nil
				},
				failed: func(_, text string, try int) string {
					if try == 1 && strings.Contains(text, "again") {
						return "INTERNAL"
					}
					return ""
				},
			}
			findings, err := enricher(t, s, &comprehend.Options{Classifier: endpoint, Concurrency: 1, Retries: 3}).Enrich(ctx, []string{"en:0.5 a", "en:0.5 again"})
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorIs(t, findings[0].Err, context.Canceled)
			require.Equal(t, stop+1, n, "no call after the one that cancelled")
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := &service{}
	_, err := enricher(t, s, nil).Enrich(ctx, []string{"en:0.5 a"})
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, s.calls)
}

func TestADeadlineEndsThePauseBeforeARetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{failed: func(string, string, int) string { return "INTERNAL" }}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := enricher(t, s, nil).Enrich(ctx, []string{"en:0.5 a"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 50*time.Millisecond, time.Since(start))
	})
}

// A crowd counts how many calls are on their way at a time.
type crowd struct {
	*service
	mu        sync.Mutex
	now, most int
}

func (c *crowd) Do(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	c.now++
	c.most = max(c.most, c.now)
	c.mu.Unlock()
	time.Sleep(time.Second)
	c.mu.Lock()
	c.now--
	c.mu.Unlock()
	return c.service.Do(r)
}

func TestCallsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{service: &service{}}
		cl := sdk.New(sdk.Options{Region: "us-east-1", HTTPClient: c, Credentials: aws.AnonymousCredentials{}})
		e, err := comprehend.New(cl, &comprehend.Options{Classifier: endpoint, Concurrency: 3})
		require.NoError(t, err)
		texts := slices.Repeat([]string{"en:0.5 a"}, 100)
		_, err = e.Enrich(t.Context(), texts)
		require.NoError(t, err)
		require.Equal(t, 3, c.most)
	})
}

func TestOptionsThatCannotBeAreRefused(t *testing.T) {
	for name, opts := range map[string]comprehend.Options{
		"a language without sentiment":   {Language: "sw"},
		"a classifier that is no ARN":    {Classifier: "intents"},
		"an ARN of another service":      {Classifier: "arn:aws:s3:::document-classifier-endpoint/x"},
		"a classifier, not its endpoint": {Classifier: "arn:aws:comprehend:us-east-1:111122223333:document-classifier/intents"},
		"an ARN too long":                {Classifier: endpoint + strings.Repeat("x", 300)},
		"a negative score":               {MinScore: -0.1},
		"a score above one":              {MinScore: 1.1},
		"no concurrency":                 {Concurrency: -1},
		"too many retries":               {Retries: 11},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := comprehend.New(client(&service{}, 1), &opts)
			require.ErrorIs(t, err, memory.ErrInvalid)
			_, err = comprehend.Policy(&opts)
			require.ErrorIs(t, err, memory.ErrInvalid)
		})
	}
}

// A watched client notes which of the calls are made.
type watched struct {
	comprehend.Client
	mu   sync.Mutex
	made map[string]bool
}

func (w *watched) note(action string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.made["comprehend:"+action] = true
}

func (w *watched) BatchDetectDominantLanguage(ctx context.Context, in *sdk.BatchDetectDominantLanguageInput, opts ...func(*sdk.Options)) (*sdk.BatchDetectDominantLanguageOutput, error) {
	w.note("BatchDetectDominantLanguage")
	return w.Client.BatchDetectDominantLanguage(ctx, in, opts...)
}

func (w *watched) BatchDetectSentiment(ctx context.Context, in *sdk.BatchDetectSentimentInput, opts ...func(*sdk.Options)) (*sdk.BatchDetectSentimentOutput, error) {
	w.note("BatchDetectSentiment")
	return w.Client.BatchDetectSentiment(ctx, in, opts...)
}

func (w *watched) ClassifyDocument(ctx context.Context, in *sdk.ClassifyDocumentInput, opts ...func(*sdk.Options)) (*sdk.ClassifyDocumentOutput, error) {
	w.note("ClassifyDocument")
	return w.Client.ClassifyDocument(ctx, in, opts...)
}

func TestThePolicyAllowsTheCallsThatAreMadeAndNoOthers(t *testing.T) {
	for _, opts := range []*comprehend.Options{nil, {Language: "en"}, {Classifier: endpoint}, {Language: "en", Classifier: endpoint}} {
		raw, err := comprehend.Policy(opts)
		require.NoError(t, err)
		var policy struct {
			Version   string
			Statement []struct {
				Effect           string
				Action, Resource []string
			}
		}
		dec := json.NewDecoder(bytes.NewReader([]byte(raw)))
		require.NoError(t, dec.Decode(&policy))
		require.Equal(t, "2012-10-17", policy.Version)
		w := &watched{Client: client(&service{}, 1), made: map[string]bool{}}
		e, err := comprehend.New(w, opts)
		require.NoError(t, err)
		_, err = e.Enrich(t.Context(), []string{"en:0.5 a"})
		require.NoError(t, err)
		allowed := map[string]bool{}
		for _, st := range policy.Statement {
			require.Equal(t, "Allow", st.Effect)
			for _, a := range st.Action {
				allowed[a] = true
				want := "*"
				if a == "comprehend:ClassifyDocument" {
					want = endpoint
				}
				require.Equal(t, []string{want}, st.Resource)
			}
		}
		require.Equal(t, w.made, allowed)
	}
}

func TestEveryLanguageOfTheSDKHasASentiment(t *testing.T) {
	s := &service{}
	var texts []string
	for _, tag := range types.LanguageCode("").Values() {
		texts = append(texts, string(tag)+":0.5 a")
	}
	findings, err := enricher(t, s, nil).Enrich(t.Context(), texts)
	require.NoError(t, err)
	for i, tag := range types.LanguageCode("").Values() {
		requireNotes(t, notes(string(tag), 0.5), findings[i])
	}
}
