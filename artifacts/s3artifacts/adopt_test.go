package s3artifacts_test

import (
	"bytes"
	"context"
	"io/fs"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/s3artifacts"
	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/meter"
)

// A lake is a bucket with versions that no store writes.
type lake struct {
	*s3.Client
	t *testing.T
}

func newLake(t *testing.T) lake {
	t.Helper()
	l := lake{awsfake.NewS3("bucket", "lake").Client(), t}
	l.versioning(types.BucketVersioningStatusEnabled)
	return l
}

func (l lake) versioning(status types.BucketVersioningStatus) {
	_, err := l.PutBucketVersioning(l.t.Context(), &s3.PutBucketVersioningInput{Bucket: new("lake"), VersioningConfiguration: &types.VersioningConfiguration{Status: status}})
	require.NoError(l.t, err)
}

func (l lake) write(key, text string) (version string) {
	l.t.Helper()
	out, err := l.PutObject(l.t.Context(), &s3.PutObjectInput{Bucket: new("lake"), Key: &key, Body: bytes.NewReader([]byte(text))})
	require.NoError(l.t, err)
	if out.VersionId == nil {
		return ""
	}
	return *out.VersionId
}

func (l lake) delete(key, version string) {
	l.t.Helper()
	in := &s3.DeleteObjectInput{Bucket: new("lake"), Key: &key}
	if version != "" {
		in.VersionId = &version
	}
	_, err := l.DeleteObject(l.t.Context(), in)
	require.NoError(l.t, err)
}

func (l lake) count(bucket, prefix string) int {
	out, err := l.ListObjectsV2(l.t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	require.NoError(l.t, err)
	return len(out.Contents)
}

func text(t *testing.T, store artifacts.Store, id artifacts.ID, path string) string {
	t.Helper()
	data, err := fs.ReadFile(artifacts.FS(t.Context(), store, id), path)
	require.NoError(t, err)
	return string(data)
}

// Versions that S3 keeps become versions, oldest first, and stay what they are when
// their key is overwritten or deleted.
func TestAdoptMakesVersionsOfThoseThatS3Keeps(t *testing.T) {
	l := newLake(t)
	store := open(t, l, nil)
	from := s3artifacts.Objects{Bucket: "lake", Key: "models/m.bin"}
	var natives []string
	for _, text := range []string{"one", "two", "", "four"} {
		natives = append(natives, l.write("models/m.bin", text))
		if text == "two" {
			l.delete("models/m.bin", "") // a marker is no version
		}
	}
	l.write("models/m.bin2", "another key with the same beginning")
	opts := &s3artifacts.AdoptOptions{Publish: artifacts.PublishOptions{Kind: artifacts.Checkpoint, With: []artifacts.Change{artifacts.SetAlias{Alias: "production"}}}}
	done, err := store.Adopt(t.Context(), ranker, from, opts)
	require.NoError(t, err)
	require.Len(t, done.Versions, 4)
	require.Equal(t, int64(10), done.Read)
	require.Zero(t, l.count("bucket", "a/acme/llm/ranker/=/b/"), "nothing was copied")
	for i, want := range []string{"one", "two", "", "four"} {
		v := done.Versions[i].Version
		require.Equal(t, int64(i+1), v.ID.Number)
		require.Equal(t, artifacts.Checkpoint, v.Kind)
		require.Equal(t, []artifacts.Input{{URI: "s3://lake/models/m.bin", VersionID: natives[i]}}, v.Lineage.Inputs)
		require.Equal(t, want, text(t, store, v.ID, "m.bin"))
	}
	require.Equal(t, []string{"production"}, done.Versions[3].Version.Aliases)

	l.write("models/m.bin", "five")
	l.delete("models/m.bin", "")
	fresh := open(t, l, nil)
	for i, want := range []string{"one", "two", "", "four"} {
		require.Equal(t, want, text(t, fresh, done.Versions[i].Version.ID, "m.bin"))
	}

	again, err := fresh.Adopt(t.Context(), ranker, from, opts)
	require.NoError(t, err)
	require.Len(t, again.Versions, 5)
	require.Equal(t, int64(4), again.Read, "what was adopted before is not read again")
	require.True(t, again.Versions[3].Again)
	require.Equal(t, int64(5), again.Versions[4].Version.ID.Number)
	require.Equal(t, "five", text(t, store, again.Versions[4].Version.ID, "m.bin"))
	_, err = store.Apply(t.Context(), ranker, artifacts.Rollback{Alias: "production", Reason: "five is bad"})
	require.NoError(t, err)
	v, err := store.Resolve(t.Context(), artifacts.Ref{Name: ranker, Alias: "production"})
	require.NoError(t, err)
	require.Equal(t, "four", text(t, store, v.ID, "m.bin"))

	few, err := store.Adopt(t.Context(), artifacts.Name{Path: "few"}, from, &s3artifacts.AdoptOptions{Last: 2})
	require.NoError(t, err)
	require.Len(t, few.Versions, 2)
	require.Equal(t, "four", text(t, store, few.Versions[0].Version.ID, "m.bin"))
}

// A data lake becomes versions: its objects as they are now, or were at a time.
func TestAdoptMakesAVersionOfAllBelowAPrefix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLake(t)
		store := open(t, l, nil)
		large := string(bytes.Repeat([]byte("leaf"), artifacts.LeafSize/4*2+7)) // three leaves
		l.write("raw/", "")
		l.write("raw/2026/a.jsonl", "a1")
		l.write("raw/2026/b.jsonl", "b1")
		l.write("raw/large.bin", large)
		l.write("raw2/c", "not ours")
		before := time.Now()
		time.Sleep(time.Hour)
		l.write("raw/2026/a.jsonl", "a2")
		l.delete("raw/2026/b.jsonl", "")
		l.write("raw/new.txt", "n1")

		from := s3artifacts.Objects{Bucket: "lake", Prefix: "raw/"}
		was, err := store.Adopt(t.Context(), ranker, from, &s3artifacts.AdoptOptions{At: before, Publish: artifacts.PublishOptions{Kind: artifacts.Dataset}})
		require.NoError(t, err)
		require.Equal(t, int64(4+len(large)), was.Read)
		now, err := store.Adopt(t.Context(), ranker, from, &s3artifacts.AdoptOptions{Publish: artifacts.PublishOptions{Kind: artifacts.Dataset}})
		require.NoError(t, err)
		require.Equal(t, int64(4), now.Read, "a2 and n1")
		var m meter.Meter
		same, err := store.Adopt(meter.With(t.Context(), &m), ranker, from, nil)
		require.NoError(t, err)
		require.True(t, same.Versions[0].Again)
		require.Zero(t, same.Read)
		require.Zero(t, m.Cost().BytesSent)

		paths := func(a s3artifacts.Adoption) map[string]string {
			files, err := artifacts.Manifest(t.Context(), store, a.Versions[0].Version.ID)
			require.NoError(t, err)
			out := map[string]string{}
			for _, f := range files {
				require.Contains(t, f.URI, "s3://lake/raw/")
				out[f.Path] = text(t, store, a.Versions[0].Version.ID, f.Path)
			}
			return out
		}
		require.Equal(t, map[string]string{"2026/a.jsonl": "a1", "2026/b.jsonl": "b1", "large.bin": large}, paths(was))
		require.Equal(t, map[string]string{"2026/a.jsonl": "a2", "new.txt": "n1", "large.bin": large}, paths(now))
	})
}

