package daxtest

import (
	"context"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func cacheKey(table string, key []byte) string { return table + "\x00" + string(key) }

// A target is the item a request is about, and its condition.
type target struct {
	schema    schema
	item      item // its key alone, unless the request brings a value
	key       item
	cacheKey  string
	exprs     expressions
	condition *string
}

func (n *node) target(ctx context.Context, table string, key, value, condition []byte) (*target, error) {
	s, err := n.cluster.schema(ctx, table)
	if err != nil {
		return nil, err
	}
	t := &target{schema: s, cacheKey: cacheKey(table, key)}
	if t.key, err = s.decode(key); err != nil {
		return nil, err
	}
	if t.item, err = n.cluster.lists.decode(s, key, value); err != nil {
		return nil, err
	}
	t.condition, err = t.exprs.condition(condition)
	return t, err
}

func (n *node) getItem(ctx context.Context, q *request, w *writer) error {
	t, err := n.target(ctx, q.table, q.key, nil, nil)
	if err != nil {
		return err
	}
	paths, err := projection(q.params.strings[paramProjection])
	if err != nil {
		return err
	}
	var f fields
	it, ok := item(nil), false
	if !q.params.consistent() {
		it, ok = n.items.get(t.cacheKey)
	}
	if !ok {
		out, err := n.cluster.client.GetItem(ctx, &dynamodb.GetItemInput{
			TableName: &q.table, Key: t.key,
			ConsistentRead: new(q.params.consistent()), ReturnConsumedCapacity: q.params.capacity(),
		})
		if err != nil {
			return err
		}
		it = out.Item
		f.capacity(out.ConsumedCapacity)
		if !q.params.consistent() {
			n.store(t.cacheKey, it)
		}
	}
	if len(it) > 0 {
		if err := n.found(f.add(replyItem), it, t.schema, paths, nil); err != nil {
			return err
		}
	}
	f.write(w)
	return nil
}

func (n *node) putItem(ctx context.Context, q *request, w *writer) error {
	t, err := n.target(ctx, q.table, q.key, q.value, q.params.strings[paramCondition])
	if err != nil {
		return err
	}
	out, err := n.cluster.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &q.table, Item: t.item, ConditionExpression: t.condition,
		ExpressionAttributeNames: t.exprs.names, ExpressionAttributeValues: t.exprs.values,
		ReturnValues: q.params.returnValues(), ReturnConsumedCapacity: q.params.capacity(),
	})
	if err != nil {
		return err
	}
	n.store(t.cacheKey, t.item)
	return n.answerWrite(w, out.ConsumedCapacity, out.Attributes, t.schema)
}

func (n *node) deleteItem(ctx context.Context, q *request, w *writer) error {
	t, err := n.target(ctx, q.table, q.key, nil, q.params.strings[paramCondition])
	if err != nil {
		return err
	}
	out, err := n.cluster.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &q.table, Key: t.key, ConditionExpression: t.condition,
		ExpressionAttributeNames: t.exprs.names, ExpressionAttributeValues: t.exprs.values,
		ReturnValues: q.params.returnValues(), ReturnConsumedCapacity: q.params.capacity(),
	})
	if err != nil {
		return err
	}
	n.store(t.cacheKey, nil)
	return n.answerWrite(w, out.ConsumedCapacity, out.Attributes, t.schema)
}

// answerWrite answers with what a write has cost and the item that it returns.
func (n *node) answerWrite(w *writer, used *types.ConsumedCapacity, it item, s schema) error {
	var f fields
	f.capacity(used)
	if err := f.attributes(&n.cluster.lists, it, s); err != nil {
		return err
	}
	f.write(w)
	return nil
}

func (n *node) updateItem(ctx context.Context, q *request, w *writer) error {
	t, err := n.target(ctx, q.table, q.key, nil, q.params.strings[paramCondition])
	if err != nil {
		return err
	}
	update, err := t.exprs.update(q.params.strings[paramUpdate])
	if err != nil {
		return err
	}
	wanted := q.params.returnValues()
	asked := wanted
	if asked == "" {
		asked = types.ReturnValueAllNew // the cache needs the item
	}
	out, err := n.cluster.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &q.table, Key: t.key, ConditionExpression: t.condition,
		UpdateExpression: update, ExpressionAttributeNames: t.exprs.names, ExpressionAttributeValues: t.exprs.values,
		ReturnValues: asked, ReturnConsumedCapacity: q.params.capacity(),
	})
	if err != nil {
		return err
	}
	fresh := out.Attributes
	if asked != types.ReturnValueAllNew {
		got, err := n.cluster.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &q.table, Key: t.key, ConsistentRead: new(true)})
		if err != nil {
			return err
		}
		fresh = got.Item
	}
	n.store(t.cacheKey, fresh)
	var f fields
	f.capacity(out.ConsumedCapacity)
	switch wanted {
	case types.ReturnValueAllOld, types.ReturnValueAllNew:
		err = f.attributes(&n.cluster.lists, out.Attributes, t.schema)
	case types.ReturnValueUpdatedOld, types.ReturnValueUpdatedNew:
		err = f.updated(&n.cluster.lists, out.Attributes)
	}
	if err != nil {
		return err
	}
	f.write(w)
	return nil
}

// updated adds what an update has changed: a list, and the values by their place in it.
func (f *fields) updated(l *attributeLists, it item) error {
	if len(it) == 0 {
		return nil
	}
	names := slices.Sorted(maps.Keys(it))
	in := &writer{}
	in.int(l.id(names))
	in.mapping(len(names))
	for i, name := range names {
		in.int(int64(i))
		if err := in.value(it[name]); err != nil {
			return err
		}
	}
	f.add(replyAttributes).bytes(in.buf)
	return nil
}
