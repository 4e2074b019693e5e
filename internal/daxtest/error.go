package daxtest

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
)

// errorCodes are the last of the five numbers that a client knows an error by.
var errorCodes = map[string]int64{
	"ProvisionedThroughputExceededException":   40,
	"ResourceNotFoundException":                41,
	"ConditionalCheckFailedException":          43,
	"ResourceInUseException":                   45,
	"ValidationException":                      46,
	"InternalServerError":                      47,
	"ItemCollectionSizeLimitExceededException": 48,
	"LimitExceededException":                   49,
	"ThrottlingException":                      50,
	"TransactionConflictException":             57,
	"TransactionCanceledException":             58,
	"TransactionInProgressException":           59,
	"IdempotentParameterMismatchException":     60,
}

// First numbers: what a client does about an error.
const (
	codeRetryable = 1
	codeClient    = 4
)

// writeError writes numbers, a message, and what DynamoDB said of it. Only the
// numbers decide what the client makes of it.
func (n *node) writeError(w *writer, err error, q *request) {
	if errors.Is(err, errUnauthorized) {
		w.numbers(codeClient, 23, 31, 33)
		w.text(err.Error())
		w.null()
		return
	}
	// What is no error of DynamoDB is one of the request: it could not be decoded.
	code, message := "ValidationException", err.Error()
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code, message = api.ErrorCode(), api.ErrorMessage()
	}
	number, ok := errorCodes[code]
	if !ok {
		number = errorCodes["InternalServerError"]
	}
	class, status := int64(codeClient), int64(400)
	if number == errorCodes["InternalServerError"] {
		class, status = codeRetryable, 500
	}
	w.numbers(class, 37, 38, 39, number)
	w.text(message)
	canceled, ok := errors.AsType[*types.TransactionCanceledException](err)
	if ok = ok && len(canceled.CancellationReasons) > 0; ok {
		w.array(4)
	} else {
		w.array(3)
	}
	w.text("daxtest") // the request's id
	w.text(code)
	w.int(status)
	if ok {
		n.writeReasons(w, canceled.CancellationReasons, q)
	}
}

func (w *writer) numbers(codes ...int64) {
	w.array(len(codes))
	for _, c := range codes {
		w.int(c)
	}
}

// writeReasons writes why a transaction was not carried out, three values an action.
func (n *node) writeReasons(w *writer, reasons []types.CancellationReason, q *request) {
	w.array(3 * len(reasons))
	for i, r := range reasons {
		w.nullText(r.Code)
		w.nullText(r.Message)
		var value []byte
		if len(r.Item) > 0 && i < len(q.actions) {
			if s, err := n.cluster.schema(n.cluster.ctx, q.actions[i].table); err == nil {
				value, _ = n.cluster.lists.encode(r.Item, s)
			}
		}
		if value == nil {
			w.null()
		} else {
			w.bytes(value)
		}
	}
}
