package artifacts_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
)

func TestAFoldGoesOnWhereItsLogWas(t *testing.T) {
	log, _ := planned(t)
	r, err := log.Plan(artifacts.Record{ID: "x", Changes: []artifacts.Change{artifacts.Pin{Version: 1, By: "me"}, artifacts.Delete{Version: 2}}}, nil)
	require.NoError(t, err)
	require.NoError(t, log.Append(r, nil))
	text, err := json.Marshal(log)
	require.NoError(t, err)
	var back artifacts.Log
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, log.Last(), back.Last())
	require.Equal(t, log.Next(), back.Next())
	_, _, err = back.Published("px")
	require.NoError(t, err)
	_, err = back.Resolve(artifacts.Ref{Number: 2})
	require.ErrorIs(t, err, artifacts.ErrNotFound)

	// What both plan next is the same, and a rollback remembers the past.
	for _, changes := range [][]artifacts.Change{{artifacts.Rollback{Alias: "live", Reason: "worse"}}, {artifacts.Unpin{Version: 1, By: "me"}}} {
		want, err := log.Plan(artifacts.Record{ID: "y", Changes: changes}, nil)
		require.NoError(t, err)
		got, err := back.Plan(artifacts.Record{ID: "y", Changes: changes}, nil)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	again, err := json.Marshal(&back)
	require.NoError(t, err)
	require.JSONEq(t, string(text), string(again))
}

func TestAFoldThatNoLogHasIsCorrupt(t *testing.T) {
	log, _ := planned(t)
	text, err := json.Marshal(log)
	require.NoError(t, err)
	for what, change := range map[string][2]string{
		"a field nobody knows":          {`"Last":`, `"Next":1,"Last":`},
		"another newest record":         {`"seq":3`, `"seq":4`},
		"a version out of its place":    {`"Number":2`, `"Number":7`},
		"a publication twice":           {`"Publish":"px"`, `"Publish":"p"`},
		"a version after its log":       {`"Seq":2`, `"Seq":9`},
		"an alias at no version":        {`"Aliases":{"live":3}`, `"Aliases":{"live":9}`},
		"an alias its version lacks":    {`"Aliases":{"live":3}`, `"Aliases":{"live":1}`},
		"an alias that was at no place": {`"Past":{"live":[1,2]}`, `"Past":{"live":[1,8]}`},
		"half of it":                    {`,"Past"`, ``},
	} {
		spoiled := strings.Replace(string(text), change[0], change[1], 1)
		require.NotEqual(t, string(text), spoiled, what)
		var back artifacts.Log
		err := back.UnmarshalJSON([]byte(spoiled))
		require.ErrorIs(t, err, artifacts.ErrCorrupt, what)
		require.Zero(t, back.Last().Seq)
	}
	back := *log
	require.ErrorIs(t, back.UnmarshalJSON([]byte(`{`)), artifacts.ErrCorrupt)
	require.Equal(t, int64(3), back.Last().Seq)
}
