package dynamomemory

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/genaistore/genaistore/memory"
)

func notThere(id string) error { return fmt.Errorf("record %q: %w", id, memory.ErrNotFound) }

// copy puts an invisible head in the place of the new session and copies the records
// of its parent under it. The commit makes it visible. A copy that was interrupted is
// as good as no session: the same Fork goes on with it, and whoever makes another
// session here removes it first.
func (d *draft) copy(ctx context.Context, f memory.Fork) error {
	parent := d.Key
	parent.Session = f.From
	v, err := d.read(ctx, at(parent), memory.WindowOptions{Last: math.MaxInt})
	if err != nil {
		return fmt.Errorf("session %q: %w", f.From, err)
	}
	slices.Reverse(v.records)
	d.fold = &fold{cells: v.forward()} // the state is that of the whole parent
	if f.UpTo != "" {
		i := slices.IndexFunc(v.records, func(r *record) bool { return r.id == string(f.UpTo) })
		if i < 0 {
			return notThere(string(f.UpTo))
		}
		v.records = v.records[:i+1]
	}
	h := d.head
	h.parent = f.From
	if n := len(v.records); n > 0 {
		h.upTo = v.records[n-1].id
		d.fold.upTo = h.upTo
	}
	d.foldWhole, d.foldNew = true, len(d.fold.cells) > 0 || slices.ContainsFunc(v.records, (*record).hasState)
	if v.gist.UpTo <= memory.RecordID(h.upTo) && v.gist != (memory.Gist{}) {
		d.gist, d.gistDirty = v.gist, true
	}
	origin := v.head.state()
	var there map[string]bool
	switch {
	case d.resumes(origin):
		there, err = d.resume(ctx)
	case d.old != nil:
		err = d.erase(ctx, d.place, d.id)
	}
	return firstErr(
		func() error { return err },
		func() error { return d.hide(ctx, origin) },
		func() error { return d.copyRecords(ctx, v, there) },
		func() error { return d.unmoved(ctx, v) },
	)
}

// unmoved makes sure that the copy is of one moment: what was edited, redacted or
// removed in the parent meanwhile must not live on in the fork.
func (d *draft) unmoved(ctx context.Context, v *view) error {
	it, err := d.get(ctx, v.pk, skHead)
	if err != nil {
		return err
	}
	now := decodeHead(it)
	if now == nil && v.head == nil {
		return nil
	}
	if now.live(d.now) && v.head != nil && now.epoch == v.head.epoch && now.edited == v.head.edited {
		return nil
	}
	return errors.Join(errAgain, d.abandon(ctx))
}

// resumes says whether a copy that was interrupted is one of the same records.
func (d *draft) resumes(origin string) bool {
	old := d.old
	return old != nil && old.fork != "" && old.deleted == "" && old.origin == origin && origin != "" && old.parent == d.head.parent && old.upTo == d.head.upTo
}

// resume takes over the key of the copy, and returns the sort keys of what is there. A
// record is there with all its parts, which are stored before it.
func (d *draft) resume(ctx context.Context) (there map[string]bool, err error) {
	d.head.wrapped = d.old.wrapped
	if d.key, err = d.dataKey(ctx, d.place, d.old); err != nil {
		return nil, err
	}
	there = map[string]bool{}
	for _, prefix := range []string{skNotes, skRecord} {
		items, err := d.all(ctx, scan{pk: d.pk, prefix: prefix, keysOnly: true})
		if err != nil {
			return nil, err
		}
		for _, it := range items {
			there[d.skOf(it)] = true
		}
	}
	return there, nil
}

// hide puts the invisible head.
func (d *draft) hide(ctx context.Context, origin string) error {
	d.head.floor = "" // the records are older than the session, and what was here before is gone
	hidden := *d.head
	hidden.fork, hidden.origin = d.id, origin
	won, err := d.replace(ctx, d.place, d.old, &hidden)
	if err == nil && !won {
		err = errAgain
	}
	d.old = &hidden
	return err
}

// forward is state for records that are in their order.
func (v *view) forward() cells {
	back := slices.Clone(v.records) // aged ones are still newest first, and older
	slices.Reverse(back)
	w := *v
	w.records = back
	return w.state()
}

func (d *draft) copyRecords(ctx context.Context, v *view, there map[string]bool) error {
	writes, err := d.copyNotes(ctx, v, there)
	if err != nil {
		return err
	}
	for _, r := range v.records {
		if there[skRecord+r.id] {
			continue
		}
		b, err := d.sealBody(d.place, r.id, r.body, d.key, largest)
		if err != nil {
			return err
		}
		it := merged(d.recordItem(d.place, r.id, r.body), b.attrs)
		if err := d.storeParts(ctx, b, getInt(it, d.names.TTL)); err != nil {
			return err
		}
		writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: it}})
		if len(writes) >= batchWrite {
			if err := d.writeAll(ctx, writes); err != nil {
				return err
			}
			writes = nil
		}
	}
	return d.writeAll(ctx, writes)
}

// copyNotes is for all notes, since they may have changed since an interrupted copy.
func (d *draft) copyNotes(ctx context.Context, v *view, there map[string]bool) (writes []types.WriteRequest, err error) {
	items, err := d.all(ctx, scan{pk: v.pk, low: str(skNotes), high: str(skNotes + d.head.upTo)})
	if err != nil {
		return nil, err
	}
	copied := map[string]bool{}
	for _, r := range v.records {
		copied[r.id] = true
	}
	for _, it := range items {
		n, err := d.decodeNotes(it)
		if err != nil {
			return nil, err
		}
		if id := d.skOf(it)[len(skNotes):]; copied[id] {
			writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: d.notesItem(d.place, id, n)}})
			delete(there, skNotes+id)
		}
	}
	for sk := range there {
		if strings.HasPrefix(sk, skNotes) {
			writes = append(writes, types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: d.Store.key(d.pk, sk)}})
		}
	}
	return writes, nil
}

// abandon removes a fork whose Update has failed, unless somebody else has taken it
// over. It marks the head first, as a Delete does, so that nobody goes on with what is
// being removed.
func (d *draft) abandon(ctx context.Context) error {
	id, err := d.next()
	if err != nil {
		return err
	}
	e := newExpression()
	e.put(attrDeleted, str(id))
	e.put(attrMoved, str(id))
	_, err = d.modify(ctx, d.pk, skHead, e, e.name(attrMoved)+"="+e.value(str(d.id)))
	if old, other := refused(err); other && getString(old, attrMoved) != id {
		return nil
	} else if err != nil && !other {
		return err
	}
	if err := d.erase(ctx, d.place, id); err != nil {
		return err
	}
	pk, sk := d.directory()
	for _, gone := range []struct {
		name
		moved string
	}{{name{pk, sk}, d.id}, {name{d.pk, skHead}, id}} { // the head last, see Delete
		e := newExpression()
		err := d.remove(ctx, gone.pk, gone.sk, &condition{e.name(attrMoved) + "=" + e.value(str(gone.moved)), e})
		if _, other := refused(err); err != nil && !other {
			return err
		}
	}
	return nil
}
