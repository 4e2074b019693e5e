// Package s3blobs keeps the oversize records of package dynamomemory in an Amazon
// S3 bucket, each in an object of its own that is written once.
package s3blobs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/genaistore/genaistore/internal/fault"
	"github.com/genaistore/genaistore/memory/dynamomemory"
	"github.com/genaistore/genaistore/meter"
)

var _ dynamomemory.BlobStore = (*Store)(nil)

// Client are the calls of Amazon S3 that a Store makes; *s3.Client is one. They
// need s3:PutObject, s3:GetObject and s3:DeleteObject, and to erase also
// s3:DeleteObjectVersion on the objects and s3:ListBucketVersions on the bucket.
type Client interface {
	PutObject(ctx context.Context, in *s3.PutObjectInput, options ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	GetObject(ctx context.Context, in *s3.GetObjectInput, options ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	HeadObject(ctx context.Context, in *s3.HeadObjectInput, options ...func(*s3.Options)) (*s3.HeadObjectOutput, error)
	DeleteObject(ctx context.Context, in *s3.DeleteObjectInput, options ...func(*s3.Options)) (*s3.DeleteObjectOutput, error)
	DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput, options ...func(*s3.Options)) (*s3.DeleteObjectsOutput, error)
	ListObjectVersions(ctx context.Context, in *s3.ListObjectVersionsInput, options ...func(*s3.Options)) (*s3.ListObjectVersionsOutput, error)
}

// Options configure a [Store]. The zero value is the default.
type Options struct {
	// Prefix begins every key, such as "memory/"; none by default. Letters, digits,
	// '/' and any of -_.~%$&+=:@.
	Prefix string
	// KMSKey encrypts the objects, with a bucket key. Empty is the default of the
	// bucket, which is never none.
	KMSKey string
}

// WithDefaults returns o with every default set. It accepts a nil receiver.
func (o *Options) WithDefaults() Options {
	if o == nil {
		return Options{}
	}
	return *o
}

// A Store keeps blobs in a bucket. It is safe for concurrent use.
type Store struct {
	client Client
	bucket string
	opts   Options
}

// New returns a Store in a bucket that exists. A bucket without versions is
// cheapest: blobs never change. Opts may be nil. An empty bucket name and a bad
// prefix are errors that match memory.ErrInvalid.
func New(client Client, bucket string, opts *Options) (*Store, error) {
	given := opts.WithDefaults()
	if bucket == "" {
		return nil, fmt.Errorf("s3 blobs: %w: no bucket", fault.Invalid)
	}
	if len(given.Prefix) > maxPrefix || strings.Trim(given.Prefix, allowed+"/") != "" {
		return nil, fmt.Errorf("s3 blobs: %w: prefix %.60q: at most %d letters, digits and any of -_.~%%$&+=:@/", fault.Invalid, given.Prefix, maxPrefix)
	}
	return &Store{client, bucket, given}, nil
}

const (
	maxPrefix = 256
	maxKey    = 1024
	// sumKey is the metadata with the SHA-256 of an object, in hexadecimal.
	sumKey = "sha256"
	// allowed are the characters of path segments, and so of what url.PathEscape
	// returns.
	allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~%$&+=:@"
	// maxPuts bounds the races that a Put loses to a writer who then fails.
	maxPuts = 5
)

func (s *Store) key(name string) (*string, error) {
	key := s.opts.Prefix + name
	if len(key) > maxKey {
		return nil, fmt.Errorf("%w: name %.60q: at most %d bytes with the prefix", fault.Invalid, name, maxKey)
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.Trim(segment, allowed) != "" {
			return nil, fmt.Errorf("%w: name %.60q: segments of letters, digits and any of -_.~%%$&+=:@, joined by /; none is a dot or two", fault.Invalid, name)
		}
	}
	return &key, nil
}

// Put stores data under name, once: where there is an object already it must be
// the same, else the error matches memory.ErrCorrupt and the object stays.
func (s *Store) Put(ctx context.Context, name string, data []byte) error {
	return wrap("put", name, s.put(ctx, name, data))
}

func (s *Store) put(ctx context.Context, name string, data []byte) error {
	key, err := s.key(name)
	if err != nil {
		return err
	}
	sum := sumOf(data)
	in := &s3.PutObjectInput{
		Bucket: &s.bucket, Key: key, IfNoneMatch: new("*"), Metadata: map[string]string{sumKey: sum},
		ContentType: new("application/octet-stream"),
	}
	if s.opts.KMSKey != "" {
		in.ServerSideEncryption, in.SSEKMSKeyId, in.BucketKeyEnabled = types.ServerSideEncryptionAwsKms, &s.opts.KMSKey, new(true)
	}
	for attempt := 1; ; attempt++ {
		in.Body = bytes.NewReader(data)
		meter.Add(ctx, meter.Cost{Requests: 1, BytesSent: int64(len(data))})
		_, err := s.client.PutObject(ctx, in)
		switch codeOf(err) {
		case "PreconditionFailed":
			return s.verify(ctx, key, sum)
		case "ConditionalRequestConflict": // another put is under way and may fail
			if attempt == maxPuts {
				return classify("PutObject", err)
			}
			if err := pause(ctx, attempt); err != nil {
				return err
			}
			continue
		case "":
			// No answer: a server may close the connection once it knows that there is
			// an object, while it is still sent another.
			if err != nil && ctx.Err() == nil && s.verify(ctx, key, sum) == nil {
				return nil
			}
		}
		return classify("PutObject", err)
	}
}

// verify checks that the object that is there is the one to be put.
func (s *Store) verify(ctx context.Context, key *string, sum string) error {
	meter.Add(ctx, meter.Cost{Requests: 1})
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: key})
	if err != nil {
		return classify("HeadObject", err)
	}
	if have := out.Metadata[sumKey]; have != sum {
		return fmt.Errorf("%w: the object of this name is another one, %q, not %q", fault.Corrupt, have, sum)
	}
	return nil
}

