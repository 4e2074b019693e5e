package fssharetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/genaistore/genaistore/fsshare"
)

var watchCases = []promise{
	{"the first event says what the target is now", watchFirst},
	{"a file is seen to come, change and go", watchFile},
	{"what is committed under a lock is seen, also empty data", watchLock},
	{"of many quick changes the last is always seen", watchLast},
	{"the same bytes again, and a lock that is only taken, are no change", watchNoChange},
	{"a directory is no file", watchDir},
	{"Watch ends with its context, and the error comes last", watchEnds},
	{"the loop may break, use the share, and be run again", watchLoop},
	{"an event is the caller's to change", watchCopies},
	{"a wrong target or interval is ErrInvalid", watchInvalid},
}

// follow yields to events until it says that it has seen enough.
func (w world) follow(t *testing.T, s fsshare.Share, target fsshare.Target, enough func(fsshare.Event) bool) {
	t.Helper()
	for event, err := range s.Watch(w.limit(t), target, &fsshare.WatchOptions{Every: w.opts.Every}) {
		if err != nil {
			t.Fatalf("Watch(%+v) = %v", target, err)
		}
		if event.Target != target {
			t.Fatalf("an event of %+v, watching %+v", event.Target, target)
		}
		if enough(event) {
			return
		}
	}
	t.Fatal("Watch ended by itself")
}

func watchFirst(t *testing.T, w world) {
	first := func(target fsshare.Target) (e fsshare.Event) {
		w.follow(t, w.b, target, func(event fsshare.Event) bool { e = event; return true })
		return e
	}
	file, lock := fsshare.Target{File: "d/file"}, fsshare.Target{Lock: "lock"}
	wantEqual(t, "Absent of an absent file", first(file).Absent, true)
	wantEqual(t, "Absent of a lock never taken", first(lock).Absent, true)
	info := write(t, w.a, "d/file", "x")
	event := first(file)
	if event.Absent || event.Info.Name != info.Name || event.Info.Size != 1 || event.Info.SHA256 != info.SHA256 || !event.Info.Modified.Equal(info.Modified) {
		t.Errorf("the first event = %+v, want %+v", event, info)
	}
	l := w.lock(t, w.a, "lock", &fsshare.LockOptions{Purpose: "why"})
	event = first(lock)
	wantEqual(t, "Absent of a lock never committed under", event.Absent, true)
	wantEqual(t, "the token in an event", event.Status.Token, l.Token())
	commit(t, l, "data")
	event = first(lock)
	if event.Absent || string(event.Status.Data) != "data" || event.Status.Holder.Purpose != "why" || !event.Status.Held {
		t.Errorf("the first event = %+v", event)
	}
}

func watchFile(t *testing.T, w world) {
	steps := []string{"absent", "one", "two", "absent", "three"}
	i := 0
	w.follow(t, w.b, fsshare.Target{File: "d/file"}, func(e fsshare.Event) bool {
		if steps[i] == "absent" != e.Absent || !e.Absent && e.Info.SHA256 != sha256.Sum256([]byte(steps[i])) {
			t.Fatalf("event %d = %+v, want %s", i, e, steps[i])
		}
		if i++; i == len(steps) {
			return true
		}
		if steps[i] == "absent" {
			remove(t, w.a, "d/file")
		} else {
			write(t, w.a, "d/file", steps[i])
		}
		return false
	})
}

func watchLock(t *testing.T, w world) {
	l := w.lock(t, w.a, "lock", nil)
	steps := [][]byte{nil, {}, []byte("one"), []byte("two"), {}}
	i := 0
	w.follow(t, w.b, fsshare.Target{Lock: "lock"}, func(e fsshare.Event) bool {
		wantEqual(t, "Absent", e.Absent, i == 0)
		wantData(t, "data", e.Status.Data, steps[i])
		if i++; i == len(steps) {
			return true
		}
		if err := l.Commit(t.Context(), steps[i]); err != nil {
			t.Fatal(err)
		}
		return false
	})
}

func watchLast(t *testing.T, w world) {
	l := w.lock(t, w.a, "lock", nil)
	for target, change := range map[fsshare.Target]func(string){
		{File: "file"}: func(data string) { write(t, w.a, "file", data) },
		{Lock: "lock"}: func(data string) { commit(t, l, data) },
	} {
		events := 0
		w.follow(t, w.b, target, func(e fsshare.Event) bool {
			if events++; events == 1 {
				for i := range 50 {
					change(fmt.Sprint(i))
				}
			}
			if events > 51 {
				t.Fatal("more events than changes")
			}
			return e.Info.SHA256 == sha256.Sum256([]byte("49")) || string(e.Status.Data) == "49"
		})
	}
}

