package vectors_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/vectors"
)

// Keys of every length, and metadata of every type under keys that not all have.
func shelved(t testing.TB, d dice, schema vectors.Schema, n int) *vectors.InMemory {
	t.Helper()
	index := newInMemory(t, schema)
	var vs []vectors.Vector
	for i := range n {
		m := d.metadata()
		m["text"] = fmt.Sprint("ü <", i, ">")
		vs = append(vs, vectors.Vector{Key: fmt.Sprint(d.IntN(1000), "é", i), Data: gaussian(d, schema.Dimension), Metadata: m})
	}
	_, err := index.Put(t.Context(), vectors.Of(vs...), nil)
	require.NoError(t, err)
	_, err = index.Delete(t.Context(), vectors.Selection{Prefix: "3"}, nil)
	require.NoError(t, err)
	return index
}

func mapped(t testing.TB, index *vectors.InMemory) *vectors.Mapped {
	t.Helper()
	name := filepath.Join(t.TempDir(), "index")
	require.NoError(t, index.SnapshotFile(t.Context(), name))
	m, err := vectors.OpenSnapshot(t.Context(), name)
	require.NoError(t, err)
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func keysIn(t testing.TB, index vectors.Index, opts *vectors.ListOptions) (keys []string) {
	t.Helper()
	for v, err := range index.List(t.Context(), opts) {
		require.NoError(t, err)
		keys = append(keys, v.Key)
	}
	return keys
}

func TestAMappedSnapshotAnswersAsTheIndexDoes(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(31, 32))}
	for _, n := range []int{0, 1, 2, 70, 3000} {
		for _, schema := range []vectors.Schema{
			{Dimension: 5, NonFilterable: []string{"text"}, Tags: map[string]string{"model": "m"}},
			{Dimension: 100, Metric: vectors.Euclidean, NonFilterable: []string{"text"}},
		} {
			index := shelved(t, d, schema, n)
			m := mapped(t, index)
			want, err := index.Describe(t.Context())
			require.NoError(t, err)
			got, err := m.Describe(t.Context())
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.Equal(t, everything(t, index), everything(t, m))
			p := compared{t, d, index, m, schema, keysIn(t, index, nil)}
			for range 60 {
				p.requireAnswers()
			}
		}
	}
}

// compared are an index and its snapshot, which are asked the same.
type compared struct {
	*testing.T
	dice

	index  *vectors.InMemory
	mapped *vectors.Mapped
	schema vectors.Schema
	all    []string // keys
}

