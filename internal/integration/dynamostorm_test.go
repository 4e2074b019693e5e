package integration

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/integration/servers"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
	"github.com/genaistore/genaistore/memory/memorytest"
)

// A storm stands between a client and a server that never throttles: it refuses a
// share of the requests, loses the answers to others, and tells a time of its own.
type storm struct {
	next           aws.HTTPClient
	throttle, lose float64
	ahead          time.Duration // of the service's clock

	throttled, lost, let atomic.Int64
}

var errLostAnswer = errors.New("connection reset by peer")

func (s *storm) Do(r *http.Request) (*http.Response, error) {
	switch chance := rand.Float64(); {
	case chance < s.throttle:
		s.throttled.Add(1)
		const body = `{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"Rate exceeded"}`
		return &http.Response{
			StatusCode: http.StatusBadRequest, Header: s.date(http.Header{"Content-Type": {"application/x-amz-json-1.0"}}),
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r, ProtoMajor: 1, ProtoMinor: 1,
		}, nil
	case chance < s.throttle+s.lose:
		response, err := s.next.Do(r)
		if err != nil {
			return nil, err
		}
		_, err = io.Copy(io.Discard, response.Body)
		s.lost.Add(1)
		return nil, errors.Join(errLostAnswer, err, response.Body.Close())
	}
	s.let.Add(1)
	response, err := s.next.Do(r)
	if err == nil {
		s.date(response.Header)
	}
	return response, err
}

func (s *storm) date(h http.Header) http.Header {
	if s.ahead != 0 {
		h.Set("Date", time.Now().Add(s.ahead).UTC().Format(http.TimeFormat))
	}
	return h
}

// client is c through the storm. It is as patient as a client of AWS with many
// attempts, in less time.
func (s *storm) client(c *dynamodb.Client) *dynamodb.Client {
	o := c.Options()
	s.next = o.HTTPClient
	o.HTTPClient, o.RetryMaxAttempts = s, 0 // which would be fewer than those below
	o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff, o.RateLimiter = 25, 4*time.Millisecond, ratelimit.None
		o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			return aws.BoolTernary(errors.Is(err, errLostAnswer))
		}))
	})
	return dynamodb.New(o)
}

// Two requests in five meet the storm. No caller notices: neither an error, nor a
// record twice, nor a conflict with its own first work.
func TestDynamoMemoryInAStorm(t *testing.T) {
	t.Parallel()
	client := servers.DynamoDBLocal(t)
	weather := &storm{throttle: 0.25, lose: 0.15}
	store := memoryStore(t, weather.client(client), memoryTable(t, client), nil)
	memorytest.Run(t, func(t *testing.T) memory.Store {
		servers.Count(t, servers.NameDynamoDBLocal)
		return store
	})
	t.Logf("throttled %d, lost %d, let through %d", weather.throttled.Load(), weather.lost.Load(), weather.let.Load())
	require.Greater(t, weather.throttled.Load(), weather.let.Load()/10)
	require.Greater(t, weather.lost.Load(), weather.let.Load()/10)
}

func TestManyWritersInAStormKeepEveryRecordOnce(t *testing.T) {
	client := servers.DynamoDBLocal(t)
	table := memoryTable(t, client)
	key := memory.Key{Tenant: "acme", App: "app", User: "ada", Session: "storm"}
	const writers, each = 16, 15
	var wg sync.WaitGroup
	for w := range writers {
		store := memoryStore(t, (&storm{throttle: 0.4, lose: 0.2}).client(client), table, nil)
		wg.Go(func() {
			for i := range each {
				name := fmt.Sprint(w, "/", i)
				if err := appendTo(t.Context(), store, key, name, &memory.AppendOptions{RequestID: name}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	found := map[string]int{}
	for _, text := range textsOf(t, memoryStore(t, client, table, nil), key) {
		found[text]++
	}
	require.Len(t, found, writers*each)
	for name, n := range found {
		require.Equal(t, 1, n, name)
	}
}

// A storm that does not end is an error of its kind, and nothing is written.
func TestAStormWithoutEndIsThrottling(t *testing.T) {
	client := servers.DynamoDBLocal(t)
	table := memoryTable(t, client)
	key := memory.Key{User: "ada", Session: "s"}
	quiet := memoryStore(t, client, table, nil)
	require.NoError(t, appendFive(t.Context(), quiet, key))
	store := memoryStore(t, (&storm{throttle: 1}).client(client), table, nil)
	for name, err := range map[string]error{
		"Append": appendTo(t.Context(), store, key, "a", nil),
		"Update": updateTo(t.Context(), store, key, memory.SetTitle{Title: "t"}),
		"Delete": store.Delete(t.Context(), key),
	} {
		require.ErrorIs(t, err, memory.ErrThrottled, name)
	}
	_, err := store.Open(t.Context(), key, nil)
	require.ErrorIs(t, err, memory.ErrThrottled)
	for _, err := range store.Records(t.Context(), key, nil) {
		require.ErrorIs(t, err, memory.ErrThrottled)
	}
	require.Equal(t, fiveTexts, textsOf(t, quiet, key))
	require.Empty(t, windowOf(t, quiet, key).Head.Title)
}

// Machines whose clocks are off, but by less than a minute, write to one session in
// the order in which they see it. One that is further off writes nothing.
func TestMachinesWithOtherClocksThanTheService(t *testing.T) {
	client := servers.DynamoDBLocal(t)
	table := memoryTable(t, client)
	key := memory.Key{User: "ada", Session: "s"}
	at := func(ahead time.Duration) *dynamomemory.Store {
		return memoryStore(t, (&storm{ahead: ahead}).client(client), table, nil)
	}
	near := []*dynamomemory.Store{at(-58 * time.Second), at(0), at(58 * time.Second)}
	var want []string
	for i := range 9 {
		text := fmt.Sprint(i)
		_, err := near[i%3].Open(t.Context(), key, nil) // each has seen what the one before has written
		if i > 0 {
			require.NoError(t, err)
		}
		require.NoError(t, appendTo(t.Context(), near[i%3], key, text, nil))
		want = append(want, text)
	}
	for _, ahead := range []time.Duration{-70 * time.Second, 70 * time.Second, 24 * time.Hour, -24 * time.Hour} {
		far := at(ahead)
		_, err := far.Open(t.Context(), key, nil) // the first answer says how wrong the clock is
		require.NoError(t, err, "reads go on")
		require.ErrorIs(t, appendTo(t.Context(), far, key, "far", nil), memory.ErrClockSkew, ahead)
		require.ErrorIs(t, updateTo(t.Context(), far, key, memory.SetTitle{Title: "far"}), memory.ErrClockSkew, ahead)
		unread := at(ahead) // a new process that writes before it reads
		require.ErrorIs(t, appendTo(t.Context(), unread, key, "far", nil), memory.ErrClockSkew, ahead)
	}
	require.Equal(t, want, textsOf(t, near[1], key))
	require.Empty(t, windowOf(t, near[1], key).Head.Title)
}
