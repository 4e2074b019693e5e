package daxtest

import (
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

type keyAttribute struct {
	name string
	kind types.ScalarAttributeType
}

// A schema is the partition key, and the sort key if there is one.
type schema []keyAttribute

func (s schema) has(name string) bool {
	for _, k := range s {
		if k.name == name {
			return true
		}
	}
	return false
}

var errKey = errors.New("The provided key element does not match the schema") //nolint:staticcheck // as DynamoDB says it

// encode writes a key as one string of bytes. A lone partition key is its bytes, or
// a CBOR number. With a sort key the partition key is a CBOR value, and the sort
// key follows as its bytes, or as a number whose bytes sort.
func (s schema) encode(it item) ([]byte, error) {
	w := &writer{}
	for i, k := range s {
		framed := len(s) == 2 && i == 0
		v := it[k.name]
		switch {
		case kindOf(v) != k.kind:
			return nil, errKey
		case k.kind == types.ScalarAttributeTypeN && i == 1:
			d, err := parseDecimal(v.(*types.AttributeValueMemberN).Value)
			if err != nil {
				return nil, err
			}
			w.buf = appendLexDecimal(w.buf, d)
		case framed || k.kind == types.ScalarAttributeTypeN:
			if err := w.value(v); err != nil {
				return nil, err
			}
		default:
			w.buf = append(w.buf, rawKey(v)...)
		}
	}
	return w.buf, nil
}

func kindOf(v types.AttributeValue) types.ScalarAttributeType {
	switch v.(type) {
	case *types.AttributeValueMemberS:
		return types.ScalarAttributeTypeS
	case *types.AttributeValueMemberN:
		return types.ScalarAttributeTypeN
	case *types.AttributeValueMemberB:
		return types.ScalarAttributeTypeB
	}
	return ""
}

func rawKey(v types.AttributeValue) []byte {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return []byte(v.Value)
	case *types.AttributeValueMemberB:
		return v.Value
	}
	return nil
}

func (s schema) decode(b []byte) (item, error) {
	it := item{}
	r := newBytesReader(b)
	for i, k := range s {
		v, err := k.decode(r, i, len(s) == 2 && i == 0)
		if err == nil && kindOf(v) != k.kind {
			err = errKey
		}
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", k.name, unexpected(err))
		}
		it[k.name] = v
	}
	if _, err := r.peek(); err == nil {
		return nil, errKey
	}
	return it, nil
}

func (k keyAttribute) decode(r *reader, i int, framed bool) (types.AttributeValue, error) {
	switch {
	case k.kind == types.ScalarAttributeTypeN && i == 1:
		d, err := readLexDecimal(r.br)
		return number(d, err)
	case k.kind == types.ScalarAttributeTypeN || framed:
		return r.value()
	}
	rest, err := io.ReadAll(r.br)
	if k.kind == types.ScalarAttributeTypeS {
		return &types.AttributeValueMemberS{Value: string(rest)}, err
	}
	return &types.AttributeValueMemberB{Value: rest}, err
}

// decodeCompound and encodeCompound are the keys of an index: a map in a string.
func decodeCompound(b []byte) (item, error) {
	r := newBytesReader(b)
	v, err := r.document()
	if err != nil {
		return nil, err
	}
	return v.(*types.AttributeValueMemberM).Value, nil
}

func encodeCompound(it item) ([]byte, error) {
	w := &writer{}
	w.buf = append(w.buf, majorMap<<5|31) // of an indefinite length, as the client expects it
	for k, v := range it {
		w.text(k)
		if err := w.value(v); err != nil {
			return nil, err
		}
	}
	w.buf = append(w.buf, breakCode)
	return w.buf, nil
}
