package awsfake

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
)

// Bedrock is a fake of the model runtime of Amazon Bedrock. It has Converse alone,
// with messages of text.
type Bedrock struct {
	Server
	reply func(model string, said []string) string
	calls atomic.Int64
}

// NewBedrock returns a fake whose models answer with what reply makes of the texts of
// a conversation.
func NewBedrock(reply func(model string, said []string) string) *Bedrock {
	f := &Bedrock{reply: reply}
	f.Server = Server{service: "bedrock", serve: f.handle}
	return f
}

// Calls is how often a model has answered.
func (f *Bedrock) Calls() int64 { return f.calls.Load() }

func (f *Bedrock) handle(w http.ResponseWriter, r *http.Request) {
	model, ok := strings.CutPrefix(r.URL.Path, "/model/")
	model, converse := strings.CutSuffix(model, "/converse")
	if !ok || !converse {
		failBedrock(w, "UnknownOperationException", "the fake does not know "+r.URL.Path)
		return
	}
	var in struct {
		Messages []struct {
			Role    string
			Content []struct{ Text string }
		}
	}
	if err := json.Unmarshal(body(r), &in); err != nil {
		failBedrock(w, "ValidationException", err.Error())
		return
	}
	var said []string
	for i, m := range in.Messages {
		if role := []string{"user", "assistant"}[i%2]; m.Role != role || len(m.Content) == 0 || m.Content[0].Text == "" {
			failBedrock(w, "ValidationException", "a conversation is of user and assistant in turn, and of text")
			return
		}
		said = append(said, m.Content[0].Text)
	}
	if len(said)%2 == 0 {
		failBedrock(w, "ValidationException", "a conversation ends with the user")
		return
	}
	f.calls.Add(1)
	answerJSON(w, http.StatusOK, map[string]any{
		"output":     map[string]any{"message": map[string]any{"role": "assistant", "content": []any{map[string]any{"text": f.reply(model, said)}}}},
		"stopReason": "end_turn",
		"usage":      map[string]any{"inputTokens": len(said), "outputTokens": 1, "totalTokens": len(said) + 1},
		"metrics":    map[string]any{"latencyMs": 1},
	})
}

func failBedrock(w http.ResponseWriter, code, message string) {
	w.Header().Set("X-Amzn-Errortype", code)
	answerJSON(w, http.StatusBadRequest, map[string]any{"message": message})
}
