package fssharetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/genaistore/genaistore/fsshare"
)

var lockCases = []promise{
	{"an exclusive lock has one holder", exclusion},
	{"Try does not wait: ErrConflict while another has it, also in this client", try},
	{"shared locks admit each other and keep exclusive ones out", shared},
	{"an exclusive lock keeps shared ones out", exclusiveKeepsShared},
	{"one that waits for an exclusive lock keeps later shared ones from passing", noPassing},
	{"a waiting Lock gets it after Unlock", waiting},
	{"shared and exclusive waiters all get their turn", waitingMix},
	{"one that locks again and again gets no more than its share", fairness},
	{"a waiting Lock ends with its context and leaves no trace", waitingCanceled},
	{"Wait bounds the waiting and not the lock's context", waitBound},
	{"a waiting exclusive Lock that ends lets shared ones pass", waitingCanceledShared},
}

// both runs f on each client at the same time, n times over.
func (w world) both(n int, f func(i int, s fsshare.Share)) {
	var wg sync.WaitGroup
	for i := range 2 * n {
		wg.Go(func() {
			if i%2 == 0 {
				f(i, w.a)
			} else {
				f(i, w.b)
			}
		})
	}
	wg.Wait()
}

func exclusion(t *testing.T, w world) {
	const rounds = 15
	write(t, w.a, "counter", "0")
	var inside atomic.Int32
	ctx := w.limit(t)
	w.both(2, func(_ int, s fsshare.Share) {
		for range rounds {
			l, err := s.Lock(ctx, "lock", nil)
			if err != nil {
				t.Errorf("Lock = %v", err)
				return
			}
			if n := inside.Add(1); n != 1 {
				t.Errorf("%d holders at once", n)
			}
			err = count(ctx, s)
			inside.Add(-1)
			if err := errors.Join(err, l.Unlock()); err != nil {
				t.Error(err)
			}
		}
	})
	wantEqual(t, "what was counted under the lock", read(t, w.b, "counter"), strconv.Itoa(4*rounds))
}

// count adds one to the number in a file.
func count(ctx context.Context, s fsshare.Share) error {
	data, err := fs.ReadFile(s.FS(ctx), "counter")
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(string(data))
	if err != nil {
		return err
	}
	_, err = s.WriteFile(ctx, "counter", strings.NewReader(strconv.Itoa(n+1)), nil)
	return err
}

func try(t *testing.T, w world) {
	l := w.lock(t, w.a, "lock", nil)
	for _, s := range []fsshare.Share{w.a, w.b} {
		if w.try(t, s, "lock", fsshare.LockOptions{}) != nil {
			t.Fatal("Try took a lock that is held")
		}
	}
	if w.try(t, w.b, "other", fsshare.LockOptions{}) == nil {
		t.Error("Try = ErrConflict for a lock that nobody has")
	}
	unlock(t, l)
	if w.try(t, w.b, "lock", fsshare.LockOptions{}) == nil {
		t.Error("Try = ErrConflict after Unlock")
	}
}

func shared(t *testing.T, w world) {
	opts := fsshare.LockOptions{Shared: true}
	var held []fsshare.Lock
	for _, s := range []fsshare.Share{w.a, w.b, w.a} {
		l := w.try(t, s, "lock", opts)
		if l == nil {
			t.Fatal("a shared lock kept another out")
		}
		held = append(held, l)
	}
	for _, l := range held {
		for _, s := range []fsshare.Share{w.a, w.b} {
			if w.try(t, s, "lock", fsshare.LockOptions{}) != nil {
				t.Fatal("an exclusive lock was given beside a shared one")
			}
		}
		if err := l.Check(t.Context()); err != nil {
			t.Errorf("Check of a shared lock = %v", err)
		}
		unlock(t, l)
	}
	if w.try(t, w.b, "lock", fsshare.LockOptions{}) == nil {
		t.Error("no exclusive lock after all shared ones were given back")
	}
}

func exclusiveKeepsShared(t *testing.T, w world) {
	l := w.lock(t, w.a, "lock", nil)
	for _, s := range []fsshare.Share{w.a, w.b} {
		if w.try(t, s, "lock", fsshare.LockOptions{Shared: true}) != nil {
			t.Fatal("a shared lock was given beside an exclusive one")
		}
	}
	unlock(t, l)
	if w.try(t, w.b, "lock", fsshare.LockOptions{Shared: true}) == nil {
		t.Error("no shared lock after the exclusive one was given back")
	}
}

