package dynamomemory

import (
	"context"
	"errors"
	"fmt"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/genaistore/genaistore/internal/hlc"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/meter"
)

// Client is the calls that a [Store] makes. *dynamodb.Client implements it.
type Client interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	BatchWriteItem(context.Context, *dynamodb.BatchWriteItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
}

const total = types.ReturnConsumedCapacityTotal

// account adds what a request has cost to the meters of ctx, and learns from the
// answer how far this machine's clock is off.
func (s *Store) account(ctx context.Context, md middleware.Metadata, cost meter.Cost, err error) {
	cost.Requests = 1
	if r, ok := awsmiddleware.GetRawResponse(md).(*smithyhttp.Response); ok && r != nil && r.Response != nil {
		cost.BytesReceived = max(0, r.ContentLength)
		if r.Request != nil {
			cost.BytesSent = max(0, r.Request.ContentLength)
		}
	}
	meter.Add(ctx, cost)
	if skew, ok := awsmiddleware.GetAttemptSkew(md); ok && err == nil {
		s.skew.Store(int64(skew))
		s.probed.Store(true)
	}
}

func reads(used ...types.ConsumedCapacity) meter.Cost { return meter.Cost{ReadUnits: units(used)} }

func wrote(used ...types.ConsumedCapacity) meter.Cost { return meter.Cost{WriteUnits: units(used)} }

func units(used []types.ConsumedCapacity) (n float64) {
	for _, c := range used {
		if c.CapacityUnits != nil {
			n += *c.CapacityUnits
		}
	}
	return n
}

func used(c *types.ConsumedCapacity) types.ConsumedCapacity {
	if c == nil {
		return types.ConsumedCapacity{}
	}
	return *c
}

// checkClock refuses to write with a clock that would put a session into the future
// or its new records below what others have read.
func (s *Store) checkClock() error {
	if skew := time.Duration(s.skew.Load()); skew.Abs() > hlc.MaxSkew+time.Second { // a Date has whole seconds
		return fmt.Errorf("%w: this machine is %s off the service, at most %s allowed", memory.ErrClockSkew, skew.Round(time.Second), hlc.MaxSkew)
	}
	return nil
}

func (s *Store) key(pk, sk string) item {
	return item{s.names.PartitionKey: str(pk), s.names.SortKey: str(sk)}
}

func (s *Store) skOf(it item) string { return getString(it, s.names.SortKey) }
func (s *Store) pkOf(it item) string { return getString(it, s.names.PartitionKey) }

// get reads one item strongly; it is nil where there is none.
func (s *Store) get(ctx context.Context, pk, sk string) (item, error) {
	out, err := s.api.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.table, Key: s.key(pk, sk), ConsistentRead: new(true), ReturnConsumedCapacity: total,
	})
	if err != nil {
		s.account(ctx, middleware.Metadata{}, meter.Cost{}, err)
		return nil, misread("", s.fault(ctx, err))
	}
	s.account(ctx, out.ResultMetadata, reads(used(out.ConsumedCapacity)), nil)
	if len(out.Item) == 0 {
		return nil, nil //nolint:nilnil // an absent item
	}
	return out.Item, checkSchema(out.Item)
}

// A condition is a condition expression with the names and values in it.
type condition struct {
	text string
	*expression
}

// An unmet error is a condition that does not hold, with the item that was there.
type unmet struct {
	old   item
	cause error
}

func (u *unmet) Error() string { return u.cause.Error() }
func (u *unmet) Unwrap() error { return u.cause }

// refused returns the item in the way of a conditional write, nil if there is none,
// and whether it was the condition that failed.
func refused(err error) (old item, ok bool) {
	if u, ok := errors.AsType[*unmet](err); ok {
		return u.old, true
	}
	return nil, false
}

const allOld = types.ReturnValuesOnConditionCheckFailureAllOld

func (s *Store) put(ctx context.Context, it item, c *condition) error {
	in := &dynamodb.PutItemInput{TableName: &s.table, Item: it, ReturnConsumedCapacity: total}
	if c != nil {
		in.ConditionExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues = &c.text, c.nameMap(), c.valueMap()
		in.ReturnValuesOnConditionCheckFailure = allOld
	}
	out, err := s.out.PutItem(ctx, in)
	if err != nil {
		s.account(ctx, middleware.Metadata{}, meter.Cost{}, err)
		return s.fault(ctx, err)
	}
	s.account(ctx, out.ResultMetadata, wrote(used(out.ConsumedCapacity)), nil)
	return nil
}

