package efsshare_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/efsshare"
	"github.com/genaistore/genaistore/fsshare/fssharetest"
	"github.com/genaistore/genaistore/fsshare/internal/kernel"
)

// What was measured on real NFSv4.1, on the simulated one, in no time.

func virtually(t *testing.T, name string, opts *fssharetest.NFSOptions, check func(t *testing.T, s simulated)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { check(t, simulate(t, opts)) })
	})
}

func acquire(t *testing.T, s *efsshare.Share, opts *fsshare.LockOptions) *efsshare.Lock {
	t.Helper()
	l, err := s.Acquire(t.Context(), "lock", opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Unlock() })
	return l
}

func TestSimulatedLossOfALock(t *testing.T) {
	for lease, courteous := range map[time.Duration]bool{10 * time.Second: true, 90 * time.Second: false} {
		opts := &fssharetest.NFSOptions{Lease: lease, Courteous: courteous}
		virtually(t, fmt.Sprint("a cut holder knows before another has the lock, lease ", lease), opts, func(t *testing.T, s simulated) {
			l := acquire(t, s.a, nil)
			require.NoError(t, l.Commit(t.Context(), []byte("holder")))
			waiter := waitOn(t, s.b)
			time.Sleep(lease / 3)
			s.clients[0].Cut()
			cut := time.Now()
			stale := make(chan error, 1)
			go func() { stale <- l.Commit(t.Context(), []byte("stale")) }()
			<-l.Context().Done()
			require.ErrorIs(t, context.Cause(l.Context()), fsshare.ErrLost)
			require.Less(t, time.Now(), l.SafeUntil())
			got := <-waiter
			require.NoError(t, got.err)
			require.True(t, got.at.After(l.SafeUntil()), "taken %v before it was safe", l.SafeUntil().Sub(got.at))
			require.LessOrEqual(t, got.at.Sub(cut), lease+2*time.Second)
			require.NoError(t, got.lock.Commit(t.Context(), []byte("contender")))
			s.clients[0].Mend()
			require.ErrorIs(t, <-stale, fsshare.ErrLost)
			require.ErrorIs(t, l.Unlock(), fsshare.ErrLost)
			require.Equal(t, "contender", dataOf(t, s.a))
			require.NoError(t, got.lock.Unlock())
		})
		virtually(t, fmt.Sprint("a machine that was frozen commits nothing, lease ", lease), opts, func(t *testing.T, s simulated) {
			l := acquire(t, s.a, nil)
			s.clients[0].Freeze()
			next := acquire(t, s.b, nil)
			require.NoError(t, next.Commit(t.Context(), []byte("next")))
			time.Sleep(lease)
			s.clients[0].Thaw()
			require.ErrorIs(t, l.Commit(t.Context(), []byte("stale")), fsshare.ErrLost)
			require.Equal(t, "next", dataOf(t, s.a))
			require.NoError(t, next.Unlock())
		})
	}
	virtually(t, "a cut that nobody used, from a courteous server", &fssharetest.NFSOptions{Lease: 10 * time.Second, Courteous: true}, func(t *testing.T, s simulated) {
		l := acquire(t, s.a, nil)
		s.clients[0].Cut()
		time.Sleep(25 * time.Second)
		s.clients[0].Mend()
		require.ErrorIs(t, l.Check(t.Context()), fsshare.ErrLost, "lost is lost: nobody can rely on a server's courtesy")
	})
	virtually(t, "a machine that was frozen refuses its own commit, where a courteous server would take it", &fssharetest.NFSOptions{Lease: 10 * time.Second, Courteous: true}, func(t *testing.T, s simulated) {
		for range 100 { // what looks after the lock goes on at the same time
			l := acquire(t, s.a, nil)
			s.clients[0].Freeze()
			time.Sleep(15 * time.Second)
			s.clients[0].Thaw()
			require.ErrorIs(t, l.Commit(t.Context(), []byte("stale")), fsshare.ErrLost)
			require.Empty(t, dataOf(t, s.b))
			require.ErrorIs(t, l.Unlock(), fsshare.ErrLost)
		}
	})
	virtually(t, "who loses its place in the line takes it anew", &fssharetest.NFSOptions{Lease: 10 * time.Second}, func(t *testing.T, s simulated) {
		l := acquire(t, s.a, nil)
		waiter := waitOn(t, s.b)
		time.Sleep(time.Second)
		s.clients[1].Cut()
		time.Sleep(30 * time.Second)
		s.clients[1].Mend()
		time.Sleep(time.Second)
		require.NoError(t, l.Unlock())
		got := <-waiter
		require.NoError(t, got.err)
		require.NoError(t, got.lock.Commit(t.Context(), []byte("next")))
		require.NoError(t, got.lock.Unlock())
	})
	virtually(t, "a lost lock's file is closed", nil, func(t *testing.T, s simulated) {
		writeOn(t, s.a, "file", "x")
		before := s.clients[0].Files()
		for i := range 20 {
			l, err := s.a.Acquire(t.Context(), fmt.Sprint("lock", i), nil)
			require.NoError(t, err)
			s.clients[0].Expire()
			require.ErrorIs(t, l.Commit(t.Context(), nil), fsshare.ErrLost)
			if i%2 == 0 {
				require.ErrorIs(t, l.Unlock(), fsshare.ErrLost)
			}
		}
		time.Sleep(time.Second)
		require.Equal(t, before, s.clients[0].Files())
	})
	virtually(t, "a write of a slot that was cut short leaves the one before", nil, func(t *testing.T, s simulated) {
		l := acquire(t, s.a, nil)
		require.NoError(t, l.Commit(t.Context(), []byte("one")))
		require.NoError(t, l.Commit(t.Context(), []byte("two")))
		s.server.Tear()
		require.ErrorIs(t, l.Commit(t.Context(), []byte("three")), fsshare.ErrLost)
		status, err := s.b.Inspect(t.Context(), "lock")
		require.NoError(t, err)
		require.Equal(t, "two", string(status.Data))
		require.Equal(t, l.Token(), status.Token)
		s.clients[0].Expire()
		next := acquire(t, s.b, nil)
		require.Greater(t, next.Token(), l.Token())
		require.NoError(t, next.Unlock())
	})
	virtually(t, "the lock of a killed process is free at once", nil, func(t *testing.T, s simulated) {
		l := acquire(t, s.a, nil)
		start := time.Now()
		s.clients[0].Kill()
		next := acquire(t, s.b, nil)
		require.Less(t, time.Since(start), time.Second)
		require.Greater(t, next.Token(), l.Token())
		require.NoError(t, next.Unlock())
	})
}

