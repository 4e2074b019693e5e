package s3artifacts_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/s3artifacts"
	"github.com/genaistore/genaistore/internal/awsfake"
)

var ranker = artifacts.Name{Tenant: "acme", Path: "llm/ranker"}

func files(pairs ...string) fs.FS {
	m := map[string][]byte{}
	for pair := range slices.Chunk(pairs, 2) {
		m[pair[0]] = []byte(pair[1])
	}
	return artifacts.Files(m)
}

func publish(t testing.TB, store artifacts.Store, files fs.FS, opts *artifacts.PublishOptions) artifacts.Publication {
	t.Helper()
	p, err := store.Publish(t.Context(), ranker, files, opts)
	require.NoError(t, err)
	return p
}

// content is every file of every version that is visible, by version and path.
func content(t testing.TB, store artifacts.Store) map[string]string {
	t.Helper()
	out := map[string]string{}
	for v, err := range store.List(t.Context(), artifacts.Query{Tenant: ranker.Tenant}) {
		require.NoError(t, err)
		list, err := artifacts.Manifest(t.Context(), store, v.ID)
		require.NoError(t, err)
		require.Len(t, list, v.Files)
		for _, f := range list {
			data, err := fs.ReadFile(artifacts.FS(t.Context(), store, v.ID), f.Path)
			require.NoError(t, err)
			out[fmt.Sprintf("%d/%s", v.ID.Number, f.Path)] = string(data)
		}
	}
	return out
}

// killedAfter lets n requests through, the last of which counts but is not
// answered. After it there is no process any more.
func killedAfter(n int64, cancel context.CancelFunc) (awsfake.Interceptor, *atomic.Int64) {
	seen := &atomic.Int64{}
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		switch i := seen.Add(1); {
		case i < n:
			return false
		case i == n:
			next.ServeHTTP(w, r)
			cancel()
		}
		awsfake.Lose(w)
		return true
	}, seen
}

// everyCrash prepares a bucket, does something in a process that is killed after
// its first request, its second and so on, and hands what is left to check. It
// returns at how many points a process died.
func everyCrash(t *testing.T, prepare func(t *testing.T, store *s3artifacts.Store), do func(ctx context.Context, store *s3artifacts.Store) error, check func(t *testing.T, store *s3artifacts.Store), with ...func(*s3artifacts.Options)) int {
	t.Helper()
	options := func(opts s3artifacts.Options) *s3artifacts.Options {
		for _, set := range with {
			set(&opts)
		}
		return &opts
	}
	for n := int64(1); ; n++ {
		died := false
		synctest.Test(t, func(t *testing.T) {
			fake := awsfake.NewS3("bucket", zone)
			client := fake.Client(func(o *s3.Options) { o.Retryer = aws.NopRetryer{} })
			prepare(t, open(t, client, options(s3artifacts.Options{})))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			interceptor, seen := killedAfter(n, cancel)
			fake.Intercept(interceptor)
			err := do(ctx, open(t, client, options(s3artifacts.Options{Concurrency: 1})))
			fake.Intercept(nil)
			died = seen.Load() >= n
			if !died {
				require.NoError(t, err)
			}
			check(t, open(t, client, options(s3artifacts.Options{})))
		})
		if !died {
			return int(n) - 1
		}
	}
}

// long is so many files that their list is an object of its own.
func long(with string) fs.FS {
	m := map[string][]byte{}
	for i := range 300 {
		m[fmt.Sprintf("dir/a-rather-long-name-of-a-file-%03d.txt", i)] = []byte("same")
	}
	m["w"] = []byte(with)
	return artifacts.Files(m)
}

func TestCrashWhilePublishing(t *testing.T) {
	var before map[string]string
	opts := &artifacts.PublishOptions{ID: "step", With: []artifacts.Change{artifacts.SetAlias{Alias: "live"}}}
	points := everyCrash(t, func(t *testing.T, store *s3artifacts.Store) {
		publish(t, store, files("w", "1"), nil)
		before = content(t, store)
	}, func(ctx context.Context, store *s3artifacts.Store) error {
		_, err := store.Publish(ctx, ranker, long("2"), opts)
		return err
	}, func(t *testing.T, store *s3artifacts.Store) {
		left := content(t, store)
		if len(left) != len(before) {
			require.Len(t, left, len(before)+301, "whole or not at all")
		}
		p := publish(t, store, long("2"), opts)
		require.Equal(t, int64(2), p.Version.ID.Number)
		require.Equal(t, len(left) > len(before), p.Again)
		require.Len(t, content(t, store), len(before)+301)
		p = publish(t, store, files("w", "3"), nil)
		require.Equal(t, int64(3), p.Version.ID.Number)
	})
	require.Greater(t, points, 6)
	t.Logf("%d points", points)
}

