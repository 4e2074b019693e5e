package dynamomemory

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/genaistore/genaistore/internal/hlc"
	"github.com/genaistore/genaistore/memory"
)

// Find implements memory.Store. The sessions of a user are one Query, those of an app
// sixteen. Records by intent are a Query for each day and shard, and one for the
// heads of the sessions that they are in, newest day first.
func (s *Store) Find(ctx context.Context, q memory.Query) iter.Seq2[memory.Match, error] {
	key := memory.Key{Tenant: q.Tenant, App: q.App, User: q.User}
	return func(yield func(memory.Match, error) bool) {
		err := firstError(ctx.Err(), q.Validate())
		switch {
		case err != nil:
		case q.Intent != "":
			err = s.byIntent(ctx, q, yield)
		default:
			err = s.bySession(ctx, q, yield)
		}
		if err != nil && !errors.Is(err, errBroken) {
			yield(memory.Match{}, wrap("find", key, err))
		}
	}
}

func (s *Store) bySession(ctx context.Context, q memory.Query, yield func(memory.Match, error) bool) error {
	found, err := s.sessions(ctx, q)
	if err != nil {
		return err
	}
	if q.Limit > 0 {
		found = found[:min(q.Limit, len(found))]
	}
	_, err = tell(ctx, found, 0, yield)
	return err
}

// tell yields at most limit elements, all if it is 0, and returns how many. Its error
// is that of the context, or errBroken where the loop wants no more.
func tell[T any](ctx context.Context, list []T, limit int, yield func(T, error) bool) (n int, err error) {
	for _, x := range list {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		if n++; !yield(x, nil) || n == limit {
			return n, errBroken
		}
	}
	return n, ctx.Err()
}

func newestFirst(a, b memory.Match) int {
	return cmp.Or(
		b.Head.Active.Compare(a.Head.Active),
		cmp.Compare(b.Record, a.Record),
		cmp.Compare(a.Key.User, b.Key.User),
		cmp.Compare(a.Key.Session, b.Key.Session),
	)
}

const parallel = 8

