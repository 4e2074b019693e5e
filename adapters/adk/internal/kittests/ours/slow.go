package ours

import (
	"context"
	"iter"
	"time"

	"github.com/genaistore/genaistore/memory"
)

// delay is what a request to another machine may take.
const delay = 25 * time.Millisecond

// slow is a store on another machine, so to speak.
type slow struct{ memory.Store }

func pause(ctx context.Context) error {
	select {
	case <-time.After(delay):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s slow) Append(ctx context.Context, key memory.Key, entry memory.Entry, opts *memory.AppendOptions) (memory.Receipt, error) {
	if err := pause(ctx); err != nil {
		return memory.Receipt{}, err
	}
	return s.Store.Append(ctx, key, entry, opts)
}

func (s slow) Open(ctx context.Context, key memory.Key, opts *memory.WindowOptions) (memory.Window, error) {
	if err := pause(ctx); err != nil {
		return memory.Window{}, err
	}
	return s.Store.Open(ctx, key, opts)
}

func (s slow) Update(ctx context.Context, key memory.Key, changes ...memory.Change) (memory.Bookmark, error) {
	if err := pause(ctx); err != nil {
		return "", err
	}
	return s.Store.Update(ctx, key, changes...)
}

func (s slow) Find(ctx context.Context, query memory.Query) iter.Seq2[memory.Match, error] {
	return func(yield func(memory.Match, error) bool) {
		if err := pause(ctx); err != nil {
			yield(memory.Match{}, err)
			return
		}
		s.Store.Find(ctx, query)(yield)
	}
}

func (s slow) Delete(ctx context.Context, key memory.Key) error {
	if err := pause(ctx); err != nil {
		return err
	}
	return s.Store.Delete(ctx, key)
}
