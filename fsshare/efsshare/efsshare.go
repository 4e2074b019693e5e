// Package efsshare implements fsshare.Share on a directory of an Amazon EFS, or of
// any NFSv4.1 mount, or of a local disk: locks that say when they are lost and a
// commit that the file server refuses when they are, files replaced whole and read
// fresh, and calls that return although the mount hangs.
//
//	share, err := efsshare.Open(ctx, "/mnt/efs/team", nil)
//
// It works on Linux on amd64 and arm64; elsewhere [Open] returns
// errors.ErrUnsupported, unless Options.System is a simulated one.
//
// # Locks
//
// A lock is a byte range of a file below .fsshare/locks, far beyond its end, taken
// by F_OFD_SETLK on a descriptor open for reading and writing. The file is never
// removed, renamed or truncated: a lock file that is deleted on release is what
// breaks exclusion on NFS. There are two ranges. Whoever wants the lock takes the
// turnstile first, polls for the lock with it in hand, and then lets the turnstile
// go, so that those who came earlier are not passed. Nobody waits in the kernel:
// without callbacks, which EFS does not have, it looks every 30 seconds.
//
// With an exclusive lock its token, holder and committed data are written to one of
// two slots of the file through the locked descriptor, synced, and read back from
// the server. A stale holder cannot do that: the server, which took its lock away,
// refuses the write. That is why [Lock.Commit] is safe, and why nothing else is. A
// file that is renamed or written elsewhere under a lock is not fenced:
// fsshare.WriteOptions.Under makes a stale write unlikely, and only a name that has
// the token in it, or a store that compares tokens, makes it harmless.
//
// The server may give a lock away when its holder was silent for the lease, whose
// length the kernel knows. Each answered heartbeat, a write through the locked
// descriptor, proves that nobody has the lock before its start plus the lease, less a
// second, for there are servers that count in whole seconds: [Lock.SafeUntil]. A lock counts as lost, and its context ends, at the first of:
// the server refuses a write (EIO); SafeUntil less a tenth of the lease is reached;
// the kernel says that the lease ran out, in /proc/self/mountstats; the machine
// stood still for half of the lease. So a loss is reported before another can hold
// the lock, with these exceptions: an administrator who revokes the client's state,
// and a server that restarts and does not hear of the holder in its period of
// grace. Then the next heartbeat, check or commit fails, and what was written by
// Commit is still safe. A machine that was frozen runs on for an instant before
// anything can tell it; its commits are refused by then.
//
// A lost lock's descriptor is closed and never used again: after an unlock, the
// kernel would let its writes pass. On a local disk no lock is ever lost.
//
// # Files
//
// A read asks the server for each directory on the way, so that it sees a file that
// was replaced while somebody has the old one open, and has the kernel forget what
// it keeps of the file's data, which a process of the same machine that has it open
// for writing would keep from being renewed. Only of files of a megabyte and more
// that have not changed for ten minutes is the data left in the kernel's memory: do
// not write to such a file in place from two machines. Everything that [Share.FS]
// gives, Stat included, is that fresh: there is no other, quicker, call to choose by
// mistake.
//
// # What was seen where
//
// The tests of this package run on a local disk and on the simulated NFS of package
// fssharetest by go test, and in a guest on real NFSv4.1 (knfsd of Linux 6.1 and
// nfs-ganesha 4.3, two clients, lease and grace of 10 seconds) by make nfs: the whole
// suite of package fssharetest with locks taken away by the server, exclusion between
// processes on two clients, cuts, kills, a restarted server, stale holders, replaced
// files, full disks, mounts for reading only; and machines that are frozen, thawed
// and switched off. Nobody has run it on Amazon EFS. What EFS does with the locks of
// a silent client, how long its lease is, and what a failover keeps, is taken from
// the protocol and from AWS's documents, not from a test; the command selftest of
// examples/share asks it, on two machines.
//
// A server that tells its clients of changes by the time of them, as nfs-ganesha does
// on a local file system, shows two changes of a directory within one step of its
// clock, of 4 to 10 milliseconds, as one: a read that comes between them is followed
// by others that see the first only, until the directory changes again or the
// client's cache ends. Locks, and what is committed under them, are not concerned.
package efsshare

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/internal/kernel"
)

// ErrNotShared reports a file system on which locks exclude no other machine, or
// on which a stale holder would not be fenced. It matches fsshare.ErrDenied.
var ErrNotShared = fmt.Errorf("locks are not safe here (%w)", fsshare.ErrDenied)