func TestSimulatedRestartOfTheServer(t *testing.T) {
	opts := &fssharetest.NFSOptions{Lease: 10 * time.Second}
	virtually(t, "a living holder keeps its lock", opts, func(t *testing.T, s simulated) {
		l := acquire(t, s.a, nil)
		s.server.Stop()
		s.server.Start()
		start := time.Now()
		require.NoError(t, l.Commit(t.Context(), []byte("after")))
		require.Zero(t, time.Since(start))
		_, err := s.b.Acquire(t.Context(), "lock", &fsshare.LockOptions{Try: true})
		require.ErrorIs(t, err, fsshare.ErrConflict)
		require.Equal(t, 10*time.Second, time.Since(start), "a Try is answered when the grace has ended")
		require.NoError(t, l.Unlock())
	})
	virtually(t, "a holder that missed the grace is fenced", opts, func(t *testing.T, s simulated) {
		l := acquire(t, s.a, nil)
		s.server.Stop()
		s.clients[0].Cut()
		s.server.Start()
		s.server.EndGrace()
		next := acquire(t, s.b, nil)
		require.NoError(t, next.Commit(t.Context(), []byte("next")))
		require.NoError(t, l.Context().Err(), "the documented exception: it cannot know yet")
		s.clients[0].Mend()
		require.ErrorIs(t, l.Commit(t.Context(), []byte("stale")), fsshare.ErrLost)
		require.Equal(t, "next", dataOf(t, s.b))
		require.NoError(t, next.Unlock())
	})
}

