package fsshare_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/fssharetest"
)

func inMemory(*testing.T) (a, b fsshare.Share) {
	var share fsshare.InMemory
	return &share, &share
}

func TestInMemory(t *testing.T) {
	fssharetest.Run(t, inMemory, &fssharetest.Options{
		Lose:  func(_ *testing.T, _ fsshare.Share, lock fsshare.Lock) { fsshare.Lose(lock) },
		Every: time.Millisecond,
		Hold:  time.Millisecond,
	})
}

func FuzzInMemory(f *testing.F) { fssharetest.Fuzz(f, inMemory) }

func BenchmarkInMemory(b *testing.B) {
	fssharetest.Bench(b, func(*testing.B) fsshare.Share { return &fsshare.InMemory{} })
}

func TestInMemoryServesLocksInTheOrderAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var share fsshare.InMemory
		first, err := share.Lock(t.Context(), "lock", nil)
		require.NoError(t, err)
		start := time.Now()
		var served []string
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i, kind := range "xssxxsx" {
			wg.Go(func() {
				l, err := share.Lock(t.Context(), "lock", &fsshare.LockOptions{Shared: kind == 's'})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				served = append(served, fmt.Sprintf("%d:%c%d", int(time.Since(start).Seconds()), kind, i))
				mu.Unlock()
				time.Sleep(time.Second)
				if err := l.Unlock(); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		require.NoError(t, first.Unlock())
		wg.Wait()
		// The two shared locks that were asked for together are held together.
		if served[1] > served[2] {
			served[1], served[2] = served[2], served[1]
		}
		require.Equal(t, []string{"0:x0", "1:s1", "1:s2", "2:x3", "3:x4", "4:s5", "5:x6"}, served)
	})
}

// A bubble with a goroutine left in it fails: this is the test that none is.
func TestInMemoryLeavesNothingRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var share fsshare.InMemory
		l, err := share.Lock(t.Context(), "lock", nil)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err = share.Lock(ctx, "lock", nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		fsshare.Lose(l)
		require.ErrorIs(t, context.Cause(l.Context()), fsshare.ErrLost)
		for range share.Watch(t.Context(), fsshare.Target{Lock: "lock"}, nil) {
			break
		}
	})
}

func TestInMemoryLooksAsOftenAsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var share fsshare.InMemory
		start := time.Now()
		time.AfterFunc(time.Second, func() {
			_, err := share.WriteFile(context.WithoutCancel(t.Context()), "file", strings.NewReader("x"), nil)
			if err != nil {
				t.Error(err)
			}
		})
		var seen []time.Duration
		for _, err := range share.Watch(t.Context(), fsshare.Target{File: "file"}, nil) {
			require.NoError(t, err)
			if seen = append(seen, time.Since(start)); len(seen) == 2 {
				break
			}
		}
		require.Equal(t, []time.Duration{0, fsshare.DefaultEvery}, seen)
	})
}

func TestSnapshotAndRestoreBringBackEverythingButWhoHoldsWhat(t *testing.T) {
	var one, two fsshare.InMemory
	ctx := t.Context()
	_, err := one.WriteFile(ctx, "bin/run", strings.NewReader("#!"), &fsshare.WriteOptions{Mode: 0o755})
	require.NoError(t, err)
	_, err = one.WriteFile(ctx, "gone/file", strings.NewReader(""), nil)
	require.NoError(t, err)
	require.NoError(t, one.Remove(ctx, "gone/file"))
	for _, data := range [][]byte{{}, []byte("\x00\xff")} {
		l, err := one.Lock(ctx, fmt.Sprint("lock", len(data)), &fsshare.LockOptions{Purpose: "why"})
		require.NoError(t, err)
		require.NoError(t, l.Commit(ctx, data))
	}
	plain, err := one.Lock(ctx, "plain", nil)
	require.NoError(t, err)
	require.NoError(t, plain.Unlock())

	var buf bytes.Buffer
	require.NoError(t, one.Snapshot(&buf))
	require.NoError(t, two.Restore(bytes.NewReader(buf.Bytes())))

	for _, name := range []string{"bin/run", "gone", "bin"} {
		want, err := fs.Stat(one.FS(ctx), name)
		require.NoError(t, err)
		got, err := fs.Stat(two.FS(ctx), name)
		require.NoError(t, err)
		require.Equal(t, want.Mode(), got.Mode())
		require.Equal(t, want.Size(), got.Size())
		require.True(t, want.ModTime().Equal(got.ModTime()))
	}
	for _, lock := range []string{"lock0", "lock2", "plain", "never"} {
		want, err := one.Inspect(ctx, lock)
		require.NoError(t, err)
		got, err := two.Inspect(ctx, lock)
		require.NoError(t, err)
		want.Held = false
		require.Equal(t, want, got)
	}
	l, err := two.Lock(ctx, "lock2", nil)
	require.NoError(t, err)
	require.EqualValues(t, 2, l.Token())
	require.NoError(t, l.Unlock())
	info, err := two.WriteFile(ctx, "bin/run", strings.NewReader("x"), &fsshare.WriteOptions{MustMake: true})
	require.ErrorIs(t, err, fsshare.ErrConflict)
	require.Zero(t, info)
}

