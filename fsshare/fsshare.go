// Package fsshare lets many machines read and write one file system without
// corrupting each other: files replaced whole, reads made fresh, and locks that
// say when they are lost.
//
// Code that uses fsshare depends on [Share]. Build one with [InMemory] for tests
// and local runs, or with package efsshare for a mounted Amazon EFS. Every
// implementation passes the suite in package fssharetest.
//
// A [Tree] (code, configuration, an environment, weights) is published as a whole,
// made current, rolled back and kept in use by methods over Share, which need
// nothing else.
package fsshare

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"time"

	"github.com/genaistore/genaistore/internal/fault"
)

// The kinds of error; see package memory for what each asks of the caller. A
// full disk or quota is ErrThrottled and keeps its syscall error.
var (
	ErrNotFound  = fault.NotFound // also matches fs.ErrNotExist
	ErrConflict  = fault.Conflict // the file exists, or the lock is held by another
	ErrInvalid   = fault.Invalid
	ErrThrottled = fault.Throttled
	ErrCorrupt   = fault.Corrupt
	ErrDenied    = fault.Denied // also matches fs.ErrPermission

	// ErrLost reports a lock that is held no more, or that may not be. It
	// matches ErrConflict.
	ErrLost = fmt.Errorf("lock lost (%w)", fault.Conflict)
	// ErrHung reports a file system that does not answer; the call may still take
	// effect. It matches ErrThrottled.
	ErrHung = fmt.Errorf("file system does not answer (%w)", fault.Throttled)
)

// A Share is a directory that many machines have mounted. It is safe for
// concurrent use and holds no lock of its own while it runs its caller's code.
// Names are those of io/fs and cannot leave the share, see [ValidateName]. Locks
// have names of their own, see [ValidateLock]: a lock and a file of one name are
// not related. A cancelled context stops every method, also when the mount hangs;
// the error matches the context's and its cause, so that what was given the
// Context of a lost [Lock] reports ErrLost.
//
// An argument that breaks a rule of this package is ErrInvalid and changes
// nothing. Options may be nil, which means their zero value.
type Share interface {
	// FS returns the files for reading. Each call sees what was written and
	// removed, on any machine, before it began; an open file keeps what it was.
	// It implements ReadFile, ReadDir, Stat and Sub of package io/fs, and its
	// errors are *fs.PathError: ErrNotFound for an absent name, also one with a file
	// above it; ErrConflict for a directory read as a file, or a file listed;
	// ErrInvalid, which here matches fs.ErrInvalid too, for a name that is not one.
	// The context ends the life of the FS and of the files opened through it: after
	// that every call but Close returns the context's error.
	FS(ctx context.Context) fs.FS

	// WriteFile replaces the file, or makes it and the directories above. A reader
	// sees the old bytes or the new, never a mix, also after a crash. After an
	// error the file is the old one or the new one, and a repeat is safe; after an
	// error of r, which the error matches, it is the old one. A name that is a
	// directory, or has a file above it, is ErrConflict; the root and a nil r are
	// ErrInvalid. Between two reads of r the context is heeded; a Read that blocks
	// is for the owner of r to end.
	WriteFile(ctx context.Context, name string, r io.Reader, opts *WriteOptions) (Info, error)

	// Remove removes a file or an empty directory; the directories above stay. An
	// absent one is no error, nor is one with a file above it; a directory with
	// something in it is ErrConflict, the root is ErrInvalid.
	Remove(ctx context.Context, name string) error

	// Lock takes the lock, waiting in turn until ctx ends: one that locks again and
	// again gets no more than its share. With opts.Try it does not wait, with
	// opts.Wait no longer than that: then ErrConflict says that another has it, or
	// waits for it. Locks are not reentrant: a second Lock of the same name waits
	// for the first, also in one process. Shared locks admit each other; one that
	// waits for an exclusive lock keeps later shared ones from passing it. The lock
	// lives until Unlock, not until ctx ends.
	Lock(ctx context.Context, lock string, opts *LockOptions) (Lock, error)

	// Inspect says who holds the lock, its last token, and what was last committed
	// under it, without taking it. A lock never taken has the zero Status.
	Inspect(ctx context.Context, lock string) (Status, error)

	// Watch yields an event for what target is now, then one for each change seen:
	// of a file, that it came, went or has other bytes; of a lock, that other data
	// was committed. Changes in quick succession may be seen as one, and the last is
	// always seen. A directory is no file. It ends when ctx does, with the context's
	// error. It asks, it is not told: opts.Every bounds how late.
	Watch(ctx context.Context, target Target, opts *WatchOptions) iter.Seq2[Event, error]
}

