//go:build linux

package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/efsshare"
	"github.com/genaistore/genaistore/internal/nfstest"
)

// What it costs to open, lock, unlock and close without contention, beside
// github.com/gofrs/flock on the same mount.
func TestNFSALockTakesAtMostFiveTimesAsLongAsThatOfGofrsFlock(t *testing.T) {
	clients := nfstest.Clients(t)
	dir := clients[0].Dir
	s, err := efsshare.Open(t.Context(), dir, nil)
	require.NoError(t, err)
	defer s.Close()
	acquire := func(opts *fsshare.LockOptions) func() {
		return func() {
			l, err := s.Acquire(t.Context(), "lock", opts)
			require.NoError(t, err)
			require.NoError(t, l.Unlock())
		}
	}
	ways := map[string]func(){
		"efsshare, exclusive": acquire(nil),
		"efsshare, shared":    acquire(&fsshare.LockOptions{Shared: true}),
		"gofrs/flock": func() {
			l := flock.New(filepath.Join(dir, "gofrs"))
			got, err := l.TryLock()
			require.NoError(t, err)
			require.True(t, got)
			require.NoError(t, l.Unlock())
		},
	}
	for _, distance := range []time.Duration{0, time.Millisecond} {
		require.NoError(t, clients[0].Delay(distance))
		fastest, calls := measure(t, clients[0].Mount, ways)
		for _, name := range slices.Sorted(maps.Keys(ways)) {
			t.Logf("%-4v %-20s %8v %5.1fx %3d calls: %s", distance, name, fastest[name].Round(time.Microsecond),
				float64(fastest[name])/float64(fastest["gofrs/flock"]), total(calls[name]), list(calls[name]))
		}
		require.Less(t, fastest["efsshare, exclusive"], 5*fastest["gofrs/flock"])
		require.LessOrEqual(t, total(calls["efsshare, exclusive"]), 13)
		require.LessOrEqual(t, total(calls["efsshare, shared"]), 13)
	}
}

// measure makes rounds of each way in turn, for others use the machine too, and
// returns the fastest round of each and the fewest calls.
func measure(t *testing.T, mount string, ways map[string]func()) (fastest map[string]time.Duration, calls map[string]map[string]int) {
	t.Helper()
	fastest, calls = map[string]time.Duration{}, map[string]map[string]int{}
	const rounds = 40
	for range rounds {
		for name, way := range ways {
			before := counted(t, mount)
			start := time.Now()
			way()
			took := time.Since(start)
			made := map[string]int{}
			for op, n := range counted(t, mount) {
				if n > before[op] && op != "SEQUENCE" {
					made[op] = n - before[op]
				}
			}
			if least, ok := fastest[name]; !ok || took < least {
				fastest[name] = took
			}
			if least, ok := calls[name]; !ok || total(made) < total(least) {
				calls[name] = made
			}
		}
	}
	return fastest, calls
}

// counted reads how often the client sent which operation.
func counted(t *testing.T, mount string) map[string]int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountstats")
	require.NoError(t, err)
	_, mine, ok := bytes.Cut(text, []byte(" mounted on "+mount+" "))
	require.True(t, ok)
	mine, _, _ = bytes.Cut(mine, []byte("\ndevice "))
	ops := map[string]int{}
	for line := range strings.Lines(string(mine)) {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if fields := strings.Fields(rest); ok && len(fields) >= 8 && name == strings.ToUpper(name) {
			ops[name], err = strconv.Atoi(fields[0])
			require.NoError(t, err)
		}
	}
	return ops
}

func total(calls map[string]int) (n int) {
	for _, m := range calls {
		n += m
	}
	return n
}

func list(calls map[string]int) string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(calls)) {
		names = append(names, fmt.Sprintf("%s %d", name, calls[name]))
	}
	return strings.Join(names, ", ")
}
