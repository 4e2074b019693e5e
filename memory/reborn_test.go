package memory_test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"sync"
	"testing"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/memorytest"
)

// A reborn store goes through a snapshot after each write, so that the suite finds
// whatever a snapshot loses.
type reborn struct {
	mu      sync.Mutex
	inner   *memory.InMemory
	written bool
}

func (s *reborn) next() (*memory.InMemory, error) {
	if !s.written {
		return s.inner, nil
	}
	s.written = false
	var file bytes.Buffer
	if err := s.inner.Snapshot(&file); err != nil {
		return nil, err
	}
	s.inner = new(memory.InMemory)
	if err := s.inner.Restore(&file); err != nil {
		return nil, fmt.Errorf("%w (a snapshot that was just made)", err)
	}
	return s.inner, nil
}

func (s *reborn) Append(ctx context.Context, key memory.Key, e memory.Entry, opts *memory.AppendOptions) (memory.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.next()
	if err != nil {
		return memory.Receipt{}, err
	}
	s.written = true
	return m.Append(ctx, key, e, opts)
}

func (s *reborn) Open(ctx context.Context, key memory.Key, opts *memory.WindowOptions) (memory.Window, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.next()
	if err != nil {
		return memory.Window{}, err
	}
	return m.Open(ctx, key, opts)
}

func (s *reborn) Update(ctx context.Context, key memory.Key, changes ...memory.Change) (memory.Bookmark, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.next()
	if err != nil {
		return "", err
	}
	s.written = true
	return m.Update(ctx, key, changes...)
}

func (s *reborn) Delete(ctx context.Context, key memory.Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.next()
	if err != nil {
		return err
	}
	s.written = true
	return m.Delete(ctx, key)
}

func (s *reborn) Records(ctx context.Context, key memory.Key, opts *memory.RangeOptions) iter.Seq2[memory.Record, error] {
	return func(yield func(memory.Record, error) bool) {
		s.mu.Lock()
		m, err := s.next()
		s.mu.Unlock()
		if err != nil {
			yield(memory.Record{}, err)
			return
		}
		m.Records(ctx, key, opts)(yield)
	}
}

func (s *reborn) Find(ctx context.Context, q memory.Query) iter.Seq2[memory.Match, error] {
	return func(yield func(memory.Match, error) bool) {
		s.mu.Lock()
		m, err := s.next()
		s.mu.Unlock()
		if err != nil {
			yield(memory.Match{}, err)
			return
		}
		m.Find(ctx, q)(yield)
	}
}

func TestASnapshotLosesNothing(t *testing.T) {
	memorytest.Run(t, func(*testing.T) memory.Store { return &reborn{inner: new(memory.InMemory)} })
}
