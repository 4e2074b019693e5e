package dynamomemory_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
	"github.com/genaistore/genaistore/memory/memorytest"
)

const tableName = "memory"

// createTable makes a table with the default names. The fake has no expiry and no
// recovery.
func createTable(tb testing.TB, client *dynamodb.Client, lsi bool) {
	tb.Helper()
	_, err := dynamomemory.EnsureTable(context.Background(), client, tableName, &dynamomemory.TableOptions{NoLSI: !lsi, NoTTL: true, NoRecovery: true})
	require.NoError(tb, err)
}

// newFake returns a fake with the table.
func newFake(tb testing.TB) *awsfake.DynamoDB {
	tb.Helper()
	fake := awsfake.NewDynamoDB()
	createTable(tb, fake.Client(), true)
	return fake
}

// open returns a Store as another process would have it.
func open(tb testing.TB, fake *awsfake.DynamoDB, opts *dynamomemory.Options) *dynamomemory.Store {
	tb.Helper()
	store, err := dynamomemory.New(fake.Client(), tableName, opts)
	require.NoError(tb, err)
	return store
}

func TestStore(t *testing.T) {
	store := open(t, newFake(t), nil)
	memorytest.Run(t, func(*testing.T) memory.Store { return store })
}

// Each call by a process that has just started, as in a Lambda: nothing may depend
// on what a Store remembers, and everything on what is in the table.
func TestStoreForgetful(t *testing.T) {
	fake := newFake(t)
	memorytest.Run(t, func(t *testing.T) memory.Store {
		return &forgetful{func() memory.Store { return open(t, fake, nil) }}
	})
}

func TestStoreWithoutLocalIndex(t *testing.T) {
	fake := awsfake.NewDynamoDB()
	createTable(t, fake.Client(), false)
	store := open(t, fake, &dynamomemory.Options{NoLSI: true})
	memorytest.Run(t, func(*testing.T) memory.Store { return store })
}

func TestStoreForEver(t *testing.T) {
	store := open(t, newFake(t), &dynamomemory.Options{Retention: -1})
	memorytest.Run(t, func(*testing.T) memory.Store { return store })
}

func FuzzStore(f *testing.F) {
	random := rand.New(rand.NewPCG(3, 3))
	for range 60 {
		choices := make([]byte, 400)
		for i := range choices {
			choices[i] = byte(random.Uint32())
		}
		f.Add(choices)
	}
	fake := newFake(f)
	store := open(f, fake, nil)
	memorytest.Fuzz(f, func(*testing.T) memory.Store { return store })
}

func key(session string) memory.Key {
	return memory.Key{Tenant: "acme", App: "app", User: "ada", Session: session}
}

// text is hard to compress, so that items have the sizes that tests speak of.
func text(n int) string {
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], uint64(n))
	out := make([]byte, n)
	rand.NewChaCha8(seed).Read(out)
	for i := range out {
		out[i] = ' ' + out[i]%95
	}
	return string(out)
}

func entry(s string) memory.Entry {
	return memory.Entry{Messages: []memory.Message{memory.Text("user", s)}}
}
