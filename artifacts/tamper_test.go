package artifacts

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// These tests reach into the store, because nothing else can damage it.

func TestBytesThatChangedInTheStoreAreCorrupt(t *testing.T) {
	var store InMemory
	name := Name{Path: "a"}
	data := bytes.Repeat([]byte("x"), LeafSize+10)
	p, err := store.Publish(t.Context(), name, Files(map[string][]byte{"f": data}), nil)
	require.NoError(t, err)
	stored := store.names[name].trees[1].files[0].blob.data
	stored[LeafSize+3] = 'y'

	f, err := store.Open(t.Context(), p.Version.ID, "f")
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	got := make([]byte, 100)
	n, err := f.ReadAt(got, 0)
	require.NoError(t, err, "the first leaf is whole")
	require.Equal(t, 100, n)
	n, err = f.ReadAt(got[:1], LeafSize)
	require.ErrorIs(t, err, ErrCorrupt, "a byte beside the damage, in its leaf")
	require.Zero(t, n)
	n, err = f.ReadAt(got, LeafSize-50)
	require.ErrorIs(t, err, ErrCorrupt, "a range that reaches into it")
	require.Zero(t, n)
	read, err := io.Copy(io.Discard, f)
	require.ErrorIs(t, err, ErrCorrupt)
	require.LessOrEqual(t, read, int64(LeafSize))
	require.ErrorContains(t, err, "read f")
}

func TestARecordThatChangedInTheStoreIsCorrupt(t *testing.T) {
	for what, spoil := range map[string]func(records []Record) []Record{
		"a reason":    func(r []Record) []Record { r[1].Changes = []Change{Pin{1, "x"}}; return r },
		"a record":    func(r []Record) []Record { return append(r[:1:1], r[2:]...) },
		"a time":      func(r []Record) []Record { r[1].Time = r[1].Time.Add(1); return r },
		"their order": func(r []Record) []Record { r[1], r[2] = r[2], r[1]; return r },
	} {
		for _, backward := range []bool{false, true} {
			var store InMemory
			name := Name{Path: "a"}
			_, err := store.Publish(t.Context(), name, Files(map[string][]byte{"f": nil}), nil)
			require.NoError(t, err)
			for _, by := range []string{"1", "2", "3"} {
				_, err = store.Apply(t.Context(), name, Pin{1, by})
				require.NoError(t, err)
			}
			a := store.names[name]
			a.records = spoil(append([]Record(nil), a.records...))
			var last error
			for _, err := range store.History(t.Context(), name, &HistoryOptions{Backward: backward}) {
				require.NoError(t, last, "an error is the last")
				last = err
			}
			require.ErrorIs(t, last, ErrCorrupt, what)
		}
	}
}

func TestContentIsKeptOnceAndFreed(t *testing.T) {
	var store InMemory
	name := Name{Path: "a"}
	publish := func(opts *PublishOptions, files map[string][]byte) {
		t.Helper()
		_, err := store.Publish(t.Context(), name, Files(files), opts)
		require.NoError(t, err)
	}
	blobs := func() map[string]*shared { return store.names[name].blobs }
	publish(nil, map[string][]byte{"x": []byte("1"), "y": []byte("1"), "z": []byte("2")})
	publish(nil, map[string][]byte{"x": []byte("1")})
	require.Len(t, blobs(), 2)
	one, two := store.names[name].trees[1], store.names[name].trees[2]
	require.Same(t, one.files[0].blob, one.files[1].blob)
	require.Same(t, one.files[0].blob, two.files[0].blob)
	_, err := store.Apply(t.Context(), name, Delete{Version: 1})
	require.NoError(t, err)
	require.Len(t, blobs(), 1)
	_, err = store.Apply(t.Context(), name, Delete{})
	require.NoError(t, err)
	require.Empty(t, blobs())
	require.Empty(t, store.names[name].trees)

	publish(&PublishOptions{ID: "i", Ranks: 2}, map[string][]byte{"x": []byte("old")})
	publish(&PublishOptions{ID: "i", Ranks: 2}, map[string][]byte{"x": []byte("new")})
	require.Len(t, blobs(), 1, "a part that was replaced is freed")
	publish(&PublishOptions{ID: "i", Ranks: 2, Rank: 1}, map[string][]byte{"x": []byte("new"), "y": []byte("more")})
	require.Len(t, blobs(), 2)
	require.Empty(t, store.names[name].pending)
	for _, b := range blobs() {
		require.Equal(t, 1, b.uses)
	}
	_, err = store.Publish(t.Context(), Name{Path: "never"}, Files(nil), nil)
	require.ErrorIs(t, err, ErrInvalid)
	require.NotContains(t, store.names, Name{Path: "never"})
}

func TestReadingStopsBetweenReadsOnly(t *testing.T) {
	calls := 0
	b, digest, err := readAll(t.Context(), strings.NewReader("abc"), -1, func(int64) { calls++ })
	require.NoError(t, err)
	require.Equal(t, "abc", string(b.data))
	require.Equal(t, TreeDigest(3, b.leaves), digest)
	require.NotZero(t, calls)
	_, _, err = readAll(t.Context(), liar{}, -1, func(int64) {})
	require.ErrorIs(t, err, ErrInvalid, "a reader that says it read more than there was room for")
	boom := errors.New("boom")
	_, _, err = readAll(t.Context(), io.MultiReader(strings.NewReader("abc"), failing{boom}), 9, func(int64) {})
	require.ErrorIs(t, err, boom)
}

type liar struct{}

func (liar) Read(p []byte) (int, error) { return len(p) + 1, nil }

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