func (p compared) requireAnswers() {
	p.Helper()
	t, d, index, m := p.T, p.dice, p.index, p.mapped
	f := d.filter(3)
	prefix := []string{"", "1", "10", "é"}[d.IntN(4)]
	keysOfBoth := [2][]string{}
	for i, in := range []vectors.Index{index, m} {
		keysOfBoth[i] = keysIn(t, in, &vectors.ListOptions{Filter: f, Prefix: prefix})
		slices.Sort(keysOfBoth[i]) // the order is of hashes, and of rows where these meet
	}
	require.Equal(t, keysOfBoth[0], keysOfBoth[1], "%+v", f)
	q := vectors.Query{Vector: gaussian(d, p.schema.Dimension), TopK: 1 + d.IntN(40), Filter: f, Fields: vectors.Fields(d.IntN(4))}
	require.Equal(t, matches(t, index, q), matches(t, m, q), "%+v", q)
	q.Filter = vectors.Filter{}
	require.Equal(t, matches(t, index, q), matches(t, m, q), "%+v", q)
	keys := []string{"absent", "absent too"}
	if n := len(p.all); n > 0 {
		keys = append(keys, p.all[d.IntN(n)], p.all[d.IntN(n)], p.all[0], p.all[0])
	}
	want, err := index.Get(t.Context(), keys, &vectors.GetOptions{Fields: vectors.Everything})
	require.NoError(t, err)
	got, err := m.Get(t.Context(), keys, &vectors.GetOptions{Fields: vectors.Everything})
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestAMappedSnapshotCannotBeChangedAndSaysSo(t *testing.T) {
	index := filled(t, 20)
	m := mapped(t, index)
	_, err := m.Put(t.Context(), vectors.Of(vectors.Vector{Key: "k", Data: make([]float32, 5)}), nil)
	require.ErrorIs(t, err, vectors.ErrDenied)
	require.ErrorContains(t, err, "InMemory")
	_, err = m.Delete(t.Context(), vectors.Selection{All: true}, nil)
	require.ErrorIs(t, err, vectors.ErrDenied)
	require.Equal(t, everything(t, index), everything(t, m))

	// What the error says to do.
	schema, err := m.Describe(t.Context())
	require.NoError(t, err)
	again := newInMemory(t, schema)
	_, err = again.Put(t.Context(), m.List(t.Context(), &vectors.ListOptions{Fields: vectors.Everything}), nil)
	require.NoError(t, err)
	requireSame(t, index, again)
}

func TestAMappedSnapshotChecksArguments(t *testing.T) {
	for _, n := range []int{0, 20} {
		m := mapped(t, filled(t, n))
		_, err := m.Get(t.Context(), []string{""}, nil)
		require.ErrorIs(t, err, vectors.ErrInvalid)
		_, err = m.Get(t.Context(), nil, &vectors.GetOptions{Fields: 9})
		require.ErrorIs(t, err, vectors.ErrInvalid)
		for _, err := range m.Query(t.Context(), vectors.Query{Vector: []float32{1}}) {
			require.ErrorIs(t, err, vectors.ErrInvalid)
		}
		for _, err := range m.List(t.Context(), &vectors.ListOptions{Filter: vectors.Exists("text")}) {
			require.ErrorIs(t, err, vectors.ErrInvalid)
		}
	}
}

func failures(ctx context.Context, m *vectors.Mapped) map[string]error {
	_, describe := m.Describe(ctx)
	_, get := m.Get(ctx, []string{"k1"}, nil)
	_, none := m.Get(ctx, nil, nil)
	_, put := m.Put(ctx, nil, nil)
	_, remove := m.Delete(ctx, vectors.Selection{All: true}, nil)
	all := map[string]error{"Describe": describe, "Get": get, "Get of nothing": none, "Put": put, "Delete": remove}
	for _, err := range m.Query(ctx, vectors.Query{Vector: make([]float32, 5)}) {
		all["Query"] = err
	}
	for _, err := range m.List(ctx, nil) {
		all["List"] = err
	}
	return all
}

func TestAMappedSnapshotStopsWithItsContextAndWhenClosed(t *testing.T) {
	m := mapped(t, filled(t, 20))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for method, err := range failures(ctx, m) {
		require.ErrorIs(t, err, context.Canceled, method)
	}
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for _, err := range m.List(ctx, nil) {
		if n++; n == 3 {
			cancel()
		} else if n > 3 {
			require.ErrorIs(t, err, context.Canceled)
		}
	}
	require.Equal(t, 4, n)
	require.NoError(t, m.Close())
	require.ErrorIs(t, m.Close(), fs.ErrClosed)
	require.Len(t, failures(t.Context(), m), 7)
	for method, err := range failures(t.Context(), m) {
		require.ErrorIs(t, err, fs.ErrClosed, method)
	}
}

// What was read stays, and what reads while the file is closed ends well.
func TestWhatAMappedSnapshotReturnedOutlivesIt(t *testing.T) {
	index := filled(t, 3000)
	want := everything(t, index)
	m := mapped(t, index)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for v, err := range m.List(t.Context(), &vectors.ListOptions{Fields: vectors.Everything}) {
				if err != nil {
					require.ErrorIs(t, err, fs.ErrClosed)
					return
				}
				require.Equal(t, want[v.Key], v)
			}
		})
	}
	first, err := m.Get(t.Context(), []string{"k7"}, &vectors.GetOptions{Fields: vectors.Everything})
	require.NoError(t, err)
	found := matches(t, m, vectors.Query{Vector: make([]float32, 5), Fields: vectors.Everything})
	require.NoError(t, m.Close())
	group.Wait()
	require.Equal(t, want["k7"], first[0])
	for _, match := range found {
		require.Equal(t, want[match.Key], match.Vector)
	}
}

func TestAFileThatIsNoSnapshotIsCorrupt(t *testing.T) {
	good := snapshot(t, filled(t, 20))
	head := func(version byte) []byte {
		return append([]byte("gs-vec\x00"), append([]byte{version}, good[8:]...)...)
	}
	changed := bytes.Clone(good)
	changed[len(changed)/2] ^= 4
	for _, tt := range []struct {
		name  string
		bytes []byte
		says  string
	}{
		{"nothing", nil, ""},
		{"something else", bytes.Repeat([]byte("text "), 100), "not a snapshot of vectors"},
		{"the beginning of one", good[:50], "ends early"},
		{"one that was cut", good[:len(good)-64], "ends early"},
		{"one with more after it", append(bytes.Clone(good), make([]byte, 64)...), "something follows"},
		{"one that was changed", changed, "checksum"},
		{"one of the version before", head(1), "version 1, which is no longer read"},
		{"one of a newer version", head(3), "version 3, which a newer version of this package wrote: this one reads version 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "index")
			require.NoError(t, os.WriteFile(name, tt.bytes, 0o600))
			_, err := vectors.OpenSnapshot(t.Context(), name)
			require.ErrorIs(t, err, vectors.ErrCorrupt)
			require.ErrorContains(t, err, tt.says)
			require.ErrorContains(t, err, name)
		})
	}
	_, err := vectors.OpenSnapshot(t.Context(), filepath.Join(t.TempDir(), "absent"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = vectors.OpenSnapshot(t.Context(), t.TempDir())
	require.Error(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	name := filepath.Join(t.TempDir(), "index")
	require.NoError(t, os.WriteFile(name, good, 0o600))
	_, err = vectors.OpenSnapshot(ctx, name)
	require.ErrorIs(t, err, context.Canceled)
}

func TestASnapshotReplacesAFileWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "index")
	old, young := filled(t, 5), filled(t, 3000)
	require.NoError(t, old.SnapshotFile(t.Context(), name))
	open, err := vectors.OpenSnapshot(t.Context(), name)
	require.NoError(t, err)
	defer open.Close()

	ctx := &patience{Context: t.Context()}
	ctx.left.Store(1)
	require.ErrorIs(t, young.SnapshotFile(ctx, name), context.Canceled)
	require.Equal(t, everything(t, old), everything(t, open))
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 1, "nothing is left behind")

	require.NoError(t, young.SnapshotFile(t.Context(), name))
	require.Equal(t, everything(t, old), everything(t, open), "who has the old one open keeps it")
	again, err := vectors.OpenSnapshot(t.Context(), name)
	require.NoError(t, err)
	defer again.Close()
	require.Equal(t, everything(t, young), everything(t, again))
	require.Error(t, old.SnapshotFile(t.Context(), filepath.Join(dir, "absent", "index")))
}

