package s3index

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/genaistore/genaistore/meter"
	"github.com/genaistore/genaistore/vectors"
)

// A Cursor says how far a load came: all vectors before Next are settled, each as
// done, skipped or rejected. It is plain data; keep it as JSON where the next
// process finds it.
type Cursor struct {
	Next     int64     `json:"next"`           // vectors of the source
	Last     string    `json:"last,omitempty"` // the key of the one before Next
	Done     int       `json:"done"`
	Skipped  int       `json:"skipped,omitempty"`
	Rejected []Refused `json:"rejected,omitempty"`
	Finished bool      `json:"finished,omitempty"` // the source was at its end
}

// A Refused is a vector that breaks a rule, which Reason names.
type Refused struct {
	Key    string `json:"key"`
	Reason string `json:"reason"`
}

// Report returns what c says as a Put would have reported it. Rejections match
// [vectors.ErrInvalid]: what was throttled is not settled.
func (c Cursor) Report() vectors.Report {
	r := vectors.Report{Done: c.Done, Skipped: c.Skipped}
	for _, refused := range c.Rejected {
		reason := strings.TrimPrefix(refused.Reason, vectors.ErrInvalid.Error()+": ")
		r.Rejected = append(r.Rejected, vectors.Rejection{Key: refused.Key, Err: fmt.Errorf("%w: %s", vectors.ErrInvalid, reason)})
	}
	return r
}

func (c Cursor) validate() error {
	settled := int64(c.Done) + int64(c.Skipped) + int64(len(c.Rejected))
	if c.Next < 0 || c.Done < 0 || c.Skipped < 0 || settled != c.Next {
		return fmt.Errorf("%w: a cursor at %d that has settled %d", vectors.ErrInvalid, c.Next, settled)
	}
	return nil
}

// LoadOptions adjusts a Load. A nil *LoadOptions means the zero value.
type LoadOptions struct {
	// From is the cursor that an earlier Load of the same source left. The zero
	// value is the start.
	From Cursor
	// Save keeps a cursor. It is called each time that From moves, from one goroutine
	// at a time and with no lock held; its error ends the load. Nil saves nothing.
	Save func(context.Context, Cursor) error
	// MaxRejected is how many vectors may be rejected before the load ends with an
	// error that matches [vectors.ErrInvalid], so that a source that is bad throughout
	// is not read to its end. 0 means 1,000.
	MaxRejected int
	// SkipEqual is as in [vectors.PutOptions].
	SkipEqual string
}

// WithDefaults returns what Load acts on.
func (o *LoadOptions) WithDefaults() LoadOptions {
	opts := deref(o)
	opts.MaxRejected = cmp.Or(opts.MaxRejected, 1000)
	return opts
}

// Load is a [Index.Put] that can be resumed, from a source that yields the same
// vectors in the same order each time, from the one with that number on. Wherever a
// load was stopped or killed, another from the cursor that was saved last writes
// what the first had not: no vector is lost, none is counted twice, and of equal
// keys the last of the source wins. At most what eight requests hold is sent again,
// which changes nothing. Two loads of one source at a time are one too many.
//
// It returns the cursor at its end and an error as Put does: rejected vectors are in
// the cursor, those of earlier loads too. If the source has another key where
// the cursor stands, nothing is written and the error matches
// [vectors.ErrConflict].
func (x *Index) Load(ctx context.Context, source func(from int64) iter.Seq2[vectors.Vector, error], opts *LoadOptions) (Cursor, error) {
	o := opts.WithDefaults()
	l := &ledger{cursor: o.From, save: o.Save, most: o.MaxRejected}
	l.cursor.Rejected = slices.Clone(o.From.Rejected)
	err := o.From.validate()
	if err == nil && (source == nil || o.MaxRejected < 0) {
		err = fmt.Errorf("%w: a source is needed, and no fewer than 0 rejected", vectors.ErrInvalid)
	}
	if err == nil && !o.From.Finished {
		err = x.load(ctx, source, o, l)
	}
	if rejected := l.cursor.Report().Err(); rejected != nil {
		err = first(err, rejected)
	}
	return l.cursor, x.wrap("load", err)
}

