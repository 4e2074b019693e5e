package memorytest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/memorytest"
)

func key(session string) memory.Key { return memory.Key{App: "app", User: "ada", Session: session} }

func said(text string) memory.Entry {
	return memory.Entry{Messages: []memory.Message{memory.Text("user", text)}}
}

// append appends what must succeed.
func appendTo(t *testing.T, store memory.Store, session, text string, opts *memory.AppendOptions) memory.Receipt {
	t.Helper()
	r, err := store.Append(t.Context(), key(session), said(text), opts)
	require.NoError(t, err)
	return r
}

func texts(w memory.Window) (all []string) {
	for _, r := range w.Records {
		all = append(all, r.Messages[0].Parts[0].Text)
	}
	return all
}

func TestThrottlingComesBeforeAnythingHasHappened(t *testing.T) {
	var store memory.InMemory
	first := appendTo(t, &store, "s", "a", nil)
	w := memorytest.Weather{Throttle: 1}.Over(&store)
	_, err := w.Append(t.Context(), key("s"), said("b"), nil)
	require.ErrorIs(t, err, memory.ErrThrottled)
	require.ErrorContains(t, err, "append /app/ada/s: throttled")
	_, err = w.Update(t.Context(), key("s"), memory.SetTitle{Title: "t"})
	require.ErrorIs(t, err, memory.ErrThrottled)
	_, err = w.Open(t.Context(), key("s"), nil)
	require.ErrorIs(t, err, memory.ErrThrottled)
	require.ErrorIs(t, w.Delete(t.Context(), key("s")), memory.ErrThrottled)
	after, err := store.Open(t.Context(), key("s"), nil)
	require.NoError(t, err)
	require.Equal(t, first.Bookmark, after.Bookmark, "nothing was written")
	require.EqualValues(t, 4, w.Faults().Throttled)
}

func TestALostReplyIsThatOfACallThatWasDone(t *testing.T) {
	var store memory.InMemory
	w := memorytest.Weather{LostReply: 1}.Over(&store)
	_, err := w.Append(t.Context(), key("s"), said("a"), &memory.AppendOptions{RequestID: "r"})
	require.ErrorIs(t, err, memory.ErrThrottled)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	_, err = w.Update(t.Context(), key("s"), memory.SetTitle{Title: "t"})
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	after, err := store.Open(t.Context(), key("s"), nil)
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, texts(after))
	require.Equal(t, "t", after.Head.Title)
	require.ErrorIs(t, w.Delete(t.Context(), key("s")), os.ErrDeadlineExceeded)
	_, err = store.Open(t.Context(), key("s"), nil)
	require.ErrorIs(t, err, memory.ErrNotFound)
}

func TestAListBreaksOffAndTheErrorComesLast(t *testing.T) {
	var store memory.InMemory
	for i := range 10 {
		appendTo(t, &store, "s", fmt.Sprint(i), nil)
	}
	w := memorytest.Weather{Throttle: 1}.Over(&store)
	lengths := map[int]bool{}
	for range 50 {
		n, failed := 0, false
		for _, err := range w.Records(t.Context(), key("s"), nil) {
			require.False(t, failed, "something follows the error")
			if failed = err != nil; failed {
				require.ErrorIs(t, err, memory.ErrThrottled)
				continue
			}
			n++
		}
		require.True(t, failed)
		lengths[n] = true
	}
	require.Greater(t, len(lengths), 4, "it breaks off at one place only")
}

func TestArgumentsThatBreakARuleMeetNoWeather(t *testing.T) {
	w := memorytest.Weather{Throttle: 1, LostReply: 1, Skew: time.Hour}.Over(new(memory.InMemory))
	_, err := w.Append(t.Context(), memory.Key{}, said("a"), nil)
	require.ErrorIs(t, err, memory.ErrInvalid)
	require.NotErrorIs(t, err, memory.ErrClockSkew)
	_, err = w.Update(t.Context(), key("s"))
	require.ErrorIs(t, err, memory.ErrInvalid)
	for _, err := range w.Find(t.Context(), memory.Query{Limit: -1}) {
		require.ErrorIs(t, err, memory.ErrInvalid)
	}
	require.Zero(t, w.Faults())
}

