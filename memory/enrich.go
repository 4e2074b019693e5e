package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// An Enricher finds out what texts say: their intent, sentiment and language.
// [Lexicon] is one for tests and offline runs, package comprehend has one on
// Amazon Comprehend. It is safe for concurrent use.
type Enricher interface {
	// Enrich returns one finding for each of texts, in their order. What is wrong
	// with one text alone is the Err of its finding. The error is for what stops all
	// of them, such as a cancelled context or credentials that are refused; the
	// findings then are none, or still one for each text, those it did not come to
	// with an Err. A text that says nothing has zero Notes.
	Enrich(ctx context.Context, texts []string) ([]Finding, error)
}

// A Finding is what an [Enricher] found out about one text.
type Finding struct {
	Notes Notes
	Err   error // nil if Notes are what there is to know
}

// EnrichOptions adjusts an [Enrich]. A nil *EnrichOptions means the zero value.
type EnrichOptions struct {
	// Roles are those of the messages that are looked at: "user" if empty.
	Roles []string
	// From is the first record that is looked at, there or not: [Enriched.Next] of
	// an earlier call. Empty means the oldest.
	From RecordID
	// Page is how many texts the Enricher is given at a time: 100 if zero. Fewer
	// where they are long: a page of more than a MiB is not made longer.
	Page int
}

// WithDefaults returns what Enrich acts on. It accepts a nil receiver.
func (o *EnrichOptions) WithDefaults() EnrichOptions {
	var opts EnrichOptions
	if o != nil {
		opts = *o
	}
	opts.Page = cmp.Or(opts.Page, 100)
	if len(opts.Roles) == 0 {
		opts.Roles = []string{"user"}
	}
	return opts
}

// Validate reports an error that matches [ErrInvalid] unless Enrich can act on
// o. It accepts a nil receiver.
func (o *EnrichOptions) Validate() error {
	opts := o.WithDefaults()
	if opts.Page < 0 {
		return fmt.Errorf("%w: pages of %d texts: 0 means 100", ErrInvalid, opts.Page)
	}
	return opts.From.validateOptional()
}

// Enriched says what an [Enrich] did.
type Enriched struct {
	Annotated int // records that have notes now
	Skipped   int // records that had notes by then, say nothing, have changed or are gone
	Failed    []EnrichFailure
	// Next is where another call has to begin to find what this one left: the
	// first record that failed, else the last one read. Empty if none was read.
	Next RecordID
}

// An EnrichFailure is a record whose text the Enricher could not make out.
type EnrichFailure struct {
	Record RecordID
	Err    error
}

// Enrich annotates the records of a session that have no notes yet with what
// enricher makes of their text: the text parts of the messages of some roles, one
// below the other, without thoughts. Records that have notes keep them; what says
// nothing gets none. A session that does not exist is ErrNotFound.
//
// It works page by page and may be repeated, by one process or several: a repeat
// goes on with what has no notes. Where texts failed it goes on with the others
// and then returns an error that matches that of the first; [Enriched.Failed] has
// them all.
//
// The session may be in use meanwhile, and its version does not move. Right before it
// writes Enrich reads once more, so that a record which another process has annotated,
// edited or removed since is left alone; of two that annotate one record in the same
// moment one wins.
//
// It reads each record from opts.From on, those it annotates and what lies between them
// twice, and writes 25 annotations at a time.
func Enrich(ctx context.Context, store Store, key Key, enricher Enricher, opts *EnrichOptions) (Enriched, error) {
	if err := cmp.Or(key.Validate(), opts.Validate()); err != nil {
		return Enriched{}, wrap("enrich", key, err)
	}
	e := enrichment{store: store, key: key, enricher: enricher, opts: opts.WithDefaults()}
	err := e.run(ctx)
	return e.done, wrap("enrich", key, err)
}

// pageBytes is how long the texts of a page may be together, about.
const pageBytes = 1 << 20

// enrichTries is how often records may go between the check and the write.
const enrichTries = 8

type enrichment struct {
	store    Store
	key      Key
	enricher Enricher
	opts     EnrichOptions
	done     Enriched
	page     []said
	bytes    int
	next     RecordID // where the next run begins, if nothing has failed
}

// said is what a record says.
type said struct {
	record RecordID
	text   string
}

func (e *enrichment) run(ctx context.Context) error {
	if _, err := e.store.Open(ctx, e.key, &WindowOptions{Last: -1, Scopes: NoState}); err != nil {
		return err
	}
	for r, err := range e.store.Records(ctx, e.key, &RangeOptions{From: e.opts.From, Notes: true}) {
		if err == nil {
			err = e.add(ctx, r)
		}
		if err != nil {
			return e.settle(err)
		}
	}
	last := e.next
	if len(e.page) > 0 {
		last = e.page[len(e.page)-1].record
	}
	err := e.flush(ctx)
	if err == nil {
		e.next = last
	}
	return e.settle(err)
}

