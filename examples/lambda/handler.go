// Package lambda shows conversation memory inside an AWS Lambda handler: one
// function that answers, and the same work as two steps of a state machine that
// hand on nothing but a key, a turn and a bookmark.
//
// Lambda repeats an invocation after an error or a lost answer. Every append
// carries a request id made of the invocation's, so that a repeated invocation
// stores nothing twice and, where the answer is stored already, does not ask the
// model again.
package lambda

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/genaistore/genaistore/memory"
)

// A Request is the event of [Handler.Ask] and [Handler.Receive].
type Request struct {
	Key  memory.Key `json:"key"`
	Text string     `json:"text"`
}

// A Step is what one step of a state machine hands to the next: names and a
// point in history, no content, so that it stays far below the 256 KB that a
// state may have.
type Step struct {
	Key   memory.Key      `json:"key"`
	Turn  string          `json:"turn"`
	After memory.Bookmark `json:"after"`
}

// A Handler serves a conversation.
type Handler struct {
	Store memory.Store
	// Model writes the next message of a conversation.
	Model func(context.Context, []memory.Message) (memory.Message, error)
}

// windowTokens bounds the conversation that the model sees.
const windowTokens = 8000

// errNoRequestID reports a context that is not Lambda's.
var errNoRequestID = errors.New("the context has no Lambda request id")

// Ask stores what the user says, asks the model and stores its answer.
func (h *Handler) Ask(ctx context.Context, in Request) (string, error) {
	step, err := h.Receive(ctx, in)
	if err != nil {
		return "", err
	}
	_, text, err := h.answer(ctx, step)
	return text, err
}

// Receive stores what the user says. It is the first step of a state machine.
func (h *Handler) Receive(ctx context.Context, in Request) (Step, error) {
	lc, ok := lambdacontext.FromContext(ctx)
	if !ok || lc.AwsRequestID == "" {
		return Step{}, errNoRequestID
	}
	entry := memory.Entry{Turn: lc.AwsRequestID, Messages: []memory.Message{memory.Text("user", in.Text)}}
	r, err := h.Store.Append(ctx, in.Key, entry, &memory.AppendOptions{RequestID: lc.AwsRequestID + "/user"})
	return Step{Key: in.Key, Turn: lc.AwsRequestID, After: r.Bookmark}, err
}

// Answer asks the model and stores its answer. It is the second step, on any
// machine: the bookmark says what it must see.
func (h *Handler) Answer(ctx context.Context, s Step) (Step, error) {
	next, _, err := h.answer(ctx, s)
	return next, err
}

func (h *Handler) answer(ctx context.Context, s Step) (Step, string, error) {
	w, err := h.Store.Open(ctx, s.Key, &memory.WindowOptions{AtLeast: s.After, Tokens: windowTokens})
	if err != nil {
		return Step{}, "", err
	}
	request := s.Turn + "/model"
	for _, r := range w.Records {
		if r.RequestID == request {
			return Step{s.Key, s.Turn, w.Bookmark}, text(r), nil
		}
	}
	message, err := h.Model(ctx, w.Messages())
	if err != nil {
		return Step{}, "", fmt.Errorf("model: %w", err)
	}
	r, err := h.Store.Append(ctx, s.Key, memory.Entry{Turn: s.Turn, Messages: []memory.Message{message}},
		&memory.AppendOptions{RequestID: request, After: w.Bookmark})
	if err != nil {
		return Step{}, "", err
	}
	// Of two invocations that race, both return the words that were stored.
	return Step{s.Key, s.Turn, r.Bookmark}, text(r.Record), nil
}

func text(r memory.Record) (s string) {
	for _, m := range r.Messages {
		for _, p := range m.Parts {
			s += p.Text
		}
	}
	return s
}
