package memory_test

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/memorytest"
)

func TestInMemory(t *testing.T) {
	memorytest.Run(t, func(*testing.T) memory.Store { return new(memory.InMemory) })
}

// A backend that many tests share, such as a table, has to pass too.
func TestInMemoryShared(t *testing.T) {
	var store memory.InMemory
	memorytest.Run(t, func(*testing.T) memory.Store { return &store })
}

func FuzzInMemory(f *testing.F) {
	random := rand.New(rand.NewPCG(2, 2))
	for range 500 { // this store is fast enough to run them in each go test
		choices := make([]byte, 400)
		for i := range choices {
			choices[i] = byte(random.Uint32())
		}
		f.Add(choices)
	}
	memorytest.Fuzz(f, func(*testing.T) memory.Store { return new(memory.InMemory) })
}

func BenchmarkInMemory(b *testing.B) {
	memorytest.Bench(b, func(*testing.B) memory.Store { return new(memory.InMemory) })
}

func key(session string) memory.Key { return memory.Key{App: "app", User: "ada", Session: session} }

func say(t *testing.T, store memory.Store, session, text string, opts *memory.AppendOptions) memory.Receipt {
	t.Helper()
	r, err := store.Append(t.Context(), key(session), memory.Entry{Messages: []memory.Message{memory.Text("user", text)}}, opts)
	require.NoError(t, err)
	return r
}

func TestARequestIDIsForgottenAfterItsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store memory.InMemory
		first := say(t, &store, "s", "a", &memory.AppendOptions{RequestID: "r"})
		time.Sleep(memory.RequestLife - time.Nanosecond)
		require.Equal(t, first.Record, say(t, &store, "s", "b", &memory.AppendOptions{RequestID: "r"}).Record)
		time.Sleep(time.Nanosecond)
		again := say(t, &store, "s", "c", &memory.AppendOptions{RequestID: "r"})
		require.False(t, again.Replayed)
		time.Sleep(memory.RequestLife - time.Nanosecond)
		require.Equal(t, again.Record, say(t, &store, "s", "d", &memory.AppendOptions{RequestID: "r"}).Record)
	})
}

func TestASessionEndsWhenItsTimeHasCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store memory.InMemory
		say(t, &store, "s", "a", nil)
		_, err := store.Update(t.Context(), key("s"), memory.Keep{Until: time.Now().Add(time.Hour)})
		require.NoError(t, err)
		time.Sleep(time.Hour - time.Nanosecond)
		_, err = store.Open(t.Context(), key("s"), nil)
		require.NoError(t, err)
		time.Sleep(time.Nanosecond)
		_, err = store.Open(t.Context(), key("s"), nil)
		require.ErrorIs(t, err, memory.ErrNotFound)
		for match := range store.Find(t.Context(), memory.Query{App: "app"}) {
			t.Errorf("found %s", match.Key)
		}
	})
}

func TestSessionsAreListedByTheirLastAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store memory.InMemory
		for _, session := range []string{"a", "b", "c", "a"} {
			time.Sleep(time.Second)
			r := say(t, &store, session, "x", nil)
			w, err := store.Open(t.Context(), key(session), nil)
			require.NoError(t, err)
			require.Equal(t, r.Record.Time, w.Head.Active)
		}
		time.Sleep(time.Second)
		_, err := store.Update(t.Context(), key("b"), memory.SetTitle{Title: "not an append"})
		require.NoError(t, err)
		var order []string
		for match, err := range store.Find(t.Context(), memory.Query{App: "app", Since: time.Now().Add(-4 * time.Second), Until: time.Now()}) {
			require.NoError(t, err)
			order = append(order, match.Key.Session)
		}
		require.Equal(t, []string{"a", "c", "b"}, order)
	})
}

// ahead returns a bookmark of a machine whose clock is d ahead of the bubble that
// synctest starts.
func ahead(t *testing.T, d time.Duration) (b memory.Bookmark) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(d)
		b = say(t, new(memory.InMemory), "s", "a", nil).Bookmark
	})
	return b
}

func TestABookmarkFromAFastClock(t *testing.T) {
	minute, more := ahead(t, time.Minute), ahead(t, time.Minute+time.Millisecond)
	synctest.Test(t, func(t *testing.T) {
		var store memory.InMemory
		_, err := store.Append(t.Context(), key("s"), memory.Entry{}, &memory.AppendOptions{After: more})
		require.ErrorIs(t, err, memory.ErrClockSkew)
		require.ErrorIs(t, err, memory.ErrInvalid)
		_, err = store.Open(t.Context(), key("s"), nil)
		require.ErrorIs(t, err, memory.ErrNotFound, "the refused Append has made a session")

		r := say(t, &store, "s", "a", &memory.AppendOptions{After: minute})
		require.Greater(t, string(r.Bookmark), string(minute))
		require.Equal(t, time.Minute, time.Until(r.Record.Time))
	})
}

func TestABookmarkThatTheStoreHasNotSeen(t *testing.T) {
	b := ahead(t, time.Second)
	synctest.Test(t, func(t *testing.T) {
		var store memory.InMemory
		say(t, &store, "s", "a", nil)
		for _, k := range []memory.Key{key("s"), key("absent"), key("s").Owner()} {
			_, err := store.Open(t.Context(), k, &memory.WindowOptions{AtLeast: b})
			require.ErrorIs(t, err, memory.ErrBehind)
			require.ErrorIs(t, err, memory.ErrThrottled)
		}
		time.Sleep(2 * time.Second)
		say(t, &store, "s", "b", nil)
		_, err := store.Open(t.Context(), key("s"), &memory.WindowOptions{AtLeast: b})
		require.NoError(t, err)
	})
}
