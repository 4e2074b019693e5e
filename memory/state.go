package memory

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"unicode/utf8"
)

// State is what is known beside the log, a value a key. Keys are 1 to 1024 bytes of
// UTF-8. Values are nil, string, float64, bool, []any and map[string]any of these, as
// encoding/json decodes them, at most [MaxNesting] deep; every other number type is
// accepted and comes back as float64, also from the in-memory store. Integers that a
// float64 cannot hold, beyond 2^53, NaN and infinities are ErrInvalid. Empty lists and
// maps come back empty, not nil.
type State map[string]any

// States are the three states that a session sees. They are separate: no key
// prefix decides where a value lives.
type States struct {
	Session, User, App State
}

// A Delta changes States: Set is merged over what is there, then Unset removes.
// A nil value is a value; only Unset removes. A key is merged whole: a map in Set
// replaces the map that was there.
type Delta struct {
	Set   States
	Unset Unset
}

// Unset names keys to remove from each state.
type Unset struct {
	Session, User, App []string
}

// Validate reports an error that matches [ErrInvalid] unless d can be stored.
func (d Delta) Validate() error {
	_, err := d.Normal()
	return err
}

// Normal returns a copy of d with every value in the types that [State] names,
// or an error that matches [ErrInvalid]. A store keeps the result.
func (d Delta) Normal() (Delta, error) {
	for _, s := range []*State{&d.Set.Session, &d.Set.User, &d.Set.App} {
		var err error
		if *s, err = s.Normal(); err != nil {
			return Delta{}, err
		}
	}
	for _, keys := range []*[]string{&d.Unset.Session, &d.Unset.User, &d.Unset.App} {
		for _, k := range *keys {
			if err := checkStateKey(k); err != nil {
				return Delta{}, err
			}
		}
		if *keys != nil {
			*keys = append([]string{}, *keys...)
		}
	}
	return d, nil
}

// Apply returns s after the Set and Unset of one state of a [Delta]: a new map
// that shares values with its arguments.
func (s State) Apply(set State, unset []string) State {
	out := make(State, len(s)+len(set))
	maps.Copy(out, s)
	maps.Copy(out, set)
	for _, k := range unset {
		delete(out, k)
	}
	return out
}

// Normal returns a deep copy of s with every value in the types that [State]
// names. It is nil for nil. An error matches [ErrInvalid]: a value of another
// type, or more than [MaxState] bytes as JSON.
func (s State) Normal() (State, error) {
	out, err := s.normalValues()
	if err == nil && len(out) > 0 {
		err = out.checkSize()
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// normalValues is Normal for a state of any size, as Appends may have made it.
func (s State) normalValues() (State, error) {
	if s == nil {
		return nil, nil //nolint:nilnil // nil is the normal form of nil
	}
	out := make(State, len(s))
	for k, v := range s {
		err := checkStateKey(k)
		if err == nil {
			out[k], err = normal(v)
		}
		if err != nil {
			return nil, fmt.Errorf("state %q: %w", k, err)
		}
	}
	return out, nil
}

func (s State) checkSize() error {
	raw, err := json.Marshal(map[string]any(s))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if len(raw) > MaxState {
		return fmt.Errorf("%w: a state of %d bytes of JSON: at most %d", ErrInvalid, len(raw), MaxState)
	}
	return nil
}

func checkStateKey(k string) error {
	if k == "" {
		return fmt.Errorf("%w: a state key is empty", ErrInvalid)
	}
	return checkText("state key", k, 1024)
}

// mostValues is more values than fit into any state. What refers to itself, or to one
// list many times at each level, has more.
const mostValues = 1 << 20

// normal returns v as encoding/json would decode it.
func normal(v any) (any, error) { return (&normalizer{left: mostValues}).value(v, 0) }

type normalizer struct{ left int }

func (n *normalizer) value(v any, depth int) (any, error) {
	if depth > MaxNesting {
		return nil, fmt.Errorf("%w: values nest deeper than %d", ErrInvalid, MaxNesting)
	}
	if n.left--; n.left < 0 {
		return nil, fmt.Errorf("%w: more than %d values in one", ErrInvalid, mostValues)
	}
	switch v := v.(type) {
	case nil, bool:
		return v, nil
	case string:
		if !utf8.ValidString(v) {
			return nil, fmt.Errorf("%w: strings are UTF-8", ErrInvalid)
		}
		return v, nil
	case float64:
		return number(v)
	case []any:
		return n.list(v, depth+1)
	case State:
		return n.mapping(v, depth+1)
	case map[string]any:
		return n.mapping(v, depth+1)
	}
	switch r := reflect.ValueOf(v); {
	case r.CanInt() && -exact <= r.Int() && r.Int() <= exact:
		return float64(r.Int()), nil
	case r.CanUint() && r.Uint() <= exact:
		return float64(r.Uint()), nil
	case r.CanInt(), r.CanUint():
		return nil, fmt.Errorf("%w: an integer beyond 2^53 is not exact in JSON: use a string", ErrInvalid)
	case r.CanFloat():
		return number(r.Float())
	}
	return nil, fmt.Errorf("%w: a value of type %T: use nil, string, bool, a number, []any or map[string]any", ErrInvalid, v)
}

// exact bounds the integers that a float64 holds.
const exact = 1 << 53

func (n *normalizer) list(list []any, depth int) (any, error) {
	out := make([]any, len(list))
	for i := range list {
		var err error
		if out[i], err = n.value(list[i], depth); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (n *normalizer) mapping(values map[string]any, depth int) (any, error) {
	out := make(map[string]any, len(values))
	for k := range values {
		if !utf8.ValidString(k) {
			return nil, fmt.Errorf("%w: strings are UTF-8", ErrInvalid)
		}
		var err error
		if out[k], err = n.value(values[k], depth); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func number(f float64) (any, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fmt.Errorf("%w: number %v has no JSON form", ErrInvalid, f)
	}
	return f, nil
}
