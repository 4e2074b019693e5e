package memorytest

import (
	"context"
	"sync"

	"github.com/genaistore/genaistore/memory"
)

// Follow returns store as the steps of an agent use it, each of which hands its
// bookmark on: an Open that asks for nothing else asks for what has been seen of the
// session through Follow, in place of a strongly consistent read. So a store with a cache
// or a replica may answer from that, and is tested there:
//
//	memorytest.Run(t, func(t *testing.T) memory.Store { return memorytest.Follow(newStore(t)) })
func Follow(store memory.Store) *Follower {
	return &Follower{Store: store, seen: map[memory.Key]memory.Bookmark{}}
}

// A Follower is what Follow returns.
type Follower struct {
	memory.Store
	mu   sync.Mutex
	seen map[memory.Key]memory.Bookmark
}

func (f *Follower) saw(key memory.Key, b memory.Bookmark) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen[key] = max(f.seen[key], b)
}

// Append implements memory.Store.
func (f *Follower) Append(ctx context.Context, key memory.Key, entry memory.Entry, opts *memory.AppendOptions) (memory.Receipt, error) {
	r, err := f.Store.Append(ctx, key, entry, opts)
	f.saw(key, r.Bookmark)
	return r, err
}

// Update implements memory.Store.
func (f *Follower) Update(ctx context.Context, key memory.Key, changes ...memory.Change) (memory.Bookmark, error) {
	b, err := f.Store.Update(ctx, key, changes...)
	f.saw(key, b)
	return b, err
}

// Open implements memory.Store.
func (f *Follower) Open(ctx context.Context, key memory.Key, options *memory.WindowOptions) (memory.Window, error) {
	opts := options.WithDefaults()
	if opts.AtLeast == "" {
		f.mu.Lock()
		opts.AtLeast = f.seen[key]
		f.mu.Unlock()
	}
	w, err := f.Store.Open(ctx, key, &opts)
	f.saw(key, w.Bookmark)
	return w, err
}

// Delete implements memory.Store.
func (f *Follower) Delete(ctx context.Context, key memory.Key) error {
	err := f.Store.Delete(ctx, key)
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.seen, key)
	return err
}
