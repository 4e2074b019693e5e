package dynamomemory

import (
	"sync"
	"time"
)

// What this process knows of a session. It saves requests and is never needed.
type known struct {
	active  time.Time // when the head was last told
	expires time.Time // zero if never
	epoch   string
	floor   string
	state   bool // the state's marker is there
	unfold  int  // records with state that are not folded yet
	wrapped string
	key     []byte // data key, with a Cipher
	size    int    // of a shared state, in bytes
	sized   time.Time
	tail    *tail // with a cache
}

func (k known) fresh(now time.Time) bool {
	return k.epoch != "" && now.Sub(k.active) < bucket && (k.expires.IsZero() || now.Before(k.expires))
}

type seen struct {
	most int

	mu    sync.Mutex
	known map[string]known
}

func (c *seen) get(pk string) known {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known[pk]
}

func (c *seen) drop(pk string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, pk)
}

// change edits what is known of a session, which may be nothing yet.
func (c *seen) change(pk string, edit func(*known)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.known[pk]
	if !ok && len(c.known) >= c.most {
		for other := range c.known { // any one: a map has no order to evict by, and being wrong costs two writes
			delete(c.known, other)
			break
		}
	}
	edit(&k)
	c.known[pk] = k
}
