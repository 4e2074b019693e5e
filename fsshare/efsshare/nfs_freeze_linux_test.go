package efsshare_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/efsshare"
	"github.com/genaistore/genaistore/internal/nfstest"
)

// These tests have a machine stand still whose kernel is its own, as AWS Lambda
// does between two invocations.

// TestMachineHelper is the program on that machine. It commits one number after the
// other as fast as it can, and says what came of it.
func TestMachineHelper(t *testing.T) {
	dir := os.Getenv("EFS_MACHINE")
	if dir == "" {
		t.Skip("the program of other tests")
	}
	share, err := efsshare.Open(t.Context(), dir, nil)
	require.NoError(t, err)
	l, err := share.Acquire(t.Context(), "lock", nil)
	require.NoError(t, err)
	fmt.Println("token", l.Token())
	for i := 1; ; i++ {
		err := l.Commit(t.Context(), strconv.AppendInt(nil, int64(i), 10))
		if err != nil {
			require.ErrorIs(t, err, fsshare.ErrLost)
			require.ErrorIs(t, context.Cause(l.Context()), fsshare.ErrLost, "a commit says what the context does not")
			require.ErrorIs(t, l.Unlock(), fsshare.ErrLost)
			fmt.Println(err)
			fmt.Println("lost")
			return
		}
		fmt.Println("committed", i)
		wait(t.Context(), 20*time.Millisecond)
	}
}

// follow reads what the program says to its end, or until until. It returns the
// last number that was committed and whether the lock was lost.
func follow(t *testing.T, lines *bufio.Scanner, until func(last int) bool) (last int, lost bool) {
	t.Helper()
	for lines.Scan() {
		text := lines.Text()
		if n, ok := strings.CutPrefix(text, "committed "); ok {
			var err error
			last, err = strconv.Atoi(n)
			require.NoError(t, err)
			if until != nil && until(last) {
				return last, false
			}
			continue
		}
		if text == "lost" {
			lost = true
		} else if text != "PASS" {
			t.Log(text)
		}
	}
	return last, lost
}

func TestNFSAFrozenMachineCommitsNothingWhenItIsThawed(t *testing.T) {
	for _, contended := range []bool{true, false} {
		t.Run(fmt.Sprint("contended ", contended), func(t *testing.T) {
			_, b, clients := twoClients(t)
			m := nfstest.SecondMachine(t, clients)
			p := m.Start(t, []string{"EFS_MACHINE=" + m.Dir}, "-test.run=^TestMachineHelper$")
			require.True(t, p.Lines.Scan())
			require.Equal(t, "token 1", p.Lines.Text())
			before, _ := follow(t, p.Lines, func(last int) bool { return last >= 20 })

			require.NoError(t, m.Freeze())
			frozen := time.Now()
			var want string
			token := uint64(1)
			var next *efsshare.Lock
			if contended {
				var err error
				next, err = b.Acquire(t.Context(), "lock", nil)
				require.NoError(t, err)
				t.Logf("taken %v after the freeze", time.Since(frozen).Round(10*time.Millisecond))
				token = next.Token()
				require.EqualValues(t, 2, token)
				want = "next"
				require.NoError(t, next.Commit(t.Context(), []byte(want)))
			} else {
				wait(t.Context(), 13*time.Second)
				want = committed(t, b)
			}
			require.NoError(t, m.Thaw())
			last, lost := follow(t, p.Lines, nil)
			require.True(t, lost, "the holder never knew; it committed up to %d", last)
			if !contended {
				// The answer to the last one may have come when the machine stood still.
				n, err := strconv.Atoi(want)
				require.NoError(t, err)
				require.LessOrEqual(t, max(before, last), n, "a commit after the thaw")
			}
			status, err := b.Inspect(t.Context(), "lock")
			require.NoError(t, err)
			require.Equal(t, want, string(status.Data))
			require.Equal(t, token, status.Token)
			if next != nil {
				require.NoError(t, errors.Join(next.Check(t.Context()), next.Unlock()))
			}
		})
	}
}

