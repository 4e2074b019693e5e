package memory

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/genaistore/genaistore/internal/hlc"
)

// A draft is one write to an InMemory in the making. Until commit nothing of it is
// in the store, so that an error on the way leaves nothing behind. Its maker holds
// the store's lock from begin to the end.
type draft struct {
	store   *InMemory
	key     Key
	now     time.Time
	id      hlc.ID   // of the write; zero until there is one
	session *session // a copy of the one in the store, nil if there is none
	existed bool
	copied  bool // the slice of records is the draft's own
	sized   bool // the session's state has changed

	states map[Key]State // of the user and the app, where they change
}

func (m *InMemory) begin(key Key) *draft {
	d := &draft{store: m, key: key, now: time.Now()}
	if s := m.live(key, d.now); s != nil && key.Session != "" {
		d.session, d.existed = new(*s), true
	}
	return d
}

// stamp gives the write its id. Ids are issued under the lock, so that the order of
// writes is the order of ids and the last one wins a key of a state.
func (d *draft) stamp() error {
	if d.id != (hlc.ID{}) {
		return nil
	}
	id, err := d.store.clock.Next(d.now)
	d.id = id
	return err
}

func (d *draft) create() error {
	if err := d.stamp(); err != nil {
		return err
	}
	d.session = &session{
		head:     Head{Created: d.id.Time(), Active: d.id.Time(), Version: 1, Labels: map[string]string{}},
		requests: map[string]request{},
	}
	return nil
}

func (d *draft) append(entry Entry, opts AppendOptions) (Receipt, error) {
	if err := d.stamp(); err != nil {
		return Receipt{}, err
	}
	if d.session == nil {
		if err := d.create(); err != nil {
			return Receipt{}, err
		}
	}
	d.merge(entry.State)
	s := d.session
	record := &Record{ID: RecordID(d.id.String()), Time: d.id.Time(), RequestID: opts.RequestID, Entry: entry}
	s.records = append(s.records, record)
	s.head.Active = record.Time
	receipt := Receipt{Record: record.clone(), Bookmark: bookmark(d.id)}
	if opts.IfVersion > 0 {
		s.head.Version++
		receipt.Version = s.head.Version
	}
	if opts.RequestID != "" {
		done := request{record: record.ID, version: receipt.Version, until: d.now.Add(RequestLife)}
		s.requests[opts.RequestID] = done
		d.store.due = append(d.store.due, due{done.until, s.requests, opts.RequestID})
	}
	return receipt, d.commit()
}

func (d *draft) merge(delta Delta) {
	if d.session != nil && len(delta.Set.Session)+len(delta.Unset.Session) > 0 {
		d.session.state, d.sized = d.session.state.Apply(delta.Set.Session, delta.Unset.Session), true
	}
	d.mergeShared(d.key.Owner(), delta.Set.User, delta.Unset.User)
	d.mergeShared(d.key.Whole(), delta.Set.App, delta.Unset.App)
}

func (d *draft) mergeShared(key Key, set State, unset []string) {
	if len(set)+len(unset) == 0 {
		return
	}
	state, ok := d.states[key]
	if !ok {
		state = d.store.shared[key]
	}
	if d.states == nil {
		d.states = map[Key]State{}
	}
	d.states[key] = state.Apply(set, unset)
}

// checkSizes bounds the states that an Update has changed. An Append adds to states
// without reading them.
func (d *draft) checkSizes() error {
	if d.session != nil && d.sized {
		if err := d.session.state.checkSize(); err != nil {
			return fmt.Errorf("session: %w", err)
		}
	}
	for key, state := range d.states {
		if err := state.checkSize(); err != nil {
			return fmt.Errorf("state of %q: %w", key, err)
		}
	}
	return nil
}

// commit puts the draft into the store. On an error the store is as it was.
func (d *draft) commit() error {
	if err := d.stamp(); err != nil {
		return err
	}
	m := d.store
	if m.sessions == nil {
		m.sessions, m.shared = map[Key]*session{}, map[Key]State{}
	}
	for key, state := range d.states {
		m.shared[key] = state
		if len(state) == 0 {
			delete(m.shared, key) // a user who was forgotten leaves no name behind
		}
	}
	m.latest = d.id
	if d.session == nil {
		return nil
	}
	m.sessions[d.key] = d.session
	if d.session.head.expired(d.now) {
		delete(m.sessions, d.key)
	}
	m.sweep(d.now)
	return nil
}

