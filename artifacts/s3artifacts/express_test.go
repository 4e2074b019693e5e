package s3artifacts_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/artifactstest"
	"github.com/genaistore/genaistore/artifacts/s3artifacts"
	"github.com/genaistore/genaistore/internal/awsfake"
)

const zone = "hot--use1-az4--x-s3"

func express() *s3artifacts.Options { return &s3artifacts.Options{Hot: zone, PartSize: 5 << 20} }

func TestSuiteWithAHotTier(t *testing.T) {
	artifactstest.Run(t, func(t *testing.T) artifacts.Store { return open(t, awsfake.NewS3("bucket", zone).Client(), express()) })
}

// below counts the objects of a bucket that are bytes of files.
func below(t *testing.T, client *s3.Client, bucket string) (n int) {
	t.Helper()
	out, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: new(tamperedBase)})
	require.NoError(t, err)
	for _, o := range out.Contents {
		if strings.Contains(*o.Key, "/b/") {
			n++
		}
	}
	return n
}

func durable(t *testing.T, store artifacts.Store) string {
	t.Helper()
	out := ""
	for v, err := range store.List(t.Context(), artifacts.Query{Tenant: ranker.Tenant}) {
		require.NoError(t, err)
		if v.Durable {
			out = fmt.Sprint(v.ID.Number, " ", out)
		}
	}
	return strings.TrimSpace(out)
}

// broken makes every request to a bucket fail.
func broken(bucket string) awsfake.Interceptor {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if strings.HasPrefix(r.URL.Host, bucket) {
			awsfake.Fail(w, r, http.StatusServiceUnavailable, "ServiceUnavailable", "the zone is down")
			return true
		}
		return false
	}
}

func TestFilesLandInTheHotTierAndSettle(t *testing.T) {
	fake := awsfake.NewS3("bucket", zone)
	client := fake.Client(func(o *s3.Options) { o.RetryMaxAttempts = 1 })
	store := open(t, client, express())
	weights := bytes.Repeat([]byte("0123456789abcdef"), 21<<16) // two leaves, several parts
	content := map[string][]byte{"weights": weights, "config": []byte("{}")}
	p := publish(t, store, artifacts.Files(content), nil)
	require.False(t, p.Version.Durable)
	require.Equal(t, []int{2, 0}, []int{below(t, client, zone), below(t, client, "bucket")})
	p = publish(t, store, artifacts.Files(content), nil)
	require.Zero(t, p.Sent)
	require.False(t, p.Version.Durable, "it has files of one that is not")

	// A reader needs to know nothing of a hot tier, while there is one.
	reader := open(t, client, nil)
	read := func(n int64) error {
		data, err := fs.ReadFile(artifacts.FS(t.Context(), reader, artifacts.ID{Name: ranker, Number: n}), "weights")
		if err == nil {
			require.True(t, bytes.Equal(weights, data))
		}
		return err
	}
	require.NoError(t, read(1))
	fake.Intercept(broken(zone))
	require.ErrorIs(t, read(1), artifacts.ErrThrottled)
	fake.Intercept(nil)

	done, err := store.Settle(t.Context(), ranker, nil)
	require.NoError(t, err)
	require.Equal(t, s3artifacts.Settled{Versions: 2, Objects: 2}, done)
	require.Equal(t, "1 2", durable(t, open(t, client, nil)))
	require.Equal(t, []int{2, 2}, []int{below(t, client, zone), below(t, client, "bucket")})
	done, err = store.Settle(t.Context(), ranker, nil)
	require.NoError(t, err)
	require.Zero(t, done, "a second time changes nothing")
	fake.Intercept(broken(zone))
	require.NoError(t, read(1), "home has it")
	fake.Intercept(nil)

	// The hot tier keeps the last two versions, and what an alias points at.
	_, err = store.Apply(t.Context(), ranker, artifacts.SetAlias{Alias: "live", Version: 1})
	require.NoError(t, err)
	for i := range 3 {
		publish(t, store, files("w", fmt.Sprint(i)), nil)
	}
	require.Equal(t, "1 2", durable(t, open(t, client, nil)))
	done, err = store.Settle(t.Context(), ranker, nil)
	require.NoError(t, err)
	require.Equal(t, s3artifacts.Settled{Versions: 3, Objects: 3, Released: 2}, done)
	done2, err := store.Collect(t.Context(), ranker, atOnce)
	require.NoError(t, err)
	require.Positive(t, done2.Deleted)
	require.Equal(t, []int{4, 5}, []int{below(t, client, zone), below(t, client, "bucket")}, "version 2 has what 1 has; of 3 home alone has its file")
	for n := range int64(5) {
		_, err := artifacts.Manifest(t.Context(), reader, artifacts.ID{Name: ranker, Number: n + 1})
		require.NoError(t, err)
	}
	require.NoError(t, read(2))
	require.NoError(t, everything(t.Context(), open(t, client, nil)))
	_, err = store.Apply(t.Context(), ranker, artifacts.RemoveAlias{Alias: "live"}, artifacts.Delete{})
	require.NoError(t, err)
	_, err = store.Collect(t.Context(), ranker, atOnce)
	require.NoError(t, err)
	require.Equal(t, []int{0, 0}, []int{below(t, client, zone), below(t, client, "bucket")})
}

