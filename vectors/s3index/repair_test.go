package s3index_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/meter"
	"github.com/genaistore/genaistore/vectors"
	"github.com/genaistore/genaistore/vectors/s3index"
)

// watched opens the index of a fake with options whose shortfalls are recorded.
func watched(t *testing.T, fake *awsfake.Vectors, opts s3index.Options) (*s3index.Index, *[]s3index.Shortfall) {
	t.Helper()
	var seen []s3index.Shortfall
	opts.RequestsPerSecond, opts.VectorsPerSecond = 1e9, 1e9
	opts.Shortfall = func(s s3index.Shortfall) { seen = append(seen, s) }
	return open(t, fake.Client(), &opts), &seen
}

func TestAQueryThatFindsTooFewSaysSo(t *testing.T) {
	fake := newFake(t)
	loaded(t, fake, 300, fast())
	x, seen := watched(t, fake, s3index.Options{})
	require.Len(t, query(t, x, vectors.Query{TopK: 20}), 20)
	require.Empty(t, *seen)
	fake.Options.Shortfall = 0.5
	found := query(t, x, vectors.Query{TopK: 50, Filter: vectors.Less("n", 40)})
	require.Less(t, len(found), 40)
	require.Equal(t, []s3index.Shortfall{{TopK: 50, Found: len(found)}}, *seen)

	for range x.Query(t.Context(), vectors.Query{Vector: []float32{1, 0, 0}, TopK: 500}) {
		break // which is not a shortfall
	}
	require.Len(t, *seen, 1)
}

func TestAQueryThatFindsTooFewIsRepaired(t *testing.T) {
	for _, fields := range []vectors.Fields{vectors.KeysOnly, vectors.KeysAndMetadata, vectors.Everything} {
		for _, filter := range []vectors.Filter{vectors.Less("n", 40), vectors.And(vectors.Less("n", 40), vectors.Exists("n"))} {
			fake := newFake(t)
			loaded(t, fake, 300, fast())
			x, seen := watched(t, fake, s3index.Options{Repair: true})
			fake.Options.Shortfall = 0.5
			found := query(t, x, vectors.Query{TopK: 50, Filter: filter, Fields: fields})
			require.Len(t, found, 40)
			for i, m := range found {
				require.Equal(t, fmt.Sprintf("%05d", i), m.Key)
				require.InDelta(t, 1-math.Cos(math.Pi*float64(i)/300), m.Distance, 1e-6)
				require.Equal(t, fields.Data(), m.Data != nil)
				require.Equal(t, fields.Metadata(), m.Metadata != nil)
			}
			require.Len(t, *seen, 1)
			fall := (*seen)[0]
			require.True(t, fall.Checked)
			require.Equal(t, 40, fall.Found+fall.Missed)
			require.Positive(t, fall.Missed)
		}
	}
}

// What was missed may be nearer than what was found: TopK holds all the same.
func TestARepairKeepsTheNearest(t *testing.T) {
	fake := newFake(t)
	loaded(t, fake, 300, fast())
	x, seen := watched(t, fake, s3index.Options{Repair: true})
	fake.Options.Shortfall = 0.9
	found := query(t, x, vectors.Query{TopK: 30, Filter: vectors.Less("n", 60)})
	require.Len(t, found, 30)
	for i, m := range found {
		require.Equal(t, fmt.Sprintf("%05d", i), m.Key)
	}
	require.Equal(t, 60, (*seen)[0].Found+(*seen)[0].Missed)
}

func TestRepairCostsOnlyWhoComesShort(t *testing.T) {
	fake := newFake(t)
	loaded(t, fake, 2500, fast())
	x, _ := watched(t, fake, s3index.Options{Repair: true})
	query(t, x, vectors.Query{}) // reads the description
	cost := func(q vectors.Query) int64 {
		var m meter.Meter
		_, err := tryQuery(meter.With(t.Context(), &m), x, q)
		require.NoError(t, err)
		return m.Cost().Requests
	}
	const pass = 1 + 16 // a page, and a page of each segment
	few := vectors.Query{TopK: 50, Filter: vectors.Less("n", 40)}
	require.EqualValues(t, 1, cost(vectors.Query{TopK: 50}))
	require.EqualValues(t, 1, cost(vectors.Query{TopK: 40, Filter: few.Filter}))
	require.EqualValues(t, 1+pass, cost(few), "nothing was missed, so no data is read")
	fake.Options.Shortfall = 0.5
	require.EqualValues(t, 1+pass+2, cost(few), "the data of what was missed, and of what was found")
}

