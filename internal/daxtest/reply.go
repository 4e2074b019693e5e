package daxtest

import (
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Fields of answers.
const (
	replyItem             = 0
	replyConsumedCapacity = 1
	replyAttributes       = 2
	replyItems            = 7
	replyCount            = 8
	replyLastKey          = 9
	replyScanned          = 10
)

var (
	returnValues = map[int64]types.ReturnValue{
		2: types.ReturnValueAllOld, 3: types.ReturnValueUpdatedOld,
		4: types.ReturnValueAllNew, 5: types.ReturnValueUpdatedNew,
	}
	returnCapacity = map[int64]types.ReturnConsumedCapacity{1: types.ReturnConsumedCapacityTotal, 2: types.ReturnConsumedCapacityIndexes}
)

func (p params) returnValues() types.ReturnValue { return returnValues[p.ints[paramReturnValues]] }

func (p params) capacity() types.ReturnConsumedCapacity {
	return returnCapacity[p.ints[paramConsumedCapacity]]
}

// fields writes the fields of an answer that are there; null if none is.
type fields struct {
	count int
	body  writer
}

// add begins a field, whose value is written to the writer it returns.
func (f *fields) add(field int64) *writer {
	f.count++
	f.body.int(field)
	return &f.body
}

func (f *fields) write(w *writer) {
	if f.count == 0 {
		w.null()
		return
	}
	w.mapping(f.count)
	w.buf = append(w.buf, f.body.buf...)
}

func (f *fields) capacity(c *types.ConsumedCapacity) {
	if c != nil {
		f.add(replyConsumedCapacity).capacity(c)
	}
}

// attributes adds the whole item that a write returns.
func (f *fields) attributes(l *attributeLists, it item, s schema) error {
	if len(it) == 0 {
		return nil
	}
	value, err := l.encode(it, s)
	f.add(replyAttributes).bytes(value)
	return err
}

func (w *writer) capacity(c *types.ConsumedCapacity) {
	in := &writer{}
	in.text(aws.ToString(c.TableName))
	in.float(aws.ToFloat64(c.CapacityUnits))
	if c.Table == nil {
		in.null()
	} else {
		in.float(aws.ToFloat64(c.Table.CapacityUnits))
	}
	for _, indexes := range []map[string]types.Capacity{c.GlobalSecondaryIndexes, c.LocalSecondaryIndexes} {
		if indexes == nil {
			in.null()
			continue
		}
		in.mapping(len(indexes))
		for _, name := range slices.Sorted(maps.Keys(indexes)) {
			in.text(name)
			in.float(aws.ToFloat64(indexes[name].CapacityUnits))
		}
	}
	w.bytes(in.buf)
}

func (w *writer) capacities(list []types.ConsumedCapacity) {
	w.array(len(list))
	for i := range list {
		w.capacity(&list[i])
	}
}

// transactionCapacities are the same for a transaction, in another form.
func (w *writer) transactionCapacities(list []types.ConsumedCapacity) {
	w.array(len(list))
	for _, c := range list {
		w.mapping(2)
		w.int(1)
		w.float(aws.ToFloat64(c.CapacityUnits))
		w.int(4)
		w.text(aws.ToString(c.TableName))
	}
}

// projected writes what paths lead to, by their positions.
func (w *writer) projected(it item, paths []path) error {
	body, count := &writer{}, 0
	for i, p := range paths {
		v := p.in(it)
		if v == nil {
			continue
		}
		count++
		body.int(int64(i))
		if err := body.value(v); err != nil {
			return err
		}
	}
	w.mapping(count)
	w.buf = append(w.buf, body.buf...)
	return nil
}

// found writes an item that was asked for: projected, or its key, which only
// searches and batches repeat, and its value.
func (n *node) found(w *writer, it item, s schema, paths []path, withKey func(int)) error {
	if paths != nil {
		return w.projected(it, paths)
	}
	if withKey != nil {
		withKey(2)
		key, err := s.encode(it)
		if err != nil {
			return err
		}
		w.bytes(key)
	}
	value, err := n.cluster.lists.encode(it, s)
	w.bytes(value)
	return err
}