// What the code would do wrong if it did otherwise than it does. If one of these
// passes, the simulation is better than NFS.
func TestTheSimulatedNFSIsWrongInTheSameWays(t *testing.T) {
	type files struct {
		s     simulated
		roots [2]kernel.Root
	}
	on := func(name string, opts *fssharetest.NFSOptions, check func(t *testing.T, f files)) {
		virtually(t, name, opts, func(t *testing.T, s simulated) {
			f := files{s: s}
			for i, c := range s.clients {
				root, _, err := c.Open(fssharetest.NFSDir)
				require.NoError(t, err)
				f.roots[i] = root
			}
			check(t, f)
		})
	}
	readPlain := func(t *testing.T, root kernel.Root, name string) string {
		t.Helper()
		f, err := root.Open(name)
		require.NoError(t, err)
		defer f.Close()
		b := make([]byte, 100)
		n, _ := f.ReadAt(b, 0)
		return string(b[:n])
	}
	on("a replaced file is read as it was while the old one is open anywhere", nil, func(t *testing.T, f files) {
		writeOn(t, f.s.a, "file", "old")
		require.Equal(t, "old", readPlain(t, f.roots[1], "file"))
		kept, err := f.roots[1].Open("file")
		require.NoError(t, err)
		writeOn(t, f.s.a, "file", "new")
		replaced := time.Now()
		require.Equal(t, "old", readPlain(t, f.roots[1], "file"))
		data, err := fs.ReadFile(f.s.b.FS(t.Context()), "file")
		require.NoError(t, err)
		require.Equal(t, "new", string(data), "the share asks for the directory first")
		writeOn(t, f.s.a, "file", "newer")
		require.NoError(t, kept.Close())
		for readPlain(t, f.roots[1], "file") != "newer" {
			time.Sleep(200 * time.Millisecond)
		}
		require.LessOrEqual(t, time.Since(replaced), 60*time.Second)
	})
	on("a replaced file that nobody has open is read fresh", nil, func(t *testing.T, f files) {
		writeOn(t, f.s.a, "file", "old")
		require.Equal(t, "old", readPlain(t, f.roots[1], "file"))
		writeOn(t, f.s.a, "file", "new")
		require.Equal(t, "new", readPlain(t, f.roots[1], "file"))
	})
	on("a name that was absent stays absent for half a minute", nil, func(t *testing.T, f files) {
		_, err := f.roots[1].Lstat("flag")
		require.ErrorIs(t, err, fs.ErrNotExist)
		writeOn(t, f.s.a, "flag", "x")
		start := time.Now()
		for {
			if _, err = f.roots[1].Lstat("flag"); err == nil {
				break
			}
			time.Sleep(200 * time.Millisecond)
		}
		require.Greater(t, time.Since(start), 10*time.Second)
		require.LessOrEqual(t, time.Since(start), 60*time.Second)
	})
	on("a kept descriptor shows what was overwritten when its attributes are old", nil, func(t *testing.T, f files) {
		writeOn(t, f.s.a, "file", "old")
		kept, err := f.roots[1].OpenFile("file", os.O_RDONLY, 0)
		require.NoError(t, err)
		b := make([]byte, 3)
		_, err = kept.ReadAt(b, 0)
		require.NoError(t, err)
		w, err := f.roots[0].OpenFile("file", os.O_RDWR, 0)
		require.NoError(t, err)
		_, err = w.WriteAt([]byte("new"), 0)
		require.NoError(t, err)
		require.Equal(t, "old", string(f.s.server.Truth("file")), "not sent before it is synced")
		require.NoError(t, w.Close())
		require.Equal(t, "new", string(f.s.server.Truth("file")))
		_, err = kept.ReadAt(b, 0)
		require.NoError(t, err)
		require.Equal(t, "old", string(b))
		time.Sleep(time.Minute)
		_, err = kept.ReadAt(b, 0)
		require.NoError(t, err)
		require.Equal(t, "new", string(b))
	})
	on("opening a file does not renew its data while a program of the same machine may write to it", nil, func(t *testing.T, f files) {
		writeOn(t, f.s.a, "file", "old")
		writer, err := f.roots[1].OpenFile("file", os.O_RDWR, 0)
		require.NoError(t, err)
		require.Equal(t, "old", readPlain(t, f.roots[1], "file"))
		w, err := f.roots[0].OpenFile("file", os.O_RDWR, 0)
		require.NoError(t, err)
		_, err = w.WriteAt([]byte("new"), 0)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		require.Equal(t, "old", readPlain(t, f.roots[1], "file"))
		data, err := fs.ReadFile(f.s.b.FS(t.Context()), "file")
		require.NoError(t, err)
		require.Equal(t, "new", string(data), "the share has the kernel forget it")
		require.NoError(t, writer.Close())
	})
	on("a file in use that its own client removes keeps a name", nil, func(t *testing.T, f files) {
		writeOn(t, f.s.a, "dir/file", "x")
		kept, err := f.roots[0].Open("dir/file")
		require.NoError(t, err)
		require.NoError(t, f.roots[0].Remove("dir/file"))
		require.ErrorIs(t, f.roots[0].Remove("dir"), syscall.ENOTEMPTY)
		require.NoError(t, kept.Close())
		require.NoError(t, f.roots[0].Remove("dir"))
	})
	on("a stale holder's rename and its writes elsewhere pass, and so does a write after its unlock", &fssharetest.NFSOptions{Lease: 10 * time.Second}, func(t *testing.T, f files) {
		open := func(i int) kernel.File {
			h, err := f.roots[i].OpenFile("locked", os.O_RDWR|os.O_CREATE, 0o666)
			require.NoError(t, err)
			return h
		}
		mine, other := open(0), open(1)
		busy, err := mine.LockByte(kernel.Exclusive, 1<<62)
		require.NoError(t, err)
		require.False(t, busy)
		f.s.clients[0].Expire()
		busy, err = other.LockByte(kernel.Exclusive, 1<<62)
		require.NoError(t, err)
		require.False(t, busy)
		_, err = mine.WriteAt([]byte("S"), 0)
		require.NoError(t, err, "the client's own memory takes it")
		require.ErrorIs(t, mine.Sync(), syscall.EIO)
		writeOn(t, f.s.a, "elsewhere", "stale")
		require.NoError(t, f.roots[0].Rename("elsewhere", "pointer"))
		_, err = mine.LockByte(kernel.None, 1<<62)
		require.NoError(t, err)
		_, err = mine.WriteAt([]byte("Q"), 0)
		require.NoError(t, err)
		require.NoError(t, mine.Sync())
		require.Equal(t, "Q", string(f.s.server.Truth("locked")))
	})
	on("a full disk shows when the file is synced or closed", &fssharetest.NFSOptions{Size: 1 << 20}, func(t *testing.T, f files) {
		for i, end := range []func(kernel.File) error{kernel.File.Sync, kernel.File.Close} {
			h, err := f.roots[0].OpenFile(fmt.Sprint("big", i), os.O_WRONLY|os.O_CREATE, 0o666)
			require.NoError(t, err)
			_, err = h.Write(make([]byte, 2<<20))
			require.NoError(t, err)
			require.ErrorIs(t, end(h), syscall.ENOSPC)
		}
	})
}

