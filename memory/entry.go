package memory

import (
	"bytes"
	"cmp"
	"fmt"
	"time"
	"unicode/utf8"
)

// Limits on what one Append or Update takes. They are the library's own, chosen
// so that every backend can keep them: a DynamoDB item holds 400 KB, and larger
// records are cut into chunks.
const (
	// MaxEntry is the most bytes of content in an [Entry], see [Entry.Size].
	// Larger media belong in artifacts; a [Blob] refers to them by URI.
	MaxEntry = 4 << 20
	// MaxState is the most bytes that one [State] may have as JSON: each of those in
	// the [Delta] of an Append, and each that an Update leaves behind. More is
	// ErrInvalid. Appends together may make a state larger, as an Append does not
	// read the one that is there: it can be read, and an Update of it has to make it
	// smaller.
	MaxState = 256 << 10
	// MaxNesting is how deep values of a State, and Parts of tool results, may nest.
	MaxNesting = 32
	// MaxMessages is the most messages in an [Entry].
	MaxMessages = 1000
	// MaxLabels is the most labels of a session, a message or of [Notes].
	MaxLabels = 50
	// MaxLabelValue is the most bytes of one label's value.
	MaxLabelValue = 1024
	// MaxTitle is the most bytes of a title.
	MaxTitle = 1024
	// MaxGist is the most bytes of a gist's text.
	MaxGist = 64 << 10
	// MaxChanges is the most changes in one Update: each may touch an item, and
	// a DynamoDB transaction holds 100.
	MaxChanges = 25
	// RequestLife is how long a RequestID is remembered, at least.
	RequestLife = 24 * time.Hour
)

// A RecordID names a record in its session, in at most 64 bytes. Ids compare as
// strings in the order of the log. One that names no record where one is needed
// is ErrNotFound.
type RecordID string

// A Bookmark is a point in the history of one session, user or app, as an opaque
// string of at most [MaxBookmark] bytes that fits in a JSON document. Hand it to
// the next step, on any machine: a read AtLeast there sees what was written here,
// and an Append After it sorts later. It carries no tenant and no content.
type Bookmark string

// An Entry is what one Append stores: the messages of one step. It may have
// none, where only the state changes.
type Entry struct {
	// Turn groups the entries of one exchange, such as an ADK invocation: from
	// the user's words to the final answer. Windows do not begin inside a turn.
	// Empty means that the entry is a turn by itself. At most 256 bytes.
	Turn     string
	Messages []Message
	// State is merged, a key at a time, into the state of the session, the user
	// and the app. The session's part is visible together with the record; the
	// others before Append returns or, if the writer dies between, from the next
	// Open of this session with AllStates on, within [RequestLife]. The greatest record
	// id wins a key, so that a late replay never takes a newer value back. The record carries it, in the types
	// that State names.
	State Delta
	// Extra is what the framework needs back, byte for byte, and no store reads.
	Extra []byte
}

// A Record is an entry as it is stored.
type Record struct {
	ID        RecordID
	Time      time.Time // of the append, in milliseconds UTC, by the writer's clock
	RequestID string    // of its Append, or empty
	Entry
	Notes    Notes // annotations, present where the read asked for them
	Redacted bool  // content was removed afterwards; the record keeps its place
	Edited   bool  // the messages were replaced afterwards
}

// A Message is one message of a conversation. Parts keep their order: text
// between two tool calls stays between them. What goes in comes out unchanged;
// an empty list, map or []byte comes back empty, a nil one nil.
type Message struct {
	Role   string    // "user", "assistant", "tool", "system", or the framework's own
	Name   string    // who speaks, where several do
	Time   time.Time // when it was said by its author's clock, in nanoseconds; zero if unknown; comes back in UTC
	Parts  []Part
	Tokens int               // of the model's tokenizer; 0 means not counted
	Labels map[string]string // small, searchable nowhere
	Extra  []byte            // unknown fields of the framework, byte for byte
}

// A Part is one piece of a message. Exactly one of Text, Blob, Call and Result
// is set, or none where Extra alone carries a kind not known here.
type Part struct {
	Text   string
	Blob   *Blob
	Call   *ToolCall
	Result *ToolResult
	// Thought marks reasoning, which is kept but never shown to the next model
	// unless the model itself asks for it.
	Thought bool
	Extra   []byte
}

// A Blob is bytes with a media type, held inline or by reference.
type Blob struct {
	MediaType string
	Name      string
	Data      []byte // nil when URI is set
	URI       string // where the bytes are, for a reference the caller resolves
}

// A ToolCall is a model's wish to run a tool. Arguments is a JSON object, kept
// byte for byte: nil and {} are different things.
type ToolCall struct {
	ID, Name  string
	Arguments []byte
}

// A ToolResult answers the ToolCall with the same ID. Content is JSON, kept byte
// for byte. A media result travels in Parts.
type ToolResult struct {
	ID, Name string
	Content  []byte
	Parts    []Part
	IsError  bool
}

// Text returns a message of role with one text part.
func Text(role, text string) Message {
	return Message{Role: role, Parts: []Part{{Text: text}}}
}

// Size returns the bytes of content in e that [MaxEntry] bounds: every string
// and byte slice of its messages and Extra. State is bounded by [MaxState].
func (e Entry) Size() int {
	n := len(e.Turn) + len(e.Extra)
	for _, m := range e.Messages {
		n += len(m.Role) + len(m.Name) + len(m.Extra) + partsSize(m.Parts)
		for k, v := range m.Labels {
			n += len(k) + len(v)
		}
	}
	return n
}

