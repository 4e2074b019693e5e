package efsshare

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/genaistore/genaistore/fsshare"
)

// Invocation runs do with a share whose locks do not outlive it, as a handler of
// AWS Lambda needs: between two invocations the process is frozen, and a lock that
// it still holds is lost without anybody there to notice. Locks that do has not
// given back are given back when it returns, which is then an error that names them
// and matches fsshare.ErrInvalid.
func (s *Share) Invocation(ctx context.Context, do func(ctx context.Context, share fsshare.Share) error) (err error) {
	in := &invocation{Share: s, held: map[fsshare.Lock]string{}}
	defer func() { err = errors.Join(err, in.end()) }()
	return do(ctx, in)
}

// An invocation is a share that knows which of its locks are held.
type invocation struct {
	*Share
	mu    sync.Mutex
	held  map[fsshare.Lock]string
	ended bool
}

// Lock implements [fsshare.Share].
func (in *invocation) Lock(ctx context.Context, lock string, opts *fsshare.LockOptions) (fsshare.Lock, error) {
	l, err := in.Acquire(ctx, lock, opts)
	if err != nil {
		return nil, err
	}
	own := &invocationLock{l, in}
	in.mu.Lock()
	ended := in.ended
	if !ended {
		in.held[own] = lock
	}
	in.mu.Unlock()
	if ended {
		return nil, wrap("lock", lock, errors.Join(fmt.Errorf("%w: the invocation has ended", fsshare.ErrInvalid), l.Unlock()))
	}
	return own, nil
}

type invocationLock struct {
	*Lock
	in *invocation
}

// Unlock implements [fsshare.Lock].
func (l *invocationLock) Unlock() error {
	l.in.mu.Lock()
	delete(l.in.held, l)
	l.in.mu.Unlock()
	return l.Lock.Unlock()
}

func (in *invocation) end() error {
	in.mu.Lock()
	in.ended = true
	held := make([]fsshare.Lock, 0, len(in.held))
	names := make([]string, 0, len(in.held))
	for lock, name := range in.held {
		held, names = append(held, lock), append(names, fmt.Sprintf("%.80q", name))
	}
	in.mu.Unlock()
	if len(held) == 0 {
		return nil
	}
	slices.Sort(names)
	err := fmt.Errorf("%w: the invocation ended with locks held: %s; give each back before it returns", fsshare.ErrInvalid, strings.Join(names, ", "))
	for _, lock := range held {
		err = errors.Join(err, lock.Unlock())
	}
	return err
}
