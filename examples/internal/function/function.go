// Package function runs a handler as a Lambda function: it decodes events strictly,
// keeps answers to their limit, and gives errors types that a state machine can match.
package function

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"

	"github.com/genaistore/genaistore/memory"
)

// A Limit is the most bytes of an event, and of an answer.
type Limit int

// What passes through a state machine, and what through Lambda alone.
const (
	StateLimit  Limit = 256 << 10
	LambdaLimit Limit = 6 << 20
)

// Types of errors, for the Retry and Catch of a state machine. What is not among them
// has the type [TypeFailed].
const (
	TypeInvalid   = "Invalid"   // the event can never succeed
	TypeNotFound  = "NotFound"  // no such session or record
	TypeConflict  = "Conflict"  // lost a race
	TypeThrottled = "Throttled" // may succeed later
	TypeDenied    = "Denied"
	TypeFailed    = "Failed"
)

// Start serves handle until the process ends. Its event and its answer are JSON.
func Start[In, Out any](limit Limit, handle func(context.Context, In) (Out, error)) {
	lambda.Start(Handler[In, Out]{limit, handle})
}

// A Handler is a lambda.Handler.
type Handler[In, Out any] struct {
	Limit  Limit
	Handle func(context.Context, In) (Out, error)
}

// Invoke implements lambda.Handler. What is no event, or none that handle takes, is an
// error before anything is done.
func (h Handler[In, Out]) Invoke(ctx context.Context, event []byte) ([]byte, error) {
	var in In
	if err := decode(event, &in, h.Limit); err != nil {
		return nil, typed(err)
	}
	out, err := h.Handle(ctx, in)
	if err != nil {
		return nil, typed(err)
	}
	answer, err := json.Marshal(out)
	if err != nil {
		return nil, typed(err)
	}
	if len(answer) > int(h.Limit) {
		return nil, typed(fmt.Errorf("%w: an answer of %d bytes: at most %d", memory.ErrInvalid, len(answer), h.Limit))
	}
	return answer, nil
}

func decode(event []byte, into any, limit Limit) error {
	if len(event) > int(limit) {
		return fmt.Errorf("%w: an event of %d bytes: at most %d", memory.ErrInvalid, len(event), limit)
	}
	decoder := json.NewDecoder(bytes.NewReader(event))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("%w: event: %w", memory.ErrInvalid, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: event: more than one JSON value", memory.ErrInvalid)
	}
	return nil
}

func typed(err error) error {
	name := TypeFailed
	for _, kind := range []struct {
		is   error
		name string
	}{
		{memory.ErrInvalid, TypeInvalid},
		{memory.ErrNotFound, TypeNotFound},
		{memory.ErrConflict, TypeConflict},
		{memory.ErrDenied, TypeDenied},
		{memory.ErrThrottled, TypeThrottled},
		{context.DeadlineExceeded, TypeThrottled},
	} {
		if errors.Is(err, kind.is) {
			name = kind.name
			break
		}
	}
	return messages.InvokeResponse_Error{Type: name, Message: err.Error()}
}
