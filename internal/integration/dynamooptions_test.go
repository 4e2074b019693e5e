package integration

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/integration/servers"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
	"github.com/genaistore/genaistore/memory/dynamomemory/kmscipher"
	"github.com/genaistore/genaistore/memory/dynamomemory/s3blobs"
)

func TestDataKeysAreWrappedByKMS(t *testing.T) {
	client := kms.NewFromConfig(servers.Moto(t))
	master, err := client.CreateKey(t.Context(), &kms.CreateKeyInput{})
	require.NoError(t, err)
	scope := dynamomemory.Scope{Table: "talks", Tenant: "", App: "help", User: "ada", Session: "s1"}
	first, err := kmscipher.New(client, *master.KeyMetadata.Arn, nil)
	require.NoError(t, err)
	key, wrapped, err := first.NewKey(t.Context(), scope)
	require.NoError(t, err)
	require.LessOrEqual(t, len(wrapped), 4096)

	second, err := kmscipher.New(client, *master.KeyMetadata.Arn, nil)
	require.NoError(t, err)
	again, err := second.UnwrapKey(t.Context(), wrapped, scope)
	require.NoError(t, err)
	require.Equal(t, key, again)

	other := scope
	other.Tenant = "acme"
	_, err = second.UnwrapKey(t.Context(), wrapped, other)
	require.ErrorIs(t, err, memory.ErrCorrupt)
	forged := bytes.Clone(wrapped)
	forged[len(forged)-1] ^= 1
	_, err = second.UnwrapKey(t.Context(), forged, scope)
	require.ErrorIs(t, err, memory.ErrCorrupt)
}

// blobBucket is a bucket that is emptied and deleted when the test ends.
func blobBucket(t *testing.T, client *s3.Client, versions bool) string {
	name := servers.Unique(t, "blobs")
	_, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name})
	require.NoError(t, err)
	if versions {
		_, err = client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
			Bucket: &name, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
		})
		require.NoError(t, err)
	}
	t.Cleanup(func() {
		if _, err := client.DeleteBucket(contextAfter(t), &s3.DeleteBucketInput{Bucket: &name}); err != nil {
			t.Errorf("bucket %s is left, and so not everything was erased: %v", name, err)
		}
	})
	return name
}

func TestBlobsAreKeptAndErasedOnS3(t *testing.T) {
	for _, target := range []target[*s3.Client]{
		{servers.NameVersitygw, servers.Versitygw},
		{servers.NameMinIO, servers.MinIO},
		{servers.NameMoto, func(t testing.TB) *s3.Client { return servers.S3(servers.Moto(t)) }},
	} {
		for _, versions := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/versions %v", target.Name, versions), func(t *testing.T) {
				keepBlobs(t, target.client(t), versions)
			})
		}
	}
}

func keepBlobs(t *testing.T, client *s3.Client, versions bool) {
	ctx := t.Context()
	store, err := s3blobs.New(client, blobBucket(t, client, versions), &s3blobs.Options{Prefix: "memory/"})
	require.NoError(t, err)
	large := bytes.Repeat([]byte("5 MB and more"), 400_000)
	for name, data := range map[string][]byte{"t-acme/s/large": large, "t-acme/s/empty": {}, "t-a%2540b/s/$&+=:@": {1, 2}} {
		require.NoError(t, store.Put(ctx, name, data))
		require.NoError(t, store.Put(ctx, name, data), "again")
		got, err := store.Get(ctx, name)
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got))
	}
	require.ErrorIs(t, store.Put(ctx, "t-acme/s/empty", []byte("other")), memory.ErrCorrupt)
	_, err = store.Get(ctx, "t-acme/s/none")
	require.ErrorIs(t, err, memory.ErrNotFound)
	require.NoError(t, store.Delete(ctx, "t-acme/s/none"))
	require.NoError(t, store.Delete(ctx, "t-a%2540b/s/$&+=:@"))
	_, err = store.Get(ctx, "t-a%2540b/s/$&+=:@")
	require.ErrorIs(t, err, memory.ErrNotFound)

	for i := range 12 {
		require.NoError(t, store.Put(ctx, fmt.Sprintf("t-acme/s%d/b", i), []byte("x")))
	}
	require.NoError(t, store.Put(ctx, "t-acme2/b", []byte("x")))
	n, err := store.Erase(ctx, "t-acme")
	require.NoError(t, err)
	require.Equal(t, 14, n)
	_, err = store.Get(ctx, "t-acme2/b")
	require.NoError(t, err)
	_, err = store.Erase(ctx, "t-acme2")
	require.NoError(t, err)

	missing, err := s3blobs.New(client, servers.Unique(t, "nobucket"), nil)
	require.NoError(t, err)
	_, err = missing.Get(ctx, "b")
	require.ErrorIs(t, err, memory.ErrInvalid)
	require.NotErrorIs(t, err, memory.ErrNotFound)
}
