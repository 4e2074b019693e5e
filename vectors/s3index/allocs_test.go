package s3index

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/vectors"
)

// Most of what is left is the client's own.
func TestCallsAllocateLittle(t *testing.T) {
	if testing.CoverMode() != "" || raceEnabled() {
		t.Skip("instrumentation allocates")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	vs := documents(500)
	for _, nine := range []bool{false, true} {
		put := putBench(t, benchClient([]byte("{}")), nine)
		require.LessOrEqual(t, testing.AllocsPerRun(5, func() {
			_, err := put.Put(t.Context(), vectors.Of(vs...), nil)
			require.NoError(t, err)
		}), 1000.0)
	}

	body, keys := answerOf(vs[:100])
	get, err := New(benchClient(body), "bucket", "docs", nil)
	require.NoError(t, err)
	require.LessOrEqual(t, testing.AllocsPerRun(10, func() {
		_, err := get.Get(t.Context(), keys, &vectors.GetOptions{Fields: vectors.Everything})
		require.NoError(t, err)
	}), 1000.0)
}
