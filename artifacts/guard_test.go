package artifacts_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
)

var ranker = artifacts.Name{Tenant: "lab", Path: "llm/ranker"}

// guarded returns a store with two versions, "live" at the second, and the two.
func guarded(t *testing.T, metric artifacts.Metric) (store *artifacts.InMemory, live, base artifacts.Version) {
	t.Helper()
	store = &artifacts.InMemory{}
	for _, data := range []string{"1", "2"} {
		_, err := store.Publish(t.Context(), ranker, artifacts.Files(map[string][]byte{"w": []byte(data)}), &artifacts.PublishOptions{
			Metrics: map[string]artifacts.Metric{"m": metric}, With: []artifacts.Change{artifacts.SetAlias{Alias: "live"}},
		})
		require.NoError(t, err)
	}
	live, err := store.Resolve(t.Context(), artifacts.Ref{Name: ranker, Number: 2})
	require.NoError(t, err)
	base, err = store.Resolve(t.Context(), artifacts.Ref{Name: ranker, Number: 1})
	require.NoError(t, err)
	return store, live, base
}

func TestAGuardFiresWhereTheSampleIsWorseByMore(t *testing.T) {
	guard := artifacts.Guard{Alias: "live", Metric: "m", MaxRegression: 0.1, MinSamples: 100}
	for what, c := range map[string]struct {
		metric     artifacts.Metric
		value      float64
		n          int64
		regression float64
		fires      bool
	}{
		"a loss that grew":               {artifacts.Metric{Value: 2, Better: artifacts.Lower}, 3, 100, 0.5, true},
		"a loss that grew a little":      {artifacts.Metric{Value: 2, Better: artifacts.Lower}, 2.1, 100, 0.05, false},
		"a loss that shrank":             {artifacts.Metric{Value: 2, Better: artifacts.Lower}, 1, 100, -0.5, false},
		"a loss that grew, few samples":  {artifacts.Metric{Value: 2, Better: artifacts.Lower}, 3, 99, 0.5, false},
		"an accuracy that fell":          {artifacts.Metric{Value: 0.5, Better: artifacts.Higher}, 0.25, 100, 0.5, true},
		"an accuracy that rose":          {artifacts.Metric{Value: 0.5, Better: artifacts.Higher}, 1, 100, -1, false},
		"a negative score that fell":     {artifacts.Metric{Value: -2, Better: artifacts.Higher}, -3, 100, 0.5, true},
		"a negative score that improved": {artifacts.Metric{Value: -2, Better: artifacts.Higher}, -1, 100, -0.5, false},
	} {
		t.Run(what, func(t *testing.T) {
			store, live, base := guarded(t, c.metric)
			verdict, err := guard.Check(t.Context(), store, live, base, artifacts.Sample{Metric: "m", Value: c.value, N: c.n})
			require.NoError(t, err)
			require.Equal(t, c.fires, verdict.RolledBack)
			require.InDelta(t, c.regression, verdict.Regression, 1e-12)
			now, err := store.Resolve(t.Context(), artifacts.Ref{Name: ranker, Alias: "live"})
			require.NoError(t, err)
			want := live.ID
			if c.fires {
				want = base.ID
			}
			require.Equal(t, want, now.ID)
		})
	}
}

func TestAGuardThatCouldNeverFireIsInvalid(t *testing.T) {
	store, live, base := guarded(t, artifacts.Metric{Value: 1, Better: artifacts.Lower})
	good, sample := artifacts.Guard{Alias: "live", Metric: "m"}, artifacts.Sample{Metric: "m", Value: 9, N: 1}
	bare := func(m artifacts.Metric) artifacts.Version {
		return artifacts.Version{ID: base.ID, Metrics: map[string]artifacts.Metric{"m": m}}
	}
	for what, c := range map[string]struct {
		guard  artifacts.Guard
		base   artifacts.Version
		sample artifacts.Sample
	}{
		"no baseline":        {good, artifacts.Version{}, sample},
		"a baseline of 0":    {good, bare(artifacts.Metric{Better: artifacts.Lower}), sample},
		"no direction":       {good, bare(artifacts.Metric{Value: 1}), sample},
		"another metric":     {good, base, artifacts.Sample{Metric: "n", Value: 9}},
		"not a number":       {good, base, artifacts.Sample{Metric: "m", Value: math.NaN()}},
		"a negative bound":   {artifacts.Guard{Alias: "live", Metric: "m", MaxRegression: -1}, base, sample},
		"a bound of NaN":     {artifacts.Guard{Alias: "live", Metric: "m", MaxRegression: math.NaN()}, base, sample},
		"an infinite bound":  {artifacts.Guard{Alias: "live", Metric: "m", MaxRegression: math.Inf(1)}, base, sample},
		"an alias that is 7": {artifacts.Guard{Alias: "7", Metric: "m"}, base, sample},
	} {
		_, err := c.guard.Check(t.Context(), store, live, c.base, c.sample)
		require.ErrorIs(t, err, artifacts.ErrInvalid, what)
	}
}

