package vectors_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/vectors"
)

func filled(t testing.TB, n int) *vectors.InMemory {
	t.Helper()
	index := newInMemory(t, vectors.Schema{Dimension: 5, Metric: vectors.Euclidean, NonFilterable: []string{"text"}, Tags: map[string]string{"model": "m"}})
	d := dice{rand.New(rand.NewPCG(5, 6))}
	for i := range n {
		m := d.metadata()
		m["text"] = "<long> & \u2028"
		v := vectors.Vector{Key: fmt.Sprint("k", i), Data: []float32{d.Float32(), float32(i), -1e-30, 3e38, 0}, Metadata: m}
		_, err := index.Put(t.Context(), vectors.Of(v), nil)
		require.NoError(t, err)
	}
	return index
}

// everything is what an index holds.
func everything(t testing.TB, index vectors.Index) map[string]vectors.Vector {
	t.Helper()
	all := make(map[string]vectors.Vector)
	for v, err := range index.List(t.Context(), &vectors.ListOptions{Fields: vectors.Everything}) {
		require.NoError(t, err)
		all[v.Key] = v
	}
	return all
}

func snapshot(t testing.TB, index *vectors.InMemory) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, index.Snapshot(&b))
	return b.Bytes()
}

func requireSame(t testing.TB, want, got *vectors.InMemory) {
	t.Helper()
	require.Equal(t, everything(t, want), everything(t, got))
	a, err := want.Describe(t.Context())
	require.NoError(t, err)
	b, err := got.Describe(t.Context())
	require.NoError(t, err)
	require.Equal(t, a, b)
}

func TestRestoreGivesBackWhatSnapshotTook(t *testing.T) {
	for _, n := range []int{0, 1, 700} {
		index := filled(t, n)
		if n > 0 { // a free row is not a vector
			_, err := index.Put(t.Context(), vectors.Of(vectors.Vector{Key: "gone", Data: make([]float32, 5)}), nil)
			require.NoError(t, err)
			_, err = index.Delete(t.Context(), vectors.Selection{Keys: []string{"gone"}}, nil)
			require.NoError(t, err)
		}
		var restored vectors.InMemory
		require.NoError(t, restored.Restore(iotest.HalfReader(bytes.NewReader(snapshot(t, index)))))
		requireSame(t, index, &restored)
		model := make(map[string]vectors.Metadata)
		for key, v := range everything(t, index) {
			model[key] = v.Metadata
		}
		d := dice{rand.New(rand.NewPCG(7, 8))}
		for range 30 {
			f := d.filter(2)
			for key := range model {
				if !f.Match(model[key]) {
					continue
				}
				require.Contains(t, listed(t, &restored, &vectors.ListOptions{Filter: f}), key)
				break
			}
		}
	}
}

func TestTheZeroIndexSurvivesASnapshot(t *testing.T) {
	var empty, restored vectors.InMemory
	require.NoError(t, restored.Restore(bytes.NewReader(snapshot(t, &empty))))
	_, err := restored.Put(t.Context(), vectors.Of(vectors.Vector{Key: "k", Data: []float32{1, 2}}), nil)
	require.NoError(t, err)
}

func TestRestoreReplacesWhatWasThere(t *testing.T) {
	index, other := filled(t, 3), filled(t, 50)
	require.NoError(t, other.Restore(bytes.NewReader(snapshot(t, index))))
	requireSame(t, index, other)
}

func TestRestoreOfACorruptSnapshotChangesNothing(t *testing.T) {
	good := snapshot(t, filled(t, 20))
	index := filled(t, 4)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		require.ErrorIs(t, index.Restore(bytes.NewReader(bad)), vectors.ErrCorrupt, "bit flipped in byte %d", i)
		require.ErrorIs(t, index.Restore(bytes.NewReader(good[:i])), vectors.ErrCorrupt, "cut at byte %d", i)
	}
	require.ErrorIs(t, index.Restore(bytes.NewReader(append(bytes.Clone(good), 0))), vectors.ErrCorrupt, "a byte more")
	requireSame(t, filled(t, 4), index)
}

func TestRestoreReturnsTheErrorOfItsReader(t *testing.T) {
	good := snapshot(t, filled(t, 20))
	index := filled(t, 4)
	for _, n := range []int{0, 10, 500, len(good)} {
		err := index.Restore(io.MultiReader(bytes.NewReader(good[:n]), iotest.ErrReader(errBoom)))
		require.ErrorIs(t, err, errBoom)
		require.NotErrorIs(t, err, vectors.ErrCorrupt)
	}
	requireSame(t, filled(t, 4), index)
}

var errBoom = errors.New("boom")

// A writer that changes the index while a snapshot is written, which must be of
// the moment it began.
type meddler struct {
	bytes.Buffer
	meddle func()
}

func (m *meddler) Write(p []byte) (int, error) {
	m.meddle()
	return m.Buffer.Write(p)
}

func TestSnapshotIsOfOneMoment(t *testing.T) {
	index := filled(t, 3000)
	n := 0
	w := meddler{meddle: func() {
		n++
		for i := range 300 {
			_, err := index.Put(t.Context(), vectors.Of(vectors.Vector{Key: fmt.Sprint("k", i*10), Data: make([]float32, 5), Metadata: vectors.Metadata{"n": n}}), nil)
			require.NoError(t, err)
		}
		_, err := index.Delete(t.Context(), vectors.Selection{Prefix: fmt.Sprint("k", 2900+n)}, nil)
		require.NoError(t, err)
		_, err = index.Put(t.Context(), vectors.Of(vectors.Vector{Key: fmt.Sprint("new", n), Data: make([]float32, 5)}), nil)
		require.NoError(t, err)
	}}
	require.NoError(t, index.Snapshot(&w))
	require.Greater(t, n, 1, "the snapshot was written in one piece, which shows nothing")
	var restored vectors.InMemory
	require.NoError(t, restored.Restore(&w.Buffer))
	requireSame(t, filled(t, 3000), &restored)
}

func TestSnapshotReturnsTheErrorOfItsWriter(t *testing.T) {
	r, w := io.Pipe()
	require.NoError(t, r.CloseWithError(errBoom))
	require.ErrorIs(t, filled(t, 3).Snapshot(w), errBoom)
}

func FuzzRestore(f *testing.F) {
	for _, n := range []int{0, 1, 3} {
		f.Add(snapshot(f, filled(f, n)))
	}
	f.Add([]byte("gs-vec\x00\x01\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		restore(t, raw)
		// What passes the checksum is checked as well.
		body := raw[:max(0, len(raw)-sha256.Size)]
		sum := sha256.Sum256(body)
		restore(t, append(bytes.Clone(body), sum[:]...))
	})
}

func restore(t *testing.T, raw []byte) {
	t.Helper()
	var index vectors.InMemory
	if err := index.Restore(bytes.NewReader(raw)); err != nil {
		require.ErrorIs(t, err, vectors.ErrCorrupt)
		require.Empty(t, everything(t, &index))
		return
	}
	var again vectors.InMemory
	require.NoError(t, again.Restore(bytes.NewReader(snapshot(t, &index))))
	requireSame(t, &index, &again)
}
