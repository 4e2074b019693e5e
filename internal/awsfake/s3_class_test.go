package awsfake_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
)

// A shelf is a bucket in which objects get old.
type shelf struct {
	*testing.T
	fake   *awsfake.S3
	client *s3.Client
}

func newShelf(t *testing.T) *shelf {
	fake := awsfake.NewS3("bucket")
	return &shelf{t, fake, fake.Client(func(o *s3.Options) { o.Retryer = aws.NopRetryer{} })}
}

func (x *shelf) put(key string, size int, with ...func(*s3.PutObjectInput)) {
	in := &s3.PutObjectInput{Bucket: new("bucket"), Key: &key, Body: bytes.NewReader(make([]byte, size))}
	for _, set := range with {
		set(in)
	}
	_, err := x.client.PutObject(x.Context(), in)
	require.NoError(x, err)
}

func in(class types.StorageClass) func(*s3.PutObjectInput) {
	return func(in *s3.PutObjectInput) { in.StorageClass = class }
}

func (x *shelf) head(key string) *s3.HeadObjectOutput {
	out, err := x.client.HeadObject(x.Context(), &s3.HeadObjectInput{Bucket: new("bucket"), Key: &key})
	require.NoError(x, err)
	return out
}

// read returns how a read of an object fails, or "".
func (x *shelf) read(key string) string {
	_, err := x.client.GetObject(x.Context(), &s3.GetObjectInput{Bucket: new("bucket"), Key: &key})
	if err == nil {
		return ""
	}
	return code(x.T, err)
}

func (x *shelf) restore(key string, days int32, tier types.Tier) string {
	request := &types.RestoreRequest{GlacierJobParameters: &types.GlacierJobParameters{Tier: tier}}
	if days > 0 {
		request.Days = &days
	}
	_, err := x.client.RestoreObject(x.Context(), &s3.RestoreObjectInput{Bucket: new("bucket"), Key: &key, RestoreRequest: request})
	if err == nil {
		return ""
	}
	return code(x.T, err)
}

func (x *shelf) rules(rules ...types.LifecycleRule) error {
	for i := range rules {
		rules[i].ID, rules[i].Status = new(fmt.Sprint(i)), types.ExpirationStatusEnabled
	}
	_, err := x.client.PutBucketLifecycleConfiguration(x.Context(), &s3.PutBucketLifecycleConfigurationInput{
		Bucket: new("bucket"), LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: rules},
	})
	return err
}

func to(class types.TransitionStorageClass, days int32) []types.Transition {
	return []types.Transition{{Days: &days, StorageClass: class}}
}

