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
	"github.com/genaistore/genaistore/internal/nfstest"
)

// lockResult is what came of a Lock, and when.
type lockResult struct {
	lock *efsshare.Lock
	err  error
	at   time.Time
}

func contend(ctx context.Context, s *efsshare.Share) <-chan lockResult {
	c := make(chan lockResult, 1)
	go func() {
		l, err := s.Acquire(ctx, "lock", nil)
		c <- lockResult{l, err, time.Now()}
	}()
	return c
}

func committed(t *testing.T, s *efsshare.Share) string {
	t.Helper()
	status, err := s.Inspect(t.Context(), "lock")
	require.NoError(t, err)
	return string(status.Data)
}

func TestNFSACutHolderKnowsOfItsLossBeforeAnotherHasTheLock(t *testing.T) {
	a, b, clients := twoClients(t)
	l, err := a.Acquire(t.Context(), "lock", nil)
	require.NoError(t, err)
	require.NoError(t, l.Commit(t.Context(), []byte("holder")))
	waiter := contend(t.Context(), b)
	require.NoError(t, clients[0].Cut())
	cut := time.Now()
	stale := make(chan error, 1)
	go func() { stale <- l.Commit(t.Context(), []byte("stale")) }() // under way when the lock is lost

	<-l.Context().Done()
	reported := time.Now()
	require.ErrorIs(t, context.Cause(l.Context()), fsshare.ErrLost)
	require.Less(t, reported, l.SafeUntil(), "reported when another could have had the lock")
	select {
	case got := <-waiter:
		t.Fatalf("the contender had the lock before the holder knew: %v", got.err)
	default:
	}
	got := <-waiter
	require.NoError(t, got.err)
	t.Logf("cut for %v: reported after %v, taken after %v, safe until %v", time.Since(cut).Round(10*time.Millisecond),
		reported.Sub(cut).Round(10*time.Millisecond), got.at.Sub(cut).Round(10*time.Millisecond), l.SafeUntil().Sub(cut).Round(10*time.Millisecond))
	require.True(t, got.at.After(l.SafeUntil()), "taken %v before it was safe", l.SafeUntil().Sub(got.at))
	require.Greater(t, got.lock.Token(), l.Token())
	require.NoError(t, got.lock.Commit(t.Context(), []byte("contender")))

	require.NoError(t, clients[0].Mend())
	require.ErrorIs(t, <-stale, fsshare.ErrLost)
	require.ErrorIs(t, l.Commit(t.Context(), []byte("stale")), fsshare.ErrLost)
	require.ErrorIs(t, l.Check(t.Context()), fsshare.ErrLost)
	require.ErrorIs(t, l.Unlock(), fsshare.ErrLost)
	require.Equal(t, "contender", committed(t, b))
	require.Equal(t, "contender", committed(t, a))
	require.NoError(t, got.lock.Check(t.Context()))
	require.NoError(t, got.lock.Unlock())
}

// The holder does not know yet, so it is the server that refuses.
func TestNFSNoCommitOfAStaleHolderReachesTheServer(t *testing.T) {
	a, b, clients := twoClients(t)
	const rounds = 40
	reached := 0
	openFiles := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(list)
	}
	before := openFiles()
	for i := range rounds {
		name := fmt.Sprintf("lock%d", i)
		l, err := a.Acquire(t.Context(), name, nil)
		require.NoError(t, err)
		require.NoError(t, clients[0].Expire())
		next, err := b.Acquire(t.Context(), name, nil)
		require.NoError(t, err)
		want := ""
		if i%2 == 0 { // the next holder's slot is written, or its token only
			want = "next"
			require.NoError(t, next.Commit(t.Context(), []byte(want)))
		}
		if nfstest.OpenServer(t).Name == nfstest.Knfsd { // the other server takes seconds for it, and a heartbeat may come first
			require.NoError(t, l.Context().Err(), "the holder knows already; this shows nothing")
		}
		require.ErrorIs(t, l.Commit(t.Context(), []byte("stale")), fsshare.ErrLost)
		if i%3 == 0 { // the descriptor is closed by now; what it had must not come later
			require.ErrorIs(t, l.Unlock(), fsshare.ErrLost)
		}
		status, err := b.Inspect(t.Context(), name)
		require.NoError(t, err)
		if string(status.Data) != want || status.Token != next.Token() {
			reached++
		}
		require.NoError(t, next.Check(t.Context()))
		require.NoError(t, next.Unlock())
	}
	require.Zero(t, reached, "stale commits of %d", rounds)
	const kept = 10 // of the share itself, and of the runtime
	require.Eventually(t, func() bool { return openFiles() < before+kept }, 5*time.Second, 10*time.Millisecond, "descriptors of lost locks are left open")
}

