package memory

import (
	"cmp"
	"fmt"
	"math"
	"time"
)

// A Change is one of [Create], [Fork], [Expect], [SetTitle], [SetLabels],
// [SetState], [SetGist], [Annotate], [Edit], [Redact], [Rewind] and [Keep].
type Change interface {
	// Validate reports an error that matches ErrInvalid unless the change is well
	// formed.
	Validate() error
	change()
}

type (
	// Create makes the session and fails with ErrConflict if there is one. Labels
	// without a value are left out.
	Create struct {
		Title  string
		Labels map[string]string
	}
	// Fork makes the session a branch of another one of the same user: a copy of
	// its records up to and with UpTo, or of all where UpTo is empty, with their
	// annotations, and of its present state. A gist comes along if it reaches no
	// further; title, labels and end of life do not. Records are the same, ids
	// included, but an Append with one of their request ids stores a new record. It
	// is ErrConflict if the session exists, ErrNotFound if the other session or UpTo
	// does not. Afterwards the two have nothing in common: deleting one leaves the
	// other.
	Fork struct {
		From string
		UpTo RecordID
	}
	// Expect changes nothing; the Update fails with ErrConflict unless the session
	// is at Version.
	Expect struct{ Version int64 }
	// SetTitle names the session for its user.
	SetTitle struct{ Title string }
	// SetLabels merges labels; an empty value removes one. More than [MaxLabels]
	// afterwards is ErrInvalid.
	SetLabels map[string]string
	// SetState changes the states that the key reaches: a user's key changes
	// User, an app's key App, a session's key all three. Other states are
	// ErrInvalid.
	SetState Delta
	// SetGist replaces the summary. A gist that reaches less far than the present
	// one is ErrConflict, one up to a record that is not there ErrNotFound.
	SetGist Gist
	// Annotate replaces the notes on a record. Zero Notes remove them.
	Annotate struct {
		Record RecordID
		Notes  Notes
	}
	// Edit replaces the messages of a record. The record keeps everything else and
	// is marked [Record.Edited]. A redacted record is ErrConflict.
	Edit struct {
		Record   RecordID
		Messages []Message
	}
	// Redact removes content of a record for good: the messages, Extra and State,
	// or one part of one message, which leaves an empty [Part] in its place. The
	// record keeps its place, time, turn, request id and notes, and is marked
	// [Record.Redacted]. The states are not touched: what the record had set in them
	// stays until SetState removes it.
	Redact struct {
		Record RecordID
		Part   *PartRef // nil means everything
	}
	// Rewind removes every record after To, with its annotations. To need not be
	// there any more; an empty To empties the session. A gist that reaches further
	// goes too. State stays; set it in the same Update.
	Rewind struct{ To RecordID }
	// Keep moves the session's end of life, exact to a second. A time that has
	// passed ends it now. Zero means for ever, or what the store's retention allows.
	Keep struct{ Until time.Time }
)

// A PartRef names a part of a record by index. One that is not there is
// ErrNotFound.
type PartRef struct{ Message, Part int }

func (Create) change()    {}
func (Fork) change()      {}
func (Expect) change()    {}
func (SetTitle) change()  {}
func (SetLabels) change() {}
func (SetState) change()  {}
func (SetGist) change()   {}
func (Annotate) change()  {}
func (Edit) change()      {}
func (Redact) change()    {}
func (Rewind) change()    {}
func (Keep) change()      {}

// Validate implements [Change].
func (c Create) Validate() error {
	return cmp.Or(checkText("title", c.Title, MaxTitle), checkLabels(c.Labels))
}

// Validate implements [Change].
func (c Fork) Validate() error {
	return cmp.Or(Key{User: "u", Session: c.From}.Validate(), c.UpTo.validateOptional())
}

// Validate implements [Change].
func (c Expect) Validate() error {
	if c.Version < 1 {
		return fmt.Errorf("%w: expected version %d: versions start at 1", ErrInvalid, c.Version)
	}
	return nil
}

// Validate implements [Change].
func (c SetTitle) Validate() error { return checkText("title", c.Title, MaxTitle) }

// Validate implements [Change].
func (c SetLabels) Validate() error { return checkLabels(c) }

// Validate implements [Change].
func (c SetState) Validate() error { return Delta(c).Validate() }

// Validate implements [Change].
func (c SetGist) Validate() error {
	if c.Tokens < 0 {
		return fmt.Errorf("%w: a gist of %d tokens", ErrInvalid, c.Tokens)
	}
	return cmp.Or(c.UpTo.validate(), checkText("gist", c.Text, MaxGist))
}