func pause(ctx context.Context, attempt int) error {
	most := 50 * time.Millisecond << attempt
	timer := time.NewTimer(rand.N(most))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Get returns the data under name, once its SHA-256 is that of what was put: if
// not, the error matches memory.ErrCorrupt.
func (s *Store) Get(ctx context.Context, name string) ([]byte, error) {
	data, err := s.get(ctx, name)
	return data, wrap("get", name, err)
}

func (s *Store) get(ctx context.Context, name string) (data []byte, err error) {
	key, err := s.key(name)
	if err != nil {
		return nil, err
	}
	meter.Add(ctx, meter.Cost{Requests: 1})
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: key})
	if err != nil {
		return nil, classify("GetObject", err)
	}
	data, err = io.ReadAll(out.Body)
	meter.Add(ctx, meter.Cost{BytesReceived: int64(len(data))})
	if err := errors.Join(err, out.Body.Close()); err != nil {
		return nil, classify("GetObject", err)
	}
	want, ok := out.Metadata[sumKey]
	if !ok {
		return nil, fmt.Errorf("%w: an object that this package did not write", fault.Corrupt)
	}
	if have := sumOf(data); have != want {
		return nil, fmt.Errorf("%w: %d bytes with the SHA-256 %s, not %s", fault.Corrupt, len(data), have, want)
	}
	return data, nil
}

// Delete removes name, with every version of it where the bucket keeps versions.
// It succeeds if there is none.
func (s *Store) Delete(ctx context.Context, name string) error {
	return wrap("delete", name, s.remove(ctx, name))
}

func (s *Store) remove(ctx context.Context, name string) error {
	key, err := s.key(name)
	if err != nil {
		return err
	}
	meter.Add(ctx, meter.Cost{Requests: 1})
	out, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: key})
	if err != nil {
		return classify("DeleteObject", err)
	}
	if out.DeleteMarker == nil || !*out.DeleteMarker {
		return nil
	}
	_, err = s.erase(ctx, *key, func(found string) bool { return found == *key })
	return err
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func wrap(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s blob %.200s: %w", op, name, err)
}

func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// classify says what kind of error a call ended with, naming the action that a
// policy must allow.
func classify(action string, err error) error {
	if err == nil {
		return nil
	}
	kind := kindOf(err)
	if kind == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("s3:%s: %w", action, err)
	}
	return fmt.Errorf("s3:%s: %w: %w", action, kind, err)
}

func kindOf(err error) error {
	switch codeOf(err) {
	case "NoSuchKey", "NotFound":
		return fault.NotFound
	case "NoSuchBucket", "InvalidBucketName", "PermanentRedirect", "InvalidArgument", "KMS.NotFoundException":
		return fault.Invalid // a missing bucket is no missing blob
	case "AccessDenied", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "KMS.DisabledException":
		return fault.Denied
	case "SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "ConditionalRequestConflict", "OperationAborted":
		return fault.Throttled
	case "BadDigest", "XAmzContentSHA256Mismatch", "InvalidDigest":
		return fault.Corrupt
	}
	return nil
}
