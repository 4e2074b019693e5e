package memorytest

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"time"

	"github.com/genaistore/genaistore/memory"
)

// An unseen is a change to the index by intent that readers of it do not see yet:
// what it shows of one record, instead of what is there.
type unseen struct {
	at    memory.Match
	time  time.Time // of the record
	shown bool      // false where the index has nothing of the record
	left  int       // how many Finds will miss it
}

// touchesIndex says whether changes may change what is found by intent.
func touchesIndex(changes []memory.Change) bool {
	return slices.ContainsFunc(changes, func(c memory.Change) bool {
		switch c.(type) {
		case memory.Annotate, memory.Rewind, memory.Fork:
			return true
		}
		return false
	})
}

// reindex does a change to key, and notes what of it the next lag Finds miss.
func (s *Weathered) reindex(ctx context.Context, key memory.Key, lag int, change func() error) error {
	if lag == 0 {
		return change()
	}
	before := s.notes(ctx, key)
	if err := change(); err != nil {
		return err
	}
	after := s.notes(ctx, key)
	var late []unseen
	for id, r := range before {
		if now := after[id].Notes; now.Intent != r.Notes.Intent {
			late = append(late, unseen{memory.Match{Key: key, Record: id, Notes: r.Notes}, r.Time, r.Notes.Intent != "", lag})
		}
	}
	for id, r := range after {
		if _, ok := before[id]; !ok && r.Notes.Intent != "" {
			late = append(late, unseen{memory.Match{Key: key, Record: id}, r.Time, false, lag})
		}
	}
	s.sea.mu.Lock()
	defer s.sea.mu.Unlock()
	s.sea.unseen = append(s.sea.unseen, late...)
	return nil
}

// notes reads the records of a session. One that cannot be read is as if there were
// none: then the index is not late.
func (s *Weathered) notes(ctx context.Context, key memory.Key) map[memory.RecordID]memory.Record {
	all := map[memory.RecordID]memory.Record{}
	for r, err := range s.store.Records(ctx, key, &memory.RangeOptions{Notes: true}) {
		if err != nil {
			return nil
		}
		all[r.ID] = r
	}
	return all
}

// miss returns what a Find by intent in one app does not see, the newest change
// first, and counts the Find.
func (s *sea) miss(tenant, app string) []unseen {
	s.mu.Lock()
	defer s.mu.Unlock()
	var missed []unseen
	for i := range s.unseen {
		if u := &s.unseen[i]; u.at.Key.Tenant == tenant && u.at.Key.App == app {
			missed = append(missed, *u)
			u.left--
		}
	}
	s.unseen = slices.DeleteFunc(s.unseen, func(u unseen) bool { return u.left <= 0 })
	slices.Reverse(missed)
	return missed
}

// byIntent finds what the index shows.
func (s *Weathered) byIntent(ctx context.Context, q memory.Query) iter.Seq2[memory.Match, error] {
	return func(yield func(memory.Match, error) bool) {
		missed := s.sea.miss(q.Tenant, q.App)
		all := q
		if len(missed) > 0 {
			all.Limit = 0
		}
		var found []memory.Match
		for m, err := range s.store.Find(ctx, all) {
			if err != nil {
				yield(memory.Match{}, err)
				return
			}
			found = append(found, m)
		}
		for _, u := range missed {
			found = s.turnBack(found, u, q)
		}
		for i, m := range found {
			if q.Limit > 0 && i == q.Limit || !yield(m, nil) {
				return
			}
		}
	}
}

// turnBack returns found as it was before a change.
func (s *Weathered) turnBack(found []memory.Match, u unseen, q memory.Query) []memory.Match {
	n := len(found)
	found = slices.DeleteFunc(found, func(m memory.Match) bool { return m.Key == u.at.Key && m.Record == u.at.Record })
	inTime := !u.time.Before(q.Since) && (q.Until.IsZero() || u.time.Before(q.Until))
	if u.shown && inTime && u.at.Notes.Intent == q.Intent && (q.User == "" || q.User == u.at.Key.User) {
		m := u.at
		m.Notes = copyNotes(m.Notes)
		found = append(found, m)
		slices.SortStableFunc(found, func(a, b memory.Match) int { return cmp.Compare(b.Record, a.Record) })
	}
	if len(found) != n {
		s.met.unindexed.Add(1)
	}
	return found
}
