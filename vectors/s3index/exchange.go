package s3index

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/s3vectors"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/genaistore/genaistore/meter"
	"github.com/genaistore/genaistore/vectors"
)

// An exchange puts our body in the place of the one that the client made of its
// input, and reads the body of the answer in the client's place. The client has
// no members for what is newer than it is, and its code for vectors is slow.
type exchange struct {
	path  string                  // of the operation, "" for the client's
	body  []byte                  // nil for the client's
	reply func(body []byte) error // nil to leave the answer to the client

	sent, received int64
}

// option is given to one call of the client.
func (e *exchange) option() func(*s3vectors.Options) {
	return s3vectors.WithAPIOptions(func(stack *middleware.Stack) error {
		if err := stack.Serialize.Insert(middleware.SerializeMiddlewareFunc("genaistoreBody", e.serialize), "OperationSerializer", middleware.After); err != nil {
			return err
		}
		return stack.Deserialize.Insert(middleware.DeserializeMiddlewareFunc("genaistoreReply", e.deserialize), "OperationDeserializer", middleware.After)
	})
}

func (e *exchange) serialize(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (middleware.SerializeOutput, middleware.Metadata, error) {
	request, ok := in.Request.(*smithyhttp.Request)
	if !ok {
		return middleware.SerializeOutput{}, middleware.Metadata{}, fmt.Errorf("unknown request %T", in.Request)
	}
	if e.path != "" {
		request.URL.Path = e.path
	}
	if e.body != nil {
		var err error
		if request, err = request.SetStream(bytes.NewReader(e.body)); err != nil {
			return middleware.SerializeOutput{}, middleware.Metadata{}, err
		}
		in.Request = request
	}
	if n, ok, err := request.StreamLength(); ok && err == nil {
		e.sent = n
	}
	return next.HandleSerialize(ctx, in)
}

func (e *exchange) deserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	response, ok := out.RawResponse.(*smithyhttp.Response)
	if err != nil || !ok {
		return out, metadata, err
	}
	body, err := readAll(response)
	if err != nil {
		return out, metadata, err
	}
	e.received = int64(len(body))
	if response.StatusCode == http.StatusOK && e.reply != nil {
		if err := e.reply(body); err != nil {
			return out, metadata, err
		}
		body = []byte("{}")
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return out, metadata, nil
}

func readAll(response *smithyhttp.Response) ([]byte, error) {
	defer response.Body.Close() //nolint:errcheck // it was read to its end, or the error is known
	if response.ContentLength <= 0 || response.ContentLength > 64<<20 {
		return io.ReadAll(response.Body)
	}
	body := make([]byte, response.ContentLength)
	_, err := io.ReadFull(response.Body, body)
	return body, err
}

// exchanged runs one call of the client, counts it, and gives its error a kind.
func exchanged(ctx context.Context, e *exchange, call func(option func(*s3vectors.Options)) error) error {
	err := call(e.option())
	meter.Add(ctx, meter.Cost{Requests: 1, BytesSent: e.sent, BytesReceived: e.received})
	return kind(err)
}

func getIndex(ctx context.Context, client interface {
	GetIndex(ctx context.Context, in *s3vectors.GetIndexInput, opts ...func(*s3vectors.Options)) (*s3vectors.GetIndexOutput, error)
}, bucket, name string,
) (*description, error) {
	var answer struct{ Index description }
	e := &exchange{reply: func(body []byte) error { return corrupt(json.Unmarshal(body, &answer)) }}
	err := exchanged(ctx, e, func(option func(*s3vectors.Options)) error {
		_, err := client.GetIndex(ctx, &s3vectors.GetIndexInput{VectorBucketName: &bucket, IndexName: &name}, option)
		return err
	})
	return &answer.Index, err
}

func listTags(ctx context.Context, client interface {
	ListTagsForResource(ctx context.Context, in *s3vectors.ListTagsForResourceInput, opts ...func(*s3vectors.Options)) (*s3vectors.ListTagsForResourceOutput, error)
}, arn string,
) (map[string]string, error) {
	tags := map[string]string{}
	err := exchanged(ctx, new(exchange), func(option func(*s3vectors.Options)) error {
		out, err := client.ListTagsForResource(ctx, &s3vectors.ListTagsForResourceInput{ResourceArn: &arn}, option)
		if err == nil && out.Tags != nil {
			tags = out.Tags
		}
		return err
	})
	return tags, err
}

func corrupt(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: an answer of the service: %w", vectors.ErrCorrupt, err)
}

// kind puts the kind of an error of the service before it.
func kind(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	sentinel := kindOfStatus(err)
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		switch api.ErrorCode() {
		case "NotFoundException":
			sentinel = vectors.ErrNotFound
		case "ConflictException":
			sentinel = vectors.ErrConflict
		case "ValidationException":
			sentinel = vectors.ErrInvalid
		case "TooManyRequestsException", "ServiceUnavailableException", "InternalServerException", "RequestTimeoutException":
			sentinel = vectors.ErrThrottled
		case "AccessDeniedException", "ServiceQuotaExceededException", "KmsDisabledException", "KmsInvalidKeyUsageException", "KmsInvalidStateException", "KmsNotFoundException":
			sentinel = vectors.ErrDenied
		}
	}
	if sentinel == nil {
		return err
	}
	return fmt.Errorf("%w: %w", sentinel, err)
}

// kindOfStatus knows the errors of servers that name them otherwise.
func kindOfStatus(err error) error {
	status := statusOf(err)
	switch {
	case status == http.StatusNotFound:
		return vectors.ErrNotFound
	case status == http.StatusConflict:
		return vectors.ErrConflict
	case status == http.StatusPaymentRequired, status == http.StatusForbidden:
		return vectors.ErrDenied
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= http.StatusInternalServerError && status != http.StatusNotImplemented:
		return vectors.ErrThrottled
	case status >= http.StatusBadRequest && status < http.StatusInternalServerError:
		return vectors.ErrInvalid
	}
	return nil
}

// statusOf returns the HTTP status of an answer that is an error, or 0.
func statusOf(err error) int {
	if response, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return response.HTTPStatusCode()
	}
	return 0
}
