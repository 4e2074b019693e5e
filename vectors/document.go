package vectors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxConstraints is how many constraints S3 Vectors takes in a filter. Each value
// that is compared with counts as one; joining costs nothing.
const MaxConstraints = 100

// maxDocumentDepth bounds what [ParseDocument] reads. AWS names no limit.
const maxDocumentDepth = 64

// A Document is a filter in the grammar of S3 Vectors
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-vectors-metadata-filtering.html),
// read word for word. It says more than a [Filter] does: what a service would
// make of it where AWS does not say, see [Document.Ambiguities].
type Document struct {
	// raw has OpNotEqual and OpNotIn where the document has $ne and $nin, which
	// are not the same: AWS does not say what these do with a missing key.
	raw Filter
}

// ParseDocument reads a filter in the grammar of S3 Vectors. An error matches
// [ErrInvalid] and says what the grammar has instead: unknown operators, an order
// of strings, null, empty objects and lists, and the same key twice are errors.
func ParseDocument(data []byte) (Document, error) {
	if !utf8.Valid(data) {
		return Document{}, fmt.Errorf("parse filter: %w: it is not UTF-8", ErrInvalid)
	}
	p := parser{json.NewDecoder(bytes.NewReader(data))}
	raw, err := p.document()
	if err != nil {
		if !errors.Is(err, ErrInvalid) {
			err = fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		return Document{}, fmt.Errorf("parse filter: %w", err)
	}
	return Document{raw}, nil
}

// ParseFilter reads a filter in the grammar of S3 Vectors. Where AWS is silent it
// takes the reading that its emulators share: $ne and $nin also match what lacks
// the key, an order matches no list, and $startsWith one element of a list.
func ParseFilter(data []byte) (Filter, error) {
	d, err := ParseDocument(data)
	if err != nil {
		return Filter{}, err
	}
	return d.Filter(), nil
}

// Filter returns d in the reading of [ParseFilter].
func (d Document) Filter() Filter { return widened(d.raw) }

func widened(f Filter) Filter {
	switch f.Op {
	case OpNotEqual, OpNotIn:
		return OrMissing(f)
	case OpAnd, OpOr:
		of := make([]Filter, len(f.Of))
		for i, g := range f.Of {
			of[i] = widened(g)
		}
		return Filter{Op: f.Op, Of: of}
	}
	return f
}

// Constraints returns how many of [MaxConstraints] d takes: one for each value it
// compares with. How S3 Vectors counts operators other than $in is not documented.
func (d Document) Constraints() int { return constraints(d.raw) }

func constraints(f Filter) int {
	n := max(1, len(f.Values))
	if f.Op == OpAnd || f.Op == OpOr {
		n = 0
	}
	for _, g := range f.Of {
		n += constraints(g)
	}
	return n
}

// Uses reports whether d has the operator op anywhere.
func (d Document) Uses(op Op) bool { return uses(d.raw, op) }

func uses(f Filter, ops ...Op) bool {
	return slices.Contains(ops, f.Op) || slices.ContainsFunc(f.Of, func(g Filter) bool { return uses(g, ops...) })
}

// Validate reports an error that matches [ErrInvalid] if d names a key that an
// index with this schema does not filter on.
func (d Document) Validate(s Schema) error {
	s.Reserved.FilterDepth = MaxFilterDepth - maxDocumentDepth
	return d.raw.Validate(s)
}

// A parser reads documents token by token, because a map would lose the second of
// two equal keys.
type parser struct{ *json.Decoder }

func (p parser) document() (Filter, error) {
	if err := p.delim('{', "a filter is an object"); err != nil {
		return Filter{}, err
	}
	f, err := p.fields(0)
	if err != nil {
		return Filter{}, err
	}
	if _, err := p.Token(); !errors.Is(err, io.EOF) {
		return Filter{}, fmt.Errorf("%w: there is something after the filter", ErrInvalid)
	}
	return f, nil
}

func (p parser) delim(want json.Delim, rule string) error {
	token, err := p.Token()
	if err != nil {
		return err
	}
	if token != want {
		return fmt.Errorf("%w: %s, not %.80v", ErrInvalid, rule, token)
	}
	return nil
}

// members reads what is left of an object whose brace is read, and joins what
// read makes of each member.
func (p parser) members(empty string, read func(name string) (Filter, error)) (Filter, error) {
	var of []Filter
	seen := map[string]bool{}
	for p.More() {
		token, err := p.Token()
		if err != nil {
			return Filter{}, err
		}
		name, _ := token.(string)
		if seen[name] {
			return Filter{}, fmt.Errorf("%w: %.80q is there twice", ErrInvalid, name)
		}
		seen[name] = true
		f, err := read(name)
		if err != nil {
			return Filter{}, err
		}
		of = append(of, f)
	}
	if _, err := p.Token(); err != nil {
		return Filter{}, err
	}
	if len(of) == 0 {
		return Filter{}, fmt.Errorf("%w: %s", ErrInvalid, empty)
	}
	return And(of...), nil
}

func (p parser) fields(depth int) (Filter, error) {
	if depth > maxDocumentDepth {
		return Filter{}, fmt.Errorf("%w: it nests deeper than %d", ErrInvalid, maxDocumentDepth)
	}
	return p.members("an empty object is no filter; leave it out to select all", func(name string) (Filter, error) {
		switch {
		case name == "$and" || name == "$or":
			return p.join(Op(name[1:]), depth)
		case name == "" || strings.HasPrefix(name, "$"):
			return Filter{}, fmt.Errorf("%w: %.80q stands where a key does, $and or $or", ErrInvalid, name)
		}
		return p.condition(name)
	})
}

func (p parser) join(op Op, depth int) (Filter, error) {
	rule := fmt.Sprintf("$%s takes a list of filters, at least one", op)
	if err := p.delim('[', rule); err != nil {
		return Filter{}, err
	}
	joined := Filter{Op: op}
	for p.More() {
		if err := p.delim('{', rule); err != nil {
			return Filter{}, err
		}
		f, err := p.fields(depth + 1)
		if err != nil {
			return Filter{}, err
		}
		joined.Of = append(joined.Of, f)
	}
	if _, err := p.Token(); err != nil {
		return Filter{}, err
	}
	if len(joined.Of) == 0 {
		return Filter{}, fmt.Errorf("%w: %s", ErrInvalid, rule)
	}
	return joined, nil
}

func (p parser) condition(key string) (Filter, error) {
	token, err := p.Token()
	if err != nil {
		return Filter{}, err
	}
	if token == json.Delim('{') {
		return p.members(fmt.Sprintf("there is no operator on %.80q", key), func(name string) (Filter, error) { return p.operator(key, name) })
	}
	value, err := scalar(token, key)
	return Filter{Op: OpEqual, Key: key, Values: []any{value}}, err
}

func scalar(token json.Token, key string) (any, error) {
	switch token.(type) {
	case string, float64, bool:
		return token, nil
	}
	return nil, fmt.Errorf("%w: %v as a value of %.80q: a string, number or boolean", ErrInvalid, token, key)
}

// operator reads the operand of one operator on key.
func (p parser) operator(key, name string) (Filter, error) {
	f := Filter{Op: Op(strings.TrimPrefix(name, "$")), Key: key}
	if !strings.HasPrefix(name, "$") || f.Op == OpAnd || f.Op == OpOr || f.Op == OpMissing {
		return Filter{}, unknownOperator(key, name)
	}
	token, err := p.Token()
	if err != nil {
		return Filter{}, err
	}
	switch f.Op {
	case OpIn, OpNotIn:
		return p.values(f, token)
	case OpExists:
		there, ok := token.(bool)
		if !ok {
			return Filter{}, fmt.Errorf("%w: $exists on %.80q takes true or false", ErrInvalid, key)
		}
		if !there {
			return Missing(key), nil
		}
		return f, nil
	}
	value, err := scalar(token, key)
	if err != nil {
		return Filter{}, err
	}
	f.Values = []any{value}
	switch f.Op {
	case OpEqual, OpNotEqual, OpLess, OpAtMost, OpMore, OpAtLeast, OpStartsWith:
		return f, f.validateOperands()
	}
	return Filter{}, unknownOperator(key, name)
}

func unknownOperator(key, name string) error {
	return fmt.Errorf("%w: %.80q on %.80q: the operators are $eq $ne $gt $gte $lt $lte $in $nin $exists $startsWith", ErrInvalid, name, key)
}

func (p parser) values(f Filter, token json.Token) (Filter, error) {
	rule := fmt.Errorf("%w: $%s on %.80q takes a list of strings, numbers or booleans, at least one", ErrInvalid, f.Op, f.Key)
	if token != json.Delim('[') {
		return Filter{}, rule
	}
	for p.More() {
		token, err := p.Token()
		if err != nil {
			return Filter{}, err
		}
		value, err := scalar(token, f.Key)
		if err != nil {
			return Filter{}, err
		}
		f.Values = append(f.Values, value)
	}
	if _, err := p.Token(); err != nil {
		return Filter{}, err
	}
	if len(f.Values) == 0 {
		return Filter{}, rule
	}
	return f, nil
}
