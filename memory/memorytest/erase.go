package memorytest

import (
	"time"

	"github.com/genaistore/genaistore/memory"
)

var eraseCases = []testCase{
	{"Delete erases a session and nothing else", func(f *fixture) {
		other := f.other()
		other.say("b")
		id := f.append(richEntry(), nil).Record.ID
		f.update(memory.Annotate{Record: id, Notes: richNotes()}, memory.SetGist{UpTo: id, Text: "g"}, memory.SetTitle{Title: "t"}, memory.SetLabels{"k": "v"})
		f.delete()
		f.absent()
		f.equal(texts(other.records(nil)), []string{"b"}, "the records of another session")
		f.equal(f.at(f.key.Owner()).open(&memory.WindowOptions{Scopes: memory.AllStates}).States, memory.States{User: memory.State{"u": "v"}, App: memory.State{"a": "v"}}, "the states of user and app")
		f.eventually(func() bool {
			return len(f.find(memory.Query{Intent: richNotes().Intent, Since: time.Now().Add(-time.Hour)})) == 0
		}, "no record by intent")
		f.sameKeys(f.find(memory.Query{}), other.key)
	}},
	{"Delete of what is not there succeeds", func(f *fixture) {
		f.delete()
		f.say("a")
		f.delete()
		f.delete()
		f.absent()
	}},
	{"a session made after Delete has nothing of the old", func(f *fixture) {
		id := f.append(richEntry(), nil).Record.ID
		f.update(memory.Annotate{Record: id, Notes: richNotes()}, memory.SetGist{UpTo: id, Text: "g"}, memory.SetTitle{Title: "t"}, memory.SetLabels{"k": "v"})
		f.delete()
		r := f.say("new").Record
		if r.ID <= id {
			f.Errorf("id %q does not sort after %q, which was deleted", r.ID, id)
		}
		w := f.open(&memory.WindowOptions{Notes: true})
		f.equal(w.Records, []memory.Record{r}, "the records")
		f.equal(w.States.Session, memory.State{}, "the state")
		f.equal(w.Gist, memory.Gist{}, "the gist")
		f.equal(w.Head.Version, int64(1), "the version")
		f.equal(w.Head.Title, "", "the title")
		f.equal(len(w.Head.Labels), 0, "labels")
	}},
	{"Delete needs a session", func(f *fixture) {
		f.append(userState(), nil)
		for _, key := range []memory.Key{f.key.Owner(), f.key.Whole(), {}} {
			f.want(f.store.Delete(f.Context(), key), memory.ErrInvalid, "Delete of %q", key)
		}
		f.equal(f.open(&memory.WindowOptions{Scopes: memory.AllStates}).States.User, memory.State{"k": "v"}, "the user's state")
	}},
	{"Forget erases a user and nobody else", func(f *fixture) {
		key := f.key
		key.User = name("user")
		stranger := f.at(key)
		for _, g := range []*fixture{f, f.other(), f.other(), stranger} {
			g.append(memory.Entry{Messages: []memory.Message{memory.Text("user", "a")}, State: memory.Delta{Set: states("v")}}, nil)
		}
		f.at(f.key.Owner()).update(memory.SetState{Set: memory.States{User: memory.State{"l": "w"}}})
		for _, want := range []memory.Erasure{{Sessions: 3, StateKeys: 2}, {}} {
			got, err := memory.Forget(f.Context(), f.store, f.key.Owner())
			if err != nil {
				f.Fatal(err)
			}
			f.equal(got, want, "what was erased")
		}
		f.absent()
		f.equal(f.at(f.key.Owner()).open(nil).States.User, memory.State{}, "the user's state")
		f.sameKeys(f.find(memory.Query{}), stranger.key)
		f.equal(stranger.open(&memory.WindowOptions{Scopes: memory.AllStates}).States, states("v"), "the states of another user")
	}},
	{"Forget needs a user", func(f *fixture) {
		f.say("a")
		for _, key := range []memory.Key{{}, f.key, f.key.Whole()} {
			_, err := memory.Forget(f.Context(), f.store, key)
			f.want(err, memory.ErrInvalid, "Forget of %q", key)
		}
		f.equal(len(f.records(nil)), 1, "records")
	}},
}
