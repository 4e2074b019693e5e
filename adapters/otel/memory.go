package otel

import (
	"context"
	"iter"

	"go.opentelemetry.io/otel/attribute"

	"github.com/genaistore/genaistore/memory"
)

// A Memory is a memory.Store that is observed.
type Memory struct {
	store    memory.Store
	observer *Observer
}

var _ memory.Store = (*Memory)(nil)

// Memory wraps store.
func (o *Observer) Memory(store memory.Store) *Memory { return &Memory{store, o} }

func (m *Memory) of(key memory.Key) []attribute.KeyValue {
	if !m.observer.opts.Sessions || key.Session == "" {
		return nil
	}
	return []attribute.KeyValue{attribute.String("gen_ai.conversation.id", key.Session)}
}

// Append implements memory.Store.
func (m *Memory) Append(ctx context.Context, key memory.Key, entry memory.Entry, opts *memory.AppendOptions) (memory.Receipt, error) {
	return observe(ctx, m.observer, "memory.Append", func(ctx context.Context) (memory.Receipt, error) {
		return m.store.Append(ctx, key, entry, opts)
	}, m.of(key)...)
}

// Open implements memory.Store.
func (m *Memory) Open(ctx context.Context, key memory.Key, opts *memory.WindowOptions) (memory.Window, error) {
	return observe(ctx, m.observer, "memory.Open", func(ctx context.Context) (memory.Window, error) {
		return m.store.Open(ctx, key, opts)
	}, m.of(key)...)
}

// Records implements memory.Store.
func (m *Memory) Records(ctx context.Context, key memory.Key, opts *memory.RangeOptions) iter.Seq2[memory.Record, error] {
	return loop(ctx, m.observer, "memory.Records", func(ctx context.Context) iter.Seq2[memory.Record, error] {
		return m.store.Records(ctx, key, opts)
	}, m.of(key)...)
}

// Update implements memory.Store.
func (m *Memory) Update(ctx context.Context, key memory.Key, changes ...memory.Change) (memory.Bookmark, error) {
	return observe(ctx, m.observer, "memory.Update", func(ctx context.Context) (memory.Bookmark, error) {
		return m.store.Update(ctx, key, changes...)
	}, m.of(key)...)
}

// Find implements memory.Store.
func (m *Memory) Find(ctx context.Context, query memory.Query) iter.Seq2[memory.Match, error] {
	return loop(ctx, m.observer, "memory.Find", func(ctx context.Context) iter.Seq2[memory.Match, error] {
		return m.store.Find(ctx, query)
	})
}

// Delete implements memory.Store.
func (m *Memory) Delete(ctx context.Context, key memory.Key) error {
	_, err := observe(ctx, m.observer, "memory.Delete", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, m.store.Delete(ctx, key)
	}, m.of(key)...)
	return err
}
