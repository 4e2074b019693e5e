package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/integration/servers"
	"github.com/genaistore/genaistore/memory"
)

// A killable operation takes several writes. Prepare comes before it; again is what
// another process does after the first was killed, the same call if nil. Always must
// hold right after the kill, and after when the call was repeated.
type killableOperation struct {
	name          string
	cipher        bool
	prepare       func(ctx context.Context, s memory.Store, key memory.Key) error
	do, again     func(ctx context.Context, s memory.Store, key memory.Key) error
	always, after func(t *testing.T, s memory.Store, key memory.Key)
}

var fiveTexts = []string{"0", "1", "2", "3", "4"}

func killable() []killableOperation {
	return append(killableAppends(), killableChanges()...)
}

func killableAppends() []killableOperation {
	return []killableOperation{
		{
			name: "an append with a request id and state of session, user and app",
			do: func(ctx context.Context, s memory.Store, key memory.Key) error {
				return appendTo(ctx, s, key, "a", &memory.AppendOptions{RequestID: "r"})
			},
			always: func(t *testing.T, s memory.Store, key memory.Key) {
				if got := textsOf(t, s, key); len(got) > 0 { // then its state is there too, whoever reads first
					require.Equal(t, []string{"a"}, got)
					require.Equal(t, everyState("a"), windowOf(t, s, key).States)
				}
			},
			after: func(t *testing.T, s memory.Store, key memory.Key) {
				require.Equal(t, []string{"a"}, textsOf(t, s, key))
				require.Equal(t, everyState("a"), windowOf(t, s, key).States)
				require.Equal(t, []string{key.Session}, sessionsOf(t, s, key))
			},
		},
		{
			name: "an append to a session with a key of its own", cipher: true,
			do: func(ctx context.Context, s memory.Store, key memory.Key) error {
				return appendTo(ctx, s, key, "secret", &memory.AppendOptions{RequestID: "r"})
			},
			after: func(t *testing.T, s memory.Store, key memory.Key) {
				require.Equal(t, []string{"secret"}, textsOf(t, s, key))
				require.Equal(t, everyState("secret"), windowOf(t, s, key).States)
			},
		},
		{
			name: "an append of as much as there may be",
			do: func(ctx context.Context, s memory.Store, key memory.Key) error {
				_, err := s.Append(ctx, key, said(manyBytes('a', memory.MaxEntry-4)), &memory.AppendOptions{RequestID: "r"})
				return err
			},
			always: func(t *testing.T, s memory.Store, key memory.Key) {
				require.Contains(t, [][]string{{}, {manyBytes('a', memory.MaxEntry-4)}}, textsOf(t, s, key))
			},
			after: func(t *testing.T, s memory.Store, key memory.Key) {
				require.Len(t, textsOf(t, s, key), 1)
			},
		},
		{
			name: "an append with an expected version",
			prepare: func(ctx context.Context, s memory.Store, key memory.Key) error {
				return updateTo(ctx, s, key, memory.Create{})
			},
			do: func(ctx context.Context, s memory.Store, key memory.Key) error {
				return appendTo(ctx, s, key, "a", &memory.AppendOptions{RequestID: "r", IfVersion: 1})
			},
			after: func(t *testing.T, s memory.Store, key memory.Key) {
				require.Equal(t, []string{"a"}, textsOf(t, s, key))
				require.EqualValues(t, 2, windowOf(t, s, key).Head.Version)
			},
		},
		{
			name: "the first append after the end of a session",
			prepare: func(ctx context.Context, s memory.Store, key memory.Key) error {
				return errors.Join(appendFive(ctx, s, key), updateTo(ctx, s, key, memory.Keep{Until: time.Unix(1, 0)}))
			},
			do: func(ctx context.Context, s memory.Store, key memory.Key) error {
				_, err := s.Append(ctx, key, said("new"), &memory.AppendOptions{RequestID: "3"})
				return err
			},
			after: func(t *testing.T, s memory.Store, key memory.Key) {
				require.Equal(t, []string{"new"}, textsOf(t, s, key))
				require.Empty(t, windowOf(t, s, key).States.Session)
			},
		},
	}
}

