package s3index_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/meter"
	"github.com/genaistore/genaistore/vectors"
	"github.com/genaistore/genaistore/vectors/s3index"
)

func TestASelectionIsPlannedCountedReadAndRemoved(t *testing.T) {
	tests := []struct {
		name          string
		selection     vectors.Selection
		opts          s3index.SelectOptions
		way           s3index.Way
		matches       int
		reads, writes int
		complete      bool
	}{
		{"by keys", vectors.Selection{Keys: []string{"00003", "00001", "00003"}}, s3index.SelectOptions{}, s3index.ByKeys, 2, 1, 1, true},
		{"by a prefix", vectors.Selection{Prefix: "0000"}, s3index.SelectOptions{}, s3index.ByList, 10, 1, 1, true},
		{"by a filter", vectors.Selection{Filter: vectors.Equal("odd", true)}, s3index.SelectOptions{}, s3index.ByList, 325, 1, 1, true},
		{"by both", vectors.Selection{Prefix: "0000", Filter: vectors.Equal("odd", true)}, s3index.SelectOptions{}, s3index.ByList, 5, 1, 1, true},
		{"all", vectors.Selection{All: true}, s3index.SelectOptions{}, s3index.ByList, 650, 1, 2, true},
		{"what nothing matches", vectors.Selection{Filter: vectors.Equal("odd", "x")}, s3index.SelectOptions{}, s3index.ByList, 0, 1, 0, true},
		{"by queries", vectors.Selection{Filter: vectors.Equal("odd", true)}, s3index.SelectOptions{Approximate: true}, s3index.ByQuery, 325, 4, 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := loaded(t, newFake(t), 650, fast())
			ctx := t.Context()
			plan, err := x.Plan(ctx, tt.selection, &tt.opts)
			require.NoError(t, err)
			require.Equal(t, tt.way, plan.Way)
			require.Equal(t, tt.matches, plan.Matches)
			require.Equal(t, tt.reads, plan.Reads)
			require.Equal(t, tt.writes, plan.Writes)
			require.Equal(t, tt.complete, plan.Complete)
			require.Equal(t, tt.way != s3index.ByKeys, plan.Exact)

			counted, err := x.Count(ctx, tt.selection, &tt.opts)
			require.NoError(t, err)
			require.Equal(t, tt.matches, counted.Matched)
			require.Equal(t, tt.complete, counted.Complete)
			require.EqualValues(t, tt.reads, counted.Cost.Requests)

			opts := tt.opts
			opts.Fields = vectors.Everything
			found, selected := x.Select(ctx, tt.selection, &opts)
			n := 0
			for v, err := range found {
				require.NoError(t, err)
				require.Len(t, v.Data, 3)
				require.Contains(t, v.Metadata, "n")
				n++
			}
			require.Equal(t, tt.matches, n)
			require.Equal(t, tt.matches, selected.Matched)
			require.Equal(t, tt.complete, selected.Complete)

			opts = tt.opts
			opts.DryRun = true
			dry, err := x.Remove(ctx, tt.selection, &opts)
			require.NoError(t, err)
			require.Equal(t, tt.matches, dry.Matched)
			require.Zero(t, dry.Removed)
			require.Equal(t, 650, count(t, x), "a dry run changes nothing")

			removed, err := x.Remove(ctx, tt.selection, &tt.opts)
			require.NoError(t, err)
			require.Equal(t, tt.matches, removed.Removed)
			require.Equal(t, tt.complete, removed.Complete)
			require.Equal(t, 650-tt.matches, count(t, x))
			want := plan.Reads + plan.Writes
			switch tt.way {
			case s3index.ByKeys:
				want = plan.Writes
			case s3index.ByQuery:
				want++ // which finds nothing more
			}
			require.EqualValues(t, want, removed.Cost.Requests)
		})
	}
}

func TestTheVerdictSaysWhyItMayBePartial(t *testing.T) {
	x := loaded(t, newFake(t), 650, fast())
	odd := vectors.Selection{Filter: vectors.Equal("odd", true)}
	counted, err := x.Count(t.Context(), odd, nil)
	require.NoError(t, err)
	require.Equal(t, "complete", counted.Verdict())
	counted, err = x.Count(t.Context(), odd, &s3index.SelectOptions{Approximate: true})
	require.NoError(t, err)
	require.Equal(t, "may be partial: queries are approximate", counted.Verdict())
	found, selected := x.Select(t.Context(), odd, nil)
	require.Zero(t, *selected)
	for range found {
		break
	}
	require.Equal(t, "may be partial: the end was not reached", selected.Verdict())
	require.Equal(t, 1, selected.Matched)
}

// Deleting changes what the next query finds, so even one that misses most of what
// there is comes near to the end.
func TestRemovingByQueriesGoesOnWhileAnyAreFound(t *testing.T) {
	fake := newFake(t)
	x := loaded(t, fake, 2500, fast())
	fake.Options.Shortfall = 0.4
	removed, err := x.Remove(t.Context(), vectors.Selection{Filter: vectors.Equal("odd", true)}, &s3index.SelectOptions{Approximate: true})
	require.NoError(t, err)
	require.False(t, removed.Complete)
	require.Greater(t, removed.Removed, 1245)
	left, err := x.Count(t.Context(), vectors.Selection{Filter: vectors.Equal("odd", true)}, nil)
	require.NoError(t, err)
	require.Equal(t, 1250, removed.Removed+left.Matched)
	require.Equal(t, 2500-removed.Removed, count(t, x))
}

