package langchaingo

import (
	"cmp"
	"context"
	"fmt"

	"github.com/tmc/langchaingo/llms"
	chains "github.com/tmc/langchaingo/memory"
	"github.com/tmc/langchaingo/schema"

	"github.com/genaistore/genaistore/memory"
)

// Defaults of [MemoryOptions], as the framework's own memories have them.
const (
	DefaultMemoryKey   = "history"
	DefaultHumanPrefix = "Human"
	DefaultAIPrefix    = "AI"
)

// MemoryOptions adjusts a [Memory]. A nil *MemoryOptions means the zero value.
type MemoryOptions struct {
	// History bounds what is loaded.
	History HistoryOptions
	// MemoryKey is the variable of the prompt; "" means [DefaultMemoryKey].
	MemoryKey string
	// InputKey and OutputKey name the values that are question and answer; "" means
	// that there is only one.
	InputKey, OutputKey string
	// ReturnMessages loads []llms.ChatMessage instead of a text.
	ReturnMessages bool
	// HumanPrefix and AIPrefix begin the lines of that text; "" means
	// [DefaultHumanPrefix] and [DefaultAIPrefix].
	HumanPrefix, AIPrefix string
}

// WithDefaults returns what a Memory acts on. It accepts a nil receiver.
func (o *MemoryOptions) WithDefaults() MemoryOptions {
	var opts MemoryOptions
	if o != nil {
		opts = *o
	}
	opts.MemoryKey = cmp.Or(opts.MemoryKey, DefaultMemoryKey)
	opts.HumanPrefix = cmp.Or(opts.HumanPrefix, DefaultHumanPrefix)
	opts.AIPrefix = cmp.Or(opts.AIPrefix, DefaultAIPrefix)
	return opts
}

// A Memory is a session as the schema.Memory of a chain. Question and answer are one
// record, so that a program that dies between them leaves neither.
type Memory struct {
	history *History
	opts    MemoryOptions
}

var _ schema.Memory = (*Memory)(nil)

// NewMemory returns the memory of one session, which need not exist. An error matches
// memory.ErrInvalid.
func NewMemory(store memory.Store, session memory.Key, options *MemoryOptions) (*Memory, error) {
	opts := options.WithDefaults()
	history, err := NewHistory(store, session, &opts.History)
	if err != nil {
		return nil, err
	}
	return &Memory{history: history, opts: opts}, nil
}

// GetMemoryKey implements schema.Memory.
func (m *Memory) GetMemoryKey(context.Context) string { return m.opts.MemoryKey }

// MemoryVariables implements schema.Memory.
func (m *Memory) MemoryVariables(context.Context) []string { return []string{m.opts.MemoryKey} }

// LoadMemoryVariables implements schema.Memory.
func (m *Memory) LoadMemoryVariables(ctx context.Context, _ map[string]any) (map[string]any, error) {
	messages, err := m.history.Messages(ctx)
	if err != nil {
		return nil, err
	}
	if m.opts.ReturnMessages {
		return map[string]any{m.opts.MemoryKey: messages}, nil
	}
	text, err := llms.GetBufferString(messages, m.opts.HumanPrefix, m.opts.AIPrefix)
	if err != nil {
		return nil, err
	}
	return map[string]any{m.opts.MemoryKey: text}, nil
}

// SaveContext implements schema.Memory. Values that are missing, of several without a
// key to choose one, or no strings, match the framework's ErrInvalidInputValues and
// memory.ErrInvalid.
func (m *Memory) SaveContext(ctx context.Context, inputs, outputs map[string]any) error {
	question, err := chains.GetInputValue(inputs, m.opts.InputKey)
	if err != nil {
		return fmt.Errorf("%w: input: %w", memory.ErrInvalid, err)
	}
	answer, err := chains.GetInputValue(outputs, m.opts.OutputKey)
	if err != nil {
		return fmt.Errorf("%w: output: %w", memory.ErrInvalid, err)
	}
	return m.history.AddMessages(ctx, llms.HumanChatMessage{Content: question}, llms.AIChatMessage{Content: answer})
}

// Clear implements schema.Memory.
func (m *Memory) Clear(ctx context.Context) error { return m.history.Clear(ctx) }
