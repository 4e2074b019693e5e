package s3artifacts_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/pull"
	"github.com/genaistore/genaistore/internal/awsfake"
)

// A stranger has no account: a client that signs nothing.
type stranger struct{ fake *awsfake.S3 }

func (s stranger) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	asked := r.URL.Query()
	for parameter := range asked { // headers of the answer, which the fake does not know
		if strings.HasPrefix(parameter, "response-") {
			asked.Del(parameter)
		}
	}
	r.URL.RawQuery = asked.Encode()
	return s.fake.Do(r)
}

func TestAPullListIsReadWithoutAnAccount(t *testing.T) {
	fake := awsfake.NewS3("bucket")
	fake.Public()
	client := fake.Client()
	store := open(t, client, nil)
	large := bytes.Repeat([]byte("0123456789abcdef"), 33<<16) // three leaves
	p := publish(t, store, artifacts.Files(map[string][]byte{"d/large": large, "small.json": []byte("{}"), "empty": nil}), nil)

	var list bytes.Buffer
	require.NoError(t, store.WritePullList(t.Context(), &list, p.Version.ID, s3.NewPresignClient(client), time.Hour))
	pulled, err := pull.Open(&list, &http.Client{Transport: stranger{fake}})
	require.NoError(t, err)
	require.Equal(t, p.Version.ID, pulled.Version().ID)
	require.WithinDuration(t, time.Now().Add(time.Hour), pulled.Expires(), time.Minute)
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, root.Close()) }()
	done, err := artifacts.Checkout(t.Context(), pulled, p.Version.ID, root, nil)
	require.NoError(t, err)
	require.Equal(t, artifacts.CheckedOut{Fetched: 3, Bytes: int64(len(large) + 2)}, done)
	got, err := os.ReadFile(filepath.Join(dir, "d", "large"))
	require.NoError(t, err)
	require.True(t, bytes.Equal(large, got))

	require.ErrorIs(t, store.WritePullList(t.Context(), &list, artifacts.ID{Name: ranker, Number: 9}, s3.NewPresignClient(client), time.Hour), artifacts.ErrNotFound)
	require.ErrorIs(t, store.WritePullList(t.Context(), &list, p.Version.ID, nil, time.Hour), artifacts.ErrInvalid)
	require.ErrorIs(t, store.WritePullList(t.Context(), &list, p.Version.ID, s3.NewPresignClient(client), 8*24*time.Hour), artifacts.ErrInvalid)
}
