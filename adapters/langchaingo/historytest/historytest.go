// Package historytest is a conformance suite for schema.ChatMessageHistory of LangChain
// for Go, which has none of its own. It needs package testing alone.
package historytest

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/tmc/langchaingo/llms"
	"github.com/tmc/langchaingo/schema"
)

// Run runs the suite. Open returns a new, empty history.
func Run(t *testing.T, open func(t *testing.T) schema.ChatMessageHistory) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*testing.T, schema.ChatMessageHistory)
	}{
		{"a new history is empty", empty},
		{"messages keep their order and content", order},
		{"every type of message comes back as it was", types},
		{"tool calls and their results are kept", tools},
		{"text is kept byte for byte", texts},
		{"SetMessages replaces what was there", set},
		{"Clear removes everything", clear},
		{"what was returned is the caller's", shared},
		{"many may add at once, and nothing is lost", concurrent},
		{"a cancelled context adds nothing", canceled},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

func add(t *testing.T, h schema.ChatMessageHistory, messages ...llms.ChatMessage) {
	t.Helper()
	for _, m := range messages {
		if err := h.AddMessage(t.Context(), m); err != nil {
			t.Fatalf("AddMessage: %v", err)
		}
	}
}

func want(t *testing.T, h schema.ChatMessageHistory, messages ...llms.ChatMessage) {
	t.Helper()
	got, err := h.Messages(t.Context())
	if err != nil {
		t.Fatalf("Messages: %v", err)
	}
	if len(got) == 0 && len(messages) == 0 {
		return
	}
	if !reflect.DeepEqual(got, messages) {
		t.Fatalf("got  %#v\nwant %#v", got, messages)
	}
}

func empty(t *testing.T, h schema.ChatMessageHistory) {
	want(t, h)
	if err := h.Clear(t.Context()); err != nil {
		t.Fatalf("Clear of an empty history: %v", err)
	}
}

func order(t *testing.T, h schema.ChatMessageHistory) {
	var all []llms.ChatMessage
	for i := range 5 {
		if err := h.AddUserMessage(t.Context(), fmt.Sprint("question ", i)); err != nil {
			t.Fatal(err)
		}
		if err := h.AddAIMessage(t.Context(), fmt.Sprint("answer ", i)); err != nil {
			t.Fatal(err)
		}
		all = append(all, llms.HumanChatMessage{Content: fmt.Sprint("question ", i)}, llms.AIChatMessage{Content: fmt.Sprint("answer ", i)})
	}
	want(t, h, all...)
}

func types(t *testing.T, h schema.ChatMessageHistory) {
	all := []llms.ChatMessage{
		llms.SystemChatMessage{Content: "be brief"},
		llms.HumanChatMessage{Content: "hello"},
		llms.AIChatMessage{Content: "hi", ReasoningContent: "a greeting"},
		llms.GenericChatMessage{Content: "who is next?", Role: "moderator", Name: "ada"},
		llms.GenericChatMessage{Content: "as a user", Role: "user", Name: "bob"},
		llms.FunctionChatMessage{Name: "weather", Content: "rain"},
		llms.ToolChatMessage{ID: "call-1", Content: `{"sky":"grey"}`},
	}
	add(t, h, all...)
	want(t, h, all...)
}

func tools(t *testing.T, h schema.ChatMessageHistory) {
	all := []llms.ChatMessage{
		llms.HumanChatMessage{Content: "the weather in Paris and Rome?"},
		llms.AIChatMessage{Content: "I look it up.", ToolCalls: []llms.ToolCall{
			{ID: "1", Type: "function", FunctionCall: &llms.FunctionCall{Name: "weather", Arguments: `{"city": "Paris"}`}},
			{ID: "2", Type: "function", FunctionCall: &llms.FunctionCall{Name: "weather", Arguments: `{"city":"Rome"}`}},
		}},
		llms.ToolChatMessage{ID: "1", Content: "rain"},
		llms.ToolChatMessage{ID: "2", Content: `"sun"`},
		llms.AIChatMessage{ToolCalls: []llms.ToolCall{{ID: "3", Type: "custom"}}},
		llms.AIChatMessage{FunctionCall: &llms.FunctionCall{Name: "old", Arguments: "not JSON"}},
		llms.AIChatMessage{Content: "Rain in Paris, sun in Rome."},
	}
	add(t, h, all...)
	want(t, h, all...)
}

func texts(t *testing.T, h schema.ChatMessageHistory) {
	var all []llms.ChatMessage
	for _, text := range []string{"", " ", "\n\n", "héllo 世界 🎈", "null", `{"a":1}`, "<b>&amp;</b>", "\x00\u2028"} {
		all = append(all, llms.HumanChatMessage{Content: text}, llms.ToolChatMessage{ID: "x", Content: text})
	}
	add(t, h, all...)
	want(t, h, all...)
}

func set(t *testing.T, h schema.ChatMessageHistory) {
	add(t, h, llms.HumanChatMessage{Content: "old"})
	fresh := []llms.ChatMessage{llms.SystemChatMessage{Content: "a summary"}, llms.HumanChatMessage{Content: "new"}}
	if err := h.SetMessages(t.Context(), fresh); err != nil {
		t.Fatalf("SetMessages: %v", err)
	}
	want(t, h, fresh...)
	add(t, h, llms.AIChatMessage{Content: "and on"})
	want(t, h, append(fresh, llms.AIChatMessage{Content: "and on"})...)
	if err := h.SetMessages(t.Context(), nil); err != nil {
		t.Fatalf("SetMessages: %v", err)
	}
	want(t, h)
}

func clear(t *testing.T, h schema.ChatMessageHistory) {
	add(t, h, llms.HumanChatMessage{Content: "old"})
	if err := h.Clear(t.Context()); err != nil {
		t.Fatalf("Clear: %v", err)
	}
	want(t, h)
	add(t, h, llms.HumanChatMessage{Content: "new"})
	want(t, h, llms.HumanChatMessage{Content: "new"})
}

func shared(t *testing.T, h schema.ChatMessageHistory) {
	calls := []llms.ToolCall{{ID: "1", Type: "function", FunctionCall: &llms.FunctionCall{Name: "f"}}}
	add(t, h, llms.AIChatMessage{ToolCalls: calls})
	calls[0].ID = "changed by who added it"
	got, err := h.Messages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got[0].(llms.AIChatMessage).ToolCalls[0].FunctionCall.Name = "changed by who read it"
	want(t, h, llms.AIChatMessage{ToolCalls: []llms.ToolCall{{ID: "1", Type: "function", FunctionCall: &llms.FunctionCall{Name: "f"}}}})
}

func concurrent(t *testing.T, h schema.ChatMessageHistory) {
	const writers, each = 8, 5
	var wg sync.WaitGroup
	for w := range writers {
		// Bound: 8 writers.
		wg.Go(func() {
			for i := range each {
				if err := h.AddUserMessage(t.Context(), fmt.Sprint(w, " ", i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := h.Messages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last := map[int]int{}
	for _, m := range got {
		var w, i int
		if _, err := fmt.Sscan(m.GetContent(), &w, &i); err != nil {
			t.Fatal(err)
		}
		if i != last[w] {
			t.Errorf("writer %d: message %d where %d was next", w, i, last[w])
		}
		last[w]++
	}
	if len(got) != writers*each {
		t.Errorf("%d messages of %d", len(got), writers*each)
	}
}

func canceled(t *testing.T, h schema.ChatMessageHistory) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.AddUserMessage(ctx, "never"); err == nil {
		t.Error("AddUserMessage with a cancelled context succeeded")
	}
	want(t, h)
}
