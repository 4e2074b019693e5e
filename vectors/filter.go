package vectors

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Filter selects vectors by metadata. The zero Filter selects all. Build one
// with [Equal], [In], [And] and their like; backends read its fields.
//
// A key that a vector lacks matches [Missing] and nothing else: NotEqual and
// NotIn ask for a value that is there and differs, and [OrMissing] widens them.
// A list matches Equal, In and StartsWith if one element does, NotEqual and NotIn
// if none does, and an order never. Numbers compare as float64, and values of
// different types are different. In with no values and Or of no filters select
// nothing, NotIn with no values is Exists. Filters may carry any number of
// values; backends split what their service limits.
//
// These are the rules of S3 Vectors where AWS documents them
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-vectors-metadata-filtering.html)
// and one reading where it is silent; backends send forms that mean the same
// under every reading.
type Filter struct {
	Op     Op
	Key    string
	Values []any // string, float64 or bool
	Of     []Filter
}

// An Op is an operator of a Filter.
type Op string

// The operators.
const (
	OpEqual      Op = "eq"
	OpNotEqual   Op = "ne"
	OpIn         Op = "in"
	OpNotIn      Op = "nin"
	OpLess       Op = "lt"
	OpAtMost     Op = "lte"
	OpMore       Op = "gt"
	OpAtLeast    Op = "gte"
	OpExists     Op = "exists"
	OpMissing    Op = "missing"
	OpStartsWith Op = "startsWith"
	OpAnd        Op = "and"
	OpOr         Op = "or"
)

// MaxFilterDepth is how deep filters may nest: a filter on a key is 0 deep, an And
// or Or of these 1.
const MaxFilterDepth = 16

