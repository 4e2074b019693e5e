package fssharetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/genaistore/genaistore/fsshare"
)

var holderCases = []promise{
	{"a lock outlives the context of Lock", outlives},
	{"tokens grow with each exclusive holder, on any client", tokens},
	{"a shared holder has the token of the last exclusive one", sharedTokens},
	{"Inspect says who holds the lock, and who did", inspectHolder},
	{"a lock never taken has the zero Status", inspectNever},
	{"Inspect sees that a lock was taken that it has looked for in vain", inspectFirst},
	{"Inspect is fresh while its own machine waits for the lock", inspectWaiting},
	{"Inspect does not take the lock, and is free while it is held", inspectFree},
	{"Unlock twice is no error", unlockTwice},
	{"after Unlock, Check and Commit are ErrLost", afterUnlock},
	{"the lock's context is a child of Lock's and ends with Unlock", lockContext},
	{"a lock may be used by many at the same time", lockTogether},
	{"Hold gives the lock back, and reports the first error", hold},
}

func inspectFirst(t *testing.T, w world) {
	for i := range 3 {
		name := fmt.Sprint("lock", i)
		wantEqual(t, "Held before anybody has it", inspect(t, w.b, name).Held, false)
		l := w.lock(t, w.a, name, nil)
		wantEqual(t, "Held", inspect(t, w.b, name).Held, true)
		unlock(t, l)
	}
}

func inspectWaiting(t *testing.T, w world) {
	l := w.lock(t, w.a, "lock", nil)
	commit(t, l, "old")
	wantEqual(t, "what is committed", string(inspect(t, w.b, "lock").Data), "old")
	ctx, cancel := context.WithCancel(w.limit(t))
	var wg sync.WaitGroup
	wg.Go(func() {
		if next, err := w.b.Lock(ctx, "lock", nil); err == nil {
			t.Errorf("Lock = a lock that is held; Unlock = %v", next.Unlock())
		}
	})
	for i := range 20 {
		want := fmt.Sprint("new", i)
		commit(t, l, want)
		wantEqual(t, "what is committed", string(inspect(t, w.b, "lock").Data), want)
		rest(ctx, time.Millisecond)
	}
	cancel()
	wg.Wait()
	unlock(t, l)
}

func outlives(t *testing.T, w world) {
	ctx, cancel := context.WithCancel(w.limit(t))
	l, err := w.a.Lock(ctx, "lock", nil)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := l.Check(t.Context()); err != nil {
		t.Errorf("Check after the context of Lock ended = %v", err)
	}
	if w.try(t, w.b, "lock", fsshare.LockOptions{}) != nil {
		t.Error("the lock ended with the context of Lock")
	}
	commit(t, l, "still mine")
	unlock(t, l)
	wantEqual(t, "what is committed", string(inspect(t, w.b, "lock").Data), "still mine")
}

func tokens(t *testing.T, w world) {
	last := uint64(0)
	for i := range 20 {
		s := w.a
		if i%3 == 1 {
			s = w.b
		}
		l := w.lock(t, s, "lock", nil)
		if l.Token() <= last {
			t.Fatalf("token %d after %d", l.Token(), last)
		}
		last = l.Token()
		wantEqual(t, "Inspect's token", inspect(t, w.b, "lock").Token, last)
		unlock(t, l)
		wantEqual(t, "Inspect's token after Unlock", inspect(t, w.b, "lock").Token, last)
		wantEqual(t, "Token after Unlock", l.Token(), last)
	}
	if l := w.lock(t, w.a, "other", nil); l.Token() == 0 {
		t.Error("the first token is 0")
	}
}

func sharedTokens(t *testing.T, w world) {
	opts := &fsshare.LockOptions{Shared: true}
	l := w.lock(t, w.a, "lock", opts)
	wantEqual(t, "a shared token before any exclusive one", l.Token(), 0)
	unlock(t, l)
	x := w.lock(t, w.a, "lock", nil)
	unlock(t, x)
	l = w.lock(t, w.b, "lock", opts)
	wantEqual(t, "a shared token", l.Token(), x.Token())
	wantEqual(t, "Inspect's token", inspect(t, w.a, "lock").Token, x.Token())
}

func inspectHolder(t *testing.T, w world) {
	before := time.Now().Add(-time.Minute)
	l := w.lock(t, w.a, "lock", &fsshare.LockOptions{Purpose: "publish é"})
	status := inspect(t, w.b, "lock")
	h := status.Holder
	if !status.Held || h.Purpose != "publish é" || h.Host == "" || h.Process == "" {
		t.Errorf("Inspect of a held lock = %+v", status)
	}
	if h.Since.Before(before) || h.Since.After(time.Now().Add(time.Minute)) {
		t.Errorf("held since %v, and it is %v", h.Since, time.Now())
	}
	unlock(t, l)
	status = inspect(t, w.b, "lock")
	if status.Held || status.Holder != h {
		t.Errorf("Inspect after Unlock = %+v, want %+v", status, h)
	}
	w.lock(t, w.b, "lock", &fsshare.LockOptions{Shared: true, Purpose: "read"})
	status = inspect(t, w.a, "lock")
	if !status.Held || status.Holder != h {
		t.Errorf("Inspect of a shared lock = %+v, want the last exclusive holder, %+v", status, h)
	}
}

