package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/genaistore/genaistore/memory"
)

// Roles of the messages that this program stores.
const (
	roleUser      = "user"
	roleAssistant = "assistant"
)

// windowTokens bounds the conversation that a question brings along.
const windowTokens = 2000

type askCommand struct {
	Question []string `arg:"" help:"The question."`
}

func (c *askCommand) run(ctx context.Context, a *assistant) error {
	question := strings.TrimSpace(strings.Join(c.Question, " "))
	if question == "" {
		return fmt.Errorf("%w: the question is empty: assistant ask \"What is the capital of Namibia?\"", errUsage)
	}
	r, err := a.retriever(ctx)
	if err != nil {
		return err
	}
	return a.answer(ctx, r, question)
}

type chatCommand struct{}

func (*chatCommand) run(ctx context.Context, a *assistant) error {
	r, err := a.retriever(ctx)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(a.in)
	lines.Buffer(nil, 1<<20)
	a.printf("Ask, or end with an empty line.\n")
	for {
		a.printf("> ")
		if !lines.Scan() {
			a.printf("\n")
			return lines.Err()
		}
		question := strings.TrimSpace(lines.Text())
		if question == "" {
			return nil
		}
		if err := a.answer(ctx, r, question); err != nil {
			return err
		}
	}
}

// answer answers one question: it stores the question before it retrieves and
// the answer after, in one turn, so that a crash between leaves a question
// without an answer and nothing else.
func (a *assistant) answer(ctx context.Context, r *retriever, question string) error {
	window, err := a.stores.Memory.Open(ctx, a.key, &memory.WindowOptions{Tokens: windowTokens})
	if err != nil && !errors.Is(err, memory.ErrNotFound) {
		return err
	}
	turn := rand.Text()
	asked, err := a.stores.Memory.Append(ctx, a.key, memory.Entry{Turn: turn, Messages: []memory.Message{memory.Text(roleUser, question)}}, nil)
	if err != nil {
		return err
	}
	notes, err := annotate(ctx, question)
	if err != nil {
		return err
	}
	if _, err := a.stores.Memory.Update(ctx, a.key, memory.Annotate{Record: asked.Record.ID, Notes: notes}); err != nil {
		return err
	}
	passages, err := r.find(ctx, inContext(question, window), sources)
	if err != nil {
		return err
	}
	reply, err := a.responder.respond(ctx, prompt{question: inContext(question, window), intent: notes.Intent, passages: passages, window: window})
	if err != nil {
		return err
	}
	message := memory.Text(roleAssistant, reply.text)
	message.Name, message.Labels = reply.model, map[string]string{}
	for i, p := range reply.cited {
		message.Labels[fmt.Sprintf("source.%d", i+1)] = shorten(p.key, 200)
	}
	_, err = a.stores.Memory.Append(ctx, a.key, memory.Entry{Turn: turn, Messages: []memory.Message{message}},
		&memory.AppendOptions{After: asked.Bookmark})
	if err != nil {
		return err
	}
	a.changed = true
	a.show(reply)
	return nil
}

func (a *assistant) show(reply answer) {
	a.printf("%s\n", reply.text)
	if len(reply.cited) > 0 {
		a.printf("\n")
	}
	for i, p := range reply.cited {
		a.printf("[%d] %s (%s)\n", i+1, p.title, p.key)
	}
	if reply.note != "" {
		a.printf("%s\n", reply.note)
	}
	a.printf("\n")
}

// pointing matches words that mean something said before.
var pointing = regexp.MustCompile(`(?i)\b(it|its|they|them|their|there|that country|this country|he|she|his|her)\b`)

// inContext returns question with what it points at: where it says "it" or
// "there", the question before comes along.
func inContext(question string, window memory.Window) string {
	if !pointing.MatchString(question) {
		return question
	}
	for _, m := range slices.Backward(window.Messages()) {
		if m.Role == roleUser {
			return textOf(m) + " " + question
		}
	}
	return question
}
