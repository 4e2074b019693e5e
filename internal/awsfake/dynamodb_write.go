package awsfake

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"strings"
)

type write struct {
	TableName                           string
	Key                                 item
	Item                                item
	UpdateExpression                    string
	ConditionExpression                 string
	ExpressionAttributeNames            map[string]string
	ExpressionAttributeValues           map[string]attribute
	ReturnConsumedCapacity              string
	ReturnValues                        string
	ReturnValuesOnConditionCheckFailure string
	ReturnItemCollectionMetrics         string
}

// An effect is what a write is going to do: nothing before all is checked.
type effect struct {
	table   *table
	key     string
	old, it item // it is nil for a deletion
	check   bool // nothing changes
	unmet   *conditionFailure
}

func (e effect) carryOut() {
	switch {
	case e.check:
	case e.it == nil:
		delete(e.table.items, e.key)
	default:
		e.table.items[e.key] = e.it
	}
}

func (f *DynamoDB) putItem(r *http.Request) (any, error) {
	return writeOne(r, f.put)
}

func (f *DynamoDB) updateItem(r *http.Request) (any, error) {
	return writeOne(r, f.update)
}

func (f *DynamoDB) deleteItem(r *http.Request) (any, error) {
	return writeOne(r, f.remove)
}

// writeOne answers a request that writes one item.
func writeOne(r *http.Request, prepare func(write) (effect, error)) (any, error) {
	var in write
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	e, err := prepare(in)
	if err != nil {
		return nil, err
	}
	if e.unmet != nil {
		return nil, e.unmet
	}
	e.carryOut()
	answer := map[string]any{}
	switch {
	case in.ReturnValues == "ALL_OLD" && e.old != nil:
		answer["Attributes"] = e.old
	case in.ReturnValues == "ALL_NEW" && in.UpdateExpression != "":
		answer["Attributes"] = e.it
	case in.ReturnValues != "" && in.ReturnValues != "NONE" && in.ReturnValues != "ALL_OLD":
		return nil, invalid("the fake does not know ReturnValues %s here", in.ReturnValues)
	}
	return charge(answer, in.ReturnConsumedCapacity, in.TableName, e.table.writeUnits(e.old, e.it)), nil
}

func (f *DynamoDB) put(in write) (effect, error) {
	t, err := f.table(in.TableName)
	if err != nil {
		return effect{}, err
	}
	key, err := t.key(in.Item)
	if err != nil {
		return effect{}, err
	}
	return in.effect(t, key, func(*expressions, item) (item, error) { return in.Item, nil })
}

func (f *DynamoDB) remove(in write) (effect, error) {
	t, err := f.table(in.TableName)
	if err != nil {
		return effect{}, err
	}
	key, err := t.keyOnly(in.Key)
	if err != nil {
		return effect{}, err
	}
	return in.effect(t, key, func(*expressions, item) (item, error) { return nil, nil })
}

func (f *DynamoDB) update(in write) (effect, error) {
	t, err := f.table(in.TableName)
	if err != nil {
		return effect{}, err
	}
	key, err := t.keyOnly(in.Key)
	if err != nil {
		return effect{}, err
	}
	return in.effect(t, key, func(named *expressions, old item) (item, error) {
		return named.updated(in.UpdateExpression, t, old, in.Key)
	})
}

