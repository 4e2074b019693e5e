package fssharetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/genaistore/genaistore/fsshare"
)

func treeCollectRace(t *testing.T, w world) {
	a, b := w.trees(1)
	one := release(t, a, "one")
	release(t, a, "two")
	release(t, a, "three")
	raced := 0
	// After Collect has looked, and before it has the lock, the release comes back.
	b.Share = &racingShare{Share: w.b, beforeLock: func(opts fsshare.LockOptions) {
		if raced++; raced == 1 && !opts.Shared {
			if err := a.Switch(t.Context(), one.ID); err != nil {
				t.Errorf("Switch = %v", err)
			}
		}
	}}
	w.eventually(t, "Collect takes a lock", func() bool {
		removed, err := b.Collect(t.Context(), soon)
		if err != nil || slices.Contains(removed, one) {
			t.Fatalf("Collect = %v, %v, and one of them is current", removed, err)
		}
		return raced > 0
	})
	wantCurrent(t, a, one)
	if err := a.Verify(t.Context(), one.ID); err != nil {
		t.Errorf("Verify of the current release = %v", err)
	}
}

func treeSwitchRace(t *testing.T, w world) {
	a, b := w.trees(1)
	one, two := publish(t, a, "one"), release(t, a, "two")
	rest(t.Context(), 10*time.Millisecond) // the grace of a nanosecond, by any clock
	b.Share = &racingShare{Share: w.b, beforeCommit: func() {
		if _, err := a.Collect(t.Context(), soon); err != nil {
			t.Errorf("Collect = %v", err)
		}
	}}
	if err := b.Switch(t.Context(), one.ID); err != nil {
		t.Fatal(err)
	}
	wantReleases(t, a, one, two)
	if err := a.Verify(t.Context(), one.ID); err != nil {
		t.Errorf("Verify of the current release = %v", err)
	}
}

func treePinRace(t *testing.T, w world) {
	a, b := w.trees(1)
	one := release(t, a, "one")
	var three fsshare.Release
	raced := false
	b.Share = &racingShare{Share: w.b, beforeLock: func(fsshare.LockOptions) {
		if raced {
			return
		}
		raced = true
		release(t, a, "two")
		three = release(t, a, "three")
		w.eventually(t, "the first release goes", func() bool {
			removed, err := a.Collect(t.Context(), soon)
			if err != nil {
				t.Fatal(err)
			}
			return slices.Contains(removed, one)
		})
	}}
	pin, err := b.Pin(w.limit(t), nil)
	if err != nil {
		t.Fatalf("Pin = %v", err)
	}
	wantEqual(t, "the pinned release", pin.Release, three)
	if err := a.Verify(pin.Context(), three.ID); err != nil {
		t.Errorf("Verify of a pinned release = %v", err)
	}
	if err := pin.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
}

// A racingShare lets something happen before each Lock and each Commit.
type racingShare struct {
	fsshare.Share
	beforeLock   func(fsshare.LockOptions)
	beforeCommit func()
}

func (s *racingShare) Lock(ctx context.Context, lock string, opts *fsshare.LockOptions) (fsshare.Lock, error) {
	if s.beforeLock != nil {
		s.beforeLock(opts.WithDefaults())
	}
	l, err := s.Share.Lock(ctx, lock, opts)
	if err != nil {
		return nil, err
	}
	return &racingLock{l, s}, nil
}

type racingLock struct {
	fsshare.Lock
	s *racingShare
}

func (l *racingLock) Commit(ctx context.Context, data []byte) error {
	if l.s.beforeCommit != nil {
		l.s.beforeCommit()
	}
	return l.Lock.Commit(ctx, data)
}
