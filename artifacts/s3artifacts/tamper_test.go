package s3artifacts_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/s3artifacts"
	"github.com/genaistore/genaistore/internal/awsfake"
)

// A tampered bucket has three versions and a change; base is where they are.
type tampered struct {
	*testing.T
	fake   *awsfake.S3
	client *s3.Client
	warm   *s3artifacts.Store // read everything before
}

const tamperedBase = "a/acme/llm/ranker/=/"

func newTampered(t *testing.T) *tampered {
	fake := awsfake.NewS3("bucket")
	x := &tampered{t, fake, fake.Client(), open(t, fake.Client(), nil)}
	for i := range 3 {
		publish(t, x.warm, files("w", fmt.Sprint("version ", i+1)), &artifacts.PublishOptions{With: []artifacts.Change{artifacts.SetAlias{Alias: "live"}}})
	}
	publish(t, x.warm, long("1"), nil)
	return x
}

func (x *tampered) read(key string) []byte {
	out, err := x.client.GetObject(x.Context(), &s3.GetObjectInput{Bucket: new("bucket"), Key: &key})
	require.NoError(x, err)
	data, err := io.ReadAll(out.Body)
	require.NoError(x, err)
	return data
}

func (x *tampered) write(key string, data []byte) {
	_, err := x.client.PutObject(x.Context(), &s3.PutObjectInput{Bucket: new("bucket"), Key: &key, Body: bytes.NewReader(data)})
	require.NoError(x, err)
}

func (x *tampered) remove(key string) {
	_, err := x.client.DeleteObject(x.Context(), &s3.DeleteObjectInput{Bucket: new("bucket"), Key: &key})
	require.NoError(x, err)
}

// change replaces text in an object.
func (x *tampered) change(key, from, to string) {
	old := x.read(key)
	require.Contains(x, string(old), from)
	x.write(key, bytes.Replace(old, []byte(from), []byte(to), 1))
}

// find returns the first key with a prefix.
func (x *tampered) find(prefix string) string {
	prefix = tamperedBase + prefix
	out, err := x.client.ListObjectsV2(x.Context(), &s3.ListObjectsV2Input{Bucket: new("bucket"), Prefix: &prefix})
	require.NoError(x, err)
	require.NotEmpty(x, out.Contents)
	return *out.Contents[0].Key
}

// everything reads all that a store has, each content once.
func everything(ctx context.Context, store artifacts.Store) error {
	read := map[string]bool{}
	for _, err := range store.History(ctx, ranker, nil) {
		if err != nil {
			return err
		}
	}
	for v, err := range store.List(ctx, artifacts.Query{Tenant: ranker.Tenant}) {
		if err != nil {
			return err
		}
		list, err := artifacts.Manifest(ctx, store, v.ID)
		if err != nil {
			return err
		}
		for _, f := range list {
			if read[f.Digest] {
				continue
			}
			read[f.Digest] = true
			if _, err := fs.ReadFile(artifacts.FS(ctx, store, v.ID), f.Path); err != nil {
				return err
			}
		}
	}
	return nil
}

func logObject(seq int) string { return fmt.Sprintf("%slog/%016d.json", tamperedBase, seq) }

func TestWhatWasTamperedWithIsCorrupt(t *testing.T) {
	tests := map[string]func(x *tampered){
		"a reason of a record":                              func(x *tampered) { x.change(logObject(2), `"by":`, `"bz":`) },
		"a time of a record":                                func(x *tampered) { x.change(logObject(2), `"time":"2`, `"time":"1`) },
		"a tag that no record's sum has":                    func(x *tampered) { x.change(logObject(2), `"Kind":"model"`, `"Kind":"other"`) },
		"a record that is cut off":                          func(x *tampered) { x.write(logObject(2), x.read(logObject(2))[:100]) },
		"an empty record":                                   func(x *tampered) { x.write(logObject(2), nil) },
		"a record of a newer release":                       func(x *tampered) { x.change(logObject(2), "log/v1", "log/v2") },
		"a record in another's place":                       func(x *tampered) { x.write(logObject(3), x.read(logObject(2))) },
		"a record that is gone":                             func(x *tampered) { x.remove(logObject(2)) },
		"the newest record, forged":                         func(x *tampered) { x.change(logObject(4), `"nonce":"`, `"nonce":"X`) },
		"a list of files that is gone":                      func(x *tampered) { x.remove(x.find("m/")) },
		"a list of files that is another":                   func(x *tampered) { x.change(x.find("m/"), "name-of-a-file-100", "name-of-a-file-9999") },
		"a list of files, in what no digest of content has": func(x *tampered) { x.change(x.find("m/"), `"c":"`, `"c":"X`) },
		"bytes of a file":                                   func(x *tampered) { x.write(x.find("b/"), []byte("something else")) },
		"bytes of the same length":                          func(x *tampered) { k := x.find("b/"); x.write(k, bytes.Repeat([]byte("x"), len(x.read(k)))) },
		"a file that is gone":                               func(x *tampered) { x.remove(x.find("b/")) },
	}
	for name, tamper := range tests {
		t.Run(name, func(t *testing.T) {
			x := newTampered(t)
			x.warm = open(t, x.client, &s3artifacts.Options{By: "ci"})
			_, err := x.warm.Apply(t.Context(), ranker, artifacts.Pin{Version: 1, By: "me"})
			require.NoError(t, err)
			if name == "a reason of a record" {
				tamper = func(x *tampered) { x.change(logObject(5), `"by":"ci"`, `"by":"me"`) }
			}
			require.NoError(t, everything(t.Context(), open(t, x.client, nil)))
			tamper(x)
			require.ErrorIs(t, everything(t.Context(), open(t, x.client, nil)), artifacts.ErrCorrupt)
		})
	}
}

