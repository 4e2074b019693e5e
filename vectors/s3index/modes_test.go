package s3index_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/meter"
	"github.com/genaistore/genaistore/vectors"
	"github.com/genaistore/genaistore/vectors/s3index"
)

func TestTheDefaultModeIsThatOfNewIndexes(t *testing.T) {
	fake := newFake(t)
	fake.Options.Classic = true
	client := create(t, fake, plain)
	require.NoError(t, s3index.UpdateDefaultMode(t.Context(), client, "bucket", s3index.Enhanced))
	_, err := s3index.EnsureIndex(t.Context(), client, "bucket", "more", plain, &s3index.IndexOptions{Mode: s3index.Enhanced})
	require.NoError(t, err)
	_, err = s3index.EnsureIndex(t.Context(), client, "bucket", "docs", plain, &s3index.IndexOptions{Mode: s3index.Classic})
	require.NoError(t, err, "an index that there is keeps its mode")
	require.NoError(t, s3index.UpdateDefaultMode(t.Context(), client, "bucket", s3index.Classic))

	client = create(t, newFake(t), plain)
	err = s3index.UpdateDefaultMode(t.Context(), client, "bucket", s3index.Classic)
	require.ErrorIs(t, err, vectors.ErrInvalid)
	require.ErrorContains(t, err, "does not support CLASSIC mode")
	require.ErrorIs(t, s3index.UpdateDefaultMode(t.Context(), client, "gone", s3index.Enhanced), vectors.ErrNotFound)
	require.ErrorIs(t, s3index.UpdateDefaultMode(t.Context(), client, "a_b", s3index.Enhanced), vectors.ErrInvalid)
	require.ErrorIs(t, s3index.UpdateDefaultMode(t.Context(), client, "bucket", "FAST"), vectors.ErrInvalid)
}

func TestModesAreComparedBeforeTheUpgrade(t *testing.T) {
	fake := newFake(t)
	fake.Options.Classic = true
	x := loaded(t, fake, 300, fast())
	// A classic index filters while it searches, and misses more.
	fake.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		fake.Options.Shortfall = 0
		if strings.Contains(bodyOf(r), `"CLASSIC"`) {
			fake.Options.Shortfall = 0.5
		}
		next.ServeHTTP(w, r)
		return true
	})
	few := vectors.Query{Vector: []float32{1, 0, 0}, TopK: 40, Filter: vectors.Less("n", 40)}
	all := vectors.Query{Vector: []float32{1, 0, 0}}
	c, err := x.CompareModes(t.Context(), few, all)
	require.NoError(t, err)
	require.Equal(t, s3index.Comparison{Queries: 2, Classic: c.Classic, Enhanced: 50, Both: c.Classic, ClassicShort: 1}, c)
	require.Less(t, c.Classic, 50)

	require.NoError(t, s3index.UpdateMode(t.Context(), fake.Client(), "bucket", "docs", s3index.Enhanced))
	_, err = x.CompareModes(t.Context(), few)
	require.ErrorIs(t, err, vectors.ErrInvalid)
	require.ErrorContains(t, err, "compare modes bucket/docs: ")
}

func TestAQueryYieldsTenThousand(t *testing.T) {
	x := loaded(t, newFake(t), 10_500, fast())
	var m meter.Meter
	found, err := tryQuery(meter.With(t.Context(), &m), x, vectors.Query{TopK: vectors.MaxTopK, Fields: vectors.KeysOnly})
	require.NoError(t, err)
	require.Len(t, found, 10_000)
	for i, match := range found {
		require.Equal(t, fmt.Sprintf("%05d", i), match.Key)
	}
	require.EqualValues(t, 100, m.Cost().Requests)
	_, err = tryQuery(t.Context(), x, vectors.Query{TopK: vectors.MaxTopK + 1})
	require.ErrorIs(t, err, vectors.ErrInvalid)
}
