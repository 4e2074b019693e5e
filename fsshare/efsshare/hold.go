package efsshare

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/internal/kernel"
)

type phase int

const (
	held phase = iota
	lost
	released
)

// Lock is a lock of a [Share]. It implements fsshare.Lock and is safe for
// concurrent use. On NFS it owns a goroutine, which ends with Unlock or with the
// loss.
type Lock struct {
	share   *Share
	name    string
	file    kernel.File
	options fsshare.LockOptions
	lease   time.Duration // 0 where no lock is ever lost

	readOnly bool // nothing can be written to the file
	whole    bool // there is only the lock of flock(2)

	ctx    context.Context
	cancel context.CancelCauseFunc
	stop   chan struct{} // closed when the lock is not held any more

	io    chan struct{} // has a place for one writer of slots; only calls of the pool take it
	next  int64         // where the next slot is written
	beats uint64

	mu     sync.Mutex // guards what follows
	slot   slot       // the newest in the file
	phase  phase
	why    error
	shared bool
	safe   time.Duration // since boot; nobody else has the lock before
}

var _ fsshare.Lock = (*Lock)(nil)

// The parts of a lease: how often what is looked at, and from when on it is late.
const (
	tickPart   = 10 // the tables of the kernel are read
	beatPart   = 4  // a heartbeat is sent
	gapPart    = 2  // the machine stood still
	marginPart = 10 // before the end of what is safe
)

// readToken reads the token of the last exclusive holder.
func (l *Lock) readToken(ctx context.Context) error {
	newest, err := call(ctx, l.share.pool, func() (slot, error) {
		newest, next, err := readPage(l.file)
		l.next = next
		return newest, err
	}, nil)
	l.slot = newest
	if err == nil && l.readOnly && newest.Seq == 0 {
		return errNoFile
	}
	if err != nil || l.lease == 0 {
		return l.refused(err)
	}
	return l.beat(ctx) // the wait may have been longer than the lease
}

// claim makes this the holder of the next token. Nobody who lost the lock meanwhile
// gets through it.
func (l *Lock) claim(ctx context.Context) error {
	return do(ctx, l.share.pool, func() error {
		l.io <- struct{}{}
		defer func() { <-l.io }()
		old, next, err := readPage(l.file)
		if err != nil {
			return l.refused(err)
		}
		l.next = next
		mine := old
		mine.Token++
		mine.ID = randomName()
		mine.Holder = l.share.who
		mine.Holder.Purpose, mine.Holder.Since = l.options.Purpose, time.Now().UTC().Round(0)
		if err := l.writeSlot(mine); err != nil {
			return l.refused(err)
		}
		return nil
	})
}

// writeSlot writes the next slot through the locked descriptor and reads it back
// from the server. The caller holds l.io.
func (l *Lock) writeSlot(s slot) error {
	began, err := l.share.system.SinceBoot()
	if err != nil {
		return err
	}
	s.Seq++
	text := s.encode()
	if _, err := l.file.WriteAt(text, l.next); err != nil {
		return err
	}
	if err := l.file.DataSync(); err != nil {
		return err
	}
	if err := l.file.Forget(); err != nil {
		return err
	}
	back := make([]byte, slotSize)
	if _, err := l.file.ReadAt(back, l.next); err != nil {
		return err
	}
	if !bytes.Equal(back, text) {
		return fmt.Errorf("%w: the lock's file has not what was written to it", fsshare.ErrLost)
	}
	l.next = slotSize - l.next
	l.mu.Lock()
	l.slot = s
	l.mu.Unlock()
	l.renew(began)
	return nil
}

// renew notes that the server answered a call that began then.
func (l *Lock) renew(began time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.safe = max(l.safe, began+l.kept())
}

// kept is for how long at least the server keeps the lock of one that it has heard
// of. Nfs-ganesha counts in whole seconds, and leaves out the begun one.
func (l *Lock) kept() time.Duration { return l.lease - min(time.Second, l.lease/marginPart) }

// start begins the life of a lock that is held.
func (l *Lock) start(ctx context.Context) {
	l.stop = make(chan struct{})
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	if l.lease > 0 {
		// The lock outlives the context of Lock, and so do its heartbeats.
		go l.watch(context.WithoutCancel(ctx))
	}
}

