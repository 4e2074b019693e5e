package s3artifacts

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/internal/paging"
	"github.com/genaistore/genaistore/meter"
)

// kinds are the errors of S3 that a caller does something about, by their code.
func kind(code string) error {
	switch code {
	case "NoSuchKey", "NotFound", "NoSuchVersion", "NoSuchBucket", "NoSuchUpload":
		return artifacts.ErrNotFound
	case "AccessDenied", "Forbidden", "AllAccessDisabled", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken":
		return artifacts.ErrDenied
	case "SlowDown", "ServiceUnavailable", "RequestLimitExceeded", "TooManyRequests", "Throttling", "ThrottlingException":
		return artifacts.ErrThrottled
	case "PreconditionFailed", "ConditionalRequestConflict", "OperationAborted":
		return artifacts.ErrConflict
	case "BadDigest", "XAmzContentSHA256Mismatch", "InvalidDigest":
		return artifacts.ErrCorrupt
	case "InvalidObjectState":
		return artifacts.ErrArchived
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "MovedPermanently":
		return errRegion
	}
	return nil
}

// errRegion says where the client is looking.
var errRegion = fmt.Errorf("%w: the bucket is in another Region than the client", artifacts.ErrInvalid)

// classify puts the kind of an error of S3 in front of it.
func classify(key string, err error) error {
	if err == nil {
		return nil
	}
	if api, is := errors.AsType[smithy.APIError](err); is {
		if k := kind(api.ErrorCode()); k != nil {
			return fmt.Errorf("%s: %w: %w", key, k, err)
		}
	}
	if response, is := errors.AsType[*smithyhttp.ResponseError](err); is {
		switch response.HTTPStatusCode() {
		case http.StatusMovedPermanently:
			return fmt.Errorf("%s: %w: %w", key, errRegion, err)
		case http.StatusNotFound:
			return fmt.Errorf("%s: %w: %w", key, artifacts.ErrNotFound, err)
		case http.StatusForbidden:
			return fmt.Errorf("%s: %w: %w", key, artifacts.ErrDenied, err)
		case http.StatusServiceUnavailable, http.StatusTooManyRequests:
			return fmt.Errorf("%s: %w: %w", key, artifacts.ErrThrottled, err)
		}
	}
	return fmt.Errorf("%s: %w", key, err)
}

// An object is what was read: all of it, or a range.
type object struct {
	data    []byte
	version string
	etag    string
}

// get reads an object of the store. A version of "" means the current one; a span of
// no length means all of it.
func (s *Store) get(ctx context.Context, key, version string, from span) (object, error) {
	return s.getAt(ctx, place{s.bucket, key}, version, from)
}

// A place is where an object is.
type place struct{ bucket, key string }

func (p place) uri() string { return "s3://" + p.bucket + "/" + p.key }

func (s *Store) getAt(ctx context.Context, at place, version string, from span, adjust ...func(*s3.Options)) (object, error) {
	key := at.key
	in := &s3.GetObjectInput{Bucket: &at.bucket, Key: &key}
	if version != "" {
		in.VersionId = &version
	}
	if from.length > 0 {
		in.Range = new(fmt.Sprintf("bytes=%d-%d", from.offset, from.offset+from.length-1))
	}
	out, err := s.client.GetObject(ctx, in, adjust...)
	if err != nil {
		meter.Add(ctx, meter.Cost{Requests: 1})
		return object{}, classify(key, err)
	}
	size := from.length
	if size == 0 && out.ContentLength != nil && out.ContentRange == nil {
		size = *out.ContentLength
	}
	data, err := readBody(out.Body, size)
	meter.Add(ctx, meter.Cost{Requests: 1, BytesReceived: int64(len(data))})
	if err != nil {
		return object{}, classify(key, err)
	}
	return object{data, value(out.VersionId), value(out.ETag)}, nil
}

// unchecked leaves out the checksum of a client that reads what is verified by a
// digest: one pass over the bytes is enough.
func unchecked(o *s3.Options) {
	o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
}

// A span is a range of bytes.
type span struct{ offset, length int64 }

