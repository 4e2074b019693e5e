package nfstest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/genaistore/genaistore/internal/nfstest/guest"
	"github.com/genaistore/genaistore/internal/nfstest/knfsd"
	"github.com/genaistore/genaistore/internal/nfstest/netlink"
)

// Clients returns the two clients, with an empty folder for this test. At the
// end of the test their wires are mended and the folder is removed. Outside of
// the guest it skips the test.
//
// Tests that break something must not run in parallel with others: the clients
// are the same for all.
func Clients(tb testing.TB) []Client {
	tb.Helper()
	skipOutside(tb)
	dir, err := newFolder(guest.Export, "test-")
	if err != nil {
		tb.Fatal(err)
	}
	var clients []Client
	for n := 1; n <= guest.Clients; n++ {
		mount := guest.MountPoint(n)
		clients = append(clients, Client{Number: n, Name: guest.Hostname(n), Mount: mount, Dir: filepath.Join(mount, filepath.Base(dir))})
	}
	tb.Cleanup(func() {
		for _, c := range clients {
			if err := errors.Join(c.Mend(), c.Delay(0)); err != nil {
				tb.Error(err)
			}
		}
		if err := empty(dir); err != nil {
			tb.Error(err)
		}
	})
	return clients
}

// newFolder makes a folder for everyone, with a name of its own.
func newFolder(parent, prefix string) (string, error) {
	dir, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o777)
}

// empty removes a folder of the export. Its files are emptied first: the server
// may keep them open for some seconds more, and the next test may need the space.
func empty(dir string) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		return os.Truncate(path, 0)
	})
	return errors.Join(err, os.RemoveAll(dir))
}

// Cut takes the client's wire away: what it sends is lost, and so is what is
// sent to it. Calls into its mount wait.
func (c Client) Cut() error {
	return onWire(func(conn *netlink.Conn) error { return conn.SetDown(guest.Link(c.Number)) })
}

// Mend gives the client its wire back. The client notices at its next attempt:
// TCP spaces them out, up to about as long again as the wire was cut.
func (c Client) Mend() error {
	return onWire(func(conn *netlink.Conn) error { return conn.SetUp(guest.Link(c.Number)) })
}

// Delay holds back all that the server sends to the client by d, to the end of
// the test or until Delay(0). A round trip takes d longer.
func (c Client) Delay(d time.Duration) error {
	return onWire(func(conn *netlink.Conn) error { return conn.Delay(guest.Link(c.Number), d) })
}

func onWire(f func(*netlink.Conn) error) error {
	conn, err := netlink.Dial()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return f(conn)
}

// Expire has the server take all locks and open files from the client, at once,
// as if it had been silent for a lease and somebody else wanted them.
func (c Client) Expire() error {
	list, err := knfsd.Clients()
	if err != nil {
		return err
	}
	for _, k := range list {
		if strings.HasPrefix(k.Address, guest.ClientAddress(c.Number).String()+":") {
			return k.Expire()
		}
	}
	return fmt.Errorf("the server does not know %s", c.Name)
}

// MountWith mounts the export once more as this client, with these options (such
// as "soft,timeo=20,retrans=1,nosharecache"), and returns where. It is unmounted
// at the end of the test.
func (c Client) MountWith(tb testing.TB, options string) string {
	tb.Helper()
	target, err := newFolder(guest.Root, c.Name+"-")
	if err != nil {
		tb.Fatal(err)
	}
	if err := guest.Mount(c.Number, target, options); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := syscall.Unmount(target, syscall.MNT_DETACH); err != nil {
			tb.Error(os.NewSyscallError("umount "+target, err))
			return
		}
		if err := os.Remove(target); err != nil {
			tb.Error(err)
		}
	})
	return target
}

// Server is the server of the guest.
type Server struct {
	Export string // the exported folder, as the server sees it: the truth behind the clients' caches
}

// OpenServer returns the guest's server; outside of the guest it skips the test.
func OpenServer(tb testing.TB) Server {
	tb.Helper()
	skipOutside(tb)
	return Server{Export: guest.Export}
}

// Lease is how long the server remembers a silent client when somebody else
// wants what it holds.
func (Server) Lease() (time.Duration, error) { return knfsd.Lease() }

// Clients lists who the server has given client ids to.
func (Server) Clients() ([]knfsd.Client, error) { return knfsd.Clients() }

// Restart stops the server, calls between if it is not nil, and starts the server
// again. For a period of grace its clients may claim their locks again, and
// requests for new locks and files wait. Files stay as they are.
func (Server) Restart(between func()) error {
	s := guest.Server()
	if err := s.Stop(); err != nil {
		return err
	}
	if between != nil {
		between()
	}
	return s.Resume()
}

// EndGrace ends the period of grace now: what was not claimed is free.
func (Server) EndGrace() error { return knfsd.EndGrace() }
