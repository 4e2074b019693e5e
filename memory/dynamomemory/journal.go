package dynamomemory

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/genaistore/genaistore/memory"
)

// A journal is an Update of several items on a table without transactions: the items
// beside the head that it writes, kept in the head. That it gets there, with the head's
// own changes and under their condition, is the moment in which all of them happen.
// Whoever meets it, its writer first, carries it out before it reads on, and removes
// it. No other Update gets by it, so that journals follow each other by their ids.
//
// Somebody slow may carry out a journal that is long done. Therefore each item says
// which journal has written it last, and states are merged a key at a time.
type journal struct {
	id    string
	items []item
}

// mostJournal is how many bytes go into the head beside its own, of 400 KB.
const mostJournal = 300 << 10

func decodeJournal(it item) *journal {
	list, ok := it[attrJournal].(*types.AttributeValueMemberL)
	if !ok {
		return nil
	}
	j := &journal{id: getString(it, attrJournalID)}
	for _, v := range list.Value {
		if m, ok := v.(*types.AttributeValueMemberM); ok {
			j.items = append(j.items, m.Value)
		}
	}
	return j
}

// note turns all writes but the first, which is the head's, into a journal in it.
func (d *draft) note(writes []write) (*journal, error) {
	j := &journal{id: d.id}
	size := 0
	for _, w := range writes[1:] {
		it, err := d.noted(w)
		if err != nil {
			return nil, err
		}
		size += deepSize(it)
		j.items = append(j.items, it)
	}
	if size > mostJournal {
		return nil, fmt.Errorf("%w: changes of %d bytes at once, on a table without transactions: at most %d; make them in several Updates", memory.ErrInvalid, size, mostJournal)
	}
	list := make([]types.AttributeValue, len(j.items))
	for i, it := range j.items {
		list[i] = &types.AttributeValueMemberM{Value: it}
	}
	head := writes[0]
	if head.put != nil {
		head.put[attrJournal], head.put[attrJournalID] = &types.AttributeValueMemberL{Value: list}, str(j.id)
		return j, nil
	}
	head.change.put(attrJournal, &types.AttributeValueMemberL{Value: list})
	head.change.put(attrJournalID, str(j.id))
	return j, nil
}

// noted is the item of a write as a journal has it: of states what has changed.
func (d *draft) noted(w write) (item, error) {
	switch {
	case w.pk != d.pk:
		changed := cells{}
		for k, c := range d.shared[name{w.pk, w.sk}].cells {
			if c.id == d.id {
				changed[k] = c
			}
		}
		return d.notedCells(w, changed, w.pk)
	case w.sk == skState:
		changed := cells{}
		for k, c := range d.fold.cells {
			if d.foldWas[k].id != c.id {
				changed[k] = c
			}
		}
		return d.notedCells(w, changed, skState)
	case w.put != nil:
		return merged(w.put, item{attrMoved: str(d.id)}), nil
	default: // a gist: an empty one, that says who has removed it
		it, err := d.gistItem(d.place, memory.Gist{}, d.head.epoch, d.key, d.head.expires())
		return merged(it, item{attrMoved: str(d.id)}), err
	}
}

func (d *draft) notedCells(w write, c cells, sk string) (item, error) {
	data, attrs, err := d.seal((&fold{cells: c}).encode(), d.key, d.pk, sk)
	it := merged(d.Store.key(w.pk, w.sk), attrs, item{attrBody: bin(data)})
	if w.sk == skState && d.fold.upTo != "" {
		it[attrUpTo] = str(d.fold.upTo)
	}
	return it, err
}

func deepSize(it item) int {
	n := itemSize(it)
	for _, v := range it {
		switch v := v.(type) {
		case *types.AttributeValueMemberM:
			n += deepSize(v.Value)
		case *types.AttributeValueMemberL:
			for i, e := range v.Value {
				n += deepSize(item{fmt.Sprint(i): e})
			}
		case *types.AttributeValueMemberN:
			n += len(v.Value)
		}
	}
	return n
}

// settle carries out the journal of a head, if there is one, and says whether there
// was: what was read before has to be read again. Who may not write reads on.
func (s *Store) settle(ctx context.Context, p place, h *head) (bool, error) {
	if h == nil || h.journal == nil {
		return false, nil
	}
	err := s.perform(ctx, p, h)
	if errors.Is(err, memory.ErrDenied) {
		return false, nil
	}
	return err == nil, err
}

