package dynamomemory

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/genaistore/genaistore/memory"
)

// A write is one item of an Update: put, or updated by change, or deleted where both
// are nil.
type write struct {
	pk, sk string
	put    item
	change *expression
	when   string // the condition, in terms of e
	e      *expression
}

// commit writes a draft. What it writes before the transaction is invisible, and what
// comes after it can be done by anyone who meets it.
func (d *draft) commit(ctx context.Context) error {
	writes, drop, err := d.writes(ctx)
	if err != nil {
		return err
	}
	inOrder, err := d.cool(ctx, d.place, d.id)
	if err != nil {
		return err
	}
	if !inOrder {
		return errAgain
	}
	if d.create {
		if err := d.makeRoom(ctx); err != nil {
			return err
		}
	}
	if err := d.carryOut(ctx, writes); err != nil {
		return err
	}
	return d.after(ctx, drop)
}

// makeRoom removes what an earlier session has left, and lists the new one.
func (d *draft) makeRoom(ctx context.Context) error {
	if d.old != nil && d.old.fork != d.id {
		if err := d.erase(ctx, d.place, d.id); err != nil {
			return err
		}
	}
	listed, err := d.listNew(ctx, d.place, d.old, d.head)
	d.relist = !listed
	return err
}

// after is what follows a commit.
func (d *draft) after(ctx context.Context, drop []item) error {
	if d.Session == "" {
		return nil
	}
	if err := d.remember(ctx); err != nil {
		return err
	}
	if d.relist {
		if err := d.list(ctx, d.place, d.head, ""); err != nil {
			return err
		}
	}
	if d.head.keep != 0 && d.head.keep != keepOf(d.old) {
		if err := d.renew(ctx, d.place, d.head); err != nil {
			return err
		}
	}
	for _, it := range drop {
		if err := d.dropParts(ctx, d.pk, it); err != nil {
			return err
		}
	}
	if d.head.rewinding {
		return d.finishRewind(ctx, d.place, d.head, d.removed)
	}
	return nil
}

func (d *draft) remember(ctx context.Context) error {
	if d.create || d.relist {
		d.seen.drop(d.pk)
	}
	if !d.create || !d.head.live(time.Now()) {
		return nil
	}
	_, err := d.learn(ctx, d.place, d.head)
	d.seen.change(d.pk, func(k *known) { k.state = d.foldNew })
	return err
}

func keepOf(h *head) int64 {
	if h == nil {
		return 0
	}
	return h.keep
}

// writes builds the items, stores the parts of large records, and returns the items
// whose parts are not needed afterwards.
func (d *draft) writes(ctx context.Context) (all []write, drop []item, err error) {
	if d.Session != "" {
		all = append(all, d.headWrite())
	}
	if d.foldNew {
		w, err := d.foldWrite()
		if err != nil {
			return nil, nil, err
		}
		all = append(all, w)
	}
	if d.gistDirty && (d.gistThere || d.gist != memory.Gist{}) {
		w, err := d.gistWrite()
		if err != nil {
			return nil, nil, err
		}
		all = append(all, w)
	}
	edits, drop, err := d.recordWrites(ctx)
	if err != nil {
		return nil, nil, err
	}
	all = append(all, edits...)
	for _, id := range slices.Sorted(maps.Keys(d.notes)) {
		if d.removed[id] == nil {
			all = append(all, d.notesWrite(id, d.notes[id]))
		}
	}
	others, err := d.sharedWrites()
	return append(all, others...), drop, err
}

func (d *draft) gistWrite() (w write, err error) {
	w = write{pk: d.pk, sk: skGist}
	if d.gist != (memory.Gist{}) {
		w.put, err = d.gistItem(d.place, d.gist, d.head.epoch, d.key, d.head.expires())
	}
	return w, err
}

func (d *draft) sharedWrites() (all []write, err error) {
	for at, sh := range d.shared {
		it, err := d.sharedItem(sh.at, sh.shared, d.id)
		if err != nil {
			return nil, err
		}
		e := newExpression()
		var when string
		switch {
		case sh.old != "":
			when = e.name(attrMoved) + "=" + e.value(str(sh.old))
		case sh.there:
			when = "attribute_not_exists(" + e.name(attrMoved) + ")" // nothing but a key yet
		default:
			when = "attribute_not_exists(" + e.name(d.names.PartitionKey) + ")"
		}
		all = append(all, write{pk: at.pk, sk: at.sk, put: it, when: when, e: e})
	}
	return all, nil
}

func (d *draft) notesWrite(id string, n memory.Notes) write {
	w := write{pk: d.pk, sk: skNotes + id}
	if !n.IsZero() || d.opts.NoTransactions {
		w.put = d.notesItem(d.place, id, n)
	}
	if d.opts.NoTransactions {
		w.put[attrMoved] = str(d.id) // also where they are removed, so that no journal brings them back
	}
	return w
}

