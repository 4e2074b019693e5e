package s3index_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3vectors"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/meter"
	"github.com/genaistore/genaistore/vectors"
	"github.com/genaistore/genaistore/vectors/s3index"
)

func loaded(t *testing.T, fake *awsfake.Vectors, n int, opts *s3index.Options) *s3index.Index {
	t.Helper()
	x := open(t, create(t, fake, plain), opts)
	_, err := x.Put(t.Context(), numbered(n), nil)
	require.NoError(t, err)
	return x
}

func query(t *testing.T, x vectors.Index, q vectors.Query) []vectors.Match {
	t.Helper()
	found, err := tryQuery(t.Context(), x, q)
	require.NoError(t, err)
	return found
}

func tryQuery(ctx context.Context, x vectors.Index, q vectors.Query) (found []vectors.Match, err error) {
	q.Vector = []float32{1, 0, 0}
	for m, err := range x.Query(ctx, q) {
		if err != nil {
			return found, err
		}
		found = append(found, m)
	}
	return found, nil
}

func TestCallsCostWhatTheyMust(t *testing.T) {
	x := loaded(t, newFake(t), 2500, fast())
	ctx := t.Context()
	keys := make([]string, 2500)
	for i := range keys {
		keys[i] = fmt.Sprintf("%05d", i)
	}
	each := func(seq func(yield func(vectors.Vector, error) bool)) func(context.Context) error {
		return func(context.Context) error {
			for _, err := range seq {
				if err != nil {
					return err
				}
			}
			return nil
		}
	}
	tests := []struct {
		name     string
		requests int64
		call     func(context.Context) error
	}{
		{"a Put of 1,203", 3, func(ctx context.Context) error { _, err := x.Put(ctx, numbered(1203), nil); return err }},
		{"a Get of 250", 3, func(ctx context.Context) error { _, err := x.Get(ctx, keys[:250], nil); return err }},
		{"a Get of nothing", 0, func(ctx context.Context) error { _, err := x.Get(ctx, nil, nil); return err }},
		{"a query of ten", 1, func(ctx context.Context) error { _, err := tryQuery(ctx, x, vectors.Query{}); return err }},
		{"a query of 730", 8, func(ctx context.Context) error { _, err := tryQuery(ctx, x, vectors.Query{TopK: 730}); return err }},
		{"a query of ten with data", 2, func(ctx context.Context) error {
			_, err := tryQuery(ctx, x, vectors.Query{Fields: vectors.Everything})
			return err
		}},
		{"a query that selects nothing", 0, func(ctx context.Context) error {
			_, err := tryQuery(ctx, x, vectors.Query{Filter: vectors.Or()})
			return err
		}},
		{"a query of 250 in parts", 3, func(ctx context.Context) error {
			ids := make([]int, 250)
			for i := range ids {
				ids[i] = i
			}
			found, err := tryQuery(ctx, x, vectors.Query{Filter: vectors.In("n", ids...), TopK: 20})
			require.Len(t, found, 20)
			return err
		}},
		{"a list that is left at once", 1, func(ctx context.Context) error {
			for _, err := range x.List(ctx, nil) {
				return err
			}
			return nil
		}},
		{"a delete of 1,200 keys", 3, func(ctx context.Context) error {
			_, err := x.Delete(ctx, vectors.Selection{Keys: keys[:1200]}, nil)
			return err
		}},
		{"a dry delete of keys", 0, func(ctx context.Context) error {
			_, err := x.Delete(ctx, vectors.Selection{Keys: keys[:1200]}, &vectors.DeleteOptions{DryRun: true})
			return err
		}},
		{"the first Describe", 1, func(ctx context.Context) error { _, err := x.Describe(ctx); return err }},
		{"the next", 0, func(ctx context.Context) error { _, err := x.Describe(ctx); return err }},
	}
	for _, tt := range tests {
		var m meter.Meter
		require.NoError(t, tt.call(meter.With(ctx, &m)), tt.name)
		require.Equal(t, tt.requests, m.Cost().Requests, tt.name)
		if tt.requests > 1 {
			require.Positive(t, m.Cost().BytesSent, tt.name)
			require.Positive(t, m.Cost().BytesReceived, tt.name)
		}
	}
	var m meter.Meter
	require.NoError(t, each(x.List(meter.With(ctx, &m), nil))(ctx))
	require.EqualValues(t, 1+16, m.Cost().Requests, "a page to see that there are more, and a page of each segment")
}

func TestAQueryGoesOnWhenItsTokenExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := awsfake.NewVectors()
		x := loaded(t, fake, 450, fast())
		fake.Options.TokenLife = time.Minute
		n := 0
		for m, err := range x.Query(t.Context(), vectors.Query{Vector: []float32{1, 0, 0}, TopK: 400}) {
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("%05d", n), m.Key)
			if n++; n%150 == 0 {
				time.Sleep(time.Hour)
				nearer := vectors.Vector{Key: fmt.Sprint("came at ", n), Data: []float32{1, 0.0001, 0}}
				_, err := x.Put(t.Context(), vectors.Of(nearer), nil)
				require.NoError(t, err)
			}
		}
		require.InDelta(t, 400, n, 2, "what came took the places of the farthest")
	})
}

