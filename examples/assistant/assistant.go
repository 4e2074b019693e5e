package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

	"github.com/genaistore/genaistore"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/vectors"
	"github.com/genaistore/genaistore/vectors/embed"
	"github.com/genaistore/genaistore/vectors/embed/bedrock"
	"github.com/genaistore/genaistore/vectors/embed/glove"
)

// An assistant is the program with its stores open.
type assistant struct {
	terminal

	line      commandLine
	stores    genaistore.Stores
	saved     genaistore.Stores // those of stores that the state folder keeps
	key       memory.Key        // of the conversation
	embedder  embed.Embedder
	responder responder
	changed   bool // the stores have something to save
}

// Metadata keys of a passage. Only the text is not filterable: it is longer
// than filterable metadata may be.
const (
	metaSource = "source" // the document it is from
	metaTitle  = "title"  // what to call it in a citation
	metaHash   = "hash"   // of what was embedded, so that nothing is embedded twice
	metaText   = "text"
)

// open makes the stores that line asks for and loads the saved state.
func open(ctx context.Context, line commandLine, t terminal) (*assistant, *state, error) {
	a := &assistant{
		terminal:  t,
		line:      line,
		key:       memory.Key{Tenant: line.Tenant, App: "assistant", User: line.User, Session: line.Session},
		embedder:  glove.New(),
		responder: extractive{},
	}
	if err := a.key.Validate(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	if err := a.useBedrock(ctx, line); err != nil {
		return nil, nil, err
	}
	index, err := vectors.NewInMemory(vectors.Schema{
		Dimension:     a.embedder.Model().Dimension,
		NonFilterable: []string{metaText},
		Tags:          a.embedder.Model().Tags(),
	})
	if err != nil {
		return nil, nil, err
	}
	a.saved = genaistore.InMemory()
	a.saved.Vectors = index
	a.stores = a.saved

	s, err := openState(line.State)
	if err != nil {
		return nil, nil, err
	}
	if err := a.load(ctx, s); err != nil {
		return nil, nil, errors.Join(err, s.close())
	}
	return a, s, nil
}

func (a *assistant) load(ctx context.Context, s *state) error {
	err := s.load(ctx, a.saved)
	if err != nil {
		return err
	}
	if a.line.setsUp {
		return nil
	}
	if err := a.openBackend(ctx); err != nil {
		return err
	}
	schema, err := a.stores.Vectors.Describe(ctx)
	if err != nil {
		return err
	}
	if err := a.embedder.Model().Check(schema.Tags); err != nil {
		return fmt.Errorf("%w: use the same --embed-model as before, or another folder with --state", err)
	}
	return nil
}

// useBedrock replaces the offline parts where a model is configured.
func (a *assistant) useBedrock(ctx context.Context, line commandLine) error {
	if line.Model == "" && line.EmbedModel == "" {
		return nil
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("AWS configuration: %w", err)
	}
	client := bedrockruntime.NewFromConfig(cfg)
	if line.Model != "" {
		a.responder = converse{client: client, model: line.Model}
	}
	if line.EmbedModel != "" {
		if a.embedder, err = bedrock.New(client, line.EmbedModel, nil); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
	}
	return nil
}