func TestRestoreIsRefusedWhileALockIsHeld(t *testing.T) {
	var one, two fsshare.InMemory
	var buf bytes.Buffer
	require.NoError(t, one.Snapshot(&buf))
	_, err := two.WriteFile(t.Context(), "file", strings.NewReader("kept"), nil)
	require.NoError(t, err)
	l, err := two.Lock(t.Context(), "lock", &fsshare.LockOptions{Shared: true})
	require.NoError(t, err)
	require.ErrorIs(t, two.Restore(bytes.NewReader(buf.Bytes())), fsshare.ErrConflict)
	_, err = fs.Stat(two.FS(t.Context()), "file")
	require.NoError(t, err)
	require.NoError(t, l.Unlock())
	require.NoError(t, two.Restore(bytes.NewReader(buf.Bytes())))
	_, err = fs.Stat(two.FS(t.Context()), "file")
	require.ErrorIs(t, err, fsshare.ErrNotFound)
}

func TestTokensNeverGoBackOverARestore(t *testing.T) {
	var share fsshare.InMemory
	var buf bytes.Buffer
	take := func(lock string) uint64 {
		l, err := share.Lock(t.Context(), lock, nil)
		require.NoError(t, err)
		require.NoError(t, l.Commit(t.Context(), []byte("data")))
		require.NoError(t, l.Unlock())
		return l.Token()
	}
	take("lock")
	require.NoError(t, share.Snapshot(&buf))
	take("lock")
	take("new")
	require.NoError(t, share.Restore(&buf))
	require.EqualValues(t, 3, take("lock"))
	status, err := share.Inspect(t.Context(), "new")
	require.NoError(t, err)
	require.Equal(t, fsshare.Status{Token: 1}, status)
	require.EqualValues(t, 2, take("new"))
}

func TestACutOrChangedSnapshotIsCorruptAndChangesNothing(t *testing.T) {
	var share, other fsshare.InMemory
	_, err := share.WriteFile(t.Context(), "d/file", strings.NewReader("old"), nil)
	require.NoError(t, err)
	_, err = other.WriteFile(t.Context(), "e/file", strings.NewReader("new"), nil)
	require.NoError(t, err)
	var buf bytes.Buffer
	require.NoError(t, other.Snapshot(&buf))
	whole := buf.Bytes()
	for i := range whole {
		require.ErrorIs(t, share.Restore(bytes.NewReader(whole[:i])), fsshare.ErrCorrupt)
		changed := bytes.Clone(whole)
		changed[i] ^= 1
		require.ErrorIs(t, share.Restore(bytes.NewReader(changed)), fsshare.ErrCorrupt)
	}
	require.ErrorIs(t, share.Restore(bytes.NewReader(append(whole, ' '))), fsshare.ErrCorrupt)
	boom := fmt.Errorf("boom")
	require.ErrorIs(t, share.Restore(iotest.ErrReader(boom)), boom)
	data, err := fs.ReadFile(share.FS(t.Context()), "d/file")
	require.NoError(t, err)
	require.Equal(t, "old", string(data))
}

