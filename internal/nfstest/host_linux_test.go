package nfstest_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/nfstest"
	"github.com/genaistore/genaistore/internal/nfstest/uml"
)

// These tests run on the host, and boot a guest each.

var buildExec = sync.OnceValues(func() (string, error) {
	cache, err := uml.Cache()
	if err != nil {
		return "", err
	}
	program := filepath.Join(cache, "nfsexec.test")
	cmd := exec.Command("go", "build", "-race=false", "-o", program, "./nfsexec")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(err, errors.New(string(out)))
	}
	return program, nil
})

// host is how a test runs programs in a guest.
type host struct {
	exec  string
	cache string
	temp  string // what the machine leaves behind would be here
}

func newHost(t *testing.T) host {
	t.Helper()
	if testing.Short() {
		t.Skip("boots a guest: not in short mode")
	}
	if nfstest.InGuest() {
		t.Skip("runs on the host")
	}
	cache, err := uml.Cache()
	require.NoError(t, err)
	if _, err := uml.Find(cache); err != nil {
		t.Skip(err)
	}
	program, err := buildExec()
	require.NoError(t, err)
	return host{exec: program, cache: filepath.Dir(cache), temp: t.TempDir()}
}

func (h host) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, h.exec, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+h.temp, "GENAISTORE_CACHE="+h.cache, "GENAISTORE_NFS_TIMEOUT=60s")
	return cmd
}

// requireNothingLeft fails if there is a file or a process of a machine.
func (h host) requireNothingLeft(t *testing.T) {
	t.Helper()
	files, err := os.ReadDir(h.temp)
	require.NoError(t, err)
	require.Empty(t, files)
	require.Empty(t, h.processes(t))
}

// processes lists the processes that were told of the folder for temporary files.
func (h host) processes(t *testing.T) []string {
	t.Helper()
	lists, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	var found []string
	for _, list := range lists {
		line, err := os.ReadFile(list)
		if err == nil && bytes.Contains(line, []byte(h.temp)) {
			found = append(found, list)
		}
	}
	return found
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	require.True(t, ok, "%v", err)
	return exit.ExitCode()
}

func TestTheGuestPassesItsTests(t *testing.T) {
	h := newHost(t)
	binary := filepath.Join(t.TempDir(), "guest.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-race=false", "-cover", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	profile := filepath.Join(t.TempDir(), "cover.out")
	out, err = h.command(t.Context(), binary, "-test.v", "-test.short", "-test.coverprofile="+profile).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, name := range []string{
		"TestTheServerHasTwoClients", "TestOFDLocksExcludeTheOtherClient", "TestTheLockOfAKilledProcessIsFree",
		"TestALockTakenFromItsHolderFencesIt/expired_by_the_server", "TestAFullDiskIsReportedByFsync",
	} {
		require.Contains(t, string(out), "--- PASS: "+name+" ")
	}
	covered, err := os.ReadFile(profile)
	require.NoError(t, err, "a file that go test asked for")
	require.Contains(t, string(covered), "client_linux.go")
	h.requireNothingLeft(t)
}

func TestAProgramRunsAsItWouldOnTheHost(t *testing.T) {
	h := newHost(t)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "every byte"), everyByte(), 0o600))
	cmd := h.command(t.Context(), "/bin/sh", "-c", `printf '%s|' "$@"; pwd; printf '%s\n' "$WORD"; cat 'every byte'; echo oops >&2; exit 7`, "sh", "a", "b c", "", `"d'`)
	cmd.Env = append(cmd.Env, "WORD=two words\nand a line")
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	require.Equal(t, 7, exitCode(t, cmd.Run()), "%s", &stderr)
	head := `a|b c||"d'|` + dir + "\ntwo words\nand a line\n"
	require.Equal(t, head, string(stdout.Next(len(head))))
	require.True(t, bytes.Equal(everyByte(), stdout.Bytes()), "%d bytes arrived, not as they were sent", stdout.Len())
	require.Equal(t, "oops\n", stderr.String())
	h.requireNothingLeft(t)
}

func everyByte() []byte {
	var b []byte
	for range 1000 {
		for c := range 256 {
			b = append(b, byte(c))
		}
	}
	return b
}

func TestAProgramEndedByASignalSaysSo(t *testing.T) {
	h := newHost(t)
	err := h.command(t.Context(), "/bin/sh", "-c", "kill -9 $$").Run()
	require.Equal(t, 128+9, exitCode(t, err))
}

func TestAProgramThatIsNotThereIsAnError(t *testing.T) {
	h := newHost(t)
	out, err := h.command(t.Context(), "/no/such/program").CombinedOutput()
	require.Equal(t, 99, exitCode(t, err))
	require.Contains(t, string(out), "/no/such/program")
	h.requireNothingLeft(t)
}

func TestAGuestEndsAtItsDeadline(t *testing.T) {
	h := newHost(t)
	cmd := h.command(t.Context(), "/bin/sh", "-c", "echo up; sleep 100 & sleep 100")
	cmd.Env = append(cmd.Env, "GENAISTORE_NFS_TIMEOUT=5s")
	start := time.Now()
	out, err := cmd.CombinedOutput()
	require.Equal(t, 99, exitCode(t, err))
	require.Less(t, time.Since(start), 20*time.Second)
	require.Contains(t, string(out), "up\n")
	require.Contains(t, string(out), "still on after 5s")
	h.requireNothingLeft(t)
}

func TestAGuestEndsWithWhoeverStartedIt(t *testing.T) {
	h := newHost(t)
	cmd := h.command(t.Context(), "/bin/sh", "-c", "echo up; sleep 100 & sleep 100")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	up := make([]byte, 3)
	_, err = out.Read(up)
	require.NoError(t, err)
	require.Equal(t, "up\n", string(up))
	require.NotEmpty(t, h.processes(t))

	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	for start := time.Now(); len(h.processes(t)) > 0 || !isEmpty(t, h.temp); pause(t, 10*time.Millisecond) {
		require.Less(t, time.Since(start), 5*time.Second, "left: %s", strings.Join(h.processes(t), " "))
	}
}

func isEmpty(t *testing.T, dir string) bool {
	t.Helper()
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	return len(files) == 0
}
