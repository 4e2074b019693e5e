package daxtest

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Kinds of a transaction's actions.
const (
	actionPut    = 2
	actionDelete = 7
	actionUpdate = 9
	actionCheck  = 12
)

// returnOld asks for the item whose condition failed.
const returnOld = 2

func (n *node) transactWrite(ctx context.Context, q *request, w *writer) error {
	in := &dynamodb.TransactWriteItemsInput{ReturnConsumedCapacity: q.params.capacity()}
	if q.params.token != "" {
		in.ClientRequestToken = &q.params.token
	}
	fill := &dynamodb.TransactGetItemsInput{}
	var keys []string
	for i := range q.actions {
		a := &q.actions[i]
		t, err := n.target(ctx, a.table, a.key, a.value, a.condition)
		if err != nil {
			return err
		}
		act, err := a.write(t)
		if err != nil {
			return err
		}
		in.TransactItems = append(in.TransactItems, act)
		if a.kind != actionCheck {
			fill.TransactItems = append(fill.TransactItems, types.TransactGetItem{Get: &types.Get{TableName: &a.table, Key: t.key}})
			keys = append(keys, t.cacheKey)
		}
	}
	out, err := n.cluster.client.TransactWriteItems(ctx, in)
	if err != nil {
		return err
	}
	n.cluster.later(n.cluster.opts.Filling, func() { n.fill(fill, keys) })
	w.array(3)
	w.array(0) // what was returned
	w.transactionCapacities(out.ConsumedCapacity)
	w.mapping(0)
	return nil
}

// fill reads what a transaction has written into the item cache.
func (n *node) fill(in *dynamodb.TransactGetItemsInput, keys []string) {
	if len(keys) == 0 {
		return
	}
	out, err := n.cluster.client.TransactGetItems(n.cluster.ctx, in)
	if err != nil {
		return // what was cached before stays, as stale as it is
	}
	for i, r := range out.Responses {
		n.store(keys[i], r.Item)
	}
}

func (a *action) write(t *target) (types.TransactWriteItem, error) {
	update, err := t.exprs.update(a.update)
	if err != nil {
		return types.TransactWriteItem{}, err
	}
	onFailure := types.ReturnValuesOnConditionCheckFailureNone
	if a.onFailure == returnOld {
		onFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	}
	names, values := t.exprs.names, t.exprs.values
	switch a.kind {
	case actionPut:
		return types.TransactWriteItem{Put: &types.Put{
			TableName: &a.table, Item: t.item, ConditionExpression: t.condition,
			ExpressionAttributeNames: names, ExpressionAttributeValues: values, ReturnValuesOnConditionCheckFailure: onFailure,
		}}, nil
	case actionDelete:
		return types.TransactWriteItem{Delete: &types.Delete{
			TableName: &a.table, Key: t.key, ConditionExpression: t.condition,
			ExpressionAttributeNames: names, ExpressionAttributeValues: values, ReturnValuesOnConditionCheckFailure: onFailure,
		}}, nil
	case actionUpdate:
		return types.TransactWriteItem{Update: &types.Update{
			TableName: &a.table, Key: t.key, UpdateExpression: update, ConditionExpression: t.condition,
			ExpressionAttributeNames: names, ExpressionAttributeValues: values, ReturnValuesOnConditionCheckFailure: onFailure,
		}}, nil
	case actionCheck:
		return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
			TableName: &a.table, Key: t.key, ConditionExpression: t.condition,
			ExpressionAttributeNames: names, ExpressionAttributeValues: values, ReturnValuesOnConditionCheckFailure: onFailure,
		}}, nil
	}
	return types.TransactWriteItem{}, fmt.Errorf("an action of kind %d", a.kind)
}

func (n *node) transactGet(ctx context.Context, q *request, w *writer) error {
	in := &dynamodb.TransactGetItemsInput{ReturnConsumedCapacity: q.params.capacity()}
	schemas, projections := make([]schema, len(q.actions)), make([][]path, len(q.actions))
	for i := range q.actions {
		a := &q.actions[i]
		t, err := n.target(ctx, a.table, a.key, nil, nil)
		if err != nil {
			return err
		}
		schemas[i] = t.schema
		if projections[i], err = projection(a.projection); err != nil {
			return err
		}
		in.TransactItems = append(in.TransactItems, types.TransactGetItem{Get: &types.Get{TableName: &a.table, Key: t.key}})
	}
	out, err := n.cluster.client.TransactGetItems(ctx, in)
	if err != nil {
		return err
	}
	w.array(2)
	w.array(len(out.Responses))
	for i, r := range out.Responses {
		if len(r.Item) == 0 {
			w.null()
			continue
		}
		if err := n.found(w, r.Item, schemas[i], projections[i], nil); err != nil {
			return err
		}
	}
	w.transactionCapacities(out.ConsumedCapacity)
	return nil
}
