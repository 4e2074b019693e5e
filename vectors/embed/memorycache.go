package embed

import (
	"cmp"
	"container/list"
	"context"
	"slices"
	"sync"
)

// InMemoryCache is a [Cache] of this process. The zero value is ready. It must not
// be copied after first use.
type InMemoryCache struct {
	// Most is how many embeddings it keeps: those used last. 0 means 10,000, which of
	// 1,024 dimensions take 40 MB. It must not change once the cache is used.
	Most int

	mu    sync.Mutex
	kept  map[string]*list.Element
	order list.List // of *embedding, the one used last at the front
}

type embedding struct {
	key    string
	vector []float32
}

var _ Cache = (*InMemoryCache)(nil)

// Load implements [Cache].
func (c *InMemoryCache) Load(ctx context.Context, keys []string) (map[string][]float32, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[string][]float32{}
	for _, key := range keys {
		if e, ok := c.kept[key]; ok {
			c.order.MoveToFront(e)
			found[key] = slices.Clone(e.Value.(*embedding).vector)
		}
	}
	return found, nil
}

// Store implements [Cache].
func (c *InMemoryCache) Store(ctx context.Context, embeddings map[string][]float32) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil {
		c.kept = map[string]*list.Element{}
	}
	for key, vector := range embeddings {
		if e, ok := c.kept[key]; ok {
			c.order.Remove(e)
		}
		c.kept[key] = c.order.PushFront(&embedding{key, slices.Clone(vector)})
	}
	for c.order.Len() > cmp.Or(c.Most, 10_000) {
		oldest := c.order.Back()
		c.order.Remove(oldest)
		delete(c.kept, oldest.Value.(*embedding).key)
	}
	return nil
}

// Len returns how many embeddings are kept.
func (c *InMemoryCache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.order.Len()
}
