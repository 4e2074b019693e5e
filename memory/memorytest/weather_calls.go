package memorytest

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/genaistore/genaistore/memory"
)

// Arguments that break a rule meet no weather: no library sends them.

// Append implements [memory.Store].
func (s *Weathered) Append(ctx context.Context, key memory.Key, entry memory.Entry, opts *memory.AppendOptions) (memory.Receipt, error) {
	if cmp.Or(ctx.Err(), key.Validate(), entry.Validate(), opts.Validate()) != nil {
		return s.store.Append(ctx, key, entry, opts)
	}
	c := s.call(callAppend)
	if err := s.beginWrite(ctx, c); err != nil {
		return memory.Receipt{}, wrap("append", key, err)
	}
	receipt, err := s.append(ctx, key, entry, opts.WithDefaults(), c)
	if lost := s.end(ctx, c); lost != nil {
		return memory.Receipt{}, wrap("append", key, lost)
	}
	return receipt, err
}

func (s *Weathered) append(ctx context.Context, key memory.Key, entry memory.Entry, opts memory.AppendOptions, c call) (memory.Receipt, error) {
	if receipt, ok, err := s.lateReplay(ctx, key, opts); ok || err != nil {
		return receipt, err
	}
	if _, ok := s.store.(*memory.InMemory); ok && s.weather.Skew > 0 && opts.After == "" {
		id, err := s.clock.Next(time.Now().Add(s.weather.Skew))
		if err != nil {
			return memory.Receipt{}, wrap("append", key, err)
		}
		opts.After = memory.Bookmark("at-" + id.String()) // as InMemory writes them
		s.met.skewed.Add(1)
	}
	receipt, err := s.store.Append(ctx, key, entry, &opts)
	if err != nil {
		return receipt, err
	}
	s.sea.issue(receipt.Bookmark)
	if !receipt.Replayed && s.weather.LateTTL > 0 {
		s.sea.remember(key, receipt)
	}
	s.picture(ctx, key, c)
	return receipt, nil
}

// Open implements [memory.Store].
func (s *Weathered) Open(ctx context.Context, key memory.Key, options *memory.WindowOptions) (memory.Window, error) {
	if cmp.Or(ctx.Err(), key.ValidateScope(), options.Validate()) != nil {
		return s.store.Open(ctx, key, options)
	}
	c, opts := s.call(callOpen), options.WithDefaults()
	if err := s.begin(ctx, c); err != nil {
		return memory.Window{}, wrap("open", key, err)
	}
	w, err := s.open(ctx, key, opts, c)
	if lost := s.end(ctx, c); lost != nil {
		return memory.Window{}, wrap("open", key, lost)
	}
	w.Head.Active = s.active(w.Head)
	return w, err
}

func (s *Weathered) open(ctx context.Context, key memory.Key, opts memory.WindowOptions, c call) (memory.Window, error) {
	if seen, ok := s.sea.seen(opts.AtLeast); ok {
		if c.behind {
			s.met.behind.Add(1)
			return memory.Window{}, wrap("open", key, memory.ErrBehind)
		}
		if im, ok := s.image(key, seen, c); ok {
			s.met.stale.Add(1)
			if im.absent {
				s.met.negative.Add(1)
				return memory.Window{}, wrap("open", key, memory.ErrNotFound)
			}
			return im.open(opts)
		}
	}
	sight := s.sea.look(key)
	w, err := s.store.Open(ctx, key, &opts)
	if err == nil {
		s.sea.issue(w.Bookmark)
		s.picture(ctx, key, c)
	}
	if errors.Is(err, memory.ErrNotFound) && c.remember {
		s.sea.keep(key, sight, image{store: s.store, absent: true})
	}
	return w, err
}

// image returns what a cache answers with, if the schedule says that one does.
func (s *Weathered) image(key memory.Key, seen uint64, c call) (image, bool) {
	if !c.stale {
		return image{}, false
	}
	return s.sea.find(key, seen, s.store)
}

// Records implements [memory.Store].
func (s *Weathered) Records(ctx context.Context, key memory.Key, opts *memory.RangeOptions) iter.Seq2[memory.Record, error] {
	inner := s.store.Records(ctx, key, opts)
	if cmp.Or(key.Validate(), opts.Validate()) != nil {
		return inner
	}
	return list(s, ctx, callRecords, func(call) iter.Seq2[memory.Record, error] { return inner }, func(err error) error { return wrap("records", key, err) })
}