func killableChanges() []killableOperation {
	manyChanges := []memory.Change{memory.SetTitle{Title: "t"}, memory.SetLabels{"k": "v"}, memory.SetState{Set: everyState("new")}}
	fork := func(ctx context.Context, s memory.Store, key memory.Key) error {
		return updateTo(ctx, s, besideKey(key), memory.Fork{From: key.Session}, memory.SetTitle{Title: "t"})
	}
	remove := func(ctx context.Context, s memory.Store, key memory.Key) error { return s.Delete(ctx, key) }
	whole := func(t *testing.T, s memory.Store, key memory.Key) {
		got := textsOf(t, s, key)
		require.Contains(t, [][]string{fiveTexts, {}}, got)
		_, err := s.Open(t.Context(), key, nil)
		require.Equal(t, len(got) > 0, err == nil, "%v", err)
	}
	mine := func(ctx context.Context, s memory.Store, key memory.Key) error {
		_, err := s.Append(ctx, key, said("mine"), nil)
		return err
	}
	return []killableOperation{
		{
			name: "Create with state of session, user and app",
			do: func(ctx context.Context, s memory.Store, key memory.Key) error {
				return orOwnWork(updateTo(ctx, s, key, memory.Create{Title: "t"}, memory.SetState{Set: everyState("v")}))
			},
			always: func(t *testing.T, s memory.Store, key memory.Key) {
				if _, err := s.Open(t.Context(), key, nil); err == nil {
					require.Equal(t, everyState("v"), windowOf(t, s, key).States)
				}
			},
			after: func(t *testing.T, s memory.Store, key memory.Key) {
				require.Equal(t, "t", windowOf(t, s, key).Head.Title)
				require.Equal(t, []string{key.Session}, sessionsOf(t, s, key))
			},
		},
		{
			name: "many changes", prepare: appendFive,
			do: func(ctx context.Context, s memory.Store, key memory.Key) error {
				return updateTo(ctx, s, key, manyChanges...)
			},
			always: func(t *testing.T, s memory.Store, key memory.Key) {
				w := windowOf(t, s, key)
				want := map[bool]memory.States{false: everyState("4"), true: everyState("new")}[w.Head.Title == "t"]
				require.Equal(t, w.Head.Title == "t", w.Head.Labels["k"] == "v", "all or none")
				require.Equal(t, want, w.States)
			},
			after: func(t *testing.T, s memory.Store, key memory.Key) {
				require.Equal(t, "t", windowOf(t, s, key).Head.Title)
			},
		},
		{
			name: "Rewind", prepare: appendFive,
			do: func(ctx context.Context, s memory.Store, key memory.Key) error {
				for r, err := range s.Records(ctx, key, nil) {
					if err != nil || textOf(r) == "1" {
						return errors.Join(err, updateTo(ctx, s, key, memory.Rewind{To: r.ID}))
					}
				}
				return errors.New("no second record")
			},
			always: func(t *testing.T, s memory.Store, key memory.Key) {
				require.Contains(t, [][]string{fiveTexts, fiveTexts[:2]}, textsOf(t, s, key))
			},
			after: func(t *testing.T, s memory.Store, key memory.Key) {
				require.Equal(t, fiveTexts[:2], textsOf(t, s, key))
				r, err := s.Append(t.Context(), key, said("again"), &memory.AppendOptions{RequestID: "3"})
				require.NoError(t, err)
				require.True(t, r.Replayed, "the request of a record that is gone")
			},
		},
		{
			name: "Edit of a large record",
			prepare: func(ctx context.Context, s memory.Store, key memory.Key) error {
				_, err := s.Append(ctx, key, said(manyBytes('a', 900<<10)), nil)
				return err
			},
			do: func(ctx context.Context, s memory.Store, key memory.Key) error {
				for r, err := range s.Records(ctx, key, nil) {
					return errors.Join(err, updateTo(ctx, s, key, memory.Edit{Record: r.ID, Messages: said(manyBytes('b', 800<<10)).Messages}))
				}
				return errors.New("no record")
			},
			always: func(t *testing.T, s memory.Store, key memory.Key) {
				require.Contains(t, [][]string{{manyBytes('a', 900<<10)}, {manyBytes('b', 800<<10)}}, textsOf(t, s, key))
			},
			after: func(t *testing.T, s memory.Store, key memory.Key) {
				require.Equal(t, []string{manyBytes('b', 800<<10)}, textsOf(t, s, key))
			},
		},
		{
			name: "Fork", prepare: appendFive, do: fork,
			again: func(ctx context.Context, s memory.Store, key memory.Key) error { return orOwnWork(fork(ctx, s, key)) },
			always: func(t *testing.T, s memory.Store, key memory.Key) {
				require.Equal(t, fiveTexts, textsOf(t, s, key))
				whole(t, s, besideKey(key))
			},
			after: func(t *testing.T, s memory.Store, key memory.Key) {
				require.Equal(t, fiveTexts, textsOf(t, s, besideKey(key)))
				require.Equal(t, everyState("4"), windowOf(t, s, besideKey(key)).States)
			},
		},
		{
			name: "an append where a Fork was given up", prepare: appendFive, do: fork,
			again: func(ctx context.Context, s memory.Store, key memory.Key) error { return mine(ctx, s, besideKey(key)) },
			after: func(t *testing.T, s memory.Store, key memory.Key) {
				require.Contains(t, [][]string{{"mine"}, {"0", "1", "2", "3", "4", "mine"}}, textsOf(t, s, besideKey(key)))
			},
		},
		{
			name: "Delete", prepare: appendFive, do: remove, always: whole,
			after: func(t *testing.T, s memory.Store, key memory.Key) {
				require.Empty(t, textsOf(t, s, key))
				require.Empty(t, sessionsOf(t, s, key))
			},
		},
		{
			name: "Delete of a session with a key of its own", cipher: true, prepare: appendFive, do: remove, always: whole,
			after: func(t *testing.T, s memory.Store, key memory.Key) { require.Empty(t, textsOf(t, s, key)) },
		},
		{
			name: "an append where a Delete was given up", prepare: appendFive, do: remove, again: mine,
			after: func(t *testing.T, s memory.Store, key memory.Key) {
				require.Contains(t, [][]string{{"mine"}, {"0", "1", "2", "3", "4", "mine"}}, textsOf(t, s, key))
				require.Equal(t, []string{key.Session}, sessionsOf(t, s, key))
			},
		},
		{
			name: "Forget", prepare: appendFive,
			do: func(ctx context.Context, s memory.Store, key memory.Key) error {
				_, err := memory.Forget(ctx, s, key.Owner())
				return err
			},
			always: whole,
			after: func(t *testing.T, s memory.Store, key memory.Key) {
				require.Empty(t, sessionsOf(t, s, key))
				require.Empty(t, textsOf(t, s, key))
			},
		},
	}
}

