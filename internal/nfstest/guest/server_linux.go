package guest

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/genaistore/genaistore/internal/nfstest/ganesha"
	"github.com/genaistore/genaistore/internal/nfstest/knfsd"
)

// A server is what the guest has one of. After a Stop its clients' requests wait
// until Resume, which begins a period of grace.
type server interface {
	Start() error
	Stop() error
	Resume() error
	EndGrace() error
	Clients() ([]knfsd.Client, error)
	Expire(machine int) error
}

func newServer(job Job, apart func(func() error) error) (server, error) {
	switch job.Server {
	case Knfsd:
		if err := knfsd.Mount(); err != nil {
			return nil, err
		}
		s := &knfsd.Server{Export: Export, Recovery: recovery, Squash: job.User != 0, Lease: job.Lease, Grace: job.Grace}
		for n := 1; n <= Machines+1; n++ {
			s.Clients = append(s.Clients, ClientAddress(n))
		}
		return kernelServer{s}, nil
	case Ganesha:
		return ganeshaServer{apart: apart, Server: &ganesha.Server{
			Folder: job.Packages, Export: Export, State: recovery, Squash: job.User != 0, Lease: job.Lease, Grace: job.Grace,
			OnThread: onThread,
		}}, nil
	}
	return nil, fmt.Errorf("there is no server %q: %s or %s", job.Server, Knfsd, Ganesha)
}

type kernelServer struct{ *knfsd.Server }

func (kernelServer) EndGrace() error                  { return knfsd.EndGrace() }
func (kernelServer) Clients() ([]knfsd.Client, error) { return knfsd.Clients() }

func (kernelServer) Expire(machine int) error {
	list, err := knfsd.Clients()
	if err != nil {
		return err
	}
	for _, k := range list {
		if strings.HasPrefix(k.Address, ClientAddress(machine).String()+":") {
			return k.Expire()
		}
	}
	return fmt.Errorf("the server does not know machine %d", machine)
}

type ganeshaServer struct {
	*ganesha.Server
	apart func(func() error) error
}

func (s ganeshaServer) Start() error  { return s.Server.Start(true) }
func (s ganeshaServer) Resume() error { return s.apart(func() error { return s.Server.Start(false) }) }

func (ganeshaServer) Clients() ([]knfsd.Client, error) {
	return nil, fmt.Errorf("%w: nfs-ganesha lists its clients to nobody here", errors.ErrUnsupported)
}

// Expire takes what all clients have, for nfs-ganesha can forget no single one.
func (s ganeshaServer) Expire(int) error {
	return s.apart(func() error { return errors.Join(s.Stop(), s.Start()) })
}

// serve makes the export and starts the server, which calls apart to do what no
// client must see.
func serve(job Job, apart func(func() error) error) (server, error) {
	// The server's host name is its scope. Were it another one after a restart,
	// the clients would take it for another server, and not claim their locks.
	if err := syscall.Sethostname([]byte("server")); err != nil {
		return nil, os.NewSyscallError("sethostname", err)
	}
	if err := mount("export", Export, "tmpfs", "size=256m"); err != nil {
		return nil, err
	}
	if err := os.Chmod(Export, 0o777); err != nil {
		return nil, err
	}
	s, err := newServer(job, apart)
	if err != nil {
		return nil, err
	}
	return s, s.Start()
}

const standardOptions = "hard,timeo=600,retrans=2,noresvport"

func mountClients() error {
	for n := 1; n <= Clients; n++ {
		if err := Mount(n, MountPoint(n), standardOptions); err != nil {
			return err
		}
	}
	return nil
}

// Mount mounts the export by NFSv4.1 as machine n would, with these options on
// top of the version and addresses.
func Mount(n int, target, options string) error {
	return OnMachine(n, func() error { return mountHere(n, target, options) })
}

// mountHere does it on machine n.
func mountHere(n int, target, options string) error {
	if err := os.MkdirAll(target, 0o777); err != nil {
		return err
	}
	source := fmt.Sprintf("%s:/", ServerAddress(n))
	all := []string{fmt.Sprintf("vers=4.1,addr=%s,clientaddr=%s,rsize=1048576,wsize=1048576", ServerAddress(n), ClientAddress(n))}
	flags := uintptr(0)
	for option := range strings.SplitSeq(options, ",") {
		if option == "ro" {
			flags |= syscall.MS_RDONLY
			continue
		}
		all = append(all, option)
	}
	if err := syscall.Mount(source, target, "nfs4", flags, strings.Join(all, ",")); err != nil {
		return fmt.Errorf("mount %s on %s: %w", source, target, err)
	}
	return nil
}