func partsSize(parts []Part) (n int) {
	for _, p := range parts {
		n += len(p.Text) + len(p.Extra)
		if p.Blob != nil {
			n += len(p.Blob.MediaType) + len(p.Blob.Name) + len(p.Blob.Data) + len(p.Blob.URI)
		}
		if p.Call != nil {
			n += len(p.Call.ID) + len(p.Call.Name) + len(p.Call.Arguments)
		}
		if p.Result != nil {
			n += len(p.Result.ID) + len(p.Result.Name) + len(p.Result.Content) + partsSize(p.Result.Parts)
		}
	}
	return n
}

// TokenCount returns the tokens of the messages of e, by [Message.TokenCount].
func (e Entry) TokenCount() (n int) {
	for _, m := range e.Messages {
		n += m.TokenCount()
	}
	return n
}

// TokenCount returns m.Tokens or, where that is 0, an estimate: one token for
// four bytes of text, tool arguments and tool results, rounded up, 4 for the
// message and 256 for a blob. Real tokenizers differ by a third either way for
// English prose; count with the model's own where a budget is tight.
func (m Message) TokenCount() int {
	if m.Tokens > 0 {
		return m.Tokens
	}
	bytes, blobs := partsText(m.Parts)
	return 4 + (bytes+3)/4 + 256*blobs
}

func partsText(parts []Part) (bytes, blobs int) {
	for _, p := range parts {
		bytes += len(p.Text)
		if p.Blob != nil {
			blobs++
		}
		if p.Call != nil {
			bytes += len(p.Call.Name) + len(p.Call.Arguments)
		}
		if p.Result != nil {
			inner, more := partsText(p.Result.Parts)
			bytes, blobs = bytes+len(p.Result.Content)+inner, blobs+more
		}
	}
	return bytes, blobs
}

// Validate reports an error that matches [ErrInvalid] unless e can be stored.
func (e Entry) Validate() error {
	return cmp.Or(e.checkContent(), e.State.Validate())
}

// Normal returns a deep copy of e as a store keeps it: state in the types that
// [State] names, times in UTC. An error matches [ErrInvalid].
func (e Entry) Normal() (Entry, error) {
	if err := e.checkContent(); err != nil {
		return Entry{}, err
	}
	state, err := e.State.Normal()
	if err != nil {
		return Entry{}, err
	}
	e.Messages, e.Extra, e.State = cloneMessages(e.Messages), bytes.Clone(e.Extra), state
	for i := range e.Messages {
		e.Messages[i].Time = e.Messages[i].Time.UTC()
	}
	return e, nil
}

func (e Entry) checkContent() error {
	if err := checkName("turn", e.Turn, MaxKeyPart); err != nil {
		return err
	}
	if len(e.Messages) > MaxMessages {
		return fmt.Errorf("%w: %d messages in one entry: at most %d", ErrInvalid, len(e.Messages), MaxMessages)
	}
	left := mostParts // before the size, which what refers to itself has none of
	for i, m := range e.Messages {
		if err := m.validate(&left); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	if size := e.Size(); size > MaxEntry {
		return fmt.Errorf("%w: an entry of %d bytes: at most %d; keep larger media in artifacts and refer to them by URI", ErrInvalid, size, MaxEntry)
	}
	return nil
}

// mostParts is more parts than an entry has that was made by anybody.
const mostParts = 1 << 18

func (m Message) validate(left *int) error {
	if m.Tokens < 0 {
		return fmt.Errorf("%w: %d tokens: 0 means not counted", ErrInvalid, m.Tokens)
	}
	if !utf8.ValidString(m.Role) || !utf8.ValidString(m.Name) {
		return fmt.Errorf("%w: role and name are UTF-8", ErrInvalid)
	}
	return cmp.Or(checkTime("message time", m.Time), checkLabels(m.Labels), checkParts(m.Parts, 0, left))
}

func checkParts(parts []Part, depth int, left *int) error {
	if depth > MaxNesting {
		return fmt.Errorf("%w: tool results nest deeper than %d", ErrInvalid, MaxNesting)
	}
	if *left -= len(parts); *left < 0 {
		return fmt.Errorf("%w: an entry has at most %d parts", ErrInvalid, mostParts)
	}
	for i, p := range parts {
		if err := p.validate(depth, left); err != nil {
			return fmt.Errorf("part %d: %w", i, err)
		}
	}
	return nil
}

func (p Part) validate(depth int, left *int) error {
	set := 0
	for _, is := range []bool{p.Text != "", p.Blob != nil, p.Call != nil, p.Result != nil} {
		if is {
			set++
		}
	}
	if set > 1 {
		return fmt.Errorf("%w: one of Text, Blob, Call and Result may be set, not %d", ErrInvalid, set)
	}
	valid := utf8.ValidString(p.Text)
	switch {
	case p.Blob != nil:
		if p.Blob.Data != nil && p.Blob.URI != "" {
			return fmt.Errorf("%w: a blob has Data or a URI, not both", ErrInvalid)
		}
		valid = utf8.ValidString(p.Blob.MediaType) && utf8.ValidString(p.Blob.Name) && utf8.ValidString(p.Blob.URI)
	case p.Call != nil:
		valid = utf8.ValidString(p.Call.ID) && utf8.ValidString(p.Call.Name)
	case p.Result != nil:
		if err := checkParts(p.Result.Parts, depth+1, left); err != nil {
			return err
		}
		valid = utf8.ValidString(p.Result.ID) && utf8.ValidString(p.Result.Name)
	}
	if !valid {
		return fmt.Errorf("%w: text, names and ids are UTF-8; other bytes go into a Blob", ErrInvalid)
	}
	return nil
}
