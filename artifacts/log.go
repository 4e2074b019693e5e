package artifacts

import (
	"fmt"
	"iter"
	"maps"
	"slices"
)

// A Log is what the records of one name come to: its versions, and where its
// aliases point and have pointed. It holds the rules of [Store.Apply] and of
// numbering, so that every store decides alike. Its zero value is the log of a
// name without records. It is not safe for concurrent use.
type Log struct {
	last     Record
	versions []entry // version n at n-1
	aliases  map[string]int64
	past     map[string][]int64 // where an alias was before, as rollback goes back
	ids      map[string]int64   // versions by the ID of their Publish
}

type entry struct {
	Version
	seq     int64 // of the record that published it
	deleted bool
}

// Last returns the newest record, which is zero if there is none.
func (l *Log) Last() Record { return l.last.clone() }

// Next returns the number that the next version gets.
func (l *Log) Next() int64 { return int64(len(l.versions)) + 1 }

// Published returns the version that a Publish with this ID made, deleted or
// not, and the Seq of its record. ErrNotFound if there was none.
func (l *Log) Published(id string) (v Version, seq int64, err error) {
	n := l.ids[id]
	if n == 0 {
		return Version{}, 0, fmt.Errorf("publish %.80q: %w", id, ErrNotFound)
	}
	e := l.versions[n-1]
	return e.clone(), e.seq, nil
}

// IDs yields the ID of every Publish, with the version that it made, in no order.
func (l *Log) IDs() iter.Seq2[string, int64] { return maps.All(l.ids) }

// SeqOf returns the Seq of the record that published a version, or 0 if there is
// no such version.
func (l *Log) SeqOf(version int64) int64 {
	if version < 1 || version >= l.Next() {
		return 0
	}
	return l.versions[version-1].seq
}

// Resolve does what [Store.Resolve] says.
func (l *Log) Resolve(ref Ref) (Version, error) {
	n := ref.Number
	switch {
	case ref.Alias != "":
		n = l.aliases[ref.Alias]
	case ref.Digest != "":
		for v := range l.Versions() {
			if v.Digest == ref.Digest {
				n = v.ID.Number
				break
			}
		}
	case n == 0:
		n = l.latest()
	}
	if n < 1 || n >= l.Next() || l.versions[n-1].deleted {
		return Version{}, ErrNotFound
	}
	return l.versions[n-1].clone(), nil
}

func (l *Log) latest() int64 {
	for v := range l.Versions() {
		if v.Quarantined == "" {
			return v.ID.Number
		}
	}
	return 0
}

// Versions yields the versions that were not deleted, newest first. They share
// memory with the log.
func (l *Log) Versions() iter.Seq[Version] {
	return func(yield func(Version) bool) {
		for _, e := range slices.Backward(l.versions) {
			if !e.deleted && !yield(e.Version) {
				return
			}
		}
	}
}

// Back yields the versions that a [Rollback] of alias may go to, the next one
// first, whether or not they are ready. They share memory with the log.
func (l *Log) Back(alias string) iter.Seq[Version] {
	return func(yield func(Version) bool) {
		seen := map[int64]bool{l.aliases[alias]: true}
		for _, n := range slices.Backward(l.past[alias]) {
			e := l.versions[n-1]
			if seen[n] || e.deleted || e.Quarantined != "" {
				continue
			}
			seen[n] = true
			if !yield(e.Version) {
				return
			}
		}
	}
}

// Mark says whether a version is settled and whether it is readable at once,
// which no record tells.
func (l *Log) Mark(version int64, durable, ready bool) {
	if version > 0 && version < l.Next() {
		l.versions[version-1].Durable, l.versions[version-1].Ready = durable, ready
	}
}

// Plan decides what a record with the Time, By, ID, Content and Changes of r
// does: it returns that record with everything filled in, or the newest one if
// the changes together change nothing. Where published is not nil the record
// publishes it, and its ID, Created, By and what changes of it mean are filled in
// by the log. The log stays as it is until [Log.Append].
func (l *Log) Plan(r Record, published *Version) (Record, error) {
	r, _, err := l.plan(r, published)
	return r, err
}

func (l *Log) plan(r Record, published *Version) (Record, *draft, error) {
	d := l.begin(func(_ string, e entry) bool { return e.Ready })
	r.Seq, r.Prev, r.Publish = l.last.Seq+1, l.last.Digest, 0
	if published != nil {
		r.Publish = l.Next()
	} else if l.last.Seq == 0 {
		return Record{}, nil, ErrNotFound
	}
	r.Changes = withVersion(r.Changes, r.Publish)
	if err := d.run(r, published); err != nil {
		return Record{}, nil, err
	}
	if published == nil && !d.differs() {
		return l.Last(), d, nil
	}
	r.Moved = d.moved
	digest, err := r.Sum()
	if err != nil {
		return Record{}, nil, err
	}
	r.Digest = digest
	return r, d, nil
}

