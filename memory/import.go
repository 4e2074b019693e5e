package memory

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"
)

// ImportOptions adjusts an [Import]. A nil *ImportOptions means the zero value.
type ImportOptions struct {
	// Rename returns the key under which a session is stored. Nil means its own.
	Rename func(Key) Key
	// MaxLine is the most bytes that a line may have: 32 MiB if zero, which holds an
	// entry of [MaxEntry] also where each byte of text has to be escaped.
	MaxLine int
	// SharedState also brings what records have set in the states of their user and
	// app, over what is there now. Without it records come without those.
	SharedState bool
	// Merge appends to a session that has other records already. Its head, state and
	// gist stay, but for what the records set. Without it such a session is ErrConflict.
	Merge bool
}

// WithDefaults returns what Import acts on. It accepts a nil receiver.
func (o *ImportOptions) WithDefaults() ImportOptions {
	var opts ImportOptions
	if o != nil {
		opts = *o
	}
	opts.MaxLine = cmp.Or(opts.MaxLine, 32<<20)
	if opts.Rename == nil {
		opts.Rename = func(k Key) Key { return k }
	}
	return opts
}

// Validate reports an error that matches [ErrInvalid] unless Import can act on
// o. It accepts a nil receiver.
func (o *ImportOptions) Validate() error {
	if opts := o.WithDefaults(); opts.MaxLine < 0 {
		return fmt.Errorf("%w: lines of %d bytes: 0 means 32 MiB", ErrInvalid, opts.MaxLine)
	}
	return nil
}

// Imported says what an [Import] did.
type Imported struct {
	Sessions int // read to their end
	Records  int // stored
	Known    int // records that an earlier run had stored
	Expired  int // sessions whose end of life had passed: left out
	Gists    int // left out, as no record that they cover was there to hold them
}

// ImportRequest returns the [Record.RequestID] that Import gives to the record that
// had this id where it was exported.
func ImportRequest(id RecordID) string { return importPrefix + string(id) }

const importPrefix = "import/"

// Import stores the sessions that [Export] or [ExportAll] has written: records with
// their turns, messages, state, notes and marks, in their order; title, labels, end
// of life, state and gist of the session. Ids and times of records, the times,
// version and parent of the head are the store's own; what was the id is in the
// request id, see [ImportRequest].
//
// Each record's request id comes from the id it had, so that a repeat after an error
// goes on where it stopped and doubles nothing, also days later, as long as one Import
// at a time writes to a session. A session that has gone on since keeps its head, state
// and gist.
//
// A line that is broken, too long, out of order or not possible in a store is
// ErrCorrupt, with the number of the line; so is an input that ends inside a session.
// Lines before it have been stored, nothing after it. Fields that are not known become
// part of Extra in records, messages and parts that have none, as a JSON object;
// anywhere else they are ErrCorrupt, as is a schema of a later version.
//
// Each record is one Append; notes are written 25 at a time, and each record that
// was edited or redacted takes one more Update.
func Import(ctx context.Context, store Store, r io.Reader, opts *ImportOptions) (Imported, error) {
	in := &importer{store: store, opts: opts.WithDefaults()}
	if err := opts.Validate(); err != nil {
		return in.done, fmt.Errorf("import: %w", err)
	}
	lines := lineReader{r: bufio.NewReaderSize(r, 64<<10), most: in.opts.MaxLine}
	for {
		err := in.next(ctx, &lines)
		if errors.Is(err, errDone) {
			return in.done, nil
		}
		if err != nil {
			return in.done, fmt.Errorf("import: line %d: %w", lines.n, err)
		}
	}
}

// errDone is that the input has ended where it may.
var errDone = errors.New("done")

func (in *importer) next(ctx context.Context, lines *lineReader) error {
	raw, err := lines.next()
	if errors.Is(err, io.EOF) && in.session == nil {
		return errDone
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: the input ends inside session %q", ErrCorrupt, in.key)
	}
	if err = cmp.Or(err, ctx.Err()); err != nil || len(bytes.TrimSpace(raw)) == 0 {
		return err
	}
	return in.line(ctx, raw)
}

// A lineReader counts lines and bounds them.
type lineReader struct {
	r    *bufio.Reader
	most int
	n    int
	buf  []byte
}

