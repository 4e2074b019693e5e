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
// The server is the kernel's own, knfsd, exporting 256 MiB of memory (tmpfs). It
// grants no delegations, as Amazon EFS never does. The clients are the kernel's
// own too, in network namespaces of their own, so they have different client
// ids, leases, caches and wires. Faults: [Client.Cut] and [Client.Mend],
// [Client.Delay], [Client.Expire], [Server.Restart] with or without grace, full
// disk, and what a test can do by itself: kill processes. [Client.MountWith]
// mounts the export again with other options. ([Server] says what else the
// server can be asked.) The lease and the grace take 10
// seconds, the least that the kernel allows, or what the environment says (see
// command nfsexec).
//
// # What is not
//
// One guest is one kernel: it has one processor, and its clients cannot be frozen
// or die by themselves. That takes a second kernel on a wire to the first, which
// package uml can boot but nobody here joins yet. There is no second server
// implementation (nfs-ganesha). Programs with the race detector do not run in the
// guest. The kernel is amd64 Linux, and so must the host be.
//
// # How it is made
//
// Package uml brings and boots the kernel, package guest is process 1 in it,
// package netlink makes and breaks the wires, package knfsd runs the server, and
// command nfsexec joins them. The export is a tmpfs because it needs no mkfs of
// the host and fills up like a disk.
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

// InGuest reports whether this process runs in the guest.
func InGuest() bool { return os.Getenv(guest.Inside) != "" }

// skipOutside skips a test that does not run in the guest.
func skipOutside(tb testing.TB) {
	tb.Helper()
	if !InGuest() {
		tb.Skip("needs real NFSv4.1: run it by go test -exec with internal/nfstest/nfsexec (make nfs)")
	}
}
