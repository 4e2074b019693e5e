package awsfake_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
)

func versioned(t *testing.T) *s3.Client {
	t.Helper()
	client := awsfake.NewS3("bucket").Client()
	_, err := client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket: new("bucket"), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	require.NoError(t, err)
	return client
}

func TestS3KeepsVersions(t *testing.T) {
	client := awsfake.NewS3("bucket").Client()
	state, err := client.GetBucketVersioning(t.Context(), &s3.GetBucketVersioningInput{Bucket: new("bucket")})
	require.NoError(t, err)
	require.Empty(t, state.Status)

	client = versioned(t)
	var versions []string
	for _, data := range []string{"1", "2", "3"} {
		out, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: new("bucket"), Key: new("k"), Body: strings.NewReader(data)})
		require.NoError(t, err)
		versions = append(versions, *out.VersionId)
	}
	read := func(version string) string {
		out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: new("bucket"), Key: new("k"), VersionId: &version})
		require.NoError(t, err)
		data, err := io.ReadAll(out.Body)
		require.NoError(t, err)
		return string(data)
	}
	require.Equal(t, "1", read(versions[0]))
	require.Equal(t, "3", object(t, client, "k"))

	gone, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: new("bucket"), Key: new("k")})
	require.NoError(t, err)
	require.True(t, *gone.DeleteMarker)
	_, err = client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: new("bucket"), Key: new("k")})
	require.Equal(t, "NoSuchKey", code(t, err))
	_, err = client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: new("bucket"), Key: new("k"), VersionId: gone.VersionId})
	require.Equal(t, "MethodNotAllowed", code(t, err))
	require.Equal(t, "2", read(versions[1]))

	// A delete marker counts as absent.
	_, err = client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: new("bucket"), Key: new("k"), Body: strings.NewReader("4"), IfNoneMatch: new("*")})
	require.NoError(t, err)
	_, err = client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: new("bucket"), Key: new("k"), VersionId: &versions[1]})
	require.NoError(t, err)
	_, err = client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: new("bucket"), Key: new("k"), VersionId: &versions[1]})
	require.Equal(t, "NoSuchVersion", code(t, err))

	for _, size := range []int32{1000, 2, 1} {
		var seen []string
		in := &s3.ListObjectVersionsInput{Bucket: new("bucket"), MaxKeys: &size}
		for more := true; more; {
			page, err := client.ListObjectVersions(t.Context(), in)
			require.NoError(t, err)
			for _, v := range page.Versions {
				seen = append(seen, *v.VersionId)
			}
			for _, v := range page.DeleteMarkers {
				seen = append(seen, "marker "+*v.VersionId)
			}
			more = *page.IsTruncated
			in.KeyMarker, in.VersionIdMarker = page.NextKeyMarker, page.NextVersionIdMarker
		}
		require.Len(t, seen, 4, "pages of %d", size)
		require.Contains(t, seen, "marker "+*gone.VersionId)
		require.NotContains(t, seen, versions[1])
	}
}

