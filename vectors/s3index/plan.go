package s3index

import (
	"context"
	"math"
	"strings"

	"github.com/genaistore/genaistore/meter"
	"github.com/genaistore/genaistore/vectors"
)

// A Plan says how what a selection selects would be found, and what that would
// cost. What is in an index of more than a page is estimated from a sixteenth of it.
type Plan struct {
	Way      Way
	Complete bool // whether what is found so will miss none
	Vectors  int  // in the index, 0 if that plays no part
	Matches  int  // of these, or keys that are given
	Exact    bool // Vectors and Matches were counted
	// Reads is how many requests Select and Count make, and Writes how many Remove
	// makes beside; by queries it makes one more read, to see that nothing is left.
	Reads, Writes int
	Cost          meter.Cost // of planning
}

// Plan says what [Index.Select], [Index.Count] and [Index.Remove] with the same
// arguments do, and does nothing. By keys it asks for nothing; else it reads a page,
// and of an index that has more a sixteenth, unless [SelectOptions] say how many
// vectors there are.
func (x *Index) Plan(ctx context.Context, selection vectors.Selection, opts *SelectOptions) (Plan, error) {
	var p Plan
	selected, err := x.sought(ctx, selection, opts, func(ctx context.Context, s *sought) (err error) {
		p, err = s.plan(ctx)
		return err
	})
	p.Cost = selected.Cost
	return p, x.wrap("plan", err)
}

func (s *sought) plan(ctx context.Context) (Plan, error) {
	p := Plan{Way: s.selected.Way, Complete: s.selected.Way != ByQuery}
	if p.Way == ByKeys {
		p.Matches = len(s.selection.Keys)
		p.Reads, p.Writes = parts(p.Matches, getKeys), parts(p.Matches, batchVectors)
		return p, nil
	}
	page, err := s.sample(ctx, &p)
	if err != nil {
		return Plan{}, err
	}
	p.Writes = parts(p.Matches, batchVectors)
	if p.Way != ByQuery {
		p.Reads = s.index.passRequests(p.Vectors, page, p.Exact)
		return p, nil
	}
	query, err := s.query(ctx, vectors.KeysOnly)
	if err == nil && query != nil {
		p.Reads = max(len(query.parts), parts(p.Matches, queryPage))
	}
	return p, err
}

// queryPage is the most matches of an answer.
const queryPage = 100

// parts returns how many parts of that size make n.
func parts(n, size int) int { return (n + size - 1) / size }

// passRequests returns how many requests a list of n vectors takes, where a full
// page has that many.
func (x *Index) passRequests(n, page int, one bool) int {
	segments := x.opts.Segments
	switch {
	case one:
		return 1
	case segments == 1:
		return parts(n, page)
	}
	return 1 + segments*parts(parts(n, segments), page)
}

// sampledSegments is what a sample is one of.
const sampledSegments = 16

// sample counts or estimates what there is and how much of it is selected. It
// returns how many vectors a page has.
func (s *sought) sample(ctx context.Context, p *Plan) (int, error) {
	fields := vectors.KeysOnly
	if !s.selection.Filter.IsZero() {
		fields = vectors.KeysAndMetadata
	}
	first, err := part{s.index, fields, 0, 0}.page(ctx, "")
	if err != nil {
		return 0, err
	}
	n, matches := len(first.matches), s.matching(first.matches)
	if first.next == "" {
		p.Vectors, p.Matches, p.Exact = n, matches, true
		return n, nil
	}
	page, of := max(1, n), s.opts.Vectors
	if of == 0 {
		n, matches = 0, 0
		for found, err := range (part{s.index, fields, sampledSegments, 0}).pages(ctx) {
			if err != nil {
				return 0, err
			}
			n, matches = n+len(found), matches+s.matching(found)
		}
		of = sampledSegments * n
	}
	p.Vectors = max(of, page)
	p.Matches = int(math.Round(float64(p.Vectors) * float64(matches) / float64(max(1, n))))
	return page, nil
}

func (s *sought) matching(of []vectors.Match) int {
	n := 0
	for _, m := range of {
		if strings.HasPrefix(m.Key, s.selection.Prefix) && s.selection.Filter.Match(m.Metadata) {
			n++
		}
	}
	return n
}