// next returns the next line, valid until the next call.
func (l *lineReader) next() ([]byte, error) {
	l.buf = l.buf[:0]
	l.n++
	for {
		part, err := l.r.ReadSlice('\n')
		if len(l.buf)+len(bytes.TrimSuffix(part, []byte("\n"))) > l.most {
			return nil, fmt.Errorf("%w: more than %d bytes", ErrCorrupt, l.most)
		}
		l.buf = append(l.buf, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(l.buf) > 0:
			return l.buf, nil
		default:
			return l.buf, err
		}
	}
}

type importer struct {
	store Store
	opts  ImportOptions
	done  Imported

	// Of the session that is being read:
	session *sessionLine // nil between sessions
	key     Key          // where it goes
	skip    bool         // it has expired
	known   map[string]knownRecord
	foreign bool // the session has records that are not from here
	last    RecordID
	count   int
	gist    RecordID   // that of the newest record here that the gist covers
	notes   []Annotate // not written yet
}

// A knownRecord is one that an earlier run has stored.
type knownRecord struct {
	id                      RecordID
	noted, edited, redacted bool
}

func (in *importer) line(ctx context.Context, raw []byte) error {
	line, err := decodeLine(raw)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	switch {
	case line.Session != nil:
		if in.session != nil {
			return fmt.Errorf("%w: a session begins before %q has ended", ErrCorrupt, in.key)
		}
		return in.begin(ctx, line.Session)
	case in.session == nil:
		return fmt.Errorf("%w: a record or an end outside of a session", ErrCorrupt)
	case line.Record != nil:
		return in.record(ctx, line.Record.record())
	}
	return in.end(ctx, *line.End)
}

func (in *importer) begin(ctx context.Context, s *sessionLine) error {
	if err := s.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	*in = importer{store: in.store, opts: in.opts, done: in.done, session: s, key: in.opts.Rename(Key(s.Key))}
	if err := in.key.Validate(); err != nil {
		return err
	}
	if in.skip = !s.Head.Expires.IsZero() && !time.Now().Before(s.Head.Expires); in.skip {
		return nil
	}
	_, err := in.store.Open(ctx, in.key, &WindowOptions{Last: -1, Scopes: NoState})
	if errors.Is(err, ErrNotFound) {
		_, err = in.store.Update(ctx, in.key, Create{Title: s.Head.Title, Labels: s.Head.Labels})
		return err
	}
	if err != nil {
		return err
	}
	return in.remember(ctx)
}

// remember finds what the session has already: request ids live for a day, records
// longer.
func (in *importer) remember(ctx context.Context) error {
	in.known = map[string]knownRecord{}
	for r, err := range in.store.Records(ctx, in.key, &RangeOptions{Notes: true}) {
		if err != nil {
			return err
		}
		if len(r.RequestID) <= len(importPrefix) || r.RequestID[:len(importPrefix)] != importPrefix {
			in.foreign = true
			continue
		}
		in.known[r.RequestID] = knownRecord{r.ID, !r.Notes.IsZero(), r.Edited, r.Redacted}
	}
	return nil
}

func (s *sessionLine) check() error {
	// Appends may have made the state larger than State.Normal allows.
	for name, v := range s.State {
		err := checkStateKey(name)
		if err == nil {
			s.State[name], err = normal(v)
		}
		if err != nil {
			return fmt.Errorf("state %.60q: %w", name, err)
		}
	}
	err := cmp.Or(Key(s.Key).Validate(), Create{Title: s.Head.Title, Labels: s.Head.Labels}.Validate(), Keep{Until: s.Head.Expires}.Validate())
	if err == nil && s.Gist != nil {
		err = SetGist(*s.Gist).Validate()
	}
	return err
}

func (in *importer) record(ctx context.Context, r Record) error {
	entry, err := r.Normal()
	if err = cmp.Or(err, r.ID.validate(), checkName("request id", r.RequestID, MaxKeyPart), r.Notes.Validate()); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if r.ID <= in.last {
		return fmt.Errorf("%w: record %q is not after record %q", ErrCorrupt, r.ID, in.last)
	}
	in.last = r.ID
	in.count++
	if in.skip {
		return nil
	}
	r.Entry = entry
	if !in.opts.SharedState {
		r.State.Set.User, r.State.Set.App, r.State.Unset.User, r.State.Unset.App = nil, nil, nil, nil
	}
	known, err := in.append(ctx, r)
	if err != nil {
		return err
	}
	if in.session.Gist != nil && r.ID <= in.session.Gist.UpTo {
		in.gist = cmp.Or(known.id, in.gist)
	}
	if err := in.mark(ctx, r, known); err != nil {
		return err
	}
	if r.Notes.IsZero() || known.noted {
		return nil
	}
	if in.notes = append(in.notes, Annotate{Record: known.id, Notes: r.Notes}); len(in.notes) == MaxChanges {
		return in.annotate(ctx)
	}
	return nil
}

