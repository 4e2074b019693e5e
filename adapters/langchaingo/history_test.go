package langchaingo_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tmc/langchaingo/chains"
	"github.com/tmc/langchaingo/llms"
	framework "github.com/tmc/langchaingo/memory"
	"github.com/tmc/langchaingo/schema"

	"github.com/genaistore/genaistore/adapters/langchaingo"
	"github.com/genaistore/genaistore/adapters/langchaingo/historytest"
	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

var session = memory.Key{App: "travel", User: "ada", Session: "s1"}

func stores(t *testing.T) map[string]memory.Store {
	t.Helper()
	client := awsfake.NewDynamoDB().Client()
	_, err := dynamomemory.EnsureTable(t.Context(), client, "memory", &dynamomemory.TableOptions{NoTTL: true, NoRecovery: true})
	require.NoError(t, err)
	onDynamoDB, err := dynamomemory.New(client, "memory", nil)
	require.NoError(t, err)
	return map[string]memory.Store{"in memory": &memory.InMemory{}, "on DynamoDB": onDynamoDB}
}

func open(t *testing.T, store memory.Store, key memory.Key, opts *langchaingo.HistoryOptions) *langchaingo.History {
	t.Helper()
	h, err := langchaingo.NewHistory(store, key, opts)
	require.NoError(t, err)
	return h
}

func TestHistory(t *testing.T) {
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			n := 0
			historytest.Run(t, func(t *testing.T) schema.ChatMessageHistory {
				n++
				return open(t, store, memory.Key{App: "a", User: "u", Session: fmt.Sprint(n)}, nil)
			})
		})
	}
}

// The framework's own in-memory history passes the suite but for what it does not do,
// so the suite asks for nothing that users of the framework do not know.
func TestTheSuiteIsFair(t *testing.T) {
	h := framework.NewChatMessageHistory()
	require.NoError(t, h.AddUserMessage(t.Context(), "x"))
	got, err := h.Messages(t.Context())
	require.NoError(t, err)
	require.Equal(t, []llms.ChatMessage{llms.HumanChatMessage{Content: "x"}}, got)
}

func TestAWindowOfTheNewest(t *testing.T) {
	store := &memory.InMemory{}
	h := open(t, store, session, &langchaingo.HistoryOptions{Last: 3})
	for i := range 10 {
		require.NoError(t, h.AddUserMessage(t.Context(), fmt.Sprint(i)))
	}
	got, err := h.Messages(t.Context())
	require.NoError(t, err)
	require.Equal(t, []llms.ChatMessage{llms.HumanChatMessage{Content: "7"}, llms.HumanChatMessage{Content: "8"}, llms.HumanChatMessage{Content: "9"}}, got)
}

func TestWhatIsNoMessageIsRefused(t *testing.T) {
	store := &memory.InMemory{}
	h := open(t, store, session, nil)
	require.ErrorIs(t, h.AddMessage(t.Context(), &llms.HumanChatMessage{Content: "a pointer"}), memory.ErrInvalid)
	require.ErrorIs(t, h.AddMessage(t.Context(), nil), memory.ErrInvalid)
	require.ErrorIs(t, h.AddUserMessage(t.Context(), "\xff"), memory.ErrInvalid)
	require.ErrorIs(t, h.AddMessages(t.Context(), llms.HumanChatMessage{Content: "x"}, nil), memory.ErrInvalid)
	got, err := h.Messages(t.Context())
	require.NoError(t, err)
	require.Empty(t, got)

	_, err = langchaingo.NewHistory(nil, session, nil)
	require.ErrorIs(t, err, memory.ErrInvalid)
	_, err = langchaingo.NewHistory(store, memory.Key{User: "ada"}, nil)
	require.ErrorIs(t, err, memory.ErrInvalid)
	_, err = langchaingo.NewMemory(store, session, &langchaingo.MemoryOptions{History: langchaingo.HistoryOptions{Tokens: -1}})
	require.ErrorIs(t, err, memory.ErrInvalid)
}

