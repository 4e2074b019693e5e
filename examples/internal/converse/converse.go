// Package converse lets a model of Amazon Bedrock continue a conversation.
package converse

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go"

	"github.com/genaistore/genaistore/memory"
)

// A Client makes the one call that a Model makes. *bedrockruntime.Client is one.
type Client interface {
	Converse(ctx context.Context, in *bedrockruntime.ConverseInput, opts ...func(*bedrockruntime.Options)) (*bedrockruntime.ConverseOutput, error)
}

// A Model writes the next message of a conversation.
type Model struct {
	client Client
	id     string
}

// New returns a Model by its id or the ARN of an inference profile.
func New(client Client, id string) *Model { return &Model{client, id} }

var errNoText = errors.New("the model sent no text")

// Reply returns the next message. The conversation begins with the user's first
// message in it and has to end with the user's; what one says in several messages is
// one to the model. An error that may go away matches [memory.ErrThrottled].
func (m *Model) Reply(ctx context.Context, conversation []memory.Message) (memory.Message, error) {
	turns := turnsOf(conversation)
	if len(turns) == 0 || turns[len(turns)-1].Role != types.ConversationRoleUser {
		return memory.Message{}, fmt.Errorf("model %s: %w: the conversation does not end with the user", m.id, memory.ErrInvalid)
	}
	out, err := m.client.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &m.id, Messages: turns})
	if err != nil {
		return memory.Message{}, fmt.Errorf("model %s: %w", m.id, kind(err))
	}
	reply := memory.Message{Role: "assistant", Name: m.id}
	if said, ok := out.Output.(*types.ConverseOutputMemberMessage); ok {
		for _, block := range said.Value.Content {
			if text, ok := block.(*types.ContentBlockMemberText); ok && text.Value != "" {
				reply.Parts = append(reply.Parts, memory.Part{Text: text.Value})
			}
		}
	}
	if len(reply.Parts) == 0 {
		return memory.Message{}, fmt.Errorf("model %s: %w", m.id, errNoText)
	}
	if out.Usage != nil && out.Usage.OutputTokens != nil {
		reply.Tokens = int(*out.Usage.OutputTokens)
	}
	return reply, nil
}

// Warm opens a connection: it asks what the model refuses, which costs nothing.
func (m *Model) Warm(ctx context.Context) error {
	nothing := types.Message{Role: types.ConversationRoleAssistant, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "-"}}}
	_, err := m.client.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &m.id, Messages: []types.Message{nothing}},
		func(o *bedrockruntime.Options) { o.Retryer = aws.NopRetryer{} })
	if _, refused := errors.AsType[*types.ValidationException](err); refused || err == nil {
		return nil
	}
	return fmt.Errorf("model %s: %w", m.id, kind(err))
}

func kind(err error) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return fmt.Errorf("%w: no answer: %w", memory.ErrThrottled, err)
	}
	switch api.ErrorCode() {
	case "ThrottlingException", "ServiceUnavailableException", "ModelNotReadyException", "ModelTimeoutException", "InternalServerException":
		return fmt.Errorf("%w: %w", memory.ErrThrottled, err)
	case "AccessDeniedException":
		return fmt.Errorf("%w: %w", memory.ErrDenied, err)
	case "ValidationException":
		return fmt.Errorf("%w: %w", memory.ErrInvalid, err)
	}
	return err
}

// turnsOf is the text of a conversation as Converse takes it.
func turnsOf(conversation []memory.Message) []types.Message {
	var turns []types.Message
	for _, m := range conversation {
		role := types.ConversationRoleUser
		if m.Role == "assistant" {
			role = types.ConversationRoleAssistant
		}
		said := textsOf(m)
		switch n := len(turns); {
		case len(said) == 0 || n == 0 && role != types.ConversationRoleUser:
		case n > 0 && turns[n-1].Role == role:
			turns[n-1].Content = append(turns[n-1].Content, said...)
		default:
			turns = append(turns, types.Message{Role: role, Content: said})
		}
	}
	return turns
}

func textsOf(m memory.Message) []types.ContentBlock {
	var said []types.ContentBlock
	for _, p := range m.Parts {
		if p.Text != "" && !p.Thought {
			said = append(said, &types.ContentBlockMemberText{Value: p.Text})
		}
	}
	return said
}
