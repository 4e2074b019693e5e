package s3index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/s3vectors"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors/types"
	"golang.org/x/sync/errgroup"

	"github.com/genaistore/genaistore/internal/paging"
	"github.com/genaistore/genaistore/vectors"
)

// Query implements [vectors.Index], with a request for each 100 matches that the
// loop takes, one after the other. The token of a page lives for minutes: if the
// loop takes longer, the query is asked again and goes on where it was.
//
// Filters are sent in forms that mean the same in every reading of what AWS leaves
// open. Where there is no such form, which is on lists alone, and where a NotIn
// has more values than S3 Vectors takes, matches are looked at before they are
// yielded. A filter of more than 100 constraints is sent in parts, whose matches
// are merged before the first is yielded, as all are where [Options] ask for
// rescoring or repair.
func (x *Index) Query(ctx context.Context, query vectors.Query) iter.Seq2[vectors.Match, error] {
	query.Vector, query.Filter = slices.Clone(query.Vector), cloned(query.Filter)
	return func(yield func(vectors.Match, error) bool) {
		s, err := x.search(ctx, query.WithDefaults(), x.opts)
		if err == nil && s != nil {
			err = s.run(ctx, func(m vectors.Match) bool { return yield(m, nil) })
		}
		if err != nil {
			yield(vectors.Match{}, x.wrap("query", err))
		}
	}
}

func cloned(f vectors.Filter) vectors.Filter {
	f.Values, f.Of = slices.Clone(f.Values), slices.Clone(f.Of)
	for i := range f.Of {
		f.Of[i] = cloned(f.Of[i])
	}
	return f
}

// A search is one loop over a Query.
type search struct {
	index  *Index
	opts   Options
	metric vectors.Metric
	query  vectors.Query    // what the service is asked for
	want   int              // matches
	fields vectors.Fields   // of these
	parts  []vectors.Filter // what is sent: together they select all that the filter does
	mode   Mode
	verify bool // they may select more than it does
}

// search plans a query. It returns nil for one that matches nothing.
func (x *Index) search(ctx context.Context, query vectors.Query, o Options) (*search, error) {
	d, err := x.describe(ctx)
	if err != nil {
		return nil, err
	}
	if err := query.Validate(d.schema()); err != nil {
		return nil, err
	}
	query.Filter = query.Filter.Simplified()
	if query.Filter.IsNone() {
		return nil, nil //nolint:nilnil // there is nothing to search, and nothing wrong
	}
	s := &search{
		index: x, opts: o, metric: d.schema().Metric, query: query, want: query.TopK, fields: query.Fields,
		mode: o.QueryMode, verify: query.Filter.OpenOnLists(),
	}
	if o.Rescore > 0 {
		s.query.TopK = min(vectors.MaxTopK, query.TopK*o.Rescore)
		s.query.Fields = withData(query.Fields)
	}
	if s.mode == "" && d.IndexMode == Classic && usesPrefix(query.Filter) {
		s.mode = Enhanced
	}
	s.parts, err = query.Filter.Split(vectors.MaxConstraints)
	if err != nil {
		s.verify = true
		s.parts = []vectors.Filter{weakened(query.Filter, vectors.MaxConstraints)}
	}
	return s, nil
}

func usesPrefix(f vectors.Filter) bool {
	return f.Op == vectors.OpStartsWith || slices.ContainsFunc(f.Of, usesPrefix)
}

// weakened returns a filter of at most that many constraints that selects all
// that f does, and more.
func weakened(f vectors.Filter, most int) vectors.Filter {
	switch {
	case f.Constraints() <= most:
		return f
	case f.Op == vectors.OpNotIn || f.Op == vectors.OpIn:
		return vectors.Exists(f.Key)
	case f.Op != vectors.OpAnd:
		return vectors.Filter{}
	}
	var of []vectors.Filter
	for _, g := range f.Of {
		if g = weakened(g, most); g.IsZero() || g.Constraints() > most {
			continue
		}
		most -= g.Constraints()
		of = append(of, g)
	}
	return vectors.And(of...)
}

func (s *search) run(ctx context.Context, yield func(vectors.Match) bool) error {
	if !s.careful() {
		found, left := 0, false
		err := s.stream(ctx, s.parts[0], func(m vectors.Match) bool {
			found++
			left = !yield(m)
			return !left
		})
		if err == nil && !left {
			s.tell(Shortfall{TopK: s.want, Found: found})
		}
		return err
	}
	matches, err := s.collected(ctx)
	for _, m := range matches {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || !yield(m) {
			break
		}
	}
	return err
}

