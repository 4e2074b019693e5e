package collection

import (
	"fmt"
	"reflect"

	"github.com/genaistore/genaistore/vectors"
)

// A Field makes filters on a field that holds values of type V, or a list of
// them. What it makes is a [vectors.Filter], and joins with others.
type Field[V vectors.Value] struct{ name string }

// An Ordered is a Field whose values are numbers.
type Ordered[V Number] struct{ Field[V] }

// A Text is a Field whose values are strings.
type Text[V ~string] struct{ Field[V] }

// A Number is what can be ordered: strings cannot.
type Number interface {
	~float32 | ~float64 |
		~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// FieldOf returns the field of M that get returns the address of. It is
// [vectors.ErrInvalid] if that is no field of the struct that filters may name.
func FieldOf[M any, V vectors.Value](get func(*M) *V) (Field[V], error) {
	name, err := nameOf(func(m *M) any { return get(m) })
	return Field[V]{name}, err
}

// OrderedOf is [FieldOf] for a number.
func OrderedOf[M any, V Number](get func(*M) *V) (Ordered[V], error) {
	name, err := nameOf(func(m *M) any { return get(m) })
	return Ordered[V]{Field[V]{name}}, err
}

// TextOf is [FieldOf] for a string.
func TextOf[M any, V ~string](get func(*M) *V) (Text[V], error) {
	name, err := nameOf(func(m *M) any { return get(m) })
	return Text[V]{Field[V]{name}}, err
}

// ListOf is [FieldOf] for a list: its filters match if one element does.
func ListOf[M any, V vectors.Value](get func(*M) *[]V) (Field[V], error) {
	name, err := nameOf(func(m *M) any { return get(m) })
	return Field[V]{name}, err
}

// nameOf finds a field by its address.
func nameOf[M any](get func(*M) any) (string, error) {
	fields, err := fieldsOf[M]()
	if err != nil {
		return "", fmt.Errorf("field: %w", err)
	}
	m := new(M)
	address, of := reflect.ValueOf(get(m)), reflect.ValueOf(m).Elem()
	for _, f := range fields {
		field := of.Field(f.place)
		if field.Addr().Pointer() != address.Pointer() || field.Type() != address.Type().Elem() {
			continue
		}
		if f.noFilter {
			return "", fmt.Errorf("field %q: %w: it is tagged nofilter", f.name, vectors.ErrInvalid)
		}
		return f.name, nil
	}
	return "", fmt.Errorf("field: %w: the function does not return the address of a stored field of %s", vectors.ErrInvalid, of.Type())
}

// Name returns the key of the metadata.
func (f Field[V]) Name() string { return f.name }

// Equal is [vectors.Equal].
func (f Field[V]) Equal(v V) vectors.Filter { return vectors.Equal(f.name, v) }

// NotEqual is [vectors.NotEqual].
func (f Field[V]) NotEqual(v V) vectors.Filter { return vectors.NotEqual(f.name, v) }

// In is [vectors.In].
func (f Field[V]) In(vs ...V) vectors.Filter { return vectors.In(f.name, vs...) }

// NotIn is [vectors.NotIn].
func (f Field[V]) NotIn(vs ...V) vectors.Filter { return vectors.NotIn(f.name, vs...) }

// Exists is [vectors.Exists].
func (f Field[V]) Exists() vectors.Filter { return vectors.Exists(f.name) }

// Missing is [vectors.Missing].
func (f Field[V]) Missing() vectors.Filter { return vectors.Missing(f.name) }

// Less is [vectors.Less]. Of an integer beyond 2^53 it makes a filter that is
// [vectors.ErrInvalid] where it is used, and so do AtMost, More and AtLeast.
func (f Ordered[V]) Less(v V) vectors.Filter { return f.order(vectors.OpLess, v) }

// AtMost is [vectors.AtMost].
func (f Ordered[V]) AtMost(v V) vectors.Filter { return f.order(vectors.OpAtMost, v) }

// More is [vectors.More].
func (f Ordered[V]) More(v V) vectors.Filter { return f.order(vectors.OpMore, v) }

// AtLeast is [vectors.AtLeast].
func (f Ordered[V]) AtLeast(v V) vectors.Filter { return f.order(vectors.OpAtLeast, v) }

// order keeps the value as Equal does: as a float64 it may be another number.
func (f Ordered[V]) order(op vectors.Op, v V) vectors.Filter {
	filter := vectors.Equal(f.name, v)
	filter.Op = op
	return filter
}

// StartsWith is [vectors.StartsWith].
func (f Text[V]) StartsWith(prefix string) vectors.Filter { return vectors.StartsWith(f.name, prefix) }
