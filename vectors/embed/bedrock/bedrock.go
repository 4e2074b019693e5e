// Package bedrock embeds with the models of Amazon Bedrock.
//
// It speaks the formats of Amazon Titan Text Embeddings V2, Cohere Embed v3 and
// v4, and Amazon Nova Multimodal Embeddings. The family of a model is found in its
// id, behind any prefix of an inference profile's geography and in any ARN; a model
// of another family is refused with an error that names the ones it knows.
// Cohere Embed v4 is called through an inference profile, such as
// us.cohere.embed-v4:0. The caller needs bedrock:InvokeModel on the model.
//
// Texts are never cut: one that is too long for the model is an error. Cohere Embed
// v3 takes no more than 2,048 characters.
package bedrock

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"golang.org/x/sync/errgroup"

	"github.com/genaistore/genaistore/meter"
	"github.com/genaistore/genaistore/vectors/embed"
)

// A Client makes the one call that an Embedder makes. *bedrockruntime.Client is
// one.
type Client interface {
	InvokeModel(ctx context.Context, in *bedrockruntime.InvokeModelInput, opts ...func(*bedrockruntime.Options)) (*bedrockruntime.InvokeModelOutput, error)
}

// Options adjusts an Embedder. A nil *Options means the zero value.
type Options struct {
	// Dimension of the vectors: 1024 if zero, which all families have. Titan has
	// 256 and 512 too, Cohere Embed v4 256, 512 and 1536, Nova 256, 384 and 3072.
	Dimension int
	// Family names the model behind an inference profile whose ARN does not, such
	// as "cohere.embed-v4:0". Empty means that the id of the model does.
	Family string
	// Concurrency is how many calls Documents makes at a time: 8 if zero.
	Concurrency int
}

// WithDefaults returns what an Embedder acts on. It accepts a nil receiver.
func (o *Options) WithDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	opts.Dimension = cmp.Or(opts.Dimension, 1024)
	opts.Concurrency = cmp.Or(opts.Concurrency, 8)
	return opts
}

// An Embedder embeds with one model. Build one with [New]. It is safe for
// concurrent use.
type Embedder struct {
	client Client
	family family
	model  embed.Model
	id     string // as Bedrock knows the model: an id or an ARN
	opts   Options
}

var _ embed.Embedder = (*Embedder)(nil)

// New returns an Embedder for a model id, inference profile or ARN. It calls
// nothing. An error matches [embed.ErrInvalid].
func New(client Client, model string, opts *Options) (*Embedder, error) {
	o := opts.WithDefaults()
	family, space, err := familyOf(model, o.Family)
	if err == nil {
		err = family.checkDimension(o.Dimension)
	}
	if err != nil {
		return nil, fmt.Errorf("bedrock model %q: %w", model, err)
	}
	if o.Concurrency < 1 {
		return nil, fmt.Errorf("bedrock model %q: %w: concurrency %d: at least 1", model, embed.ErrInvalid, o.Concurrency)
	}
	e := &Embedder{client: client, family: family, id: model, opts: o, model: embed.Model{ID: space, Dimension: o.Dimension}}
	return e, e.model.Validate()
}

// Model implements [embed.Embedder].
func (e *Embedder) Model() embed.Model { return e.model }

// Documents implements [embed.Embedder], with as many texts a call as the family
// takes.
func (e *Embedder) Documents(ctx context.Context, texts []string) ([][]float32, error) {
	for i, text := range texts {
		if err := e.family.checkText(text); err != nil {
			return nil, fmt.Errorf("embed document %d: %w", i, err)
		}
	}
	vectors := make([][]float32, len(texts))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(e.opts.Concurrency)
	for start := 0; start < len(texts); start += e.family.texts {
		end := min(len(texts), start+e.family.texts)
		group.Go(func() error {
			found, err := e.invoke(ctx, texts[start:end], document)
			switch {
			case err == nil:
				copy(vectors[start:], found)
				return nil
			case end-start == 1:
				return fmt.Errorf("embed document %d: %w", start, err)
			}
			return fmt.Errorf("embed documents %d to %d: %w", start, end-1, err)
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return vectors, nil
}

// Query implements [embed.Embedder]. Titan embeds questions as it does
// passages; the other families are told which they see.
func (e *Embedder) Query(ctx context.Context, text string) ([]float32, error) {
	err := e.family.checkText(text)
	var vectors [][]float32
	if err == nil {
		vectors, err = e.invoke(ctx, []string{text}, question)
	}
	if err != nil {
		return nil, fmt.Errorf("embed query: %w", err)
	}
	return vectors[0], nil
}

func (e *Embedder) invoke(ctx context.Context, texts []string, why purpose) ([][]float32, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	body, err := json.Marshal(e.family.encode(texts, why, e.model.Dimension))
	if err != nil {
		return nil, err
	}
	out, err := e.client.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{
		ModelId: new(e.id), Body: body, ContentType: new("application/json"), Accept: new("application/json"),
	})
	if err != nil {
		return nil, classify(err)
	}
	meter.Add(ctx, meter.Cost{Requests: 1, BytesSent: int64(len(body)), BytesReceived: int64(len(out.Body))})
	vectors, err := e.family.decode(out.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", embed.ErrCorrupt, err)
	}
	if len(vectors) != len(texts) {
		return nil, fmt.Errorf("%w: the model sent %d vectors for %d texts", embed.ErrCorrupt, len(vectors), len(texts))
	}
	for _, vector := range vectors {
		if err := e.check(vector); err != nil {
			return nil, err
		}
	}
	return vectors, nil
}

func (e *Embedder) check(vector []float32) error {
	zero := true
	for _, x := range vector {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return fmt.Errorf("%w: the model sent %v", embed.ErrCorrupt, x)
		}
		zero = zero && x == 0
	}
	if len(vector) != e.model.Dimension || zero {
		return fmt.Errorf("%w: the model sent a vector of %d elements, zero: %t; want %d", embed.ErrCorrupt, len(vector), zero, e.model.Dimension)
	}
	return nil
}

func classify(err error) error {
	var kind error
	switch {
	case is[*types.ThrottlingException](err), is[*types.ServiceUnavailableException](err),
		is[*types.ModelNotReadyException](err), is[*types.ModelTimeoutException](err):
		kind = embed.ErrThrottled
	case is[*types.AccessDeniedException](err):
		kind = embed.ErrDenied
	case is[*types.ResourceNotFoundException](err):
		kind = embed.ErrNotFound
	case is[*types.ValidationException](err):
		kind = embed.ErrInvalid
	default:
		return err
	}
	return fmt.Errorf("%w: %w", kind, err)
}

func is[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}
