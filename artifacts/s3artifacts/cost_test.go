package s3artifacts_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/s3artifacts"
	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/meter"
)

// A counter counts requests by method and by the folder of their key.
type counter struct {
	mu    sync.Mutex
	count map[string]int
}

func (c *counter) intercept(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, below, inside := strings.Cut(r.URL.Path, "/=/")
	folder, _, _ := strings.Cut(below, "/")
	what := r.Method + " " + folder
	if !inside {
		what = r.Method + " name"
	}
	if strings.HasSuffix(r.URL.Path, "/_store.json") {
		what = r.Method + " store"
	}
	if r.URL.Query().Has("list-type") {
		what = "LIST"
	}
	if c.count == nil {
		c.count = map[string]int{}
	}
	c.count[what]++
	return false
}

// take returns what was counted, and begins again.
func (c *counter) take() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := fmt.Sprint(c.count)
	c.count = nil
	return strings.TrimPrefix(text, "map")
}

func TestWhatEachOperationCosts(t *testing.T) {
	fake := awsfake.NewS3("bucket")
	store := open(t, fake.Client(), nil)
	var c counter
	fake.Intercept(c.intercept)
	ctx := t.Context()

	publish(t, store, files("a", "1", "b", "2"), nil)
	require.Equal(t, "[GET head.json:1 GET log:1 GET snap:1 GET store:1 PUT b:2 PUT head.json:1 PUT log:1 PUT name:1 PUT store:2]", c.take(), "the first of a store")
	publish(t, store, files("a", "1", "b", "3"), &artifacts.PublishOptions{With: []artifacts.Change{artifacts.SetAlias{Alias: "live"}}})
	require.Equal(t, "[GET log:1 PUT b:1 PUT head.json:1 PUT log:1]", c.take(), "one new file")
	publish(t, store, files("a", "1", "b", "3"), &artifacts.PublishOptions{With: []artifacts.Change{artifacts.SetAlias{Alias: "live"}}})
	require.Equal(t, "[GET log:1 PUT head.json:1 PUT log:1]", c.take(), "unchanged files")
	publish(t, store, files("a", "1"), &artifacts.PublishOptions{ID: "step"})
	require.Equal(t, "[GET log:1 LIST:1 PUT head.json:1 PUT log:1]", c.take(), "with an ID")
	publish(t, open(t, fake.Client(), nil), files("a", "1"), &artifacts.PublishOptions{ID: "step"})
	require.Equal(t, "[GET head.json:1 GET log:2]", c.take(), "again, in another process")

	ref := artifacts.Ref{Name: ranker, Alias: "live"}
	v, err := store.Resolve(ctx, ref)
	require.NoError(t, err)
	require.Equal(t, "[GET log:1]", c.take(), "a warm resolve")
	_, err = open(t, fake.Client(), nil).Resolve(ctx, ref)
	require.NoError(t, err)
	require.Equal(t, "[GET head.json:1 GET log:1]", c.take(), "a cold resolve")

	_, err = store.Apply(ctx, ranker, artifacts.Rollback{Alias: "live", Reason: "worse"})
	require.NoError(t, err)
	require.Equal(t, "[GET log:1 PUT head.json:1 PUT log:1]", c.take(), "a rollback: 1 GET and 1 PUT, and the hint")
	_, err = store.Apply(ctx, ranker, artifacts.SetAlias{Alias: "live", Version: 2})
	require.NoError(t, err)
	require.Equal(t, "[GET log:1]", c.take(), "a change that changes nothing")

	f, err := store.Open(ctx, v.ID, "a")
	require.NoError(t, err)
	require.Equal(t, "[GET log:1]", c.take(), "open")
	for range 3 {
		_, err = f.ReadAt(make([]byte, 1), 0)
		require.NoError(t, err)
	}
	require.Equal(t, "[GET b:1]", c.take(), "a leaf is read once")

	for range store.List(ctx, artifacts.Query{Tenant: "acme"}) {
	}
	require.Equal(t, "[GET log:1 LIST:1]", c.take(), "a list of one name")
}

func TestAListOfFilesOfItsOwn(t *testing.T) {
	fake := awsfake.NewS3("bucket")
	store := open(t, fake.Client(), nil)
	publish(t, store, long("1"), nil)
	var c counter
	fake.Intercept(c.intercept)
	publish(t, store, long("1"), nil)
	require.Equal(t, "[GET log:1 PUT head.json:1 PUT log:1]", c.take(), "301 unchanged files")
	cold := open(t, fake.Client(), nil)
	require.Zero(t, publish(t, cold, long("1"), nil).Sent)
	require.Equal(t, "[GET head.json:1 GET m:1 PUT head.json:1 PUT log:1]", c.take(), "the same, in another process: 4 requests")
	require.Zero(t, publish(t, cold, long("1"), nil).Sent)
	require.Equal(t, "[GET log:1 PUT head.json:1 PUT log:1]", c.take(), "and again")
	publish(t, store, long("2"), nil)
	require.Equal(t, "[GET log:4 PUT b:1 PUT head.json:1 PUT log:1 PUT m:1]", c.take(), "one of 301 files changed, and two records of another process, read ahead")
}

