package memorytest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/genaistore/genaistore/memory"
)

// check compares what a call has returned with all that is known.
func (s *schedule) check(o *op) error {
	if o.err != nil && s.endured(o) {
		return nil
	}
	switch {
	case o.err != nil:
		return o.err
	case o.attempt != nil:
		return s.checkAppend(o)
	case o.read != nil:
		return s.checkOpen(o)
	}
	s.tally.Reads++
	return s.checkList(o, o.list, o.from)
}

// endured says whether a call may have failed so.
func (s *schedule) endured(o *op) bool {
	if o.attempt == nil && errors.Is(o.err, memory.ErrNotFound) && len(o.must) == 0 {
		return true
	}
	if o.attempt != nil {
		s.tally.Unknown++
	}
	return !unexpected(o.err)
}

func (s *schedule) checkAppend(o *op) error {
	r, a := o.receipt, o.attempt
	if r.Record.ID == "" || r.Bookmark == "" {
		return fmt.Errorf("a receipt without an id or a bookmark: %s", show(r))
	}
	stored, err := s.learn(r.Record)
	if err != nil {
		return err
	}
	if stored.request != a.request || a.request == "" && (stored != a || r.Replayed) {
		return fmt.Errorf("the receipt is that of append %s", stored.text)
	}
	if r.Replayed {
		s.tally.Replayed++
	} else if err := s.checkFresh(a, stored); err != nil {
		return err
	}
	s.tally.Acknowledged++
	if !slices.Contains(s.acked, r.Record.ID) {
		s.acked = append(s.acked, r.Record.ID)
	}
	o.p.returned = max(o.p.returned, r.Record.ID)
	s.prove(o.p, r.Bookmark, r.Record.ID)
	return nil
}

// checkFresh checks a record that a has stored.
func (s *schedule) checkFresh(a, stored *attempt) error {
	if stored != a {
		return fmt.Errorf("no replay, and the record of append %s", stored.text)
	}
	if w := s.requests[a.request]; w != nil {
		if w.fresh++; w.fresh > 1 {
			return fmt.Errorf("request %s was stored twice", a.request)
		}
	}
	if stored.id <= a.floor {
		return fmt.Errorf("id %q does not sort after %q, which the process had seen or was given", stored.id, a.floor)
	}
	for _, id := range a.acked {
		if s.binds(s.facts[id], stored) && stored.id <= id {
			return fmt.Errorf("id %q does not sort after %q, whose append had returned", stored.id, id)
		}
	}
	return nil
}

// binds says whether the clocks make a record sort after one that was there when
// its append began.
func (s *schedule) binds(earlier, later *attempt) bool {
	switch {
	case later.request != "" && s.options.Overlap > 0 && s.requests[later.request].begun < later.begun:
		return false // the id may be older than this attempt
	case s.options.Clocks == OneClock:
		return true
	case s.options.Clocks == Synchronised:
		return !earlier.time.Equal(later.time)
	}
	return false
}

// learn notes that a record is stored, and checks that it is what somebody has
// appended, under one id.
func (s *schedule) learn(r memory.Record) (*attempt, error) {
	text := texts([]memory.Record{r})[0]
	a := s.attempts[text]
	if a == nil || a.request != r.RequestID {
		return nil, fmt.Errorf("a record that nobody appended: %s", show(r))
	}
	if a.id == "" {
		a.id, a.time = r.ID, r.Time
	}
	if a.id != r.ID {
		return nil, fmt.Errorf("append %s was stored twice, as %q and %q", a.text, a.id, r.ID)
	}
	if known := s.facts[r.ID]; known != nil && known != a {
		return nil, fmt.Errorf("record %q has changed from append %s to %s", r.ID, known.text, a.text)
	}
	s.facts[r.ID] = a
	if w := s.requests[a.request]; w != nil {
		if w.id == "" {
			w.id = r.ID
		}
		if w.id != r.ID {
			return nil, fmt.Errorf("request %s has two records, %q and %q", a.request, w.id, r.ID)
		}
	}
	return a, nil
}

// prove notes what a bookmark shows that p has seen.
func (s *schedule) prove(p *process, b memory.Bookmark, ids ...memory.RecordID) {
	p.bookmark = b
	if s.proves[b] == nil {
		s.proves[b] = map[memory.RecordID]bool{}
	}
	for _, id := range ids {
		s.proves[b][id] = true
	}
}

func (s *schedule) checkOpen(o *op) error {
	w := o.window
	s.tally.Reads++
	if w.Bookmark == "" {
		return errors.New("a window without a bookmark")
	}
	if len(w.Records) < len(s.facts) && o.read.AtLeast != "" && !w.Earlier {
		s.tally.Stale++
	}
	if w.Earlier && len(w.Records) != o.read.Last || len(w.Records) > o.read.Last {
		return fmt.Errorf("a window of %d records, earlier %t", len(w.Records), w.Earlier)
	}
	from := memory.RecordID("")
	if w.Earlier {
		from = w.Records[0].ID
	}
	if err := s.checkList(o, w.Records, from); err != nil {
		return err
	}
	o.p.window = &w
	s.prove(o.p, w.Bookmark, ids(w.Records)...)
	for id := range s.proves[o.read.AtLeast] {
		s.proves[w.Bookmark][id] = true // what sees more proves more
	}
	return nil
}

