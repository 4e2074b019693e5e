package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// A Summarizer returns a text that stands for previous, the summary so far, and for
// messages, which follow it: usually what a model makes of them. Every tool call in
// messages has its result, and none is redacted. The text has at most [MaxGist] bytes
// and is not empty; tokens is how many it has for the model, 0 for an estimate.
type Summarizer func(ctx context.Context, previous Gist, messages []Message) (text string, tokens int, err error)

// SummarizeOptions adjusts a [Summarize]. A nil *SummarizeOptions means the zero value.
type SummarizeOptions struct {
	// Keep is how many of the newest records the gist leaves out, at least:
	// [DefaultLast] if zero, none if negative.
	Keep int
	// KeepTokens leaves out at least the newest records that fit in so many tokens by
	// [Entry.TokenCount]. Zero means that Keep alone decides.
	KeepTokens int
	// Least is how many tokens of records there must be to summarize; with fewer nothing
	// is done, so that not every step costs a call of a model. Zero means any.
	Least int
	// Batch is how many tokens of records the Summarizer is given at a time: 50,000 if
	// zero. A longer history takes several calls, each on the gist of the one before. A
	// turn that is larger comes whole.
	Batch int
	// Patience is how long a tool call without a result, and the newest turn, are taken
	// to be still going on, so that the gist stays before them: 24 hours if zero.
	Patience time.Duration
}

// WithDefaults returns what Summarize acts on. It accepts a nil receiver.
func (o *SummarizeOptions) WithDefaults() SummarizeOptions {
	var opts SummarizeOptions
	if o != nil {
		opts = *o
	}
	opts.Keep = cmp.Or(opts.Keep, DefaultLast)
	opts.Batch = cmp.Or(opts.Batch, 50_000)
	opts.Patience = cmp.Or(opts.Patience, 24*time.Hour)
	return opts
}

// Validate reports an error that matches [ErrInvalid] unless Summarize can act on
// o. It accepts a nil receiver.
func (o *SummarizeOptions) Validate() error {
	opts := o.WithDefaults()
	if opts.KeepTokens < 0 || opts.Least < 0 || opts.Batch < 0 || opts.Patience < 0 {
		return fmt.Errorf("%w: KeepTokens, Least, Batch and Patience are not negative", ErrInvalid)
	}
	return nil
}

// Summarized says what a [Summarize] did.
type Summarized struct {
	Gist    Gist // the session's now, zero if there is none
	Records int  // covered by it that were not before
	Calls   int  // of the Summarizer
	Left    int  // records after the gist; a window of as many has no gap before it
}

// Summarize brings the gist of a session up to date: what the Summarizer makes of the
// present gist and the records after it, but for the newest. The gist ends where a turn
// ends, and never between a tool call and its result; it may therefore leave out more
// than asked. Where there is nothing to do, nothing is called and written. A session that
// does not exist is ErrNotFound.
//
// It holds nothing while the Summarizer runs. A gist is written only if what it was
// made of is still so: after another process has written a further gist, or has edited,
// redacted or rewound records, Summarize goes on from what is there now. Where that
// happens again and again it returns ErrConflict; repeat it later.
//
// It reads the records after the present gist, and those of each batch but the first
// once more; each call of the Summarizer is followed by one Update.
func Summarize(ctx context.Context, store Store, key Key, summarizer Summarizer, opts *SummarizeOptions) (Summarized, error) {
	s := summary{store: store, key: key, summarizer: summarizer, opts: opts.WithDefaults()}
	err := cmp.Or(key.Validate(), opts.Validate())
	if err == nil {
		err = s.run(ctx)
	}
	return s.done, wrap("summarize", key, err)
}

// summarizeTries is how often other writers may come in between.
const summarizeTries = 8

type summary struct {
	store      Store
	key        Key
	summarizer Summarizer
	opts       SummarizeOptions
	done       Summarized
}

func (s *summary) run(ctx context.Context) error {
	var err error
	for range summarizeTries {
		if err = s.try(ctx); !errors.Is(err, errMoved) {
			return err
		}
	}
	return err
}

