package memory

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/genaistore/genaistore/internal/hlc"
)

// InMemory is a [Store] that keeps sessions in the process: for tests, examples
// and local runs. The zero value is an empty store, ready to use. It must not be
// copied after first use.
//
// It is strongly consistent: [WindowOptions.AtLeast] and [WindowOptions.Held] change
// no result, but a bookmark later than all that was written to it, as one of
// another store may be, is [ErrBehind]. A request id is remembered for
// [RequestLife] and not longer. Head.Active and listings are exact.
//
// [InMemory.Snapshot] and [InMemory.Restore] keep its content between processes.
type InMemory struct {
	clock hlc.Clock

	mu       sync.RWMutex
	latest   hlc.ID // of the last write
	sessions map[Key]*session
	shared   map[Key]State // of users and apps, never changed either; none is empty
	due      []due         // request ids in the order in which their life ends
	sweepAt  int           // how many sessions there may be before expired ones are looked for
}

// A session is never changed once it is in the store: a write puts another in its
// place, so that a reader that holds one needs no lock.
type session struct {
	head  Head
	state State
	gist  Gist
	// Records in the order of their ids, none of them ever changed. An append may
	// write behind the end of a slice that a reader holds, never within it.
	records []*Record
	// All versions of the session have the same map: only for holders of the lock.
	requests map[string]request
}

// A request is the Append that a RequestID has done.
type request struct {
	record  RecordID
	version int64 // in its receipt
	until   time.Time
}

type due struct {
	until    time.Time
	requests map[string]request
	name     string
}

var _ Store = (*InMemory)(nil)

// Append implements [Store].
func (m *InMemory) Append(ctx context.Context, key Key, entry Entry, opts *AppendOptions) (Receipt, error) {
	receipt, err := m.append(ctx, key, entry, opts)
	return receipt, wrap("append", key, err)
}

