package s3index

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/s3vectors"

	"github.com/genaistore/genaistore/vectors"
)

// UpdateMode changes when the index evaluates filters. Back to [Classic] is
// possible only in buckets made before 2026-09-30. [Index.CompareModes] says
// beforehand what would change.
func UpdateMode(ctx context.Context, client AdminClient, bucket, index string, mode Mode) error {
	err := validateNames(bucket, index)
	if err == nil {
		err = mode.validate()
	}
	if err == nil {
		err = updateMode(ctx, client, "/UpdateIndexMode", request{IndexName: index, VectorBucketName: bucket, IndexMode: mode})
	}
	if err != nil {
		return fmt.Errorf("update mode of %s/%s: %w", bucket, index, err)
	}
	return nil
}

// UpdateDefaultMode changes the mode that indexes of the bucket are made with from
// now on. It cannot be [Classic] in buckets made on or after 2026-09-30.
func UpdateDefaultMode(ctx context.Context, client AdminClient, bucket string, mode Mode) error {
	err := validateNames(bucket, "any")
	if err == nil {
		err = mode.validate()
	}
	if err == nil {
		err = updateMode(ctx, client, "/PutVectorBucketDefaultIndexMode", request{VectorBucketName: bucket, DefaultIndexMode: mode})
	}
	if err != nil {
		return fmt.Errorf("update default mode of %s: %w", bucket, err)
	}
	return nil
}

func (m Mode) validate() error {
	if m != Classic && m != Enhanced {
		return fmt.Errorf("%w: mode %q: %q or %q", vectors.ErrInvalid, m, Classic, Enhanced)
	}
	return nil
}

// updateMode makes another request of one that the client has: it signs what is
// sent, whatever it is called.
func updateMode(ctx context.Context, client AdminClient, path string, r request) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	e := &exchange{path: path, body: body, reply: func([]byte) error { return nil }}
	return exchanged(ctx, e, func(option func(*s3vectors.Options)) error {
		index := "any" // which is not sent
		_, err := client.GetIndex(ctx, &s3vectors.GetIndexInput{VectorBucketName: &r.VectorBucketName, IndexName: &index}, option)
		return err
	})
}

// A Comparison says how the two modes answer the same queries.
type Comparison struct {
	Queries                     int
	Classic, Enhanced           int // matches
	Both                        int // matches that are the same
	ClassicShort, EnhancedShort int // queries that found fewer than TopK
}

// CompareModes asks each query in both modes, before [UpdateMode] decides between
// them. Both answer in a classic index only: of an enhanced one the error matches
// [vectors.ErrInvalid].
func (x *Index) CompareModes(ctx context.Context, queries ...vectors.Query) (Comparison, error) {
	var c Comparison
	for _, q := range queries {
		classic, err := x.keysIn(ctx, Classic, q)
		if err != nil {
			return c, x.wrap("compare modes", err)
		}
		enhanced, err := x.keysIn(ctx, Enhanced, q)
		if err != nil {
			return c, x.wrap("compare modes", err)
		}
		c.add(q.WithDefaults().TopK, classic, enhanced)
	}
	return c, nil
}

func (x *Index) keysIn(ctx context.Context, mode Mode, query vectors.Query) (map[string]bool, error) {
	o := x.opts
	o.QueryMode, o.Repair, o.Rescore, o.Shortfall = mode, false, 0, nil
	query.Fields = vectors.KeysOnly
	keys := map[string]bool{}
	s, err := x.search(ctx, query.WithDefaults(), o)
	if err == nil && s != nil {
		err = s.run(ctx, func(m vectors.Match) bool {
			keys[m.Key] = true
			return true
		})
	}
	return keys, err
}

func (c *Comparison) add(topK int, classic, enhanced map[string]bool) {
	c.Queries++
	c.Classic += len(classic)
	c.Enhanced += len(enhanced)
	for key := range classic {
		if enhanced[key] {
			c.Both++
		}
	}
	if len(classic) < topK {
		c.ClassicShort++
	}
	if len(enhanced) < topK {
		c.EnhancedShort++
	}
}
