// Package nfstest gives tests a real NFSv4.1 server and two clients of it, that
// they can cut off, slow down, expel and restart, within one process and in a
// few seconds; without root, KVM or a container.
//
//	go run ./internal/nfstest/nfsexec -install          # once: Debian's kernel, into .cache
//	go build -o .cache/nfstest/nfsexec ./internal/nfstest/nfsexec
//	CGO_ENABLED=0 go test -count=1 -exec="$PWD/.cache/nfstest/nfsexec" ./fsshare/...
//
// The test binary then runs, unchanged, in a guest: a Linux kernel that is an
// ordinary process of the host (user-mode Linux), whose file tree is the host's,
// read-only. In it a test calls [Clients], and acts on each client's folder as if
// it were a process on that machine. Outside of the guest Clients skips the test
// and says how to run it.
//
// # What is there
//
// The server is the kernel's own, knfsd, or, with GENAISTORE_NFS_SERVER=ganesha,
// Debian's nfs-ganesha. It exports 256 MiB of memory (tmpfs), and grants no
// delegations, as Amazon EFS never does. The clients are the kernel's own too, in
// network namespaces of their own, so they have different client ids, leases, caches
// and wires. Faults: [Client.Cut] and [Client.Mend], [Client.Delay],
// [Client.Expire], [Server.Restart] with or without grace, full disk, and what a
// test can do by itself: kill processes. [Client.MountWith] mounts the export again
// with other options. [SecondMachine] boots one more client, with a kernel of its
// own, that can be frozen, cut off and killed. ([Server] says what else the server
// can be asked.) The lease and the grace take 10 seconds, the least that the kernel
// allows, or what the environment says (see command nfsexec).
//
// A test does none of this itself: process 1 does it when asked, so tests need no
// rights, and run as an ordinary user with GENAISTORE_NFS_USER=1000, whose root is
// nobody to the server then.
//
// # What is not
//
// A guest is a kernel with one processor; of two clients in one, neither can stand
// still alone. Programs with the race detector do not run in the guest. The kernel
// is amd64 Linux, and so must the host be. Nfs-ganesha lists no clients, forgets
// none alone, and ends no grace when told; and as it tells its clients of a change
// by the time of it, two within one step of the kernel's clock are one to them.
//
// # How it is made
//
// Package debian brings the packages, package uml boots the kernels and joins them,
// package guest is process 1 in them, package netlink makes and breaks the wires,
// packages knfsd and ganesha run the servers, and command nfsexec starts it all. The
// export is a tmpfs because it needs no mkfs of the host and fills up like a disk.
package nfstest

import (
	"os"
	"testing"

	"github.com/genaistore/genaistore/internal/nfstest/guest"
)

// Client is one of the two NFS clients, as a test sees it.
type Client struct {
	Number int    // from 1
	Name   string // its host name, which is in the name that the server knows
	Mount  string // where the export is mounted
	Dir    string // a folder for this test alone, the same one at every client
}

// The servers.
const (
	Knfsd   = guest.Knfsd
	Ganesha = guest.Ganesha
)

// InGuest reports whether this process runs in the guest.
func InGuest() bool { return os.Getenv(guest.Inside) != "" }

// skipOutside skips a test that does not run in the guest.
func skipOutside(tb testing.TB) {
	tb.Helper()
	if !InGuest() {
		tb.Skip("needs real NFSv4.1: run it by go test -exec with internal/nfstest/nfsexec (make nfs)")
	}
}