func inspectNever(t *testing.T, w world) {
	for range 2 { // looking must not make it
		s := inspect(t, w.a, "lock")
		if s.Held || s.Holder != (fsshare.Holder{}) || s.Token != 0 || s.Data != nil {
			t.Errorf("Inspect of a lock never taken = %+v", s)
		}
	}
}

func inspectFree(t *testing.T, w world) {
	l := w.lock(t, w.a, "lock", nil)
	w.both(4, func(_ int, s fsshare.Share) {
		if status, err := s.Inspect(t.Context(), "lock"); err != nil || !status.Held {
			t.Errorf("Inspect = %+v, %v", status, err)
		}
	})
	unlock(t, l)
	var wg sync.WaitGroup
	var done atomic.Bool
	wg.Go(func() {
		for !done.Load() {
			if _, err := w.b.Inspect(t.Context(), "lock"); err != nil {
				t.Errorf("Inspect = %v", err)
				return
			}
		}
	})
	for range 20 {
		l := w.try(t, w.a, "lock", fsshare.LockOptions{})
		if l == nil {
			t.Error("Inspect took the lock from one that tries")
			break
		}
		unlock(t, l)
	}
	done.Store(true)
	wg.Wait()
}

func unlockTwice(t *testing.T, w world) {
	first := w.lock(t, w.a, "lock", nil)
	unlock(t, first)
	second := w.lock(t, w.b, "lock", nil)
	unlock(t, first) // must not be taken for the other's
	if w.try(t, w.a, "lock", fsshare.LockOptions{}) != nil {
		t.Fatal("a second Unlock gave back another's lock")
	}
	if err := second.Check(t.Context()); err != nil {
		t.Errorf("Check = %v", err)
	}
}

func afterUnlock(t *testing.T, w world) {
	first := w.lock(t, w.a, "lock", nil)
	commit(t, first, "old")
	unlock(t, first)
	wantErr(t, "Check after Unlock", first.Check(t.Context()), fsshare.ErrLost, fsshare.ErrConflict)
	wantErr(t, "Commit after Unlock", first.Commit(t.Context(), []byte("stale")), fsshare.ErrLost, fsshare.ErrConflict)
	second := w.lock(t, w.b, "lock", nil)
	commit(t, second, "new")
	wantErr(t, "Commit of a stale holder", first.Commit(t.Context(), []byte("stale")), fsshare.ErrLost)
	wantErr(t, "Check of a stale holder", first.Check(t.Context()), fsshare.ErrLost)
	wantEqual(t, "what is committed", string(inspect(t, w.a, "lock").Data), "new")
}

type ctxKey struct{}

func lockContext(t *testing.T, w world) {
	parent, cancel := context.WithCancel(context.WithValue(w.limit(t), ctxKey{}, "value"))
	for _, opts := range []*fsshare.LockOptions{nil, {Shared: true}} {
		l := w.lock(t, w.a, "free", opts)
		if l.Context().Err() != nil {
			t.Fatalf("Context of a held lock: %v", context.Cause(l.Context()))
		}
		unlock(t, l)
		wantErr(t, "the context after Unlock", l.Context().Err(), context.Canceled)
		if errors.Is(context.Cause(l.Context()), fsshare.ErrLost) {
			t.Error("the cause after Unlock is ErrLost")
		}
	}
	l, err := w.a.Lock(parent, "lock", nil)
	if err != nil {
		t.Fatal(err)
	}
	if l.Context().Value(ctxKey{}) != "value" {
		t.Error("the lock's context has not the values of Lock's")
	}
	cancel()
	<-l.Context().Done()
	unlock(t, l)
}

func lockTogether(t *testing.T, w world) {
	l := w.lock(t, w.a, "lock", nil)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 10 {
				if err := l.Check(t.Context()); err != nil {
					t.Errorf("Check = %v", err)
				}
				if err := l.Commit(t.Context(), []byte(strings.Repeat(fmt.Sprint(i), 100))); err != nil {
					t.Errorf("Commit = %v", err)
				}
			}
		})
	}
	wg.Wait()
	if data := inspect(t, w.b, "lock").Data; len(data) != 100 || strings.Trim(string(data), string(data[:1])) != "" {
		t.Errorf("what is committed is a mix: %q", data)
	}
	for range 4 {
		wg.Go(func() {
			if err := l.Unlock(); err != nil {
				t.Errorf("Unlock = %v", err)
			}
		})
	}
	wg.Wait()
}

func hold(t *testing.T, w world) {
	boom := errors.New("boom")
	err := fsshare.Hold(w.limit(t), w.a, "lock", nil, func(ctx context.Context, l fsshare.Lock) error {
		_, err := w.b.Lock(ctx, "lock", &fsshare.LockOptions{Try: true})
		wantErr(t, "Lock of what Hold holds", err, fsshare.ErrConflict)
		return l.Commit(ctx, []byte("x"))
	})
	if err != nil {
		t.Errorf("Hold = %v", err)
	}
	err = fsshare.Hold(w.limit(t), w.b, "lock", nil, func(context.Context, fsshare.Lock) error { return boom })
	wantErr(t, "Hold", err, boom)
	if w.try(t, w.a, "lock", fsshare.LockOptions{}) == nil {
		t.Error("Hold did not give the lock back")
	}
	err = fsshare.Hold(w.limit(t), w.b, "lock", &fsshare.LockOptions{Try: true}, func(context.Context, fsshare.Lock) error {
		t.Error("Hold ran without the lock")
		return nil
	})
	wantErr(t, "Hold of a lock that is held", err, fsshare.ErrConflict)
}
