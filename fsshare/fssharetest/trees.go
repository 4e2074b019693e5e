package fssharetest

import (
	"fmt"
	"io/fs"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/genaistore/genaistore/fsshare"
)

var treeCases = []promise{
	{"a published release has the paths, modes and bytes of its files", treePublish},
	{"the same files are the same release, and publishing them again writes nothing", treeSame},
	{"publishing makes nothing current", treeNotCurrent},
	{"Switch makes a release current on every client", treeSwitch},
	{"Switch to what is not published is ErrNotFound and changes nothing", treeSwitchAbsent},
	{"Rollback goes back, and further back, never to and fro", treeRollback},
	{"Rollback from what is not current is ErrConflict and changes nothing", treeRollbackStale},
	{"of many Rollbacks from one release, one is done", treeRollbackRace},
	{"Collect removes what nobody needs, and nothing else", treeCollect},
	{"Collect leaves what is younger than its grace", treeGrace},
	{"Collect looks again under the release's lock", treeCollectRace},
	{"Collect leaves a release that is being switched to", treeSwitchRace},
	{"Pin holds what is current, also when that changes meanwhile", treePinRace},
	{"a pinned release stays until the pin is closed", treePin},
	{"Verify finds what was changed, removed or added", treeVerify},
	{"Watch yields the current release, then each that becomes current", treeWatch},
	{"publishers, switchers, pins and collectors may work at the same time", treeTogether},
}

func treeOf(version string) fstest.MapFS {
	return fstest.MapFS{
		"VERSION":      {Data: []byte(version), Mode: 0o644},
		"bin/run":      {Data: []byte("#!" + version), Mode: 0o755},
		"lib/a/b/data": {Data: []byte("same in all"), Mode: 0o600},
		"lib/empty":    {},
	}
}

func publish(t *testing.T, tree fsshare.Tree, version string) fsshare.Release {
	t.Helper()
	r, err := tree.Publish(t.Context(), treeOf(version), nil)
	if err != nil {
		t.Fatalf("Publish(%s) = %v", version, err)
	}
	return r
}

// release publishes and switches.
func release(t *testing.T, tree fsshare.Tree, version string) fsshare.Release {
	t.Helper()
	r := publish(t, tree, version)
	if err := tree.Switch(t.Context(), r.ID); err != nil {
		t.Fatalf("Switch(%s) = %v", version, err)
	}
	return r
}

func wantCurrent(t *testing.T, tree fsshare.Tree, want fsshare.Release) {
	t.Helper()
	got, err := tree.Current(t.Context())
	if err != nil || got != want {
		t.Errorf("Current = %v, %v, want %v", got, err, want)
	}
}

// on returns the tree as the two clients have it.
func (w world) trees(keep int) (a, b fsshare.Tree) {
	return fsshare.Tree{Share: w.a, Name: "apps/tree", Keep: keep}, fsshare.Tree{Share: w.b, Name: "apps/tree", Keep: keep}
}