// errMoved is that the session is not any more what the gist was made of.
var errMoved = fmt.Errorf("the session changes while it is summarized (%w)", ErrConflict)

// try summarizes from the gist that is there.
func (s *summary) try(ctx context.Context) error {
	w, err := s.store.Open(ctx, s.key, &WindowOptions{Last: -1, Scopes: NoState})
	if err != nil {
		return err
	}
	s.done.Gist = w.Gist
	plan, err := s.plan(ctx, w.Gist.UpTo)
	if err != nil {
		return err
	}
	s.done.Left = len(plan.steps)
	gist, version, from := w.Gist, w.Head.Version, 0
	for _, end := range plan.ends {
		batch, err := plan.batch(ctx, s, from, end)
		if err != nil {
			return err
		}
		next, err := s.call(ctx, gist, batch)
		if err != nil {
			return err
		}
		if next.Text == "" {
			continue // nothing was said yet: it goes with the batch that follows
		}
		if version, err = s.write(ctx, gist, next, batch, version); err != nil {
			return err
		}
		s.done.Gist, s.done.Records, s.done.Left = next, s.done.Records+end-from, len(plan.steps)-end
		gist, from = next, end
	}
	return nil
}

func (s *summary) call(ctx context.Context, previous Gist, batch []Record) (Gist, error) {
	next := Gist{UpTo: batch[len(batch)-1].ID, Text: previous.Text, Tokens: previous.Tokens}
	// With an empty record at the end, no orphan is in the last one: all are answered.
	w := Window{Records: append(slices.Clip(batch), Record{}), Orphans: FindOrphans(batch)}
	messages := w.Messages()
	if len(messages) == 0 {
		return next, nil
	}
	s.done.Calls++
	text, tokens, err := s.summarizer(ctx, previous, messages)
	if err != nil {
		return Gist{}, fmt.Errorf("summarizer: %w", err)
	}
	if text == "" {
		return Gist{}, fmt.Errorf("%w: the summarizer returned no text", ErrInvalid)
	}
	if tokens == 0 {
		tokens = (len(text) + 3) / 4
	}
	next.Text, next.Tokens = text, tokens
	return next, SetGist(next).Validate()
}

// write stores next if the session still has the gist and the records that it was
// made of, and returns the version that the session has then.
func (s *summary) write(ctx context.Context, was, next Gist, batch []Record, version int64) (int64, error) {
	for range summarizeTries {
		_, err := s.store.Update(ctx, s.key, Expect{Version: version}, SetGist(next))
		if err == nil {
			return version + 1, nil
		}
		if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) {
			return 0, err
		}
		// Whatever moved the version, as a SetState does, may have left the records alone:
		// then the summary, which was dear, is still good.
		w, err := s.store.Open(ctx, s.key, &WindowOptions{Last: -1, Scopes: NoState})
		if err != nil {
			return 0, err
		}
		if w.Gist == next {
			return w.Head.Version, nil // our own Update was done
		}
		if err := s.compare(ctx, w.Gist, was, batch); err != nil {
			return 0, err
		}
		version = w.Head.Version
	}
	return 0, errMoved
}

// compare returns errMoved unless the gist and the records of a batch are what they
// were.
func (s *summary) compare(ctx context.Context, gist, was Gist, batch []Record) error {
	if gist != was {
		return errMoved
	}
	now, err := s.read(ctx, batch[0].ID, batch[len(batch)-1].ID)
	if err == nil && !reflect.DeepEqual(now, batch) {
		err = errMoved
	}
	return err
}

