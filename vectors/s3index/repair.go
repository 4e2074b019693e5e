package s3index

import (
	"context"
	"slices"

	"github.com/genaistore/genaistore/vectors"
)

// A Shortfall is a query that found fewer matches than it asked for. Without a
// filter that is an index with fewer vectors; with one it may also be that the
// service, which is approximate, missed some.
type Shortfall struct {
	TopK    int
	Found   int  // by the service
	Checked bool // the index was listed for what was missed: see [Options.Repair]
	Missed  int  // matches that the list had beyond those that were found
}

// careful reports whether matches are looked at before the first is yielded.
func (s *search) careful() bool {
	return len(s.parts) > 1 || s.opts.Repair || s.opts.Rescore > 0
}

// collected returns all matches: of every part of the filter, rescored and
// repaired as asked.
func (s *search) collected(ctx context.Context) ([]vectors.Match, error) {
	matches, err := s.merged(ctx)
	if err != nil {
		return nil, err
	}
	if s.opts.Rescore > 0 {
		matches = s.rescored(matches)
	}
	matches = matches[:min(len(matches), s.want)]
	if len(matches) == s.want {
		return matches, nil
	}
	fall := Shortfall{TopK: s.want, Found: len(matches)}
	if s.opts.Repair {
		fall.Checked = true
		if matches, fall.Missed, err = s.repaired(ctx, matches); err != nil {
			return nil, err
		}
	}
	s.tell(fall)
	return matches, nil
}

func (s *search) tell(fall Shortfall) {
	if fall.Found < fall.TopK && s.opts.Shortfall != nil {
		s.opts.Shortfall(fall)
	}
}

// rescored orders matches, which have data, by distances that are computed here.
func (s *search) rescored(matches []vectors.Match) []vectors.Match {
	n := s.nearest()
	for _, m := range matches {
		n.add(m.Vector)
	}
	return n.best()
}

func (s *search) nearest() *nearest {
	query := s.query
	query.TopK, query.Fields = s.want, s.fields
	return &nearest{query: query, metric: s.metric}
}

// repaired lists what the filter selects and adds to found what is missing there.
// Once there is any, all are ordered by distances that are computed here: those of
// the service are near, and could put what was missed in a wrong place.
func (s *search) repaired(ctx context.Context, found []vectors.Match) (matches []vectors.Match, missed int, err error) {
	have := make(map[string]bool, len(found))
	for _, m := range found {
		have[m.Key] = true
	}
	n := s.nearest()
	missed, err = n.ofMatching(ctx, s.index, vectors.ListOptions{Filter: s.query.Filter, Fields: s.fields}, have)
	if err != nil || missed == 0 {
		return found, missed, err
	}
	found, err = s.index.withData(ctx, slices.Clone(found))
	for _, m := range found {
		n.add(m.Vector)
	}
	return n.best(), missed, err
}
