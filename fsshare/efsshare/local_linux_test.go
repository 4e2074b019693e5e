package efsshare_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
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

func TestOpenOfWhatIsNoDirectory(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	loop := filepath.Join(dir, "loop")
	require.NoError(t, os.Symlink("loop", loop))
	for path, want := range map[string]error{
		filepath.Join(dir, "absent"): fsshare.ErrNotFound,
		file:                         fsshare.ErrConflict,
	} {
		_, err := efsshare.Open(t.Context(), path, nil)
		require.ErrorIs(t, err, want, path)
	}
	_, err := efsshare.Open(t.Context(), loop, nil)
	require.Error(t, err)
	for _, opts := range []*efsshare.Options{{Threads: 1}, {Timeout: -1}, {Threads: 5000}, {NFSOnly: true}} {
		_, err := efsshare.Open(t.Context(), dir, opts)
		require.ErrorIs(t, err, fsshare.ErrInvalid)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = efsshare.Open(ctx, dir, nil)
	require.ErrorIs(t, err, context.Canceled)
}

func TestSymlinksDoNotLeadOut(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("s"), 0o600))
	for name, to := range map[string]string{
		"abs": filepath.Join(outside, "secret"), "dir": outside, "up": "../" + filepath.Base(outside), "a": "b", "b": "a", "in": "real",
	} {
		require.NoError(t, os.Symlink(to, filepath.Join(dir, name)))
	}
	s := open(t, dir)
	put(t, s, "real/file", "mine")
	files := s.FS(t.Context())
	data, err := fs.ReadFile(files, "in/file")
	require.NoError(t, err, "a symlink that stays inside is followed")
	require.Equal(t, "mine", string(data))
	for _, name := range []string{"abs", "dir/secret", "up/secret"} {
		_, err := fs.ReadFile(files, name)
		require.ErrorIs(t, err, fsshare.ErrDenied, name)
	}
	_, err = s.WriteFile(t.Context(), "dir/new", strings.NewReader("x"), nil)
	require.ErrorIs(t, err, fsshare.ErrDenied)
	_, err = s.Sub(t.Context(), "dir")
	require.ErrorIs(t, err, fsshare.ErrDenied)
	for _, name := range []string{"a", "a/file"} {
		_, err := fs.ReadFile(files, name)
		require.ErrorIs(t, err, fsshare.ErrInvalid, "a loop")
	}
	put(t, s, "abs", "mine now") // the link is replaced, not what it leads to
	data, err = os.ReadFile(filepath.Join(outside, "secret"))
	require.NoError(t, err)
	require.Equal(t, "s", string(data))
	left, err := os.ReadDir(outside)
	require.NoError(t, err)
	require.Len(t, left, 1)
}

func TestWhatIsNoFileIsNotOpened(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	s := open(t, dir)
	_, err := fs.ReadFile(s.FS(t.Context()), "pipe") // does not wait for a writer
	require.ErrorIs(t, err, fsshare.ErrConflict)
	entries, err := fs.ReadDir(s.FS(t.Context()), ".")
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestADirectoryGivenAsALock(t *testing.T) {
	s := open(t, t.TempDir())
	path, err := s.LockPath("lock")
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(path, 0o777))
	_, err = s.Lock(t.Context(), "lock", nil)
	require.ErrorIs(t, err, fsshare.ErrConflict)
}

func TestAUserWhoMayNotIsDenied(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may everything")
	}
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, "file", "x")
	require.NoError(t, os.Chmod(dir, 0o555))
	t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
	_, err := s.WriteFile(t.Context(), "file", strings.NewReader("y"), nil)
	require.ErrorIs(t, err, fsshare.ErrDenied)
	_, err = s.Lock(t.Context(), "lock", nil)
	require.ErrorIs(t, err, fsshare.ErrDenied)
}

