package memorytest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/genaistore/genaistore/memory"
)

var alwaysCases = []testCase{
	{"a cancelled context stops every method before it changes anything", func(f *fixture) {
		id := f.say("a").Record.ID
		f.update(memory.SetTitle{Title: "t"})
		before := f.open(nil)
		ctx, cancel := context.WithCancel(f.Context())
		cancel()
		_, err := f.store.Append(ctx, f.key, entry("", "b"), once("r"))
		f.want(err, context.Canceled, "Append")
		_, err = f.store.Open(ctx, f.key, nil)
		f.want(err, context.Canceled, "Open")
		_, err = f.store.Update(ctx, f.key, memory.Redact{Record: id}, memory.SetTitle{Title: "new"})
		f.want(err, context.Canceled, "Update")
		f.want(f.store.Delete(ctx, f.key), context.Canceled, "Delete")
		n := 0
		for _, err := range f.store.Records(ctx, f.key, nil) {
			f.want(err, context.Canceled, "Records")
			n++
		}
		for _, err := range f.store.Find(ctx, memory.Query{Tenant: f.key.Tenant, App: f.key.App}) {
			f.want(err, context.Canceled, "Find")
			n++
		}
		f.equal(n, 2, "yields of Records and Find")
		f.same(f.open(nil), before, "the session")
		f.equal(f.append(entry("", "b"), once("r")).Replayed, false, "replay of what was cancelled")
	}},
	{"a deadline that has passed stops every method", func(f *fixture) {
		ctx, cancel := context.WithTimeout(f.Context(), -1)
		defer cancel()
		_, err := f.store.Append(ctx, f.key, entry("", "b"), nil)
		f.want(err, context.DeadlineExceeded, "Append")
		_, err = f.store.Open(ctx, f.key, nil)
		f.want(err, context.DeadlineExceeded, "Open")
		f.absent()
	}},
	{"an error names the operation and the key", func(f *fixture) {
		_, err := f.store.Open(f.Context(), f.key, nil)
		if err == nil || !strings.Contains(err.Error(), f.key.String()) || !strings.Contains(err.Error(), "open") {
			f.Errorf("the error is %q: want the operation and the key in it", err)
		}
	}},
	{"a store keeps nothing of its arguments", func(f *fixture) {
		e := richEntry()
		id := f.append(e, nil).Record.ID
		spoil(&e)
		labels, notes := memory.SetLabels{"k": "v"}, richNotes()
		messages, s := richEntry().Messages, memory.State{"deep": map[string]any{"l": []any{"v"}}}
		edited := f.say("b").Record.ID
		changes := []memory.Change{labels, set(s), memory.Annotate{Record: id, Notes: notes}, memory.Edit{Record: edited, Messages: messages}}
		f.update(changes...)
		labels["k"], notes.Labels["k"], *notes.Sentiment = "spoiled", "spoiled", 1
		s["deep"].(map[string]any)["l"].([]any)[0] = "spoiled"
		spoil(&memory.Entry{Messages: messages})
		changes[0] = memory.Rewind{}
		w := f.open(&memory.WindowOptions{Notes: true})
		f.equal(w.Records[0].Entry, richEntry(), "the entry")
		f.equal(w.Records[0].Notes, richNotes(), "the notes")
		f.equal(w.Records[1].Messages, richEntry().Messages, "the edited messages")
		f.equal(w.Head.Labels, map[string]string{"k": "v"}, "the labels")
		f.equal(w.States.Session["deep"], map[string]any{"l": []any{"v"}}, "the state")

		created := map[string]string{"k": "v"}
		other := f.other()
		other.update(memory.Create{Labels: created})
		created["k"] = "spoiled"
		f.equal(other.open(nil).Head.Labels, map[string]string{"k": "v"}, "the labels of Create")
	}},
	{"nothing that a store returns is shared", func(f *fixture) {
		opts := &memory.AppendOptions{RequestID: "r"}
		receipt := f.append(richEntry(), opts)
		f.update(memory.Annotate{Record: receipt.Record.ID, Notes: richNotes()}, memory.SetLabels{"k": "v"})
		all := &memory.WindowOptions{Scopes: memory.AllStates, Notes: true}
		// Made here and not read, as what is read could be what is spoiled.
		want := memory.Record{ID: receipt.Record.ID, Time: receipt.Record.Time, RequestID: "r", Entry: richEntry(), Notes: richNotes()}
		spoilRecord(&receipt.Record)
		replay := f.append(richEntry(), opts)
		spoilRecord(&replay.Record)
		w := f.open(all)
		spoilRecord(&w.Records[0])
		w.Head.Labels["k"] = "spoiled"
		for _, s := range []memory.State{w.States.Session, w.States.User, w.States.App} {
			spoilState(s)
		}
		r := f.records(&memory.RangeOptions{Notes: true})[0]
		spoilRecord(&r)
		for _, m := range f.find(memory.Query{}) {
			m.Head.Labels["k"] = "spoiled"
		}
		w = f.open(all)
		f.equal(w.Records, []memory.Record{want}, "the records")
		f.equal(w.States, richEntry().State.Set, "the states")
		f.equal(w.Head.Labels, map[string]string{"k": "v"}, "the labels")
		f.equal(f.records(&memory.RangeOptions{Notes: true}), []memory.Record{want}, "the records in a range")
		f.equal(f.find(memory.Query{})[0].Head.Labels, map[string]string{"k": "v"}, "the labels in a listing")
		byIntent := memory.Query{Intent: richNotes().Intent, Since: time.Now().Add(-time.Hour)}
		f.eventually(func() bool { return len(f.find(byIntent)) == 1 }, "a record by intent")
		for _, m := range f.find(byIntent) {
			*m.Notes.Sentiment, m.Notes.Labels["k"] = 1, "spoiled"
		}
		f.equal(f.find(byIntent)[0].Notes, richNotes(), "the notes in a listing")
	}},
	{"a reader sees records in order while others rewind", func(f *fixture) {
		first := f.say("a").Record.ID
		stop := time.Now().Add(30 * time.Millisecond)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for more := true; more && !f.Failed(); more = time.Now().Before(stop) {
					f.readInOrder()
				}
			})
		}
		for more := true; more && !f.Failed(); more = time.Now().Before(stop) {
			for range 3 {
				f.say("b")
			}
			f.update(memory.Rewind{To: first})
		}
		wg.Wait()
	}},
	{"a record in the hands of a caller does not change", func(f *fixture) {
		id := f.append(richEntry(), nil).Record.ID
		w := f.open(nil)
		f.update(memory.Redact{Record: id, Part: &memory.PartRef{}}, memory.SetLabels{"k": "v"}, set(memory.State{"s": "new"}))
		f.equal(w.Records[0].Entry, richEntry(), "the entry")
		f.equal(w.States.Session["s"], "v", "the state")
		f.equal(len(w.Head.Labels), 0, "labels")
	}},
	{"all methods may be called at the same time", func(f *fixture) {
		id := f.say("a").Record.ID
		f.race(24, func(i int) error {
			ctx := f.Context()
			var err error
			switch i % 8 {
			case 0, 1:
				_, err = f.store.Append(ctx, f.key, entry("", fmt.Sprint(i)), once(fmt.Sprint(i)))
			case 2:
				_, err = f.store.Open(ctx, f.key, &memory.WindowOptions{Scopes: memory.AllStates, Notes: true})
			case 3:
				_, err = f.store.Update(ctx, f.key, memory.SetLabels{fmt.Sprint(i): "v"}, memory.SetState{Set: states(i)})
			case 4:
				for _, err = range f.store.Records(ctx, f.key, &memory.RangeOptions{Notes: true}) {
					if err != nil {
						break
					}
				}
			case 5:
				for _, err = range f.store.Find(ctx, memory.Query{Tenant: f.key.Tenant, App: f.key.App}) {
					if err != nil {
						break
					}
				}
			case 6:
				_, err = f.store.Update(ctx, f.key, memory.Annotate{Record: id, Notes: memory.Notes{Intent: fmt.Sprint(i)}})
			case 7:
				key := f.key
				key.Session = fmt.Sprint(i)
				_, err = f.store.Append(ctx, key, entry("", "x"), nil)
				if err == nil {
					err = f.store.Delete(ctx, key)
				}
			}
			return err
		}, nil)
		f.equal(len(f.records(nil)), 7, "records")
		f.equal(len(f.open(nil).Head.Labels), 3, "labels")
		f.sameKeys(f.find(memory.Query{}), f.key)
	}},
}