// schedule says which of 200 appends fail, and how.
func schedule(t *testing.T, w memorytest.Weather) (all []string) {
	t.Helper()
	store := w.Over(new(memory.InMemory))
	for range 200 {
		_, err := store.Append(t.Context(), key("s"), said("a"), nil)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			all = append(all, "lost")
		case err != nil:
			all = append(all, "throttled")
		default:
			all = append(all, "")
		}
	}
	return all
}

func TestASeedIsASchedule(t *testing.T) {
	first := schedule(t, memorytest.Storm(1))
	require.Equal(t, first, schedule(t, memorytest.Storm(1)))
	require.NotEqual(t, first, schedule(t, memorytest.Storm(2)))
	for _, fault := range []string{"throttled", "lost", ""} {
		n := 0
		for _, f := range first {
			if f == fault {
				n++
			}
		}
		require.Greater(t, n, 20, fault)
	}
}

func TestAStaleReadHasSeenTheBookmarkAndNoMore(t *testing.T) {
	w := memorytest.Weather{Stale: 1}.Over(new(memory.InMemory))
	var bookmarks []memory.Bookmark
	for i := range 5 {
		bookmarks = append(bookmarks, appendTo(t, w, "s", fmt.Sprint(i), nil).Bookmark)
	}
	for i, b := range bookmarks {
		got, err := w.Open(t.Context(), key("s"), &memory.WindowOptions{AtLeast: b})
		require.NoError(t, err)
		require.Len(t, got.Records, i+1)
		require.Equal(t, b, got.Bookmark)
		require.Equal(t, fmt.Sprint(i), texts(got)[i])
	}
	strong, err := w.Open(t.Context(), key("s"), nil)
	require.NoError(t, err)
	require.Len(t, strong.Records, 5)
	require.EqualValues(t, 5, w.Faults().Stale)
}

func TestAStaleReadObeysItsOptions(t *testing.T) {
	var store memory.InMemory
	w := memorytest.Weather{Stale: 1}.Over(&store)
	for i := range 6 {
		e := said(fmt.Sprint(i))
		e.Turn = fmt.Sprint(i / 2)
		e.State.Set = memory.States{Session: memory.State{"k": i}, User: memory.State{"k": i}, App: memory.State{"k": i}}
		_, err := store.Append(t.Context(), key("s"), e, nil)
		require.NoError(t, err)
	}
	b, err := w.Update(t.Context(), key("s"), memory.SetTitle{Title: "t"})
	require.NoError(t, err)
	for _, opts := range []memory.WindowOptions{
		{}, {Last: 3}, {Last: 3, Verbatim: true}, {Last: 1}, {Last: -1}, {Tokens: 5}, {Scopes: memory.AllStates}, {Scopes: memory.NoState}, {Notes: true},
	} {
		want, err := store.Open(t.Context(), key("s"), &opts)
		require.NoError(t, err)
		opts.AtLeast = b
		got, err := w.Open(t.Context(), key("s"), &opts)
		require.NoError(t, err)
		require.Equal(t, want, got, "with %+v", opts)
		for i := range got.Records {
			got.Records[i].Messages[0].Parts[0].Text = "spoiled" // the next read must not show it
		}
	}
	require.EqualValues(t, 9, w.Faults().Stale)
}

func TestACacheRemembersThatThereWasNoSession(t *testing.T) {
	w := memorytest.Weather{Stale: 1}.Over(new(memory.InMemory))
	before, err := w.Update(t.Context(), key("").Owner(), memory.SetState{Set: memory.States{User: memory.State{"k": "v"}}})
	require.NoError(t, err)
	_, err = w.Open(t.Context(), key("s"), nil)
	require.ErrorIs(t, err, memory.ErrNotFound)
	created := appendTo(t, w, "s", "a", nil).Bookmark
	_, err = w.Open(t.Context(), key("s"), &memory.WindowOptions{AtLeast: before})
	require.ErrorIs(t, err, memory.ErrNotFound)
	require.EqualValues(t, 1, w.Faults().Negative)
	for _, b := range []memory.Bookmark{"", created} {
		_, err = w.Open(t.Context(), key("s"), &memory.WindowOptions{AtLeast: b})
		require.NoError(t, err)
	}
}

