package vectors

import (
	"fmt"
	"slices"
	"strings"
)

// An Ambiguity is a condition that AWS does not say the meaning of for some
// vector: services that keep to its documentation may differ.
type Ambiguity struct {
	Op  Op
	Key string
	// Missing is set if the vector lacks Key, else its value is a list.
	Missing bool
}

// String says what is open and how to write what was meant.
func (a Ambiguity) String() string {
	if a.Missing {
		return fmt.Sprintf("$%s on %q, which is missing: add {%q:{\"$exists\":true}} by $and, or {%q:{\"$exists\":false}} by $or", a.Op, a.Key, a.Key, a.Key)
	}
	return fmt.Sprintf("$%s on %q, which is a list: keep what is compared so under a key that has no lists", a.Op, a.Key)
}

// Ambiguities returns the conditions of d that AWS leaves open for m, if d selects
// m in one reading of them and not in another; else none.
//
// What is open: $ne and $nin on a key that m lacks, which match it or not, and
// $gt, $gte, $lt, $lte and $startsWith on a list, which match if one element does,
// or never. What [Filter.JSON] writes is open on lists at most.
func (d Document) Ambiguities(m Metadata) []Ambiguity {
	var open []Ambiguity
	if read(d.raw, m, &open) != maybe {
		return nil
	}
	return open
}

// truth has the order that makes And the least and Or the greatest.
type truth int8

const (
	never truth = iota
	maybe
	always
)

// read evaluates f for m and adds what is open to open.
func read(f Filter, m Metadata, open *[]Ambiguity) truth {
	if f.Op == OpAnd || f.Op == OpOr {
		all := make([]truth, len(f.Of))
		for i, g := range f.Of {
			all[i] = read(g, m, open)
		}
		if f.Op == OpAnd {
			return slices.Min(all)
		}
		return slices.Max(all)
	}
	value, there := m[f.Key]
	list, isList := value.([]any)
	differs := f.Op == OpNotEqual || f.Op == OpNotIn
	ordered := f.Op == OpLess || f.Op == OpAtMost || f.Op == OpMore || f.Op == OpAtLeast || f.Op == OpStartsWith
	switch {
	case differs && !there:
		*open = append(*open, Ambiguity{f.Op, f.Key, true})
		return maybe
	case ordered && isList && slices.ContainsFunc(list, func(v any) bool { return f.Match(Metadata{f.Key: v}) }):
		*open = append(*open, Ambiguity{f.Op, f.Key, false})
		return maybe
	}
	if f.Match(m) {
		return always
	}
	return never
}

// OpenOnLists reports whether f has an operator whose meaning on lists AWS does
// not document. A backend looks at what such a query yields.
func (f Filter) OpenOnLists() bool {
	return uses(f, OpLess, OpAtMost, OpMore, OpAtLeast, OpStartsWith, OpNotEqual, OpNotIn)
}

// Simplified returns a filter that selects the same as f, has no operator without
// operands, and is [Or] of nothing if it selects nothing.
func (f Filter) Simplified() Filter {
	switch {
	case f.Op == OpIn && len(f.Values) == 0:
		return Or()
	case f.Op == OpNotIn && len(f.Values) == 0:
		return Exists(f.Key)
	case f.Op != OpAnd && f.Op != OpOr:
		return f
	}
	var of []Filter
	for _, g := range f.Of {
		g = g.Simplified()
		switch {
		case !g.IsNone():
			of = append(of, g)
		case f.Op == OpAnd:
			return Or()
		}
	}
	if f.Op == OpAnd {
		return And(of...)
	}
	return Or(of...)
}

// IsNone reports whether f is [Or] of nothing.
func (f Filter) IsNone() bool { return f.Op == OpOr && len(f.Of) == 0 }

// JSON returns f in the grammar of S3 Vectors, in a form that leaves nothing open
// but what no form can say; see [Document.Ambiguities]. A filter that selects all
// or nothing has no form there and is [ErrInvalid], as is one that is not valid.
func (f Filter) JSON() ([]byte, error) {
	err := f.Validate(Schema{})
	f = f.Simplified()
	if err == nil && (f.IsZero() || f.IsNone()) {
		err = fmt.Errorf("%w: a filter that selects all or nothing has no form in JSON", ErrInvalid)
	}
	if err != nil {
		return nil, fmt.Errorf("write filter: %w", err)
	}
	return appendFilter(nil, f), nil
}

func appendFilter(out []byte, f Filter) []byte {
	switch f.Op {
	case OpAnd, OpOr:
		out = append(out, `{"$`+string(f.Op)+`":[`...)
		for i, g := range f.Of {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendFilter(out, g)
		}
		return append(out, "]}"...)
	case OpNotEqual, OpNotIn:
		out = append(out, `{"$and":[`...)
		out = appendCondition(out, Exists(f.Key))
		out = append(out, ',')
		return append(appendCondition(out, f), "]}"...)
	}
	return appendCondition(out, f)
}

func appendCondition(out []byte, f Filter) []byte {
	out = AppendValue(append(out, '{'), f.Key)
	switch f.Op {
	case OpExists, OpMissing:
		return append(append(append(out, `:{"$exists":`...), strings.ToLower(fmt.Sprint(f.Op == OpExists))...), "}}"...)
	case OpIn, OpNotIn:
		out = append(out, `:{"$`+string(f.Op)+`":`...)
		return append(AppendValue(out, f.Values), "}}"...)
	}
	out = append(out, `:{"$`+string(f.Op)+`":`...)
	return append(AppendValue(out, f.Values[0]), "}}"...)
}
