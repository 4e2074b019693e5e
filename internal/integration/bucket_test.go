package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/genaistore/genaistore/internal/integration/servers"
)

// A bucket is one versioned bucket of a test, emptied and deleted after it.
type bucket struct {
	*s3.Client

	t    *testing.T
	name *string
}

func newBucket(t *testing.T, c *s3.Client) (*bucket, error) {
	b := &bucket{c, t, new(servers.Unique(t, "smoke"))}
	in := &s3.CreateBucketInput{Bucket: b.name}
	if region := c.Options().Region; region != "us-east-1" {
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(region)}
	}
	if _, err := c.CreateBucket(t.Context(), in); err != nil {
		return nil, err
	}
	t.Cleanup(b.remove)
	return b, b.versioning(types.BucketVersioningStatusEnabled)
}

func (b *bucket) versioning(status types.BucketVersioningStatus) error {
	_, err := b.PutBucketVersioning(b.t.Context(), &s3.PutBucketVersioningInput{
		Bucket: b.name, VersioningConfiguration: &types.VersioningConfiguration{Status: status},
	})
	return err
}

// remove empties the bucket by its first page, again and again: not every server
// pages versions well.
func (b *bucket) remove() {
	ctx := contextAfter(b.t)
	uploads, err := b.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: b.name})
	if err == nil {
		for _, u := range uploads.Uploads {
			_, _ = b.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: b.name, Key: u.Key, UploadId: u.UploadId})
		}
	}
	for range 100 {
		o, err := b.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: b.name})
		if err != nil || len(o.Versions)+len(o.DeleteMarkers) == 0 {
			break
		}
		for _, v := range o.Versions {
			_, _ = b.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: b.name, Key: v.Key, VersionId: v.VersionId})
		}
		for _, v := range o.DeleteMarkers {
			_, _ = b.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: b.name, Key: v.Key, VersionId: v.VersionId})
		}
	}
	if _, err := b.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: b.name}); err != nil {
		b.t.Logf("bucket %s is left: %v", *b.name, err)
		if servers.OnAWS(b.t) {
			b.t.Fail()
		}
	}
}

// put writes an object and returns its version.
func (b *bucket) put(key, content string, with ...func(*s3.PutObjectInput)) (string, error) {
	o, err := b.putObject(key, content, with...)
	if err != nil {
		return "", err
	}
	if o.VersionId == nil {
		return "", nil
	}
	return *o.VersionId, nil
}

func (b *bucket) putObject(key, content string, with ...func(*s3.PutObjectInput)) (*s3.PutObjectOutput, error) {
	in := &s3.PutObjectInput{Bucket: b.name, Key: &key, Body: bytes.NewReader([]byte(content))}
	for _, w := range with {
		w(in)
	}
	return b.PutObject(b.t.Context(), in)
}

func ifAbsent(in *s3.PutObjectInput) { in.IfNoneMatch = new("*") }

func ifETag(etag string) func(*s3.PutObjectInput) {
	return func(in *s3.PutObjectInput) { in.IfMatch = &etag }
}

// get reads an object.
func (b *bucket) get(key string, with ...func(*s3.GetObjectInput)) (string, error) {
	content, _, err := b.read(key, with...)
	return content, err
}

func (b *bucket) read(key string, with ...func(*s3.GetObjectInput)) (string, *s3.GetObjectOutput, error) {
	in := &s3.GetObjectInput{Bucket: b.name, Key: &key}
	for _, w := range with {
		w(in)
	}
	o, err := b.GetObject(b.t.Context(), in)
	if err != nil {
		return "", nil, err
	}
	defer o.Body.Close()
	content, err := io.ReadAll(o.Body)
	return string(content), o, err
}

func ofVersion(version string) func(*s3.GetObjectInput) {
	return func(in *s3.GetObjectInput) { in.VersionId = &version }
}

func inRange(r string) func(*s3.GetObjectInput) {
	return func(in *s3.GetObjectInput) { in.Range = &r }
}

// head describes an object, with its checksums.
func (b *bucket) head(key string) (*s3.HeadObjectOutput, error) {
	return b.HeadObject(b.t.Context(), &s3.HeadObjectInput{Bucket: b.name, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
}

// delete deletes the object "k".
func (b *bucket) delete(with ...func(*s3.DeleteObjectInput)) (*s3.DeleteObjectOutput, error) {
	in := &s3.DeleteObjectInput{Bucket: b.name, Key: new("k")}
	for _, w := range with {
		w(in)
	}
	return b.DeleteObject(b.t.Context(), in)
}

// answered is nil if err is an error of the server with one of the HTTP statuses.
func answered(err error, statuses ...int) error {
	if err == nil {
		return fmt.Errorf("succeeded, expected %v", statuses)
	}
	response, ok := errors.AsType[*smithyhttp.ResponseError](err)
	if !ok {
		return fmt.Errorf("expected %v: %w", statuses, err)
	}
	for _, status := range statuses {
		if response.HTTPStatusCode() == status {
			return nil
		}
	}
	code := ""
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code = api.ErrorCode()
	}
	return fmt.Errorf("answered %d %s, expected %v", response.HTTPStatusCode(), code, statuses)
}

const preconditionFailed = http.StatusPreconditionFailed

// value reads an optional string of an answer.
func value(s *string) string {
	if s == nil {
		return "absent"
	}
	return *s
}
