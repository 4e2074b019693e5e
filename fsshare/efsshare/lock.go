package efsshare

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/internal/kernel"
)

// The ranges of a lock's file: one byte each, where no file has data.
const (
	mainAt      = 1 << 62
	turnstileAt = mainAt + 1
)

const (
	folder  = ".fsshare"
	lockDir = folder + "/locks"

	// How long the head of the queue rests between two tries: a part of the time that
	// it has waited, within bounds.
	firstRest = 2 * time.Millisecond
	lastRest  = 250 * time.Millisecond
	restPart  = 10

	// The same behind it, where a new one must not look much more often than those
	// that came earlier.
	firstBack = 15 * time.Millisecond
	lastBack  = time.Second
	backPart  = 50
)

// lockFile is where a lock's file is below the folder of locks: readable as far as
// a file's name can be, and different for different locks, whatever their bytes.
func lockFile(lock string) string {
	const readable, hashed, sharded = 80, 16, 2
	safe := func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return '_'
	}
	sum := sha256.Sum256([]byte(lock))
	id := hex.EncodeToString(sum[:hashed])
	name := strings.Map(safe, lock)
	return path.Join(id[:sharded], name[:min(len(name), readable)]+"."+id)
}

// LockPath is the path of a lock's file, for programs that take its lock by
// flock(2), such as flock(1). They are outside of the turnstile, hold it without a
// token, and must not write to the file, nor remove it.
func (s *Share) LockPath(lock string) (string, error) {
	if err := fsshare.ValidateLock(lock); err != nil {
		return "", wrap("path of lock", lock, err)
	}
	return path.Join(s.dir, lockDir, lockFile(lock)), nil
}

// Lock implements [fsshare.Share]. What it returns is a *Lock, as of [Share.Acquire].
func (s *Share) Lock(ctx context.Context, lock string, opts *fsshare.LockOptions) (fsshare.Lock, error) {
	l, err := s.Acquire(ctx, lock, opts)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Acquire is Lock, for those who need what only this package's locks can do.
//
// On NFS it asks the server, without contention: an open, two locks and an unlock, and for an exclusive lock two reads and a write
// with its commit. Its Unlock writes, unlocks and closes. Who waits asks four times
// a second at the head of the queue, and once a second behind it.
func (s *Share) Acquire(ctx context.Context, lock string, opts *fsshare.LockOptions) (*Lock, error) {
	l, err := s.acquire(ctx, lock, opts)
	if err != nil {
		return nil, wrap("lock", lock, kind(quota(err)))
	}
	return l, nil
}

// quota tells the quota of locks from one of bytes, whose error is the same.
func quota(err error) error {
	if errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.ENOLCK) {
		return fmt.Errorf("%w: %w", ErrLockQuota, err)
	}
	return err
}

func (s *Share) acquire(ctx context.Context, lock string, opts *fsshare.LockOptions) (*Lock, error) {
	if err := cmp.Or(fsshare.ValidateLock(lock), opts.Validate(), ended(ctx)); err != nil {
		return nil, err
	}
	if err := s.refusal(); err != nil {
		return nil, err
	}
	o := opts.WithDefaults()
	line := ctx
	if o.Wait > 0 {
		var cancel context.CancelFunc
		line, cancel = context.WithTimeoutCause(ctx, o.Wait, errBusy)
		defer cancel()
	}
	for attempt := 1; ; attempt++ {
		l, err := s.acquireOnce(ctx, line, lock, o)
		// A machine that was silent while it waited has lost its place, and with it the
		// use of the descriptor.
		if !errors.Is(err, fsshare.ErrLost) || o.Try || attempt == attempts {
			return l, err
		}
		timer := time.NewTimer(lastRest)
		select {
		case <-timer.C:
		case <-line.Done():
			timer.Stop()
			return nil, errors.Join(ended(line), err)
		}
	}
}