// A Value is what a filter compares with. An integer beyond 2^53 makes a filter
// that is ErrInvalid where it is used.
type Value interface {
	~string | ~bool | ~float32 | ~float64 |
		~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// Equal matches a value equal to v, or a list with an element equal to v.
func Equal[V Value](key string, v V) Filter { return compare(OpEqual, key, v) }

// NotEqual matches a value that is there and does not match Equal.
func NotEqual[V Value](key string, v V) Filter { return compare(OpNotEqual, key, v) }

// In matches what Equal matches for one of vs.
func In[V Value](key string, vs ...V) Filter { return compare(OpIn, key, vs...) }

// NotIn matches a value that is there and does not match In.
func NotIn[V Value](key string, vs ...V) Filter { return compare(OpNotIn, key, vs...) }

// Less matches a number less than v.
func Less(key string, v float64) Filter { return compare(OpLess, key, v) }

// AtMost matches a number of v or less.
func AtMost(key string, v float64) Filter { return compare(OpAtMost, key, v) }

// More matches a number greater than v.
func More(key string, v float64) Filter { return compare(OpMore, key, v) }

// AtLeast matches a number of v or more.
func AtLeast(key string, v float64) Filter { return compare(OpAtLeast, key, v) }

// Exists matches a vector that has the key.
func Exists(key string) Filter { return Filter{Op: OpExists, Key: key} }

// Missing matches a vector that lacks the key.
func Missing(key string) Filter { return Filter{Op: OpMissing, Key: key} }

// StartsWith matches a string that begins with prefix, byte for byte, or a list
// with such an element.
func StartsWith(key, prefix string) Filter { return compare(OpStartsWith, key, prefix) }

// OrMissing matches what f matches and every vector that lacks f's key. f is a
// filter on one key.
func OrMissing(f Filter) Filter { return Or(f, Missing(f.Key)) }

// And matches what all match. Zero filters among them are dropped, and And of
// nothing is the zero filter, which selects all.
func And(of ...Filter) Filter {
	of = slices.DeleteFunc(slices.Clone(of), Filter.IsZero)
	switch len(of) {
	case 0:
		return Filter{}
	case 1:
		return of[0]
	}
	return Filter{Op: OpAnd, Of: of}
}

// Or matches what any matches. A zero filter among them makes the whole zero. Or
// of nothing selects nothing: who may see no tenant sees none.
func Or(of ...Filter) Filter {
	switch {
	case slices.ContainsFunc(of, Filter.IsZero):
		return Filter{}
	case len(of) == 1:
		return of[0]
	}
	return Filter{Op: OpOr, Of: slices.Clone(of)}
}

// IsZero reports whether f selects all.
func (f Filter) IsZero() bool { return f.Op == "" && f.Key == "" && f.Values == nil && f.Of == nil }

func compare[V Value](op Op, key string, vs ...V) Filter {
	values := make([]any, len(vs))
	for i, v := range vs {
		switch r := reflect.ValueOf(v); {
		case r.CanInt() && exact(r.Int()):
			values[i] = float64(r.Int())
		case r.CanInt():
			values[i] = r.Int() // which Validate refuses
		case r.CanUint() && r.Uint() <= 1<<53:
			values[i] = float64(r.Uint())
		case r.CanUint():
			values[i] = r.Uint()
		case r.CanFloat():
			values[i] = r.Float()
		case r.Kind() == reflect.Bool:
			values[i] = r.Bool()
		default:
			values[i] = r.String()
		}
	}
	return Filter{Op: op, Key: key, Values: values}
}

func exact(n int64) bool { return n >= -1<<53 && n <= 1<<53 }

// Match reports whether m, as [Schema.Normal] returns it, satisfies f, as every
// Index decides it.
func (f Filter) Match(m Metadata) bool {
	switch f.Op {
	case "":
		return true
	case OpAnd:
		return !slices.ContainsFunc(f.Of, func(g Filter) bool { return !g.Match(m) })
	case OpOr:
		return slices.ContainsFunc(f.Of, func(g Filter) bool { return g.Match(m) })
	}
	value, there := m[f.Key]
	switch f.Op {
	case OpExists:
		return there
	case OpMissing:
		return !there
	case OpEqual, OpIn:
		return there && f.matchAny(value)
	case OpNotEqual, OpNotIn:
		return there && !f.matchAny(value)
	case OpStartsWith:
		return there && f.matchPrefix(value)
	}
	n, ok := value.(float64)
	return ok && f.matchOrder(n)
}

func (f Filter) matchAny(value any) bool {
	if list, ok := value.([]any); ok {
		return slices.ContainsFunc(list, f.hasOperand)
	}
	return f.hasOperand(value)
}

func (f Filter) hasOperand(value any) bool {
	return slices.ContainsFunc(f.Values, func(operand any) bool { return equal(operand, value) })
}

// equal is == for the types of metadata, and false for any other, which == would
// panic on.
func equal(a, b any) bool {
	switch a := a.(type) {
	case string:
		b, ok := b.(string)
		return ok && a == b
	case float64:
		b, ok := b.(float64)
		return ok && a == b
	case bool:
		b, ok := b.(bool)
		return ok && a == b
	}
	return false
}

func (f Filter) matchPrefix(value any) bool {
	prefix, ok := operand[string](f)
	if !ok {
		return false
	}
	starts := func(v any) bool {
		s, ok := v.(string)
		return ok && strings.HasPrefix(s, prefix)
	}
	if list, ok := value.([]any); ok {
		return slices.ContainsFunc(list, starts)
	}
	return starts(value)
}

func (f Filter) matchOrder(n float64) bool {
	bound, ok := operand[float64](f)
	if !ok {
		return false
	}
	switch f.Op {
	case OpLess:
		return n < bound
	case OpAtMost:
		return n <= bound
	case OpMore:
		return n > bound
	case OpAtLeast:
		return n >= bound
	}
	return false
}

func operand[T any](f Filter) (v T, ok bool) {
	if len(f.Values) == 1 {
		v, ok = f.Values[0].(T)
	}
	return v, ok
}

// Validate reports an error that matches [ErrInvalid] unless an index with this
// schema can evaluate f: known operators, operands of the right number and type,
// no key that the index does not filter on.
func (f Filter) Validate(s Schema) error { return f.validate(s, 0) }

func (f Filter) validate(s Schema, depth int) error {
	if f.IsZero() && depth == 0 {
		return nil
	}
	if most := MaxFilterDepth - s.Reserved.FilterDepth; depth > most {
		return fmt.Errorf("%w: a filter nests deeper than %d", ErrInvalid, most)
	}
	if f.Op == OpAnd || f.Op == OpOr {
		return f.validateJoin(s, depth)
	}
	if f.Key == "" || !utf8.ValidString(f.Key) || strings.HasPrefix(f.Key, "$") || len(f.Of) > 0 {
		return fmt.Errorf("%w: filter %q on key %.80q: it needs a key of UTF-8 that does not begin with $, and takes no filters", ErrInvalid, f.Op, f.Key)
	}
	if slices.Contains(s.NonFilterable, f.Key) {
		return fmt.Errorf("%w: filter on %q: the key is not filterable in this index", ErrInvalid, f.Key)
	}
	for _, v := range f.Values {
		if err := checkOperand(v); err != nil {
			return fmt.Errorf("filter %q on %q: %w", f.Op, f.Key, err)
		}
	}
	return f.validateOperands()
}

func (f Filter) validateJoin(s Schema, depth int) error {
	if f.Key != "" || len(f.Values) > 0 || f.Op == OpAnd && len(f.Of) == 0 {
		return fmt.Errorf("%w: filter %q takes filters, at least one for %q, and no key or values", ErrInvalid, f.Op, OpAnd)
	}
	for _, g := range f.Of {
		if err := g.validate(s, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func checkOperand(v any) error {
	switch v := v.(type) {
	case bool:
		return nil
	case string:
		if !utf8.ValidString(v) {
			return fmt.Errorf("%w: strings are UTF-8", ErrInvalid)
		}
		return nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%w: number %v is not finite", ErrInvalid, v)
		}
		return nil
	}
	return fmt.Errorf("%w: operand %v of type %T: string, float64 or bool, integers within 2^53", ErrInvalid, v, v)
}

func (f Filter) validateOperands() error {
	operands := 1
	ok := true
	switch f.Op {
	case OpEqual, OpNotEqual:
	case OpIn, OpNotIn:
		operands = len(f.Values)
	case OpLess, OpAtMost, OpMore, OpAtLeast:
		if len(f.Values) == 1 {
			_, ok = f.Values[0].(float64)
		}
	case OpStartsWith:
		if len(f.Values) == 1 {
			_, ok = f.Values[0].(string)
		}
	case OpExists, OpMissing:
		operands = 0
	default:
		return fmt.Errorf("%w: filter operator %q is not known", ErrInvalid, f.Op)
	}
	if len(f.Values) != operands || !ok {
		return fmt.Errorf("%w: filter %q on %q: operands %.80v; orders take one number, startsWith one string, exists none", ErrInvalid, f.Op, f.Key, f.Values)
	}
	return nil
}
