package memorytest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/genaistore/genaistore/memory"
)

func (f *fixture) ranges(want []string, opts memory.RangeOptions) {
	f.Helper()
	f.equal(texts(f.records(&opts)), want, fmt.Sprintf("the records with %+v", opts))
	opts.Backward = true
	back := slices.Clone(want)
	slices.Reverse(back)
	f.equal(texts(f.records(&opts)), back, fmt.Sprintf("the records with %+v", opts))
}

var recordsCases = []testCase{
	{"records come in order and backwards", func(f *fixture) {
		all := f.sayMany(5)
		f.ranges(all, memory.RangeOptions{})
		f.equal(texts(f.records(nil)), all, "the records with nil options")
	}},
	{"From and To are included, there or not", func(f *fixture) {
		all := f.sayMany(5)
		id := ids(f.records(nil))
		f.ranges(all[1:4], memory.RangeOptions{From: id[1], To: id[3]})
		f.ranges(all[2:], memory.RangeOptions{From: id[2]})
		f.ranges(all[:2], memory.RangeOptions{To: id[1]})
		f.ranges(all[2:3], memory.RangeOptions{From: id[2], To: id[2]})
		f.ranges([]string{}, memory.RangeOptions{From: id[3], To: id[1]})
		f.ranges([]string{}, memory.RangeOptions{From: id[4] + "0"})
		f.ranges(all, memory.RangeOptions{To: id[4] + "0"})
		f.ranges([]string{}, memory.RangeOptions{To: id[0][:len(id[0])-1]})
	}},
	{"Since is included and Until is not", func(f *fixture) {
		f.say("a")
		f.eventually(func() bool { return f.say("b").Record.Time.After(f.records(nil)[0].Time) }, "a later record")
		all := f.records(nil)
		for _, at := range []time.Time{all[0].Time, all[len(all)-1].Time, all[0].Time.Add(time.Nanosecond)} {
			var before, after []string
			for _, r := range all {
				if r.Time.Before(at) {
					before = append(before, texts([]memory.Record{r})...)
				} else {
					after = append(after, texts([]memory.Record{r})...)
				}
			}
			f.ranges(append([]string{}, after...), memory.RangeOptions{Since: at})
			f.ranges(append([]string{}, before...), memory.RangeOptions{Until: at})
			f.ranges([]string{}, memory.RangeOptions{Since: at, Until: at})
		}
		f.ranges(texts(all), memory.RangeOptions{Since: time.Unix(-1, 0), Until: time.Now().Add(time.Hour)})
		f.ranges([]string{}, memory.RangeOptions{Since: time.Now().Add(time.Hour)})
	}},
	{"Limit counts from where the range begins", func(f *fixture) {
		all := f.sayMany(4)
		id := ids(f.records(nil))
		for limit, n := range map[int]int{0: 4, 1: 1, 3: 3, 4: 4, 9: 4} {
			f.equal(texts(f.records(&memory.RangeOptions{Limit: limit})), all[:n], "the first records")
			back := texts(f.records(&memory.RangeOptions{Limit: limit, Backward: true}))
			slices.Reverse(back)
			f.equal(back, all[4-n:], "the last records")
		}
		f.equal(texts(f.records(&memory.RangeOptions{From: id[1], Limit: 2})), all[1:3], "the records from one on")
	}},
	{"a session that is not there has no records", func(f *fixture) {
		f.equal(len(f.records(nil)), 0, "records")
		f.update(memory.Create{})
		f.equal(len(f.records(nil)), 0, "records of an empty session")
	}},
	{"large records come to the real end", func(f *fixture) {
		text := strings.Repeat("0123456789", 30<<10)
		for range 5 {
			f.say(text)
		}
		n := 0
		for _, r := range f.records(nil) {
			if texts([]memory.Record{r})[0] != text {
				f.Error("a record has changed")
			}
			n++
		}
		f.equal(n, 5, "records of 300 KB")
		f.equal(len(f.open(nil).Records), 5, "records in a window")
	}},
	{"notes come where they are asked for", func(f *fixture) {
		r := f.say("a").Record
		f.update(memory.Annotate{Record: r.ID, Notes: richNotes()})
		f.equal(f.records(nil)[0].Notes, memory.Notes{}, "notes not asked for")
		f.equal(f.records(&memory.RangeOptions{Notes: true})[0].Notes, richNotes(), "notes asked for")
	}},
	{"BySentiment orders by sentiment, the older first among equals", func(f *fixture) {
		f.sayMany(6)
		id := ids(f.records(nil))
		for i, s := range []float64{0.5, -1, 0.5, 0, 1} {
			f.update(memory.Annotate{Record: id[i], Notes: memory.Notes{Sentiment: new(s)}})
		}
		f.update(memory.Annotate{Record: id[5], Notes: memory.Notes{Intent: "no sentiment"}})
		want := []memory.RecordID{id[1], id[3], id[0], id[2], id[4]}
		got := f.records(&memory.RangeOptions{BySentiment: true})
		f.equal(ids(got), want, "the most negative first")
		f.equal(got[0].Notes, memory.Notes{Sentiment: new(-1.0)}, "the notes, not asked for")
		slices.Reverse(want)
		f.equal(ids(f.records(&memory.RangeOptions{BySentiment: true, Backward: true})), want, "the most positive first")
		f.equal(ids(f.records(&memory.RangeOptions{BySentiment: true, Backward: true, Limit: 2})), want[:2], "the two most positive")
		f.equal(ids(f.records(&memory.RangeOptions{BySentiment: true, From: id[2], To: id[3]})), []memory.RecordID{id[3], id[2]}, "those in a range")
	}},
	{"a loop may break", func(f *fixture) {
		f.sayMany(3)
		for range f.store.Records(f.Context(), f.key, nil) {
			break
		}
		for range f.store.Find(f.Context(), memory.Query{Tenant: f.key.Tenant, App: f.key.App}) {
			break
		}
		f.say("after")
	}},
	{"a loop may write to the session", func(f *fixture) {
		f.sayMany(3)
		n := 0
		for r, err := range f.store.Records(f.Context(), f.key, nil) {
			if err != nil {
				f.Fatal(err)
			}
			if n++; n > 3 {
				break // whether the loop sees what it writes is not said
			}
			f.say("new")
			f.update(memory.Annotate{Record: r.ID, Notes: memory.Notes{Intent: "seen"}})
		}
		f.equal(len(f.records(nil)), 6, "records")
	}},
	{"nothing is read before the loop, and every loop reads anew", func(f *fixture) {
		records := f.store.Records(f.Context(), f.key, nil)
		found := f.store.Find(f.Context(), memory.Query{Tenant: f.key.Tenant, App: f.key.App})
		for want := range 3 {
			f.say("a")
			f.other().say("b")
			n, sessions := 0, map[memory.Key]bool{}
			for _, err := range records {
				if err != nil {
					f.Fatal(err)
				}
				n++
			}
			for m, err := range found {
				if err != nil {
					f.Fatal(err)
				}
				sessions[m.Key] = true
			}
			f.equal(n, want+1, "records")
			f.equal(len(sessions), want+2, "sessions")
		}
	}},
	{"a context that is cancelled in the loop ends it with its error", func(f *fixture) {
		f.sayMany(3)
		f.other().say("a")
		f.other().say("a")
		ctx, cancel := context.WithCancel(f.Context())
		defer cancel()
		var errs []error
		for _, err := range f.store.Records(ctx, f.key, nil) {
			cancel()
			errs = append(errs, err)
		}
		f.endedBy(errs)
		ctx, cancelFind := context.WithCancel(f.Context())
		defer cancelFind()
		errs = nil
		for _, err := range f.store.Find(ctx, memory.Query{Tenant: f.key.Tenant, App: f.key.App}) {
			cancelFind()
			errs = append(errs, err)
		}
		f.endedBy(errs)
	}},
	{"options that break a rule are one error", func(f *fixture) {
		f.say("a")
		for _, opts := range []memory.RangeOptions{{Limit: -1}, {From: "\xff"}, {To: memory.RecordID(strings.Repeat("0", 65))}} {
			n := 0
			for _, err := range f.store.Records(f.Context(), f.key, &opts) {
				f.want(err, memory.ErrInvalid, "Records with %+v", opts)
				n++
			}
			f.equal(n, 1, "yields")
		}
	}},
}

// endedBy checks that a loop whose context was cancelled at its first element went
// on to nothing but the error.
func (f *fixture) endedBy(errs []error) {
	f.Helper()
	if len(errs) != 2 || errs[0] != nil {
		f.Fatalf("the loop had %v: want one element and the error", errs)
	}
	f.want(errs[1], context.Canceled, "the end of the loop")
}
