package memory

import (
	"cmp"
	"fmt"
	"time"
)

// AppendOptions adjusts an Append. A nil *AppendOptions means the zero value.
type AppendOptions struct {
	// RequestID makes the Append happen once within [RequestLife], however often
	// it is repeated and by whomever: an AWS request id, an execution id and
	// state name. It is scoped to the session. At most 256 bytes.
	RequestID string
	// After is a bookmark that the caller has seen: the new record sorts after it,
	// also when this machine's clock is slow. Needed where a step appends without
	// having read. A bookmark more than a minute ahead of this machine's clock is
	// ErrClockSkew.
	After Bookmark
	// IfVersion makes the Append fail with ErrConflict unless the session is at
	// this version, and moves the version on. It excludes only writers who use it
	// too: an Append without it does not move the version. Zero means no
	// expectation.
	IfVersion int64
	// MustExist makes the Append fail with ErrNotFound where there is no session,
	// instead of creating it. It costs a strongly consistent read of the head.
	MustExist bool
}

// WithDefaults returns what a Store acts on. It accepts a nil receiver.
func (o *AppendOptions) WithDefaults() AppendOptions {
	if o == nil {
		return AppendOptions{}
	}
	return *o
}

// Validate reports an error that matches [ErrInvalid] unless a Store can act on
// o. It accepts a nil receiver.
func (o *AppendOptions) Validate() error {
	opts := o.WithDefaults()
	if opts.IfVersion < 0 {
		return fmt.Errorf("%w: IfVersion is %d: versions start at 1, and 0 expects nothing", ErrInvalid, opts.IfVersion)
	}
	return cmp.Or(checkName("request id", opts.RequestID, MaxKeyPart), opts.After.Validate())
}

// MaxBookmark is the most bytes of a [Bookmark].
const MaxBookmark = 256

// Validate reports an error that matches [ErrInvalid] unless b may be a
// bookmark. A store refuses more: what it cannot read.
func (b Bookmark) Validate() error { return checkName("bookmark", string(b), MaxBookmark) }

// A Receipt says what an Append did.
type Receipt struct {
	Record   Record // as stored, without notes; on a replay, that of the first Append as it is today
	Bookmark Bookmark
	// Version is the session's after this Append if IfVersion was given, else 0; on
	// a replay, what the first Append returned.
	Version  int64
	Replayed bool // nothing was stored: the RequestID was known
}

// DefaultLast is the bound on a window's records where none is given.
const DefaultLast = 20

// WindowOptions adjusts an Open. A nil *WindowOptions means the zero value: the
// newest [DefaultLast] records, cut at a turn.
type WindowOptions struct {
	// Last bounds the number of records; zero means [DefaultLast], negative none at all.
	Last int
	// Tokens bounds the sum of the records' [Entry.TokenCount] and of the gist's
	// Tokens. Zero means no bound. A window bounded by Tokens alone still obeys
	// Last.
	Tokens int
	// Verbatim takes exactly what fits. Without it a window that leaves records out
	// starts where a turn starts and at no tool result whose call is left out, so
	// that it may hold fewer records. Where that leaves nothing, as the newest turn
	// does not fit, the window starts inside it, holds no result whose call is left
	// out, and [Window.Split] is set. It is empty where not even that is possible.
	Verbatim bool
	// Scopes is which states come along; reading those of user and app costs one
	// more request. Zero means OwnState.
	Scopes Scopes
	// AtLeast allows a read from a cache or a replica that has seen this bookmark,
	// which is ErrBehind where none has. One that the store cannot read is
	// ErrInvalid. Empty means a strongly consistent read.
	AtLeast Bookmark
	// Held is an earlier window of the same session. It never changes the
	// result, only the cost: what it holds is not read again.
	Held *Window
	// Notes asks for the annotations of the records.
	Notes bool
}

// WithDefaults returns what a Store acts on. It accepts a nil receiver.
func (o *WindowOptions) WithDefaults() WindowOptions {
	var opts WindowOptions
	if o != nil {
		opts = *o
	}
	opts.Last = cmp.Or(opts.Last, DefaultLast)
	return opts
}

