package dynamomemory_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

func userState(key string, v any) memory.Entry {
	e := entry("a")
	e.State.Set.User = memory.State{key: v}
	return e
}

// A state that does not fit is refused before anything of the Append is stored.
func TestAStateWithoutRoomStoresNothing(t *testing.T) {
	cipher, err := dynamomemory.NewLocalCipher([]byte(strings.Repeat("k", 32)))
	require.NoError(t, err)
	for name, opts := range map[string]*dynamomemory.Options{"plain": nil, "encrypted": {Cipher: cipher}} {
		t.Run(name, func(t *testing.T) {
			fake := newFake(t)
			mine, theirs := open(t, fake, opts), open(t, fake, opts)
			require.NoError(t, appendTo(mine, "s", userState("1", text(150<<10)), nil))
			require.NoError(t, appendTo(theirs, "s", userState("2", text(150<<10)), nil))
			require.NoError(t, appendTo(mine, "s", userState("1", text(151<<10)), nil), "a value that replaces another")
			before, err := fake.Items(tableName)
			require.NoError(t, err)
			for _, s := range []memory.Store{mine, theirs, open(t, fake, opts)} {
				for _, o := range []*memory.AppendOptions{nil, {IfVersion: 1}} {
					err := appendTo(s, "s", userState("3", text(152<<10)), o)
					require.ErrorIs(t, err, memory.ErrInvalid)
					require.ErrorContains(t, err, "state of the user")
				}
			}
			after, err := fake.Items(tableName)
			require.NoError(t, err)
			require.Equal(t, before, after)
			require.ErrorIs(t, appendTo(mine, "s", userState("3", text(152<<10)), &memory.AppendOptions{RequestID: "r"}), memory.ErrInvalid)
			require.Len(t, texts(t, mine, "s"), 3)

			e := entry("a")
			e.State.Unset.User = []string{"2"}
			require.NoError(t, appendTo(mine, "s", e, nil))
			require.NoError(t, appendTo(mine, "s", userState("3", text(152<<10)), &memory.AppendOptions{RequestID: "r"}))
			r, err := open(t, fake, opts).Append(t.Context(), key("s"), userState("4", text(150<<10)), &memory.AppendOptions{RequestID: "r"})
			require.NoError(t, err, "it is stored already")
			require.True(t, r.Replayed)
			require.ErrorIs(t, appendTo(open(t, fake, opts), "new", userState("4", text(150<<10)), nil), memory.ErrInvalid)
			require.False(t, opens(t, mine, "new"))
			require.Equal(t, []string{"s"}, listed(t, mine))
			require.Equal(t, memory.State{"1": text(151 << 10), "3": text(152 << 10)}, window(t, theirs, "s").States.User)
		})
	}
}

// Where others have taken the room meanwhile the session still opens.
func TestAStateThatLosesItsRoomDoesNotBrickTheSession(t *testing.T) {
	fake := newFake(t)
	mine, theirs := open(t, fake, nil), open(t, fake, nil)
	require.NoError(t, appendTo(mine, "s", userState("first", text(120<<10)), nil))
	before(fake, putsRecord, func() {
		require.NoError(t, appendTo(theirs, "other", userState("theirs", text(204<<10)), nil))
	})
	err := appendTo(mine, "s", userState("mine", text(204<<10)), nil)
	require.ErrorIs(t, err, memory.ErrThrottled)
	require.NotErrorIs(t, err, memory.ErrInvalid) // it is not true that nothing was stored
	w := window(t, theirs, "s")
	require.Len(t, w.Records, 2)
	require.Equal(t, memory.State{"first": text(120 << 10), "mine": text(204 << 10), "theirs": text(204 << 10)}, w.States.User)
}

// What this process knows of a small state is enough: no Append reads it again.
func TestASmallStateIsNotReadForItsSize(t *testing.T) {
	fake := newFake(t)
	store := open(t, fake, nil)
	require.NoError(t, appendTo(store, "s", userState("k", 0), nil))
	reads := 0
	before(fake, func(operation, _ string) bool {
		if operation == "GetItem" {
			reads++
		}
		return false
	}, nil)
	for i := range 3 {
		require.NoError(t, appendTo(store, "s", userState(fmt.Sprint(i), i), nil))
	}
	require.Zero(t, reads)
}
