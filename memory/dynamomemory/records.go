package dynamomemory

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/genaistore/genaistore/internal/hlc"
	"github.com/genaistore/genaistore/memory"
)

// Records implements memory.Store: one GetItem of the head, then strong Queries page
// by page. Notes are one more Query a page.
func (s *Store) Records(ctx context.Context, key memory.Key, options *memory.RangeOptions) iter.Seq2[memory.Record, error] {
	opts := options.WithDefaults()
	return func(yield func(memory.Record, error) bool) {
		err := firstError(ctx.Err(), key.Validate(), options.Validate())
		if err == nil {
			err = s.walk(ctx, at(key), opts, yield)
		}
		if err != nil && !errors.Is(err, errBroken) {
			yield(memory.Record{}, wrap("records", key, err))
		}
	}
}

// errBroken says that the loop has ended.
var errBroken = errors.New("the loop has ended")

func (s *Store) walk(ctx context.Context, p place, opts memory.RangeOptions, yield func(memory.Record, error) bool) error {
	v, err := s.glance(ctx, p)
	if err != nil || v == nil {
		return err
	}
	low, high, ok := v.bounds(opts)
	if !ok {
		return nil
	}
	if opts.BySentiment {
		return v.bySentiment(ctx, opts, low, high, yield)
	}
	q := scan{pk: p.pk, low: str(skRecord + low), high: str(high), backward: opts.Backward}
	n := 0
	for {
		if opts.Limit > 0 {
			q.limit = min(opts.Limit-n, 1000)
		}
		items, next, err := s.page(ctx, q)
		if err != nil {
			return err
		}
		records, err := v.decode(ctx, items)
		if err != nil {
			return err
		}
		if opts.Notes {
			if err := s.annotate(ctx, p, records); err != nil {
				return err
			}
		}
		for _, r := range records {
			if err := ctx.Err(); err != nil {
				return err
			}
			if n++; !yield(r, nil) || opts.Limit > 0 && n == opts.Limit {
				return errBroken
			}
		}
		if q.start = next; next == nil {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// glance reads the head of a session; it is nil where there is no session.
func (s *Store) glance(ctx context.Context, p place) (*view, error) {
	v := &view{Store: s, place: p, now: time.Now()}
	it, err := s.get(ctx, p.pk, skHead)
	if err != nil {
		return nil, err
	}
	v.head = decodeHead(it)
	if v.head == nil && s.opts.Cipher == nil {
		return v, nil
	}
	if !v.head.live(v.now) {
		return nil, nil //nolint:nilnil // no session
	}
	v.key, err = s.dataKey(ctx, p, v.head)
	return v, err
}

// bounds returns the first and last sort key of a range, or false for an empty one.
func (v *view) bounds(opts memory.RangeOptions) (low, high string, ok bool) {
	low, high = v.lowest(v.now)[len(skRecord):], lastRecord
	low = max(low, string(opts.From))
	if !opts.Since.IsZero() && opts.Since.After(time.UnixMilli(0)) {
		since := opts.Since
		if floor := since.Truncate(time.Millisecond); floor.Before(since) {
			since = floor.Add(time.Millisecond) // records have whole milliseconds
		}
		low = max(low, hlc.Floor(since).String())
	}
	if opts.To != "" {
		high = skRecord + string(opts.To)
	}
	if !opts.Until.IsZero() {
		until := opts.Until
		if floor := until.Truncate(time.Millisecond); floor.Before(until) {
			until = floor.Add(time.Millisecond)
		}
		// Floor has no random bits but its two marks, so no issued id equals it.
		high = min(high, skRecord+hlc.Floor(until).String())
		if !until.After(time.UnixMilli(0)) {
			return "", "", false
		}
	}
	return low, high, skRecord+low <= high
}

// decode returns the records that show.
func (v *view) decode(ctx context.Context, items []item) ([]memory.Record, error) {
	before := len(v.records)
	if err := v.take(ctx, items); err != nil {
		return nil, err
	}
	var out []memory.Record
	for _, r := range v.records[before:] {
		out = append(out, r.memory())
	}
	v.records = nil
	return out, nil
}

// bySentiment reads the annotations in the order of their sentiment, and the records
// by their ids. DynamoDB gives no order to equal sentiments: all with one value are
// read before the first is told.
func (v *view) bySentiment(ctx context.Context, opts memory.RangeOptions, low, high string, yield func(memory.Record, error) bool) error {
	lowest, highest := skNotes+low, skNotes+high[len(skRecord):]
	if high == lastRecord {
		highest = "A$"
	}
	q := scan{pk: v.pk, index: v.names.SentimentIndex, backward: opts.Backward}
	if v.opts.NoLSI {
		q = scan{pk: v.pk, low: str(lowest), high: str(highest)}
	} else if opts.Limit > 0 {
		q.limit = min(opts.Limit+1, 1000)
	}
	n := 0
	var waiting []memory.Record
	tell := func(ready []memory.Record) error {
		slices.SortStableFunc(ready, func(a, b memory.Record) int {
			order := cmp.Or(cmp.Compare(*a.Notes.Sentiment, *b.Notes.Sentiment), cmp.Compare(a.ID, b.ID))
			if opts.Backward {
				return -order
			}
			return order
		})
		if opts.Limit > 0 {
			ready = ready[:min(opts.Limit-n, len(ready))]
		}
		bodies, err := v.bodies(ctx, ready)
		if err != nil {
			return err
		}
		for _, r := range bodies {
			if err := ctx.Err(); err != nil {
				return err
			}
			if n++; !yield(r, nil) || opts.Limit > 0 && n == opts.Limit {
				return errBroken
			}
		}
		return nil
	}
	for {
		items, next, err := v.page(ctx, q)
		if err != nil {
			return err
		}
		for _, it := range items {
			notes, err := v.decodeNotes(it)
			if err != nil {
				return err
			}
			id := v.skOf(it)[len(skNotes):]
			if notes.Sentiment != nil && v.skOf(it) >= lowest && v.skOf(it) <= highest && v.head.shows(id) && !v.expired(it, v.now) {
				waiting = append(waiting, memory.Record{ID: memory.RecordID(id), Notes: notes})
			}
		}
		if next == nil {
			return tell(waiting)
		}
		if !v.opts.NoLSI && len(waiting) > 0 {
			last := *waiting[len(waiting)-1].Notes.Sentiment
			ties := slices.IndexFunc(waiting, func(r memory.Record) bool { return *r.Notes.Sentiment == last })
			if err := tell(waiting[:ties]); err != nil {
				return err
			}
			waiting = slices.Clone(waiting[ties:])
		}
		q.start = next
	}
}

// bodies reads records by id and keeps their order and notes. One without a body is
// no record: its notes were written while it was removed.
func (v *view) bodies(ctx context.Context, records []memory.Record) ([]memory.Record, error) {
	var names []name
	for _, r := range records {
		names = append(names, name{v.pk, skRecord + string(r.ID)})
	}
	items, err := v.getAll(ctx, names, false)
	if err != nil {
		return nil, err
	}
	var out []memory.Record
	for i, n := range names {
		if items[n] == nil {
			continue
		}
		found, err := v.decode(ctx, []item{items[n]})
		if err != nil {
			return nil, err
		}
		for _, r := range found {
			r.Notes = records[i].Notes
			out = append(out, r)
		}
	}
	return out, nil
}
