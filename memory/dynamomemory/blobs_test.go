package dynamomemory_test

import (
	"context"
	"maps"
	"regexp"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
	"github.com/genaistore/genaistore/memory/memorytest"
)

// blobs is a BlobStore in memory.
type blobs struct {
	mu  sync.Mutex
	all map[string]string
}

var blobName = regexp.MustCompile(`^[\w.~%-]+(/[\w.~%-]+)*$`)

func (b *blobs) Put(_ context.Context, name string, data []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !blobName.MatchString(name) {
		return memory.ErrInvalid
	}
	b.all[name] = string(data)
	return nil
}

func (b *blobs) Get(_ context.Context, name string) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	data, ok := b.all[name]
	if !ok {
		return nil, memory.ErrNotFound
	}
	return []byte(data), nil
}

func (b *blobs) Delete(_ context.Context, name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.all, name)
	return nil
}

func TestStoreWithBlobs(t *testing.T) {
	opts := sealing(t)
	opts.Blobs = &blobs{all: map[string]string{}}
	store := open(t, newFake(t), opts)
	memorytest.Run(t, func(*testing.T) memory.Store { return store })
}

func TestBlobsGoWithTheirRecords(t *testing.T) {
	b := &blobs{all: map[string]string{}}
	fake := newFake(t)
	store := open(t, fake, &dynamomemory.Options{Blobs: b})
	large := text(1 << 20)
	for _, session := range []string{"s", "other"} {
		require.NoError(t, appendTo(store, session, entry(large), nil))
		require.NoError(t, appendTo(store, session, entry(large), nil))
	}
	require.Len(t, b.all, 4, "equal records do not share a blob that one of them may take along")
	require.NoError(t, update(store, "fork", memory.Fork{From: "s"}))
	require.Len(t, b.all, 6)
	id := window(t, store, "s").Records[0].ID
	require.NoError(t, update(store, "s", memory.Redact{Record: id}))
	require.Len(t, b.all, 5)
	require.NoError(t, update(store, "s", memory.Rewind{To: id}))
	require.Len(t, b.all, 4)
	require.Equal(t, []string{large, large}, texts(t, store, "fork"))
	require.NoError(t, store.Delete(t.Context(), key("fork")))
	require.Len(t, b.all, 2)
	require.Equal(t, []string{large, large}, texts(t, store, "other"))

	_, err := open(t, fake, nil).Open(t.Context(), key("other"), nil)
	require.ErrorIs(t, err, memory.ErrInvalid, "a store without the blobs")
	require.ErrorContains(t, err, "blob store")
	for name := range maps.Clone(b.all) {
		require.NoError(t, b.Put(t.Context(), name, []byte("something else")))
	}
	_, err = store.Open(t.Context(), key("other"), nil)
	require.ErrorIs(t, err, memory.ErrCorrupt, "a blob that was changed")
}
