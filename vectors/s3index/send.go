package s3index

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3vectors"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors/types"

	"github.com/genaistore/genaistore/internal/pace"
	"github.com/genaistore/genaistore/vectors"
)

// A sending is what becomes of one batch.
type sending struct {
	index     *Index
	batch     *batch
	skipEqual string

	paced    bool // the governor was asked for the first request already
	tries    int
	clean    bool // the service took the whole body at once, so nothing reads it any more
	done     int
	skipped  int
	rejected []vectors.Rejection
	small    int   // the size that the service had capacity for, 0 if for all
	unknown  int   // refusals that name no vector
	err      error // which ends the Put
}

func (s *sending) run(ctx context.Context) {
	which := s.batch.live()
	if s.skipEqual != "" {
		which, s.err = s.differing(ctx, which)
	} else {
		s.paced = true
	}
	if s.err == nil && len(which) > 0 {
		s.err = s.send(ctx, which)
	}
}

// differing returns the records whose stored namesakes are not equal.
func (s *sending) differing(ctx context.Context, which []int) ([]int, error) {
	stored := map[string]any{}
	for part := range slices.Chunk(which, getKeys) {
		keys := make([]string, len(part))
		for i, n := range part {
			keys[i] = s.batch.keys[n]
		}
		found, err := s.index.get(ctx, keys, vectors.KeysAndMetadata)
		if err != nil {
			return nil, err
		}
		for _, v := range found {
			stored[v.Key] = v.Metadata[s.skipEqual]
		}
	}
	differing := which[:0:0]
	for _, i := range which {
		if value := s.batch.skip[i]; value != nil && reflect.DeepEqual(value, stored[s.batch.keys[i]]) {
			s.skipped += s.batch.counts[i]
			continue
		}
		differing = append(differing, i)
	}
	return differing, nil
}

// patience is how often a request is tried again after the client gave up on a
// service that refuses all, waiting a second at first and twice as long each time.
const patience = 4

// patiently calls try until it is not throttled, or for too long.
func (x *Index) patiently(ctx context.Context, try func() error) error {
	wait := time.Second
	for range patience {
		err := try()
		if !errors.Is(err, vectors.ErrThrottled) || ctx.Err() != nil {
			return err
		}
		x.governor.Pause(wait)
		if err := pace.Sleep(ctx, wait); err != nil {
			return err
		}
		wait *= 2
	}
	return try()
}

// send stores these records or rejects them. Its error ends the Put.
func (s *sending) send(ctx context.Context, which []int) error {
	err := s.try(ctx, which)
	if errors.Is(err, vectors.ErrThrottled) && (statusOf(err) != http.StatusServiceUnavailable || len(which) == 1) {
		if err = s.index.patiently(ctx, func() error { return s.try(ctx, which) }); errors.Is(err, vectors.ErrThrottled) {
			s.reject(which, err)
			return err
		}
	}
	switch {
	case err == nil:
		s.clean = s.tries == 1 && len(which) == len(s.batch.keys)
		for _, i := range which {
			s.done += s.batch.counts[i]
		}
		return nil
	case errors.Is(err, vectors.ErrThrottled):
		s.small = max(1, len(which)/2)
		return s.halve(ctx, which)
	case !errors.Is(err, vectors.ErrInvalid):
		return err
	}
	return s.isolate(ctx, which, err)
}

func (s *sending) try(ctx context.Context, which []int) error {
	if s.paced {
		s.paced = false
	} else if err := s.index.governor.Wait(ctx, 1, len(which)); err != nil {
		return err
	}
	s.tries++
	e := &exchange{body: s.batch.body(which)}
	return exchanged(ctx, e, func(option func(*s3vectors.Options)) error {
		_, err := s.index.client.PutVectors(ctx, &s3vectors.PutVectorsInput{
			VectorBucketName: &s.index.bucket, IndexName: &s.index.name, Vectors: []types.PutInputVector{},
		}, option)
		return err
	})
}

func (s *sending) reject(which []int, err error) {
	for _, i := range which {
		for range s.batch.counts[i] {
			s.rejected = append(s.rejected, vectors.Rejection{Key: s.batch.keys[i], Err: err})
		}
	}
}

func (s *sending) halve(ctx context.Context, which []int) error {
	half := len(which) / 2
	if err := s.send(ctx, which[:half]); err != nil {
		return err
	}
	return s.send(ctx, which[half:])
}

// mostUnknown is how many vectors may be refused without one being named or
// stored before the fault is taken to be the request's.
const mostUnknown = 20

// isolate sets aside what the service refused of a batch and sends the rest.
func (s *sending) isolate(ctx context.Context, which []int, err error) error {
	large := strings.Contains(err.Error(), "Request body exceeds")
	if !large {
		if bad := s.culprits(which, err); len(bad) > 0 {
			s.reject(bad, err)
			rest := slices.DeleteFunc(slices.Clone(which), func(i int) bool { return slices.Contains(bad, i) })
			if len(rest) == 0 {
				return nil
			}
			return s.send(ctx, rest)
		}
	}
	if len(which) > 1 {
		return s.halve(ctx, which)
	}
	s.reject(which, err)
	if s.unknown++; s.unknown > mostUnknown && s.done == 0 {
		return fmt.Errorf("no vector of a batch is taken, and none is named: %w", err)
	}
	return nil
}

var vectorPath = regexp.MustCompile(`\bvectors[[/.](\d+)\b`)

// culprits returns the records that a refusal names, by their places in the
// request or by key.
func (s *sending) culprits(which []int, err error) []int {
	refused, ok := errors.AsType[*types.ValidationException](err)
	if !ok {
		return nil
	}
	paths := []string{refused.ErrorMessage()}
	for _, field := range refused.FieldList {
		if field.Path != nil {
			paths = append(paths, *field.Path)
		}
	}
	var bad []int
	for _, path := range paths {
		found := vectorPath.FindStringSubmatch(path)
		if found == nil {
			continue
		}
		if n, err := strconv.Atoi(found[1]); err == nil && n < len(which) {
			bad = append(bad, which[n])
		}
	}
	for _, i := range which {
		if strings.HasPrefix(refused.ErrorMessage(), "Invalid record for key '"+s.batch.keys[i]+"': ") {
			bad = append(bad, i)
		}
	}
	slices.Sort(bad)
	return slices.Compact(bad)
}
