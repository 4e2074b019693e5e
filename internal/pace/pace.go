// Package pace spaces requests so that a service is asked no faster than it takes,
// because the retry quota of a client is too small to find that rate by being
// refused.
package pace

import (
	"context"
	"sync"
	"time"
)

// A Pacer lets requests go at rates, of which each may be of something else: of
// requests, of what they carry. It is safe for concurrent use.
type Pacer struct {
	each []time.Duration // of one, by rate

	mu   sync.Mutex
	free []time.Time // when the next may go, by rate
}

// New returns a Pacer for rates a second. One of 0 is no limit.
func New(rates ...float64) *Pacer {
	p := &Pacer{each: make([]time.Duration, len(rates)), free: make([]time.Time, len(rates))}
	for i, rate := range rates {
		if rate > 0 {
			p.each[i] = time.Duration(float64(time.Second) / rate)
		}
	}
	return p
}

// Wait returns when a request may go that takes that much of each rate, and counts
// it. If the context ends before, the error matches the context's.
func (p *Pacer) Wait(ctx context.Context, amounts ...int) error {
	return Sleep(ctx, p.reserve(amounts))
}

func (p *Pacer) reserve(amounts []int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	at := now
	for _, free := range p.free {
		if free.After(at) {
			at = free
		}
	}
	for i := range min(len(amounts), len(p.free)) {
		p.free[i] = at.Add(time.Duration(amounts[i]) * p.each[i])
	}
	return at.Sub(now)
}

// Pause lets nothing go for d.
func (p *Pacer) Pause(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(d); len(p.free) > 0 && until.After(p.free[0]) {
		p.free[0] = until
	}
}

// Sleep returns after d, or with the error of a context that ends before.
func Sleep(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
