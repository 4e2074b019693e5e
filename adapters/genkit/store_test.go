package genkit_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/firebase/genkit/go/core/x/session"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/adapters/genkit"
	"github.com/genaistore/genaistore/adapters/genkit/storetest"
	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

var ada = memory.Key{App: "travel", User: "ada"}

func open[S any](t *testing.T, store memory.Store, owner memory.Key) *genkit.Store[S] {
	t.Helper()
	s, err := genkit.New[S](store, owner)
	require.NoError(t, err)
	return s
}

func TestStore(t *testing.T) {
	client := awsfake.NewDynamoDB().Client()
	_, err := dynamomemory.EnsureTable(t.Context(), client, "memory", &dynamomemory.TableOptions{NoTTL: true, NoRecovery: true})
	require.NoError(t, err)
	onDynamoDB, err := dynamomemory.New(client, "memory", nil)
	require.NoError(t, err)
	for name, store := range map[string]memory.Store{"in memory": &memory.InMemory{}, "on DynamoDB": onDynamoDB} {
		t.Run(name, func(t *testing.T) {
			n := 0
			storetest.Run(t, func(t *testing.T) session.Store[storetest.State] {
				n++
				return open[storetest.State](t, store, memory.Key{App: "a", User: fmt.Sprint(n)})
			})
		})
	}
}

// The framework's own store passes too: the suite asks for nothing of our own.
func TestTheSuiteIsFair(t *testing.T) {
	storetest.Run(t, func(*testing.T) session.Store[storetest.State] { return session.NewInMemoryStore[storetest.State]() })
}

func TestUsersAreApart(t *testing.T) {
	store := &memory.InMemory{}
	require.NoError(t, open[int](t, store, ada).Save(t.Context(), "s", &session.Data[int]{ID: "s", State: 7}))
	for _, other := range []memory.Key{{App: "travel", User: "bob"}, {App: "other", User: "ada"}, {Tenant: "t", App: "travel", User: "ada"}} {
		got, err := open[int](t, store, other).Get(t.Context(), "s")
		require.NoError(t, err)
		require.Nil(t, got)
	}
}

func TestOtherSessionsOfTheStore(t *testing.T) {
	store := &memory.InMemory{}
	key := memory.Key{App: "travel", User: "ada", Session: "chat"}
	_, err := store.Append(t.Context(), key, memory.Entry{Messages: []memory.Message{memory.Text("user", "hello")}}, nil)
	require.NoError(t, err)
	s := open[int](t, store, ada)
	got, err := s.Get(t.Context(), "chat")
	require.NoError(t, err)
	require.Nil(t, got)
	require.NoError(t, s.Save(t.Context(), "chat", &session.Data[int]{ID: "chat", State: 7}))
	window, err := store.Open(t.Context(), key, nil)
	require.NoError(t, err)
	require.Len(t, window.Records, 1, "the conversation is untouched")
}

func TestBadInput(t *testing.T) {
	store := &memory.InMemory{}
	for _, owner := range []memory.Key{{}, {App: "a"}, {User: "ada", Session: "s"}, {User: "\x00"}} {
		_, err := genkit.New[int](store, owner)
		require.ErrorIs(t, err, memory.ErrInvalid, "%s", owner)
	}
	_, err := genkit.New[int](nil, ada)
	require.ErrorIs(t, err, memory.ErrInvalid)

	s := open[any](t, store, ada)
	for _, id := range []string{"", "\x00", strings.Repeat("x", memory.MaxKeyPart+1)} {
		_, err := s.Get(t.Context(), id)
		require.ErrorIs(t, err, memory.ErrInvalid)
		require.ErrorIs(t, s.Save(t.Context(), id, &session.Data[any]{ID: id}), memory.ErrInvalid)
	}
	for name, data := range map[string]*session.Data[any]{
		"nil": nil, "another id": {ID: "b"}, "no JSON": {ID: "a", State: math.NaN()}, "too large": {ID: "a", State: strings.Repeat("x", memory.MaxState)},
	} {
		require.ErrorIs(t, s.Save(t.Context(), "a", data), memory.ErrInvalid, name)
	}
	got, err := s.Get(t.Context(), "a")
	require.NoError(t, err)
	require.Nil(t, got, "nothing was saved")
}

func TestAStateOfAnotherType(t *testing.T) {
	store := &memory.InMemory{}
	require.NoError(t, open[string](t, store, ada).Save(t.Context(), "a", &session.Data[string]{ID: "a", State: "text"}))
	_, err := open[int](t, store, ada).Get(t.Context(), "a")
	require.ErrorIs(t, err, memory.ErrCorrupt)
	_, err = session.Load(t.Context(), open[int](t, store, ada), "b")
	_, notFound := errors.AsType[*session.NotFoundError](err)
	require.True(t, notFound)
}
