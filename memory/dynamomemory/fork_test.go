package dynamomemory_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

// copies counts the records in batches, which are put into a fork or removed.
func copies(fake *awsfake.DynamoDB) func() int {
	n := 0
	fake.Intercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if awsfake.Operation(r) == "BatchWriteItem" {
			n += strings.Count(peek(r), `"E#`)
		}
		return false
	})
	return func() int {
		fake.Intercept(nil)
		return n
	}
}

// A Fork whose process dies goes on where it was, and copies nothing twice.
func TestAForkGoesOnAfterACrash(t *testing.T) {
	const records = 70
	cipher, err := dynamomemory.NewLocalCipher([]byte(strings.Repeat("k", 32)))
	require.NoError(t, err)
	for name, opts := range map[string]*dynamomemory.Options{"plain": nil, "encrypted": {Cipher: cipher}} {
		t.Run(name, func(t *testing.T) {
			for crashed, change := range map[string]func(s memory.Store, first memory.RecordID) error{
				"": nil,
				"the notes have changed": func(s memory.Store, first memory.RecordID) error {
					return update(s, "s", memory.Annotate{Record: first, Notes: memory.Notes{Intent: "new"}})
				},
				"a record was redacted": func(s memory.Store, first memory.RecordID) error {
					return update(s, "s", memory.Redact{Record: first})
				},
				"there is more": func(s memory.Store, _ memory.RecordID) error { return appendTo(s, "s", entry("more"), nil) },
			} {
				fake := newFake(t)
				store := open(t, fake, opts)
				var want []string
				var ids []memory.RecordID
				for i := range records {
					r, err := store.Append(t.Context(), key("s"), entry(fmt.Sprint(i)), nil)
					require.NoError(t, err)
					ids, want = append(ids, r.Record.ID), append(want, fmt.Sprint(i))
				}
				require.NoError(t, update(store, "s", memory.Annotate{Record: ids[0], Notes: memory.Notes{Intent: "old"}}))
				require.NoError(t, update(store, "s", memory.Annotate{Record: ids[1], Notes: memory.Notes{Intent: "gone"}}))
				fork := memory.Fork{From: "s", UpTo: ids[records-1]}
				v := &victim{fake: fake, at: 4} // directory, head, one batch of two
				require.Error(t, update(v.store(t, opts), "fork", fork))
				require.NoError(t, update(store, "s", memory.Annotate{Record: ids[1]}))
				if change != nil {
					require.NoError(t, change(store, ids[0]))
				}
				count := copies(fake)
				other := open(t, fake, opts)
				require.NoError(t, update(other, "fork", fork))
				n := count()
				if crashed == "a record was redacted" {
					require.GreaterOrEqual(t, n, records, "what has changed is copied anew")
					require.True(t, window(t, other, "fork").Records[0].Redacted)
					continue
				}
				require.Less(t, n, records-20, crashed)
				require.Equal(t, want, texts(t, other, "fork"))
				w, err := other.Open(t.Context(), key("fork"), &memory.WindowOptions{Last: records, Notes: true, Verbatim: true})
				require.NoError(t, err)
				require.Equal(t, map[bool]string{true: "new", false: "old"}[crashed == "the notes have changed"], w.Records[0].Notes.Intent)
				require.True(t, w.Records[1].Notes.IsZero(), "notes that were removed since")
				require.ErrorIs(t, update(other, "fork", fork), memory.ErrConflict)
			}
		})
	}
}

// A Fork up to another record, or of another session, takes nothing of a copy that was
// given up.
func TestAnotherForkStartsOver(t *testing.T) {
	fake := newFake(t)
	store := open(t, fake, nil)
	var ids []memory.RecordID
	for i := range 60 {
		for _, session := range []string{"s", "other"} {
			r, err := store.Append(t.Context(), key(session), entry(fmt.Sprint(session, i)), nil)
			require.NoError(t, err)
			ids = append(ids, r.Record.ID)
		}
	}
	for _, fork := range []memory.Fork{{From: "s", UpTo: ids[20]}, {From: "other"}} {
		v := &victim{fake: fake, at: 4}
		require.Error(t, update(v.store(t, nil), "fork", memory.Fork{From: "s"}))
		require.NoError(t, update(open(t, fake, nil), "fork", fork))
		got := texts(t, store, "fork")
		require.False(t, slices.ContainsFunc(got, func(s string) bool { return !strings.HasPrefix(s, fork.From) }), got)
		require.Len(t, got, map[string]int{"s": 11, "other": 60}[fork.From])
		require.NoError(t, store.Delete(t.Context(), key("fork")))
	}
}