// acquireOnce waits in line until the context of that name ends.
func (s *Share) acquireOnce(ctx, line context.Context, lock string, opts fsshare.LockOptions) (*Lock, error) {
	before, err := s.system.SinceBoot()
	if err != nil {
		return nil, err
	}
	e, err := call(line, s.pool, func() (entry, error) { return s.enter(lock, opts) }, func(e entry) { closeFile(e.lock.file) })
	if err != nil {
		return nil, overWait(ctx, line, err)
	}
	l := e.lock
	l.safe = before + l.kept() // for a shared lock that waits, renewed below
	if err := l.take(ctx, line, e.at); err != nil {
		s.discard(l.file)
		return nil, err
	}
	l.start(ctx)
	return l, nil
}

// overWait is err, or that the wait is over and not the caller's context.
func overWait(ctx, line context.Context, err error) error {
	if ended(ctx) == nil && ended(line) != nil {
		return errBusy
	}
	return err
}

// An entry is how far a lock comes without waiting.
type entry struct {
	lock *Lock
	at   place
}

type place int

const (
	outside place = iota // another has the turnstile
	head                 // it has the turnstile, and another has the lock
	inside               // it has the lock
)

// enter opens the lock's file and takes what is free: all that there is to do where
// nobody else wants the lock, in one call.
func (s *Share) enter(lock string, opts fsshare.LockOptions) (entry, error) {
	l := &Lock{share: s, name: lock, options: opts, shared: opts.Shared, lease: s.mount.Lease, io: make(chan struct{}, 1)}
	file, err := s.openLock(lock, os.O_RDWR|os.O_CREATE)
	if opts.Shared && errors.Is(err, syscall.EROFS) {
		l.readOnly = true
		if file, err = s.openLock(lock, os.O_RDONLY); errors.Is(err, fs.ErrNotExist) {
			err = errNoFile
		}
	}
	if err != nil {
		return entry{}, err
	}
	l.file = file
	at, err := l.step()
	if err != nil {
		closeFile(file)
		return entry{}, l.refused(err)
	}
	return entry{l, at}, nil
}

func (l *Lock) step() (place, error) {
	busy, err := l.tryTurnstile()
	if err != nil && !l.share.mount.NFS() && noByteLocks(err) {
		l.whole = true
		busy, err = l.tryMain(l.kind())
		if busy {
			return head, err
		}
		return inside, err
	}
	if busy || err != nil {
		return outside, err
	}
	if busy, err := l.tryMain(l.kind()); busy || err != nil {
		return head, err
	}
	return inside, l.passTurnstile()
}

// noByteLocks reports whether a file system has no locks of byte ranges, as some that
// are programs have none.
func noByteLocks(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS)
}

// errNoFile is for a shared lock where nothing can be written.
var errNoFile = fmt.Errorf("%w: on a mount for reading only, a lock can be shared that was once held exclusively; take it where the mount is for writing", fsshare.ErrDenied)

// tryTurnstile takes the turnstile: shared by those who may write nothing, for whom
// there is no exclusive lock.
func (l *Lock) tryTurnstile() (busy bool, err error) {
	what := kernel.Exclusive
	if l.readOnly {
		what = kernel.Shared
	}
	return l.file.LockByte(what, turnstileAt)
}

func (l *Lock) passTurnstile() error {
	if l.whole {
		return nil
	}
	_, err := l.file.LockByte(kernel.None, turnstileAt)
	return err
}

// kind is what the lock was asked to be.
func (l *Lock) kind() kernel.LockKind {
	if l.options.Shared {
		return kernel.Shared
	}
	return kernel.Exclusive
}

func (s *Share) refusal() error {
	m := s.mount
	if s.opts.AllowNFSv3 && m.Version() == "3" {
		m.Options = map[string]string{"vers": "4", "local_lock": m.Options["local_lock"]}
		if _, ok := s.mount.Options["nolock"]; ok {
			m.Options["nolock"] = ""
		}
	}
	return m.refusal(s.system.Tables())
}

