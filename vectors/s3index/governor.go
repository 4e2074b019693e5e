package s3index

import (
	"context"
	"sync"
	"time"
)

func perSecond(rate float64) time.Duration { return time.Duration(float64(time.Second) / rate) }

// A governor spaces requests so that an index is written to no faster than it
// takes, in requests and in vectors. The retry quota of the client is too small
// to find that rate by being refused.
type governor struct {
	perRequest, perVector time.Duration

	mu       sync.Mutex
	requests time.Time // when the next request may go, by the number of requests
	vectors  time.Time // and by the number of vectors
}

// wait returns when a request of n vectors may go.
func (g *governor) wait(ctx context.Context, n int) error { return sleep(ctx, g.reserve(n)) }

func (g *governor) reserve(n int) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	at := now
	for _, free := range []time.Time{g.requests, g.vectors} {
		if free.After(at) {
			at = free
		}
	}
	g.requests, g.vectors = at.Add(g.perRequest), at.Add(time.Duration(n)*g.perVector)
	return at.Sub(now)
}

// pause lets nothing go for d.
func (g *governor) pause(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if until := time.Now().Add(d); until.After(g.requests) {
		g.requests = until
	}
}

func sleep(ctx context.Context, d time.Duration) error {
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