// readInOrder reads beside a writer, not in the test's own goroutine.
func (f *fixture) readInOrder() {
	var all []memory.RecordID
	for r, err := range f.store.Records(f.Context(), f.key, nil) {
		if err != nil {
			f.Error(err)
			return
		}
		all = append(all, r.ID)
	}
	w, err := f.store.Open(f.Context(), f.key, nil)
	if err != nil {
		f.Error(err)
	}
	for _, got := range [][]memory.RecordID{all, ids(w.Records)} {
		if !slices.IsSorted(got) || len(slices.Compact(got)) != len(got) || len(got) > 4 {
			f.Errorf("ids %q: want the first and up to three after it", got)
		}
	}
}

// spoil changes everything that e refers to.
func spoil(e *memory.Entry) {
	for i := range e.Messages {
		m := &e.Messages[i]
		m.Role = "spoiled"
		spoilBytes(m.Extra)
		for k := range m.Labels {
			m.Labels[k] = "spoiled"
		}
		spoilParts(m.Parts)
	}
	spoilBytes(e.Extra)
	for _, s := range []memory.State{e.State.Set.Session, e.State.Set.User, e.State.Set.App} {
		spoilState(s)
	}
	for _, keys := range [][]string{e.State.Unset.Session, e.State.Unset.User, e.State.Unset.App} {
		for i := range keys {
			keys[i] = "spoiled"
		}
	}
}

func spoilParts(parts []memory.Part) {
	for i := range parts {
		p := &parts[i]
		p.Text += "spoiled"
		spoilBytes(p.Extra)
		if p.Blob != nil {
			p.Blob.Name = "spoiled"
			spoilBytes(p.Blob.Data)
		}
		if p.Call != nil {
			p.Call.ID = "spoiled"
			spoilBytes(p.Call.Arguments)
		}
		if p.Result != nil {
			p.Result.ID = "spoiled"
			spoilBytes(p.Result.Content)
			spoilParts(p.Result.Parts)
		}
	}
}

func spoilBytes(b []byte) {
	for i := range b {
		b[i] = '!'
	}
}

func spoilState(s memory.State) {
	for k, v := range s {
		switch v := v.(type) {
		case []any:
			for i := range v {
				v[i] = "spoiled"
			}
		case map[string]any:
			v["spoiled"] = true
		}
		s[k] = "spoiled"
	}
}

func spoilRecord(r *memory.Record) {
	spoil(&r.Entry)
	for k := range r.Notes.Labels {
		r.Notes.Labels[k] = "spoiled"
	}
	if r.Notes.Sentiment != nil {
		*r.Notes.Sentiment = 1
	}
}
