package vectors

import (
	"iter"
	"slices"
	"strings"
	"sync/atomic"
)

// A table holds vectors in numbered rows. Its methods change it under the lock of
// its owner; a view of it outlives that lock.
type table struct {
	schema    Schema
	dimension int
	perSlab   uint32 // rows in a full slab
	stride    int    // codes of a row, 0 if there are none
	slabs     []*slab
	rows      map[string]uint32 // by key; not in a packed table
	live      bitset
	free      []uint32 // rows of deleted vectors, to be used again
	terms     terms    // not in a packed table
	packed    *packed  // what a snapshot that is read in place has instead, else nil
}

// A slab is a part of a table: rows of contiguous data, so that a scan runs at
// the speed of memory, small enough that growing a table copies little and a view
// costs its writers little.
type slab struct {
	data     []float32
	scale    []float64 // what makes the row a vector of length 1; 1 if not cosine
	codes    []uint8   // of the rows, see [sieve]
	marks    []mark    // of the codes
	keys     []string  // empty in a free row
	metadata []Metadata
	// packed has the metadata of each row, if the slab lies in a snapshot: then
	// nothing of it is given out without being copied.
	packed [][]byte
	// viewed says that a view reads this slab: writers replace it by a copy.
	viewed atomic.Bool
}

// slabFloats is the most data of a slab, unless 64 rows need more: a scan checks
// its context once a slab.
const slabFloats = 1 << 18

// slabRows returns how many rows a full slab has.
func slabRows(dimension int) uint32 {
	rows := uint32(64)
	for int(rows)*2*dimension <= slabFloats && rows < 4096 {
		rows *= 2
	}
	return rows
}

// newTable returns a table for a schema with a dimension, of rows with stride codes.
func newTable(s Schema, stride int) *table {
	return &table{
		schema: s, dimension: s.Dimension, perSlab: slabRows(s.Dimension), stride: stride,
		rows: make(map[string]uint32), terms: newTerms(s.NonFilterable),
	}
}

// find returns the row of key.
func (t *table) find(key string) (row uint32, ok bool) {
	if t.packed != nil {
		return t.packed.find(key, t.key)
	}
	row, ok = t.rows[key]
	return row, ok
}

// count returns how many vectors there are.
func (t *table) count() int {
	if t.packed != nil {
		return len(t.packed.order) / 4
	}
	return len(t.rows)
}

func (t *table) lexicon() lexicon {
	if t.packed != nil {
		return t.packed
	}
	return t.terms
}

// at returns where row is.
func (t *table) at(row uint32) (s *slab, i int) {
	return t.slabs[row/t.perSlab], int(row % t.perSlab)
}

func (t *table) key(row uint32) string {
	s, i := t.at(row)
	return s.keys[i]
}

func (t *table) metadata(row uint32) Metadata {
	s, i := t.at(row)
	return s.describe(i)
}

// describe returns the metadata of a row, which is not to be changed.
func (s *slab) describe(i int) Metadata {
	if s.packed != nil {
		return unpackMetadata(s.packed[i])
	}
	return s.metadata[i]
}

// name returns the key of a row, for who keeps it.
func (s *slab) name(i int) string {
	if s.packed != nil {
		return strings.Clone(s.keys[i])
	}
	return s.keys[i]
}

func (s *slab) row(i, dimension int) []float32 {
	return s.data[i*dimension : (i+1)*dimension : (i+1)*dimension]
}

// vector returns a copy of a row, as far as fields ask for it.
func (s *slab) vector(i, dimension int, fields Fields) Vector {
	v := Vector{Key: s.name(i)}
	if fields.Data() {
		v.Data = slices.Clone(s.row(i, dimension))
	}
	if fields.Metadata() {
		v.Metadata = s.describe(i)
		if s.packed == nil {
			v.Metadata = v.Metadata.Clone()
		}
	}
	return v
}

// put stores v, which is normal, in the row of its key.
func (t *table) put(v Vector) {
	row, ok := t.rows[v.Key]
	switch {
	case ok:
		t.terms.remove(row, t.metadata(row))
	case len(t.free) > 0:
		row, t.free = t.free[len(t.free)-1], t.free[:len(t.free)-1]
	default:
		row = t.grow()
	}
	s, i := t.writable(row)
	copy(s.row(i, t.dimension), v.Data)
	s.scale[i] = 1
	if t.schema.Metric == Cosine {
		s.scale[i] = cosineScale(v.Data)
	}
	if t.stride > 0 {
		s.marks[i] = encodeRow(v.Data, s.scale[i], s.codes[i*t.stride:(i+1)*t.stride])
	}
	s.keys[i], s.metadata[i] = v.Key, v.Metadata
	t.rows[v.Key] = row
	t.live.add(row)
	t.terms.add(row, v.Metadata)
}

