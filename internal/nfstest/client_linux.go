package nfstest

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/genaistore/genaistore/internal/nfstest/guest"
	"github.com/genaistore/genaistore/internal/nfstest/knfsd"
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
		// The next test meets clients that have found their server again.
		for _, c := range clients {
			if err := c.await(); err != nil {
				tb.Error(err)
			}
		}
		if err := empty(dir); err != nil {
			tb.Error(err)
		}
	})
	return clients
}

func (c Client) await() error {
	const patience, rest = 60 * time.Second, 50 * time.Millisecond
	for start := time.Now(); ; <-time.After(rest) {
		_, err := os.ReadDir(c.Dir)
		if err == nil || time.Since(start) > patience {
			return err
		}
	}
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
		const ours = 0o600
		return errors.Join(os.Chmod(path, ours), os.Truncate(path, 0))
	})
	return errors.Join(err, os.RemoveAll(dir))
}

// ask has process 1 of the guest do something, which needs rights that a test may
// not have.
func ask(request guest.Request) error {
	_, err := guest.Ask(request)
	return err
}

// Cut takes the client's wire away: what it sends is lost, and so is what is
// sent to it. Calls into its mount wait.
func (c Client) Cut() error { return ask(guest.Request{Do: guest.DoCut, Machine: c.Number}) }

// Mend gives the client its wire back. The client notices at its next attempt:
// TCP spaces them out, up to about as long again as the wire was cut.
func (c Client) Mend() error { return ask(guest.Request{Do: guest.DoMend, Machine: c.Number}) }

// Delay holds back all that the server sends to the client by d, to the end of
// the test or until Delay(0). A round trip takes d longer.
func (c Client) Delay(d time.Duration) error {
	return ask(guest.Request{Do: guest.DoDelay, Machine: c.Number, Delay: d})
}

// Expire has the server take all locks and open files from the client, at once,
// as if it had been silent for a lease and somebody else wanted them. Nfs-ganesha
// takes those of all clients: it starts again and gives them no time to claim them.
func (c Client) Expire() error { return ask(guest.Request{Do: guest.DoExpire, Machine: c.Number}) }

// MountWith mounts the export once more as this client, with these options (such
// as "soft,timeo=20,retrans=1,nosharecache"), and returns where. It is unmounted
// at the end of the test.
func (c Client) MountWith(tb testing.TB, options string) string {
	tb.Helper()
	target := filepath.Join(guest.Root, c.Name+"-"+rand.Text())
	if err := ask(guest.Request{Do: guest.DoMount, Machine: c.Number, Target: target, Options: options}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := ask(guest.Request{Do: guest.DoUnmount, Target: target}); err != nil {
			tb.Error(err)
		}
	})
	return target
}

// Server is the server of the guest.
type Server struct {
	Name   string // Knfsd or Ganesha
	Export string // the exported folder, as the server sees it: the truth behind the clients' caches
}

// OpenServer returns the guest's server; outside of the guest it skips the test.
func OpenServer(tb testing.TB) Server {
	tb.Helper()
	skipOutside(tb)
	return Server{Name: os.Getenv(guest.Inside), Export: guest.Export}
}

// Lease is how long the server remembers a silent client when somebody else
// wants what it holds.
func (Server) Lease() (time.Duration, error) {
	reply, err := guest.Ask(guest.Request{Do: guest.DoLease})
	return reply.Lease, err
}

// Clients lists who the server has given client ids to. Nfs-ganesha does not:
// errors.ErrUnsupported.
func (Server) Clients() ([]knfsd.Client, error) {
	reply, err := guest.Ask(guest.Request{Do: guest.DoClients})
	return reply.Clients, err
}

// Restart stops the server, calls between if it is not nil, and starts the server
// again. For a period of grace its clients may claim their locks again, and
// requests for new locks and files wait. Files stay as they are.
func (Server) Restart(between func()) error {
	if err := ask(guest.Request{Do: guest.DoStop}); err != nil {
		return err
	}
	if between != nil {
		between()
	}
	return ask(guest.Request{Do: guest.DoResume})
}

// EndGrace ends the period of grace now: what was not claimed is free. With
// nfs-ganesha, which cannot be told, it waits for the end.
func (Server) EndGrace() error { return ask(guest.Request{Do: guest.DoEndGrace}) }