func TestS3ArchivesAndRestores(t *testing.T) {
	x := newShelf(t)
	for _, class := range []types.StorageClass{"GLACIER", "DEEP_ARCHIVE", "GLACIER_IR", "STANDARD_IA"} {
		x.put(string(class), 1, in(class))
		require.Equal(t, class, x.head(string(class)).StorageClass)
	}
	x.put("plain", 1)
	require.Empty(t, x.head("plain").StorageClass)
	require.Empty(t, x.read("GLACIER_IR")+x.read("STANDARD_IA")+x.read("plain"))
	require.Equal(t, "InvalidObjectState", x.read("GLACIER"))
	require.Equal(t, "InvalidObjectState", x.restore("plain", 1, types.TierStandard))
	require.Equal(t, "InvalidArgument", x.restore("DEEP_ARCHIVE", 1, types.TierExpedited))
	require.Equal(t, "MalformedXML", x.restore("GLACIER", 0, types.TierStandard))
	_, err := x.client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: new("bucket"), Key: new("k"), StorageClass: "BOGUS"})
	require.Equal(t, "InvalidStorageClass", code(t, err))

	require.Empty(t, x.restore("GLACIER", 2, types.TierBulk))
	require.Equal(t, `ongoing-request="true"`, *x.head("GLACIER").Restore)
	require.Equal(t, "InvalidObjectState", x.read("GLACIER"))
	require.Equal(t, "RestoreAlreadyInProgress", x.restore("GLACIER", 2, types.TierBulk))
	require.Empty(t, x.restore("GLACIER", 2, types.TierStandard), "it can be made faster")
	require.Equal(t, "RestoreAlreadyInProgress", x.restore("GLACIER", 2, types.TierBulk))
	x.fake.Jump(5*time.Hour + time.Minute)
	require.Empty(t, x.read("GLACIER"))
	require.Contains(t, *x.head("GLACIER").Restore, `ongoing-request="false", expiry-date="`)
	require.Contains(t, *x.head("GLACIER").Restore, `00:00:00 GMT"`, "a copy ends at a midnight")
	out, err := x.client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{
		Bucket: new("bucket"), Prefix: new("GLACIER"), OptionalObjectAttributes: []types.OptionalObjectAttributes{types.OptionalObjectAttributesRestoreStatus},
	})
	require.NoError(t, err)
	require.Equal(t, types.ObjectStorageClassGlacier, out.Contents[0].StorageClass)
	require.False(t, *out.Contents[0].RestoreStatus.IsRestoreInProgress)
	require.NotNil(t, out.Contents[0].RestoreStatus.RestoreExpiryDate)
	require.Nil(t, out.Contents[1].RestoreStatus)
	x.fake.Jump(24 * time.Hour)
	require.Empty(t, x.restore("GLACIER", 9, types.TierStandard), "it is kept for longer")
	x.fake.Jump(8 * 24 * time.Hour)
	require.Empty(t, x.read("GLACIER"))
	x.fake.Jump(3 * 24 * time.Hour)
	require.Equal(t, "InvalidObjectState", x.read("GLACIER"))
	require.Nil(t, x.head("GLACIER").Restore)

	copied := func(class types.StorageClass) error {
		_, err := x.client.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: new("bucket"), Key: new("copy"), CopySource: new("bucket/GLACIER"), StorageClass: class})
		return err
	}
	require.Equal(t, "InvalidObjectState", code(t, copied("")))
	require.Empty(t, x.restore("GLACIER", 1, types.TierExpedited))
	x.fake.Jump(5 * time.Minute)
	require.NoError(t, copied("GLACIER_IR"))
	require.Equal(t, types.StorageClassGlacierIr, x.head("copy").StorageClass)
	require.NoError(t, copied(""))
	require.Empty(t, x.head("copy").StorageClass, "a copy is STANDARD unless it is asked for")
}

func TestS3MovesByTagAndAge(t *testing.T) {
	x := newShelf(t)
	filter := func(value string) *types.LifecycleRuleFilter {
		return &types.LifecycleRuleFilter{And: &types.LifecycleRuleAndOperator{Prefix: new("b/"), Tags: []types.Tag{{Key: new("tier"), Value: &value}}}}
	}
	require.Equal(t, "InvalidArgument", code(t, x.rules(types.LifecycleRule{Filter: filter("cold"), Transitions: to("STANDARD_IA", 3)})))
	require.NoError(t, x.rules(
		types.LifecycleRule{Filter: filter("cold"), Transitions: to("GLACIER_IR", 0)},
		types.LifecycleRule{Filter: filter("archive"), Transitions: to("GLACIER", 2)},
		types.LifecycleRule{Filter: &types.LifecycleRuleFilter{Prefix: new("tmp/")}, Expiration: &types.LifecycleExpiration{Days: new(int32(1))}},
	))
	const size = 128 << 10
	x.put("b/cold", size, func(in *s3.PutObjectInput) { in.Tagging = new("tier=cold&more=1") })
	x.put("b/hot", size)
	x.put("b/small", 100, func(in *s3.PutObjectInput) { in.Tagging = new("tier=archive") })
	x.put("other", size, func(in *s3.PutObjectInput) { in.Tagging = new("tier=cold") })
	x.put("tmp/x", 1)
	require.EqualValues(t, 2, *x.head("b/cold").TagCount)
	class := func() string {
		return fmt.Sprintf("%s %s %s %s", x.head("b/cold").StorageClass, x.head("b/hot").StorageClass, x.head("b/small").StorageClass, x.head("other").StorageClass)
	}
	require.Equal(t, "   ", class())
	x.fake.Jump(24 * time.Hour)
	require.Equal(t, "GLACIER_IR   ", class())
	retag := func(key, value string) {
		_, err := x.client.PutObjectTagging(t.Context(), &s3.PutObjectTaggingInput{
			Bucket: new("bucket"), Key: &key, Tagging: &types.Tagging{TagSet: []types.Tag{{Key: new("tier"), Value: &value}}},
		})
		require.NoError(t, err)
	}
	retag("b/hot", "archive")
	retag("b/cold", "hot")
	x.fake.Jump(48 * time.Hour)
	require.Equal(t, "GLACIER_IR GLACIER  ", class(), "rules never move up")
	require.Equal(t, "InvalidObjectState", x.read("b/hot"))
	require.Equal(t, "NoSuchKey", x.read("tmp/x"))
	got, err := x.client.GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: new("bucket"), Key: new("b/hot")})
	require.NoError(t, err)
	require.Equal(t, "archive", *got.TagSet[0].Value)
	_, err = x.client.DeleteObjectTagging(t.Context(), &s3.DeleteObjectTaggingInput{Bucket: new("bucket"), Key: new("b/hot")})
	require.NoError(t, err)
	require.Nil(t, x.head("b/hot").TagCount)
	for _, bad := range []string{"a=1&a=2", strings.Repeat("x", 129) + "=1", "a=1&b=1&c=1&d=1&e=1&f=1&g=1&h=1&i=1&j=1&k=1"} {
		_, err := x.client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: new("bucket"), Key: new("k"), Tagging: &bad})
		require.Error(t, err, bad)
	}
}

