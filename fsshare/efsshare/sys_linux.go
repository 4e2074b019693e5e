//go:build linux && (amd64 || arm64)

package efsshare

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"
)

const supported = true

// nonblock keeps the opening of a named pipe from waiting for its other end.
const nonblock = syscall.O_NONBLOCK

// Locks of open file descriptions (OFD): they belong to a descriptor, not to a
// process, so that goroutines exclude each other and closing another descriptor of
// the file drops nothing.
const (
	ofdGetLock = 36
	ofdSetLock = 37
)

// rangeLock takes, changes or gives back the lock on one byte, without waiting.
// Busy means that another has it.
func rangeLock(f *os.File, what lockKind, at int64) (busy bool, err error) {
	kinds := map[lockKind]int16{none: syscall.F_UNLCK, sharedLock: syscall.F_RDLCK, exclusiveLock: syscall.F_WRLCK}
	err = control(f, func(fd uintptr) error {
		return syscall.FcntlFlock(fd, ofdSetLock, &syscall.Flock_t{Type: kinds[what], Start: at, Len: 1})
	})
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		return true, nil
	}
	return false, os.NewSyscallError("fcntl F_OFD_SETLK", err)
}

// rangeHeld reports whether anyone else has any lock on one byte.
func rangeHeld(f *os.File, at int64) (bool, error) {
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Start: at, Len: 1}
	err := control(f, func(fd uintptr) error { return syscall.FcntlFlock(fd, ofdGetLock, &lock) })
	return lock.Type != syscall.F_UNLCK, os.NewSyscallError("fcntl F_OFD_GETLK", err)
}

// wholeLock is rangeLock for the locks of flock(2), which local file systems keep
// apart from those of fcntl(2).
func wholeLock(f *os.File, what lockKind) (busy bool, err error) {
	kinds := map[lockKind]int{none: syscall.LOCK_UN, sharedLock: syscall.LOCK_SH, exclusiveLock: syscall.LOCK_EX}
	err = control(f, func(fd uintptr) error { return syscall.Flock(int(fd), kinds[what]|syscall.LOCK_NB) })
	if errors.Is(err, syscall.EAGAIN) {
		return true, nil
	}
	return false, os.NewSyscallError("flock", err)
}

// dataSync sends the file's data to the server and has it written.
func dataSync(f *os.File) error {
	err := control(f, func(fd uintptr) error { return syscall.Fdatasync(int(fd)) })
	return os.NewSyscallError("fdatasync", err)
}

// forget has the kernel drop what it keeps of the file's data, so that the next
// read asks the server. It is advice: where the kernel keeps it, the read is as
// fresh as the lock makes it.
func forget(f *os.File) error {
	const dontNeed = 4
	return control(f, func(fd uintptr) error {
		if _, _, errno := syscall.Syscall6(syscall.SYS_FADVISE64, fd, 0, 0, dontNeed, 0, 0); errno != 0 {
			return os.NewSyscallError("fadvise", errno)
		}
		return nil
	})
}

func control(f *os.File, do func(fd uintptr) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := conn.Control(func(fd uintptr) {
		for {
			if inner = do(fd); !errors.Is(inner, syscall.EINTR) {
				return
			}
		}
	}); err != nil {
		return fmt.Errorf("%w: %w", os.ErrClosed, err) // there is no other reason, and it matches nothing
	}
	return inner
}

// sinceBoot is the time since the machine started, with the time that it was
// suspended or, as in Lambda, frozen: which Go's own clock leaves out.
func sinceBoot() (time.Duration, error) {
	const boottime = 7
	var ts syscall.Timespec
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, boottime, uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		return 0, os.NewSyscallError("clock_gettime", errno)
	}
	return time.Duration(ts.Nano()), nil
}

// identity is what tells a version of a file from every other one.
func identity(info os.FileInfo) fileID {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}
	}
	return fileID{st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}
}
