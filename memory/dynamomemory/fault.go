package dynamomemory

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/genaistore/genaistore/memory"
)

// fault gives an error of the client its kind.
func (s *Store) fault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	if failed, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return &unmet{failed.Item, fmt.Errorf("%w: %w", memory.ErrConflict, err)}
	}
	if canceled, ok := errors.AsType[*types.TransactionCanceledException](err); ok {
		return fmt.Errorf("%w: %w", canceledKind(canceled), err)
	}
	var api smithy.APIError
	switch {
	case !errors.As(err, &api) && unsent(err):
		return fmt.Errorf("%w: the request was not sent, for want of credentials or of an endpoint: %w", memory.ErrDenied, err)
	case api == nil:
		return fmt.Errorf("%w: no answer: %w", memory.ErrThrottled, err)
	case api.ErrorCode() == "ResourceNotFoundException":
		return fmt.Errorf("%w: there is no table %q, or one of its indexes is missing: %w", memory.ErrNotFound, s.table, err)
	}
	return fmt.Errorf("%w: %w", kindOf(api.ErrorCode()), err)
}

// misread says why a read was a bad request, which only the table can have made it.
func misread(index string, err error) error {
	switch {
	case !errors.Is(err, memory.ErrInvalid):
		return err
	case index != "":
		return fmt.Errorf("index %q is missing, or still being built, which EnsureTable waits for: %w", index, err)
	}
	return fmt.Errorf("the table has other keys than this Schema, which EnsureTable with CheckOnly tells: %w", err)
}

// unsent says whether an error of the AWS client is from before the request went out:
// it could not be signed or addressed.
func unsent(err error) bool {
	if op, ok := errors.AsType[*smithy.OperationError](err); !ok || op.ServiceID != dynamodb.ServiceID {
		return false // another client, of which nothing is known
	}
	for _, after := range []any{
		new(*smithyhttp.RequestSendError), new(*smithyhttp.ResponseError), new(*smithy.DeserializationError),
		new(*smithy.CanceledError), new(net.Error), new(ratelimit.QuotaExceededError),
	} {
		if errors.As(err, after) {
			return false
		}
	}
	return true
}

func kindOf(code string) error {
	switch code {
	case "ValidationException", "SerializationException", "ItemCollectionSizeLimitExceededException", "IdempotentParameterMismatchException":
		return memory.ErrInvalid
	case "AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException", "ExpiredToken", "InvalidSignatureException",
		"IncompleteSignatureException", "MissingAuthenticationTokenException", "InvalidClientTokenId", "NotAuthorized", "OptInRequired":
		return memory.ErrDenied
	}
	return memory.ErrThrottled
}

func canceledKind(canceled *types.TransactionCanceledException) error {
	kind := memory.ErrThrottled // capacity, or a conflict with another transaction
	for _, r := range canceled.CancellationReasons {
		if r.Code == nil {
			continue
		}
		switch *r.Code {
		case "ConditionalCheckFailed":
			return memory.ErrConflict
		case "ValidationError", "ItemCollectionSizeLimitExceeded":
			kind = memory.ErrInvalid
		}
	}
	return kind
}