func TestRemoveTakesWhatDeadWritersLeft(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "d"), 0o777))
	left := filepath.Join(dir, "d", ".fsshare-tmp-DEAD")
	require.NoError(t, os.WriteFile(left, []byte("half"), 0o600))
	require.ErrorIs(t, s.Remove(t.Context(), "d"), fsshare.ErrConflict, "it may be written still")
	old := time.Now().Add(-2 * time.Hour)
	require.NoError(t, os.Chtimes(left, old, old))
	require.NoError(t, s.Remove(t.Context(), "d"))
}

func TestTenantsAreApart(t *testing.T) {
	s := open(t, t.TempDir())
	ada, err := s.Sub(t.Context(), "tenants/ada")
	require.NoError(t, err)
	defer ada.Close()
	bob, err := s.Sub(t.Context(), "tenants/bob")
	require.NoError(t, err)
	defer bob.Close()
	put(t, ada, "file", "ada's")
	_, err = fs.ReadFile(bob.FS(t.Context()), "file")
	require.ErrorIs(t, err, fsshare.ErrNotFound)
	for _, share := range []*efsshare.Share{ada, bob, s} {
		l, err := share.Lock(t.Context(), "lock", &fsshare.LockOptions{Try: true})
		require.NoError(t, err)
		defer l.Unlock()
	}
	data, err := fs.ReadFile(s.FS(t.Context()), "tenants/ada/file")
	require.NoError(t, err)
	require.Equal(t, "ada's", string(data))
	for _, bad := range []string{"../x", "", ".fsshare", "/etc"} {
		_, err := s.Sub(t.Context(), bad)
		require.ErrorIs(t, err, fsshare.ErrInvalid)
	}
}

func TestFlockOfOthersIsHeededOnALocalDisk(t *testing.T) {
	dir := t.TempDir()
	s, err := efsshare.Open(t.Context(), dir, &efsshare.Options{Flock: true})
	require.NoError(t, err)
	defer s.Close()
	path, err := s.LockPath("lock")
	require.NoError(t, err)
	l, err := s.Acquire(t.Context(), "lock", nil)
	require.NoError(t, err)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	require.ErrorIs(t, syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
	require.NoError(t, l.Unlock())
	require.NoError(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
	_, err = s.Lock(t.Context(), "lock", &fsshare.LockOptions{Try: true})
	require.ErrorIs(t, err, fsshare.ErrConflict)
	require.NoError(t, syscall.Flock(int(f.Fd()), syscall.LOCK_UN))
	again, err := s.Lock(t.Context(), "lock", &fsshare.LockOptions{Try: true})
	require.NoError(t, err)
	require.NoError(t, again.Unlock())
}

func TestALockIsUpgradedAndDowngraded(t *testing.T) {
	s := open(t, t.TempDir())
	shared := &fsshare.LockOptions{Shared: true}
	one, err := s.Acquire(t.Context(), "lock", shared)
	require.NoError(t, err)
	require.True(t, one.SafeUntil().IsZero(), "a local lock is never lost")
	require.ErrorIs(t, one.Downgrade(t.Context()), fsshare.ErrInvalid)
	two, err := s.Acquire(t.Context(), "lock", shared)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, one.Upgrade(ctx), context.DeadlineExceeded)
	third, err := s.Acquire(t.Context(), "lock", &fsshare.LockOptions{Shared: true, Try: true})
	require.NoError(t, err, "a failed upgrade leaves the lock shared, and the turnstile free")
	require.NoError(t, errors.Join(two.Unlock(), third.Unlock()))
	require.NoError(t, one.Upgrade(t.Context()))
	require.ErrorIs(t, one.Upgrade(t.Context()), fsshare.ErrInvalid)
	require.EqualValues(t, 1, one.Token())
	require.NoError(t, one.Commit(t.Context(), []byte("x")))
	_, err = s.Acquire(t.Context(), "lock", &fsshare.LockOptions{Shared: true, Try: true})
	require.ErrorIs(t, err, fsshare.ErrConflict)
	require.NoError(t, one.Downgrade(t.Context()))
	two, err = s.Acquire(t.Context(), "lock", &fsshare.LockOptions{Shared: true, Try: true})
	require.NoError(t, err)
	require.NoError(t, errors.Join(one.Unlock(), two.Unlock()))
	require.ErrorIs(t, one.Upgrade(t.Context()), fsshare.ErrLost)
}

func TestHeartbeatsKeepALock(t *testing.T) {
	if nfstest.InGuest() {
		t.Skip("the guest has one processor, which others use too, and real leases")
	}
	s := open(t, t.TempDir())
	const lease = 4 * time.Second
	l, err := efsshare.Leased(t.Context(), s, "lock", lease)
	require.NoError(t, err)
	until := l.SafeUntil()
	select {
	case <-l.Context().Done():
		t.Fatal(context.Cause(l.Context()))
	case <-time.After(lease + lease/2):
	}
	require.Greater(t, l.SafeUntil(), until)
	require.NoError(t, l.Check(t.Context()))
	require.NoError(t, l.Unlock())
}

func TestALockThatTheServerRefusesIsLost(t *testing.T) {
	if nfstest.InGuest() {
		t.Skip("the guest has one processor, which others use too, and real leases")
	}
	s := open(t, t.TempDir())
	before := runtime.NumGoroutine()
	l, err := efsshare.Leased(t.Context(), s, "lock", time.Second)
	require.NoError(t, err)
	l.Refuse()
	<-l.Context().Done() // nobody asks but the heartbeat, or the end of what is safe
	require.ErrorIs(t, context.Cause(l.Context()), fsshare.ErrLost)
	require.Less(t, time.Now(), l.SafeUntil())
	require.ErrorIs(t, l.Check(t.Context()), fsshare.ErrLost)
	require.ErrorIs(t, l.Commit(t.Context(), nil), fsshare.ErrLost)
	require.ErrorIs(t, l.Unlock(), fsshare.ErrLost)
	require.NoError(t, l.Unlock())
	before++ // for the one in which the condition runs
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before }, 10*time.Second, 10*time.Millisecond, "a goroutine is left")
}

