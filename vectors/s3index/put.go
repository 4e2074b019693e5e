package s3index

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/genaistore/genaistore/meter"
	"github.com/genaistore/genaistore/vectors"
)

// putsUnderWay is how many requests of one Put are under way: more would only
// hold bodies in memory, since an index takes five full ones a second.
const putsUnderWay = 4

// Put implements [vectors.Index]. A vector is judged by the rules of package
// vectors first; what the service refuses all the same is in Report.Rejected with
// its reason. Where the service is short of capacity the requests become smaller,
// and where it refuses any, Put waits and tries again a few times; then it ends
// with an error that matches [vectors.ErrThrottled], and the vectors that were
// under way are rejected with it. Repeat the Put to go on, with SkipEqual to pass
// over what is stored.
func (x *Index) Put(ctx context.Context, seq iter.Seq2[vectors.Vector, error], opts *vectors.PutOptions) (vectors.Report, error) {
	var spent meter.Meter
	ctx = meter.With(ctx, &spent)
	schema, err := x.schema(ctx)
	if err != nil || seq == nil {
		return vectors.Report{}, x.wrap("put", err)
	}
	p := x.newLoad(schema, opts.WithDefaults(), &spent)
	err = p.run(ctx, seq)
	report := p.reported()
	if rejected := report.Err(); rejected != nil {
		if err != nil {
			rejected = fmt.Errorf("%w; %w", err, rejected)
		}
		err = rejected
	}
	return report, x.wrap("put", err)
}

func (x *Index) newLoad(schema vectors.Schema, opts vectors.PutOptions, spent *meter.Meter) *load {
	return &load{
		index: x, opts: opts, schema: schema, spent: spent, most: batchVectors,
		underWay: min(putsUnderWay, x.opts.Concurrency), size: 64 << 10,
	}
}

// A load is one call of Put or Load. It runs in the goroutine of its caller, but for the
// requests.
type load struct {
	index    *Index
	opts     vectors.PutOptions
	schema   vectors.Schema
	spent    *meter.Meter
	underWay int

	ledger  *ledger // nil for a Put
	taken   int64   // vectors of the sequence
	batch   *batch
	size    int // what the next batch is expected to take
	most    int // vectors of a batch; less once the service was short of capacity
	flying  []*batch
	room    [][]byte // of batches that are stored, for others
	settled chan *sending
	report  vectors.Report
}

func (p *load) run(ctx context.Context, seq iter.Seq2[vectors.Vector, error]) error {
	var group errgroup.Group
	group.SetLimit(p.underWay)
	p.settled = make(chan *sending, p.underWay)
	launch := func(b *batch) {
		s := &sending{index: p.index, batch: b, skipEqual: p.opts.SkipEqual}
		p.flying = append(p.flying, b)
		p.ledger.launched(b, p.taken)
		group.Go(func() error {
			s.run(ctx)
			p.settled <- s
			return nil
		})
	}
	err := p.takeAll(ctx, seq, launch)
	for len(p.flying) > 0 {
		err = first(err, p.settle(ctx, <-p.settled))
	}
	if err == nil {
		err = p.ledger.finish(ctx, p.taken)
	}
	return first(err, group.Wait())
}

// first returns the error that came first, and a later one that it does not match.
func first(err, later error) error {
	if err == nil || later == nil || errors.Is(err, later) || errors.Is(later, err) {
		if err == nil {
			return later
		}
		return err
	}
	return fmt.Errorf("%w; %w", err, later)
}

func (p *load) takeAll(ctx context.Context, seq iter.Seq2[vectors.Vector, error], launch func(*batch)) error {
	for v, err := range seq {
		if err == nil {
			err = ctx.Err()
			if err == nil {
				err = p.take(ctx, v, launch)
			}
			if err != nil {
				return err
			}
			p.taken++
			p.ledger.took(v.Key)
			continue
		}
		return first(err, p.flush(ctx, launch)) // what came before it is stored
	}
	return p.flush(ctx, launch)
}

func (p *load) take(ctx context.Context, v vectors.Vector, launch func(*batch)) error {
	normal, err := p.schema.Checked(v)
	if err != nil {
		p.refuse(v.Key, err)
		return nil
	}
	for {
		if p.batch == nil {
			p.batch = p.index.newBatch(p.size, p.spare())
		}
		if len(p.batch.keys) < p.most && p.batch.add(normal, p.index.opts.BodyBytes) {
			if p.opts.SkipEqual != "" {
				p.batch.skip = append(p.batch.skip, normal.Metadata[p.opts.SkipEqual])
			}
			return nil
		}
		if len(p.batch.keys) == 0 {
			p.refuse(v.Key, tooLarge(p.index.opts.BodyBytes))
			return nil
		}
		if err := p.flush(ctx, launch); err != nil {
			return err
		}
	}
}

// spare returns room that is free, or nil.
func (p *load) spare() []byte {
	if len(p.room) == 0 {
		return nil
	}
	room := p.room[len(p.room)-1]
	p.room = p.room[:len(p.room)-1]
	return room
}

// refuse rejects a vector that is not sent.
func (p *load) refuse(key string, err error) {
	p.report.Rejected = append(p.report.Rejected, vectors.Rejection{Key: key, Err: err})
	p.ledger.refused(key, err)
}

// flush sends the batch once it may go: when there is room, no batch with one of
// its keys is under way, since the last must win, and the governor lets it.
func (p *load) flush(ctx context.Context, launch func(*batch)) error {
	if p.batch == nil || len(p.batch.keys) == 0 {
		return ctx.Err()
	}
	if err := p.settleWhile(ctx, func() bool {
		return len(p.settled) > 0 || len(p.flying) >= p.underWay || p.ledger.full() || slices.ContainsFunc(p.flying, p.batch.meets)
	}); err != nil {
		return err
	}
	if p.opts.SkipEqual == "" {
		if err := p.index.governor.Wait(ctx, 1, len(p.batch.live())); err != nil {
			return err
		}
	}
	// What was stored meanwhile leaves its room to the next batch.
	if err := p.settleWhile(ctx, func() bool { return len(p.settled) > 0 }); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b := p.batch
	p.batch, p.size = nil, len(b.text)+len(b.text)/50+len(batchEnd)
	launch(b)
	return nil
}

func (p *load) settleWhile(ctx context.Context, more func() bool) error {
	for more() {
		if err := p.settle(ctx, <-p.settled); err != nil {
			return err
		}
	}
	return nil
}

// settle adds what became of a batch to the report.
func (p *load) settle(ctx context.Context, s *sending) error {
	p.flying = slices.DeleteFunc(p.flying, func(b *batch) bool { return b == s.batch })
	if room := s.batch.release(); s.clean {
		p.room = append(p.room, room)
	}
	p.report.Done += s.done
	p.report.Skipped += s.skipped
	p.report.Rejected = append(p.report.Rejected, s.rejected...)
	if s.small > 0 {
		p.most = min(p.most, s.small)
	}
	if s.err == nil && p.opts.Progress != nil {
		p.opts.Progress(p.reported())
	}
	return first(s.err, p.ledger.settled(ctx, s))
}

// reported returns a copy of the report so far.
func (p *load) reported() vectors.Report {
	report, cost := p.report, p.spent.Cost()
	report.Rejected = slices.Clone(report.Rejected)
	report.Requests, report.Bytes = int(cost.Requests), cost.BytesSent
	return report
}
