package nfstest_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/nfstest"
)

// These tests run in the guest: all of them by go test -exec, the quick ones also
// by TestTheGuestPassesItsTests, which boots it.

const fOFDSetlk = 37 // F_OFD_SETLK, absent from package syscall

func openRW(t *testing.T, elem ...string) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(elem...), os.O_RDWR|os.O_CREATE, 0o666)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func ofd(f *os.File, kind int16) error {
	return syscall.FcntlFlock(f.Fd(), fOFDSetlk, &syscall.Flock_t{Type: kind})
}

func TestTheServerHasTwoClients(t *testing.T) {
	nfstest.Clients(t)
	list, err := nfstest.OpenServer(t).Clients()
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.NotEqual(t, list[0].ID, list[1].ID)
	for _, c := range list {
		require.Equal(t, 1, c.Minor, "minor version of NFSv4")
	}
	require.ElementsMatch(t, []string{"Linux NFSv4.1 client1", "Linux NFSv4.1 client2"}, []string{list[0].Name, list[1].Name})
}

// tick waits until a write can be told from the last one. Nfs-ganesha tells its
// clients of a change by the time of the last one, which its kernel's clock gives
// in steps: of two writes within a step, other clients may see the first only.
func tick(t *testing.T) {
	t.Helper()
	if nfstest.OpenServer(t).Name == nfstest.Ganesha {
		pause(t, 25*time.Millisecond)
	}
}