// A Lock is held until Unlock, or until it is lost. It is safe for concurrent
// use. It may own one goroutine, which ends with Unlock.
type Lock interface {
	// Token grows with each exclusive holder of this lock, from at least 1, also
	// over crashes and failovers. Stores with conditional writes use it to refuse a
	// stale holder. Holders of shared locks have the token of the last exclusive
	// one, or 0 if there was none.
	Token() uint64
	// Context is a child of the one given to [Share.Lock], cancelled when the lock
	// is lost, with ErrLost as its cause, and by Unlock.
	Context() context.Context
	// Check proves that the lock is held now, or returns ErrLost, as it does after
	// Unlock. Once lost, a lock stays lost.
	Check(ctx context.Context) error
	// Commit replaces the data of the lock, at most [MaxCommit] bytes, which
	// outlive it: [Share.Inspect] and [Share.Watch] return them. A stale holder gets
	// ErrLost and changes nothing: it is the only write that the lock itself
	// protects. ErrInvalid for a shared lock. Empty data is data: it differs from
	// never committed.
	Commit(ctx context.Context, data []byte) error
	// Unlock gives the lock back, or returns ErrLost. A second call returns nil. It
	// takes no longer than the time after which the lock would be lost anyway.
	Unlock() error
}

// WriteOptions adjusts a WriteFile. A nil *WriteOptions means the zero value.
type WriteOptions struct {
	// Mode is what the file's permissions become, whatever they were and whatever
	// the process masks; 0o644 if zero.
	Mode fs.FileMode
	// MustMake is ErrConflict if the file exists. After an error that leaves open
	// whether it was made, a repeat may find its own.
	MustMake bool
	// Under checks the lock immediately before the file is replaced, and fails the
	// write with ErrLost. It makes a stale write unlikely; only Commit makes it
	// impossible.
	Under Lock
}

// WithDefaults returns what a Share acts on. It accepts a nil receiver.
func (o *WriteOptions) WithDefaults() WriteOptions {
	var opts WriteOptions
	if o != nil {
		opts = *o
	}
	if opts.Mode == 0 {
		opts.Mode = 0o644
	}
	return opts
}

// Validate reports an error that matches [ErrInvalid] unless a Share can act on
// o. It accepts a nil receiver.
func (o *WriteOptions) Validate() error {
	if mode := o.WithDefaults().Mode; mode != mode.Perm() {
		return fmt.Errorf("%w: mode %v: permission bits only", ErrInvalid, mode)
	}
	return nil
}

// An Info describes a written file.
type Info struct {
	Name     string
	Size     int64
	Modified time.Time
	SHA256   [32]byte
}

// LockOptions adjusts a Lock. A nil *LockOptions means exclusive, waiting.
type LockOptions struct {
	Try    bool
	Shared bool
	// Wait bounds the waiting, by the context alone if it is zero. A deadline on the
	// context bounds the life of the lock's own context too.
	Wait    time.Duration
	Purpose string // for people who ask who holds it; at most [MaxPurpose] bytes
}

// WithDefaults returns what a Share acts on. It accepts a nil receiver.
func (o *LockOptions) WithDefaults() LockOptions {
	if o == nil {
		return LockOptions{}
	}
	return *o
}

// Validate reports an error that matches [ErrInvalid] unless a Share can act on
// o. It accepts a nil receiver.
func (o *LockOptions) Validate() error {
	opts := o.WithDefaults()
	if opts.Wait < 0 || opts.Try && opts.Wait > 0 {
		return fmt.Errorf("%w: a wait of %v: at least 0, and none with Try", ErrInvalid, opts.Wait)
	}
	return validateText("purpose", opts.Purpose, MaxPurpose)
}

// A Status is what is known about a lock.
type Status struct {
	Held   bool   // by anyone, exclusively or shared
	Holder Holder // of the last exclusive lock, also after Unlock
	Token  uint64
	Data   []byte // committed last; nil if never
}

// A Holder is who took a lock.
type Holder struct {
	Host    string
	Process string    // its number, and what tells it from one of the same number
	Task    string    // of the orchestrator, where there is one
	Purpose string    // of its [LockOptions]
	Since   time.Time // by its own clock
}

// A Target is what to watch: a file, or what is committed under a lock. Exactly
// one of the two is set.
type Target struct{ File, Lock string }

// Validate reports an error that matches [ErrInvalid] unless t is well formed.
func (t Target) Validate() error {
	switch {
	case (t.File == "") == (t.Lock == ""):
		return fmt.Errorf("%w: a target is a File or a Lock", ErrInvalid)
	case t.Lock != "":
		return ValidateLock(t.Lock)
	}
	return validateFile(t.File)
}

// DefaultEvery is how often a Watch looks where nothing is said.
const DefaultEvery = 2 * time.Second

// WatchOptions adjusts a Watch. A nil *WatchOptions means the zero value.
type WatchOptions struct {
	Every time.Duration // [DefaultEvery] if zero
}

// WithDefaults returns what a Share acts on. It accepts a nil receiver.
func (o *WatchOptions) WithDefaults() WatchOptions {
	if o == nil || o.Every == 0 {
		return WatchOptions{Every: DefaultEvery}
	}
	return *o
}

// Validate reports an error that matches [ErrInvalid] unless a Share can act on
// o. It accepts a nil receiver.
func (o *WatchOptions) Validate() error {
	if every := o.WithDefaults().Every; every < 0 {
		return fmt.Errorf("%w: looking every %v", ErrInvalid, every)
	}
	return nil
}

// An Event is what the target is.
type Event struct {
	Target Target
	Absent bool   // no such file, or it is a directory; a lock never committed under
	Info   Info   // of a file
	Status Status // of a lock
}