// A new process publishes on what the hint says, without a look for newer records:
// where the hint is old, its commit finds them and decides again.
func TestAPublishOnAnOldHintDecidesAgain(t *testing.T) {
	fake := awsfake.NewS3("bucket")
	store := open(t, fake.Client(), nil)
	live := []artifacts.Change{artifacts.SetAlias{Alias: "live"}}
	publish(t, store, files("w", "1"), &artifacts.PublishOptions{With: live})
	fake.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		lost := strings.HasSuffix(r.URL.Path, "head.json") && r.Method == http.MethodPut
		if lost {
			awsfake.Fail(w, r, http.StatusForbidden, "AccessDenied", "Access Denied")
		}
		return lost
	})
	publish(t, store, files("w", "2"), &artifacts.PublishOptions{With: live})
	p := publish(t, open(t, fake.Client(), nil), files("w", "3"), nil)
	require.Equal(t, int64(3), p.Version.ID.Number)
	p = publish(t, open(t, fake.Client(), nil), files("w", "4"), &artifacts.PublishOptions{With: []artifacts.Change{
		artifacts.Expect{Alias: "live", Version: 2}, artifacts.SetAlias{Alias: "live"},
	}})
	require.Equal(t, []artifacts.Move{{Alias: "live", From: 2, To: 4}}, p.Record.Moved, "the hint says that live is at 1")
	_, err := open(t, fake.Client(), nil).Publish(t.Context(), ranker, files("w", "5"), &artifacts.PublishOptions{With: []artifacts.Change{
		artifacts.Expect{Alias: "live", Version: 1}, artifacts.SetAlias{Alias: "live"},
	}})
	require.ErrorIs(t, err, artifacts.ErrConflict, "the hint agrees")
	require.Equal(t, map[string]string{"1/w": "1", "2/w": "2", "3/w": "3", "4/w": "4"}, content(t, store))
}

func TestMaxStaleAsksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := awsfake.NewS3("bucket")
		store := open(t, fake.Client(), &s3artifacts.Options{MaxStale: time.Minute})
		publish(t, store, files("a", "1"), nil)
		var m meter.Meter
		ctx := meter.With(t.Context(), &m)
		for range 3 {
			_, err := store.Resolve(ctx, artifacts.Ref{Name: ranker})
			require.NoError(t, err)
		}
		require.Zero(t, m.Cost().Requests)
		publish(t, open(t, fake.Client(), nil), files("a", "2"), nil)
		time.Sleep(2 * time.Minute)
		v, err := store.Resolve(ctx, artifacts.Ref{Name: ranker})
		require.NoError(t, err)
		require.Equal(t, int64(2), v.ID.Number)
		require.Equal(t, int64(2), m.Cost().Requests, "the new record, and that there is none after it")
	})
}

// Records are read from the newest snapshot on, also where the hint is lost.
func TestALongLogIsReadFromItsSnapshot(t *testing.T) {
	fake := awsfake.NewS3("bucket")
	store := open(t, fake.Client(), nil)
	publish(t, store, files("a", "1"), nil)
	for i := range 199 {
		_, err := store.Apply(t.Context(), ranker, artifacts.Note{Version: 1, Tags: map[string]string{"n": fmt.Sprint(i)}})
		require.NoError(t, err)
	}
	lose := func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if strings.HasSuffix(r.URL.Path, "head.json") {
			awsfake.Fail(w, r, http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
			return true
		}
		return false
	}
	fake.Intercept(lose)
	var m meter.Meter
	v, err := open(t, fake.Client(), nil).Resolve(meter.With(t.Context(), &m), artifacts.Ref{Name: ranker})
	require.NoError(t, err)
	require.Equal(t, "198", v.Tags["n"])
	require.LessOrEqual(t, m.Cost().Requests, int64(22), "the hint, 4 snapshots, 8 records and the end, read ahead")

	var seqs []int64
	for r, err := range open(t, fake.Client(), nil).History(context.WithoutCancel(t.Context()), ranker, &artifacts.HistoryOptions{Backward: true, After: 150}) {
		require.NoError(t, err)
		seqs = append(seqs, r.Seq)
	}
	require.Len(t, seqs, 50)
	require.Equal(t, int64(200), seqs[0])
}
