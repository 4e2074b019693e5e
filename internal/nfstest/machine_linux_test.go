package nfstest_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/nfstest"
)

// TestHelperOnTheSecondMachine holds a lock and writes through it when it is told to.
func TestHelperOnTheSecondMachine(t *testing.T) {
	path := os.Getenv("SECOND")
	if path == "" {
		t.Skip("a program of another test")
	}
	f := openRW(t, path)
	require.NoError(t, ofd(f, syscall.F_WRLCK))
	name, err := os.Hostname()
	require.NoError(t, err)
	fmt.Println("holding at", name)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		_, err := f.WriteAt([]byte(in.Text()), 0)
		if err == nil {
			err = f.Sync()
		}
		fmt.Println("wrote:", err)
	}
}

func TestAMachineWithItsOwnKernelIsFrozenCutAndKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a kernel and waits for leases")
	}
	for _, c := range []struct {
		name string
		lose func(nfstest.Machine) error
		back func(nfstest.Machine) error
	}{
		{"frozen", nfstest.Machine.Freeze, nfstest.Machine.Thaw},
		{"cut", nfstest.Machine.Cut, nfstest.Machine.Mend},
		{"killed", nfstest.Machine.Kill, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			clients := nfstest.Clients(t)
			start := time.Now()
			m := nfstest.SecondMachine(t, clients)
			p := m.Start(t, []string{"SECOND=" + filepath.Join(m.Dir, "lock")}, "-test.run=^TestHelperOnTheSecondMachine$")
			require.True(t, p.Lines.Scan())
			require.Equal(t, "holding at "+m.Name, p.Lines.Text())
			t.Logf("a lock on the second machine %v after its switch was pressed", time.Since(start).Round(10*time.Millisecond))
			require.NoError(t, p.Say("AAAA"))
			require.True(t, p.Lines.Scan())
			require.Equal(t, "wrote: <nil>", p.Lines.Text())

			b := openRW(t, clients[0].Dir, "lock")
			require.ErrorIs(t, ofd(b, syscall.F_WRLCK), syscall.EAGAIN)
			require.NoError(t, c.lose(m))
			start = time.Now()
			for ofd(b, syscall.F_WRLCK) != nil {
				require.Less(t, time.Since(start), 40*time.Second, "the lock is still held")
				pause(t, 50*time.Millisecond)
			}
			t.Logf("the contender has the lock after %v", time.Since(start).Round(10*time.Millisecond))
			require.Greater(t, time.Since(start), 5*time.Second, "given away within the lease")
			_, err := b.WriteAt([]byte("BBBB"), 0)
			require.NoError(t, err)
			require.NoError(t, b.Sync())
			if c.back != nil {
				require.NoError(t, c.back(m))
				require.NoError(t, p.Say("STAL"))
				require.True(t, p.Lines.Scan())
				require.Contains(t, p.Lines.Text(), "input/output error")
			}
			got, err := os.ReadFile(filepath.Join(nfstest.OpenServer(t).Export, filepath.Base(m.Dir), "lock"))
			require.NoError(t, err)
			require.Equal(t, "BBBB", string(got))
		})
	}
}
