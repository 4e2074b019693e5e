package dynamomemory_test

import (
	"context"
	"iter"
	"runtime"
	"time"

	"github.com/genaistore/genaistore/memory"
)

// A forgetful store is a new one for each call. Clocks order what processes do after
// each other by the millisecond, less than any request to a real table takes.
type forgetful struct{ open func() memory.Store }

func (s *forgetful) later() memory.Store {
	for now := time.Now().UnixMilli(); time.Now().UnixMilli() == now; {
		runtime.Gosched()
	}
	return s.open()
}

func (s *forgetful) Append(ctx context.Context, key memory.Key, e memory.Entry, opts *memory.AppendOptions) (memory.Receipt, error) {
	return s.later().Append(ctx, key, e, opts)
}

func (s *forgetful) Open(ctx context.Context, key memory.Key, opts *memory.WindowOptions) (memory.Window, error) {
	return s.open().Open(ctx, key, opts)
}

func (s *forgetful) Records(ctx context.Context, key memory.Key, opts *memory.RangeOptions) iter.Seq2[memory.Record, error] {
	return s.open().Records(ctx, key, opts)
}

func (s *forgetful) Update(ctx context.Context, key memory.Key, changes ...memory.Change) (memory.Bookmark, error) {
	return s.later().Update(ctx, key, changes...)
}

func (s *forgetful) Find(ctx context.Context, q memory.Query) iter.Seq2[memory.Match, error] {
	return s.open().Find(ctx, q)
}

func (s *forgetful) Delete(ctx context.Context, key memory.Key) error {
	return s.later().Delete(ctx, key)
}