func (in *importer) append(ctx context.Context, r Record) (knownRecord, error) {
	name := ImportRequest(r.ID)
	if known, ok := in.known[name]; ok {
		in.done.Known++
		return known, nil
	}
	if in.foreign && !in.opts.Merge {
		return knownRecord{}, fmt.Errorf("%w: session %q has records that are not from this import; use a new key, or Merge", ErrConflict, in.key)
	}
	receipt, err := in.store.Append(ctx, in.key, r.Entry, &AppendOptions{RequestID: name})
	if err != nil {
		return knownRecord{}, err
	}
	if !receipt.Replayed {
		in.done.Records++
		return knownRecord{id: receipt.Record.ID}, nil
	}
	in.done.Known++
	if receipt.Record.Redacted {
		// It was rewound away since, or redacted: either way it has nothing to bring back.
		return knownRecord{noted: true, edited: true, redacted: true}, nil
	}
	return knownRecord{id: receipt.Record.ID, edited: receipt.Record.Edited}, nil
}

// mark brings back that a record was edited or redacted, by doing so: its content is
// already what it was afterwards.
func (in *importer) mark(ctx context.Context, r Record, known knownRecord) error {
	var changes []Change
	if r.Edited && !known.edited && !known.redacted {
		changes = append(changes, Edit{Record: known.id, Messages: r.Messages})
	}
	if r.Redacted && !known.redacted {
		changes = append(changes, Redact{Record: known.id, Part: r.hole()})
	}
	if changes == nil {
		return nil
	}
	_, err := in.store.Update(ctx, in.key, changes...)
	return err
}

// hole returns an empty part of r, which a redaction has left, or nil if all of r
// was redacted.
func (r Record) hole() *PartRef {
	for i, m := range r.Messages {
		for j, p := range m.Parts {
			if p.isEmpty() {
				return &PartRef{Message: i, Part: j}
			}
		}
	}
	return nil
}

func (in *importer) annotate(ctx context.Context) error {
	if len(in.notes) == 0 {
		return nil
	}
	changes := make([]Change, len(in.notes))
	for i, a := range in.notes {
		changes[i] = a
	}
	in.notes = nil
	_, err := in.store.Update(ctx, in.key, changes...)
	return err
}

func (in *importer) end(ctx context.Context, e endLine) error {
	s := in.session
	in.session = nil
	if e.Records != in.count {
		return fmt.Errorf("%w: session %q ends after %d records, not %d", ErrCorrupt, in.key, in.count, e.Records)
	}
	if in.skip {
		in.done.Expired++
		return nil
	}
	if err := in.annotate(ctx); err != nil {
		return err
	}
	if !in.foreign {
		if err := in.settle(ctx, s); err != nil {
			return err
		}
	}
	in.done.Sessions++
	return nil
}

// settle makes the session what it was, beside its records.
func (in *importer) settle(ctx context.Context, s *sessionLine) error {
	w, err := in.store.Open(ctx, in.key, &WindowOptions{Last: -1})
	if err != nil {
		return err
	}
	var changes []Change
	if delta := between(w.States.Session, s.State); len(delta.Set.Session)+len(delta.Unset.Session) > 0 {
		changes = append(changes, SetState(delta))
	}
	switch {
	case s.Gist == nil:
	case in.gist == "":
		in.done.Gists++
	default:
		changes = append(changes, SetGist{UpTo: in.gist, Text: s.Gist.Text, Tokens: s.Gist.Tokens})
	}
	if !s.Head.Expires.IsZero() {
		changes = append(changes, Keep{Until: s.Head.Expires})
	}
	if len(changes) == 0 {
		return nil
	}
	_, err = in.store.Update(ctx, in.key, changes...)
	return err
}

// between returns what makes one state of a session another.
func between(from, to State) (d Delta) {
	d.Set.Session = State{}
	for name, v := range to {
		if was, ok := from[name]; !ok || !reflect.DeepEqual(was, v) {
			d.Set.Session[name] = v
		}
	}
	for name := range from {
		if _, ok := to[name]; !ok {
			d.Unset.Session = append(d.Unset.Session, name)
		}
	}
	return d
}
