package dynamomemory_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

// writes says whether a request changes something.
func writes(r *http.Request) bool {
	return slices.Contains([]string{"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"}, awsfake.Operation(r))
}

var errKilled = errors.New("killed")

// A victim is a process that is killed at its nth write: before it, or after it but
// before the answer. Nothing that it asks from then on reaches the table.
type victim struct {
	fake  *awsfake.DynamoDB
	at    int64
	after bool
	seen  atomic.Int64
}

func (v *victim) Do(r *http.Request) (*http.Response, error) {
	n := v.seen.Load()
	if writes(r) {
		n = v.seen.Add(1)
	}
	switch {
	case n < v.at:
		return v.fake.Do(r)
	case n == v.at && writes(r) && v.after && v.seen.CompareAndSwap(n, n+1):
		if _, err := v.fake.Do(r); err != nil {
			return nil, err
		}
	}
	return nil, errKilled
}

func (v *victim) store(t *testing.T, opts *dynamomemory.Options) *dynamomemory.Store {
	t.Helper()
	client := v.fake.Client(func(o *dynamodb.Options) { o.HTTPClient, o.Retryer = v, aws.NopRetryer{} })
	store, err := dynamomemory.New(client, tableName, opts)
	require.NoError(t, err)
	return store
}

// An operation is one that takes several writes. Before prepares, do is killed, and
// again is what its caller does then: the same call, if not given. After says what
// must be true in the end, and always what must be true right after the crash too.
type operation struct {
	name          string
	before        func(t *testing.T, s memory.Store)
	do            func(s memory.Store) error
	again         func(s memory.Store) error
	always, after func(t *testing.T, s memory.Store)
}

func texts(t *testing.T, s memory.Store, session string) []string {
	t.Helper()
	out := []string{}
	for r, err := range s.Records(t.Context(), key(session), nil) {
		require.NoError(t, err)
		out = append(out, r.Messages[0].Parts[0].Text)
	}
	return out
}

func appendTo(s memory.Store, session string, e memory.Entry, opts *memory.AppendOptions) error {
	_, err := s.Append(context.Background(), key(session), e, opts)
	return err
}

func update(s memory.Store, session string, changes ...memory.Change) error {
	_, err := s.Update(context.Background(), key(session), changes...)
	return err
}

func orConflict(err error) error {
	if errors.Is(err, memory.ErrConflict) {
		return nil // its own first work
	}
	return err
}

func window(t *testing.T, s memory.Store, session string) memory.Window {
	t.Helper()
	w, err := s.Open(t.Context(), key(session), &memory.WindowOptions{Scopes: memory.AllStates, Last: 1000})
	require.NoError(t, err)
	return w
}

func listed(t *testing.T, s memory.Store) []string {
	t.Helper()
	out := []string{}
	for m, err := range s.Find(t.Context(), memory.Query{Tenant: "acme", App: "app"}) {
		require.NoError(t, err)
		out = append(out, m.Key.Session)
	}
	slices.Sort(out)
	return out
}

func everywhere(v any) memory.States {
	return memory.States{Session: memory.State{"k": v}, User: memory.State{"k": v}, App: memory.State{"k": v}}
}

func stateful(s string, v any) memory.Entry {
	e := entry(s)
	e.State.Set = everywhere(v)
	return e
}

func opens(t *testing.T, s memory.Store, session string) bool {
	t.Helper()
	_, err := s.Open(t.Context(), key(session), nil)
	if !errors.Is(err, memory.ErrNotFound) {
		require.NoError(t, err)
	}
	return err == nil
}

