// Package fssharetest checks implementations of fsshare.Share.
//
// It uses only package testing, so that a Share in another module can run it:
//
//	func TestMyShare(t *testing.T) {
//		fssharetest.Run(t, func(t *testing.T) (a, b fsshare.Share) {
//			dir := t.TempDir()
//			return open(t, dir), open(t, dir)
//		}, nil)
//	}
package fssharetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/genaistore/genaistore/fsshare"
)

// Options adjusts a Run. A nil *Options means the zero value.
type Options struct {
	// Lose takes the lock away from its holder, as a server does whose client went
	// silent, and returns when another may take it. Without it the cases of loss are
	// skipped.
	Lose func(t *testing.T, holder fsshare.Share, lock fsshare.Lock)
	// Patience is how long a case waits for what has to happen: 1 minute if zero.
	Patience time.Duration
	// Every is how often the watching cases look: 10 ms if zero.
	Every time.Duration
	// Hold is how long the holders of the case of fairness hold: 20 ms if zero. A
	// share that polls for its locks is fair to those who hold longer than it rests.
	Hold time.Duration
	// Around runs each case, with a share of its own: synctest.Test, of package
	// testing/synctest, for a share that is in memory. The cases run as they are if nil.
	Around func(t *testing.T, check func(t *testing.T))
}

// A world is one new share, as two of its clients see it.
type world struct {
	a, b fsshare.Share
	opts Options
}

// Run tests a new share a subtest against every promise of package fsshare. New
// returns it, empty, as two of its clients see it: they may be one and the same.
func Run(t *testing.T, newShare func(t *testing.T) (a, b fsshare.Share), opts *Options) {
	t.Helper()
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Patience == 0 {
		o.Patience = time.Minute
	}
	if o.Every == 0 {
		o.Every = 10 * time.Millisecond
	}
	if o.Hold == 0 {
		o.Hold = 20 * time.Millisecond
	}
	if o.Around == nil {
		o.Around = func(t *testing.T, check func(t *testing.T)) {
			t.Helper()
			check(t)
		}
	}
	for _, group := range []struct {
		name  string
		cases []promise
	}{
		{"files", fileCases},
		{"names", nameCases},
		{"reading", readCases},
		{"locks", lockCases},
		{"holders", holderCases},
		{"commits", commitCases},
		{"loss", lossCases},
		{"watching", watchCases},
		{"contexts", contextCases},
		{"trees", treeCases},
	} {
		for _, c := range group.cases {
			t.Run(group.name+"/"+c.name, func(t *testing.T) {
				if group.name == "loss" && o.Lose == nil {
					t.Skip("Options.Lose is nil")
				}
				o.Around(t, func(t *testing.T) {
					a, b := newShare(t)
					c.check(t, world{a, b, o})
				})
			})
		}
	}
}

// A promise is one sentence of the contract.
type promise struct {
	name  string
	check func(t *testing.T, w world)
}

// limit returns a context that ends when patience does.
func (w world) limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), w.opts.Patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until ok, which may fail the test itself.
func (w world) eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx := w.limit(t)
	for pause := time.Millisecond; !ok(); pause = min(2*pause, 100*time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatalf("not seen within %v: %s", w.opts.Patience, what)
		}
		rest(ctx, pause)
	}
}

// rest lets d pass. No case concludes anything from how long that took.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func write(t *testing.T, s fsshare.Share, name, data string) fsshare.Info {
	t.Helper()
	info, err := s.WriteFile(t.Context(), name, strings.NewReader(data), nil)
	if err != nil {
		t.Fatalf("WriteFile(%q) = %v", name, err)
	}
	return info
}

func read(t *testing.T, s fsshare.Share, name string) string {
	t.Helper()
	data, err := fs.ReadFile(s.FS(t.Context()), name)
	if err != nil {
		t.Fatalf("ReadFile(%q) = %v", name, err)
	}
	return string(data)
}

func remove(t *testing.T, s fsshare.Share, name string) {
	t.Helper()
	if err := s.Remove(t.Context(), name); err != nil {
		t.Fatalf("Remove(%q) = %v", name, err)
	}
}

// list returns every name of the share but the root's, directories with a slash.
func list(t *testing.T, s fsshare.Share) string {
	t.Helper()
	var names []string
	err := fs.WalkDir(s.FS(t.Context()), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ".":
		case d.IsDir():
			names = append(names, name+"/")
		default:
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("WalkDir = %v", err)
	}
	return strings.Join(names, " ")
}

func (w world) lock(t *testing.T, s fsshare.Share, name string, opts *fsshare.LockOptions) fsshare.Lock {
	t.Helper()
	l, err := s.Lock(w.limit(t), name, opts)
	if err != nil {
		t.Fatalf("Lock(%q, %+v) = %v", name, opts, err)
	}
	t.Cleanup(func() { _ = l.Unlock() }) // a second call returns nil; an error is the case's own
	return l
}

// try takes the lock if it can without waiting, and fails the test on an error that
// is not ErrConflict.
func (w world) try(t *testing.T, s fsshare.Share, name string, opts fsshare.LockOptions) fsshare.Lock {
	t.Helper()
	opts.Try = true
	l, err := s.Lock(w.limit(t), name, &opts)
	if errors.Is(err, fsshare.ErrConflict) {
		return nil
	}
	if err != nil {
		t.Fatalf("Lock(%q, %+v) = %v, want the lock or ErrConflict", name, opts, err)
	}
	t.Cleanup(func() { _ = l.Unlock() })
	return l
}

func unlock(t *testing.T, l fsshare.Lock) {
	t.Helper()
	if err := l.Unlock(); err != nil {
		t.Fatalf("Unlock = %v", err)
	}
}

func commit(t *testing.T, l fsshare.Lock, data string) {
	t.Helper()
	if err := l.Commit(t.Context(), []byte(data)); err != nil {
		t.Fatalf("Commit(%q) = %v", data, err)
	}
}

func inspect(t *testing.T, s fsshare.Share, lock string) fsshare.Status {
	t.Helper()
	status, err := s.Inspect(t.Context(), lock)
	if err != nil {
		t.Fatalf("Inspect(%q) = %v", lock, err)
	}
	return status
}

// wantErr checks that err matches every one of kinds.
func wantErr(t *testing.T, what string, err error, kinds ...error) {
	t.Helper()
	for _, kind := range kinds {
		if !errors.Is(err, kind) {
			t.Errorf("%s = %v, want an error matching %q", what, err, kind)
		}
	}
}

func wantEqual[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s = %.300s, want %.300s", what, fmt.Sprintf("%v", any(got)), fmt.Sprintf("%v", any(want)))
	}
}

// wantData tells nil from empty, which == on strings cannot.
func wantData(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if (got == nil) != (want == nil) || !bytes.Equal(got, want) {
		t.Errorf("%s = %#v, want %#v", what, got, want)
	}
}
