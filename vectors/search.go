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
	found := t.terms.filter(filter, t.live, t.metadata)
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
		if row, ok := t.rows[key]; ok {
			rows = append(rows, row)
		} else {
			absent++
		}
	}
	return rows, absent
}

// search returns the query.TopK rows nearest to query.Vector.
func (t *table) search(ctx context.Context, query Query) ([]hit, error) {
	s := search{table: t, ruler: newRuler(t.schema.Metric, query.Vector), k: min(query.TopK, len(t.rows))}
	if !query.Filter.IsZero() {
		s.rows = t.selectRows("", query.Filter)
		s.k = min(s.k, len(s.rows))
	}
	if s.k == 0 {
		return nil, nil
	}
	return s.run(ctx)
}

// A search is one scan of a table. Its chunks are about a slab each: what is
// scanned between two looks at the context, by one goroutine.
type search struct {
	table *table
	ruler ruler
	k     int
	rows  []uint32 // where a filter selected some, else nil
}

// alone is how many floats are better scanned by one goroutine: a tenth of a
// millisecond, in which others hardly get started.
const alone = 1 << 19

func (s *search) run(ctx context.Context) ([]hit, error) {
	chunks, rows := len(s.table.slabs), len(s.table.live)*64
	if s.rows != nil {
		chunks, rows = (len(s.rows)+int(s.table.perSlab)-1)/int(s.table.perSlab), len(s.rows)
	}
	heaps := make([]topK, min(chunks, runtime.GOMAXPROCS(0), 1+rows*s.table.dimension/alone))
	var next atomic.Int64
	work := func(top *topK) error {
		*top = topK{hits: make([]hit, 0, s.k), k: s.k}
		for chunk := int(next.Add(1)) - 1; chunk < chunks; chunk = int(next.Add(1)) - 1 {
			if err := ctx.Err(); err != nil {
				return err
			}
			s.scan(chunk, top)
		}
		return nil
	}
	if len(heaps) == 1 {
		err := work(&heaps[0])
		return sorted(heaps, s.k), err
	}
	var group errgroup.Group
	group.SetLimit(len(heaps))
	for i := range heaps {
		group.Go(func() error { return work(&heaps[i]) })
	}
	err := group.Wait()
	return sorted(heaps, s.k), err
}

func (s *search) scan(chunk int, top *topK) {
	if s.rows == nil {
		s.scanSlab(uint32(chunk), top)
		return
	}
	perSlab := int(s.table.perSlab)
	reach := s.ruler.reach(top.worst())
	for rows := range slices.Chunk(s.rows[chunk*perSlab:min(len(s.rows), (chunk+1)*perSlab)], ahead) {
		for _, row := range rows {
			slab, i := s.table.at(row)
			top.touched += touch(slab.row(i, s.table.dimension))
		}
		for _, row := range rows {
			slab, i := s.table.at(row)
			figure := s.ruler.figure(slab.row(i, s.table.dimension), slab.scale[i])
			if figure <= reach || !finite(figure) {
				reach = s.push(top, figure, row)
			}
		}
	}
}

// ahead is how many rows that a filter selected are fetched together.
const ahead = 8

// scanSlab is scan for all rows of a slab. Free rows are measured too, and left
// out only if they come near.
func (s *search) scanSlab(chunk uint32, top *topK) {
	slab, dimension, first := s.table.slabs[chunk], s.table.dimension, chunk*s.table.perSlab
	reach := s.ruler.reach(top.worst())
	for i, scale := range slab.scale {
		figure := s.ruler.figure(slab.data[i*dimension:(i+1)*dimension:(i+1)*dimension], scale)
		if (figure <= reach || !finite(figure)) && slab.keys[i] != "" {
			reach = s.push(top, figure, first+uint32(i))
		}
	}
}

// touch asks for all of a row at once. Rows that a filter selects lie apart: a
// processor that waits for the first number does not ask for the last.
func touch(row []float32) (sum float32) {
	var s0, s1, s2, s3 float32
	for ; len(row) >= 64; row = row[64:] {
		s0 += row[0]
		s1 += row[16]
		s2 += row[32]
		s3 += row[48]
	}
	return s0 + s1 + s2 + s3
}

func finite(x float64) bool { return math.Abs(x) <= math.MaxFloat64 }

func (s *search) push(top *topK, figure float64, row uint32) (reach float64) {
	slab, i := s.table.at(row)
	distance := s.ruler.distance(figure, slab.row(i, s.table.dimension), slab.scale[i])
	top.push(hit{distance, slab.keys[i], row})
	return s.ruler.reach(top.worst())
}
