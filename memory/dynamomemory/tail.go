package dynamomemory

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/genaistore/genaistore/internal/hlc"
	"github.com/genaistore/genaistore/memory"
)

// A tail is the item TL of a session, which is there with a cache alone: the ids of its
// newest records, from which a cache that knows items and no queries makes a window.
//
// Whatever changes a session puts its id into the tail first, on the condition that the
// tail is as it read it and that its id is greater than all in it. So of two tails the
// one with the greater last id has all that the other has, and a reader who brings the
// id of what it has seen finds out from that id alone whether a tail, and what it leads
// to, is old. After each step a reader sees:
//
//   - the id in the tail, and no record yet: the record is missing, and the table is
//     asked, as it is if its writer has died here;
//   - both: a window from the cache.
//
// Other changes than an Append make the tail cold: what the cache has of the session is
// not to be used. The next Append reads what there is and makes it warm again.
type tail struct {
	epoch string
	last  string   // the greatest id
	from  string   // all records after this one are here, "" where all are; of a cold tail, the change that made it so
	ids   []string // ascending
	head  string   // the head's last change; "" where the tail is cold
	state string   // the state's last change, or an earlier one; "" where there is no item HS
	gist  string   // of what the gist is, or ""
}

const (
	skTail = "TL"

	// mostTail ids, with the rest, fit an item of one write unit.
	mostTail = 47

	attrTailHead  = "th"
	attrTailState = "ts"
	attrTailGist  = "tg"
	attrTailFrom  = "tf"
)

func (t *tail) cold() bool { return t.head == "" }

// plus is t with one more record.
func (t *tail) plus(id string) *tail {
	out := *t
	out.last, out.ids = id, append(slices.Clone(t.ids), id)
	if drop := len(out.ids) - mostTail; drop > 0 {
		out.from, out.ids = out.ids[drop-1], out.ids[drop:]
	}
	return &out
}

func (s *Store) tailItem(p place, t *tail) item {
	it := merged(s.key(p.pk, skTail), item{attrSchema: num(schemaVersion), attrMoved: str(t.last)})
	for attr, v := range map[string]string{attrEpoch: t.epoch, attrTailFrom: t.from, attrTailHead: t.head, attrTailState: t.state, attrTailGist: t.gist} {
		if v != "" {
			it[attr] = str(v)
		}
	}
	var ids []byte
	for _, text := range t.ids {
		if id, err := hlc.Parse(text); err == nil {
			ids = append(ids, id[:]...)
		}
	}
	if len(ids) > 0 {
		it[attrBody] = bin(ids)
	}
	if exp := s.expiry(time.Now()); exp != 0 {
		it[s.names.TTL] = num(exp + slack)
	}
	return it
}

func decodeTail(it item) *tail {
	if it == nil {
		return nil
	}
	t := &tail{
		epoch: getString(it, attrEpoch), last: getString(it, attrMoved), from: getString(it, attrTailFrom),
		head: getString(it, attrTailHead), state: getString(it, attrTailState), gist: getString(it, attrTailGist),
	}
	for id := range slices.Chunk(getBytes(it, attrBody), len(hlc.ID{})) {
		if len(id) < len(hlc.ID{}) {
			t.head = "" // cut short: it is not to be used
			break
		}
		t.ids = append(t.ids, hlc.ID(id).String())
	}
	return t
}

// enroll puts the id of a record into the tail, before the record is there. It returns
// false where the tail has a greater one, after which a reader may not find this one.
func (a *appending) enroll(ctx context.Context, id string) (inOrder bool, err error) {
	if a.cache == nil {
		return true, nil
	}
	if a.opts.IfVersion > 0 {
		return a.cool(ctx, a.place, id) // the head changes too
	}
	return a.change(ctx, a.place, id, func(t *tail) (*tail, error) {
		if t == nil || t.cold() || t.state == "" && a.hasState() {
			fresh, err := a.warmTail(ctx, a.place, t, a.known.key)
			if err != nil {
				return nil, err
			}
			t = fresh
		}
		return t.plus(id), nil
	})
}

func (a *appending) hasState() bool {
	return len(a.body.State.Set.Session)+len(a.body.State.Unset.Session) > 0
}

// cool tells readers that what the cache has of a session is not to be used, before the
// change id makes that so.
func (s *Store) cool(ctx context.Context, p place, id string) (inOrder bool, err error) {
	if s.cache == nil || p.Session == "" {
		return true, nil
	}
	return s.change(ctx, p, id, func(t *tail) (*tail, error) {
		out := &tail{last: id, from: id}
		if t != nil {
			out.ids = t.ids // records that are on their way
		}
		return out, nil
	})
}