func operations() []operation {
	five := func(t *testing.T, s memory.Store) {
		t.Helper()
		for i := range 5 {
			require.NoError(t, appendTo(s, "s", stateful(fmt.Sprint(i), i), &memory.AppendOptions{RequestID: fmt.Sprint(i)}))
		}
	}
	all := []string{"0", "1", "2", "3", "4"}
	second := func(t *testing.T, s memory.Store) memory.RecordID {
		t.Helper()
		return window(t, s, "s").Records[1].ID
	}
	var to memory.RecordID
	return []operation{
		{
			name: "an append with a request id and state",
			do: func(s memory.Store) error {
				return appendTo(s, "s", stateful("a", "v"), &memory.AppendOptions{RequestID: "r"})
			},
			after: func(t *testing.T, s memory.Store) {
				require.Equal(t, []string{"a"}, texts(t, s, "s"))
				require.Equal(t, everywhere("v"), window(t, s, "s").States)
				require.Equal(t, []string{"s"}, listed(t, s))
			},
		},
		{
			name: "an append of a large record",
			do: func(s memory.Store) error {
				return appendTo(s, "s", entry(text(450<<10)), &memory.AppendOptions{RequestID: "r"})
			},
			after: func(t *testing.T, s memory.Store) { require.Equal(t, []string{text(450 << 10)}, texts(t, s, "s")) },
		},
		{
			name:   "an append with an expected version and a request id",
			before: func(t *testing.T, s memory.Store) { require.NoError(t, update(s, "s", memory.Create{})) },
			do: func(s memory.Store) error {
				return appendTo(s, "s", entry("a"), &memory.AppendOptions{RequestID: "r", IfVersion: 1})
			},
			after: func(t *testing.T, s memory.Store) {
				require.Equal(t, []string{"a"}, texts(t, s, "s"))
				require.EqualValues(t, 2, window(t, s, "s").Head.Version)
			},
		},
		{
			name:  "the state of user and app after a crash, without a replay",
			do:    func(s memory.Store) error { return appendTo(s, "s", stateful("a", "v"), nil) },
			again: func(memory.Store) error { return nil },
			always: func(t *testing.T, s memory.Store) {
				if opens(t, s, "s") && len(texts(t, s, "s")) > 0 {
					require.Equal(t, everywhere("v"), window(t, s, "s").States)
					w, err := s.Open(t.Context(), key("s").Owner(), nil)
					require.NoError(t, err)
					require.Equal(t, memory.State{"k": "v"}, w.States.User, "what an Open has found, it has kept")
				}
			},
		},
		{
			name: "Create with more",
			do: func(s memory.Store) error {
				return update(s, "s", memory.Create{Title: "t"}, memory.SetState{Set: everywhere("v")})
			},
			again: func(s memory.Store) error {
				return orConflict(update(s, "s", memory.Create{Title: "t"}, memory.SetState{Set: everywhere("v")}))
			},
			always: func(t *testing.T, s memory.Store) {
				if opens(t, s, "s") {
					require.Equal(t, everywhere("v"), window(t, s, "s").States)
				}
			},
			after: func(t *testing.T, s memory.Store) {
				require.Equal(t, "t", window(t, s, "s").Head.Title)
				require.Equal(t, []string{"s"}, listed(t, s))
			},
		},
		{
			name: "many changes", before: five,
			do: func(s memory.Store) error {
				return update(s, "s", memory.SetTitle{Title: "t"}, memory.SetLabels{"k": "v"}, memory.SetState{Set: everywhere("new")})
			},
			always: func(t *testing.T, s memory.Store) {
				w := window(t, s, "s")
				require.Equal(t, w.Head.Title == "t", w.Head.Labels["k"] == "v")
				want := everywhere(4.0)
				if w.Head.Title == "t" {
					want = everywhere("new")
				}
				require.Equal(t, want, w.States)
			},
			after: func(t *testing.T, s memory.Store) {
				require.Equal(t, "t", window(t, s, "s").Head.Title)
				for m, err := range s.Find(t.Context(), memory.Query{Tenant: "acme", App: "app"}) {
					require.NoError(t, err)
					require.Equal(t, "t", m.Head.Title, "as it is listed")
				}
			},
		},
		{
			name: "Rewind", before: func(t *testing.T, s memory.Store) {
				five(t, s)
				to = second(t, s)
			},
			do: func(s memory.Store) error { return update(s, "s", memory.Rewind{To: to}) },
			always: func(t *testing.T, s memory.Store) {
				w := window(t, s, "s")
				got := texts(t, s, "s")
				require.Contains(t, [][]string{all, all[:2]}, got)
				require.Len(t, w.Records, len(got))
				require.Equal(t, everywhere(4.0), w.States, "the state stays")
			},
			after: func(t *testing.T, s memory.Store) {
				require.Equal(t, all[:2], texts(t, s, "s"))
				r, err := s.Append(t.Context(), key("s"), entry("again"), &memory.AppendOptions{RequestID: "3"})
				require.NoError(t, err)
				require.True(t, r.Replayed)
				require.NoError(t, appendTo(s, "s", entry("new"), nil))
				require.Equal(t, []string{"0", "1", "new"}, texts(t, s, "s"))
			},
		},
		{
			name: "Redact of a large record",
			before: func(t *testing.T, s memory.Store) {
				require.NoError(t, appendTo(s, "s", entry(text(450<<10)), nil))
				to = window(t, s, "s").Records[0].ID
			},
			do: func(s memory.Store) error {
				return update(s, "s", memory.Edit{Record: to, Messages: entry(text(440 << 10)).Messages})
			},
			always: func(t *testing.T, s memory.Store) {
				require.Contains(t, [][]string{{text(450 << 10)}, {text(440 << 10)}}, texts(t, s, "s"))
			},
			after: func(t *testing.T, s memory.Store) { require.Equal(t, []string{text(440 << 10)}, texts(t, s, "s")) },
		},
		{
			name: "Fork", before: five,
			do: func(s memory.Store) error {
				return update(s, "fork", memory.Fork{From: "s"}, memory.SetTitle{Title: "t"})
			},
			again: func(s memory.Store) error {
				return orConflict(update(s, "fork", memory.Fork{From: "s"}, memory.SetTitle{Title: "t"}))
			},
			always: func(t *testing.T, s memory.Store) {
				require.Equal(t, all, texts(t, s, "s"))
				if opens(t, s, "fork") {
					require.Equal(t, all, texts(t, s, "fork"))
					require.Equal(t, everywhere(4.0), window(t, s, "fork").States)
				} else {
					require.Empty(t, texts(t, s, "fork"))
				}
			},
			after: func(t *testing.T, s memory.Store) {
				require.Equal(t, all, texts(t, s, "fork"))
				require.Equal(t, []string{"fork", "s"}, listed(t, s))
			},
		},
		{
			name: "an append where a fork was given up", before: five,
			do:    func(s memory.Store) error { return update(s, "fork", memory.Fork{From: "s"}) },
			again: func(s memory.Store) error { return appendTo(s, "fork", entry("mine"), nil) },
			after: func(t *testing.T, s memory.Store) {
				got := texts(t, s, "fork")
				require.Contains(t, [][]string{{"mine"}, append(slices.Clone(all), "mine")}, got)
				require.Len(t, window(t, s, "fork").Records, len(got))
			},
		},
		{
			name: "Delete", before: five,
			do: func(s memory.Store) error { return s.Delete(context.Background(), key("s")) },
			always: func(t *testing.T, s memory.Store) {
				got := texts(t, s, "s")
				require.Contains(t, [][]string{all, {}}, got)
				require.Equal(t, len(got) > 0, opens(t, s, "s"))
				if len(got) > 0 {
					require.Equal(t, []string{"s"}, listed(t, s))
				}
			},
			after: func(t *testing.T, s memory.Store) {
				require.Empty(t, texts(t, s, "s"))
				require.Empty(t, listed(t, s))
			},
		},
		{
			name: "an append where a Delete was given up", before: five,
			do:    func(s memory.Store) error { return s.Delete(context.Background(), key("s")) },
			again: func(s memory.Store) error { return appendTo(s, "s", entry("mine"), nil) },
			after: func(t *testing.T, s memory.Store) {
				got := texts(t, s, "s")
				require.Contains(t, [][]string{{"mine"}, append(slices.Clone(all), "mine")}, got)
				require.Len(t, window(t, s, "s").Records, len(got))
				require.Equal(t, []string{"s"}, listed(t, s))
			},
		},
		{
			name: "Forget", before: five,
			do: func(s memory.Store) error {
				_, err := memory.Forget(context.Background(), s, key("s").Owner())
				return err
			},
			after: func(t *testing.T, s memory.Store) {
				done, err := memory.Forget(t.Context(), s, key("s").Owner())
				require.NoError(t, err)
				require.Zero(t, done)
				require.False(t, opens(t, s, "s"))
			},
		},
		{
			name: "the first append after the end of a session",
			before: func(t *testing.T, s memory.Store) {
				five(t, s)
				require.NoError(t, update(s, "s", memory.Keep{Until: time.Unix(1, 0)}))
			},
			do: func(s memory.Store) error {
				return appendTo(s, "s", entry("new"), &memory.AppendOptions{RequestID: "3"})
			},
			after: func(t *testing.T, s memory.Store) {
				require.Equal(t, []string{"new"}, texts(t, s, "s"))
				require.Empty(t, window(t, s, "s").States.Session)
			},
		},
	}
}

