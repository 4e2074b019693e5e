// Package collection puts types on a [vectors.Index]: metadata is a struct, the
// fields of filters are its fields, and what a field is used for decides what the
// index is made with. A filter that a service would refuse, such as an order of
// strings, does not compile.
//
//	type Doc struct {
//		Year int    `vectors:"year"`
//		Lang string `vectors:"lang"`
//		Text string `vectors:"text,nofilter"`
//	}
package collection

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/genaistore/genaistore/vectors"
)

// A Collection is an index whose metadata has the type M, a struct. A field is
// stored under the name in its tag, which follows `vectors:`, or its own. After the
// name may come nofilter, for a field that no filter is to name, such as text: its
// size is bounded by 40 KB instead of 2 KB. Omitempty leaves a zero value out, so
// that Missing matches. The name - leaves the field out.
//
// A field is a string, bool, number or slice of these, or of a type made of one.
type Collection[M any] struct {
	index  vectors.Index
	fields []field
}

// An Item is a vector with metadata of type M.
type Item[M any] struct {
	Key      string
	Data     []float32 // nil where a read did not ask for it
	Metadata M
}

// A Match is a neighbour with metadata of type M.
type Match[M any] struct {
	Item[M]

	Distance float64
}

// New returns the collection that index holds. It is [vectors.ErrInvalid] if M
// cannot be stored, and [vectors.ErrConflict] if the index was made for other fields:
// the error names each that differs, and what to do. An index keeps its non-filterable
// keys for ever; those of no field are nobody's concern.
func New[M any](ctx context.Context, index vectors.Index) (*Collection[M], error) {
	fields, err := fieldsOf[M]()
	if err != nil {
		return nil, fmt.Errorf("new collection: %w", err)
	}
	schema, err := index.Describe(ctx)
	if err != nil {
		return nil, fmt.Errorf("new collection: %w", err)
	}
	var drift []string
	for _, f := range fields {
		switch filtered := !containsName(schema.NonFilterable, f.name); {
		case filtered && f.noFilter:
			drift = append(drift, fmt.Sprintf("it filters on %q, whose size is bounded by 2 KB so: take nofilter from its tag", f.name))
		case !filtered && !f.noFilter:
			drift = append(drift, fmt.Sprintf("it does not filter on %q: tag that nofilter", f.name))
		}
	}
	if len(drift) > 0 {
		return nil, fmt.Errorf("new collection: %w: the index was made for other fields: %s; or make an index for what Schema returns, and Put what the List of this one yields", vectors.ErrConflict, strings.Join(drift, "; "))
	}
	return &Collection[M]{index, fields}, nil
}

// Schema returns base with the fields of M that are tagged nofilter as its
// non-filterable keys, to make an index with.
func Schema[M any](base vectors.Schema) (vectors.Schema, error) {
	fields, err := fieldsOf[M]()
	if err != nil {
		return vectors.Schema{}, fmt.Errorf("schema: %w", err)
	}
	base.NonFilterable = nil
	for _, f := range fields {
		if f.noFilter {
			base.NonFilterable = append(base.NonFilterable, f.name)
		}
	}
	if err := base.Validate(); err != nil {
		return vectors.Schema{}, fmt.Errorf("schema: %w", err)
	}
	return base, nil
}

// Budget returns how much of the limits the metadata m takes, before it is sent.
func (c *Collection[M]) Budget(ctx context.Context, m M) (Budget, error) {
	schema, err := c.index.Describe(ctx)
	if err != nil {
		return Budget{}, fmt.Errorf("budget: %w", err)
	}
	all, filterable := vectors.Metadata{}, vectors.Metadata{}
	for key, value := range c.encode(m) {
		all[key] = value
		if !containsName(schema.NonFilterable, key) {
			filterable[key] = value
		}
	}
	b := Budget{
		MaxBytes:           vectors.MaxMetadataBytes - schema.Reserved.MetadataBytes,
		MaxFilterableBytes: vectors.MaxFilterableBytes - schema.Reserved.MetadataBytes,
	}
	if b.Bytes, err = all.Size(); err == nil {
		b.FilterableBytes, err = filterable.Size()
	}
	if err != nil {
		return Budget{}, fmt.Errorf("budget: %w", err)
	}
	return b, nil
}

// A Budget is what metadata takes of the limits of an index, in bytes.
type Budget struct {
	Bytes, MaxBytes                     int
	FilterableBytes, MaxFilterableBytes int
}

// Fits reports whether the index takes as much.
func (b Budget) Fits() bool {
	return b.Bytes <= b.MaxBytes && b.FilterableBytes <= b.MaxFilterableBytes
}

// Put is [vectors.Index.Put].
func (c *Collection[M]) Put(ctx context.Context, items iter.Seq2[Item[M], error], opts *vectors.PutOptions) (vectors.Report, error) {
	if items == nil {
		return c.index.Put(ctx, nil, opts)
	}
	return c.index.Put(ctx, func(yield func(vectors.Vector, error) bool) {
		for item, err := range items {
			if !yield(vectors.Vector{Key: item.Key, Data: item.Data, Metadata: c.encode(item.Metadata)}, err) {
				return
			}
		}
	}, opts)
}

// Of returns the items as the sequence that Put takes.
func Of[M any](items ...Item[M]) iter.Seq2[Item[M], error] {
	return func(yield func(Item[M], error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
	}
}

// Delete is [vectors.Index.Delete].
func (c *Collection[M]) Delete(ctx context.Context, selection vectors.Selection, opts *vectors.DeleteOptions) (vectors.Report, error) {
	return c.index.Delete(ctx, selection, opts)
}

// Get is [vectors.Index.Get].
func (c *Collection[M]) Get(ctx context.Context, keys []string, opts *vectors.GetOptions) ([]Item[M], error) {
	found, err := c.index.Get(ctx, keys, opts)
	if err != nil {
		return nil, err
	}
	items := make([]Item[M], len(found))
	for i, v := range found {
		if items[i], err = c.item(v); err != nil {
			return nil, fmt.Errorf("get: %w", err)
		}
	}
	return items, nil
}

// Query is [vectors.Index.Query].
func (c *Collection[M]) Query(ctx context.Context, query vectors.Query) iter.Seq2[Match[M], error] {
	return func(yield func(Match[M], error) bool) {
		for m, err := range c.index.Query(ctx, query) {
			var item Item[M]
			if err == nil {
				item, err = c.item(m.Vector)
			}
			if !yield(Match[M]{item, m.Distance}, err) || err != nil {
				return
			}
		}
	}
}

// List is [vectors.Index.List].
func (c *Collection[M]) List(ctx context.Context, opts *vectors.ListOptions) iter.Seq2[Item[M], error] {
	return func(yield func(Item[M], error) bool) {
		for v, err := range c.index.List(ctx, opts) {
			var item Item[M]
			if err == nil {
				item, err = c.item(v)
			}
			if !yield(item, err) || err != nil {
				return
			}
		}
	}
}

func (c *Collection[M]) item(v vectors.Vector) (Item[M], error) {
	item := Item[M]{Key: v.Key, Data: v.Data}
	err := c.decode(v.Metadata, &item.Metadata)
	if err != nil {
		err = fmt.Errorf("metadata of %.80q: %w", v.Key, err)
	}
	return item, err
}
