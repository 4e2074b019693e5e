package dynamomemory

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/genaistore/genaistore/memory"
)

// A head is the item H of a session. Its directory item has the same attributes as
// far as listings need them.
type head struct {
	created, active time.Time
	version         int64
	title           string
	labels          map[string]string
	parent, upTo    string
	idle, keep      int64  // ends of life in epoch seconds, 0 if there is none; keep is what memory.Keep has set
	epoch           string // id of the creation
	floor           string // records up to here belong to an earlier session of this key
	moved           string // id of the last change: the condition of the next one
	deleted         string // id of the Delete that is under way
	fork            string // not empty while records are copied
	origin          string // what they are copied of, see head.state
	rewound, until  string // records after rewound and up to until are being removed
	rewinding       bool
	wrapped         []byte
	edited          int64 // version of the last change to records
	journal         *journal
	beside          int64 // until when, at least, DynamoDB keeps state and gist
}

func decodeHead(it item) *head {
	if it == nil {
		return nil
	}
	h := &head{
		created: time.UnixMilli(getInt(it, attrCreated)).UTC(), active: time.UnixMilli(getInt(it, attrActive)).UTC(),
		version: getInt(it, attrVersion), title: getString(it, attrTitle), labels: getMap(it, attrLabels),
		parent: getString(it, attrParent), upTo: getString(it, attrUpTo), idle: getInt(it, attrIdle), keep: getInt(it, attrKeep),
		epoch: getString(it, attrEpoch), floor: getString(it, attrFloor), moved: getString(it, attrMoved),
		deleted: getString(it, attrDeleted), fork: getString(it, attrFork), origin: getString(it, attrOrigin),
		rewound: getString(it, attrRewound), until: getString(it, attrUntil), wrapped: getBytes(it, attrKey), beside: getInt(it, attrBeside), edited: getInt(it, attrEdited),
	}
	h.rewinding, h.journal = h.until != "", decodeJournal(it)
	return h
}

func (h *head) expires() time.Time {
	if end := h.end(); end != 0 {
		return time.Unix(end, 0).UTC()
	}
	return time.Time{}
}

func (h *head) end() int64 {
	if h.keep != 0 {
		return h.keep
	}
	return h.idle
}

func (h *head) live(now time.Time) bool {
	return h != nil && h.deleted == "" && h.fork == "" && !h.ended(now)
}

func (h *head) ended(now time.Time) bool { return h.end() != 0 && !now.Before(h.expires()) }

// state tells a session whose records have not been changed or removed from one whose
// have; "" where that cannot be told.
func (h *head) state() string {
	if h == nil {
		return ""
	}
	return h.epoch + "#" + strconv.FormatInt(h.edited, 10)
}

// shows says whether a record with this id is in the session.
func (h *head) shows(id string) bool {
	return h == nil || id > h.floor && (!h.rewinding || id <= h.rewound || id > h.until)
}

func (h *head) memory() memory.Head {
	return memory.Head{
		Created: h.created, Active: h.active, Version: h.version, Title: h.title, Labels: h.labels,
		Parent: memory.Parent{Session: h.parent, UpTo: memory.RecordID(h.upTo)}, Expires: h.expires(),
	}
}

// listed is the attributes of h that its directory item has too.
func (s *Store) listed(p place, h *head) item {
	it := item{
		attrSchema: num(schemaVersion), attrCreated: num(h.created.UnixMilli()), attrActive: num(h.active.UnixMilli()),
		attrVersion: num(h.version), attrEpoch: str(h.epoch), attrMoved: str(h.moved),
	}
	if h.title != "" {
		it[attrTitle] = str(h.title)
	}
	if len(h.labels) > 0 {
		it[attrLabels] = strMap(h.labels)
	}
	if h.parent != "" {
		it[attrParent], it[attrUpTo] = str(h.parent), str(h.upTo)
	}
	if h.idle != 0 {
		it[attrIdle] = num(h.idle)
	}
	if h.keep != 0 {
		it[attrKeep] = num(h.keep)
	}
	if long(p.Key) {
		it[attrNames] = strs([]string{p.Tenant, p.App, p.User, p.Session})
	}
	s.keepItem(it, h)
	return it
}

// keepItem sets when DynamoDB may remove the item of a head: later than the last of
// the records, which would otherwise outlive the end that the head tells.
func (s *Store) keepItem(it item, h *head) {
	if s.opts.Retention < 0 {
		return
	}
	exp := h.idle + slack
	if h.keep != 0 {
		exp = max(h.idle, h.keep+int64(s.opts.Retention.Seconds())) + slack
		it[attrKeepTTL] = num(exp)
	}
	it[s.names.TTL] = num(exp)
}

