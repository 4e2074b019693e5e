package dynamomemory_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
	"github.com/genaistore/genaistore/memory/memorytest"
)

func sealing(t *testing.T) *dynamomemory.Options {
	t.Helper()
	c, err := dynamomemory.NewLocalCipher(bytes.Repeat([]byte{7}, 32))
	require.NoError(t, err)
	return &dynamomemory.Options{Cipher: c}
}

func TestStoreWithCipher(t *testing.T) {
	store := open(t, newFake(t), sealing(t))
	memorytest.Run(t, func(*testing.T) memory.Store { return store })
}

func TestStoreWithCipherForgetful(t *testing.T) {
	fake := newFake(t)
	opts := sealing(t)
	memorytest.Run(t, func(t *testing.T) memory.Store {
		return &forgetful{func() memory.Store { return open(t, fake, opts) }}
	})
}

func TestCipherTextShowsNothing(t *testing.T) {
	fake := newFake(t)
	store := open(t, fake, sealing(t))
	var seen bytes.Buffer
	e := entry("the secret text")
	e.State.Set = memory.States{
		Session: memory.State{"secret key": "secret value"}, User: memory.State{"secret key": "secret value"}, App: memory.State{"secret key": "secret value"},
	}
	r, err := store.Append(t.Context(), key("s"), e, nil)
	require.NoError(t, err)
	require.NoError(t, update(store, "s", memory.SetGist{UpTo: r.Record.ID, Text: "the secret gist"}, memory.SetState(e.State)))
	for _, pk := range []string{"T#acme#S#app#ada#s", "T#acme#U#app#ada", "T#acme#A#app"} {
		out, err := fake.Client().Query(t.Context(), &dynamodb.QueryInput{
			TableName: new(tableName), KeyConditionExpression: new("pk = :p"),
			ExpressionAttributeValues: map[string]types.AttributeValue{":p": &types.AttributeValueMemberS{Value: pk}},
		})
		require.NoError(t, err)
		require.NotEmpty(t, out.Items)
		for _, it := range out.Items {
			for attr, v := range it {
				raw, err := json.Marshal(v)
				require.NoError(t, err)
				fmt.Fprintln(&seen, attr, string(raw))
				if b, ok := v.(*types.AttributeValueMemberB); ok {
					seen.Write(b.Value)
				}
			}
		}
	}
	require.NotContains(t, seen.String(), "secret")
}

func TestCipherTextThatWasTamperedWithIsCorrupt(t *testing.T) {
	fake := newFake(t)
	store := open(t, fake, sealing(t))
	require.NoError(t, appendTo(store, "s", entry("one"), nil))
	require.NoError(t, appendTo(store, "s", entry("two"), nil))
	require.NoError(t, appendTo(store, "other", entry("three"), nil))
	records := items(t, fake, "E#")
	put := func(it map[string]types.AttributeValue) {
		_, err := fake.Client().PutItem(t.Context(), &dynamodb.PutItemInput{TableName: new(tableName), Item: it})
		require.NoError(t, err)
	}
	good := records[0]["b"].(*types.AttributeValueMemberB).Value
	for name, bad := range map[string][]byte{
		"a bit":                append([]byte{good[0] ^ 1}, good[1:]...),
		"the end":              good[:len(good)-1],
		"all":                  {},
		"that of another":      records[1]["b"].(*types.AttributeValueMemberB).Value,
		"plain text, unmarked": []byte(strings.Repeat("x", 50)),
	} {
		it := maps.Clone(records[0])
		it["b"] = &types.AttributeValueMemberB{Value: bad}
		if name == "plain text, unmarked" {
			delete(it, "x")
		}
		put(it)
		_, err := open(t, fake, sealing(t)).Open(t.Context(), key("s"), nil)
		require.ErrorIs(t, err, memory.ErrCorrupt, name)
	}
	put(records[0])
	require.Equal(t, []string{"one", "two"}, texts(t, store, "s"))

	other, err := dynamomemory.NewLocalCipher(bytes.Repeat([]byte{8}, 32))
	require.NoError(t, err)
	_, err = open(t, fake, &dynamomemory.Options{Cipher: other}).Open(t.Context(), key("s"), nil)
	require.ErrorIs(t, err, memory.ErrCorrupt)
	_, err = open(t, fake, nil).Open(t.Context(), key("s"), nil)
	require.ErrorIs(t, err, memory.ErrInvalid)
	require.ErrorContains(t, err, "no Cipher")
}

func TestAKeyThatWasErasedTakesTheSessionAlong(t *testing.T) {
	fake := newFake(t)
	opts := sealing(t)
	mine, theirs := open(t, fake, opts), open(t, fake, opts)
	require.NoError(t, appendTo(mine, "s", entry("a"), nil))
	require.NoError(t, theirs.Delete(t.Context(), key("s")))
	require.NoError(t, appendTo(mine, "s", entry("b"), nil))
	for _, s := range []memory.Store{mine, theirs} {
		require.Equal(t, []string{"b"}, texts(t, s, "s"))
	}
	_, err := dynamomemory.NewLocalCipher([]byte("short"))
	require.ErrorIs(t, err, memory.ErrInvalid)
}
