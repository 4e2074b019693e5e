package langchaingo_test

import (
	"context"
	"fmt"
	"log"

	"github.com/tmc/langchaingo/llms"

	"github.com/genaistore/genaistore/adapters/langchaingo"
	"github.com/genaistore/genaistore/memory"
)

// A history keeps what the model asked its tools, here in this process; with the
// DynamoDB backend of package memory it does so from any machine.
func Example() {
	ctx := context.Background()
	store := &memory.InMemory{}
	history, err := langchaingo.NewHistory(store, memory.Key{App: "travel", User: "ada", Session: "s1"}, nil)
	if err != nil {
		log.Fatal(err)
	}
	err = history.AddMessages(ctx,
		llms.HumanChatMessage{Content: "The weather in Rome?"},
		llms.AIChatMessage{ToolCalls: []llms.ToolCall{{ID: "1", Type: "function", FunctionCall: &llms.FunctionCall{Name: "weather", Arguments: `{"city":"Rome"}`}}}},
		llms.ToolChatMessage{ID: "1", Content: "sunny"},
		llms.AIChatMessage{Content: "It is sunny in Rome."},
	)
	if err != nil {
		log.Fatal(err)
	}
	messages, err := history.Messages(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range messages {
		fmt.Printf("%s: %s", m.GetType(), m.GetContent())
		if m, ok := m.(llms.AIChatMessage); ok {
			for _, c := range m.ToolCalls {
				fmt.Printf("%s%s", c.FunctionCall.Name, c.FunctionCall.Arguments)
			}
		}
		fmt.Println()
	}
	// Output:
	// human: The weather in Rome?
	// ai: weather{"city":"Rome"}
	// tool: sunny
	// ai: It is sunny in Rome.
}
