package efsshare_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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

func put(t *testing.T, s *efsshare.Share, name, data string) {
	t.Helper()
	_, err := s.WriteFile(t.Context(), name, strings.NewReader(data), nil)
	require.NoError(t, err)
}

// The file that is replaced is open elsewhere, which keeps a plain open at what it
// was for half a minute and more.
func TestNFSAReplacedFileIsReadFreshWhileTheOldOneIsOpen(t *testing.T) {
	a, b, clients := twoClients(t)
	const name, rounds, soon = "config", 10, 500 * time.Millisecond
	put(t, a, name, "0")
	plain := filepath.Join(clients[1].Dir, name)
	stale := 0
	for i := range rounds {
		old, err := os.Open(plain)
		require.NoError(t, err)
		defer old.Close()
		_, err = os.Stat(plain)
		require.NoError(t, err)
		want := strconv.Itoa(i + 1)
		wait(t.Context(), tick)
		put(t, a, name, want)
		replaced := time.Now()
		if data, err := os.ReadFile(plain); err != nil || string(data) != want {
			stale++
		}
		data, err := fs.ReadFile(b.FS(t.Context()), name)
		require.NoError(t, err)
		require.Equal(t, want, string(data))
		require.Less(t, time.Since(replaced), soon)
	}
	t.Logf("plain reads that were stale: %d of %d; reads through the share: 0", stale, rounds)
	require.NotZero(t, stale, "the trap was not there, so this shows nothing")
}

func TestNFSWatchSeesAReplacedFileWhileTheOldOneIsOpen(t *testing.T) {
	a, b, clients := twoClients(t)
	const name, rounds, every, soon = "config", 10, 200 * time.Millisecond, 500 * time.Millisecond
	put(t, a, name, "0")
	old, err := os.Open(filepath.Join(clients[1].Dir, name))
	require.NoError(t, err)
	defer old.Close()
	seen := 0
	var replaced time.Time
	var latest time.Duration
	var writing sync.WaitGroup
	for event, err := range b.Watch(t.Context(), fsshare.Target{File: name}, &fsshare.WatchOptions{Every: every}) {
		require.NoError(t, err)
		require.Equal(t, sha256.Sum256([]byte(strconv.Itoa(seen))), event.Info.SHA256)
		writing.Wait()
		if seen > 0 {
			latest = max(latest, time.Since(replaced))
		}
		if seen++; seen > rounds {
			break
		}
		writing.Go(func() {
			wait(t.Context(), 70*time.Millisecond)
			_, err := a.WriteFile(t.Context(), name, strings.NewReader(strconv.Itoa(seen)), nil)
			if err != nil {
				t.Error(err)
			}
			replaced = time.Now()
		})
	}
	t.Logf("seen after at most %v", latest.Round(time.Millisecond))
	require.Less(t, latest, every+soon)
}