func TestS3IntelligentTieringArchivesWhatIsNotRead(t *testing.T) {
	x := newShelf(t)
	put := func(days int32) error {
		_, err := x.client.PutBucketIntelligentTieringConfiguration(t.Context(), &s3.PutBucketIntelligentTieringConfigurationInput{
			Bucket: new("bucket"), Id: new("all"), IntelligentTieringConfiguration: &types.IntelligentTieringConfiguration{
				Id: new("all"), Status: types.IntelligentTieringStatusEnabled, Tierings: []types.Tiering{{Days: &days, AccessTier: types.IntelligentTieringAccessTierArchiveAccess}},
			},
		})
		return err
	}
	require.Equal(t, "InvalidArgument", code(t, put(30)))
	require.NoError(t, put(90))
	x.put("unread", 1<<20, in(types.StorageClassIntelligentTiering))
	x.put("read", 1<<20, in(types.StorageClassIntelligentTiering))
	x.put("small", 1, in(types.StorageClassIntelligentTiering))
	x.fake.Jump(80 * 24 * time.Hour)
	require.Empty(t, x.read("read"))
	x.fake.Jump(11 * 24 * time.Hour)
	require.Empty(t, x.read("read")+x.read("small"))
	require.Equal(t, "InvalidObjectState", x.read("unread"))
	require.Equal(t, types.ArchiveStatusArchiveAccess, x.head("unread").ArchiveStatus)
	require.Equal(t, "MalformedXML", x.restore("unread", 3, types.TierStandard), "it takes no days")
	require.Empty(t, x.restore("unread", 0, types.TierStandard))
	x.fake.Jump(5 * time.Hour)
	require.Empty(t, x.read("unread"))
	require.Empty(t, x.head("unread").ArchiveStatus)
	require.Nil(t, x.head("unread").Restore)
}

func TestS3UploadsAndVersionsGetOld(t *testing.T) {
	x := newShelf(t)
	_, err := x.client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket: new("bucket"), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	require.NoError(t, err)
	require.NoError(t, x.rules(types.LifecycleRule{
		Filter:                         &types.LifecycleRuleFilter{Prefix: new("")},
		AbortIncompleteMultipartUpload: &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: new(int32(7))},
		NoncurrentVersionExpiration:    &types.NoncurrentVersionExpiration{NoncurrentDays: new(int32(30))},
	}))
	_, err = x.client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: new("bucket"), Key: new("k")})
	require.NoError(t, err)
	x.put("k", 1)
	x.put("k", 2)
	count := func() string {
		uploads, err := x.client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: new("bucket")})
		require.NoError(t, err)
		versions, err := x.client.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: new("bucket")})
		require.NoError(t, err)
		return fmt.Sprint(len(uploads.Uploads), len(versions.Versions))
	}
	x.fake.Jump(6 * 24 * time.Hour)
	require.Equal(t, "1 2", count())
	x.fake.Jump(2 * 24 * time.Hour)
	require.Equal(t, "0 2", count())
	x.fake.Jump(30 * 24 * time.Hour)
	require.Equal(t, "0 1", count())
	require.EqualValues(t, 2, *x.head("k").ContentLength)
}