func TestSimulatedWritesThatFailLate(t *testing.T) {
	virtually(t, "a full disk leaves nothing half-written", &fssharetest.NFSOptions{Size: 1 << 20}, func(t *testing.T, s simulated) {
		writeOn(t, s.a, "file", "old")
		_, err := s.a.WriteFile(t.Context(), "file", strings.NewReader(strings.Repeat("x", 2<<20)), nil)
		require.ErrorIs(t, err, fsshare.ErrThrottled)
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.Equal(t, "old", string(s.server.Truth("file")))
		require.Equal(t, []string{"file"}, namesOn(t, s.clients[1]))
		writeOn(t, s.a, "file", "new")
	})
	for _, errno := range []syscall.Errno{syscall.EDQUOT, syscall.EIO, syscall.ENOSPC} {
		virtually(t, "writes refused with "+errno.Error(), nil, func(t *testing.T, s simulated) {
			writeOn(t, s.a, "file", "old")
			l := acquire(t, s.a, nil)
			require.NoError(t, l.Commit(t.Context(), []byte("old")))
			s.server.Refuse(errno)
			_, err := s.a.WriteFile(t.Context(), "file", strings.NewReader("new"), nil)
			require.ErrorIs(t, err, errno)
			require.ErrorIs(t, s.a.Append(t.Context(), "file", []byte("new")), errno)
			err = l.Commit(t.Context(), []byte("new"))
			require.ErrorIs(t, err, errno)
			require.Equal(t, errno == syscall.EIO, errors.Is(err, fsshare.ErrLost), "only EIO can be a loss")
			s.server.Refuse(0)
			require.Equal(t, "old", string(s.server.Truth("file")))
			require.Equal(t, "old", dataOf(t, s.b))
		})
	}
	virtually(t, "a quota of locks", &fssharetest.NFSOptions{LocksPerFile: 3}, func(t *testing.T, s simulated) {
		for range 2 {
			acquire(t, s.a, &fsshare.LockOptions{Shared: true})
		}
		_, err := s.b.Acquire(t.Context(), "lock", &fsshare.LockOptions{Shared: true})
		require.ErrorIs(t, err, efsshare.ErrLockQuota)
		require.ErrorIs(t, err, fsshare.ErrThrottled)
		require.ErrorIs(t, err, syscall.EDQUOT)
	})
}

