// Code generated from ../adk/state.go by go test -update; DO NOT EDIT.

package adkv1

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"google.golang.org/adk/session"

	"github.com/genaistore/genaistore/memory"
)

// split sorts the kit's prefixed keys into the three states and what is not stored.
func split(in map[string]any) (s memory.States, temp map[string]any, err error) {
	temp = map[string]any{}
	put := func(to *memory.State, key string, v any) {
		if *to == nil {
			*to = memory.State{}
		}
		(*to)[key] = v
	}
	for k, v := range in {
		if isTemp(k) {
			temp[k] = v
			continue
		}
		if v, err = plain(v); err != nil {
			return memory.States{}, nil, fmt.Errorf("state %q: %w", k, err)
		}
		if name, ok := strings.CutPrefix(k, session.KeyPrefixApp); ok {
			put(&s.App, name, v)
		} else if name, ok := strings.CutPrefix(k, session.KeyPrefixUser); ok {
			put(&s.User, name, v)
		} else {
			put(&s.Session, k, v)
		}
	}
	return s, temp, nil
}

// join is the inverse of split.
func join(s memory.States) map[string]any {
	out := map[string]any{}
	for k, v := range s.App {
		out[session.KeyPrefixApp+k] = v
	}
	for k, v := range s.User {
		out[session.KeyPrefixUser+k] = v
	}
	maps.Copy(out, s.Session)
	return out
}

func isTemp(key string) bool { return strings.HasPrefix(key, session.KeyPrefixTemp) }

// withoutTemp returns delta, or a copy without the keys that are not stored.
func withoutTemp(delta map[string]any) map[string]any {
	out := maps.Clone(delta)
	maps.DeleteFunc(out, func(k string, _ any) bool { return isTemp(k) })
	return out
}

// plain returns v in the types that a memory.State takes. The kit's states hold any
// Go value; those that are not of these types go through JSON, as they would in the
// kit's own database.
func plain(v any) (any, error) {
	if s, err := (memory.State{"v": v}).Normal(); err == nil {
		return s["v"], nil
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", memory.ErrInvalid, err)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber() // a float64 would hide that an integer is too large for it
	var out any     // not v, which may be a pointer that Decode would follow
	if err := dec.Decode(&out); err != nil {
		return nil, fmt.Errorf("%w: %w", memory.ErrInvalid, err)
	}
	return numbers(out)
}

// numbers replaces each json.Number in v by an int64 or a float64.
func numbers(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case json.Number:
		return number(v)
	case []any:
		for i := range v {
			if v[i], err = numbers(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k := range v {
			if v[k], err = numbers(v[k]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

func number(n json.Number) (any, error) {
	if i, err := n.Int64(); err == nil {
		return i, nil // the store refuses it if a float64 does not hold it
	}
	f, err := n.Float64()
	if err != nil || !strings.ContainsAny(n.String(), ".eE") {
		return nil, fmt.Errorf("%w: number %s is not exact in JSON: use a string", memory.ErrInvalid, n)
	}
	return f, nil
}
