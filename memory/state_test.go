package memory_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/memory"
)

func TestNormalOfNilAndEmpty(t *testing.T) {
	n, err := memory.State(nil).Normal()
	require.NoError(t, err)
	require.Nil(t, n)
	n, err = memory.State{"l": []any(nil), "m": map[string]any(nil), "s": memory.State(nil)}.Normal()
	require.NoError(t, err)
	require.Equal(t, memory.State{"l": []any{}, "m": map[string]any{}, "s": map[string]any{}}, n)

	d, err := memory.Delta{Unset: memory.Unset{User: []string{}}}.Normal()
	require.NoError(t, err)
	require.Equal(t, memory.Delta{Unset: memory.Unset{User: []string{}}}, d)
}

func TestApplyLeavesItsArguments(t *testing.T) {
	s, set := memory.State{"a": 1, "b": 1}, memory.State{"b": 2, "c": 2}
	require.Equal(t, memory.State{"a": 1, "b": 2}, s.Apply(set, []string{"c", "d"}))
	require.Equal(t, memory.State{"a": 1, "b": 1}, s)
	require.Equal(t, memory.State{"b": 2, "c": 2}, set)
	require.Equal(t, memory.State{}, memory.State(nil).Apply(nil, nil))
}

func TestTheSizeOfAState(t *testing.T) {
	fits := strings.Repeat("x", memory.MaxState-len(`{"k":""}`))
	_, err := memory.State{"k": fits}.Normal()
	require.NoError(t, err)
	_, err = memory.State{"k": fits + "x"}.Normal()
	require.ErrorIs(t, err, memory.ErrInvalid)
	require.ErrorContains(t, err, "262145")
}

// What encoding/json decodes is normal already, unless it breaks a limit; and what
// Normal returns survives a round trip through JSON.
func FuzzNormal(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":null,"c":-0.0}],"d":"\u0000","e":{}}`))
	f.Add([]byte(`{"":1}`))
	f.Add([]byte(`{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var s memory.State
		if json.Unmarshal(raw, &s) != nil {
			return
		}
		before, err := json.Marshal(s)
		require.NoError(t, err)
		n, err := s.Normal()
		if err != nil {
			require.ErrorIs(t, err, memory.ErrInvalid)
			return
		}
		require.True(t, reflect.DeepEqual(s, n), "not the same: %s", before)
		after, err := json.Marshal(n)
		require.NoError(t, err)
		require.Equal(t, string(before), string(after))
	})
}
