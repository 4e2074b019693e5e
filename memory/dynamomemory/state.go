package dynamomemory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/genaistore/genaistore/memory"
)

// A cell is the value of one key of a state and the id of the write that set it. The
// greatest id wins, in whatever order writes arrive.
type cell struct {
	id   string
	gone bool // unset: a tombstone, kept so that a late older write does not bring the key back
	v    any
}

type cells map[string]cell

// apply merges the part of a delta that the write id made.
func (c cells) apply(id string, set memory.State, unset []string) {
	for k, v := range set {
		if c[k].id <= id {
			c[k] = cell{id: id, v: v}
		}
	}
	for _, k := range unset {
		if c[k].id <= id {
			c[k] = cell{id: id, gone: true}
		}
	}
}

func (c cells) state() memory.State {
	out := memory.State{}
	for k, v := range c {
		if !v.gone {
			out[k] = v.v
		}
	}
	return out
}

// latest is the greatest id in c.
func (c cells) latest() string {
	last := ""
	for _, v := range c {
		last = max(last, v.id)
	}
	return last
}

// A fold is the item HS: the state of a session as the records up to an id have made
// it, and later changes by Update. Where there is none, and a head, no record has
// state.
type fold struct {
	cells
	upTo  string
	epoch string
	moved string

	journal string // the last one that was carried out
}

func (f *fold) encode() []byte {
	var e encoder
	e.byte(bodyVersion)
	e.uint(uint64(len(f.cells)))
	for _, k := range slices.Sorted(maps.Keys(f.cells)) {
		v := f.cells[k]
		e.string(k)
		e.string(v.id)
		e.flags(v.gone)
		e.any(v.v)
	}
	return e
}

func (s *Store) decodeFold(p place, it item, key []byte) (*fold, error) {
	f := &fold{cells: cells{}, upTo: getString(it, attrUpTo), epoch: getString(it, attrEpoch), moved: getString(it, attrMoved), journal: getString(it, attrJournalID)}
	data := getBytes(it, attrBody)
	if len(data) == 0 {
		return f, nil
	}
	raw, err := s.unseal(it, data, key, p.pk, skState)
	if err != nil {
		return nil, err
	}
	return f, f.decode(raw)
}

// decode is the inverse of encode.
func (f *fold) decode(raw []byte) error {
	d := &decoder{data: raw}
	if v := d.byte(); v != bodyVersion {
		return fmt.Errorf("%w: a state of version %d: this version of the library reads %d", memory.ErrCorrupt, v, bodyVersion)
	}
	for range d.count() {
		k := d.string()
		c := cell{id: d.string(), gone: d.byte() != 0}
		c.v = d.any(0)
		f.cells[k] = c
	}
	return d.end()
}

func (s *Store) foldItem(p place, f *fold, key []byte, end time.Time) (item, error) {
	it := merged(s.key(p.pk, skState), item{attrSchema: num(schemaVersion), attrEpoch: str(f.epoch), attrMoved: str(f.moved)})
	for attr, id := range map[string]string{attrUpTo: f.upTo, attrJournalID: f.journal} {
		if id != "" {
			it[attr] = str(id)
		}
	}
	if len(f.cells) > 0 {
		data, attrs, err := s.seal(f.encode(), key, p.pk, skState)
		if err != nil {
			return nil, err
		}
		maps.Copy(it, attrs)
		it[attrBody] = bin(data)
	}
	s.expireBeside(it, end)
	return it, nil
}

// markState makes sure that the item HS is there and of this epoch, so that readers
// look for state in the records. It says whether it has been there, unchanged, for
// so long that it ought to be renewed.
func (s *Store) markState(ctx context.Context, p place, epoch string) (old bool, err error) {
	id, err := s.next()
	if err != nil {
		return false, err
	}
	it, err := s.foldItem(p, &fold{epoch: epoch, moved: id}, nil, s.seen.get(p.pk).expires)
	if err != nil {
		return false, err
	}
	e := newExpression()
	c := "attribute_not_exists(" + e.name(s.names.PartitionKey) + ") OR " + e.name(attrEpoch) + "<" + e.value(str(epoch))
	if err := s.put(ctx, it, &condition{c, e}); err != nil {
		found, there := refused(err)
		if !there {
			return false, err
		}
		old = time.Since(timeOf(getString(found, attrMoved))) > foldAfter
	}
	s.seen.change(p.pk, func(k *known) {
		if k.epoch == epoch {
			k.state = true
		}
	})
	return old, nil
}

const (
	foldFrom  = 10               // records with state, from which on they are folded
	foldAfter = 24 * time.Hour   // as old as one may get that is not: no more than slack
	settled   = 90 * time.Second // after which no record appears any more below an id: the clocks' skew and a request
	mostFold  = 380 << 10
)

// refold renews the state's fold. It is an optimisation: whoever loses a race leaves
// it to the winner.
func (s *Store) refold(ctx context.Context, p place, k known) error {
	if s.opts.Cipher != nil && k.key == nil {
		return nil
	}
	it, err := s.get(ctx, p.pk, skState)
	if err != nil || it == nil {
		return err
	}
	f, err := s.decodeFold(p, it, k.key)
	if err != nil || f.epoch != k.epoch {
		return err
	}
	old := f.moved
	left, err := s.foldSettled(ctx, p, f, k.key)
	if err != nil {
		return err
	}
	s.seen.change(p.pk, func(k *known) { k.unfold = left })
	if f.moved, err = s.next(); err != nil {
		return err
	}
	out, err := s.foldItem(p, f, k.key, k.expires)
	if err != nil || len(getBytes(out, attrBody)) > mostFold {
		return err // too large for an item: readers go on to read the records
	}
	e := newExpression()
	err = s.put(ctx, out, &condition{e.name(attrMoved) + "=" + e.value(str(old)), e})
	if _, lost := refused(err); lost {
		return nil
	}
	return err
}

// foldSettled folds the records that no other can precede any more, and returns how
// many with state are left.
func (s *Store) foldSettled(ctx context.Context, p place, f *fold, key []byte) (left int, err error) {
	found, err := s.between(ctx, p, f.upTo, "", key)
	if err != nil {
		return 0, err
	}
	limit := time.Now().Add(-settled)
	for _, r := range found {
		switch {
		case !r.hasState():
		case timeOf(r.id).Before(limit):
			f.apply(r.id, r.State.Set.Session, r.State.Unset.Session)
			f.upTo = max(f.upTo, r.id)
		default:
			left++
		}
	}
	maps.DeleteFunc(f.cells, func(_ string, c cell) bool { return c.gone && c.id <= f.upTo }) // nothing older can come
	return left, nil
}