// together reads ranges at the same time, each to its end.
func (s *Store) together(ctx context.Context, scans []scan) ([]item, error) {
	found := make([][]item, len(scans))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, q := range scans {
		g.Go(func() error {
			var err error
			found[i], err = s.all(ctx, q)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(found...), nil
}

// byIntent goes back a day at a time.
func (s *Store) byIntent(ctx context.Context, q memory.Query, yield func(memory.Match, error) bool) error {
	first, last := s.days(q)
	left := q.Limit
	for day := last; !day.Before(first); day = day.AddDate(0, 0, -1) {
		found, err := s.onDay(ctx, q, day)
		if err != nil {
			return err
		}
		n, err := tell(ctx, found, left, yield)
		if err != nil {
			return err
		}
		if q.Limit > 0 {
			left -= n
		}
	}
	return nil
}

// days returns the first and the last day on which a record may be that q selects and
// that is still kept.
func (s *Store) days(q memory.Query) (first, last time.Time) {
	const day = 24 * time.Hour
	now := time.Now()
	since, until := q.Since, now.Add(hlc.MaxSkew)
	if !q.Until.IsZero() && q.Until.Before(until) {
		until = q.Until
	}
	oldest := time.UnixMilli(0)
	if s.opts.Retention > 0 {
		oldest = now.Add(-s.opts.Retention)
	}
	if since.Before(oldest) {
		since = oldest
	}
	return since.UTC().Truncate(day), until.UTC().Truncate(day)
}

// onDay returns the records of one day, newest first, of sessions that are alive.
func (s *Store) onDay(ctx context.Context, q memory.Query, day time.Time) ([]memory.Match, error) {
	key := memory.Key{Tenant: q.Tenant, App: q.App}
	var scans []scan
	for shard := range intentShards {
		scans = append(scans, scan{
			index: s.names.IntentIndex, hash: s.names.IntentKey, sort: s.names.IntentSort,
			pk: intentPK(key, q.Intent, day, shard), eventual: true,
		})
	}
	items, err := s.together(ctx, scans)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	var found []memory.Match
	var heads []name
	for _, it := range items {
		k, err := sessionKey(s.pkOf(it), it)
		if err != nil {
			return nil, err
		}
		id := s.skOf(it)[len(skNotes):]
		if q.User != "" && k.User != q.User || !within(timeOf(id), q.Since, q.Until) || s.expired(it, now) {
			continue
		}
		m := memory.Match{Key: k, Record: memory.RecordID(id)}
		if m.Notes, err = s.decodeNotes(it); err != nil {
			return nil, err
		}
		found = append(found, m)
		heads = append(heads, name{at(k).pk, skHead})
	}
	slices.SortFunc(found, newestFirst)
	slices.SortFunc(heads, func(a, b name) int { return cmp.Compare(a.pk, b.pk) })
	there, err := s.getAll(ctx, slices.Compact(heads), true)
	if err != nil {
		return nil, err
	}
	return s.shown(ctx, found, there, now)
}

// shown leaves out what has ended, or is being removed or gone: the index may lag.
func (s *Store) shown(ctx context.Context, found []memory.Match, there map[name]item, now time.Time) ([]memory.Match, error) {
	var doubtful []name
	found = slices.DeleteFunc(found, func(m memory.Match) bool {
		h := decodeHead(there[name{at(m.Key).pk, skHead}])
		if h != nil && (!h.live(now) || !h.shows(string(m.Record))) {
			return true
		}
		if h.mayLack(string(m.Record)) {
			doubtful = append(doubtful, name{at(m.Key).pk, skRecord + string(m.Record)})
		}
		return false
	})
	return s.without(ctx, found, doubtful)
}

// mayLack says whether notes on a record may be all that is left of it. An Annotate
// looks for the record and then writes: where a Delete or a Rewind comes between, the
// notes stay until they expire, or until the next session of this key is erased.
// Readers of the session see notes only beside their record.
func (h *head) mayLack(id string) bool {
	return h == nil || h.edited > 0 || h.parent == "" && id < h.epoch
}

// without leaves out the matches whose doubtful records are not there.
func (s *Store) without(ctx context.Context, found []memory.Match, doubtful []name) ([]memory.Match, error) {
	if len(doubtful) == 0 {
		return found, nil
	}
	records, err := s.getAll(ctx, doubtful, true)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found, func(m memory.Match) bool {
		n := name{at(m.Key).pk, skRecord + string(m.Record)}
		it := records[n]
		return slices.Contains(doubtful, n) && (it == nil || getString(it, attrKind) != "")
	}), nil
}

// sessions lists them from their directory items.
func (s *Store) sessions(ctx context.Context, q memory.Query) ([]memory.Match, error) {
	key := memory.Key{Tenant: q.Tenant, App: q.App, User: q.User}
	var scans []scan
	if q.User != "" {
		scans = append(scans, scan{pk: directoryPK(key, userShard(q.User)), prefix: encodePart(q.User) + "#"})
	} else {
		for shard := range directoryShards {
			scans = append(scans, scan{pk: directoryPK(key, shard)})
		}
	}
	pages, err := s.together(ctx, scans)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	var found []memory.Match
	for _, it := range pages {
		h := decodeHead(it)
		if h.ended(now) || !within(h.active, q.Since, q.Until) || !carries(h.labels, q.Label) {
			continue
		}
		k, err := s.listedKey(key, it)
		if err != nil {
			return nil, err
		}
		found = append(found, memory.Match{Key: k, Head: h.memory()})
	}
	slices.SortFunc(found, newestFirst)
	return found, nil
}

func (s *Store) listedKey(app memory.Key, it item) (memory.Key, error) {
	var parts [2]string
	sk := s.skOf(it)
	for i := range len(sk) {
		if sk[i] == '#' {
			parts = [2]string{sk[:i], sk[i+1:]}
			break
		}
	}
	return keyOf(it, [4]string{encodePart(app.Tenant), encodePart(app.App), parts[0], parts[1]})
}

func within(t, since, until time.Time) bool {
	return !t.Before(since) && (until.IsZero() || t.Before(until))
}

func carries(labels map[string]string, l memory.Label) bool {
	value, ok := labels[l.Key]
	return l.Key == "" || ok && (l.Value == "" || l.Value == value)
}
