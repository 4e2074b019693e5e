package langchaingo

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tmc/langchaingo/llms"

	"github.com/genaistore/genaistore/memory"
)

// Roles, as other adapters and models have them.
const (
	roleUser      = "user"
	roleAssistant = "assistant"
	roleSystem    = "system"
	roleTool      = "tool"
)

// extra is what a message of the framework has and one of package memory has not.
type extra struct {
	Type     llms.ChatMessageType `json:"type,omitempty"`          // where the role does not say it
	Function *llms.FunctionCall   `json:"function_call,omitempty"` // the call from before there were tools
}

// callExtra is the same for a tool call.
type callExtra struct {
	Type  string `json:"type"`
	Empty bool   `json:"empty,omitempty"` // it has no function
}

func toMemory(m llms.ChatMessage) (memory.Message, error) {
	switch m := m.(type) {
	case llms.HumanChatMessage:
		return text(roleUser, m.Content), nil
	case llms.SystemChatMessage:
		return text(roleSystem, m.Content), nil
	case llms.AIChatMessage:
		return fromAI(m)
	case llms.ToolChatMessage:
		content, err := json.Marshal(m.Content)
		return memory.Message{Role: roleTool, Parts: []memory.Part{{Result: &memory.ToolResult{ID: m.ID, Content: content}}}}, err
	case llms.FunctionChatMessage:
		out := text(roleTool, m.Content)
		out.Name = m.Name
		return withExtra(out, extra{Type: m.GetType()})
	case llms.GenericChatMessage:
		out := text(m.Role, m.Content)
		out.Name = m.Name
		return withExtra(out, extra{Type: m.GetType()})
	}
	return memory.Message{}, fmt.Errorf("%w: a message of type %T: one of the types of package llms, and no pointer, is needed", memory.ErrInvalid, m)
}

func text(role, content string) memory.Message {
	m := memory.Message{Role: role}
	if content != "" {
		m.Parts = []memory.Part{{Text: content}}
	}
	return m
}

func withExtra(m memory.Message, x extra) (memory.Message, error) {
	var err error
	m.Extra, err = json.Marshal(x)
	return m, err
}

func fromAI(m llms.AIChatMessage) (memory.Message, error) {
	out := memory.Message{Role: roleAssistant}
	if m.ReasoningContent != "" {
		out.Parts = append(out.Parts, memory.Part{Text: m.ReasoningContent, Thought: true})
	}
	if m.Content != "" {
		out.Parts = append(out.Parts, memory.Part{Text: m.Content})
	}
	for _, c := range m.ToolCalls {
		part := memory.Part{Call: &memory.ToolCall{ID: c.ID}}
		if f := c.FunctionCall; f != nil {
			part.Call.Name, part.Call.Arguments = f.Name, []byte(f.Arguments)
		}
		if c.Type != toolType || c.FunctionCall == nil {
			var err error
			if part.Extra, err = json.Marshal(callExtra{c.Type, c.FunctionCall == nil}); err != nil {
				return out, err
			}
		}
		out.Parts = append(out.Parts, part)
	}
	if m.FunctionCall == nil {
		return out, nil
	}
	return withExtra(out, extra{Function: m.FunctionCall})
}

// toolType is the type that tool calls have in practice.
const toolType = "function"

// fromMemory also reads what another adapter or program has stored, as far as the
// framework has a place for it.
//
//nolint:ireturn // one of the framework's types
func fromMemory(m memory.Message) llms.ChatMessage {
	var x extra
	if len(m.Extra) > 0 && json.Unmarshal(m.Extra, &x) != nil {
		x = extra{} // another framework's
	}
	switch x.Type {
	case llms.ChatMessageTypeGeneric:
		return llms.GenericChatMessage{Content: content(m), Role: m.Role, Name: m.Name}
	case llms.ChatMessageTypeFunction:
		return llms.FunctionChatMessage{Content: content(m), Name: m.Name}
	}
	switch m.Role {
	case roleUser:
		return llms.HumanChatMessage{Content: content(m)}
	case roleSystem:
		return llms.SystemChatMessage{Content: content(m)}
	case roleTool:
		return toolResult(m)
	case roleAssistant, "model":
		return toAI(m, x)
	}
	return llms.GenericChatMessage{Content: content(m), Role: m.Role, Name: m.Name}
}

// content is the text of a message, without thoughts.
func content(m memory.Message) string {
	var b strings.Builder
	for _, p := range m.Parts {
		if !p.Thought {
			b.WriteString(p.Text)
		}
	}
	return b.String()
}

func toolResult(m memory.Message) llms.ToolChatMessage {
	for _, p := range m.Parts {
		if p.Result == nil {
			continue
		}
		out := llms.ToolChatMessage{ID: p.Result.ID}
		if json.Unmarshal(p.Result.Content, &out.Content) != nil {
			out.Content = string(p.Result.Content) // JSON that is no string, of another adapter
		}
		return out
	}
	return llms.ToolChatMessage{Content: content(m)}
}

func toAI(m memory.Message, x extra) llms.AIChatMessage {
	out := llms.AIChatMessage{Content: content(m), FunctionCall: x.Function}
	for _, p := range m.Parts {
		switch {
		case p.Thought:
			out.ReasoningContent += p.Text
		case p.Call != nil:
			call := llms.ToolCall{ID: p.Call.ID, Type: toolType, FunctionCall: &llms.FunctionCall{Name: p.Call.Name, Arguments: string(p.Call.Arguments)}}
			if len(p.Extra) > 0 {
				var c callExtra
				if err := json.Unmarshal(p.Extra, &c); err == nil {
					call.Type = c.Type
					if c.Empty {
						call.FunctionCall = nil
					}
				}
			}
			out.ToolCalls = append(out.ToolCalls, call)
		}
	}
	return out
}
