package dynamomemory_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/memory"
)

// before runs other once, right before the fake gets the first request for which wanted
// is true.
func before(fake *awsfake.DynamoDB, wanted func(operation, body string) bool, other func()) {
	var done atomic.Bool
	fake.Intercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if !done.Load() && wanted(awsfake.Operation(r), peek(r)) && done.CompareAndSwap(false, true) {
			other()
		}
		return false
	})
}

func putsRecord(operation, body string) bool {
	return operation == "PutItem" && strings.Contains(body, `"E#`)
}

func TestOfTwoThatStoreUnderOneIDOneIsAReplay(t *testing.T) {
	fake := newFake(t)
	mine, theirs := open(t, fake, nil), open(t, fake, nil)
	require.NoError(t, appendTo(mine, "s", entry("a"), nil))
	once := &memory.AppendOptions{RequestID: "r"}
	var other memory.Receipt
	before(fake, putsRecord, func() {
		var err error
		other, err = theirs.Append(t.Context(), key("s"), entry("theirs"), once)
		require.NoError(t, err)
	})
	r, err := mine.Append(t.Context(), key("s"), entry("mine"), once)
	require.NoError(t, err)
	require.False(t, other.Replayed)
	require.True(t, r.Replayed)
	require.Equal(t, other.Record, r.Record)
	require.Equal(t, []string{"a", "theirs"}, texts(t, mine, "s"))
}

// A writer that is slower than the fence stores under the id that the fence made, and
// never under its own.
func TestAFencedWriterGoesOnUnderTheNewID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		mine, theirs := open(t, fake, nil), open(t, fake, nil)
		require.NoError(t, appendTo(mine, "s", entry("a"), nil))
		once := &memory.AppendOptions{RequestID: "r"}
		before(fake, putsRecord, func() {
			time.Sleep(time.Minute) // so that the id is too old
			require.NoError(t, appendTo(theirs, "s", entry("theirs"), once))
		})
		r, err := mine.Append(t.Context(), key("s"), entry("mine"), once)
		require.NoError(t, err)
		require.True(t, r.Replayed)
		require.Equal(t, []string{"a", "theirs"}, texts(t, mine, "s"))
	})
}

func TestAnUpdateMeetsAnother(t *testing.T) {
	fake := newFake(t)
	mine, theirs := open(t, fake, nil), open(t, fake, nil)
	require.NoError(t, appendTo(mine, "s", stateful("a", "old"), nil))
	changesHead := func(operation, body string) bool { return operation == "TransactWriteItems" }
	before(fake, changesHead, func() {
		require.NoError(t, update(theirs, "s", memory.SetState{Set: memory.States{Session: memory.State{"theirs": 1}, User: memory.State{"theirs": 1}}}))
		require.NoError(t, appendTo(theirs, "s", stateful("b", "new"), nil))
	})
	require.NoError(t, update(mine, "s", memory.SetTitle{Title: "t"}, memory.SetState{Set: memory.States{Session: memory.State{"mine": 2}, User: memory.State{"mine": 2}}}))
	w := window(t, mine, "s")
	require.EqualValues(t, 3, w.Head.Version)
	require.Equal(t, memory.State{"k": "new", "theirs": 1.0, "mine": 2.0}, w.States.Session)
	require.Equal(t, memory.State{"k": "new", "theirs": 1.0, "mine": 2.0}, w.States.User)
}

func TestAnExpectationIsHeldToTheEnd(t *testing.T) {
	fake := newFake(t)
	mine, theirs := open(t, fake, nil), open(t, fake, nil)
	require.NoError(t, appendTo(mine, "s", entry("a"), nil))
	before(fake, func(operation, _ string) bool { return operation == "UpdateItem" }, func() {
		require.NoError(t, update(theirs, "s", memory.SetTitle{Title: "theirs"}))
	})
	require.ErrorIs(t, update(mine, "s", memory.Expect{Version: 1}, memory.SetTitle{Title: "mine"}), memory.ErrConflict)
	require.Equal(t, "theirs", window(t, mine, "s").Head.Title)
}

