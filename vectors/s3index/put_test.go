package s3index_test

import (
	"context"
	"fmt"
	"iter"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/vectors"
	"github.com/genaistore/genaistore/vectors/s3index"
)

var plain = vectors.Schema{Dimension: 3, NonFilterable: []string{"text"}}

// numbered yields n vectors that turn away from the first axis.
func numbered(n int) iter.Seq2[vectors.Vector, error] {
	return func(yield func(vectors.Vector, error) bool) {
		for i := range n {
			angle := math.Pi * float64(i) / float64(n)
			v := vectors.Vector{Key: fmt.Sprintf("%05d", i), Data: []float32{float32(math.Cos(angle)), float32(math.Sin(angle)), 0}, Metadata: vectors.Metadata{"n": i, "odd": i%2 == 1}}
			if !yield(v, nil) {
				return
			}
		}
	}
}

func count(t *testing.T, x vectors.Index) int {
	t.Helper()
	n := 0
	for _, err := range x.List(t.Context(), &vectors.ListOptions{Fields: vectors.KeysOnly}) {
		require.NoError(t, err)
		n++
	}
	return n
}

// sizes records how many vectors each request to put them has.
func sizes(fake *awsfake.Vectors, refuse func(body string, n int) (status int, code, message string)) func() []int {
	var mu sync.Mutex
	var all []int
	fake.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if awsfake.Operation(r) != "PutVectors" {
			return false
		}
		body := bodyOf(r)
		n := strings.Count(body, `"data":`)
		mu.Lock()
		all = append(all, n)
		mu.Unlock()
		if refuse == nil {
			return false
		}
		status, code, message := refuse(body, n)
		if status != 0 {
			awsfake.Fail(w, r, status, code, message)
		}
		return status != 0
	})
	return func() []int {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

func bodyOf(r *http.Request) string {
	var text strings.Builder
	buffer := make([]byte, 64<<10)
	for {
		n, err := r.Body.Read(buffer)
		text.Write(buffer[:n])
		if err != nil {
			return text.String()
		}
	}
}

func TestRequestsAreAsSmallAsTheServiceCanTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := awsfake.NewVectors()
		x := open(t, create(t, fake, plain), nil)
		fake.Options.Unavailable = 100
		report, err := x.Put(t.Context(), numbered(1203), nil)
		require.NoError(t, err)
		require.Equal(t, 1203, report.Done)
		require.Equal(t, 1203, count(t, x))
	})
}

func TestABodyThatIsTooLargeIsHalved(t *testing.T) {
	fake := newFake(t)
	x := open(t, create(t, fake, plain), fast())
	seen := sizes(fake, func(_ string, n int) (int, string, string) {
		if n > 150 {
			return http.StatusBadRequest, "ValidationException", "Request body exceeds max allowed size"
		}
		return 0, "", ""
	})
	report, err := x.Put(t.Context(), numbered(500), nil)
	require.NoError(t, err)
	require.Equal(t, 500, report.Done)
	require.Equal(t, []int{500, 250, 125, 125, 250, 125, 125}, seen())
}

func TestRequestsArePackedByBytes(t *testing.T) {
	fake := newFake(t)
	opts := fast()
	opts.BodyBytes = 10_000
	x := open(t, create(t, fake, plain), opts)
	seen := sizes(fake, nil)
	fat := func(key string, n int) vectors.Vector {
		return vectors.Vector{Key: key, Data: []float32{1, 2, 3}, Metadata: vectors.Metadata{"text": strings.Repeat("x", n)}}
	}
	report, err := x.Put(t.Context(), vectors.Of(fat("a", 6000), fat("b", 3000), fat("c", 6000), fat("d", 20_000), fat("e", 9000), fat("f", 10)), nil)
	require.ErrorIs(t, err, vectors.ErrInvalid)
	require.Equal(t, 5, report.Done)
	require.Equal(t, "d", report.Rejected[0].Key)
	require.ElementsMatch(t, []int{2, 1, 2}, seen())
}

func TestABadRecordIsSetAsideByName(t *testing.T) {
	for name, refusal := range map[string]func(place int, key string) string{
		"by the key in the message":   func(_ int, key string) string { return "Invalid record for key '" + key + "': no reason" },
		"by its place in the list":    func(place int, _ string) string { return fmt.Sprintf("Value at 'vectors[%d].data' is bad", place) },
		"by nothing, so by searching": func(int, string) string { return "one of these is bad" },
	} {
		t.Run(name, func(t *testing.T) {
			fake := newFake(t)
			x := open(t, create(t, fake, plain), fast())
			const bad = "00734"
			seen := sizes(fake, func(body string, _ int) (int, string, string) {
				before, _, found := strings.Cut(body, `"`+bad+`"`)
				if !found {
					return 0, "", ""
				}
				return http.StatusBadRequest, "ValidationException", refusal(strings.Count(before, `"data":`), bad)
			})
			report, err := x.Put(t.Context(), numbered(10_000), nil)
			require.ErrorIs(t, err, vectors.ErrInvalid)
			require.Equal(t, 9999, report.Done)
			require.Len(t, report.Rejected, 1)
			require.Equal(t, bad, report.Rejected[0].Key)
			require.ErrorIs(t, report.Rejected[0].Err, vectors.ErrInvalid)
			fake.Intercept(nil)
			require.Equal(t, 9999, count(t, x))
			require.Less(t, len(seen()), 20+20)
		})
	}
}

func TestARequestThatIsBadAsAWholeIsNotTriedForEachVector(t *testing.T) {
	fake := newFake(t)
	x := open(t, create(t, fake, plain), fast())
	seen := sizes(fake, func(string, int) (int, string, string) {
		return http.StatusBadRequest, "ValidationException", "something about the request"
	})
	report, err := x.Put(t.Context(), numbered(500), nil)
	require.ErrorIs(t, err, vectors.ErrInvalid)
	require.Zero(t, report.Done)
	require.Less(t, len(seen()), 100)
}

func TestAPutWaitsForAServiceThatIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := awsfake.NewVectors()
		x := open(t, create(t, fake, plain), nil)
		start := time.Now()
		sizes(fake, func(string, int) (int, string, string) {
			if time.Since(start) < 5*time.Second {
				return http.StatusTooManyRequests, "TooManyRequestsException", "slow down"
			}
			return 0, "", ""
		})
		report, err := x.Put(t.Context(), numbered(700), nil)
		require.NoError(t, err)
		require.Equal(t, 700, report.Done)

		sizes(fake, func(string, int) (int, string, string) {
			return http.StatusTooManyRequests, "TooManyRequestsException", "slow down"
		})
		report, err = x.Put(t.Context(), numbered(100_000), nil)
		require.ErrorIs(t, err, vectors.ErrThrottled)
		require.Zero(t, report.Done)
		require.NotEmpty(t, report.Rejected)
		require.ErrorIs(t, report.Rejected[0].Err, vectors.ErrThrottled)
		require.Less(t, len(report.Rejected), 5000, "it does not go on against a wall")

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = x.Put(ctx, numbered(10), nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestALostAnswerIsNoLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := awsfake.NewVectors()
		x := open(t, create(t, fake, plain), nil)
		var lost atomic.Int32
		fake.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
			if awsfake.Operation(r) != "PutVectors" || lost.Add(1) > 2 {
				return false
			}
			next.ServeHTTP(w, r)
			awsfake.Lose(w)
			return true
		})
		report, err := x.Put(t.Context(), numbered(1200), nil)
		require.NoError(t, err)
		require.Equal(t, 1200, report.Done)
		require.Equal(t, 3, report.Requests-1, "retries of the client are not counted, reading the schema is")
	})
}

func TestTheLastOfAKeyWinsHoweverLongTheFirstTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := awsfake.NewVectors()
		x := open(t, create(t, fake, plain), fast())
		first := true
		fake.Intercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			if awsfake.Operation(r) == "PutVectors" && first {
				first = false
				time.Sleep(time.Minute)
			}
			return false
		})
		v := vectors.Vector{Key: "00001", Data: []float32{1, 2, 3}, Metadata: vectors.Metadata{"last": true}}
		seq := func(yield func(vectors.Vector, error) bool) {
			for w, err := range numbered(700) {
				if !yield(w, err) {
					return
				}
			}
			yield(v, nil)
		}
		report, err := x.Put(t.Context(), seq, nil)
		require.NoError(t, err)
		require.Equal(t, 701, report.Done)
		found, err := x.Get(t.Context(), []string{"00001"}, nil)
		require.NoError(t, err)
		require.Equal(t, vectors.Metadata{"last": true}, found[0].Metadata)
	})
}

func TestOtherErrorsOfTheServiceEndAPut(t *testing.T) {
	for code, want := range map[string]error{
		"AccessDeniedException": vectors.ErrDenied, "NotFoundException": vectors.ErrNotFound, "ServiceQuotaExceededException": vectors.ErrDenied,
		"KmsDisabledException": vectors.ErrDenied, "ConflictException": vectors.ErrConflict,
	} {
		fake := newFake(t)
		x := open(t, create(t, fake, plain), fast())
		seen := sizes(fake, func(string, int) (int, string, string) { return http.StatusBadRequest, code, "no" })
		report, err := x.Put(t.Context(), numbered(5000), nil)
		require.ErrorIs(t, err, want, code)
		require.Zero(t, report.Done)
		require.Less(t, len(seen()), 6)
	}
	_, err := open(t, awsfake.NewVectors().Client(), nil).Put(t.Context(), numbered(1), nil)
	require.ErrorIs(t, err, vectors.ErrNotFound)
	require.ErrorContains(t, err, "put bucket/docs: ")
}

func TestSkipEqualReadsMetadataAndWritesTheRest(t *testing.T) {
	fake := newFake(t)
	x := open(t, create(t, fake, plain), fast())
	_, err := x.Put(t.Context(), numbered(250), nil)
	require.NoError(t, err)
	seen := sizes(fake, nil)
	report, err := x.Put(t.Context(), numbered(300), &vectors.PutOptions{SkipEqual: "n"})
	require.NoError(t, err)
	require.Equal(t, 250, report.Skipped)
	require.Equal(t, 50, report.Done)
	require.Equal(t, []int{50}, seen())
	require.Equal(t, 3+1, report.Requests)
}

func TestNewRefusesWhatCannotBe(t *testing.T) {
	client := awsfake.NewVectors().Client()
	for _, name := range []string{"", "ab", "Docs", "a_b", "-ab", "ab-", strings.Repeat("a", 64)} {
		_, err := s3index.New(client, name, "docs", nil)
		require.ErrorIs(t, err, vectors.ErrInvalid, name)
		_, err = s3index.New(client, "bucket", name, nil)
		require.ErrorIs(t, err, vectors.ErrInvalid, name)
	}
	for _, o := range []s3index.Options{{QueryMode: "FAST"}, {Segments: 17}, {Segments: -1}, {Concurrency: -1}, {RequestsPerSecond: -1}, {VectorsPerSecond: -1}, {BodyBytes: -1}} {
		_, err := s3index.New(client, "bucket", "docs", &o)
		require.ErrorIs(t, err, vectors.ErrInvalid, "%+v", o)
	}
	_, err := s3index.New(client, "bucket", "docs.v2", nil)
	require.NoError(t, err)
}
