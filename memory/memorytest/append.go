package memorytest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/genaistore/genaistore/memory"
)

var appendCases = []testCase{
	{"the record that Append returns is the one that is read", func(f *fixture) {
		want := f.append(richEntry(), nil).Record
		f.equal(f.records(nil), []memory.Record{want}, "Records")
		f.equal(f.open(nil).Records, []memory.Record{want}, "Open")
	}},
	{"a message comes back unchanged, its time to the nanosecond", func(f *fixture) {
		want := richEntry()
		f.equal(f.append(want, nil).Record.Entry, want, "the receipt")
		f.equal(f.records(nil)[0].Entry, want, "the record")
	}},
	{"a time comes back as the same instant in UTC", func(f *fixture) {
		said := time.Date(1969, 7, 20, 23, 17, 40, 123456789, time.FixedZone("", 3600))
		f.append(memory.Entry{Messages: []memory.Message{{Time: said}}}, nil)
		f.equal(f.records(nil)[0].Messages[0].Time, said.UTC(), "the time")
	}},
	{"empty lists, maps and bytes come back empty and nil ones nil", func(f *fixture) {
		empty := memory.Entry{
			Messages: []memory.Message{
				{Parts: []memory.Part{}, Labels: map[string]string{}, Extra: []byte{}},
				{Parts: []memory.Part{
					{Extra: []byte{}},
					{Call: &memory.ToolCall{Arguments: []byte{}}},
					{Blob: &memory.Blob{Data: []byte{}}},
					{Result: &memory.ToolResult{Content: []byte{}, Parts: []memory.Part{}}},
				}},
			},
			State: memory.Delta{Set: memory.States{Session: memory.State{}, User: memory.State{}, App: memory.State{}}, Unset: memory.Unset{Session: []string{}}},
			Extra: []byte{},
		}
		none := memory.Entry{Messages: []memory.Message{
			{},
			{Parts: []memory.Part{{}, {Call: &memory.ToolCall{}}, {Blob: &memory.Blob{}}, {Result: &memory.ToolResult{}}}},
		}}
		f.append(empty, nil)
		f.append(none, nil)
		all := f.records(nil)
		f.equal(all[0].Entry, empty, "empty")
		f.equal(all[1].Entry, none, "nil")
	}},
	{"an entry may have nothing in it", func(f *fixture) {
		f.append(memory.Entry{}, nil)
		f.append(memory.Entry{Messages: []memory.Message{}}, nil)
		all := f.records(nil)
		f.equal(all[0].Entry, memory.Entry{}, "nothing")
		f.equal(all[1].Entry, memory.Entry{Messages: []memory.Message{}}, "no messages")
	}},
	{"bytes that are no text are kept byte for byte", func(f *fixture) {
		raw := []byte{0, 0xff, 0xfe, '\n', 0x80}
		want := memory.Entry{Extra: raw, Messages: []memory.Message{{Extra: raw, Parts: []memory.Part{
			{Extra: raw}, {Blob: &memory.Blob{Data: raw}}, {Call: &memory.ToolCall{Arguments: raw}}, {Result: &memory.ToolResult{Content: raw}},
		}}}}
		f.append(want, nil)
		f.equal(f.records(nil)[0].Entry, want, "the entry")
	}},
	{"a session that is not there is created at version 1", func(f *fixture) {
		r := f.say("a")
		w := f.open(nil)
		f.equal(w.Head.Version, int64(1), "the version")
		f.equal(w.Head.Parent, memory.Parent{}, "the parent")
		if d := w.Head.Created.Sub(r.Record.Time).Abs(); d > time.Minute {
			f.Errorf("created %s from the first record", d)
		}
		if !w.Head.Expires.IsZero() && time.Until(w.Head.Expires) < 24*time.Hour {
			f.Errorf("a new session expires at %s", w.Head.Expires)
		}
	}},
	{"records are in the order of their appends, with the time of each", func(f *fixture) {
		before := time.Now().Add(-time.Second)
		var want []memory.RecordID
		for i := range 8 {
			r := f.say(fmt.Sprint(i)).Record
			if len(want) > 0 && r.ID <= want[len(want)-1] {
				f.Fatalf("record id %q does not sort after %q", r.ID, want[len(want)-1])
			}
			if r.Time.Before(before) || time.Until(r.Time) > time.Minute || r.Time.Location() != time.UTC || r.Time.Nanosecond()%1e6 != 0 {
				f.Errorf("time of the record is %s: want now, in milliseconds UTC", r.Time)
			}
			want = append(want, r.ID)
		}
		f.equal(ids(f.records(nil)), want, "the ids")
		if n := len(want[0]); n == 0 || n > 64 {
			f.Errorf("a record id of %d bytes", n)
		}
	}},
	{"an Append sorts after the bookmark that it was given", func(f *fixture) {
		other := f.other()
		first := f.say("a")
		second := other.append(entry("", "b"), &memory.AppendOptions{After: first.Bookmark})
		third := f.append(entry("", "c"), &memory.AppendOptions{After: other.open(nil).Bookmark})
		if first.Record.ID >= second.Record.ID || second.Record.ID >= third.Record.ID {
			f.Errorf("ids %q, %q, %q do not ascend", first.Record.ID, second.Record.ID, third.Record.ID)
		}
	}},
	{"MustExist creates no session", func(f *fixture) {
		_, err := f.store.Append(f.Context(), f.key, userState(), &memory.AppendOptions{MustExist: true})
		f.want(err, memory.ErrNotFound, "Append")
		f.absent()
		f.equal(f.at(f.key.Owner()).open(nil).States.User, memory.State{}, "the user's state")
		f.update(memory.Create{})
		f.append(entry("", "a"), &memory.AppendOptions{MustExist: true})
		f.append(entry("", "b"), &memory.AppendOptions{MustExist: true})
		f.equal(texts(f.records(nil)), []string{"a", "b"}, "the records")
	}},
	{"IfVersion creates no session", func(f *fixture) {
		_, err := f.store.Append(f.Context(), f.key, entry("", "a"), &memory.AppendOptions{IfVersion: 1})
		f.want(err, memory.ErrNotFound, "Append")
		f.absent()
	}},
	{"IfVersion that holds moves the version on", func(f *fixture) {
		f.say("a")
		for v := int64(1); v < 4; v++ {
			r := f.append(entry("", "b"), &memory.AppendOptions{IfVersion: v})
			f.equal(r.Version, v+1, "the receipt's version")
			f.equal(f.open(nil).Head.Version, v+1, "the head's version")
		}
	}},
	{"IfVersion that does not hold is a conflict and stores nothing", func(f *fixture) {
		f.update(memory.Create{})
		f.update(memory.SetTitle{Title: "t"})
		for _, v := range []int64{1, 3, 1 << 40} {
			_, err := f.store.Append(f.Context(), f.key, userState(), &memory.AppendOptions{IfVersion: v})
			f.want(err, memory.ErrConflict, "Append at version 2 if %d", v)
		}
		w := f.open(&memory.WindowOptions{Scopes: memory.AllStates})
		f.equal(len(w.Records), 0, "the number of records")
		f.equal(w.States.User, memory.State{}, "the user's state")
		f.equal(w.Head.Version, int64(2), "the version")
	}},
	{"an Append without IfVersion does not move the version", func(f *fixture) {
		f.say("a")
		r := f.say("b")
		f.equal(r.Version, int64(0), "the receipt's version")
		f.equal(f.open(nil).Head.Version, int64(1), "the head's version")
	}},
	{"of sixteen appends with one IfVersion exactly one wins", func(f *fixture) {
		f.update(memory.Create{})
		won := f.race(16, func(i int) error {
			_, err := f.store.Append(f.Context(), f.key, entry("", fmt.Sprint(i)), &memory.AppendOptions{IfVersion: 1})
			return err
		}, memory.ErrConflict)
		f.equal(won, 1, "winners")
		w := f.open(nil)
		f.equal(len(w.Records), 1, "records")
		f.equal(w.Head.Version, int64(2), "version")
	}},
	{"of sixty-four appends at once none is lost", func(f *fixture) {
		won := f.race(64, func(i int) error {
			_, err := f.store.Append(f.Context(), f.key, entry("", fmt.Sprint(i)), nil)
			return err
		}, nil)
		f.equal(won, 64, "appends")
		seen := map[string]bool{}
		last := memory.RecordID("")
		for _, r := range f.records(nil) {
			if r.ID <= last {
				f.Errorf("id %q does not sort after %q", r.ID, last)
			}
			last = r.ID
			seen[texts([]memory.Record{r})[0]] = true
		}
		f.equal(len(seen), 64, "different records")
	}},
	{"a reader sees every entry whole and all that came before it", func(f *fixture) {
		f.say("0")
		var wg sync.WaitGroup
		defer wg.Wait()
		var done atomic.Int64 // appends that have returned
		wg.Go(func() {
			for i := range 20 {
				e := entry("", fmt.Sprint(i+1))
				e.Messages = append(e.Messages, e.Messages[0], e.Messages[0])
				e.State.Set.Session = memory.State{"n": i + 1}
				if _, err := f.store.Append(f.Context(), f.key, e, nil); err != nil {
					f.Error(err)
				}
				done.Add(1)
			}
		})
		for done.Load() < 20 && !f.Failed() {
			atLeast := int(done.Load()) + 1
			w := f.open(&memory.WindowOptions{Last: 100})
			if len(w.Records) < atLeast {
				f.Errorf("%d records of %d", len(w.Records), atLeast)
			}
			for i, r := range w.Records {
				if texts(w.Records)[i] != fmt.Sprint(i) || i > 0 && len(r.Messages) != 3 {
					f.Fatalf("record %d is %s", i, show(r))
				}
			}
			if n := len(w.Records) - 1; n > 0 && w.States.Session["n"] != float64(n) {
				f.Errorf("state %v beside %d records: a record and its state are one write", w.States.Session, n)
			}
		}
	}},
}

