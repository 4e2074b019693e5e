package integration

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/integration/servers"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
	"github.com/genaistore/genaistore/memory/dynamomemory/costtest"
	"github.com/genaistore/genaistore/memory/memorytest"
)

// memoryTable makes a table for dynamomemory, to be deleted when the test ends.
func memoryTable(t *testing.T, c *dynamodb.Client) string {
	t.Helper()
	name := ownTable(t, c)
	_, err := dynamomemory.EnsureTable(t.Context(), c, name, &dynamomemory.TableOptions{NoRecovery: true})
	require.NoError(t, err)
	return name
}

func memoryStore(t *testing.T, c *dynamodb.Client, table string, opts *dynamomemory.Options) *dynamomemory.Store {
	t.Helper()
	store, err := dynamomemory.New(c, table, opts)
	require.NoError(t, err)
	return store
}

func TestDynamoMemory(t *testing.T) {
	t.Parallel()
	onDynamoDB(t, func(t *testing.T, client *dynamodb.Client, name servers.Name) {
		store := memoryStore(t, client, memoryTable(t, client), nil)
		memorytest.Run(t, func(t *testing.T) memory.Store {
			servers.Count(t, name)
			return store
		})
	})
}

func TestDynamoMemoryWithCipher(t *testing.T) {
	t.Parallel()
	client := servers.DynamoDBLocal(t)
	cipher, err := dynamomemory.NewLocalCipher(make([]byte, 32))
	require.NoError(t, err)
	store := memoryStore(t, client, memoryTable(t, client), &dynamomemory.Options{Cipher: cipher})
	memorytest.Run(t, func(*testing.T) memory.Store { return store })
}

func TestDynamoMemoryCosts(t *testing.T) {
	onDynamoDB(t, func(t *testing.T, client *dynamodb.Client, name servers.Name) {
		servers.Need(t, name, servers.ConsumedCapacity)
		costtest.Run(t, memoryStore(t, client, memoryTable(t, client), nil), nil)
	})
}

func said(text string) memory.Entry {
	return memory.Entry{Messages: []memory.Message{memory.Text("user", text)}}
}

// Fifty processes write to one session; nothing is lost, doubled or out of order.
func TestDynamoMemoryFiftyWriters(t *testing.T) {
	client := servers.DynamoDBLocal(t)
	table := memoryTable(t, client)
	key := memory.Key{Tenant: "acme", App: "app", User: "ada", Session: "s"}
	var wg sync.WaitGroup
	for w := range 50 {
		store := memoryStore(t, client, table, nil)
		wg.Go(func() {
			for i := range 20 {
				name := fmt.Sprint(w, "/", i)
				e := said(name)
				e.State.Set = memory.States{Session: memory.State{fmt.Sprint(w): i}, User: memory.State{fmt.Sprint(w): i}}
				if _, err := store.Append(t.Context(), key, e, &memory.AppendOptions{RequestID: name}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	store := memoryStore(t, client, table, nil)
	last := map[string]int{}
	n, id := 0, memory.RecordID("")
	for r, err := range store.Records(t.Context(), key, nil) {
		require.NoError(t, err)
		var w, i int
		_, err := fmt.Sscanf(r.RequestID, "%d/%d", &w, &i)
		require.NoError(t, err)
		require.Equal(t, last[fmt.Sprint(w)], i, "of writer %d", w)
		require.Greater(t, r.ID, id)
		last[fmt.Sprint(w)], id = i+1, r.ID
		n++
	}
	require.Equal(t, 1000, n)
	w, err := store.Open(t.Context(), key, &memory.WindowOptions{Scopes: memory.AllStates})
	require.NoError(t, err)
	require.Len(t, w.States.Session, 50)
	require.Len(t, w.States.User, 50)
	for name, v := range w.States.Session {
		require.InDelta(t, 19, v, 0, name)
		require.InDelta(t, 19, w.States.User[name], 0, name)
	}
}

// Pages of 1 MB end where they want to.
func TestDynamoMemoryTenThousandRecords(t *testing.T) {
	t.Parallel()
	client := servers.DynamoDBLocal(t)
	store := memoryStore(t, client, memoryTable(t, client), nil)
	key := memory.Key{User: "ada", Session: "long"}
	for i := range 10_000 {
		_, err := store.Append(t.Context(), key, said(fmt.Sprint(i)), nil)
		require.NoError(t, err)
	}
	for _, backward := range []bool{false, true} {
		n := 0
		for r, err := range store.Records(t.Context(), key, &memory.RangeOptions{Backward: backward}) {
			require.NoError(t, err)
			want := n
			if backward {
				want = 9_999 - n
			}
			require.Equal(t, fmt.Sprint(want), r.Messages[0].Parts[0].Text)
			n++
		}
		require.Equal(t, 10_000, n)
	}
	_, err := store.Update(t.Context(), memory.Key{User: "ada", Session: "fork"}, memory.Fork{From: "long"})
	require.NoError(t, err)
	w, err := store.Open(t.Context(), memory.Key{User: "ada", Session: "fork"}, nil)
	require.NoError(t, err)
	require.Equal(t, "9999", w.Records[19].Messages[0].Parts[0].Text)
	require.NoError(t, store.Delete(t.Context(), key))
	for range store.Records(t.Context(), key, nil) {
		t.Fatal("a record is left")
	}
}

// Large records on the real limits of items, pages and transactions.
func TestDynamoMemoryLargeRecords(t *testing.T) {
	client := servers.DynamoDBLocal(t)
	store := memoryStore(t, client, memoryTable(t, client), nil)
	key := memory.Key{User: "ada", Session: "large"}
	random := rand.New(rand.NewPCG(1, 1))
	var changes []memory.Change
	var want []string
	for _, size := range []int{340 << 10, 390 << 10, 410 << 10, 1 << 20, memory.MaxEntry - 4} {
		text := make([]byte, size)
		for i := range text {
			text[i] = byte(' ' + random.IntN(95))
		}
		want = append(want, string(text))
		r, err := store.Append(t.Context(), key, said(string(text)), nil)
		require.NoError(t, err)
		changes = append(changes, memory.Edit{Record: r.Record.ID, Messages: said(string(text[1:])).Messages})
	}
	check := func(cut int) {
		t.Helper()
		w, err := store.Open(t.Context(), key, nil)
		require.NoError(t, err)
		require.Len(t, w.Records, len(want))
		for i, r := range w.Records {
			require.Equal(t, want[i][cut:], r.Messages[0].Parts[0].Text, "record %d", i)
		}
	}
	check(0)
	_, err := store.Append(t.Context(), key, said(strings.Repeat("5 MB ", 1<<20)), nil)
	require.ErrorIs(t, err, memory.ErrInvalid, "more than memory.MaxEntry belongs in artifacts")
	check(0)
	_, err = store.Update(t.Context(), key, changes...)
	require.NoError(t, err)
	check(1)
	_, err = store.Update(t.Context(), key, memory.Rewind{})
	require.NoError(t, err)
	require.NoError(t, store.Delete(t.Context(), key))
}
