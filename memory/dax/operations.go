package dax

import (
	"context"
	"maps"
	"slices"

	"github.com/aws/aws-dax-go-v2/dax"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// GetItem asks DAX, unless the read is to be strongly consistent.
func (c *Client) GetItem(ctx context.Context, in *dynamodb.GetItemInput, options ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	if aws.ToBool(in.ConsistentRead) {
		return c.table.GetItem(ctx, in, options...)
	}
	return do(ctx, c, operation[dynamodb.GetItemInput, dynamodb.GetItemOutput]{
		in: in, dax: (*dax.Dax).GetItem, table: c.table.GetItem, tables: []string{aws.ToString(in.TableName)},
	}, options)
}

// BatchGetItem asks DAX, unless one of the reads is to be strongly consistent.
func (c *Client) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput, options ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	for _, keys := range in.RequestItems {
		if aws.ToBool(keys.ConsistentRead) {
			return c.table.BatchGetItem(ctx, in, options...)
		}
	}
	return do(ctx, c, operation[dynamodb.BatchGetItemInput, dynamodb.BatchGetItemOutput]{
		in: in, dax: (*dax.Dax).BatchGetItem, table: c.table.BatchGetItem, tables: slices.Collect(maps.Keys(in.RequestItems)),
	}, options)
}

// Query asks the table: no write reaches the query cache of DAX.
func (c *Client) Query(ctx context.Context, in *dynamodb.QueryInput, options ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	return c.table.Query(ctx, in, options...)
}

// PutItem writes through DAX.
func (c *Client) PutItem(ctx context.Context, in *dynamodb.PutItemInput, options ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	return do(ctx, c, operation[dynamodb.PutItemInput, dynamodb.PutItemOutput]{
		in: in, dax: (*dax.Dax).PutItem, table: c.table.PutItem, tables: []string{aws.ToString(in.TableName)},
		wantsOld: wantsOld(in.ReturnValuesOnConditionCheckFailure),
	}, options)
}

// UpdateItem writes through DAX.
//
//nolint:dupl // two operations of one form
func (c *Client) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, options ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	return do(ctx, c, operation[dynamodb.UpdateItemInput, dynamodb.UpdateItemOutput]{
		in: in, dax: (*dax.Dax).UpdateItem, table: c.table.UpdateItem, tables: []string{aws.ToString(in.TableName)},
		keys: []item{in.Key}, wantsOld: wantsOld(in.ReturnValuesOnConditionCheckFailure),
	}, options)
}

// DeleteItem writes through DAX.
//
//nolint:dupl // two operations of one form
func (c *Client) DeleteItem(ctx context.Context, in *dynamodb.DeleteItemInput, options ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
	return do(ctx, c, operation[dynamodb.DeleteItemInput, dynamodb.DeleteItemOutput]{
		in: in, dax: (*dax.Dax).DeleteItem, table: c.table.DeleteItem, tables: []string{aws.ToString(in.TableName)},
		keys: []item{in.Key}, wantsOld: wantsOld(in.ReturnValuesOnConditionCheckFailure),
	}, options)
}

// BatchWriteItem writes through DAX.
func (c *Client) BatchWriteItem(ctx context.Context, in *dynamodb.BatchWriteItemInput, options ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error) {
	return do(ctx, c, operation[dynamodb.BatchWriteItemInput, dynamodb.BatchWriteItemOutput]{
		in: in, dax: (*dax.Dax).BatchWriteItem, table: c.table.BatchWriteItem, tables: slices.Collect(maps.Keys(in.RequestItems)),
	}, options)
}

// TransactWriteItems writes through DAX, whose item cache follows after the answer. A
// ClientRequestToken does not make the two ways one: DAX words a request in its own way,
// which DynamoDB takes for another.
func (c *Client) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, options ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	op := operation[dynamodb.TransactWriteItemsInput, dynamodb.TransactWriteItemsOutput]{
		in: in, dax: transactWrite, table: c.table.TransactWriteItems,
	}
	for _, action := range in.TransactItems {
		table, key := target(action)
		op.tables, op.keys = append(op.tables, table), append(op.keys, key)
	}
	return do(ctx, c, op, options)
}

// transactWrite leaves in as it is: the official client puts its token into it.
func transactWrite(client *dax.Dax, ctx context.Context, in *dynamodb.TransactWriteItemsInput, _ ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) { //nolint:revive // as a method of the client
	own := *in
	return client.TransactWriteItems(ctx, &own)
}

// target is the table of an action, and the key it names; nil for a Put, which names
// none apart.
func target(a types.TransactWriteItem) (table string, key item) {
	switch {
	case a.Put != nil:
		return aws.ToString(a.Put.TableName), nil
	case a.Update != nil:
		return aws.ToString(a.Update.TableName), a.Update.Key
	case a.Delete != nil:
		return aws.ToString(a.Delete.TableName), a.Delete.Key
	case a.ConditionCheck != nil:
		return aws.ToString(a.ConditionCheck.TableName), a.ConditionCheck.Key
	}
	return "", nil
}

func wantsOld(r types.ReturnValuesOnConditionCheckFailure) bool {
	return r == types.ReturnValuesOnConditionCheckFailureAllOld
}
