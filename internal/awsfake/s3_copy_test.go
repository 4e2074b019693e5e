package awsfake_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
)

func TestS3CopiesVersionsAndParts(t *testing.T) {
	client := awsfake.NewS3("bucket", "other").Client()
	ctx := t.Context()
	_, err := client.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: new("other"), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}})
	require.NoError(t, err)
	large := bytes.Repeat([]byte("0123456789"), 1<<20)
	first, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: new("other"), Key: new("a b/ü"), Body: bytes.NewReader(large), ContentType: new("text/csv"), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c})
	require.NoError(t, err)
	_, err = client.PutObject(ctx, &s3.PutObjectInput{Bucket: new("other"), Key: new("a b/ü"), Body: bytes.NewReader([]byte("new"))})
	require.NoError(t, err)
	old := "other/a%20b/%C3%BC?versionId=" + *first.VersionId
	content := func(key string) string {
		got, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: new("bucket"), Key: &key})
		require.NoError(t, err)
		data, err := io.ReadAll(got.Body)
		require.NoError(t, err)
		return string(data)
	}

	out, err := client.CopyObject(ctx, &s3.CopyObjectInput{Bucket: new("bucket"), Key: new("k"), CopySource: &old, IfNoneMatch: new("*")})
	require.NoError(t, err)
	require.Equal(t, *first.VersionId, *out.CopySourceVersionId)
	require.Equal(t, *first.ETag, *out.CopyObjectResult.ETag)
	require.Equal(t, *first.ChecksumCRC32C, *out.CopyObjectResult.ChecksumCRC32C)
	require.Equal(t, string(large), content("k"))
	head, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: new("bucket"), Key: new("k")})
	require.NoError(t, err)
	require.Equal(t, "text/csv", *head.ContentType)

	_, err = client.CopyObject(ctx, &s3.CopyObjectInput{Bucket: new("bucket"), Key: new("k"), CopySource: &old, IfNoneMatch: new("*")})
	require.Equal(t, "PreconditionFailed", code(t, err))
	_, err = client.CopyObject(ctx, &s3.CopyObjectInput{Bucket: new("bucket"), Key: new("k"), CopySource: &old, CopySourceIfMatch: new(`"x"`)})
	require.Equal(t, "PreconditionFailed", code(t, err))
	_, err = client.CopyObject(ctx, &s3.CopyObjectInput{Bucket: new("bucket"), Key: new("k"), CopySource: new("other/absent")})
	require.Equal(t, "NoSuchKey", code(t, err))
	_, err = client.CopyObject(ctx, &s3.CopyObjectInput{Bucket: new("bucket"), Key: new("k"), CopySource: new("other/a%20b/%C3%BC"), IfMatch: out.CopyObjectResult.ETag, MetadataDirective: types.MetadataDirectiveReplace, ContentType: new("text/plain")})
	require.NoError(t, err)
	require.Equal(t, "new", content("k"))
	head, err = client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: new("bucket"), Key: new("k")})
	require.NoError(t, err)
	require.Equal(t, "text/plain", *head.ContentType)

	up, err := client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: new("bucket"), Key: new("m"), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c, ChecksumType: types.ChecksumTypeFullObject})
	require.NoError(t, err)
	var parts []types.CompletedPart
	for i, from := range []string{"bytes=0-5242879", "bytes=5242880-10485759"} {
		got, err := client.UploadPartCopy(ctx, &s3.UploadPartCopyInput{Bucket: new("bucket"), Key: new("m"), UploadId: up.UploadId, PartNumber: new(int32(i + 1)), CopySource: &old, CopySourceRange: &from})
		require.NoError(t, err)
		parts = append(parts, types.CompletedPart{PartNumber: new(int32(i + 1)), ETag: got.CopyPartResult.ETag, ChecksumCRC32C: got.CopyPartResult.ChecksumCRC32C})
	}
	listed, err := client.ListParts(ctx, &s3.ListPartsInput{Bucket: new("bucket"), Key: new("m"), UploadId: up.UploadId})
	require.NoError(t, err)
	require.Equal(t, *parts[1].ChecksumCRC32C, *listed.Parts[1].ChecksumCRC32C)
	_, err = client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: new("bucket"), Key: new("m"), UploadId: up.UploadId, ChecksumCRC32C: first.ChecksumCRC32C, ChecksumType: types.ChecksumTypeFullObject, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
	require.NoError(t, err)
	require.Equal(t, string(large), content("m"))
}
