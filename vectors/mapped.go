package vectors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"
	"sync"
)

// Mapped is a snapshot in a file as an [Index] that is read in place: opening it
// reads and checks the file and copies no vectors, and all processes that have it
// open share the memory. It is searched as [InMemory] is, with the same answers,
// and cannot be changed: Put and Delete are [ErrDenied], which says what to do
// instead. After Close every method is an error that matches [fs.ErrClosed].
//
// Beside the file it takes about 50 bytes of memory for each vector.
type Mapped struct {
	mu     sync.RWMutex // held while the file is read
	schema Schema
	table  *table // nil if there are no vectors
	unmap  func() error
	closed bool
}

var _ Index = (*Mapped)(nil)

// OpenSnapshot opens what [InMemory.SnapshotFile] wrote. It is [ErrCorrupt] if the
// file holds anything else: it was cut or changed, or is of another version, which
// the error says. To replace a file that is open, use SnapshotFile: what is written
// into it is seen by who has it open, and what is cut off ends their process.
//
// Where the system can, the file is mapped into memory, else it is read.
func OpenSnapshot(ctx context.Context, name string) (*Mapped, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	b, unmap, err := mapFile(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("open snapshot %s: %w", name, err)
	}
	schema, table, err := parseSnapshot(b, ctx.Err)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open snapshot %s: %w", name, err), unmap())
	}
	return &Mapped{schema: schema, table: table, unmap: unmap}, nil
}

// Close gives the memory back, once the calls under way are done.
func (m *Mapped) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return fmt.Errorf("close: %w", fs.ErrClosed)
	}
	m.closed, m.table = true, nil
	if err := m.unmap(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}

// ready reports why m cannot be read.
func (m *Mapped) ready(ctx context.Context) error {
	if m.closed {
		return fs.ErrClosed
	}
	return ctx.Err()
}

// Describe implements [Index].
func (m *Mapped) Describe(ctx context.Context) (Schema, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.ready(ctx); err != nil {
		return Schema{}, fmt.Errorf("describe: %w", err)
	}
	return m.schema.clone(), nil
}

var errReadOnly = fmt.Errorf("%w: a snapshot is read in place; to change it, Put what its List yields into an InMemory", ErrDenied)

// Put implements [Index]: it is [ErrDenied].
func (m *Mapped) Put(ctx context.Context, _ iter.Seq2[Vector, error], _ *PutOptions) (Report, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return Report{}, fmt.Errorf("put: %w", cmp.Or(m.ready(ctx), errReadOnly))
}

// Delete implements [Index]: it is [ErrDenied].
func (m *Mapped) Delete(ctx context.Context, _ Selection, _ *DeleteOptions) (Report, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return Report{}, fmt.Errorf("delete: %w", cmp.Or(m.ready(ctx), errReadOnly))
}

// Get implements [Index].
func (m *Mapped) Get(ctx context.Context, keys []string, opts *GetOptions) ([]Vector, error) {
	fields := opts.WithDefaults().Fields
	err := cmp.Or(fields.Validate(), validateKeys(keys))
	var found []Vector
	seen := make(map[string]bool, len(keys))
	for page := range slices.Chunk(keys, pageSize) {
		if err != nil {
			break
		}
		err = m.read(ctx, func(t *table) { found = append(found, t.get(page, seen, fields)...) })
	}
	if err = cmp.Or(err, m.read(ctx, func(*table) {})); err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	return found, nil
}

// read calls do while the file stays mapped, unless there are no vectors.
func (m *Mapped) read(ctx context.Context, do func(t *table)) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.ready(ctx); err != nil || m.table == nil {
		return err
	}
	do(m.table)
	return nil
}

// Query implements [Index].
func (m *Mapped) Query(ctx context.Context, query Query) iter.Seq2[Match, error] {
	query = query.clone()
	return func(yield func(Match, error) bool) {
		var matches []Match
		var late error
		err := cmp.Or(m.read(ctx, func(*table) {}), query.Validate(m.schema))
		if err == nil {
			err = m.read(ctx, func(t *table) { matches, late = t.matches(ctx, query.WithDefaults()) })
		}
		err = cmp.Or(err, late)
		for _, match := range matches {
			if err = ctx.Err(); err != nil {
				break
			}
			if !yield(match, nil) {
				return
			}
		}
		if err != nil {
			yield(Match{}, fmt.Errorf("query: %w", err))
		}
	}
}

// List implements [Index], in the order of [InMemory.List].
func (m *Mapped) List(ctx context.Context, opts *ListOptions) iter.Seq2[Vector, error] {
	o := opts.WithDefaults()
	o.Filter = o.Filter.clone()
	return func(yield func(Vector, error) bool) {
		if err := m.list(ctx, o, yield); err != nil {
			yield(Vector{}, fmt.Errorf("list: %w", err))
		}
	}
}

func (m *Mapped) list(ctx context.Context, o ListOptions, yield func(Vector, error) bool) error {
	var rows []uint32
	err := cmp.Or(m.read(ctx, func(*table) {}), o.Validate(m.schema))
	if err == nil {
		err = m.read(ctx, func(t *table) {
			all := t.view(t.selectRows(o.Prefix, o.Filter))
			all.shuffle()
			rows = all.rows
		})
	}
	for page := range slices.Chunk(rows, pageSize) {
		var found []Vector
		if err := m.read(ctx, func(t *table) {
			for _, row := range page {
				s, i := t.at(row)
				found = append(found, s.vector(i, t.dimension, o.Fields))
			}
		}); err != nil {
			return err
		}
		for _, v := range found {
			if err := ctx.Err(); err != nil {
				return err
			}
			if !yield(v, nil) {
				return nil
			}
		}
	}
	return err
}