// Append adds a record that was planned here or elsewhere, with the version it
// publishes. ErrCorrupt reports one that does not follow the newest record, or
// that the rules do not allow; then the log stays as it is. A rollback goes
// where the record says that it went.
func (l *Log) Append(r Record, published *Version) error {
	if err := r.Follows(l.last); err != nil {
		return err
	}
	if r.Publish != 0 && (published == nil || r.Publish != l.Next()) || r.Publish == 0 && published != nil {
		return fmt.Errorf("record %d: %w: it publishes version %d, and the next one is %d", r.Seq, ErrCorrupt, r.Publish, l.Next())
	}
	if len(r.Changes) > 0 {
		if err := ValidateChanges(r.Changes...); err != nil {
			return fmt.Errorf("record %d: %w: %w", r.Seq, ErrCorrupt, err)
		}
	}
	d := l.begin(nil)
	d.ready = func(alias string, e entry) bool {
		i := len(d.moved)
		return i < len(r.Moved) && r.Moved[i].Alias == alias && r.Moved[i].To == e.ID.Number
	}
	if err := d.run(r, published); err != nil {
		return fmt.Errorf("record %d: %w: %w", r.Seq, ErrCorrupt, err)
	}
	if !slices.Equal(d.moved, r.Moved) {
		return fmt.Errorf("record %d: %w: it says that aliases moved by %v, which is %v", r.Seq, ErrCorrupt, r.Moved, d.moved)
	}
	l.commit(r, d)
	return nil
}

// A draft is a log with changes that may yet come to nothing: what it does not
// have is as in its log.
type draft struct {
	log      *Log
	ready    func(alias string, e entry) bool
	versions map[int64]*entry
	aliases  map[string]int64
	past     map[string][]int64
	moved    []Move
}

func (l *Log) begin(ready func(string, entry) bool) *draft {
	return &draft{log: l, ready: ready, versions: map[int64]*entry{}, aliases: map[string]int64{}, past: map[string][]int64{}}
}

func (l *Log) commit(r Record, d *draft) {
	if l.aliases == nil {
		l.aliases, l.past, l.ids = map[string]int64{}, map[string][]int64{}, map[string]int64{}
	}
	if r.Publish != 0 {
		l.versions = append(l.versions, entry{})
		l.ids[r.ID] = r.Publish
	}
	for n, e := range d.versions {
		l.versions[n-1] = *e
	}
	for alias, n := range d.aliases {
		if n == 0 {
			delete(l.aliases, alias)
		} else {
			l.aliases[alias] = n
		}
	}
	maps.Copy(l.past, d.past)
	l.last = r
}

// run does what r says to d.
func (d *draft) run(r Record, published *Version) error {
	for _, c := range r.Changes {
		if e, is := c.(Expect); is && d.log.aliases[e.Alias] != e.Version {
			return fmt.Errorf("%w: alias %s is at version %d, not %d", ErrConflict, e.Alias, d.log.aliases[e.Alias], e.Version)
		}
	}
	if published != nil {
		e := &entry{Version: published.clone(), seq: r.Seq}
		e.ID.Number, e.Created, e.By = r.Publish, r.Time, r.By
		e.Aliases, e.Pins, e.Quarantined = nil, nil, ""
		maps.DeleteFunc(e.Tags, func(_, value string) bool { return value == "" })
		d.versions[r.Publish] = e
	}
	for _, c := range r.Changes {
		if err := d.apply(c); err != nil {
			return err
		}
	}
	return nil
}

func (d *draft) apply(change Change) error {
	switch c := change.(type) {
	case SetAlias:
		return d.setAlias(c)
	case RemoveAlias:
		d.move(c.Alias, 0)
	case Rollback:
		return d.rollback(c)
	case Delete:
		return d.delete(c.Version)
	case Unpin:
		return d.unpin(c)
	case Quarantine:
		return d.edit(c.Version, func(e *entry) { e.Quarantined = c.Reason })
	case Release:
		return d.edit(c.Version, func(e *entry) { e.Quarantined = "" })
	case Pin:
		return d.edit(c.Version, func(e *entry) { e.Pins = with(e.Pins, c.By) })
	case Note:
		return d.note(c)
	}
	return nil
}

// get returns a version for reading. It may have been deleted.
func (d *draft) get(n int64) (entry, error) {
	if e := d.versions[n]; e != nil {
		return *e, nil
	}
	if n < 1 || n >= d.log.Next() {
		return entry{}, fmt.Errorf("version %d: %w", n, ErrNotFound)
	}
	return d.log.versions[n-1], nil
}

// edit changes a version that was not deleted.
func (d *draft) edit(n int64, change func(*entry)) error {
	e, err := d.get(n)
	if err != nil {
		return err
	}
	if e.deleted {
		return fmt.Errorf("version %d was deleted: %w", n, ErrNotFound)
	}
	if d.versions[n] == nil {
		e.Version = e.clone()
		d.versions[n] = &e
	}
	change(d.versions[n])
	return nil
}

func (d *draft) at(alias string) int64 {
	if n, has := d.aliases[alias]; has {
		return n
	}
	return d.log.aliases[alias]
}

func (d *draft) before(alias string) []int64 {
	if past, has := d.past[alias]; has {
		return past
	}
	return d.log.past[alias]
}

