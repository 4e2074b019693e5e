package memory

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// exportSchema is the version of the lines that Export writes. A change that a
// reader of this version would misread needs another one.
const exportSchema = 1

// A line of an export is one of three: a session begins, a record of it, it ends.
// The names here are on people's disks; the fields of the package may be renamed.
// What is nil is left out; what is empty is there, empty.
type exportLine struct {
	Session *sessionLine `json:"session,omitzero"`
	Record  *recordLine  `json:"record,omitzero"`
	End     *endLine     `json:"end,omitzero"`
}

type sessionLine struct {
	Schema int       `json:"schema"`
	Key    keyLine   `json:"key"`
	Head   headLine  `json:"head"`
	State  State     `json:"state,omitzero"`
	Gist   *gistLine `json:"gist,omitzero"`
}

// An endLine proves that the session is whole.
type endLine struct {
	Records int `json:"records"`
}

type keyLine struct {
	Tenant  string `json:"tenant,omitzero"`
	App     string `json:"app,omitzero"`
	User    string `json:"user"`
	Session string `json:"session"`
}

type headLine struct {
	Created time.Time         `json:"created"`
	Active  time.Time         `json:"active"`
	Version int64             `json:"version"`
	Title   string            `json:"title,omitzero"`
	Labels  map[string]string `json:"labels,omitzero"`
	Parent  parentLine        `json:"parent,omitzero"`
	Expires time.Time         `json:"expires,omitzero"`
}

type parentLine struct {
	Session string   `json:"session"`
	UpTo    RecordID `json:"upTo,omitzero"`
}

type gistLine struct {
	UpTo   RecordID `json:"upTo"`
	Text   string   `json:"text"`
	Tokens int      `json:"tokens,omitzero"`
}

type recordLine struct {
	ID        RecordID      `json:"id"`
	Time      time.Time     `json:"time"`
	RequestID string        `json:"requestId,omitzero"`
	Turn      string        `json:"turn,omitzero"`
	Messages  []messageLine `json:"messages,omitzero"`
	State     deltaLine     `json:"state,omitzero"`
	Notes     *notesLine    `json:"notes,omitzero"`
	Redacted  bool          `json:"redacted,omitzero"`
	Edited    bool          `json:"edited,omitzero"`
	Extra     []byte        `json:"extra,omitzero"`
}

type messageLine struct {
	Role   string            `json:"role,omitzero"`
	Name   string            `json:"name,omitzero"`
	Time   time.Time         `json:"time,omitzero"`
	Parts  []partLine        `json:"parts,omitzero"`
	Tokens int               `json:"tokens,omitzero"`
	Labels map[string]string `json:"labels,omitzero"`
	Extra  []byte            `json:"extra,omitzero"`
}

type partLine struct {
	Text    string      `json:"text,omitzero"`
	Blob    *blobLine   `json:"blob,omitzero"`
	Call    *callLine   `json:"call,omitzero"`
	Result  *resultLine `json:"result,omitzero"`
	Thought bool        `json:"thought,omitzero"`
	Extra   []byte      `json:"extra,omitzero"`
}

type blobLine struct {
	MediaType string `json:"mediaType,omitzero"`
	Name      string `json:"name,omitzero"`
	Data      []byte `json:"data,omitzero"`
	URI       string `json:"uri,omitzero"`
}

type callLine struct {
	ID        string `json:"id,omitzero"`
	Name      string `json:"name,omitzero"`
	Arguments []byte `json:"arguments,omitzero"`
}

type resultLine struct {
	ID      string     `json:"id,omitzero"`
	Name    string     `json:"name,omitzero"`
	Content []byte     `json:"content,omitzero"`
	Parts   []partLine `json:"parts,omitzero"`
	IsError bool       `json:"isError,omitzero"`
}

type deltaLine struct {
	Set   statesLine `json:"set,omitzero"`
	Unset unsetLine  `json:"unset,omitzero"`
}

type statesLine struct {
	Session State `json:"session,omitzero"`
	User    State `json:"user,omitzero"`
	App     State `json:"app,omitzero"`
}

type unsetLine struct {
	Session []string `json:"session,omitzero"`
	User    []string `json:"user,omitzero"`
	App     []string `json:"app,omitzero"`
}

type notesLine struct {
	Intent    string            `json:"intent,omitzero"`
	Sentiment *float64          `json:"sentiment,omitzero"`
	Language  string            `json:"language,omitzero"`
	Model     string            `json:"model,omitzero"`
	Labels    map[string]string `json:"labels,omitzero"`
}

func newSessionLine(w Window) *sessionLine {
	h := w.Head
	line := &sessionLine{
		Schema: exportSchema,
		Key:    keyLine(w.Key),
		Head: headLine{
			Created: h.Created.UTC(), Active: h.Active.UTC(), Version: h.Version,
			Title: h.Title, Labels: h.Labels, Parent: parentLine(h.Parent), Expires: utc(h.Expires),
		},
		State: w.States.Session,
	}
	if w.Gist != (Gist{}) {
		line.Gist = new(gistLine(w.Gist))
	}
	return line
}

// utc leaves the zero time as it is, which a change of zone would not.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}