func (d *draft) headWrite() write {
	h := d.head
	e := newExpression()
	if d.create {
		h.moved = d.id
		it := d.headItem(d.place, h)
		if h.rewinding {
			it[attrRewound], it[attrUntil] = str(h.rewound), str(h.until)
		}
		when := d.unchanged(e, d.old)
		return write{pk: d.pk, sk: skHead, put: it, when: when, e: e}
	}
	h.moved = d.id
	if !d.onlyNotes() {
		h.version = d.old.version + 1
	}
	e.put(attrVersion, num(h.version))
	e.put(attrMoved, str(h.moved))
	if h.title != d.old.title {
		e.put(attrTitle, str(h.title))
	}
	if !maps.Equal(h.labels, d.old.labels) {
		e.put(attrLabels, strMap(h.labels))
	}
	if h.keep != d.old.keep {
		d.keepWrite(e)
	}
	if h.rewinding {
		e.put(attrRewound, str(h.rewound))
		e.put(attrUntil, str(h.until))
	}
	if h.rewinding || d.edits() {
		e.put(attrEdited, num(h.version))
	}
	return write{pk: d.pk, sk: skHead, change: e, when: d.unchanged(e, d.old) + " AND " + e.isLive(d.now), e: e}
}

func (d *draft) edits() bool {
	for _, r := range d.records {
		if r.dirty {
			return true
		}
	}
	return false
}

func (d *draft) keepWrite(e *expression) {
	it := item{}
	d.keepItem(it, d.head)
	if d.head.keep != 0 {
		it[attrKeep] = num(d.head.keep)
	} else {
		e.drop(attrKeep)
		e.drop(attrKeepTTL)
	}
	e.putAll(it)
}

func (d *draft) foldWrite() (write, error) {
	d.fold.epoch, d.fold.moved = d.head.epoch, d.id
	it, err := d.foldItem(d.place, d.fold, d.key, d.head.expires())
	e := newExpression()
	var when string
	if d.foldMoved != "" {
		when = e.name(attrMoved) + "=" + e.value(str(d.foldMoved))
	} else {
		when = "attribute_not_exists(" + e.name(d.names.PartitionKey) + ")"
		if d.create {
			when += " OR " + e.name(attrEpoch) + "<=" + e.value(str(d.head.epoch))
		}
	}
	return write{pk: d.pk, sk: skState, put: it, when: when, e: e}, err
}

// mostTransaction is how many bytes of bodies go into one transaction, of the 4 MB
// that DynamoDB takes; more are cut into chunks before it.
const mostTransaction = 2 << 20

// dirtyRecords returns the records that have changed, and how large a body may be that is
// not cut into chunks.
func (d *draft) dirtyRecords() (dirty []*editing, most int) {
	size := 0
	for _, id := range slices.Sorted(maps.Keys(d.records)) {
		if r := d.records[id]; r.dirty && d.removed[id] == nil {
			dirty = append(dirty, r)
			size += min(r.Size(), largest)
		}
	}
	if size > mostTransaction || d.opts.NoTransactions && size > mostJournal/2 {
		return dirty, 8 << 10 // 25 of them fit into either
	}
	return dirty, largest
}

func (d *draft) recordWrites(ctx context.Context) (all []write, drop []item, err error) {
	dirty, most := d.dirtyRecords()
	for _, r := range dirty {
		b, err := d.sealBody(d.place, r.id, r.body, d.key, most)
		if err != nil {
			return nil, nil, err
		}
		it := merged(d.recordItem(d.place, r.id, r.body), b.attrs)
		if nonce := getString(r.old, attrNonce); nonce != "" {
			it[attrNonce] = str(nonce)
		}
		if err := d.storeParts(ctx, b, getInt(it, d.names.TTL)); err != nil {
			return nil, nil, err
		}
		if getString(r.old, attrChunkOf) != getString(it, attrChunkOf) || getString(r.old, attrBlob) != getString(it, attrBlob) {
			drop = append(drop, r.old)
		}
		e := newExpression()
		all = append(all, write{pk: d.pk, sk: skRecord + r.id, put: it, when: "attribute_exists(" + e.name(d.names.PartitionKey) + ")", e: e})
	}
	return all, drop, nil
}

// carryOut makes the writes. errAgain says that somebody else was faster.
func (d *draft) carryOut(ctx context.Context, writes []write) error {
	if len(writes) == 1 || !d.opts.NoTransactions {
		return d.write(ctx, writes)
	}
	j, err := d.note(writes)
	if err != nil {
		return err
	}
	if err := d.write(ctx, writes[:1]); err != nil {
		return err
	}
	done := *d.head
	done.journal = j
	return d.perform(ctx, d.place, &done)
}

