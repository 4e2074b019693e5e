package s3index

import (
	"context"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/s3vectors"
	"golang.org/x/sync/errgroup"

	"github.com/genaistore/genaistore/meter"
	"github.com/genaistore/genaistore/vectors"
)

// Delete implements [vectors.Index]. By Keys it asks nothing about them and
// reports all as done, each once. By Prefix or Filter it lists the index, decides
// locally, and deletes what it finds as it goes. Deleting the index itself is the
// cheaper way to delete all of a large one.
func (x *Index) Delete(ctx context.Context, selection vectors.Selection, opts *vectors.DeleteOptions) (vectors.Report, error) {
	var spent meter.Meter
	ctx = meter.With(ctx, &spent)
	schema, err := x.schema(ctx)
	if err == nil {
		err = selection.Validate(schema)
	}
	if err != nil {
		return vectors.Report{}, x.wrap("delete", err)
	}
	r := &removal{index: x, dry: opts.WithDefaults().DryRun}
	err = r.run(ctx, selection)
	cost := spent.Cost()
	report := vectors.Report{Done: r.done, Requests: int(cost.Requests), Bytes: cost.BytesSent}
	return report, x.wrap("delete", err)
}

// A removal is one call of Delete.
type removal struct {
	index *Index
	dry   bool

	mu   sync.Mutex
	done int
}

func (r *removal) run(ctx context.Context, selection vectors.Selection) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(r.index.opts.Concurrency)
	var keys []string
	flush := func() {
		batch := keys
		keys = nil
		group.Go(func() error { return r.remove(ctx, batch) })
	}
	take := func(key string) {
		if keys = append(keys, key); len(keys) == batchVectors {
			flush()
		}
	}
	var err error
	if len(selection.Keys) > 0 {
		for _, key := range unique(selection.Keys) {
			take(key)
		}
	} else {
		o := vectors.ListOptions{Prefix: selection.Prefix, Filter: selection.Filter, Fields: vectors.KeysOnly}
		err = r.index.list(ctx, o, func(v vectors.Vector) bool {
			take(v.Key)
			return true
		})
	}
	if len(keys) > 0 && err == nil {
		flush()
	}
	// The error of a request is why the list was cancelled.
	return first(group.Wait(), err)
}

func (r *removal) remove(ctx context.Context, keys []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !r.dry {
		if err := r.index.patiently(ctx, func() error { return r.index.remove(ctx, keys) }); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done += len(keys)
	return nil
}

func (x *Index) remove(ctx context.Context, keys []string) error {
	if err := x.governor.wait(ctx, len(keys)); err != nil {
		return err
	}
	return exchanged(ctx, new(exchange), func(option func(*s3vectors.Options)) error {
		_, err := x.client.DeleteVectors(ctx, &s3vectors.DeleteVectorsInput{VectorBucketName: &x.bucket, IndexName: &x.name, Keys: keys}, option)
		return err
	})
}
