package efsshare_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
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
	rounds := 40
	if nfstest.OpenServer(t).Name == nfstest.Ganesha { // which restarts for each
		rounds = 10
	}
	reached, knew := 0, 0
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
		if l.Context().Err() != nil { // a heartbeat came first, so this round shows nothing
			knew++
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
	t.Logf("%d stale commits, of which %d by a holder that knew", rounds, knew)
	require.Zero(t, reached, "stale commits of %d", rounds)
	require.Less(t, knew, rounds/2)
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