// await starts a Lock that has to wait; its result comes through the channel.
func await(ctx context.Context, s fsshare.Share, opts *fsshare.LockOptions) <-chan result {
	c := make(chan result, 1)
	var wg sync.WaitGroup // not waited for: a Lock that never returns is a failure, not a hang
	wg.Go(func() {
		l, err := s.Lock(ctx, "lock", opts)
		c <- result{l, err}
	})
	return c
}

// result returns what came of an awaited Lock.
func (w world) result(t *testing.T, c <-chan result) result {
	t.Helper()
	select {
	case r := <-c:
		return r
	case <-w.limit(t).Done():
		t.Fatalf("Lock has not returned within %v", w.opts.Patience)
		return result{}
	}
}

type result struct {
	lock fsshare.Lock
	err  error
}

// untilKept waits for the moment from which on one that waits for the exclusive
// lock keeps shared ones from passing.
func (w world) untilKept(t *testing.T, s fsshare.Share) {
	t.Helper()
	w.eventually(t, "a shared Try that is kept from passing", func() bool {
		l := w.try(t, s, "lock", fsshare.LockOptions{Shared: true})
		if l != nil {
			unlock(t, l)
		}
		return l == nil
	})
}

func noPassing(t *testing.T, w world) {
	first := w.lock(t, w.a, "lock", &fsshare.LockOptions{Shared: true})
	waiter := await(w.limit(t), w.b, nil)
	w.untilKept(t, w.a)
	later := await(w.limit(t), w.a, &fsshare.LockOptions{Shared: true})
	rest(t.Context(), 20*time.Millisecond) // long enough to be waiting, mostly
	select {
	case r := <-waiter:
		t.Fatalf("an exclusive lock was given beside a shared one (%v)", r.err)
	case r := <-later:
		t.Fatalf("a shared lock passed an exclusive one (%v)", r.err)
	default:
	}
	unlock(t, first)
	r := w.result(t, waiter)
	if r.err != nil {
		t.Fatalf("Lock = %v", r.err)
	}
	unlock(t, r.lock)
	if r = w.result(t, later); r.err != nil {
		t.Fatalf("Lock = %v", r.err)
	}
	unlock(t, r.lock)
}

func waiting(t *testing.T, w world) {
	l := w.lock(t, w.a, "lock", nil)
	waiter := await(w.limit(t), w.b, nil)
	rest(t.Context(), 20*time.Millisecond) // long enough to be waiting, mostly
	select {
	case r := <-waiter:
		t.Fatalf("Lock returned while another held it: %v", r.err)
	default:
	}
	unlock(t, l)
	r := w.result(t, waiter)
	if r.err != nil {
		t.Fatalf("Lock = %v", r.err)
	}
	if r.lock.Token() <= l.Token() {
		t.Errorf("token %d after %d", r.lock.Token(), l.Token())
	}
	unlock(t, r.lock)
}

func waitingMix(t *testing.T, w world) {
	first := w.lock(t, w.a, "lock", nil)
	ctx := w.limit(t)
	var readers, writers atomic.Int32
	var wg sync.WaitGroup
	wg.Go(func() {
		w.both(4, func(i int, s fsshare.Share) {
			opts := &fsshare.LockOptions{Shared: i%4 < 2}
			l, err := s.Lock(ctx, "lock", opts)
			if err != nil {
				t.Errorf("Lock(%+v) = %v", opts, err)
				return
			}
			if opts.Shared {
				readers.Add(1)
			} else {
				writers.Add(1)
			}
			r, x := readers.Load(), writers.Load()
			if x > 1 || x == 1 && r > 0 {
				t.Errorf("%d exclusive and %d shared holders at once", x, r)
			}
			rest(ctx, time.Millisecond)
			if opts.Shared {
				readers.Add(-1)
			} else {
				writers.Add(-1)
			}
			if err := l.Unlock(); err != nil {
				t.Errorf("Unlock = %v", err)
			}
		})
	})
	rest(ctx, 20*time.Millisecond) // some of each are waiting, mostly
	unlock(t, first)
	wg.Wait()
}

