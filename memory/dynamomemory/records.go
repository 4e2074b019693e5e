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
	for left := opts.Limit; ; {
		q.limit = min(left, 1000)
		records, next, err := v.recordPage(ctx, q, opts)
		if err != nil {
			return err
		}
		n, err := tell(ctx, records, left, yield)
		if err != nil {
			return err
		}
		if opts.Limit > 0 {
			left -= n
		}
		if q.start = next; next == nil {
			return nil
		}
	}
}

func (v *view) recordPage(ctx context.Context, q scan, opts memory.RangeOptions) ([]memory.Record, item, error) {
	items, next, err := v.page(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	records, err := v.decode(ctx, items)
	if err == nil && opts.Notes {
		err = v.annotate(ctx, v.place, records)
	}
	return records, next, err
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
	if again, err := s.settle(ctx, p, v.head); err != nil {
		return nil, err
	} else if again {
		return s.glance(ctx, p)
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
	q := scan{pk: v.pk, index: v.names.SentimentIndex, sort: v.names.Sentiment, backward: opts.Backward}
	if v.opts.NoLSI {
		q = scan{pk: v.pk, prefix: skNotes}
	} else if opts.Limit > 0 {
		q.limit = min(opts.Limit+1, 1000)
	}
	var waiting []memory.Record
	for left := opts.Limit; ; {
		items, next, err := v.page(ctx, q)
		if err != nil {
			return err
		}
		found, err := v.sentiments(items, low, high)
		if err != nil {
			return err
		}
		waiting = append(waiting, found...)
		ready := len(waiting)
		if next != nil {
			ready = v.withoutTies(waiting)
		}
		n, err := v.tellSorted(ctx, waiting[:ready], opts, left, yield)
		if err != nil {
			return err
		}
		if opts.Limit > 0 {
			left -= n
		}
		waiting = slices.Clone(waiting[ready:])
		if q.start = next; next == nil {
			return nil
		}
	}
}

// withoutTies returns how many of records come before those with the last one's
// sentiment, of which there may be more. Without an index any may still come.
func (v *view) withoutTies(records []memory.Record) int {
	if v.opts.NoLSI || len(records) == 0 {
		return 0
	}
	last := *records[len(records)-1].Notes.Sentiment
	return slices.IndexFunc(records, func(r memory.Record) bool { return *r.Notes.Sentiment == last })
}

// sentiments returns the ids and notes of the records from low to high that show.
func (v *view) sentiments(items []item, low, high string) ([]memory.Record, error) {
	var found []memory.Record
	for _, it := range items {
		notes, err := v.decodeNotes(it)
		if err != nil {
			return nil, err
		}
		id := v.skOf(it)[len(skNotes):]
		if notes.Sentiment != nil && id >= low && skRecord+id <= high && v.head.shows(id) && !v.expired(it, v.now) {
			found = append(found, memory.Record{ID: memory.RecordID(id), Notes: notes})
		}
	}
	return found, nil
}

func (v *view) tellSorted(ctx context.Context, found []memory.Record, opts memory.RangeOptions, limit int, yield func(memory.Record, error) bool) (int, error) {
	slices.SortStableFunc(found, func(a, b memory.Record) int {
		order := cmp.Or(cmp.Compare(*a.Notes.Sentiment, *b.Notes.Sentiment), cmp.Compare(a.ID, b.ID))
		if opts.Backward {
			return -order
		}
		return order
	})
	told := 0
	for len(found) > 0 {
		some := found
		if limit > 0 {
			some = found[:min(limit-told, len(found))]
		}
		bodies, err := v.bodies(ctx, some)
		if err != nil {
			return told, err
		}
		n, err := tell(ctx, bodies, max(0, limit-told), yield)
		if told += n; err != nil {
			return told, err
		}
		found = found[len(some):]
	}
	return told, ctx.Err()
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
