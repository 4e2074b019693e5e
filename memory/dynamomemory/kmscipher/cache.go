package kmscipher

import (
	"container/list"
	"crypto/sha256"
	"slices"
	"sync"
	"time"
)

// cache keeps the data keys used last, for a time that starts when KMS gave them.
type cache struct {
	size int
	ttl  time.Duration

	mu    sync.Mutex
	items map[[sha256.Size]byte]*list.Element
	order list.List // of *entry, the one used last in front
}

type entry struct {
	id      [sha256.Size]byte
	key     []byte
	expires time.Time
}

// get returns a copy, which the caller may clear, or nil.
func (c *cache) get(id [sha256.Size]byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.items[id]
	if !ok {
		return nil
	}
	found := element.Value.(*entry)
	if !time.Now().Before(found.expires) {
		c.remove(element)
		return nil
	}
	c.order.MoveToFront(element)
	return slices.Clone(found.key)
}

func (c *cache) put(id [sha256.Size]byte, key []byte) {
	if c.size == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if element, ok := c.items[id]; ok {
		c.remove(element)
	}
	for c.order.Len() >= c.size {
		c.remove(c.order.Back())
	}
	if c.items == nil {
		c.items = map[[sha256.Size]byte]*list.Element{}
	}
	c.items[id] = c.order.PushFront(&entry{id, slices.Clone(key), time.Now().Add(c.ttl)})
}

// remove drops a key and wipes it.
func (c *cache) remove(element *list.Element) {
	dropped := element.Value.(*entry)
	clear(dropped.key)
	delete(c.items, dropped.id)
	c.order.Remove(element)
}