func TestAFailedRepairIsAnError(t *testing.T) {
	fake := newFake(t)
	loaded(t, fake, 300, fast())
	x, _ := watched(t, fake, s3index.Options{Repair: true})
	fake.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if awsfake.Operation(r) == "ListVectors" {
			awsfake.Fail(w, r, http.StatusForbidden, "AccessDeniedException", "no")
			return true
		}
		return false
	})
	found, err := tryQuery(t.Context(), x, vectors.Query{TopK: 500})
	require.ErrorIs(t, err, vectors.ErrDenied)
	require.Empty(t, found)
}

// rough has the fake answer queries as an approximate service does: distances are
// off by up to that much, and the order is theirs.
func rough(fake *awsfake.Vectors, off float64) {
	fake.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		if awsfake.Operation(r) != "QueryVectors" {
			return false
		}
		recorder := httptest.NewRecorder()
		next.ServeHTTP(recorder, r)
		var answer struct {
			Vectors   []map[string]any `json:"vectors"`
			NextToken string           `json:"nextToken,omitempty"`
		}
		if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
			return false
		}
		distance := func(v map[string]any) float64 { return v["distance"].(float64) }
		for i, v := range answer.Vectors {
			v["distance"] = distance(v) + off*float64((i*7)%5)
		}
		slices.SortStableFunc(answer.Vectors, func(a, b map[string]any) int { return int(math.Copysign(1, distance(a)-distance(b))) })
		text, err := json.Marshal(answer)
		if err != nil {
			return false
		}
		w.Write(text)
		return true
	})
}

func TestRescoringPutsMatchesInTheirTrueOrder(t *testing.T) {
	fake := newFake(t)
	loaded(t, fake, 300, fast())
	rough(fake, 0.001)
	keys := func(found []vectors.Match) (keys []string) {
		for i, m := range found {
			keys = append(keys, m.Key)
			require.True(t, i == 0 || found[i-1].Distance <= m.Distance)
		}
		return keys
	}
	var want []string
	for i := range 20 {
		want = append(want, fmt.Sprintf("%05d", i))
	}
	for rescore, costs := range map[int]int64{0: 1, 1: 1 + 1, 5: 1 + 1, 10: 2 + 2} {
		x, seen := watched(t, fake, s3index.Options{Rescore: rescore})
		query(t, x, vectors.Query{})
		var m meter.Meter
		found, err := tryQuery(meter.With(t.Context(), &m), x, vectors.Query{TopK: 20})
		require.NoError(t, err)
		require.Equal(t, costs, m.Cost().Requests, rescore)
		require.Equal(t, rescore > 0, slices.Equal(want, keys(found)), "%d candidates a match: %v", rescore, keys(found))
		require.Empty(t, *seen)
		for i, m := range found {
			require.Nil(t, m.Data)
			if rescore > 0 {
				require.InDelta(t, 1-math.Cos(math.Pi*float64(i)/300), m.Distance, 1e-7)
			}
		}
	}
	all, seen := watched(t, fake, s3index.Options{Rescore: 10_000})
	require.Len(t, query(t, all, vectors.Query{TopK: 250, Fields: vectors.Everything}), 250)
	require.Len(t, query(t, all, vectors.Query{TopK: 350}), 300)
	require.Equal(t, []s3index.Shortfall{{TopK: 350, Found: 300}}, *seen)
}

func TestALoopOverWhatWasCollectedCanBeLeft(t *testing.T) {
	for _, o := range []s3index.Options{{Repair: true}, {Rescore: 2}, {Repair: true, Rescore: 3}} {
		fake := newFake(t)
		loaded(t, fake, 450, fast())
		x, _ := watched(t, fake, o)
		n := 0
		for m, err := range x.Query(t.Context(), vectors.Query{Vector: []float32{1, 0, 0}, TopK: 400, Filter: vectors.Exists("n")}) {
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("%05d", n), m.Key)
			if n++; n == 200 {
				break
			}
		}
		require.Equal(t, 200, n)
	}
}
