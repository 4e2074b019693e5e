// Package kernel is what shares on a mount ask of an operating system: files below
// a directory, locks of byte ranges, the kernel's tables and its clock. [OS] is the
// one that the program runs on; package fssharetest has one that is simulated.
//
// Errors are those of package os, with a syscall.Errno in them.
package kernel

import (
	"context"
	"io"
	"io/fs"
	"time"
)

// A System is an operating system that has file systems mounted.
type System interface {
	// Open opens a directory. Path is where it is: absolute, without symlinks.
	Open(dir string) (root Root, path string, err error)
	// Tables has the kernel's own files, such as proc/self/mountinfo, by their paths
	// without the first slash. To read them asks no file server.
	Tables() fs.FS
	// SinceBoot is the time since the machine started, also while it was suspended or
	// frozen.
	SinceBoot() (time.Duration, error)
	// Size asks the server for the size of the file system of a directory, in bytes,
	// in a way that ends with ctx, also where the mount hangs.
	Size(ctx context.Context, dir string) (float64, error)
}

// A Root is a directory that names cannot leave, as an os.Root is.
type Root interface {
	Naming
	Open(name string) (File, error) // for reading
	OpenFile(name string, flag int, mode fs.FileMode) (File, error)
	OpenRoot(name string) (Root, error)
	Close() error
}

// Naming is what a Root does by name alone.
type Naming interface {
	Lstat(name string) (fs.FileInfo, error)
	Stat(name string) (fs.FileInfo, error)
	MkdirAll(name string, mode fs.FileMode) error
	Link(from, to string) error
	Rename(from, to string) error
	Remove(name string) error
}

// A File is an open file or directory.
type File interface {
	Content
	Lockable
	Stat() (fs.FileInfo, error)
	Chmod(mode fs.FileMode) error
	Readdir(n int) ([]fs.FileInfo, error)
	Readdirnames(n int) ([]string, error)
}

// Content is what is in a file. Sync has it on the server's disk, with its
// attributes; DataSync without. Forget has the kernel drop what it keeps of the
// data, so that the next read asks the server: it is advice.
type Content interface {
	io.ReadWriteSeeker
	io.ReaderAt
	io.WriterAt
	io.Closer
	syncer
}

type syncer interface {
	Sync() error
	DataSync() error
	Forget() error
}

// Lockable has the locks of a file. Those of bytes belong to the open file
// description, as by F_OFD_SETLK, so that goroutines exclude each other and closing
// another descriptor drops nothing. Nothing waits: busy says that another has the
// lock.
type Lockable interface {
	// LockByte takes, changes or gives back the lock on one byte.
	LockByte(what LockKind, at int64) (busy bool, err error)
	// ByteLocked reports whether anyone else has any lock on one byte.
	ByteLocked(at int64) (bool, error)
	// LockWhole is LockByte for the lock of flock(2), which local file systems keep
	// apart from those of bytes.
	LockWhole(what LockKind) (busy bool, err error)
}

// A LockKind is how a lock is held.
type LockKind int

// The kinds of lock.
const (
	None LockKind = iota
	Shared
	Exclusive
)

// An ID tells a version of a file from every other one, unless both were written
// within one tick of the server's clock.
type ID struct {
	Dev, Ino       uint64
	Size           int64
	Modified, Made int64 // of the data and of the attributes, in nanoseconds
}

// Identify returns the ID of what a [File] or a [Root] said about a file.
func Identify(info fs.FileInfo) ID {
	if id, ok := info.Sys().(*ID); ok {
		return *id
	}
	return identify(info)
}

// SameFile reports whether both are versions of one file.
func SameFile(a, b fs.FileInfo) bool {
	x, y := Identify(a), Identify(b)
	return x.Dev == y.Dev && x.Ino == y.Ino
}