// checkList checks all records from an id on.
func (s *schedule) checkList(o *op, list []memory.Record, from memory.RecordID) error {
	p := o.p
	there := map[memory.RecordID]bool{}
	last := memory.RecordID("")
	for _, r := range list {
		if r.ID <= last {
			return fmt.Errorf("id %q does not sort after %q", r.ID, last)
		}
		last = r.ID
		there[r.ID] = true
		a, err := s.learn(r)
		if err != nil {
			return err
		}
		if r.ID < p.passed.ID && !p.log[r.ID] && !s.mayAppear(a, p) {
			return fmt.Errorf("record %q appears below %q, which the reader had passed in step %d", r.ID, p.passed.ID, p.passedAt)
		}
	}
	for id := range o.must {
		if id >= from && !there[id] {
			return fmt.Errorf("record %q of append %s is lost", id, s.facts[id].text)
		}
	}
	p.returned = max(p.returned, last)
	p.readOn(o.step, list, from)
	return nil
}

// mayAppear says whether a record may appear below what p has passed.
func (s *schedule) mayAppear(a *attempt, p *process) bool {
	begun := a.begun
	if w := s.requests[a.request]; w != nil {
		begun = w.begun
	}
	switch {
	case s.options.Clocks == Skewed:
		return true // unless its writer had seen more, which its receipt shows
	case begun <= p.passedAt:
		return p.passed.Time.Sub(a.time) < s.options.Overlap
	}
	return s.options.Clocks == Synchronised && p.passed.Time.Equal(a.time)
}

// readOn continues the log of p by a list that begins where the log ends or before.
func (p *process) readOn(step int, list []memory.Record, from memory.RecordID) {
	if from > p.passed.ID {
		return
	}
	for _, r := range list {
		p.log[r.ID] = true
		if r.ID > p.passed.ID {
			p.passed, p.passedAt = r, step
		}
	}
}

// settle ends a schedule without more weather than the stores have of their own:
// what was asked for is asked for until it is done, and then everything must be
// there, once, for everybody.
func (s *schedule) settle(ctx context.Context) {
	s.step++
	for _, name := range slices.Sorted(maps.Keys(s.requests)) {
		err := repeat(ctx, func(bool) error {
			o := s.again(name)
			if s.do(ctx, o); s.err != nil {
				return s.err
			}
			return o.err
		})
		if s.err = cmp.Or(s.err, err); s.err != nil {
			return
		}
	}
	store := NewPatient(s.open(0))
	if err := cmp.Or(s.compare(ctx, store), store.Delete(ctx, s.key)); err != nil {
		s.err = fmt.Errorf("at the end: %w", err)
	}
}

// again is an Append of what was asked for before, by a process that has just begun.
func (s *schedule) again(request string) *op {
	i := s.random.IntN(processes)
	store := s.open(i)
	a := &attempt{text: fmt.Sprint("again ", request, " ", len(s.attempts)), request: request, process: i, begun: s.step, acked: s.acked}
	o := &op{step: s.step, p: &process{number: i, log: map[memory.RecordID]bool{}}, attempt: a, append: once(request), text: "append " + a.text}
	s.attempts[a.text] = a
	o.do = func(ctx context.Context) { o.receipt, o.err = store.Append(ctx, s.key, entry("", a.text), o.append) }
	return o
}

func (s *schedule) compare(ctx context.Context, store memory.Store) error {
	all, err := readAll(store.Records(ctx, s.key, nil))
	if err != nil {
		return err
	}
	if err := s.checkList(&op{p: &process{log: map[memory.RecordID]bool{}}, must: s.everything()}, all, ""); err != nil {
		return err
	}
	opts := memory.WindowOptions{Last: math.MaxInt, Verbatim: true}
	w, err := store.Open(ctx, s.key, &opts)
	if len(all) == 0 && errors.Is(err, memory.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if !slices.Equal(ids(w.Records), ids(all)) {
		return fmt.Errorf("the window has %q, the list %q", ids(w.Records), ids(all))
	}
	for _, p := range s.procs {
		opts.Held = p.window
		held, err := store.Open(ctx, s.key, &opts)
		if err != nil {
			return err
		}
		if held.Bookmark = w.Bookmark; !reflect.DeepEqual(held, w) {
			return fmt.Errorf("the window with an earlier one in Held is\n%s\nand without\n%s", show(held), show(w))
		}
		for _, r := range all {
			if r.ID < p.passed.ID && !p.log[r.ID] && !s.mayAppear(s.facts[r.ID], p) {
				return fmt.Errorf("process %d has read on to %q and missed %q", p.number, p.passed.ID, r.ID)
			}
		}
	}
	return nil
}

// history is what a schedule did, to find out what went wrong.
func (s *schedule) history() string {
	var b strings.Builder
	for _, o := range s.log {
		fmt.Fprintf(&b, "\n  %d: process %d: %s", o.step, o.p.number, o.text)
		switch {
		case o.err != nil:
			fmt.Fprintf(&b, ": %v", o.err)
		case o.attempt != nil:
			fmt.Fprintf(&b, ": %q, replayed %t, %q", o.receipt.Record.ID, o.receipt.Replayed, o.receipt.Bookmark)
		case o.read != nil:
			fmt.Fprintf(&b, ": %q, earlier %t, %q", ids(o.window.Records), o.window.Earlier, o.window.Bookmark)
		default:
			fmt.Fprintf(&b, ": %q", ids(o.list))
		}
	}
	return b.String()
}

func readAll(list iter.Seq2[memory.Record, error]) ([]memory.Record, error) {
	var all []memory.Record
	for r, err := range list {
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}