// openLock opens a lock's file, in a call of the pool. Flags with O_CREATE make it
// and its folders.
func (s *Share) openLock(lock string, flags int) (f kernel.File, err error) {
	absent := false
	for range attempts {
		f, err = s.openLockOnce(lockFile(lock), flags)
		// The folder may be gone, and another be there by its name; or another call
		// has just found that out, and closed it.
		again := errors.Is(err, syscall.ESTALE) || errors.Is(err, fs.ErrClosed) || errors.Is(err, fs.ErrNotExist) && !absent
		if !again {
			break
		}
		absent = absent || errors.Is(err, fs.ErrNotExist)
		s.forgetLocks()
	}
	return f, err
}

func closeFile(f kernel.File) { _ = f.Close() }

func (s *Share) openLockOnce(name string, flags int) (kernel.File, error) {
	folder, err := s.lockFolder(path.Dir(name), flags)
	if err != nil {
		return nil, err
	}
	base := path.Base(name)
	// Mostly the file is there. O_CREATE asks for the right to create in a folder
	// that may belong to another user.
	f, err := folder.OpenFile(base, flags&^os.O_CREATE|kernel.NonBlock, 0)
	if flags&os.O_CREATE == 0 || !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	const fileMode = 0o666 // before the process's mask
	return folder.OpenFile(base, flags|kernel.NonBlock, fileMode)
}

// lockFolder returns a folder of lock files. Those that are used are kept open: that
// spares each lock the way there.
func (s *Share) lockFolder(name string, flags int) (kernel.Root, error) {
	s.mu.Lock()
	kept := s.locks[name]
	s.mu.Unlock()
	if kept != nil {
		return kept, nil
	}
	if err := refresh(s.root); err != nil {
		return nil, err
	}
	full := path.Join(lockDir, name)
	opened, err := s.root.OpenRoot(full)
	if errors.Is(err, fs.ErrNotExist) && flags&os.O_CREATE != 0 {
		if err := s.root.MkdirAll(full, dirMode); err != nil {
			return nil, err
		}
		opened, err = s.root.OpenRoot(full)
	}
	if err != nil {
		return nil, err
	}
	const most = 32
	if s.lockFolders() >= most {
		s.forgetLocks()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if kept := s.locks[name]; kept != nil {
		_ = opened.Close()
		return kept, nil
	}
	if s.locks == nil {
		s.locks = map[string]kernel.Root{}
	}
	s.locks[name] = opened
	return opened, nil
}

func (s *Share) lockFolders() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.locks)
}

func (s *Share) forgetLocks() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, folder := range s.locks {
		_ = folder.Close()
	}
	s.locks = nil
}

