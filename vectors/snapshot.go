package vectors

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A snapshot is made so that it can be searched where it lies. All numbers are
// little endian, and every part begins at a multiple of 64 bytes, with zeros
// before it:
//
//	head      magic, 8 bytes, of which the last is the version; the length of the
//	          schema and the codes of a row, uint32; the rows, uint64
//	schema    JSON
//	slabs     of slabRows rows each, the last of what is left:
//	  sizes   of the keys and of the metadata of the slab, uint32
//	  scales  a float64 a row
//	  marks   three float32 a row, if there are codes
//	  codes   of the rows, if there are
//	  data    of the rows, float32
//	  keys    where each ends, uint32, and the keys
//	  metadata the same, each as packMetadata writes it
//	order     the rows in the order of their keys, uint32
//	terms     their length, uint64, and what packTerms writes
//	foot      where order and terms begin, and the length of the whole, uint64;
//	          8 zeros; SHA-256 of all before
const (
	snapshotMagic   = "gs-vec\x00"
	snapshotVersion = 2
	snapshotAlign   = 64
	snapshotHead    = 24
	snapshotFoot    = 64
	snapshotSum     = sha256.Size
)

// Snapshot writes what the index holds at this moment, for [InMemory.Restore] and
// [OpenSnapshot]. The index may be used and changed meanwhile.
func (m *InMemory) Snapshot(w io.Writer) error {
	m.mu.RLock()
	schema := m.schema.WithDefaults().clone()
	all := view{perSlab: 1}
	if m.table != nil {
		all = m.table.view(m.table.selectRows("", Filter{}))
	}
	m.mu.RUnlock()
	out := snapshotWriter{w: bufio.NewWriterSize(w, 256<<10), sum: sha256.New(), view: all}
	if err := out.snapshot(schema); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return nil
}

// SnapshotFile is [InMemory.Snapshot] to a file, which it replaces at once when the
// snapshot is whole: who opens it finds the old one or the new one, also after the
// machine has stopped. Indexes that have the old one open keep it. The file is for
// its owner alone, mode 0600.
func (m *InMemory) SnapshotFile(ctx context.Context, name string) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*.tmp")
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	err = m.Snapshot(writerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return f.Write(p)
	}))
	if err == nil {
		err = f.Sync()
	}
	if late := f.Close(); err == nil {
		err = late
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("snapshot to %s: %w", name, err), os.Remove(f.Name()))
	}
	if err := syncFolder(filepath.Dir(name)); err != nil {
		return fmt.Errorf("snapshot to %s: %w", name, err)
	}
	return nil
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A snapshotWriter writes the rows of a view.
type snapshotWriter struct {
	view

	w       *bufio.Writer
	sum     hash.Hash
	written uint64
	buf     []byte
}

// flush writes what is in buf.
func (s *snapshotWriter) flush() error {
	s.sum.Write(s.buf)
	s.written += uint64(len(s.buf))
	_, err := s.w.Write(s.buf)
	s.buf = s.buf[:0]
	return err
}

// part ends a part.
func (s *snapshotWriter) part() error {
	s.buf = append(s.buf, make([]byte, padding(s.written+uint64(len(s.buf))))...)
	return s.flush()
}

func padding(n uint64) uint64 { return -n % snapshotAlign }

func (s *snapshotWriter) snapshot(schema Schema) error {
	head, err := json.Marshal(schema)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	s.buf = append(append(s.buf, snapshotMagic...), snapshotVersion)
	s.buf = le.AppendUint32(le.AppendUint32(s.buf, uint32(len(head))), uint32(s.stride))
	s.buf = le.AppendUint64(s.buf, uint64(len(s.rows)))
	if err := s.part(); err != nil {
		return err
	}
	s.buf = append(s.buf, head...)
	if err := s.part(); err != nil {
		return err
	}
	found := newTerms(schema.NonFilterable)
	first := uint32(0)
	for rows := range slices.Chunk(s.rows, int(slabRows(schema.Dimension))) {
		if err := s.slab(rows); err != nil {
			return err
		}
		for i, row := range rows {
			slab, at := s.at(row)
			found.add(first+uint32(i), slab.describe(at))
		}
		first += uint32(len(rows))
	}
	return s.end(found)
}

func (s *snapshotWriter) end(found terms) error {
	le := binary.LittleEndian
	order := s.written
	for _, row := range s.sorted() {
		s.buf = le.AppendUint32(s.buf, row)
	}
	if err := s.part(); err != nil {
		return err
	}
	terms, raw := s.written, packTerms(found)
	s.buf = append(le.AppendUint64(s.buf, uint64(len(raw))), raw...)
	if err := s.part(); err != nil {
		return err
	}
	for _, n := range []uint64{order, terms, s.written + snapshotFoot, 0} {
		s.buf = le.AppendUint64(s.buf, n)
	}
	if err := s.flush(); err != nil {
		return err
	}
	s.buf = s.sum.Sum(s.buf)
	if err := s.flush(); err != nil {
		return err
	}
	return s.w.Flush()
}

// sorted returns the places of the rows in the order of their keys.
func (s *snapshotWriter) sorted() []uint32 {
	key := func(place uint32) string { slab, i := s.at(s.rows[place]); return slab.keys[i] }
	places := make([]uint32, len(s.rows))
	for i := range places {
		places[i] = uint32(i)
	}
	slices.SortFunc(places, func(a, b uint32) int { return strings.Compare(key(a), key(b)) })
	return places
}

// slab writes one slab of rows.
func (s *snapshotWriter) slab(rows []uint32) error {
	le := binary.LittleEndian
	var keys, metadata []byte
	var keyEnds, metadataEnds []uint32
	for _, row := range rows {
		slab, i := s.at(row)
		keys = append(keys, slab.keys[i]...)
		metadata = packMetadata(metadata, slab.describe(i))
		keyEnds, metadataEnds = append(keyEnds, uint32(len(keys))), append(metadataEnds, uint32(len(metadata)))
	}
	ends := func(ends []uint32, all []byte) {
		for _, end := range ends {
			s.buf = le.AppendUint32(s.buf, end)
		}
		s.buf = append(s.buf, all...)
	}
	parts := []func(){
		func() { s.buf = le.AppendUint32(le.AppendUint32(s.buf, uint32(len(keys))), uint32(len(metadata))) },
		s.each(rows, func(slab *slab, i int) { s.buf = le.AppendUint64(s.buf, math.Float64bits(slab.scale[i])) }),
	}
	if s.stride > 0 {
		parts = append(parts, s.each(rows, func(slab *slab, i int) {
			m := slab.marks[i]
			for _, x := range []float32{m.step, m.rest, m.norm} {
				s.buf = le.AppendUint32(s.buf, math.Float32bits(x))
			}
		}), s.each(rows, func(slab *slab, i int) { s.buf = append(s.buf, slab.codes[i*s.stride:(i+1)*s.stride]...) }))
	}
	parts = append(parts, s.each(rows, func(slab *slab, i int) {
		for _, x := range slab.row(i, s.dimension) {
			s.buf = le.AppendUint32(s.buf, math.Float32bits(x))
		}
	}), func() { ends(keyEnds, keys) }, func() { ends(metadataEnds, metadata) })
	for _, part := range parts {
		part()
		if err := s.part(); err != nil {
			return err
		}
	}
	return nil
}

func (s *snapshotWriter) each(rows []uint32, do func(slab *slab, i int)) func() {
	return func() {
		for _, row := range rows {
			do(s.at(row))
		}
	}
}
