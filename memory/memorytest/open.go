package memorytest

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/genaistore/genaistore/memory"
)

var openCases = []testCase{
	{"a session that is not there is not found", func(f *fixture) {
		_, err := f.store.Open(f.Context(), f.key, nil)
		f.want(err, memory.ErrNotFound, "Open")
		f.want(err, fs.ErrNotExist, "Open")
		f.update(memory.Create{})
		f.equal(f.open(nil).Key, f.key, "the key")
	}},
	{"a session without records has a window", func(f *fixture) {
		f.update(memory.Create{Title: "t"})
		w := f.open(nil)
		f.equal(len(w.Records)+len(w.Orphans), 0, "records and orphans")
		f.equal(w.Earlier || w.Split, false, "earlier or split")
		f.equal(w.Gist, memory.Gist{}, "the gist")
		f.equal(w.States.Session, memory.State{}, "the state")
	}},
	{"nil options mean the newest DefaultLast records", func(f *fixture) {
		want := f.sayMany(memory.DefaultLast + 2)
		w := f.open(nil)
		f.equal(texts(w.Records), want[2:], "the records")
		f.equal(w.Earlier, true, "earlier")
		f.equal(w.States.User, memory.State(nil), "the user's state, not asked for")
		f.equal(f.open(&memory.WindowOptions{}).Records, w.Records, "the records with zero options")
	}},
	{"Last bounds the records, and a negative one means none", func(f *fixture) {
		all := f.sayMany(4)
		for last, want := range map[int][]string{1: all[3:], 3: all[1:], 4: all, 5: all, -1: {}, -1 << 60: {}, 1<<63 - 1: all} {
			w := f.open(&memory.WindowOptions{Last: last})
			f.equal(texts(w.Records), want, fmt.Sprint("the records with Last ", last))
			f.equal(w.Earlier, len(want) < len(all), "earlier")
			f.equal(w.States.Session, memory.State{}, "the state")
		}
	}},
	{"the head says when the session was active, to five minutes", func(f *fixture) {
		f.update(memory.Create{})
		created := f.open(nil).Head
		if d := time.Since(created.Created); d.Abs() > time.Minute {
			f.Errorf("created %s ago", d)
		}
		for range 2 {
			r := f.say("a")
			h := f.open(nil).Head
			f.equal(h.Created, created.Created, "the time of creation")
			if d := r.Record.Time.Sub(h.Active).Abs(); d > 5*time.Minute {
				f.Errorf("active %s from the last append", d)
			}
		}
	}},
	{"Scopes selects the states, empty where there is nothing", func(f *fixture) {
		f.update(memory.Create{})
		none := memory.State{}
		for scopes, want := range map[memory.Scopes]memory.States{
			memory.OwnState:  {Session: none},
			memory.AllStates: {Session: none, User: none, App: none},
			memory.NoState:   {},
		} {
			f.equal(f.open(&memory.WindowOptions{Scopes: scopes}).States, want, fmt.Sprint("empty states, scopes ", scopes))
		}
		f.append(memory.Entry{State: memory.Delta{Set: states("v")}}, nil)
		all := states("v")
		for scopes, want := range map[memory.Scopes]memory.States{
			memory.OwnState:  {Session: all.Session},
			memory.AllStates: all,
			memory.NoState:   {},
		} {
			f.equal(f.open(&memory.WindowOptions{Scopes: scopes}).States, want, fmt.Sprint("states, scopes ", scopes))
		}
	}},
	{"the key of a user or an app opens its state, which is always there", func(f *fixture) {
		user, app := f.at(f.key.Owner()), f.at(f.key.Whole())
		for _, v := range []memory.State{{}, {"k": "v"}} {
			if len(v) > 0 {
				user.update(memory.SetState{Set: memory.States{User: v}})
				app.update(memory.SetState{Set: memory.States{App: v}})
			}
			for _, c := range []struct {
				at     *fixture
				scopes memory.Scopes
				want   memory.States
			}{
				{user, memory.OwnState, memory.States{User: v}},
				{user, memory.AllStates, memory.States{User: v, App: v}},
				{user, memory.NoState, memory.States{}},
				{app, memory.OwnState, memory.States{App: v}},
				{app, memory.AllStates, memory.States{App: v}},
				{app, memory.NoState, memory.States{}},
			} {
				w := c.at.open(&memory.WindowOptions{Scopes: c.scopes})
				want := memory.Window{Key: c.at.key, States: c.want, Bookmark: w.Bookmark}
				f.equal(w, want, "the window")
			}
		}
	}},
	{"a read at least a bookmark sees what was written there", func(f *fixture) {
		for i := range 3 {
			b := f.say("a").Bookmark
			f.equal(len(f.open(&memory.WindowOptions{AtLeast: b}).Records), i+1, "records after an Append")
			title := fmt.Sprint(i)
			b = f.update(memory.SetTitle{Title: title})
			w := f.open(&memory.WindowOptions{AtLeast: b})
			f.equal(w.Head.Title, title, "the title after an Update")
			f.open(&memory.WindowOptions{AtLeast: w.Bookmark})
			user := f.at(f.key.Owner())
			b = user.update(memory.SetState{Set: memory.States{User: memory.State{"i": i}}})
			f.equal(user.open(&memory.WindowOptions{AtLeast: b}).States.User, memory.State{"i": float64(i)}, "the user's state")
			user.open(&memory.WindowOptions{AtLeast: user.open(nil).Bookmark})
		}
		b := f.say("a").Bookmark
		f.delete()
		_, err := f.store.Open(f.Context(), f.key, &memory.WindowOptions{AtLeast: b})
		f.want(err, memory.ErrNotFound, "Open of a deleted session at least an old bookmark")
	}},
	{"a bookmark is short, fits in JSON and names nobody", func(f *fixture) {
		var all []memory.Bookmark
		all = append(all, f.say("secret").Bookmark, f.update(memory.SetTitle{Title: "secret"}), f.open(nil).Bookmark)
		for _, b := range all {
			raw, err := json.Marshal(b)
			var back memory.Bookmark
			if err != nil || json.Unmarshal(raw, &back) != nil || back != b {
				f.Errorf("%q is not the same after JSON", b)
			}
			if b == "" || len(b) > memory.MaxBookmark || !utf8.ValidString(string(b)) {
				f.Errorf("a bookmark of %d bytes: %q", len(b), b)
			}
			for _, secret := range []string{f.key.App, f.key.User, "secret"} {
				if strings.Contains(string(b), secret) {
					f.Errorf("bookmark %q contains %q", b, secret)
				}
			}
		}
	}},
	{"an earlier window in Held changes nothing", func(f *fixture) {
		first := f.say("a").Record.ID
		f.append(memory.Entry{Messages: []memory.Message{memory.Text("user", "b")}, State: memory.Delta{Set: memory.States{Session: memory.State{"k": "v"}}}}, nil)
		f.other().say("elsewhere")
		last := f.say("c").Record.ID
		elsewhere := f.other()
		elsewhere.say("x")
		held := []memory.Window{f.open(nil), f.open(&memory.WindowOptions{Last: 1}), elsewhere.open(nil), {}}
		check := func(what string) {
			f.Helper()
			for _, opts := range []memory.WindowOptions{{Scopes: memory.AllStates, Notes: true}, {Last: 2}, {Tokens: 12}} {
				want := f.open(&opts)
				for i := range held {
					opts.Held = &held[i]
					got := f.open(&opts)
					got.Bookmark = want.Bookmark
					f.equal(got, want, what)
				}
			}
		}
		check("the window after nothing")
		f.say("d")
		check("the window after an Append")
		f.update(memory.Annotate{Record: first, Notes: memory.Notes{Intent: "i"}}, memory.SetGist{UpTo: first, Text: "g", Tokens: 2})
		check("the window after notes and a gist")
		f.update(memory.Edit{Record: first, Messages: []memory.Message{memory.Text("user", "A")}}, memory.SetState{Set: memory.States{Session: memory.State{"k": "w"}}})
		check("the window after an Edit")
		f.update(memory.Redact{Record: first})
		check("the window after a Redact")
		f.update(memory.Rewind{To: last})
		check("the window after a Rewind")
		f.delete()
		f.say("new")
		check("the window of a new session with the old key")
	}},
	{"notes come where they are asked for", func(f *fixture) {
		r := f.say("a").Record
		f.update(memory.Annotate{Record: r.ID, Notes: richNotes()})
		f.equal(f.open(nil).Records[0].Notes, memory.Notes{}, "notes not asked for")
		f.equal(f.open(&memory.WindowOptions{Notes: true}).Records[0].Notes, richNotes(), "notes asked for")
	}},
	{"options that break a rule are invalid", func(f *fixture) {
		f.say("a")
		for _, opts := range []memory.WindowOptions{{Tokens: -1}, {Scopes: memory.NoState + 1}} {
			_, err := f.store.Open(f.Context(), f.key, &opts)
			f.want(err, memory.ErrInvalid, "Open with %+v", opts)
		}
	}},
}

func richNotes() memory.Notes {
	return memory.Notes{Intent: "buy", Sentiment: new(-0.25), Language: "en-GB", Model: "m", Labels: map[string]string{"k": "v"}}
}

// sayMany appends n texts and returns them.
func (f *fixture) sayMany(n int) []string {
	f.Helper()
	var all []string
	for i := range n {
		all = append(all, fmt.Sprint("text ", i))
		f.say(all[i])
	}
	return all
}
