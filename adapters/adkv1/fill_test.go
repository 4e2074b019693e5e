// Code generated from ../adk/fill_test.go by go test -update; DO NOT EDIT.

package adkv1_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/adk/session"

	"github.com/genaistore/genaistore/adapters/adkv1"
	"github.com/genaistore/genaistore/memory"
)

// fill sets what is v, and all in it that is exported, to something that is not zero
// and that JSON can hold. Types that contain themselves end at depth 0.
func fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(7)
		if v.Type() == reflect.TypeFor[time.Duration]() {
			v.SetInt(int64(7 * time.Second)) // the kit's JSON has whole seconds
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(7)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(0.5)
	case reflect.String:
		v.SetString("x")
	case reflect.Interface:
		if v.NumMethod() == 0 {
			v.Set(reflect.ValueOf(map[string]any{"n": 1.5, "empty": map[string]any{}, "nil": nil, "list": []any{"x", true}}))
		}
	case reflect.Pointer:
		if depth > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), depth-1)
		}
	case reflect.Slice:
		if depth > 1 { // else its elements would be nil
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			fill(v.Index(0), depth-1)
			fill(v.Index(1), depth-1)
		}
	case reflect.Map:
		if depth > 1 {
			element := reflect.New(v.Type().Elem()).Elem()
			fill(element, depth-1)
			v.Set(reflect.MakeMap(v.Type()))
			v.SetMapIndex(reflect.ValueOf("key").Convert(v.Type().Key()), element)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))
			return
		}
		for field, value := range v.Fields() {
			// A schema is an expression of other rules than its fields'.
			if field.IsExported() && field.Type.String() != "*jsonschema.Schema" {
				fill(value, depth)
			}
		}
	}
}

// Fields that the kit gets one day are stored too, or this test fails.
func TestEveryFieldComesBack(t *testing.T) {
	for depth := range 7 {
		var event session.Event
		fill(reflect.ValueOf(&event).Elem(), depth)
		event.Partial = false // partial events are not stored
		s := adkv1.NewSessions(new(memory.InMemory), nil)
		live := create(t, s, "s", nil)
		require.NoError(t, s.AppendEvent(t.Context(), live, &event), "depth %d", depth)
		require.Empty(t, cmp.Diff(&event, get(t, s).Events().At(0)), "depth %d", depth)
	}
}
