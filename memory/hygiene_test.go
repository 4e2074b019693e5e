package memory

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestExpiredRequestIDsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m InMemory
		idle, busy := Key{User: "u", Session: "idle"}, Key{User: "u", Session: "busy"}
		for i := range 100 {
			_, err := m.Append(t.Context(), idle, Entry{}, &AppendOptions{RequestID: fmt.Sprint(i)})
			require.NoError(t, err)
			time.Sleep(time.Minute)
		}
		require.Len(t, m.sessions[idle].requests, 100)
		time.Sleep(RequestLife - 50*time.Minute)
		_, err := m.Append(t.Context(), busy, Entry{}, nil)
		require.NoError(t, err)
		require.Len(t, m.sessions[idle].requests, 49)
		require.Len(t, m.due, 49)
		time.Sleep(RequestLife)
		_, err = m.Append(t.Context(), busy, Entry{}, nil)
		require.NoError(t, err)
		require.Empty(t, m.sessions[idle].requests)
		require.Nil(t, m.due)
	})
}

func TestExpiredSessionsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m InMemory
		for i := range 10_000 {
			key := Key{User: "u", Session: fmt.Sprint(i)}
			_, err := m.Update(t.Context(), key, Create{}, Keep{Until: time.Now().Add(time.Minute)})
			require.NoError(t, err)
			time.Sleep(time.Second)
		}
		require.Less(t, len(m.sessions), 200, "sixty are alive")
	})
}

func TestAForgottenUserLeavesNoNameBehind(t *testing.T) {
	var m InMemory
	user := Key{User: "u"}
	_, err := m.Update(t.Context(), user, SetState{Set: States{User: State{"k": "v"}}})
	require.NoError(t, err)
	_, err = Forget(t.Context(), &m, user)
	require.NoError(t, err)
	require.Empty(t, m.shared)
	require.Empty(t, m.sessions)
}
