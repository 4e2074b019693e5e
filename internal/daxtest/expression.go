package daxtest

import (
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Operators of the client's expressions.
const (
	opEqual = iota
	opNotEqual
	opLess
	opGreaterOrEqual
	opGreater
	opLessOrEqual
	opAnd
	opOr
	opNot
	opBetween
	opIn
	opAttributeExists
	opAttributeNotExists
	opAttributeType
	opBeginsWith
	opContains
	opSize
	opVariable
	opPath
	opSet
	opAdd
	opDelete
	opRemove
	opIfNotExists
	opListAppend
	opPlus
	opMinus
)

var opText = map[int64]string{
	opEqual: " = ", opNotEqual: " <> ", opLess: " < ", opGreaterOrEqual: " >= ", opGreater: " > ", opLessOrEqual: " <= ",
	opPlus: " + ", opMinus: " - ", opAnd: " AND ", opOr: " OR ", opSet: " = ", opAdd: " ", opDelete: " ",
	opAttributeExists: "attribute_exists", opAttributeNotExists: "attribute_not_exists", opAttributeType: "attribute_type",
	opBeginsWith: "begins_with", opContains: "contains", opSize: "size", opIfNotExists: "if_not_exists", opListAppend: "list_append",
}

// An operation of an expression's tree.
type operation struct {
	op       int64
	variable int64
	path     path
	operands []*operation
	list     []*operation // the second operand of IN
}

// A path leads to an attribute, or into one.
type path []step

type step struct {
	name  string
	index int // negative for a name
}

func (r *reader) operation() (*operation, error) {
	n := &operation{}
	err := r.each(majorArray, func(i int) (err error) {
		switch {
		case i == 0:
			n.op, err = r.int()
		case n.op == opVariable:
			n.variable, err = r.int()
		case n.op == opPath:
			var s step
			s, err = r.step()
			n.path = append(n.path, s)
		case n.op == opIn && i == 2:
			err = r.each(majorArray, func(int) error {
				c, err := r.operation()
				n.list = append(n.list, c)
				return err
			})
		default:
			var c *operation
			c, err = r.operation()
			n.operands = append(n.operands, c)
		}
		return err
	})
	return n, err
}

func (r *reader) step() (step, error) {
	h, err := r.peek()
	if err != nil {
		return step{}, err
	}
	if h>>5 == majorText {
		name, err := r.text()
		return step{name, -1}, err
	}
	tag, err := r.want(majorTag)
	if err != nil {
		return step{}, err
	}
	index, err := r.int()
	if err == nil && (tag.value != tagOrdinal || index < 0 || index >= maxElements) {
		err = fmt.Errorf("a path with tag %d and index %d", tag.value, index)
	}
	return step{"", int(index)}, err
}

// encodingVersion reads what begins an expression of n parts.
func (r *reader) encodingVersion(parts uint64) error {
	if err := r.array(parts); err != nil {
		return err
	}
	v, err := r.int()
	if err == nil && v != 1 {
		err = fmt.Errorf("an expression in encoding %d", v)
	}
	return err
}

// expressions writes the expressions of a request as text again. They share names
// and values, so that each is one map in the end.
type expressions struct {
	names  map[string]string // placeholder to name
	values item
	count  int
}

func (e *expressions) name(name string) string {
	for p, n := range e.names {
		if n == name {
			return p
		}
	}
	if e.names == nil {
		e.names = map[string]string{}
	}
	p := "#n" + strconv.Itoa(len(e.names))
	e.names[p] = name
	return p
}

func (e *expressions) path(p path) string {
	var b strings.Builder
	for i, s := range p {
		switch {
		case s.index >= 0:
			fmt.Fprintf(&b, "[%d]", s.index)
		case i > 0:
			b.WriteString("." + e.name(s.name))
		default:
			b.WriteString(e.name(s.name))
		}
	}
	return b.String()
}

// condition is a condition, a filter or a key condition; nil for none.
func (e *expressions) condition(encoded []byte) (*string, error) {
	if encoded == nil {
		return nil, nil
	}
	r := newBytesReader(encoded)
	if err := r.encodingVersion(3); err != nil {
		return nil, err
	}
	n, err := r.operation()
	if err != nil {
		return nil, err
	}
	prefix := e.next()
	if err := e.variables(r, prefix); err != nil {
		return nil, err
	}
	text, err := e.text(n, prefix)
	return &text, err
}

// update writes the clauses of an update in their order; nil for none.
func (e *expressions) update(encoded []byte) (*string, error) {
	if encoded == nil {
		return nil, nil
	}
	r := newBytesReader(encoded)
	if err := r.encodingVersion(3); err != nil {
		return nil, err
	}
	prefix := e.next()
	clauses := map[int64][]string{}
	err := r.each(majorArray, func(int) error {
		n, err := r.operation()
		if err != nil {
			return err
		}
		text, err := e.text(n, prefix)
		clauses[n.op] = append(clauses[n.op], text)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := e.variables(r, prefix); err != nil {
		return nil, err
	}
	var out []string
	for _, c := range []struct {
		op   int64
		word string
	}{{opSet, "SET "}, {opRemove, "REMOVE "}, {opAdd, "ADD "}, {opDelete, "DELETE "}} {
		if l := clauses[c.op]; len(l) > 0 {
			out = append(out, c.word+strings.Join(l, ", "))
			delete(clauses, c.op)
		}
	}
	for op := range maps.Keys(clauses) {
		return nil, fmt.Errorf("an update with operator %d", op)
	}
	text := strings.Join(out, " ")
	return &text, nil
}

// next is the prefix of the values of one more expression: each numbers its own
// from zero.
func (e *expressions) next() string {
	e.count++
	return ":v" + strconv.Itoa(e.count) + "_"
}

func (e *expressions) variables(r *reader, prefix string) error {
	return r.each(majorArray, func(i int) error {
		v, err := r.value()
		if e.values == nil {
			e.values = item{}
		}
		e.values[prefix+strconv.Itoa(i)] = v
		return err
	})
}

func (e *expressions) text(n *operation, prefix string) (string, error) {
	switch n.op {
	case opVariable:
		return prefix + strconv.FormatInt(n.variable, 10), nil
	case opPath:
		return e.path(n.path), nil
	}
	operands := make([]string, len(n.operands))
	for i, o := range n.operands {
		text, err := e.text(o, prefix)
		if err != nil {
			return "", err
		}
		// OR binds less than AND, and both less than NOT.
		if n.op == opAnd && o.op == opOr || n.op == opNot && (o.op == opAnd || o.op == opOr) {
			text = "(" + text + ")"
		}
		operands[i] = text
	}
	switch n.op {
	case opAttributeExists, opAttributeNotExists, opAttributeType, opBeginsWith, opContains, opSize, opIfNotExists, opListAppend:
		return opText[n.op] + "(" + strings.Join(operands, ", ") + ")", nil
	}
	if want, ok := arity[n.op]; !ok || want != len(operands) {
		return "", fmt.Errorf("an expression of operator %d and %d operands", n.op, len(operands))
	}
	switch n.op {
	case opRemove:
		return operands[0], nil
	case opNot:
		return "NOT " + operands[0], nil
	case opBetween:
		return operands[0] + " BETWEEN " + operands[1] + " AND " + operands[2], nil
	case opIn:
		list := make([]string, len(n.list))
		for i, c := range n.list {
			var err error
			if list[i], err = e.text(c, prefix); err != nil {
				return "", err
			}
		}
		return operands[0] + " IN (" + strings.Join(list, ", ") + ")", nil
	}
	return operands[0] + opText[n.op] + operands[1], nil
}

var arity = map[int64]int{
	opEqual: 2, opNotEqual: 2, opLess: 2, opGreaterOrEqual: 2, opGreater: 2, opLessOrEqual: 2, opPlus: 2, opMinus: 2,
	opAnd: 2, opOr: 2, opSet: 2, opAdd: 2, opDelete: 2, opNot: 1, opRemove: 1, opIn: 1, opBetween: 3,
}

// projection is the paths of a projection; nil for none. It is not sent on: an
// index of a list means another element in what DynamoDB has projected.
func projection(encoded []byte) ([]path, error) {
	if encoded == nil {
		return nil, nil
	}
	r := newBytesReader(encoded)
	if err := r.encodingVersion(2); err != nil {
		return nil, err
	}
	paths := []path{}
	err := r.each(majorArray, func(int) error {
		n, err := r.operation()
		if err == nil && n.op != opPath {
			err = errors.New("a projection of what is no path")
		}
		paths = append(paths, n.path)
		return err
	})
	return paths, err
}

// in returns what p leads to in a whole item, or nil.
func (p path) in(it item) types.AttributeValue {
	var v types.AttributeValue = &types.AttributeValueMemberM{Value: it}
	for _, s := range p {
		switch c := v.(type) {
		case *types.AttributeValueMemberM:
			v = c.Value[s.name]
		case *types.AttributeValueMemberL:
			if s.index < 0 || s.index >= len(c.Value) {
				return nil
			}
			v = c.Value[s.index]
		default:
			return nil
		}
	}
	return v
}
