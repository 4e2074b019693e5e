package eino_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/cloudwego/eino/compose"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/adapters/eino"
	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

var ada = memory.Key{App: "travel", User: "ada"}

func stores(t *testing.T) map[string]memory.Store {
	t.Helper()
	client := awsfake.NewDynamoDB().Client()
	_, err := dynamomemory.EnsureTable(t.Context(), client, "memory", &dynamomemory.TableOptions{NoTTL: true, NoRecovery: true})
	require.NoError(t, err)
	onDynamoDB, err := dynamomemory.New(client, "memory", nil)
	require.NoError(t, err)
	return map[string]memory.Store{"in memory": &memory.InMemory{}, "on DynamoDB": onDynamoDB}
}

func open(t *testing.T, store memory.Store, owner memory.Key) *eino.CheckPoints {
	t.Helper()
	c, err := eino.NewCheckPoints(store, owner)
	require.NoError(t, err)
	return c
}

func TestCheckPoints(t *testing.T) {
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			c := open(t, store, ada)
			want := func(id string, data []byte, there bool) {
				t.Helper()
				got, ok, err := c.Get(t.Context(), id)
				require.NoError(t, err)
				require.Equal(t, there, ok)
				require.Equal(t, data, got)
			}
			want("a", nil, false)
			require.NoError(t, c.Delete(t.Context(), "a"))

			large := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // a MiB
			for _, data := range [][]byte{[]byte("first"), {0, 0xff, 0x80}, {}, large} {
				require.NoError(t, c.Set(t.Context(), "a", data))
				want("a", data, true)
			}
			require.NoError(t, c.Set(t.Context(), "A#/ü", []byte("other")))
			want("A#/ü", []byte("other"), true)
			want("a", large, true)
			require.NoError(t, c.Delete(t.Context(), "a"))
			want("a", nil, false)
			require.NoError(t, c.Set(t.Context(), "a", nil))
			want("a", []byte{}, true)

			_, ok, err := open(t, store, memory.Key{App: "travel", User: "bob"}).Get(t.Context(), "A#/ü")
			require.NoError(t, err)
			require.False(t, ok, "users are apart")
		})
	}
}

func TestBadInput(t *testing.T) {
	store := &memory.InMemory{}
	_, err := eino.NewCheckPoints(nil, ada)
	require.ErrorIs(t, err, memory.ErrInvalid)
	for _, owner := range []memory.Key{{}, {App: "a"}, {User: "ada", Session: "s"}, {User: "\x00"}} {
		_, err := eino.NewCheckPoints(store, owner)
		require.ErrorIs(t, err, memory.ErrInvalid, "%s", owner)
	}
	c := open(t, store, ada)
	for _, id := range []string{"", "\x00", strings.Repeat("x", memory.MaxKeyPart+1)} {
		_, _, err := c.Get(t.Context(), id)
		require.ErrorIs(t, err, memory.ErrInvalid)
		require.ErrorIs(t, c.Set(t.Context(), id, []byte("x")), memory.ErrInvalid)
		require.ErrorIs(t, c.Delete(t.Context(), id), memory.ErrInvalid)
	}
	require.ErrorIs(t, c.Set(t.Context(), "a", make([]byte, memory.MaxEntry+1)), memory.ErrInvalid)
	_, ok, err := c.Get(t.Context(), "a")
	require.NoError(t, err)
	require.False(t, ok)

	_, err = store.Append(t.Context(), memory.Key{App: "travel", User: "ada", Session: "chat"}, memory.Entry{Messages: []memory.Message{memory.Text("user", "hello")}}, nil)
	require.NoError(t, err)
	_, _, err = c.Get(t.Context(), "chat")
	require.ErrorIs(t, err, memory.ErrConflict)
}

// A graph that is interrupted by one process is resumed by another.
func TestAGraphGoesOnElsewhere(t *testing.T) {
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			ran := map[string]int{}
			process := func() compose.Runnable[string, string] { return graph(t, open(t, store, ada), ran) }
			_, err := process().Invoke(t.Context(), "order", compose.WithCheckPointID("run-1"))
			info, interrupted := compose.ExtractInterruptInfo(err)
			require.True(t, interrupted, "%v", err)
			require.Equal(t, []string{"ship"}, info.BeforeNodes)

			out, err := process().Invoke(t.Context(), "", compose.WithCheckPointID("run-1"))
			require.NoError(t, err)
			require.Equal(t, "order, checked, shipped", out)
			require.Equal(t, map[string]int{"check": 1, "ship": 1}, ran)
		})
	}
}

func graph(t *testing.T, checkPoints compose.CheckPointStore, ran map[string]int) compose.Runnable[string, string] {
	t.Helper()
	g := compose.NewGraph[string, string]()
	step := func(name, does string) {
		require.NoError(t, g.AddLambdaNode(name, compose.InvokableLambda(func(_ context.Context, in string) (string, error) {
			ran[name]++
			return fmt.Sprintf("%s, %s", in, does), nil
		})))
	}
	step("check", "checked")
	step("ship", "shipped")
	require.NoError(t, g.AddEdge(compose.START, "check"))
	require.NoError(t, g.AddEdge("check", "ship"))
	require.NoError(t, g.AddEdge("ship", compose.END))
	r, err := g.Compile(t.Context(), compose.WithCheckPointStore(checkPoints), compose.WithInterruptBeforeNodes([]string{"ship"}), compose.WithGraphName("order"))
	require.NoError(t, err)
	return r
}
