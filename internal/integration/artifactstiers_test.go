package integration

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/s3artifacts"
	"github.com/genaistore/genaistore/internal/integration/servers"
)

// tiered makes a bucket with the rules for tiers, and returns what differs that the
// server does not know.
func tiered(t *testing.T, client *s3.Client) (b *bucket, lacks []string) {
	b = &bucket{client, t, new(servers.Unique(t, "tiers"))}
	t.Cleanup(b.remove)
	// Without versions, so that a copy of an object onto itself can archive it.
	drift, err := s3artifacts.EnsureBucket(t.Context(), client, *b.name, &s3artifacts.BucketOptions{
		Region: client.Options().Region, Unversioned: true, Cold: "GLACIER_IR", Archive: "GLACIER",
	})
	for _, d := range drift {
		if !d.Fixed {
			lacks = append(lacks, d.What)
		}
	}
	t.Logf("%+v %v", drift, err)
	return b, lacks
}

// classed are files of which one is large enough to be moved.
func classed(text string) map[string][]byte {
	return map[string][]byte{"weights": bytes.Repeat([]byte(text), 128<<10), "note": []byte(text)}
}

// Tags and rules on servers; then, where a server knows an archive, what lies in it is
// restored, and a rollback goes there in two phases. Servers do not run rules: the
// object is copied onto itself.
func TestArtifactsTiers(t *testing.T) {
	name := artifacts.Name{Tenant: "acme", Path: "llm/ranker"}
	for _, target := range artifactTargets() {
		t.Run(string(target.Name), func(t *testing.T) {
			client := target.client(t)
			b, lacks := tiered(t, client)
			if _, gap := servers.Lacks(target.Name, servers.LifecycleArchive); !gap || servers.OnAWS(t) {
				require.NotContains(t, lacks, "lifecycle")
			}
			store, err := s3artifacts.New(client, *b.name, nil)
			require.NoError(t, err)
			for _, text := range []string{"one", "two", "three"} {
				_, err := store.Publish(t.Context(), name, artifacts.Files(classed(text)), &artifacts.PublishOptions{With: []artifacts.Change{artifacts.SetAlias{Alias: "live"}}})
				require.NoError(t, err)
			}
			done, err := store.Tier(t.Context(), name, &s3artifacts.Tiering{Cold: s3artifacts.Never, Archive: time.Nanosecond})
			require.NoError(t, err)
			require.Equal(t, []int{1, 1, 1, 2}, []int{done.Hot, done.Cold, done.Archived, done.Tagged})
			id := artifacts.ID{Name: name, Number: 1}
			key := weightsOf(t, store, id, *b.name)
			got, err := client.GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: b.name, Key: &key})
			require.NoError(t, err)
			require.Len(t, got.TagSet, 1)
			require.Equal(t, "archive", *got.TagSet[0].Value)
			back, err := store.Back(t.Context(), name, "live")
			require.NoError(t, err)
			require.True(t, back[0].ID.Number == 2 && back[0].Ready && back[1].ID.Number == 1 && !back[1].Ready)
			_, err = store.Apply(t.Context(), name, artifacts.Rollback{Alias: "live", Reason: "worse"})
			require.NoError(t, err)

			if how, gap := servers.Lacks(target.Name, servers.Restore); gap && !servers.OnAWS(t) {
				w, err := store.EnsureWarm(t.Context(), id, nil)
				require.NoError(t, err)
				require.True(t, w.Warm(), "a known gap: %s", how)
				return
			}
			if servers.OnAWS(t) {
				return // a restore takes hours, and costs
			}
			archived(t, client, *b.name, key)
			require.ErrorIs(t, verified(t, store, id)["weights"], artifacts.ErrArchived)
			_, wrong := servers.Lacks(target.Name, servers.CopyChecksum)
			restored(t, store, name, &s3artifacts.WarmOptions{Keep: !wrong})
			require.NoError(t, verified(t, store, id)["weights"])
			if !wrong {
				require.NotEqual(t, key, weightsOf(t, store, id, *b.name), "what was restored is kept")
			}
		})
	}
}

// weightsOf returns the key of the large file of a version.
func weightsOf(t *testing.T, store artifacts.Store, id artifacts.ID, bucket string) string {
	t.Helper()
	files, err := artifacts.Manifest(t.Context(), store, id)
	require.NoError(t, err)
	return files[1].URI[len("s3://"+bucket+"/"):]
}

// archived puts an object into an archive.
func archived(t *testing.T, client *s3.Client, bucket, key string) {
	t.Helper()
	_, err := client.CopyObject(t.Context(), &s3.CopyObjectInput{
		Bucket: &bucket, Key: &key, CopySource: new(bucket + "/" + key), StorageClass: types.StorageClassGlacier, MetadataDirective: types.MetadataDirectiveReplace,
	})
	require.NoError(t, err)
}

// restored rolls back to a version that is archived.
func restored(t *testing.T, store *s3artifacts.Store, name artifacts.Name, opts *s3artifacts.WarmOptions) {
	t.Helper()
	change := artifacts.Rollback{Alias: "live", Reason: "worse still"}
	_, w, err := store.Rollback(t.Context(), name, change, &s3artifacts.WarmOptions{DryRun: true})
	require.NoError(t, err)
	require.Equal(t, 1, w.Cold)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	began := 0
	for {
		r, w, err := store.Rollback(ctx, name, change, opts)
		began += w.Restored
		if err == nil {
			require.Equal(t, []artifacts.Move{{Alias: "live", From: 2, To: 1}}, r.Moved)
			require.Equal(t, 1, began)
			return
		}
		require.ErrorIs(t, err, artifacts.ErrArchived)
	}
}

// A hot tier that is a bucket like others: what lands there is copied home.
func TestArtifactsSettle(t *testing.T) {
	name := artifacts.Name{Tenant: "acme", Path: "llm/ranker"}
	for _, target := range artifactTargets() {
		t.Run(string(target.Name), func(t *testing.T) {
			client := target.client(t)
			home, _ := tiered(t, client)
			hot, _ := tiered(t, client)
			process := func() *s3artifacts.Store {
				store, err := s3artifacts.New(client, *home.name, &s3artifacts.Options{Hot: *hot.name, PartSize: 5 << 20})
				require.NoError(t, err)
				return store
			}
			files := classed("one")
			files["large"] = make([]byte, 11<<20)
			p, err := process().Publish(t.Context(), name, artifacts.Files(files), nil)
			require.NoError(t, err)
			require.False(t, p.Version.Durable)
			done, err := process().Settle(t.Context(), name, nil)
			if how, gap := servers.Lacks(target.Name, servers.CopyChecksum); gap && how == "a wrong one" && !servers.OnAWS(t) {
				require.ErrorIs(t, err, artifacts.ErrCorrupt, "a known gap")
				require.Zero(t, done.Versions)
				return
			}
			require.NoError(t, err)
			require.Equal(t, s3artifacts.Settled{Versions: 1, Objects: 3}, done)
			store, err := s3artifacts.New(client, *home.name, nil)
			require.NoError(t, err)
			v, err := store.Resolve(t.Context(), artifacts.Ref{Name: name})
			require.NoError(t, err)
			require.True(t, v.Durable)
			hot.remove()
			for path, err := range verified(t, store, v.ID) {
				require.NoError(t, err, path)
			}
		})
	}
}
