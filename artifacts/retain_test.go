package artifacts_test

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
)

// everPromoted returns a store with n versions, an hour apart, each of which was "live".
func everPromoted(t *testing.T, n int) *artifacts.InMemory {
	t.Helper()
	store := &artifacts.InMemory{}
	for i := range n {
		_, err := store.Publish(t.Context(), ranker, artifacts.Files(map[string][]byte{"w": fmt.Append(nil, i)}),
			&artifacts.PublishOptions{With: []artifacts.Change{artifacts.SetAlias{Alias: "live"}}})
		require.NoError(t, err)
		time.Sleep(time.Hour)
	}
	return store
}

func TestRetainKeepsWhatItSays(t *testing.T) {
	for name, tt := range map[string]struct {
		retention artifacts.Retention
		changes   []artifacts.Change
		gone      []int64
	}{
		"the last ones":                 {artifacts.Retention{Last: 3}, nil, []int64{1, 2, 3}},
		"more than there are":           {artifacts.Retention{Last: 9}, nil, nil},
		"the young":                     {artifacts.Retention{Last: 1, For: 4 * time.Hour}, nil, []int64{1, 2, 3}},
		"what is pinned":                {artifacts.Retention{Last: 1}, []artifacts.Change{artifacts.Pin{Version: 2, By: "me"}}, []int64{1, 3, 4, 5}},
		"what an alias points at":       {artifacts.Retention{Last: 1}, []artifacts.Change{artifacts.SetAlias{Alias: "old", Version: 1}}, []int64{2, 3, 4, 5}},
		"what one can be rolled back":   {artifacts.Retention{Last: 1, Back: 2}, nil, []int64{1, 2, 3}},
		"to, without the quarantined":   {artifacts.Retention{Last: 1, Back: 2}, []artifacts.Change{artifacts.Quarantine{Version: 5, Reason: "bad"}}, []int64{1, 2, 5}},
		"to, where it was rolled back":  {artifacts.Retention{Last: 1, Back: 1}, []artifacts.Change{artifacts.Rollback{Alias: "live", Reason: "bad"}}, []int64{1, 2, 3}},
		"to, where an alias is removed": {artifacts.Retention{Last: 1, Back: 1}, []artifacts.Change{artifacts.RemoveAlias{Alias: "live"}}, []int64{1, 2, 3, 4, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := everPromoted(t, 6)
				if tt.changes != nil {
					_, err := store.Apply(t.Context(), ranker, tt.changes...)
					require.NoError(t, err)
				}
				gone, err := artifacts.Retain(t.Context(), store, ranker, tt.retention)
				require.NoError(t, err)
				require.Equal(t, tt.gone, gone)
				gone, err = artifacts.Retain(t.Context(), store, ranker, tt.retention)
				require.NoError(t, err)
				require.Empty(t, gone)
			})
		})
	}
	for _, bad := range []artifacts.Retention{{}, {Last: 1, For: -1}, {Last: 1, Back: -1}, {Last: 1, Reason: "\x00"}} {
		_, err := artifacts.Retain(t.Context(), &artifacts.InMemory{}, ranker, bad)
		require.ErrorIs(t, err, artifacts.ErrInvalid)
	}
}

// meddling pins a version right after it was listed.
type meddling struct {
	*artifacts.InMemory
	pin int64
}

func (m *meddling) List(ctx context.Context, q artifacts.Query) iter.Seq2[artifacts.Version, error] {
	return func(yield func(artifacts.Version, error) bool) {
		for v, err := range m.InMemory.List(ctx, q) {
			if !yield(v, err) {
				return
			}
		}
		if _, err := m.Apply(ctx, ranker, artifacts.Pin{Version: m.pin, By: "somebody"}); err != nil {
			yield(artifacts.Version{}, err)
		}
	}
}

func TestRetainSparesWhatSomebodyPinsMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &meddling{everPromoted(t, 5), 2}
		gone, err := artifacts.Retain(t.Context(), store, ranker, artifacts.Retention{Last: 1})
		require.NoError(t, err)
		require.Equal(t, []int64{1, 3, 4}, gone)
	})
}