func (e *enrichment) add(ctx context.Context, r Record) error {
	if len(e.page) == 0 {
		e.next = r.ID
	}
	text := r.said(e.opts.Roles)
	if !r.Notes.IsZero() || text == "" {
		e.done.Skipped++
		return nil
	}
	e.page, e.bytes = append(e.page, said{r.ID, text}), e.bytes+len(text)
	if len(e.page) < e.opts.Page && e.bytes < pageBytes {
		return nil
	}
	err := e.flush(ctx)
	if err == nil {
		e.next = r.ID
	}
	return err
}

// settle says where the next run begins, and what stands in the way of calling
// this one done.
func (e *enrichment) settle(err error) error {
	e.done.Next = e.next
	if len(e.done.Failed) == 0 {
		return err
	}
	first := e.done.Failed[0]
	e.done.Next = min(e.next, first.Record)
	if err != nil {
		return err
	}
	return fmt.Errorf("%d records failed, the first is %q: %w", len(e.done.Failed), first.Record, first.Err)
}

func (r Record) said(roles []string) string {
	var texts []string
	for _, m := range r.Messages {
		if !slices.Contains(roles, m.Role) {
			continue
		}
		for _, p := range m.Parts {
			if strings.TrimSpace(p.Text) != "" && !p.Thought {
				texts = append(texts, p.Text)
			}
		}
	}
	return strings.Join(texts, "\n")
}

// flush enriches the page and empties it, unless an error leaves work to be done.
func (e *enrichment) flush(ctx context.Context) error {
	if len(e.page) == 0 {
		return nil
	}
	texts := make([]string, len(e.page))
	for i, s := range e.page {
		texts[i] = s.text
	}
	e.next = e.page[0].record
	findings, stopped := e.enricher.Enrich(ctx, texts)
	if stopped != nil && len(findings) == 0 {
		return stopped
	}
	if len(findings) != len(texts) {
		return fmt.Errorf("%w: the enricher returned %d findings for %d texts", ErrCorrupt, len(findings), len(texts))
	}
	notes, missed := e.sort(findings, stopped)
	if err := e.write(ctx, notes); err != nil {
		return err
	}
	e.page, e.bytes = nil, 0
	if stopped != nil && missed != "" {
		e.next = missed
	}
	return stopped
}

// sort returns what is to be written and, of an enricher that was stopped, the
// first record that it missed.
func (e *enrichment) sort(findings []Finding, stopped error) (notes []noted, missed RecordID) {
	for i, f := range findings {
		record, err := e.page[i].record, f.Err
		if err == nil {
			err = f.Notes.Validate()
		}
		switch {
		case err != nil && stopped != nil:
			missed = cmp.Or(missed, record)
		case err != nil:
			e.done.Failed = append(e.done.Failed, EnrichFailure{record, err})
		case f.Notes.IsZero():
			e.done.Skipped++
		default:
			notes = append(notes, noted{e.page[i], f.Notes})
		}
	}
	return notes, missed
}

// noted is what was found out about what a record says.
type noted struct {
	said
	notes Notes
}

// write annotates those of the records that still say the same, without notes.
func (e *enrichment) write(ctx context.Context, notes []noted) error {
	tries := enrichTries
	for len(notes) > 0 {
		n := min(len(notes), MaxChanges)
		changes, err := e.check(ctx, notes[:n])
		if err == nil && len(changes) > 0 {
			_, err = e.store.Update(ctx, e.key, changes...)
		}
		if err == nil {
			e.done.Annotated += len(changes)
			e.done.Skipped += n - len(changes)
			notes, tries = notes[n:], enrichTries
			continue
		}
		// A record has gone since the check: the next one will tell which.
		if tries--; tries == 0 || !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

// check returns those of notes that may be written now.
func (e *enrichment) check(ctx context.Context, notes []noted) ([]Change, error) {
	now := map[RecordID]string{}
	span := &RangeOptions{From: notes[0].record, To: notes[len(notes)-1].record, Notes: true}
	for r, err := range e.store.Records(ctx, e.key, span) {
		if err != nil {
			return nil, err
		}
		if r.Notes.IsZero() {
			now[r.ID] = r.said(e.opts.Roles)
		}
	}
	var changes []Change
	for _, n := range notes {
		if now[n.record] == n.text {
			changes = append(changes, Annotate{Record: n.record, Notes: n.notes})
		}
	}
	return changes, nil
}
