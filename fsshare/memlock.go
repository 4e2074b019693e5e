package fsshare

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"
)

// A lockRecord is what an InMemory knows about one lock.
type lockRecord struct {
	token  uint64
	holder Holder
	data   []byte     // nil if never committed
	held   []*memLock // one that is exclusive, or any number that are shared
	queue  []*memLock // in the order in which they asked
}

type phase int

const (
	waiting phase = iota
	held
	lost
	released
)

type memLock struct {
	share   *InMemory
	rec     *lockRecord
	name    string
	options LockOptions
	ctx     context.Context
	cancel  context.CancelCauseFunc
	granted chan struct{}

	phase phase  // guarded by share.mu
	token uint64 // set when granted
}

// Lock implements [Share].
func (m *InMemory) Lock(ctx context.Context, lock string, opts *LockOptions) (Lock, error) {
	if err := cmp.Or(ValidateLock(lock), opts.Validate(), ended(ctx)); err != nil {
		return nil, wrap("lock", lock, err)
	}
	l := &memLock{share: m, name: lock, options: opts.WithDefaults(), granted: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	if err := m.enqueue(l); err != nil {
		l.cancel(nil)
		return nil, wrap("lock", lock, err)
	}
	if err := l.wait(ctx); err != nil {
		m.abandon(l)
		l.cancel(nil)
		return nil, wrap("lock", lock, err)
	}
	return l, nil
}

// wait returns nil when the lock is held.
func (l *memLock) wait(ctx context.Context) error {
	var late <-chan time.Time // never, if there is no bound
	if l.options.Wait > 0 {
		timer := time.NewTimer(l.options.Wait)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-l.granted:
		return nil
	case <-ctx.Done():
		return ended(ctx)
	case <-late:
		return l.share.busy(l.rec)
	}
}

// busy says who is in the way.
func (m *InMemory) busy(rec *lockRecord) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return rec.busy()
}

func (rec *lockRecord) busy() error {
	h := rec.holder
	return fmt.Errorf("%w: held or waited for by another, last exclusively by %s %s %q", ErrConflict, h.Host, h.Process, h.Purpose)
}

// enqueue puts l into the queue of its lock and serves the queue, so that l is
// held already where nothing is in its way.
func (m *InMemory) enqueue(l *memLock) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	l.rec = m.locks[l.name]
	if l.rec == nil {
		l.rec = &lockRecord{}
		if m.locks == nil {
			m.locks = make(map[string]*lockRecord)
		}
		m.locks[l.name] = l.rec
	}
	if l.options.Try && (len(l.rec.queue) > 0 || !l.rec.admits(l)) {
		return l.rec.busy()
	}
	l.rec.queue = append(l.rec.queue, l)
	m.serve(l.rec)
	return nil
}

func (rec *lockRecord) admits(l *memLock) bool {
	return len(rec.held) == 0 || l.options.Shared && rec.held[0].options.Shared
}

// serve gives the lock to the head of the queue for as long as that is possible.
// It never looks past a head that has to wait: so none is passed, and none starves.
func (m *InMemory) serve(rec *lockRecord) {
	for len(rec.queue) > 0 && rec.admits(rec.queue[0]) {
		l := rec.queue[0]
		rec.queue = slices.Delete(rec.queue, 0, 1)
		rec.held = append(rec.held, l)
		if !l.options.Shared {
			rec.token++
			rec.holder = m.whoami()
			rec.holder.Purpose, rec.holder.Since = l.options.Purpose, now()
		}
		l.phase, l.token = held, rec.token
		close(l.granted)
	}
}

func (m *InMemory) whoami() Holder {
	if m.who.Process == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "localhost"
		}
		m.who = Holder{Host: host, Process: strconv.Itoa(os.Getpid())}
	}
	return m.who
}

// abandon takes a lock out of the queue, or gives it back if it was granted at the
// moment its context ended.
func (m *InMemory) abandon(l *memLock) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l.rec.queue = slices.DeleteFunc(l.rec.queue, func(q *memLock) bool { return q == l })
	m.leave(l, released)
}

// leave ends a holding and serves whoever waits. It reports what l was before.
func (m *InMemory) leave(l *memLock, to phase) phase {
	was := l.phase
	l.phase = to
	l.rec.held = slices.DeleteFunc(l.rec.held, func(h *memLock) bool { return h == l })
	m.serve(l.rec)
	return was
}

// Token implements [Lock].
func (l *memLock) Token() uint64 { return l.token }

// Context implements [Lock].
func (l *memLock) Context() context.Context { return l.ctx }

// Check implements [Lock].
func (l *memLock) Check(ctx context.Context) error {
	l.share.mu.Lock()
	defer l.share.mu.Unlock()
	if err := cmp.Or(l.alive(), ended(ctx)); err != nil {
		return wrap("check lock", l.name, err)
	}
	return nil
}

func (l *memLock) alive() error {
	switch l.phase {
	case held:
		return nil
	case released:
		return fmt.Errorf("%w: it was unlocked", ErrLost)
	}
	return ErrLost
}

// Commit implements [Lock].
func (l *memLock) Commit(ctx context.Context, data []byte) error {
	if err := l.commit(ctx, data); err != nil {
		return wrap("commit under lock", l.name, err)
	}
	return nil
}

func (l *memLock) commit(ctx context.Context, data []byte) error {
	if l.options.Shared {
		return fmt.Errorf("%w: the lock is shared; commit under an exclusive one", ErrInvalid)
	}
	if len(data) > MaxCommit {
		return fmt.Errorf("%w: %d bytes: at most %d", ErrInvalid, len(data), MaxCommit)
	}
	l.share.mu.Lock()
	defer l.share.mu.Unlock()
	if err := cmp.Or(l.alive(), ended(ctx)); err != nil {
		return err
	}
	l.rec.data = append([]byte{}, data...) // empty data is not nil
	return nil
}

// Unlock implements [Lock].
func (l *memLock) Unlock() error {
	if l.end(released) == lost {
		return wrap("unlock", l.name, ErrLost)
	}
	return nil
}

// end makes the lock lost or released, once.
func (l *memLock) end(to phase) phase {
	cause := context.Canceled
	if to == lost {
		cause = ErrLost
	}
	defer l.cancel(cause)
	l.share.mu.Lock()
	defer l.share.mu.Unlock()
	return l.share.leave(l, to)
}
