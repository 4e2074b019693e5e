package efsshare_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/efsshare"
	"github.com/genaistore/genaistore/internal/nfstest"
)

// What a kernel or a server refuses: quotas, rights, mounts for reading only, disks
// that are full only when a file is closed.

func TestRefusedHelper(t *testing.T) {
	do := inApart(t)
	dir := os.Getenv("EFS_DIR")
	switch do {
	case "quota":
		answerCalls(t, answer{sysFcntl, ofdSetLock, syscall.ENOLCK})
		s := open(t, dir)
		_, err := s.Lock(t.Context(), "lock", nil)
		require.ErrorIs(t, err, efsshare.ErrLockQuota)
		require.ErrorIs(t, err, fsshare.ErrThrottled)
		require.ErrorIs(t, err, syscall.ENOLCK)
		require.ErrorIs(t, s.Append(t.Context(), "log", []byte("x")), fsshare.ErrThrottled)
		put(t, s, "file", "files need no locks")
	case "lying sync":
		answerCalls(t, answer{sysFsync, 0, 0}, answer{sysFdatasync, 0, 0})
		s := open(t, dir)
		// Little enough that no write of it waits for the server.
		_, err := s.WriteFile(t.Context(), "file", io.LimitReader(zeros{}, 8<<20), nil)
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.ErrorIs(t, err, fsshare.ErrThrottled)
	case "no byte locks":
		answerCalls(t, answer{sysFcntl, ofdSetLock, syscall.EINVAL}, answer{sysFcntl, ofdSetLock - 1, syscall.EINVAL})
		fallBack(t, open(t, dir))
	case "denied":
		s := open(t, dir)
		for name, call := range map[string]func() error{
			"write":  func() error { _, err := s.WriteFile(t.Context(), "file", strings.NewReader("y"), nil); return err },
			"read":   func() error { _, err := fs.ReadFile(s.FS(t.Context()), "secret"); return err },
			"lock":   func() error { _, err := s.Lock(t.Context(), "lock", nil); return err },
			"remove": func() error { return s.Remove(t.Context(), "file") },
			"append": func() error { return s.Append(t.Context(), "file", []byte("y")) },
		} {
			err := call()
			require.ErrorIs(t, err, fsshare.ErrDenied, name)
			require.ErrorContains(t, err, "the user of this process", name)
		}
	default:
		t.Fatal(do)
	}
}

func TestAQuotaOfLocksIsNamed(t *testing.T) {
	apart(t, "quota", "EFS_DIR="+t.TempDir())
}

func TestNFSAQuotaOfLocksIsNamed(t *testing.T) {
	apart(t, "quota", "EFS_DIR="+nfsClients(t)[0].Dir)
}

// The sync says that all is well, as it would if nobody looked at it, and only the
// close tells that the disk is full.
func TestNFSAFullDiskThatShowsAtTheCloseLeavesNothing(t *testing.T) {
	a, b, clients := twoClients(t)
	put(t, a, "file", "old")
	fill(t, filepath.Join(nfstest.OpenServer(t).Export, filepath.Base(clients[0].Dir), "filler"), 4<<20)
	apart(t, "lying sync", "EFS_DIR="+clients[0].Dir)
	data, err := fs.ReadFile(b.FS(t.Context()), "file")
	require.NoError(t, err)
	require.Equal(t, "old", string(data))
	names, err := os.ReadDir(clients[1].Dir)
	require.NoError(t, err)
	require.Len(t, names, 2, "the file that was being written is gone; file and filler")
}

// fill makes a file that leaves so much of its file system free.
func fill(t *testing.T, path string, free int64) {
	t.Helper()
	var s syscall.Statfs_t
	require.NoError(t, syscall.Statfs(filepath.Dir(path), &s))
	f, err := os.Create(path)
	require.NoError(t, err)
	_, err = io.CopyN(f, zeros{}, int64(s.Bavail)*s.Bsize-free)
	require.NoError(t, errors.Join(err, f.Close()))
}