func fairness(t *testing.T, w world) {
	const total = 45
	var turns atomic.Int32
	ctx := w.limit(t)
	var wg sync.WaitGroup
	for _, s := range []fsshare.Share{w.a, w.b, w.a} {
		wg.Go(func() {
			mine, passed := int32(0), int32(0)
			for turns.Load() < total {
				before := turns.Load()
				l, err := s.Lock(ctx, "lock", nil)
				if err != nil {
					t.Errorf("Lock = %v", err)
					return
				}
				mine++
				passed += turns.Add(1) - 1 - before
				rest(ctx, w.opts.Hold)
				if err := l.Unlock(); err != nil {
					t.Errorf("Unlock = %v", err)
					return
				}
			}
			// In turn, two others go first. Without turns, whoever has just unlocked
			// locks again, and the others see dozens go first.
			if passed > 6*max(mine, 1) {
				t.Errorf("one of three had %d of %d turns, and was passed by %d", mine, total, passed)
			}
		})
	}
	wg.Wait()
}

func waitingCanceled(t *testing.T, w world) {
	l := w.lock(t, w.a, "lock", nil)
	boom := errors.New("boom")
	ctx, cancel := context.WithCancelCause(w.limit(t))
	waiter := await(ctx, w.b, nil)
	rest(t.Context(), 20*time.Millisecond) // long enough to be waiting, mostly
	cancel(boom)
	r := w.result(t, waiter)
	wantErr(t, "Lock", r.err, context.Canceled, boom)
	short, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	_, err := w.a.Lock(short, "lock", nil)
	wantErr(t, "Lock", err, context.DeadlineExceeded)
	if err := l.Check(t.Context()); err != nil {
		t.Errorf("Check after others gave up = %v", err)
	}
	unlock(t, l)
	w.eventually(t, "the lock, after all who waited gave up", func() bool {
		return w.try(t, w.b, "lock", fsshare.LockOptions{}) != nil
	})
}

func waitBound(t *testing.T, w world) {
	first := w.lock(t, w.a, "lock", nil)
	for _, opts := range []fsshare.LockOptions{{Wait: time.Nanosecond}, {Wait: 20 * time.Millisecond, Shared: true}} {
		_, err := w.b.Lock(w.limit(t), "lock", &opts)
		wantErr(t, fmt.Sprintf("Lock(%+v)", opts), err, fsshare.ErrConflict)
	}
	for _, opts := range []fsshare.LockOptions{{Wait: -1}, {Wait: time.Second, Try: true}} {
		_, err := w.b.Lock(w.limit(t), "other", &opts)
		wantErr(t, fmt.Sprintf("Lock(%+v)", opts), err, fsshare.ErrInvalid)
	}
	waiter := await(w.limit(t), w.b, &fsshare.LockOptions{Wait: w.opts.Patience})
	unlock(t, first)
	r := w.result(t, waiter)
	if r.err != nil {
		t.Fatalf("Lock = %v", r.err)
	}
	unlock(t, r.lock)
	wait := 500 * time.Millisecond
	l := w.lock(t, w.a, "lock", &fsshare.LockOptions{Wait: wait})
	rest(t.Context(), wait+10*time.Millisecond)
	if err := l.Context().Err(); err != nil {
		t.Errorf("the lock's context when Wait has passed: %v", err)
	}
	if err := l.Check(t.Context()); err != nil {
		t.Errorf("Check when Wait has passed = %v", err)
	}
}

func waitingCanceledShared(t *testing.T, w world) {
	w.lock(t, w.a, "lock", &fsshare.LockOptions{Shared: true})
	ctx, cancel := context.WithCancel(w.limit(t))
	waiter := await(ctx, w.b, nil)
	w.untilKept(t, w.a)
	behind := await(w.limit(t), w.a, &fsshare.LockOptions{Shared: true})
	rest(t.Context(), 20*time.Millisecond) // long enough to be waiting, mostly
	cancel()
	wantErr(t, "Lock", w.result(t, waiter).err, context.Canceled)
	r := w.result(t, behind)
	if r.err != nil {
		t.Fatalf("Lock behind one that gave up = %v", r.err)
	}
	unlock(t, r.lock)
}
