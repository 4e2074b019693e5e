package vectorstest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"reflect"
	"slices"
	"time"

	"github.com/genaistore/genaistore/vectors"
)

// Patient is an Index that repeats the calls of its caller until the weather lets
// them through, as the contract says that one may. Through it an index in any
// [Weather] passes [Run]. It repeats after ErrThrottled; every other error is the
// caller's, and that of the hundredth attempt. It takes it that a call which failed
// so may have been done, so it counts for itself:
//
//   - A Put goes in batches of 100, of which each is repeated whole, and then what was
//     rejected with ErrThrottled. With SkipEqual it reads first what is stored.
//   - A Delete reports what a dry run before it says.
//   - A Query or List that breaks off is asked again, and yielded once all of it is
//     there.
//
// It is for tests: what others write between its attempts makes its reports wrong.
type Patient struct{ index vectors.Index }

var _ vectors.Index = (*Patient)(nil)

// NewPatient returns a patient caller of index. It is safe for concurrent use.
func NewPatient(index vectors.Index) *Patient { return &Patient{index} }

const (
	patientBatch = 100
	maxAttempts  = 100
	// Waits double from the first to the last of these.
	minWait, maxWait = 50 * time.Microsecond, 20 * time.Millisecond
)

// repeat calls until the outcome is certain or no longer worth another attempt.
func repeat(ctx context.Context, attempt func() error) error {
	pause := minWait
	for n := 1; ; n++ {
		err := attempt()
		if err == nil || ctx.Err() != nil || n == maxAttempts || !errors.Is(err, vectors.ErrThrottled) {
			return err
		}
		timer := time.NewTimer(time.Duration(rand.Int64N(int64(pause))))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		pause = min(2*pause, maxWait)
	}
}

// Describe implements [vectors.Index].
func (p *Patient) Describe(ctx context.Context) (schema vectors.Schema, err error) {
	err = repeat(ctx, func() (err error) {
		schema, err = p.index.Describe(ctx)
		return err
	})
	return schema, err
}

// Get implements [vectors.Index].
func (p *Patient) Get(ctx context.Context, keys []string, opts *vectors.GetOptions) (found []vectors.Vector, err error) {
	err = repeat(ctx, func() (err error) {
		found, err = p.index.Get(ctx, keys, opts)
		return err
	})
	return found, err
}

// Query implements [vectors.Index].
func (p *Patient) Query(ctx context.Context, query vectors.Query) iter.Seq2[vectors.Match, error] {
	return whole(ctx, p.index.Query(ctx, query))
}

// List implements [vectors.Index].
func (p *Patient) List(ctx context.Context, opts *vectors.ListOptions) iter.Seq2[vectors.Vector, error] {
	return whole(ctx, p.index.List(ctx, opts))
}

// whole yields what seq does, once it has come to its end.
func whole[T any](ctx context.Context, seq iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var all []T
		err := repeat(ctx, func() (err error) {
			all, err = collect(seq)
			return err
		})
		for _, v := range all {
			if err = cmp.Or(err, ctx.Err()); err != nil {
				break
			}
			if !yield(v, nil) {
				return
			}
		}
		if err != nil {
			var zero T
			yield(zero, err)
		}
	}
}

// Delete implements [vectors.Index].
func (p *Patient) Delete(ctx context.Context, selection vectors.Selection, opts *vectors.DeleteOptions) (report vectors.Report, err error) {
	err = repeat(ctx, func() (err error) {
		report, err = p.index.Delete(ctx, selection, &vectors.DeleteOptions{DryRun: true})
		return err
	})
	if err != nil || opts.WithDefaults().DryRun {
		return report, err
	}
	err = repeat(ctx, func() error {
		_, err := p.index.Delete(ctx, selection, opts)
		return err
	})
	if err != nil {
		report = vectors.Report{}
	}
	return report, err
}

// Put implements [vectors.Index].
func (p *Patient) Put(ctx context.Context, seq iter.Seq2[vectors.Vector, error], options *vectors.PutOptions) (vectors.Report, error) {
	schema, err := p.Describe(ctx)
	if err != nil {
		return vectors.Report{}, fmt.Errorf("put: %w", err)
	}
	l := &load{p: p, opts: options.WithDefaults(), schema: schema}
	if err = l.all(ctx, seq); err == nil {
		err = l.report.Err()
	} else if rejected := l.report.Err(); rejected != nil {
		err = fmt.Errorf("%w; %w", err, rejected)
	}
	if err != nil {
		err = fmt.Errorf("put: %w", err)
	}
	return l.report, err
}

// A load is one Put.
type load struct {
	p      *Patient
	opts   vectors.PutOptions
	schema vectors.Schema
	batch  []vectors.Vector
	report vectors.Report
}

func (l *load) all(ctx context.Context, seq iter.Seq2[vectors.Vector, error]) error {
	if seq == nil {
		return nil
	}
	for v, err := range seq {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return errors.Join(err, l.flush(ctx))
		}
		if normal, err := l.schema.Normal(v); err == nil {
			v = normal // a copy: the caller may use its own again
		}
		l.batch = append(l.batch, v)
		if len(l.batch) == patientBatch {
			if err := l.flush(ctx); err != nil {
				return err
			}
		}
	}
	return l.flush(ctx)
}

func (l *load) flush(ctx context.Context) error {
	batch, err := l.unequal(ctx)
	for err == nil && len(batch) > 0 {
		var report vectors.Report
		err = repeat(ctx, func() (err error) {
			report, err = l.p.index.Put(ctx, vectors.Of(batch...), nil)
			if report.Done+len(report.Rejected) == len(batch) {
				return nil // it came to its end, and says so of each
			}
			return err
		})
		l.report.Done += report.Done
		if err == nil {
			batch = l.again(batch, report.Rejected)
		}
	}
	l.batch = l.batch[:0]
	if err == nil && l.opts.Progress != nil {
		report := l.report
		report.Rejected = slices.Clone(report.Rejected)
		l.opts.Progress(report)
	}
	return err
}

// again returns those of batch that were rejected for now, which are its last.
func (l *load) again(batch []vectors.Vector, rejected []vectors.Rejection) []vectors.Vector {
	throttled := 0
	for _, r := range rejected {
		if errors.Is(r.Err, vectors.ErrThrottled) {
			throttled++
			continue
		}
		l.report.Rejected = append(l.report.Rejected, r)
	}
	return batch[len(batch)-throttled:]
}

// unequal returns what of the batch SkipEqual does not skip.
func (l *load) unequal(ctx context.Context) ([]vectors.Vector, error) {
	if l.opts.SkipEqual == "" {
		return l.batch, nil
	}
	stored := make(map[string]any)
	var keys []string
	for _, v := range l.batch {
		if l.schema.ValidateKey(v.Key) == nil {
			keys = append(keys, v.Key)
		}
	}
	found, err := l.p.Get(ctx, keys, nil)
	if err != nil {
		return nil, err
	}
	for _, v := range found {
		if value, ok := v.Metadata[l.opts.SkipEqual]; ok {
			stored[v.Key] = value
		}
	}
	var batch []vectors.Vector
	for _, v := range l.batch {
		normal, invalid := l.schema.Normal(v)
		value, has := normal.Metadata[l.opts.SkipEqual]
		if old, ok := stored[v.Key]; invalid == nil && has && ok && reflect.DeepEqual(old, value) {
			l.report.Skipped++
			continue
		}
		if batch = append(batch, v); invalid == nil {
			delete(stored, v.Key)
			if has {
				stored[v.Key] = value
			}
		}
	}
	return batch, nil
}