// Some file systems that are programs have locks of flock(2) alone.
func TestWhereThereAreNoLocksOfBytesFlockServes(t *testing.T) {
	apart(t, "no byte locks", "EFS_DIR="+t.TempDir())
}

func fallBack(t *testing.T, s *efsshare.Share) {
	t.Helper()
	l, err := s.Acquire(t.Context(), "lock", nil)
	require.NoError(t, err)
	require.NoError(t, l.Commit(t.Context(), []byte("x")))
	_, err = s.Lock(t.Context(), "lock", &fsshare.LockOptions{Try: true})
	require.ErrorIs(t, err, fsshare.ErrConflict)
	status, err := s.Inspect(t.Context(), "lock")
	require.NoError(t, err)
	require.True(t, status.Held)
	_, err = s.Lock(t.Context(), "lock", &fsshare.LockOptions{Wait: 50 * time.Millisecond})
	require.ErrorIs(t, err, fsshare.ErrConflict)
	require.NoError(t, l.Unlock())
	status, err = s.Inspect(t.Context(), "lock")
	require.NoError(t, err)
	require.False(t, status.Held)
	require.Equal(t, "x", string(status.Data))
	shared := &fsshare.LockOptions{Shared: true}
	one, err := s.Acquire(t.Context(), "lock", shared)
	require.NoError(t, err)
	two, err := s.Acquire(t.Context(), "lock", shared)
	require.NoError(t, err)
	require.ErrorIs(t, one.Upgrade(t.Context()), errors.ErrUnsupported)
	require.NoError(t, errors.Join(one.Unlock(), two.Unlock()))
	next, err := s.Acquire(t.Context(), "lock", nil)
	require.NoError(t, err)
	require.EqualValues(t, 2, next.Token())
	require.NoError(t, next.Unlock())
}

// helperAs is a command that runs a test of this binary as another user.
func helperAs(t *testing.T, user uint32, env ...string) *exec.Cmd {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	image, err := os.ReadFile(os.Args[0])
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755)) // the other may enter it
	binary := filepath.Join(dir, "efsshare.test")
	require.NoError(t, os.WriteFile(binary, image, 0o755))
	cmd := exec.CommandContext(t.Context(), binary, "-test.v", "-test.run=^TestRefusedHelper$")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	return cmd
}

func TestNFSAnotherUserIsDeniedByTheServer(t *testing.T) {
	a, b, clients := twoClients(t)
	put(t, a, "file", "x")
	put(t, a, "secret", "x")
	require.NoError(t, os.Chmod(filepath.Join(clients[0].Dir, "secret"), 0o600))
	l, err := a.Lock(t.Context(), "lock", nil)
	require.NoError(t, err)
	require.NoError(t, l.Unlock())
	path, err := a.LockPath("lock")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(path, 0o600))
	require.NoError(t, os.Chmod(clients[0].Dir, 0o755))
	out, err := helperAs(t, 1001, "EFS_APART=denied", "EFS_DIR="+clients[0].Dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS")
	data, err := fs.ReadFile(b.FS(t.Context()), "file")
	require.NoError(t, err)
	require.Equal(t, "x", string(data))
	names, err := os.ReadDir(clients[1].Dir)
	require.NoError(t, err)
	require.Len(t, names, 3, "nothing half-written: .fsshare, file, secret")
}