func readBody(body io.ReadCloser, size int64) (data []byte, err error) {
	defer func() { err = errors.Join(err, body.Close()) }()
	if size <= 0 {
		return io.ReadAll(body) // of unknown length, or empty
	}
	data = make([]byte, size)
	n, err := io.ReadFull(body, data)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %d bytes, and %d were asked for", artifacts.ErrCorrupt, n, size)
	}
	return data[:n], err
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// checksum returns the CRC-32C of data as S3 writes it.
func checksum(sum uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

func castagnoli(sum uint32, data []byte) uint32 {
	return crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), data)
}

// put writes an object and returns its version, where the bucket has versions. S3
// refuses bytes that do not have the checksum sent with them.
func (s *Store) put(ctx context.Context, key string, data []byte, adjust func(*s3.PutObjectInput)) (string, error) {
	out, err := s.send(ctx, key, data, adjust)
	if err != nil {
		return "", err
	}
	return realVersion(out.VersionId), nil
}

// send is put, with all that S3 says.
func (s *Store) send(ctx context.Context, key string, data []byte, adjust func(*s3.PutObjectInput)) (*s3.PutObjectOutput, error) {
	sum := checksum(castagnoli(0, data))
	in := &s3.PutObjectInput{
		Bucket: &s.bucket, Key: &key, Body: bytes.NewReader(data), ContentLength: new(int64(len(data))), ChecksumCRC32C: &sum,
	}
	if s.opts.KMSKeyID != "" {
		in.ServerSideEncryption, in.SSEKMSKeyId, in.BucketKeyEnabled = types.ServerSideEncryptionAwsKms, &s.opts.KMSKeyID, new(true)
	}
	if adjust != nil {
		adjust(in)
	}
	meter.Add(ctx, meter.Cost{Requests: 1, BytesSent: int64(len(data))})
	out, err := s.client.PutObject(ctx, in)
	if err != nil {
		return nil, classify(key, err)
	}
	if got := value(out.ChecksumCRC32C); got != "" && got != sum {
		return nil, fmt.Errorf("%s: %w: S3 received bytes with the CRC-32C %s, not %s", key, artifacts.ErrCorrupt, got, sum)
	}
	return out, nil
}

// realVersion leaves out the version of an object that has no other.
func realVersion(id *string) string {
	if v := value(id); v != "null" {
		return v
	}
	return ""
}

func asJSON(in *s3.PutObjectInput) { in.ContentType = new("application/json") }

func asNew(in *s3.PutObjectInput) {
	asJSON(in)
	in.IfNoneMatch = new("*")
}

// remove deletes an object, or one version of it.
func (s *Store) remove(ctx context.Context, key, version string) error {
	return s.removeAt(ctx, place{s.bucket, key}, version)
}

func (s *Store) removeAt(ctx context.Context, at place, version string) error {
	key := at.key
	in := &s3.DeleteObjectInput{Bucket: &at.bucket, Key: &key}
	if version != "" {
		in.VersionId = &version
	}
	meter.Add(ctx, meter.Cost{Requests: 1})
	_, err := s.client.DeleteObject(ctx, in)
	if errors.Is(classify(key, err), artifacts.ErrNotFound) {
		return nil
	}
	return classify(key, err)
}

// list yields the objects below a prefix, which ends in a slash, in no order that
// anything may rely on.
func (s *Store) list(ctx context.Context, prefix string) iter.Seq2[types.Object, error] {
	return s.listAt(ctx, place{s.bucket, prefix})
}

func (s *Store) listAt(ctx context.Context, at place) iter.Seq2[types.Object, error] {
	prefix := at.key
	return paging.Seq(func(token string) ([]types.Object, string, error) {
		in := &s3.ListObjectsV2Input{Bucket: &at.bucket, Prefix: &prefix}
		if token != "" {
			in.ContinuationToken = &token
		}
		meter.Add(ctx, meter.Cost{Requests: 1})
		out, err := s.client.ListObjectsV2(ctx, in)
		if err != nil {
			return nil, "", classify(prefix, err)
		}
		return out.Contents, value(out.NextContinuationToken), nil
	})
}

// isNoBucket tells a bucket that is missing from a key that is.
func isNoBucket(err error) bool {
	api, is := errors.AsType[smithy.APIError](err)
	return is && api.ErrorCode() == "NoSuchBucket"
}

// unknown says that a store does not know an operation.
func unknown(err error) bool {
	api, is := errors.AsType[smithy.APIError](err)
	return is && (api.ErrorCode() == "NotImplemented" || api.ErrorCode() == "MethodNotAllowed" || api.ErrorCode() == "UnsupportedOperation")
}