func TestASnapshotThatBreaksARuleIsCorrupt(t *testing.T) {
	root := `{"name":".","mode":2147484141,"modified":"2026-01-02T03:04:05Z"}`
	for what, body := range map[string]string{
		"no JSON":             `{`,
		"two values":          `{"nodes":[],"locks":[]}{}`,
		"unknown field":       `{"nodes":[],"locks":[],"more":1}`,
		"no root":             `{"nodes":[{"name":"a","mode":420}],"locks":[]}`,
		"root is a file":      `{"nodes":[{"name":".","mode":420}],"locks":[]}`,
		"root twice":          `{"nodes":[` + root + `,` + root + `],"locks":[]}`,
		"escaping":            `{"nodes":[` + root + `,{"name":"../a","mode":420}],"locks":[]}`,
		"the share's own":     `{"nodes":[` + root + `,{"name":".fsshare","mode":420}],"locks":[]}`,
		"a file twice":        `{"nodes":[` + root + `,{"name":"a","mode":420},{"name":"a","mode":420}],"locks":[]}`,
		"below a file":        `{"nodes":[` + root + `,{"name":"a","mode":420},{"name":"a/b","mode":420}],"locks":[]}`,
		"below nothing":       `{"nodes":[` + root + `,{"name":"a/b","mode":420}],"locks":[]}`,
		"a symbolic link":     `{"nodes":[` + root + `,{"name":"a","mode":134218239}],"locks":[]}`,
		"directory with data": `{"nodes":[` + root + `,{"name":"a","mode":2147484141,"data":"YQ=="}],"locks":[]}`,
		"lock without a name": `{"nodes":[],"locks":[{"name":"","token":1}]}`,
		"lock twice":          `{"nodes":[],"locks":[{"name":"a","token":1},{"name":"a","token":2}]}`,
		"lock never taken":    `{"nodes":[],"locks":[{"name":"a","token":0}]}`,
		"data not committed":  `{"nodes":[],"locks":[{"name":"a","token":1,"data":"YQ=="}]}`,
		"too much data":       `{"nodes":[],"locks":[{"name":"a","token":1,"committed":true,"data":"` + strings.Repeat("YWFh", 150) + `"}]}`,
	} {
		var share fsshare.InMemory
		require.ErrorIs(t, share.Restore(bytes.NewReader(fsshare.Seal([]byte(body)))), fsshare.ErrCorrupt, what)
	}
	var share fsshare.InMemory
	body := `{"nodes":[` + root + `,{"name":"a","mode":420,"modified":"2026-01-02T03:04:05Z","data":"YQ=="}],"locks":[{"name":"a","token":7}]}`
	require.NoError(t, share.Restore(bytes.NewReader(fsshare.Seal([]byte(body)))), "the base of the above")
}

// FuzzRestore restores any bytes, bare and with a true checksum. What is accepted is
// a share: its snapshot restores to the same snapshot, and its names are valid.
func FuzzRestore(f *testing.F) {
	var share fsshare.InMemory
	_, err := share.WriteFile(f.Context(), "d/file", strings.NewReader("x"), nil)
	require.NoError(f, err)
	l, err := share.Lock(f.Context(), "lock", nil)
	require.NoError(f, err)
	require.NoError(f, l.Commit(f.Context(), []byte("data")))
	var buf bytes.Buffer
	require.NoError(f, share.Snapshot(&buf))
	f.Add(buf.Bytes())
	f.Add(buf.Bytes()[bytes.IndexByte(buf.Bytes(), '{'):])
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, data := range [][]byte{data, fsshare.Seal(data)} {
			var one, two fsshare.InMemory
			if err := one.Restore(bytes.NewReader(data)); err != nil {
				require.ErrorIs(t, err, fsshare.ErrCorrupt)
				continue
			}
			var first, second bytes.Buffer
			require.NoError(t, one.Snapshot(&first))
			require.NoError(t, two.Restore(bytes.NewReader(first.Bytes())))
			require.NoError(t, two.Snapshot(&second))
			require.Equal(t, first.String(), second.String())
			require.NoError(t, fs.WalkDir(one.FS(t.Context()), ".", func(name string, _ fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				return fsshare.ValidateName(name)
			}))
		}
	})
}
