package rag

import (
	"cmp"
	"fmt"
	"math"
)

// FuseOptions adjusts [Fuse]. A nil *FuseOptions means the zero value.
type FuseOptions struct {
	// K flattens the ranks: with the default of 60 the first place is worth
	// little more than the tenth, so agreement between lists decides; with a
	// small K the first places do. It is not negative.
	K float64
	// Weights says how much each list counts, one number of at least 0 for each
	// list; by default all count 1. Give the retriever that errs more often
	// less.
	Weights []float64
}

// WithDefaults returns what [Fuse] acts on. It accepts a nil receiver.
func (o *FuseOptions) WithDefaults() FuseOptions {
	var opts FuseOptions
	if o != nil {
		opts = *o
	}
	opts.K = cmp.Or(opts.K, 60)
	return opts
}

// Fuse joins ranked lists of ids, each the best first, into one by reciprocal
// rank fusion (Cormack, Clarke and Büttcher, 2009): an id scores the sum of
// weight/(K+rank) over the lists that have it. Only ranks matter, so lists whose scores
// cannot be compared, such as BM25 and cosine distance, can be joined.
//
// The best id comes first; ids of equal score come in their own order. An id
// that a list repeats counts once, where it stands first, and takes no rank
// from those behind it: a list of chunks can be given as the list of their
// documents. It returns an error that matches [ErrInvalid] for options that are
// out of range.
func Fuse(lists [][]string, opts *FuseOptions) ([]Hit, error) {
	o := opts.WithDefaults()
	if !(o.K >= 0) || math.IsInf(o.K, 0) {
		return nil, fmt.Errorf("fuse: %w: K is %v, want a finite number of at least 0", ErrInvalid, o.K)
	}
	if err := checkWeights(o.Weights, len(lists)); err != nil {
		return nil, fmt.Errorf("fuse: %w", err)
	}
	scores := map[string]float64{}
	for i, list := range lists {
		weight := 1.0
		if o.Weights != nil {
			weight = o.Weights[i]
		}
		seen := make(map[string]bool, len(list))
		for _, id := range list {
			if seen[id] {
				continue
			}
			seen[id] = true
			scores[id] += weight / (o.K + float64(len(seen)))
		}
	}
	return ranked(scores), nil
}
