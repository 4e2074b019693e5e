package otel

import (
	"context"
	"io"
	"io/fs"
	"iter"

	"github.com/genaistore/genaistore/fsshare"
)

// A Share is an fsshare.Share that is observed.
type Share struct {
	share    fsshare.Share
	observer *Observer
}

var _ fsshare.Share = (*Share)(nil)

// Share wraps share.
func (o *Observer) Share(share fsshare.Share) *Share { return &Share{share, o} }

// FS implements fsshare.Share. Reads through it have no spans: a walk has thousands.
func (s *Share) FS(ctx context.Context) fs.FS { return s.share.FS(ctx) }

// WriteFile implements fsshare.Share.
func (s *Share) WriteFile(ctx context.Context, name string, r io.Reader, opts *fsshare.WriteOptions) (fsshare.Info, error) {
	return observe(ctx, s.observer, "fsshare.WriteFile", func(ctx context.Context) (fsshare.Info, error) {
		return s.share.WriteFile(ctx, name, r, opts)
	})
}

// Remove implements fsshare.Share.
func (s *Share) Remove(ctx context.Context, name string) error {
	_, err := observe(ctx, s.observer, "fsshare.Remove", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.share.Remove(ctx, name)
	})
	return err
}

// Lock implements fsshare.Share. The span is of the waiting, not of the holding.
func (s *Share) Lock(ctx context.Context, lock string, opts *fsshare.LockOptions) (fsshare.Lock, error) {
	outer := ctx
	return observe(ctx, s.observer, "fsshare.Lock", func(context.Context) (fsshare.Lock, error) {
		return s.share.Lock(outer, lock, opts) // the lock's context outlives the span
	})
}

// Inspect implements fsshare.Share.
func (s *Share) Inspect(ctx context.Context, lock string) (fsshare.Status, error) {
	return observe(ctx, s.observer, "fsshare.Inspect", func(ctx context.Context) (fsshare.Status, error) {
		return s.share.Inspect(ctx, lock)
	})
}

// Watch implements fsshare.Share.
func (s *Share) Watch(ctx context.Context, target fsshare.Target, opts *fsshare.WatchOptions) iter.Seq2[fsshare.Event, error] {
	return loop(ctx, s.observer, "fsshare.Watch", func(ctx context.Context) iter.Seq2[fsshare.Event, error] {
		return s.share.Watch(ctx, target, opts)
	})
}
