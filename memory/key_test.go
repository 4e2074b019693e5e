package memory_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/memory"
)

func TestAKeyNamesASessionAUserOrAnApp(t *testing.T) {
	k := memory.Key{Tenant: "t", App: "a", User: "u", Session: "s"}
	require.NoError(t, k.Validate())
	require.Equal(t, memory.Key{Tenant: "t", App: "a", User: "u"}, k.Owner())
	require.Equal(t, memory.Key{Tenant: "t", App: "a"}, k.Whole())
	require.Equal(t, "t/a/u/s", k.String())
	require.Equal(t, "t/a", k.Whole().String())
	require.Empty(t, memory.Key{}.String())

	for _, scope := range []memory.Key{k.Owner(), k.Whole(), {}} {
		require.ErrorIs(t, scope.Validate(), memory.ErrInvalid)
		require.NoError(t, scope.ValidateScope())
	}
	require.ErrorIs(t, memory.Key{Session: "s"}.ValidateScope(), memory.ErrInvalid)
}

// What Validate passes a store can keep and give back; what it refuses a store refuses.
func FuzzKeyValidate(f *testing.F) {
	f.Add("", "", "u", "s")
	f.Add("t", "a/b", "u#%", "é")
	f.Add("t\x00", "a", "u", "s")
	f.Add("t", "a", "\xff", strings.Repeat("s", 257))
	f.Fuzz(func(t *testing.T, tenant, app, user, session string) {
		k := memory.Key{Tenant: tenant, App: app, User: user, Session: session}
		good := user != "" && session != ""
		for _, part := range []string{tenant, app, user, session} {
			good = good && len(part) <= 256 && utf8.ValidString(part) && !strings.ContainsFunc(part, unicode.IsControl)
		}
		require.Equal(t, good, k.Validate() == nil)
		var store memory.InMemory
		_, err := store.Append(t.Context(), k, memory.Entry{}, nil)
		if !good {
			require.ErrorIs(t, k.Validate(), memory.ErrInvalid)
			require.ErrorIs(t, err, memory.ErrInvalid)
			return
		}
		require.NoError(t, err)
		for match, err := range store.Find(t.Context(), memory.Query{Tenant: tenant, App: app, User: user}) {
			require.NoError(t, err)
			require.Equal(t, k, match.Key)
		}
	})
}