// What others own is not ours to build on, and not ours to delete.
func TestAdoptedObjectsStayTheirOwners(t *testing.T) {
	l := newLake(t)
	store := open(t, l, nil)
	native := l.write("m", "weights")
	done, err := store.Adopt(t.Context(), ranker, s3artifacts.Objects{Bucket: "lake", Key: "m"}, nil)
	require.NoError(t, err)
	p := publish(t, store, artifacts.Files(map[string][]byte{"m": []byte("weights")}), nil)
	require.Equal(t, int64(7), p.Sent, "the owner of the object may delete it")
	require.Equal(t, done.Versions[0].Version.Digest, p.Version.Digest)

	now := &s3artifacts.CollectOptions{Age: s3artifacts.Never, Grace: s3artifacts.Never}
	for range 2 {
		_, err = store.Collect(t.Context(), ranker, now)
		require.NoError(t, err)
	}
	require.Equal(t, "weights", text(t, store, done.Versions[0].Version.ID, "m"))
	for d, err := range store.Downloads(t.Context(), done.Versions[0].Version.ID, s3.NewPresignClient(l.Client), time.Hour) {
		require.NoError(t, err)
		require.Contains(t, d.URL, "lake")
		require.Contains(t, d.URL, "versionId="+native)
	}
	_, err = store.Apply(t.Context(), ranker, artifacts.Delete{Version: 1})
	require.NoError(t, err)
	for range 2 {
		_, err = store.Collect(t.Context(), ranker, now)
		require.NoError(t, err)
	}
	require.Equal(t, 1, l.count("lake", ""))

	other := artifacts.Name{Path: "other"}
	done, err = store.Adopt(t.Context(), other, s3artifacts.Objects{Bucket: "lake", Key: "m"}, nil)
	require.NoError(t, err)
	l.delete("m", native)
	_, err = fs.ReadFile(artifacts.FS(t.Context(), open(t, l, nil), done.Versions[0].Version.ID), "m")
	require.ErrorIs(t, err, artifacts.ErrCorrupt)
}