// A heartbeat may find the loss, and close the descriptor, while another call is
// under way.
func TestADescriptorThatWasClosedMeanwhileIsALoss(t *testing.T) {
	s := open(t, t.TempDir())
	l, err := s.Acquire(t.Context(), "lock", &fsshare.LockOptions{Shared: true})
	require.NoError(t, err)
	l.Refuse()
	require.ErrorIs(t, l.Upgrade(t.Context()), fsshare.ErrLost)
	x, err := s.Acquire(t.Context(), "other", nil)
	require.NoError(t, err)
	x.Refuse()
	require.ErrorIs(t, x.Commit(t.Context(), nil), fsshare.ErrLost)
	require.ErrorIs(t, x.Downgrade(t.Context()), fsshare.ErrLost)
}

func TestAFileThatStaysIsOneEvent(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, "file", "x")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	events := 0
	for _, err := range s.Watch(ctx, fsshare.Target{File: "file"}, &fsshare.WatchOptions{Every: 5 * time.Millisecond}) {
		if err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			break
		}
		events++
	}
	require.Equal(t, 1, events)
}

func TestProbeAsksFromAProcessOfItsOwn(t *testing.T) {
	s := open(t, t.TempDir())
	require.NoError(t, s.Probe(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Probe(ctx), context.Canceled)
	h, err := s.Health()
	require.NoError(t, err)
	require.True(t, h.Open)
	require.Zero(t, h.Hanging)
}

// A lock that was never taken has no file, and looking for it must not disturb
// those that are taken, also where the folder of locks was removed.
func TestLocksAreTakenWhileOthersLookForAbsentOnes(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 100 {
				if _, err := s.Inspect(t.Context(), fmt.Sprint("absent", i, j)); err != nil {
					t.Error(err)
					return
				}
				l, err := s.Lock(t.Context(), fmt.Sprint("taken", i), nil)
				if err == nil {
					err = l.Unlock()
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, os.RemoveAll(filepath.Join(dir, ".fsshare")))
	l, err := s.Lock(t.Context(), "taken0", nil)
	require.NoError(t, err)
	require.EqualValues(t, 1, l.Token(), "whoever removes the folder begins anew")
	require.NoError(t, l.Unlock())
}
