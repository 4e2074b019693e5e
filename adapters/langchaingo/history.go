// Package langchaingo keeps the histories of LangChain for Go
// (github.com/tmc/langchaingo) in a memory.Store: with tool calls, in one record a
// step, and a bounded window of them for the next prompt.
//
// [History] is a schema.ChatMessageHistory, for use with the memories of the
// framework. [Memory] is a schema.Memory of its own, which stores question and answer
// together or not at all.
package langchaingo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tmc/langchaingo/llms"
	"github.com/tmc/langchaingo/schema"

	"github.com/genaistore/genaistore/memory"
)

// DefaultLast is how many of the newest records a [History] reads.
const DefaultLast = 200

// HistoryOptions adjusts a [History]. A nil *HistoryOptions means the zero value.
type HistoryOptions struct {
	// Last bounds the records that are read; zero means [DefaultLast]. The others stay
	// in the store. A record is what one call has added.
	Last int
	// Tokens bounds them too, by [memory.WindowOptions.Tokens]. Zero means no bound.
	Tokens int
}

// WithDefaults returns what a History acts on. It accepts a nil receiver.
func (o *HistoryOptions) WithDefaults() HistoryOptions {
	var opts HistoryOptions
	if o != nil {
		opts = *o
	}
	opts.Last = cmp.Or(opts.Last, DefaultLast)
	return opts
}

// A History is a session as a schema.ChatMessageHistory. It is safe for concurrent
// use, also by several processes: what each adds is kept, in the order in which it
// was stored.
//
// Messages come back as the types they had, tool calls, their results and reasoning
// included. Errors match those of package memory.
type History struct {
	store memory.Store
	key   memory.Key
	opts  HistoryOptions
}

var _ schema.ChatMessageHistory = (*History)(nil)

// NewHistory returns the history of one session, which need not exist. An error
// matches memory.ErrInvalid.
func NewHistory(store memory.Store, session memory.Key, options *HistoryOptions) (*History, error) {
	if store == nil {
		return nil, fmt.Errorf("new history: %w: a store is needed", memory.ErrInvalid)
	}
	opts := options.WithDefaults()
	window := memory.WindowOptions{Last: opts.Last, Tokens: opts.Tokens}
	if err := cmp.Or(session.Validate(), window.Validate()); err != nil {
		return nil, fmt.Errorf("new history: %w", err)
	}
	return &History{store: store, key: session, opts: opts}, nil
}

// AddMessage implements schema.ChatMessageHistory. A message of a type that the
// framework does not have is memory.ErrInvalid.
func (h *History) AddMessage(ctx context.Context, message llms.ChatMessage) error {
	return h.add(ctx, nil, message)
}

// AddUserMessage implements schema.ChatMessageHistory.
func (h *History) AddUserMessage(ctx context.Context, message string) error {
	return h.add(ctx, nil, llms.HumanChatMessage{Content: message})
}

// AddAIMessage implements schema.ChatMessageHistory.
func (h *History) AddAIMessage(ctx context.Context, message string) error {
	return h.add(ctx, nil, llms.AIChatMessage{Content: message})
}

// AddMessages adds several messages, all or none, as one record.
func (h *History) AddMessages(ctx context.Context, messages ...llms.ChatMessage) error {
	return h.add(ctx, nil, messages...)
}

// anew is the Extra of a record before which nothing counts.
const anew = `{"langchaingo":"set"}`

// SetMessages implements schema.ChatMessageHistory: what was there before is not read
// any more, in one step, though it stays in the store until Clear. It takes at most
// [memory.MaxMessages] messages.
func (h *History) SetMessages(ctx context.Context, messages []llms.ChatMessage) error {
	return h.add(ctx, []byte(anew), messages...)
}

func (h *History) add(ctx context.Context, extra []byte, messages ...llms.ChatMessage) error {
	entry := memory.Entry{Extra: extra, Messages: make([]memory.Message, len(messages))}
	for i, m := range messages {
		var err error
		if entry.Messages[i], err = toMemory(m); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	_, err := h.store.Append(ctx, h.key, entry, nil)
	return err
}

// Clear implements schema.ChatMessageHistory: it removes all messages. Title, labels
// and state of the session stay.
func (h *History) Clear(ctx context.Context) error {
	_, err := h.store.Update(ctx, h.key, memory.Rewind{})
	if errors.Is(err, memory.ErrNotFound) {
		return nil
	}
	return err
}

// Messages implements schema.ChatMessageHistory: those of the newest records, oldest
// first. It is empty, not nil, where there is none.
func (h *History) Messages(ctx context.Context) ([]llms.ChatMessage, error) {
	window, err := h.store.Open(ctx, h.key, &memory.WindowOptions{Last: h.opts.Last, Tokens: h.opts.Tokens})
	if errors.Is(err, memory.ErrNotFound) {
		return []llms.ChatMessage{}, nil
	}
	if err != nil {
		return nil, err
	}
	records := window.Records
	for i, r := range slices.Backward(records) {
		if string(r.Extra) == anew {
			records = records[i:]
			break
		}
	}
	messages := []llms.ChatMessage{}
	for _, r := range records {
		for _, m := range r.Messages {
			messages = append(messages, fromMemory(m))
		}
	}
	return messages, nil
}
