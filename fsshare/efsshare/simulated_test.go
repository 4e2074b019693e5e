package efsshare_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/efsshare"
	"github.com/genaistore/genaistore/fsshare/fssharetest"
)

// The same locks and files on the simulated NFS of fssharetest, whose time is the
// test's.

// simulated is a new server with two clients, and a share on each.
type simulated struct {
	server  *fssharetest.NFS
	clients [2]*fssharetest.NFSClient
	a, b    *efsshare.Share
}

func simulate(t *testing.T, opts *fssharetest.NFSOptions) simulated {
	t.Helper()
	s := simulated{server: fssharetest.NewNFS(opts)}
	t.Cleanup(s.server.Close)
	s.clients = [2]*fssharetest.NFSClient{s.server.Client("one"), s.server.Client("two")}
	s.a, s.b = openOn(t, s.clients[0]), openOn(t, s.clients[1])
	return s
}

func openOn(t *testing.T, client *fssharetest.NFSClient) *efsshare.Share {
	t.Helper()
	share, err := efsshare.Open(t.Context(), fssharetest.NFSDir, &efsshare.Options{System: client, NFSOnly: true})
	require.NoError(t, err)
	t.Cleanup(func() { _ = share.Close() })
	return share
}

func writeOn(t *testing.T, share *efsshare.Share, name, data string) {
	t.Helper()
	_, err := share.WriteFile(t.Context(), name, strings.NewReader(data), nil)
	require.NoError(t, err)
}

// dataOf is what was committed under the lock.
func dataOf(t *testing.T, share *efsshare.Share) string {
	t.Helper()
	status, err := share.Inspect(t.Context(), "lock")
	require.NoError(t, err)
	return string(status.Data)
}

// A turn is what came of waiting for the lock, and when.
type turn struct {
	lock *efsshare.Lock
	err  error
	at   time.Time
}

func waitOn(t *testing.T, share *efsshare.Share) <-chan turn {
	c := make(chan turn, 1)
	go func() {
		l, err := share.Acquire(t.Context(), "lock", nil)
		c <- turn{l, err, time.Now()}
	}()
	return c
}

func TestTheSimulatedNFSPassesTheSuite(t *testing.T) {
	for name, opts := range map[string]*fssharetest.NFSOptions{
		"courteous, as knfsd":      {Lease: 10 * time.Second, Courteous: true},
		"strict, with long caches": {Lease: 60 * time.Second, FileMin: time.Minute, DirMin: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			clients := map[fsshare.Share]*fssharetest.NFSClient{}
			fssharetest.Run(t, func(t *testing.T) (a, b fsshare.Share) {
				s := simulate(t, opts)
				for _, c := range s.clients {
					c.Delay(time.Millisecond)
				}
				mu.Lock()
				defer mu.Unlock()
				clients[s.a], clients[s.b] = s.clients[0], s.clients[1]
				return s.a, s.b
			}, &fssharetest.Options{
				Lose: func(_ *testing.T, holder fsshare.Share, _ fsshare.Lock) {
					mu.Lock()
					defer mu.Unlock()
					clients[holder].Expire()
				},
				Patience: 5 * time.Minute,
				Around:   synctest.Test,
			})
		})
	}
}

// Random operations on two shares of the simulated NFS, against a model of the
// contract.
func FuzzSimulatedNFS(f *testing.F) {
	fssharetest.Fuzz(f, func(t *testing.T) (a, b fsshare.Share) {
		s := simulate(t, nil)
		return s.a, s.b
	})
}