const ofdSetLock = 37

func ofd(f *os.File, kind int16, at int64) error {
	return syscall.FcntlFlock(f.Fd(), ofdSetLock, &syscall.Flock_t{Type: kind, Start: at, Len: 1})
}

// The turnstile and the lock are ranges of one descriptor. To give back the first
// must not make the kernel forget that the second is lost.
func TestNFSGivingBackTheTurnstileDoesNotLetStaleWritesPass(t *testing.T) {
	_, _, clients := twoClients(t)
	openRW := func(c nfstest.Client) *os.File {
		f, err := os.OpenFile(filepath.Join(c.Dir, "f"), os.O_RDWR|os.O_CREATE, 0o666)
		require.NoError(t, err)
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	mine, other := openRW(clients[0]), openRW(clients[1])
	require.NoError(t, ofd(mine, syscall.F_WRLCK, 1<<62+1))
	require.NoError(t, ofd(mine, syscall.F_WRLCK, 1<<62))
	require.NoError(t, clients[0].Expire())
	require.NoError(t, ofd(other, syscall.F_WRLCK, 1<<62))
	_, err := other.WriteAt([]byte("next"), 0)
	require.NoError(t, err)
	require.NoError(t, other.Sync())

	require.NoError(t, ofd(mine, syscall.F_UNLCK, 1<<62+1))
	_, err = mine.WriteAt([]byte("STAL"), 0)
	require.ErrorIs(t, errors.Join(err, mine.Sync()), syscall.EIO)
	got, err := os.ReadFile(filepath.Join(clients[1].Dir, "f"))
	require.NoError(t, err)
	require.Equal(t, "next", string(got))
}

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

func TestNFSTheLockOfAKilledProcessIsFree(t *testing.T) {
	_, b, clients := twoClients(t)
	cmd, lines := helper(t.Context(), t, "EFS_DIR="+clients[0].Dir, "EFS_DO=hold")
	require.True(t, lines.Scan())
	token, err := strconv.ParseUint(lines.Text(), 10, 64)
	require.NoError(t, err)
	_, err = b.Acquire(t.Context(), "lock", &fsshare.LockOptions{Try: true})
	require.ErrorIs(t, err, fsshare.ErrConflict)
	waiter := contend(t.Context(), b)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	killed := time.Now()
	got := <-waiter
	require.NoError(t, got.err)
	require.Greater(t, got.lock.Token(), token)
	require.Less(t, got.at.Sub(killed), 2*time.Second)
	t.Logf("taken %v after the holder was reaped", got.at.Sub(killed).Round(time.Millisecond))
	require.NoError(t, got.lock.Unlock())
}

func TestNFSARestartedServerKeepsTheLockOfALivingHolder(t *testing.T) {
	a, b, _ := twoClients(t)
	l, err := a.Acquire(t.Context(), "lock", nil)
	require.NoError(t, err)
	_, err = b.Inspect(t.Context(), "lock") // the other client is one the server remembers
	require.NoError(t, err)
	start := time.Now()
	require.NoError(t, nfstest.OpenServer(t).Restart(nil))
	require.NoError(t, l.Commit(t.Context(), []byte("after the restart")))
	t.Logf("a commit after %v", time.Since(start).Round(10*time.Millisecond))
	_, err = b.Acquire(t.Context(), "lock", &fsshare.LockOptions{Try: true})
	require.ErrorIs(t, err, fsshare.ErrConflict)
	t.Logf("a Try after %v", time.Since(start).Round(10*time.Millisecond))
	require.NoError(t, l.Context().Err())
	require.NoError(t, l.Unlock())
	require.Equal(t, "after the restart", committed(t, b))
}

// The documented exception: another has the lock before the holder can know. Its
// commits are refused all the same.
func TestNFSAHolderThatMissedTheGraceOfARestartIsFenced(t *testing.T) {
	a, b, clients := twoClients(t)
	server := nfstest.OpenServer(t)
	l, err := a.Acquire(t.Context(), "lock", nil)
	require.NoError(t, err)
	require.NoError(t, l.Commit(t.Context(), []byte("before")))
	require.NoError(t, server.Restart(func() { require.NoError(t, clients[0].Cut()) }))
	require.NoError(t, server.EndGrace())
	next, err := b.Acquire(t.Context(), "lock", nil)
	require.NoError(t, err)
	require.Greater(t, next.Token(), l.Token())
	require.NoError(t, next.Commit(t.Context(), []byte("next")))
	require.NoError(t, clients[0].Mend())
	require.ErrorIs(t, l.Commit(t.Context(), []byte("stale")), fsshare.ErrLost)
	require.Equal(t, "next", committed(t, b))
	require.NoError(t, next.Unlock())
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

func TestNFSAGreedyLockerGetsNoMoreThanItsShare(t *testing.T) {
	a, b, clients := twoClients(t)
	third := open(t, clients[1].Dir)
	const total, hold = 300, 20 * time.Millisecond
	var mu sync.Mutex
	turns := 0
	mine := make([]int, 3)
	longest := make([]time.Duration, 3)
	var wg sync.WaitGroup
	for i, s := range []*efsshare.Share{a, b, third} {
		wg.Go(func() {
			for {
				start := time.Now()
				l, err := s.Acquire(t.Context(), "lock", nil)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				longest[i] = max(longest[i], time.Since(start))
				mine[i]++
				turns++
				done := turns >= total
				mu.Unlock()
				wait(t.Context(), hold)
				if err := l.Unlock(); err != nil {
					t.Error(err)
				}
				if done {
					return
				}
				if i > 0 { // the first is greedy, these do something else in between
					wait(t.Context(), time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("turns %v, longest waits %v", mine, longest)
	for i, n := range mine {
		require.GreaterOrEqual(t, n, total/4, "the turns of %d of three", i)
	}
}

func TestNFSSharedAndExclusiveAcrossClients(t *testing.T) {
	a, b, _ := twoClients(t)
	shared := &fsshare.LockOptions{Shared: true}
	one, err := a.Acquire(t.Context(), "lock", shared)
	require.NoError(t, err)
	two, err := b.Acquire(t.Context(), "lock", shared)
	require.NoError(t, err)
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, one.Upgrade(short), context.DeadlineExceeded)
	require.NoError(t, one.Check(t.Context()), "a failed upgrade keeps the shared lock")
	_, err = b.Acquire(t.Context(), "lock", &fsshare.LockOptions{Try: true})
	require.ErrorIs(t, err, fsshare.ErrConflict)

	upgraded := make(chan error, 1)
	go func() { upgraded <- one.Upgrade(t.Context()) }()
	require.Eventually(t, func() bool { // until it waits
		l, err := b.Acquire(t.Context(), "lock", &fsshare.LockOptions{Try: true, Shared: true})
		if err == nil {
			err = l.Unlock()
		}
		return errors.Is(err, fsshare.ErrConflict)
	}, 10*time.Second, 10*time.Millisecond)
	require.ErrorIs(t, two.Upgrade(t.Context()), fsshare.ErrConflict)
	require.NoError(t, two.Unlock())
	require.NoError(t, <-upgraded)
	require.EqualValues(t, 1, one.Token())
	require.NoError(t, one.Commit(t.Context(), []byte("x")))
	_, err = b.Acquire(t.Context(), "lock", &fsshare.LockOptions{Try: true, Shared: true})
	require.ErrorIs(t, err, fsshare.ErrConflict)
	require.NoError(t, one.Downgrade(t.Context()))
	two, err = b.Acquire(t.Context(), "lock", &fsshare.LockOptions{Try: true, Shared: true})
	require.NoError(t, err)
	require.EqualValues(t, 1, two.Token())
	require.ErrorIs(t, one.Commit(t.Context(), []byte("y")), fsshare.ErrInvalid)
	require.NoError(t, errors.Join(one.Unlock(), two.Unlock()))
}

// flock(2) of another program keeps us out, and we keep it out, on NFS always.
func TestNFSFlockAndLocksExcludeEachOther(t *testing.T) {
	a, b, _ := twoClients(t)
	l, err := a.Acquire(t.Context(), "lock", nil)
	require.NoError(t, err)
	path, err := b.LockPath("lock")
	require.NoError(t, err)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	require.ErrorIs(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK)
	require.NoError(t, l.Unlock())
	require.NoError(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
	_, err = a.Acquire(t.Context(), "lock", &fsshare.LockOptions{Try: true})
	require.ErrorIs(t, err, fsshare.ErrConflict)
}
