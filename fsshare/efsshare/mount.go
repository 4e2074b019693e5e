package efsshare

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
)

// A Mount is what the kernel's tables say about the mount that a directory is on.
// Reading them asks no server and cannot hang.
type Mount struct {
	Point   string            // where it is mounted
	Device  string            // major:minor
	Type    string            // "nfs4", "nfs", "ext4", …
	Source  string            // such as "fs-0123456789abcdef0.efs.eu-west-1.amazonaws.com:/"
	Options map[string]string // of the mount and of its file system; "" for those without a value

	// Lease is how long the server keeps the locks of a silent client; 0 on a file
	// system that has no lease.
	Lease time.Duration
	// Expired is for how long the client itself takes its lease to have run out. The
	// kernel counts from when it sent the last renewal, in whole seconds.
	Expired time.Duration
	// Backlog is the sum, over all requests since the mount, of how many waited for a
	// place in the transport.
	Backlog int64
	// Timeouts is the number of requests that found no answer in time, since the
	// mount.
	Timeouts int64
	// Requests is the number of requests since the mount, and Waited the sum of the
	// times from when each was sent to its answer.
	Requests int64
	Waited   time.Duration
}

// NFS reports whether the mount is of a network file system by NFS.
func (m Mount) NFS() bool { return m.Type == "nfs4" || m.Type == "nfs" }

// Version is the NFS version, such as "4.1"; empty for other file systems.
func (m Mount) Version() string {
	if !m.NFS() {
		return ""
	}
	return m.Options["vers"]
}

// assumedLease is used for a mount of NFSv4 whose lease the kernel does not tell:
// the least of what servers are known to use.
const assumedLease = 60 * time.Second

// findMount reads the tables of the kernel and returns the mount of dir, which is an
// absolute path without symlinks.
func findMount(tables fs.FS, dir string) (Mount, error) {
	text, err := fs.ReadFile(tables, "proc/self/mountinfo")
	if err != nil {
		return Mount{}, err
	}
	m, ok := mountOf(text, dir)
	if !ok {
		return Mount{}, fmt.Errorf("%w: no mount holds %s", fs.ErrNotExist, dir)
	}
	if !m.NFS() {
		return m, nil
	}
	if text, err = fs.ReadFile(tables, "proc/self/mountstats"); err != nil {
		return Mount{}, err
	}
	m.addStats(text)
	if m.Lease == 0 && strings.HasPrefix(m.Version(), "4") {
		m.Lease = assumedLease
	}
	return m, nil
}

// mountOf returns the mount of dir in the text of a mountinfo: the last of those
// with the longest mount point above it, for a later mount hides an earlier one.
func mountOf(text []byte, dir string) (Mount, bool) {
	var found Mount
	ok := false
	for line := range bytes.Lines(text) {
		m, valid := parseMountinfo(string(line))
		if valid && below(dir, m.Point) && len(m.Point) >= len(found.Point) {
			found, ok = m, true
		}
	}
	return found, ok
}

func below(dir, point string) bool {
	return dir == point || strings.HasPrefix(dir, strings.TrimSuffix(point, "/")+"/")
}

// parseMountinfo reads one line; see proc_pid_mountinfo(5).
func parseMountinfo(line string) (Mount, bool) {
	before, after, ok := strings.Cut(line, " - ")
	left, right := strings.Fields(before), strings.Fields(after)
	const point, options = 4, 5
	if !ok || len(left) <= options || len(right) < 2 {
		return Mount{}, false
	}
	m := Mount{Device: left[2], Point: unescape(left[point]), Type: right[0], Source: unescape(right[1]), Options: map[string]string{}}
	addOptions(m.Options, left[options])
	if len(right) > 2 {
		addOptions(m.Options, right[2])
	}
	return m, path.IsAbs(m.Point)
}

func addOptions(to map[string]string, list string) {
	for option := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		if name, value, _ := strings.Cut(option, "="); name != "" {
			to[name] = unescape(value)
		}
	}
}

// unescape undoes the kernel's octal escapes of space, tab, newline and backslash.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// addStats reads what a mountstats has about the mount.
func (m *Mount) addStats(text []byte) {
	mine := false
	for line := range bytes.Lines(text) {
		fields := strings.Fields(string(line))
		if len(fields) > 4 && fields[0] == "device" {
			mine = unescape(fields[4]) == m.Point
			continue
		}
		if mine && len(fields) > 1 {
			m.addStat(fields)
		}
	}
}

func (m *Mount) addStat(fields []string) {
	switch name := strings.TrimSuffix(fields[0], ":"); {
	case name == "nfsv4":
		for option := range strings.SplitSeq(strings.Join(fields[1:], ""), ",") {
			key, value, _ := strings.Cut(option, "=")
			switch key {
			case "lease_time":
				m.Lease = seconds(value)
			case "lease_expired":
				m.Expired = seconds(value)
			}
		}
	case name == "xprt" && len(fields) > 11 && fields[1] == "tcp":
		m.Backlog = number(fields[11])
	case strings.HasSuffix(fields[0], ":") && len(fields) >= 9 && name == strings.ToUpper(name):
		// operations, transmissions, timeouts, bytes sent and received, milliseconds in
		// the queue and until the answer
		m.Requests += number(fields[1])
		m.Timeouts += number(fields[3])
		m.Waited += time.Duration(min(number(fields[7]), mostMillis)) * time.Millisecond
	}
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return max(n, 0)
}

// mostMillis is about a year.
const mostMillis = 365 * 24 * 3600 * 1000

// seconds reads a number of seconds, of at most a year.
func seconds(s string) time.Duration {
	const year = 365 * 24 * 3600
	return time.Duration(min(number(s), year)) * time.Second
}
