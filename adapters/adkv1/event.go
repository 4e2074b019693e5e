// Code generated from ../adk/event.go by go test -update; DO NOT EDIT.

package adkv1

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"

	"google.golang.org/adk/model"
	"google.golang.org/adk/session"
	"google.golang.org/genai"

	"github.com/genaistore/genaistore/memory"
)

// schema is the version of what stored carries.
const schema = 1

// stored is the Extra of a message: the event without what the record says already,
// which is its content and its state. Text, media and tool calls are in the parts of
// the message, where other frameworks read them and where they can be redacted.
type stored struct {
	ADK   int             `json:"adk"`
	Event json.RawMessage `json:"event"`
}

func encode(e *session.Event) (memory.Entry, error) {
	bare := *e
	states, _, err := split(e.Actions.StateDelta)
	if err != nil {
		return memory.Entry{}, err
	}
	if e.Actions.StateDelta != nil {
		bare.Actions.StateDelta = map[string]any{}
	}
	msg := memory.Message{Name: e.Author, Time: e.Timestamp}
	if e.UsageMetadata != nil {
		msg.Tokens = max(0, int(e.UsageMetadata.CandidatesTokenCount))
	}
	if e.Content != nil {
		msg.Role, bare.Content = e.Content.Role, &genai.Content{}
		if msg.Parts, err = encodeParts(e.Content.Parts); err != nil {
			return memory.Entry{}, err
		}
	}
	raw, err := json.Marshal(&bare)
	if err == nil {
		msg.Extra, err = json.Marshal(stored{schema, raw})
	}
	if err != nil {
		return memory.Entry{}, fmt.Errorf("%w: the event has no JSON form: %w", memory.ErrInvalid, err)
	}
	return memory.Entry{Turn: e.InvocationID, Messages: []memory.Message{msg}, State: memory.Delta{Set: states}}, nil
}

func encodeParts(parts []*genai.Part) ([]memory.Part, error) {
	if parts == nil {
		return nil, nil
	}
	out := make([]memory.Part, 0, len(parts))
	for i, p := range parts {
		if p == nil {
			return nil, fmt.Errorf("%w: part %d is nil", memory.ErrInvalid, i)
		}
		part, err := encodePart(*p)
		if err != nil {
			return nil, fmt.Errorf("%w: part %d has no JSON form: %w", memory.ErrInvalid, i, err)
		}
		out = append(out, part)
	}
	return out, nil
}

// encodePart moves what a memory.Part has a place for there, one kind of content as
// it takes, and leaves the rest of rest to Extra.
func encodePart(rest genai.Part) (out memory.Part, err error) {
	out.Thought, rest.Thought = rest.Thought, false
	switch {
	case rest.InlineData != nil:
		out.Blob = &memory.Blob{MediaType: rest.InlineData.MIMEType, Name: rest.InlineData.DisplayName, Data: rest.InlineData.Data}
		rest.InlineData = nil
	case rest.FileData != nil && rest.FileData.FileURI != "":
		out.Blob = &memory.Blob{MediaType: rest.FileData.MIMEType, Name: rest.FileData.DisplayName, URI: rest.FileData.FileURI}
		rest.FileData = nil
	case rest.FunctionCall != nil: //nolint:dupl // two types of one shape
		out.Call = &memory.ToolCall{ID: rest.FunctionCall.ID, Name: rest.FunctionCall.Name}
		out.Call.Arguments, err = marshal(rest.FunctionCall.Args)
		call := *rest.FunctionCall
		call.ID, call.Name, call.Args = "", "", nil
		rest.FunctionCall = nonZero(call)
	case rest.FunctionResponse != nil: //nolint:dupl // two types of one shape
		out.Result = &memory.ToolResult{ID: rest.FunctionResponse.ID, Name: rest.FunctionResponse.Name}
		out.Result.Content, err = marshal(rest.FunctionResponse.Response)
		answer := *rest.FunctionResponse
		answer.ID, answer.Name, answer.Response = "", "", nil
		rest.FunctionResponse = nonZero(answer)
	default:
		out.Text, rest.Text = rest.Text, ""
	}
	if err == nil && nonZero(rest) != nil {
		out.Extra, err = json.Marshal(&rest)
	}
	return out, err
}

// marshal keeps nil apart from an empty object.
func marshal(object map[string]any) ([]byte, error) {
	if object == nil {
		return nil, nil
	}
	return json.Marshal(object)
}

