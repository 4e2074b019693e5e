package guest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/genaistore/genaistore/internal/nfstest/netlink"
)

// Ask has process 1 do something.
func Ask(request Request) (Reply, error) {
	line, err := net.Dial("unix", socket)
	if err != nil {
		return Reply{}, err
	}
	defer func() { _ = line.Close() }()
	reply, err := Exchange(line, request)
	if err != nil {
		return Reply{}, err
	}
	return reply, reply.Err()
}

// A desk is where process 1 takes requests.
type desk struct {
	server server
	lease  time.Duration

	mu   sync.Mutex // one request at a time goes to the host
	host *os.File   // the serial line that leads there

	wires sync.Mutex
	cut   map[int]bool // by machine: a test wants it so
}

// open lets everyone ask.
func (d *desk) open() error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	if err := os.Chmod(socket, 0o777); err != nil {
		return err
	}
	go func() {
		for { // Bound: the machine's life, and a connection for each request of a test.
			line, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = line.Close() }()
				_ = Serve(line, d.answer)
			}()
		}
	}()
	return nil
}

func (d *desk) answer(r Request) (reply Reply, err error) {
	switch r.Do {
	case DoCut, DoMend:
		err = d.wire(r.Machine, r.Do == DoCut)
	case DoDelay:
		err = onWire(func(conn *netlink.Conn) error { return conn.Delay(Link(r.Machine), r.Delay) })
	case DoExpire:
		err = d.server.Expire(r.Machine)
	case DoStop:
		err = d.server.Stop()
	case DoResume:
		err = d.server.Resume()
	case DoEndGrace:
		err = d.server.EndGrace()
	case DoLease:
		reply.Lease = d.lease
	case DoClients:
		reply.Clients, err = d.server.Clients()
	case DoMount:
		err = inRoot(r.Target, func() error { return Mount(r.Machine, r.Target, r.Options) })
	case DoUnmount:
		err = inRoot(r.Target, func() error {
			return errors.Join(os.NewSyscallError("umount", syscall.Unmount(r.Target, syscall.MNT_DETACH)), os.Remove(r.Target))
		})
	case DoBoot, DoFreeze, DoThaw, DoKill, DoDrop, DoPass:
		return d.forward(r)
	default:
		err = fmt.Errorf("what is %q", r.Do)
	}
	return reply, err
}

func (d *desk) wire(machine int, cut bool) error {
	d.wires.Lock()
	defer d.wires.Unlock()
	d.cut[machine] = cut
	return onWire(func(conn *netlink.Conn) error {
		if cut {
			return conn.SetDown(Link(machine))
		}
		return conn.SetUp(Link(machine))
	})
}

// apart does something to the server while no client reaches it: a request that a
// server takes before it is ready may never be answered, and clients repeat it after
// a minute.
func (d *desk) apart(do func() error) error {
	d.wires.Lock()
	defer d.wires.Unlock()
	all := func(set func(conn *netlink.Conn, link string) error) error {
		return onWire(func(conn *netlink.Conn) (err error) {
			for n := 1; n <= Machines; n++ {
				if !d.cut[n] {
					err = errors.Join(err, set(conn, Link(n)))
				}
			}
			return err
		})
	}
	return errors.Join(all((*netlink.Conn).SetDown), do(), all((*netlink.Conn).SetUp))
}

// inRoot keeps a test from mounting where it did not mean to.
func inRoot(target string, do func() error) error {
	if filepath.Dir(target) != Root || strings.HasPrefix(filepath.Base(target), ".") {
		return fmt.Errorf("%s is not in %s", target, Root)
	}
	return do()
}

func (d *desk) forward(r Request) (Reply, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Exchange(d.host, r)
}

func onWire(f func(*netlink.Conn) error) error {
	conn, err := netlink.Dial()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return f(conn)
}