func (s *summary) read(ctx context.Context, from, to RecordID) ([]Record, error) {
	var records []Record
	for r, err := range s.store.Records(ctx, s.key, &RangeOptions{From: from, To: to}) {
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

// A plan is how to cut the records after a gist.
type plan struct {
	steps []step
	ends  []int    // of the batches, as indices of the first step after each
	first []Record // those that fit in one batch, so that they need not be read again
}

// A step is what a cut depends on in a record.
type step struct {
	id     RecordID
	turn   string
	time   time.Time
	tokens int
	apart  bool // a cut after this record would part what belongs together
}

func (s *summary) plan(ctx context.Context, after RecordID) (plan, error) {
	var p plan
	tokens := 0
	open := calls{}
	for r, err := range s.store.Records(ctx, s.key, &RangeOptions{From: after}) {
		if err != nil {
			return p, err
		}
		if r.ID == after {
			continue
		}
		tokens += r.TokenCount()
		if tokens <= s.opts.Batch && len(p.first) == len(p.steps) {
			p.first = append(p.first, r)
		}
		p.add(r, open)
	}
	p.wait(open, time.Now().Add(-s.opts.Patience))
	p.cut(s.opts)
	return p, nil
}

// calls are the steps of tool calls without a result, by call id.
type calls map[string][]int

func (p *plan) add(r Record, open calls) {
	at := len(p.steps)
	p.steps = append(p.steps, step{id: r.ID, turn: r.Turn, time: r.Time, tokens: r.TokenCount()})
	if at > 0 && r.Turn != "" && r.Turn == p.steps[at-1].turn {
		p.hold(at-1, at)
	}
	for _, part := range allParts([]Record{r}) {
		if part.Call != nil {
			open[part.Call.ID] = append(open[part.Call.ID], at)
		}
		if part.Result != nil && len(open[part.Result.ID]) > 0 {
			p.hold(open[part.Result.ID][0], at)
			open[part.Result.ID] = open[part.Result.ID][1:]
		}
	}
}

// hold forbids cuts after the steps from one to before another.
func (p *plan) hold(from, to int) {
	for i := from; i < to; i++ {
		p.steps[i].apart = true
	}
}

// wait forbids cuts after what may still go on: calls without a result, and the
// newest turn, if they are from after since.
func (p *plan) wait(open calls, since time.Time) {
	for _, steps := range open {
		for _, at := range steps {
			if p.steps[at].time.After(since) {
				p.hold(at, len(p.steps))
			}
		}
	}
	if last := len(p.steps) - 1; last >= 0 && p.steps[last].turn != "" && p.steps[last].time.After(since) {
		p.steps[last].apart = true
	}
}

// cut finds the ends of batches: at the last cut that is allowed, and before it each
// time that a batch is full.
func (p *plan) cut(opts SummarizeOptions) {
	end := len(p.steps) - max(0, opts.Keep)
	room := opts.KeepTokens
	for i, step := range slices.Backward(p.steps) {
		if room -= step.tokens; room < 0 || opts.KeepTokens == 0 {
			break
		}
		end = min(end, i)
	}
	for end > 0 && p.steps[end-1].apart {
		end--
	}
	all, size, safe := 0, 0, 0
	for i := range max(0, end) {
		n := p.steps[i].tokens
		all += n
		if size += n; size > opts.Batch && safe > 0 {
			p.ends, size, safe = append(p.ends, safe), p.tokens(safe, i+1), 0
		}
		if !p.steps[i].apart {
			safe = i + 1
		}
	}
	if safe > 0 {
		p.ends = append(p.ends, safe)
	}
	if all < opts.Least {
		p.ends = nil
	}
}

func (p *plan) tokens(from, to int) (n int) {
	for _, step := range p.steps[from:to] {
		n += step.tokens
	}
	return n
}

// batch returns the records of the steps from one to before another, or errMoved if
// they are not there any more.
func (p *plan) batch(ctx context.Context, s *summary, from, to int) ([]Record, error) {
	if to <= len(p.first) {
		return p.first[from:to], nil
	}
	records, err := s.read(ctx, p.steps[from].id, p.steps[to-1].id)
	if err != nil {
		return nil, err
	}
	same := slices.EqualFunc(records, p.steps[from:to], func(r Record, st step) bool { return r.ID == st.id })
	if !same {
		return nil, errMoved
	}
	return records, nil
}
