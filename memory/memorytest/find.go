package memorytest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/genaistore/genaistore/memory"
)

var findCases = []testCase{
	{"the sessions of a user are complete at once, with their heads", func(f *fixture) {
		f.update(memory.Create{Title: "t", Labels: map[string]string{"k": "v"}})
		f.sameKeys(f.find(memory.Query{User: f.key.User}), f.key)
		second, third := f.other(), f.branch("")
		second.say("a")
		f.sameKeys(f.find(memory.Query{User: f.key.User}), f.key, second.key, third.key)
		f.update(memory.SetTitle{Title: "new"})
		for _, m := range f.find(memory.Query{User: f.key.User}) {
			want := f.at(m.Key).open(nil).Head
			if d := want.Active.Sub(m.Head.Active).Abs(); d > 5*time.Minute {
				f.Errorf("listed as active %s from what the session says", d)
			}
			m.Head.Active = want.Active
			f.equal(m.Head, want, "the head")
			f.equal(m.Record, memory.RecordID(""), "the record in the match of a session")
			f.equal(m.Notes, memory.Notes{}, "the notes in the match of a session")
		}
	}},
	{"thirty sessions that are created at once are all found", func(f *fixture) {
		var want []memory.Key
		for i := range 30 {
			key := f.key
			key.Session = fmt.Sprint(i)
			want = append(want, key)
		}
		f.race(len(want), func(i int) error {
			_, err := f.store.Append(f.Context(), want[i], entry("", "a"), nil)
			return err
		}, nil)
		f.sameKeys(f.find(memory.Query{User: f.key.User}), want...)
	}},
	{"sessions come by the time that is listed, newest first", func(f *fixture) {
		for range 6 {
			f.other().say("a")
		}
		all := f.find(memory.Query{User: f.key.User})
		if !slices.IsSortedFunc(all, func(a, b memory.Match) int { return b.Head.Active.Compare(a.Head.Active) }) {
			f.Errorf("not newest first: %s", show(all))
		}
		f.equal(len(all), 6, "sessions")
	}},
	{"without a user the sessions of all users of the app are found", func(f *fixture) {
		f.say("a")
		key := f.key
		key.User = name("user")
		stranger := f.at(key)
		stranger.say("b")
		for _, k := range []memory.Key{{Tenant: f.key.Tenant, App: name("app")}, {Tenant: name("tenant"), App: f.key.App}} {
			k.User, k.Session = f.key.User, f.key.Session
			f.at(k).say("elsewhere")
		}
		f.sameKeys(f.find(memory.Query{}), f.key, stranger.key)
		f.sameKeys(f.find(memory.Query{User: key.User}), stranger.key)
		f.sameKeys(f.find(memory.Query{User: name("user")}))
	}},
	{"a label selects the sessions that carry it", func(f *fixture) {
		red, blue, none := f.other(), f.other(), f.other()
		red.update(memory.Create{Labels: map[string]string{"colour": "red"}})
		blue.update(memory.Create{Labels: map[string]string{"colour": "blue", "k": "v"}})
		none.update(memory.Create{})
		label := func(k, v string) memory.Query { return memory.Query{Label: memory.Label{Key: k, Value: v}} }
		f.sameKeys(f.find(label("colour", "red")), red.key)
		f.sameKeys(f.find(label("colour", "")), red.key, blue.key)
		f.sameKeys(f.find(label("colour", "green")))
		f.sameKeys(f.find(label("red", "colour")))
		blue.update(memory.SetLabels{"colour": "red"})
		f.sameKeys(f.find(label("colour", "red")), red.key, blue.key)
		red.update(memory.SetLabels{"colour": ""})
		f.sameKeys(f.find(label("colour", "")), blue.key)
	}},
	{"Since and Until select sessions by their activity", func(f *fixture) {
		f.say("a")
		f.sameKeys(f.find(memory.Query{Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour)}), f.key)
		f.sameKeys(f.find(memory.Query{Since: time.Now().Add(time.Hour)}))
		f.sameKeys(f.find(memory.Query{Until: time.Now().Add(-time.Hour)}))
		active := f.find(memory.Query{})[0].Head.Active
		f.sameKeys(f.find(memory.Query{Since: active}), f.key)
		f.sameKeys(f.find(memory.Query{Until: active}))
	}},
	{"Limit bounds what is found", func(f *fixture) {
		for range 4 {
			f.other().say("a")
		}
		all := f.find(memory.Query{User: f.key.User})
		for limit, n := range map[int]int{0: 4, 1: 1, 3: 3, 9: 4} {
			f.equal(keys(f.find(memory.Query{User: f.key.User, Limit: limit})), keys(all[:n]), "the first sessions")
		}
	}},
	{"records are found by intent, newest first", func(f *fixture) {
		other := f.other()
		key := f.key
		key.User = name("user")
		stranger := f.at(key)
		var want []memory.Match
		for _, g := range []*fixture{f, other, stranger, f} {
			r := g.say("a").Record
			notes := richNotes()
			notes.Intent = "buy / # %"
			g.update(memory.Annotate{Record: r.ID, Notes: notes})
			want = append([]memory.Match{{Key: g.key, Record: r.ID, Notes: notes}}, want...)
			r = g.say("b").Record
			g.update(memory.Annotate{Record: r.ID, Notes: memory.Notes{Intent: "buy"}})
		}
		since := time.Now().Add(-time.Hour)
		q := memory.Query{Intent: "buy / # %", Since: since}
		f.eventually(func() bool { return len(f.find(q)) == 4 }, "four records by intent")
		f.equal(f.find(q), want, "the records by intent")
		q.Limit = 2
		f.equal(f.find(q), want[:2], "the newest two")
		q.Limit, q.User = 0, key.User
		f.equal(f.find(q), want[1:2], "the records of one user")
		q.User, q.Until = "", since
		f.equal(len(f.find(q)), 0, "records before")
		at := f.records(&memory.RangeOptions{From: want[0].Record})[0].Time
		q.Since, q.Until = at, at.Add(time.Millisecond)
		f.equal(f.find(q)[0], want[0], "the record from its own time on")
		q.Since, q.Until = since, at
		for _, m := range f.find(q) {
			if m.Record == want[0].Record {
				f.Error("Until is included")
			}
		}
	}},
	{"an intent that was taken back is not found", func(f *fixture) {
		all := f.script(":a", ":b", ":c", ":d")
		for _, id := range all {
			f.update(memory.Annotate{Record: id, Notes: memory.Notes{Intent: "i"}})
		}
		q := memory.Query{Intent: "i", Since: time.Now().Add(-time.Hour)}
		f.eventually(func() bool { return len(f.find(q)) == 4 }, "four records by intent")
		f.update(memory.Annotate{Record: all[0]}, memory.Annotate{Record: all[1], Notes: memory.Notes{Intent: "j"}}, memory.Rewind{To: all[2]})
		f.eventually(func() bool { return len(f.find(q)) == 1 }, "one record by intent")
		f.equal(f.find(q)[0].Record, all[2], "the record by intent")
		f.delete()
		f.eventually(func() bool { return len(f.find(q)) == 0 }, "no record by intent")
	}},
	{"a loop over sessions may delete them", func(f *fixture) {
		for range 5 {
			f.other().say("a")
		}
		n := 0
		for m, err := range f.store.Find(f.Context(), memory.Query{Tenant: f.key.Tenant, App: f.key.App}) {
			if err != nil {
				f.Fatal(err)
			}
			f.at(m.Key).delete()
			n++
		}
		f.equal(n, 5, "sessions")
		f.sameKeys(f.find(memory.Query{}))
	}},
	{"a query that breaks a rule is one error", func(f *fixture) {
		for _, q := range []memory.Query{
			{Limit: -1},
			{Intent: "i"},
			{Intent: "i", Since: time.Now(), Label: memory.Label{Key: "k"}},
			{Label: memory.Label{Value: "v"}},
			{User: "\xff"},
			{App: "a\nb"},
			{Label: memory.Label{Key: "k\n"}},
			{Intent: "a\nb", Since: time.Now()},
		} {
			n := 0
			for _, err := range f.store.Find(context.WithoutCancel(f.Context()), q) {
				f.want(err, memory.ErrInvalid, "Find of %+v", q)
				n++
			}
			f.equal(n, 1, fmt.Sprintf("yields of Find of %+v", q))
		}
	}},
}
