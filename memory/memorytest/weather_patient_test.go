package memorytest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/memorytest"
)

// losing loses the reply to every second Update.
type losing struct {
	memory.InMemory
	calls int
}

func (s *losing) Update(ctx context.Context, key memory.Key, changes ...memory.Change) (memory.Bookmark, error) {
	b, err := s.InMemory.Update(ctx, key, changes...)
	if s.calls++; s.calls%2 == 1 {
		return "", fmt.Errorf("update: %w", context.DeadlineExceeded)
	}
	return b, err
}

func TestAnUpdateThatFindsItsOwnFirstWork(t *testing.T) {
	for name, c := range map[string]struct {
		changes func(id memory.RecordID) []memory.Change
		again   error // what a caller who simply repeats the call is told
	}{
		"a title":             {func(memory.RecordID) []memory.Change { return []memory.Change{memory.SetTitle{Title: "t"}} }, nil},
		"an expected version": {func(memory.RecordID) []memory.Change { return []memory.Change{memory.Expect{Version: 1}} }, memory.ErrConflict},
		"an edit and a redact": {func(id memory.RecordID) []memory.Change {
			return []memory.Change{memory.Edit{Record: id}, memory.Redact{Record: id}}
		}, memory.ErrConflict},
		"notes and a rewind": {func(id memory.RecordID) []memory.Change {
			return []memory.Change{memory.Annotate{Record: id}, memory.Rewind{}}
		}, memory.ErrNotFound},
		"the end of a session": {func(memory.RecordID) []memory.Change { return []memory.Change{memory.Keep{Until: time.Unix(1, 0)}} }, memory.ErrNotFound},
		"a part and the record": {func(id memory.RecordID) []memory.Change {
			return []memory.Change{memory.Redact{Record: id, Part: new(memory.PartRef)}, memory.Redact{Record: id}}
		}, memory.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			var naive, patient losing
			id := appendTo(t, &naive, "s", "a", nil).Record.ID
			_, err := naive.Update(t.Context(), key("s"), c.changes(id)...)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			_, err = naive.Update(t.Context(), key("s"), c.changes(id)...)
			require.ErrorIs(t, err, c.again)

			id = appendTo(t, &patient, "s", "a", nil).Record.ID
			b, err := memorytest.NewPatient(&patient).Update(t.Context(), key("s"), c.changes(id)...)
			require.NoError(t, err)
			w, err := patient.Open(t.Context(), key("s"), &memory.WindowOptions{AtLeast: b})
			if errors.Is(err, memory.ErrNotFound) {
				require.Equal(t, "the end of a session", name)
				return
			}
			require.NoError(t, err)
			require.EqualValues(t, 2, w.Head.Version, "it was done once")
		})
	}
}

func TestACreateAndAForkFindTheirOwnFirstWork(t *testing.T) {
	var store losing
	appendTo(t, &store, "parent", "a", nil)
	p := memorytest.NewPatient(&store)
	for session, change := range map[string]memory.Change{"made": memory.Create{}, "forked": memory.Fork{From: "parent"}} {
		store.calls = 0
		_, err := p.Update(t.Context(), key(session), change)
		require.NoError(t, err)
		_, err = p.Update(t.Context(), key(session), change)
		require.ErrorIs(t, err, memory.ErrConflict, "now it is another's work")
	}
}

func TestOneOfManyIsToldThatItStoredARequest(t *testing.T) {
	for seed := range uint64(20) {
		p := memorytest.NewPatient(memorytest.Storm(seed).Over(new(memory.InMemory)))
		var wg sync.WaitGroup
		var fresh atomic.Int64
		for range 16 {
			wg.Go(func() {
				r, err := p.Append(t.Context(), key("s"), said("a"), &memory.AppendOptions{RequestID: "r"})
				if err == nil && !r.Replayed {
					fresh.Add(1)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, fresh.Load())
	}
}

func TestNobodySeesTheRequestIDsOfAPatient(t *testing.T) {
	var store memory.InMemory
	p := memorytest.NewPatient(&store)
	r := appendTo(t, p, "s", "a", nil)
	require.Empty(t, r.Record.RequestID)
	w, err := p.Open(t.Context(), key("s"), nil)
	require.NoError(t, err)
	require.Equal(t, []memory.Record{r.Record}, w.Records)
	for got, err := range p.Records(t.Context(), key("s"), nil) {
		require.NoError(t, err)
		require.Equal(t, r.Record, got)
	}
}

func TestPatienceEndsWithTheContextOrAfterAHundredAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memorytest.Weather{Throttle: 1}.Over(new(memory.InMemory))
		p := memorytest.NewPatient(w)
		_, err := p.Open(t.Context(), key("s"), nil)
		require.ErrorIs(t, err, memory.ErrThrottled)
		require.EqualValues(t, 100, w.Faults().Throttled)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err = p.Append(ctx, key("s"), said("a"), nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		for _, err := range p.Find(ctx, memory.Query{App: "app"}) {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
	})
}

// A deadline of the caller ends the wait for the writes of others, and time goes on
// meanwhile under synctest.
func TestAPatientWaitsForOtherWritesNoLongerThanItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := memorytest.NewPatient(memorytest.Weather{Delay: time.Hour}.Over(new(memory.InMemory)))
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := p.Update(t.Context(), key("s"), memory.Create{})
			require.NoError(t, err)
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := p.Append(ctx, key("s"), said("a"), nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		wg.Wait()
	})
}