// Between a query and the read of what it found, some of it may go. A server that
// names it all the same, without data, must not make a match of it.
func TestAMatchThatIsDeletedBeforeItIsReadIsLeftOut(t *testing.T) {
	for name, absentNamed := range map[string]bool{"where absent keys are left out": false, "where absent keys are named": true} {
		t.Run(name, func(t *testing.T) {
			fake := newFake(t)
			x := loaded(t, fake, 30, fast())
			fake.Options.NamesAbsent = absentNamed
			fake.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
				if awsfake.Operation(r) != "QueryVectors" {
					return false
				}
				next.ServeHTTP(w, r)
				_, err := fake.Client().DeleteVectors(t.Context(), &s3vectors.DeleteVectorsInput{VectorBucketName: new("bucket"), IndexName: new("docs"), Keys: []string{"00001", "00003"}})
				require.NoError(t, err)
				return true
			})
			var keys []string
			for _, m := range query(t, x, vectors.Query{TopK: 5, Fields: vectors.Everything}) {
				require.Len(t, m.Data, 3, m.Key)
				keys = append(keys, m.Key)
			}
			require.Equal(t, []string{"00000", "00002", "00004"}, keys)
		})
	}
}

func TestAQueryWhosePagesNeverEndDoes(t *testing.T) {
	fake := newFake(t)
	x := loaded(t, fake, 5, fast())
	pages := 0
	fake.Intercept(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
		pages++
		fmt.Fprintf(w, `{"vectors":[{"key":"00001","distance":0}],"nextToken":"%d"}`, pages)
		return true
	})
	found, err := tryQuery(t.Context(), x, vectors.Query{TopK: 40})
	require.ErrorIs(t, err, vectors.ErrCorrupt)
	require.Len(t, found, 1)
}

func TestAQueryWhosePagesAreRefusedEnds(t *testing.T) {
	fake := newFake(t)
	x := loaded(t, fake, 450, fast())
	fake.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		late := strings.Contains(bodyOf(r), "nextToken")
		if late {
			awsfake.Fail(w, r, http.StatusBadRequest, "ValidationException", "no")
		}
		return late
	})
	found, err := tryQuery(t.Context(), x, vectors.Query{TopK: 400})
	require.ErrorIs(t, err, vectors.ErrInvalid)
	require.Len(t, found, 100)
}

func TestFiltersAreSentSoThatTheyHaveOneReading(t *testing.T) {
	fake := newFake(t) // which fails the test if they have not
	x := loaded(t, fake, 60, fast())
	_, err := x.Put(t.Context(), vectors.Of(
		vectors.Vector{Key: "list", Data: []float32{1, 0, 0}, Metadata: vectors.Metadata{"n": []any{1.0, 50.0}, "s": []any{"ab"}}},
		vectors.Vector{Key: "none", Data: []float32{1, 0, 0}},
	), nil)
	require.NoError(t, err)
	many := make([]int, 150)
	for i := range many {
		many[i] = i + 10
	}
	for _, f := range []vectors.Filter{
		vectors.NotEqual("n", 3), vectors.NotIn("n", 1, 2), vectors.Less("n", 5), vectors.AtLeast("n", 20), vectors.StartsWith("s", "a"),
		vectors.OrMissing(vectors.NotEqual("n", 3)), vectors.NotIn("n", many...), vectors.And(vectors.NotIn("n", many...), vectors.Equal("odd", true)),
		vectors.Or(vectors.NotIn("n", many...), vectors.Equal("odd", true)), vectors.In("n", many...),
	} {
		want := map[string]bool{}
		for v, err := range x.List(t.Context(), &vectors.ListOptions{Filter: f}) {
			require.NoError(t, err)
			want[v.Key] = true
		}
		for _, fields := range []vectors.Fields{vectors.KeysOnly, vectors.Everything} {
			got := map[string]bool{}
			for _, m := range query(t, x, vectors.Query{TopK: 1000, Filter: f, Fields: fields}) {
				got[m.Key] = true
				require.Equal(t, fields.Metadata(), m.Metadata != nil)
				require.Equal(t, fields.Data(), m.Data != nil)
			}
			require.Equal(t, want, got, "%+v", f)
		}
	}
}

