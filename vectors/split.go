package vectors

import (
	"fmt"
	"slices"
)

// maxParts bounds what Split returns: each part is a query of its own.
const maxParts = 100

// Constraints returns how many of [MaxConstraints] f takes in the form of
// [Filter.JSON].
func (f Filter) Constraints() int {
	n := len(f.Values)
	switch f.Op {
	case OpNotEqual, OpNotIn:
		n++ // it is written with $exists
	case OpExists, OpMissing:
		n = 1
	}
	for _, g := range f.Of {
		n += g.Constraints()
	}
	return n
}

// Split returns filters of at most that many constraints which together select
// what f does; a vector may match several. An error matches [ErrInvalid]: a NotIn
// of more values than that cannot be split, nor an And of more conditions, and
// no filter into more than 100 parts.
func (f Filter) Split(most int) ([]Filter, error) {
	parts, err := f.Simplified().split(most, nil)
	if err != nil {
		return nil, fmt.Errorf("split a filter of %d constraints into parts of %d: %w", f.Constraints(), most, err)
	}
	return parts, nil
}

func (f Filter) split(most int, parts []Filter) ([]Filter, error) {
	if f.Constraints() <= most {
		if len(parts) == maxParts {
			return nil, fmt.Errorf("%w: it takes more than %d", ErrInvalid, maxParts)
		}
		return append(parts, f), nil
	}
	a, b, err := f.halves(most)
	if err != nil {
		return nil, err
	}
	if parts, err = a.split(most, parts); err != nil {
		return nil, err
	}
	return b.split(most, parts)
}

// halves returns two filters that together select what f does, with regard to
// the number of constraints that a part has room for.
func (f Filter) halves(room int) (a, b Filter, err error) {
	switch f.Op {
	case OpIn:
		half := len(f.Values) / 2
		if room > 0 && room < len(f.Values) { // whole parts, of which there are fewest
			half = room * (((len(f.Values)-1)/room + 2) / 2)
			half = min(half, len(f.Values)-1)
		}
		if half > 0 {
			return Filter{Op: OpIn, Key: f.Key, Values: f.Values[:half]}, Filter{Op: OpIn, Key: f.Key, Values: f.Values[half:]}, nil
		}
	case OpOr:
		if half := len(f.Of) / 2; half > 0 {
			return Or(f.Of[:half]...), Or(f.Of[half:]...), nil
		}
	case OpAnd:
		return f.halvesOfAnd(room)
	}
	return a, b, fmt.Errorf("%w: %q on %.80q cannot be split", ErrInvalid, f.Op, f.Key)
}

// halvesOfAnd halves the largest of what is joined that can be.
func (f Filter) halvesOfAnd(room int) (a, b Filter, err error) {
	largest, size := -1, 1
	for i, g := range f.Of {
		if _, _, err := g.halves(0); err == nil && g.Constraints() > size {
			largest, size = i, g.Constraints()
		}
	}
	if largest < 0 {
		return a, b, fmt.Errorf("%w: nothing in it can be split", ErrInvalid)
	}
	first, second, err := f.Of[largest].halves(room - f.Constraints() + size)
	if err != nil {
		return a, b, err
	}
	with := func(g Filter) Filter {
		of := slices.Clone(f.Of)
		of[largest] = g
		return And(of...)
	}
	return with(first), with(second), nil
}
