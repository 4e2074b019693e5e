package s3index

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/genaistore/genaistore/meter"
	"github.com/genaistore/genaistore/vectors"
)

// A Way is how what a selection selects is found. S3 Vectors neither lists nor
// deletes by filter.
type Way string

// The ways.
const (
	ByKeys  Way = "keys"  // nothing is looked for
	ByList  Way = "list"  // all of the index is listed, and what is selected is decided here
	ByQuery Way = "query" // queries with the filter, each of which finds up to 10,000, most of those there are
)

// SelectOptions adjusts [Index.Plan], [Index.Select], [Index.Count] and
// [Index.Remove]. A nil *SelectOptions means the zero value.
type SelectOptions struct {
	// Approximate looks by queries, which cost what the matches do and not what the
	// index does, and may miss some. It needs a filter and takes no prefix. Select
	// and Count see 10,000 matches at most.
	Approximate bool
	// Fields is what Select reads of each vector.
	Fields vectors.Fields
	// DryRun has Remove count and delete nothing.
	DryRun bool
	// Vectors is how many the index has, if that is known: Plan then reads a page and
	// not a sixteenth of the index.
	Vectors int
}

// WithDefaults returns what an Index acts on.
func (o *SelectOptions) WithDefaults() SelectOptions { return deref(o) }

// Selected says what came of a selection, and whether that is all.
type Selected struct {
	Way     Way
	Matched int // vectors that were found, or keys that were given
	Removed int
	Cost    meter.Cost
	// Complete reports that none is missing which was there throughout. It is false
	// where the way is approximate, and until the end is reached.
	Complete bool
}

// Verdict says in words what Complete does.
func (s Selected) Verdict() string {
	switch {
	case s.Complete:
		return "complete"
	case s.Way == ByQuery:
		return "may be partial: queries are approximate"
	}
	return "may be partial: the end was not reached"
}

// A sought is a selection that was checked, and what came of it so far.
type sought struct {
	index     *Index
	selection vectors.Selection
	opts      SelectOptions
	schema    vectors.Schema
	selected  Selected
}

func (x *Index) seek(ctx context.Context, selection vectors.Selection, o SelectOptions) (*sought, error) {
	schema, err := x.schema(ctx)
	if err == nil {
		err = selection.Validate(schema)
	}
	if err == nil {
		err = o.Fields.Validate()
	}
	if err == nil && o.Approximate && (selection.Filter.IsZero() || selection.Prefix != "") {
		err = fmt.Errorf("%w: queries look for a filter, and for no prefix, keys or all", vectors.ErrInvalid)
	}
	if err == nil && o.Vectors < 0 {
		err = fmt.Errorf("%w: an index of %d vectors", vectors.ErrInvalid, o.Vectors)
	}
	if err != nil {
		return nil, err
	}
	s := &sought{index: x, selection: selection, opts: o, schema: schema}
	s.selection.Keys, s.selection.Filter = unique(selection.Keys), cloned(selection.Filter)
	switch {
	case len(selection.Keys) > 0:
		s.selected.Way = ByKeys
	case o.Approximate:
		s.selected.Way = ByQuery
	default:
		s.selected.Way = ByList
	}
	return s, nil
}

// sought does what to a selection and fills in what that cost.
func (x *Index) sought(ctx context.Context, selection vectors.Selection, opts *SelectOptions, what func(context.Context, *sought) error) (Selected, error) {
	var spent meter.Meter
	ctx = meter.With(ctx, &spent)
	s, err := x.seek(ctx, selection, opts.WithDefaults())
	if err != nil {
		return Selected{}, err
	}
	err = what(ctx, s)
	s.selected.Cost = spent.Cost()
	return s.selected, err
}

// Select yields what selection selects, in no order, and fills in the verdict when
// the loop ends. Where [SelectOptions] do not ask for queries it yields what
// [Index.List] does; keys that are not there are left out.
func (x *Index) Select(ctx context.Context, selection vectors.Selection, opts *SelectOptions) (iter.Seq2[vectors.Vector, error], *Selected) {
	var selected Selected
	return func(yield func(vectors.Vector, error) bool) {
		var err error
		selected, err = x.sought(ctx, selection, opts, func(ctx context.Context, s *sought) error {
			return s.each(ctx, s.opts.Fields, func(v vectors.Vector) bool { return yield(v, nil) })
		})
		if err != nil {
			yield(vectors.Vector{}, x.wrap("select", err))
		}
	}, &selected
}