// watch looks after the lock until it is not held any more.
func (l *Lock) watch(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := watcher{lock: l, beats: make(chan struct{}, 1)}
	var err error
	for err == nil {
		timer := time.NewTimer(w.rest())
		select {
		case <-timer.C:
		case <-w.beats:
			w.beating = false
		case <-l.stop:
			timer.Stop()
			return
		}
		timer.Stop()
		err = w.look(ctx)
	}
	l.lose(err)
}

// A watcher is what the goroutine of a lock keeps.
type watcher struct {
	lock    *Lock
	seen    time.Duration // when it last looked
	beaten  time.Duration // when the last heartbeat began
	beating bool
	beats   chan struct{} // a heartbeat has ended
}

// rest is until when there is nothing to look at.
func (w *watcher) rest() time.Duration {
	l := w.lock
	now, err := l.share.system.SinceBoot()
	if err != nil {
		return 0
	}
	return max(0, min(l.lease/tickPart, l.suspectAt()-now))
}

func (l *Lock) suspectAt() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.safe - l.lease/marginPart
}

// look returns why the lock has to be taken for lost.
func (w *watcher) look(ctx context.Context) error {
	l := w.lock
	now, err := l.share.system.SinceBoot()
	if err != nil {
		return err
	}
	gap := now - w.seen
	if w.seen > 0 && gap > l.lease/gapPart {
		return fmt.Errorf("the process stood still for %v of a lease of %v", gap.Round(time.Millisecond), l.lease)
	}
	w.seen = now
	if err := l.overdue(now); err != nil {
		return err
	}
	if m, err := findMount(l.share.system.Tables(), l.share.dir); err == nil && m.Expired > 0 {
		return fmt.Errorf("the kernel says that the lease ran out %v ago", m.Expired)
	}
	if !w.beating && now-w.beaten >= l.lease/beatPart {
		w.beating, w.beaten = true, now
		go func() {
			_ = l.beat(ctx) // a refusal ends the lock, silence ends what is safe
			w.beats <- struct{}{}
		}()
	}
	return nil
}

// overdue is not nil when the server has been silent for so long that another may
// soon have the lock.
func (l *Lock) overdue(now time.Duration) error {
	if late := now - l.suspectAt(); l.lease > 0 && late >= 0 {
		return fmt.Errorf("the server has not answered for %v of a lease of %v", (l.kept() - l.lease/marginPart + late).Round(time.Millisecond), l.lease)
	}
	return nil
}

// beat writes through the locked descriptor, which the server refuses to who lost
// the lock.
func (l *Lock) beat(ctx context.Context) error {
	return do(ctx, l.share.pool, func() error {
		began, err := l.share.system.SinceBoot()
		if err != nil {
			return err
		}
		if err := l.writeBeat(); err != nil {
			return l.refused(err)
		}
		l.renew(began)
		return nil
	})
}

// writeBeat has the server answer a call that needs the lock: a write, or where
// nothing can be written, a read.
func (l *Lock) writeBeat() error {
	if l.readOnly {
		if err := l.file.Forget(); err != nil {
			return err
		}
		_, err := l.file.ReadAt(make([]byte, 1), 0)
		return err
	}
	var text [heartbeat]byte
	l.mu.Lock()
	l.beats++
	binary.LittleEndian.PutUint64(text[:], l.beats)
	copy(text[8:], l.slot.ID)
	l.mu.Unlock()
	if _, err := l.file.WriteAt(text[:], heartbeatAt); err != nil {
		return err
	}
	return l.file.DataSync()
}

// refused turns the error of a write through the locked descriptor into that of
// the lock. On a soft mount a silent server gives EIO too: that is a loss as well,
// for what the kernel gave up on is not known.
func (l *Lock) refused(err error) error {
	for _, fatal := range []error{syscall.EIO, syscall.ESTALE, syscall.EBADF, fsshare.ErrLost} {
		if errors.Is(err, fatal) {
			l.lose(fmt.Errorf("a write through it was refused: %w", err))
			return fmt.Errorf("%w: %w", fsshare.ErrLost, err)
		}
	}
	if errors.Is(err, os.ErrClosed) {
		return fsshare.ErrLost
	}
	return err
}

