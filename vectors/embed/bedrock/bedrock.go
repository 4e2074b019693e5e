// Package bedrock embeds with the models of Amazon Bedrock.
//
// It speaks the formats of Amazon Titan Text Embeddings V2, Amazon Titan Multimodal
// Embeddings G1, Cohere Embed v3 and v4, and Amazon Nova Multimodal Embeddings; all
// but the first take images too. The family of a model is found in its id, behind
// any prefix of an inference profile's geography and in any ARN; a model of another
// family is refused with an error that names the ones it knows. Cohere Embed v4 is
// called through an inference profile, such as us.cohere.embed-v4:0. The caller needs
// bedrock:InvokeModel on the model.
//
// Texts are never cut: one that is too long for the model is an error that names its
// place. Cohere Embed v3 takes no more than 2,048 characters, Titan Multimodal no
// more than 256 tokens.
//
// Calls are as large as the model takes, several at a time, no faster than
// [Options] say; while the service throttles, all of them wait.
package bedrock

import (
	"cmp"
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"golang.org/x/sync/errgroup"

	"github.com/genaistore/genaistore/internal/pace"
	"github.com/genaistore/genaistore/vectors/embed"
)

// A Client makes the one call that an Embedder makes. *bedrockruntime.Client is
// one.
type Client interface {
	InvokeModel(ctx context.Context, in *bedrockruntime.InvokeModelInput, opts ...func(*bedrockruntime.Options)) (*bedrockruntime.InvokeModelOutput, error)
}

// A Content is what an index holds.
type Content string

// The kinds of content.
const (
	Texts  Content = "TEXT"
	Images Content = "IMAGE"
	Pages  Content = "DOCUMENT" // images of pages
	Mixed  Content = "GENERIC"  // several of these
)

// Options adjusts an Embedder. A nil *Options means the zero value.
type Options struct {
	// Dimension of the vectors: 1024 if zero, which all families have. Titan has
	// 256 and 512 too, Titan Multimodal 256 and 384, Cohere Embed v4 256, 512 and
	// 1536, Nova 256, 384 and 3072.
	Dimension int
	// Family names the model behind an inference profile whose ARN does not, such
	// as "cohere.embed-v4:0". Empty means that the id of the model does.
	Family string
	// Searched is what the index holds that queries are for, which Nova wants to
	// know of a query. Empty means Texts.
	Searched Content
	// Concurrency is how many calls Documents makes at a time: 8 if zero.
	Concurrency int
	// RequestsPerMinute and TokensPerMinute are what this Embedder asks at most: give
	// the quotas of the account, or a share of them. A text counts as a token for
	// each four bytes. 0 means no limit.
	RequestsPerMinute float64
	TokensPerMinute   float64
	// Patience is how often a call is tried again after the client gave up on a
	// service that throttles: after about a second, then after twice as long each
	// time, while all calls of this Embedder wait. 0 means 4, which is 15 seconds; a
	// negative number means never.
	Patience int
}

// WithDefaults returns what an Embedder acts on. It accepts a nil receiver.
func (o *Options) WithDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	opts.Dimension = cmp.Or(opts.Dimension, 1024)
	opts.Searched = cmp.Or(opts.Searched, Texts)
	opts.Concurrency = cmp.Or(opts.Concurrency, 8)
	opts.Patience = max(cmp.Or(opts.Patience, 4), -1)
	return opts
}

func (o Options) validate() error {
	switch {
	case o.Searched != Texts && o.Searched != Images && o.Searched != Pages && o.Searched != Mixed:
		return fmt.Errorf("%w: content %q: %q, %q, %q or %q", embed.ErrInvalid, o.Searched, Texts, Images, Pages, Mixed)
	case o.Concurrency < 1:
		return fmt.Errorf("%w: concurrency %d: at least 1", embed.ErrInvalid, o.Concurrency)
	case o.RequestsPerMinute < 0, o.TokensPerMinute < 0:
		return fmt.Errorf("%w: rates of %v requests and %v tokens a minute: not below 0", embed.ErrInvalid, o.RequestsPerMinute, o.TokensPerMinute)
	}
	return nil
}

// An Embedder embeds with one model. Build one with [New]. It is safe for
// concurrent use.
type Embedder struct {
	client Client
	family family
	model  embed.Model
	id     string // as Bedrock knows the model: an id or an ARN
	opts   Options
	pacer  *pace.Pacer // of requests and of tokens
}

var _ embed.Multimodal = (*Embedder)(nil)

// New returns an Embedder for a model id, inference profile or ARN. It calls
// nothing. An error matches [embed.ErrInvalid].
func New(client Client, model string, opts *Options) (*Embedder, error) {
	o := opts.WithDefaults()
	family, space, err := familyOf(model, o.Family)
	if err == nil {
		err = cmp.Or(family.checkDimension(o.Dimension), o.validate())
	}
	if err != nil {
		return nil, fmt.Errorf("bedrock model %q: %w", model, err)
	}
	e := &Embedder{
		client: client, family: family, id: model, opts: o, model: embed.Model{ID: space, Dimension: o.Dimension},
		pacer: pace.New(o.RequestsPerMinute/60, o.TokensPerMinute/60),
	}
	return e, e.model.Validate()
}

// Model implements [embed.Embedder].
func (e *Embedder) Model() embed.Model { return e.model }

// Documents implements [embed.Embedder], with as many texts a call as the family
// takes.
func (e *Embedder) Documents(ctx context.Context, texts []string) ([][]float32, error) {
	inputs := make([]embed.Input, len(texts))
	for i, text := range texts {
		inputs[i].Text = text
	}
	return e.embedAll(ctx, inputs, "document")
}

// Inputs implements [embed.Multimodal]. An image is [embed.ErrInvalid] where the
// family takes none, and so is one with a text where it takes them apart: Titan
// Multimodal and Cohere Embed v4 take them together.
func (e *Embedder) Inputs(ctx context.Context, inputs []embed.Input) ([][]float32, error) {
	return e.embedAll(ctx, inputs, "input")
}

// Query implements [embed.Embedder]. Titan embeds questions as it does
// passages; the other families are told which they see.
func (e *Embedder) Query(ctx context.Context, text string) ([]float32, error) {
	return e.QueryInput(ctx, embed.Input{Text: text})
}

// QueryInput implements [embed.Multimodal].
func (e *Embedder) QueryInput(ctx context.Context, input embed.Input) ([]float32, error) {
	err := e.family.check(input)
	var vectors [][]float32
	if err == nil {
		vectors, err = e.invoke(ctx, []embed.Input{input}, question)
	}
	if err != nil {
		return nil, fmt.Errorf("embed query: %w", err)
	}
	return vectors[0], nil
}

// embedAll embeds what will be stored, which errors call noun.
func (e *Embedder) embedAll(ctx context.Context, inputs []embed.Input, noun string) ([][]float32, error) {
	for i, input := range inputs {
		if err := e.family.check(input); err != nil {
			return nil, fmt.Errorf("embed %s %d: %w", noun, i, err)
		}
	}
	vectors := make([][]float32, len(inputs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(e.opts.Concurrency)
	for _, places := range e.family.calls(inputs) {
		group.Go(func() error { return e.embedSome(ctx, &batch{inputs, vectors, noun}, places) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return vectors, nil
}
