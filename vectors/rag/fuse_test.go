package rag_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/vectors/rag"
)

func fuse(t *testing.T, lists [][]string, opts *rag.FuseOptions) []rag.Hit {
	t.Helper()
	hits, err := rag.Fuse(lists, opts)
	require.NoError(t, err)
	return hits
}

func blend(t *testing.T, lists [][]rag.Hit, opts *rag.BlendOptions) []rag.Hit {
	t.Helper()
	hits, err := rag.Blend(lists, opts)
	require.NoError(t, err)
	return hits
}

func TestFusedScoreIsTheSumOfReciprocalRanks(t *testing.T) {
	got := fuse(t, [][]string{{"a", "b", "c"}, {"c", "a"}}, nil)
	require.Equal(t, []string{"a", "c", "b"}, ids(got))
	require.InDelta(t, 1.0/61+1.0/62, got[0].Score, 1e-12)
	require.InDelta(t, 1.0/63+1.0/61, got[1].Score, 1e-12)
	require.InDelta(t, 1.0/62, got[2].Score, 1e-12)
}

func TestWeightsDecideWhichListCounts(t *testing.T) {
	lists := [][]string{{"a", "b"}, {"b", "a"}}
	require.Equal(t, []string{"a", "b"}, ids(fuse(t, lists, nil)), "a tie comes in the order of ids")
	require.Equal(t, []string{"b", "a"}, ids(fuse(t, lists, &rag.FuseOptions{Weights: []float64{1, 2}})))
	scored := [][]rag.Hit{{{"a", 9}, {"b", 1}}, {{"b", 0.2}, {"a", 0.1}}}
	require.Equal(t, []string{"a", "b"}, ids(blend(t, scored, nil)), "a tie comes in the order of ids")
	require.Equal(t, []string{"b", "a"}, ids(blend(t, scored, &rag.BlendOptions{Weights: []float64{1, 2}})))
}

func TestSmallKPrefersTheFirstPlaces(t *testing.T) {
	lists := [][]string{{"first", "x", "both"}, {"y", "z", "both"}}
	require.Equal(t, "both", fuse(t, lists, nil)[0].ID)
	require.Equal(t, "first", fuse(t, lists, &rag.FuseOptions{K: 0.5})[0].ID)
}

func TestRepeatedIDsCountOnceWhereTheyAreBest(t *testing.T) {
	require.Equal(t, fuse(t, [][]string{{"a", "b"}}, nil), fuse(t, [][]string{{"a", "a", "a", "b", "a"}}, nil))
	got := blend(t, [][]rag.Hit{{{"a", 3}, {"a", 2}, {"b", 2}, {"c", 1}}}, nil)
	require.Equal(t, []rag.Hit{{"a", 1}, {"b", 0.5}, {"c", 0}}, got)
}

func TestBlendSeesHowMuchBetterAnAnswerIs(t *testing.T) {
	clear := []rag.Hit{{"sure", 100}, {"doubt", 10}, {"rest", 0}}
	vague := []rag.Hit{{"doubt", 0.5}, {"sure", 0.49}, {"rest", 0.1}}
	require.Equal(t, "sure", blend(t, [][]rag.Hit{clear, vague}, nil)[0].ID)
}

func TestBlendOfScoresAtTheEdges(t *testing.T) {
	require.Empty(t, blend(t, nil, nil))
	require.Empty(t, blend(t, [][]rag.Hit{nil, {}}, nil))
	require.Equal(t, []rag.Hit{{"a", 1}, {"b", 1}}, blend(t, [][]rag.Hit{{{"b", 7}, {"a", 7}}}, nil))
	require.Equal(t, []rag.Hit{{"a", 1}, {"b", 0}},
		blend(t, [][]rag.Hit{{{"a", math.MaxFloat64}, {"b", -math.MaxFloat64}}}, nil))
	require.Equal(t, []rag.Hit{{"a", 1}, {"b", 0}}, blend(t, [][]rag.Hit{{{"a", -0.1}, {"b", -0.9}}}, nil))
}

func TestNothingFusesToNothing(t *testing.T) {
	require.Empty(t, fuse(t, nil, nil))
	require.Empty(t, fuse(t, [][]string{nil, {}}, nil))
}

func TestBadFusionArgumentsAreInvalid(t *testing.T) {
	lists := [][]string{{"a"}, {"b"}}
	scored := [][]rag.Hit{{{"a", 1}}, {{"b", 1}}}
	for name, weights := range map[string][]float64{
		"one short": {1}, "negative": {1, -1}, "not a number": {1, math.NaN()}, "infinite": {math.Inf(1), 1},
	} {
		_, err := rag.Fuse(lists, &rag.FuseOptions{Weights: weights})
		require.ErrorIs(t, err, rag.ErrInvalid, name)
		_, err = rag.Blend(scored, &rag.BlendOptions{Weights: weights})
		require.ErrorIs(t, err, rag.ErrInvalid, name)
	}
	for _, k := range []float64{-1, math.NaN(), math.Inf(1)} {
		_, err := rag.Fuse(lists, &rag.FuseOptions{K: k})
		require.ErrorIs(t, err, rag.ErrInvalid, "K %v", k)
	}
	for _, score := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		_, err := rag.Blend([][]rag.Hit{{{"a", 1}, {"b", score}}}, nil)
		require.ErrorIs(t, err, rag.ErrInvalid, "score %v", score)
	}
}