// slack is how many seconds an item outlives its session.
const slack = 24 * 3600

func (s *Store) headItem(p place, h *head) item {
	it := merged(s.key(p.pk, skHead), s.listed(p, h))
	for name, v := range map[string]string{attrFloor: h.floor, attrFork: h.fork, attrOrigin: h.origin} {
		if v != "" {
			it[name] = str(v)
		}
	}
	if len(h.wrapped) > 0 {
		it[attrKey] = bin(h.wrapped)
	}
	if exp := s.besideExpiry(h.expires()); exp != 0 {
		it[attrBeside] = num(exp)
	}
	return it
}

// expireBeside sets when DynamoDB may remove the state or the gist of a session that
// ends at end, if nothing happens to it. They are not written with every Append, so
// that they get twice the retention, and more when half of that is over, see renew.
func (s *Store) expireBeside(it item, end time.Time) {
	if exp := s.besideExpiry(end); exp != 0 {
		it[s.names.TTL] = num(exp)
	}
}

func (s *Store) besideExpiry(end time.Time) int64 {
	if s.opts.Retention < 0 {
		return 0
	}
	exp := time.Now().Add(2 * s.opts.Retention).Unix()
	if !end.IsZero() {
		exp = max(exp, end.Unix())
	}
	return exp + slack
}

// renew makes state and gist live as long as the session.
func (s *Store) renew(ctx context.Context, p place, h *head) error {
	if s.opts.Retention < 0 || h.beside >= h.end() && h.beside >= s.expiry(time.Now()) {
		return nil
	}
	exp := s.besideExpiry(h.expires())
	for _, sk := range []string{skState, skGist} {
		e := newExpression()
		e.put(s.names.TTL, num(exp))
		_, err := s.modify(ctx, p.pk, sk, e, "attribute_exists("+e.name(s.names.PartitionKey)+")")
		if _, absent := refused(err); err != nil && !absent {
			return err
		}
	}
	e := newExpression()
	e.put(attrBeside, num(exp))
	_, err := s.modify(ctx, p.pk, skHead, e, e.name(attrEpoch)+"="+e.value(str(h.epoch)))
	if _, gone := refused(err); gone {
		return nil
	}
	return err
}

func (p place) directory() (pk, sk string) {
	return directoryPK(p.Key, userShard(p.User)), directorySK(p.Key)
}

// touch is the update that creates a head or directory item where there is none and
// tells one that is there of activity.
func (s *Store) touch(p place, now time.Time, epoch string) *expression {
	e := newExpression()
	e.put(attrActive, num(now.UnixMilli()))
	e.putNew(attrSchema, attrSchema, num(schemaVersion))
	e.putNew(attrCreated, attrCreated, num(timeOf(epoch).UnixMilli()))
	e.putNew(attrVersion, attrVersion, num(1))
	e.putNew(attrEpoch, attrEpoch, str(epoch))
	e.putNew(attrMoved, attrMoved, str(epoch))
	if idle := s.expiry(now); idle != 0 {
		e.put(attrIdle, num(idle))
		e.putNew(s.names.TTL, attrKeepTTL, num(idle+slack))
	}
	if long(p.Key) {
		e.put(attrNames, strs([]string{p.Tenant, p.App, p.User, p.Session}))
	}
	return e
}

const tries = 40

// ensure makes sure that the head and the directory item of a session are there and
// know that it is active. It writes the directory first: a crash after it leaves a
// listed session that does not open yet, which the next Append completes and a
// Delete removes; the other way round there would be a session that no listing, and
// so no memory.Forget, would ever find.
func (s *Store) ensure(ctx context.Context, p place) (known, error) {
	k := s.seen.get(p.pk)
	if k.fresh(time.Now()) && s.opts.Cipher == nil {
		return k, nil
	}
	if s.opts.Cipher != nil || !s.probed.Load() {
		// Nothing may be written before the clock is known, and nothing be encrypted
		// before the key is.
		it, err := s.get(ctx, p.pk, skHead)
		if err != nil {
			return known{}, err
		}
		s.probed.Store(true)
		if h := decodeHead(it); h.live(time.Now()) && k.fresh(time.Now()) && k.epoch == h.epoch {
			return s.learn(ctx, p, h)
		}
	}
	return s.activate(ctx, p, k)
}

