package s3artifacts_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/s3artifacts"
	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/meter"
)

const mirrored = "mirror/acme/llm/ranker/=/production/"

// objects returns what is below a prefix, by what comes after it.
func objects(t *testing.T, client *s3.Client, bucket, prefix string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix}); pages.HasMorePages(); { //nolint:forbidigo // the store's own loop is what is tested
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		for _, o := range page.Contents {
			got, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: o.Key})
			require.NoError(t, err)
			data, err := io.ReadAll(got.Body)
			require.NoError(t, err)
			out[strings.TrimPrefix(*o.Key, prefix)] = string(data)
		}
	}
	return out
}

// mirrorOf returns the files of a mirror, which its manifest must agree with.
func mirrorOf(t *testing.T, client *s3.Client, bucket, prefix string) (map[string]string, s3artifacts.Manifest) {
	t.Helper()
	files := objects(t, client, bucket, prefix)
	var m s3artifacts.Manifest
	require.NoError(t, json.Unmarshal([]byte(files[s3artifacts.MirrorFile]), &m))
	delete(files, s3artifacts.MirrorFile)
	require.True(t, m.Complete)
	require.Len(t, files, len(m.Files))
	for _, f := range m.Files {
		d := artifacts.NewDigest()
		_, _ = io.WriteString(d, files[f.Path])
		require.Equal(t, f.Digest, d.String(), f.Path)
	}
	return files, m
}

func production(version int64) []artifacts.Change {
	return []artifacts.Change{artifacts.SetAlias{Alias: "production", Version: version}}
}

func TestAMirrorIsWhatTheAliasPointsAt(t *testing.T) {
	client := awsfake.NewS3("bucket", "serving").Client()
	store := open(t, client, nil)
	one := map[string][]byte{"config.json": []byte("1"), "w/a b+ü.bin": []byte("same"), "old.txt": []byte("old")}
	publish(t, store, artifacts.Files(one), &artifacts.PublishOptions{With: production(0)})
	two := map[string][]byte{"config.json": []byte("2"), "w/a b+ü.bin": []byte("same"), "new.txt": []byte("new")}
	publish(t, store, artifacts.Files(two), nil)

	done, err := store.Mirror(t.Context(), ranker, "production", nil)
	require.NoError(t, err)
	require.Equal(t, mirrored, done.Prefix)
	require.Equal(t, 3, done.Copied)
	files, manifest := mirrorOf(t, client, "bucket", mirrored)
	require.Equal(t, map[string]string{"config.json": "1", "w/a b+ü.bin": "same", "old.txt": "old"}, files)
	require.Equal(t, int64(1), manifest.Version)

	_, err = store.Apply(t.Context(), ranker, production(2)...)
	require.NoError(t, err)
	done, err = store.Mirror(t.Context(), ranker, "production", nil)
	require.NoError(t, err)
	require.Equal(t, []int{2, 1, 1}, []int{done.Copied, done.Unchanged, done.Removed})
	files, manifest = mirrorOf(t, client, "bucket", mirrored)
	require.Equal(t, map[string]string{"config.json": "2", "w/a b+ü.bin": "same", "new.txt": "new"}, files)
	require.Equal(t, "acme/llm/ranker", manifest.Name)
	head, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: new("bucket"), Key: new(mirrored + "config.json")})
	require.NoError(t, err)
	require.Equal(t, "application/json", *head.ContentType)

	var m meter.Meter
	done, err = store.Mirror(meter.With(t.Context(), &m), ranker, "production", nil)
	require.NoError(t, err)
	require.Equal(t, 3, done.Unchanged)
	require.Zero(t, done.Copied)
	require.Zero(t, m.Cost().BytesSent, "nothing is written where nothing changed")

	_, err = store.Apply(t.Context(), ranker, artifacts.Rollback{Alias: "production", Reason: "2 is bad"})
	require.NoError(t, err)
	_, err = store.Mirror(t.Context(), ranker, "production", nil)
	require.NoError(t, err)
	files, manifest = mirrorOf(t, client, "bucket", mirrored)
	require.Equal(t, "1", files["config.json"])
	require.Equal(t, int64(1), manifest.Version)

	// Somebody else wrote and deleted files of the mirror.
	_, err = client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: new("bucket"), Key: new(mirrored + "config.json"), Body: strings.NewReader("edited")})
	require.NoError(t, err)
	_, err = client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: new("bucket"), Key: new(mirrored + "old.txt")})
	require.NoError(t, err)
	done, err = store.Mirror(t.Context(), ranker, "production", nil)
	require.NoError(t, err)
	require.Equal(t, 2, done.Copied)
	mirrorOf(t, client, "bucket", mirrored)

	_, err = store.Mirror(t.Context(), ranker, "production", &s3artifacts.MirrorOptions{Bucket: "serving", Prefix: "models/ranker/"})
	require.NoError(t, err)
	files, _ = mirrorOf(t, client, "serving", "models/ranker/")
	require.Equal(t, "old", files["old.txt"])
}