func (m *InMemory) append(ctx context.Context, key Key, entry Entry, options *AppendOptions) (Receipt, error) {
	opts := options.WithDefaults()
	if err := cmp.Or(ctx.Err(), key.Validate(), options.Validate()); err != nil {
		return Receipt{}, err
	}
	entry, err := entry.Normal()
	if err != nil {
		return Receipt{}, err
	}
	after, err := opts.After.id()
	if err != nil {
		return Receipt{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.begin(key)
	if opts.After != "" {
		if err := m.clock.Observe(after, d.now); err != nil {
			return Receipt{}, err
		}
	}
	m.dropRequests(d.now)
	if d.session == nil {
		if opts.MustExist || opts.IfVersion > 0 {
			return Receipt{}, ErrNotFound
		}
		return d.append(entry, opts)
	}
	if done, ok := d.session.requests[opts.RequestID]; ok {
		receipt := d.session.replay(opts.RequestID, done)
		receipt.Bookmark = bookmark(m.latest)
		return receipt, nil
	}
	if opts.IfVersion > 0 && opts.IfVersion != d.session.head.Version {
		return Receipt{}, d.expect(opts.IfVersion)
	}
	return d.append(entry, opts)
}

// replay is the receipt of an Append that was done before.
func (s *session) replay(name string, done request) Receipt {
	receipt := Receipt{Version: done.version, Replayed: true}
	if i, ok := s.index(done.record); ok {
		receipt.Record = s.records[i].clone()
		receipt.Record.Notes = Notes{}
		return receipt
	}
	receipt.Record = Record{ID: done.record, RequestID: name, Redacted: true}
	if id, err := hlc.Parse(string(done.record)); err == nil {
		receipt.Record.Time = id.Time()
	}
	return receipt
}

// Open implements [Store].
func (m *InMemory) Open(ctx context.Context, key Key, opts *WindowOptions) (Window, error) {
	w, err := m.open(ctx, key, opts)
	return w, wrap("open", key, err)
}

func (m *InMemory) open(ctx context.Context, key Key, options *WindowOptions) (Window, error) {
	opts := options.WithDefaults()
	if err := cmp.Or(ctx.Err(), key.ValidateScope(), options.Validate()); err != nil {
		return Window{}, err
	}
	atLeast, err := opts.AtLeast.id()
	if err != nil {
		return Window{}, err
	}
	v := m.view(key)
	if v.latest.Compare(atLeast) < 0 {
		return Window{}, ErrBehind
	}
	if key.Session == "" {
		return v.scope(opts.Scopes), nil
	}
	if v.session == nil {
		return Window{}, ErrNotFound
	}
	return v.window(opts), nil
}

// A view is what one read sees of a key, all at one moment.
type view struct {
	key       Key
	session   *session // nil if there is none
	user, app State
	latest    hlc.ID
}

func (m *InMemory) view(key Key) view {
	now := time.Now()
	m.mu.RLock()
	defer m.mu.RUnlock()
	return view{key, m.live(key, now), m.shared[key.Owner()], m.shared[key.Whole()], m.latest}
}

func (v view) scope(scopes Scopes) Window {
	w := Window{Key: v.key, Bookmark: bookmark(v.latest)}
	if scopes == NoState {
		return w
	}
	if v.key.User != "" {
		w.States.User = v.user.read()
	}
	if v.key.User == "" || scopes == AllStates {
		w.States.App = v.app.read()
	}
	return w
}

func (v view) window(opts WindowOptions) Window {
	s := v.session
	w := Window{Key: v.key, Head: s.head.clone(), Gist: s.gist, Bookmark: bookmark(v.latest)}
	if opts.Scopes != NoState {
		w.States.Session = s.state.read()
	}
	if opts.Scopes == AllStates {
		w.States.User, w.States.App = v.user.read(), v.app.read()
	}
	low := max(0, len(s.records)-max(0, opts.Last))
	records := make([]Record, len(s.records)-low)
	for i, r := range s.records[low:] {
		records[i] = *r
	}
	var before *Record
	if low > 0 {
		before = s.records[low-1]
	}
	from, split := opts.Cut(records, s.gist.Tokens, before)
	w.Earlier, w.Split, w.Records = low+from > 0, split, records[from:]
	for i, r := range w.Records {
		if !opts.Notes {
			r.Notes = Notes{}
		}
		w.Records[i] = r.clone()
	}
	w.Orphans = FindOrphans(w.Records)
	return w
}

// read returns a copy of s as an Open returns it: empty, not nil.
func (s State) read() State {
	if s == nil {
		return State{}
	}
	return s.clone()
}

// Records implements [Store].
func (m *InMemory) Records(ctx context.Context, key Key, options *RangeOptions) iter.Seq2[Record, error] {
	opts := options.WithDefaults()
	opts.Notes = opts.Notes || opts.BySentiment
	return func(yield func(Record, error) bool) {
		if err := cmp.Or(ctx.Err(), key.Validate(), options.Validate()); err != nil {
			yield(Record{}, wrap("records", key, err))
			return
		}
		for _, r := range m.view(key).session.selected(opts) {
			if err := ctx.Err(); err != nil {
				yield(Record{}, wrap("records", key, err))
				return
			}
			out := *r
			if !opts.Notes {
				out.Notes = Notes{}
			}
			if !yield(out.clone(), nil) {
				return
			}
		}
	}
}

// selected returns the records that opts asks for, none of a nil session.
func (s *session) selected(opts RangeOptions) []*Record {
	if s == nil {
		return nil
	}
	from, _ := s.index(opts.From)
	records := s.records[from:]
	if opts.To != "" {
		to := s.after(opts.To)
		records = s.records[min(from, to):to]
	}
	var found []*Record
	for _, r := range records {
		if within(r.Time, opts.Since, opts.Until) && (!opts.BySentiment || r.Notes.Sentiment != nil) {
			found = append(found, r)
		}
	}
	if opts.BySentiment {
		slices.SortStableFunc(found, func(a, b *Record) int { return cmp.Compare(*a.Notes.Sentiment, *b.Notes.Sentiment) })
	}
	if opts.Backward {
		slices.Reverse(found)
	}
	if opts.Limit > 0 {
		found = found[:min(opts.Limit, len(found))]
	}
	return found
}

// Update implements [Store].
func (m *InMemory) Update(ctx context.Context, key Key, changes ...Change) (Bookmark, error) {
	b, err := m.update(ctx, key, changes)
	return b, wrap("update", key, err)
}

func (m *InMemory) update(ctx context.Context, key Key, changes []Change) (Bookmark, error) {
	if err := cmp.Or(ctx.Err(), ValidateChanges(key, changes)); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.begin(key)
	for _, c := range changes {
		if err := d.apply(c); err != nil {
			return "", fmt.Errorf("%T: %w", c, err)
		}
	}
	if err := d.checkSizes(); err != nil {
		return "", err
	}
	if d.session != nil && d.existed && !onlyNotes(changes) {
		d.session.head.Version++
	}
	if err := d.commit(); err != nil {
		return "", err
	}
	return bookmark(d.id), nil
}

// onlyNotes says whether changes are all of Annotate, which does not move the version.
func onlyNotes(changes []Change) bool {
	return !slices.ContainsFunc(changes, func(c Change) bool {
		_, ok := c.(Annotate)
		return !ok
	})
}

// Find implements [Store].
func (m *InMemory) Find(ctx context.Context, q Query) iter.Seq2[Match, error] {
	key := Key{Tenant: q.Tenant, App: q.App, User: q.User}
	return func(yield func(Match, error) bool) {
		if err := cmp.Or(ctx.Err(), q.Validate()); err != nil {
			yield(Match{}, wrap("find", key, err))
			return
		}
		for _, match := range m.find(q) {
			if err := ctx.Err(); err != nil {
				yield(Match{}, wrap("find", key, err))
				return
			}
			match.Head, match.Notes = match.Head.clone(), match.Notes.clone()
			if !yield(match, nil) {
				return
			}
		}
	}
}

// find returns matches that share what they refer to with the store.
func (m *InMemory) find(q Query) []Match {
	var found []Match
	for key, s := range m.owned(q) {
		if q.Intent == "" && within(s.head.Active, q.Since, q.Until) && q.Label.on(s.head.Labels) {
			found = append(found, Match{Key: key, Head: s.head})
		}
		if q.Intent == "" {
			continue
		}
		for _, r := range s.records {
			if r.Notes.Intent == q.Intent && within(r.Time, q.Since, q.Until) {
				found = append(found, Match{Key: key, Record: r.ID, Notes: r.Notes})
			}
		}
	}
	slices.SortFunc(found, func(a, b Match) int {
		return cmp.Or(
			b.Head.Active.Compare(a.Head.Active),
			cmp.Compare(b.Record, a.Record),
			cmp.Compare(a.Key.User, b.Key.User),
			cmp.Compare(a.Key.Session, b.Key.Session),
		)
	})
	if q.Limit > 0 {
		found = found[:min(q.Limit, len(found))]
	}
	return found
}

// owned returns the sessions of q's user or app at one moment.
func (m *InMemory) owned(q Query) map[Key]*session {
	now := time.Now()
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := map[Key]*session{}
	for key := range m.sessions {
		if key.Tenant == q.Tenant && key.App == q.App && (q.User == "" || q.User == key.User) {
			if s := m.live(key, now); s != nil {
				all[key] = s
			}
		}
	}
	return all
}

func (l Label) on(labels map[string]string) bool {
	if l.Key == "" {
		return true
	}
	value, ok := labels[l.Key]
	return ok && (l.Value == "" || l.Value == value)
}

// Delete implements [Store].
func (m *InMemory) Delete(ctx context.Context, key Key) error {
	if err := cmp.Or(ctx.Err(), key.Validate()); err != nil {
		return wrap("delete", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sessions, key)
	return nil
}

// live returns the session at key, or nil where there is none or it has expired.
// The caller holds the lock.
func (m *InMemory) live(key Key, now time.Time) *session {
	if s := m.sessions[key]; s != nil && !s.head.expired(now) {
		return s
	}
	return nil
}

func (h Head) expired(now time.Time) bool { return !h.Expires.IsZero() && !now.Before(h.Expires) }

// dropRequests forgets the request ids whose life has ended, also those of
// sessions that nobody uses any more.
func (m *InMemory) dropRequests(now time.Time) {
	n := 0
	for ; n < len(m.due) && !now.Before(m.due[n].until); n++ {
		delete(m.due[n].requests, m.due[n].name)
		m.due[n] = due{}
	}
	if m.due = m.due[n:]; len(m.due) == 0 {
		m.due = nil
	}
}

// sweep removes expired sessions, often enough that they are at most as many as
// the others.
func (m *InMemory) sweep(now time.Time) {
	if len(m.sessions) < m.sweepAt {
		return
	}
	for key, s := range m.sessions {
		if s.head.expired(now) {
			delete(m.sessions, key)
		}
	}
	m.sweepAt = max(64, 2*len(m.sessions))
}

func (s *session) index(id RecordID) (int, bool) {
	return slices.BinarySearchFunc(s.records, id, func(r *Record, id RecordID) int { return cmp.Compare(r.ID, id) })
}

// after returns the index of the first record after id.
func (s *session) after(id RecordID) int {
	i, found := s.index(id)
	if found {
		i++
	}
	return i
}

func within(t, since, until time.Time) bool {
	return !t.Before(since) && (until.IsZero() || t.Before(until))
}

// A bookmark is the id of the last write that its reader has seen. The prefix
// keeps it apart from a record id, which it must not be mistaken for.
const bookmarkPrefix = "at-"

func bookmark(id hlc.ID) Bookmark {
	if id == (hlc.ID{}) {
		return ""
	}
	return Bookmark(bookmarkPrefix + id.String())
}

// id returns the id in b, zero where b is empty.
func (b Bookmark) id() (hlc.ID, error) {
	if b == "" {
		return hlc.ID{}, nil
	}
	text, ok := strings.CutPrefix(string(b), bookmarkPrefix)
	if !ok {
		return hlc.ID{}, fmt.Errorf("%w: bookmark %.60q: it is none of this store's", ErrInvalid, b)
	}
	id, err := hlc.Parse(text)
	if err != nil {
		return hlc.ID{}, fmt.Errorf("bookmark: %w", err)
	}
	return id, nil
}

func wrap(op string, key Key, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", op, key, err)
}