func TestAGuardSaysWhereTheAliasIsWhatItFoundWorse(t *testing.T) {
	guard, sample := artifacts.Guard{Alias: "live", Metric: "m"}, artifacts.Sample{Metric: "m", Value: 9, N: 1}
	t.Run("it was removed by another", func(t *testing.T) {
		store, live, base := guarded(t, artifacts.Metric{Value: 1, Better: artifacts.Lower})
		_, err := store.Apply(t.Context(), ranker, artifacts.RemoveAlias{Alias: "live"})
		require.NoError(t, err)
		verdict, err := guard.Check(t.Context(), store, live, base, sample)
		require.NoError(t, err)
		require.True(t, verdict.RolledBack)
	})
	t.Run("there is nothing to go back to", func(t *testing.T) {
		store, live, base := guarded(t, artifacts.Metric{Value: 1, Better: artifacts.Lower})
		_, err := store.Apply(t.Context(), ranker, artifacts.Quarantine{Version: 1, Reason: "bad too"})
		require.NoError(t, err)
		verdict, err := guard.Check(t.Context(), store, live, base, sample)
		require.ErrorIs(t, err, artifacts.ErrConflict)
		require.False(t, verdict.RolledBack)
	})
	t.Run("the name of the metric is as long as it may be", func(t *testing.T) {
		long := strings.Repeat("é", artifacts.MaxText/2)
		store, live, base := guarded(t, artifacts.Metric{})
		base.Metrics = map[string]artifacts.Metric{long: {Value: 1, Better: artifacts.Lower}}
		verdict, err := artifacts.Guard{Alias: "live", Metric: long}.Check(t.Context(), store, live, base, artifacts.Sample{Metric: long, Value: 2})
		require.NoError(t, err)
		require.True(t, verdict.RolledBack)
	})
}

// A troubled store fails its first Applies, after doing them or not.
type troubled struct {
	artifacts.Store
	fails  int
	err    error
	before func()
}

func (s *troubled) Apply(ctx context.Context, name artifacts.Name, changes ...artifacts.Change) (artifacts.Record, error) {
	if s.before != nil {
		s.before()
	}
	if s.fails--; s.fails >= 0 {
		return artifacts.Record{}, s.err
	}
	return s.Store.Apply(ctx, name, changes...)
}

func TestForgetRunsAgainAfterAnError(t *testing.T) {
	var store artifacts.InMemory
	for _, path := range []string{"a", "b", "c"} {
		_, err := store.Publish(t.Context(), artifacts.Name{Path: path}, artifacts.Files(map[string][]byte{"w": nil}), &artifacts.PublishOptions{Owner: "ada"})
		require.NoError(t, err)
	}
	boom := errors.New("boom")
	n, err := artifacts.Forget(t.Context(), &troubled{Store: &store, fails: 1, err: boom}, "", "ada")
	require.ErrorIs(t, err, boom)
	require.Zero(t, n)
	n, err = artifacts.Forget(t.Context(), &store, "", "ada")
	require.NoError(t, err)
	require.Equal(t, 3, n)
	n, err = artifacts.Forget(t.Context(), &store, "", "ada")
	require.NoError(t, err)
	require.Zero(t, n)
	_, err = artifacts.Forget(t.Context(), &store, "", "")
	require.ErrorIs(t, err, artifacts.ErrInvalid)
	_, err = artifacts.Forget(t.Context(), &store, "a/b", "ada")
	require.ErrorIs(t, err, artifacts.ErrInvalid)
}

func TestForgetRemovesMoreAliasesThanARecordHolds(t *testing.T) {
	var store artifacts.InMemory
	_, err := store.Publish(t.Context(), ranker, artifacts.Files(map[string][]byte{"w": nil}), &artifacts.PublishOptions{Owner: "ada"})
	require.NoError(t, err)
	for i := range artifacts.MaxChanges {
		alias := "a" + strings.Repeat("x", i)
		_, err := store.Apply(t.Context(), ranker, artifacts.SetAlias{Alias: alias, Version: 1}, artifacts.Pin{Version: 1, By: alias})
		require.NoError(t, err)
	}
	n, err := artifacts.Forget(t.Context(), &store, "lab", "ada")
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, err = store.Resolve(t.Context(), artifacts.Ref{Name: ranker})
	require.ErrorIs(t, err, artifacts.ErrNotFound)
}

func TestForgetLeavesAnAliasThatMovedOnAlone(t *testing.T) {
	var store artifacts.InMemory
	for _, owner := range []string{"ada", "bob"} {
		_, err := store.Publish(t.Context(), ranker, artifacts.Files(map[string][]byte{"w": []byte(owner)}), &artifacts.PublishOptions{Owner: owner})
		require.NoError(t, err)
	}
	_, err := store.Apply(t.Context(), ranker, artifacts.SetAlias{Alias: "live", Version: 1})
	require.NoError(t, err)
	moved := &troubled{Store: &store}
	moved.before = func() { // somebody promotes while Forget is at it
		moved.before = nil
		_, err := store.Apply(t.Context(), ranker, artifacts.SetAlias{Alias: "live", Version: 2})
		require.NoError(t, err)
	}
	n, err := artifacts.Forget(t.Context(), moved, "lab", "ada")
	require.NoError(t, err)
	require.Equal(t, 1, n)
	v, err := store.Resolve(t.Context(), artifacts.Ref{Name: ranker, Alias: "live"})
	require.NoError(t, err)
	require.Equal(t, "bob", v.Owner)
}
