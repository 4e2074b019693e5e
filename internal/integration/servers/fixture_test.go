package servers

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// This test binary also plays the servers that the tests below start: its first
// argument says which, its second is a port.
const fixtureVariable = "GENAISTORE_FIXTURE"

func TestMain(m *testing.M) {
	if os.Getenv(fixtureVariable) != "" {
		os.Exit(fixture(os.Args[1], os.Args[2]))
	}
	Main(m)
}

func fixture(kind, port string) int {
	host := "127.0.0.1"
	switch kind {
	case "fails":
		fmt.Println("the configuration is wrong")
		return 1
	case "silent": // never listens, does not end when asked
		signal.Ignore(syscall.SIGTERM)
		select {}
	case "wild":
		host = ""
	case "parent": // has a child that outlives it unless the group is ended
		self, err := os.Executable()
		if err != nil {
			return 1
		}
		child := exec.Command(self, "silent", "0")
		if err := child.Start(); err != nil {
			return 1
		}
		fmt.Println("child", child.Process.Pid)
	case "owner": // starts a server as the harness does, says its id, and waits
		p, err := fixtureServer("serves").start(context.Background())
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println("server", p.cmd.Process.Pid)
		select {}
	}
	l, err := net.Listen("tcp", host+":"+port)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(http.Serve(l, http.NotFoundHandler()))
	return 0
}

// fixtureServer starts this binary as a server of a kind.
func fixtureServer(kind string) starter {
	s := &server{
		name: Name(kind), version: "0",
		command: func(p place) command {
			self, err := os.Executable()
			if err != nil {
				self = "unknown"
			}
			return command{path: self, args: []string{kind, strconv.Itoa(p.port)}, env: []string{fixtureVariable + "=1"}}
		},
		ready: answers("GET", "/", 404),
	}
	return starter{server: s, port: freePort, say: func(string) {}}
}

// alive says whether a process is there and not a zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	var id int
	var name, state string
	_, err = fmt.Sscanf(string(stat), "%d %s %s", &id, &name, &state)
	return err == nil && state != "Z"
}

// ends waits until a process has ended.
func ends(t *testing.T, pid int) {
	t.Helper()
	require.Eventually(t, func() bool { return !alive(pid) }, 10*time.Second, 10*time.Millisecond, "process %d is still there", pid)
}

// lineOf reads lines until one has the prefix, and returns the number after it.
func lineOf(t *testing.T, lines *bufio.Scanner, prefix string) int {
	t.Helper()
	for lines.Scan() {
		var n int
		if _, err := fmt.Sscanf(lines.Text(), prefix+" %d", &n); err == nil {
			return n
		}
	}
	require.Fail(t, "no line", prefix)
	return 0
}
