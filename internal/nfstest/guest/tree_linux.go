package guest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"unsafe"
)

// mountTree makes the guest's file tree out of the host's.
func mountTree(folder string) error {
	hidden, err := os.ReadDir(Root)
	if err != nil {
		return err
	}
	for _, m := range []struct{ kind, target string }{
		{"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/dev"}, {"tmpfs", Root},
	} {
		if err := mount(m.kind, m.target, m.kind, ""); err != nil {
			return err
		}
	}
	for _, dir := range []string{Export, Temp, netns, recovery, "/dev/shm"} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
	}
	// TMPDIR is everyone's, as on the host.
	if err := os.Chmod(Temp, 0o777|os.ModeSticky); err != nil {
		return err
	}
	if err := makeDevices(); err != nil {
		return err
	}
	if err := mountHost(folder, host, 0); err != nil {
		return err
	}
	for _, e := range hidden {
		path := filepath.Join(Root, e.Name())
		if !e.IsDir() || path == Export || path == Temp {
			continue
		}
		if err := mountHost(path, path, syscall.MS_RDONLY); err != nil {
			return err
		}
	}
	return nil
}

// mountWritable mounts folders of the host over themselves, writable.
func mountWritable(folders []string) error {
	for _, f := range folders {
		if err := mountHost(f, f, 0); err != nil {
			return err
		}
	}
	return nil
}

func mountHost(folder, target string, flags uintptr) error {
	if err := os.MkdirAll(target, 0o777); err != nil && !errors.Is(err, syscall.EROFS) {
		return err
	}
	if err := syscall.Mount("none", target, "hostfs", flags, folder); err != nil {
		return fmt.Errorf("mount the host's %s: %w", folder, err)
	}
	return nil
}

func mount(source, target, kind, options string) error {
	if err := syscall.Mount(source, target, kind, 0, options); err != nil {
		return fmt.Errorf("mount %s on %s: %w", kind, target, err)
	}
	return nil
}

// makeDevices makes the device files a program expects. The host's own are not
// used: there may be few of them in a container.
func makeDevices() error {
	const ttyMajor, consoleMajor, memMajor = 4, 5, 1
	for _, d := range []struct {
		name         string
		major, minor int
	}{
		{"null", memMajor, 3},
		{"zero", memMajor, 5},
		{"full", memMajor, 7},
		{"random", memMajor, 8},
		{"urandom", memMajor, 9},
		{"tty", consoleMajor, 0},
		{"console", consoleMajor, 1},
		{"ttyS0", ttyMajor, 64},
		{"ttyS1", ttyMajor, 65},
		{"ttyS2", ttyMajor, 66},
	} {
		path := "/dev/" + d.name
		if err := syscall.Mknod(path, syscall.S_IFCHR, d.major<<8|d.minor); err != nil {
			return os.NewSyscallError("mknod "+path, err)
		}
		if err := os.Chmod(path, 0o666); err != nil {
			return err
		}
	}
	return os.Symlink("/proc/self/fd", "/dev/fd")
}

// hostLine is the serial line by which the host is asked.
const hostLine = 2

// openSerial opens a serial line and has the kernel leave its bytes alone.
func openSerial(n, mode int) (*os.File, error) {
	// A plain blocking descriptor, as a program expects its output to be.
	fd, err := syscall.Open("/dev/ttyS"+strconv.Itoa(n), mode|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open serial line", err)
	}
	var line syscall.Termios
	if err := ioctl(fd, syscall.TCGETS, uintptr(unsafe.Pointer(&line))); err != nil {
		return nil, err
	}
	line.Iflag &^= syscall.ICRNL | syscall.IXON
	line.Oflag &^= syscall.OPOST
	line.Lflag &^= syscall.ECHO | syscall.ICANON | syscall.ISIG
	if err := ioctl(fd, syscall.TCSETS, uintptr(unsafe.Pointer(&line))); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "serial line"), nil
}

// drain waits until what was written to a serial line has left the machine.
func drain(line *os.File) error {
	const tcsbrk, noBreak = 0x5409, 1
	return ioctl(int(line.Fd()), tcsbrk, noBreak)
}

func ioctl(fd int, request, arg uintptr) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), request, arg); errno != 0 {
		return os.NewSyscallError("ioctl", errno)
	}
	return nil
}