func TestAServiceThatDeletesNothingIsNotAskedForever(t *testing.T) {
	fake := newFake(t)
	x := loaded(t, fake, 30, fast())
	fake.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if awsfake.Operation(r) != "DeleteVectors" {
			return false
		}
		fmt.Fprint(w, "{}")
		return true
	})
	_, err := x.Remove(t.Context(), vectors.Selection{Filter: vectors.Equal("odd", true)}, &s3index.SelectOptions{Approximate: true})
	require.ErrorIs(t, err, vectors.ErrCorrupt)
	require.ErrorContains(t, err, "remove bucket/docs: ")
}

func TestAPlanOfALargeIndexIsAnEstimate(t *testing.T) {
	for _, segments := range []int{1, 4, 16} {
		fake := newFake(t)
		opts := fast()
		opts.Segments = segments
		x := loaded(t, fake, 5200, opts)
		odd := vectors.Selection{Filter: vectors.Equal("odd", true)}
		plan, err := x.Plan(t.Context(), odd, nil)
		require.NoError(t, err)
		require.False(t, plan.Exact)
		require.InDelta(t, 5200, plan.Vectors, 1300)
		require.InDelta(t, 2600, plan.Matches, 800)
		require.EqualValues(t, 2, plan.Cost.Requests, "a page, and one of a sixteenth")

		told, err := x.Plan(t.Context(), odd, &s3index.SelectOptions{Vectors: 5200})
		require.NoError(t, err)
		require.EqualValues(t, 1, told.Cost.Requests)
		require.Equal(t, 5200, told.Vectors)
		require.InDelta(t, 2600, told.Matches, 300)
		counted, err := x.Count(t.Context(), odd, nil)
		require.NoError(t, err)
		require.InDelta(t, told.Reads, counted.Cost.Requests, 2, "of %d segments", segments)
	}
}

// A pass costs by the index, queries by what matches.
func TestQueriesCostLessWhereFewOfManyMatch(t *testing.T) {
	x := loaded(t, newFake(t), 5200, fast())
	few := vectors.Selection{Filter: vectors.Less("n", 7)}
	exact, err := x.Count(t.Context(), few, nil)
	require.NoError(t, err)
	quick, err := x.Count(t.Context(), few, &s3index.SelectOptions{Approximate: true})
	require.NoError(t, err)
	require.Equal(t, []int{7, 7}, []int{exact.Matched, quick.Matched})
	require.EqualValues(t, 17, exact.Cost.Requests)
	require.EqualValues(t, 1, quick.Cost.Requests)
}

// Repair would list the index, which is what queries are to avoid.
func TestSelectingByQueriesIsNotRepaired(t *testing.T) {
	fake := newFake(t)
	loaded(t, fake, 300, fast())
	x, seen := watched(t, fake, s3index.Options{Repair: true, Rescore: 3})
	_, err := x.Describe(t.Context())
	require.NoError(t, err)
	selected, err := x.Count(t.Context(), vectors.Selection{Filter: vectors.Less("n", 7)}, &s3index.SelectOptions{Approximate: true})
	require.NoError(t, err)
	require.EqualValues(t, 1, selected.Cost.Requests)
	require.Empty(t, *seen)
}

func TestABadSelectionIsInvalidAndChangesNothing(t *testing.T) {
	fake := newFake(t)
	x := loaded(t, fake, 10, fast())
	for name, tt := range map[string]struct {
		selection vectors.Selection
		opts      s3index.SelectOptions
	}{
		"nothing":                {vectors.Selection{}, s3index.SelectOptions{}},
		"queries without filter": {vectors.Selection{All: true}, s3index.SelectOptions{Approximate: true}},
		"queries by prefix":      {vectors.Selection{Prefix: "a", Filter: vectors.Exists("n")}, s3index.SelectOptions{Approximate: true}},
		"a non-filterable key":   {vectors.Selection{Filter: vectors.Exists("text")}, s3index.SelectOptions{}},
		"unknown fields":         {vectors.Selection{All: true}, s3index.SelectOptions{Fields: 9}},
		"fewer than no vectors":  {vectors.Selection{All: true}, s3index.SelectOptions{Vectors: -1}},
	} {
		var m meter.Meter
		ctx := meter.With(t.Context(), &m)
		_, err := x.Plan(ctx, tt.selection, &tt.opts)
		require.ErrorIs(t, err, vectors.ErrInvalid, name)
		_, err = x.Count(ctx, tt.selection, &tt.opts)
		require.ErrorIs(t, err, vectors.ErrInvalid, name)
		_, err = x.Remove(ctx, tt.selection, &tt.opts)
		require.ErrorIs(t, err, vectors.ErrInvalid, name)
		found, _ := x.Select(ctx, tt.selection, &tt.opts)
		for _, err := range found {
			require.ErrorIs(t, err, vectors.ErrInvalid, name)
		}
		require.Zero(t, m.Cost().Requests, name)
	}
	require.Equal(t, 10, count(t, x))
}

func TestASelectionIsLeftWhenItsContextEnds(t *testing.T) {
	x := loaded(t, newFake(t), 1200, fast())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := x.Remove(ctx, vectors.Selection{Filter: vectors.Exists("n")}, &s3index.SelectOptions{Approximate: true})
	require.ErrorIs(t, err, context.Canceled)
	_, err = x.Plan(ctx, vectors.Selection{All: true}, nil)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1200, count(t, x))
}