// A process is killed at every write of every operation of several writes, before the
// write and after it. Another looks, repeats the call, and looks again.
func TestKilledBetweenWrites(t *testing.T) {
	t.Parallel()
	if servers.OnAWS(t) {
		t.Skip("its processes know the keys of DynamoDB Local alone")
	}
	client := servers.DynamoDBLocal(t)
	table := memoryTable(t, client)
	who, err := client.Options().Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	for _, op := range killable() {
		t.Run(op.name, func(t *testing.T) {
			servers.Count(t, servers.NameDynamoDBLocal)
			opts, err := victimOptions(op.cipher)
			require.NoError(t, err)
			another := func() memory.Store { return memoryStore(t, client, table, opts) }
			kills := 0
			for at, killed := int64(1), true; killed; at++ {
				for _, after := range []bool{false, true} {
					key := memory.Key{Tenant: "acme", App: servers.Unique(t, "app"), User: "ada", Session: "s"}
					if op.prepare != nil {
						require.NoError(t, op.prepare(t.Context(), another(), key))
					}
					killed = victim{
						Operation: op.name, Key: key, At: at, After: after, Cipher: op.cipher,
						Endpoint: *client.Options().BaseEndpoint, Table: table, ID: who.AccessKeyID,
					}.run(t)
					if killed {
						kills++
					}
					if op.always != nil {
						op.always(t, another(), key)
					}
					again := op.again
					if again == nil {
						again = op.do
					}
					require.NoError(t, again(t.Context(), another(), key), "after write %d: %t", at, after)
					op.after(t, another(), key)
				}
			}
			require.Greater(t, kills, 2, "an operation of one write is no test")
			t.Logf("killed %d times", kills)
		})
	}
}

func appendTo(ctx context.Context, s memory.Store, key memory.Key, text string, opts *memory.AppendOptions) error {
	e := said(text)
	e.State.Set = everyState(text)
	_, err := s.Append(ctx, key, e, opts)
	return err
}

func appendFive(ctx context.Context, s memory.Store, key memory.Key) error {
	for _, text := range fiveTexts {
		if err := appendTo(ctx, s, key, text, &memory.AppendOptions{RequestID: text}); err != nil {
			return err
		}
	}
	return nil
}

func updateTo(ctx context.Context, s memory.Store, key memory.Key, changes ...memory.Change) error {
	_, err := s.Update(ctx, key, changes...)
	return err
}

// orOwnWork forgives what a repeated call finds of its first work.
func orOwnWork(err error) error {
	if errors.Is(err, memory.ErrConflict) {
		return nil
	}
	return err
}

func besideKey(key memory.Key) memory.Key {
	key.Session = "fork"
	return key
}

func everyState(v any) memory.States {
	return memory.States{Session: memory.State{"k": v}, User: memory.State{"k": v}, App: memory.State{"k": v}}
}

// manyBytes does not compress to nothing: chunks of an item each must remain.
func manyBytes(seed rune, size int) string {
	var b strings.Builder
	for x := uint32(seed); b.Len() < size; {
		x = x*1664525 + 1013904223
		fmt.Fprintf(&b, "%08x", x)
	}
	return b.String()[:size]
}

func textOf(r memory.Record) string { return r.Messages[0].Parts[0].Text }

func textsOf(t *testing.T, s memory.Store, key memory.Key) []string {
	t.Helper()
	out := []string{}
	for r, err := range s.Records(t.Context(), key, nil) {
		require.NoError(t, err)
		out = append(out, textOf(r))
	}
	return out
}

func windowOf(t *testing.T, s memory.Store, key memory.Key) memory.Window {
	t.Helper()
	w, err := s.Open(t.Context(), key, &memory.WindowOptions{Scopes: memory.AllStates})
	require.NoError(t, err)
	return w
}

func sessionsOf(t *testing.T, s memory.Store, key memory.Key) []string {
	t.Helper()
	out := []string{}
	for m, err := range s.Find(t.Context(), memory.Query{Tenant: key.Tenant, App: key.App}) {
		require.NoError(t, err)
		out = append(out, m.Key.Session)
	}
	return out
}