// Every operation of several writes is killed at each of them, before and after.
// Then another process looks, repeats the call, and looks again.
func TestCrashes(t *testing.T) {
	t.Parallel()
	crashes(t, nil)
}

// Without transactions there are more writes to be killed at.
func TestCrashesWithoutTransactions(t *testing.T) {
	skipSlow(t)
	t.Parallel()
	crashes(t, &dynamomemory.Options{NoTransactions: true})
}

func crashes(t *testing.T, opts *dynamomemory.Options) {
	t.Helper()
	for _, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			points := 0
			for done := false; !done; points++ {
				for _, after := range []bool{false, true} {
					done = crash(t, op, opts, int64(points+1), after)
				}
			}
			require.Greater(t, points, 2, "an operation of one write is no test")
			t.Logf("killed at %d writes", points-1)
		})
	}
}

// crash returns whether the operation came to its end before it was to be killed.
func crash(t *testing.T, op operation, opts *dynamomemory.Options, at int64, after bool) bool {
	t.Helper()
	fake := newFake(t)
	if opts != nil && opts.NoTransactions {
		refuseTransactions(fake)
	}
	if op.before != nil {
		op.before(t, open(t, fake, opts))
	}
	v := &victim{fake: fake, at: at, after: after}
	err := op.do(v.store(t, opts))
	finished := v.seen.Load() < at
	if finished {
		require.NoError(t, err)
	} else {
		require.Error(t, err)
	}
	if op.always != nil {
		op.always(t, open(t, fake, opts))
	}
	again := op.again
	if again == nil {
		again = op.do
	}
	require.NoError(t, again(open(t, fake, opts)), "the same call again after write %d, %t", at, after)
	if op.after != nil {
		op.after(t, open(t, fake, opts))
	}
	return finished
}
