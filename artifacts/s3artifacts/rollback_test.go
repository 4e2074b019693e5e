package s3artifacts_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/s3artifacts"
	"github.com/genaistore/genaistore/internal/awsfake"
)

func TestOfTwoRollbacksOneRollsBack(t *testing.T) {
	inVault(t, func(x *vault) {
		t := x.T
		x.history()
		change := artifacts.Rollback{Alias: "live", Reason: "worse"}
		var once atomic.Bool
		x.fake.Intercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			if records(r) && once.CompareAndSwap(false, true) {
				x.fake.Intercept(nil)
				_, _, err := open(t, x.client, nil).Rollback(t.Context(), ranker, change, nil)
				require.NoError(t, err)
			}
			return false
		})
		_, _, err := x.store.Rollback(t.Context(), ranker, change, nil)
		require.ErrorIs(t, err, artifacts.ErrConflict)
		v, err := x.store.Resolve(t.Context(), artifacts.Ref{Name: ranker, Alias: "live"})
		require.NoError(t, err)
		require.Equal(t, int64(3), v.ID.Number, "back by one, not by two")
	})
}

// A process dies at each request of a rollback that keeps what was restored. Whoever
// comes after it ends with the same: the alias moved once, and the version stays.
func TestCrashWhileRollingBackOutOfAnArchive(t *testing.T) {
	change := artifacts.Rollback{Alias: "live", Reason: "worse"}
	keep := &s3artifacts.WarmOptions{Keep: true}
	points := 0
	for died := true; died; {
		points++
		synctest.Test(t, func(t *testing.T) {
			fake := awsfake.NewS3()
			client := fake.Client(func(o *s3.Options) { o.Retryer = aws.NopRetryer{} })
			_, err := s3artifacts.EnsureBucket(t.Context(), client, "bucket", &s3artifacts.BucketOptions{Archive: "GLACIER"})
			require.NoError(t, err)
			x := &vault{T: t, fake: fake, client: client, store: open(t, client, nil)}
			for _, own := range []string{"one", "two", "three"} {
				x.publish("live", "own", own)
			}
			time.Sleep(20 * aDay)
			x.tier(old)
			_, err = x.store.Apply(t.Context(), ranker, change)
			require.NoError(t, err, "version 2 is cold, and 1 archived")
			time.Sleep(aDay)
			_, w, err := x.store.Rollback(t.Context(), ranker, change, keep)
			require.ErrorIs(t, err, artifacts.ErrArchived)
			time.Sleep(time.Until(w.Ready))

			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			interceptor, seen := killedAfter(int64(points), cancel)
			fake.Intercept(interceptor)
			_, _, err = open(t, client, nil).Rollback(ctx, ranker, change, keep)
			fake.Intercept(nil)
			if died = seen.Load() >= int64(points); !died {
				require.NoError(t, err)
			}
			fresh := open(t, client, nil)
			if v, err := fresh.Resolve(t.Context(), artifacts.Ref{Name: ranker, Alias: "live"}); err == nil && v.ID.Number != 1 {
				_, _, err = fresh.Rollback(t.Context(), ranker, change, keep)
				require.NoError(t, err)
			}
			moves := 0
			for r, err := range fresh.History(t.Context(), ranker, nil) {
				require.NoError(t, err)
				for _, m := range r.Moved {
					if m.From == 2 && m.To == 1 {
						moves++
					}
				}
			}
			require.Equal(t, 1, moves)
			time.Sleep(30 * aDay)
			_, err = fresh.Collect(t.Context(), ranker, atOnce)
			require.NoError(t, err)
			require.NoError(t, x.read(1))
			require.Contains(t, x.ready(), "1")
		})
	}
	require.Greater(t, points, 12)
	t.Logf("%d points", points-1)
}