func TestNoCacheShowsWhatWasDeletedOrHasEnded(t *testing.T) {
	for name, end := range map[string]func(memory.Store) error{
		"deleted": func(s memory.Store) error { return s.Delete(t.Context(), key("s")) },
		"ended": func(s memory.Store) error {
			_, err := s.Update(t.Context(), key("s"), memory.Keep{Until: time.Unix(1, 0)})
			return err
		},
	} {
		w := memorytest.Weather{Stale: 1}.Over(new(memory.InMemory))
		b := appendTo(t, w, "s", "a", nil).Bookmark
		require.NoError(t, end(w))
		_, err := w.Open(t.Context(), key("s"), &memory.WindowOptions{AtLeast: b})
		require.ErrorIs(t, err, memory.ErrNotFound, name)
	}
}

func TestAnotherRegionIsBehindTheBookmark(t *testing.T) {
	var table memory.InMemory
	home := memorytest.Weather{}.Over(&table)
	away := home.Elsewhere(&table, memorytest.Weather{Behind: 0.5})
	b := appendTo(t, home, "s", "a", nil).Bookmark
	behind := 0
	for range 100 {
		_, err := away.Open(t.Context(), key("s"), &memory.WindowOptions{AtLeast: b})
		if err != nil {
			require.ErrorIs(t, err, memory.ErrBehind)
			behind++
		}
		_, err = away.Open(t.Context(), key("s"), nil)
		require.NoError(t, err, "a strong read has no bookmark to be behind of")
	}
	require.InDelta(t, 50, behind, 25)
	require.EqualValues(t, behind, away.Faults().Behind)
}

func TestFindByIntentLagsAndTheSessionsOfAUserDoNot(t *testing.T) {
	w := memorytest.Weather{IndexLag: 3}.Over(new(memory.InMemory))
	q := memory.Query{App: "app", Intent: "buy", Since: time.Now().Add(-time.Hour)}
	find := func(q memory.Query) (all []memory.Match) {
		for m, err := range w.Find(t.Context(), q) {
			require.NoError(t, err)
			all = append(all, m)
		}
		return all
	}
	// lag counts the Finds until n records are found, and checks that they stay.
	lag := func(n int) int {
		t.Helper()
		for missed := range 5 {
			if len(find(q)) == n {
				require.Len(t, find(q), n)
				return missed
			}
		}
		t.Fatalf("%d records are not found in time", n)
		return 0
	}
	longest := 0
	for i := range 20 {
		session := fmt.Sprint(i)
		r := appendTo(t, w, session, "a", nil).Record
		require.Len(t, find(memory.Query{App: "app", User: "ada"}), i+1)
		_, err := w.Update(t.Context(), key(session), memory.Annotate{Record: r.ID, Notes: memory.Notes{Intent: "buy"}})
		require.NoError(t, err)
		longest = max(longest, lag(i+1))
	}
	require.Equal(t, 3, longest)
	require.NoError(t, w.Delete(t.Context(), key("0")))
	gone := lag(19)
	_, err := w.Update(t.Context(), key("1"), memory.Rewind{})
	require.NoError(t, err)
	gone += lag(18)
	for i := 2; i < 10; i++ {
		_, err := w.Update(t.Context(), key(fmt.Sprint(i)), memory.Rewind{})
		require.NoError(t, err)
		gone += lag(19 - i)
	}
	require.Positive(t, gone, "what was taken back was never found late")
	require.Positive(t, w.Faults().Unindexed)
	all := find(q)
	require.True(t, slices.IsSortedFunc(all, func(a, b memory.Match) int { return strings.Compare(string(b.Record), string(a.Record)) }))
}