func TestS3JoinsParts(t *testing.T) {
	client := awsfake.NewS3("bucket").Client()
	begin := func() *string {
		out, err := client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{
			Bucket: new("bucket"), Key: new("k"), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c, ChecksumType: types.ChecksumTypeFullObject,
		})
		require.NoError(t, err)
		return out.UploadId
	}
	part := func(id *string, number int32, data []byte) types.CompletedPart {
		out, err := client.UploadPart(t.Context(), &s3.UploadPartInput{
			Bucket: new("bucket"), Key: new("k"), UploadId: id, PartNumber: &number, Body: bytes.NewReader(data), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c,
		})
		require.NoError(t, err)
		return types.CompletedPart{PartNumber: &number, ETag: out.ETag, ChecksumCRC32C: out.ChecksumCRC32C}
	}
	complete := func(id *string, sum string, parts ...types.CompletedPart) (*s3.CompleteMultipartUploadOutput, error) {
		in := &s3.CompleteMultipartUploadInput{
			Bucket: new("bucket"), Key: new("k"), UploadId: id, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}, ChecksumType: types.ChecksumTypeFullObject,
		}
		if sum != "" {
			in.ChecksumCRC32C = &sum
		}
		return client.CompleteMultipartUpload(t.Context(), in)
	}
	large, small := bytes.Repeat([]byte("x"), 5<<20), []byte("end")
	sum := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.Checksum(append(bytes.Clone(large), small...), crc32.MakeTable(crc32.Castagnoli))))

	id := begin()
	first, second := part(id, 1, large), part(id, 2, small)
	_, err := complete(id, sum, second, first)
	require.Equal(t, "InvalidPartOrder", code(t, err))
	_, err = complete(id, "AAAAAA==", first, second)
	require.Equal(t, "BadDigest", code(t, err))
	_, err = complete(id, sum, first, types.CompletedPart{PartNumber: new(int32(2)), ETag: first.ETag})
	require.Equal(t, "InvalidPart", code(t, err))
	listed, err := client.ListParts(t.Context(), &s3.ListPartsInput{Bucket: new("bucket"), Key: new("k"), UploadId: id})
	require.NoError(t, err)
	require.Len(t, listed.Parts, 2)
	out, err := complete(id, sum, first, second)
	require.NoError(t, err)
	require.Equal(t, sum, *out.ChecksumCRC32C)
	require.Contains(t, *out.ETag, "-2")
	require.Len(t, object(t, client, "k"), 5<<20+3)
	_, err = complete(id, sum, first, second)
	require.Equal(t, "NoSuchUpload", code(t, err))

	id = begin()
	first, second = part(id, 1, small), part(id, 2, small)
	_, err = complete(id, "", first, second)
	require.Equal(t, "EntityTooSmall", code(t, err))
	uploads, err := client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: new("bucket")})
	require.NoError(t, err)
	require.Len(t, uploads.Uploads, 1)
	_, err = client.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{Bucket: new("bucket"), Key: new("k"), UploadId: id})
	require.NoError(t, err)
	_, err = client.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: new("bucket"), Key: new("k"), UploadId: id, PartNumber: new(int32(3)), Body: bytes.NewReader(small)})
	require.Equal(t, "NoSuchUpload", code(t, err))
	_, err = client.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: new("bucket"), Key: new("k"), UploadId: begin(), PartNumber: new(int32(10_001)), Body: bytes.NewReader(small)})
	require.Equal(t, "InvalidArgument", code(t, err))
}

func TestS3Modes(t *testing.T) {
	fake := awsfake.NewS3("bucket")
	client := fake.Client()
	fake.Behave(awsfake.S3Mode{Blind: true})
	_, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: new("bucket"), Key: new("k")})
	require.Equal(t, "AccessDenied", code(t, err))

	fake.Behave(awsfake.S3Mode{Careless: true})
	for range 2 {
		_, err = client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: new("bucket"), Key: new("k"), Body: strings.NewReader("4"), IfNoneMatch: new("*")})
		require.NoError(t, err)
	}

	fake.Behave(awsfake.S3Mode{Directory: true})
	want := map[string]bool{}
	for i := range 20 {
		want[fmt.Sprintf("d/%02d", i)] = true
		putObject(t, client, fmt.Sprintf("d/%02d", i), "x")
	}
	var last string
	ordered := true
	in := &s3.ListObjectsV2Input{Bucket: new("bucket"), Prefix: new("d/"), MaxKeys: new(int32(7))}
	for more := true; more; {
		page, err := client.ListObjectsV2(t.Context(), in)
		require.NoError(t, err)
		for _, o := range page.Contents {
			require.True(t, want[*o.Key])
			delete(want, *o.Key)
			ordered = ordered && *o.Key > last
			last = *o.Key
		}
		more, in.ContinuationToken = *page.IsTruncated, page.NextContinuationToken
	}
	require.Empty(t, want)
	require.False(t, ordered)
	_, err = client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: new("bucket"), Prefix: new("d")})
	require.Equal(t, "InvalidArgument", code(t, err))
	_, err = client.GetBucketVersioning(t.Context(), &s3.GetBucketVersioningInput{Bucket: new("bucket")})
	require.Equal(t, "NotImplemented", code(t, err))
}

func TestS3KeepsTheConfigurationOfABucket(t *testing.T) {
	client := awsfake.NewS3("bucket").Client()
	_, err := client.GetBucketLifecycleConfiguration(t.Context(), &s3.GetBucketLifecycleConfigurationInput{Bucket: new("bucket")})
	require.Equal(t, "NoSuchLifecycleConfiguration", code(t, err))
	_, err = client.PutBucketLifecycleConfiguration(t.Context(), &s3.PutBucketLifecycleConfigurationInput{
		Bucket: new("bucket"), LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{{
			ID: new("r"), Status: types.ExpirationStatusEnabled, Filter: &types.LifecycleRuleFilter{Prefix: new("")},
			AbortIncompleteMultipartUpload: &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: new(int32(7))},
		}}},
	})
	require.NoError(t, err)
	out, err := client.GetBucketLifecycleConfiguration(t.Context(), &s3.GetBucketLifecycleConfigurationInput{Bucket: new("bucket")})
	require.NoError(t, err)
	require.EqualValues(t, 7, *out.Rules[0].AbortIncompleteMultipartUpload.DaysAfterInitiation)
}
