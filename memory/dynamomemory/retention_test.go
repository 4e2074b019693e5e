package dynamomemory_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t) // which deletes nothing, like DynamoDB for days
		store := open(t, fake, &dynamomemory.Options{Retention: 48 * time.Hour})
		e := entry("a")
		e.State.Set.Session = memory.State{"k": "v"} // for which DynamoDB keeps it a day longer
		require.NoError(t, appendTo(store, "s", e, nil))
		require.NoError(t, appendTo(store, "s", entry("a2"), nil))
		time.Sleep(47 * time.Hour)
		require.NoError(t, appendTo(store, "s", entry("b"), nil))
		require.Equal(t, []string{"a", "a2", "b"}, texts(t, store, "s"))
		time.Sleep(2 * time.Hour)
		require.Equal(t, []string{"a", "b"}, texts(t, open(t, fake, nil), "s"), "one who keeps longer shows no item that has expired")
		require.Equal(t, []string{"b"}, texts(t, store, "s"))
		require.Len(t, window(t, store, "s").Records, 1)
		require.Equal(t, memory.State{"k": "v"}, window(t, store, "s").States.Session)
		time.Sleep(47 * time.Hour)
		require.False(t, opens(t, store, "s"), "idle for as long as records are kept")
		require.Empty(t, listed(t, store))
		require.NoError(t, appendTo(store, "s", entry("c"), nil))
		require.Equal(t, []string{"c"}, texts(t, store, "s"))
		require.Empty(t, window(t, store, "s").States.Session)
	})
}

// State that was set once lasts as long as the session, also where DynamoDB removes
// what has expired.
func TestStateOutlivesItsRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		opts := &dynamomemory.Options{Retention: 48 * time.Hour}
		store := open(t, fake, opts)
		e := entry("a")
		e.State.Set.Session = memory.State{"k": "v"}
		require.NoError(t, appendTo(store, "s", e, nil))
		for i := range 20 {
			time.Sleep(20 * time.Hour)
			expire(t, fake)
			store = open(t, fake, opts)
			require.Equal(t, "v", window(t, store, "s").States.Session["k"], i)
			e := entry("more")
			e.State.Set.Session = memory.State{"n": i}
			require.NoError(t, appendTo(store, "s", e, nil))
			store = open(t, fake, opts)
			got := window(t, store, "s").States.Session
			require.Equal(t, memory.State{"k": "v", "n": float64(i)}, got)
		}
	})
}

// expire does what DynamoDB does to items whose time has come.
func expire(t *testing.T, fake *awsfake.DynamoDB) {
	t.Helper()
	for _, it := range items(t, fake, "") {
		exp, ok := it["exp"].(*types.AttributeValueMemberN)
		var at int64
		if ok {
			_, err := fmt.Sscan(exp.Value, &at)
			require.NoError(t, err)
		}
		if at == 0 || at > time.Now().Unix() {
			continue
		}
		_, err := fake.Client().DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
			TableName: new(tableName), Key: map[string]types.AttributeValue{"pk": it["pk"], "sk": it["sk"]},
		})
		require.NoError(t, err)
	}
}