func TestALateIndexKeepsTheOrderAndTheUser(t *testing.T) {
	w := memorytest.Weather{IndexLag: 1000}.Over(new(memory.InMemory))
	var all []memory.Match // oldest first
	for i := range 9 {
		k := memory.Key{App: "app", User: []string{"ada", "bob"}[i%2], Session: "s"}
		r, err := w.Append(t.Context(), k, said("a"), nil)
		require.NoError(t, err)
		all = append(all, memory.Match{Key: k, Record: r.Record.ID, Notes: memory.Notes{Intent: "buy"}})
	}
	find := func(q memory.Query) (found []memory.Match) {
		q.App, q.Intent, q.Since = "app", "buy", time.Now().Add(-time.Hour)
		for m, err := range w.Find(t.Context(), q) {
			require.NoError(t, err)
			found = append(found, m)
		}
		return found
	}
	annotate := func(m memory.Match, n memory.Notes) {
		_, err := w.Update(t.Context(), m.Key, memory.Annotate{Record: m.Record, Notes: n})
		require.NoError(t, err)
	}
	for _, m := range all {
		annotate(m, m.Notes)
	}
	for len(find(memory.Query{})) < len(all) {
		require.Less(t, w.Faults().Unindexed, uint64(1e5))
	}
	slices.Reverse(all)
	annotate(all[4], memory.Notes{})
	require.Equal(t, all, find(memory.Query{}), "what was taken back is where it was")
	require.Equal(t, all[:5], find(memory.Query{Limit: 5}))
	require.Equal(t, []memory.Match{all[1], all[3], all[5], all[7]}, find(memory.Query{User: "bob"}))
	require.Equal(t, []memory.Match{all[0], all[2], all[4], all[6], all[8]}, find(memory.Query{User: "ada"}))
}

func TestACoarseListingIsByTheTimesThatItSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memorytest.Weather{Coarse: true}.Over(new(memory.InMemory))
		appendTo(t, w, "s", "a", nil)
		time.Sleep(12 * time.Minute)
		exact := appendTo(t, w, "s", "b", nil).Record.Time
		count := func(q memory.Query) (n int) {
			q.App = "app"
			for _, err := range w.Find(t.Context(), q) {
				require.NoError(t, err)
				n++
			}
			return n
		}
		said := exact.Add(-2 * time.Minute)
		require.Equal(t, 1, count(memory.Query{Since: said, Until: exact}))
		require.Zero(t, count(memory.Query{Since: said.Add(1)}))
		require.Zero(t, count(memory.Query{Until: said}))
	})
}

func TestActivityIsCoarse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memorytest.Weather{Coarse: true}.Over(new(memory.InMemory))
		created := appendTo(t, w, "s", "a", nil).Record.Time
		for range 21 {
			time.Sleep(time.Minute)
			last := appendTo(t, w, "s", "b", nil).Record.Time
			got, err := w.Open(t.Context(), key("s"), nil)
			require.NoError(t, err)
			require.Less(t, last.Sub(got.Head.Active), 5*time.Minute)
			require.False(t, got.Head.Active.Before(created))
			for m, err := range w.Find(t.Context(), memory.Query{App: "app", Since: got.Head.Active}) {
				require.NoError(t, err)
				require.Equal(t, got.Head, m.Head)
			}
		}
		got, err := w.Open(t.Context(), key("s"), nil)
		require.NoError(t, err)
		require.NotEqual(t, got.Records[len(got.Records)-1].Time, got.Head.Active)
	})
}

func TestARequestIDMayOutliveItsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memorytest.Weather{LateTTL: 48 * time.Hour}.Over(new(memory.InMemory))
		daily := &memory.AppendOptions{RequestID: "daily report"}
		first := appendTo(t, w, "s", "monday", daily)
		time.Sleep(memory.RequestLife + time.Hour)
		second := appendTo(t, w, "s", "tuesday", daily)
		require.True(t, second.Replayed)
		require.Equal(t, first.Record, second.Record)
		_, err := w.Open(t.Context(), key("s"), &memory.WindowOptions{AtLeast: second.Bookmark})
		require.NoError(t, err)
		require.NoError(t, w.Delete(t.Context(), key("s")))
		appendTo(t, w, "s", "a new session", nil)
		require.False(t, appendTo(t, w, "s", "wednesday", daily).Replayed, "its session is another one")
		time.Sleep(memory.RequestLife + 48*time.Hour)
		require.False(t, appendTo(t, w, "s", "saturday", daily).Replayed)
		require.EqualValues(t, 1, w.Faults().Remembered)
	})
}