func treePublish(t *testing.T, w world) {
	a, b := w.trees(0)
	r := publish(t, a, "one")
	files, err := fs.Sub(w.b.FS(t.Context()), r.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(files, "VERSION", "bin/run", "lib/a/b/data", "lib/empty"); err != nil {
		t.Error(err)
	}
	m, err := b.Manifest(t.Context(), r.ID)
	if err != nil || m.Release != r || len(m.Files) != 4 {
		t.Fatalf("Manifest = %+v, %v", m, err)
	}
	for _, e := range m.Files {
		want := treeOf("one")[e.Path]
		if want.Mode == 0 {
			want.Mode = 0o644
		}
		got, err := fs.ReadFile(files, e.Path)
		if err != nil || string(got) != string(want.Data) || e.Size != int64(len(got)) {
			t.Errorf("%s = %q, %v, and the manifest says %+v", e.Path, got, err, e)
		}
		stat, err := fs.Stat(files, e.Path)
		if err != nil || stat.Mode() != want.Mode || e.Mode != want.Mode {
			t.Errorf("%s has mode %v, %v, want %v", e.Path, stat.Mode(), err, want.Mode)
		}
	}
	if err := b.Verify(t.Context(), r.ID); err != nil {
		t.Errorf("Verify = %v", err)
	}
	if _, err := a.Publish(t.Context(), fstest.MapFS{}, nil); err == nil {
		t.Error("a tree without files was published")
	}
}

func treeSame(t *testing.T, w world) {
	a, b := w.trees(0)
	r := publish(t, a, "one")
	times := func() (s string) {
		err := fs.WalkDir(w.a.FS(t.Context()), a.Name, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			s += fmt.Sprintln(name, info.ModTime().UnixNano())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := times()
	wantEqual(t, "the release of the same files", publish(t, b, "one"), r)
	wantEqual(t, "what was written", times(), before)
	if publish(t, b, "two") == r {
		t.Error("other files have the same release")
	}
	moved := treeOf("one")
	moved["bin/run"].Mode = 0o700
	if other, err := a.Publish(t.Context(), moved, nil); err != nil || other == r {
		t.Errorf("another mode = %v, %v, want another release", other, err)
	}
}

func treeNotCurrent(t *testing.T, w world) {
	a, b := w.trees(0)
	publish(t, a, "one")
	_, err := b.Current(t.Context())
	wantErr(t, "Current of a tree never switched", err, fsshare.ErrNotFound)
	_, err = b.Pin(t.Context(), nil)
	wantErr(t, "Pin of a tree never switched", err, fsshare.ErrNotFound)
	ring, err := b.Releases(t.Context())
	if err != nil || len(ring) != 0 {
		t.Errorf("Releases = %v, %v", ring, err)
	}
}

func treeSwitch(t *testing.T, w world) {
	a, b := w.trees(2)
	var all []fsshare.Release
	for _, version := range []string{"one", "two", "three", "four"} {
		all = append(all, release(t, a, version))
		wantCurrent(t, b, all[len(all)-1])
	}
	wantReleases(t, b, all[3], all[2], all[1])
	if err := a.Switch(t.Context(), all[3].ID); err != nil {
		t.Errorf("Switch to the current release = %v", err)
	}
	wantReleases(t, b, all[3], all[2], all[1])
	if err := a.Switch(t.Context(), all[2].ID); err != nil {
		t.Errorf("Switch to an earlier release = %v", err)
	}
	wantReleases(t, b, all[2], all[3], all[1])
}

func wantReleases(t *testing.T, tree fsshare.Tree, want ...fsshare.Release) {
	t.Helper()
	got, err := tree.Releases(t.Context())
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("Releases = %v, %v\nwant %v", got, err, want)
	}
}

func treeSwitchAbsent(t *testing.T, w world) {
	a, b := w.trees(0)
	one := release(t, a, "one")
	other := publish(t, fsshare.Tree{Share: w.a, Name: "other"}, "two")
	wantErr(t, "Switch to another tree's release", a.Switch(t.Context(), other.ID), fsshare.ErrNotFound)
	for _, id := range []string{"", "one", other.ID[1:], other.ID + "0", "../" + other.ID[3:]} {
		wantErr(t, "Switch to no id", a.Switch(t.Context(), id), fsshare.ErrInvalid)
	}
	wantCurrent(t, b, one)
	_, err := b.Pin(t.Context(), &fsshare.PinOptions{ID: other.ID})
	wantErr(t, "Pin of another tree's release", err, fsshare.ErrNotFound)
}

func treeRollback(t *testing.T, w world) {
	a, b := w.trees(0)
	one, two, three := release(t, a, "one"), release(t, a, "two"), release(t, a, "three")
	for _, step := range []struct{ from, to fsshare.Release }{{three, two}, {two, one}} {
		got, err := b.Rollback(t.Context(), step.from.ID)
		if err != nil || got != step.to {
			t.Errorf("Rollback = %v, %v, want %v", got, err, step.to)
		}
		wantCurrent(t, a, step.to)
	}
	_, err := b.Rollback(t.Context(), one.ID)
	wantErr(t, "Rollback from the first release", err, fsshare.ErrNotFound)
	wantReleases(t, a, one)
}

func treeRollbackStale(t *testing.T, w world) {
	a, b := w.trees(0)
	one, two := release(t, a, "one"), release(t, a, "two")
	_, err := b.Rollback(t.Context(), one.ID)
	wantErr(t, "Rollback from an earlier release", err, fsshare.ErrConflict)
	wantReleases(t, b, two, one)
	if _, err := b.Rollback(t.Context(), two.ID); err != nil {
		t.Fatal(err)
	}
	_, err = b.Rollback(t.Context(), two.ID)
	wantErr(t, "a repeated Rollback", err, fsshare.ErrConflict)
	wantReleases(t, a, one)
}

func treeRollbackRace(t *testing.T, w world) {
	a, b := w.trees(0)
	_, two, three := release(t, a, "one"), release(t, a, "two"), release(t, a, "three")
	var mu sync.Mutex
	done := 0
	w.both(3, func(_ int, s fsshare.Share) {
		_, err := fsshare.Tree{Share: s, Name: a.Name}.Rollback(w.limit(t), three.ID)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			done++
		} else {
			wantErr(t, "Rollback", err, fsshare.ErrConflict)
		}
	})
	wantEqual(t, "Rollbacks done", done, 1)
	wantCurrent(t, b, two)
}

// soon is a grace that has passed when anything is looked at.
var soon = &fsshare.CollectOptions{Grace: time.Nanosecond}

func treeCollect(t *testing.T, w world) {
	a, b := w.trees(1)
	collected := func(want ...fsshare.Release) {
		t.Helper()
		got := map[fsshare.Release]bool{}
		w.eventually(t, "the releases that nobody needs go", func() bool { // the share's clock may be behind
			removed, err := b.Collect(t.Context(), soon)
			if err != nil {
				t.Fatalf("Collect = %v", err)
			}
			for _, r := range removed {
				got[r] = true
			}
			return len(got) >= len(want)
		})
		for _, r := range want {
			if !got[r] {
				t.Errorf("Collect left %v", r)
			}
			_, err := fs.Stat(w.a.FS(t.Context()), a.Name+"/"+r.ID)
			wantErr(t, "Stat of a collected release", err, fsshare.ErrNotFound)
		}
		wantEqual(t, "releases collected", len(got), len(want))
	}
	stray := publish(t, a, "zero")
	collected() // never switched
	one, two, three := release(t, a, "one"), release(t, a, "two"), release(t, a, "three")
	write(t, w.a, a.Name+"/notes", "not ours")
	write(t, w.a, a.Name+"/below/file", "a tree below")
	nested := fsshare.Tree{Share: w.a, Name: a.Name + "/below"}
	below := release(t, nested, "below")
	collected(stray, one)
	wantReleases(t, a, three, two)
	for _, r := range []fsshare.Release{two, three} {
		if err := a.Verify(t.Context(), r.ID); err != nil {
			t.Errorf("Verify of what Collect has to leave = %v", err)
		}
	}
	if err := nested.Verify(t.Context(), below.ID); err != nil {
		t.Errorf("Verify of a tree below = %v", err)
	}
	wantEqual(t, "a file beside the releases", read(t, w.b, a.Name+"/notes"), "not ours")
	wantErr(t, "Switch to a collected release", a.Switch(t.Context(), one.ID), fsshare.ErrNotFound)
	wantEqual(t, "a collected release published again", publish(t, a, "one"), one)
	if err := a.Verify(t.Context(), one.ID); err != nil {
		t.Errorf("Verify = %v", err)
	}
}

func treeGrace(t *testing.T, w world) {
	a, _ := w.trees(1)
	one := release(t, a, "one")
	for _, version := range []string{"two", "three", "four"} {
		release(t, a, version)
	}
	for _, opts := range []*fsshare.CollectOptions{nil, {Grace: 24 * time.Hour}} {
		removed, err := a.Collect(t.Context(), opts)
		if err != nil || len(removed) != 0 {
			t.Errorf("Collect = %v, %v, want nothing", removed, err)
		}
	}
	if err := a.Verify(t.Context(), one.ID); err != nil {
		t.Errorf("Verify = %v", err)
	}
	_, err := a.Collect(t.Context(), &fsshare.CollectOptions{Grace: -1})
	wantErr(t, "Collect with a negative grace", err, fsshare.ErrInvalid)
}

func treePin(t *testing.T, w world) {
	a, b := w.trees(1)
	one := release(t, a, "one")
	current, err := b.Pin(w.limit(t), nil)
	if err != nil || current.Release != one {
		t.Fatalf("Pin = %v, %v, want %v", current, err, one)
	}
	byID, err := a.Pin(w.limit(t), &fsshare.PinOptions{ID: one.ID, Purpose: "training"})
	if err != nil || byID.Release != one {
		t.Fatalf("Pin = %v, %v, want %v", byID, err, one)
	}
	t.Cleanup(func() { _, _ = current.Close(), byID.Close() })
	release(t, a, "two")
	release(t, a, "three")
	for _, pin := range []*fsshare.Pin{current, byID} {
		if removed, err := a.Collect(t.Context(), soon); err != nil || len(removed) != 0 {
			t.Fatalf("Collect = %v, %v, want the pinned release left", removed, err)
		}
		if err := b.Verify(pin.Context(), one.ID); err != nil {
			t.Errorf("Verify of a pinned release = %v", err)
		}
		for range 2 {
			if err := pin.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		}
		if pin.Context().Err() == nil {
			t.Error("the pin's context goes on after Close")
		}
	}
	w.eventually(t, "the release goes after its pins", func() bool {
		removed, err := a.Collect(t.Context(), soon)
		if err != nil {
			t.Fatal(err)
		}
		return len(removed) == 1 && removed[0] == one
	})
}

func treeVerify(t *testing.T, w world) {
	a, b := w.trees(0)
	spoil := map[string]func(r fsshare.Release){
		"other bytes": func(r fsshare.Release) { write(t, w.a, r.Dir+"/VERSION", "0ther bytes") },
		"more bytes":  func(r fsshare.Release) { write(t, w.a, r.Dir+"/lib/empty", "x") },
		"another mode": func(r fsshare.Release) {
			write(t, w.a, r.Dir+"/bin/run", "#!another mode")
		},
		"removed":        func(r fsshare.Release) { remove(t, w.a, r.Dir+"/lib/a/b/data") },
		"added":          func(r fsshare.Release) { write(t, w.a, r.Dir+"/lib/a/new", "x") },
		"other manifest": func(r fsshare.Release) { write(t, w.a, r.Dir+"/../MANIFEST", `{"schema":1,"files":[]}`) },
	}
	spoil["other manifest"] = func(r fsshare.Release) {
		write(t, w.a, a.Name+"/"+r.ID+"/MANIFEST", `{"schema":1,"files":[]}`)
	}
	for what, spoil := range spoil {
		r := publish(t, a, what)
		if err := b.Verify(t.Context(), r.ID); err != nil {
			t.Fatalf("Verify = %v", err)
		}
		spoil(r)
		wantErr(t, "Verify after "+what, b.Verify(t.Context(), r.ID), fsshare.ErrCorrupt)
	}
	r := publish(t, a, "one")
	remove(t, w.a, a.Name+"/"+r.ID+"/MANIFEST")
	wantErr(t, "Verify of a release without its manifest", b.Verify(t.Context(), r.ID), fsshare.ErrNotFound)
	wantErr(t, "Switch to it", b.Switch(t.Context(), r.ID), fsshare.ErrNotFound)
}

func treeWatch(t *testing.T, w world) {
	a, b := w.trees(0)
	one, two := publish(t, a, "one"), publish(t, a, "two")
	if err := a.Switch(t.Context(), one.ID); err != nil {
		t.Fatal(err)
	}
	steps := []fsshare.Release{one, two, one}
	i := 0
	for r, err := range b.Watch(w.limit(t), &fsshare.WatchOptions{Every: w.opts.Every}) {
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "the release", r, steps[i])
		if i++; i == len(steps) {
			break
		}
		if err := a.Switch(t.Context(), steps[i].ID); err != nil {
			t.Fatal(err)
		}
	}
	wantEqual(t, "releases seen", i, len(steps))
}