func TestTheModeIsSentWithEachQuery(t *testing.T) {
	fake := newFake(t)
	fake.Options.Classic = true
	x := loaded(t, fake, 5, fast())
	var modes []string
	fake.Intercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		var in struct{ QueryMode string }
		if err := json.Unmarshal([]byte(bodyOf(r)), &in); err == nil && awsfake.Operation(r) == "QueryVectors" {
			modes = append(modes, in.QueryMode)
		}
		return false
	})
	query(t, x, vectors.Query{})
	query(t, x, vectors.Query{Filter: vectors.StartsWith("s", "a")})
	enhanced := fast()
	enhanced.QueryMode = s3index.Enhanced
	query(t, open(t, fake.Client(), enhanced), vectors.Query{})
	require.Equal(t, []string{"", "ENHANCED", "ENHANCED"}, modes)

	require.NoError(t, s3index.UpdateMode(t.Context(), fake.Client(), "bucket", "docs", s3index.Enhanced))
	classic := fast()
	classic.QueryMode = s3index.Classic
	_, err := tryQuery(t.Context(), open(t, fake.Client(), classic), vectors.Query{})
	require.ErrorIs(t, err, vectors.ErrInvalid)
	require.ErrorContains(t, err, "queryMode cannot be CLASSIC when indexMode is ENHANCED")
}

func TestDeniedQueriesSayWhatTheyNeed(t *testing.T) {
	fake := newFake(t)
	x := loaded(t, fake, 5, fast())
	fake.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		awsfake.Fail(w, r, http.StatusForbidden, "AccessDeniedException", "not authorized")
		return true
	})
	_, err := tryQuery(t.Context(), x, vectors.Query{})
	require.ErrorIs(t, err, vectors.ErrDenied)
	require.ErrorContains(t, err, "s3vectors:GetVectors")
}

func TestAListInSegmentsYieldsEachOnce(t *testing.T) {
	for _, segments := range []int{1, 2, 16} {
		fake := newFake(t)
		opts := fast()
		opts.Segments = segments
		x := loaded(t, fake, 5200, opts)
		var busy, most atomic.Int32
		fake.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
			most.Store(max(most.Load(), busy.Add(1)))
			next.ServeHTTP(w, r)
			busy.Add(-1)
			return true
		})
		seen := map[string]int{}
		for v, err := range x.List(t.Context(), nil) {
			require.NoError(t, err)
			seen[v.Key]++
		}
		require.Len(t, seen, 5200)
		for key, n := range seen {
			require.Equal(t, 1, n, key)
		}
		left := 0
		for range x.List(t.Context(), nil) {
			if left++; left == 3000 {
				break
			}
		}
		require.LessOrEqual(t, int(most.Load()), segments)
	}
}

func TestAnErrorOfOneSegmentEndsTheList(t *testing.T) {
	fake := newFake(t)
	x := loaded(t, fake, 3000, fast())
	fake.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		bad := strings.Contains(bodyOf(r), `"segmentIndex":7`)
		if bad {
			awsfake.Fail(w, r, http.StatusForbidden, "AccessDeniedException", "no")
		}
		return bad
	})
	var last error
	for _, err := range x.List(t.Context(), nil) {
		last = err
	}
	require.ErrorIs(t, last, vectors.ErrDenied)
	_, err := x.Delete(t.Context(), vectors.Selection{Filter: vectors.Exists("n")}, nil)
	require.ErrorIs(t, err, vectors.ErrDenied)
}

func TestAListWhoseTokenIsRefusedSaysWhatToDo(t *testing.T) {
	fake := newFake(t)
	opts := fast()
	opts.Segments = 1
	x := loaded(t, fake, 1500, opts)
	fake.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		late := strings.Contains(bodyOf(r), "nextToken")
		if late {
			awsfake.Fail(w, r, http.StatusBadRequest, "ValidationException", "The nextToken has expired")
		}
		return late
	})
	n := 0
	var last error
	for _, err := range x.List(t.Context(), nil) {
		if last = err; err == nil {
			n++
		}
	}
	require.Equal(t, 1000, n)
	require.ErrorIs(t, last, vectors.ErrInvalid)
	require.ErrorContains(t, last, "list again")
}

func TestADeletionKeepsToTheRateToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := loaded(t, awsfake.NewVectors(), 5000, nil)
		start := time.Now()
		report, err := x.Delete(t.Context(), vectors.Selection{All: true}, nil)
		require.NoError(t, err)
		require.Equal(t, 5000, report.Done)
		require.InDelta(t, 2, time.Since(start).Seconds(), 0.3)
	})
}

func TestDistancesAreThoseOfTheService(t *testing.T) {
	x := loaded(t, newFake(t), 100, fast())
	for i, m := range query(t, x, vectors.Query{TopK: 100}) {
		require.InDelta(t, 1-math.Cos(math.Pi*float64(i)/100), m.Distance, 1e-6)
	}
}

func TestACorruptAnswerIsSaidToBe(t *testing.T) {
	fake := newFake(t)
	x := loaded(t, fake, 5, fast())
	fake.Intercept(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
		w.Write([]byte(`{"vectors":[{"key":"a"`))
		return true
	})
	_, err := x.Get(t.Context(), []string{"a"}, nil)
	require.ErrorIs(t, err, vectors.ErrCorrupt)
}

var _ s3index.Client = (*s3vectors.Client)(nil)
