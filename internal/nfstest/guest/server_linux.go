package guest

import (
	"fmt"
	"os"
	"syscall"

	"github.com/genaistore/genaistore/internal/nfstest/knfsd"
)

// Server is the guest's server, as a job set it up; what it knows by itself, its
// lease and grace, is left out.
func Server() *knfsd.Server {
	s := &knfsd.Server{Export: Export, Recovery: recovery}
	for n := 1; n <= Machines; n++ {
		s.Clients = append(s.Clients, ClientAddress(n))
	}
	return s
}

func serve(job Job) error {
	// The server's host name is its scope. Were it another one after a restart,
	// the clients would take it for another server, and not claim their locks.
	if err := syscall.Sethostname([]byte("server")); err != nil {
		return os.NewSyscallError("sethostname", err)
	}
	if err := mount("export", Export, "tmpfs", "size=256m"); err != nil {
		return err
	}
	if err := os.Chmod(Export, 0o777); err != nil {
		return err
	}
	if err := knfsd.Mount(); err != nil {
		return err
	}
	s := Server()
	s.Lease, s.Grace = job.Lease, job.Grace
	return s.Start()
}

func mountClients() error {
	for n := 1; n <= Clients; n++ {
		if err := Mount(n, MountPoint(n), "hard,timeo=600,retrans=2,noresvport"); err != nil {
			return err
		}
	}
	return nil
}

// Mount mounts the export by NFSv4.1 as machine n would, with these options on
// top of the version and addresses.
func Mount(n int, target, options string) error {
	if err := os.MkdirAll(target, 0o777); err != nil {
		return err
	}
	return OnMachine(n, func() error {
		source := fmt.Sprintf("%s:/", ServerAddress(n))
		all := fmt.Sprintf("vers=4.1,addr=%s,clientaddr=%s,rsize=1048576,wsize=1048576,%s", ServerAddress(n), ClientAddress(n), options)
		return mount(source, target, "nfs4", all)
	})
}
