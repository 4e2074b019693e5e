package s3artifacts_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/s3artifacts"
	"github.com/genaistore/genaistore/internal/awsfake"
)

var atOnce = &s3artifacts.CollectOptions{Age: s3artifacts.Never, Grace: s3artifacts.Never}

// A process that knows what the versions have forgets it with the last of them.
func TestContentOfVersionsThatAreAllDeletedIsSentAgain(t *testing.T) {
	store := open(t, awsfake.NewS3("bucket").Client(), nil)
	publish(t, store, files("w", "1"), nil)
	require.Zero(t, publish(t, store, files("w", "1"), nil).Sent)
	_, err := store.Apply(t.Context(), ranker, artifacts.Delete{})
	require.NoError(t, err)
	done, err := store.Collect(t.Context(), ranker, &s3artifacts.CollectOptions{Age: s3artifacts.Never})
	require.NoError(t, err)
	require.Equal(t, 1, done.Condemned)
	p := publish(t, store, files("w", "1"), nil)
	require.Equal(t, int64(1), p.Sent)
	_, err = store.Collect(t.Context(), ranker, atOnce)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"3/w": "1"}, content(t, store))
}

// A collector and a publisher share what their process knows of the log. A version
// that becomes visible while the collector reads what is in use must not hide behind
// a number of the log that the collector has not looked at.
func TestACollectorCountsTheLogBeforeItAsksWhatIsInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := awsfake.NewS3("bucket")
		other, store := open(t, fake.Client(), nil), open(t, fake.Client(), nil)
		publish(t, other, long("1"), nil)
		var first, second, third atomic.Bool
		held, release, published := make(chan struct{}), make(chan struct{}), make(chan struct{})
		fake.Intercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			switch {
			case records(r) && strings.HasSuffix(r.URL.Path, "2.json"):
				// Somebody else is first, with a list of files that the process has yet to read.
				if first.CompareAndSwap(false, true) {
					publish(t, other, long("2"), nil)
				}
			case records(r) && strings.HasSuffix(r.URL.Path, "3.json"):
				if second.CompareAndSwap(false, true) {
					close(held)
					<-release
				}
			case r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/m/"):
				select {
				case <-held:
					if third.CompareAndSwap(false, true) {
						close(release)
						<-published
					}
				default:
				}
			}
			return false
		})
		go func() {
			defer close(published)
			_, err := store.Publish(t.Context(), ranker, files("w", "new"), nil)
			if err != nil {
				t.Error(err)
			}
		}()
		<-held
		_, err := store.Collect(t.Context(), ranker, atOnce)
		require.NoError(t, err)
		<-published
		_, err = store.Collect(t.Context(), ranker, atOnce)
		require.NoError(t, err)
		require.Equal(t, "new", content(t, store)["3/w"])
	})
}

// A part may use files of a version that is deleted while the part waits for others.
func TestPartsThatWaitAreSpared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := open(t, awsfake.NewS3("bucket").Client(), nil)
		publish(t, store, files("shard-0", "0"), nil)
		time.Sleep(8 * 24 * time.Hour)
		rank := func(rank int, path, data string) artifacts.Publication {
			p, err := store.Publish(t.Context(), ranker, files(path, data), &artifacts.PublishOptions{ID: "step", Ranks: 2, Rank: rank})
			require.NoError(t, err)
			return p
		}
		require.Equal(t, int64(1), rank(0, "shard-0", "0").Reused)
		_, err := store.Apply(t.Context(), ranker, artifacts.Delete{Version: 1})
		require.NoError(t, err)
		done, err := store.Collect(t.Context(), ranker, &s3artifacts.CollectOptions{Grace: s3artifacts.Never})
		require.NoError(t, err)
		require.Zero(t, done.Condemned+done.Deleted, "the file is old, and the part that needs it is not")
		require.Empty(t, rank(1, "shard-1", "1").Pending)
		require.Equal(t, map[string]string{"2/shard-0": "0", "2/shard-1": "1"}, content(t, store))
		time.Sleep(8 * 24 * time.Hour)
		done, err = store.Collect(t.Context(), ranker, nil)
		require.NoError(t, err)
		require.Equal(t, 2, done.Condemned, "the parts, which are published")
	})
}

// Object Lock, or a policy, keeps a collector from deleting: it says so, nothing is
// lost, and the next one that may goes on.
func TestACollectorThatMayNotDelete(t *testing.T) {
	fake := awsfake.NewS3("bucket")
	store := open(t, fake.Client(), nil)
	publish(t, store, files("w", "1"), nil)
	publish(t, store, files("w", "2"), nil)
	_, err := store.Apply(t.Context(), ranker, artifacts.Delete{Version: 1})
	require.NoError(t, err)
	fake.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method == http.MethodDelete {
			awsfake.Fail(w, r, http.StatusForbidden, "AccessDenied", "Access Denied because object protected by object lock.")
		}
		return r.Method == http.MethodDelete
	})
	_, err = store.Collect(t.Context(), ranker, atOnce)
	require.ErrorIs(t, err, artifacts.ErrDenied)
	fake.Intercept(nil)
	require.Equal(t, map[string]string{"2/w": "2"}, content(t, store))
	done, err := store.Collect(t.Context(), ranker, atOnce)
	require.NoError(t, err)
	require.Equal(t, 1, done.Deleted)
}

func TestEverythingIsEncryptedWithTheKeyThatIsAskedFor(t *testing.T) {
	fake := awsfake.NewS3("bucket", zone)
	var written, hot atomic.Int64
	fake.Intercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		begins := r.Method == http.MethodPost && r.URL.Query().Has("uploads") || r.Method == http.MethodPut && !r.URL.Query().Has("partNumber")
		key := r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id")
		switch {
		case begins && strings.HasPrefix(r.URL.Host, zone):
			hot.Add(1)
			if key != "" {
				t.Errorf("%s %s: a directory bucket has one key", r.Method, r.URL.Path)
			}
		case begins:
			written.Add(1)
			if key != "key" || r.Header.Get("X-Amz-Server-Side-Encryption") != "aws:kms" {
				t.Errorf("%s %s is encrypted with %q", r.Method, r.URL.Path, key)
			}
		}
		return false
	})
	content := map[string][]byte{"small": []byte("1"), "large": make([]byte, 6<<20)}
	publish(t, open(t, fake.Client(), &s3artifacts.Options{KMSKeyID: "key", PartSize: 5 << 20}), artifacts.Files(content), nil)
	store := open(t, fake.Client(), &s3artifacts.Options{KMSKeyID: "key", PartSize: 5 << 20, Hot: zone})
	publish(t, store, artifacts.Files(map[string][]byte{"small": []byte("2"), "large": make([]byte, 7<<20)}), nil)
	_, err := store.Settle(t.Context(), ranker, nil)
	require.NoError(t, err)
	require.GreaterOrEqual(t, written.Load(), int64(10))
	require.Equal(t, int64(2), hot.Load())
}