// Validate reports an error that matches [ErrInvalid] unless a Store can act on
// o. It accepts a nil receiver.
func (o *WindowOptions) Validate() error {
	opts := o.WithDefaults()
	if opts.Tokens < 0 {
		return fmt.Errorf("%w: a window of %d tokens: 0 means no bound", ErrInvalid, opts.Tokens)
	}
	if opts.Scopes > NoState {
		return fmt.Errorf("%w: scopes %d are not known", ErrInvalid, opts.Scopes)
	}
	return opts.AtLeast.Validate()
}

// Scopes selects states.
type Scopes uint8

// What [WindowOptions.Scopes] may be.
const (
	OwnState  Scopes = iota // that of the key: the session's, the user's or the app's
	AllStates               // and those above it: session, user and app
	NoState
)

// RangeOptions selects records. A nil *RangeOptions means all, oldest first.
type RangeOptions struct {
	From, To     RecordID  // both included, there or not; empty is open
	Since, Until time.Time // by Record.Time: Since included, Until not; zero is open
	Backward     bool
	Limit        int  // 0 means no limit
	Notes        bool // asks for the annotations
	// BySentiment orders by [Notes.Sentiment], most negative first, or most
	// positive with Backward, the older record first among equals, or last with
	// Backward. Only records with a sentiment are found, and they carry their notes.
	BySentiment bool
}

// WithDefaults returns what a Store acts on. It accepts a nil receiver.
func (o *RangeOptions) WithDefaults() RangeOptions {
	if o == nil {
		return RangeOptions{}
	}
	return *o
}

// Validate reports an error that matches [ErrInvalid] unless a Store can act on
// o. It accepts a nil receiver.
func (o *RangeOptions) Validate() error {
	opts := o.WithDefaults()
	if opts.Limit < 0 {
		return fmt.Errorf("%w: limit %d: 0 means no limit", ErrInvalid, opts.Limit)
	}
	return cmp.Or(opts.From.validateOptional(), opts.To.validateOptional())
}

// A Query selects sessions or records of one app.
type Query struct {
	Tenant, App string
	User        string // empty means all users of the app
	Label       Label  // sessions that carry it, or its Key with any value where Value is empty; zero means all

	// Intent asks for records annotated with it, of all users or one; it needs
	// Since. Without Intent the query yields sessions.
	Intent string
	Since  time.Time // by Record.Time for records, by Head.Active as listed for sessions; included
	Until  time.Time // not included; zero means no bound

	Limit int // 0 means no limit
}

// A Label is one label of a session.
type Label struct{ Key, Value string }

func (l Label) asMap() map[string]string {
	if l.Key == "" {
		return nil
	}
	return map[string]string{l.Key: l.Value}
}

// Validate reports an error that matches [ErrInvalid] unless a Store can answer q.
func (q Query) Validate() error {
	switch {
	case q.Limit < 0:
		return fmt.Errorf("%w: limit %d: 0 means no limit", ErrInvalid, q.Limit)
	case q.Intent != "" && q.Since.IsZero():
		return fmt.Errorf("%w: a query by intent needs Since, which bounds the days it reads", ErrInvalid)
	case q.Intent != "" && q.Label != Label{}:
		return fmt.Errorf("%w: a query is by intent or by label, not both: labels belong to sessions, intents to records", ErrInvalid)
	case q.Label.Key == "" && q.Label.Value != "":
		return fmt.Errorf("%w: a label without a key", ErrInvalid)
	}
	return cmp.Or(checkName("intent", q.Intent, MaxKeyPart), checkLabels(q.Label.asMap()), Key{Tenant: q.Tenant, App: q.App, User: q.User}.ValidateScope())
}

// A Match is a session, or a record in one.
type Match struct {
	Key    Key
	Head   Head     // of a session; zero for a record
	Record RecordID // of a record; empty for a session
	Notes  Notes    // of a record
}