// move points alias at a version that is live, or nowhere for 0.
func (d *draft) move(alias string, to int64) {
	from := d.at(alias)
	if from == to {
		return
	}
	if from != 0 {
		// In place: a log that is not changed after all ends before what is added.
		d.past[alias] = append(d.before(alias), from)
		// What an alias points at cannot be deleted, so it can be edited.
		_ = d.edit(from, func(e *entry) { e.Aliases = without(e.Aliases, alias) })
	}
	if to != 0 {
		_ = d.edit(to, func(e *entry) { e.Aliases = with(e.Aliases, alias) })
	}
	d.aliases[alias] = to
	d.moved = append(d.moved, Move{Alias: alias, From: from, To: to})
}

func (d *draft) setAlias(c SetAlias) error {
	e, err := d.get(c.Version)
	switch {
	case err != nil:
		return err
	case e.deleted:
		return fmt.Errorf("version %d was deleted: %w", c.Version, ErrNotFound)
	case e.Quarantined != "":
		return fmt.Errorf("%w: version %d is quarantined: %s", ErrConflict, c.Version, e.Quarantined)
	}
	d.move(c.Alias, c.Version)
	return nil
}

func (d *draft) rollback(c Rollback) error {
	from, past := d.at(c.Alias), d.before(c.Alias)
	if from == 0 {
		return fmt.Errorf("alias %s: %w", c.Alias, ErrNotFound)
	}
	for i, n := range slices.Backward(past) {
		e, err := d.get(n)
		if err != nil {
			return err
		}
		if n == from || e.deleted || e.Quarantined != "" || !d.ready(c.Alias, e) {
			continue
		}
		if err := d.edit(from, func(e *entry) { e.Quarantined = c.Reason }); err != nil {
			return err
		}
		d.move(c.Alias, n)
		d.past[c.Alias] = past[:i:i]
		return nil
	}
	return fmt.Errorf("%w: alias %s is at version %d and has no earlier one to go back to that is live, not quarantined and ready", ErrConflict, c.Alias, from)
}

func (d *draft) delete(version int64) error {
	first, last := version, version
	if version == 0 {
		first, last = 1, d.log.Next()-1
	}
	for n := first; n <= last; n++ {
		e, err := d.get(n)
		switch {
		case err != nil:
			return err
		case e.deleted:
			continue
		case len(e.Aliases) > 0:
			return fmt.Errorf("%w: version %d is where alias %s points", ErrConflict, n, e.Aliases[0])
		case len(e.Pins) > 0:
			return fmt.Errorf("%w: version %d is pinned by %s", ErrConflict, n, e.Pins[0])
		}
		if err := d.edit(n, func(e *entry) { e.deleted = true }); err != nil {
			return err
		}
	}
	return nil
}

func (d *draft) unpin(c Unpin) error {
	if e, err := d.get(c.Version); err != nil || e.deleted {
		return err
	}
	return d.edit(c.Version, func(e *entry) { e.Pins = without(e.Pins, c.By) })
}

func (d *draft) note(c Note) error {
	err := d.edit(c.Version, func(e *entry) {
		if e.Metrics == nil && len(c.Metrics) > 0 {
			e.Metrics = map[string]Metric{}
		}
		maps.Copy(e.Metrics, c.Metrics)
		if e.Tags == nil && len(c.Tags) > 0 {
			e.Tags = map[string]string{}
		}
		maps.Copy(e.Tags, c.Tags)
		maps.DeleteFunc(e.Tags, func(_, value string) bool { return value == "" })
	})
	if err != nil {
		return err
	}
	if e := d.versions[c.Version]; len(e.Tags) > MaxTags || len(e.Metrics) > MaxTags {
		return fmt.Errorf("%w: version %d would have %d tags and %d metrics: at most %d of each", ErrInvalid, c.Version, len(e.Tags), len(e.Metrics), MaxTags)
	}
	return nil
}

// differs says whether d is anything but its log.
func (d *draft) differs() bool {
	for n, e := range d.versions {
		was := d.log.versions[n-1]
		if e.deleted != was.deleted || e.Quarantined != was.Quarantined || !slices.Equal(e.Aliases, was.Aliases) ||
			!slices.Equal(e.Pins, was.Pins) || !maps.Equal(e.Tags, was.Tags) || !maps.Equal(e.Metrics, was.Metrics) {
			return true
		}
	}
	for alias, n := range d.aliases {
		if n != d.log.aliases[alias] {
			return true
		}
	}
	for alias, past := range d.past {
		if !slices.Equal(past, d.log.past[alias]) {
			return true
		}
	}
	return false
}

// with and without keep texts sorted and leave the slice they are given alone.
func with(texts []string, text string) []string {
	i, has := slices.BinarySearch(texts, text)
	if has {
		return texts
	}
	return slices.Insert(slices.Clone(texts), i, text)
}

func without(texts []string, text string) []string {
	i, has := slices.BinarySearch(texts, text)
	if !has {
		return texts
	}
	return slices.Delete(slices.Clone(texts), i, i+1)
}
