package awsfake

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
)

func (f *DynamoDB) query(r *http.Request) (any, error) {
	var in query
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	t, err := f.table(in.TableName)
	if err != nil {
		return nil, err
	}
	by := secondaryIndex{t.hash, t.sort, false}
	if in.IndexName != "" {
		var ok bool
		if by, ok = t.indexes[in.IndexName]; !ok {
			return nil, invalid("The table does not have the specified index: %s", in.IndexName)
		}
		if by.global && in.ConsistentRead {
			return nil, invalid("Consistent reads are not supported on global secondary indexes")
		}
	}
	if in.Limit != nil && *in.Limit < 1 {
		return nil, invalid("Limit must be greater than or equal to 1")
	}
	asked, err := in.conditions(t, by)
	if err != nil {
		return nil, err
	}
	forward := in.ScanIndexForward == nil || *in.ScanIndexForward
	order := t.order(by, forward)
	selected := t.selected(asked.key, by, order)
	names := t.pageKeys(by)
	if in.ExclusiveStartKey != nil {
		if len(in.ExclusiveStartKey) != len(names) {
			return nil, invalid("The provided starting key is invalid: it has %d attributes, want %d", len(in.ExclusiveStartKey), len(names))
		}
		if _, err := t.key(in.ExclusiveStartKey); err != nil {
			return nil, err
		}
		selected = slices.DeleteFunc(selected, func(it item) bool { return order(it, in.ExclusiveStartKey) <= 0 })
	}

	// Both limits count what is read, before the filter, and a page that ends
	// exactly at the last item still says that there may be more.
	read, size := 0, 0
	page := []item{}
	more := false
	for _, it := range selected {
		read, size = read+1, size+it.size()
		if asked.filter == nil || asked.filter.holds(it) {
			page = append(page, project(it, asked.fields))
		}
		if more = in.Limit != nil && read == *in.Limit || size >= maxPage; more {
			break
		}
	}
	answer := map[string]any{"Items": page, "Count": len(page), "ScannedCount": read}
	if more {
		answer["LastEvaluatedKey"] = project(selected[read-1], names)
	}
	return charge(answer, in.ReturnConsumedCapacity, in.TableName, readUnits(size, in.ConsistentRead)), nil
}

// project keeps the attributes named fields, all if there are none.
func project(it item, fields []string) item {
	if len(fields) == 0 {
		return it
	}
	out := item{}
	for _, name := range fields {
		if value, ok := it[name]; ok {
			out[name] = value
		}
	}
	return out
}

// pageKeys names the attributes of a key from which a query goes on.
func (t *table) pageKeys(by secondaryIndex) []string {
	names := t.keyNames()
	for _, name := range []string{by.hash, by.sort} {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// An inquiry is the expressions of a query; filter and fields may be nil.
type inquiry struct {
	key, filter condition
	fields      []string
}

func (in query) conditions(t *table, by secondaryIndex) (q inquiry, err error) {
	named := newExpressions(in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	if q.key, err = named.parse(in.KeyConditionExpression); err != nil {
		return q, err
	}
	partition, err := keys(q.key, by.hash, by.sort)
	if err != nil {
		return q, err
	}
	if partition.kind() != t.keyType(by.hash) {
		return q, invalid("One or more parameter values were invalid: Condition parameter type does not match schema type")
	}
	if in.FilterExpression != "" {
		if q.filter, err = named.parse(in.FilterExpression); err != nil {
			return q, err
		}
	}
	if in.ProjectionExpression != "" {
		if q.fields, err = named.paths(in.ProjectionExpression); err != nil {
			return q, err
		}
	}
	return q, named.unused()
}

// order compares items by the sort key of by. In an index several may have one key:
// they come in an order that nobody can rely on, and always the same.
func (t *table) order(by secondaryIndex, forward bool) func(a, b item) int {
	return func(a, b item) int {
		if order, ok := a[by.sort].compare(b[by.sort]); ok && order == 0 && by.sort != t.sort {
			return cmp.Compare(t.scatter(a), t.scatter(b))
		}
		for _, name := range []string{by.sort, t.hash, t.sort} {
			if name == "" {
				continue
			}
			if order, _ := a[name].compare(b[name]); order != 0 {
				if forward {
					return order
				}
				return -order
			}
		}
		return 0
	}
}

func (t *table) scatter(it item) string {
	sum := sha256.Sum256([]byte(fmt.Sprint(it[t.hash].value(), it[t.sort].value())))
	return string(sum[:])
}

// selected returns the items for which c holds, in order.
func (t *table) selected(c condition, by secondaryIndex, order func(a, b item) int) []item {
	var found []item
	for _, it := range t.items {
		if by.holds(it) && c.holds(it) {
			found = append(found, it)
		}
	}
	slices.SortFunc(found, order)
	return found
}

func (f *DynamoDB) batchGetItem(r *http.Request) (any, error) {
	var in struct {
		RequestItems map[string]struct {
			Keys           []item
			ConsistentRead bool
		}
		ReturnConsumedCapacity string
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	n, size := 0, 0
	responses, left := map[string][]item{}, map[string]any{}
	capacity := []any{}
	for name, ask := range in.RequestItems {
		t, err := f.table(name)
		if err != nil {
			return nil, err
		}
		if n += len(ask.Keys); n > 100 || len(ask.Keys) == 0 {
			return nil, invalid("Too many items requested for the BatchGetItem call, or none")
		}
		units, seen := 0.0, map[string]bool{}
		responses[name] = []item{}
		for i, k := range ask.Keys {
			key, err := t.keyOnly(k)
			if err != nil {
				return nil, err
			}
			if seen[key] {
				return nil, invalid("Provided list of item keys contains duplicates")
			}
			seen[key] = true
			it, ok := t.items[key]
			if size += it.size(); size > 16*maxPage {
				left[name] = map[string]any{"Keys": ask.Keys[i:], "ConsistentRead": ask.ConsistentRead}
				break
			}
			units += readUnits(it.size(), ask.ConsistentRead)
			if ok {
				responses[name] = append(responses[name], it)
			}
		}
		capacity = append(capacity, map[string]any{"TableName": name, "CapacityUnits": units})
	}
	answer := map[string]any{"Responses": responses, "UnprocessedKeys": left}
	if in.ReturnConsumedCapacity == "TOTAL" || in.ReturnConsumedCapacity == "INDEXES" {
		answer["ConsumedCapacity"] = capacity
	}
	return answer, nil
}

// paths parses a list of attribute names.
func (e *expressions) paths(text string) ([]string, error) {
	p, err := e.parser(text)
	if err != nil {
		return nil, err
	}
	var names []string
	for {
		path, err := p.operand()
		if err != nil {
			return nil, err
		}
		if path.path == "" {
			return nil, p.problem("a value where a name is needed")
		}
		names = append(names, path.path)
		if len(p.tokens) == 0 {
			return names, nil
		}
		if err := p.expect(","); err != nil {
			return nil, fmt.Errorf("projection: %w", err)
		}
	}
}
