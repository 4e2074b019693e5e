package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/genaistore/genaistore/memory"
)

// A State is what one step of the machine hands to the next: names, a point in the
// history and what was found about one record. Contents never pass through it, so that
// it stays far below the 256 KB that a state may have and nobody reads conversations
// in the history of executions.
type State struct {
	// Execution is the ARN of the execution, which makes every step repeatable: of
	// one execution each step's work is done once, however often the step runs.
	Execution string          `json:"execution"`
	Key       memory.Key      `json:"key"`
	Record    memory.RecordID `json:"record"` // what the user said; in the end, the answer
	After     memory.Bookmark `json:"after"`  // what the next step must see
	Findings  []Finding       `json:"findings,omitempty"`
}

// A Finding is what one of the parallel steps makes of a record.
type Finding struct {
	Intent    string   `json:"intent,omitempty"`
	Sentiment *float64 `json:"sentiment,omitempty"`
	Language  string   `json:"language,omitempty"`
	Model     string   `json:"model,omitempty"`
}

// Steps are the steps of the machine, each the handler of a Lambda function. They
// serve one tenant.
type Steps struct {
	Tenant            string
	Store             memory.Store
	Sentiment, Intent memory.Enricher
	// Model writes the next message of a conversation.
	Model func(context.Context, []memory.Message) (memory.Message, error)
}

const (
	windowTokens = 8000 // of the conversation that the model sees
	maxExecution = 230  // bytes of a name: it becomes a part of request ids
)

var errTenant = fmt.Errorf("%w: another tenant's key", memory.ErrDenied)

func (s *Steps) check(in State) error {
	if err := cmp.Or(in.Key.Validate(), in.After.Validate()); err != nil {
		return err
	}
	switch {
	case in.Key.Tenant != s.Tenant:
		return errTenant
	case in.Execution == "" || len(in.Execution) > maxExecution:
		return fmt.Errorf("%w: an execution of %d bytes: from 1 to %d", memory.ErrInvalid, len(in.Execution), maxExecution)
	case in.Record == "":
		return fmt.Errorf("%w: the state names no record", memory.ErrInvalid)
	}
	return nil
}

// record returns the record of the state, which must be there.
func (s *Steps) record(ctx context.Context, in State) (memory.Record, error) {
	for r, err := range s.Store.Records(ctx, in.Key, &memory.RangeOptions{From: in.Record, To: in.Record}) {
		return r, err
	}
	return memory.Record{}, fmt.Errorf("record %s of %s: %w", in.Record, in.Key, memory.ErrNotFound)
}

// Fetch checks what the execution was started with: that the record is there, where
// this function reads, and the session with it.
func (s *Steps) Fetch(ctx context.Context, in State) (State, error) {
	if err := s.check(in); err != nil {
		return State{}, err
	}
	w, err := s.Store.Open(ctx, in.Key, &memory.WindowOptions{AtLeast: in.After, Last: -1, Scopes: memory.NoState})
	if err != nil {
		return State{}, err
	}
	if _, err := s.record(ctx, in); err != nil {
		return State{}, err
	}
	in.After, in.Findings = w.Bookmark, nil
	return in, nil
}

// FindSentiment is one of the parallel steps.
func (s *Steps) FindSentiment(ctx context.Context, in State) (Finding, error) {
	notes, err := s.find(ctx, in, s.Sentiment)
	return Finding{Sentiment: notes.Sentiment, Language: notes.Language, Model: notes.Model}, err
}

// FindIntent is the other.
func (s *Steps) FindIntent(ctx context.Context, in State) (Finding, error) {
	notes, err := s.find(ctx, in, s.Intent)
	return Finding{Intent: notes.Intent, Model: notes.Model}, err
}

func (s *Steps) find(ctx context.Context, in State, enricher memory.Enricher) (memory.Notes, error) {
	if err := s.check(in); err != nil {
		return memory.Notes{}, err
	}
	r, err := s.record(ctx, in)
	if err != nil {
		return memory.Notes{}, err
	}
	found, err := enricher.Enrich(ctx, []string{textOf(r)})
	if err != nil {
		return memory.Notes{}, err
	}
	return found[0].Notes, found[0].Err
}

