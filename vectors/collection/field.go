package collection

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/genaistore/genaistore/vectors"
)

// A field is one field of the struct.
type field struct {
	name      string
	place     int
	noFilter  bool
	omitEmpty bool
}

func fieldsOf[M any]() ([]field, error) {
	of := reflect.TypeFor[M]()
	if of.Kind() != reflect.Struct {
		return nil, fmt.Errorf("%w: metadata of type %s: it is a struct", vectors.ErrInvalid, of)
	}
	var fields []field
	for i := range of.NumField() {
		f, ok, err := parseField(of.Field(i), i)
		if err != nil {
			return nil, fmt.Errorf("field %s of %s: %w", of.Field(i).Name, of, err)
		}
		if !ok {
			continue
		}
		if slices.ContainsFunc(fields, func(g field) bool { return g.name == f.name }) {
			return nil, fmt.Errorf("field %s of %s: %w: there are two of the name %q", of.Field(i).Name, of, vectors.ErrInvalid, f.name)
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// parseField reads a tag. A field that is not stored is not ok.
func parseField(s reflect.StructField, place int) (f field, ok bool, err error) {
	name, rest, _ := strings.Cut(s.Tag.Get("vectors"), ",")
	switch {
	case name == "-":
		return field{}, false, nil
	case !s.IsExported() && name == "":
		return field{}, false, nil
	case !s.IsExported() || s.Anonymous:
		return field{}, false, fmt.Errorf("%w: a stored field is exported and not embedded", vectors.ErrInvalid)
	}
	f = field{name: name, place: place}
	if name == "" {
		f.name = s.Name
	}
	for option := range strings.SplitSeq(rest, ",") {
		switch option {
		case "":
		case "nofilter":
			f.noFilter = true
		case "omitempty":
			f.omitEmpty = true
		default:
			return field{}, false, fmt.Errorf("%w: option %q: nofilter or omitempty", vectors.ErrInvalid, option)
		}
	}
	of := s.Type
	if of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	switch k := of.Kind(); {
	case k == reflect.String, k == reflect.Bool, isNumber(k):
		return f, true, nil
	}
	return field{}, false, fmt.Errorf("%w: type %s: a string, bool, number or a slice of these", vectors.ErrInvalid, s.Type)
}

func isNumber(k reflect.Kind) bool {
	return k >= reflect.Int && k <= reflect.Float64 && k != reflect.Uintptr
}

func containsName(names []string, name string) bool { return slices.Contains(names, name) }

// encode returns m as metadata. The index says what of it is not valid.
func (c *Collection[M]) encode(m M) vectors.Metadata {
	value := reflect.ValueOf(m)
	out := make(vectors.Metadata, len(c.fields))
	for _, f := range c.fields {
		v := value.Field(f.place)
		if f.omitEmpty && (v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0) {
			continue
		}
		out[f.name] = v.Interface()
	}
	return out
}

// decode fills m. A field that is not in the metadata keeps its zero value.
func (c *Collection[M]) decode(from vectors.Metadata, m *M) error {
	into := reflect.ValueOf(m).Elem()
	for _, f := range c.fields {
		value, ok := from[f.name]
		if !ok {
			continue
		}
		if err := set(into.Field(f.place), value); err != nil {
			return fmt.Errorf("%q: %w", f.name, err)
		}
	}
	return nil
}

// set converts a value of metadata to the type of a field.
func set(into reflect.Value, value any) error {
	mismatch := fmt.Errorf("%w: stored is %T, the field is %s", vectors.ErrCorrupt, value, into.Type())
	switch v := value.(type) {
	case string:
		if into.Kind() != reflect.String {
			return mismatch
		}
		into.SetString(v)
	case bool:
		if into.Kind() != reflect.Bool {
			return mismatch
		}
		into.SetBool(v)
	case float64:
		return setNumber(into, v, mismatch)
	case []any:
		if into.Kind() != reflect.Slice {
			return mismatch
		}
		into.Set(reflect.MakeSlice(into.Type(), len(v), len(v)))
		for i, element := range v {
			if err := set(into.Index(i), element); err != nil {
				return err
			}
		}
	default:
		return mismatch
	}
	return nil
}

func setNumber(into reflect.Value, v float64, mismatch error) error {
	whole := v == math.Trunc(v) && math.Abs(v) <= 1<<53
	switch {
	case into.CanInt() && whole && !into.OverflowInt(int64(v)):
		into.SetInt(int64(v))
	case into.CanUint() && whole && v >= 0 && !into.OverflowUint(uint64(v)):
		into.SetUint(uint64(v))
	case into.CanFloat():
		into.SetFloat(v)
	default:
		return fmt.Errorf("%w: %v", mismatch, v)
	}
	return nil
}
