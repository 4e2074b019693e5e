package dynamomemory

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/genaistore/genaistore/memory"
)

// Open implements memory.Store. One Query reads head, state, gist and the newest
// records.
func (s *Store) Open(ctx context.Context, key memory.Key, opts *memory.WindowOptions) (memory.Window, error) {
	w, err := s.open(ctx, key, opts)
	return w, wrap("open", key, err)
}

func (s *Store) open(ctx context.Context, key memory.Key, options *memory.WindowOptions) (memory.Window, error) {
	opts := options.WithDefaults()
	if err := firstError(ctx.Err(), key.ValidateScope(), options.Validate()); err != nil {
		return memory.Window{}, err
	}
	if _, err := bookmarkID(opts.AtLeast); err != nil {
		return memory.Window{}, err
	}
	if key.Session == "" {
		return s.openScope(ctx, key, opts)
	}
	if v := s.cached(ctx, at(key), opts); v != nil {
		return v.window(ctx, opts)
	}
	v, err := s.read(ctx, at(key), opts)
	if err == nil {
		err = v.reaches(ctx, opts.AtLeast)
	}
	of := s.points(opts.AtLeast, at(key).pk+skHead) || s.points(opts.AtLeast, at(key).pk+skRecord)
	if errors.Is(err, memory.ErrNotFound) && of && time.Since(timeOf(idIn(opts.AtLeast))) < lag {
		err = fmt.Errorf("%w: there is no session yet", memory.ErrBehind)
	}
	if err != nil {
		return memory.Window{}, err
	}
	return v.window(ctx, opts)
}

// lag is how long a session that is not there may still be on its way to this Region.
const lag = time.Minute

// points says whether the write that a bookmark names is in a place.
func (s *Store) points(b memory.Bookmark, place string) bool {
	_, mark, err := parseBookmark(b)
	return err == nil && s.opts.Replica && mark == placeMark(place)
}

// reaches is ErrBehind where the write that a bookmark names is not in this Region
// yet. DynamoDB replicates each item by itself: a later one proves nothing.
func (v *view) reaches(ctx context.Context, b memory.Bookmark) error {
	want := idIn(b)
	switch {
	case !v.opts.Replica || want == "" || time.Since(timeOf(want)) > memory.RequestLife: // older ones may have expired
		return nil
	case v.head != nil && v.head.epoch > want: // it is of an earlier session
		return nil
	case v.points(b, v.pk+skHead):
		if v.head != nil && v.head.moved >= want || v.fold != nil && v.fold.moved >= want {
			return nil
		}
	case v.points(b, v.pk+skRecord):
		if v.head != nil && v.head.edited > 0 && v.head.moved > want || slices.ContainsFunc(v.records, func(r *record) bool { return r.id == want }) {
			return nil // it is there, or may have been removed
		}
		if it, err := v.get(ctx, v.pk, skRecord+want); err != nil || it != nil {
			return err
		}
	default:
		return nil
	}
	return fmt.Errorf("%w: %s is not in this Region yet", memory.ErrBehind, want)
}

// sharedReaches is reaches for the state of a user or an app.
func (s *Store) sharedReaches(b memory.Bookmark, states map[name]*shared) error {
	for n, sh := range states {
		if s.points(b, n.pk) && max(sh.moved, sh.latest()) < idIn(b) {
			return fmt.Errorf("%w: the state is not in this Region yet", memory.ErrBehind)
		}
	}
	return nil
}

func (s *Store) openScope(ctx context.Context, key memory.Key, opts memory.WindowOptions) (memory.Window, error) {
	w := memory.Window{Key: key}
	scopes := opts.Scopes
	if scopes == memory.NoState {
		return w, nil
	}
	user, app := sharedPlaces(key)
	var names []sharedPlace
	if key.User != "" {
		names = append(names, user)
	}
	if key.User == "" || scopes == memory.AllStates {
		names = append(names, app)
	}
	states, err := s.readShared(ctx, names...)
	if err == nil {
		err = s.sharedReaches(opts.AtLeast, states)
	}
	if err != nil {
		return memory.Window{}, err
	}
	last, from := "", ""
	for n, sh := range states {
		if id := max(sh.moved, sh.latest()); id > last {
			last, from = id, n.pk
		}
		if n == user.name {
			w.States.User = sh.state()
			continue
		}
		w.States.App = sh.state()
	}
	w.Bookmark = s.bookmark(from, last)
	return w, nil
}

func idIn(b memory.Bookmark) string {
	id, err := bookmarkID(b)
	if err != nil {
		return ""
	}
	return id.String()
}

// A view is what a read sees of a session.
type view struct {
	*Store
	place
	now     time.Time
	want    int // records; 0 means all
	scopes  memory.Scopes
	head    *head // nil if the session has none
	fold    *fold // nil if there is none
	gist    memory.Gist
	key     []byte
	records []*record // those that show, newest first
	aged    []*record // those that show no more, but whose state may still count
	oldest  string    // id down to which all records are here
	latest  string    // greatest id seen
	from    string    // the place that it was seen in
}

