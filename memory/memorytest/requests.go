package memorytest

import (
	"fmt"
	"strings"

	"github.com/genaistore/genaistore/memory"
)

func once(id string) *memory.AppendOptions { return &memory.AppendOptions{RequestID: id} }

var requestCases = []testCase{
	{"a repeated Append stores once and returns the first record", func(f *fixture) {
		first := f.append(entry("", "a"), once("r"))
		f.equal(first.Replayed, false, "the first is a replay")
		f.equal(first.Record.RequestID, "r", "the request id")
		for range 2 {
			again := f.append(entry("", "another"), once("r"))
			f.equal(again.Replayed, true, "the second is a replay")
			f.equal(again.Record, first.Record, "the record of the replay")
			f.open(&memory.WindowOptions{AtLeast: again.Bookmark})
		}
		f.append(entry("", "b"), once("r2"))
		f.equal(f.append(entry("", "a"), once("r")).Record, first.Record, "the record of a late replay")
		f.equal(texts(f.records(nil)), []string{"a", "b"}, "the records")
	}},
	{"a replay returns the first version, whatever IfVersion says now", func(f *fixture) {
		f.update(memory.Create{})
		opts := &memory.AppendOptions{RequestID: "r", IfVersion: 1}
		first := f.append(entry("", "a"), opts)
		f.update(memory.SetTitle{Title: "t"})
		again := f.append(entry("", "a"), opts)
		f.equal(again.Replayed, true, "replay")
		f.equal(again.Version, first.Version, "the version")
		f.equal(f.open(nil).Head.Version, int64(3), "the head's version")
	}},
	{"of sixteen appends with one RequestID one is stored", func(f *fixture) {
		ids := make([]memory.RecordID, 16)
		fresh := f.race(16, func(i int) error {
			r, err := f.store.Append(f.Context(), f.key, entry("", fmt.Sprint(i)), once("r"))
			ids[i] = r.Record.ID
			if err == nil && r.Replayed {
				return errReplayed
			}
			return err
		}, errReplayed)
		f.equal(fresh, 1, "appends that were no replay")
		all := f.records(nil)
		f.equal(len(all), 1, "records")
		for _, id := range ids {
			f.equal(id, all[0].ID, "the id in a receipt")
		}
	}},
	{"a RequestID belongs to one session", func(f *fixture) {
		other := f.other()
		f.append(entry("", "a"), once("r"))
		f.equal(other.append(entry("", "b"), once("r")).Replayed, false, "replayed in another session")
		f.equal(texts(other.records(nil)), []string{"b"}, "the records of the other session")
	}},
	{"request ids that look alike are different", func(f *fixture) {
		all := []string{"r", "R", "r ", "r/1", "r#1", "r%231", "é", "e\u0301"}
		for _, id := range all {
			f.equal(f.append(entry("", id), once(id)).Replayed, false, "replay of "+id)
		}
		f.equal(texts(f.records(nil)), all, "the records")
	}},
	{"an Append that failed is not remembered", func(f *fixture) {
		f.update(memory.Create{})
		_, err := f.store.Append(f.Context(), f.key, entry("", "a"), &memory.AppendOptions{RequestID: "r", IfVersion: 9})
		f.want(err, memory.ErrConflict, "Append")
		_, err = f.store.Append(f.Context(), f.key, entry("", strings.Repeat("x", memory.MaxEntry+1)), once("r"))
		f.want(err, memory.ErrInvalid, "Append")
		full := memory.Entry{State: memory.Delta{Set: memory.States{Session: memory.State{"k": strings.Repeat("x", memory.MaxState)}}}}
		_, err = f.store.Append(f.Context(), f.key, full, once("r"))
		f.want(err, memory.ErrInvalid, "Append with a state that is too large")
		f.equal(f.append(entry("", "b"), once("r")).Replayed, false, "replay of a failure")
		f.equal(texts(f.records(nil)), []string{"b"}, "the records")
	}},
	{"a replay returns the record as it was edited or redacted", func(f *fixture) {
		edited := f.append(entry("", "a"), once("e")).Record.ID
		redacted := f.append(entry("", "b"), once("r")).Record.ID
		f.update(
			memory.Edit{Record: edited, Messages: []memory.Message{memory.Text("user", "A")}},
			memory.Redact{Record: redacted},
			memory.Annotate{Record: edited, Notes: memory.Notes{Intent: "i"}},
		)
		want := f.records(nil)
		for i, id := range []string{"e", "r"} {
			again := f.append(entry("", "x"), once(id))
			f.equal(again.Replayed, true, "replay")
			f.equal(again.Record, want[i], "the record of the replay")
		}
		f.equal(len(f.records(nil)), 2, "records")
	}},
	{"a replay of a record that was rewound stores nothing", func(f *fixture) {
		kept := f.append(entry("", "a"), once("a")).Record
		gone := f.append(entry("", "b"), once("b")).Record
		f.update(memory.Rewind{To: kept.ID})
		again := f.append(entry("", "b"), once("b"))
		f.equal(again.Replayed, true, "replay")
		f.equal(again.Record, memory.Record{ID: gone.ID, Time: gone.Time, RequestID: "b", Redacted: true}, "what is left of the record")
		f.equal(f.append(entry("", "a"), once("a")).Record, kept, "the record that was kept")
		f.equal(texts(f.records(nil)), []string{"a"}, "the records")
	}},
	{"Delete forgets the request ids", func(f *fixture) {
		f.append(entry("", "a"), once("r"))
		f.delete()
		f.equal(f.append(entry("", "b"), once("r")).Replayed, false, "replay")
		f.equal(texts(f.records(nil)), []string{"b"}, "the records")
	}},
	{"a replay takes no newer state back", func(f *fixture) {
		old := memory.Entry{State: memory.Delta{Set: states("old"), Unset: memory.Unset{Session: []string{"u"}, User: []string{"u"}, App: []string{"u"}}}}
		f.append(old, once("r"))
		fresh := states("new")
		fresh.Session["u"], fresh.User["u"], fresh.App["u"] = true, true, true
		f.append(memory.Entry{State: memory.Delta{Set: fresh}}, nil)
		f.append(old, once("r"))
		f.equal(f.open(&memory.WindowOptions{Scopes: memory.AllStates}).States, fresh, "the states")
	}},
	{"MustExist and a replay agree", func(f *fixture) {
		f.append(entry("", "a"), once("r"))
		opts := &memory.AppendOptions{RequestID: "r", MustExist: true}
		f.equal(f.append(entry("", "a"), opts).Replayed, true, "replay")
		f.delete()
		_, err := f.store.Append(f.Context(), f.key, entry("", "a"), opts)
		f.want(err, memory.ErrNotFound, "Append after Delete")
	}},
}

// errReplayed marks the receipts of a race that are replays.
var errReplayed = fmt.Errorf("replayed (%w)", memory.ErrConflict)

// states has the value v at the key k of each state.
func states(v any) memory.States {
	return memory.States{Session: memory.State{"k": v}, User: memory.State{"k": v}, App: memory.State{"k": v}}
}