// In a bucket with versions the manifest names each, so that a reader has a whole
// version whatever happens meanwhile.
func TestAMirrorNamesTheVersionsThatS3Keeps(t *testing.T) {
	l := newLake(t)
	store, err := s3artifacts.New(l, "lake", nil)
	require.NoError(t, err)
	publish(t, store, artifacts.Files(map[string][]byte{"a": []byte("1")}), &artifacts.PublishOptions{With: production(0)})
	_, err = store.Mirror(t.Context(), ranker, "production", nil)
	require.NoError(t, err)
	_, was := mirrorOf(t, l.Client, "lake", mirrored)
	publish(t, store, artifacts.Files(map[string][]byte{"a": []byte("2")}), &artifacts.PublishOptions{With: production(0)})
	_, err = store.Mirror(t.Context(), ranker, "production", nil)
	require.NoError(t, err)
	got, err := l.GetObject(t.Context(), &s3.GetObjectInput{Bucket: new("lake"), Key: new(mirrored + "a"), VersionId: &was.Files[0].VersionID})
	require.NoError(t, err)
	data, err := io.ReadAll(got.Body)
	require.NoError(t, err)
	require.Equal(t, "1", string(data))
}

func TestAMirrorCopiesLargeFilesInParts(t *testing.T) {
	l := newLake(t)
	store := open(t, l, nil)
	store.LimitCopies(6 << 20)
	large := string(bytes.Repeat([]byte("0123456789abcdef"), 17<<16)) // 17 MiB: four parts
	l.write("m", large)
	_, err := store.Adopt(t.Context(), ranker, s3artifacts.Objects{Bucket: "lake", Key: "m"}, &s3artifacts.AdoptOptions{Publish: artifacts.PublishOptions{With: production(0)}})
	require.NoError(t, err)
	for _, text := range []string{large, large + "!"} {
		_, err = store.Mirror(t.Context(), ranker, "production", nil)
		require.NoError(t, err)
		files, _ := mirrorOf(t, l.Client, "bucket", mirrored)
		require.Equal(t, text, files["m"])
		publish(t, store, artifacts.Files(map[string][]byte{"m": []byte(large + "!")}), &artifacts.PublishOptions{With: production(0)})
	}
	uploads, err := l.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: new("bucket")})
	require.NoError(t, err)
	require.Empty(t, uploads.Uploads)
}

// A process that dies at any request leaves a manifest that says so, or a whole
// mirror, and the next one ends what it began.
func TestAMirrorThatDiesIsEndedByTheNext(t *testing.T) {
	died := errors.New("killed")
	for at := int64(1); ; at++ {
		fake := awsfake.NewS3("bucket")
		client := fake.Client()
		store := open(t, client, nil)
		publish(t, store, artifacts.Files(map[string][]byte{"a": []byte("1"), "b": []byte("1"), "c": []byte("1")}), &artifacts.PublishOptions{With: production(0)})
		_, err := store.Mirror(t.Context(), ranker, "production", nil)
		require.NoError(t, err)
		publish(t, store, artifacts.Files(map[string][]byte{"a": []byte("2"), "b": []byte("1"), "d": []byte("2")}), &artifacts.PublishOptions{With: production(0)})

		ctx, cancel := context.WithCancelCause(t.Context())
		var seen atomic.Int64
		fake.Intercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			if awsfake.Operation(r) != "ListObjectsV2" && seen.Add(1) == at {
				cancel(died)
			}
			return false
		})
		_, err = open(t, client, nil).Mirror(ctx, ranker, "production", nil)
		fake.Intercept(nil)
		cancel(nil)
		if seen.Load() < at {
			require.NoError(t, err)
			break
		}
		text := objects(t, client, "bucket", mirrored)
		var m s3artifacts.Manifest
		require.NoError(t, json.Unmarshal([]byte(text[s3artifacts.MirrorFile]), &m))
		if m.Complete {
			for _, f := range m.Files {
				d := artifacts.NewDigest()
				_, _ = io.WriteString(d, text[f.Path])
				require.Equal(t, f.Digest, d.String(), "killed at request %d: %s", at, f.Path)
			}
		}
		_, err = store.Mirror(t.Context(), ranker, "production", nil)
		require.NoError(t, err, "killed at request %d", at)
		files, _ := mirrorOf(t, client, "bucket", mirrored)
		require.Equal(t, map[string]string{"a": "2", "b": "1", "d": "2"}, files, "killed at request %d", at)
	}
}