// ErrLockQuota reports that the server gives no more locks, or has no more files
// open, for this machine or of this file: Amazon EFS has quotas of both. It matches
// fsshare.ErrThrottled, and clears when others give theirs back.
var ErrLockQuota = fmt.Errorf("the quota of locks and open files is used up (%w)", fsshare.ErrThrottled)

// Options adjusts a Share. A nil *Options means the zero value.
type Options struct {
	// Timeout bounds each call into the mount, which then fails with
	// fsshare.ErrHung: 2 minutes if zero. A restarted server answers some calls only
	// after its period of grace, which is 90 seconds where nobody changed it.
	Timeout time.Duration
	// Threads is how many calls may be under way: 16 if zero. A call into a mount
	// that hangs keeps its thread, and with half of them kept, calls fail at once.
	Threads int
	// NFSOnly has Open refuse a directory that is on no NFS mount, with ErrInvalid:
	// a path at which a file system was not mounted is an empty local directory.
	NFSOnly bool
	// AllowNFSv3 accepts locks on NFSv3, where a holder is not told of a loss.
	AllowNFSv3 bool
	// Flock also takes the lock of flock(2) on local file systems, which keep it
	// apart, so that programs that use flock on [Share.LockPath] are kept out. On NFS
	// they always are.
	Flock bool
	// System is what the share asks for its files, its locks and the time: the
	// operating system if nil. Package fssharetest simulates others, with a server
	// that forgets, and machines that freeze.
	System System
	// Task is what the orchestrator calls this process: the fsshare.Holder's Task. At
	// most 255 bytes count.
	Task string
}

// WithDefaults returns what a Share acts on. It accepts a nil receiver.
func (o *Options) WithDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Timeout == 0 {
		opts.Timeout = 2 * time.Minute
	}
	if opts.Threads == 0 {
		opts.Threads = 16
	}
	if opts.System == nil {
		opts.System = kernel.OS{}
	}
	return opts
}

// Validate reports an error that matches fsshare.ErrInvalid unless a Share can act
// on o. It accepts a nil receiver.
func (o *Options) Validate() error {
	opts := o.WithDefaults()
	const most = 1000
	if opts.Timeout < 0 || opts.Threads < 2 || opts.Threads > most {
		return fmt.Errorf("%w: a timeout of %v and %d threads: more than 0, and from 2 to %d", fsshare.ErrInvalid, opts.Timeout, opts.Threads, most)
	}
	return nil
}

// Share is a directory of a mount. It implements fsshare.Share and is safe for
// concurrent use.
type Share struct {
	dir   string // absolute, without symlinks
	root  kernel.Root
	mount Mount
	pool  *pool
	opts  Options
	who   fsshare.Holder

	system kernel.System

	mu    sync.Mutex
	locks map[string]kernel.Root // the folders of lock files that were used, by name
}

var _ fsshare.Share = (*Share)(nil)

// Open opens a directory, which must exist. It changes nothing in it; the first
// lock makes the folder .fsshare. It returns by its options' Timeout, or when ctx
// ends, also where the mount hangs.
func Open(ctx context.Context, dir string, opts *Options) (*Share, error) {
	s, err := open(ctx, dir, opts)
	if err != nil {
		return nil, wrap("open share", dir, err)
	}
	return s, nil
}

func open(ctx context.Context, dir string, opts *Options) (*Share, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	o := opts.WithDefaults()
	s, err := call(ctx, newPool(o.Threads, o.Timeout), func() (*Share, error) { return openDir(dir, o) }, func(s *Share) { _ = s.root.Close() })
	if err != nil {
		return nil, kind(err)
	}
	return s, nil
}

func openDir(dir string, opts Options) (*Share, error) {
	root, dir, err := opts.System.Open(dir)
	if err != nil {
		return nil, err
	}
	s, err := openRoot(root, dir, opts)
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return s, nil
}

func openRoot(root kernel.Root, dir string, opts Options) (*Share, error) {
	tables := opts.System.Tables()
	mount, err := findMount(tables, dir)
	if err != nil {
		return nil, err
	}
	if opts.NFSOnly && !mount.NFS() {
		return nil, fmt.Errorf("%w: %s is on %s at %s, not on NFS: is the file system mounted?", fsshare.ErrInvalid, dir, mount.Type, mount.Point)
	}
	return &Share{dir: dir, root: root, mount: mount, pool: newPool(opts.Threads, opts.Timeout), opts: opts, system: opts.System, who: whoami(tables, opts.Task)}, nil
}

// Close gives the directory back. It does not wait for calls under way, and leaves
// held locks to their Unlock.
func (s *Share) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.root.Close()
	for _, folder := range s.locks {
		err = errors.Join(err, folder.Close())
	}
	s.locks = nil
	return err
}

