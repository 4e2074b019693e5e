package efsshare_test

import (
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
		mu.Lock()
		defer mu.Unlock()
		owner[one], owner[two] = clients[0], clients[1]
		return one, two
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
