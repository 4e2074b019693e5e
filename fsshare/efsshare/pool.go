package efsshare

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/genaistore/genaistore/fsshare"
)

// A pool makes calls into a mount on goroutines of its own, so that a caller can
// leave a call that hangs. Such a call keeps its thread until the server answers
// or the process is killed: nothing else ends it. So their number is bounded, and
// while half of them are left behind, new calls fail at once.
type pool struct {
	places  chan struct{}
	timeout time.Duration

	mu   sync.Mutex
	left map[any]time.Time // when the calls began that nobody waits for any more
}

func newPool(threads int, timeout time.Duration) *pool {
	return &pool{places: make(chan struct{}, threads), timeout: timeout, left: map[any]time.Time{}}
}

// slow is from when on a call that its caller left counts as one that hangs: an
// impatient caller is no sign of a sick server.
const slow = time.Second

// hanging is the number of calls that hang.
func (p *pool) hanging() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, began := range p.left {
		if time.Since(began) >= slow {
			n++
		}
	}
	return n
}

// stuck says whether new calls would only join those that hang.
func (p *pool) stuck() bool { return p.hanging() >= max(1, cap(p.places)/2) }

// eventually makes f as soon as there is a place, also where call would not, and
// closes the channel it returns when f has returned. It is for what gives back.
func (p *pool) eventually(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.places <- struct{}{}
		defer func() { <-p.places }()
		f()
	}()
	return done
}

// call makes f and returns what it returns, or an error as soon as ctx ends or
// the pool's timeout has passed. Late, if not nil, gets what f returns after that.
func call[T any](ctx context.Context, p *pool, f func() (T, error), late func(T)) (T, error) {
	var zero T
	if err := ended(ctx); err != nil {
		return zero, err
	}
	if p.stuck() {
		return zero, fmt.Errorf("%w: half of the %d calls that may be under way hang; the mount is not asked again before they return", fsshare.ErrHung, cap(p.places))
	}
	timer := time.NewTimer(p.timeout)
	defer timer.Stop()
	select {
	case p.places <- struct{}{}:
	case <-ctx.Done():
		return zero, ended(ctx)
	case <-timer.C:
		return zero, fmt.Errorf("%w: all of %d calls were under way for %v", fsshare.ErrHung, cap(p.places), p.timeout)
	}
	c := begin(p, f, late)
	select {
	case <-c.done:
		return c.value, c.err
	case <-ctx.Done():
	case <-timer.C:
	}
	if !c.abandon() {
		return c.value, c.err
	}
	if err := ended(ctx); err != nil {
		if time.Since(c.began) >= slow {
			return zero, fmt.Errorf("%w: %w", err, fsshare.ErrHung)
		}
		return zero, err
	}
	return zero, fmt.Errorf("%w: no answer within %v", fsshare.ErrHung, p.timeout)
}

// A pending is a call under way.
type pending[T any] struct {
	pool  *pool
	began time.Time
	done  chan struct{} // closed when value and err are set

	mu        sync.Mutex
	returned  bool
	abandoned bool
	value     T
	err       error
}

func begin[T any](p *pool, f func() (T, error), late func(T)) *pending[T] {
	c := &pending[T]{pool: p, began: time.Now(), done: make(chan struct{})}
	go func() {
		defer func() { <-p.places }()
		value, err := f()
		if c.finish(value, err) {
			return
		}
		if err == nil && late != nil {
			late(value)
		}
		c.forget()
	}()
	return c
}

// finish reports whether the caller still waits.
func (c *pending[T]) finish(value T, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.abandoned {
		return false
	}
	c.value, c.err, c.returned = value, err, true
	close(c.done)
	return true
}

// abandon reports whether the call was left to itself; otherwise it has returned.
func (c *pending[T]) abandon() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.returned {
		return false
	}
	c.abandoned = true
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.pool.left[c] = c.began
	return true
}

func (c *pending[T]) forget() {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	delete(c.pool.left, c)
}

// do is call for what returns an error only.
func do(ctx context.Context, p *pool, f func() error) error {
	_, err := call(ctx, p, func() (struct{}, error) { return struct{}{}, f() }, nil)
	return err
}