// merged asks for all parts at a time.
func (s *search) merged(ctx context.Context) ([]vectors.Match, error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.opts.Concurrency)
	found := make([][]vectors.Match, len(s.parts))
	for i, part := range s.parts {
		group.Go(func() error {
			return s.stream(ctx, part, func(m vectors.Match) bool {
				found[i] = append(found[i], m)
				return true
			})
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	// A vector that matches several parts is in each, at the same distance.
	merged := slices.Concat(found...)
	slices.SortFunc(merged, func(a, b vectors.Match) int {
		return cmp.Or(cmp.Compare(a.Distance, b.Distance), cmp.Compare(a.Key, b.Key))
	})
	merged = slices.CompactFunc(merged, func(a, b vectors.Match) bool { return a.Key == b.Key })
	return merged[:min(len(merged), s.query.TopK)], nil
}

// stream yields the matches of one part of the filter.
func (s *search) stream(ctx context.Context, part vectors.Filter, yield func(vectors.Match) bool) error {
	template, err := s.template(part)
	c := &cursor{search: s, template: template, seen: map[string]bool{}}
	for again := true; again && err == nil; {
		again, err = c.pass(ctx, yield)
	}
	return err
}

// A cursor is how far the matches of one part were yielded.
type cursor struct {
	*search

	template request
	seen     map[string]bool
	last     float64 // the distance of the last match
	resumed  bool    // this is not the first pass
	left     bool    // the loop wants no more
}

// pass asks from the first page on. It reports whether that is to be done again,
// because the token of a page had expired.
func (c *cursor) pass(ctx context.Context, yield func(vectors.Match) bool) (again bool, err error) {
	before, late, fetched := len(c.seen), false, 0
	pages := paging.Seq(func(token string) ([]vectors.Match, string, error) {
		if fetched++; fetched > c.query.TopK+1 {
			return nil, "", fmt.Errorf("%w: the pages of a query for %d do not end", vectors.ErrCorrupt, c.query.TopK)
		}
		p, err := c.page(ctx, c.template, token)
		late = token != ""
		return p.matches, p.next, err
	})
	for m, err := range pages {
		if late && errors.Is(err, vectors.ErrInvalid) && len(c.seen) > before {
			c.resumed = true
			return true, nil
		}
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return false, err
		}
		if c.take(m, yield); c.left {
			return false, nil
		}
	}
	return false, nil
}

func (c *cursor) take(m vectors.Match, yield func(vectors.Match) bool) {
	// Those before the last were yielded, or came since.
	if c.seen[m.Key] || c.resumed && m.Distance < c.last {
		return
	}
	c.seen[m.Key], c.last = true, m.Distance
	c.left = !yield(m) || len(c.seen) == c.query.TopK
}

// template is the request of every page.
func (s *search) template(part vectors.Filter) (request, error) {
	r := s.index.request()
	r.QueryVector = &queryVector{appendFloats(nil, s.query.Vector, appendFloat)}
	r.TopK, r.QueryMode, r.ReturnDistance = s.query.TopK, s.mode, true
	r.ReturnMetadata = s.query.Fields.Metadata() || s.verify
	if part.IsZero() {
		return r, nil
	}
	var err error
	r.Filter, err = part.JSON()
	return r, err
}

func (s *search) page(ctx context.Context, r request, token string) (page, error) {
	x := s.index
	r.NextToken = token
	p, err := x.exchangePage(ctx, r, func(option func(*s3vectors.Options)) error {
		_, err := x.client.QueryVectors(ctx, &s3vectors.QueryVectorsInput{
			VectorBucketName: &x.bucket, IndexName: &x.name, TopK: new(int32(r.TopK)), QueryVector: &types.VectorDataMemberFloat32{Value: []float32{}},
		}, option)
		return err
	})
	if errors.Is(err, vectors.ErrDenied) && (r.ReturnMetadata || r.Filter != nil) {
		err = fmt.Errorf("%w (a query with a filter or metadata needs s3vectors:GetVectors too)", err)
	}
	if err != nil {
		return page{}, err
	}
	if s.verify {
		p.matches = slices.DeleteFunc(p.matches, func(m vectors.Match) bool { return !s.query.Filter.Match(m.Metadata) })
	}
	if !s.query.Fields.Metadata() {
		for i := range p.matches {
			p.matches[i].Metadata = nil
		}
	}
	if s.query.Fields.Data() {
		p.matches, err = x.withData(ctx, p.matches)
	}
	return p, err
}

// withData adds the data, which queries do not return. What was deleted
// meanwhile is left out.
func (x *Index) withData(ctx context.Context, matches []vectors.Match) ([]vectors.Match, error) {
	keys := make([]string, len(matches))
	for i, m := range matches {
		keys[i] = m.Key
	}
	found, err := x.getAll(ctx, keys, vectors.KeysAndData)
	if err != nil {
		return nil, err
	}
	data := make(map[string][]float32, len(found))
	for _, v := range found {
		data[v.Key] = v.Data
	}
	matches = slices.DeleteFunc(matches, func(m vectors.Match) bool { return len(data[m.Key]) == 0 })
	for i := range matches {
		matches[i].Data = data[matches[i].Key]
	}
	return matches, nil
}