func TestNFSNoReadIsTornUnderAHotWriter(t *testing.T) {
	a, b, _ := twoClients(t)
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	content := func(i int) string { return strings.Repeat(string(rune('a'+i%26)), 20_000+i%3*10_000) }
	put(t, a, "file", content(0))
	writes := 0
	var wg sync.WaitGroup
	wg.Go(func() {
		for ; ctx.Err() == nil; writes++ {
			_, err := a.WriteFile(ctx, "file", strings.NewReader(content(writes)), nil)
			if err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	})
	// One reader on each client: the writer's own client has the file open when it is
	// replaced, and has to put the old one aside first.
	var reads, torn [2]int
	for i, s := range []*efsshare.Share{a, b} {
		wg.Go(func() {
			for ; ctx.Err() == nil; reads[i]++ {
				data, err := fs.ReadFile(s.FS(ctx), "file")
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					t.Errorf("a read of client %d: %v", i+1, err)
					return
				}
				if len(data) == 0 || len(data)%10_000 != 0 || len(bytes.Trim(data, string(data[:1]))) != 0 {
					torn[i]++
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d writes, %v reads", writes, reads)
	require.Zero(t, torn, "torn reads")
	require.Greater(t, min(reads[0], reads[1]), 30)
	require.Greater(t, writes, 10)
}

// threads is how many of this process's threads are in calls that nothing interrupts.
func threads(t *testing.T) int {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/stat")
	require.NoError(t, err)
	n := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if _, state, ok := strings.Cut(string(text), ") "); err == nil && ok && strings.HasPrefix(state, "D") {
			n++
		}
	}
	return n
}

func TestNFSAMountThatHangsHangsNoCaller(t *testing.T) {
	clients := nfsClients(t)
	s, err := efsshare.Open(t.Context(), clients[0].Dir, &efsshare.Options{Timeout: 4 * time.Second})
	require.NoError(t, err)
	defer s.Close()
	put(t, s, "file", "x")
	held, err := s.Acquire(t.Context(), "held", nil)
	require.NoError(t, err)
	reader, err := s.Acquire(t.Context(), "shared", &fsshare.LockOptions{Shared: true})
	require.NoError(t, err)
	before := threads(t)
	require.NoError(t, clients[0].Cut())
	const each, deadline, late = 4, time.Second, 500 * time.Millisecond
	var wg sync.WaitGroup
	for name, call := range map[string]func(ctx context.Context) error{
		"read": func(ctx context.Context) error { _, err := fs.ReadFile(s.FS(ctx), "file"); return err },
		"stat": func(ctx context.Context) error { _, err := fs.Stat(s.FS(ctx), "file"); return err },
		"list": func(ctx context.Context) error { _, err := fs.ReadDir(s.FS(ctx), "."); return err },
		"write": func(ctx context.Context) error {
			_, err := s.WriteFile(ctx, "file", strings.NewReader("y"), nil)
			return err
		},
		"remove":    func(ctx context.Context) error { return s.Remove(ctx, "absent") },
		"append":    func(ctx context.Context) error { return s.Append(ctx, "log", []byte("y")) },
		"sub":       func(ctx context.Context) error { _, err := s.Sub(ctx, "tenant"); return err },
		"lock":      func(ctx context.Context) error { _, err := s.Acquire(ctx, "lock", nil); return err },
		"inspect":   func(ctx context.Context) error { _, err := s.Inspect(ctx, "lock"); return err },
		"check":     held.Check,
		"commit":    func(ctx context.Context) error { return held.Commit(ctx, []byte("y")) },
		"downgrade": held.Downgrade,
		"upgrade":   reader.Upgrade,
		"probe":     s.Probe,
		"watch": func(ctx context.Context) error {
			for _, err := range s.Watch(ctx, fsshare.Target{File: "file"}, nil) {
				return err
			}
			return nil
		},
	} {
		for range each {
			wg.Go(func() {
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				defer cancel()
				err := call(ctx)
				if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, fsshare.ErrHung) {
					t.Errorf("%s: %v, want the deadline or ErrHung", name, err)
				}
				if took := time.Since(start); took > deadline+late {
					t.Errorf("%s returned after %v", name, took)
				}
			})
		}
	}
	wg.Wait()
	hung := threads(t) - before
	t.Logf("%d threads more than before the cut", hung)
	require.LessOrEqual(t, hung, 16, "threads that are kept")
	require.Eventually(t, func() bool { h, err := s.Health(); return err == nil && h.Hanging >= 8 }, 5*time.Second, 50*time.Millisecond)
	health, err := s.Health()
	require.NoError(t, err)
	t.Logf("%+v", health)
	require.LessOrEqual(t, health.Hanging, 16, "threads that hang")
	require.False(t, health.Open)

	start := time.Now()
	_, err = s.Inspect(t.Context(), "lock") // without a deadline of its own
	require.ErrorIs(t, err, fsshare.ErrHung)
	require.Less(t, time.Since(start), 100*time.Millisecond, "the circuit is open")
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	start = time.Now()
	require.ErrorIs(t, s.Probe(short), fsshare.ErrHung)
	require.Less(t, time.Since(start), 2500*time.Millisecond)
	report, err := s.Doctor(t.Context(), nil)
	require.NoError(t, err)
	require.True(t, slices.ContainsFunc(report.Findings, func(f efsshare.Finding) bool { return f.Check == "hanging" }))
	_, err = efsshare.Open(t.Context(), clients[0].Dir, &efsshare.Options{Timeout: time.Second})
	require.ErrorIs(t, err, fsshare.ErrHung)

	start = time.Now()
	require.ErrorIs(t, held.Unlock(), fsshare.ErrLost)
	require.Less(t, time.Since(start), 11*time.Second, "an Unlock takes no longer than the lease")
	require.NoError(t, clients[0].Mend())
	require.Eventually(t, func() bool { h, err := s.Health(); return err == nil && h.Hanging == 0 && h.Open }, 30*time.Second, 100*time.Millisecond)
	require.NoError(t, s.Probe(t.Context()))
	data, err := fs.ReadFile(s.FS(t.Context()), "file")
	require.NoError(t, err)
	require.Contains(t, []string{"x", "y"}, string(data))
}

// The heartbeat that is under way is what a new process waits for.
func TestNFSAProbeBesideALockOnAMountThatHangsReturnsByItsDeadline(t *testing.T) {
	a, _, clients := twoClients(t)
	l, err := a.Acquire(t.Context(), "lock", nil)
	require.NoError(t, err)
	require.NoError(t, clients[0].Cut())
	for range 2 {
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, l.Check(short), context.DeadlineExceeded)
		start := time.Now()
		again, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, a.Probe(again), fsshare.ErrHung)
		require.Less(t, time.Since(start), 2500*time.Millisecond)
	}
	require.NoError(t, clients[0].Mend())
	require.NoError(t, l.Unlock())
	require.Eventually(t, func() bool { return a.Probe(t.Context()) == nil }, 30*time.Second, 100*time.Millisecond)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestNFSAFullDiskLeavesNothingHalfWritten(t *testing.T) {
	a, b, clients := twoClients(t)
	put(t, a, "file", "old")
	big := io.LimitReader(zeros{}, 300<<20) // the export has 256 MiB
	_, err := a.WriteFile(t.Context(), "file", big, nil)
	require.ErrorIs(t, err, fsshare.ErrThrottled)
	require.ErrorIs(t, err, syscall.ENOSPC)
	data, err := fs.ReadFile(b.FS(t.Context()), "file")
	require.NoError(t, err)
	require.Equal(t, "old", string(data))
	names, err := os.ReadDir(clients[1].Dir)
	require.NoError(t, err)
	require.Len(t, names, 1, "the file that was being written is gone")
	require.Eventually(t, func() bool { // the server takes its time to free what was removed
		_, err := a.WriteFile(t.Context(), "file", strings.NewReader("new"), nil)
		return err == nil
	}, 30*time.Second, 200*time.Millisecond)
}

func TestNFSDoctorKnowsTheMount(t *testing.T) {
	clients := nfsClients(t)
	s := open(t, clients[0].Dir)
	r, err := s.Doctor(t.Context(), &efsshare.DoctorOptions{Probe: true})
	require.NoError(t, err)
	require.Equal(t, efsshare.OtherNFS, r.Kind)
	require.Equal(t, "4.1", r.Mount.Version())
	require.Equal(t, clients[0].Mount, r.Mount.Point)
	require.Equal(t, 10*time.Second, r.Mount.Lease)
	require.Zero(t, r.Mount.Expired)
	for _, f := range r.Findings {
		t.Logf("%+v", f)
		require.NotContains(t, []string{"vers", "soft", "noresvport", "locks", "lease", "hanging"}, f.Check)
	}
	soft := clients[1].MountWith(t, "soft,timeo=20,retrans=1,nosharecache,resvport,lookupcache=none,actimeo=0,rsize=65536,nocto")
	r, err = open(t, soft).Doctor(t.Context(), nil)
	require.NoError(t, err)
	var checks []string
	for _, f := range r.Findings {
		require.NotEmpty(t, f.Remedy)
		checks = append(checks, f.Check)
	}
	require.Subset(t, checks, []string{"soft", "timeo", "noresvport", "noac", "lookupcache", "rsize", "nocto"})
}

func TestNFSAppendsOfTwoClientsAreAllThere(t *testing.T) {
	a, b, _ := twoClients(t)
	const each = 50
	var wg sync.WaitGroup
	for i, s := range []*efsshare.Share{a, b, a, b} {
		wg.Go(func() {
			for j := range each {
				line := strconv.Itoa(i) + ":" + strconv.Itoa(j) + strings.Repeat(".", j) + "\n"
				if err := s.Append(t.Context(), "log", []byte(line)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	data, err := fs.ReadFile(b.FS(t.Context()), "log")
	require.NoError(t, err)
	requireAll(t, string(data), 4, each)
}

// The calls that one lock costs, by the kernel's own count.
func TestNFSTheCostOfALock(t *testing.T) {
	a, _, clients := twoClients(t)
	round := func() {
		l, err := a.Acquire(t.Context(), "lock", nil)
		require.NoError(t, err)
		require.NoError(t, l.Unlock())
	}
	raw := func() { // what a program that uses flock(2) does
		f, err := os.OpenFile(filepath.Join(clients[0].Dir, "raw"), os.O_RDWR|os.O_CREATE, 0o666)
		require.NoError(t, err)
		require.NoError(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
		require.NoError(t, syscall.Flock(int(f.Fd()), syscall.LOCK_UN))
		require.NoError(t, f.Close())
	}
	round()
	raw()
	near, nearRaw := costOf(t, clients[0].Mount, round), costOf(t, clients[0].Mount, raw)
	t.Logf("with a server of no distance: %v, flock %v", near.took, nearRaw.took)
	require.NoError(t, clients[0].Delay(time.Millisecond)) // about what EFS takes
	ours, theirs := costOf(t, clients[0].Mount, round), costOf(t, clients[0].Mount, raw)
	t.Logf("a lock of ours: %v %v", ours.calls, ours.took)
	t.Logf("flock:          %v %v", theirs.calls, theirs.took)
	require.LessOrEqual(t, ours.total, 20)
	require.Less(t, ours.took, 5*theirs.took)
}
