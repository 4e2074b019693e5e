package fssharetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/genaistore/genaistore/fsshare"
)

var commitCases = []promise{
	{"what is committed is seen by others at once, and outlives the lock", commitSeen},
	{"a commit replaces the one before", commitReplaces},
	{"empty data is data: it differs from never committed", commitEmpty},
	{"data at the limit is accepted, more is ErrInvalid and changes nothing", commitLimit},
	{"Commit under a shared lock is ErrInvalid and changes nothing", commitShared},
	{"data may hold any bytes", commitBytes},
	{"data is copied, in and out", commitCopies},
	{"WriteFile under a lock that is held writes", underHeld},
	{"WriteFile under a lock given back is ErrLost and keeps the old file", underUnlocked},
	{"WriteFile checks the lock after it has read", underLate},
}

func commitSeen(t *testing.T, w world) {
	l := w.lock(t, w.a, "lock", nil)
	wantData(t, "data before any commit", inspect(t, w.b, "lock").Data, nil)
	commit(t, l, "one")
	wantData(t, "data while held", inspect(t, w.b, "lock").Data, []byte("one"))
	unlock(t, l)
	wantData(t, "data after Unlock", inspect(t, w.b, "lock").Data, []byte("one"))
	unlock(t, w.lock(t, w.b, "lock", nil))
	wantData(t, "data after another held the lock", inspect(t, w.a, "lock").Data, []byte("one"))
}

func commitReplaces(t *testing.T, w world) {
	l := w.lock(t, w.a, "lock", nil)
	for _, data := range []string{"a long first one", "short", "", "x"} {
		commit(t, l, data)
		wantData(t, "data", inspect(t, w.b, "lock").Data, []byte(data))
	}
	wantEqual(t, "the token after four commits", inspect(t, w.b, "lock").Token, l.Token())
}

func commitEmpty(t *testing.T, w world) {
	for _, data := range [][]byte{nil, {}} {
		l := w.lock(t, w.a, "lock", nil)
		if err := l.Commit(t.Context(), data); err != nil {
			t.Fatal(err)
		}
		unlock(t, l)
		wantData(t, "data", inspect(t, w.b, "lock").Data, []byte{})
	}
}

func commitLimit(t *testing.T, w world) {
	l := w.lock(t, w.a, "lock", nil)
	most := strings.Repeat("m", fsshare.MaxCommit)
	commit(t, l, most)
	wantErr(t, "Commit of too much", l.Commit(t.Context(), []byte(most+"m")), fsshare.ErrInvalid)
	wantData(t, "data", inspect(t, w.b, "lock").Data, []byte(most))
	if err := l.Check(t.Context()); err != nil {
		t.Errorf("Check = %v", err)
	}
}

func commitShared(t *testing.T, w world) {
	x := w.lock(t, w.a, "lock", nil)
	commit(t, x, "kept")
	unlock(t, x)
	l := w.lock(t, w.b, "lock", &fsshare.LockOptions{Shared: true})
	wantErr(t, "Commit under a shared lock", l.Commit(t.Context(), []byte("no")), fsshare.ErrInvalid)
	wantData(t, "data", inspect(t, w.a, "lock").Data, []byte("kept"))
}

func commitBytes(t *testing.T, w world) {
	l := w.lock(t, w.a, "lock", nil)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for _, data := range [][]byte{all, {0}, make([]byte, fsshare.MaxCommit), bytes.Repeat([]byte{0xff}, fsshare.MaxCommit)} {
		if err := l.Commit(t.Context(), data); err != nil {
			t.Fatal(err)
		}
		wantData(t, "data", inspect(t, w.b, "lock").Data, data)
	}
}

func commitCopies(t *testing.T, w world) {
	l := w.lock(t, w.a, "lock", nil)
	data := []byte("kept")
	if err := l.Commit(t.Context(), data); err != nil {
		t.Fatal(err)
	}
	clear(data)
	got := inspect(t, w.a, "lock").Data
	wantData(t, "data after the caller changed what it gave", got, []byte("kept"))
	clear(got)
	wantData(t, "data after the caller changed what it got", inspect(t, w.a, "lock").Data, []byte("kept"))
}

