package dynamomemory_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
	"github.com/genaistore/genaistore/memory/memorytest"
)

// refuseTransactions makes the fake a strongly consistent global table.
func refuseTransactions(fake *awsfake.DynamoDB) {
	fake.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if awsfake.Operation(r) != "TransactWriteItems" {
			return false
		}
		awsfake.Fail(w, r, http.StatusBadRequest, "ValidationException", "Transactional operations are not supported on this table")
		return true
	})
}

func withoutTransactions(t testing.TB) (*awsfake.DynamoDB, *dynamomemory.Options) {
	t.Helper()
	fake := awsfake.NewDynamoDB()
	createTable(t, fake.Client(), false)
	refuseTransactions(fake)
	return fake, &dynamomemory.Options{NoTransactions: true, NoLSI: true}
}

func TestStoreWithoutTransactions(t *testing.T) {
	fake, opts := withoutTransactions(t)
	store := open(t, fake, opts)
	memorytest.Run(t, func(*testing.T) memory.Store { return store })
}

// skipSlow leaves a test out where it takes minutes and cannot find what it is slow for.
func skipSlow(t testing.TB) {
	t.Helper()
	if slow {
		t.Skip("one call at a time: nothing for the race detector, which makes it take minutes")
	}
}

func TestStoreWithoutTransactionsAndEncrypted(t *testing.T) {
	skipSlow(t)
	cipher, err := dynamomemory.NewLocalCipher([]byte(strings.Repeat("k", 32)))
	require.NoError(t, err)
	fake, opts := withoutTransactions(t)
	opts.Cipher = cipher
	memorytest.Run(t, func(t *testing.T) memory.Store { return &forgetful{func() memory.Store { return open(t, fake, opts) }} })
}

func FuzzStoreWithoutTransactions(f *testing.F) {
	skipSlow(f)
	fake, opts := withoutTransactions(f)
	store := open(f, fake, opts)
	memorytest.Fuzz(f, func(*testing.T) memory.Store { return store })
}

// Where the option is not set the error says what is missing.
func TestATableThatRefusesTransactionsIsSaid(t *testing.T) {
	fake, _ := withoutTransactions(t)
	store := open(t, fake, nil)
	require.NoError(t, appendTo(store, "s", entry("a"), nil))
	err := update(store, "s", memory.SetState{Set: everywhere("v")})
	require.ErrorIs(t, err, memory.ErrInvalid)
	require.ErrorContains(t, err, "NoTransactions")
}

// Whoever carries out a journal may be so slow that it is long done, and that later ones
// are too. Nothing of them is undone.
func TestASlowJournalUndoesNothing(t *testing.T) {
	for point := 1; ; point++ {
		fake, opts := withoutTransactions(t)
		mine, theirs := open(t, fake, opts), open(t, fake, opts)
		var ids []memory.RecordID
		for _, s := range []string{"a", "b", "c"} {
			r, err := mine.Append(t.Context(), key("s"), stateful(s, s), nil)
			require.NoError(t, err)
			ids = append(ids, r.Record.ID)
		}
		writes, came := 0, false
		other := func() {
			came = true
			require.Equal(t, everywhere("old"), window(t, theirs, "s").States, "who reads goes on with it")
			require.NoError(t, update(theirs, "s",
				memory.SetState{Unset: memory.Unset{Session: []string{"k"}}, Set: memory.States{Session: memory.State{"l": 1}, User: memory.State{"k": "new"}}},
				memory.SetGist{UpTo: ids[2], Text: "new"}, memory.Edit{Record: ids[0], Messages: entry("new").Messages}, memory.Annotate{Record: ids[1]}))
			require.NoError(t, update(theirs, "s", memory.Redact{Record: ids[1]}))
		}
		before(fake, func(operation, _ string) bool {
			writing := operation == "PutItem" || operation == "UpdateItem"
			if writing {
				writes++
			}
			return writing && writes == point+1 // the first one is that of the head
		}, other)
		require.NoError(t, update(mine, "s", memory.SetState{Set: everywhere("old")}, memory.SetTitle{Title: "t"},
			memory.SetGist{UpTo: ids[1], Text: "old"}, memory.Edit{Record: ids[0], Messages: entry("old").Messages},
			memory.Annotate{Record: ids[1], Notes: memory.Notes{Intent: "old"}}))
		if !came {
			require.Greater(t, point, 7)
			return
		}
		w, err := theirs.Open(t.Context(), key("s"), &memory.WindowOptions{Scopes: memory.AllStates, Notes: true})
		require.NoError(t, err)
		require.Equal(t, memory.States{Session: memory.State{"l": 1.0}, User: memory.State{"k": "new"}, App: memory.State{"k": "old"}}, w.States, point)
		require.Equal(t, "new", w.Gist.Text, point)
		require.Equal(t, "new", w.Records[0].Messages[0].Parts[0].Text, point)
		require.True(t, w.Records[1].Redacted, point)
		require.Empty(t, w.Records[1].Notes.Intent, point)
		require.Equal(t, "t", w.Head.Title, point)
		require.Empty(t, items(t, fake, "H")[0]["jn"], "the journal is done")
	}
}

