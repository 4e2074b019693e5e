package vectorstest

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/genaistore/genaistore/vectors"
)

// Put implements [vectors.Index].
func (x *Weathered) Put(ctx context.Context, seq iter.Seq2[vectors.Vector, error], opts *vectors.PutOptions) (vectors.Report, error) {
	if err := ctx.Err(); err != nil || seq == nil {
		return x.index.Put(ctx, seq, opts)
	}
	c := x.call(callPut)
	d := &dose{x: x, c: c, seq: seq}
	report, err := x.index.Put(ctx, d.vectors(ctx), opts)
	report.Rejected = append(report.Rejected, d.short...)
	if len(d.short) > 0 && err == nil {
		err = fmt.Errorf("put: %w", report.Err())
	}
	if err := x.end(c, nil); err != nil {
		return vectors.Report{}, fmt.Errorf("put: %w", err)
	}
	return report, err
}

// A dose is as much of a Put as the weather lets through.
type dose struct {
	x     *Weathered
	c     call
	seq   iter.Seq2[vectors.Vector, error]
	short []vectors.Rejection
}

func (d *dose) vectors(ctx context.Context) iter.Seq2[vectors.Vector, error] {
	return func(yield func(vectors.Vector, error) bool) {
		n := 0
		for v, err := range d.seq {
			if err != nil {
				yield(vectors.Vector{}, err)
				return
			}
			if n++; d.c.throttled && n > d.c.part {
				break
			}
			if most := d.x.weather.Capacity; most > 0 && n > most {
				if err := ctx.Err(); err != nil {
					yield(vectors.Vector{}, err)
					return
				}
				d.x.met.short.Add(1)
				d.short = append(d.short, vectors.Rejection{Key: v.Key, Err: fmt.Errorf("%w: no capacity for more than %d vectors in a batch", vectors.ErrThrottled, most)})
				continue
			}
			if !yield(v, nil) {
				return
			}
		}
		if d.c.throttled {
			d.x.met.throttled.Add(1)
			yield(vectors.Vector{}, errRefused)
		}
	}
}

// Delete implements [vectors.Index].
func (x *Weathered) Delete(ctx context.Context, selection vectors.Selection, opts *vectors.DeleteOptions) (vectors.Report, error) {
	c := x.call(callDelete)
	schema, err := x.index.Describe(ctx)
	if err = cmp.Or(err, selection.Validate(schema)); err == nil {
		err = x.strict(ctx, selection.Filter)
	}
	if err != nil {
		return vectors.Report{}, fmt.Errorf("delete: %w", err)
	}
	if err := x.begin(ctx, c); err != nil {
		report, late := x.deletePart(ctx, selection, opts, c.part)
		return report, fmt.Errorf("delete: %w", cmp.Or(late, err))
	}
	report, err := x.index.Delete(ctx, selection, opts)
	if err := x.end(c, nil); err != nil {
		return vectors.Report{}, fmt.Errorf("delete: %w", err)
	}
	return report, err
}

// deletePart deletes the first n of what selection selects.
func (x *Weathered) deletePart(ctx context.Context, selection vectors.Selection, opts *vectors.DeleteOptions, n int) (vectors.Report, error) {
	keys := slices.Clone(selection.Keys)
	if len(keys) == 0 {
		all, err := collect(x.index.List(ctx, &vectors.ListOptions{Prefix: selection.Prefix, Filter: selection.Filter, Fields: vectors.KeysOnly}))
		if err != nil {
			return vectors.Report{}, err
		}
		for _, v := range all {
			keys = append(keys, v.Key)
		}
		slices.Sort(keys)
	}
	if keys = keys[:min(n, len(keys))]; len(keys) == 0 || opts.WithDefaults().DryRun {
		return vectors.Report{}, nil
	}
	return x.index.Delete(ctx, vectors.Selection{Keys: keys}, nil)
}
