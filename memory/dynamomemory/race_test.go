package dynamomemory_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
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

// An attempt that has left only its marker has made an id. Who repeats it with a later
// bookmark does not store under that, however young it is.
func TestARepeatedAppendSortsAfterItsBookmark(t *testing.T) {
	fake := newFake(t)
	mine, theirs := open(t, fake, nil), open(t, fake, nil)
	require.NoError(t, appendTo(mine, "s", entry("a"), nil))
	fake.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		refuse := putsRecord(awsfake.Operation(r), peek(r))
		if refuse {
			awsfake.Fail(w, r, http.StatusBadRequest, "AccessDeniedException", "no")
		}
		return refuse
	})
	require.ErrorIs(t, appendTo(mine, "s", entry("b"), &memory.AppendOptions{RequestID: "r"}), memory.ErrDenied)
	fake.Intercept(nil)
	seen, err := theirs.Append(t.Context(), key("s"), entry("c"), nil)
	require.NoError(t, err)
	fresh := open(t, fake, nil)
	r, err := fresh.Append(t.Context(), key("s"), entry("b"), &memory.AppendOptions{RequestID: "r", After: seen.Bookmark})
	require.NoError(t, err)
	require.False(t, r.Replayed)
	require.Greater(t, r.Record.ID, seen.Record.ID)
	require.Equal(t, []string{"a", "c", "b"}, texts(t, fresh, "s"))
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
	changesHead := func(operation, _ string) bool { return operation == "TransactWriteItems" }
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
	for name, at := range map[string]func(operation, body string) bool{
		"before it reads what to remove": func(operation, body string) bool {
			return operation == "Query" && strings.Contains(body, "ProjectionExpression") && !strings.Contains(body, "Limit")
		},
		"before it removes it":       func(operation, _ string) bool { return operation == "BatchWriteItem" },
		"before it removes the head": func(operation, body string) bool { return operation == "DeleteItem" && strings.Contains(body, `"H"`) },
	} {
		t.Run(name, func(t *testing.T) {
			fake := newFake(t)
			mine, theirs := open(t, fake, nil), open(t, fake, nil)
			require.NoError(t, appendTo(mine, "s", stateful("old", "old"), nil))
			came := false
			before(fake, at, func() {
				came = true
				require.NoError(t, appendTo(theirs, "s", stateful("new", "new"), &memory.AppendOptions{RequestID: "r"}))
			})
			require.NoError(t, mine.Delete(t.Context(), key("s")))
			require.True(t, came)
			for _, s := range []memory.Store{mine, theirs, open(t, fake, nil)} {
				require.Equal(t, []string{"new"}, texts(t, s, "s"))
				require.Equal(t, memory.State{"k": "new"}, window(t, s, "s").States.Session)
				require.Equal(t, []string{"s"}, listed(t, s))
			}
			r, err := theirs.Append(t.Context(), key("s"), entry("new"), &memory.AppendOptions{RequestID: "r"})
			require.NoError(t, err)
			require.True(t, r.Replayed)
		})
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

// What was on its way to a session that has ended is not in the next one.
func TestALateRecordIsNotInTheNextSession(t *testing.T) {
	fake := newFake(t)
	mine, theirs := open(t, fake, nil), open(t, fake, nil)
	require.NoError(t, appendTo(mine, "s", entry("old"), nil))
	before(fake, putsRecord, func() {
		require.NoError(t, update(theirs, "s", memory.Keep{Until: time.Unix(1, 0)}))
		require.NoError(t, appendTo(theirs, "s", entry("new"), nil))
	})
	require.NoError(t, appendTo(mine, "s", entry("late"), nil))
	require.Equal(t, []string{"new"}, texts(t, theirs, "s"))
	require.Len(t, window(t, theirs, "s").Records, 1)
}

// An earlier window saves reading what it has, and nothing that has changed since.
func TestAnEarlierWindowIsOnlyUsedWhereNothingHasChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		store := open(t, fake, nil)
		say := func(n int) {
			for i := range n {
				e := entry(text(100 + i))
				e.Turn = fmt.Sprint(i / 3)
				e.State.Set.Session = memory.State{fmt.Sprint(i % 4): i}
				require.NoError(t, appendTo(store, "s", e, nil))
				time.Sleep(20 * time.Second)
			}
		}
		say(12)
		for name, change := range map[string]func(records []memory.Record){
			"nothing": func([]memory.Record) {},
			"more":    func([]memory.Record) { say(2) },
			"edit": func(r []memory.Record) {
				require.NoError(t, update(store, "s", memory.Edit{Record: r[1].ID, Messages: entry("edited").Messages}))
			},
			"redact": func(r []memory.Record) { require.NoError(t, update(store, "s", memory.Redact{Record: r[2].ID})) },
			"state": func([]memory.Record) {
				require.NoError(t, update(store, "s", memory.SetState{Set: memory.States{Session: memory.State{"k": "v"}}}))
			},
			"rewind": func(r []memory.Record) {
				require.NoError(t, update(store, "s", memory.Rewind{To: r[len(r)-3].ID}))
				say(4)
			},
			"another session": func([]memory.Record) {
				require.NoError(t, store.Delete(t.Context(), key("s")))
				time.Sleep(time.Minute)
				say(12)
			},
		} {
			for _, before := range []memory.WindowOptions{{}, {Last: 7}, {Last: 7, Verbatim: true}, {Tokens: 200}} {
				held, err := store.Open(t.Context(), key("s"), &before)
				require.NoError(t, err)
				change(window(t, store, "s").Records)
				for _, opts := range []memory.WindowOptions{{}, {Last: 3}, {Last: 7}, {Last: 8, Verbatim: true}, {Tokens: 150}, {Last: 100}} {
					want, err := store.Open(t.Context(), key("s"), &opts)
					require.NoError(t, err)
					opts.Held = &held
					got, err := store.Open(t.Context(), key("s"), &opts)
					require.NoError(t, err)
					got.Bookmark = want.Bookmark
					require.Equal(t, want, got, "%s: %+v, then %+v", name, before, opts)
				}
			}
		}
	})
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