func TestCrashWhilePublishingTheFirstVersion(t *testing.T) {
	points := everyCrash(t, func(*testing.T, *s3artifacts.Store) {}, func(ctx context.Context, store *s3artifacts.Store) error {
		_, err := store.Publish(ctx, ranker, files("a", "1", "b", "2"), nil)
		return err
	}, func(t *testing.T, store *s3artifacts.Store) {
		left := content(t, store)
		require.Contains(t, []int{0, 2}, len(left))
		publish(t, store, files("a", "1", "b", "2"), nil)
		require.Len(t, content(t, store), len(left)+2)
	})
	require.Greater(t, points, 4)
}

func TestCrashOfOneOfManyRanks(t *testing.T) {
	rank := func(ctx context.Context, store *s3artifacts.Store, rank int) (artifacts.Publication, error) {
		return store.Publish(ctx, ranker, files(fmt.Sprint("shard-", rank), fmt.Sprint(rank)), &artifacts.PublishOptions{ID: "step", Ranks: 3, Rank: rank})
	}
	points := everyCrash(t, func(t *testing.T, store *s3artifacts.Store) {
		for _, r := range []int{2, 0} {
			_, err := rank(t.Context(), store, r)
			require.NoError(t, err)
		}
	}, func(ctx context.Context, store *s3artifacts.Store) error {
		_, err := rank(ctx, store, 1)
		return err
	}, func(t *testing.T, store *s3artifacts.Store) {
		left := content(t, store)
		require.Contains(t, []int{0, 3}, len(left))
		// Any rank that comes again finishes what the one that died began.
		for _, r := range []int{0, 1} {
			_, err := rank(t.Context(), store, r)
			require.NoError(t, err)
		}
		require.Equal(t, map[string]string{"1/shard-0": "0", "1/shard-1": "1", "1/shard-2": "2"}, content(t, store))
		p, err := rank(t.Context(), store, 2)
		require.NoError(t, err)
		require.True(t, p.Again)
	})
	require.Greater(t, points, 6)
	t.Logf("%d points", points)
}

func TestCrashWhileCollecting(t *testing.T) {
	now := &s3artifacts.CollectOptions{Age: s3artifacts.Never, Grace: s3artifacts.Never}
	var before map[string]string
	points := everyCrash(t, func(t *testing.T, store *s3artifacts.Store) {
		publish(t, store, files("a", "1", "b", "shared"), nil)
		publish(t, store, files("a", "2", "b", "shared"), nil)
		publish(t, store, files("a", "3", "c", "gone"), nil)
		for _, n := range []int64{1, 3} {
			_, err := store.Apply(t.Context(), ranker, artifacts.Delete{Version: n})
			require.NoError(t, err)
		}
		before = content(t, store)
	}, func(ctx context.Context, store *s3artifacts.Store) error {
		_, err := store.Collect(ctx, ranker, now)
		return err
	}, func(t *testing.T, store *s3artifacts.Store) {
		require.Equal(t, before, content(t, store))
		publish(t, store, files("a", "1", "c", "gone"), nil)
		after := content(t, store)
		for range 2 {
			_, err := store.Collect(t.Context(), ranker, now)
			require.NoError(t, err)
			require.Equal(t, after, content(t, store))
		}
		done, err := store.Collect(t.Context(), ranker, now)
		require.NoError(t, err)
		require.Equal(t, s3artifacts.Collection{Objects: 4}, done, "nothing is left to do")
	})
	require.Greater(t, points, 8)
	t.Logf("%d points", points)
}

func Test64PublishersGet1To64(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := awsfake.NewS3("bucket").Client()
		var wg sync.WaitGroup
		var mu sync.Mutex
		got := map[int64]bool{}
		for i := range 64 {
			wg.Go(func() {
				p, err := open(t, client, nil).Publish(t.Context(), ranker, files("w", fmt.Sprint(i)), nil)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				got[p.Version.ID.Number] = true
			})
		}
		wg.Wait()
		require.Len(t, got, 64)
		require.True(t, got[1] && got[64])
		require.Len(t, content(t, open(t, client, nil)), 64)
	})
}

// records tells a write of the log from the others.
func records(r *http.Request) bool {
	return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/log/")
}

