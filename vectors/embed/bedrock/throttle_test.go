package bedrock_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/meter"
	"github.com/genaistore/genaistore/vectors/embed"
	"github.com/genaistore/genaistore/vectors/embed/bedrock"
)

const cohereV4 = "us.cohere.embed-v4:0"

// numberedTexts returns n texts.
func numberedTexts(n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprint("text ", i)
	}
	return texts
}

// A log of when a service was called.
type calls struct {
	mu    sync.Mutex
	times []time.Time
}

func (c *calls) note(next service) service {
	return func(r *http.Request, body []byte) (int, string, string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.times = append(c.times, time.Now())
		return next(r, body)
	}
}

func throttled(*http.Request, []byte) (int, string, string) {
	return http.StatusTooManyRequests, "ThrottlingException", `{"message":"slow down"}`
}

func TestAServiceThatThrottlesIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen calls
		start := time.Now()
		e, err := bedrock.New(client(seen.note(func(r *http.Request, body []byte) (int, string, string) {
			if time.Since(start) < 5*time.Second {
				return throttled(r, body)
			}
			return titan(r, body)
		})), model, &bedrock.Options{Dimension: 256, Concurrency: 4})
		require.NoError(t, err)
		texts := numberedTexts(20)
		found, err := e.Documents(t.Context(), texts)
		require.NoError(t, err)
		require.Len(t, found, 20)
		require.Less(t, time.Since(start), 20*time.Second)
		require.Less(t, len(seen.times), 20+4*4, "while one waits, the others do")
	})
}

// One call that is throttled says that the others would be: they wait too.
func TestAllCallsWaitForAServiceThatThrottlesOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen calls
		first := true
		start := time.Now()
		answers := seen.note(func(r *http.Request, body []byte) (int, string, string) {
			if first {
				first = false
				return throttled(r, body)
			}
			return titan(r, body)
		})
		e, err := bedrock.New(client(func(r *http.Request, body []byte) (int, string, string) {
			status, code, answer := answers(r, body)
			if status == http.StatusOK {
				time.Sleep(100 * time.Millisecond)
			}
			return status, code, answer
		}), model, &bedrock.Options{Dimension: 256, Concurrency: 4})
		require.NoError(t, err)
		_, err = e.Documents(t.Context(), numberedTexts(40))
		require.NoError(t, err)
		require.Len(t, seen.times, 41)
		for _, at := range seen.times[4:] {
			require.GreaterOrEqual(t, at.Sub(start), 750*time.Millisecond)
		}
	})
}

func TestPatienceEnds(t *testing.T) {
	for patience, want := range map[int]struct {
		calls int
		least time.Duration
	}{0: {5, 11 * time.Second}, 2: {3, 2 * time.Second}, -3: {1, 0}} {
		synctest.Test(t, func(t *testing.T) {
			var seen calls
			e, err := bedrock.New(client(seen.note(throttled)), model, &bedrock.Options{Patience: patience})
			require.NoError(t, err)
			start := time.Now()
			var m meter.Meter
			_, err = e.Query(meter.With(t.Context(), &m), "hello")
			require.ErrorIs(t, err, embed.ErrThrottled)
			require.Len(t, seen.times, want.calls)
			require.EqualValues(t, want.calls, m.Cost().Requests)
			require.GreaterOrEqual(t, time.Since(start), want.least)
			require.LessOrEqual(t, time.Since(start), 2*want.least)
			if want.calls > 1 {
				require.ErrorContains(t, err, fmt.Sprintf("after %d tries: ", want.calls))
			}
		})
	}
}

func TestWaitingForAServiceEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := bedrock.New(client(throttled), model, nil)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		start := time.Now()
		_, err = e.Documents(ctx, numberedTexts(5))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 2*time.Second, time.Since(start))
	})
}

func TestCallsKeepToTheQuota(t *testing.T) {
	for name, tt := range map[string]struct {
		opts    bedrock.Options
		seconds float64
	}{
		"of requests": {bedrock.Options{RequestsPerMinute: 600}, 4.9},
		"of tokens":   {bedrock.Options{TokensPerMinute: 6000}, 49 * 2.0 / 100},
		"of both":     {bedrock.Options{RequestsPerMinute: 600, TokensPerMinute: 600}, 9.8},
	} {
		synctest.Test(t, func(t *testing.T) {
			var seen calls
			e, err := bedrock.New(client(seen.note(titan)), model, &tt.opts)
			require.NoError(t, err)
			texts := make([]string, 50)
			for i := range texts {
				texts[i] = fmt.Sprintf("text %02d", i)
			}
			start := time.Now()
			_, err = e.Documents(t.Context(), texts)
			require.NoError(t, err)
			require.InDelta(t, tt.seconds, time.Since(start).Seconds(), 0.05, name)
			if tt.opts.RequestsPerMinute > 0 {
				for i := range len(seen.times) - 11 {
					require.GreaterOrEqual(t, seen.times[i+11].Sub(seen.times[i]), time.Second, "ten a second")
				}
			}
		})
	}
}

// A model of many texts a call says of none which one it refuses.
func TestATextThatTheModelRefusesIsNamed(t *testing.T) {
	var seen calls
	strict := seen.note(func(r *http.Request, body []byte) (int, string, string) {
		if strings.Contains(string(body), `"text 150"`) {
			return refused()
		}
		return cohere(0, "embeddings_by_type")(r, body)
	})
	e, err := bedrock.New(client(strict), cohereV4, &bedrock.Options{Dimension: 256})
	require.NoError(t, err)
	vectors, err := e.Documents(t.Context(), numberedTexts(200))
	require.ErrorIs(t, err, embed.ErrInvalid)
	require.ErrorContains(t, err, "embed document 150: ")
	require.Nil(t, vectors)
	require.LessOrEqual(t, len(seen.times), 3+2*7)
}

// What is too much for one call goes in two.
func TestACallThatIsTooLargeIsHalved(t *testing.T) {
	e, err := bedrock.New(client(func(r *http.Request, body []byte) (int, string, string) {
		var in struct{ Texts []string }
		if err := json.Unmarshal(body, &in); err != nil || len(in.Texts) > 30 {
			return refused()
		}
		return cohere(0, "embeddings_by_type")(r, body)
	}), cohereV4, &bedrock.Options{Dimension: 256, Concurrency: 1})
	require.NoError(t, err)
	texts := numberedTexts(100)
	found, err := e.Documents(t.Context(), texts)
	require.NoError(t, err)
	for i, vector := range found {
		require.Equal(t, numbers(256, "search_document", texts[i]), vector)
	}
}