// change replaces the tail by what next makes of it, nil where there is none.
func (s *Store) change(ctx context.Context, p place, id string, next func(*tail) (*tail, error)) (inOrder bool, err error) {
	t, err := s.tailOf(ctx, p)
	for try := 0; err == nil && try < tries; try++ {
		switch {
		case t == nil:
		case t.last == id || slices.Contains(t.ids, id):
			return true, nil // by this very call, or by an earlier attempt at the same request
		case t.last > id:
			s.observe(t.last)
			s.seen.change(p.pk, func(k *known) { k.tail = t })
			return false, nil
		}
		fresh, err := next(t)
		if err != nil {
			return false, err
		}
		there, replaced, err := s.replaceTail(ctx, p, t, fresh)
		if err != nil {
			return false, err
		}
		if replaced {
			s.seen.change(p.pk, func(k *known) { k.tail = fresh })
			return true, nil
		}
		t = there
		if err := wait(ctx, try/4); err != nil {
			return false, err
		}
	}
	if err == nil {
		err = fmt.Errorf("%w: the session is written to by others all the time", memory.ErrThrottled)
	}
	return false, err
}

// tailOf is the tail that this process knows of, or else the one in the table, or nil.
func (s *Store) tailOf(ctx context.Context, p place) (*tail, error) {
	if t := s.seen.get(p.pk).tail; t != nil {
		return t, nil
	}
	it, err := s.get(ctx, p.pk, skTail)
	return decodeTail(it), err
}

// replaceTail puts fresh in the place of old, or else returns what is there, which is
// nil where a Delete has removed old.
func (s *Store) replaceTail(ctx context.Context, p place, old, fresh *tail) (there *tail, replaced bool, err error) {
	e := newExpression()
	var when string
	if old == nil {
		when = "attribute_not_exists(" + e.name(s.names.PartitionKey) + ")"
	} else {
		when = e.name(attrMoved) + "=" + e.value(str(old.last))
	}
	err = s.put(ctx, s.tailItem(p, fresh), &condition{when, e})
	if it, ok := refused(err); ok {
		return decodeTail(it), false, nil
	}
	return nil, err == nil, err
}

// warmTail makes a tail of what is in the table now. It stays cold while the change that
// has made it so may still be under way.
func (s *Store) warmTail(ctx context.Context, p place, old *tail, key []byte) (*tail, error) {
	if old == nil {
		old = &tail{}
	}
	items, next, err := s.page(ctx, scan{pk: p.pk, low: str(s.lowest(time.Now())), high: str(skState), backward: true, limit: mostTail + 4})
	if err != nil {
		return nil, err
	}
	by := map[string]item{}
	for len(items) > 0 && len(s.skOf(items[0])) < 3 {
		by[s.skOf(items[0])], items = items[0], items[1:]
	}
	h := decodeHead(by[skHead])
	if !h.live(time.Now()) || h.rewinding || h.journal != nil || h.moved < old.from && time.Since(timeOf(old.from)) < overlap {
		return old, nil // the next Append looks again
	}
	t := &tail{epoch: h.epoch, last: old.last, head: h.moved, gist: gistMark(by[skGist])}
	if getString(by[skState], attrEpoch) == h.epoch {
		t.state = getString(by[skState], attrMoved)
	}
	if last := len(items) - 1; next != nil && last >= 0 { // what was not read is not in the tail
		t.from, items = s.skOf(items[last])[len(skRecord):], items[:last]
	} else if next != nil {
		return old, nil
	}
	t.ids = slices.DeleteFunc(slices.Clone(old.ids), func(id string) bool { return time.Since(timeOf(id)) >= overlap }) // younger ones may not be there yet
	v := &view{Store: s, place: p, head: h, key: key}
	if err := v.fill(ctx, t, items); err != nil {
		return nil, err
	}
	slices.Sort(t.ids)
	t.ids = slices.DeleteFunc(slices.Compact(t.ids), func(id string) bool { return id <= t.from })
	if drop := len(t.ids) - mostTail; drop > 0 {
		t.from, t.ids = t.ids[drop-1], t.ids[drop:]
	}
	return t, nil
}

// fill adds records, newest first, until one that a node may have as it was before.
func (v *view) fill(ctx context.Context, t *tail, items []item) error {
	for _, it := range items {
		id := v.skOf(it)[len(skRecord):]
		r, err := v.load(ctx, v.place, it, v.key)
		if err != nil {
			return err
		}
		if !v.head.shows(id) || r.kind == "" && (r.edited || r.redacted) {
			t.from = id
			return nil
		}
		if r.kind == "" {
			t.ids = append(t.ids, id)
		}
	}
	return nil
}

// gistMark tells one gist from another.
func gistMark(it item) string {
	if it == nil {
		return ""
	}
	return strconv.FormatUint(uint64(hashOf(string(getBytes(it, attrBody))+getString(it, attrEpoch))), 36)
}