// Sub returns the share of a directory below, which it makes if there is none: a
// tenant's, with files and locks of its own, that cannot be left by names or
// symlinks. The share above sees its files. It is closed by itself.
func (s *Share) Sub(ctx context.Context, dir string) (*Share, error) {
	sub, err := s.sub(ctx, dir)
	if err != nil {
		return nil, wrap("open share", dir, err)
	}
	return sub, nil
}

func (s *Share) sub(ctx context.Context, dir string) (*Share, error) {
	if err := fsshare.ValidateName(dir); err != nil {
		return nil, err
	}
	root, err := call(ctx, s.pool, func() (kernel.Root, error) {
		var root kernel.Root
		err := s.unstale(func() (err error) {
			if err = s.root.MkdirAll(dir, dirMode); err == nil {
				root, err = s.root.OpenRoot(dir)
			}
			return err
		})
		return root, err
	}, func(r kernel.Root) { _ = r.Close() })
	if err != nil {
		return nil, kind(err)
	}
	return &Share{dir: path.Join(s.dir, dir), root: root, mount: s.mount, pool: s.pool, opts: s.opts, system: s.system, who: s.who}, nil
}

// dirMode is what directories are made with, before the process's mask.
const dirMode = 0o777

// whoami says what tells this process from every other one.
func whoami(tables fs.FS, task string) fsshare.Holder {
	host := "unknown"
	if name, err := fs.ReadFile(tables, "proc/sys/kernel/hostname"); err == nil {
		host = strings.TrimSpace(string(name))
	}
	process := strconv.Itoa(os.Getpid())
	// Process numbers come again, also at once in a new container: the start of the
	// process, in ticks since the machine's, and the machine's own start do not.
	const startField = 22 - 2 // of what follows the name, which may hold anything
	if stat, err := fs.ReadFile(tables, "proc/self/stat"); err == nil {
		_, after, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(after); len(fields) > startField {
			process += "-" + fields[startField-1]
		}
	}
	const shortID = 8
	if boot, err := fs.ReadFile(tables, "proc/sys/kernel/random/boot_id"); err == nil && len(boot) >= shortID {
		process += "-" + string(boot[:shortID])
	}
	return fsshare.Holder{Host: host, Process: process, Task: task[:min(len(task), maxHost)]}
}

func randomName() string { return rand.Text() }

// ended returns the error of an ended context, with its cause where that says more.
func ended(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

func wrap(op, name string, err error) error { return fmt.Errorf("%s %.300q: %w", op, name, err) }

// kind puts the kind of error before what the system said.
func kind(err error) error {
	if err == nil || kinded(err) {
		return err
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		if pathErr, ok := errors.AsType[*fs.PathError](err); ok && !errors.Is(err, fs.ErrClosed) && !errors.Is(err, fs.ErrInvalid) {
			return fmt.Errorf("%w: a symlink leads out of the share: %w", fsshare.ErrDenied, pathErr)
		}
		return err
	}
	switch errno {
	case syscall.ENOENT:
		return fmt.Errorf("%w: %w", fsshare.ErrNotFound, err)
	case syscall.ENOTDIR, syscall.EISDIR, syscall.ENOTEMPTY, syscall.EEXIST:
		return fmt.Errorf("%w: %w", fsshare.ErrConflict, err)
	case syscall.ENAMETOOLONG, syscall.ELOOP:
		return fmt.Errorf("%w: %w", fsshare.ErrInvalid, err)
	case syscall.EACCES, syscall.EPERM:
		return fmt.Errorf("%w: %w (the user of this process, or of its access point, may not)", fsshare.ErrDenied, err)
	case syscall.EROFS:
		return fmt.Errorf("%w: %w (mount it for writing, and let the policy allow ClientWrite)", fsshare.ErrDenied, err)
	case syscall.ENOSPC:
		return fmt.Errorf("%w: the disk is full: %w", fsshare.ErrThrottled, err)
	case syscall.EDQUOT, syscall.ENOLCK:
		return fmt.Errorf("%w: a quota: Amazon EFS has one of open files and locks for each client and file, and none of bytes: %w", fsshare.ErrThrottled, err)
	case syscall.EMFILE, syscall.ENFILE, syscall.EAGAIN:
		return fmt.Errorf("%w: %w", fsshare.ErrThrottled, err)
	case syscall.ETIMEDOUT:
		return fmt.Errorf("%w: %w", fsshare.ErrHung, err)
	}
	return err
}

func kinded(err error) bool {
	for _, kind := range []error{
		fsshare.ErrNotFound, fsshare.ErrConflict, fsshare.ErrInvalid, fsshare.ErrThrottled, fsshare.ErrCorrupt, fsshare.ErrDenied,
		context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