func treeTogether(t *testing.T, w world) {
	a, _ := w.trees(1)
	release(t, a, "first")
	w.both(2, func(i int, s fsshare.Share) {
		tree := fsshare.Tree{Share: s, Name: a.Name, Keep: 1}
		ctx := w.limit(t)
		for j := range 6 {
			r, err := tree.Publish(ctx, treeOf(fmt.Sprint((i+j)%4)), nil)
			if err != nil {
				t.Errorf("Publish = %v", err)
				return
			}
			// It may be collected before the switch: then it is published again.
			if err := tree.Switch(ctx, r.ID); err != nil {
				wantErr(t, "Switch", err, fsshare.ErrNotFound)
			}
			pin, err := tree.Pin(ctx, nil)
			if err != nil {
				t.Errorf("Pin = %v", err)
				return
			}
			if err := tree.Verify(ctx, pin.Release.ID); err != nil {
				t.Errorf("Verify of a pinned release = %v", err)
			}
			if _, err := tree.Collect(ctx, soon); err != nil {
				t.Errorf("Collect = %v", err)
			}
			if err := tree.Verify(ctx, pin.Release.ID); err != nil {
				t.Errorf("Verify of a pinned release after Collect = %v", err)
			}
			if err := pin.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		}
	})
	now, err := a.Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Verify(t.Context(), now.ID); err != nil {
		t.Errorf("Verify of the current release = %v", err)
	}
}
