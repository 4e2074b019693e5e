package guest

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"github.com/genaistore/genaistore/internal/nfstest/netlink"
)

// Machines is the number of network namespaces with a wire to the server. The
// first Clients of them have the export mounted; the last is for tests that
// mount by themselves. Second is the number of the second kernel, which is there
// when a test boots it.
const (
	Machines = 3
	Clients  = 2
	Second   = Machines + 1
)

// outerLink is the end of the wire between the two kernels, at both of them. It does
// not come up again when it was taken down.
const outerLink = "vec0"

// Link is the server's end of machine n's wire, counting from 1.
func Link(n int) string { return "v" + strconv.Itoa(n) }

// ServerAddress and ClientAddress are the two ends of machine n's wire.
func ServerAddress(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(n), 1}) }

// ClientAddress is the address of machine n.
func ClientAddress(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(n), 2}) }

// Hostname is the name that machine n has when it mounts; NFS clients with the
// same name would be one client to the server.
func Hostname(n int) string { return "client" + strconv.Itoa(n) }

// MountPoint is where client n has the export mounted.
func MountPoint(n int) string { return filepath.Join(Root, "c"+strconv.Itoa(n)) }

const subnet = 24

// wire makes the machines and their wires to the server.
func wire() error {
	conn, err := netlink.Dial()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetUp("lo"); err != nil {
		return err
	}
	for n := 1; n <= Machines; n++ {
		if err := wireMachine(conn, n); err != nil {
			return fmt.Errorf("machine %d: %w", n, err)
		}
	}
	return wireOuter(conn, ServerAddress(Second))
}

// wireOuter brings up this kernel's end of the wire between the two.
func wireOuter(conn *netlink.Conn, address netip.Addr) error {
	return errors.Join(conn.AddAddress(outerLink, netip.PrefixFrom(address, subnet)), conn.SetUp(outerLink))
}

func wireMachine(conn *netlink.Conn, n int) error {
	err := onThread(func() error {
		if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		return keepNamespace(namespaceFile(n))
	})
	if err != nil {
		return err
	}
	ns, err := os.Open(namespaceFile(n))
	if err != nil {
		return err
	}
	defer func() { _ = ns.Close() }()
	if err := conn.AddVeth(Link(n), "eth0", int(ns.Fd())); err != nil {
		return err
	}
	if err := conn.AddAddress(Link(n), netip.PrefixFrom(ServerAddress(n), subnet)); err != nil {
		return err
	}
	if err := conn.SetUp(Link(n)); err != nil {
		return err
	}
	return OnMachine(n, func() error {
		inner, err := netlink.Dial()
		if err != nil {
			return err
		}
		defer func() { _ = inner.Close() }()
		return errors.Join(
			inner.AddAddress("eth0", netip.PrefixFrom(ClientAddress(n), subnet)),
			inner.SetUp("eth0"),
			inner.SetUp("lo"),
		)
	})
}

func namespaceFile(n int) string { return filepath.Join(netns, Hostname(n)) }

// keepNamespace gives the calling thread's network namespace a name in the file
// tree, so that it outlives the thread.
func keepNamespace(path string) error {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	if err := syscall.Mount("/proc/thread-self/ns/net", path, "", syscall.MS_BIND, ""); err != nil {
		return os.NewSyscallError("bind namespace", err)
	}
	return nil
}

// OnMachine calls f on a thread that is on machine n: in its network namespace,
// under its host name.
func OnMachine(n int, f func() error) error {
	return onThread(func() error {
		ns, err := os.Open(namespaceFile(n))
		if err != nil {
			return err
		}
		defer func() { _ = ns.Close() }()
		if _, _, errno := syscall.Syscall(sysSetns, ns.Fd(), syscall.CLONE_NEWNET, 0); errno != 0 {
			return os.NewSyscallError("setns", errno)
		}
		if err := syscall.Unshare(syscall.CLONE_NEWUTS); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		if err := syscall.Sethostname([]byte(Hostname(n))); err != nil {
			return os.NewSyscallError("sethostname", err)
		}
		return f()
	})
}

// onThread calls f on a thread of its own, which ends with it: what f does to
// the namespaces of its thread happens to nobody else.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if syscall.Gettid() == syscall.Getpid() {
			// The first thread's namespaces are those of /proc/self, and it does not
			// end before the process. While it is kept here, f gets another one.
			defer runtime.UnlockOSThread()
			done <- onThread(f)
			return
		}
		done <- f() // and never unlocked
	}()
	return <-done
}
