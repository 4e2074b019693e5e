package dax

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-dax-go-v2/dax"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/genaistore/genaistore/memory"
)

type item = map[string]types.AttributeValue

// An operation is one of the client's, in both ways to do it.
type operation[I, O any] struct {
	in    *I
	dax   func(*dax.Dax, context.Context, *I, ...func(*dynamodb.Options)) (*O, error)
	table func(context.Context, *I, ...func(*dynamodb.Options)) (*O, error)

	tables []string
	// keys are those of items to read first, in tables that a connection has not met
	// yet: in some requests the client cannot tell that a table's key is unknown, and
	// waits in vain for an answer to what it has not sent.
	keys []item
	// wantsOld is whether the item in the way of a condition is asked for, which DAX
	// does not tell.
	wantsOld bool
}

// do carries op out in DAX, or in the table if DAX does not answer.
func do[I, O any](ctx context.Context, c *Client, op operation[I, O], options []func(*dynamodb.Options)) (*O, error) {
	out, err := through(ctx, c, op)
	if err == nil || ctx.Err() != nil {
		return out, err
	}
	if failed, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok && (!op.wantsOld || failed.Item != nil) {
		return nil, err
	}
	if definite(err) {
		return nil, err
	}
	// For a condition that failed this is another try, which succeeds only if what was
	// in the way has gone meanwhile.
	return op.table(ctx, op.in, options...)
}

// definite reports whether err is DynamoDB's last word on a request. Others, such as that it is throttled, are for the table's client to
// meet again, which retries and knows what to wait for.
func definite(err error) bool {
	if _, ok := errors.AsType[*types.TransactionCanceledException](err); ok {
		return true
	}
	_, ok := errors.AsType[*types.IdempotentParameterMismatchException](err)
	return ok
}

var (
	errNoSlot   = fmt.Errorf("%w: too many calls at once", memory.ErrThrottled)
	errNoAnswer = fmt.Errorf("%w: no answer in time", memory.ErrThrottled)
)

// through carries op out in DAX. It returns with ctx, or after Timeout, also where the
// official client does not, whose call then ends by itself.
func through[I, O any](ctx context.Context, c *Client, op operation[I, O]) (*O, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case c.slots <- struct{}{}:
	default:
		return nil, errNoSlot
	}
	conn, err := c.connection(ctx)
	if err != nil {
		<-c.slots
		return nil, err
	}
	type result struct {
		out *O
		err error
	}
	done := make(chan result, 1)
	// The context of the call is not the caller's: what one call loads, such as a
	// table's key, others wait for, and would fail with it.
	inner, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.opts.Timeout)
	go func() { // one for each slot
		defer func() { <-c.slots }()
		defer cancel()
		defer c.release(conn)
		out, err := attempt(inner, conn, op)
		c.judge(conn, err)
		done <- result{out, err}
	}()
	// The deadline of inner ends the call; this is for a call that does not notice.
	timer := time.NewTimer(patience(c.opts.Timeout))
	defer timer.Stop()
	select {
	case r := <-done:
		return r.out, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		c.judge(conn, errNoAnswer)
		return nil, errNoAnswer
	}
}

// patience is how long a caller waits for a call that should end after d.
func patience(d time.Duration) time.Duration { return d + d/4 }

// attempt makes the call. A panic of the official client is an error.
func attempt[I, O any](ctx context.Context, conn *connection, op operation[I, O]) (out *O, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, fmt.Errorf("%w: its client panicked: %v", memory.ErrThrottled, p)
		}
	}()
	for i, key := range op.keys {
		if key == nil || conn.knows(op.tables[i]) {
			continue
		}
		if _, err := conn.dax.GetItem(ctx, &dynamodb.GetItemInput{TableName: &op.tables[i], Key: key, ConsistentRead: new(true)}); err != nil {
			return nil, err
		}
		conn.learn(op.tables[i])
	}
	out, err = op.dax(conn.dax, ctx, op.in)
	if err == nil {
		for _, table := range op.tables {
			conn.learn(table)
		}
	}
	return out, err
}