func TestNFSAShortFreezeLosesNothing(t *testing.T) {
	_, b, clients := twoClients(t)
	m := nfstest.SecondMachine(t, clients)
	p := m.Start(t, []string{"EFS_MACHINE=" + m.Dir}, "-test.run=^TestMachineHelper$")
	require.True(t, p.Lines.Scan())
	before, _ := follow(t, p.Lines, func(last int) bool { return last >= 20 })
	require.NoError(t, m.Freeze())
	wait(t.Context(), 3*time.Second) // of a lease of 10
	_, err := b.Acquire(t.Context(), "lock", &fsshare.LockOptions{Try: true})
	require.ErrorIs(t, err, fsshare.ErrConflict)
	require.NoError(t, m.Thaw())
	after, lost := follow(t, p.Lines, func(last int) bool { return last >= before+100 })
	require.False(t, lost)
	require.GreaterOrEqual(t, after, before+100)
}

func TestNFSTheLockOfAMachineThatDiedIsFreeAfterTheLease(t *testing.T) {
	_, b, clients := twoClients(t)
	m := nfstest.SecondMachine(t, clients)
	p := m.Start(t, []string{"EFS_MACHINE=" + m.Dir}, "-test.run=^TestMachineHelper$")
	require.True(t, p.Lines.Scan())
	follow(t, p.Lines, func(last int) bool { return last >= 20 })
	require.NoError(t, m.Kill())
	died := time.Now()
	l, err := b.Acquire(t.Context(), "lock", nil)
	require.NoError(t, err)
	took := time.Since(died)
	t.Logf("taken after %v", took.Round(10*time.Millisecond))
	require.Greater(t, took, 5*time.Second)
	require.Less(t, took, 40*time.Second)
	require.EqualValues(t, 2, l.Token())
	require.NoError(t, l.Unlock())
}

// Three processes take the lock from each other, and the machine of one is frozen
// for longer than the lease, again and again. Whoever has the lock sees that nobody
// else commits.
func TestNFSProcessesOfWhichOneIsFrozenNeverCommitUnderAnother(t *testing.T) {
	_, b, clients := twoClients(t)
	m := nfstest.SecondMachine(t, clients)
	count := newTally()
	ctx, stop := context.WithTimeout(t.Context(), 42*time.Second)
	defer stop()
	env := func(dir string) []string { return []string{"EFS_DIR=" + dir, "EFS_DO=1000000", "EFS_STEADY=1"} }
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			cmd, lines := helper(context.WithoutCancel(ctx), t, env(c.Dir)...)
			stop := context.AfterFunc(ctx, func() { count.kill(cmd.Process) })
			defer stop()
			count.read(lines)
			_ = cmd.Wait() // it was killed
		})
	}
	// It has the lock most of the time, and is frozen with it.
	p := m.Start(t, append(env(m.Dir), "EFS_HOLD=300ms"), "-test.run=^TestHelperProcess$")
	wg.Go(func() { count.read(p.Lines) })
	freezes := 0
	for ; ctx.Err() == nil; freezes++ {
		wait(ctx, time.Second+time.Duration(freezes)*370*time.Millisecond)
		require.NoError(t, m.Freeze())
		wait(ctx, 13*time.Second) // longer than the lease
		require.NoError(t, m.Thaw())
	}
	require.NoError(t, m.Kill())
	require.NoError(t, p.Close())
	wg.Wait()
	t.Logf("%d acquisitions, %d lost, %d freezes", len(count.tokens), count.lost, freezes)
	require.Zero(t, count.stale, "commits of another while the lock was held")
	for token, n := range count.tokens {
		require.Equal(t, 1, n, token)
	}
	require.Positive(t, count.lost)
	require.Greater(t, len(count.tokens), 30)
	l, err := b.Acquire(t.Context(), "lock", nil)
	require.NoError(t, err)
	require.NoError(t, l.Unlock())
	truth, err := os.ReadDir(filepath.Join(nfstest.OpenServer(t).Export, filepath.Base(m.Dir)))
	require.NoError(t, err)
	require.Len(t, truth, 1, "the folder of locks alone")
}
