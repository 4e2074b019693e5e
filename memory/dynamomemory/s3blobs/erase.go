package s3blobs

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/genaistore/genaistore/internal/fault"
	"github.com/genaistore/genaistore/internal/paging"
	"github.com/genaistore/genaistore/meter"
)

// Erase removes every blob below a name, which is one or more whole segments:
// "t1" takes "t1/a" and not "t12/a". It removes all versions and delete markers,
// goes to the real end and returns how many objects, versions and markers that were.
// Repeat it after an error; blobs put meanwhile may stay.
func (s *Store) Erase(ctx context.Context, below string) (int, error) {
	key, err := s.key(below)
	if err != nil {
		return 0, wrap("erase", below, err)
	}
	prefix := *key + "/"
	n, err := s.erase(ctx, prefix, func(found string) bool { return strings.HasPrefix(found, prefix) })
	return n, wrap("erase", below, err)
}

// batch is how many objects one DeleteObjects takes.
const batch = 1000

func (s *Store) erase(ctx context.Context, prefix string, ours func(key string) bool) (int, error) {
	var batched []types.ObjectIdentifier
	erased := 0
	flush := func() error {
		if len(batched) == 0 {
			return nil
		}
		err := s.deleteObjects(ctx, batched)
		if err == nil {
			erased += len(batched)
		}
		batched = nil
		return err
	}
	for version, err := range s.versions(ctx, prefix) {
		if err != nil {
			return erased, err
		}
		if !ours(*version.Key) {
			continue
		}
		batched = append(batched, version)
		if len(batched) == batch {
			if err := flush(); err != nil {
				return erased, err
			}
		}
	}
	return erased, flush()
}

// at is where a page of versions begins.
type at struct{ key, version string }

// versions yields all versions and delete markers of the keys with a prefix.
func (s *Store) versions(ctx context.Context, prefix string) iter.Seq2[types.ObjectIdentifier, error] {
	return paging.Seq(func(from at) ([]types.ObjectIdentifier, at, error) {
		in := &s3.ListObjectVersionsInput{Bucket: &s.bucket, Prefix: &prefix}
		if from.key != "" {
			in.KeyMarker = &from.key
		}
		if from.version != "" {
			in.VersionIdMarker = &from.version
		}
		meter.Add(ctx, meter.Cost{Requests: 1})
		out, err := s.client.ListObjectVersions(ctx, in)
		if err != nil {
			return nil, at{}, classify("ListBucketVersions", err)
		}
		next, err := following(out)
		return identifiers(out), next, err
	})
}

func identifiers(out *s3.ListObjectVersionsOutput) []types.ObjectIdentifier {
	var found []types.ObjectIdentifier
	for _, v := range out.Versions {
		found = append(found, types.ObjectIdentifier{Key: v.Key, VersionId: v.VersionId})
	}
	for _, m := range out.DeleteMarkers {
		found = append(found, types.ObjectIdentifier{Key: m.Key, VersionId: m.VersionId})
	}
	return found
}

// following is where the next page begins, the zero value after the last one.
func following(out *s3.ListObjectVersionsOutput) (at, error) {
	if out.IsTruncated == nil || !*out.IsTruncated {
		return at{}, nil
	}
	next := at{text(out.NextKeyMarker), text(out.NextVersionIdMarker)}
	if next == (at{}) {
		return at{}, fmt.Errorf("%w: a page that is not the last and does not say what follows", fault.Corrupt)
	}
	return next, nil
}

func (s *Store) deleteObjects(ctx context.Context, objects []types.ObjectIdentifier) error {
	meter.Add(ctx, meter.Cost{Requests: 1})
	out, err := s.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{
		Bucket: &s.bucket, Delete: &types.Delete{Objects: objects, Quiet: new(true)},
	})
	if err != nil {
		return classify("DeleteObjects", err)
	}
	for _, failed := range out.Errors {
		return classify("DeleteObject", &refusal{code: text(failed.Code), message: text(failed.Message), key: text(failed.Key)})
	}
	return nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// refusal is what S3 says of one object in an answer that is otherwise a success.
type refusal struct{ code, message, key string }

func (r *refusal) Error() string { return fmt.Sprintf("%s: %s: %s", r.key, r.code, r.message) }

// ErrorCode implements smithy.APIError.
func (r *refusal) ErrorCode() string { return r.code }

// ErrorMessage implements smithy.APIError.
func (r *refusal) ErrorMessage() string { return r.message }

// ErrorFault implements smithy.APIError.
func (*refusal) ErrorFault() smithy.ErrorFault { return smithy.FaultServer }
