package comprehend_test

import (
	"context"
	"fmt"
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
		// Once for the languages, then for the sentiments.
		require.Equal(t, [][]string{
			texts,
			{texts[1]},
			{texts[0], texts[1], texts[2], texts[4]},
			{texts[1]},
			{texts[2]},
			{texts[2]},
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
