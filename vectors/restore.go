package vectors

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"unsafe"
)

// Restore replaces what the index holds, and what it was made for, by what
// Snapshot wrote to r, which ends there. The error matches [ErrCorrupt] if r
// holds anything else, and is r's own if reading fails; then nothing is changed.
//
// It reads all of r before it begins. To change a large snapshot in less memory,
// open it with [OpenSnapshot] and Put what its List yields.
func (m *InMemory) Restore(r io.Reader) error {
	var all bytes.Buffer
	if _, err := all.ReadFrom(r); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	schema, t, err := m.restored(all.Bytes())
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.schema, m.table = schema, t
	return nil
}

func (m *InMemory) restored(b []byte) (Schema, *table, error) {
	schema, read, err := parseSnapshot(aligned(b), func() error { return nil })
	if err != nil || read == nil {
		return schema, nil, err
	}
	t := newTable(schema, m.stride(schema))
	for row := range read.live.rows() {
		s, i := read.at(row)
		v, err := schema.Normal(s.vector(i, read.dimension, Everything))
		if err != nil {
			return schema, nil, fmt.Errorf("%w: vector %.80q: %w", ErrCorrupt, s.keys[i], err)
		}
		t.put(v)
	}
	return schema, t, nil
}

// aligned returns b where its numbers can be read in place.
func aligned(b []byte) []byte {
	if uintptr(unsafe.Pointer(unsafe.SliceData(b)))%8 == 0 {
		return b
	}
	words := make([]uint64, len(b)/8+1)
	out := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), 8*len(words))[:len(b)]
	copy(out, b)
	return out
}

// checkSum reports an error that matches [ErrCorrupt] unless b ends in the checksum
// of the rest, or what stop returns.
func checkSum(b []byte, stop func() error) error {
	sum, rest := sha256.New(), b[:len(b)-snapshotSum]
	for len(rest) > 0 {
		if err := stop(); err != nil {
			return err
		}
		n := min(len(rest), 8<<20)
		sum.Write(rest[:n])
		rest = rest[n:]
	}
	if !bytes.Equal(sum.Sum(nil), b[len(b)-snapshotSum:]) {
		return fmt.Errorf("%w: the checksum is of other bytes: the snapshot was changed", ErrCorrupt)
	}
	return nil
}

// parseSnapshot returns a table whose rows lie in b, nil if there are none. Beside
// the checksum it checks what keeps the table's readers within b, in case somebody
// computed one. b is aligned. It stops where stop returns an error.
func parseSnapshot(b []byte, stop func() error) (Schema, *table, error) {
	if err := checkHead(b); err != nil {
		return Schema{}, nil, err
	}
	if err := checkSum(b, stop); err != nil {
		return Schema{}, nil, err
	}
	le := binary.LittleEndian
	foot := b[len(b)-snapshotFoot:]
	p := snapshotParser{b: b, stride: int(le.Uint32(b[12:])), n: le.Uint64(b[16:]), order: le.Uint64(foot), terms: le.Uint64(foot[8:])}
	schema, err := p.schema(uint64(le.Uint32(b[8:])))
	if err != nil {
		return Schema{}, nil, err
	}
	if stride := codeStride(schema.Dimension); p.stride != 0 && p.stride != stride || p.n > uint64(len(b)) || p.n > 0 && schema.Dimension == 0 {
		return Schema{}, nil, fmt.Errorf("%w: %d rows of %d codes and %d numbers", ErrCorrupt, p.n, p.stride, schema.Dimension)
	}
	t, err := p.table(schema)
	if err != nil || p.n == 0 {
		return schema, nil, err
	}
	return schema, t, nil
}

func checkHead(b []byte) error {
	head := b[:min(len(b), len(snapshotMagic)+1)]
	switch {
	case len(b) < snapshotHead || string(head[:len(snapshotMagic)]) != snapshotMagic:
		return fmt.Errorf("%w: not a snapshot of vectors", ErrCorrupt)
	case head[len(snapshotMagic)] > snapshotVersion:
		return fmt.Errorf("%w: a snapshot of version %d, which a newer version of this package wrote: this one reads version %d", ErrCorrupt, head[len(snapshotMagic)], snapshotVersion)
	case head[len(snapshotMagic)] < snapshotVersion:
		return fmt.Errorf("%w: a snapshot of version %d, which is no longer read: write it again as version %d", ErrCorrupt, head[len(snapshotMagic)], snapshotVersion)
	case len(b) < snapshotAlign+snapshotFoot || binary.LittleEndian.Uint64(b[len(b)-snapshotFoot+16:]) != uint64(len(b)):
		return fmt.Errorf("%w: the snapshot ends early, or something follows its end", ErrCorrupt)
	}
	return nil
}

// A snapshotParser takes a snapshot apart from its beginning.
type snapshotParser struct {
	b            []byte
	at           uint64
	stride       int
	n            uint64
	order, terms uint64
	bad          bool
}

// part returns the next n bytes and goes on where the next part begins.
func (p *snapshotParser) part(n uint64) []byte {
	end := uint64(len(p.b) - snapshotFoot)
	if p.bad || p.at > end || n > end-p.at {
		p.bad = true
		return nil
	}
	taken := p.b[p.at : p.at+n : p.at+n]
	p.at += n + padding(p.at+n)
	return taken
}

