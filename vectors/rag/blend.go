package rag

import (
	"fmt"
	"math"
	"slices"
)

// BlendOptions adjusts [Blend]. A nil *BlendOptions means the zero value.
type BlendOptions struct {
	// Weights says how much each list counts, one number of at least 0 for each
	// list; by default all count 1.
	Weights []float64
}

// Blend joins lists of scored ids into one by their scores: the scores of each
// list are scaled so that its best is 1 and its worst 0, and an id scores the
// weighted sum of what it has in each list. Where [Fuse] sees only that one
// answer stands before another, Blend sees by how much, which decides better
// which of two retrievers is sure of itself; it needs lists that are long enough
// for their end to mean "not relevant", say 100, and as long as each other.
//
// The greater score is the better in every list: give 1-d or -d for a distance
// d. An id that a list repeats counts with its best score, so a list of chunks
// can be given as the list of their documents. The best id comes first; ids of
// equal score come in their own order. Blend returns an error that matches
// [ErrInvalid] for a score that is not finite or weights out of range.
func Blend(lists [][]Hit, opts *BlendOptions) ([]Hit, error) {
	var weights []float64
	if opts != nil {
		weights = opts.Weights
	}
	if err := checkWeights(weights, len(lists)); err != nil {
		return nil, fmt.Errorf("blend: %w", err)
	}
	sums := map[string]float64{}
	for i, list := range lists {
		weight := 1.0
		if weights != nil {
			weight = weights[i]
		}
		scaled, err := scale(list)
		if err != nil {
			return nil, fmt.Errorf("blend: list %d: %w", i, err)
		}
		for id, score := range scaled {
			sums[id] += weight * score
		}
	}
	return ranked(sums), nil
}

// scale returns the scores of a list as shares of the distance from its worst
// to its best. Where these are equal, each is the best.
func scale(list []Hit) (map[string]float64, error) {
	if len(list) == 0 {
		return nil, nil //nolint:nilnil // nothing to scale
	}
	best, worst := math.Inf(-1), math.Inf(1)
	for _, hit := range list {
		if math.IsNaN(hit.Score) || math.IsInf(hit.Score, 0) {
			return nil, fmt.Errorf("%w: score of %q is %v", ErrInvalid, hit.ID, hit.Score)
		}
		best, worst = max(best, hit.Score), min(worst, hit.Score)
	}
	scaled := make(map[string]float64, len(list))
	for _, hit := range list {
		share := 1.0
		if best > worst {
			// Halves keep the difference of huge scores finite.
			share = (hit.Score/2 - worst/2) / (best/2 - worst/2)
		}
		scaled[hit.ID] = max(scaled[hit.ID], share)
	}
	return scaled, nil
}

// checkWeights reports weights, if there are any, that do not fit n lists.
func checkWeights(weights []float64, n int) error {
	if weights != nil && len(weights) != n {
		return fmt.Errorf("%w: %d weights for %d lists", ErrInvalid, len(weights), n)
	}
	for i, w := range weights {
		if !(w >= 0) || math.IsInf(w, 0) {
			return fmt.Errorf("%w: weight %d is %v, want a finite number of at least 0", ErrInvalid, i, w)
		}
	}
	return nil
}

// ranked returns the ids by score, the best first.
func ranked(scores map[string]float64) []Hit {
	hits := make([]Hit, 0, len(scores))
	for id, score := range scores {
		hits = append(hits, Hit{id, score})
	}
	slices.SortFunc(hits, better)
	return hits
}
