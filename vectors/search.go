package vectors

import (
	"context"
	"math"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// selectRows returns the rows that match prefix and filter.
func (t *table) selectRows(prefix string, filter Filter) []uint32 {
	found := matching(t.lexicon(), filter, t.live, t.metadata)
	if prefix != "" {
		t.keepPrefix(prefix, found)
	}
	return slices.AppendSeq(make([]uint32, 0, found.len()), found.rows())
}

// selected returns the rows that a Delete is of, and how many of its keys are
// absent.
func (t *table) selected(sel Selection) (rows []uint32, absent int) {
	if len(sel.Keys) == 0 {
		return t.selectRows(sel.Prefix, sel.Filter), 0
	}
	for key := range distinct(sel.Keys) {
		if row, ok := t.find(key); ok {
			rows = append(rows, row)
		} else {
			absent++
		}
	}
	return rows, absent
}

// search returns the query.TopK rows nearest to query.Vector.
func (t *table) search(ctx context.Context, query Query) ([]hit, error) {
	s := search{table: t, ruler: newRuler(t.schema.Metric, query.Vector)}
	candidates := t.count()
	if !query.Filter.IsZero() {
		s.rows = t.selectRows("", query.Filter)
		candidates = len(s.rows)
	}
	s.k = min(query.TopK, candidates)
	if s.k == 0 {
		return nil, nil
	}
	if t.stride > 0 && s.k*8 <= candidates { // else there is little to leave out
		s.sieve = newSieve(s.ruler, codesKernel())
	}
	return s.run(ctx)
}

// matches is search with what query asks for of each. Their metadata is not to be
// changed.
func (t *table) matches(ctx context.Context, query Query) ([]Match, error) {
	hits, err := t.search(ctx, query)
	if err != nil {
		return nil, err
	}
	matches := make([]Match, len(hits))
	for n, h := range hits {
		s, i := t.at(h.row)
		matches[n] = Match{Vector{Key: s.name(i)}, h.distance}
		if query.Fields.Metadata() {
			matches[n].Metadata = s.describe(i)
		}
		if query.Fields.Data() {
			matches[n].Data = slices.Clone(s.row(i, t.dimension))
		}
	}
	return matches, nil
}

// get returns copies of the vectors with these keys that are not seen yet.
func (t *table) get(keys []string, seen map[string]bool, fields Fields) []Vector {
	var found []Vector
	for _, key := range keys {
		if seen[key] {
			continue
		}
		seen[key] = true
		if row, ok := t.find(key); ok {
			s, i := t.at(row)
			found = append(found, s.vector(i, t.dimension, fields))
		}
	}
	return found
}

// A search is one scan of a table. Its chunks are about a slab each: what is
// scanned between two looks at the context, by one goroutine.
type search struct {
	table *table
	ruler ruler
	sieve *sieve // nil if all rows are measured
	k     int
	rows  []uint32 // where a filter selected some, else nil
}

// A scanner is what one goroutine of a search has to itself.
type scanner struct {
	*search

	top     topK
	sums    [sifted]int32
	floats  [sifted]float32
	near    [sifted]uint8
	touched float32 // see touch: a sum that nobody reads, so that it is computed
}

// sifted is how many rows of codes are summed at once, and ahead how many rows
// that a filter selected are fetched together.
const (
	sifted = 64
	ahead  = 8
)

// alone is how many floats are better scanned by one goroutine: a tenth of a
// millisecond, in which others hardly get started.
const alone = 1 << 19

func (s *search) run(ctx context.Context) ([]hit, error) {
	chunks, rows := len(s.table.slabs), len(s.table.live)*64
	if s.rows != nil {
		chunks, rows = (len(s.rows)+int(s.table.perSlab)-1)/int(s.table.perSlab), len(s.rows)
	}
	weight := rows * s.table.dimension
	if s.sieve != nil {
		weight /= 4
	}
	scanners := make([]scanner, min(chunks, runtime.GOMAXPROCS(0), 1+weight/alone))
	var next atomic.Int64
	work := func(one *scanner) error {
		one.search, one.top = s, topK{hits: make([]hit, 0, s.k), k: s.k}
		for chunk := int(next.Add(1)) - 1; chunk < chunks; chunk = int(next.Add(1)) - 1 {
			if err := ctx.Err(); err != nil {
				return err
			}
			one.scan(chunk)
		}
		return nil
	}
	if len(scanners) == 1 {
		err := work(&scanners[0])
		return sorted(scanners, s.k), err
	}
	var group errgroup.Group
	group.SetLimit(len(scanners))
	for i := range scanners {
		group.Go(func() error { return work(&scanners[i]) })
	}
	err := group.Wait()
	return sorted(scanners, s.k), err
}

func (s *scanner) scan(chunk int) {
	perSlab := int(s.table.perSlab)
	switch {
	case s.rows == nil && s.sieve == nil:
		s.slab(uint32(chunk))
	case s.rows == nil:
		s.siftSlab(uint32(chunk))
	case s.sieve == nil:
		s.selected(s.rows[chunk*perSlab : min(len(s.rows), (chunk+1)*perSlab)])
	default:
		s.siftSelected(s.rows[chunk*perSlab : min(len(s.rows), (chunk+1)*perSlab)])
	}
}

// slab measures all rows of a slab. Free rows are measured too, and left out only
// if they come near.
func (s *scanner) slab(chunk uint32) {
	slab, dimension, first := s.table.slabs[chunk], s.table.dimension, chunk*s.table.perSlab
	reach := s.ruler.reach(s.top.worst())
	for from := 0; from < len(slab.scale); from += sifted {
		scales := slab.scale[from:min(from+sifted, len(slab.scale))]
		sums := s.floats[:len(scales)]
		s.ruler.sums(s.ruler.query, slab.data[from*dimension:], sums)
		for i, sum := range sums {
			figure := s.ruler.figure(sum, scales[i])
			if (figure <= reach || !finite(figure)) && slab.keys[from+i] != "" {
				reach = s.push(figure, first+uint32(from+i))
			}
		}
	}
}

// siftSlab is slab for rows with codes.
func (s *scanner) siftSlab(chunk uint32) {
	slab, stride, first := s.table.slabs[chunk], s.table.stride, chunk*s.table.perSlab
	limit := s.sieve.limit(s.ruler.reach(s.top.worst()))
	for from := 0; from < len(slab.marks); from += sifted {
		marks := slab.marks[from:min(from+sifted, len(slab.marks))]
		sums := s.sums[:len(marks)]
		s.sieve.kernel.sums(&s.sieve.query, slab.codes[from*stride:], sums)
		for i, sum := range sums {
			if !s.sieve.far(sum, marks[i], limit) && slab.keys[from+i] != "" {
				limit = s.measure(first+uint32(from+i), limit)
			}
		}
	}
}

// selected measures these rows.
func (s *scanner) selected(all []uint32) {
	reach := s.ruler.reach(s.top.worst())
	for rows := range slices.Chunk(all, ahead) {
		for _, row := range rows {
			slab, i := s.table.at(row)
			s.touched += touch(slab.row(i, s.table.dimension), 16)
		}
		for _, row := range rows {
			if figure := s.figure(row); figure <= reach || !finite(figure) {
				reach = s.push(figure, row)
			}
		}
	}
}

// siftSelected is selected for rows with codes.
func (s *scanner) siftSelected(all []uint32) {
	limit, stride := s.sieve.limit(s.ruler.reach(s.top.worst())), s.table.stride
	for rows := range slices.Chunk(all, sifted) {
		for _, row := range rows {
			slab, i := s.table.at(row)
			s.touched += touch(slab.codes[i*stride:(i+1)*stride], 64)
		}
		for n, row := range rows {
			slab, i := s.table.at(row)
			s.sieve.kernel.sums(&s.sieve.query, slab.codes[i*stride:], s.sums[n:n+1])
		}
		near := s.near[:0]
		for n, row := range rows {
			if slab, i := s.table.at(row); !s.sieve.far(s.sums[n], slab.marks[i], limit) {
				near = append(near, uint8(n))
				s.touched += touch(slab.row(i, s.table.dimension), 16)
			}
		}
		for _, n := range near {
			if slab, i := s.table.at(rows[n]); !s.sieve.far(s.sums[n], slab.marks[i], limit) {
				limit = s.measure(rows[n], limit)
			}
		}
	}
}

func (s *scanner) figure(row uint32) float64 {
	slab, i := s.table.at(row)
	s.ruler.sums(s.ruler.query, slab.row(i, s.table.dimension), s.floats[:1])
	return s.ruler.figure(s.floats[0], slab.scale[i])
}

// measure is what the sieve could not decide.
func (s *scanner) measure(row uint32, limit float64) float64 {
	figure := s.figure(row)
	if figure <= s.ruler.reach(s.top.worst()) || !finite(figure) {
		return s.sieve.limit(s.push(figure, row))
	}
	return limit
}

func (s *scanner) push(figure float64, row uint32) (reach float64) {
	slab, i := s.table.at(row)
	distance := s.ruler.distance(figure, slab.row(i, s.table.dimension), slab.scale[i])
	s.top.push(hit{distance, slab.keys[i], row})
	return s.ruler.reach(s.top.worst())
}

// touch asks for all of a row at once, by a number of each cache line: of step
// numbers. Rows that a filter selects lie apart, and a processor that waits for the
// first number does not ask for the last.
func touch[T float32 | uint8](row []T, step int) float32 {
	var s0, s1, s2, s3 T
	for ; len(row) >= 4*step; row = row[4*step:] {
		s0 += row[0]
		s1 += row[step]
		s2 += row[2*step]
		s3 += row[3*step]
	}
	return float32(s0 + s1 + s2 + s3)
}

func finite(x float64) bool { return math.Abs(x) <= math.MaxFloat64 }
