package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/genaistore/genaistore/memory"
)

// A Request is the event of [Handler.Ask].
type Request struct {
	Key  memory.Key `json:"key"`
	Text string     `json:"text"`
}

// An Answer is what Ask returns. The bookmark proves to any reader what it must see.
type Answer struct {
	Text      string          `json:"text"`
	Turns     int             `json:"turns"` // answers in this conversation; two at the same time may count as one
	Intent    string          `json:"intent,omitempty"`
	Sentiment *float64        `json:"sentiment,omitempty"`
	Bookmark  memory.Bookmark `json:"bookmark"`
}

// A Handler serves conversations of one tenant.
//
// Lambda repeats an invocation after an error or a lost answer. Every append carries a
// request id made of the invocation's, so that a repeated one stores nothing twice and,
// where the answer is stored already, does not ask the model again.
type Handler struct {
	Tenant string
	Store  memory.Store
	// Enricher finds what a user wants and feels. Where it fails, the conversation goes
	// on without, and memory.Enrich may find it out later.
	Enricher memory.Enricher
	// Model writes the next message of a conversation.
	Model func(context.Context, []memory.Message) (memory.Message, error)
	Log   *slog.Logger // nil is silent
}

const (
	// windowTokens bounds the conversation that the model sees.
	windowTokens = 8000
	// maxText is the most bytes that a user may say at once: it must fit into a window.
	maxText = 16 << 10
)

var (
	errNoRequestID = errors.New("the context has no Lambda request id")
	errTenant      = fmt.Errorf("%w: another tenant's key", memory.ErrDenied)
)

func (h *Handler) check(ctx context.Context, in Request) (requestID string, err error) {
	lc, ok := lambdacontext.FromContext(ctx)
	if !ok || lc.AwsRequestID == "" {
		return "", errNoRequestID
	}
	if err := in.Key.Validate(); err != nil {
		return "", err
	}
	switch {
	case in.Key.Tenant != h.Tenant:
		return "", errTenant
	case strings.TrimSpace(in.Text) == "":
		return "", fmt.Errorf("%w: the event has no text", memory.ErrInvalid)
	case len(in.Text) > maxText:
		return "", fmt.Errorf("%w: a text of %d bytes: at most %d", memory.ErrInvalid, len(in.Text), maxText)
	}
	return lc.AwsRequestID, nil
}

// Ask stores what the user says with what the enricher makes of it, asks the model,
// and stores its answer with the state of the conversation.
func (h *Handler) Ask(ctx context.Context, in Request) (Answer, error) {
	id, err := h.check(ctx, in)
	if err != nil {
		return Answer{}, err
	}
	said := memory.Entry{Turn: id, Messages: []memory.Message{memory.Text("user", in.Text)}}
	asked, err := h.Store.Append(ctx, in.Key, said, &memory.AppendOptions{RequestID: id + "/user"})
	if err != nil {
		return Answer{}, err
	}
	w, err := h.Store.Open(ctx, in.Key, &memory.WindowOptions{AtLeast: asked.Bookmark, Tokens: windowTokens, Notes: asked.Replayed})
	if err != nil {
		return Answer{}, err
	}
	for _, r := range w.Records {
		if r.RequestID == id+"/model" {
			return answer(r, notesOf(w, asked.Record.ID), w.Bookmark), nil
		}
	}
	notes := h.annotate(ctx, in, asked)
	// What was said after the question has an invocation of its own.
	w.Records = slices.DeleteFunc(w.Records, func(r memory.Record) bool { return r.ID > asked.Record.ID })
	message, err := h.Model(ctx, w.Messages())
	if err != nil {
		return Answer{}, err
	}
	turns, _ := w.States.Session["turns"].(float64) // of a new conversation there are none
	reply := memory.Entry{Turn: id, Messages: []memory.Message{message}}
	reply.State.Set = memory.States{Session: memory.State{"turns": turns + 1, "intent": notes.Intent}}
	stored, err := h.Store.Append(ctx, in.Key, reply, &memory.AppendOptions{RequestID: id + "/model", After: w.Bookmark})
	if err != nil {
		return Answer{}, err
	}
	// Of two invocations that race, both return what was stored.
	return answer(stored.Record, notes, stored.Bookmark), nil
}

func (h *Handler) annotate(ctx context.Context, in Request, asked memory.Receipt) memory.Notes {
	found, err := h.Enricher.Enrich(ctx, []string{in.Text})
	if err == nil {
		err = cmp.Or(found[0].Err, h.note(ctx, in.Key, asked.Record.ID, found[0].Notes))
	}
	if err != nil {
		if h.Log != nil {
			h.Log.WarnContext(ctx, "the record has no notes yet", "record", asked.Record.ID, "error", err)
		}
		return memory.Notes{}
	}
	return found[0].Notes
}

func (h *Handler) note(ctx context.Context, key memory.Key, record memory.RecordID, notes memory.Notes) error {
	if notes.IsZero() {
		return nil
	}
	_, err := h.Store.Update(ctx, key, memory.Annotate{Record: record, Notes: notes})
	return err
}

func answer(r memory.Record, notes memory.Notes, bookmark memory.Bookmark) Answer {
	out := Answer{Intent: notes.Intent, Sentiment: notes.Sentiment, Bookmark: bookmark}
	turns, _ := r.State.Set.Session["turns"].(float64)
	out.Turns = int(turns)
	for _, m := range r.Messages {
		for _, p := range m.Parts {
			out.Text += p.Text
		}
	}
	return out
}

func notesOf(w memory.Window, id memory.RecordID) memory.Notes {
	for _, r := range w.Records {
		if r.ID == id {
			return r.Notes
		}
	}
	return memory.Notes{}
}
