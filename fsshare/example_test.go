package fsshare_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing/fstest"
	"time"

	"github.com/genaistore/genaistore/fsshare"
)

func Example() {
	ctx := context.Background()
	var share fsshare.InMemory // or an efsshare.Share, on a mounted file system

	info, err := share.WriteFile(ctx, "prompts/greeting.txt", strings.NewReader("Hello!"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	data, err := fs.ReadFile(share.FS(ctx), info.Name)
	fmt.Println(string(data), err)

	_, err = fs.ReadFile(share.FS(ctx), "prompts/farewell.txt")
	fmt.Println(errors.Is(err, fsshare.ErrNotFound), errors.Is(err, fs.ErrNotExist))
	// Output:
	// Hello! <nil>
	// true true
}

// A lock does not protect the files that are written while it is held: a holder that
// froze and wakes up writes on. What it does protect is its own data. So write files
// under names that nobody else uses, and move the pointer with Commit.
func Example_commitInsteadOfRename() {
	ctx := context.Background()
	var share fsshare.InMemory

	err := fsshare.Hold(ctx, &share, "model", nil, func(ctx context.Context, lock fsshare.Lock) error {
		name := fmt.Sprintf("model/%d.bin", lock.Token())
		if _, err := share.WriteFile(ctx, name, strings.NewReader("weights"), nil); err != nil {
			return err
		}
		return lock.Commit(ctx, []byte(name))
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	status, err := share.Inspect(ctx, "model")
	fmt.Println(string(status.Data), status.Token, err)
	// Output: model/1.bin 1 <nil>
}

// ErrLost means that another may hold the lock by now, so that what was done under
// it has to be decided anew. Here the lock is given back by hand where, on a network,
// its lease would have run out.
func Example_lostLock() {
	ctx := context.Background()
	var share fsshare.InMemory

	stale, err := share.Lock(ctx, "job", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = stale.Unlock()
	next, err := share.Lock(ctx, "job", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("next commits:", next.Commit(ctx, []byte("done by next")))

	err = stale.Commit(ctx, []byte("done by the stale one"))
	if errors.Is(err, fsshare.ErrLost) {
		status, err := share.Inspect(ctx, "job") // not again: look first
		fmt.Printf("lost to token %d: %s %v\n", status.Token, status.Data, err)
	}
	fmt.Println("unlock:", next.Unlock())
	// Output:
	// next commits: <nil>
	// lost to token 2: done by next <nil>
	// unlock: <nil>
}

// Try does not wait, Wait bounds it (a deadline on the context would end the lock's
// own context as well); who has the lock is known to Inspect.
func Example_whoHoldsIt() {
	ctx := context.Background()
	var share fsshare.InMemory

	lock, err := share.Lock(ctx, "index", &fsshare.LockOptions{Purpose: "rebuild of the index"})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = share.Lock(ctx, "index", &fsshare.LockOptions{Try: true})
	if errors.Is(err, fsshare.ErrConflict) {
		status, err := share.Inspect(ctx, "index")
		fmt.Println("busy:", status.Holder.Purpose, err)
	}
	fmt.Println(lock.Unlock())
	// Output:
	// busy: rebuild of the index <nil>
	// <nil>
}

type config struct{ Model string }

// publish writes the file under a name no other holder uses, then moves the pointer
// through the lock: a publisher that froze leaves garbage, not damage.
func publish(ctx context.Context, share fsshare.Share, c config) error {
	opts := &fsshare.LockOptions{Purpose: "publish config"}
	return fsshare.Hold(ctx, share, "config", opts, func(ctx context.Context, lock fsshare.Lock) error {
		data, err := json.Marshal(c)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("config/%d.json", lock.Token())
		if _, err := share.WriteFile(ctx, name, bytes.NewReader(data), &fsshare.WriteOptions{Under: lock}); err != nil {
			return err
		}
		return lock.Commit(ctx, []byte(name))
	})
}

// follow calls use with the configuration now and after every change.
func follow(ctx context.Context, share fsshare.Share, use func(config) error) error {
	target, opts := fsshare.Target{Lock: "config"}, &fsshare.WatchOptions{Every: time.Millisecond}
	for event, err := range share.Watch(ctx, target, opts) {
		if err != nil {
			return err
		}
		if event.Absent {
			continue // not published yet
		}
		data, err := fs.ReadFile(share.FS(ctx), string(event.Status.Data))
		if err != nil {
			return err
		}
		var c config
		if err := json.Unmarshal(data, &c); err != nil {
			return err
		}
		if err := use(c); err != nil {
			return err
		}
	}
	return nil
}

// A configuration is published by one and followed by many. No notification crosses
// a network file system: Watch looks, and opts.Every says how often.
func Example_config() {
	ctx := context.Background()
	var share fsshare.InMemory

	if err := publish(ctx, &share, config{Model: "small"}); err != nil {
		fmt.Println(err)
		return
	}
	enough := errors.New("seen enough")
	err := follow(ctx, &share, func(c config) error {
		fmt.Println("using", c.Model)
		if c.Model == "large" {
			return enough
		}
		return publish(ctx, &share, config{Model: "large"})
	})
	fmt.Println(err)
	// Output:
	// using small
	// using large
	// seen enough
}

// A tree is published as a whole, made current, and rolled back. Readers resolve the
// current release first and then read from its directory only, so they never see two
// releases mixed; a pin keeps it from being collected while they do.
func ExampleTree() {
	ctx := context.Background()
	var share fsshare.InMemory
	app := fsshare.Tree{Share: &share, Name: "app"}

	for _, version := range []string{"v1", "v2"} {
		files := fstest.MapFS{"main.py": {Data: []byte("print('" + version + "')")}} // or os.DirFS("build")
		release, err := app.Publish(ctx, files, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		if err := app.Switch(ctx, release.ID); err != nil {
			fmt.Println(err)
			return
		}
	}

	pin, err := app.Pin(ctx, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	bad := pin.Release
	code, err := fs.ReadFile(share.FS(pin.Context()), bad.Dir+"/main.py")
	fmt.Printf("%s %v\n", code, err)

	// It says which release is bad: two who press the button roll back once.
	good, err := app.Rollback(ctx, bad.ID)
	if err != nil {
		fmt.Println(err)
		return
	}
	code, err = fs.ReadFile(share.FS(ctx), good.Dir+"/main.py")
	fmt.Printf("%s %v\n", code, err)
	_, err = app.Rollback(ctx, bad.ID)
	fmt.Println("once more:", errors.Is(err, fsshare.ErrConflict))

	removed, err := app.Collect(ctx, &fsshare.CollectOptions{Grace: time.Nanosecond})
	fmt.Println("collected while pinned:", len(removed), err)
	fmt.Println(pin.Close())
	removed, err = app.Collect(ctx, &fsshare.CollectOptions{Grace: time.Nanosecond})
	fmt.Println("collected then:", len(removed), err)
	// Output:
	// print('v2') <nil>
	// print('v1') <nil>
	// once more: true
	// collected while pinned: 0 <nil>
	// <nil>
	// collected then: 1 <nil>
}

// A share in memory can be kept over a restart. Locks that were held are free then;
// what was committed under them, and their tokens, stay.
func ExampleInMemory_Snapshot() {
	ctx := context.Background()
	var share, restarted fsshare.InMemory

	if _, err := share.WriteFile(ctx, "notes.txt", strings.NewReader("kept"), nil); err != nil {
		fmt.Println(err)
		return
	}
	var saved bytes.Buffer // or a file
	if err := share.Snapshot(&saved); err != nil {
		fmt.Println(err)
		return
	}
	if err := restarted.Restore(&saved); err != nil {
		fmt.Println(err)
		return
	}
	data, err := fs.ReadFile(restarted.FS(ctx), "notes.txt")
	fmt.Println(string(data), err)
	// Output: kept <nil>
}
