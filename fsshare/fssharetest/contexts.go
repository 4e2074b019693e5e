package fssharetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/genaistore/genaistore/fsshare"
)

var contextCases = []promise{
	{"an ended context stops every method, with its cause", ctxStops},
	{"an ended context changes nothing", ctxChangesNothing},
	{"a passed deadline stops every method", ctxDeadline},
	{"the context ends an FS and its open files, which can still be closed", ctxFS},
	{"an ended context stops Check and Commit, and the lock is still held", ctxLock},
	{"an ended context stops the methods of a Tree", ctxTree},
}

// callAll calls every method of the share, and of its FS.
func callAll(ctx context.Context, s fsshare.Share, file, lock string) map[string]error {
	errs := map[string]error{}
	_, errs["WriteFile"] = s.WriteFile(ctx, file, strings.NewReader("no"), nil)
	errs["Remove"] = s.Remove(ctx, file)
	_, errs["Lock"] = s.Lock(ctx, lock, nil)
	_, errs["Lock, Try"] = s.Lock(ctx, lock, &fsshare.LockOptions{Try: true, Shared: true})
	_, errs["Inspect"] = s.Inspect(ctx, lock)
	for _, target := range []fsshare.Target{{File: file}, {Lock: lock}} {
		for _, err := range s.Watch(ctx, target, nil) {
			errs[fmt.Sprintf("Watch %+v", target)] = err
		}
	}
	files := s.FS(ctx)
	_, errs["Open"] = files.Open(file)
	_, errs["ReadFile"] = fs.ReadFile(files, file)
	_, errs["ReadDir"] = fs.ReadDir(files, ".")
	_, errs["Stat"] = fs.Stat(files, file)
	if sub, err := fs.Sub(files, "d"); err == nil { // it may be lazy
		_, errs["Stat below Sub"] = fs.Stat(sub, "file")
	}
	return errs
}

func ctxStops(t *testing.T, w world) {
	write(t, w.a, "file", "old")
	write(t, w.a, "d/file", "old")
	boom := errors.New("boom")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(boom)
	for method, err := range callAll(ctx, w.a, "file", "lock") {
		wantErr(t, method, err, context.Canceled, boom)
	}
}

func ctxChangesNothing(t *testing.T, w world) {
	write(t, w.a, "file", "old")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	callAll(ctx, w.a, "file", "lock")
	callAll(ctx, w.a, "new/file", "lock")
	wantEqual(t, "the share", list(t, w.b), "file")
	wantEqual(t, "file", read(t, w.b, "file"), "old")
	wantEqual(t, "the token of a lock never taken", inspect(t, w.b, "lock").Token, 0)
	if w.try(t, w.b, "lock", fsshare.LockOptions{}) == nil {
		t.Error("the lock is held by one that was stopped")
	}
}

func ctxDeadline(t *testing.T, w world) {
	write(t, w.a, "file", "old")
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for method, err := range callAll(ctx, w.a, "file", "lock") {
		wantErr(t, method, err, context.DeadlineExceeded)
	}
}

func ctxFS(t *testing.T, w world) {
	write(t, w.a, "d/file", "x")
	ctx, cancel := context.WithCancel(w.limit(t))
	files := w.a.FS(ctx)
	file, err := files.Open("d/file")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := files.Open("d")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_, err = file.Read(make([]byte, 1))
	wantErr(t, "Read of an open file", err, context.Canceled)
	_, err = dir.(fs.ReadDirFile).ReadDir(-1)
	wantErr(t, "ReadDir of an open directory", err, context.Canceled)
	_, err = file.Stat()
	wantErr(t, "Stat of an open file", err, context.Canceled)
	if err := errors.Join(file.Close(), dir.Close()); err != nil {
		t.Errorf("Close = %v", err)
	}
}

func ctxLock(t *testing.T, w world) {
	boom := errors.New("boom")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(boom)
	l := w.lock(t, w.a, "lock", nil)
	commit(t, l, "old")
	wantErr(t, "Check", l.Check(ctx), context.Canceled, boom)
	wantErr(t, "Commit", l.Commit(ctx, []byte("new")), context.Canceled, boom)
	if err := l.Check(t.Context()); err != nil {
		t.Errorf("Check with a live context = %v", err)
	}
	wantData(t, "data", inspect(t, w.b, "lock").Data, []byte("old"))
	unlock(t, l)
}

func ctxTree(t *testing.T, w world) {
	tree := fsshare.Tree{Share: w.a, Name: "tree"}
	one := publish(t, tree, "one")
	if err := tree.Switch(t.Context(), one.ID); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	errs := map[string]error{}
	_, errs["Publish"] = tree.Publish(ctx, treeOf("two"), nil)
	errs["Switch"] = tree.Switch(ctx, one.ID)
	_, errs["Rollback"] = tree.Rollback(ctx, one.ID)
	_, errs["Current"] = tree.Current(ctx)
	_, errs["Releases"] = tree.Releases(ctx)
	_, errs["Manifest"] = tree.Manifest(ctx, one.ID)
	_, errs["Pin"] = tree.Pin(ctx, nil)
	_, errs["Collect"] = tree.Collect(ctx, nil)
	errs["Verify"] = tree.Verify(ctx, one.ID)
	errs["RemoveAll"] = fsshare.RemoveAll(ctx, w.a, "tree")
	for _, err := range tree.Watch(ctx, nil) {
		errs["Watch"] = err
	}
	for method, err := range errs {
		wantErr(t, method, err, context.Canceled)
	}
	wantCurrent(t, tree, one)
}
