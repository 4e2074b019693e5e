package s3artifacts_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/s3artifacts"
	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/meter"
)

func TestAStoreSaysWhatItsWritersMustKnow(t *testing.T) {
	for _, tt := range []struct {
		name, text, says string
		kind             error
	}{
		{"newer", `{"schema":"genaistore/artifacts/store/v2"}`, "use a newer release", artifacts.ErrInvalid},
		{"with a need", `{"schema":"genaistore/artifacts/store/v1","needs":["packs"]}`, "packs", artifacts.ErrInvalid},
		{"of one writer", `{"schema":"genaistore/artifacts/store/v1","singleWriter":true}`, "SingleWriter", artifacts.ErrInvalid},
		{"broken", `{"schema`, "_store.json", artifacts.ErrCorrupt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := awsfake.NewS3("bucket").Client()
			_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: new("bucket"), Key: new("team/_store.json"), Body: strings.NewReader(tt.text)})
			require.NoError(t, err)
			store := open(t, client, &s3artifacts.Options{Root: "team"})
			for range 2 {
				_, err = store.Publish(t.Context(), ranker, files("w", "1"), nil)
				require.ErrorIs(t, err, tt.kind)
				require.ErrorContains(t, err, tt.says)
			}
			_, err = store.Resolve(t.Context(), artifacts.Ref{Name: ranker})
			require.ErrorIs(t, err, artifacts.ErrNotFound)
		})
	}
	client := awsfake.NewS3("bucket").Client()
	publish(t, open(t, client, &s3artifacts.Options{By: "trainer"}), files("w", "1"), nil)
	require.JSONEq(t, `{"schema":"genaistore/artifacts/store/v1","by":"trainer"}`, objects(t, client, "bucket", "_")["store.json"])
}

// A server on which two writers would overwrite each other is refused, before anything
// is visible, unless there is but one.
func TestACarelessServerIsRefused(t *testing.T) {
	fake := awsfake.NewS3("bucket")
	fake.Behave(awsfake.S3Mode{Careless: true})
	client := fake.Client()
	for range 2 {
		_, err := open(t, client, nil).Publish(t.Context(), ranker, files("w", "1"), nil)
		require.ErrorIs(t, err, artifacts.ErrInvalid)
		require.ErrorContains(t, err, "If-None-Match")
	}
	require.Empty(t, objects(t, client, "bucket", "_"))
	require.Empty(t, stored(t, client, "log/"))
	alone := open(t, client, &s3artifacts.Options{SingleWriter: true})
	publish(t, alone, files("w", "1"), nil)
	other := artifacts.Name{Path: "other"}
	_, err := alone.Publish(t.Context(), other, files("w", "1"), nil)
	require.NoError(t, err)
	_, err = open(t, client, nil).Publish(t.Context(), artifacts.Name{Path: "third"}, files("w", "1"), nil)
	require.ErrorIs(t, err, artifacts.ErrInvalid, "the store says that it is of one writer")
	_, err = open(t, client, nil).Resolve(t.Context(), artifacts.Ref{Name: other})
	require.NoError(t, err, "everybody may read")
}

// It is one GET in the life of a process, and none for names that there are.
func TestTheFormatIsLookedAtOnce(t *testing.T) {
	fake := awsfake.NewS3("bucket")
	client := fake.Client()
	var mu sync.Mutex
	n := 0
	fake.Intercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if strings.HasSuffix(r.URL.Path, "/_store.json") {
			mu.Lock()
			n++
			mu.Unlock()
		}
		return false
	})
	var wg sync.WaitGroup
	stores := []*s3artifacts.Store{open(t, client, nil), open(t, client, nil)}
	for i := range 8 {
		wg.Go(func() {
			if _, err := stores[i%2].Publish(t.Context(), artifacts.Name{Path: string(rune('a' + i))}, files("w", "1"), nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, n, 6)
	n = 0
	var m meter.Meter
	_, err := open(t, client, nil).Publish(meter.With(t.Context(), &m), artifacts.Name{Path: "a"}, files("w", "2"), nil)
	require.NoError(t, err)
	require.Zero(t, n)
}
