package s3index

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/genaistore/genaistore/vectors"
)

// Exact returns the true neighbours, nearest first, by key where distances are
// equal: none that exists is missing, and distances are computed here. It reads
// the whole index, the metadata of all and the data of what matches, or, without a
// filter, the data of all: use it for small indexes and narrow filters that must
// not miss any, and to judge what [Index.Query] finds.
func (x *Index) Exact(ctx context.Context, query vectors.Query) ([]vectors.Match, error) {
	found, err := x.exact(ctx, query.WithDefaults())
	return found, x.wrap("exact query", err)
}

func (x *Index) exact(ctx context.Context, query vectors.Query) ([]vectors.Match, error) {
	schema, err := x.schema(ctx)
	if err != nil {
		return nil, err
	}
	if err := query.Validate(schema); err != nil {
		return nil, err
	}
	n := &nearest{query: query, metric: schema.Metric}
	o := vectors.ListOptions{Filter: query.Filter, Fields: query.Fields}
	if !query.Filter.IsZero() {
		_, err := n.ofMatching(ctx, x, o, nil)
		return n.best(), err
	}
	o.Fields = withData(query.Fields)
	err = x.list(ctx, o, func(v vectors.Vector) bool {
		n.add(v)
		return true
	})
	return n.best(), err
}

// nearest keeps the nearest vectors of those it is given.
type nearest struct {
	query  vectors.Query
	metric vectors.Metric
	found  []vectors.Match
}

// ofMatching adds what o selects, but for the keys of without, and returns how
// many that are. It lists first and reads data after, which is dearer to read than
// the metadata of all.
func (n *nearest) ofMatching(ctx context.Context, x *Index, o vectors.ListOptions, without map[string]bool) (int, error) {
	var batch []vectors.Match
	var added int
	var err error
	score := func() bool {
		if batch, err = x.withData(ctx, batch); err != nil {
			return false
		}
		for _, m := range batch {
			n.add(m.Vector)
		}
		added += len(batch)
		batch = batch[:0]
		return true
	}
	o.Fields = vectors.KeysOnly
	if n.query.Fields.Metadata() {
		o.Fields = vectors.KeysAndMetadata
	}
	listed := x.list(ctx, o, func(v vectors.Vector) bool {
		if without[v.Key] {
			return true
		}
		batch = append(batch, vectors.Match{Vector: v})
		return len(batch) < getKeys*x.opts.Concurrency || score()
	})
	if err = first(err, listed); err == nil {
		score()
	}
	return added, err
}

func (n *nearest) add(v vectors.Vector) {
	m := vectors.Match{Vector: v, Distance: distance(n.metric, n.query.Vector, v.Data)}
	if !n.query.Fields.Data() {
		m.Data = nil
	}
	if n.found = append(n.found, m); len(n.found) >= 2*n.query.TopK+1000 {
		n.best()
	}
}

func (n *nearest) best() []vectors.Match {
	slices.SortFunc(n.found, func(a, b vectors.Match) int {
		return cmp.Or(cmp.Compare(a.Distance, b.Distance), cmp.Compare(a.Key, b.Key))
	})
	n.found = n.found[:min(len(n.found), n.query.TopK)]
	return n.found
}

func distance(metric vectors.Metric, a, b []float32) float64 {
	var dot, aa, bb, squares float64
	for i, x := range a {
		x, y := float64(x), float64(b[i])
		dot, aa, bb, squares = dot+x*y, aa+x*x, bb+y*y, squares+(x-y)*(x-y)
	}
	if metric == vectors.Euclidean {
		return math.Sqrt(squares)
	}
	return 1 - dot/math.Sqrt(aa)/math.Sqrt(bb)
}

// A Recall says how much of what exists queries found.
type Recall struct {
	Queries int
	Exact   int // matches that there are, up to TopK a query
	Found   int // of these, by Query
	Short   int // queries that yielded fewer matches than there are
}

// Share returns the share of matches that were found, 1 if there are none.
func (r Recall) Share() float64 {
	if r.Exact == 0 {
		return 1
	}
	return float64(r.Found) / float64(r.Exact)
}

// AuditRecall asks each query twice, by [Index.Query] and [Index.Exact], and
// compares the keys. Of neighbours at the same distance either may find others,
// which counts as missed. It costs a pass over the index for each query.
func (x *Index) AuditRecall(ctx context.Context, queries ...vectors.Query) (Recall, error) {
	var recall Recall
	for _, q := range queries {
		q.Fields = vectors.KeysOnly
		keys := map[string]bool{}
		for m, err := range x.Query(ctx, q) {
			if err != nil {
				return recall, err
			}
			keys[m.Key] = true
		}
		exact, err := x.Exact(ctx, q)
		if err != nil {
			return recall, err
		}
		recall.add(exact, keys)
	}
	return recall, nil
}

func (r *Recall) add(exact []vectors.Match, keys map[string]bool) {
	r.Queries++
	r.Exact += len(exact)
	if len(keys) < len(exact) {
		r.Short++
	}
	for _, m := range exact {
		if keys[m.Key] {
			r.Found++
		}
	}
}