func nonZero[T any](v T) *T {
	if reflect.ValueOf(v).IsZero() {
		return nil
	}
	return &v
}

// decode returns the events in a record: one that encode made, or one for each
// message that something else has written or that was redacted since.
func decode(r memory.Record) ([]*session.Event, error) {
	if len(r.Messages) == 0 {
		return []*session.Event{{ID: string(r.ID), Timestamp: r.Time, InvocationID: r.Turn}}, nil
	}
	var all []*session.Event
	for _, m := range r.Messages {
		e, err := decodeMessage(r, m)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

func decodeMessage(r memory.Record, m memory.Message) (*session.Event, error) {
	var s stored
	if json.Unmarshal(m.Extra, &s) != nil || s.ADK == 0 {
		return foreign(r, m)
	}
	if s.ADK > schema {
		return nil, fmt.Errorf("%w: the event has schema %d; this version reads up to %d", memory.ErrCorrupt, s.ADK, schema)
	}
	var e session.Event
	if err := json.Unmarshal(s.Event, &e); err != nil {
		return nil, fmt.Errorf("%w: %w", memory.ErrCorrupt, err)
	}
	if e.Actions.StateDelta != nil {
		e.Actions.StateDelta = join(r.State.Set)
	}
	if e.Content != nil {
		var err error
		e.Content.Role = m.Role
		if e.Content.Parts, err = decodeParts(r, m.Parts); err != nil {
			return nil, err
		}
	}
	return &e, nil
}

// foreign makes an event of a message that another program has appended.
func foreign(r memory.Record, m memory.Message) (*session.Event, error) {
	parts, err := decodeParts(r, m.Parts)
	if err != nil {
		return nil, err
	}
	e := &session.Event{ID: string(r.ID), Timestamp: m.Time, InvocationID: r.Turn, Author: m.Name}
	if m.Time.IsZero() {
		e.Timestamp = r.Time
	}
	role := genai.RoleModel
	if m.Role == genai.RoleUser || m.Role == "tool" { // the kit's roles are these two
		role = genai.RoleUser
	}
	if e.Author == "" {
		e.Author = m.Role
	}
	e.LLMResponse = model.LLMResponse{Content: &genai.Content{Role: role, Parts: parts}}
	return e, nil
}

func decodeParts(r memory.Record, parts []memory.Part) ([]*genai.Part, error) {
	if parts == nil {
		return nil, nil
	}
	out := make([]*genai.Part, 0, len(parts))
	for _, p := range parts {
		if r.Redacted && reflect.ValueOf(p).IsZero() {
			continue // a model refuses a part without content
		}
		part, err := decodePart(p)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", memory.ErrCorrupt, err)
		}
		out = append(out, part)
	}
	return out, nil
}

func decodePart(p memory.Part) (*genai.Part, error) {
	var out genai.Part
	if len(p.Extra) > 0 {
		if err := json.Unmarshal(p.Extra, &out); err != nil {
			return nil, err
		}
	}
	out.Thought = p.Thought
	switch {
	case p.Blob != nil && p.Blob.URI != "":
		out.FileData = &genai.FileData{MIMEType: p.Blob.MediaType, DisplayName: p.Blob.Name, FileURI: p.Blob.URI}
	case p.Blob != nil:
		out.InlineData = &genai.Blob{MIMEType: p.Blob.MediaType, DisplayName: p.Blob.Name, Data: p.Blob.Data}
	case p.Call != nil: //nolint:dupl // two types of one shape
		f := cmp.Or(out.FunctionCall, new(genai.FunctionCall))
		f.ID, f.Name, out.FunctionCall = p.Call.ID, p.Call.Name, f
		return &out, object(p.Call.Arguments, &f.Args)
	case p.Result != nil: //nolint:dupl // two types of one shape
		f := cmp.Or(out.FunctionResponse, new(genai.FunctionResponse))
		f.ID, f.Name, out.FunctionResponse = p.Result.ID, p.Result.Name, f
		return &out, object(p.Result.Content, &f.Response)
	case p.Text != "":
		out.Text = p.Text
	}
	return &out, nil
}

// object decodes what another program may have written as any JSON value; the kit's
// tools return objects.
func object(raw []byte, to *map[string]any) error {
	if raw == nil || json.Unmarshal(raw, to) == nil {
		return nil
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	*to = map[string]any{"output": v}
	return nil
}
