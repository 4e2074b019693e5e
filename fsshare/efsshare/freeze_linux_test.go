package efsshare_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/efsshare"
)

// A process that is stopped for longer than its lease knows when it goes on, before
// it writes anything: here nobody else would refuse the commit.
func TestAFrozenProcessCommitsNothingWhenItGoesOn(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFrozenHelper$")
	cmd.Env = append(os.Environ(), "EFS_FROZEN="+dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	require.Equal(t, "holding", lines.Text())
	require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))
	wait(t.Context(), frozenLease+frozenLease/2)
	_, err = in.Write([]byte("commit\n"))
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))
	require.True(t, lines.Scan())
	require.Equal(t, "lost", lines.Text())
	require.NoError(t, in.Close())
	require.NoError(t, cmd.Wait())
	status, err := open(t, dir).Inspect(t.Context(), "lock")
	require.NoError(t, err)
	require.Equal(t, "before", string(status.Data))
}

const frozenLease = 2 * time.Second

func TestFrozenHelper(t *testing.T) {
	dir := os.Getenv("EFS_FROZEN")
	if dir == "" {
		t.Skip("the process of another test")
	}
	l, err := efsshare.Leased(t.Context(), open(t, dir), "lock", frozenLease)
	require.NoError(t, err)
	require.NoError(t, l.Commit(t.Context(), []byte("before")))
	fmt.Println("holding")
	require.True(t, bufio.NewScanner(os.Stdin).Scan())
	err = l.Commit(t.Context(), []byte("after"))
	require.ErrorIs(t, err, fsshare.ErrLost)
	fmt.Println("lost")
	require.ErrorIs(t, l.Unlock(), fsshare.ErrLost)
}