func (x *Index) load(ctx context.Context, source func(from int64) iter.Seq2[vectors.Vector, error], o LoadOptions, l *ledger) error {
	schema, err := x.schema(ctx)
	if err != nil {
		return err
	}
	p := x.newLoad(schema, vectors.PutOptions{SkipEqual: o.SkipEqual}, new(meter.Meter))
	p.ledger, p.taken = l, o.From.Next
	if o.From.Next == 0 {
		return p.run(ctx, source(0))
	}
	return p.run(ctx, after(o.From, source(o.From.Next-1)))
}

// after yields what comes after the first of seq, which the cursor knows the key of.
func after(c Cursor, seq iter.Seq2[vectors.Vector, error]) iter.Seq2[vectors.Vector, error] {
	return func(yield func(vectors.Vector, error) bool) {
		known := false
		for v, err := range seq {
			switch {
			case err == nil && !known && v.Key != c.Last:
				yield(vectors.Vector{}, fmt.Errorf("%w: the source has %.80q where the cursor has %.80q, at %d", vectors.ErrConflict, v.Key, c.Last, c.Next-1))
				return
			case err == nil && !known:
				known = true
			case !yield(v, err):
				return
			}
		}
		if !known {
			yield(vectors.Vector{}, fmt.Errorf("%w: the source ends before %.80q, where the cursor stands, at %d", vectors.ErrConflict, c.Last, c.Next-1))
		}
	}
}

// A ledger moves a cursor over what is settled, in the order of the source, however
// requests end. A nil one keeps nothing.
type ledger struct {
	cursor Cursor
	save   func(context.Context, Cursor) error
	most   int

	last    string // the key of the vector that was taken last
	pending []Refused
	entries []*entry // from the cursor on
}

// An entry is a batch that was sent, and what came before it since the last.
type entry struct {
	batch   *batch
	end     int64
	last    string
	refused []Refused
	outcome *sending // nil while it is under way
}

func (l *ledger) took(key string) {
	if l != nil {
		l.last = key
	}
}

func (l *ledger) refused(key string, err error) {
	if l != nil {
		l.pending = append(l.pending, Refused{key, err.Error()})
	}
}

// launched notes a batch of the vectors before that number.
func (l *ledger) launched(b *batch, end int64) {
	if l == nil {
		return
	}
	l.entries = append(l.entries, &entry{batch: b, end: end, last: l.last, refused: l.pending})
	l.pending = nil
}

// mostAhead is how many batches are sent before the first of them is settled. Who
// resumes sends them again.
const mostAhead = 2 * putsUnderWay

func (l *ledger) full() bool { return l != nil && len(l.entries) >= mostAhead }

// settled notes what became of a batch and moves the cursor over what is settled
// without a gap. A batch that failed is a gap for good.
func (l *ledger) settled(ctx context.Context, s *sending) error {
	if l == nil {
		return nil
	}
	for _, e := range l.entries {
		if e.batch == s.batch {
			e.outcome = s
		}
	}
	before := l.cursor.Next
	for len(l.entries) > 0 && l.entries[0].outcome != nil && l.entries[0].outcome.err == nil {
		l.advance(l.entries[0])
		l.entries = l.entries[1:]
	}
	if l.cursor.Next == before {
		return nil
	}
	return l.keep(ctx)
}

func (l *ledger) advance(e *entry) {
	c := &l.cursor
	c.Next, c.Last = e.end, e.last
	c.Rejected = append(c.Rejected, e.refused...)
	if e.outcome == nil {
		return
	}
	c.Done += e.outcome.done
	c.Skipped += e.outcome.skipped
	for _, r := range e.outcome.rejected {
		c.Rejected = append(c.Rejected, Refused{r.Key, r.Err.Error()})
	}
}

// finish notes that the source had that many vectors, all of which are settled.
func (l *ledger) finish(ctx context.Context, end int64) error {
	if l == nil {
		return nil
	}
	if len(l.pending) > 0 {
		l.advance(&entry{end: end, last: l.last, refused: l.pending})
	}
	l.cursor.Finished = true
	return l.keep(ctx)
}

func (l *ledger) keep(ctx context.Context) error {
	if l.save != nil {
		c := l.cursor
		c.Rejected = slices.Clone(c.Rejected)
		if err := l.save(ctx, c); err != nil {
			return fmt.Errorf("save the cursor at %d: %w", c.Next, err)
		}
	}
	if len(l.cursor.Rejected) > l.most {
		return fmt.Errorf("%w: more than %d vectors of the source are rejected", vectors.ErrInvalid, l.most)
	}
	return nil
}