func underHeld(t *testing.T, w world) {
	for _, opts := range []*fsshare.LockOptions{nil, {Shared: true}} {
		l := w.lock(t, w.a, "lock", opts)
		if _, err := w.a.WriteFile(l.Context(), "file", strings.NewReader("x"), &fsshare.WriteOptions{Under: l}); err != nil {
			t.Errorf("WriteFile = %v", err)
		}
		unlock(t, l)
	}
	wantEqual(t, "file", read(t, w.b, "file"), "x")
}

func underUnlocked(t *testing.T, w world) {
	write(t, w.a, "file", "old")
	l := w.lock(t, w.a, "lock", nil)
	unlock(t, l)
	_, err := w.a.WriteFile(t.Context(), "file", strings.NewReader("new"), &fsshare.WriteOptions{Under: l})
	wantErr(t, "WriteFile", err, fsshare.ErrLost, fsshare.ErrConflict)
	wantEqual(t, "file", read(t, w.b, "file"), "old")
	wantEqual(t, "the share", list(t, w.b), "file")
}

func underLate(t *testing.T, w world) {
	write(t, w.a, "file", "old")
	l := w.lock(t, w.a, "lock", nil)
	reads := 0
	_, err := w.a.WriteFile(t.Context(), "file", endless{func() error {
		if reads++; reads < 3 {
			return nil
		}
		unlock(t, l)
		return io.EOF
	}}, &fsshare.WriteOptions{Under: l})
	wantErr(t, "WriteFile under a lock given back while it read", err, fsshare.ErrLost)
	wantEqual(t, "file", read(t, w.b, "file"), "old")
}

var lossCases = []promise{
	{"the context of a lost lock ends, with ErrLost as its cause", lossContext},
	{"Check, Commit and Unlock of a lost lock are ErrLost, and change nothing", lossErrors},
	{"another may take a lost lock, with a greater token", lossTaken},
	{"a lost lock stays lost, also when it is free again", lossStays},
	{"Unlock of a lost lock does not give back the next holder's", lossUnlock},
	{"a lost shared lock keeps nobody out", lossShared},
	{"WriteFile under a lost lock is ErrLost and keeps the old file", lossUnder},
	{"what is given the context of a lost lock reports ErrLost", lossCause},
	{"Hold reports a loss", lossHold},
	{"a holder that lost its lock cannot switch a tree", lossTree},
}

func lossContext(t *testing.T, w world) {
	l := w.lock(t, w.a, "lock", nil)
	w.opts.Lose(t, w.a, l)
	w.eventually(t, "the end of a lost lock's context", func() bool { return l.Context().Err() != nil })
	wantErr(t, "the cause", context.Cause(l.Context()), fsshare.ErrLost, fsshare.ErrConflict)
}

func lossErrors(t *testing.T, w world) {
	l := w.lock(t, w.a, "lock", nil)
	commit(t, l, "old")
	w.opts.Lose(t, w.a, l)
	ctx := w.limit(t)
	wantErr(t, "Commit of a lost lock", l.Commit(ctx, []byte("stale")), fsshare.ErrLost, fsshare.ErrConflict)
	wantErr(t, "Check of a lost lock", l.Check(ctx), fsshare.ErrLost, fsshare.ErrConflict)
	wantErr(t, "Unlock of a lost lock", l.Unlock(), fsshare.ErrLost, fsshare.ErrConflict)
	unlock(t, l)
	wantErr(t, "Check after that", l.Check(ctx), fsshare.ErrLost)
	status := inspect(t, w.b, "lock")
	wantData(t, "data", status.Data, []byte("old"))
	wantEqual(t, "Held", status.Held, false)
}

func lossTaken(t *testing.T, w world) {
	first := w.lock(t, w.a, "lock", nil)
	w.opts.Lose(t, w.a, first)
	second := w.lock(t, w.b, "lock", nil)
	if second.Token() <= first.Token() {
		t.Errorf("token %d after a loss of %d", second.Token(), first.Token())
	}
	commit(t, second, "new")
	wantErr(t, "Commit of the lost lock", first.Commit(w.limit(t), []byte("stale")), fsshare.ErrLost)
	wantData(t, "data", inspect(t, w.b, "lock").Data, []byte("new"))
}