func TestSimulatedAnswersThatAreLost(t *testing.T) {
	for name, do := range map[string]func(t *testing.T, share *efsshare.Share) error{
		"to a rename": func(t *testing.T, share *efsshare.Share) error {
			_, err := share.WriteFile(t.Context(), "file", strings.NewReader("new"), nil)
			return err
		},
		"to a link": func(t *testing.T, share *efsshare.Share) error {
			_, err := share.WriteFile(t.Context(), "other", strings.NewReader("new"), &fsshare.WriteOptions{MustMake: true})
			return err
		},
		"to a removal": func(t *testing.T, share *efsshare.Share) error { return share.Remove(t.Context(), "file") },
	} {
		virtually(t, name, nil, func(t *testing.T, s simulated) {
			writeOn(t, s.a, "file", "old")
			s.clients[0].LoseAnswer()
			require.NoError(t, do(t, s.a))
			switch names := namesOn(t, s.clients[1]); name {
			case "to a rename":
				require.Equal(t, "new", string(s.server.Truth("file")))
				require.Equal(t, []string{"file"}, names)
			case "to a link":
				require.Equal(t, "new", string(s.server.Truth("other")))
				require.Equal(t, []string{"file", "other"}, names)
			default:
				require.Empty(t, names)
			}
		})
	}
}

// namesOn is what is in the root, also what a share does not list.
func namesOn(t *testing.T, client *fssharetest.NFSClient) []string {
	t.Helper()
	root, _, err := client.Open(fssharetest.NFSDir)
	require.NoError(t, err)
	dir, err := root.Open(".")
	require.NoError(t, err)
	names, err := dir.Readdirnames(-1)
	require.NoError(t, err)
	return names
}

func TestSimulatedMountForReadingOnly(t *testing.T) {
	virtually(t, "files", nil, func(t *testing.T, s simulated) {
		writeOn(t, s.a, "file", "old")
		s.clients[1].ReadOnly(true)
		_, err := s.b.WriteFile(t.Context(), "file", strings.NewReader("new"), nil)
		require.ErrorIs(t, err, fsshare.ErrDenied)
		require.ErrorIs(t, err, syscall.EROFS)
		require.ErrorIs(t, s.b.Remove(t.Context(), "file"), fsshare.ErrDenied)
		require.ErrorIs(t, s.b.Append(t.Context(), "file", []byte("new")), fsshare.ErrDenied)
		_, err = s.b.Lock(t.Context(), "lock", nil)
		require.ErrorIs(t, err, fsshare.ErrDenied)
		writeOn(t, s.a, "file", "new")
		data, err := fs.ReadFile(s.b.FS(t.Context()), "file")
		require.NoError(t, err)
		require.Equal(t, "new", string(data))
	})
}