// Count returns how many vectors selection selects, in Matched.
func (x *Index) Count(ctx context.Context, selection vectors.Selection, opts *SelectOptions) (Selected, error) {
	selected, err := x.sought(ctx, selection, opts, func(ctx context.Context, s *sought) error {
		return s.each(ctx, vectors.KeysOnly, func(vectors.Vector) bool { return true })
	})
	return selected, x.wrap("count", err)
}

// Remove deletes what selection selects. It is [Index.Delete] with a verdict, and
// with a way that costs less where few of many match: with Approximate it queries
// and deletes in turn until a query finds nothing, which leaves what all queries
// miss. Repeating it is safe.
func (x *Index) Remove(ctx context.Context, selection vectors.Selection, opts *SelectOptions) (Selected, error) {
	selected, err := x.sought(ctx, selection, opts, func(ctx context.Context, s *sought) error { return s.removeAll(ctx) })
	return selected, x.wrap("remove", err)
}

func (s *sought) removeAll(ctx context.Context) error {
	if s.selected.Way == ByQuery && !s.opts.DryRun {
		return s.removeQueried(ctx)
	}
	if s.selected.Way == ByQuery {
		return s.each(ctx, vectors.KeysOnly, func(vectors.Vector) bool { return true })
	}
	r := &removal{index: s.index, dry: s.opts.DryRun}
	err := r.run(ctx, s.selection)
	s.selected.Matched, s.selected.Complete = r.found, err == nil
	if !r.dry {
		s.selected.Removed = r.done
	}
	return err
}

// removeQueried deletes what a query finds until one finds nothing. What was
// deleted is not found again, so each finds others.
func (s *sought) removeQueried(ctx context.Context) error {
	before := map[string]bool{}
	for {
		var keys []string
		err := s.each(ctx, vectors.KeysOnly, func(v vectors.Vector) bool {
			keys = append(keys, v.Key)
			return true
		})
		if err != nil || len(keys) == 0 {
			return err
		}
		if !slices.ContainsFunc(keys, func(key string) bool { return !before[key] }) {
			return fmt.Errorf("%w: %d vectors that were deleted are found again", vectors.ErrCorrupt, len(keys))
		}
		clear(before)
		for _, key := range keys {
			before[key] = true
		}
		r := &removal{index: s.index}
		err = r.removeAll(ctx, keys)
		if s.selected.Removed += r.done; err != nil {
			return err
		}
	}
}

// each yields what is selected, and counts it.
func (s *sought) each(ctx context.Context, fields vectors.Fields, yield func(vectors.Vector) bool) error {
	left := false
	take := func(v vectors.Vector) bool {
		s.selected.Matched++
		left = !yield(v)
		return !left
	}
	var err error
	switch s.selected.Way {
	case ByKeys:
		err = s.eachKey(ctx, fields, take)
	case ByQuery:
		err = s.eachMatch(ctx, fields, take)
	default:
		err = s.index.list(ctx, vectors.ListOptions{Prefix: s.selection.Prefix, Filter: s.selection.Filter, Fields: fields}, take)
	}
	s.selected.Complete = err == nil && !left && s.selected.Way != ByQuery
	return err
}

func (s *sought) eachKey(ctx context.Context, fields vectors.Fields, take func(vectors.Vector) bool) error {
	for keys := range slices.Chunk(s.selection.Keys, getKeys*s.index.opts.Concurrency) {
		found, err := s.index.getAll(ctx, keys, fields)
		if err != nil {
			return err
		}
		for _, v := range found {
			if err := ctx.Err(); err != nil || !take(v) {
				return err
			}
		}
	}
	return nil
}

func (s *sought) eachMatch(ctx context.Context, fields vectors.Fields, take func(vectors.Vector) bool) error {
	query, err := s.query(ctx, fields)
	if err != nil || query == nil {
		return err
	}
	return query.run(ctx, func(m vectors.Match) bool { return take(m.Vector) })
}

// query asks for all that the filter selects, from any place: they are wanted
// however far they are. It returns nil if the filter selects nothing.
func (s *sought) query(ctx context.Context, fields vectors.Fields) (*search, error) {
	anywhere := make([]float32, s.schema.Dimension)
	anywhere[0] = 1
	plain := s.index.opts
	plain.Repair, plain.Rescore, plain.Shortfall = false, 0, nil
	return s.index.search(ctx, vectors.Query{Vector: anywhere, TopK: vectors.MaxTopK, Filter: s.selection.Filter, Fields: fields}, plain)
}