func lossStays(t *testing.T, w world) {
	first := w.lock(t, w.a, "lock", nil)
	w.opts.Lose(t, w.a, first)
	unlock(t, w.lock(t, w.b, "lock", nil))
	for range 3 {
		wantErr(t, "Check", first.Check(w.limit(t)), fsshare.ErrLost)
		wantErr(t, "Commit", first.Commit(w.limit(t), []byte("stale")), fsshare.ErrLost)
	}
	wantData(t, "data", inspect(t, w.b, "lock").Data, nil)
}

func lossUnlock(t *testing.T, w world) {
	first := w.lock(t, w.a, "lock", nil)
	w.opts.Lose(t, w.a, first)
	second := w.lock(t, w.b, "lock", nil)
	wantErr(t, "Unlock", first.Unlock(), fsshare.ErrLost)
	if err := second.Check(t.Context()); err != nil {
		t.Errorf("Check of the next holder = %v", err)
	}
	wantEqual(t, "Held", inspect(t, w.b, "lock").Held, true)
}

func lossShared(t *testing.T, w world) {
	l := w.lock(t, w.a, "lock", &fsshare.LockOptions{Shared: true})
	w.opts.Lose(t, w.a, l)
	unlock(t, w.lock(t, w.b, "lock", nil))
	wantErr(t, "Check", l.Check(w.limit(t)), fsshare.ErrLost)
	wantErr(t, "Unlock", l.Unlock(), fsshare.ErrLost)
}

func lossUnder(t *testing.T, w world) {
	write(t, w.a, "file", "old")
	l := w.lock(t, w.a, "lock", nil)
	w.opts.Lose(t, w.a, l)
	_, err := w.a.WriteFile(w.limit(t), "file", strings.NewReader("new"), &fsshare.WriteOptions{Under: l})
	wantErr(t, "WriteFile", err, fsshare.ErrLost)
	wantEqual(t, "file", read(t, w.b, "file"), "old")
}

func lossCause(t *testing.T, w world) {
	l := w.lock(t, w.a, "lock", nil)
	w.opts.Lose(t, w.a, l)
	w.eventually(t, "the end of a lost lock's context", func() bool { return l.Context().Err() != nil })
	for method, err := range callAll(l.Context(), w.a, "file", "other") {
		wantErr(t, method, err, context.Canceled, fsshare.ErrLost)
	}
	wantErr(t, "Commit", l.Commit(l.Context(), nil), fsshare.ErrLost)
	wantErr(t, "Check", l.Check(l.Context()), fsshare.ErrLost)
}

func lossHold(t *testing.T, w world) {
	err := fsshare.Hold(w.limit(t), w.a, "lock", nil, func(_ context.Context, l fsshare.Lock) error {
		w.opts.Lose(t, w.a, l)
		return nil
	})
	wantErr(t, "Hold", err, fsshare.ErrLost)
	boom := errors.New("boom")
	err = fsshare.Hold(w.limit(t), w.a, "lock", nil, func(_ context.Context, l fsshare.Lock) error {
		w.opts.Lose(t, w.a, l)
		return boom
	})
	wantErr(t, "Hold", err, boom)
}

func lossTree(t *testing.T, w world) {
	tree := fsshare.Tree{Share: w.a, Name: "tree"}
	one, two := publish(t, tree, "one"), publish(t, tree, "two")
	if err := tree.Switch(t.Context(), one.ID); err != nil {
		t.Fatal(err)
	}
	// The lock is lost while the release that would become current is looked at.
	losing := losingShare{w.a, func(l fsshare.Lock) { w.opts.Lose(t, w.a, l) }}
	err := fsshare.Tree{Share: losing, Name: "tree"}.Switch(w.limit(t), two.ID)
	wantErr(t, "Switch", err, fsshare.ErrLost)
	wantCurrent(t, fsshare.Tree{Share: w.b, Name: "tree"}, one)
}

// A losingShare loses each exclusive lock as soon as it is given.
type losingShare struct {
	fsshare.Share
	lose func(fsshare.Lock)
}

func (s losingShare) Lock(ctx context.Context, lock string, opts *fsshare.LockOptions) (fsshare.Lock, error) {
	l, err := s.Share.Lock(ctx, lock, opts)
	if err == nil && !opts.WithDefaults().Shared {
		s.lose(l)
	}
	return l, err
}