func (s *Store) activate(ctx context.Context, p place, k known) (known, error) {
	for range tries {
		h, fresh, err := s.touchBoth(ctx, p)
		if err != nil {
			return known{}, err
		}
		if h == nil {
			continue
		}
		if fresh && k.epoch != "" {
			// The session was deleted by somebody else while this process went on
			// writing, perhaps state, which is only looked for where the marker is.
			if _, err := s.markState(ctx, p, h.epoch); err != nil {
				return known{}, err
			}
		}
		return s.learn(ctx, p, h)
	}
	return known{}, fmt.Errorf("%w: the session is made and removed by others all the time", memory.ErrThrottled)
}

// touchBoth returns the head, or nil where the caller has to try again.
func (s *Store) touchBoth(ctx context.Context, p place) (h *head, fresh bool, err error) {
	epoch, err := s.next()
	if err != nil {
		return nil, false, err
	}
	now := time.Now()
	dpk, dsk := p.directory()
	listed, err := s.modify(ctx, dpk, dsk, s.touch(p, now, epoch), "")
	if err != nil {
		return nil, false, err
	}
	e := s.touch(p, now, epoch)
	if err := s.touchKey(ctx, p, e); err != nil {
		return nil, false, err
	}
	if exp := s.besideExpiry(time.Time{}); exp != 0 {
		e.putNew(attrBeside, attrBeside, num(exp))
	}
	it, err := s.modify(ctx, p.pk, skHead, e, s.liveOrAbsent(e, now))
	if old, ok := refused(err); ok {
		return nil, false, s.revive(ctx, p, decodeHead(old))
	}
	if err != nil {
		return nil, false, err
	}
	h = decodeHead(it)
	s.observe(h.moved)
	if decodeHead(listed).epoch != h.epoch {
		if err := s.list(ctx, p, h, epoch); err != nil {
			return nil, false, err
		}
	}
	return h, h.epoch == epoch, s.renew(ctx, p, h)
}

// touchKey gives a head that is not there yet a data key.
func (s *Store) touchKey(ctx context.Context, p place, e *expression) error {
	if s.opts.Cipher == nil {
		return nil
	}
	it, err := s.get(ctx, p.pk, skHead)
	if err != nil || it != nil {
		return err
	}
	_, wrapped, err := s.opts.Cipher.NewKey(ctx, s.scope(p.Key))
	if err != nil {
		return err
	}
	e.putNew(attrKey, attrKey, bin(wrapped))
	return nil
}

// liveOrAbsent is the condition that no dead session is in the way.
func (s *Store) liveOrAbsent(e *expression, now time.Time) string {
	return "attribute_not_exists(" + e.name(s.names.PartitionKey) + ") OR (" + e.isLive(now) + ")"
}

func (e *expression) isLive(now time.Time) string {
	keep, idle, at := e.name(attrKeep), e.name(attrIdle), e.value(num(now.Unix()))
	return "attribute_not_exists(" + e.name(attrDeleted) + ") AND attribute_not_exists(" + e.name(attrFork) + ") AND (" +
		keep + ">" + at + " OR (attribute_not_exists(" + keep + ") AND (attribute_not_exists(" + idle + ") OR " + idle + ">" + at + ")))"
}

// list writes the directory item of h, unless a later one is there that is not of
// the epoch tentative, which came to nothing.
func (s *Store) list(ctx context.Context, p place, h *head, tentative string) error {
	pk, sk := p.directory()
	e := newExpression()
	epoch, moved := e.name(attrEpoch), e.name(attrMoved)
	ve, vm := e.value(str(h.epoch)), e.value(str(h.moved))
	c := "attribute_not_exists(" + e.name(s.names.PartitionKey) + ") OR " + epoch + "<" + ve + " OR (" + epoch + "=" + ve + " AND " + moved + "<" + vm + ")"
	if tentative != "" {
		c += " OR " + epoch + "=" + e.value(str(tentative))
	}
	err := s.put(ctx, merged(s.key(pk, sk), s.listed(p, h)), &condition{c, e})
	if _, ok := refused(err); ok {
		return nil
	}
	return err
}

// learn remembers h.
func (s *Store) learn(ctx context.Context, p place, h *head) (known, error) {
	key, err := s.dataKey(ctx, p, h)
	if err != nil {
		return known{}, err
	}
	var out known
	s.seen.change(p.pk, func(k *known) {
		if k.epoch != h.epoch {
			*k = known{}
		}
		k.active, k.expires, k.epoch, k.floor, k.key, k.wrapped = h.active, h.expires(), h.epoch, h.floor, key, string(h.wrapped)
		out = *k
	})
	return out, nil
}

