package memorytest

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/genaistore/genaistore/memory"
)

// foreign is a change of a type that no store can know.
type foreign struct{ memory.Change }

var updateCases = []testCase{
	{"Create makes a session at version 1", func(f *fixture) {
		f.update(memory.Create{Title: "t", Labels: map[string]string{"k": "v", "none": ""}})
		h := f.open(nil).Head
		f.equal(h.Version, int64(1), "the version")
		f.equal(h.Title, "t", "the title")
		f.equal(h.Labels, map[string]string{"k": "v"}, "the labels")
	}},
	{"Create of a session that exists is a conflict", func(f *fixture) {
		f.update(memory.Create{Title: "first"})
		f.refuse(memory.ErrConflict, memory.Create{Title: "second"})
		f.equal(f.open(nil).Head.Title, "first", "the title")
		other := f.other()
		other.say("a")
		other.refuse(memory.ErrConflict, memory.Create{})
		f.equal(len(other.records(nil)), 1, "records")
	}},
	{"of sixteen that create one session exactly one wins", func(f *fixture) {
		won := f.race(16, func(i int) error {
			_, err := f.store.Update(f.Context(), f.key, memory.Create{Title: fmt.Sprint(i)})
			return err
		}, memory.ErrConflict)
		f.equal(won, 1, "winners")
	}},
	{"an Update that fails changes nothing", func(f *fixture) {
		id := f.append(memory.Entry{Messages: []memory.Message{memory.Text("user", "a")}, State: memory.Delta{Set: states("old")}}, nil).Record.ID
		f.update(memory.SetTitle{Title: "old"}, memory.SetLabels{"k": "old"}, memory.SetGist{UpTo: id, Text: "old"}, memory.Annotate{Record: id, Notes: memory.Notes{Intent: "old"}})
		all := &memory.WindowOptions{Scopes: memory.AllStates, Notes: true}
		before := f.open(all)
		for _, bad := range []struct {
			change memory.Change
			want   error
		}{
			{memory.Annotate{Record: "no-such-record"}, memory.ErrNotFound},
			{memory.Redact{Record: id, Part: &memory.PartRef{Part: 9}}, memory.ErrNotFound},
			{memory.Expect{Version: 99}, memory.ErrConflict},
			{set(memory.State{"k": func() {}}), memory.ErrInvalid},
		} {
			f.refuse(bad.want, memory.SetTitle{Title: "new"}, memory.SetLabels{"k": "new", "l": "new"}, memory.SetState{Set: states("new")},
				memory.SetGist{UpTo: id, Text: "new"}, memory.Annotate{Record: id, Notes: memory.Notes{Intent: "new"}},
				memory.Edit{Record: id, Messages: []memory.Message{memory.Text("user", "new")}}, memory.Redact{Record: id}, memory.Rewind{},
				memory.Keep{Until: time.Unix(1, 0)}, bad.change)
			after := f.open(all)
			after.Bookmark = before.Bookmark
			f.equal(after, before, "the session")
		}
	}},
	{"an Update that fails creates no session", func(f *fixture) {
		f.refuse(memory.ErrNotFound, memory.Create{}, memory.SetState{Set: states("v")}, memory.Annotate{Record: "no-such-record"})
		f.absent()
		f.equal(f.at(f.key.Owner()).open(nil).States.User, memory.State{}, "the user's state")
		f.equal(f.at(f.key.Whole()).open(nil).States.App, memory.State{}, "the app's state")
	}},
	{"changes happen in the order given", func(f *fixture) {
		f.update(memory.Create{Title: "a"}, memory.SetTitle{Title: "b"}, set(memory.State{"k": 1, "l": 1}), memory.SetTitle{Title: "c"},
			memory.SetState{Unset: memory.Unset{Session: []string{"k", "l"}}}, set(memory.State{"k": 2}), memory.SetLabels{"x": "1"}, memory.SetLabels{"x": "2"})
		w := f.open(nil)
		f.equal(w.Head.Title, "c", "the title")
		f.equal(w.States.Session, memory.State{"k": 2.0}, "the state")
		f.equal(w.Head.Labels, map[string]string{"x": "2"}, "the labels")
		f.equal(w.Head.Version, int64(1), "the version")
	}},
	{"the version counts Updates, but those of Annotate alone", func(f *fixture) {
		f.say("a")
		for v := int64(2); v < 5; v++ {
			f.update(memory.SetTitle{Title: "t"}, memory.SetLabels{"k": "v"})
			f.equal(f.open(nil).Head.Version, v, "the version")
		}
		f.update(memory.Expect{Version: 4})
		f.equal(f.open(nil).Head.Version, int64(5), "the version after Expect alone")
		id := f.say("b").Record.ID
		notes := memory.Annotate{Record: id, Notes: memory.Notes{Intent: "i"}}
		f.update(notes, memory.Annotate{Record: id})
		f.equal(f.open(nil).Head.Version, int64(5), "the version after Annotate alone")
		f.update(notes, memory.SetTitle{Title: "u"})
		f.equal(f.open(nil).Head.Version, int64(6), "the version after Annotate and a title")
	}},
	{"Expect fails with a conflict unless the version is as expected", func(f *fixture) {
		f.update(memory.Create{})
		f.update(memory.Expect{Version: 1}, memory.SetTitle{Title: "a"})
		f.refuse(memory.ErrConflict, memory.Expect{Version: 1}, memory.SetTitle{Title: "b"})
		f.refuse(memory.ErrConflict, memory.SetTitle{Title: "b"}, memory.Expect{Version: 3})
		f.equal(f.open(nil).Head.Title, "a", "the title")
	}},
	{"of sixteen Updates that expect one version exactly one wins", func(f *fixture) {
		f.update(memory.Create{})
		won := f.race(16, func(i int) error {
			_, err := f.store.Update(f.Context(), f.key, memory.Expect{Version: 1}, memory.SetTitle{Title: fmt.Sprint(i)})
			return err
		}, memory.ErrConflict)
		f.equal(won, 1, "winners")
		f.equal(f.open(nil).Head.Version, int64(2), "the version")
	}},
	{"Expect and IfVersion exclude each other", func(f *fixture) {
		f.update(memory.Create{})
		won := f.race(16, func(i int) error {
			var err error
			if i%2 == 0 {
				_, err = f.store.Update(f.Context(), f.key, memory.Expect{Version: 1})
			} else {
				_, err = f.store.Append(f.Context(), f.key, entry("", "a"), &memory.AppendOptions{IfVersion: 1})
			}
			return err
		}, memory.ErrConflict)
		f.equal(won, 1, "winners")
	}},
	{"an Update has from 1 to MaxChanges changes", func(f *fixture) {
		changes := []memory.Change{memory.Create{}}
		f.refuse(memory.ErrInvalid)
		for len(changes) < memory.MaxChanges {
			changes = append(changes, memory.SetLabels{fmt.Sprint(len(changes)): "v"})
		}
		f.update(changes...)
		f.equal(len(f.open(nil).Head.Labels), memory.MaxChanges-1, "labels")
		f.refuse(memory.ErrInvalid, append(changes[1:], memory.SetTitle{}, memory.SetTitle{})...)
	}},
	{"every change but Create and Fork needs a session that exists", func(f *fixture) {
		for _, c := range []memory.Change{
			memory.Expect{Version: 1},
			memory.SetTitle{},
			memory.SetLabels{},
			memory.SetState{Set: states("v")},
			memory.SetGist{UpTo: "x"},
			memory.Annotate{Record: "x"},
			memory.Edit{Record: "x"},
			memory.Redact{Record: "x"},
			memory.Rewind{},
			memory.Keep{},
		} {
			f.refuse(memory.ErrNotFound, c)
		}
		f.absent()
		f.equal(f.at(f.key.Owner()).open(nil).States.User, memory.State{}, "the user's state")
	}},
	{"Create and Fork come first", func(f *fixture) {
		f.other().say("a")
		f.refuse(memory.ErrInvalid, memory.Create{}, memory.Create{})
		f.refuse(memory.ErrInvalid, memory.SetTitle{}, memory.Create{})
		f.refuse(memory.ErrInvalid, memory.Create{}, memory.Fork{From: "x"})
		f.absent()
	}},
	{"a change that no store knows is invalid", func(f *fixture) {
		f.say("a")
		for _, c := range []memory.Change{nil, foreign{memory.SetTitle{Title: "t"}}, foreign{}, &memory.SetTitle{Title: "t"}, (*memory.Create)(nil), memory.Change(nil)} {
			f.refuse(memory.ErrInvalid, memory.SetTitle{Title: "t"}, c)
			f.refuse(memory.ErrInvalid, c)
		}
		f.equal(f.open(nil).Head.Title, "", "the title")
	}},
	{"the key of a user takes its state and nothing else", func(f *fixture) {
		user := f.at(f.key.Owner())
		user.update(memory.SetState{Set: memory.States{User: memory.State{"k": "v"}}}, memory.SetState{Set: memory.States{User: memory.State{"l": "w"}}, Unset: memory.Unset{User: []string{"k"}}})
		f.equal(user.open(nil).States.User, memory.State{"l": "w"}, "the user's state")
		for _, c := range []memory.Change{
			memory.SetState{Set: memory.States{Session: memory.State{}}},
			memory.SetState{Set: memory.States{App: memory.State{"k": "v"}}},
			memory.SetState{Unset: memory.Unset{App: []string{"k"}}},
			memory.Create{},
			memory.SetTitle{},
			memory.Rewind{},
			memory.Keep{},
			memory.Expect{Version: 1},
		} {
			user.refuse(memory.ErrInvalid, memory.SetState{Set: memory.States{User: memory.State{"m": "x"}}}, c)
			user.refuse(memory.ErrInvalid, c)
		}
		f.equal(user.open(&memory.WindowOptions{Scopes: memory.AllStates}).States, memory.States{User: memory.State{"l": "w"}, App: memory.State{}}, "the states")
	}},
	{"the key of an app takes its state and nothing else", func(f *fixture) {
		app := f.at(f.key.Whole())
		app.update(memory.SetState{Set: memory.States{App: memory.State{"k": "v"}}})
		for _, c := range []memory.Change{memory.SetState{Set: memory.States{User: memory.State{"k": "v"}}}, memory.SetState{Unset: memory.Unset{Session: []string{"k"}}}, memory.SetLabels{}, memory.Fork{From: "x"}} {
			app.refuse(memory.ErrInvalid, c)
		}
		f.equal(app.open(nil).States.App, memory.State{"k": "v"}, "the app's state")
	}},
	{"a change that breaks a rule is invalid and changes nothing", func(f *fixture) {
		id := f.say("a").Record.ID
		long := strings.Repeat("x", 64<<10+1)
		for _, c := range []memory.Change{
			memory.Expect{},
			memory.Expect{Version: -1},
			memory.SetTitle{Title: long[:memory.MaxTitle+1]},
			memory.SetTitle{Title: "\xff"},
			memory.SetLabels{"": "v"},
			memory.SetLabels{"k": long[:memory.MaxLabelValue+1]},
			memory.SetLabels{"k\n": "v"},
			memory.SetGist{Text: "no UpTo"},
			memory.SetGist{UpTo: id, Tokens: -1},
			memory.SetGist{UpTo: id, Text: long[:memory.MaxGist+1]},
			memory.Annotate{},
			memory.Annotate{Record: id, Notes: memory.Notes{Intent: long[:257]}},
			memory.Annotate{Record: id, Notes: memory.Notes{Intent: "a\nb"}},
			memory.Annotate{Record: id, Notes: memory.Notes{Sentiment: new(1.01)}},
			memory.Annotate{Record: id, Notes: memory.Notes{Sentiment: new(math.NaN())}},
			memory.Edit{},
			memory.Edit{Record: id, Messages: []memory.Message{{Tokens: -1}}},
			memory.Edit{Record: id, Messages: make([]memory.Message, memory.MaxMessages+1)},
			memory.Redact{},
			memory.Redact{Record: id, Part: &memory.PartRef{Part: -1}},
			memory.Rewind{To: memory.RecordID(long[:65])},
			memory.Keep{Until: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
		} {
			f.refuse(memory.ErrInvalid, memory.SetTitle{Title: "new"}, c)
		}
		w := f.open(&memory.WindowOptions{Notes: true})
		f.equal(w.Head.Title, "", "the title")
		f.equal(w.Head.Version, int64(1), "the version")
	}},
}