func newRecordLine(r Record) *recordLine {
	line := &recordLine{
		ID: r.ID, Time: r.Time.UTC(), RequestID: r.RequestID, Turn: r.Turn, Redacted: r.Redacted, Edited: r.Edited, Extra: r.Extra,
		Messages: convert(r.Messages, newMessageLine),
		State:    deltaLine{Set: statesLine(r.State.Set), Unset: unsetLine(r.State.Unset)},
	}
	if !r.Notes.IsZero() {
		line.Notes = new(notesLine(r.Notes))
	}
	return line
}

func (l *recordLine) record() Record {
	r := Record{
		ID: l.ID, Time: l.Time, RequestID: l.RequestID, Redacted: l.Redacted, Edited: l.Edited,
		Entry: Entry{
			Turn: l.Turn, Extra: l.Extra, Messages: convert(l.Messages, messageLine.message),
			State: Delta{Set: States(l.State.Set), Unset: Unset(l.State.Unset)},
		},
	}
	if l.Notes != nil {
		r.Notes = Notes(*l.Notes)
	}
	return r
}

func newMessageLine(m Message) messageLine {
	return messageLine{
		Role: m.Role, Name: m.Name, Time: utc(m.Time), Parts: convert(m.Parts, newPartLine), Tokens: m.Tokens, Labels: m.Labels, Extra: m.Extra,
	}
}

func (l messageLine) message() Message {
	return Message{
		Role: l.Role, Name: l.Name, Time: l.Time, Parts: convert(l.Parts, partLine.part), Tokens: l.Tokens, Labels: l.Labels, Extra: l.Extra,
	}
}

func newPartLine(p Part) partLine {
	l := partLine{Text: p.Text, Blob: (*blobLine)(p.Blob), Call: (*callLine)(p.Call), Thought: p.Thought, Extra: p.Extra}
	if r := p.Result; r != nil {
		l.Result = &resultLine{ID: r.ID, Name: r.Name, Content: r.Content, Parts: convert(r.Parts, newPartLine), IsError: r.IsError}
	}
	return l
}

func (l partLine) part() Part {
	p := Part{Text: l.Text, Blob: (*Blob)(l.Blob), Call: (*ToolCall)(l.Call), Thought: l.Thought, Extra: l.Extra}
	if r := l.Result; r != nil {
		p.Result = &ToolResult{ID: r.ID, Name: r.Name, Content: r.Content, Parts: convert(r.Parts, partLine.part), IsError: r.IsError}
	}
	return p
}

// convert keeps nil apart from empty.
func convert[From, To any](list []From, one func(From) To) []To {
	if list == nil {
		return nil
	}
	out := make([]To, len(list))
	for i := range list {
		out[i] = one(list[i])
	}
	return out
}

// Records, messages and parts have an Extra for what a framework knows and this
// package does not. Fields of another name come from one, and go there.

// UnmarshalJSON implements [json.Unmarshaler].
func (l *recordLine) UnmarshalJSON(raw []byte) error {
	type plain recordLine
	return withUnknown(raw, (*plain)(l), &l.Extra)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (l *messageLine) UnmarshalJSON(raw []byte) error {
	type plain messageLine
	return withUnknown(raw, (*plain)(l), &l.Extra)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (l *partLine) UnmarshalJSON(raw []byte) error {
	type plain partLine
	return withUnknown(raw, (*plain)(l), &l.Extra)
}

// withUnknown decodes an object and gathers fields that it does not know as a JSON
// object in extra.
func withUnknown[T any](raw []byte, to *T, extra *[]byte) error {
	err := strictJSON(raw, to)
	if err == nil {
		return nil
	}
	var known map[string]json.RawMessage
	if json.Unmarshal(raw, &known) != nil {
		return err
	}
	unknown := map[string]json.RawMessage{}
	for name, value := range known {
		if !hasField(reflect.TypeFor[T](), name) {
			unknown[name] = value
			delete(known, name)
		}
	}
	if len(unknown) == 0 {
		return err
	}
	if raw, err = json.Marshal(known); err != nil {
		return err
	}
	var again T
	*to = again
	if err := strictJSON(raw, to); err != nil {
		return err
	}
	if *extra != nil {
		return fmt.Errorf("field %.60q is not known, and there is an extra already", slices.Min(slices.Collect(maps.Keys(unknown))))
	}
	*extra, err = json.Marshal(unknown)
	return err
}

// hasField reports whether encoding/json decodes a field of that name into t.
func hasField(t reflect.Type, name string) bool {
	for field := range t.Fields() {
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if strings.EqualFold(tag, name) {
			return true
		}
	}
	return false
}

func decodeLine(raw []byte) (exportLine, error) {
	var line exportLine
	if err := strictJSON(raw, &line); err != nil {
		return exportLine{}, cmp.Or(checkSchema(raw), err)
	}
	kinds := 0
	for _, is := range []bool{line.Session != nil, line.Record != nil, line.End != nil} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		return exportLine{}, errors.New("it is none of a session, a record and an end, or several")
	}
	return line, checkSchema(raw)
}

// checkSchema tells a line of a later version from one that is broken.
func checkSchema(raw []byte) error {
	var line struct{ Session *struct{ Schema int } }
	err := json.Unmarshal(raw, &line)
	if err == nil && line.Session != nil && line.Session.Schema != exportSchema {
		err = fmt.Errorf("schema %d: this version of the library reads %d", line.Session.Schema, exportSchema)
	}
	return err
}
