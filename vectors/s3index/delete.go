package s3index

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/s3vectors"
	"golang.org/x/sync/errgroup"

	"github.com/genaistore/genaistore/meter"
	"github.com/genaistore/genaistore/vectors"
)

// Delete implements [vectors.Index]. By Keys it asks nothing about them and
// reports all as done, each once. Else it lists the index, decides locally, keeps
// the keys of what it finds, and deletes these when the list is at its end: whether
// the pages of a list stay in place while vectors are deleted is not documented.
// Deleting the index itself is the cheaper way to delete all of a large one.
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

	found int // or keys that were given
	mu    sync.Mutex
	done  int
}

func (r *removal) run(ctx context.Context, selection vectors.Selection) error {
	keys := unique(selection.Keys)
	if len(keys) == 0 {
		o := vectors.ListOptions{Prefix: selection.Prefix, Filter: selection.Filter, Fields: vectors.KeysOnly}
		if err := r.index.list(ctx, o, func(v vectors.Vector) bool {
			keys = append(keys, strings.Clone(v.Key)) // a page is larger
			return true
		}); err != nil {
			return err
		}
	}
	if r.found = len(keys); r.dry {
		r.done = r.found
		return nil
	}
	return r.removeAll(ctx, keys)
}

func (r *removal) removeAll(ctx context.Context, keys []string) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(r.index.opts.Concurrency)
	for batch := range slices.Chunk(keys, batchVectors) {
		group.Go(func() error { return r.remove(ctx, batch) })
	}
	return group.Wait()
}

func (r *removal) remove(ctx context.Context, keys []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := r.index.patiently(ctx, func() error { return r.index.remove(ctx, keys) }); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done += len(keys)
	return nil
}

func (x *Index) remove(ctx context.Context, keys []string) error {
	if err := x.governor.Wait(ctx, 1, len(keys)); err != nil {
		return err
	}
	return exchanged(ctx, new(exchange), func(option func(*s3vectors.Options)) error {
		_, err := x.client.DeleteVectors(ctx, &s3vectors.DeleteVectorsInput{VectorBucketName: &x.bucket, IndexName: &x.name, Keys: keys}, option)
		return err
	})
}
