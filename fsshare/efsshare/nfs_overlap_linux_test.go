package efsshare_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/efsshare"
)

// Processes that take one lock from each other, and who counts how they fare.

// helper starts this binary as a process that does what TestHelperProcess says.
func helper(ctx context.Context, t *testing.T, env ...string) (cmd *exec.Cmd, lines *bufio.Scanner) {
	t.Helper()
	return helperOf(ctx, t, "TestHelperProcess", env...)
}

// helperOf is helper for another test.
func helperOf(ctx context.Context, t *testing.T, test string, env ...string) (cmd *exec.Cmd, lines *bufio.Scanner) {
	t.Helper()
	cmd = exec.CommandContext(ctx, os.Args[0], "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return cmd, bufio.NewScanner(out)
}

// A marker is the truth about who is inside: a lock of POSIX on a file of the
// guest's own memory, which no NFS client caches. A process that was killed may
// keep it for as long as one of its threads is in a call that nothing interrupts;
// it does nothing any more, so whoever reads the numbers of processes leaves it out.
type marker struct{ f *os.File }

func openMarker(t *testing.T, path string) marker {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	require.NoError(t, err)
	return marker{f}
}

// enter returns the number of the process that is inside, or 0 and is inside.
func (m marker) enter() (other int32, err error) {
	for {
		err = syscall.FcntlFlock(m.f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK})
		if !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EACCES) {
			return 0, err
		}
		is := syscall.Flock_t{Type: syscall.F_WRLCK}
		if err = syscall.FcntlFlock(m.f.Fd(), syscall.F_GETLK, &is); err != nil || is.Type != syscall.F_UNLCK {
			return is.Pid, err
		}
	}
}

func (m marker) leave() error {
	return syscall.FcntlFlock(m.f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_UNLCK})
}

// TestHelperProcess is what the processes of other tests do. Each line they print
// is one acquisition, or an overlap.
func TestHelperProcess(t *testing.T) {
	dir := os.Getenv("EFS_DIR")
	if dir == "" {
		t.Skip("a helper process of another test")
	}
	var inside marker
	if path := os.Getenv("EFS_MARK"); path != "" {
		inside = openMarker(t, path)
	}
	share, err := efsshare.Open(t.Context(), dir, nil)
	require.NoError(t, err)
	if os.Getenv("EFS_DO") == "hold" {
		l, err := share.Acquire(t.Context(), "lock", nil)
		require.NoError(t, err)
		fmt.Println(l.Token())
		select {}
	}
	n, err := strconv.Atoi(os.Getenv("EFS_DO"))
	require.NoError(t, err)
	hold, err := time.ParseDuration(cmp.Or(os.Getenv("EFS_HOLD"), "1ms"))
	require.NoError(t, err)
	for range n {
		l, err := share.Acquire(t.Context(), "lock", nil)
		if errors.Is(err, fsshare.ErrLost) || errors.Is(err, fsshare.ErrHung) {
			fmt.Println("lost")
			continue
		}
		require.NoError(t, err)
		other := int32(0)
		if inside.f != nil {
			other, err = inside.enter()
			require.NoError(t, err)
		}
		if other != 0 && l.Context().Err() == nil {
			fmt.Println("overlap", other)
		}
		wait(l.Context(), hold)
		if os.Getenv("EFS_STEADY") != "" && !steady(t, share, l) {
			fmt.Println("stale")
		}
		err = l.Commit(l.Context(), strconv.AppendUint(nil, l.Token(), 10))
		if inside.f != nil {
			require.NoError(t, inside.leave())
		}
		if err = errors.Join(err, l.Unlock()); err != nil {
			require.ErrorIs(t, err, fsshare.ErrLost)
			fmt.Println("lost")
			continue
		}
		fmt.Println("token", l.Token())
	}
}

// steady reports whether nobody committed or took the lock for a moment in which it
// was held.
func steady(t *testing.T, share *efsshare.Share, l *efsshare.Lock) bool {
	t.Helper()
	look := func() (fsshare.Status, bool) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		status, err := share.Inspect(ctx, "lock")
		return status, err == nil
	}
	before, ok := look()
	if !ok {
		return true // nothing is known
	}
	wait(l.Context(), 5*time.Millisecond)
	after, ok := look()
	// A holder that was frozen has seen it all when it finds out.
	if !ok || l.Check(t.Context()) != nil {
		return true
	}
	return before.Token == l.Token() && after.Token == l.Token() && bytes.Equal(before.Data, after.Data)
}

