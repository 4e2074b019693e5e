// Package bedrock embeds with the models of Amazon Bedrock.
//
// It speaks the request format of Amazon Titan Text Embeddings V2, one text a
// call; a model of another family is refused with an error that names the ones
// it knows. The caller needs bedrock:InvokeModel on the model.
package bedrock

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

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
	// Dimension of the vectors: 1024 if zero, or 512 or 256.
	Dimension int
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

// titan is the part of a model id that names the family, after any geographic
// prefix of an inference profile.
const titan = "amazon.titan-embed-text-v2"

// An Embedder embeds with one model. Build one with [New]. It is safe for
// concurrent use.
type Embedder struct {
	client Client
	model  embed.Model
	id     string // as Bedrock knows the model: an id or an ARN
	opts   Options
}

var _ embed.Embedder = (*Embedder)(nil)

// New returns an Embedder for a model id, inference profile or ARN. It calls
// nothing. An error matches [embed.ErrInvalid].
func New(client Client, model string, opts *Options) (*Embedder, error) {
	o := opts.WithDefaults()
	if !strings.Contains(model, titan) {
		return nil, fmt.Errorf("bedrock model %q: %w: the family must be %s", model, embed.ErrInvalid, titan)
	}
	switch o.Dimension {
	case 256, 512, 1024:
	default:
		return nil, fmt.Errorf("bedrock model %q: %w: dimension %d: 256, 512 or 1024", model, embed.ErrInvalid, o.Dimension)
	}
	if o.Concurrency < 1 {
		return nil, fmt.Errorf("bedrock model %q: %w: concurrency %d: at least 1", model, embed.ErrInvalid, o.Concurrency)
	}
	e := &Embedder{client: client, id: model, opts: o, model: embed.Model{ID: model + ":normalized", Dimension: o.Dimension}}
	return e, e.model.Validate()
}

// Model implements [embed.Embedder].
func (e *Embedder) Model() embed.Model { return e.model }

// Documents implements [embed.Embedder].
func (e *Embedder) Documents(ctx context.Context, texts []string) ([][]float32, error) {
	for i, text := range texts {
		if err := embed.CheckText(text); err != nil {
			return nil, fmt.Errorf("embed document %d: %w", i, err)
		}
	}
	vectors := make([][]float32, len(texts))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(e.opts.Concurrency)
	for i, text := range texts {
		group.Go(func() (err error) {
			if vectors[i], err = e.invoke(ctx, text); err != nil {
				return fmt.Errorf("embed document %d: %w", i, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return vectors, nil
}

// Query implements [embed.Embedder]. Titan embeds questions as it does
// passages.
func (e *Embedder) Query(ctx context.Context, text string) ([]float32, error) {
	err := embed.CheckText(text)
	var vector []float32
	if err == nil {
		vector, err = e.invoke(ctx, text)
	}
	if err != nil {
		return nil, fmt.Errorf("embed query: %w", err)
	}
	return vector, nil
}

// The format of Titan V2
// (https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html).
type titanRequest struct {
	InputText  string `json:"inputText"`
	Dimensions int    `json:"dimensions"`
	Normalize  bool   `json:"normalize"`
}

type titanResponse struct {
	Embedding []float32 `json:"embedding"`
}

func (e *Embedder) invoke(ctx context.Context, text string) ([]float32, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	body, err := json.Marshal(titanRequest{InputText: text, Dimensions: e.model.Dimension, Normalize: true})
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
	var response titanResponse
	if err := json.Unmarshal(out.Body, &response); err != nil {
		return nil, fmt.Errorf("%w: %w", embed.ErrCorrupt, err)
	}
	return response.Embedding, e.check(response.Embedding)
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