// sized is part for one that begins with its length.
func (p *snapshotParser) sized() []byte {
	whole := section{rest: p.b[min(p.at, uint64(len(p.b))):]}
	n := whole.uint64()
	if n > uint64(len(p.b)) {
		p.bad = true
	}
	whole.rest = p.part(8 + n)
	whole.take(8)
	return whole.rest
}

func (p *snapshotParser) schema(size uint64) (schema Schema, err error) {
	p.part(snapshotHead)
	raw := p.part(size)
	if err := json.Unmarshal(raw, &schema); err != nil {
		return schema, fmt.Errorf("%w: schema: %w", ErrCorrupt, err)
	}
	if err := schema.Validate(); err != nil {
		return schema, fmt.Errorf("%w: schema: %w", ErrCorrupt, err)
	}
	if schema.Reserved != (Reserved{}) || schema.Metric == "" {
		return schema, fmt.Errorf("%w: schema %.200s is of no index", ErrCorrupt, raw)
	}
	return schema, nil
}

func (p *snapshotParser) table(schema Schema) (*table, error) {
	t := &table{schema: schema, dimension: schema.Dimension, perSlab: slabRows(schema.Dimension), stride: p.stride}
	for left := p.n; left > 0 && !p.bad; {
		rows := min(left, uint64(t.perSlab))
		s, err := p.slab(rows, uint64(schema.Dimension))
		if err != nil {
			return nil, err
		}
		t.slabs = append(t.slabs, s)
		left -= rows
	}
	atOrder := p.at == p.order
	order := p.part(4 * p.n)
	atTerms := p.at == p.terms
	raw := p.sized()
	if p.bad || !atOrder || !atTerms || p.at != uint64(len(p.b)-snapshotFoot) {
		return nil, fmt.Errorf("%w: its parts are not where they belong", ErrCorrupt)
	}
	terms, err := parseTerms(raw, uint32(p.n))
	if err != nil {
		return nil, err
	}
	t.packed = &packed{order, terms}
	t.live = make(bitset, (p.n+63)/64)
	for row := range uint32(p.n) {
		t.live.set(row)
	}
	return t, t.checkOrder(order)
}

// checkOrder reports an error unless order has every row once, by key.
func (t *table) checkOrder(order []byte) error {
	n := uint32(len(order) / 4)
	for i := range int(n) {
		row := row32(order, i)
		if row >= n || i > 0 && strings.Compare(t.key(row32(order, i-1)), t.key(row)) >= 0 {
			return fmt.Errorf("%w: keys are not in order", ErrCorrupt)
		}
	}
	return nil
}

func (p *snapshotParser) slab(rows, dimension uint64) (*slab, error) {
	sizes := section{rest: p.part(8)}
	keyBytes, metadataBytes := sizes.uint32(), sizes.uint32()
	s := &slab{scale: inPlace[float64](p.part(8 * rows))}
	if p.stride > 0 {
		marks := inPlace[float32](p.part(12 * rows))
		s.marks = unsafe.Slice((*mark)(unsafe.Pointer(unsafe.SliceData(marks))), len(marks)/3)
		s.codes = p.part(uint64(p.stride) * rows)
	}
	s.data = inPlace[float32](p.part(4 * dimension * rows))
	keys := pieces(p.part(4*rows+keyBytes), rows)
	s.packed = pieces(p.part(4*rows+metadataBytes), rows)
	if p.bad || keys == nil || s.packed == nil {
		return nil, fmt.Errorf("%w: rows end early", ErrCorrupt)
	}
	s.keys = make([]string, rows)
	for i, key := range keys {
		s.keys[i] = unsafe.String(unsafe.SliceData(key), len(key))
		if err := (Schema{}).ValidateKey(s.keys[i]); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		if _, err := readMetadata(s.packed[i]); err != nil {
			return nil, fmt.Errorf("vector %.80q: %w", key, err)
		}
	}
	return s, nil
}

// pieces takes n pieces apart that follow where each of them ends, nil if they
// are not these.
func pieces(b []byte, n uint64) [][]byte {
	if uint64(len(b)) < 4*n {
		return nil
	}
	ends, all := b[:4*n], b[4*n:]
	out := make([][]byte, n)
	begin := uint32(0)
	for i := range out {
		end := row32(ends, i)
		if end < begin || uint64(end) > uint64(len(all)) {
			return nil
		}
		out[i] = all[begin:end:end]
		begin = end
	}
	if uint64(begin) != uint64(len(all)) {
		return nil
	}
	return out
}

// inPlace returns the numbers in b, which are b's own where the processor has
// the order of bytes that snapshots have.
func inPlace[T float32 | float64](b []byte) []T {
	size := int(unsafe.Sizeof(T(0)))
	n := len(b) / size
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n)
	}
	out := make([]T, n)
	for i := range out {
		if size == 4 {
			out[i] = T(math.Float32frombits(binary.LittleEndian.Uint32(b[size*i:])))
		} else {
			out[i] = T(math.Float64frombits(binary.LittleEndian.Uint64(b[size*i:])))
		}
	}
	return out
}