func TestAdoptWarnsOfRulesThatDelete(t *testing.T) {
	l := newLake(t)
	rule := func(id, prefix string, status types.ExpirationStatus, days int32) types.LifecycleRule {
		return types.LifecycleRule{ID: &id, Status: status, Filter: &types.LifecycleRuleFilter{Prefix: &prefix}, NoncurrentVersionExpiration: &types.NoncurrentVersionExpiration{NoncurrentDays: &days}}
	}
	l.write("raw/a", "a")
	adopt := func() []string {
		done, err := open(t, l, nil).Adopt(t.Context(), ranker, s3artifacts.Objects{Bucket: "lake", Prefix: "raw/"}, &s3artifacts.AdoptOptions{Lifecycle: l})
		require.NoError(t, err)
		return done.Warnings
	}
	require.Empty(t, adopt())
	_, err := l.PutBucketLifecycleConfiguration(t.Context(), &s3.PutBucketLifecycleConfigurationInput{Bucket: new("lake"), LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{
		rule("all", "", types.ExpirationStatusEnabled, 30), rule("off", "", types.ExpirationStatusDisabled, 30),
		rule("below", "raw/x", types.ExpirationStatusEnabled, 7), rule("elsewhere", "logs/", types.ExpirationStatusEnabled, 1),
		{ID: new("uploads"), Status: types.ExpirationStatusEnabled, Filter: &types.LifecycleRuleFilter{Prefix: new("")}, AbortIncompleteMultipartUpload: &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: new(int32(1))}},
	}}})
	require.NoError(t, err)
	require.Equal(t, []string{
		`rule "all" of bucket lake deletes versions 30 days after they were replaced: what was adopted may be among them`,
		`rule "below" of bucket lake deletes versions 7 days after they were replaced: what was adopted may be among them`,
	}, adopt())
}

func TestWhatCannotBeAdoptedIsRefused(t *testing.T) {
	l := newLake(t)
	store := open(t, l, nil)
	adopt := func(from s3artifacts.Objects, opts *s3artifacts.AdoptOptions) error {
		_, err := store.Adopt(t.Context(), ranker, from, opts)
		return err
	}
	require.ErrorIs(t, adopt(s3artifacts.Objects{Bucket: "lake", Key: "absent"}, nil), artifacts.ErrNotFound)
	require.ErrorIs(t, adopt(s3artifacts.Objects{Bucket: "lake", Prefix: "absent/"}, nil), artifacts.ErrNotFound)
	require.ErrorIs(t, adopt(s3artifacts.Objects{Bucket: "nowhere", Key: "k"}, nil), artifacts.ErrNotFound)
	l.write("p/a", "a")
	l.write("p/a/b", "a file and a directory")
	require.ErrorIs(t, adopt(s3artifacts.Objects{Bucket: "lake", Prefix: "p/"}, nil), artifacts.ErrInvalid)
	l.versioning(types.BucketVersioningStatusSuspended)
	l.write("unversioned", "x")
	require.ErrorIs(t, adopt(s3artifacts.Objects{Bucket: "lake", Key: "unversioned"}, nil), artifacts.ErrInvalid)
	for _, from := range []s3artifacts.Objects{{}, {Key: "a", Prefix: "a"}, {Bucket: "a/b", Key: "k"}, {Key: "folder/"}} {
		require.ErrorIs(t, adopt(from, nil), artifacts.ErrInvalid)
	}
	require.ErrorIs(t, adopt(s3artifacts.Objects{Key: "a"}, &s3artifacts.AdoptOptions{Last: -1}), artifacts.ErrInvalid)
	require.ErrorIs(t, adopt(s3artifacts.Objects{Key: "a"}, &s3artifacts.AdoptOptions{Publish: artifacts.PublishOptions{Kind: "a/b"}}), artifacts.ErrInvalid)
	for range store.List(t.Context(), artifacts.Query{Tenant: ranker.Tenant}) {
		t.Fatal("something is visible")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := store.Adopt(ctx, ranker, s3artifacts.Objects{Bucket: "lake", Key: "p/a"}, nil)
	require.ErrorIs(t, err, context.Canceled)
}
