package dynamomemory

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/aws/smithy-go"

	"github.com/genaistore/genaistore/internal/hlc"
	"github.com/genaistore/genaistore/memory"
)

// Append implements memory.Store. It is one conditional Put of a record whose id this
// process has issued, once the session is known to be active.
func (s *Store) Append(ctx context.Context, key memory.Key, entry memory.Entry, opts *memory.AppendOptions) (memory.Receipt, error) {
	receipt, err := s.append(ctx, key, entry, opts)
	return receipt, wrap("append", key, err)
}

// An appending is one Append under way.
type appending struct {
	*Store
	place
	opts  memory.AppendOptions
	body  body
	known known
	nonce string // of the record, where several may write under one id
	told  string // the greatest id that a caller may know since before this Append
	full  error  // the entry has no room: only a record that is stored already can be returned
}

func (s *Store) append(ctx context.Context, key memory.Key, entry memory.Entry, options *memory.AppendOptions) (memory.Receipt, error) {
	opts := options.WithDefaults()
	if err := firstError(ctx.Err(), key.Validate(), options.Validate()); err != nil {
		return memory.Receipt{}, err
	}
	entry, err := entry.Normal()
	if err != nil {
		return memory.Receipt{}, err
	}
	after, err := s.follow(opts.After)
	if err != nil {
		return memory.Receipt{}, err
	}
	a := &appending{Store: s, place: at(key), opts: opts, told: max(s.lastTold(), after), body: body{Entry: entry, requestID: opts.RequestID}}
	if opts.IfVersion > 0 {
		a.body.version = opts.IfVersion + 1
	}
	if err := firstErr(
		func() error { return a.room(ctx) },
		func() error { return a.begin(ctx) },
	); err != nil {
		return memory.Receipt{}, err
	}
	var r *record
	var replayed bool
	if opts.RequestID == "" {
		r, err = a.plain(ctx)
	} else {
		r, replayed, err = a.once(ctx)
	}
	if err != nil {
		return memory.Receipt{}, err
	}
	a.observe(r.id)
	if !replayed && r.hasState() {
		a.seen.change(a.pk, func(k *known) { k.unfold++ })
	}
	if err := a.share(ctx, r); err != nil {
		return memory.Receipt{}, err
	}
	return memory.Receipt{Record: r.memory(), Bookmark: s.bookmark(a.pk+skRecord, r.id), Version: r.version, Replayed: replayed}, nil
}

// share applies the part of a record that is of user and app. Readers see the record
// with its part of the session's state by now; if this process dies here, the next Open
// with AllStates goes on from the record.
func (a *appending) share(ctx context.Context, r *record) error {
	if !r.hasShared() {
		return nil
	}
	err := a.spread(ctx, a.Key, r.id, r.State)
	if noRoom(err) { // others have taken it since
		err = fmt.Errorf("%w: the record is stored, and there is no room for its state of user or app: unset some of the keys", memory.ErrThrottled)
	}
	return err
}

// follow makes later ids sort after a bookmark, and returns the id in it.
func (s *Store) follow(b memory.Bookmark) (id string, err error) {
	after, err := bookmarkID(b)
	if err != nil || after == (hlc.ID{}) {
		return "", err
	}
	return after.String(), s.clock.Observe(after, time.Now())
}

// begin makes sure of the session.
func (a *appending) begin(ctx context.Context) error {
	fresh := a.seen.get(a.pk).fresh(time.Now())
	if a.opts.MustExist || a.opts.IfVersion > 0 && !fresh {
		if err := a.find(ctx); err != nil {
			return err
		}
	}
	var err error
	if a.known, err = a.ensure(ctx, a.place); err != nil {
		return err
	}
	if !a.hasState() {
		return nil
	}
	return a.beginState(ctx)
}

// beginState makes sure that readers look for the state in the record.
func (a *appending) beginState(ctx context.Context) error {
	if !a.known.state {
		old, err := a.markState(ctx, a.place, a.known.epoch)
		if err != nil {
			return err
		}
		if old {
			a.known.unfold = foldFrom + 1
		}
	}
	if a.known.unfold > foldFrom {
		return a.refold(ctx, a.place, a.known)
	}
	return nil
}

// find reads the head of a session that must exist.
func (a *appending) find(ctx context.Context) error {
	it, err := a.get(ctx, a.pk, skHead)
	if err != nil {
		return err
	}
	a.probed.Store(true)
	h := decodeHead(it)
	if h == nil {
		return a.headless(ctx, a.place)
	}
	if !h.live(time.Now()) {
		return memory.ErrNotFound
	}
	_, err = a.learn(ctx, a.place, h)
	return err
}