func (s *Store) perform(ctx context.Context, p place, h *head) error {
	key, err := s.dataKey(ctx, p, h)
	if err != nil {
		return err
	}
	w := performer{s, p, h, key}
	for _, it := range h.journal.items {
		switch {
		case s.pkOf(it) != p.pk:
			err = w.share(ctx, it)
		case s.skOf(it) == skState:
			err = w.fold(ctx, it)
		default:
			err = w.put(ctx, it)
		}
		if err != nil {
			return err
		}
	}
	e := newExpression()
	e.drop(attrJournal)
	e.drop(attrJournalID)
	_, err = s.modify(ctx, p.pk, skHead, e, e.name(attrJournalID)+"="+e.value(str(h.journal.id)))
	if _, done := refused(err); done {
		return nil
	}
	return err
}

// A performer carries out the journal of a head.
type performer struct {
	*Store
	place
	head *head
	key  []byte
}

// put puts an item, unless this journal or a later one has. A record that has gone since
// stays away.
func (w performer) put(ctx context.Context, it item) error {
	e := newExpression()
	moved := e.name(attrMoved)
	c := "attribute_not_exists(" + moved + ") OR " + moved + "<" + e.value(str(w.head.journal.id))
	if strings.HasPrefix(w.skOf(it), skRecord) {
		c = "attribute_exists(" + e.name(w.names.PartitionKey) + ") AND attribute_not_exists(" + e.name(attrKind) + ") AND (" + c + ")"
	}
	err := w.Store.put(ctx, it, &condition{c, e})
	if _, done := refused(err); done {
		return nil
	}
	return err
}

// share changes the state of the user or of the app.
func (w performer) share(ctx context.Context, it item) error {
	changed, err := w.changed(it, w.pkOf(it))
	if err != nil {
		return err
	}
	set, unset := memory.State{}, []string{}
	for k, c := range changed {
		if c.gone {
			unset = append(unset, k)
			continue
		}
		set[k] = c.v
	}
	user, at := sharedPlaces(w.Key)
	if w.pkOf(it) == user.pk {
		at = user
	}
	return w.spreadOne(ctx, at, w.head.journal.id, set, unset)
}

// changed is the cells in an item, which were sealed for sk.
func (w performer) changed(it item, sk string) (cells, error) {
	raw, err := w.unseal(it, getBytes(it, attrBody), w.key, w.pk, sk)
	if err != nil {
		return nil, err
	}
	f := &fold{cells: cells{}}
	return f.cells, f.decode(raw)
}

// fold merges what has changed into the state, which an Append may have folded anew
// since.
func (w performer) fold(ctx context.Context, it item) error {
	changed, err := w.changed(it, skState)
	if err != nil {
		return err
	}
	for try := range tries {
		f, c, err := w.present(ctx)
		if f == nil || err != nil {
			return err
		}
		f.merge(changed)
		f.upTo = max(f.upTo, getString(it, attrUpTo))
		if done, err := w.write(ctx, f, c); done || err != nil {
			return err
		}
		if err := wait(ctx, try/4); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: a state that changes all the time", memory.ErrThrottled)
}

// present returns the state as it is, and the condition that it still is; nil where this
// journal has been carried out.
func (w performer) present(ctx context.Context) (*fold, *condition, error) {
	e := newExpression()
	it, err := w.get(ctx, w.pk, skState)
	if err != nil {
		return nil, nil, err
	}
	if it == nil {
		return &fold{cells: cells{}}, &condition{"attribute_not_exists(" + e.name(w.names.PartitionKey) + ")", e}, nil
	}
	f, err := w.decodeFold(w.place, it, w.key)
	if err != nil || f.epoch > w.head.epoch || f.epoch == w.head.epoch && f.journal >= w.head.journal.id {
		return nil, nil, err
	}
	c := &condition{e.name(attrMoved) + "=" + e.value(str(f.moved)), e}
	if f.epoch != w.head.epoch {
		f.cells, f.upTo = cells{}, "" // of an earlier session
	}
	return f, c, nil
}

func (f *fold) merge(changed cells) {
	for k, v := range changed {
		if f.cells[k].id <= v.id {
			f.cells[k] = v
		}
	}
}

// write is false where somebody else was faster.
func (w performer) write(ctx context.Context, f *fold, c *condition) (done bool, err error) {
	f.epoch, f.journal = w.head.epoch, w.head.journal.id
	if f.moved, err = w.next(); err != nil {
		return false, err
	}
	out, err := w.foldItem(w.place, f, w.key, w.head.expires())
	if err != nil {
		return false, err
	}
	err = w.Store.put(ctx, out, c)
	if _, lost := refused(err); lost {
		return false, nil
	}
	return err == nil, err
}
