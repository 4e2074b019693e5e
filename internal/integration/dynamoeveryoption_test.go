package integration

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/integration/servers"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
	"github.com/genaistore/genaistore/memory/dynamomemory/kmscipher"
	"github.com/genaistore/genaistore/memory/dynamomemory/s3blobs"
	"github.com/genaistore/genaistore/memory/dynamomemory/zstdcompressor"
	"github.com/genaistore/genaistore/memory/memorytest"
)

// everyOption is a store whose records are compressed by zstd, encrypted under keys
// of KMS and, where large, kept in S3, below "all/" in the bucket returned.
func everyOption(t *testing.T) (*dynamomemory.Store, *s3.Client, string) {
	client, objects, keys := servers.DynamoDBLocal(t), servers.Versitygw(t), kms.NewFromConfig(servers.Moto(t))
	table := memoryTable(t, client)
	master, err := keys.CreateKey(t.Context(), &kms.CreateKeyInput{})
	require.NoError(t, err)
	cipher, err := kmscipher.New(keys, *master.KeyMetadata.Arn, nil)
	require.NoError(t, err)
	compressor, err := zstdcompressor.New(nil)
	require.NoError(t, err)
	bucket := blobBucket(t, objects, false)
	blobs, err := s3blobs.New(objects, bucket, &s3blobs.Options{Prefix: "all/"})
	require.NoError(t, err)
	t.Cleanup(func() { // before the bucket goes
		everything, err := s3blobs.New(objects, bucket, nil)
		require.NoError(t, err)
		_, err = everything.Erase(contextAfter(t), "all")
		require.NoError(t, err)
	})
	store, err := dynamomemory.New(client, table, &dynamomemory.Options{Cipher: cipher, Compressor: compressor, Blobs: blobs})
	require.NoError(t, err)
	return store, objects, bucket
}

func TestDynamoMemoryWithEveryOption(t *testing.T) {
	store, _, _ := everyOption(t)
	memorytest.Run(t, func(*testing.T) memory.Store { return store })
}

func TestALargeRecordIsInS3AndGoesWithItsSession(t *testing.T) {
	store, objects, bucket := everyOption(t)
	listed := func() []string {
		out, err := objects.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket})
		require.NoError(t, err)
		var names []string
		for _, o := range out.Contents {
			names = append(names, *o.Key)
		}
		return names
	}
	noise := make([]byte, 600<<10)
	rand.Read(noise)
	text := base64.StdEncoding.EncodeToString(noise)
	for _, tenant := range []string{"", "acme", "a@b.example:$&+=", "a b/c#%é", strings.Repeat("é", 40), strings.Repeat("#", 256)} {
		key := memory.Key{Tenant: tenant, App: "help", User: "ada", Session: "s1"}
		entry := memory.Entry{Messages: []memory.Message{memory.Text("user", text)}}
		_, err := store.Append(t.Context(), key, entry, nil)
		require.NoError(t, err, "%.40q", tenant)
		require.Len(t, listed(), 1, "%.40q", tenant)
		window, err := store.Open(t.Context(), key, nil)
		require.NoError(t, err)
		require.Len(t, window.Records, 1)
		require.Equal(t, text, window.Records[0].Messages[0].Parts[0].Text)
		require.NoError(t, store.Delete(t.Context(), key))
		require.Empty(t, listed(), "%.40q", tenant)
	}
}
