package memorytest

import (
	"time"

	"github.com/genaistore/genaistore/memory"
)

// branch makes a fork of f and returns it.
func (f *fixture) branch(upTo memory.RecordID) *fixture {
	f.Helper()
	child := f.other()
	child.update(memory.Fork{From: f.key.Session, UpTo: upTo})
	return child
}

var forkCases = []testCase{
	{"a fork has a copy of all records, notes, state and the gist", func(f *fixture) {
		id := f.append(richEntry(), once("r")).Record.ID
		f.script("1:a", "1:b")
		gist := memory.Gist{UpTo: id, Text: "g", Tokens: 1}
		f.update(memory.SetTitle{Title: "t"}, memory.SetLabels{"k": "v"}, memory.SetGist(gist), memory.Annotate{Record: id, Notes: richNotes()}, memory.Keep{Until: time.Now().Add(time.Hour)})
		child := f.branch("")
		opts := &memory.WindowOptions{Notes: true, Scopes: memory.AllStates}
		got, want := child.open(opts), f.open(opts)
		f.equal(got.Records, want.Records, "the records")
		f.equal(got.States, want.States, "the states")
		f.equal(got.Gist, gist, "the gist")
		f.equal(got.Head.Version, int64(1), "the version")
		f.equal(got.Head.Title, "", "the title")
		f.equal(len(got.Head.Labels), 0, "labels")
		f.equal(got.Head.Parent, memory.Parent{Session: f.key.Session, UpTo: want.Records[2].ID}, "the parent")
		if e := got.Head.Expires; e.Equal(want.Head.Expires) {
			f.Errorf("the fork expires with its parent, at %s", e)
		}
		f.equal(child.records(&memory.RangeOptions{Notes: true}), f.records(&memory.RangeOptions{Notes: true}), "the records in a range")
	}},
	{"a fork up to a record has nothing after it", func(f *fixture) {
		all := f.script(":a", ":b", ":c")
		f.update(memory.SetGist{UpTo: all[1], Text: "g"}, set(memory.State{"k": "present"}))
		child := f.branch(all[0])
		w := child.open(nil)
		f.equal(ids(w.Records), all[:1], "the records")
		f.equal(w.Gist, memory.Gist{}, "the gist, which reaches further")
		f.equal(w.States.Session, memory.State{"k": "present"}, "the state")
		f.equal(w.Head.Parent, memory.Parent{Session: f.key.Session, UpTo: all[0]}, "the parent")
		f.equal(f.branch(all[1]).open(nil).Gist.Text, "g", "the gist, which reaches as far")
	}},
	{"a fork and its parent have nothing in common afterwards", func(f *fixture) {
		all := f.script(":a", ":b")
		f.update(set(memory.State{"k": "v", "m": map[string]any{"x": 1}}), memory.Annotate{Record: all[0], Notes: memory.Notes{Intent: "i"}})
		child := f.branch("")
		opts := &memory.WindowOptions{Notes: true}
		before := child.open(opts)
		f.update(memory.Redact{Record: all[0]}, memory.Edit{Record: all[1]}, memory.Annotate{Record: all[0]}, set(memory.State{"k": "w"}))
		f.say("c")
		f.same(child.open(opts), before, "the fork after changes to its parent")
		f.delete()
		f.same(child.open(opts), before, "the fork after its parent was deleted")
		child.say("d")
		f.equal(texts(child.records(nil)), []string{"a", "b", "d"}, "the records of the fork")
		f.absent()
	}},
	{"changes to a fork leave its parent as it was", func(f *fixture) {
		all := f.script(":a", ":b", ":c")
		f.update(set(memory.State{"k": "v"}))
		opts := &memory.WindowOptions{Notes: true}
		before := f.open(opts)
		child := f.branch(all[1])
		child.update(memory.Redact{Record: all[0]}, memory.Annotate{Record: all[1], Notes: memory.Notes{Intent: "i"}}, set(memory.State{"k": "w"}))
		child.say("d")
		child.update(memory.Rewind{})
		f.same(f.open(opts), before, "the parent")
		child.delete()
		f.same(f.open(opts), before, "the parent after the fork was deleted")
	}},
	{"what is appended to a fork and to its parent does not meet", func(f *fixture) {
		all := f.script(":a", ":b", ":c")
		child := f.branch(all[0])
		child.say("child")
		f.say("parent")
		f.equal(texts(f.records(nil)), []string{"a", "b", "c", "parent"}, "the records of the parent")
		f.equal(texts(child.records(nil)), []string{"a", "child"}, "the records of the fork")
	}},
	{"a fork does not remember request ids", func(f *fixture) {
		f.append(entry("", "a"), once("r"))
		child := f.branch("")
		f.equal(child.append(entry("", "b"), once("r")).Replayed, false, "replay in the fork")
		f.equal(texts(child.records(nil)), []string{"a", "b"}, "the records of the fork")
		f.equal(f.append(entry("", "c"), once("r")).Replayed, true, "replay in the parent")
	}},
	{"an Append to a fork sorts after the records it copied", func(f *fixture) {
		last := f.script(":a", ":b")[1]
		child := f.branch("")
		if id := child.say("c").Record.ID; id <= last {
			f.Errorf("id %q does not sort after %q", id, last)
		}
	}},
	{"a fork of an empty session is empty", func(f *fixture) {
		f.update(memory.Create{})
		w := f.branch("").open(nil)
		f.equal(len(w.Records), 0, "records")
		f.equal(w.Head.Parent, memory.Parent{Session: f.key.Session}, "the parent")
	}},
	{"a fork may change more in the same Update", func(f *fixture) {
		all := f.script(":a", ":b")
		child := f.other()
		child.update(memory.Fork{From: f.key.Session}, memory.SetTitle{Title: "t"}, set(memory.State{"k": "v"}), memory.Redact{Record: all[0]})
		w := child.open(nil)
		f.equal(w.Head.Title, "t", "the title")
		f.equal(w.Records[0].Redacted, true, "redacted in the fork")
		f.equal(f.records(nil)[0].Redacted, false, "redacted in the parent")
	}},
	{"a fork of what is not there is not found", func(f *fixture) {
		f.refuse(memory.ErrNotFound, memory.Fork{From: "no-such-session"})
		f.absent()
		all := f.script(":a", ":b")
		child := f.other()
		child.refuse(memory.ErrNotFound, memory.Fork{From: f.key.Session, UpTo: all[1] + "0"})
		key := f.key
		key.User = name("user")
		f.at(key).refuse(memory.ErrNotFound, memory.Fork{From: f.key.Session})
		child.refuse(memory.ErrInvalid, memory.Fork{})
		child.absent()
	}},
	{"a fork to a session that exists is a conflict", func(f *fixture) {
		f.say("a")
		child := f.other()
		child.say("b")
		child.refuse(memory.ErrConflict, memory.Fork{From: f.key.Session})
		f.refuse(memory.ErrConflict, memory.Fork{From: f.key.Session})
		f.equal(texts(child.records(nil)), []string{"b"}, "the records")
	}},
}

// same compares windows apart from their bookmarks.
func (f *fixture) same(got, want memory.Window, what string) {
	f.Helper()
	got.Bookmark = want.Bookmark
	f.equal(got, want, what)
}
