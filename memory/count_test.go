package memory_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/memory"
)

func counts(tb testing.TB, store memory.Store, q memory.Query, intents ...string) (all []string) {
	tb.Helper()
	for c, err := range memory.CountIntents(tb.Context(), store, q, intents...) {
		require.NoError(tb, err)
		all = append(all, fmt.Sprintf("%s %s %d", c.Day.Format(time.RFC3339), c.Intent, c.Records))
	}
	return all
}

func TestCountIntentsCountsByDayInUTC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory.InMemory{}
		start := time.Now() // midnight in UTC
		note := func(user, intent string) {
			key := memory.Key{App: "a", User: user, Session: "s"}
			id := speak(t, store, key, "user", "x")
			_, err := store.Update(t.Context(), key, memory.Annotate{Record: id, Notes: memory.Notes{Intent: intent}})
			require.NoError(t, err)
		}
		note("ada", "praise")
		note("bob", "praise")
		time.Sleep(24*time.Hour - time.Millisecond)
		note("bob", "complaint") // the last millisecond of the first day
		time.Sleep(time.Millisecond)
		note("ada", "complaint")
		note("ada", "complaint")
		time.Sleep(30 * time.Hour)
		note("bob", "praise")
		time.Sleep(time.Millisecond) // Until is not included

		all := memory.Query{App: "a", Since: start}
		require.Equal(t, []string{
			"2000-01-01T00:00:00Z complaint 1", "2000-01-01T00:00:00Z praise 2",
			"2000-01-02T00:00:00Z complaint 2", "2000-01-02T00:00:00Z praise 0",
			"2000-01-03T00:00:00Z complaint 0", "2000-01-03T00:00:00Z praise 1",
		}, counts(t, store, all, "complaint", "praise"))

		part := all
		part.User = "bob"
		part.Since = start.Add(time.Hour).In(time.FixedZone("far", -11*3600))
		part.Until = start.Add(24 * time.Hour)
		require.Equal(t, []string{"2000-01-01T00:00:00Z praise 0", "2000-01-01T00:00:00Z complaint 1"}, counts(t, store, part, "praise", "complaint"))
		part.Until = start.Add(24*time.Hour - time.Millisecond)
		require.Equal(t, []string{"2000-01-01T00:00:00Z complaint 0"}, counts(t, store, part, "complaint"))
		part.Until = part.Since
		require.Empty(t, counts(t, store, part, "praise"))
	})
}

func TestCountIntentsRefusesWhatItCannotCount(t *testing.T) {
	store := &memory.InMemory{}
	now := time.Now()
	good := memory.Query{App: "a", Since: now}
	tests := map[string]struct {
		change  func(*memory.Query)
		intents []string
	}{
		"no intents":             {func(*memory.Query) {}, nil},
		"an empty intent":        {func(*memory.Query) {}, []string{"a", ""}},
		"an intent twice":        {func(*memory.Query) {}, []string{"a", "b", "a"}},
		"an intent too long":     {func(*memory.Query) {}, []string{string(make([]byte, 300))}},
		"an intent in the query": {func(q *memory.Query) { q.Intent = "a" }, []string{"a"}},
		"a label":                {func(q *memory.Query) { q.Label.Key = "a" }, []string{"a"}},
		"a limit":                {func(q *memory.Query) { q.Limit = 1 }, []string{"a"}},
		"no beginning":           {func(q *memory.Query) { q.Since = time.Time{} }, []string{"a"}},
		"two years":              {func(q *memory.Query) { q.Until = now.AddDate(2, 0, 0) }, []string{"a"}},
		"a broken key":           {func(q *memory.Query) { q.Tenant = "\x00" }, []string{"a"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			q := good
			tt.change(&q)
			n := 0
			for _, err := range memory.CountIntents(t.Context(), store, q, tt.intents...) {
				require.ErrorIs(t, err, memory.ErrInvalid)
				n++
			}
			require.Equal(t, 1, n)
		})
	}
}

func TestCountIntentsStopsWhenItsLoopDoes(t *testing.T) {
	store := &memory.InMemory{}
	q := memory.Query{App: "a", Since: time.Now().AddDate(0, 0, -10)}
	n := 0
	for range memory.CountIntents(t.Context(), store, q, "a", "b") {
		if n++; n == 3 {
			break
		}
	}
	require.Equal(t, 3, n)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range memory.CountIntents(ctx, store, q, "a") {
		require.NoError(t, last, "an error is the last thing")
		last = err
		cancel()
	}
	require.ErrorIs(t, last, context.Canceled)
}
