package otel

import (
	"context"
	"io/fs"
	"iter"

	"github.com/genaistore/genaistore/artifacts"
)

// An Artifacts is an artifacts.Store that is observed.
type Artifacts struct {
	store    artifacts.Store
	observer *Observer
}

var _ artifacts.Store = (*Artifacts)(nil)

// Artifacts wraps store.
func (o *Observer) Artifacts(store artifacts.Store) *Artifacts { return &Artifacts{store, o} }

// Publish implements artifacts.Store.
func (a *Artifacts) Publish(ctx context.Context, name artifacts.Name, files fs.FS, opts *artifacts.PublishOptions) (artifacts.Publication, error) {
	return observe(ctx, a.observer, "artifacts.Publish", func(ctx context.Context) (artifacts.Publication, error) {
		return a.store.Publish(ctx, name, files, opts)
	})
}

// Resolve implements artifacts.Store.
func (a *Artifacts) Resolve(ctx context.Context, ref artifacts.Ref) (artifacts.Version, error) {
	return observe(ctx, a.observer, "artifacts.Resolve", func(ctx context.Context) (artifacts.Version, error) {
		return a.store.Resolve(ctx, ref)
	})
}

// Open implements artifacts.Store. The span is of the opening, not of the reading.
func (a *Artifacts) Open(ctx context.Context, id artifacts.ID, path string) (artifacts.File, error) {
	outer := ctx
	return observe(ctx, a.observer, "artifacts.Open", func(context.Context) (artifacts.File, error) {
		return a.store.Open(outer, id, path) // reads come after the span
	})
}

// Apply implements artifacts.Store.
func (a *Artifacts) Apply(ctx context.Context, name artifacts.Name, changes ...artifacts.Change) (artifacts.Record, error) {
	return observe(ctx, a.observer, "artifacts.Apply", func(ctx context.Context) (artifacts.Record, error) {
		return a.store.Apply(ctx, name, changes...)
	})
}

// History implements artifacts.Store.
func (a *Artifacts) History(ctx context.Context, name artifacts.Name, opts *artifacts.HistoryOptions) iter.Seq2[artifacts.Record, error] {
	return loop(ctx, a.observer, "artifacts.History", func(ctx context.Context) iter.Seq2[artifacts.Record, error] {
		return a.store.History(ctx, name, opts)
	})
}

// List implements artifacts.Store.
func (a *Artifacts) List(ctx context.Context, query artifacts.Query) iter.Seq2[artifacts.Version, error] {
	return loop(ctx, a.observer, "artifacts.List", func(ctx context.Context) iter.Seq2[artifacts.Version, error] {
		return a.store.List(ctx, query)
	})
}
