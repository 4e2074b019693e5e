//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package vectors

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// mapFile returns what f holds, as memory that is read from it when it is looked
// at, and what gives that back. f may be closed.
func mapFile(f *os.File) (b []byte, unmap func() error, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() || info.Size() == 0 || int64(int(info.Size())) != info.Size() {
		return nil, nil, fmt.Errorf("%w: no file of a size that a snapshot can have", ErrCorrupt)
	}
	b, err = syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	return b, func() error { return os.NewSyscallError("munmap", syscall.Munmap(b)) }, nil
}

// syncFolder makes what was renamed in it last.
func syncFolder(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
