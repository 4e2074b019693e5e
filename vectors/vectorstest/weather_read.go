package vectorstest

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/genaistore/genaistore/vectors"
)

// queryPage is how many matches the service returns at a time.
const queryPage = 100

// Query implements [vectors.Index].
func (x *Weathered) Query(ctx context.Context, query vectors.Query) iter.Seq2[vectors.Match, error] {
	query.Vector, query.Filter = slices.Clone(query.Vector), cloneFilter(query.Filter)
	return func(yield func(vectors.Match, error) bool) {
		if err := x.query(ctx, query, func(m vectors.Match) bool { return yield(m, nil) }); err != nil {
			yield(vectors.Match{}, fmt.Errorf("query: %w", err))
		}
	}
}

func (x *Weathered) query(ctx context.Context, q vectors.Query, yield func(vectors.Match) bool) error {
	c := x.call(callQuery)
	if err := x.checkQuery(ctx, q); err != nil {
		return err
	}
	if err := x.begin(ctx, c); err != nil {
		return err
	}
	if err := x.end(c, nil); err != nil {
		return err
	}
	q = q.WithDefaults()
	misses, err := x.misses(ctx, q)
	if err != nil {
		return err
	}
	wide := q
	if !q.Filter.IsZero() {
		wide.TopK = min(vectors.MaxTopK, 2*q.TopK+10) // what is missed makes room for others
	}
	found, page := 0, time.Now()
	for m, err := range x.index.Query(ctx, wide) {
		if err != nil {
			return err
		}
		if misses(m.Key) {
			x.met.missed.Add(1)
			continue
		}
		if found%queryPage == 0 && found > 0 {
			if err := x.nextPage(c, page); err != nil {
				return err
			}
			page = time.Now()
		}
		if found++; !yield(m) || found == q.TopK {
			return nil
		}
	}
	return nil
}

// nextPage is what a request for a page meets, of which the one before came at a time.
func (x *Weathered) nextPage(c call, before time.Time) error {
	if life := x.weather.TokenLife; life > 0 && time.Since(before) > life {
		x.met.expired.Add(1)
		return fmt.Errorf("%w: the token of the next page of matches has expired, after %s: start the query again, and collect its matches before they are worked on", vectors.ErrInvalid, life)
	}
	return x.refusedPage(c)
}

func (x *Weathered) refusedPage(c call) error {
	if c.pages.Float64() < x.weather.Throttle {
		x.met.throttled.Add(1)
		return errRefused
	}
	return nil
}

func (x *Weathered) checkQuery(ctx context.Context, q vectors.Query) error {
	schema, err := x.index.Describe(ctx)
	if err != nil {
		return err
	}
	if err := q.Validate(schema); err != nil {
		return err
	}
	if x.weather.Mode == Classic && usesPrefix(q.Filter) {
		return fmt.Errorf("%w: a filter with StartsWith, which an index in CLASSIC mode does not evaluate: ask for ENHANCED", vectors.ErrInvalid)
	}
	return x.strict(ctx, q.Filter)
}

func usesPrefix(f vectors.Filter) bool {
	return f.Op == vectors.OpStartsWith || slices.ContainsFunc(f.Of, usesPrefix)
}

// misses returns which matches a query does not find.
func (x *Weathered) misses(ctx context.Context, q vectors.Query) (func(key string) bool, error) {
	if q.Filter.IsZero() {
		return func(string) bool { return false }, nil
	}
	share := x.weather.Shortfall
	if x.weather.Mode == Enhanced {
		matching := 0
		for _, err := range x.index.List(ctx, &vectors.ListOptions{Filter: q.Filter, Fields: vectors.KeysOnly}) {
			if err != nil {
				return nil, err
			}
			matching++
		}
		share = max(share, enhancedShortfall(matching, q.TopK))
		if matching <= 5 {
			share = 0
		}
	}
	return func(key string) bool { return scatter(x.weather.Seed, key) < share }, nil
}

// enhancedShortfall is what share of so many vectors that match was not found, as
// s3-vectors-prefilter-bench recorded of the service.
func enhancedShortfall(matching, topK int) float64 {
	few, many := 0.01, 0.01
	switch {
	case matching <= 5:
		return 0
	case matching <= 50:
		few, many = 0.1, 0.39
	case matching <= 500:
		few, many = 0.026, 0.089
	}
	if topK <= 10 {
		return few
	}
	return many
}

// strict looks for a filter with two readings.
func (x *Weathered) strict(ctx context.Context, f vectors.Filter) error {
	f = f.Simplified()
	if x.weather.Strict == nil || f.IsZero() || f.IsNone() {
		return nil
	}
	text, err := f.JSON()
	if err != nil {
		return err
	}
	document, err := vectors.ParseDocument(text)
	if err != nil {
		return err
	}
	for v, err := range x.index.List(ctx, nil) {
		if err != nil {
			return err
		}
		if open := document.Ambiguities(v.Metadata); len(open) > 0 {
			x.met.ambiguous.Add(1)
			x.weather.Strict.Errorf("filter %s has two readings for vector %q: %v", text, v.Key, open)
		}
	}
	return nil
}

// List implements [vectors.Index]: in an order of its own for each seed.
func (x *Weathered) List(ctx context.Context, opts *vectors.ListOptions) iter.Seq2[vectors.Vector, error] {
	o := opts.WithDefaults()
	o.Filter = cloneFilter(o.Filter)
	return func(yield func(vectors.Vector, error) bool) {
		if err := x.list(ctx, o, func(v vectors.Vector) bool { return yield(v, nil) }); err != nil {
			yield(vectors.Vector{}, fmt.Errorf("list: %w", err))
		}
	}
}

func (x *Weathered) list(ctx context.Context, o vectors.ListOptions, yield func(vectors.Vector) bool) error {
	c := x.call(callList)
	all, err := collect(x.index.List(ctx, &o))
	if err != nil {
		return err
	}
	if err := cmp.Or(x.strict(ctx, o.Filter), x.begin(ctx, c)); err != nil {
		return err
	}
	if err := x.end(c, nil); err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b vectors.Vector) int {
		return cmp.Or(cmp.Compare(scatter(x.weather.Seed, a.Key), scatter(x.weather.Seed, b.Key)), cmp.Compare(a.Key, b.Key))
	})
	for left := 1 + c.pages.IntN(500); len(all) > 0; all = all[1:] {
		if left == 0 {
			if err := x.refusedPage(c); err != nil {
				return err
			}
			left = 1 + c.pages.IntN(500)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !yield(all[0]) {
			return nil
		}
		left--
	}
	return nil
}

func collect[T any](seq iter.Seq2[T, error]) (all []T, err error) {
	for v, err := range seq {
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}

// cloneFilter copies what a caller may change after a call.
func cloneFilter(f vectors.Filter) vectors.Filter {
	f.Values, f.Of = slices.Clone(f.Values), slices.Clone(f.Of)
	for i := range f.Of {
		f.Of[i] = cloneFilter(f.Of[i])
	}
	return f
}