// Hints and snapshots are caches: whatever happens to them, the log decides.
func TestAHintIsNeverBelieved(t *testing.T) {
	for name, spoil := range map[string]func(x *tampered, key string){
		"gone":                 func(x *tampered, key string) { x.remove(key) },
		"cut off":              func(x *tampered, key string) { x.write(key, x.read(key)[:50]) },
		"of a newer release":   func(x *tampered, key string) { x.change(key, "head/v1", "head/v9") },
		"forged":               func(x *tampered, key string) { x.change(key, `"live":3`, `"live":1`) },
		"forged and plausible": func(x *tampered, key string) { x.change(key, `"Quarantined":""`, `"Quarantined":"x"`) },
		"of another name":      func(x *tampered, key string) { x.write(key, otherHint(x)) },
		"empty":                func(x *tampered, key string) { x.write(key, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			x := newTampered(t)
			spoil(x, tamperedBase+"head.json")
			v, err := open(t, x.client, nil).Resolve(t.Context(), artifacts.Ref{Name: ranker, Alias: "live"})
			require.NoError(t, err)
			require.Equal(t, int64(3), v.ID.Number)
			v, err = open(t, x.client, nil).Resolve(t.Context(), artifacts.Ref{Name: ranker, Number: 1})
			require.NoError(t, err)
			require.Empty(t, v.Quarantined)
			require.NoError(t, everything(t.Context(), open(t, x.client, nil)))
		})
	}
}

func otherHint(x *tampered) []byte {
	other := artifacts.Name{Tenant: "acme", Path: "other"}
	_, err := x.warm.Publish(x.Context(), other, files("a", "1"), nil)
	require.NoError(x, err)
	return x.read("a/acme/other/=/head.json")
}

// In a bucket with versions a delete marker hides a record, and If-None-Match would
// let another be written there. Who knows the old one notices.
func TestADeleteMarkerOnARecordIsNoticed(t *testing.T) {
	x := newTampered(t)
	_, err := x.client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket: new("bucket"), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	require.NoError(t, err)
	x.remove(logObject(4))
	x.remove(tamperedBase + "head.json")
	publish(t, open(t, x.client, nil), files("w", "fork"), nil)
	_, err = open(t, x.client, nil).Apply(t.Context(), ranker, artifacts.Pin{Version: 4, By: "fork"})
	require.NoError(t, err)
	_, err = x.warm.Resolve(t.Context(), artifacts.Ref{Name: ranker})
	require.ErrorIs(t, err, artifacts.ErrCorrupt)
	_, err = x.warm.Publish(t.Context(), ranker, files("w", "more"), nil)
	require.ErrorIs(t, err, artifacts.ErrCorrupt)
}

func TestWhatTheBucketIsNot(t *testing.T) {
	fake := awsfake.NewS3("bucket")
	fake.Behave(awsfake.S3Mode{Blind: true})
	_, err := open(t, fake.Client(), nil).Publish(t.Context(), ranker, files("w", "1"), nil)
	require.ErrorIs(t, err, artifacts.ErrDenied)
	require.ErrorContains(t, err, "s3:ListBucket")

	fake = awsfake.NewS3()
	_, err = open(t, fake.Client(), nil).Publish(t.Context(), ranker, files("w", "1"), nil)
	require.ErrorContains(t, err, "NoSuchBucket")

	fake = awsfake.NewS3("bucket")
	store := open(t, fake.Client(), nil)
	publish(t, store, files("w", "1"), nil)
	fake.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method == http.MethodPut {
			awsfake.Fail(w, r, http.StatusForbidden, "AccessDenied", "Access Denied")
		}
		return r.Method == http.MethodPut
	})
	_, err = store.Apply(t.Context(), ranker, artifacts.Pin{Version: 1, By: "me"})
	require.ErrorIs(t, err, artifacts.ErrDenied)
	require.True(t, strings.HasPrefix(err.Error(), "apply acme/llm/ranker: "), err.Error())
}

