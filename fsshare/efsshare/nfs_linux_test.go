package efsshare_test

import (
	"context"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/efsshare"
	"github.com/genaistore/genaistore/fsshare/fssharetest"
	"github.com/genaistore/genaistore/internal/nfstest"
)

// These tests run in the guest, on real NFSv4.1 with two clients: make nfs.

func nfsClients(t testing.TB) []nfstest.Client {
	t.Helper()
	return nfstest.Clients(t)
}

// A cost is what the kernel counted during a call: the least of some rounds.
type cost struct {
	calls map[string]int
	total int
	took  time.Duration
}

func costOf(t *testing.T, mount string, round func()) (least cost) {
	t.Helper()
	for i := range 20 {
		before := countCalls(t, mount)
		start := time.Now()
		round()
		c := cost{took: time.Since(start), calls: map[string]int{}}
		for name, n := range countCalls(t, mount) {
			if n -= before[name]; n > 0 && name != "SEQUENCE" {
				c.calls[name] = n
				c.total += n
			}
		}
		if i == 0 || c.took < least.took {
			least = c
		}
	}
	return least
}

// countCalls reads how often the client sent which operation.
func countCalls(t *testing.T, mount string) map[string]int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountstats")
	require.NoError(t, err)
	_, mine, ok := strings.Cut(string(text), " mounted on "+mount+" ")
	require.True(t, ok)
	mine, _, _ = strings.Cut(mine, "\ndevice ")
	calls := map[string]int{}
	for line := range strings.Lines(mine) {
		if f := strings.Fields(line); len(f) >= 9 && strings.HasSuffix(f[0], ":") && strings.ToUpper(f[0]) == f[0] {
			calls[strings.TrimSuffix(f[0], ":")], err = strconv.Atoi(f[1])
			require.NoError(t, err)
		}
	}
	return calls
}

// twoClients are the shares of one new folder, as the two clients see it.
func twoClients(t testing.TB) (a, b *efsshare.Share, clients []nfstest.Client) {
	t.Helper()
	clients = nfstest.Clients(t)
	return open(t, clients[0].Dir), open(t, clients[1].Dir), clients
}

func TestNFSPassesTheSuite(t *testing.T) {
	if !nfstest.InGuest() {
		t.Skip("needs real NFSv4.1: make nfs")
	}
	var mu sync.Mutex
	owner := map[fsshare.Share]nfstest.Client{}
	fssharetest.Run(t, func(t *testing.T) (a, b fsshare.Share) {
		one, two, clients := twoClients(t)
		a, b = one, two
		if nfstest.OpenServer(t).Name == nfstest.Ganesha {
			pace := new(pace)
			a, b = paced{one, pace}, paced{two, pace}
		}
		mu.Lock()
		defer mu.Unlock()
		owner[a], owner[b] = clients[0], clients[1]
		return a, b
	}, &fssharetest.Options{
		Lose: func(t *testing.T, holder fsshare.Share, _ fsshare.Lock) {
			mu.Lock()
			defer mu.Unlock()
			require.NoError(t, owner[holder].Expire())
		},
		Patience: 90 * time.Second,
		Every:    20 * time.Millisecond,
	})
}

// A pace keeps the changes of a directory at least so far apart that the kernel's
// clock shows them to be two. Nfs-ganesha tells its clients of a change by the time
// of the last one: of two within a tick they may see the first only.
type pace struct {
	mu   sync.Mutex
	next time.Time
}

const tick = 12 * time.Millisecond // the guest's clock has steps of 10

func (p *pace) wait(ctx context.Context) {
	p.mu.Lock()
	now := time.Now()
	turn := now
	if turn.Before(p.next) {
		turn = p.next
	}
	p.next = turn.Add(tick)
	p.mu.Unlock()
	wait(ctx, turn.Sub(now))
}

type paced struct {
	*efsshare.Share
	pace *pace
}

func (s paced) WriteFile(ctx context.Context, name string, r io.Reader, opts *fsshare.WriteOptions) (fsshare.Info, error) {
	s.pace.wait(ctx)
	return s.Share.WriteFile(ctx, name, r, opts)
}

func (s paced) Remove(ctx context.Context, name string) error {
	s.pace.wait(ctx)
	return s.Share.Remove(ctx, name)
}