// discard closes what will not be used, and waits a little, so that whoever is
// told of an error finds its traces gone. With the descriptor go its locks, also
// one that a call still under way gets later.
func (s *Share) discard(f kernel.File) {
	done := s.pool.eventually(func() { closeFile(f) })
	timer := time.NewTimer(slow)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

var errBusy = fmt.Errorf("%w: held or waited for by another; Inspect says by whom", fsshare.ErrConflict)

// take waits for the lock where others were first, and gets its token.
func (l *Lock) take(ctx, line context.Context, at place) error {
	if at != inside && l.options.Try {
		return errBusy
	}
	if err := l.queue(line, at); err != nil {
		return l.refused(overWait(ctx, line, err))
	}
	if l.shared {
		return l.readToken(ctx)
	}
	return l.claim(ctx)
}

// queue goes through the turnstile to the lock.
func (l *Lock) queue(ctx context.Context, at place) error {
	if at == outside {
		behind := attempt{tried: true, first: firstBack, last: lastBack, part: backPart, try: l.tryTurnstile}
		if err := l.poll(ctx, behind); err != nil {
			return err
		}
	}
	if at == inside {
		return nil
	}
	front := attempt{tried: at == head, first: firstRest, last: lastRest, part: restPart, try: func() (bool, error) { return l.tryMain(l.kind()) }}
	if err := l.poll(ctx, front); err != nil {
		return err
	}
	return do(ctx, l.share.pool, l.passTurnstile)
}

// flocks reports whether the lock of flock(2) is taken too.
func (l *Lock) flocks() bool { return l.share.opts.Flock && !l.share.mount.NFS() }

// tryMain tries for the lock itself, and on a local file system for that of
// flock(2), if that is wanted or there is no other.
func (l *Lock) tryMain(what kernel.LockKind) (busy bool, err error) {
	if l.whole {
		return l.file.LockWhole(what)
	}
	busy, err = l.file.LockByte(what, mainAt)
	if busy || err != nil || !l.flocks() {
		return busy, err
	}
	if busy, err = l.file.LockWhole(what); busy || err != nil {
		_, undo := l.file.LockByte(kernel.None, mainAt)
		err = errors.Join(err, undo)
	}
	return busy, err
}

// tryUpgrade is tryMain for a holder of the shared lock, which it keeps where the
// lock is busy. The kernel sees to that but for flock(2), which gives a lock back
// before it tries for another.
func (l *Lock) tryUpgrade() (busy bool, err error) {
	busy, err = l.file.LockByte(kernel.Exclusive, mainAt)
	if busy || err != nil || !l.flocks() {
		return busy, err
	}
	busy, err = l.file.LockWhole(kernel.Exclusive)
	if !busy && err == nil {
		return false, nil
	}
	gone, again := l.file.LockWhole(kernel.Shared)
	if gone {
		return false, fmt.Errorf("%w: another program took it by flock(2) meanwhile", fsshare.ErrLost)
	}
	_, back := l.file.LockByte(kernel.Shared, mainAt)
	return busy, errors.Join(err, again, back)
}

// An attempt is what to poll for.
type attempt struct {
	try   func() (busy bool, err error)
	tried bool       // just now, in vain
	late  func(bool) // gets what a try returns after poll has returned; may be nil

	first, last, part time.Duration // see firstRest
}

// poll tries until it gets what it wants. Rests are drawn at random, so that none who
// waits is always the last to look.
func (l *Lock) poll(ctx context.Context, a attempt) error {
	start := time.Now()
	for tried := a.tried; ; tried = false {
		if !tried {
			busy, err := call(ctx, l.share.pool, a.try, a.late)
			if err != nil || !busy {
				return err
			}
		}
		rest := min(max(a.first, time.Since(start)/a.part), a.last)
		timer := time.NewTimer(rest/2 + rand.N(rest))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ended(ctx)
		}
	}
}

// readPage reads the slots of a lock's file.
func readPage(f kernel.File) (newest slot, next int64, err error) {
	page := make([]byte, pageSize)
	n, err := f.ReadAt(page, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return slot{}, 0, err
	}
	return decodePage(page[:n])
}

// Inspect implements [fsshare.Share].
func (s *Share) Inspect(ctx context.Context, lock string) (fsshare.Status, error) {
	if err := cmp.Or(fsshare.ValidateLock(lock), ended(ctx)); err != nil {
		return fsshare.Status{}, wrap("inspect", lock, err)
	}
	status, err := s.inspect(ctx, lock)
	if err != nil {
		return fsshare.Status{}, wrap("inspect", lock, kind(err))
	}
	return status, nil
}

func (s *Share) inspect(ctx context.Context, lock string) (fsshare.Status, error) {
	return call(ctx, s.pool, func() (fsshare.Status, error) {
		file, err := s.openLock(lock, os.O_RDONLY)
		if errors.Is(err, fs.ErrNotExist) {
			return fsshare.Status{}, nil
		}
		if err != nil {
			return fsshare.Status{}, err
		}
		defer closeFile(file)
		held, err := file.ByteLocked(mainAt)
		if err != nil && !s.mount.NFS() && noByteLocks(err) {
			held, err = file.LockWhole(kernel.Exclusive) // for a moment, if it is free
		}
		if err != nil {
			return fsshare.Status{}, err
		}
		// Who waits for the lock on this machine has the file open, which keeps what the
		// kernel has of it.
		if err := file.Forget(); err != nil {
			return fsshare.Status{}, err
		}
		newest, _, err := readPage(file)
		return fsshare.Status{Held: held, Holder: newest.Holder, Token: newest.Token, Data: newest.Data}, err
	}, nil)
}