// write makes the writes, several in one transaction.
func (d *draft) write(ctx context.Context, writes []write) error {
	var err error
	if len(writes) == 1 {
		err = d.single(ctx, writes[0])
	} else {
		var all []types.TransactWriteItem
		for _, w := range writes {
			all = append(all, d.action(w))
		}
		err = d.transact(ctx, all)
	}
	if err == nil {
		return nil
	}
	canceled, inTransaction := errors.AsType[*types.TransactionCanceledException](err)
	old, lost := refused(err)
	switch {
	case lost && getString(old, attrMoved) == d.id:
		return nil // this very write, whose first answer was lost
	case lost, inTransaction && (errors.Is(err, memory.ErrConflict) || conflicts(canceled)):
		d.slow = true
		if done, readErr := d.isDone(ctx, writes[0]); done || readErr != nil {
			return readErr
		}
		return errAgain
	case ambiguous(ctx, err):
		if done, readErr := d.isDone(ctx, writes[0]); done && readErr == nil {
			return nil
		}
	}
	return err
}

// isDone says whether the first of the writes, and so all of them, was carried out.
func (d *draft) isDone(ctx context.Context, w write) (bool, error) {
	it, err := d.get(ctx, w.pk, w.sk)
	return err == nil && it != nil && getString(it, attrMoved) == d.id, err
}

func conflicts(canceled *types.TransactionCanceledException) bool {
	return slices.ContainsFunc(canceled.CancellationReasons, func(r types.CancellationReason) bool {
		return r.Code != nil && *r.Code == "TransactionConflict"
	})
}

func (d *draft) single(ctx context.Context, w write) error {
	var c *condition
	if w.when != "" {
		c = &condition{w.when, w.e}
	}
	switch {
	case w.change != nil:
		_, err := d.modify(ctx, w.pk, w.sk, w.change, w.when)
		return err
	case w.put != nil:
		return d.put(ctx, w.put, c)
	default:
		return d.remove(ctx, w.pk, w.sk, c)
	}
}

func (s *Store) action(w write) types.TransactWriteItem {
	var when *string
	var names map[string]string
	var values item
	if w.when != "" {
		when, names, values = &w.when, w.e.nameMap(), w.e.valueMap()
	}
	switch {
	case w.change != nil:
		return types.TransactWriteItem{Update: &types.Update{
			TableName: &s.table, Key: s.key(w.pk, w.sk), UpdateExpression: w.change.update(), ConditionExpression: when,
			ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		}}
	case w.put != nil:
		return types.TransactWriteItem{Put: &types.Put{
			TableName: &s.table, Item: w.put, ConditionExpression: when, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		}}
	default:
		return types.TransactWriteItem{Delete: &types.Delete{TableName: &s.table, Key: s.key(w.pk, w.sk)}}
	}
}

// annotateAll is the Update that changes notes alone: it asks whether the records are
// there and writes nothing but the notes, so that the version stays.
func (d *draft) annotateAll(ctx context.Context) (string, error) {
	headName := name{d.pk, skHead}
	names := []name{headName}
	for _, c := range d.changes {
		c, _ := c.(memory.Annotate)
		if n := (name{d.pk, skRecord + string(c.Record)}); !slices.Contains(names, n) {
			names = append(names, n)
		}
		d.notes[string(c.Record)] = c.Notes
	}
	items, err := d.getAll(ctx, names, false)
	if err != nil {
		return "", err
	}
	if err := d.annotates(ctx, items, names); err != nil {
		return "", err
	}
	var writes []write
	if d.id, err = d.next(); err != nil {
		return "", err
	}
	for id, n := range d.notes {
		writes = append(writes, d.notesWrite(id, n))
	}
	if err := d.carryOut(ctx, writes); err != nil {
		return "", err
	}
	return d.id, d.sweepNotes(ctx)
}

// annotates makes sure of the session, whose head is the first of names, and of its
// records.
func (d *draft) annotates(ctx context.Context, items map[name]item, names []name) error {
	d.head = decodeHead(items[names[0]])
	if again, err := d.settle(ctx, d.place, d.head); again || err != nil {
		return cmp.Or(err, errAgain)
	}
	if d.head == nil {
		if err := d.headless(ctx, d.place); err != nil {
			return err
		}
	} else if !d.head.live(d.now) {
		return memory.ErrNotFound
	}
	for _, n := range names[1:] {
		id := n.sk[len(skRecord):]
		if it := items[n]; it == nil || getString(it, attrKind) != "" || !d.head.shows(id) || d.expired(it, d.now) {
			return notThere(id)
		}
	}
	return nil
}

// sweepNotes removes notes whose session was removed before they were written, where
// they would stay for ever. Elsewhere they expire with their record, see mayLack.
func (d *draft) sweepNotes(ctx context.Context) error {
	if d.opts.Retention >= 0 {
		return nil
	}
	var names []name
	for id := range d.notes {
		names = append(names, name{d.pk, skRecord + id})
	}
	items, err := d.getAll(ctx, names, false)
	if err != nil {
		return err
	}
	var missing error
	for id := range d.notes {
		it := items[name{d.pk, skRecord + id}]
		if it != nil && getString(it, attrKind) == "" {
			continue
		}
		if err := d.remove(ctx, d.pk, skNotes+id, nil); err != nil {
			return err
		}
		missing = notThere(id)
	}
	return missing
}