func TestNFSOnAMountForReadingOnly(t *testing.T) {
	a, b, clients := twoClients(t)
	mount := clients[1].MountWith(t, "ro,hard,noresvport,nosharecache")
	ro := open(t, filepath.Join(mount, filepath.Base(clients[0].Dir)))
	put(t, a, "file", "x")
	data, err := fs.ReadFile(ro.FS(t.Context()), "file")
	require.NoError(t, err)
	require.Equal(t, "x", string(data))
	_, err = ro.WriteFile(t.Context(), "file", strings.NewReader("y"), nil)
	require.ErrorIs(t, err, fsshare.ErrDenied)
	require.ErrorContains(t, err, "mount it for writing")
	require.ErrorIs(t, ro.Remove(t.Context(), "file"), fsshare.ErrDenied)
	require.ErrorIs(t, ro.Append(t.Context(), "file", []byte("y")), fsshare.ErrDenied)
	_, err = ro.Lock(t.Context(), "lock", nil)
	require.ErrorIs(t, err, fsshare.ErrDenied)
	shared := &fsshare.LockOptions{Shared: true}
	_, err = ro.Lock(t.Context(), "lock", shared)
	require.ErrorIs(t, err, fsshare.ErrDenied, "it was never held")
	require.ErrorContains(t, err, "held exclusively")

	l, err := a.Acquire(t.Context(), "lock", nil)
	require.NoError(t, err)
	require.NoError(t, l.Commit(t.Context(), []byte("data")))
	_, err = ro.Lock(t.Context(), "lock", &fsshare.LockOptions{Shared: true, Try: true})
	require.ErrorIs(t, err, fsshare.ErrConflict)
	require.NoError(t, l.Unlock())

	reader, err := ro.Acquire(t.Context(), "lock", shared)
	require.NoError(t, err)
	require.EqualValues(t, 1, reader.Token())
	status, err := ro.Inspect(t.Context(), "lock")
	require.NoError(t, err)
	require.Equal(t, "data", string(status.Data))
	require.NoError(t, reader.Check(t.Context()))
	require.ErrorIs(t, reader.Upgrade(t.Context()), fsshare.ErrDenied)
	require.ErrorIs(t, reader.Commit(t.Context(), nil), fsshare.ErrInvalid)
	other, err := b.Acquire(t.Context(), "lock", shared)
	require.NoError(t, err, "readers share, wherever they are")
	require.NoError(t, other.Unlock())
	_, err = a.Lock(t.Context(), "lock", &fsshare.LockOptions{Try: true})
	require.ErrorIs(t, err, fsshare.ErrConflict)

	// It is told of its loss as everyone is.
	require.NoError(t, clients[1].Expire())
	next, err := a.Acquire(t.Context(), "lock", nil)
	require.NoError(t, err)
	require.ErrorIs(t, reader.Check(t.Context()), fsshare.ErrLost)
	require.ErrorIs(t, reader.Unlock(), fsshare.ErrLost)
	require.NoError(t, next.Unlock())
}

// Flock(1) of the shell and locks of ours keep each other out, across machines.
func TestNFSTheProgramFlockAndLocksExcludeEachOther(t *testing.T) {
	program, err := exec.LookPath("flock")
	if err != nil {
		t.Skip(err)
	}
	a, b, _ := twoClients(t)
	l, err := a.Lock(t.Context(), "lock", nil)
	require.NoError(t, err)
	path, err := b.LockPath("lock")
	require.NoError(t, err)
	run := func() error {
		return exec.CommandContext(t.Context(), program, "--nonblock", "--conflict-exit-code=42", path, "true").Run()
	}
	exit, ok := errors.AsType[*exec.ExitError](run())
	require.True(t, ok)
	require.Equal(t, 42, exit.ExitCode())
	require.NoError(t, l.Unlock())
	require.NoError(t, run())

	holder := exec.CommandContext(t.Context(), program, path, "sh", "-c", "echo holding; read line")
	in, err := holder.StdinPipe()
	require.NoError(t, err)
	out, err := holder.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, holder.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	_, err = a.Lock(t.Context(), "lock", &fsshare.LockOptions{Try: true})
	require.ErrorIs(t, err, fsshare.ErrConflict)
	_, err = fmt.Fprintln(in)
	require.NoError(t, err)
	require.NoError(t, holder.Wait())
	l, err = a.Lock(t.Context(), "lock", nil)
	require.NoError(t, err)
	require.EqualValues(t, 2, l.Token())
	require.NoError(t, l.Unlock())
}
