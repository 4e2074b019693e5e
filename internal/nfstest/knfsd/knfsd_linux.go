// Package knfsd runs the kernel's NFS server through its files in /proc, with no
// program of nfs-utils: the export caches that rpc.mountd would answer for are
// filled by hand, once, for ever.
package knfsd

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	control = "/proc/fs/nfsd"
	caches  = "/proc/net/rpc"
	never   = "2147483647" // the last second that an expiry time can say

	port = 2049

	// Flags of an export: insecure ports, no subtree check, an fsid of ours; not
	// set are read-only and async.
	exportFlags = 0x2 | 0x400 | 0x2000
	squashFlag  = 0x4
)

// Server is one NFSv4 server: the kernel's, of the network namespace in which
// /proc/fs/nfsd was mounted. NFSv3 is off.
type Server struct {
	Export   string       // the exported folder; clients mount it as "/"
	Clients  []netip.Addr // who may mount; anyone else is never answered
	Recovery string       // where the server remembers clients over a restart
	Squash   bool         // root of a client is nobody here
	Lease    time.Duration
	Grace    time.Duration
}

// Mount mounts the server's control files. It is done once, before Start.
func Mount() error {
	return os.NewSyscallError("mount nfsd", syscall.Mount("nfsd", control, "nfsd", 0, ""))
}

// Start starts a server that ran in no process before, and skips the period of
// grace in which it would wait for clients of an earlier life. It grants no
// delegations, as Amazon EFS never does.
func (s *Server) Start() error {
	for _, w := range []struct{ path, text string }{
		{control + "/nfsv4leasetime", seconds(s.Lease)},
		{control + "/nfsv4gracetime", seconds(s.Grace)},
		{control + "/nfsv4recoverydir", s.Recovery + "\n"},
		{"/proc/sys/fs/leases-enable", "0"},
		{control + "/versions", "-3 +4 +4.1 +4.2\n"},
	} {
		if err := write(w.path, w.text); err != nil {
			return err
		}
	}
	if err := s.Resume(); err != nil {
		return err
	}
	return EndGrace()
}

// Stop stops the server; what its clients held is forgotten, but for their
// names. Their requests wait until Resume.
func (*Server) Stop() error { return write(control+"/threads", "0") }

// Resume starts the server after a Stop. If it had clients, a period of grace
// begins, in which they may claim their locks again and nobody gets new ones.
func (s *Server) Resume() error {
	// First the caches, which a Stop empties: a client that finds the server but
	// not the export takes its files for lost.
	for _, c := range s.Clients {
		if err := write(caches+"/auth.unix.ip/channel", fmt.Sprintf("nfsd %s %s *\n", c, never)); err != nil {
			return err
		}
	}
	flags := exportFlags
	if s.Squash {
		flags |= squashFlag
	}
	export := fmt.Sprintf("* %s %s %d 65534 65534 0\n", s.Export, never, flags)
	if err := write(caches+"/nfsd.export/channel", export); err != nil {
		return err
	}
	if err := write(caches+"/nfsd.fh/channel", fmt.Sprintf("* 1 \\x00000000 %s %s\n", never, s.Export)); err != nil {
		return err
	}
	if err := listen(); err != nil {
		return err
	}
	return write(control+"/threads", "4")
}

// EndGrace ends the period of grace now.
func EndGrace() error { return write(control+"/v4_end_grace", "Y\n") }

// listen gives the server a TCP socket of the caller's network namespace.
func listen() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer func() { _ = syscall.Close(fd) }() // the server holds its own reference
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: port}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	if err := syscall.Listen(fd, 64); err != nil {
		return os.NewSyscallError("listen", err)
	}
	return write(control+"/portlist", strconv.Itoa(fd))
}

// Clients lists the clients that hold state on the server.
func Clients() ([]Client, error) {
	files, err := filepath.Glob(control + "/clients/*/info")
	if err != nil {
		return nil, err
	}
	var list []Client
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue // it went away while we looked
		}
		if err != nil {
			return nil, err
		}
		c, err := parseClient(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		c.folder = filepath.Dir(file)
		list = append(list, c)
	}
	return list, nil
}

func parseClient(info string) (Client, error) {
	var c Client
	for line := range strings.Lines(info) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.Trim(strings.TrimSpace(value), `"`)
		switch key {
		case "clientid":
			c.ID = value
		case "address":
			c.Address = value
		case "name":
			c.Name = value
		case "minor version":
			n, err := strconv.Atoi(value)
			if err != nil {
				return Client{}, err
			}
			c.Minor = n
		}
	}
	if c.ID == "" {
		return Client{}, fmt.Errorf("no client id in %q", info)
	}
	return c, nil
}

// Expire takes all its state from a client, as if its lease had run out and
// someone else had asked for what it held.
func (c Client) Expire() error { return write(c.folder+"/ctl", "expire\n") }

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }

// write writes text to a control file in one call, which is how the kernel reads it.
func write(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		_ = f.Close()
		return fmt.Errorf("write %q: %w", text, err)
	}
	return f.Close()
}