// The client finds the endpoint of a directory bucket by its name, and signs with a
// session.
func TestS3KnowsDirectoryBucketsByTheirNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hot = "hot--use1-az4--x-s3"
		fake := awsfake.NewS3("home", hot)
		client := fake.Client()
		for i := range 3 {
			_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: new(hot), Key: new(fmt.Sprint("a/", i)), Body: strings.NewReader("x")})
			require.NoError(t, err)
			time.Sleep(4 * time.Minute) // sessions end
		}
		out, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: new(hot), Prefix: new("a/")})
		require.NoError(t, err)
		require.Len(t, out.Contents, 3)
		require.Equal(t, types.ObjectStorageClassExpressOnezone, out.Contents[0].StorageClass)
		_, err = client.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: new("home"), Key: new("copy"), CopySource: new(hot + "/a/1")})
		require.NoError(t, err)
		got, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: new("home"), Key: new("copy")})
		require.NoError(t, err)
		data, err := io.ReadAll(got.Body)
		require.NoError(t, err)
		require.Equal(t, "x", string(data))
		require.Empty(t, got.StorageClass)
		for what, do := range map[string]func(ctx context.Context) error{
			"versions": func(ctx context.Context) error {
				_, err := client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: new(hot)})
				return err
			},
			"tags": func(ctx context.Context) error {
				_, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: new(hot), Key: new("t"), Tagging: new("a=1")})
				return err
			},
			"classes": func(ctx context.Context) error {
				_, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: new(hot), Key: new("t"), StorageClass: types.StorageClassGlacier})
				return err
			},
			"prefixes without a slash": func(ctx context.Context) error {
				_, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: new(hot), Prefix: new("a")})
				return err
			},
			"restores": func(ctx context.Context) error {
				_, err := client.RestoreObject(ctx, &s3.RestoreObjectInput{Bucket: new(hot), Key: new("a/1"), RestoreRequest: &types.RestoreRequest{Days: new(int32(1))}})
				return err
			},
		} {
			require.Error(t, do(t.Context()), what)
		}
	})
}

func TestS3ChecksumsOfParts(t *testing.T) {
	x := newShelf(t)
	up, err := x.client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: new("bucket"), Key: new("k"), ChecksumAlgorithm: types.ChecksumAlgorithmSha256})
	require.NoError(t, err)
	require.Equal(t, types.ChecksumTypeComposite, up.ChecksumType)
	var parts []types.CompletedPart
	for i, size := range []int{5 << 20, 3} {
		p, err := x.client.UploadPart(t.Context(), &s3.UploadPartInput{
			Bucket: new("bucket"), Key: new("k"), UploadId: up.UploadId, PartNumber: new(int32(i + 1)),
			Body: bytes.NewReader(make([]byte, size)), ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
		})
		require.NoError(t, err)
		parts = append(parts, types.CompletedPart{PartNumber: new(int32(i + 1)), ETag: p.ETag, ChecksumSHA256: p.ChecksumSHA256})
	}
	out, err := x.client.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{
		Bucket: new("bucket"), Key: new("k"), UploadId: up.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	require.NoError(t, err)
	require.Equal(t, types.ChecksumTypeComposite, out.ChecksumType)
	require.True(t, strings.HasSuffix(*out.ChecksumSHA256, "=-2"), *out.ChecksumSHA256)
	head, err := x.client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: new("bucket"), Key: new("k"), ChecksumMode: types.ChecksumModeEnabled})
	require.NoError(t, err)
	require.Equal(t, *out.ChecksumSHA256, *head.ChecksumSHA256)
	_, err = x.client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{
		Bucket: new("bucket"), Key: new("k"), ChecksumAlgorithm: types.ChecksumAlgorithmSha256, ChecksumType: types.ChecksumTypeFullObject,
	})
	require.Equal(t, "InvalidRequest", code(t, err))
}