// headless is nil if a session without a head has records, which makes it one, see
// [Store].
func (s *Store) headless(ctx context.Context, p place) error {
	if s.opts.Cipher != nil {
		return memory.ErrNotFound // its key is gone
	}
	items, _, err := s.page(ctx, scan{pk: p.pk, low: str(s.lowest(time.Now())), high: str(lastRecord), limit: 1})
	if err == nil && len(items) == 0 {
		err = memory.ErrNotFound
	}
	if err != nil {
		return err
	}
	s.seen.change(p.pk, func(k *known) { *k = known{epoch: "gone"} })
	return nil
}

func (a *appending) plain(ctx context.Context) (*record, error) {
	id, err := a.nextEnrolled(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.move(ctx, id, ""); err != nil {
		return nil, err
	}
	if _, err := a.write(ctx, id); err != nil {
		return nil, err
	}
	return &record{body: a.body, id: id}, nil
}

// nextEnrolled issues an id that the tail has.
func (a *appending) nextEnrolled(ctx context.Context) (string, error) {
	for range tries {
		id, err := a.next()
		if err != nil {
			return "", err
		}
		if ok, err := a.enroll(ctx, id); ok || err != nil {
			return id, err
		}
	}
	return "", fmt.Errorf("%w: the session is written to by others all the time", memory.ErrThrottled)
}

// move takes the session from version IfVersion to the next one, in the name of the
// record id. It was done before by the same Append where the head's last change is id
// or earlier.
func (a *appending) move(ctx context.Context, id, earlier string) error {
	if a.opts.IfVersion == 0 {
		return nil
	}
	now := time.Now()
	e := newExpression()
	e.put(attrVersion, num(a.body.version))
	e.put(attrMoved, str(id))
	c := e.name(attrVersion) + "=" + e.value(num(a.opts.IfVersion)) + " AND " + e.isLive(now)
	_, err := a.modify(ctx, a.pk, skHead, e, c)
	if ambiguous(ctx, err) {
		return a.movedTo(ctx, err, id)
	}
	old, lost := refused(err)
	if !lost {
		return err
	}
	switch h := decodeHead(old); {
	case !h.live(now):
		return memory.ErrNotFound
	case h.version == a.body.version && (h.moved == id || h.moved == earlier && earlier != ""):
		return nil
	default:
		return fmt.Errorf("%w: the session is at version %d, not %d", memory.ErrConflict, h.version, a.opts.IfVersion)
	}
}

// movedTo resolves a write of the head whose answer did not come.
func (a *appending) movedTo(ctx context.Context, cause error, id string) error {
	it, err := a.get(ctx, a.pk, skHead)
	if err == nil && it != nil && getString(it, attrMoved) == id {
		return nil
	}
	return cause
}

// write puts the record under id. Where another one is there it returns that.
func (a *appending) write(ctx context.Context, id string) (other item, err error) {
	b, err := a.sealBody(a.place, id, a.body, a.known.key, largest)
	if err != nil {
		return nil, err
	}
	it := merged(a.recordItem(a.place, id, a.body), b.attrs)
	if a.nonce != "" {
		it[attrNonce] = str(a.nonce)
	}
	if err := a.storeParts(ctx, b, getInt(it, a.names.TTL)); err != nil {
		return nil, err
	}
	e := newExpression()
	err = a.put(ctx, it, &condition{"attribute_not_exists(" + e.name(a.names.PartitionKey) + ")", e})
	old, lost := refused(err)
	if ambiguous(ctx, err) {
		there, readErr := a.get(ctx, a.pk, skRecord+id)
		if readErr != nil || there == nil {
			return nil, err
		}
		old, lost = there, true
	}
	switch {
	case !lost:
		return nil, err
	case a.nonce == "" || getString(old, attrNonce) == a.nonce:
		return nil, nil // this very write, whose first answer was lost
	default:
		return old, nil
	}
}

// ambiguous says whether a write that failed with err may have been carried out.
func ambiguous(ctx context.Context, err error) bool {
	if err == nil || ctx.Err() != nil {
		return false
	}
	if _, ok := refused(err); ok {
		return false
	}
	var api smithy.APIError
	return !errors.As(err, &api) || api.ErrorFault() == smithy.FaultServer
}

// quiet is how old an id may be and still be inserted, if this process has told nobody
// of a later one: a write takes that long too, so that readers elsewhere cannot count
// on nothing appearing there.
const quiet = 5 * time.Second

// once stores the record under the id that the marker of its request id holds. The
// marker comes first: a crash after it leaves an id under which the next attempt
// stores, so that no two attempts store under two ids.
func (a *appending) once(ctx context.Context) (r *record, replayed bool, err error) {
	a.nonce = rand.Text()[:16]
	earlier := ""
	for try := range tries {
		id, r, err := a.claim(ctx, &earlier)
		if err != nil || r != nil {
			return r, true, err
		}
		if id != "" {
			stored, err := a.moveAndWrite(ctx, id, &earlier)
			if err != nil || stored {
				return &record{body: a.body, id: id}, false, err
			}
		}
		// Another attempt has stored or fenced this id: the next round finds out.
		if err := wait(ctx, try/4); err != nil {
			return nil, false, err
		}
	}
	return nil, false, fmt.Errorf("%w: too many attempts at one request id", memory.ErrThrottled)
}

// giveUp closes an id that a reader of the tail may have passed.
func (a *appending) giveUp(ctx context.Context, id string, earlier *string) error {
	next, err := a.next()
	if err != nil {
		return err
	}
	*earlier = id
	_, err = a.fence(ctx, requestSK(a.opts.RequestID), id, next)
	return err
}

func (a *appending) moveAndWrite(ctx context.Context, id string, earlier *string) (stored bool, err error) {
	if a.full != nil {
		return false, a.full
	}
	if inOrder, err := a.enroll(ctx, id); err != nil {
		return false, err
	} else if !inOrder {
		return false, a.giveUp(ctx, id, earlier)
	}
	if err := a.move(ctx, id, *earlier); err != nil {
		return false, err
	}
	other, err := a.write(ctx, id)
	return err == nil && other == nil, err
}

// claim returns the id to store under, or the record that is stored, or neither where
// somebody else has been faster. Earlier becomes the id that was fenced, if any.
func (a *appending) claim(ctx context.Context, earlier *string) (string, *record, error) {
	id, err := a.next()
	if err != nil {
		return "", nil, err
	}
	sk := requestSK(a.opts.RequestID)
	marked, err := a.mark(ctx, sk, id)
	if err != nil || marked == id {
		return marked, nil, err
	}
	r, free, err := a.look(ctx, marked)
	if err != nil || r != nil {
		return "", r, err
	}
	if free {
		return marked, nil, nil
	}
	*earlier = marked
	id, err = a.fence(ctx, sk, marked, id)
	return id, nil, err
}

// mark puts the marker with id, or returns the id in the one that is there.
func (a *appending) mark(ctx context.Context, sk, id string) (string, error) {
	it := merged(a.key(a.pk, sk), item{attrSchema: num(schemaVersion), attrID: str(id), a.names.TTL: num(time.Now().Add(tombstones).Unix())})
	e := newExpression()
	c := "attribute_not_exists(" + e.name(a.names.PartitionKey) + ") OR " + e.name(a.names.TTL) + "<=" + e.value(num(time.Now().Unix()))
	if a.known.floor != "" {
		c += " OR " + e.name(attrID) + "<=" + e.value(str(a.known.floor))
	}
	err := a.put(ctx, it, &condition{c, e})
	old, lost := refused(err)
	if !lost {
		return id, err
	}
	return getString(old, attrID), nil
}

// look reads what is under the id in a marker: a record to be replayed, or nothing,
// and then whether a record may still be put there.
func (a *appending) look(ctx context.Context, id string) (r *record, free bool, err error) {
	recordName, headName := name{a.pk, skRecord + id}, name{a.pk, skHead}
	items, err := a.getAll(ctx, []name{recordName, headName}, false)
	if err != nil {
		return nil, false, err
	}
	it, h := items[recordName], decodeHead(items[headName])
	if it == nil {
		return nil, time.Since(timeOf(id)) < quiet && id > a.told, nil
	}
	if r, err = a.load(ctx, a.place, it, a.known.key); err != nil {
		return nil, false, err
	}
	switch {
	case r.kind == fenced:
		return nil, false, nil
	case r.kind == rewound || !h.shows(id):
		version := max(getInt(it, attrVersion), r.version)
		r = &record{id: id, body: body{requestID: a.opts.RequestID, redacted: true, version: version}}
	}
	return r, false, nil
}

// fence closes an id that is too old to be inserted quietly, since readers have
// passed it, and moves the marker on to the next one. It returns "" where somebody
// else has been faster.
func (a *appending) fence(ctx context.Context, sk, old, next string) (string, error) {
	e := newExpression()
	absent := "attribute_not_exists(" + e.name(a.names.PartitionKey) + ")"
	err := a.put(ctx, a.tombstone(a.place, old, fenced, 0), &condition{absent, e})
	if there, lost := refused(err); lost {
		if getString(there, attrKind) != fenced {
			return "", nil // the record has arrived
		}
	} else if err != nil {
		return "", err
	}
	e = newExpression()
	e.put(attrID, str(next))
	e.put(a.names.TTL, num(time.Now().Add(tombstones).Unix()))
	_, err = a.modify(ctx, a.pk, sk, e, e.name(attrID)+"="+e.value(str(old)))
	if there, lost := refused(err); lost {
		if getString(there, attrID) == next {
			return next, nil
		}
		return "", nil
	}
	return next, err
}
