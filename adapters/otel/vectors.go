package otel

import (
	"context"
	"iter"

	"github.com/genaistore/genaistore/vectors"
)

// A Vectors is a vectors.Index that is observed.
type Vectors struct {
	index    vectors.Index
	observer *Observer
}

var _ vectors.Index = (*Vectors)(nil)

// Vectors wraps index.
func (o *Observer) Vectors(index vectors.Index) *Vectors { return &Vectors{index, o} }

// Put implements vectors.Index.
func (v *Vectors) Put(ctx context.Context, all iter.Seq2[vectors.Vector, error], opts *vectors.PutOptions) (vectors.Report, error) {
	return observe(ctx, v.observer, "vectors.Put", func(ctx context.Context) (vectors.Report, error) {
		return v.index.Put(ctx, all, opts)
	})
}

// Get implements vectors.Index.
func (v *Vectors) Get(ctx context.Context, keys []string, opts *vectors.GetOptions) ([]vectors.Vector, error) {
	return observe(ctx, v.observer, "vectors.Get", func(ctx context.Context) ([]vectors.Vector, error) {
		return v.index.Get(ctx, keys, opts)
	})
}

// Query implements vectors.Index.
func (v *Vectors) Query(ctx context.Context, query vectors.Query) iter.Seq2[vectors.Match, error] {
	return loop(ctx, v.observer, "vectors.Query", func(ctx context.Context) iter.Seq2[vectors.Match, error] {
		return v.index.Query(ctx, query)
	})
}

// List implements vectors.Index.
func (v *Vectors) List(ctx context.Context, opts *vectors.ListOptions) iter.Seq2[vectors.Vector, error] {
	return loop(ctx, v.observer, "vectors.List", func(ctx context.Context) iter.Seq2[vectors.Vector, error] {
		return v.index.List(ctx, opts)
	})
}

// Delete implements vectors.Index.
func (v *Vectors) Delete(ctx context.Context, selection vectors.Selection, opts *vectors.DeleteOptions) (vectors.Report, error) {
	return observe(ctx, v.observer, "vectors.Delete", func(ctx context.Context) (vectors.Report, error) {
		return v.index.Delete(ctx, selection, opts)
	})
}

// Describe implements vectors.Index.
func (v *Vectors) Describe(ctx context.Context) (vectors.Schema, error) {
	return observe(ctx, v.observer, "vectors.Describe", v.index.Describe)
}
