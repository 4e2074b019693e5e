package s3artifacts_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/genaistore/genaistore/artifacts/s3artifacts"
	"github.com/genaistore/genaistore/internal/awsfake"
)

// A bareClient asks the fake what a store asks S3, without a signature and without
// the stack of the AWS client, which takes most of the time of a schedule. What it
// does not know it leaves to the client below it, which is nil: a test that needs
// more fails.
type bareClient struct {
	s3artifacts.Client
	fake *awsfake.S3
}

type bareError struct {
	Code    string
	Message string
}

// ask sends a request and returns its answer, or the error that S3 named.
//
//nolint:revive // as many arguments as a request has parts
func (c bareClient) ask(ctx context.Context, method, key string, query url.Values, body []byte, set func(http.Header)) (http.Header, []byte, error) {
	at := &url.URL{Scheme: "http", Host: "fake", Path: "/bucket/" + key, RawQuery: query.Encode()}
	r, err := http.NewRequestWithContext(ctx, method, at.String(), bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	r.URL = at
	if set != nil {
		set(r.Header)
	}
	out, err := c.fake.Do(r)
	if err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(out.Body)
	_ = out.Body.Close()
	if err == nil && out.StatusCode >= http.StatusMultipleChoices {
		var named bareError
		_ = xml.Unmarshal(data, &named)
		err = &smithy.GenericAPIError{Code: named.Code, Message: named.Message}
	}
	return out.Header, data, err
}

func version(id *string) url.Values {
	if id == nil {
		return nil
	}
	return url.Values{"versionId": {*id}}
}

func optional(header http.Header, name string) *string {
	if value := header.Get(name); value != "" {
		return &value
	}
	return nil
}

func (c bareClient) GetObject(ctx context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	header, data, err := c.ask(ctx, http.MethodGet, *in.Key, version(in.VersionId), nil, func(h http.Header) {
		if in.Range != nil {
			h.Set("Range", *in.Range)
		}
	})
	if err != nil {
		return nil, err
	}
	return &s3.GetObjectOutput{
		Body: io.NopCloser(bytes.NewReader(data)), ContentLength: new(int64(len(data))),
		ContentRange: optional(header, "Content-Range"), VersionId: optional(header, "X-Amz-Version-Id"),
	}, nil
}

func (c bareClient) PutObject(ctx context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	data, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, err
	}
	header, _, err := c.ask(ctx, http.MethodPut, *in.Key, nil, data, func(h http.Header) {
		for name, value := range map[string]*string{
			"If-None-Match": in.IfNoneMatch, "If-Match": in.IfMatch, "X-Amz-Checksum-Crc32c": in.ChecksumCRC32C, "Content-Type": in.ContentType,
		} {
			if value != nil {
				h.Set(name, *value)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return &s3.PutObjectOutput{VersionId: optional(header, "X-Amz-Version-Id"), ChecksumCRC32C: optional(header, "X-Amz-Checksum-Crc32c"), ETag: optional(header, "Etag")}, nil
}

func (c bareClient) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput, _ ...func(*s3.Options)) (*s3.DeleteObjectOutput, error) {
	_, _, err := c.ask(ctx, http.MethodDelete, *in.Key, version(in.VersionId), nil, nil)
	return &s3.DeleteObjectOutput{}, err
}

func (c bareClient) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input, _ ...func(*s3.Options)) (*s3.ListObjectsV2Output, error) {
	query := url.Values{"list-type": {"2"}, "prefix": {*in.Prefix}}
	if in.ContinuationToken != nil {
		query.Set("continuation-token", *in.ContinuationToken)
	}
	_, data, err := c.ask(ctx, http.MethodGet, "", query, nil, nil)
	if err != nil {
		return nil, err
	}
	var page struct {
		NextContinuationToken *string
		Contents              []types.Object
	}
	err = xml.Unmarshal(data, &page)
	return &s3.ListObjectsV2Output{Contents: page.Contents, NextContinuationToken: page.NextContinuationToken}, err
}

func (c bareClient) ListObjectVersions(ctx context.Context, in *s3.ListObjectVersionsInput, _ ...func(*s3.Options)) (*s3.ListObjectVersionsOutput, error) {
	query := url.Values{"versions": {""}, "prefix": {*in.Prefix}}
	if in.KeyMarker != nil {
		query.Set("key-marker", *in.KeyMarker)
	}
	if in.VersionIdMarker != nil {
		query.Set("version-id-marker", *in.VersionIdMarker)
	}
	_, data, err := c.ask(ctx, http.MethodGet, "", query, nil, nil)
	if err != nil {
		return nil, err
	}
	var page struct {
		NextKeyMarker, NextVersionIdMarker *string //nolint:revive // as S3 spells it
		Version                            []types.ObjectVersion
		DeleteMarker                       []types.DeleteMarkerEntry
	}
	err = xml.Unmarshal(data, &page)
	return &s3.ListObjectVersionsOutput{
		Versions: page.Version, DeleteMarkers: page.DeleteMarker, NextKeyMarker: page.NextKeyMarker, NextVersionIdMarker: page.NextVersionIdMarker,
	}, err
}

func (c bareClient) ListMultipartUploads(ctx context.Context, in *s3.ListMultipartUploadsInput, _ ...func(*s3.Options)) (*s3.ListMultipartUploadsOutput, error) {
	_, data, err := c.ask(ctx, http.MethodGet, "", url.Values{"uploads": {""}, "prefix": {*in.Prefix}}, nil, nil)
	if err != nil {
		return nil, err
	}
	var page struct{ Upload []types.MultipartUpload }
	err = xml.Unmarshal(data, &page)
	return &s3.ListMultipartUploadsOutput{Uploads: page.Upload}, err
}

func (c bareClient) GetBucketVersioning(ctx context.Context, _ *s3.GetBucketVersioningInput, _ ...func(*s3.Options)) (*s3.GetBucketVersioningOutput, error) {
	_, data, err := c.ask(ctx, http.MethodGet, "", url.Values{"versioning": {""}}, nil, nil)
	if err != nil {
		return nil, err
	}
	var out s3.GetBucketVersioningOutput
	err = xml.Unmarshal(data, &out)
	return &out, err
}
