package daxtest

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// A page is what a Query or a Scan has found.
type page struct {
	items          []item
	count, scanned int32
	last           item
	capacity       *types.ConsumedCapacity
}

// selectCount is the one Select that changes an answer: the client sends
// ALL_ATTRIBUTES when none was set, and nothing when it was.
const selectCount = 3

// A search is a Query or a Scan.
type search struct {
	*request
	schema                  schema
	exprs                   expressions
	keyCondition, condition *string
	index                   *string
	start                   item
	paths                   []path
	selection               types.Select
}

func (n *node) newSearch(ctx context.Context, q *request) (*search, error) {
	s := &search{request: q}
	var err error
	if s.schema, err = n.cluster.schema(ctx, q.table); err != nil {
		return nil, err
	}
	if s.keyCondition, err = s.exprs.condition(q.keyCondition); err != nil {
		return nil, err
	}
	if s.condition, err = s.exprs.condition(q.params.strings[paramFilter]); err != nil {
		return nil, err
	}
	if s.paths, err = projection(q.params.strings[paramProjection]); err != nil {
		return nil, err
	}
	if name, ok := q.params.strings[paramIndex]; ok {
		s.index = new(string(name))
	}
	if q.params.ints[paramSelect] == selectCount {
		s.selection = types.SelectCount
	}
	if start, ok := q.params.strings[paramStartKey]; ok {
		if s.index != nil {
			s.start, err = decodeCompound(start)
		} else {
			s.start, err = s.schema.decode(start)
		}
	}
	return s, err
}

func (n *node) search(ctx context.Context, q *request, w *writer) error {
	s, err := n.newSearch(ctx, q)
	if err != nil {
		return err
	}
	// All that shapes an answer is in the entry's key, as it came.
	key := fmt.Sprintf("%d %q %q %v %v", q.method, q.table, q.keyCondition, q.params.strings, q.params.ints)
	p, ok := (*page)(nil), false
	if !q.params.consistent() {
		p, ok = n.queries.get(key)
	}
	if !ok {
		if p, err = n.run(ctx, s); err != nil {
			return err
		}
		if !q.params.consistent() {
			n.queries.put(key, p)
		}
	}
	return n.writePage(w, s, p)
}

func (n *node) run(ctx context.Context, s *search) (*page, error) {
	p := s.params
	if s.method == methodScan {
		out, err := n.cluster.client.Scan(ctx, &dynamodb.ScanInput{
			TableName: &s.table, IndexName: s.index, FilterExpression: s.condition,
			ExpressionAttributeNames: s.exprs.names, ExpressionAttributeValues: s.exprs.values, ExclusiveStartKey: s.start,
			Limit: p.int32(paramLimit), ConsistentRead: new(p.consistent()), ReturnConsumedCapacity: p.capacity(), Select: s.selection,
			Segment: p.int32(paramSegment), TotalSegments: p.int32(paramTotalSegments),
		})
		if err != nil {
			return nil, err
		}
		return &page{out.Items, out.Count, out.ScannedCount, out.LastEvaluatedKey, out.ConsumedCapacity}, nil
	}
	in := &dynamodb.QueryInput{
		TableName: &s.table, IndexName: s.index, KeyConditionExpression: s.keyCondition, FilterExpression: s.condition,
		ExpressionAttributeNames: s.exprs.names, ExpressionAttributeValues: s.exprs.values, ExclusiveStartKey: s.start,
		Limit: p.int32(paramLimit), ConsistentRead: new(p.consistent()), ReturnConsumedCapacity: p.capacity(), Select: s.selection,
	}
	if forward, ok := p.ints[paramForward]; ok {
		in.ScanIndexForward = new(forward != 0)
	}
	out, err := n.cluster.client.Query(ctx, in)
	if err != nil {
		return nil, err
	}
	return &page{out.Items, out.Count, out.ScannedCount, out.LastEvaluatedKey, out.ConsumedCapacity}, nil
}

func (n *node) writePage(w *writer, s *search, p *page) error {
	var f fields
	f.capacity(p.capacity)
	if s.selection != types.SelectCount {
		items := f.add(replyItems)
		items.array(len(p.items))
		for _, it := range p.items {
			if err := n.found(items, it, s.schema, s.paths, items.array); err != nil {
				return err
			}
		}
	}
	f.add(replyCount).int(int64(p.count))
	f.add(replyScanned).int(int64(p.scanned))
	if len(p.last) > 0 {
		encode := s.schema.encode
		if s.index != nil {
			encode = encodeCompound
		}
		key, err := encode(p.last)
		if err != nil {
			return err
		}
		f.add(replyLastKey).bytes(key)
	}
	f.write(w)
	return nil
}