// Codes that are of other data than lies beside them would leave vectors out.
func TestASnapshotHasTheCodesOfItsMoment(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(39, 40))}
	schema := vectors.Schema{Dimension: 64, NonFilterable: []string{"text"}}
	index, calm := shelved(t, d, schema, 7000), newInMemory(t, schema) // two slabs
	_, err := calm.Put(t.Context(), index.List(t.Context(), &vectors.ListOptions{Fields: vectors.Everything}), nil)
	require.NoError(t, err)
	keys := keysIn(t, index, nil)
	meddled := false
	w := meddler{meddle: func() {
		if meddled {
			return
		}
		meddled = true
		for _, key := range keys {
			_, err := index.Put(t.Context(), vectors.Of(vectors.Vector{Key: key, Data: gaussian(d, 64)}), nil)
			require.NoError(t, err)
		}
	}}
	require.NoError(t, index.Snapshot(&w))
	m, err := vectors.OpenBytes(w.Bytes())
	require.NoError(t, err)
	for range 20 {
		q := vectors.Query{Vector: gaussian(d, 64), TopK: 5}
		require.Equal(t, matches(t, calm, q), matches(t, m, q))
	}
}

// resealed is a snapshot that somebody changed, and computed the checksum of.
func resealed(raw []byte) []byte {
	body := bytes.Clone(raw[:max(0, len(raw)-sha256.Size)])
	if len(body) >= 32 {
		binary.LittleEndian.PutUint64(body[len(body)-16:], uint64(len(raw)))
	}
	sum := sha256.Sum256(body)
	return append(body, sum[:]...)
}

func openBytes(t testing.TB, raw []byte) {
	t.Helper()
	m, err := vectors.OpenBytes(raw)
	if err != nil {
		require.ErrorIs(t, err, vectors.ErrCorrupt)
		return
	}
	defer m.Close()
	schema, err := m.Describe(t.Context())
	require.NoError(t, err)
	d := dice{rand.New(rand.NewPCG(1, 2))}
	for range 5 {
		for v, err := range m.List(t.Context(), &vectors.ListOptions{Filter: d.filter(2), Fields: vectors.Everything}) {
			require.NoError(t, err)
			_, err = m.Get(t.Context(), []string{v.Key}, nil)
			require.NoError(t, err)
		}
		for range m.Query(t.Context(), vectors.Query{Vector: gaussian(d, max(1, schema.Dimension)), Filter: d.filter(2)}) {
		}
	}
}

// Whatever bytes say that were meant to do harm, nothing outside the file is read.
func TestEveryByteOfASnapshotMayLie(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(33, 34))}
	good := snapshot(t, shelved(t, d, vectors.Schema{Dimension: 64, NonFilterable: []string{"text"}}, 6))
	openBytes(t, resealed(good))
	for i := range good {
		if i%7 != 0 && i > 200 && i < len(good)-2000 {
			continue // numbers of vectors, which may be any
		}
		bad := bytes.Clone(good)
		bad[i] ^= []byte{1, 0x80, 0xff}[d.IntN(3)]
		openBytes(t, resealed(bad))
	}
}

func FuzzOpenSnapshot(f *testing.F) {
	d := dice{rand.New(rand.NewPCG(35, 36))}
	for _, n := range []int{0, 1, 9} {
		f.Add(snapshot(f, shelved(f, d, vectors.Schema{Dimension: 3, NonFilterable: []string{"text"}}, n)))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		openBytes(t, raw)
		openBytes(t, resealed(raw))
	})
}

func BenchmarkOpenSnapshot(b *testing.B) {
	d := dice{rand.New(rand.NewPCG(37, 38))}
	name := filepath.Join(b.TempDir(), "index")
	require.NoError(b, shelved(b, d, vectors.Schema{Dimension: 768, NonFilterable: []string{"text"}}, 20_000).SnapshotFile(b.Context(), name))
	info, err := os.Stat(name)
	require.NoError(b, err)
	b.SetBytes(info.Size())
	for b.Loop() {
		m, err := vectors.OpenSnapshot(b.Context(), name)
		require.NoError(b, err)
		require.NoError(b, m.Close())
	}
}