// A Delete that is slower than one who makes the session anew takes nothing of it.
func TestASlowDeleteLeavesTheNewSession(t *testing.T) {
	fake := newFake(t)
	mine, theirs := open(t, fake, nil), open(t, fake, nil)
	require.NoError(t, appendTo(mine, "s", stateful("old", "old"), nil))
	erases := func(operation, _ string) bool { return operation == "BatchWriteItem" }
	before(fake, erases, func() {
		require.NoError(t, appendTo(theirs, "s", stateful("new", "new"), &memory.AppendOptions{RequestID: "r"}))
	})
	require.NoError(t, mine.Delete(t.Context(), key("s")))
	for _, s := range []memory.Store{mine, theirs, open(t, fake, nil)} {
		require.Equal(t, []string{"new"}, texts(t, s, "s"))
		require.Equal(t, memory.State{"k": "new"}, window(t, s, "s").States.Session)
		require.Equal(t, []string{"s"}, listed(t, s))
	}
}

// A fork that is slower than one who makes the session reports a conflict.
func TestASlowForkMeetsTheSession(t *testing.T) {
	fake := newFake(t)
	mine, theirs := open(t, fake, nil), open(t, fake, nil)
	require.NoError(t, appendTo(mine, "s", entry("a"), nil))
	copies := func(operation, _ string) bool { return operation == "BatchWriteItem" }
	before(fake, copies, func() { require.NoError(t, appendTo(theirs, "fork", entry("theirs"), nil)) })
	require.ErrorIs(t, update(mine, "fork", memory.Fork{From: "s"}), memory.ErrConflict)
	require.Equal(t, []string{"theirs"}, texts(t, theirs, "fork"))
	require.Equal(t, []string{"theirs"}, texts(t, open(t, fake, nil), "fork"))
}

// What is redacted while it is copied is redacted in the copy.
func TestAForkIsOfOneMoment(t *testing.T) {
	fake := newFake(t)
	mine, theirs := open(t, fake, nil), open(t, fake, nil)
	require.NoError(t, appendTo(mine, "s", entry("secret"), nil))
	id := window(t, mine, "s").Records[0].ID
	copies := func(operation, _ string) bool { return operation == "BatchWriteItem" }
	before(fake, copies, func() { require.NoError(t, update(theirs, "s", memory.Redact{Record: id})) })
	require.NoError(t, update(mine, "fork", memory.Fork{From: "s"}))
	r := window(t, mine, "fork").Records[0]
	require.True(t, r.Redacted)
	require.Empty(t, r.Messages)

	before(fake, copies, func() { require.NoError(t, theirs.Delete(t.Context(), key("s"))) })
	require.ErrorIs(t, update(mine, "second", memory.Fork{From: "s"}), memory.ErrNotFound)
	require.False(t, opens(t, theirs, "second"))
	require.Equal(t, []string{"fork"}, listed(t, theirs))
}

// Appends that land while a Rewind is under way stay.
func TestARewindTakesOnlyWhatItHasRead(t *testing.T) {
	fake := newFake(t)
	mine, theirs := open(t, fake, nil), open(t, fake, nil)
	for _, s := range []string{"a", "b", "c"} {
		require.NoError(t, appendTo(mine, "s", entry(s), nil))
	}
	first := window(t, mine, "s").Records[0].ID
	before(fake, func(operation, _ string) bool { return operation == "BatchWriteItem" }, func() {
		require.NoError(t, appendTo(theirs, "s", entry("d"), nil))
		require.Equal(t, []string{"a", "d"}, texts(t, theirs, "s"))
	})
	require.NoError(t, update(mine, "s", memory.Rewind{To: first}))
	require.Equal(t, []string{"a", "d"}, texts(t, mine, "s"))
}
