package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/vectors/rag"
)

// A prompt is what an answer is made from.
type prompt struct {
	question string
	intent   string        // of what the user said
	passages []passage     // best first
	window   memory.Window // the conversation before the question
}

// An answer cites passages as [1], [2], …, in the order of Cited.
type answer struct {
	text  string
	cited []passage
	model string // who wrote it
	note  string // what the reader should know about how it was made
}

// A responder writes answers.
type responder interface {
	respond(ctx context.Context, p prompt) (answer, error)
}

// extractive answers offline: it quotes the sentences that fit the question
// best. It understands nothing, and says so.
type extractive struct{}

const offlineNote = "Answered offline: sentences quoted from the sources, not understood. With --model ID a language model writes the answer."

const (
	quotes       = 2   // sentences that an answer quotes
	leastWords   = 3   // of a sentence that is worth a quote
	longSentence = 200 // bytes of a sentence that is cut at semicolons
)

func (extractive) respond(ctx context.Context, p prompt) (answer, error) {
	a := answer{model: "offline-extractive:1"}
	if err := ctx.Err(); err != nil {
		return a, err
	}
	if reply, ok := smallTalk(p.intent); ok {
		a.text = reply
		return a, nil
	}
	a.note = offlineNote
	best, err := bestQuotes(p)
	if err != nil {
		return a, err
	}
	if len(best) == 0 {
		a.text = "The sources say nothing about that."
		return a, nil
	}
	var text []string
	for _, q := range best {
		n := slices.IndexFunc(a.cited, func(c passage) bool { return c.key == q.passage.key })
		if n < 0 {
			a.cited, n = append(a.cited, q.passage), len(a.cited)
		}
		text = append(text, fmt.Sprintf("%s [%d]", shorten(q.text, 400), n+1))
	}
	a.text = strings.Join(text, " ")
	return a, nil
}

// A quote is a sentence of a passage.
type quote struct {
	passage passage
	text    string
}

// bestQuotes returns the sentences that fit the question best, in the order of
// the passages. A sentence of the best passage beats one of the fifth that fits
// as well.
func bestQuotes(p prompt) ([]quote, error) {
	words, err := rag.NewBM25(nil)
	if err != nil {
		return nil, err
	}
	all, said := map[string]quote{}, map[string]bool{}
	var order []string
	for i, source := range p.passages {
		for n, sentence := range sentences(source.text) {
			if said[sentence] {
				continue
			}
			said[sentence] = true
			id := fmt.Sprintf("%02d/%04d", i, n)
			all[id] = quote{source, sentence}
			order = append(order, id)
			if err := words.Add(rag.Document{ID: id, Title: source.title, Text: sentence}); err != nil {
				return nil, err
			}
		}
	}
	ranking, err := rag.Fuse([][]string{ids(words.Search(p.question, len(order))), order}, &rag.FuseOptions{Weights: []float64{1, 0.5}})
	if err != nil {
		return nil, err
	}
	best := ids(ranking[:min(quotes, len(ranking))])
	slices.Sort(best)
	out := make([]quote, len(best))
	for i, id := range best {
		out[i] = all[id]
	}
	return out, nil
}

// sentences returns those of text that are worth a quote: long ones are cut at
// semicolons, and names and headings left out.
func sentences(text string) []string {
	var out []string
	for _, s := range rag.Sentences(text) {
		s = strings.Join(strings.Fields(s), " ")
		parts := []string{s}
		if len(s) > longSentence {
			parts = strings.Split(s, "; ")
		}
		for _, part := range parts {
			if len(strings.Fields(part)) >= leastWords {
				out = append(out, part)
			}
		}
	}
	return out
}

// smallTalk answers what is no question.
func smallTalk(intent string) (string, bool) {
	switch intent {
	case intentGreeting:
		return "Hello. Ask me something that the documents may answer.", true
	case intentThanks:
		return "You are welcome.", true
	case intentComplaint:
		return "I am sorry. I can only quote the documents; other words may find a better passage.", true
	}
	return "", false
}

// shorten cuts text at a word to about n characters.
func shorten(text string, n int) string {
	runes := []rune(text)
	if len(runes) <= n {
		return text
	}
	cut := string(runes[:n])
	if i := strings.LastIndexByte(cut, ' '); i > 0 {
		cut = cut[:i]
	}
	return cut + " …"
}

// converser is the one call that answers with a model make.
type converser interface {
	Converse(ctx context.Context, in *bedrockruntime.ConverseInput, opts ...func(*bedrockruntime.Options)) (*bedrockruntime.ConverseOutput, error)
}

// converse answers with a model of Amazon Bedrock.
type converse struct {
	client converser
	model  string
}

const instructions = "Answer the question from the numbered sources alone, in a few sentences. " +
	"Cite each source you use as [1], [2] and so on. If the sources do not say it, say so."

func (c converse) respond(ctx context.Context, p prompt) (answer, error) {
	var sources strings.Builder
	for i, source := range p.passages {
		fmt.Fprintf(&sources, "[%d] %s\n%s\n\n", i+1, source.title, source.text)
	}
	out, err := c.client.Converse(ctx, &bedrockruntime.ConverseInput{
		ModelId:  new(c.model),
		System:   []types.SystemContentBlock{&types.SystemContentBlockMemberText{Value: instructions}},
		Messages: append(turns(p.window.Messages()), says(types.ConversationRoleUser, sources.String()+"Question: "+p.question)),
	})
	if err != nil {
		return answer{}, fmt.Errorf("model %s: %w", c.model, err)
	}
	reply, ok := out.Output.(*types.ConverseOutputMemberMessage)
	if !ok {
		return answer{}, errors.New("model " + c.model + " sent no message")
	}
	a := answer{model: c.model, cited: p.passages}
	for _, block := range reply.Value.Content {
		if text, ok := block.(*types.ContentBlockMemberText); ok {
			a.text += text.Value
		}
	}
	if a.text == "" {
		return answer{}, errors.New("model " + c.model + " sent no text")
	}
	return a, nil
}

// turns returns the text of a conversation in the form that Converse takes:
// beginning with the user, and the two in turn.
func turns(messages []memory.Message) []types.Message {
	var out []types.Message
	for _, m := range messages {
		role := types.ConversationRoleUser
		if m.Role == roleAssistant {
			role = types.ConversationRoleAssistant
		}
		text := textOf(m)
		if text == "" || len(out) == 0 && role != types.ConversationRoleUser || len(out) > 0 && out[len(out)-1].Role == role {
			continue
		}
		out = append(out, says(role, text))
	}
	if len(out) > 0 && out[len(out)-1].Role == types.ConversationRoleUser {
		out = out[:len(out)-1]
	}
	return out
}

func says(role types.ConversationRole, text string) types.Message {
	return types.Message{Role: role, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: text}}}
}

func textOf(m memory.Message) string {
	var parts []string
	for _, p := range m.Parts {
		if p.Text != "" {
			parts = append(parts, p.Text)
		}
	}
	return strings.Join(parts, "\n")
}
