package daxtest

import (
	"container/list"
	"sync"
	"time"
)

// A cache forgets what is too old, and what was not used for the longest time. A
// nil value is a negative entry: what it is of is known not to exist.
type cache[V any] struct {
	ttl  time.Duration // negative: nothing is kept
	most int

	mu           sync.Mutex
	entries      map[string]*list.Element
	used         list.List // the last used first
	hits, misses int64
}

type cached[V any] struct {
	key   string
	value V
	at    time.Time
}

func newCache[V any](ttl time.Duration, most int) *cache[V] {
	return &cache[V]{ttl: ttl, most: most, entries: map[string]*list.Element{}}
}

func (c *cache[V]) get(key string) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e != nil && time.Since(e.Value.(*cached[V]).at) >= c.ttl {
		c.remove(e)
		e = nil
	}
	if e == nil {
		c.misses++
		return value, false
	}
	c.hits++
	c.used.MoveToFront(e)
	return e.Value.(*cached[V]).value, true
}

func (c *cache[V]) put(key string, value V) {
	if c.ttl < 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[key]; e != nil {
		c.remove(e)
	}
	c.entries[key] = c.used.PushFront(&cached[V]{key, value, time.Now()})
	if c.used.Len() > c.most {
		c.remove(c.used.Back())
	}
}

func (c *cache[V]) remove(e *list.Element) {
	delete(c.entries, e.Value.(*cached[V]).key)
	c.used.Remove(e)
}

func (c *cache[V]) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.entries)
	c.used.Init()
}

func (c *cache[V]) counts() (hits, misses int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hits, c.misses
}