// lose ends a lock that is held no more, or may not be. The descriptor is closed
// and not written to again: the kernel keeps fencing it until then.
func (l *Lock) lose(why error) {
	l.mu.Lock()
	was := l.phase
	if was == held {
		l.phase, l.why = lost, why
	}
	l.mu.Unlock()
	if was != held || l.stop == nil { // nil: it was never given to anyone
		return
	}
	l.cancel(fmt.Errorf("%w: %w", fsshare.ErrLost, why))
	close(l.stop)
	l.share.pool.eventually(func() { closeFile(l.file) })
}

// Token implements [fsshare.Lock]. Upgrade changes it.
func (l *Lock) Token() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.slot.Token
}

// Context implements [fsshare.Lock].
func (l *Lock) Context() context.Context { return l.ctx }

// SafeUntil is until when nobody else can have the lock, whatever happens to this
// process, its machine or its network: the start of the last heartbeat that the
// server answered, plus the lease, less a second for servers that count in seconds. A
// restart of the server, and an administrator, can still take it earlier. It is the
// zero time where no lock is ever lost.
func (l *Lock) SafeUntil() time.Time {
	now, err := l.share.system.SinceBoot()
	if l.lease == 0 || err != nil {
		return time.Time{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Add(l.safe - now)
}

// alive returns ErrLost unless the lock is held as far as this process can tell by
// itself. It finds out before anything is written by a process that was frozen.
func (l *Lock) alive() error {
	now, err := l.share.system.SinceBoot()
	if err != nil {
		return err
	}
	if err := l.overdue(now); err != nil {
		l.lose(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.phase {
	case held:
		return nil
	case released:
		return fmt.Errorf("%w: it was unlocked", fsshare.ErrLost)
	}
	return fmt.Errorf("%w: %w", fsshare.ErrLost, l.why)
}

// Check implements [fsshare.Lock]. On NFS it writes through the locked descriptor.
func (l *Lock) Check(ctx context.Context) error {
	if err := l.check(ctx); err != nil {
		return wrap("check lock", l.name, kind(err))
	}
	return nil
}

func (l *Lock) check(ctx context.Context) error {
	if err := l.alive(); err != nil {
		return err
	}
	if err := ended(ctx); err != nil || l.lease == 0 {
		return err
	}
	if err := l.beat(ctx); err != nil {
		return err
	}
	return l.alive()
}

// Commit implements [fsshare.Lock].
func (l *Lock) Commit(ctx context.Context, data []byte) error {
	if err := l.commit(ctx, data); err != nil {
		return wrap("commit under lock", l.name, kind(err))
	}
	return nil
}

func (l *Lock) commit(ctx context.Context, data []byte) error {
	if l.isShared() {
		return fmt.Errorf("%w: the lock is shared; commit under an exclusive one", fsshare.ErrInvalid)
	}
	if len(data) > fsshare.MaxCommit {
		return fmt.Errorf("%w: %d bytes: at most %d", fsshare.ErrInvalid, len(data), fsshare.MaxCommit)
	}
	if err := l.alive(); err != nil {
		return err
	}
	data = append([]byte{}, data...) // empty data is not nil; the caller may leave and change it
	return do(ctx, l.share.pool, func() error {
		l.io <- struct{}{}
		defer func() { <-l.io }()
		if err := l.alive(); err != nil {
			return err
		}
		if err := ended(ctx); err != nil {
			return err
		}
		if l.isShared() {
			return fmt.Errorf("%w: the lock was downgraded", fsshare.ErrInvalid)
		}
		s := l.current()
		s.Data, s.Committed = data, true
		if err := l.writeSlot(s); err != nil {
			return l.refused(err)
		}
		return nil
	})
}

func (l *Lock) isShared() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.shared
}

func (l *Lock) current() slot {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.slot
}

// Upgrade makes a shared lock exclusive, with a new token, when the other holders
// have left. It waits for them until ctx ends, and keeps the shared lock on every
// error but ErrLost. If another already waits for the lock, that is ErrConflict after
// a second, for each would wait for the other: unlock, and lock again.
func (l *Lock) Upgrade(ctx context.Context) error {
	if err := l.upgrade(ctx); err != nil {
		return wrap("upgrade lock", l.name, kind(err))
	}
	return nil
}

func (l *Lock) upgrade(ctx context.Context) error {
	if !l.isShared() {
		return fmt.Errorf("%w: the lock is exclusive already", fsshare.ErrInvalid)
	}
	if l.readOnly {
		return fmt.Errorf("%w: the mount is for reading only", fsshare.ErrDenied)
	}
	if l.whole {
		return fmt.Errorf("%w: this file system has only the locks of flock(2), which cannot be upgraded without a moment in which another may have them", errors.ErrUnsupported)
	}
	if err := l.check(ctx); err != nil {
		return err
	}
	// Others that share the lock go through the turnstile and leave it; who waits in it
	// waits for this one.
	line, cancel := context.WithTimeoutCause(ctx, passing, errBusy)
	defer cancel()
	err := l.poll(line, attempt{first: firstRest, last: lastRest, part: restPart, try: l.tryTurnstile, late: func(bool) { l.leaveTurnstile() }})
	if err != nil {
		return l.refused(overWait(ctx, line, err))
	}
	err = l.poll(ctx, attempt{first: firstRest, last: lastRest, part: restPart, try: l.tryUpgrade, late: l.keepsShared})
	// The turnstile is given back whatever came of it, also when ctx has ended.
	<-l.share.pool.eventually(l.leaveTurnstile)
	if err != nil {
		return l.refused(err)
	}
	if err := l.claim(context.WithoutCancel(ctx)); err != nil { // neither shared nor exclusive otherwise
		l.lose(err)
		return fmt.Errorf("%w: %w", fsshare.ErrLost, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shared = false
	return nil
}

// passing is the time in which one that does not wait has gone through the turnstile.
const passing = time.Second

func (l *Lock) leaveTurnstile() { _, _ = l.file.LockByte(kernel.None, turnstileAt) }

// keepsShared makes a lock shared that became exclusive when nobody waited for it.
func (l *Lock) keepsShared(bool) { _, _ = l.tryMain(kernel.Shared) }

// Downgrade makes an exclusive lock shared, without a moment at which another
// could take it. The token stays.
func (l *Lock) Downgrade(ctx context.Context) error {
	if err := l.downgrade(ctx); err != nil {
		return wrap("downgrade lock", l.name, kind(err))
	}
	return nil
}

func (l *Lock) downgrade(ctx context.Context) error {
	if l.isShared() {
		return fmt.Errorf("%w: the lock is shared already", fsshare.ErrInvalid)
	}
	if err := l.check(ctx); err != nil {
		return err
	}
	return do(ctx, l.share.pool, func() error {
		l.io <- struct{}{}
		defer func() { <-l.io }()
		busy, err := l.tryMain(kernel.Shared)
		if err != nil {
			return l.refused(err)
		}
		if busy { // it was another's already, or became so: flock(2) changes a lock by giving it back first
			return l.refused(fmt.Errorf("%w: another has it", fsshare.ErrLost))
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.shared = true
		return nil
	})
}

// Unlock implements [fsshare.Lock]. On NFS it makes sure, by a last write, that the
// lock was this one's to give back.
func (l *Lock) Unlock() error {
	if err := l.unlock(); err != nil {
		return wrap("unlock", l.name, kind(err))
	}
	return nil
}

func (l *Lock) unlock() error {
	_ = l.alive() // a process that was frozen finds out now
	l.mu.Lock()
	was, reported := l.phase, l.why
	if was == held {
		l.phase = released
	}
	if was == lost {
		l.phase = released // it is reported once
	}
	l.mu.Unlock()
	switch was {
	case released:
		return nil
	case lost:
		return fmt.Errorf("%w: %w", fsshare.ErrLost, reported)
	}
	l.cancel(context.Canceled)
	close(l.stop)
	return l.giveBack()
}

// giveBack proves that the lock was held until now and closes its descriptor.
func (l *Lock) giveBack() error {
	var err error
	done := l.share.pool.eventually(func() {
		l.io <- struct{}{}
		defer func() { <-l.io }()
		if l.lease > 0 {
			err = l.writeBeat()
		}
		closeFile(l.file)
	})
	if l.lease == 0 {
		<-done // a local disk answers
		return nil
	}
	now, clock := l.share.system.SinceBoot()
	if clock != nil {
		return clock
	}
	l.mu.Lock()
	left := max(0, l.safe-now)
	l.mu.Unlock()
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		return fmt.Errorf("%w: the server has not answered for the lease of %v", fsshare.ErrLost, l.lease)
	}
	if err != nil {
		return fmt.Errorf("%w: the last write through it was refused: %w", fsshare.ErrLost, err)
	}
	return nil
}
