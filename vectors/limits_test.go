package vectors_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/vectors"
)

func TestSchemaValidate(t *testing.T) {
	names := func(n int) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprint("k", i))
		}
		return out
	}
	tags := func(n int) map[string]string {
		out := make(map[string]string)
		for i := range n {
			out[fmt.Sprint("k", i)] = "v"
		}
		return out
	}
	long := strings.Repeat("é", 256)
	good := []vectors.Schema{
		{},
		{Dimension: 1},
		{Dimension: 4096, Metric: vectors.Euclidean},
		{Metric: vectors.Cosine},
		{NonFilterable: names(10)},
		{NonFilterable: []string{long[:2*63]}},
		{Tags: tags(50)},
		{Tags: map[string]string{long[:2*128]: long}},
		{Tags: map[string]string{"a b_.:/=+-@1": ""}},
	}
	for _, s := range good {
		require.NoError(t, s.Validate(), "%.100v", s)
		_, err := vectors.NewInMemory(s)
		require.NoError(t, err)
	}
	bad := []vectors.Schema{
		{Dimension: -1},
		{Dimension: 4097},
		{Metric: "dot"},
		{Metric: "Cosine"},
		{NonFilterable: names(11)},
		{NonFilterable: []string{""}},
		{NonFilterable: []string{long[:2*64]}},
		{NonFilterable: []string{"a", "a"}},
		{NonFilterable: []string{"\xff"}},
		{Tags: tags(51)},
		{Tags: map[string]string{"": "v"}},
		{Tags: map[string]string{long[:2*129]: "v"}},
		{Tags: map[string]string{"k": long + "é"}},
		{Tags: map[string]string{"k": "a#b"}},
		{Tags: map[string]string{"k\n": "v"}},
		{Tags: map[string]string{"k": "\xff"}},
		{Tags: map[string]string{"AWS:k": "v"}},
	}
	for _, s := range bad {
		require.ErrorIs(t, s.Validate(), vectors.ErrInvalid, "%.100v", s)
		_, err := vectors.NewInMemory(s)
		require.ErrorIs(t, err, vectors.ErrInvalid)
	}
}

func TestScoreIsFrom0To1AndFallsWithDistance(t *testing.T) {
	cosine, euclidean := vectors.Schema{}, vectors.Schema{Metric: vectors.Euclidean}
	for distance, want := range map[float64]float64{0: 1, 1: 0.5, 2: 0, -1e-9: 1, 2.001: 0} {
		require.InDelta(t, want, cosine.Score(distance), 1e-12)
	}
	for distance, want := range map[float64]float64{0: 1, 1: 0.5, 3: 0.25, math.MaxFloat64: 0, math.Inf(1): 0} {
		require.InDelta(t, want, euclidean.Score(distance), 1e-12)
	}
}

func TestSizeIsThatOfCompactJSON(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(1, 2))}
	for range 2000 {
		m := d.metadata()
		m["s"] = strings.Repeat("ü\"\n日a", d.IntN(5))
		raw, err := json.Marshal(m)
		require.NoError(t, err)
		size, err := m.Size()
		require.NoError(t, err)
		require.Equal(t, len(raw), size, "%s", raw)
	}
	for s, want := range map[string]int{"<&>": 3, "é": 2, "\"": 2, "\u2028": 6} {
		size, err := vectors.Metadata{"k": s}.Size()
		require.NoError(t, err)
		require.Equal(t, len(`{"k":""}`)+want, size, "%q", s)
	}
	size, err := vectors.Metadata(nil).Size()
	require.NoError(t, err)
	require.Equal(t, 2, size)
	_, err = vectors.Metadata{"k": math.NaN()}.Size()
	require.ErrorIs(t, err, vectors.ErrInvalid)
}

func TestTooMuchMetadataIsNamed(t *testing.T) {
	_, err := vectors.Schema{Dimension: 1, NonFilterable: []string{"text"}}.Normal(vectors.Vector{
		Key: "k", Data: []float32{1},
		Metadata: vectors.Metadata{"small": 1, "chunk": strings.Repeat("x", 2000), "title": strings.Repeat("x", 100), "text": strings.Repeat("x", 9000)},
	})
	require.ErrorIs(t, err, vectors.ErrInvalid)
	require.ErrorContains(t, err, "largest keys: [chunk title small]; text belongs under a non-filterable key")
}

func TestNormalChangesNothingOfWhatItReturned(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(3, 4))}
	schema := vectors.Schema{Dimension: 2}
	for range 500 {
		once, err := schema.Normal(vectors.Vector{Key: "k", Data: []float32{d.Float32() + 1, 0}, Metadata: d.metadata()})
		require.NoError(t, err)
		twice, err := schema.Normal(once)
		require.NoError(t, err)
		require.Equal(t, once, twice)
	}
}

func TestReportErrMatchesEveryKind(t *testing.T) {
	require.NoError(t, vectors.Report{Done: 3}.Err())
	invalid := vectors.Rejection{Key: "a", Err: fmt.Errorf("%w: no", vectors.ErrInvalid)}
	throttled := vectors.Rejection{Key: "b", Err: fmt.Errorf("%w: later", vectors.ErrThrottled)}
	for _, rejected := range [][]vectors.Rejection{{invalid, throttled}, {throttled, invalid}, {throttled, throttled, invalid, invalid}} {
		err := vectors.Report{Rejected: rejected}.Err()
		require.ErrorIs(t, err, vectors.ErrInvalid)
		require.ErrorIs(t, err, vectors.ErrThrottled)
		require.ErrorContains(t, err, fmt.Sprintf("%d of the vectors rejected", len(rejected)))
	}
	require.NotErrorIs(t, vectors.Report{Rejected: []vectors.Rejection{throttled}}.Err(), vectors.ErrInvalid)
	require.NotErrorIs(t, vectors.Report{Rejected: []vectors.Rejection{invalid}}.Err(), vectors.ErrThrottled)
}

func TestCombinedFilters(t *testing.T) {
	a, b := vectors.Equal("a", 1), vectors.Equal("b", 2)
	require.Equal(t, vectors.Filter{}, vectors.And())
	require.Equal(t, vectors.Filter{}, vectors.And(vectors.Filter{}, vectors.Filter{}))
	require.Equal(t, a, vectors.And(a, vectors.Filter{}))
	require.Equal(t, vectors.Filter{}, vectors.Or(a, vectors.Filter{}, b))
	require.Equal(t, a, vectors.Or(a))
	require.False(t, vectors.Or().IsZero(), "what selects nothing is not what selects all")
	of := []vectors.Filter{a, b}
	both := vectors.And(of...)
	of[0] = b
	require.Equal(t, vectors.Filter{Op: vectors.OpAnd, Of: []vectors.Filter{a, b}}, both)
}
