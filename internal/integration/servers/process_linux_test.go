package servers

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// taken is a port on which something else answers.
func taken(t *testing.T) int {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(other.Close)
	return other.Listener.Addr().(*net.TCPAddr).Port
}

func TestAServerIsStartedAndStopped(t *testing.T) {
	p, err := fixtureServer("serves").start(t.Context())
	require.NoError(t, err)
	pid, data := p.cmd.Process.Pid, p.data
	require.True(t, alive(pid))
	p.stop()
	p.stop()
	require.False(t, alive(pid))
	require.NoDirExists(t, data)
}

func TestAServerThatEndsSaysWhy(t *testing.T) {
	_, err := fixtureServer("fails").start(t.Context())
	require.ErrorContains(t, err, "exit status 1")
	require.ErrorContains(t, err, "the configuration is wrong")
}

func TestAServerThatNeverAnswersIsKilled(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	s := fixtureServer("silent")
	_, err := s.start(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestABusyPortGivesOneLineAndAnotherTry(t *testing.T) {
	port := taken(t)

	s, said := fixtureServer("serves"), []string{}
	s.say = func(line string) { said = append(said, line) }
	tries := 0
	s.port = func(ctx context.Context) (int, error) {
		if tries++; tries == 1 {
			return port, nil
		}
		return freePort(ctx)
	}
	p, err := s.start(t.Context())
	require.NoError(t, err)
	p.stop()
	require.Equal(t, []string{fmt.Sprintf("serves: port %d is busy, trying another", port)}, said)

	s.port = func(context.Context) (int, error) { return port, nil }
	_, err = s.start(t.Context())
	require.ErrorIs(t, err, errBusy)
}

func TestAnAnswerFromAnotherProcessIsNotReadiness(t *testing.T) {
	other, err := fixtureServer("serves").start(t.Context())
	require.NoError(t, err)
	defer other.stop()
	s := fixtureServer("silent")
	s.port = func(context.Context) (int, error) { return other.port, nil }
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = s.start(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestStoppingEndsWhatAServerStarted(t *testing.T) {
	p, err := fixtureServer("parent").start(t.Context())
	require.NoError(t, err)
	log, err := os.Open(filepath.Join(p.data, "server.log"))
	require.NoError(t, err)
	defer log.Close()
	child := lineOf(t, bufio.NewScanner(log), "child")
	require.True(t, alive(child))
	p.stop()
	ends(t, child)
}

func TestServersDieWithTheProcessThatStartedThem(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	owner := exec.CommandContext(t.Context(), self, "owner", "0")
	// Killed, it leaves its server's data behind.
	owner.Env = append(os.Environ(), fixtureVariable+"=1", "TMPDIR="+t.TempDir())
	out, err := owner.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, owner.Start())
	server := lineOf(t, bufio.NewScanner(out), "server")
	require.True(t, alive(server))
	require.NoError(t, owner.Process.Kill())
	_ = owner.Wait()
	ends(t, server)
}

func TestAServerOnEveryInterfaceIsSeenAndKeptToLoopback(t *testing.T) {
	s := fixtureServer("wild")
	if !inNamespace() {
		_, err := s.start(t.Context())
		require.ErrorContains(t, err, "not only of 127.0.0.1")
	} else {
		p, err := s.start(t.Context())
		require.NoError(t, err)
		require.Equal(t, []int{p.port}, p.exposed())
		p.stop()
	}

	// A Go program binds without the C library, so the preload is tried on Python.
	preload, err := newFleet(fleetOf(t).settings).preload()
	if err != nil {
		t.Skipf("no C compiler: %v", err)
	}
	if why := missing(t.Context(), []tool{toolPython}); why != "" {
		t.Skip(why)
	}
	for _, host := range []string{"0.0.0.0", "::"} {
		s := fixtureServer("wild")
		s.preload = preload
		s.command = func(p place) command {
			return command{path: "python3", args: []string{"-m", "http.server", "--bind", host, fmt.Sprint(p.port)}}
		}
		s.ready = answers("GET", "/", 200)
		p, err := s.start(t.Context())
		require.NoError(t, err)
		require.Empty(t, p.exposed(), host)
		p.stop()
	}
}

func TestNothingLeavesTheNamespace(t *testing.T) {
	if !inNamespace() {
		t.Skip("not in a namespace")
	}
	var d net.Dialer
	_, err := d.DialContext(t.Context(), "udp", "192.0.2.1:9") // reserved for documentation
	require.ErrorIs(t, err, syscall.ENETUNREACH)
}

func TestAddressesOfProcAreRead(t *testing.T) {
	for host, want := range map[string]bool{
		"0100007F": true, "00000000": false, "0100000A": false,
		"00000000000000000000000001000000": true, "0000000000000000FFFF00000100007F": true,
		"00000000000000000000000000000000": false, "0000000000000000FFFF00000100000A": false,
	} {
		require.Equal(t, want, loopback(host), host)
	}
}

// Each real server must be recognised when its port is busy, for the retry to work.
func TestInstalledServersSayThatAPortIsBusy(t *testing.T) {
	f := fleetOf(t)
	port := taken(t)
	preload, err := f.preload()
	if err != nil && !f.isolated {
		t.Skipf("servers would bind every interface: %v", err)
	}
	for _, s := range all() {
		t.Run(string(s.name), func(t *testing.T) {
			if why := missing(t.Context(), s.runs); why != "" {
				t.Skip(why)
			}
			if !f.cache.has(s) {
				t.Skip(f.whyAbsent(t.Context(), s))
			}
			one := starter{server: s, installed: f.cache.folder(s), say: func(line string) { t.Log(line) }}
			one.port = func(context.Context) (int, error) { return port, nil }
			if s.wild {
				one.preload = preload
			}
			_, err := one.startOn(t.Context(), port)
			require.ErrorIs(t, err, errBusy)
		})
	}
}