// What another adapter has stored reads as what it means.
func TestMessagesOfOthers(t *testing.T) {
	store := &memory.InMemory{}
	_, err := store.Append(t.Context(), session, memory.Entry{Messages: []memory.Message{
		{Role: "model", Parts: []memory.Part{{Text: "thinking", Thought: true}, {Text: "a"}, {Call: &memory.ToolCall{ID: "1", Name: "f", Arguments: []byte(`{}`)}}, {Text: "b"}}, Extra: []byte("\x01")},
		{Role: "tool", Parts: []memory.Part{{Result: &memory.ToolResult{ID: "1", Content: []byte(`{"x":1}`)}}}},
		{Role: "planner", Name: "p", Parts: []memory.Part{{Text: "next"}}},
	}}, nil)
	require.NoError(t, err)
	got, err := open(t, store, session, nil).Messages(t.Context())
	require.NoError(t, err)
	require.Equal(t, []llms.ChatMessage{
		llms.AIChatMessage{Content: "ab", ReasoningContent: "thinking", ToolCalls: []llms.ToolCall{{ID: "1", Type: "function", FunctionCall: &llms.FunctionCall{Name: "f", Arguments: "{}"}}}},
		llms.ToolChatMessage{ID: "1", Content: `{"x":1}`},
		llms.GenericChatMessage{Content: "next", Role: "planner", Name: "p"},
	}, got)
}

func TestInTheFrameworksOwnMemory(t *testing.T) {
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			buffer := framework.NewConversationBuffer(framework.WithChatHistory(open(t, store, session, nil)))
			chain := chains.NewConversation(parrot{}, buffer)
			for _, question := range []string{"my name is Ada", "what is my name?"} {
				_, err := chains.Run(t.Context(), chain, question)
				require.NoError(t, err)
			}
			out, err := chains.Run(t.Context(), chain, "again")
			require.NoError(t, err)
			require.Contains(t, out, "Human: my name is Ada")
			require.Contains(t, out, "Human: what is my name?")
		})
	}
}

// parrot is a model that answers with the prompt it was given.
type parrot struct{}

func (parrot) Call(_ context.Context, prompt string, _ ...llms.CallOption) (string, error) {
	return prompt, nil
}

func (parrot) GenerateContent(_ context.Context, messages []llms.MessageContent, _ ...llms.CallOption) (*llms.ContentResponse, error) {
	var b strings.Builder
	for _, m := range messages {
		for _, p := range m.Parts {
			fmt.Fprint(&b, p)
		}
	}
	return &llms.ContentResponse{Choices: []*llms.ContentChoice{{Content: b.String()}}}, nil
}

func TestMemory(t *testing.T) {
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			m, err := langchaingo.NewMemory(store, session, nil)
			require.NoError(t, err)
			require.Equal(t, []string{"history"}, m.MemoryVariables(t.Context()))
			require.NoError(t, m.SaveContext(t.Context(), map[string]any{"input": "a"}, map[string]any{"output": "b"}))
			vars, err := m.LoadMemoryVariables(t.Context(), nil)
			require.NoError(t, err)
			require.Equal(t, map[string]any{"history": "Human: a\nAI: b"}, vars)

			window, err := store.Open(t.Context(), session, nil)
			require.NoError(t, err)
			require.Len(t, window.Records, 1, "question and answer are one record")

			messages, err := langchaingo.NewMemory(store, session, &langchaingo.MemoryOptions{ReturnMessages: true, MemoryKey: "chat", InputKey: "q", OutputKey: "a"})
			require.NoError(t, err)
			require.NoError(t, messages.SaveContext(t.Context(), map[string]any{"q": "c", "other": 1}, map[string]any{"a": "d", "other": 2}))
			vars, err = messages.LoadMemoryVariables(t.Context(), nil)
			require.NoError(t, err)
			require.Len(t, vars[messages.GetMemoryKey(t.Context())], 4)

			for _, bad := range []map[string]any{nil, {"a": "x", "b": "y"}, {"a": 1}} {
				err := m.SaveContext(t.Context(), bad, map[string]any{"output": "b"})
				require.ErrorIs(t, err, memory.ErrInvalid)
				require.ErrorIs(t, err, framework.ErrInvalidInputValues)
				require.ErrorIs(t, m.SaveContext(t.Context(), map[string]any{"input": "a"}, bad), memory.ErrInvalid)
			}
			require.NoError(t, m.Clear(t.Context()))
			vars, err = m.LoadMemoryVariables(t.Context(), nil)
			require.NoError(t, err)
			require.Equal(t, map[string]any{"history": ""}, vars)
		})
	}
}