func TestAFileClosedAtOneClientIsReadAtTheOther(t *testing.T) {
	c := nfstest.Clients(t)
	for i := range 200 {
		tick(t)
		want := fmt.Sprintf("version %04d", i)
		from, to := c[i%2], c[(i+1)%2]
		require.NoError(t, os.WriteFile(filepath.Join(from.Dir, "f"), []byte(want), 0o666))
		got, err := os.ReadFile(filepath.Join(to.Dir, "f"))
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
}

func TestAnOverwrittenFileIsReadAfreshAtOnce(t *testing.T) {
	c := nfstest.Clients(t)
	f := openRW(t, c[0].Dir, "f")
	stale := 0
	const rounds = 200
	for i := range rounds {
		tick(t)
		want := fmt.Sprintf("version %04d", i)
		_, err := f.WriteAt([]byte(want), 0)
		require.NoError(t, err)
		require.NoError(t, f.Sync())
		got, err := os.ReadFile(filepath.Join(c[1].Dir, "f"))
		require.NoError(t, err)
		if string(got) != want {
			stale++
		}
	}
	require.Zero(t, stale, "stale reads of %d", rounds)
}

func TestOFDLocksExcludeTheOtherClient(t *testing.T) {
	c := nfstest.Clients(t)
	a, b := openRW(t, c[0].Dir, "lock"), openRW(t, c[1].Dir, "lock")
	for _, step := range []struct {
		name string
		file *os.File
		kind int16
		want error
	}{
		{"the first locks", a, syscall.F_WRLCK, nil},
		{"the second cannot lock", b, syscall.F_WRLCK, syscall.EAGAIN},
		{"the second cannot share", b, syscall.F_RDLCK, syscall.EAGAIN},
		{"the first shares", a, syscall.F_RDLCK, nil},
		{"the second shares", b, syscall.F_RDLCK, nil},
		{"the second cannot lock what is shared", b, syscall.F_WRLCK, syscall.EAGAIN},
		{"the first unlocks", a, syscall.F_UNLCK, nil},
		{"the second locks", b, syscall.F_WRLCK, nil},
		{"the first cannot share", a, syscall.F_RDLCK, syscall.EAGAIN},
	} {
		require.ErrorIs(t, errOr(ofd(step.file, step.kind)), errOr(step.want), step.name)
	}
}

var errNone = errors.New("no error")

func errOr(err error) error {
	if err == nil {
		return errNone
	}
	return err
}

func TestFlockExcludesTheOtherClientAndOFDLocks(t *testing.T) {
	c := nfstest.Clients(t)
	a, b := openRW(t, c[0].Dir, "lock"), openRW(t, c[1].Dir, "lock")
	require.NoError(t, syscall.Flock(int(a.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
	require.ErrorIs(t, syscall.Flock(int(b.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EAGAIN)
	require.ErrorIs(t, ofd(b, syscall.F_WRLCK), syscall.EAGAIN)
	require.NoError(t, syscall.Flock(int(a.Fd()), syscall.LOCK_UN))
	require.NoError(t, syscall.Flock(int(b.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
}

func TestTheLockOfAKilledProcessIsFree(t *testing.T) {
	c := nfstest.Clients(t)
	b := openRW(t, c[1].Dir, "lock")
	holder := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHelperHoldsALock$")
	holder.Env = append(os.Environ(), "HOLD="+filepath.Join(c[0].Dir, "lock"))
	out, err := holder.StdoutPipe()
	require.NoError(t, err)
	_, err = holder.StdinPipe() // which keeps it waiting
	require.NoError(t, err)
	require.NoError(t, holder.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "holding", strings.TrimSpace(line))
	require.ErrorIs(t, ofd(b, syscall.F_WRLCK), syscall.EAGAIN)

	pause(t, 300*time.Millisecond)
	require.ErrorIs(t, ofd(b, syscall.F_WRLCK), syscall.EAGAIN, "the holder is alive")
	require.NoError(t, holder.Process.Kill())
	require.Error(t, holder.Wait())
	start := time.Now()
	for ofd(b, syscall.F_WRLCK) != nil {
		require.Less(t, time.Since(start), 2*time.Second, "the lock of a dead process is still held")
		pause(t, time.Millisecond)
	}
	t.Logf("free %v after the process was reaped", time.Since(start).Round(time.Millisecond))
}

func TestHelperHoldsALock(t *testing.T) {
	path := os.Getenv("HOLD")
	if path == "" {
		t.Skip("a helper process of another test")
	}
	f := openRW(t, path)
	require.NoError(t, ofd(f, syscall.F_WRLCK))
	fmt.Println("holding")
	_, err := io.Copy(io.Discard, os.Stdin)
	require.NoError(t, err)
}

func TestALockTakenFromItsHolderFencesIt(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(t *testing.T, holder nfstest.Client)
		soon time.Duration // a contender gets the lock after this, at the latest
		late time.Duration // and not before this
	}{
		{"expired by the server", func(t *testing.T, holder nfstest.Client) { require.NoError(t, holder.Expire()) }, 2 * time.Second, 0},
		{"cut off for a lease", func(t *testing.T, holder nfstest.Client) { require.NoError(t, holder.Cut()) }, 15 * time.Second, 5 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() && c.late > 0 {
				t.Skip("waits for a lease")
			}
			clients := nfstest.Clients(t)
			server := nfstest.OpenServer(t)
			a, b := openRW(t, clients[0].Dir, "lock"), openRW(t, clients[1].Dir, "lock")
			require.NoError(t, ofd(a, syscall.F_WRLCK))
			_, err := a.WriteAt([]byte("AAAA"), 0)
			require.NoError(t, err)
			require.NoError(t, a.Sync())

			c.lose(t, clients[0])
			start := time.Now()
			for ofd(b, syscall.F_WRLCK) != nil {
				require.Less(t, time.Since(start), c.soon, "the lock is still held")
				pause(t, 50*time.Millisecond)
			}
			t.Logf("the contender has the lock after %v", time.Since(start).Round(10*time.Millisecond))
			require.GreaterOrEqual(t, time.Since(start), c.late, "the lock was given away within the lease")
			_, err = b.WriteAt([]byte("BBBB"), 0)
			require.NoError(t, err)
			require.NoError(t, b.Sync())

			// The stale holder's write is accepted by its own cache, and refused by
			// the server.
			_, err = a.WriteAt([]byte("STAL"), 0)
			require.NoError(t, errIfNot(err, syscall.EIO))
			require.NoError(t, clients[0].Mend())
			require.ErrorIs(t, a.Sync(), syscall.EIO)
			got, err := os.ReadFile(filepath.Join(server.Export, filepath.Base(clients[0].Dir), "lock"))
			require.NoError(t, err)
			require.Equal(t, "BBBB", string(got))
		})
	}
}

// errIfNot returns an error unless it is the one that may be.
func errIfNot(err, may error) error {
	if errors.Is(err, may) {
		return nil
	}
	return err
}

func TestACutClientWaitsUntilItIsMended(t *testing.T) {
	c := nfstest.Clients(t)
	f := openRW(t, c[0].Dir, "lock")
	require.NoError(t, c[0].Cut())
	locked := make(chan error, 1)
	go func() { locked <- ofd(f, syscall.F_WRLCK) }()
	select {
	case err := <-locked:
		t.Fatalf("a lock over a wire that is cut: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	require.NoError(t, ofd(openRW(t, c[1].Dir, "other"), syscall.F_WRLCK), "the other wire is whole")
	require.NoError(t, c[0].Mend())
	require.NoError(t, <-locked)
}

func TestARestartedServerKeepsTheLocksOfTheLiving(t *testing.T) {
	c := nfstest.Clients(t)
	server := nfstest.OpenServer(t)
	a, b := openRW(t, c[0].Dir, "lock"), openRW(t, c[1].Dir, "lock")
	require.NoError(t, ofd(a, syscall.F_WRLCK))
	require.NoError(t, server.Restart(nil))
	start := time.Now()
	_, err := a.WriteAt([]byte("AAAA"), 0)
	require.NoError(t, err)
	require.NoError(t, a.Sync())
	t.Logf("the holder goes on after %v", time.Since(start).Round(time.Millisecond))
	require.NoError(t, server.EndGrace())
	require.ErrorIs(t, ofd(b, syscall.F_WRLCK), syscall.EAGAIN)
	if server.Name == nfstest.Knfsd { // the other cannot be told that the grace is over
		require.Less(t, time.Since(start), 5*time.Second)
	}
	require.NoError(t, ofd(a, syscall.F_UNLCK))
	require.NoError(t, ofd(b, syscall.F_WRLCK))
}

func TestARestartedServerGrantsNothingNewDuringItsGrace(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a period of grace")
	}
	c := nfstest.Clients(t)
	b := openRW(t, c[1].Dir, "lock")
	require.NoError(t, nfstest.OpenServer(t).Restart(nil))
	start := time.Now()
	require.NoError(t, ofd(b, syscall.F_WRLCK))
	t.Logf("a new lock takes %v", time.Since(start).Round(10*time.Millisecond))
	least := 8 * time.Second
	if nfstest.OpenServer(t).Name == nfstest.Ganesha {
		least = time.Second // it ends its grace when all clients have claimed what they had
	}
	require.Greater(t, time.Since(start), least)
}

func TestALockNotClaimedAfterARestartIsLost(t *testing.T) {
	c := nfstest.Clients(t)
	server := nfstest.OpenServer(t)
	a, b := openRW(t, c[0].Dir, "lock"), openRW(t, c[1].Dir, "lock")
	require.NoError(t, ofd(a, syscall.F_WRLCK))
	require.NoError(t, server.Restart(func() { require.NoError(t, c[0].Cut()) }))
	require.NoError(t, server.EndGrace())
	require.NoError(t, ofd(b, syscall.F_WRLCK))
	_, err := a.WriteAt([]byte("STAL"), 0)
	require.NoError(t, errIfNot(err, syscall.EIO))
	require.NoError(t, c[0].Mend())
	require.ErrorIs(t, a.Sync(), syscall.EIO)
}

func TestDelayIsAddedToARoundTrip(t *testing.T) {
	c := nfstest.Clients(t)
	f := openRW(t, c[0].Dir, "f")
	roundTrip := func() time.Duration { // the fastest of some: others use the machine too
		fastest := time.Hour
		for range 5 {
			start := time.Now()
			require.NoError(t, ofd(f, syscall.F_WRLCK))
			fastest = min(fastest, time.Since(start))
			require.NoError(t, ofd(f, syscall.F_UNLCK))
		}
		return fastest
	}
	before := roundTrip()
	require.NoError(t, c[0].Delay(50*time.Millisecond))
	slow := roundTrip()
	require.NoError(t, c[0].Delay(0))
	after := roundTrip()
	t.Logf("a lock takes %v, %v with 50 ms of delay, %v again", before, slow, after)
	require.GreaterOrEqual(t, slow, 50*time.Millisecond)
	require.Less(t, after, 50*time.Millisecond)
}

func TestAFullDiskIsReportedByFsync(t *testing.T) {
	c := nfstest.Clients(t)
	f := openRW(t, c[0].Dir, "big")
	chunk := make([]byte, 8<<20)
	var err error
	for range 64 {
		if _, err = f.Write(chunk); err != nil {
			break
		}
	}
	require.ErrorIs(t, errors.Join(err, f.Sync()), syscall.ENOSPC)
}

func TestAnotherMountOfAClientHasItsOwnOptions(t *testing.T) {
	c := nfstest.Clients(t)
	dir := c[0].MountWith(t, "soft,timeo=20,retrans=1,nosharecache,noresvport")
	name := filepath.Join(filepath.Base(c[0].Dir), "f")
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o666))
	got, err := os.ReadFile(filepath.Join(c[1].Mount, name))
	require.NoError(t, err)
	require.Equal(t, "x", string(got))
	mounts, err := os.ReadFile("/proc/self/mounts")
	require.NoError(t, err)
	require.Regexp(t, dir+` nfs4 [^\n]*vers=4\.1[^\n]*soft[^\n]*nosharecache`, string(mounts))
}

// pause waits: in the guest, time belongs to two kernels and cannot be a
// test's.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}