// apply makes one change that ValidateChanges has passed.
func (d *draft) apply(change Change) error {
	switch c := change.(type) {
	case Create:
		return d.make(c)
	case Fork:
		return d.fork(c)
	}
	if d.session == nil && d.key.Session != "" {
		return ErrNotFound
	}
	switch c := change.(type) {
	case Expect:
		return d.expect(c.Version)
	case SetTitle:
		d.session.head.Title = c.Title
		return nil
	case SetLabels:
		return d.setLabels(c)
	case SetState:
		delta, err := Delta(c).Normal()
		if err != nil {
			return err
		}
		d.merge(delta)
		return nil
	case SetGist:
		return d.setGist(Gist(c))
	case Annotate:
		return d.change(c.Record, func(r *Record) error { r.Notes = c.Notes.clone(); return nil })
	case Edit:
		return d.change(c.Record, func(r *Record) error { return r.edit(c.Messages) })
	case Redact:
		return d.change(c.Record, func(r *Record) error { return r.redact(c.Part) })
	case Rewind:
		d.rewind(c.To)
		return nil
	case Keep:
		d.session.head.Expires = c.Until.UTC()
		return nil
	}
	return fmt.Errorf("%w: this store does not know the change", ErrInvalid)
}

func (d *draft) make(c Create) error {
	if d.session != nil {
		return fmt.Errorf("%w: the session exists", ErrConflict)
	}
	if err := d.create(); err != nil {
		return err
	}
	d.session.head.Title = c.Title
	return d.setLabels(c.Labels)
}

func (d *draft) fork(c Fork) error {
	if d.session != nil {
		return fmt.Errorf("%w: the session exists", ErrConflict)
	}
	from := d.key
	from.Session = c.From
	parent := d.store.live(from, d.now)
	if parent == nil {
		return fmt.Errorf("session %q: %w", c.From, ErrNotFound)
	}
	end := len(parent.records)
	if c.UpTo != "" {
		i, ok := parent.index(c.UpTo)
		if !ok {
			return fmt.Errorf("record %q: %w", c.UpTo, ErrNotFound)
		}
		end = i + 1
	}
	if err := d.create(); err != nil {
		return err
	}
	s := d.session
	s.head.Parent.Session = c.From
	s.records, s.state = slices.Clone(parent.records[:end]), parent.state
	if end > 0 {
		s.head.Parent.UpTo = parent.records[end-1].ID
	}
	if parent.gist.UpTo <= s.head.Parent.UpTo {
		s.gist = parent.gist
	}
	return nil
}

func (d *draft) expect(version int64) error {
	if d.session.head.Version != version {
		return fmt.Errorf("%w: the session is at version %d, not %d", ErrConflict, d.session.head.Version, version)
	}
	return nil
}

func (d *draft) setLabels(labels map[string]string) error {
	merged := map[string]string{}
	maps.Copy(merged, d.session.head.Labels)
	maps.Copy(merged, labels)
	maps.DeleteFunc(merged, func(_, value string) bool { return value == "" })
	d.session.head.Labels = merged
	return checkLabels(merged)
}

func (d *draft) setGist(g Gist) error {
	if g.UpTo < d.session.gist.UpTo {
		return fmt.Errorf("%w: the present gist reaches further", ErrConflict)
	}
	if _, ok := d.session.index(g.UpTo); !ok {
		return fmt.Errorf("record %q: %w", g.UpTo, ErrNotFound)
	}
	d.session.gist = g
	return nil
}

// change puts a changed copy in the place of a record.
func (d *draft) change(id RecordID, edit func(*Record) error) error {
	i, ok := d.session.index(id)
	if !ok {
		return fmt.Errorf("record %q: %w", id, ErrNotFound)
	}
	r := d.session.records[i].clone()
	if err := edit(&r); err != nil {
		return fmt.Errorf("record %q: %w", id, err)
	}
	if !d.copied {
		d.session.records, d.copied = slices.Clone(d.session.records), true
	}
	d.session.records[i] = &r
	return nil
}

func (d *draft) rewind(to RecordID) {
	end := d.session.after(to)
	d.session.records = d.session.records[:end:end] // so that an append does not write where readers look
	if d.session.gist.UpTo > to {
		d.session.gist = Gist{}
	}
}

func (r *Record) edit(messages []Message) error {
	if r.Redacted {
		return fmt.Errorf("%w: it was redacted", ErrConflict)
	}
	entry := r.Entry
	entry.Messages = messages
	entry, err := entry.Normal()
	if err != nil {
		return err
	}
	r.Entry, r.Edited = entry, true
	return nil
}

func (r *Record) redact(part *PartRef) error {
	if part == nil {
		r.Entry, r.Redacted = Entry{Turn: r.Turn}, true
		return nil
	}
	if part.Message >= len(r.Messages) || part.Part >= len(r.Messages[part.Message].Parts) {
		return fmt.Errorf("part %d of message %d: %w", part.Part, part.Message, ErrNotFound)
	}
	r.Messages[part.Message].Parts[part.Part] = Part{}
	r.Redacted = true
	return nil
}