// modify updates one item and returns all of it.
func (s *Store) modify(ctx context.Context, pk, sk string, e *expression, c string) (item, error) {
	in := &dynamodb.UpdateItemInput{
		TableName: &s.table, Key: s.key(pk, sk), UpdateExpression: e.update(),
		ExpressionAttributeNames: e.nameMap(), ExpressionAttributeValues: e.valueMap(),
		ReturnConsumedCapacity: total, ReturnValues: types.ReturnValueAllNew,
	}
	if c != "" {
		in.ConditionExpression, in.ReturnValuesOnConditionCheckFailure = &c, allOld
	}
	out, err := s.out.UpdateItem(ctx, in)
	if err != nil {
		s.account(ctx, middleware.Metadata{}, meter.Cost{}, err)
		return nil, s.fault(ctx, err)
	}
	s.account(ctx, out.ResultMetadata, wrote(used(out.ConsumedCapacity)), nil)
	return out.Attributes, nil
}

func (s *Store) remove(ctx context.Context, pk, sk string, c *condition) error {
	in := &dynamodb.DeleteItemInput{TableName: &s.table, Key: s.key(pk, sk), ReturnConsumedCapacity: total}
	if c != nil {
		in.ConditionExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues = &c.text, c.nameMap(), c.valueMap()
		in.ReturnValuesOnConditionCheckFailure = allOld
	}
	out, err := s.out.DeleteItem(ctx, in)
	if err != nil {
		s.account(ctx, middleware.Metadata{}, meter.Cost{}, err)
		return s.fault(ctx, err)
	}
	s.account(ctx, out.ResultMetadata, wrote(used(out.ConsumedCapacity)), nil)
	return nil
}

// A scan is one range of a partition or of an index.
type scan struct {
	index      string // "" for the table
	hash, sort string // attributes; the table's if ""
	pk         string
	low, high  types.AttributeValue // both included; none means all
	prefix     string               // in place of low and high
	backward   bool
	limit      int // of the page; 0 means none
	eventual   bool
	keysOnly   bool // and attrID
	start      item // where the page begins
}

// page reads one page; next is nil at the end.
func (s *Store) page(ctx context.Context, q scan) (items []item, next item, err error) {
	e := newExpression()
	hash, sort := q.hash, q.sort
	if hash == "" {
		hash = s.names.PartitionKey
	}
	if sort == "" {
		sort = s.names.SortKey
	}
	text := e.name(hash) + "=" + e.value(str(q.pk))
	switch {
	case q.prefix != "":
		text += " AND begins_with(" + e.name(sort) + "," + e.value(str(q.prefix)) + ")"
	case q.low != nil:
		text += " AND " + e.name(sort) + " BETWEEN " + e.value(q.low) + " AND " + e.value(q.high)
	}
	in := &dynamodb.QueryInput{
		TableName: &s.table, KeyConditionExpression: &text, ScanIndexForward: new(!q.backward), ConsistentRead: new(!q.eventual),
		ReturnConsumedCapacity: total, ExclusiveStartKey: q.start,
	}
	if q.index != "" {
		in.IndexName = &q.index
	}
	if q.limit > 0 {
		in.Limit = new(int32(q.limit))
	}
	if q.keysOnly {
		fields := e.name(s.names.PartitionKey) + "," + e.name(s.names.SortKey) + "," + e.name(attrID) + "," + e.name(attrBlob)
		in.ProjectionExpression = &fields
	}
	in.ExpressionAttributeNames, in.ExpressionAttributeValues = e.nameMap(), e.valueMap()
	out, err := s.api.Query(ctx, in)
	if err != nil {
		s.account(ctx, middleware.Metadata{}, meter.Cost{}, err)
		return nil, nil, misread(q.index, s.fault(ctx, err))
	}
	s.account(ctx, out.ResultMetadata, reads(used(out.ConsumedCapacity)), nil)
	for _, it := range out.Items {
		if err := checkSchema(it); err != nil {
			return nil, nil, err
		}
	}
	if len(out.LastEvaluatedKey) == 0 {
		return out.Items, nil, nil
	}
	return out.Items, out.LastEvaluatedKey, nil
}

