package memorytest

import (
	"fmt"
	"strings"
	"time"

	"github.com/genaistore/genaistore/memory"
)

var changeCases = []testCase{
	{"titles, labels, gists and notes keep what their limits allow", func(f *fixture) {
		id := f.say("a").Record.ID
		title, labels := strings.Repeat("é", memory.MaxTitle/2), map[string]string{}
		for i := range memory.MaxLabels {
			labels[fmt.Sprint("é/#%", i)] = strings.Repeat("v", memory.MaxLabelValue)
		}
		gist := memory.Gist{UpTo: id, Text: strings.Repeat("é", memory.MaxGist/2), Tokens: 1 << 20}
		notes := memory.Notes{Intent: strings.Repeat("i", memory.MaxKeyPart), Sentiment: new(-1.0), Labels: labels}
		f.update(memory.SetTitle{Title: title}, memory.SetLabels(labels), memory.SetGist(gist), memory.Annotate{Record: id, Notes: notes})
		w := f.open(&memory.WindowOptions{Notes: true})
		f.equal(w.Head.Title, title, "the title")
		f.equal(w.Head.Labels, labels, "the labels")
		f.equal(w.Gist, gist, "the gist")
		f.equal(w.Records[0].Notes, notes, "the notes")
		f.refuse(memory.ErrInvalid, memory.SetTitle{Title: "t"}, memory.SetLabels{"one more": "v"})
		f.equal(f.open(nil).Head.Labels, labels, "the labels after one too many")
		f.equal(f.open(nil).Head.Title, title, "the title after a label too many")
	}},
	{"SetLabels merges, and an empty value removes", func(f *fixture) {
		f.update(memory.Create{Labels: map[string]string{"a": "1", "b": "1"}})
		f.update(memory.SetLabels{"b": "2", "c": "2", "never there": ""})
		f.equal(f.open(nil).Head.Labels, map[string]string{"a": "1", "b": "2", "c": "2"}, "the labels")
		f.update(memory.SetLabels{"a": "", "b": ""})
		f.equal(f.open(nil).Head.Labels, map[string]string{"c": "2"}, "the labels")
		f.update(memory.SetTitle{Title: "t"})
		f.update(memory.SetTitle{})
		f.equal(f.open(nil).Head.Title, "", "the title")
	}},
	{"a gist that reaches less far is a conflict", func(f *fixture) {
		all := f.script(":a", ":b", ":c")
		f.update(memory.SetGist{UpTo: all[1], Text: "first"})
		f.update(memory.SetGist{UpTo: all[1], Text: "again", Tokens: 3})
		f.refuse(memory.ErrConflict, memory.SetGist{UpTo: all[0], Text: "less"})
		f.equal(f.open(nil).Gist, memory.Gist{UpTo: all[1], Text: "again", Tokens: 3}, "the gist")
		f.update(memory.SetGist{UpTo: all[2], Text: "more"})
		f.equal(f.open(nil).Gist, memory.Gist{UpTo: all[2], Text: "more"}, "the gist")
	}},
	{"a gist up to a record that is not there is not found", func(f *fixture) {
		id := f.say("a").Record.ID
		f.refuse(memory.ErrNotFound, memory.SetGist{UpTo: id + "0", Text: "beyond"})
		f.refuse(memory.ErrNotFound, memory.SetGist{UpTo: "zzzz", Text: "beyond"})
		f.equal(f.open(nil).Gist, memory.Gist{}, "the gist")
	}},
	{"Annotate replaces the notes, and zero ones remove them", func(f *fixture) {
		all := f.script(":a", ":b")
		f.update(memory.Annotate{Record: all[0], Notes: richNotes()})
		f.update(memory.Annotate{Record: all[0], Notes: memory.Notes{Language: "de"}})
		opts := &memory.RangeOptions{Notes: true}
		f.equal(f.records(opts)[0].Notes, memory.Notes{Language: "de"}, "the notes")
		f.equal(f.records(opts)[1].Notes, memory.Notes{}, "the notes of another record")
		f.update(memory.Annotate{Record: all[0]})
		f.equal(f.records(opts)[0].Notes, memory.Notes{}, "the notes")
		f.refuse(memory.ErrNotFound, memory.Annotate{Record: all[0] + "0"})
	}},
	{"Edit replaces the messages and keeps the rest", func(f *fixture) {
		want := f.append(richEntry(), once("r")).Record
		f.update(memory.Annotate{Record: want.ID, Notes: richNotes()})
		want.Messages = []memory.Message{{Role: "user", Parts: []memory.Part{{Text: "new"}}, Labels: map[string]string{}}}
		f.update(memory.Edit{Record: want.ID, Messages: want.Messages})
		want.Edited, want.Notes = true, richNotes()
		f.equal(f.records(&memory.RangeOptions{Notes: true}), []memory.Record{want}, "the record")
		f.update(memory.Edit{Record: want.ID})
		want.Messages = nil
		f.equal(f.records(&memory.RangeOptions{Notes: true}), []memory.Record{want}, "the record without messages")
		f.refuse(memory.ErrNotFound, memory.Edit{Record: want.ID + "0"})
	}},
	{"an Edit may not make a record too large", func(f *fixture) {
		r := f.append(memory.Entry{Extra: make([]byte, 100)}, nil).Record
		f.refuse(memory.ErrInvalid, memory.Edit{Record: r.ID, Messages: []memory.Message{{Extra: make([]byte, memory.MaxEntry-99)}}})
		f.equal(f.records(nil)[0], r, "the record")
	}},
	{"a redacted record cannot be edited", func(f *fixture) {
		all := f.script(":a,b", ":c")
		f.update(memory.Redact{Record: all[0], Part: &memory.PartRef{}})
		f.update(memory.Redact{Record: all[1]})
		before := f.records(nil)
		for _, id := range all {
			f.refuse(memory.ErrConflict, memory.Edit{Record: id, Messages: []memory.Message{memory.Text("user", "new")}})
		}
		f.equal(f.records(nil), before, "the records")
	}},
	{"Redact removes messages, Extra and State and keeps the rest", func(f *fixture) {
		e := richEntry()
		e.State.Set = states("v")
		r := f.append(e, once("r")).Record
		f.update(memory.Annotate{Record: r.ID, Notes: richNotes()}, memory.Edit{Record: r.ID, Messages: e.Messages})
		f.say("after")
		want := memory.Record{ID: r.ID, Time: r.Time, RequestID: "r", Entry: memory.Entry{Turn: e.Turn}, Notes: richNotes(), Redacted: true, Edited: true}
		for range 2 { // the second time reaches the same end
			f.update(memory.Redact{Record: r.ID})
			f.equal(f.records(&memory.RangeOptions{Notes: true})[0], want, "the record")
		}
		f.equal(f.open(&memory.WindowOptions{Scopes: memory.AllStates}).States, states("v"), "the states")
		f.refuse(memory.ErrNotFound, memory.Redact{Record: r.ID + "0"})
	}},
	{"Redact of one part leaves an empty part in its place", func(f *fixture) {
		want := f.append(richEntry(), nil).Record
		for range 2 {
			f.update(memory.Redact{Record: want.ID, Part: &memory.PartRef{Message: 1, Part: 2}})
			want.Messages[1].Parts[2] = memory.Part{}
			want.Redacted = true
			f.equal(f.records(nil)[0], want, "the record")
		}
		for _, ref := range []memory.PartRef{{Message: 3}, {Message: 1, Part: 6}, {Message: 1 << 40}} {
			f.refuse(memory.ErrNotFound, memory.Redact{Record: want.ID, Part: &ref})
		}
		f.equal(f.records(nil)[0], want, "the record")
	}},
	{"Rewind removes what comes after, with its notes", func(f *fixture) {
		all := f.script(":a", ":b", ":c", ":d")
		for _, id := range all {
			f.update(memory.Annotate{Record: id, Notes: memory.Notes{Intent: "i", Sentiment: new(0.5)}})
		}
		f.update(memory.Rewind{To: all[1]})
		f.equal(ids(f.records(nil)), all[:2], "the records")
		f.equal(ids(f.open(nil).Records), all[:2], "the window")
		f.equal(ids(f.records(&memory.RangeOptions{BySentiment: true})), all[:2], "the records by sentiment")
		for _, id := range all[2:] {
			f.refuse(memory.ErrNotFound, memory.Annotate{Record: id, Notes: memory.Notes{Intent: "i"}})
		}
		f.update(memory.Rewind{To: all[1]})
		f.update(memory.Rewind{To: all[3]})
		f.equal(ids(f.records(nil)), all[:2], "the records after a repeated Rewind")
		f.update(memory.Rewind{To: all[1][:len(all[1])-1]})
		f.equal(ids(f.records(nil)), all[:1], "the records after a Rewind between two")
	}},
	{"an empty Rewind empties the session and keeps its state", func(f *fixture) {
		f.append(memory.Entry{Messages: []memory.Message{memory.Text("user", "a")}, State: memory.Delta{Set: states("v")}}, nil)
		f.say("b")
		f.update(memory.Rewind{}, set(memory.State{"l": 1}))
		w := f.open(&memory.WindowOptions{Scopes: memory.AllStates})
		f.equal(len(w.Records), 0, "records")
		f.equal(w.Earlier, false, "earlier")
		f.equal(w.States, memory.States{Session: memory.State{"k": "v", "l": 1.0}, User: memory.State{"k": "v"}, App: memory.State{"k": "v"}}, "the states")
	}},
	{"what is appended after a Rewind stays and sorts last", func(f *fixture) {
		all := f.script(":a", ":b", ":c")
		f.update(memory.Rewind{To: all[0]})
		id := f.say("d").Record.ID
		if id <= all[2] {
			f.Errorf("id %q does not sort after %q, which was rewound", id, all[2])
		}
		f.equal(texts(f.records(nil)), []string{"a", "d"}, "the records")
		f.update(memory.Rewind{})
		f.say("e")
		f.equal(texts(f.open(nil).Records), []string{"e"}, "the window")
	}},
	{"a Rewind takes a gist along that reaches further", func(f *fixture) {
		all := f.script(":a", ":b", ":c")
		gist := memory.Gist{UpTo: all[1], Text: "g"}
		f.update(memory.SetGist(gist))
		f.update(memory.Rewind{To: all[1]})
		f.equal(f.open(nil).Gist, gist, "the gist")
		f.update(memory.Rewind{To: all[0]})
		f.equal(f.open(nil).Gist, memory.Gist{}, "the gist")
		f.update(memory.SetGist{UpTo: all[0], Text: "shorter"})
	}},
	{"Keep moves the end of life", func(f *fixture) {
		f.say("a")
		until := time.Now().Add(10 * time.Hour).Truncate(time.Second)
		f.update(memory.Keep{Until: until})
		f.equal(f.open(nil).Head.Expires, until.UTC(), "the end of life")
		f.say("b")
		f.equal(f.open(nil).Head.Expires, until.UTC(), "the end of life after an Append")
		f.update(memory.Keep{})
		if e := f.open(nil).Head.Expires; !e.IsZero() && !e.After(until) {
			f.Errorf("the end of life is %s: want never, or what the store's retention allows", e)
		}
	}},
	{"a session whose life has ended is found nowhere", func(f *fixture) {
		id := f.say("a").Record.ID
		f.update(memory.Annotate{Record: id, Notes: memory.Notes{Intent: "i"}})
		f.update(memory.Keep{Until: time.Now().Add(-time.Minute)})
		f.absent()
		f.refuse(memory.ErrNotFound, memory.SetTitle{Title: "t"})
		f.other().refuse(memory.ErrNotFound, memory.Fork{From: f.key.Session})
		_, err := f.store.Append(f.Context(), f.key, entry("", "b"), &memory.AppendOptions{MustExist: true})
		f.want(err, memory.ErrNotFound, "Append that must find it")
		f.eventually(func() bool {
			return len(f.find(memory.Query{Intent: "i", Since: time.Now().Add(-time.Hour)})) == 0
		}, "no record by intent")
		f.delete()
	}},
	{"an Append after the end of life starts a session with nothing of the old", func(f *fixture) {
		e := entry("", "a")
		e.State.Set = states("old")
		id := f.append(e, once("r")).Record.ID
		f.update(memory.SetTitle{Title: "old"}, memory.SetLabels{"k": "old"}, memory.SetGist{UpTo: id, Text: "old"}, memory.Annotate{Record: id, Notes: richNotes()})
		f.update(memory.Keep{Until: time.Now().Add(-time.Minute)})
		r := f.append(entry("", "b"), once("r"))
		f.equal(r.Replayed, false, "replay of a request to the old session")
		w := f.open(&memory.WindowOptions{Scopes: memory.AllStates, Notes: true})
		f.equal(w.Records, []memory.Record{r.Record}, "the records")
		f.equal(w.States, memory.States{Session: memory.State{}, User: memory.State{"k": "old"}, App: memory.State{"k": "old"}}, "the states")
		f.equal(w.Gist, memory.Gist{}, "the gist")
		f.equal(w.Head.Version, int64(1), "the version")
		f.equal(w.Head.Title, "", "the title")
		f.equal(len(w.Head.Labels), 0, "labels")
		f.equal(texts(f.records(nil)), []string{"b"}, "the records")
	}},
	{"Create after the end of life makes a new session", func(f *fixture) {
		f.say("a")
		f.update(memory.Keep{Until: time.Now().Add(-time.Minute)})
		f.update(memory.Create{Title: "new"})
		w := f.open(nil)
		f.equal(w.Head.Title, "new", "the title")
		f.equal(len(w.Records), 0, "records")
	}},
}
