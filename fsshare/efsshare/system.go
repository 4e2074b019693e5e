package efsshare

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/genaistore/genaistore/fsshare/internal/kernel"
)

// A System is what a Share asks of its operating system: that of the program, or a
// client of the simulated NFS of package fssharetest.
type System = kernel.System

// helperTables is where the EFS mount helper keeps what it knows of its mounts.
const helperTables = "var/run/efs"

// A Kind is what is known about the server behind a mount.
type Kind string

// The kinds of server.
const (
	Local    Kind = "local"          // no network file system
	EFS      Kind = "efs"            // Amazon EFS
	MaybeEFS Kind = "maybe efs"      // an EFS mount helper's proxy, or a size that only EFS reports
	OtherNFS Kind = "nfs, not known" // NFS by some server
)

// efsHost is the name of an EFS file system's mount targets, with the name of an
// availability zone before it or not.
func efsHost() *regexp.Regexp {
	return regexp.MustCompile(`^([a-z0-9-]+\.)?(fs-[0-9a-f]+)\.efs\.[a-z0-9-]+\.amazonaws\.com(\.cn)?$`)
}

// The ports at which the EFS mount helper's proxy listens.
const firstProxyPort, lastProxyPort = 20049, 21049

// kind says what is behind the mount, and the file system's id where it can be
// known.
func (m Mount) kind(tables fs.FS) (Kind, string) {
	if !m.NFS() {
		return Local, ""
	}
	host, _, _ := strings.Cut(m.Source, ":")
	if found := efsHost().FindStringSubmatch(host); found != nil {
		return EFS, found[2]
	}
	port := number(m.Options["port"])
	if host != "127.0.0.1" || port < firstProxyPort || port > lastProxyPort {
		return OtherNFS, ""
	}
	states, err := fs.Glob(tables, fmt.Sprintf("%s/fs-*.%d", helperTables, port))
	if err != nil || len(states) == 0 {
		return MaybeEFS, ""
	}
	id, _, _ := strings.Cut(path.Base(states[0]), ".")
	return EFS, id
}

// refusal says why locks on the mount would exclude nobody, or nil.
func (m Mount) refusal(tables fs.FS) error {
	if !m.NFS() {
		return nil
	}
	if _, ok := m.Options["nolock"]; ok {
		return fmt.Errorf("%w: %s is mounted with nolock, so its locks exclude no other machine; mount it by NFSv4.1 without nolock", ErrNotShared, m.Point)
	}
	if local, ok := m.Options["local_lock"]; ok && local != "none" {
		return fmt.Errorf("%w: %s is mounted with local_lock=%s, so its locks exclude no other machine; mount it without local_lock", ErrNotShared, m.Point, local)
	}
	if !strings.HasPrefix(m.Version(), "4") {
		return fmt.Errorf("%w: %s is mounted by NFSv%s, which cannot tell a holder that its lock is lost; mount it with nfsvers=4.1", ErrNotShared, m.Point, m.Version())
	}
	if recoversLostLocks(tables) {
		return fmt.Errorf("%w: nfs.recover_lost_locks is on, so that a stale holder takes its lock again in silence and overwrites the next one's data; "+
			"write N to /sys/module/nfs/parameters/recover_lost_locks", ErrNotShared)
	}
	return nil
}

// recoversLostLocks reads the kernel's setting; a kernel without it does not.
func recoversLostLocks(tables fs.FS) bool {
	text, err := fs.ReadFile(tables, "sys/module/nfs/parameters/recover_lost_locks")
	value := strings.TrimSpace(string(text))
	return err == nil && (value == "Y" || value == "1")
}
