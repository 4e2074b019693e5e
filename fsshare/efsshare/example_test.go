//go:build linux && (amd64 || arm64)

package efsshare_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"strings"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/efsshare"
)

// openTemp opens a share on a local directory, which behaves as one on NFS with a
// server that never fails.
func openTemp() (share *efsshare.Share, remove func()) {
	dir, err := os.MkdirTemp("", "share-")
	if err != nil {
		log.Fatal(err)
	}
	share, err = efsshare.Open(context.Background(), dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	return share, func() {
		_ = share.Close()
		_ = os.RemoveAll(dir)
	}
}

func Example() {
	share, remove := openTemp() // efsshare.Open(ctx, "/mnt/efs/team", nil)
	defer remove()
	ctx := context.Background()
	err := fsshare.Hold(ctx, share, "publish", &fsshare.LockOptions{Purpose: "nightly"}, func(ctx context.Context, lock fsshare.Lock) error {
		if _, err := share.WriteFile(ctx, "models/7/weights", strings.NewReader("0.5 0.25"), nil); err != nil {
			return err
		}
		return lock.Commit(ctx, []byte("models/7")) // refused if the lock is lost
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	status, err := share.Inspect(ctx, "publish")
	if err != nil {
		fmt.Println(err)
		return
	}
	weights, err := fs.ReadFile(share.FS(ctx), string(status.Data)+"/weights")
	fmt.Printf("%s of token %d: %s %v\n", status.Data, status.Token, weights, err)
	// Output: models/7 of token 1: 0.5 0.25 <nil>
}

// A shared lock is made exclusive without letting anybody in between.
func ExampleLock_Upgrade() {
	share, remove := openTemp()
	defer remove()
	ctx := context.Background()
	reader, err := share.Acquire(ctx, "index", &fsshare.LockOptions{Shared: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("token", reader.Token())
	if err := reader.Upgrade(ctx); err != nil {
		fmt.Println(err) // ErrConflict: another waits; unlock, and lock again
		return
	}
	fmt.Println("token", reader.Token())
	fmt.Println(reader.Unlock())
	// Output:
	// token 0
	// token 1
	// <nil>
}

// A path at which nothing is mounted is an empty local directory: what is written
// there is seen by nobody.
func ExampleOpen_notMounted() {
	dir := os.TempDir()
	_, err := efsshare.Open(context.Background(), dir, &efsshare.Options{NFSOnly: true})
	fmt.Println(errors.Is(err, fsshare.ErrInvalid))
	// Output: true
}

// Each tenant has files and locks of its own.
func ExampleShare_Sub() {
	share, remove := openTemp()
	defer remove()
	ctx := context.Background()
	for _, tenant := range []string{"ada", "bob"} {
		sub, err := share.Sub(ctx, tenant)
		if err != nil {
			fmt.Println(err)
			return
		}
		lock, err := sub.Lock(ctx, "same name", &fsshare.LockOptions{Try: true})
		fmt.Println(tenant, lock.Token(), err)
		defer lock.Unlock()
		defer sub.Close()
		_, err = fs.ReadFile(sub.FS(ctx), "../ada/secret")
		fmt.Println(errors.Is(err, fsshare.ErrInvalid))
	}
	// Output:
	// ada 1 <nil>
	// true
	// bob 1 <nil>
	// true
}
