package artifacts_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
)

func made(t *testing.T, store artifacts.Store, path string, metric float64, from ...artifacts.ID) artifacts.ID {
	t.Helper()
	p, err := store.Publish(t.Context(), artifacts.Name{Tenant: "acme", Path: path}, artifacts.Files(texts("f", path)), &artifacts.PublishOptions{
		Lineage: artifacts.Lineage{Parents: from}, Metrics: map[string]artifacts.Metric{"loss": {Value: metric, Better: artifacts.Lower}},
	})
	require.NoError(t, err)
	return p.Version.ID
}

func TestAncestorsAreTheNearestFirst(t *testing.T) {
	var store artifacts.InMemory
	raw := made(t, &store, "raw", 0)
	clean := made(t, &store, "clean", 0, raw)
	base := made(t, &store, "base", 0)
	model := made(t, &store, "model", 0, clean, base, raw)
	tuned := made(t, &store, "tuned", 0, model, clean, artifacts.ID{Name: base.Name, Number: 9})
	type ancestor struct {
		path  string
		depth int
		gone  bool
	}
	var got []ancestor
	for a, err := range artifacts.Ancestors(t.Context(), &store, tuned) {
		require.NoError(t, err)
		got = append(got, ancestor{a.Version.ID.String(), a.Depth, a.Gone})
	}
	require.Equal(t, []ancestor{{"model@1", 1, false}, {"clean@1", 1, false}, {"base@9", 1, true}, {"base@1", 2, false}, {"raw@1", 2, false}}, got)
	for range artifacts.Ancestors(t.Context(), &store, raw) {
		t.Fatal("it was made from nothing")
	}
	for _, err := range artifacts.Ancestors(t.Context(), &store, artifacts.ID{Name: raw.Name, Number: 5}) {
		require.ErrorIs(t, err, artifacts.ErrNotFound)
	}

	var from []string
	for v, err := range artifacts.MadeFrom(t.Context(), &store, clean, artifacts.Query{Tenant: "acme"}) {
		require.NoError(t, err)
		from = append(from, v.ID.String())
	}
	require.Equal(t, []string{"model@1", "tuned@1"}, from)
}

func TestBestIsByWhatTheVersionsSayIsBetter(t *testing.T) {
	var store artifacts.InMemory
	for _, loss := range []float64{3, 1, 2, 1, 0.5} {
		made(t, &store, "model", loss)
	}
	name := artifacts.Name{Tenant: "acme", Path: "model"}
	_, err := store.Apply(t.Context(), name, artifacts.Quarantine{Version: 5, Reason: "broken"},
		artifacts.Note{Version: 3, Metrics: map[string]artifacts.Metric{"acc": {Value: 0.9, Better: artifacts.Higher}}},
		artifacts.Note{Version: 2, Metrics: map[string]artifacts.Metric{"acc": {Value: 0.1, Better: artifacts.Lower}}},
		artifacts.Note{Version: 1, Metrics: map[string]artifacts.Metric{"acc": {Value: 0.95, Better: artifacts.Higher}, "odd": {Value: 1}}})
	require.NoError(t, err)
	query := artifacts.Query{Tenant: "acme", Path: "model"}
	best, err := artifacts.Best(t.Context(), &store, query, "loss")
	require.NoError(t, err)
	require.Equal(t, int64(4), best.ID.Number, "the newest of those with 1, but for the one in quarantine")
	best, err = artifacts.Best(t.Context(), &store, query, "acc")
	require.NoError(t, err)
	require.Equal(t, int64(1), best.ID.Number)
	for _, metric := range []string{"odd", "absent"} {
		_, err = artifacts.Best(t.Context(), &store, query, metric)
		require.ErrorIs(t, err, artifacts.ErrNotFound)
	}
}
