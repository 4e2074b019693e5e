//go:build linux && (amd64 || arm64)

package kernel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/genaistore/genaistore/internal/fault"
)

// NonBlock is an OpenFile flag that keeps the opening of a named pipe from waiting
// for its other end.
const NonBlock = syscall.O_NONBLOCK

// OS is the operating system of the program.
type OS struct{}

var _ System = OS{}

// Open implements [System].
func (OS) Open(dir string) (Root, string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, "", err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, "", err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, "", cmp.Or(err, fmt.Errorf("%w: %s is no directory", fault.Conflict, dir))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, "", err
	}
	return osRoot{root}, dir, nil
}

// Tables implements [System].
func (OS) Tables() fs.FS { return os.DirFS("/") }

// SinceBoot implements [System]. Go's own clock leaves out the time that a machine
// was suspended or, as in Lambda, frozen.
func (OS) SinceBoot() (time.Duration, error) {
	const boottime = 7
	var ts syscall.Timespec
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, boottime, uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		return 0, os.NewSyscallError("clock_gettime", errno)
	}
	return time.Duration(ts.Nano()), nil
}

// Size implements [System]. It starts the program stat, and kills it when ctx ends:
// a process can be killed in a call that hangs, a thread cannot.
func (OS) Size(ctx context.Context, dir string) (float64, error) {
	program, err := exec.LookPath("stat")
	if err != nil {
		return 0, fmt.Errorf("%w: the program stat: %w", errors.ErrUnsupported, err)
	}
	cmd := exec.CommandContext(ctx, program, "-f", "-c", "%b %S", "--", dir)
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		return 0, err
	}
	fields := strings.Fields(string(out))
	if len(fields) != 2 {
		return 0, fmt.Errorf("%w: stat printed %.100q", fault.Corrupt, out)
	}
	blocks, err := strconv.ParseFloat(fields[0], 64)
	each, err2 := strconv.ParseFloat(fields[1], 64)
	return blocks * each, errors.Join(err, err2)
}

type osRoot struct{ *os.Root }

func (r osRoot) Open(name string) (File, error) { return r.OpenFile(name, os.O_RDONLY, 0) }

func (r osRoot) OpenFile(name string, flag int, mode fs.FileMode) (File, error) {
	f, err := r.Root.OpenFile(name, flag, mode)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (r osRoot) OpenRoot(name string) (Root, error) {
	root, err := r.Root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return osRoot{root}, nil
}

type osFile struct{ *os.File }

// The commands of fcntl(2) for locks of open file descriptions.
const (
	ofdGetLock = 36
	ofdSetLock = 37
)

func (f osFile) LockByte(what LockKind, at int64) (busy bool, err error) {
	kinds := map[LockKind]int16{None: syscall.F_UNLCK, Shared: syscall.F_RDLCK, Exclusive: syscall.F_WRLCK}
	err = f.control(func(fd uintptr) error {
		return syscall.FcntlFlock(fd, ofdSetLock, &syscall.Flock_t{Type: kinds[what], Start: at, Len: 1})
	})
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		return true, nil
	}
	return false, os.NewSyscallError("fcntl F_OFD_SETLK", err)
}

func (f osFile) ByteLocked(at int64) (bool, error) {
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Start: at, Len: 1}
	if err := f.control(func(fd uintptr) error { return syscall.FcntlFlock(fd, ofdGetLock, &lock) }); err != nil {
		return false, os.NewSyscallError("fcntl F_OFD_GETLK", err)
	}
	return lock.Type != syscall.F_UNLCK, nil
}

func (f osFile) LockWhole(what LockKind) (busy bool, err error) {
	kinds := map[LockKind]int{None: syscall.LOCK_UN, Shared: syscall.LOCK_SH, Exclusive: syscall.LOCK_EX}
	err = f.control(func(fd uintptr) error { return syscall.Flock(int(fd), kinds[what]|syscall.LOCK_NB) })
	if errors.Is(err, syscall.EAGAIN) {
		return true, nil
	}
	return false, os.NewSyscallError("flock", err)
}

func (f osFile) DataSync() error {
	err := f.control(func(fd uintptr) error { return syscall.Fdatasync(int(fd)) })
	return os.NewSyscallError("fdatasync", err)
}

func (f osFile) Forget() error {
	const dontNeed = 4
	return f.control(func(fd uintptr) error {
		if _, _, errno := syscall.Syscall6(syscall.SYS_FADVISE64, fd, 0, 0, dontNeed, 0, 0); errno != 0 {
			return os.NewSyscallError("fadvise", errno)
		}
		return nil
	})
}

func (f osFile) control(do func(fd uintptr) error) error {
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

func identify(info fs.FileInfo) ID {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ID{}
	}
	return ID{st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}
}