func TestSimulatedSharedLockOnAMountForReadingOnly(t *testing.T) {
	opts := &fssharetest.NFSOptions{Lease: 10 * time.Second}
	shared := &fsshare.LockOptions{Shared: true}
	virtually(t, "keeps writers out, and waits behind one", opts, func(t *testing.T, s simulated) {
		first := acquire(t, s.a, nil)
		require.NoError(t, first.Unlock())
		s.clients[1].ReadOnly(true)
		l := acquire(t, s.b, shared)
		require.Equal(t, first.Token(), l.Token())
		_, err := s.a.Lock(t.Context(), "lock", &fsshare.LockOptions{Try: true})
		require.ErrorIs(t, err, fsshare.ErrConflict)
		writer := waitOn(t, s.a)
		time.Sleep(time.Second)
		_, err = s.b.Lock(t.Context(), "lock", &fsshare.LockOptions{Shared: true, Try: true})
		require.ErrorIs(t, err, fsshare.ErrConflict, "a reader passed a writer that waits")
		time.Sleep(time.Minute) // its heartbeats, which are reads, keep it
		require.NoError(t, l.Check(t.Context()))
		require.ErrorIs(t, l.Upgrade(t.Context()), fsshare.ErrDenied)
		require.ErrorIs(t, l.Commit(t.Context(), nil), fsshare.ErrInvalid)
		require.NoError(t, l.Unlock())
		got := <-writer
		require.NoError(t, got.err)
		require.NoError(t, got.lock.Unlock())
	})
	virtually(t, "is lost as others are", opts, func(t *testing.T, s simulated) {
		require.NoError(t, acquire(t, s.a, nil).Unlock())
		s.clients[1].ReadOnly(true)
		l := acquire(t, s.b, shared)
		s.clients[1].Expire()
		next := acquire(t, s.a, nil)
		require.ErrorIs(t, l.Check(t.Context()), fsshare.ErrLost)
		require.NoError(t, next.Unlock())
		l = acquire(t, s.b, shared)
		s.clients[1].Cut()
		<-l.Context().Done()
		require.ErrorIs(t, context.Cause(l.Context()), fsshare.ErrLost)
		require.Less(t, time.Now(), l.SafeUntil())
		s.clients[1].Mend()
		require.ErrorIs(t, l.Unlock(), fsshare.ErrLost)
	})
}

func TestSimulatedHangs(t *testing.T) {
	virtually(t, "a call returns by its deadline, and then at once", nil, func(t *testing.T, s simulated) {
		writeOn(t, s.a, "file", "x")
		s.clients[0].Cut()
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				start := time.Now()
				var err error
				switch i % 4 {
				case 0:
					_, err = fs.ReadFile(s.a.FS(ctx), "file")
				case 1:
					_, err = s.a.WriteFile(ctx, "file", strings.NewReader("y"), nil)
				case 2:
					_, err = s.a.Acquire(ctx, "lock", nil)
				default:
					err = s.a.Append(ctx, "log", []byte("y"))
				}
				if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, fsshare.ErrHung) || time.Since(start) > 4*time.Second {
					t.Errorf("%v after %v", err, time.Since(start))
				}
			})
		}
		wg.Wait()
		h, err := s.a.Health()
		require.NoError(t, err)
		require.False(t, h.Open)
		require.LessOrEqual(t, h.Hanging, 16)
		start := time.Now()
		_, err = s.a.Inspect(t.Context(), "lock")
		require.ErrorIs(t, err, fsshare.ErrHung)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Zero(t, time.Since(start))
		require.ErrorIs(t, s.a.Probe(short), fsshare.ErrHung)
		s.clients[0].Mend()
		time.Sleep(time.Second)
		h, err = s.a.Health()
		require.NoError(t, err)
		require.True(t, h.Open)
		require.NoError(t, s.a.Probe(t.Context()))
	})
}