// What was open before it moved is read where it is now.
func TestAFileIsReadWhereItMoved(t *testing.T) {
	fake := awsfake.NewS3("bucket", zone)
	client := fake.Client()
	store := open(t, client, express())
	publish(t, store, files("w", "1"), nil)
	reader := open(t, client, nil)
	f, err := reader.Open(t.Context(), artifacts.ID{Name: ranker, Number: 1}, "w")
	require.NoError(t, err)
	publish(t, store, files("w", "2"), nil)
	publish(t, store, files("w", "3"), nil)
	for range 2 { // settles it, and then lets go of it
		_, err = store.Settle(t.Context(), ranker, &s3artifacts.SettleOptions{Last: 1})
		require.NoError(t, err)
	}
	_, err = store.Collect(t.Context(), ranker, atOnce)
	require.NoError(t, err)
	require.Equal(t, 1, below(t, client, zone))
	data := make([]byte, 1)
	_, err = f.ReadAt(data, 0)
	require.NoError(t, err)
	require.Equal(t, "1", string(data))
}

// A collector finds copies that no version has yet, and deletes them at once or later.
func TestACopyThatWasCondemnedIsMadeAgain(t *testing.T) {
	for _, grace := range []time.Duration{s3artifacts.Never, time.Hour} {
		fake := awsfake.NewS3("bucket", zone)
		client := fake.Client()
		store := open(t, client, express())
		publish(t, store, files("w", "1"), nil)
		var once atomic.Bool
		fake.Intercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			if records(r) && once.CompareAndSwap(false, true) {
				fake.Intercept(nil)
				done, err := open(t, client, express()).Collect(t.Context(), ranker, &s3artifacts.CollectOptions{Age: s3artifacts.Never, Grace: grace})
				require.NoError(t, err)
				require.Equal(t, 2, done.Condemned, "the copy, and the list that names it")
			}
			return false
		})
		done, err := store.Settle(t.Context(), ranker, nil)
		require.NoError(t, err)
		require.True(t, once.Load())
		require.Equal(t, s3artifacts.Settled{Versions: 1, Objects: 2}, done)
		_, err = store.Collect(t.Context(), ranker, atOnce)
		require.NoError(t, err)
		fake.Intercept(broken(zone))
		require.Equal(t, map[string]string{"1/w": "1"}, content(t, open(t, fake.Client(func(o *s3.Options) { o.RetryMaxAttempts = 1 }), nil)))
	}
}

func TestCrashWhileSettling(t *testing.T) {
	points := everyCrash(t, func(t *testing.T, store *s3artifacts.Store) {
		publish(t, store, files("a", "1", "b", "shared"), nil)
		publish(t, store, files("a", "2", "b", "shared"), nil)
	}, func(ctx context.Context, store *s3artifacts.Store) error {
		_, err := store.Settle(ctx, ranker, &s3artifacts.SettleOptions{Last: 1})
		return err
	}, func(t *testing.T, store *s3artifacts.Store) {
		want := map[string]string{"1/a": "1", "1/b": "shared", "2/a": "2", "2/b": "shared"}
		require.Equal(t, want, content(t, store))
		for range 2 {
			_, err := store.Settle(t.Context(), ranker, &s3artifacts.SettleOptions{Last: 1})
			require.NoError(t, err)
			_, err = store.Collect(t.Context(), ranker, atOnce)
			require.NoError(t, err)
		}
		require.Equal(t, "1 2", durable(t, store))
		require.Equal(t, want, content(t, store))
	}, func(o *s3artifacts.Options) { o.Hot = zone })
	require.Greater(t, points, 8)
	t.Logf("%d points", points)
}