// tally counts what helper processes print.
type tally struct {
	mu       sync.Mutex
	tokens   map[string]int
	lost     int
	overlaps int
	stale    int
	killed   map[string]bool // the numbers of processes
}

func newTally() *tally { return &tally{tokens: map[string]int{}, killed: map[string]bool{}} }

func (c *tally) kill(p *os.Process) {
	c.mu.Lock()
	c.killed[strconv.Itoa(p.Pid)] = true
	c.mu.Unlock()
	_ = p.Kill()
}

func (c *tally) read(lines *bufio.Scanner) {
	for lines.Scan() {
		c.mu.Lock()
		switch text := lines.Text(); {
		case strings.HasPrefix(text, "token "):
			c.tokens[text]++
		case text == "lost":
			c.lost++
		case text == "stale":
			c.stale++
		case strings.HasPrefix(text, "overlap ") && !c.killed[strings.TrimPrefix(text, "overlap ")]:
			c.overlaps++
		}
		c.mu.Unlock()
	}
}

func acquisitions(t *testing.T) int {
	n := 2000
	if text := os.Getenv("GENAISTORE_NFS_ACQUISITIONS"); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	return n
}

// Set GENAISTORE_NFS_ACQUISITIONS for more, or fewer.
func TestNFSFourProcessesOnTwoClientsNeverOverlap(t *testing.T) {
	_, b, clients := twoClients(t)
	const processes = 4
	total := acquisitions(t)
	count := newTally()
	mark := filepath.Join(t.TempDir(), "inside")
	start := time.Now()
	var wg sync.WaitGroup
	for i := range processes {
		wg.Go(func() {
			cmd, lines := helper(t.Context(), t, "EFS_DIR="+clients[i%2].Dir, "EFS_DO="+strconv.Itoa(total/processes), "EFS_MARK="+mark)
			count.read(lines)
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	t.Logf("%d acquisitions in %v", total, time.Since(start).Round(time.Millisecond))
	require.Zero(t, count.overlaps, "overlapping holds")
	require.Zero(t, count.lost)
	require.Len(t, count.tokens, total, "a token was given twice")
	status, err := b.Inspect(t.Context(), "lock")
	require.NoError(t, err)
	require.EqualValues(t, total, status.Token)
	require.Equal(t, strconv.Itoa(total), string(status.Data))
}

func TestNFSProcessesThatAreKilledAndCutNeverOverlap(t *testing.T) {
	_, b, clients := twoClients(t)
	count := newTally()
	mark := filepath.Join(t.TempDir(), "inside")
	ctx, stop := context.WithTimeout(t.Context(), 45*time.Second)
	defer stop()
	kills := 0
	var wg sync.WaitGroup
	for i := range 3 { // two are killed now and then; the first lives, and is cut
		wg.Go(func() {
			for round := 0; ctx.Err() == nil; round++ {
				cmd, lines := helper(context.WithoutCancel(ctx), t, "EFS_DIR="+clients[i%2].Dir, "EFS_DO=1000000", "EFS_MARK="+mark)
				life := time.Minute
				if i > 0 {
					life = time.Duration(300*i*i+90*(round%5)) * time.Millisecond
				}
				limit, end := context.WithTimeout(ctx, life)
				stop := context.AfterFunc(limit, func() { count.kill(cmd.Process) })
				count.read(lines)
				_ = cmd.Wait() // it was killed
				stop()
				end()
				count.mu.Lock()
				kills++
				count.mu.Unlock()
			}
		})
	}
	for ctx.Err() == nil { // longer than the lease
		wait(ctx, 3*time.Second)
		require.NoError(t, clients[0].Cut())
		wait(ctx, 13*time.Second)
		require.NoError(t, clients[0].Mend())
	}
	require.NoError(t, clients[0].Mend())
	wg.Wait()
	t.Logf("%d acquisitions, %d lost, %d kills", len(count.tokens), count.lost, kills)
	require.Zero(t, count.overlaps, "overlapping holds")
	for token, n := range count.tokens {
		require.Equal(t, 1, n, token)
	}
	require.Greater(t, kills, 10)
	require.Greater(t, len(count.tokens), 100)
	l, err := b.Acquire(t.Context(), "lock", nil) // nothing is left to clean up
	require.NoError(t, err)
	require.Greater(t, l.Token(), uint64(len(count.tokens)))
	require.NoError(t, l.Unlock())
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