// Many processes mirror while somebody moves the alias. In the end the mirror is
// whole, and what the alias means.
func TestMirrorsDoNotMixVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := awsfake.NewS3("bucket")
		client := fake.Client()
		store := open(t, client, nil)
		const versions = 8
		for v := range versions {
			files := map[string][]byte{fmt.Sprint("only", v): nil}
			for i := range 10 {
				files[fmt.Sprint("f", i)] = fmt.Append(nil, v*(i%3))
			}
			publish(t, store, artifacts.Files(files), nil)
		}
		var wg sync.WaitGroup
		for process := range 4 {
			wg.Go(func() {
				mine := open(t, client, nil)
				for round := range versions {
					_, err := mine.Apply(t.Context(), ranker, production(int64((round*3+process)%versions+1))...)
					if err == nil {
						_, err = mine.Mirror(t.Context(), ranker, "production", nil)
					}
					if err != nil && !errors.Is(err, artifacts.ErrConflict) {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		done, err := store.Mirror(t.Context(), ranker, "production", nil)
		require.NoError(t, err)
		files, manifest := mirrorOf(t, client, "bucket", mirrored)
		require.Equal(t, done.Version.ID.Number, manifest.Version)
		require.Contains(t, files, fmt.Sprint("only", manifest.Version-1))
		for i := range 10 {
			require.Equal(t, fmt.Sprint((manifest.Version-1)*int64(i%3)), files[fmt.Sprint("f", i)])
		}
	})
}

func TestWhatCannotBeMirroredIsRefused(t *testing.T) {
	client := awsfake.NewS3("bucket").Client()
	store := open(t, client, nil)
	_, err := store.Mirror(t.Context(), ranker, "production", nil)
	require.ErrorIs(t, err, artifacts.ErrNotFound)
	publish(t, store, artifacts.Files(map[string][]byte{"a": nil, strings.Repeat("x", 1000): nil}), &artifacts.PublishOptions{With: production(0)})
	publish(t, store, artifacts.Files(map[string][]byte{s3artifacts.MirrorFile: nil}), &artifacts.PublishOptions{With: []artifacts.Change{artifacts.SetAlias{Alias: "taken"}}})
	for _, tt := range []struct {
		alias string
		opts  *s3artifacts.MirrorOptions
	}{
		{"", nil},
		{"a/b", nil},
		{"production", &s3artifacts.MirrorOptions{Prefix: "no-slash"}},
		{"production", &s3artifacts.MirrorOptions{Prefix: "/x/"}},
		{"production", &s3artifacts.MirrorOptions{Bucket: "a/b"}},
		{"production", nil},
		{"taken", nil},
	} {
		_, err := store.Mirror(t.Context(), ranker, tt.alias, tt.opts)
		require.ErrorIs(t, err, artifacts.ErrInvalid, "%+v", tt)
	}
	_, err = store.Mirror(t.Context(), ranker, "production", &s3artifacts.MirrorOptions{Bucket: "nowhere"})
	require.ErrorIs(t, err, artifacts.ErrNotFound)
	require.Empty(t, objects(t, client, "bucket", "mirror/"))
}

// A copy that comes late, of a process that dies right after, changes nothing of what
// another mirror made whole meanwhile.
func TestALateCopyDoesNotSpoilAMirror(t *testing.T) {
	fake := awsfake.NewS3("bucket")
	client := fake.Client()
	store := open(t, client, nil)
	for v := range 3 {
		publish(t, store, artifacts.Files(map[string][]byte{"a": fmt.Append(nil, v), "b": fmt.Append(nil, v)}), nil)
	}
	_, err := store.Apply(t.Context(), ranker, production(1)...)
	require.NoError(t, err)
	_, err = store.Mirror(t.Context(), ranker, "production", nil)
	require.NoError(t, err)
	_, err = store.Apply(t.Context(), ranker, production(2)...)
	require.NoError(t, err)

	ctx, kill := context.WithCancel(t.Context())
	var copies atomic.Int64
	fake.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		if awsfake.Operation(r) != "CopyObject" || copies.Add(1) > 1 {
			return false
		}
		_, err := store.Apply(t.Context(), ranker, production(3)...)
		if err == nil {
			_, err = store.Mirror(t.Context(), ranker, "production", nil)
		}
		if err != nil {
			t.Error(err)
		}
		next.ServeHTTP(w, r)
		kill()
		return true
	})
	_, err = open(t, client, &s3artifacts.Options{Concurrency: 1}).Mirror(ctx, ranker, "production", nil)
	require.Error(t, err)
	fake.Intercept(nil)
	files, manifest := mirrorOf(t, client, "bucket", mirrored)
	require.Equal(t, int64(3), manifest.Version)
	require.Equal(t, map[string]string{"a": "2", "b": "2"}, files)
}