// effect parses the expressions of a write and checks its result.
func (in write) effect(t *table, key string, make func(*expressions, item) (item, error)) (effect, error) {
	e := effect{table: t, key: key, old: t.items[key]}
	named := newExpressions(in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	holds := true
	if in.ConditionExpression != "" {
		c, err := named.parse(in.ConditionExpression)
		if err != nil {
			return e, err
		}
		holds = c.holds(e.old)
	}
	var err error
	if e.it, err = make(named, e.old); err != nil {
		return e, err
	}
	if err := named.unused(); err != nil {
		return e, err
	}
	if !holds {
		e.unmet = &conditionFailure{}
		if in.ReturnValuesOnConditionCheckFailure == "ALL_OLD" {
			e.unmet.old = e.old
		}
		return e, nil
	}
	for name, value := range e.it {
		if err := value.validate(name); err != nil {
			return e, err
		}
	}
	if e.it.size() > maxItem {
		return e, invalid("Item size has exceeded the maximum allowed size")
	}
	return e, t.checkIndexed(e.it)
}

// updated applies an update expression to old, which is nil where there is no item.
func (e *expressions) updated(text string, t *table, old, key item) (item, error) {
	it := item{}
	maps.Copy(it, old)
	maps.Copy(it, key)
	if text == "" {
		return it, nil
	}
	p, err := e.parser(text)
	if err != nil {
		return nil, err
	}
	touched := map[string]bool{}
	for len(p.tokens) > 0 {
		clause := strings.ToUpper(p.next())
		if clause != "SET" && clause != "REMOVE" {
			return nil, p.problem("a clause that the fake does not know: " + clause)
		}
		for more := true; more; more = p.accept(",") {
			path, err := p.operand()
			if err != nil {
				return nil, err
			}
			if path.path == "" || touched[path.path] || path.path == t.hash || path.path == t.sort {
				return nil, p.problem("an attribute that cannot be updated, or twice: " + path.path)
			}
			touched[path.path] = true
			if clause == "REMOVE" {
				delete(it, path.path)
				continue
			}
			if err := p.expect("="); err != nil {
				return nil, err
			}
			if it[path.path], err = p.assigned(old); err != nil {
				return nil, err
			}
		}
	}
	return it, nil
}

// assigned evaluates what follows the equals sign, against the item as it was.
func (p *parser) assigned(old item) (attribute, error) {
	if strings.EqualFold(p.peek(), "if_not_exists") {
		p.next()
		if err := p.expect("("); err != nil {
			return attribute{}, err
		}
		path, errPath := p.operand()
		errComma := p.expect(",")
		other, errOther := p.operand()
		errEnd := p.expect(")")
		if err := cmp.Or(errPath, errComma, errOther, errEnd); err != nil {
			return attribute{}, err
		}
		if value, ok := path.in(old); ok {
			return value, nil
		}
		return other.valueIn(old)
	}
	from, err := p.operand()
	if err != nil {
		return attribute{}, err
	}
	return from.valueIn(old)
}

func (o operand) valueIn(old item) (attribute, error) {
	value, ok := o.in(old)
	if !ok {
		return attribute{}, invalid("The provided expression refers to an attribute that does not exist in the item: %s", o.path)
	}
	return value, nil
}

// charge adds the consumed capacity to an answer, if the request asked for it.
func charge(answer map[string]any, asked, table string, units float64) map[string]any {
	if asked == "TOTAL" || asked == "INDEXES" {
		answer["ConsumedCapacity"] = map[string]any{"TableName": table, "CapacityUnits": units}
	}
	return answer
}

func charges(answer map[string]any, asked string, units map[string]float64) map[string]any {
	if asked == "TOTAL" || asked == "INDEXES" {
		list := []any{}
		for table, n := range units {
			list = append(list, map[string]any{"TableName": table, "CapacityUnits": n})
		}
		answer["ConsumedCapacity"] = list
	}
	return answer
}

func (f *DynamoDB) batchWriteItem(r *http.Request) (any, error) {
	var in struct {
		RequestItems map[string][]struct {
			PutRequest    *struct{ Item item }
			DeleteRequest *struct{ Key item }
		}
		ReturnConsumedCapacity string
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	var effects []effect
	units, seen := map[string]float64{}, map[string]bool{}
	for name, requests := range in.RequestItems {
		for _, request := range requests {
			var e effect
			var err error
			switch {
			case request.PutRequest != nil:
				e, err = f.put(write{TableName: name, Item: request.PutRequest.Item})
			case request.DeleteRequest != nil:
				e, err = f.remove(write{TableName: name, Key: request.DeleteRequest.Key})
			default:
				err = invalid("a request that is neither put nor delete")
			}
			if err != nil {
				return nil, err
			}
			if seen[name+e.key] {
				return nil, invalid("Provided list of item keys contains duplicates")
			}
			seen[name+e.key] = true
			effects, units[name] = append(effects, e), units[name]+e.table.writeUnits(e.old, e.it)
		}
	}
	if len(effects) < 1 || len(effects) > 25 {
		return nil, invalid("%d requests in a batch: from 1 to 25", len(effects))
	}
	for _, e := range effects {
		e.carryOut()
	}
	return charges(map[string]any{"UnprocessedItems": map[string]any{}}, in.ReturnConsumedCapacity, units), nil
}

// cancellation is a transaction that was not carried out, with a reason an action.
type cancellation struct{ reasons []map[string]any }

func (*cancellation) Error() string { return "the transaction was cancelled" }

type action struct{ Put, Update, Delete, ConditionCheck *write }

// prepare checks one action of a transaction.
func (f *DynamoDB) prepare(a action) (e effect, err error) {
	switch {
	case a.Put != nil:
		return f.put(*a.Put)
	case a.Update != nil:
		return f.update(*a.Update)
	case a.Delete != nil:
		return f.remove(*a.Delete)
	case a.ConditionCheck != nil:
		e, err = f.remove(*a.ConditionCheck)
		e.it, e.check = e.old, true
		return e, err
	}
	return e, invalid("an action that does nothing")
}

func (f *DynamoDB) transactWriteItems(r *http.Request) (any, error) {
	var in struct {
		TransactItems          []action
		ClientRequestToken     string
		ReturnConsumedCapacity string
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if len(in.TransactItems) < 1 || len(in.TransactItems) > 100 {
		return nil, invalid("%d actions in a transaction: from 1 to 100", len(in.TransactItems))
	}
	if done, ok := f.tokens[in.ClientRequestToken]; ok && in.ClientRequestToken != "" {
		if done != string(body(r)) {
			return nil, &failure{http.StatusBadRequest, "IdempotentParameterMismatchException", "the token was used for another request"}
		}
		return map[string]any{}, nil
	}
	var effects []effect
	reasons, canceled := []map[string]any{}, false
	units, seen, size := map[string]float64{}, map[string]bool{}, 0
	for _, a := range in.TransactItems {
		e, err := f.prepare(a)
		if err != nil {
			return nil, err
		}
		name := e.table.definition.TableName
		if seen[name+e.key] {
			return nil, invalid("Transaction request cannot include multiple operations on one item")
		}
		seen[name+e.key] = true
		reason := map[string]any{"Code": "None"}
		if e.unmet != nil {
			canceled = true
			reason = map[string]any{"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
			if e.unmet.old != nil {
				reason["Item"] = e.unmet.old
			}
		}
		size += e.it.size()
		effects, reasons = append(effects, e), append(reasons, reason)
		units[name] += 2 * e.table.writeUnits(e.old, e.it)
	}
	if canceled {
		return nil, &cancellation{reasons}
	}
	if size > 4<<20 {
		return nil, invalid("Transaction size of %s exceeds the limit", fmt.Sprint(size))
	}
	for _, e := range effects {
		e.carryOut()
	}
	if f.tokens == nil {
		f.tokens = map[string]string{}
	}
	f.tokens[in.ClientRequestToken] = string(body(r))
	return charges(map[string]any{}, in.ReturnConsumedCapacity, units), nil
}