// Annotate notes what the parallel steps have found. Repeated, it notes the same.
func (s *Steps) Annotate(ctx context.Context, in State) (State, error) {
	if err := s.check(in); err != nil {
		return State{}, err
	}
	var notes memory.Notes
	var models []string
	for _, f := range in.Findings {
		notes.Intent = cmp.Or(notes.Intent, f.Intent)
		notes.Sentiment = cmp.Or(notes.Sentiment, f.Sentiment)
		notes.Language = cmp.Or(notes.Language, f.Language)
		if f.Model != "" {
			models = append(models, f.Model)
		}
	}
	notes.Model = strings.Join(models, " ")
	if !notes.IsZero() {
		after, err := s.Store.Update(ctx, in.Key, memory.Annotate{Record: in.Record, Notes: notes})
		if err != nil {
			return State{}, err
		}
		in.After = after
	}
	in.Findings = nil
	return in, nil
}

// Ask asks the model and keeps its answer as a draft in the state of the session, as
// it must not pass through the state of the machine. Where there is a draft, or the
// answer itself, the model is not asked again. The draft of an execution that is given
// up stays in the state for as long as the session.
func (s *Steps) Ask(ctx context.Context, in State) (State, error) {
	w, answered, err := s.window(ctx, in)
	if err != nil {
		return State{}, err
	}
	if _, drafted := draftOf(w, in); drafted || answered != nil {
		in.After = w.Bookmark
		return in, nil
	}
	// What was said after the question has an execution of its own.
	w.Records = slices.DeleteFunc(w.Records, func(r memory.Record) bool { return r.ID > in.Record })
	message, err := s.Model(ctx, w.Messages())
	if err != nil {
		return State{}, err
	}
	draft := map[string]any{"name": message.Name, "text": textOf(memory.Record{Entry: memory.Entry{Messages: []memory.Message{message}}}), "tokens": message.Tokens}
	in.After, err = s.Store.Update(ctx, in.Key, memory.SetState{Set: memory.States{Session: memory.State{draftKey(in): draft}}})
	return in, err
}

var errNoDraft = errors.New("there is neither a draft nor an answer of this execution")

// Append makes the draft a record of the conversation, in the turn of the question.
// One write stores the one and removes the other.
func (s *Steps) Append(ctx context.Context, in State) (State, error) {
	w, answered, err := s.window(ctx, in)
	if err != nil {
		return State{}, err
	}
	if answered != nil {
		in.Record, in.After = answered.ID, w.Bookmark
		return in, nil
	}
	message, ok := draftOf(w, in)
	if !ok {
		return State{}, fmt.Errorf("%w: %w", memory.ErrNotFound, errNoDraft)
	}
	asked, err := s.record(ctx, in)
	if err != nil {
		return State{}, err
	}
	entry := memory.Entry{Turn: cmp.Or(asked.Turn, string(asked.ID)), Messages: []memory.Message{message}}
	entry.State.Unset.Session = []string{draftKey(in)}
	r, err := s.Store.Append(ctx, in.Key, entry, &memory.AppendOptions{RequestID: requestID(in), After: in.After, MustExist: true})
	if err != nil {
		return State{}, err
	}
	in.Record, in.After = r.Record.ID, r.Bookmark
	return in, nil
}

// window opens the conversation, and finds the answer of this execution in it.
func (s *Steps) window(ctx context.Context, in State) (w memory.Window, answered *memory.Record, err error) {
	if err := s.check(in); err != nil {
		return memory.Window{}, nil, err
	}
	w, err = s.Store.Open(ctx, in.Key, &memory.WindowOptions{AtLeast: in.After, Tokens: windowTokens})
	for i, r := range w.Records {
		if r.RequestID == requestID(in) {
			answered = &w.Records[i]
		}
	}
	return w, answered, err
}

func requestID(in State) string { return in.Execution + "/append" }

func draftKey(in State) string { return "draft " + in.Execution }

func draftOf(w memory.Window, in State) (memory.Message, bool) {
	draft, ok := w.States.Session[draftKey(in)].(map[string]any)
	if !ok {
		return memory.Message{}, false
	}
	text, isText := draft["text"].(string)
	name, isName := draft["name"].(string)
	tokens, isCount := draft["tokens"].(float64)
	message := memory.Text("assistant", text)
	message.Name, message.Tokens = name, int(tokens)
	return message, isText && isName && isCount
}

func textOf(r memory.Record) string {
	var parts []string
	for _, m := range r.Messages {
		for _, p := range m.Parts {
			if p.Text != "" && !p.Thought {
				parts = append(parts, p.Text)
			}
		}
	}
	return strings.Join(parts, "\n")
}
