package servers

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"
)

// isolate runs this program again, with the same arguments, in a network namespace
// of its own, where the only interface is a loopback: servers that bind every
// interface bind that one, and nothing they or the tests send can leave. It returns
// the exit code of that run, or an error if the system permits no namespace.
func isolate() (int, error) {
	var refused error
	for _, flags := range []uintptr{syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET, syscall.CLONE_NEWNET} {
		if err := probe(flags); err != nil {
			refused = errors.Join(refused, err)
			continue
		}
		code, err := again(flags, inNamespaceValue)
		return code, err
	}
	return 0, refused
}

const (
	namespaceVariable = "GENAISTORE_NAMESPACE"
	inNamespaceValue  = "inside"
	probeValue        = "probe"
)

func inNamespace() bool { return os.Getenv(namespaceVariable) == inNamespaceValue }

// probe finds out whether a namespace can be entered and its loopback brought up.
func probe(flags uintptr) error {
	code, err := again(flags, probeValue)
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("the loopback of a new namespace cannot be brought up (exit %d)", code)
	}
	return nil
}

func again(flags uintptr, value string) (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), namespaceVariable+"="+value)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	if flags&syscall.CLONE_NEWUSER != 0 {
		// As root inside, files made are this user's outside.
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	runtime.LockOSThread() // Pdeathsig looks at the thread
	defer runtime.UnlockOSThread()
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			return 0, err
		}
		if exit.ExitCode() < 0 {
			return 0, fmt.Errorf("the run in its namespace: %w", err)
		}
	}
	return cmd.ProcessState.ExitCode(), nil
}

// enter prepares the namespace of a run made by isolate. A probe ends here.
func enter() error {
	switch os.Getenv(namespaceVariable) {
	case probeValue:
		if err := loopbackUp(); err != nil {
			os.Exit(3)
		}
		os.Exit(0)
	case inNamespaceValue:
		return loopbackUp()
	}
	return nil
}

func loopbackUp() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	defer syscall.Close(fd)
	// struct ifreq of the kernel: a name of 16 bytes, then the flags.
	request := struct {
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}{flags: syscall.IFF_UP | syscall.IFF_RUNNING}
	copy(request.name[:], "lo")
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return fmt.Errorf("loopback: %w", errno)
	}
	return nil
}