func TestAContextEndsASlowCallBeforeOrAfterItWasDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store memory.InMemory
		w := memorytest.Weather{Delay: time.Second}.Over(&store)
		done, failed := 0, 0
		for range 100 {
			ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
			_, err := w.Append(ctx, key("s"), said("a"), nil)
			cancel()
			if err != nil {
				require.ErrorIs(t, err, context.DeadlineExceeded)
				failed++
			} else {
				done++
			}
		}
		got, err := store.Open(t.Context(), key("s"), &memory.WindowOptions{Last: 1000})
		require.NoError(t, err)
		require.Greater(t, len(got.Records), done, "no call was done and cut off")
		require.Less(t, len(got.Records), done+failed, "no call was cut off before it was done")
	})
}

func TestAFastClockShowsInIdsAndTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var table memory.InMemory
		fast := memorytest.Weather{Skew: time.Minute}.Over(&table)
		right := fast.Elsewhere(&table, memorytest.Weather{})
		r := appendTo(t, fast, "s", "a", nil)
		require.Equal(t, time.Minute, time.Until(r.Record.Time))
		require.Greater(t, appendTo(t, right, "s", "b", nil).Record.ID, r.Record.ID)
	})
}

func TestAClockThatIsTooWrongWritesNothing(t *testing.T) {
	for _, skew := range []time.Duration{time.Minute + time.Millisecond, -time.Hour} {
		var store memory.InMemory
		w := memorytest.Weather{Skew: skew}.Over(&store)
		_, err := w.Append(t.Context(), key("s"), said("a"), nil)
		require.ErrorIs(t, err, memory.ErrClockSkew)
		_, err = w.Update(t.Context(), key("s"), memory.Create{})
		require.ErrorIs(t, err, memory.ErrClockSkew)
		_, err = w.Open(t.Context(), key("s"), nil)
		require.ErrorIs(t, err, memory.ErrNotFound)
		require.EqualValues(t, 2, w.Faults().Skewed)
	}
}

func TestAStormHasEveryFault(t *testing.T) {
	w := memorytest.Storm(1).Over(new(memory.InMemory))
	p := memorytest.NewPatient(w)
	user := key("").Owner()
	b, err := p.Update(t.Context(), user, memory.SetState{Set: memory.States{User: memory.State{"k": "v"}}})
	require.NoError(t, err)
	for i := range 50 {
		session := fmt.Sprint(i)
		for range 3 {
			_, err = p.Open(t.Context(), key(session), nil)
			require.ErrorIs(t, err, memory.ErrNotFound)
		}
		r := appendTo(t, p, session, "a", nil)
		appendTo(t, p, session, "b", nil)
		for _, atLeast := range []memory.Bookmark{b, r.Bookmark} {
			_, err = p.Open(t.Context(), key(session), &memory.WindowOptions{AtLeast: atLeast})
			if err != nil {
				require.ErrorIs(t, err, memory.ErrNotFound)
			}
		}
		_, err = p.Update(t.Context(), key(session), memory.Annotate{Record: r.Record.ID, Notes: memory.Notes{Intent: "buy"}})
		require.NoError(t, err)
		for _, err := range p.Find(t.Context(), memory.Query{App: "app", Intent: "buy", Since: time.Now().Add(-time.Hour)}) {
			require.NoError(t, err)
		}
	}
	f := w.Faults()
	for name, n := range map[string]uint64{"throttled": f.Throttled, "lost": f.Lost, "behind": f.Behind, "stale": f.Stale, "negative": f.Negative, "unindexed": f.Unindexed, "skewed": f.Skewed} {
		require.Greater(t, n, uint64(5), name)
	}
}
