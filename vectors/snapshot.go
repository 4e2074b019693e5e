package vectors

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"reflect"
)

// A snapshot is, with all integers little endian:
//
//	magic       8 bytes, of which the last is the version
//	schema      uint32 length, JSON
//	vectors     each 1, then uint32 length and key, uint32 length and metadata
//	            as JSON, and the dimension times float32
//	end         0, then uint64 the number of vectors
//	checksum    SHA-256 of all before
const snapshotMagic = "gs-vec\x00\x01"

// maxSnapshotPart is the most bytes a schema, key or metadata may claim, so that
// a corrupt length costs no memory: tags and text are bounded by the limits.
const maxSnapshotPart = 256 << 10

// Snapshot writes what the index holds at this moment, for [InMemory.Restore].
// The index may be used and changed meanwhile.
func (m *InMemory) Snapshot(w io.Writer) error {
	m.mu.RLock()
	schema := m.schema.WithDefaults().clone()
	var all view
	if m.table != nil {
		all = m.table.view(m.table.selectRows("", Filter{}))
	}
	m.mu.RUnlock()
	out := snapshotWriter{w: bufio.NewWriterSize(w, 64<<10), sum: sha256.New()}
	if err := out.snapshot(schema, all); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return nil
}

type snapshotWriter struct {
	w   *bufio.Writer
	sum hash.Hash
	buf []byte
}

func (s *snapshotWriter) snapshot(schema Schema, all view) error {
	head, err := json.Marshal(schema)
	if err != nil {
		return err
	}
	s.buf = append(s.buf, snapshotMagic...)
	s.part(head)
	for v := range all.vectors(Everything) {
		if err := s.vector(v); err != nil {
			return err
		}
	}
	s.buf = binary.LittleEndian.AppendUint64(append(s.buf, 0), uint64(len(all.rows)))
	if err := s.flush(); err != nil {
		return err
	}
	s.buf = s.sum.Sum(s.buf)
	if err := s.flush(); err != nil {
		return err
	}
	return s.w.Flush()
}

func (s *snapshotWriter) vector(v Vector) error {
	var metadata bytes.Buffer
	enc := json.NewEncoder(&metadata)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v.Metadata); err != nil {
		return err
	}
	s.buf = append(s.buf, 1)
	s.part([]byte(v.Key))
	s.part(metadata.Bytes())
	for _, x := range v.Data {
		s.buf = binary.LittleEndian.AppendUint32(s.buf, math.Float32bits(x))
	}
	return s.flush()
}

func (s *snapshotWriter) part(p []byte) {
	s.buf = binary.LittleEndian.AppendUint32(s.buf, uint32(len(p)))
	s.buf = append(s.buf, p...)
}

func (s *snapshotWriter) flush() error {
	s.sum.Write(s.buf)
	_, err := s.w.Write(s.buf)
	s.buf = s.buf[:0]
	return err
}

// Restore replaces what the index holds, and what it was made for, by what
// Snapshot wrote to r, which ends there. The error matches [ErrCorrupt] if r
// holds anything else, and is r's own if reading fails; then nothing is changed.
func (m *InMemory) Restore(r io.Reader) error {
	in := snapshotReader{r: bufio.NewReaderSize(r, 64<<10), sum: sha256.New(), stride: m.stride}
	schema, t, err := in.snapshot()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: the snapshot ends early: %w", ErrCorrupt, err)
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.schema, m.table = schema, t
	return nil
}

type snapshotReader struct {
	r      *bufio.Reader
	sum    hash.Hash
	buf    []byte
	stride func(Schema) int
}

// read returns the next n bytes, valid until the next read.
func (s *snapshotReader) read(n int) ([]byte, error) {
	if cap(s.buf) < n {
		s.buf = make([]byte, n)
	}
	s.buf = s.buf[:n]
	_, err := io.ReadFull(s.r, s.buf)
	s.sum.Write(s.buf)
	return s.buf, err
}

func (s *snapshotReader) part() ([]byte, error) {
	b, err := s.read(4)
	if err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(b)
	if n > maxSnapshotPart {
		return nil, fmt.Errorf("%w: a part of %d bytes", ErrCorrupt, n)
	}
	return s.read(int(n))
}

func (s *snapshotReader) snapshot() (Schema, *table, error) {
	schema, err := s.schema()
	if err != nil {
		return Schema{}, nil, err
	}
	var t *table
	for {
		more, err := s.read(1)
		if err != nil {
			return Schema{}, nil, err
		}
		if more[0] == 0 {
			break
		}
		if t == nil && schema.Dimension > 0 {
			t = newTable(schema, s.stride(schema))
		}
		if err := s.vector(schema, t); err != nil {
			return Schema{}, nil, err
		}
	}
	return schema, t, s.end(t)
}

func (s *snapshotReader) schema() (schema Schema, err error) {
	magic, err := s.read(len(snapshotMagic))
	if err != nil {
		return schema, err
	}
	if string(magic) != snapshotMagic {
		return schema, fmt.Errorf("%w: not a snapshot of vectors, or of another version", ErrCorrupt)
	}
	head, err := s.part()
	if err != nil {
		return schema, err
	}
	if err := json.Unmarshal(head, &schema); err != nil {
		return schema, fmt.Errorf("%w: schema: %w", ErrCorrupt, err)
	}
	if err := schema.Validate(); err != nil {
		return schema, fmt.Errorf("%w: schema: %w", ErrCorrupt, err)
	}
	if schema.Reserved != (Reserved{}) || schema.Metric == "" {
		return schema, fmt.Errorf("%w: schema %.200s is of no index", ErrCorrupt, head)
	}
	return schema, nil
}

func (s *snapshotReader) vector(schema Schema, t *table) error {
	raw, err := s.part()
	if err != nil {
		return err
	}
	v := Vector{Key: string(raw), Data: make([]float32, schema.Dimension)}
	if raw, err = s.part(); err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &v.Metadata); err != nil {
		return fmt.Errorf("%w: metadata of %.80q: %w", ErrCorrupt, v.Key, err)
	}
	if raw, err = s.read(4 * schema.Dimension); err != nil {
		return err
	}
	for i := range v.Data {
		v.Data[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	normal, err := schema.Normal(v)
	if err != nil {
		return fmt.Errorf("%w: vector %.80q: %w", ErrCorrupt, v.Key, err)
	}
	// t is nil if the schema has no dimension; metadata that Normal changes is
	// null, which Snapshot does not write.
	if t == nil || !reflect.DeepEqual(normal.Metadata, v.Metadata) {
		return fmt.Errorf("%w: vector %.80q is of no index", ErrCorrupt, v.Key)
	}
	if _, ok := t.rows[v.Key]; ok {
		return fmt.Errorf("%w: vector %.80q is there twice", ErrCorrupt, v.Key)
	}
	t.put(normal)
	return nil
}

func (s *snapshotReader) end(t *table) error {
	b, err := s.read(8)
	if err != nil {
		return err
	}
	n := 0
	if t != nil {
		n = len(t.rows)
	}
	if want := binary.LittleEndian.Uint64(b); want != uint64(n) {
		return fmt.Errorf("%w: %d vectors of %d", ErrCorrupt, n, want)
	}
	sum := s.sum.Sum(nil)
	stored, err := s.read(len(sum))
	if err != nil {
		return err
	}
	if !bytes.Equal(sum, stored) {
		return fmt.Errorf("%w: checksum", ErrCorrupt)
	}
	if _, err := s.r.ReadByte(); err == nil {
		return fmt.Errorf("%w: bytes after the end of the snapshot", ErrCorrupt)
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
