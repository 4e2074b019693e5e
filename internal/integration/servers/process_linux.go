package servers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// tie puts cmd into a process group of its own and has the kernel end it when this
// process dies in whatever way.
func tie(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// listeners finds the sockets a process listens on.
func listeners(pid int) (_ []listener, known bool) {
	sockets := map[string]bool{}
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return nil, false
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, "socket:[") {
			sockets[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] = true
		}
	}
	var found []listener
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			const address, state, inode, listening = 1, 3, 9, "0A"
			fields := strings.Fields(line)
			if len(fields) <= inode || fields[state] != listening || !sockets[fields[inode]] {
				continue
			}
			host, hexPort, _ := strings.Cut(fields[address], ":")
			port, err := strconv.ParseUint(hexPort, 16, 16)
			if err != nil {
				continue
			}
			found = append(found, listener{port: int(port), loopback: loopback(host)})
		}
	}
	return found, true
}

// loopback reads an address as /proc/net/tcp writes it: 32-bit words in the order
// of the machine, which is little-endian on every platform we run on.
func loopback(host string) bool {
	switch len(host) {
	case 8:
		return strings.HasSuffix(host, "7F")
	case 32:
		return host == "00000000000000000000000001000000" ||
			strings.HasPrefix(host, "0000000000000000FFFF0000") && strings.HasSuffix(host, "7F")
	}
	return false
}

// peak is the most memory a process has had resident, in MiB.
func peak(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		var kib int
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			return kib / 1024
		}
	}
	return 0
}
