package bedrock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/genaistore/genaistore/internal/pace"
	"github.com/genaistore/genaistore/meter"
	"github.com/genaistore/genaistore/vectors/embed"
)

// A batch is what one call of an Embedder embeds.
type batch struct {
	inputs  []embed.Input
	vectors [][]float32
	noun    string // of an input, in errors
}

// embedSome embeds the inputs at these places by one call. If the service refuses
// them it asks for halves, down to the one that is refused, and names that.
func (e *Embedder) embedSome(ctx context.Context, b *batch, places []int) error {
	inputs := make([]embed.Input, len(places))
	for i, place := range places {
		inputs[i] = b.inputs[place]
	}
	found, err := e.invoke(ctx, inputs, document)
	switch {
	case err == nil:
		for i, place := range places {
			b.vectors[place] = found[i]
		}
		return nil
	case len(places) == 1:
		return fmt.Errorf("embed %s %d: %w", b.noun, places[0], err)
	case errors.Is(err, embed.ErrInvalid):
		half := len(places) / 2
		if err := e.embedSome(ctx, b, places[:half]); err != nil {
			return err
		}
		return e.embedSome(ctx, b, places[half:])
	}
	return fmt.Errorf("embed %ss %d to %d: %w", b.noun, places[0], places[len(places)-1], err)
}

// invoke calls the model once its turn has come, and again while it is throttled and
// patience lasts.
func (e *Embedder) invoke(ctx context.Context, inputs []embed.Input, why purpose) ([][]float32, error) {
	body, err := json.Marshal(e.family.encode(inputs, request{why, e.model.Dimension, e.opts.Searched}))
	if err != nil {
		return nil, err
	}
	tokens := 0
	for _, input := range inputs {
		tokens += (len(input.Text) + 3) / 4
	}
	for tries, wait := 1, time.Second; ; tries, wait = tries+1, 2*wait {
		if err := e.pacer.Wait(ctx, 1, tokens); err != nil {
			return nil, err
		}
		answer, err := e.call(ctx, body)
		if err == nil {
			return e.decode(answer, len(inputs))
		}
		if !errors.Is(err, embed.ErrThrottled) || ctx.Err() != nil || tries > e.opts.Patience {
			if tries > 1 {
				err = fmt.Errorf("after %d tries: %w", tries, err)
			}
			return nil, err
		}
		// Others that wait as long must not come back at the same moment.
		pause := time.Duration(float64(wait) * (0.75 + rand.Float64()/2))
		e.pacer.Pause(pause)
		if err := pace.Sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
}

func (e *Embedder) call(ctx context.Context, body []byte) ([]byte, error) {
	out, err := e.client.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{
		ModelId: new(e.id), Body: body, ContentType: new("application/json"), Accept: new("application/json"),
	})
	cost := meter.Cost{Requests: 1, BytesSent: int64(len(body))}
	if err == nil {
		cost.BytesReceived = int64(len(out.Body))
	}
	meter.Add(ctx, cost)
	if err != nil {
		return nil, classify(err)
	}
	return out.Body, nil
}

func (e *Embedder) decode(answer []byte, want int) ([][]float32, error) {
	vectors, err := e.family.decode(answer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", embed.ErrCorrupt, err)
	}
	if len(vectors) != want {
		return nil, fmt.Errorf("%w: the model sent %d vectors for %d inputs", embed.ErrCorrupt, len(vectors), want)
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
		is[*types.ModelNotReadyException](err), is[*types.ModelTimeoutException](err), is[*types.InternalServerException](err):
		kind = embed.ErrThrottled
	case is[*types.AccessDeniedException](err), is[*types.ServiceQuotaExceededException](err):
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
	_, ok := errors.AsType[T](err)
	return ok
}