// all reads a range to its end.
func (s *Store) all(ctx context.Context, q scan) ([]item, error) {
	var found []item
	for {
		items, next, err := s.page(ctx, q)
		if err != nil {
			return nil, err
		}
		found = append(found, items...)
		if next == nil {
			return found, nil
		}
		q.start = next
	}
}

// A name is the whole key of an item.
type name struct{ pk, sk string }

const (
	batchRead  = 100
	batchWrite = 25
	batchTries = 12
)

// getAll reads items by key, strongly unless eventual; those that are not there are
// not in the result.
func (s *Store) getAll(ctx context.Context, names []name, eventual bool) (map[name]item, error) {
	found := map[name]item{}
	var keys []item
	for _, n := range names {
		keys = append(keys, s.key(n.pk, n.sk))
	}
	for try := 0; len(keys) > 0; {
		ask := keys[:min(batchRead, len(keys))]
		items, left, err := s.getBatch(ctx, ask, eventual)
		if err != nil {
			return nil, err
		}
		for _, it := range items {
			found[name{s.pkOf(it), s.skOf(it)}] = it
		}
		if len(left) == len(ask) {
			if try++; try == batchTries {
				return nil, fmt.Errorf("%w: a batch of %d reads makes no progress", memory.ErrThrottled, len(ask))
			}
			if err := wait(ctx, try); err != nil {
				return nil, err
			}
		}
		keys = append(keys[len(ask):len(keys):len(keys)], left...)
	}
	return found, nil
}

func (s *Store) getBatch(ctx context.Context, keys []item, eventual bool) (items, left []item, err error) {
	out, err := s.api.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
		RequestItems:           map[string]types.KeysAndAttributes{s.table: {Keys: keys, ConsistentRead: new(!eventual)}},
		ReturnConsumedCapacity: total,
	})
	if err != nil {
		s.account(ctx, middleware.Metadata{}, meter.Cost{}, err)
		return nil, nil, s.fault(ctx, err)
	}
	s.account(ctx, out.ResultMetadata, reads(out.ConsumedCapacity...), nil)
	for _, it := range out.Responses[s.table] {
		if err := checkSchema(it); err != nil {
			return nil, nil, err
		}
	}
	return out.Responses[s.table], out.UnprocessedKeys[s.table].Keys, nil
}

// writeAll carries out writes of any number, in batches, in no order.
func (s *Store) writeAll(ctx context.Context, writes []types.WriteRequest) error {
	for try := 0; len(writes) > 0; {
		ask := writes[:min(batchWrite, len(writes))]
		out, err := s.out.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{
			RequestItems: map[string][]types.WriteRequest{s.table: ask}, ReturnConsumedCapacity: total,
		})
		if err != nil {
			s.account(ctx, middleware.Metadata{}, meter.Cost{}, err)
			return s.fault(ctx, err)
		}
		s.account(ctx, out.ResultMetadata, wrote(out.ConsumedCapacity...), nil)
		left := out.UnprocessedItems[s.table]
		if len(left) == len(ask) {
			if try++; try == batchTries {
				return fmt.Errorf("%w: a batch of %d writes makes no progress", memory.ErrThrottled, len(ask))
			}
			if err := wait(ctx, try); err != nil {
				return err
			}
		}
		writes = append(writes[len(ask):len(writes):len(writes)], left...)
	}
	return nil
}

func (s *Store) transact(ctx context.Context, items []types.TransactWriteItem) error {
	out, err := s.out.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: items, ReturnConsumedCapacity: total})
	if err != nil {
		s.account(ctx, middleware.Metadata{}, meter.Cost{}, err)
		_, canceled := errors.AsType[*types.TransactionCanceledException](err)
		if err = s.fault(ctx, err); errors.Is(err, memory.ErrInvalid) && !canceled {
			err = fmt.Errorf("a transaction (where the table refuses them, set NoTransactions): %w", err)
		}
		return err
	}
	s.account(ctx, out.ResultMetadata, wrote(out.ConsumedCapacity...), nil)
	return nil
}

// wait lets others go first, longer with each try.
func wait(ctx context.Context, try int) error {
	most := min(time.Second, 10*time.Millisecond<<min(try, 10))
	t := time.NewTimer(jitter(most))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func wrap(op string, key memory.Key, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", op, key, err)
}
