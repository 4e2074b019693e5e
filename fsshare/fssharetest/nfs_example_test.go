package fssharetest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/efsshare"
	"github.com/genaistore/genaistore/fsshare/fssharetest"
)

// A worker that is frozen while it holds a lock has lost it when it goes on, and what
// it would commit is refused. In a test this would run under synctest.Test, where the
// lease takes no time.
func ExampleNFS() {
	ctx := context.Background()
	server := fssharetest.NewNFS(&fssharetest.NFSOptions{Lease: time.Second})
	defer server.Close()
	var shares []*efsshare.Share
	machines := []*fssharetest.NFSClient{server.Client("one"), server.Client("two")}
	for _, machine := range machines {
		share, err := efsshare.Open(ctx, fssharetest.NFSDir, &efsshare.Options{System: machine})
		if err != nil {
			fmt.Println(err)
			return
		}
		defer share.Close()
		shares = append(shares, share)
	}
	lock, err := shares[0].Lock(ctx, "publish", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	machines[0].Freeze()
	next, err := shares[1].Lock(ctx, "publish", nil) // after the lease
	if err != nil {
		fmt.Println(err)
		return
	}
	machines[0].Thaw()
	err = lock.Commit(ctx, []byte("release-1"))
	fmt.Println(errors.Is(err, fsshare.ErrLost), next.Token() > lock.Token(), next.Unlock())
	// Output: true true <nil>
}

// The example under a clock of its own, as a test would have it.
func TestAFrozenWorkerLosesItsLockInNoTime(t *testing.T) {
	start := time.Now()
	synctest.Test(t, func(t *testing.T) {
		server := fssharetest.NewNFS(nil)
		t.Cleanup(server.Close)
		machine := server.Client("one")
		share, err := efsshare.Open(t.Context(), fssharetest.NFSDir, &efsshare.Options{System: machine})
		if err != nil {
			t.Fatal(err)
		}
		lock, err := share.Lock(t.Context(), "publish", nil)
		if err != nil {
			t.Fatal(err)
		}
		machine.Freeze()
		time.Sleep(24 * time.Hour)
		machine.Thaw()
		if err := lock.Commit(t.Context(), []byte("stale")); !errors.Is(err, fsshare.ErrLost) {
			t.Errorf("Commit = %v, want ErrLost", err)
		}
		if err := lock.Unlock(); !errors.Is(err, fsshare.ErrLost) {
			t.Errorf("Unlock = %v, want ErrLost", err)
		}
	})
	if took := time.Since(start); took > time.Minute {
		t.Errorf("a day took %v", took)
	}
}