func (s *Store) scope(k memory.Key) Scope {
	return Scope{Table: s.table, Tenant: k.Tenant, App: k.App, User: k.User, Session: k.Session}
}

// dataKey returns the key of a session, nil without a Cipher.
func (s *Store) dataKey(ctx context.Context, p place, h *head) ([]byte, error) {
	if s.opts.Cipher == nil {
		return nil, nil
	}
	if len(h.wrapped) == 0 {
		return nil, fmt.Errorf("%w: the session has no key, and this store has a Cipher", memory.ErrCorrupt)
	}
	if k := s.seen.get(p.pk); k.key != nil && k.wrapped == string(h.wrapped) {
		return k.key, nil
	}
	return s.opts.Cipher.UnwrapKey(ctx, h.wrapped, s.scope(p.Key))
}

// revive puts a new session in the place of one that is deleted, that has ended or
// whose making was given up.
func (s *Store) revive(ctx context.Context, p place, old *head) error {
	if old == nil {
		return nil // gone meanwhile
	}
	if err := s.pass(ctx, p, old); err != nil {
		return err
	}
	epoch, err := s.next()
	if err != nil {
		return err
	}
	if err := s.erase(ctx, p, epoch); err != nil {
		return err
	}
	h, err := s.newHead(ctx, p, epoch)
	if err != nil {
		return err
	}
	h.floor = epoch
	_, err = s.replace(ctx, p, old, h)
	return err
}

// pass makes later ids sort after all of a session that is to be removed, which may
// have records of a faster clock than this machine's.
func (s *Store) pass(ctx context.Context, p place, old *head) error {
	if old != nil {
		s.observe(old.moved)
	}
	items, _, err := s.page(ctx, scan{pk: p.pk, low: str(skRecord), high: str(lastRecord), backward: true, limit: 1, keysOnly: true})
	for _, it := range items {
		s.observe(s.skOf(it)[len(skRecord):])
	}
	return err
}

func (s *Store) newHead(ctx context.Context, p place, epoch string) (*head, error) {
	now := timeOf(epoch)
	h := &head{created: now, active: now, version: 1, epoch: epoch, moved: epoch, idle: s.expiry(now), labels: map[string]string{}}
	if s.opts.Cipher != nil {
		var err error
		if _, h.wrapped, err = s.opts.Cipher.NewKey(ctx, s.scope(p.Key)); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// replace puts h in the place of old, nil for none; it is false where that has
// changed. The directory comes first, see ensure.
func (s *Store) replace(ctx context.Context, p place, old, h *head) (bool, error) {
	listed, err := s.listNew(ctx, p, old, h)
	if err != nil {
		return false, err
	}
	e := newExpression()
	c := s.unchanged(e, old)
	err = s.put(ctx, s.headItem(p, h), &condition{c, e})
	if ambiguous(ctx, err) {
		found, readErr := s.get(ctx, p.pk, skHead)
		if readErr != nil || getString(found, attrMoved) != h.moved {
			return false, err
		}
		err = nil
	}
	found, lost := refused(err)
	if err == nil && !listed {
		err = s.list(ctx, p, h, "")
	}
	if !lost {
		return err == nil, err
	}
	if getString(found, attrMoved) == h.moved {
		return true, nil // this very write, whose first answer was lost
	}
	if winner := decodeHead(found); winner.live(time.Now()) {
		return false, s.list(ctx, p, winner, h.epoch)
	}
	return false, nil
}

// listNew writes the directory item of a head that is about to be put in the place of
// old. Where there was none, a directory item that is there may be that of a session
// made meanwhile: it is left alone, and false returned.
func (s *Store) listNew(ctx context.Context, p place, old, h *head) (bool, error) {
	if old != nil {
		return true, s.list(ctx, p, h, "")
	}
	pk, sk := p.directory()
	e := newExpression()
	err := s.put(ctx, merged(s.key(pk, sk), s.listed(p, h)), &condition{"attribute_not_exists(" + e.name(s.names.PartitionKey) + ")", e})
	if _, there := refused(err); there {
		return false, nil
	}
	return err == nil, err
}

// unchanged is the condition that a head is still as it was read.
func (s *Store) unchanged(e *expression, old *head) string {
	if old == nil {
		return "attribute_not_exists(" + e.name(s.names.PartitionKey) + ")"
	}
	c := e.name(attrMoved) + "=" + e.value(str(old.moved))
	if old.deleted == "" {
		c += " AND attribute_not_exists(" + e.name(attrDeleted) + ")"
	}
	return c
}
