package vectors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
)

// InMemory is an [Index] that keeps vectors in the process and searches them
// exactly: it yields the true neighbours, by key where distances are equal.
// Filters on equality are answered from postings, so that a query with one looks
// only at what matches.
//
// The zero value is ready to use. Its metric is [Cosine], every key can be
// filtered on, and its dimension is that of the first vector stored, also after
// that was deleted; Describe says 0 before. [NewInMemory] makes another.
type InMemory struct {
	// NoCodes, set before the first Put or Restore, saves memory. Else vectors of 64
	// dimensions and more have a byte for each number and 12 beside their data,
	// about a quarter more memory, which a search reads first: then it measures only
	// the vectors that may be among the nearest. Answers are the same without, and
	// take two to four times as long.
	NoCodes bool

	mu     sync.RWMutex
	schema Schema
	table  *table // nil until there is a vector
}

var _ Index = (*InMemory)(nil)

// NewInMemory returns an empty index for schema. With a dimension of 0 the first
// vector decides. The error matches [ErrInvalid] if schema breaks a rule.
func NewInMemory(schema Schema) (*InMemory, error) {
	if err := schema.Validate(); err != nil {
		return nil, fmt.Errorf("new index: %w", err)
	}
	schema.Reserved = Reserved{}
	return &InMemory{schema: schema.clone()}, nil
}

// Describe implements [Index].
func (m *InMemory) Describe(ctx context.Context) (Schema, error) {
	if err := ctx.Err(); err != nil {
		return Schema{}, fmt.Errorf("describe: %w", err)
	}
	return m.describe().clone(), nil
}

func (m *InMemory) describe() Schema {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.schema.WithDefaults()
}

func (m *InMemory) stride(s Schema) int {
	if m.NoCodes {
		return 0
	}
	return codeStride(s.Dimension)
}

func (s Schema) clone() Schema {
	s.NonFilterable = slices.Clone(s.NonFilterable)
	s.Tags = maps.Clone(s.Tags)
	return s
}

// pageSize is how many vectors InMemory handles between two looks at the context
// and, in a Put, under one lock. It is what S3 Vectors takes in one request.
const pageSize = 500

// Put implements [Index].
func (m *InMemory) Put(ctx context.Context, vectors iter.Seq2[Vector, error], opts *PutOptions) (Report, error) {
	p := put{index: m, opts: opts.WithDefaults(), schema: m.describe()}
	if err := p.all(ctx, vectors); err != nil {
		if rejected := p.report.Err(); rejected != nil {
			return p.report, fmt.Errorf("put: %w; %w", err, rejected)
		}
		return p.report, fmt.Errorf("put: %w", err)
	}
	if err := p.report.Err(); err != nil {
		return p.report, fmt.Errorf("put: %w", err)
	}
	return p.report, nil
}

// A put is one call of Put.
type put struct {
	index  *InMemory
	opts   PutOptions
	schema Schema
	batch  []Vector
	report Report
}

func (p *put) all(ctx context.Context, vectors iter.Seq2[Vector, error]) error {
	if err := ctx.Err(); err != nil || vectors == nil {
		return err
	}
	for v, err := range vectors {
		if err != nil {
			return p.end(ctx, err)
		}
		if err := p.take(ctx, v); err != nil {
			return err
		}
	}
	return p.flush(ctx)
}

// end stores what came before err in the sequence.
func (p *put) end(ctx context.Context, err error) error {
	if late := p.flush(ctx); late != nil && !errors.Is(err, late) {
		return fmt.Errorf("%w; %w", err, late)
	}
	return err
}

func (p *put) take(ctx context.Context, v Vector) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	normal, err := p.schema.Normal(v)
	if err != nil {
		p.report.Rejected = append(p.report.Rejected, Rejection{v.Key, err})
		return nil //nolint:nilerr // the report has it
	}
	p.schema.Dimension = len(normal.Data)
	if p.batch = append(p.batch, normal); len(p.batch) < pageSize {
		return nil
	}
	return p.flush(ctx)
}

// flush stores the batch, and holds the lock only while it does.
func (p *put) flush(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.store()
	p.batch = p.batch[:0]
	if p.opts.Progress != nil {
		report := p.report
		report.Rejected = slices.Clone(report.Rejected)
		p.opts.Progress(report)
	}
	return nil
}

func (p *put) store() {
	m := p.index
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range p.batch {
		if m.table == nil {
			m.schema = m.schema.WithDefaults()
			m.schema.Dimension = cmp.Or(m.schema.Dimension, len(v.Data))
			m.table = newTable(m.schema, m.stride(m.schema))
		}
		// Another Put, or Restore, may have decided the schema meanwhile.
		if err := p.still(v); err != nil {
			p.report.Rejected = append(p.report.Rejected, Rejection{v.Key, err})
			continue
		}
		if p.skips(v) {
			p.report.Skipped++
			continue
		}
		m.table.put(v)
		p.report.Done++
	}
}