func TestAnAnswerThatIsLostIsLookedUp(t *testing.T) {
	for _, retries := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			fake := awsfake.NewS3("bucket")
			store := open(t, fake.Client(func(o *s3.Options) {
				if !retries {
					o.Retryer = aws.NopRetryer{}
				}
			}), nil)
			var lost atomic.Int64
			fake.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
				if !records(r) || lost.Add(1)%2 == 0 {
					return false
				}
				next.ServeHTTP(w, r)
				awsfake.Lose(w)
				return true
			})
			for i := range 4 {
				p := publish(t, store, files("w", fmt.Sprint(i)), nil)
				require.False(t, p.Again)
				require.Equal(t, int64(i+1), p.Version.ID.Number)
			}
			require.Positive(t, lost.Load())
			require.Len(t, content(t, store), 4)
		})
	}
}

func TestAStormOf409And503Ends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := awsfake.NewS3("bucket")
		var mu sync.Mutex
		tries := map[string]int{}
		fake.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			mu.Lock()
			tries[r.Method+r.URL.Path]++
			try := tries[r.Method+r.URL.Path]
			mu.Unlock()
			switch {
			case records(r) && try <= 3:
				awsfake.Fail(w, r, http.StatusConflict, "ConditionalRequestConflict", "another request is in progress")
				return true
			case try == 1:
				awsfake.Fail(w, r, http.StatusServiceUnavailable, "SlowDown", "please reduce your request rate")
				return true
			}
			return false
		})
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				if _, err := open(t, fake.Client(), nil).Publish(t.Context(), ranker, files("w", fmt.Sprint(i)), nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		fake.Intercept(nil)
		require.Len(t, content(t, open(t, fake.Client(), nil)), 16)
	})
}

func TestAStormThatDoesNotEndIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := awsfake.NewS3("bucket")
		store := open(t, fake.Client(), nil)
		fake.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			if records(r) {
				awsfake.Fail(w, r, http.StatusServiceUnavailable, "SlowDown", "please reduce your request rate")
			}
			return records(r)
		})
		_, err := store.Publish(t.Context(), ranker, files("w", "1"), nil)
		require.ErrorIs(t, err, artifacts.ErrThrottled)
		fake.Intercept(nil)
		require.Empty(t, content(t, store))
		publish(t, store, files("w", "1"), nil)
	})
}

// A stream of any length is sent as it comes; one that fails leaves nothing.
func TestStreamsAndLargeFilesAreSentInParts(t *testing.T) {
	fake := awsfake.NewS3("bucket")
	client := fake.Client()
	store := open(t, client, &s3artifacts.Options{PartSize: 5 << 20, Memory: 5 << 20})
	large := bytes.Repeat([]byte("0123456789abcdef"), 21<<16) // 21 MiB: two leaves, five parts
	p := publish(t, store, artifacts.Streams(map[string]io.Reader{"s": bytes.NewReader(large), "small": strings.NewReader("x")}), nil)
	require.Equal(t, int64(len(large)+1), p.Sent)
	p = publish(t, store, artifacts.Files(map[string][]byte{"f": large, "g": large}), nil)
	require.Zero(t, p.Sent, "content that is there is not sent")
	require.Equal(t, int64(2*len(large)), p.Reused)
	other := append(bytes.Clone(large), '!')
	p = publish(t, store, artifacts.Files(map[string][]byte{"f": other, "g": other}), nil)
	require.Equal(t, int64(len(other)), p.Sent)
	require.Equal(t, int64(len(other)), p.Reused)

	fresh := open(t, client, nil)
	f, err := fresh.Open(t.Context(), p.Version.ID, "g")
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	part := make([]byte, 100)
	_, err = f.ReadAt(part, artifacts.LeafSize-50)
	require.NoError(t, err)
	require.Equal(t, other[artifacts.LeafSize-50:artifacts.LeafSize+50], part)
	whole, err := io.ReadAll(f)
	require.NoError(t, err)
	require.True(t, bytes.Equal(other, whole))

	broken := io.MultiReader(bytes.NewReader(large), iotestErr{})
	_, err = store.Publish(t.Context(), ranker, artifacts.Streams(map[string]io.Reader{"s": broken}), nil)
	require.ErrorIs(t, err, errBroken)
	uploads, err := client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: new("bucket")})
	require.NoError(t, err)
	require.Empty(t, uploads.Uploads, "what failed was aborted")
}

var errBroken = errors.New("broken pipe")

type iotestErr struct{}

func (iotestErr) Read([]byte) (int, error) { return 0, errBroken }