// read is readOnce, again where it has met an Update that was not done.
func (s *Store) read(ctx context.Context, p place, opts memory.WindowOptions) (*view, error) {
	for try := range tries {
		v, err := s.readOnce(ctx, p, opts)
		if !errors.Is(err, errAgain) {
			return v, err
		}
		if err := wait(ctx, try/4); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: the session is changed by others all the time", memory.ErrThrottled)
}

// readOnce reads at least one record more than the window may have, so that it is known
// what comes before.
func (s *Store) readOnce(ctx context.Context, p place, opts memory.WindowOptions) (*view, error) {
	want := max(0, opts.Last)
	if want < math.MaxInt {
		want++
	}
	v := &view{Store: s, place: p, now: time.Now(), want: want, scopes: opts.Scopes}
	lowest := s.lowest(v.now.Add(-slack * time.Second))
	held := v.heldFrom(opts.Held, lowest)
	q := scan{pk: p.pk, low: str(max(lowest, held)), high: str(skState), backward: true, limit: min(want, 1000) + 3}
	items, next, err := s.page(ctx, q)
	if err == nil {
		items, err = v.begin(ctx, items)
	}
	for err == nil {
		if err = v.take(ctx, items); err != nil {
			break
		}
		if next == nil && held != "" {
			if next, err = v.older(opts.Held, held, lowest, want); err != nil {
				break
			}
			held, q.low = "", str(lowest)
		}
		if next == nil || len(v.records) >= want && !v.needsState(opts.Scopes) {
			break
		}
		q.start, q.limit = next, min(max(want-len(v.records), 50), 1000)
		items, next, err = s.page(ctx, q)
	}
	return v, v.there(err)
}

// there is ErrNotFound where a read without another error has found nothing.
func (v *view) there(err error) error {
	if err == nil && v.head == nil && len(v.records) == 0 {
		return memory.ErrNotFound
	}
	return err
}

// enough says that no more records need to be decoded. With AllStates they all are, as
// each may be ahead of the states of user and app.
func (v *view) enough() bool {
	return v.want > 0 && len(v.records) >= v.want && v.scopes != memory.AllStates && !v.needsState(v.scopes)
}

// needsState says whether records that are not read yet may have state.
func (v *view) needsState(scopes memory.Scopes) bool {
	if scopes == memory.NoState || v.fold == nil && v.head != nil {
		return false
	}
	return v.fold == nil || v.oldest > v.fold.upTo
}

// begin decodes what comes before the records in a page.
func (v *view) begin(ctx context.Context, items []item) ([]item, error) {
	var state, gist item
	n := 0
	for ; n < len(items) && len(v.skOf(items[n])) < 3; n++ {
		switch v.skOf(items[n]) {
		case skHead:
			v.head = decodeHead(items[n])
		case skState:
			state = items[n]
		case skGist:
			gist = items[n]
		}
	}
	if v.head == nil {
		if v.opts.Cipher != nil {
			return nil, memory.ErrNotFound // what there may be has lost its key
		}
		return items[n:], nil
	}
	if !v.head.live(v.now) {
		return nil, memory.ErrNotFound
	}
	again, err := v.settle(ctx, v.place, v.head)
	if again {
		err = errAgain
	}
	if err != nil {
		return nil, err
	}
	if v.key, err = v.dataKey(ctx, v.place, v.head); err != nil {
		return nil, err
	}
	v.saw(skHead, v.head.moved)
	return items[n:], firstErr(
		func() error { return v.beginState(state) },
		func() error { return v.beginGist(gist) },
	)
}

func (v *view) beginState(it item) error {
	if it == nil {
		return nil
	}
	var err error
	if v.fold, err = v.decodeFold(v.place, it, v.key); err != nil {
		return err
	}
	v.saw(skHead, v.fold.moved)
	if v.fold.epoch != v.head.epoch {
		v.fold = &fold{cells: cells{}} // left over; the marker of a writer that has not seen the new session
	}
	return nil
}

func (v *view) beginGist(it item) (err error) {
	if it != nil && getString(it, attrEpoch) == v.head.epoch {
		v.gist, err = v.decodeGist(v.place, it, v.key)
	}
	return err
}

// saw is told of an id, and whether it is of a record or of a change of the session.
func (v *view) saw(sk, id string) {
	if id > v.latest { // what is older has been observed with it
		v.latest, v.from = id, v.pk+sk
		v.observe(id)
	}
}

func (v *view) take(ctx context.Context, items []item) error {
	lowest := v.lowest(v.now)
	for _, it := range items {
		if v.enough() {
			return nil // a page has a few more, for where there is no state and no gist
		}
		id := v.skOf(it)[len(skRecord):]
		v.oldest = id
		v.saw(skRecord, id)
		if !v.head.shows(id) || v.expired(it, v.now) {
			continue
		}
		r, err := v.load(ctx, v.place, it, v.key)
		if err != nil {
			return err
		}
		switch {
		case r.kind != "":
		case v.skOf(it) < lowest:
			v.aged = append(v.aged, r)
		default:
			v.records = append(v.records, r)
		}
	}
	return nil
}

// state folds the records that are not in the fold yet.
//
// A record must not be gone before it is folded. What is still unfolded a day later
// is folded with the next Append; and as the session ends unless it is active again
// within the retention, a record that lasts a day longer than that is never missed.
func (v *view) state() cells {
	c := cells{}
	upTo := ""
	if v.fold != nil {
		c, upTo = v.fold.cells, v.fold.upTo
	} else if v.head != nil {
		return c
	}
	n, old := 0, v.now.Add(-foldAfter)
	for _, r := range slices.Backward(slices.Concat(v.records, v.aged)) {
		if r.id <= upTo || !r.hasState() {
			continue
		}
		c.apply(r.id, r.State.Set.Session, r.State.Unset.Session)
		n++
		if v.opts.Retention > 0 && timeOf(r.id).Before(old) {
			n += foldFrom // its record must not expire before it is folded
		}
	}
	if v.head != nil {
		v.seen.change(v.pk, func(k *known) {
			if k.epoch != v.head.epoch {
				*k = known{epoch: v.head.epoch}
			}
			k.unfold, k.state = n, v.fold.moved != ""
		})
	}
	return c
}

func (v *view) memoryHead() memory.Head {
	if v.head != nil {
		return v.head.memory()
	}
	// See Store: records that were appended while another process deleted the session.
	oldest, newest := v.records[len(v.records)-1], v.records[0]
	h := memory.Head{Created: timeOf(oldest.id), Active: timeOf(newest.id), Version: 1, Labels: map[string]string{}}
	if exp := v.expiry(h.Active); exp != 0 {
		h.Expires = time.Unix(exp, 0).UTC()
	}
	return h
}

func (v *view) window(ctx context.Context, opts memory.WindowOptions) (memory.Window, error) {
	w := memory.Window{Key: v.Key, Head: v.memoryHead(), Gist: v.gist}
	if opts.Scopes != memory.NoState {
		w.States.Session = v.state().state()
	}
	if opts.Scopes == memory.AllStates {
		var err error
		if w.States.User, w.States.App, err = v.shared(ctx, opts.AtLeast); err != nil {
			return memory.Window{}, err
		}
	}
	last := min(max(0, opts.Last), len(v.records))
	records := make([]memory.Record, last)
	for i := range last {
		records[i] = v.records[last-1-i].memory()
	}
	var before *memory.Record
	if last < len(v.records) {
		before = new(v.records[last].memory())
	}
	from, split := opts.Cut(records, v.gist.Tokens, before)
	w.Earlier, w.Split, w.Records = last < len(v.records) || from > 0, split, records[from:]
	w.Orphans = memory.FindOrphans(w.Records)
	w.Bookmark = v.bookmark(v.from, v.latest)
	if opts.Notes {
		return w, v.annotate(ctx, v.place, w.Records)
	}
	return w, nil
}

// shared reads the states of user and app. Where a record of this session has a newer
// value than they have, its writer died before it came to that: it is done now.
func (v *view) shared(ctx context.Context, atLeast memory.Bookmark) (user, app memory.State, err error) {
	u, a := sharedPlaces(v.Key)
	states, err := v.readShared(ctx, u, a)
	if err == nil {
		err = v.sharedReaches(atLeast, states)
	}
	if err != nil {
		return nil, nil, err
	}
	for _, r := range slices.Backward(v.records) {
		// Tombstones are kept for longer than this, so that what was unset stays so.
		if !r.hasShared() || v.now.Sub(timeOf(r.id)) > memory.RequestLife {
			continue
		}
		late := states[u.name].behind(r.id, r.State.Set.User, r.State.Unset.User) || states[a.name].behind(r.id, r.State.Set.App, r.State.Unset.App)
		states[u.name].apply(r.id, r.State.Set.User, r.State.Unset.User)
		states[a.name].apply(r.id, r.State.Set.App, r.State.Unset.App)
		if late {
			if err := v.spread(ctx, v.Key, r.id, r.State); err != nil && !noRoom(err) { // without room it shows as long as the record says so
				return nil, nil, err
			}
		}
	}
	v.sawShared(states)
	return states[u.name].state(), states[a.name].state(), nil
}

func (v *view) sawShared(states map[name]*shared) {
	for n, sh := range states {
		if sh.moved > v.latest {
			v.latest, v.from = sh.moved, n.pk
		}
	}
}

// behind says whether the write id would change c.
func (c cells) behind(id string, set memory.State, unset []string) bool {
	for k := range set {
		if c[k].id < id {
			return true
		}
	}
	for _, k := range unset {
		if c[k].id < id {
			return true
		}
	}
	return false
}
