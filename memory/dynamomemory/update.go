package dynamomemory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/genaistore/genaistore/memory"
)

// Update implements memory.Store. It reads what the changes need, applies them in
// memory and writes the result with the condition that nobody else has changed the
// session: one item by itself, several in one transaction.
func (s *Store) Update(ctx context.Context, key memory.Key, changes ...memory.Change) (memory.Bookmark, error) {
	b, err := s.update(ctx, key, changes)
	return b, wrap("update", key, err)
}

func (s *Store) update(ctx context.Context, key memory.Key, changes []memory.Change) (memory.Bookmark, error) {
	if err := firstError(ctx.Err(), memory.ValidateChanges(key, changes), normalStates(changes)); err != nil {
		return "", err
	}
	p := at(key)
	unlock, err := s.lock(ctx, p.pk)
	if err != nil {
		return "", err
	}
	defer unlock()
	d := &draft{Store: s, place: p, changes: changes}
	for try := range tries {
		id, err := d.attempt(ctx)
		if !errors.Is(err, errAgain) {
			return s.bookmark(d.proof(), id), err
		}
		if err := wait(ctx, try/2); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("%w: the session is changed by others all the time", memory.ErrThrottled)
}

// proof is the place in which a reader finds out that it sees this Update. Notes
// have no place of that kind.
func (d *draft) proof() string {
	switch {
	case d.Session != "" && d.onlyNotes():
		return ""
	case d.Session != "":
		return d.pk + skHead
	case d.User != "":
		return userPK(d.Key)
	}
	return appPK(d.Key)
}

// normalStates refuses states before anything is read.
func normalStates(changes []memory.Change) error {
	for _, c := range changes {
		if c, ok := c.(memory.SetState); ok {
			if _, err := memory.Delta(c).Normal(); err != nil {
				return fmt.Errorf("%T: %w", c, err)
			}
		}
	}
	return nil
}

// A draft is one attempt at an Update.
type draft struct {
	*Store
	place
	changes []memory.Change
	slow    bool // Create has met a head: read before writing

	id        string
	now       time.Time
	old, head *head // old is nil where there is none
	create    bool
	relist    bool
	key       []byte

	fold               *fold
	foldMoved          string // "" where there is no item
	foldWas            cells  // as it was read
	foldWhole, foldNew bool   // records are folded; it has changed
	sized              bool   // by SetState

	gist                 memory.Gist
	gistThere, gistDirty bool

	records map[string]*editing
	notes   map[string]memory.Notes
	shared  map[name]*sharing

	rewinds  bool
	rewindTo string
	removed  map[string]*record
}

type editing struct {
	*record
	dirty bool
	old   item
}

type sharing struct {
	*shared
	at    sharedPlace
	old   string // its last change before
	there bool
	dirty bool
}

func (d *draft) reset() {
	*d = draft{
		Store: d.Store, place: d.place, changes: d.changes, slow: d.slow,
		now: time.Now(), records: map[string]*editing{}, notes: map[string]memory.Notes{}, shared: map[name]*sharing{}, removed: map[string]*record{},
	}
}

func (d *draft) attempt(ctx context.Context) (string, error) {
	d.reset()
	if d.onlyNotes() && (len(d.changes) == 1 || !d.opts.NoTransactions) {
		return d.annotateAll(ctx)
	}
	switch d.changes[0].(type) {
	case memory.Create:
		d.create = true
	case memory.Fork:
		d.create, d.slow = true, true
	}
	if err := d.begin(ctx); err != nil {
		return "", err
	}
	for _, c := range d.changes {
		if err := d.apply(ctx, c); err != nil {
			return "", d.giveUp(ctx, c, err)
		}
	}
	if err := d.checkSizes(); err != nil {
		return "", d.giveUp(ctx, d.changes[0], err)
	}
	return d.id, d.commit(ctx)
}

// giveUp ends an attempt that has written nothing that anyone can see.
func (d *draft) giveUp(ctx context.Context, c memory.Change, err error) error {
	if d.old != nil && d.old.fork == d.id {
		err = errors.Join(err, d.abandon(ctx))
	}
	if errors.Is(err, errAgain) {
		return err
	}
	if d.create && !d.slow {
		d.slow = true // perhaps the session exists, which comes first
		return errAgain
	}
	return fmt.Errorf("%T: %w", c, err)
}

// begin reads what the changes need, and gives the attempt an id that sorts after it.
func (d *draft) begin(ctx context.Context) error {
	if d.Session != "" && (!d.create || d.slow) {
		if err := d.load(ctx); err != nil {
			return err
		}
	}
	if !d.probed.Load() {
		if _, err := d.get(ctx, d.pk, skHead); err != nil {
			return err
		}
		d.probed.Store(true)
	}
	var err error
	if d.id, err = d.next(); err != nil {
		return err
	}
	if d.create {
		if err := d.beginNew(ctx); err != nil {
			return err
		}
	}
	return d.loadRecords(ctx)
}

// checkSizes bounds the states that the changes leave behind.
func (d *draft) checkSizes() error {
	if d.sized {
		if _, err := d.fold.state().Normal(); err != nil {
			return fmt.Errorf("session: %w", err)
		}
	}
	for at, sh := range d.shared {
		if _, err := sh.state().Normal(); err != nil {
			return fmt.Errorf("state of %s: %w", at.pk, err)
		}
	}
	return nil
}

func (d *draft) onlyNotes() bool {
	return !slices.ContainsFunc(d.changes, func(c memory.Change) bool {
		_, ok := c.(memory.Annotate)
		return !ok
	})
}

// load reads head, state and gist in one Query.
func (d *draft) load(ctx context.Context) error {
	items, err := d.all(ctx, scan{pk: d.pk, low: str(skGist), high: str(skState)})
	if err != nil {
		return err
	}
	by := map[string]item{}
	for _, it := range items {
		by[d.skOf(it)] = it
	}
	d.old = decodeHead(by[skHead])
	if d.create {
		return d.loadDead(ctx)
	}
	switch {
	case d.old == nil:
		if err := d.headless(ctx, d.place); err != nil {
			return err
		}
		if _, err := d.ensure(ctx, d.place); err != nil {
			return err
		}
		return errAgain
	case !d.old.live(d.now):
		return memory.ErrNotFound
	case d.old.journal != nil:
		if err := d.perform(ctx, d.place, d.old); err != nil {
			return err
		}
		return errAgain
	case d.old.rewinding:
		if err := d.finishRewind(ctx, d.place, d.old, nil); err != nil {
			return err
		}
		return errAgain
	}
	d.observe(d.old.moved)
	d.head = new(*d.old)
	if d.key, err = d.dataKey(ctx, d.place, d.old); err != nil {
		return err
	}
	return firstErr(
		func() error { return d.loadState(by[skState]) },
		func() error { return d.loadGist(by[skGist]) },
	)
}

// loadDead is load for what must not be there.
func (d *draft) loadDead(ctx context.Context) error {
	switch {
	case d.old == nil:
		return nil
	case d.old.live(d.now):
		return fmt.Errorf("%w: the session exists", memory.ErrConflict)
	default:
		return d.pass(ctx, d.place, d.old)
	}
}

func (d *draft) loadState(it item) error {
	if it == nil {
		return nil
	}
	var err error
	if d.fold, err = d.decodeFold(d.place, it, d.key); err != nil {
		return err
	}
	d.foldMoved, d.foldWas = d.fold.moved, maps.Clone(d.fold.cells)
	d.observe(d.foldMoved)
	if d.fold.epoch != d.old.epoch {
		d.fold, d.foldWas = &fold{cells: cells{}}, nil
	}
	return nil
}

func (d *draft) loadGist(it item) (err error) {
	if it == nil || getString(it, attrEpoch) != d.old.epoch {
		return nil
	}
	d.gistThere = true
	d.gist, err = d.decodeGist(d.place, it, d.key)
	return err
}

// beginNew makes the head of a new session.
func (d *draft) beginNew(ctx context.Context) error {
	h, err := d.newHead(ctx, d.place, d.id)
	if err != nil {
		return err
	}
	d.head = h
	if d.old != nil {
		h.floor = d.id
	}
	if d.key, err = d.dataKey(ctx, d.place, h); err != nil {
		return err
	}
	fork, ok := d.changes[0].(memory.Fork)
	if !ok {
		return nil
	}
	return d.copy(ctx, fork)
}

// loadRecords reads the records that changes name.
func (d *draft) loadRecords(ctx context.Context) error {
	if d.create && (d.old == nil || d.old.fork != d.id) {
		return nil // a new session has none, but for a fork's
	}
	var names []name
	for _, c := range d.changes {
		id := recordOf(c)
		if n := (name{d.pk, skRecord + id}); id != "" && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	items, err := d.getAll(ctx, names, false)
	if err != nil {
		return err
	}
	for n, it := range items {
		r, err := d.Store.load(ctx, d.place, it, d.key)
		if err != nil {
			return err
		}
		if r.kind == "" && d.head.shows(r.id) && !d.expired(it, d.now) {
			d.records[n.sk[len(skRecord):]] = &editing{record: r, old: it}
		}
	}
	return nil
}

// recordOf returns the id of the record that a change names, or "".
func recordOf(c memory.Change) string {
	switch c := c.(type) {
	case memory.Annotate:
		return string(c.Record)
	case memory.Edit:
		return string(c.Record)
	case memory.Redact:
		return string(c.Record)
	case memory.SetGist:
		return string(c.UpTo)
	}
	return ""
}

func (d *draft) record(id memory.RecordID) (*editing, error) {
	r := d.records[string(id)]
	if r == nil || d.rewinds && string(id) > d.rewindTo {
		return nil, fmt.Errorf("record %q: %w", id, memory.ErrNotFound)
	}
	return r, nil
}

// apply makes one change that memory.ValidateChanges has passed.
func (d *draft) apply(ctx context.Context, change memory.Change) error {
	switch c := change.(type) {
	case memory.Create:
		d.head.title = c.Title
		return d.setLabels(c.Labels)
	case memory.Fork:
		return nil // done by begin
	case memory.Expect:
		return d.expect(c.Version)
	case memory.SetTitle:
		d.head.title, d.relist = c.Title, true
		return nil
	case memory.SetLabels:
		return d.setLabels(c)
	case memory.SetState:
		return d.setState(ctx, memory.Delta(c))
	case memory.SetGist:
		return d.setGist(memory.Gist(c))
	case memory.Annotate:
		_, err := d.record(c.Record)
		d.notes[string(c.Record)] = c.Notes
		return err
	case memory.Edit:
		return d.edit(c)
	case memory.Redact:
		return d.redact(ctx, c)
	case memory.Rewind:
		return d.rewind(ctx, string(c.To))
	case memory.Keep:
		d.relist, d.head.keep = true, 0
		if !c.Until.IsZero() {
			d.head.keep = max(1, c.Until.Unix())
		}
		return nil
	}
	return fmt.Errorf("%w: this store does not know the change", memory.ErrInvalid)
}

func (d *draft) expect(version int64) error {
	have := int64(1)
	if !d.create {
		have = d.old.version
	}
	if have != version {
		return fmt.Errorf("%w: the session is at version %d, not %d", memory.ErrConflict, have, version)
	}
	return nil
}

func (d *draft) setLabels(labels map[string]string) error {
	merged := map[string]string{}
	for _, from := range []map[string]string{d.head.labels, labels} {
		for k, v := range from {
			merged[k] = v
			if v == "" {
				delete(merged, k)
			}
		}
	}
	d.head.labels, d.relist = merged, true
	return memory.SetLabels(merged).Validate()
}

func (d *draft) setGist(g memory.Gist) error {
	if g.UpTo < d.gist.UpTo {
		return fmt.Errorf("%w: the present gist reaches further", memory.ErrConflict)
	}
	if _, err := d.record(g.UpTo); err != nil {
		return err
	}
	d.gist, d.gistDirty = g, true
	return nil
}

func (d *draft) edit(c memory.Edit) error {
	r, err := d.record(c.Record)
	if err != nil {
		return err
	}
	if r.redacted {
		return fmt.Errorf("record %q: %w: it was redacted", c.Record, memory.ErrConflict)
	}
	entry := r.Entry
	entry.Messages = c.Messages
	if entry, err = entry.Normal(); err != nil {
		return fmt.Errorf("record %q: %w", c.Record, err)
	}
	r.Entry, r.edited, r.dirty = entry, true, true
	return nil
}

func (d *draft) redact(ctx context.Context, c memory.Redact) error {
	r, err := d.record(c.Record)
	if err != nil {
		return err
	}
	r.dirty = true
	if c.Part == nil {
		if err := d.keepState(ctx, r.record); err != nil {
			return err
		}
		r.Entry, r.redacted = memory.Entry{Turn: r.Turn}, true
		return nil
	}
	if c.Part.Message >= len(r.Messages) || c.Part.Part >= len(r.Messages[c.Part.Message].Parts) {
		return fmt.Errorf("record %q: part %d of message %d: %w", c.Record, c.Part.Part, c.Part.Message, memory.ErrNotFound)
	}
	r.Messages[c.Part.Message].Parts[c.Part.Part] = memory.Part{}
	r.redacted = true
	return nil
}