// race runs n calls at once and returns how many had no error. The others must
// match lost.
func (f *fixture) race(n int, call func(i int) error, lost error) int {
	f.Helper()
	var wg sync.WaitGroup
	var won atomic.Int64
	for i := range n {
		wg.Go(func() {
			switch err := call(i); {
			case err == nil:
				won.Add(1)
			case lost == nil:
				f.Error(err)
			default:
				f.want(err, lost, "a call that lost")
			}
		})
	}
	wg.Wait()
	return int(won.Load())
}

func userState() memory.Entry {
	return memory.Entry{State: memory.Delta{Set: memory.States{User: memory.State{"k": "v"}}}}
}

// richEntry has something in every field.
func richEntry() memory.Entry {
	return memory.Entry{
		Turn: "turn 1",
		Messages: []memory.Message{
			{
				Role: "user", Name: "Ada ✓ 名", Time: time.Date(2026, 3, 4, 5, 6, 7, 89_012_345, time.UTC), Tokens: 7,
				Labels: map[string]string{"source": "web", "empty": ""}, Extra: []byte(`{"x":1}`),
				Parts: []memory.Part{
					{Text: "first\x00 line\nsecond \u2028 <&>", Extra: []byte("e")},
					{Blob: &memory.Blob{MediaType: "image/png", Name: "a.png", Data: []byte{1, 2, 3}}},
					{Blob: &memory.Blob{MediaType: "video/mp4", URI: "s3://bucket/key"}},
				},
			},
			{Role: "assistant", Parts: []memory.Part{
				{Text: "thinking", Thought: true},
				{Text: "before"},
				{Call: &memory.ToolCall{ID: "1", Name: "search", Arguments: []byte(`{ "q" : "x" }`)}},
				{Text: "between"},
				{Call: &memory.ToolCall{ID: "2", Name: "search", Arguments: []byte(`{}`)}},
				{Extra: []byte("a kind not known here")},
			}},
			{Role: "tool", Parts: []memory.Part{
				{Result: &memory.ToolResult{ID: "1", Name: "search", Content: []byte(`{"hits":[]}`), Parts: []memory.Part{{Text: "inner"}, {Blob: &memory.Blob{Data: []byte{9}}}}}},
				{Result: &memory.ToolResult{ID: "2", Name: "search", Content: []byte("null"), IsError: true}},
			}},
		},
		State: memory.Delta{
			Set: memory.States{
				Session: memory.State{"s": "v", "n": 1.5, "b": true, "z": nil, "l": []any{"a", 2.0, []any{}}, "m": map[string]any{"x": map[string]any{}}},
				User:    memory.State{"u": "v"},
				App:     memory.State{"a": "v"},
			},
			Unset: memory.Unset{Session: []string{"gone"}, User: []string{"gone"}, App: []string{"gone"}},
		},
		Extra: []byte{0, 1, 2},
	}
}