// grow adds a row to the last slab, or to a new one. The first slab grows as it
// is filled, the others are as large as they get at once.
func (t *table) grow() uint32 {
	switch n := len(t.slabs); {
	case n == 0:
		t.slabs = append(t.slabs, &slab{})
	case len(t.slabs[n-1].keys) == int(t.perSlab):
		most := int(t.perSlab)
		t.slabs = append(t.slabs, &slab{
			data: make([]float32, 0, most*t.dimension), scale: make([]float64, 0, most), codes: make([]uint8, 0, most*t.stride),
			keys: make([]string, 0, most), metadata: make([]Metadata, 0, most),
		})
	}
	last := uint32(len(t.slabs) - 1)
	s, _ := t.writable(last * t.perSlab)
	row := last*t.perSlab + uint32(len(s.keys))
	s.data = slices.Grow(s.data, t.dimension)[:len(s.data)+t.dimension]
	s.scale = append(s.scale, 1)
	if t.stride > 0 {
		s.codes = slices.Grow(s.codes, t.stride)[:len(s.codes)+t.stride]
		s.marks = append(s.marks, mark{})
	}
	s.keys = append(s.keys, "")
	s.metadata = append(s.metadata, nil)
	return row
}

// writable is at for who writes: it leaves a slab that a view reads to the view.
func (t *table) writable(row uint32) (s *slab, i int) {
	s, i = t.at(row)
	if s.viewed.Load() {
		s = &slab{
			data: slices.Clone(s.data), scale: slices.Clone(s.scale), codes: slices.Clone(s.codes), marks: slices.Clone(s.marks),
			keys: slices.Clone(s.keys), metadata: slices.Clone(s.metadata),
		}
		t.slabs[row/t.perSlab] = s
	}
	return s, i
}

// remove frees the row of a vector.
func (t *table) remove(row uint32) {
	s, i := t.writable(row)
	t.terms.remove(row, s.metadata[i])
	delete(t.rows, s.keys[i])
	t.live.remove(row)
	t.free = append(t.free, row)
	s.keys[i], s.metadata[i] = "", nil
}

// compacted returns t, or a table with no free rows if most of t's are free.
func (t *table) compacted() *table {
	if len(t.free) < 1024 || len(t.free) < len(t.rows) {
		return t
	}
	small := newTable(t.schema, t.stride)
	for row := range t.live.rows() {
		s, i := t.at(row)
		small.put(Vector{Key: s.keys[i], Data: s.row(i, t.dimension), Metadata: s.metadata[i]})
	}
	return small
}

// A view is some rows of a table as they were when it was made. It costs no copy
// until the table changes, and then one of each slab that it reads.
type view struct {
	dimension int
	stride    int
	perSlab   uint32
	slabs     []*slab
	rows      []uint32
}

// at returns where row is.
func (v view) at(row uint32) (s *slab, i int) {
	return v.slabs[row/v.perSlab], int(row % v.perSlab)
}

// view may be called by readers at the same time.
func (t *table) view(rows []uint32) view {
	v := view{t.dimension, t.stride, t.perSlab, slices.Clone(t.slabs), rows}
	for _, row := range rows {
		if s := t.slabs[row/t.perSlab]; !s.viewed.Load() {
			s.viewed.Store(true)
		}
	}
	return v
}

func (v view) vectors(fields Fields) iter.Seq[Vector] {
	return func(yield func(Vector) bool) {
		for _, row := range v.rows {
			s, i := v.at(row)
			if !yield(s.vector(i, v.dimension, fields)) {
				return
			}
		}
	}
}

// shuffle puts the rows in the order of a hash of their keys.
func (v view) shuffle() {
	type place struct {
		hash uint64
		row  uint32
	}
	places := make([]place, len(v.rows))
	for i, row := range v.rows {
		s, at := v.at(row)
		places[i] = place{scatter(s.keys[at]), row}
	}
	slices.SortFunc(places, func(a, b place) int {
		switch {
		case a.hash < b.hash:
			return -1
		case a.hash > b.hash:
			return 1
		}
		return int(a.row) - int(b.row)
	})
	for i, p := range places {
		v.rows[i] = p.row
	}
}

// scatter is FNV-1a, mixed so that keys which differ at their end lie apart.
func scatter(key string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	h ^= h >> 32
	return h * 0x9e3779b97f4a7c15
}
