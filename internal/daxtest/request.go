package daxtest

import (
	"fmt"
)

// Methods, by their numbers on the wire.
const (
	methodAuthorize             = 1489122155
	methodDefineAttributeList   = 670678385
	methodDefineAttributeListID = -1230579644
	methodDefineKeySchema       = -742646399
	methodEndpoints             = 455855874
	methodTransactWriteItems    = -1160037738
	methodTransactGetItems      = 1866287579
	methodBatchGetItem          = -697851100
	methodBatchWriteItem        = 116217951
	methodGetItem               = 263244906
	methodPutItem               = -2106490455
	methodDeleteItem            = 1013539361
	methodUpdateItem            = 1425579023
	methodQuery                 = -931250863
	methodScan                  = -1875390620
)

var methodNames = map[int64]string{
	methodDefineAttributeList:   "DefineAttributeList",
	methodDefineAttributeListID: "DefineAttributeListId",
	methodDefineKeySchema:       "DefineKeySchema",
	methodEndpoints:             "Endpoints",
	methodTransactWriteItems:    "TransactWriteItems",
	methodTransactGetItems:      "TransactGetItems",
	methodBatchGetItem:          "BatchGetItem",
	methodBatchWriteItem:        "BatchWriteItem",
	methodGetItem:               "GetItem",
	methodPutItem:               "PutItem",
	methodDeleteItem:            "DeleteItem",
	methodUpdateItem:            "UpdateItem",
	methodQuery:                 "Query",
	methodScan:                  "Scan",
}

// Parameters that a request may leave out.
const (
	paramProjection        = 0
	paramConsistentRead    = 2
	paramConsumedCapacity  = 3
	paramCondition         = 4
	paramCollectionMetrics = 6
	paramReturnValues      = 7
	paramUpdate            = 8
	paramStartKey          = 9
	paramFilter            = 10
	paramIndex             = 11
	paramLimit             = 13
	paramForward           = 14
	paramSelect            = 15
	paramSegment           = 16
	paramTotalSegments     = 17
	paramClientToken       = 19
)

type params struct {
	ints    map[int64]int64
	strings map[int64][]byte
	token   string
}

func (p params) consistent() bool { return p.ints[paramConsistentRead] != 0 }

func (p params) int32(param int64) *int32 {
	n, ok := p.ints[param]
	if !ok {
		return nil
	}
	return new(int32(n))
}

func (r *reader) params() (params, error) {
	p := params{ints: map[int64]int64{}, strings: map[int64][]byte{}}
	err := r.each(majorMap, func(int) error {
		k, err := r.int()
		if err != nil {
			return err
		}
		switch k {
		case paramConsistentRead, paramConsumedCapacity, paramCollectionMetrics, paramReturnValues, paramLimit,
			paramForward, paramSelect, paramSegment, paramTotalSegments:
			p.ints[k], err = r.int()
		case paramProjection, paramCondition, paramUpdate, paramStartKey, paramFilter, paramIndex:
			p.strings[k], err = r.bytes()
		case paramClientToken:
			p.token, err = r.text()
		default:
			err = fmt.Errorf("unknown parameter %d", k)
		}
		return err
	})
	return p, err
}

// A request as it came. Keys, items and expressions stay encoded until the table's
// schema is known: what fails then leaves no half of a request in the stream.
type request struct {
	method       int64
	table        string
	key          []byte
	value        []byte // what is not key
	keyCondition []byte
	params       params
	tables       []tableRequest // of a batch
	actions      []action       // of a transaction
	names        []string       // of an attribute list
	list         int64          // an attribute list's number
}

// A tableRequest is what a batch asks of a table.
type tableRequest struct {
	name       string
	consistent bool
	projection []byte
	keys       [][]byte
	values     [][]byte // nil for a delete
}

// An action of a transaction.
type action struct {
	kind, onFailure                           int64
	table                                     string
	key, value, condition, update, projection []byte
}

func (q *request) name() string { return methodNames[q.method] }

func (q *request) isWrite() bool {
	switch q.method {
	case methodPutItem, methodUpdateItem, methodDeleteItem, methodBatchWriteItem, methodTransactWriteItems:
		return true
	}
	return false
}

// tableNames are all tables a request names.
func (q *request) tableNames() []string {
	if q.table != "" {
		return []string{q.table}
	}
	var names []string
	for _, t := range q.tables {
		names = append(names, t.name)
	}
	for _, a := range q.actions {
		names = append(names, a.table)
	}
	return names
}

// method reads what begins every request.
func (r *reader) method() (int64, error) {
	service, err := r.int()
	if err != nil {
		return 0, err
	}
	if service != 1 {
		return 0, fmt.Errorf("unknown service %d", service)
	}
	m, err := r.int()
	return m, unexpected(err)
}

// all reads one thing after the other.
func all(reads ...func() error) error {
	for _, read := range reads {
		if err := read(); err != nil {
			return unexpected(err)
		}
	}
	return nil
}