// Notes that arrive after their record has gone are found by nobody, and do not stay.
func TestNotesOfWhatIsGoneAreNotFound(t *testing.T) {
	intents := func(t *testing.T, s memory.Store) (found []memory.RecordID) {
		t.Helper()
		for m, err := range s.Find(t.Context(), memory.Query{Tenant: "acme", App: "app", Intent: "i", Since: time.Now().Add(-time.Hour)}) {
			require.NoError(t, err)
			found = append(found, m.Record)
		}
		return found
	}
	for name, remove := range map[string]func(t *testing.T, s memory.Store){
		"Delete": func(t *testing.T, s memory.Store) { require.NoError(t, s.Delete(t.Context(), key("s"))) },
		"Delete, and a new session": func(t *testing.T, s memory.Store) {
			require.NoError(t, s.Delete(t.Context(), key("s")))
			time.Sleep(time.Second)
			require.NoError(t, appendTo(s, "s", entry("new"), nil))
		},
		"Rewind": func(t *testing.T, s memory.Store) { require.NoError(t, update(s, "s", memory.Rewind{})) },
	} {
		for _, retention := range []time.Duration{0, -1} {
			t.Run(fmt.Sprint(name, retention), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					fake := newFake(t)
					opts := &dynamomemory.Options{Retention: retention}
					mine, theirs := open(t, fake, opts), open(t, fake, opts)
					r, err := mine.Append(t.Context(), key("s"), entry("a"), nil)
					require.NoError(t, err)
					notes := memory.Annotate{Record: r.Record.ID, Notes: memory.Notes{Intent: "i", Sentiment: new(0.5)}}
					require.NoError(t, update(mine, "s", notes))
					require.Len(t, intents(t, theirs), 1)
					before(fake, func(operation, body string) bool {
						return operation == "PutItem" && strings.Contains(body, `"A#`)
					}, func() { remove(t, theirs) })
					err = update(mine, "s", notes)
					if retention < 0 {
						require.ErrorIs(t, err, memory.ErrNotFound)
						require.Empty(t, items(t, fake, "A#"))
					} else {
						require.NoError(t, err)
						require.NotEmpty(t, items(t, fake, "A#")[0]["exp"])
					}
					require.Empty(t, intents(t, theirs))
					for r, err := range theirs.Records(t.Context(), key("s"), &memory.RangeOptions{BySentiment: true}) {
						t.Errorf("%v, %v", r, err)
					}
				})
			})
		}
	}
}
