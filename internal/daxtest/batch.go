package daxtest

import (
	"context"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// A reading is what a BatchGetItem wants of one table, and what became of it.
type reading struct {
	tableRequest
	schema schema
	paths  []path
	items  []item
	asked  map[string]struct{} // encoded keys that the cache did not answer
	left   [][]byte
}

func (n *node) batchGet(ctx context.Context, q *request, w *writer) error {
	var readings []*reading
	ask := map[string]types.KeysAndAttributes{}
	for _, t := range q.tables {
		r, keys, err := n.fromCache(ctx, t)
		if err != nil {
			return err
		}
		readings = append(readings, r)
		if len(keys) > 0 {
			ask[t.name] = types.KeysAndAttributes{Keys: keys, ConsistentRead: new(t.consistent)}
		}
	}
	var capacities []types.ConsumedCapacity
	if len(ask) > 0 {
		out, err := n.cluster.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: ask, ReturnConsumedCapacity: q.params.capacity()})
		if err != nil {
			return err
		}
		capacities = out.ConsumedCapacity
		for _, r := range readings {
			if err := n.fromTable(r, out); err != nil {
				return err
			}
		}
	}
	return n.writeReadings(w, readings, capacities)
}

// fromCache returns what the item cache has, and the keys it does not know of.
func (n *node) fromCache(ctx context.Context, t tableRequest) (*reading, []item, error) {
	s, err := n.cluster.schema(ctx, t.name)
	if err != nil {
		return nil, nil, err
	}
	r := &reading{tableRequest: t, schema: s, asked: map[string]struct{}{}}
	if r.paths, err = projection(t.projection); err != nil {
		return nil, nil, err
	}
	var missing []item
	for _, encoded := range t.keys {
		if !t.consistent {
			if it, ok := n.items.get(cacheKey(t.name, encoded)); ok {
				if it != nil {
					r.items = append(r.items, it)
				}
				continue
			}
		}
		key, err := s.decode(encoded)
		if err != nil {
			return nil, nil, err
		}
		missing = append(missing, key)
		r.asked[string(encoded)] = struct{}{}
	}
	return r, missing, nil
}

// fromTable adds DynamoDB's answer, and caches it with what it did not find.
func (n *node) fromTable(r *reading, out *dynamodb.BatchGetItemOutput) error {
	for _, it := range out.Responses[r.name] {
		encoded, err := r.schema.encode(it)
		if err != nil {
			return err
		}
		delete(r.asked, string(encoded))
		r.items = append(r.items, it)
		if !r.consistent {
			n.store(cacheKey(r.name, encoded), it)
		}
	}
	for _, key := range out.UnprocessedKeys[r.name].Keys {
		encoded, err := r.schema.encode(key)
		if err != nil {
			return err
		}
		delete(r.asked, string(encoded))
		r.left = append(r.left, encoded)
	}
	if !r.consistent {
		for encoded := range r.asked {
			n.store(cacheKey(r.name, []byte(encoded)), nil)
		}
	}
	return nil
}

func (n *node) writeReadings(w *writer, readings []*reading, capacities []types.ConsumedCapacity) error {
	w.array(2)
	w.mapping(len(readings))
	left := 0
	for _, r := range readings {
		if len(r.left) > 0 {
			left++
		}
		w.text(r.name)
		if r.paths != nil {
			w.array(len(r.items))
		} else {
			w.array(2 * len(r.items))
		}
		for _, it := range r.items {
			if err := n.found(w, it, r.schema, r.paths, func(int) {}); err != nil {
				return err
			}
		}
	}
	w.mapping(left)
	for _, r := range readings {
		if len(r.left) == 0 {
			continue
		}
		w.text(r.name)
		w.array(len(r.left))
		for _, key := range r.left {
			w.bytes(key)
		}
	}
	w.capacities(capacities) // outside of the array
	return nil
}

func (n *node) batchWrite(ctx context.Context, q *request, w *writer) error {
	in := &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{}, ReturnConsumedCapacity: q.params.capacity()}
	written := map[string]item{}
	for _, t := range q.tables {
		for i := range t.keys {
			to, err := n.target(ctx, t.name, t.keys[i], t.values[i], nil)
			if err != nil {
				return err
			}
			var write types.WriteRequest
			if t.values[i] == nil {
				write.DeleteRequest = &types.DeleteRequest{Key: to.key}
				written[to.cacheKey] = nil
			} else {
				write.PutRequest = &types.PutRequest{Item: to.item}
				written[to.cacheKey] = to.item
			}
			in.RequestItems[t.name] = append(in.RequestItems[t.name], write)
		}
	}
	out, err := n.cluster.client.BatchWriteItem(ctx, in)
	if err != nil {
		return err
	}
	w.mapping(len(out.UnprocessedItems))
	for _, table := range slices.Sorted(maps.Keys(out.UnprocessedItems)) {
		if err := n.writeUnprocessed(ctx, w, table, out.UnprocessedItems[table], written); err != nil {
			return err
		}
	}
	for key, it := range written {
		n.store(key, it)
	}
	w.capacities(out.ConsumedCapacity)
	w.mapping(0) // metrics of item collections
	return nil
}

// writeUnprocessed writes what a batch has left, and takes it out of what it has written.
func (n *node) writeUnprocessed(ctx context.Context, w *writer, table string, left []types.WriteRequest, written map[string]item) error {
	s, err := n.cluster.schema(ctx, table)
	if err != nil {
		return err
	}
	w.text(table)
	w.array(2 * len(left))
	for _, l := range left {
		if l.DeleteRequest != nil {
			key, err := s.encode(l.DeleteRequest.Key)
			if err != nil {
				return err
			}
			delete(written, cacheKey(table, key))
			w.bytes(key)
			w.null()
			continue
		}
		key, err := s.encode(l.PutRequest.Item)
		if err != nil {
			return err
		}
		value, err := n.cluster.lists.encode(l.PutRequest.Item, s)
		if err != nil {
			return err
		}
		delete(written, cacheKey(table, key))
		w.bytes(key)
		w.bytes(value)
	}
	return nil
}