func TestABucketInAnotherRegionIsAClearError(t *testing.T) {
	for code, status := range map[string]int{"PermanentRedirect": http.StatusMovedPermanently, "AuthorizationHeaderMalformed": http.StatusBadRequest, "": http.StatusMovedPermanently} {
		fake := awsfake.NewS3("bucket")
		fake.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			if code == "" {
				w.WriteHeader(status) // as a HEAD is answered
			} else {
				awsfake.Fail(w, r, status, code, "the bucket is in eu-west-1")
			}
			return true
		})
		_, err := open(t, fake.Client(), nil).Publish(t.Context(), ranker, files("w", "1"), nil)
		require.ErrorIs(t, err, artifacts.ErrInvalid)
		require.ErrorContains(t, err, "another Region")
		if status == http.StatusMovedPermanently { // a HEAD that is answered with 400 does not say why
			_, err = s3artifacts.EnsureBucket(t.Context(), fake.Client(), "bucket", nil)
			require.ErrorIs(t, err, artifacts.ErrInvalid)
		}
	}
}

func TestOptionsThatNoStoreCanActOn(t *testing.T) {
	client := awsfake.NewS3("bucket").Client()
	for _, opts := range []*s3artifacts.Options{
		{Root: "/x"},
		{Root: "x/"},
		{Root: "a b"},
		{Root: strings.Repeat("x", 201)},
		{By: strings.Repeat("x", 1025)},
		{Concurrency: -1},
		{MaxStale: -1},
		{PartSize: 1},
		{PartSize: 6 << 30},
		{Memory: -1},
	} {
		_, err := s3artifacts.New(client, "bucket", opts)
		require.ErrorIs(t, err, artifacts.ErrInvalid, "%+v", opts)
	}
	for _, bucket := range []string{"", "a/b", "a b"} {
		_, err := s3artifacts.New(client, bucket, nil)
		require.ErrorIs(t, err, artifacts.ErrInvalid)
	}
	_, err := s3artifacts.New(nil, "bucket", nil)
	require.ErrorIs(t, err, artifacts.ErrInvalid)
}

func TestRepairUncoversRecordsThatWereDeleted(t *testing.T) {
	client := awsfake.NewS3().Client()
	_, err := s3artifacts.EnsureBucket(t.Context(), client, "bucket", nil)
	require.NoError(t, err)
	store := open(t, client, nil)
	x := &tampered{T: t, client: client}
	for i := range 3 {
		publish(t, store, files("w", fmt.Sprint(i)), nil)
	}
	x.remove(logObject(2))
	x.remove(logObject(2))
	x.remove(logObject(3))
	require.ErrorIs(t, everything(t.Context(), open(t, client, nil)), artifacts.ErrCorrupt)
	n, err := store.Repair(t.Context(), ranker)
	require.NoError(t, err)
	require.Equal(t, s3artifacts.Repaired{Records: 2}, n)
	require.NoError(t, everything(t.Context(), open(t, client, nil)))
	require.Equal(t, int64(4), publish(t, store, files("w", "3"), nil).Version.ID.Number)
	n, err = store.Repair(t.Context(), ranker)
	require.NoError(t, err)
	require.Equal(t, s3artifacts.Repaired{}, n)

	// What was overwritten is not decided here.
	x.write(logObject(2), []byte("{}"))
	x.remove(logObject(2))
	n, err = store.Repair(t.Context(), ranker)
	require.NoError(t, err)
	require.Equal(t, s3artifacts.Repaired{}, n)
}

func TestAFileOfAVersionThatWasCollectedIsNotFound(t *testing.T) {
	client := awsfake.NewS3("bucket").Client()
	store := open(t, client, nil)
	p := publish(t, store, files("w", "1"), nil)
	f, err := store.Open(t.Context(), p.Version.ID, "w")
	require.NoError(t, err)
	other := open(t, client, nil)
	_, err = other.Apply(t.Context(), ranker, artifacts.Delete{})
	require.NoError(t, err)
	_, err = other.Collect(t.Context(), ranker, &s3artifacts.CollectOptions{Age: s3artifacts.Never, Grace: s3artifacts.Never})
	require.NoError(t, err)
	_, err = io.ReadAll(f)
	require.ErrorIs(t, err, artifacts.ErrNotFound)
	require.NotErrorIs(t, err, artifacts.ErrCorrupt)
}

func TestTheNewestRecordIsTheOneThatWasRead(t *testing.T) {
	x := newTampered(t)
	require.NoError(t, everything(t.Context(), x.warm))
	x.change(logObject(4), `"nonce":"`, `"nonce":"X`)
	require.ErrorIs(t, everything(t.Context(), x.warm), artifacts.ErrCorrupt)
}