// Validate implements [Change].
func (c Annotate) Validate() error { return cmp.Or(c.Record.validate(), c.Notes.Validate()) }

// Validate implements [Change].
func (c Edit) Validate() error {
	return cmp.Or(c.Record.validate(), Entry{Messages: c.Messages}.Validate())
}

// Validate implements [Change].
func (c Redact) Validate() error {
	if c.Part != nil && (c.Part.Message < 0 || c.Part.Part < 0) {
		return fmt.Errorf("%w: part %d of message %d: both count from 0", ErrInvalid, c.Part.Part, c.Part.Message)
	}
	return c.Record.validate()
}

// Validate implements [Change].
func (c Rewind) Validate() error { return c.To.validateOptional() }

// Validate implements [Change].
func (c Keep) Validate() error { return checkTime("end of life", c.Until) }

func (id RecordID) validate() error {
	if id == "" {
		return fmt.Errorf("%w: a record id is empty", ErrInvalid)
	}
	return id.validateOptional()
}

func (id RecordID) validateOptional() error { return checkName("record id", string(id), 64) }

// A Gist is a summary of the records up to and with UpTo.
type Gist struct {
	UpTo   RecordID
	Text   string
	Tokens int // of Text, by the model's tokenizer; counted into a window's bound
}

// Notes are what was found out about a record after it was stored.
type Notes struct {
	Intent    string   // at most 256 bytes without control characters
	Sentiment *float64 // from -1 to 1; nil if unknown
	Language  string   // a BCP 47 tag
	Model     string   // what found it out
	Labels    map[string]string
}

// IsZero reports whether n says nothing.
func (n Notes) IsZero() bool {
	return n.Intent == "" && n.Sentiment == nil && n.Language == "" && n.Model == "" && len(n.Labels) == 0
}

// Validate reports an error that matches [ErrInvalid] unless n can be stored.
func (n Notes) Validate() error {
	if n.Sentiment != nil && (math.IsNaN(*n.Sentiment) || *n.Sentiment < -1 || *n.Sentiment > 1) {
		return fmt.Errorf("%w: sentiment %v: from -1 to 1", ErrInvalid, *n.Sentiment)
	}
	return cmp.Or(
		checkName("intent", n.Intent, MaxKeyPart),
		checkName("language", n.Language, MaxKeyPart),
		checkName("model", n.Model, MaxKeyPart),
		checkLabels(n.Labels),
	)
}

// ValidateChanges reports an error that matches [ErrInvalid] unless changes may
// be applied to key: the rules of [Store.Update] that need no store. A change that
// is nil, a pointer, or of a type made elsewhere by embedding is ErrInvalid.
func ValidateChanges(key Key, changes []Change) error {
	if err := key.ValidateScope(); err != nil {
		return err
	}
	if len(changes) == 0 || len(changes) > MaxChanges {
		return fmt.Errorf("%w: %d changes: from 1 to %d", ErrInvalid, len(changes), MaxChanges)
	}
	for i, c := range changes {
		if !known(c) {
			return fmt.Errorf("%w: change %d is %T: use one of this package's types, by value", ErrInvalid, i, c)
		}
		if err := c.Validate(); err != nil {
			return fmt.Errorf("%T: %w", c, err)
		}
		if err := checkReach(key, c, i); err != nil {
			return err
		}
	}
	return nil
}

func known(c Change) bool {
	switch c.(type) {
	case Create, Fork, Expect, SetTitle, SetLabels, SetState, SetGist, Annotate, Edit, Redact, Rewind, Keep:
		return true
	}
	return false
}

func checkReach(key Key, c Change, index int) error {
	switch c := c.(type) {
	case SetState:
		if key.User == "" && (c.Set.User != nil || c.Unset.User != nil) ||
			key.Session == "" && (c.Set.Session != nil || c.Unset.Session != nil) ||
			key.Session == "" && key.User != "" && (c.Set.App != nil || c.Unset.App != nil) {
			return fmt.Errorf("%w: key %q does not reach that state", ErrInvalid, key)
		}
		return nil
	case Create, Fork:
		if index > 0 {
			return fmt.Errorf("%w: %T comes first", ErrInvalid, c)
		}
	}
	if key.Session == "" {
		return fmt.Errorf("%w: %T needs a session, key %q names none", ErrInvalid, c, key)
	}
	return nil
}