// list yields what inner yields, in some weather.
func list[T any](s *Weathered, ctx context.Context, m method, inner func(call) iter.Seq2[T, error], named func(error) error) iter.Seq2[T, error] { //nolint:revive // the receiver comes first: a method has no type parameter
	return func(yield func(T, error) bool) {
		var none T
		if ctx.Err() != nil {
			inner(call{})(yield)
			return
		}
		c := s.call(m)
		if err := wait(ctx, c.before); err != nil {
			yield(none, named(err))
			return
		}
		n := 0
		for item, err := range inner(c) {
			if err == nil && n == c.items && (c.throttled || c.lost) {
				break
			}
			n++
			if ctx.Err() != nil && err == nil {
				yield(none, named(ctx.Err()))
				return
			}
			if !yield(item, err) || err != nil {
				return
			}
		}
		c.lost = c.lost && !c.throttled
		if err := cmp.Or(s.begin(ctx, call{throttled: c.throttled}), s.end(ctx, c)); err != nil {
			yield(none, named(err))
		}
	}
}

// Update implements [memory.Store].
func (s *Weathered) Update(ctx context.Context, key memory.Key, changes ...memory.Change) (memory.Bookmark, error) {
	if cmp.Or(ctx.Err(), memory.ValidateChanges(key, changes)) != nil {
		return s.store.Update(ctx, key, changes...)
	}
	c := s.call(callUpdate)
	if err := s.beginWrite(ctx, c); err != nil {
		return "", wrap("update", key, err)
	}
	b, err := s.update(ctx, key, changes, c)
	if lost := s.end(ctx, c); lost != nil {
		return "", wrap("update", key, lost)
	}
	return b, err
}

func (s *Weathered) update(ctx context.Context, key memory.Key, changes []memory.Change, c call) (memory.Bookmark, error) {
	ends := slices.ContainsFunc(changes, func(c memory.Change) bool { _, ok := c.(memory.Keep); return ok })
	var b memory.Bookmark
	if !touchesIndex(changes) {
		c.lag = 0
	}
	err := s.reindex(ctx, key, c.lag, func() (err error) {
		if ends {
			defer s.sea.drop(key)
		}
		b, err = s.store.Update(ctx, key, changes...)
		return err
	})
	if err != nil {
		return b, err
	}
	s.sea.issue(b)
	s.picture(ctx, key, c)
	return b, nil
}

// Find implements [memory.Store].
func (s *Weathered) Find(ctx context.Context, q memory.Query) iter.Seq2[memory.Match, error] {
	if q.Validate() != nil {
		return s.store.Find(ctx, q)
	}
	inner := func(call) iter.Seq2[memory.Match, error] { return s.sessions(ctx, q) }
	if q.Intent != "" {
		inner = func(call) iter.Seq2[memory.Match, error] { return s.byIntent(ctx, q) }
	}
	key := memory.Key{Tenant: q.Tenant, App: q.App, User: q.User}
	return list(s, ctx, callFind, inner, func(err error) error { return wrap("find", key, err) })
}

// Delete implements [memory.Store].
func (s *Weathered) Delete(ctx context.Context, key memory.Key) error {
	if cmp.Or(ctx.Err(), key.Validate()) != nil {
		return s.store.Delete(ctx, key)
	}
	c := s.call(callDelete)
	if err := s.begin(ctx, c); err != nil {
		return wrap("delete", key, err)
	}
	err := s.reindex(ctx, key, c.lag, func() error {
		defer s.sea.drop(key)
		return s.store.Delete(ctx, key)
	})
	if lost := s.end(ctx, c); lost != nil {
		return wrap("delete", key, lost)
	}
	return err
}

// active is when h's session was last active as it may be said: to five minutes.
func (s *Weathered) active(h memory.Head) time.Time {
	if start := h.Active.Truncate(5 * time.Minute); s.weather.Coarse && start.After(h.Created) {
		return start
	} else if s.weather.Coarse && !h.Created.IsZero() {
		return h.Created
	}
	return h.Active
}

// sessions lists sessions by the times that are said.
func (s *Weathered) sessions(ctx context.Context, q memory.Query) iter.Seq2[memory.Match, error] {
	if !s.weather.Coarse {
		return s.store.Find(ctx, q)
	}
	return func(yield func(memory.Match, error) bool) {
		all := q
		all.Since, all.Until, all.Limit = time.Time{}, time.Time{}, 0
		var found []memory.Match
		for m, err := range s.store.Find(ctx, all) {
			if err != nil {
				yield(memory.Match{}, err)
				return
			}
			m.Head.Active = s.active(m.Head)
			if !m.Head.Active.Before(q.Since) && (q.Until.IsZero() || m.Head.Active.Before(q.Until)) {
				found = append(found, m)
			}
		}
		slices.SortStableFunc(found, func(a, b memory.Match) int { return b.Head.Active.Compare(a.Head.Active) })
		for i, m := range found {
			if q.Limit > 0 && i == q.Limit || !yield(m, nil) {
				return
			}
		}
	}
}