func (p *put) still(v Vector) error {
	now := p.index.schema
	if now.Dimension == p.schema.Dimension && now.Metric == p.schema.Metric && slices.Equal(now.NonFilterable, p.schema.NonFilterable) {
		return nil
	}
	_, err := now.Normal(v)
	return err
}

func (p *put) skips(v Vector) bool {
	row, ok := p.index.table.rows[v.Key]
	if p.opts.SkipEqual == "" || !ok {
		return false
	}
	value, ok := v.Metadata[p.opts.SkipEqual]
	return ok && equalValues(value, p.index.table.metadata(row)[p.opts.SkipEqual])
}

// equalValues is equal for values that may be lists.
func equalValues(a, b any) bool {
	x, ok := a.([]any)
	y, both := b.([]any)
	if !ok || !both {
		return equal(a, b)
	}
	return slices.EqualFunc(x, y, equal)
}

// Get implements [Index].
func (m *InMemory) Get(ctx context.Context, keys []string, opts *GetOptions) ([]Vector, error) {
	fields := opts.WithDefaults().Fields
	err := cmp.Or(ctx.Err(), fields.Validate(), validateKeys(keys))
	var found []Vector
	seen := make(map[string]bool, len(keys))
	for page := range slices.Chunk(keys, pageSize) {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			break
		}
		found = append(found, m.page(page, seen, fields)...)
	}
	if err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	return found, nil
}

func validateKeys(keys []string) error {
	for _, key := range keys {
		if err := (Schema{}).ValidateKey(key); err != nil {
			return err
		}
	}
	return nil
}

// page returns copies of the vectors that are not seen yet.
func (m *InMemory) page(keys []string, seen map[string]bool, fields Fields) []Vector {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.table == nil {
		return nil
	}
	return m.table.get(keys, seen, fields)
}

// Query implements [Index].
func (m *InMemory) Query(ctx context.Context, query Query) iter.Seq2[Match, error] {
	query = query.clone()
	return func(yield func(Match, error) bool) {
		matches, err := m.search(ctx, query)
		for _, match := range matches {
			if err = ctx.Err(); err != nil {
				break
			}
			match.Metadata = match.Metadata.Clone() // a stored map is never written to
			if !yield(match, nil) {
				return
			}
		}
		if err != nil {
			yield(Match{}, fmt.Errorf("query: %w", err))
		}
	}
}

func (m *InMemory) search(ctx context.Context, query Query) ([]Match, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := cmp.Or(ctx.Err(), query.Validate(m.schema.WithDefaults())); err != nil || m.table == nil {
		return nil, err
	}
	return m.table.matches(ctx, query.WithDefaults())
}

// List implements [Index]: in an order of the keys' hashes, as the service does,
// and of the moment the loop starts.
func (m *InMemory) List(ctx context.Context, opts *ListOptions) iter.Seq2[Vector, error] {
	o := opts.WithDefaults()
	o.Filter = o.Filter.clone()
	return func(yield func(Vector, error) bool) {
		view, err := m.view(ctx, o)
		if err != nil {
			yield(Vector{}, fmt.Errorf("list: %w", err))
			return
		}
		view.shuffle()
		for v := range view.vectors(o.Fields) {
			if err := ctx.Err(); err != nil {
				yield(Vector{}, fmt.Errorf("list: %w", err))
				return
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}

func (m *InMemory) view(ctx context.Context, o ListOptions) (view, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := cmp.Or(ctx.Err(), o.Validate(m.schema)); err != nil || m.table == nil {
		return view{}, err
	}
	return m.table.view(m.table.selectRows(o.Prefix, o.Filter)), nil
}

// Delete implements [Index].
func (m *InMemory) Delete(ctx context.Context, selection Selection, opts *DeleteOptions) (Report, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := cmp.Or(ctx.Err(), selection.Validate(m.schema)); err != nil {
		return Report{}, fmt.Errorf("delete: %w", err)
	}
	var report Report
	if m.table == nil {
		report.Skipped = len(distinct(selection.Keys))
		return report, nil
	}
	rows, absent := m.table.selected(selection)
	report.Skipped = absent
	switch {
	case opts.WithDefaults().DryRun:
		report.Done = len(rows)
		return report, nil
	case len(rows) == len(m.table.rows):
		report.Done = len(rows)
		m.table = nil
		return report, nil
	}
	for n, row := range rows {
		if n%pageSize == 0 && ctx.Err() != nil {
			return report, fmt.Errorf("delete: %w", ctx.Err())
		}
		m.table.remove(row)
		report.Done++
	}
	m.table = m.table.compacted()
	return report, nil
}

func distinct(keys []string) map[string]bool {
	set := make(map[string]bool, len(keys))
	for _, key := range keys {
		set[key] = true
	}
	return set
}

func (q Query) clone() Query {
	q.Vector = slices.Clone(q.Vector)
	q.Filter = q.Filter.clone()
	return q
}

func (f Filter) clone() Filter {
	f.Values = slices.Clone(f.Values)
	f.Of = slices.Clone(f.Of)
	for i := range f.Of {
		f.Of[i] = f.Of[i].clone()
	}
	return f
}