// The state remembers which journal it has, also where all that it said has gone since:
// an Append has removed the key, and the trace of that was dropped.
func TestASlowJournalBringsNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, opts := withoutTransactions(t)
		mine, theirs := open(t, fake, opts), open(t, fake, opts)
		require.NoError(t, appendTo(mine, "s", stateful("a", "a"), nil))
		came := false
		before(fake, func(operation, body string) bool { return operation == "PutItem" && strings.Contains(body, `"HS"`) }, func() {
			came = true
			require.Equal(t, everywhere("old"), window(t, theirs, "s").States)
			e := entry("b")
			e.State.Unset.Session = []string{"k"}
			require.NoError(t, appendTo(theirs, "s", e, nil))
			for i := range 30 {
				time.Sleep(10 * time.Second)
				e := entry("c")
				e.State.Set.Session = memory.State{"i": i}
				require.NoError(t, appendTo(theirs, "s", e, nil))
			}
			require.Contains(t, items(t, fake, "HS")[0], "pu", "the state has been folded")
		})
		require.NoError(t, update(mine, "s", memory.SetTitle{Title: "t"}, memory.SetState{Set: everywhere("old")}))
		require.True(t, came)
		require.Equal(t, memory.State{"i": 29.0}, window(t, theirs, "s").States.Session)
	})
}

// A journal that does not fit into the head is refused.
func TestAJournalThatIsTooLargeIsRefused(t *testing.T) {
	fake, opts := withoutTransactions(t)
	store := open(t, fake, opts)
	var changes []memory.Change
	for range memory.MaxChanges {
		r, err := store.Append(t.Context(), key("s"), entry("a"), nil)
		require.NoError(t, err)
		labels := map[string]string{}
		for i := range memory.MaxLabels {
			labels[string(rune('a'+i))] = text(memory.MaxLabelValue)
		}
		changes = append(changes, memory.Annotate{Record: r.Record.ID, Notes: memory.Notes{Labels: labels}})
	}
	before, err := fake.Items(tableName)
	require.NoError(t, err)
	require.ErrorIs(t, update(store, "s", changes...), memory.ErrInvalid)
	after, err := fake.Items(tableName)
	require.NoError(t, err)
	require.Equal(t, before, after)
	changes = nil
	for _, r := range window(t, store, "s").Records {
		changes = append(changes, memory.Edit{Record: r.ID, Messages: entry(text(100 << 10)).Messages})
	}
	require.NoError(t, update(store, "s", changes...), "bodies go beside the journal")
	require.Len(t, texts(t, store, "s")[memory.MaxChanges-1], 100<<10)
}