func watchNoChange(t *testing.T, w world) {
	for _, target := range []fsshare.Target{{File: "file"}, {Lock: "lock"}} {
		l := w.lock(t, w.a, "lock", nil)
		commit(t, l, "same")
		unlock(t, l)
		write(t, w.a, "file", "same")
		var change sync.WaitGroup
		// What is no change comes first, so its event would too.
		events := 0
		w.follow(t, w.b, target, func(e fsshare.Event) bool {
			if events++; events > 1 {
				if string(e.Status.Data) != "other" && e.Info.SHA256 != sha256.Sum256([]byte("other")) {
					t.Errorf("event %d = %+v, and nothing had changed", events, e)
				}
				return true
			}
			write(t, w.a, "file", "same")
			l := w.lock(t, w.a, "lock", nil)
			commit(t, l, "same")
			unlock(t, l)
			unlock(t, w.lock(t, w.a, "lock", &fsshare.LockOptions{Shared: true}))
			change.Go(func() {
				rest(t.Context(), 5*w.opts.Every) // the loop looks several times
				_, err := w.a.WriteFile(t.Context(), "file", strings.NewReader("other"), nil)
				err = errors.Join(err, fsshare.Hold(w.limit(t), w.a, "lock", nil, func(ctx context.Context, l fsshare.Lock) error {
					return l.Commit(ctx, []byte("other"))
				}))
				if err != nil {
					t.Error(err)
				}
			})
			return false
		})
		change.Wait()
	}
}

func watchDir(t *testing.T, w world) {
	write(t, w.a, "d/file", "x")
	i := 0
	w.follow(t, w.b, fsshare.Target{File: "d"}, func(e fsshare.Event) bool {
		if i++; i == 1 {
			wantEqual(t, "Absent of a directory", e.Absent, true)
			remove(t, w.a, "d/file")
			remove(t, w.a, "d")
			write(t, w.a, "d", "a file now")
			return false
		}
		wantEqual(t, "Absent of a file", e.Absent, false)
		return true
	})
}

func watchEnds(t *testing.T, w world) {
	for _, target := range []fsshare.Target{{File: "file"}, {Lock: "lock"}} {
		ctx, cancel := context.WithCancel(w.limit(t))
		var last error
		n := 0
		// Every is long: the end does not wait for it.
		for _, err := range w.a.Watch(ctx, target, &fsshare.WatchOptions{Every: time.Hour}) {
			if last != nil {
				t.Fatal("Watch goes on after an error")
			}
			if last = err; err == nil {
				n++
				time.AfterFunc(5*time.Millisecond, cancel)
			}
		}
		wantErr(t, "the last error of Watch", last, context.Canceled)
		wantEqual(t, "events", n, 1)
		cancel()
	}
}

func watchLoop(t *testing.T, w world) {
	seq := w.a.Watch(w.limit(t), fsshare.Target{File: "file"}, &fsshare.WatchOptions{Every: w.opts.Every})
	for round := range 3 {
		for event, err := range seq {
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "Absent", event.Absent, round == 0)
			write(t, w.a, "file", fmt.Sprint(round)) // deadlocks if a lock is held
			unlock(t, w.lock(t, w.a, "lock", nil))
			break
		}
	}
}

func watchCopies(t *testing.T, w world) {
	l := w.lock(t, w.a, "lock", nil)
	commit(t, l, "one")
	i := 0
	w.follow(t, w.a, fsshare.Target{Lock: "lock"}, func(e fsshare.Event) bool {
		clear(e.Status.Data)
		if i++; i == 1 {
			wantData(t, "data", inspect(t, w.a, "lock").Data, []byte("one"))
			commit(t, l, "two")
			return false
		}
		wantData(t, "data", inspect(t, w.a, "lock").Data, []byte("two"))
		return true
	})
}

func watchInvalid(t *testing.T, w world) {
	for _, target := range []fsshare.Target{
		{}, {File: "f", Lock: "l"}, {File: "../f"}, {File: "."}, {File: ".fsshare/locks"}, {Lock: "a\nb"}, {Lock: strings.Repeat("l", fsshare.MaxLock+1)},
	} {
		n := 0
		for _, err := range w.a.Watch(w.limit(t), target, nil) {
			wantErr(t, fmt.Sprintf("Watch(%.40q)", fmt.Sprint(target)), err, fsshare.ErrInvalid)
			n++
		}
		wantEqual(t, "results", n, 1)
	}
	for _, err := range w.a.Watch(w.limit(t), fsshare.Target{File: "f"}, &fsshare.WatchOptions{Every: -1}) {
		wantErr(t, "Watch with a negative interval", err, fsshare.ErrInvalid)
	}
}