func (q *request) read(r *reader) error {
	table := func() error { b, err := r.bytes(); q.table = string(b); return err }
	key := func() (err error) { q.key, err = r.bytes(); return err }
	value := func() (err error) { q.value, err = r.bytes(); return err }
	keyCondition := func() (err error) { q.keyCondition, err = r.bytes(); return err }
	parameters := func() (err error) { q.params, err = r.params(); return err }
	switch q.method {
	case methodEndpoints:
		return nil
	case methodDefineKeySchema:
		return all(table)
	case methodDefineAttributeListID:
		return all(func() error {
			return r.each(majorArray, func(int) error { s, err := r.text(); q.names = append(q.names, s); return err })
		})
	case methodDefineAttributeList:
		return all(func() (err error) { q.list, err = r.int(); return err })
	case methodGetItem, methodDeleteItem, methodUpdateItem:
		return all(table, key, parameters)
	case methodPutItem:
		return all(table, key, value, parameters)
	case methodQuery:
		return all(table, keyCondition, parameters)
	case methodScan:
		return all(table, parameters)
	case methodBatchGetItem:
		return all(func() error { return q.readTables(r, readGets) }, parameters)
	case methodBatchWriteItem:
		return all(func() error { return q.readTables(r, readWrites) }, parameters)
	case methodTransactGetItems:
		return q.readGetActions(r, parameters)
	case methodTransactWriteItems:
		return q.readWriteActions(r, parameters)
	}
	return fmt.Errorf("unknown method %d", q.method)
}

func (q *request) readTables(r *reader, read func(*reader, *tableRequest) error) error {
	return r.each(majorMap, func(int) error {
		name, err := r.text()
		if err != nil {
			return err
		}
		t := tableRequest{name: name}
		err = read(r, &t)
		q.tables = append(q.tables, t)
		return err
	})
}

func readGets(r *reader, t *tableRequest) error {
	return all(
		func() error { return r.array(3) },
		func() error { c, err := r.int(); t.consistent = c != 0; return err },
		func() (err error) { t.projection, err = r.nullBytes(); return err },
		func() (err error) { t.keys, err = r.byteStrings(); return err },
	)
}

func readWrites(r *reader, t *tableRequest) error {
	pairs, err := r.byteStrings()
	if err == nil && len(pairs)%2 != 0 {
		err = fmt.Errorf("a batch of %d keys and values", len(pairs))
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		t.keys, t.values = append(t.keys, pairs[i]), append(t.values, pairs[i+1])
	}
	return err
}

func (q *request) readGetActions(r *reader, parameters func() error) error {
	var tables, keys, projections [][]byte
	err := all(
		func() (err error) { tables, err = r.byteStrings(); return err },
		func() (err error) { keys, err = r.byteStrings(); return err },
		func() (err error) { projections, err = r.byteStrings(); return err },
		parameters,
	)
	if err != nil {
		return err
	}
	if len(keys) != len(tables) || len(projections) != len(tables) {
		return fmt.Errorf("a transaction of %d tables, %d keys and %d projections", len(tables), len(keys), len(projections))
	}
	for i := range tables {
		q.actions = append(q.actions, action{table: string(tables[i]), key: keys[i], projection: projections[i]})
	}
	return nil
}

func (q *request) readWriteActions(r *reader, parameters func() error) error {
	var kinds, onFailure []int64
	var tables, keys, values, conditions, updates [][]byte
	err := all(
		func() (err error) { kinds, err = r.ints(); return err },
		func() (err error) { tables, err = r.byteStrings(); return err },
		func() (err error) { keys, err = r.byteStrings(); return err },
		func() (err error) { values, err = r.byteStrings(); return err },
		func() error { _, err := r.null(); return err }, // what to return, which no client asks for
		func() (err error) { onFailure, err = r.ints(); return err },
		func() (err error) { conditions, err = r.byteStrings(); return err },
		func() (err error) { updates, err = r.byteStrings(); return err },
		parameters,
	)
	if err != nil {
		return err
	}
	n := len(kinds)
	for _, l := range []int{len(tables), len(keys), len(values), len(onFailure), len(conditions), len(updates)} {
		if l != n {
			return fmt.Errorf("a transaction of %d actions with %d of one of their parts", n, l)
		}
	}
	for i := range kinds {
		q.actions = append(q.actions, action{
			kind: kinds[i], onFailure: onFailure[i], table: string(tables[i]),
			key: keys[i], value: values[i], condition: conditions[i], update: updates[i],
		})
	}
	return nil
}

// A proof is how a connection says whose it is.
type proof struct{ accessKey, signature, stringToSign, token string }

func (r *reader) proof() (p proof, err error) {
	err = all(
		func() (err error) { p.accessKey, err = r.text(); return err },
		func() (err error) { p.signature, err = r.text(); return err },
		func() error { b, err := r.bytes(); p.stringToSign = string(b); return err },
		func() (err error) { p.token, err = r.nullText(); return err },
		func() error { _, err := r.nullText(); return err }, // the user agent
	)
	return p, err
}
