package dynamomemory_test

import (
	"strings"
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

// regions are two replicas of a global table. Nothing gets from one to the other but
// by arrive.
type regions struct {
	t          *testing.T
	here       *awsfake.DynamoDB
	away       *awsfake.DynamoDB
	mine, them *dynamomemory.Store
}

func newRegions(t *testing.T) *regions {
	t.Helper()
	here, away := newFake(t), newFake(t)
	opts := &dynamomemory.Options{Replica: true}
	return &regions{t, here, away, open(t, here, opts), open(t, away, opts)}
}

// arrive brings those items of a partition to the other Region whose sort keys begin so.
func (r *regions) arrive(pk, sk string) {
	r.t.Helper()
	out, err := r.here.Client().Query(r.t.Context(), &dynamodb.QueryInput{
		TableName: new(tableName), KeyConditionExpression: new("pk = :p AND begins_with(sk, :s)"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":p": &types.AttributeValueMemberS{Value: pk}, ":s": &types.AttributeValueMemberS{Value: sk},
		},
	})
	require.NoError(r.t, err)
	require.NotEmpty(r.t, out.Items)
	for _, it := range out.Items {
		_, err := r.away.Client().PutItem(r.t.Context(), &dynamodb.PutItemInput{TableName: new(tableName), Item: it})
		require.NoError(r.t, err)
	}
}

func (r *regions) there(key memory.Key, b memory.Bookmark) error {
	_, err := r.them.Open(r.t.Context(), key, &memory.WindowOptions{AtLeast: b, Scopes: memory.AllStates})
	return err
}

func (r *regions) behind(key memory.Key, b memory.Bookmark) {
	r.t.Helper()
	err := r.there(key, b)
	require.ErrorIs(r.t, err, memory.ErrBehind)
	require.ErrorIs(r.t, err, memory.ErrThrottled)
}

const sessionPK = "T#acme#S#app#ada#s"

func TestAReplicaSaysWhatHasNotArrived(t *testing.T) {
	r := newRegions(t)
	say := func(s string) memory.Receipt {
		receipt, err := r.mine.Append(t.Context(), key("s"), entry(s), nil)
		require.NoError(t, err)
		return receipt
	}
	first, second := say("a"), say("b")
	third := say("c")
	r.arrive(sessionPK, "H")
	r.behind(key("s"), first.Bookmark)
	r.arrive(sessionPK, "E#"+string(first.Record.ID))
	r.arrive(sessionPK, "E#"+string(third.Record.ID))
	require.NoError(t, r.there(key("s"), first.Bookmark))
	require.NoError(t, r.there(key("s"), third.Bookmark))
	r.behind(key("s"), second.Bookmark) // a later one proves nothing
	require.NoError(t, r.there(key("s"), ""))
	r.arrive(sessionPK, "E#"+string(second.Record.ID))
	require.NoError(t, r.there(key("s"), second.Bookmark))

	titled, err := r.mine.Update(t.Context(), key("s"), memory.SetTitle{Title: "t"})
	require.NoError(t, err)
	r.behind(key("s"), titled)
	w, err := r.mine.Open(t.Context(), key("s"), nil)
	require.NoError(t, err)
	r.behind(key("s"), w.Bookmark)
	r.arrive(sessionPK, "H")
	require.NoError(t, r.there(key("s"), titled))
	require.NoError(t, r.there(key("s"), w.Bookmark))
	require.NoError(t, r.there(key("s"), third.Bookmark))
}

func TestAReplicaSaysWhichStateHasNotArrived(t *testing.T) {
	r := newRegions(t)
	require.NoError(t, appendTo(r.mine, "s", entry("a"), nil))
	r.arrive(sessionPK, "")
	b, err := r.mine.Update(t.Context(), key("s").Owner(), memory.SetState{Set: memory.States{User: memory.State{"k": "v"}}})
	require.NoError(t, err)
	r.behind(key("s").Owner(), b)
	r.behind(key("s"), b)
	w, err := r.mine.Open(t.Context(), key("s").Owner(), nil)
	require.NoError(t, err)
	r.behind(key("s").Owner(), w.Bookmark)
	r.arrive("T#acme#U#app#ada", "STATE")
	require.NoError(t, r.there(key("s").Owner(), b))
	require.NoError(t, r.there(key("s"), b))
	require.NoError(t, r.there(key("s").Owner(), w.Bookmark))
}

// What was removed since is not waited for.
func TestAReplicaDoesNotWaitForWhatIsGone(t *testing.T) {
	r := newRegions(t)
	receipt, err := r.mine.Append(t.Context(), key("s"), entry("a"), nil)
	require.NoError(t, err)
	require.NoError(t, appendTo(r.mine, "s", entry("b"), nil))
	require.NoError(t, update(r.mine, "s", memory.Rewind{}))
	require.NoError(t, appendTo(r.mine, "s", entry("c"), nil))
	r.arrive(sessionPK, "")
	require.NoError(t, r.there(key("s"), receipt.Bookmark))

	other, err := r.mine.Append(t.Context(), key("other"), entry("a"), nil)
	require.NoError(t, err)
	require.NoError(t, r.there(key("s"), other.Bookmark), "a bookmark of another session")
	require.NoError(t, r.mine.Delete(t.Context(), key("s")))
	require.NoError(t, appendTo(r.mine, "s", entry("new"), nil))
	r.arrive(sessionPK, "H")
	require.NoError(t, r.there(key("s"), receipt.Bookmark), "a bookmark of an earlier session")
}

func TestASessionThatIsNotInARegionMayBeOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegions(t)
		receipt, err := r.mine.Append(t.Context(), key("s"), entry("a"), nil)
		require.NoError(t, err)
		r.behind(key("s"), receipt.Bookmark)
		require.ErrorIs(t, r.there(key("s"), ""), memory.ErrNotFound)
		require.ErrorIs(t, r.there(key("other"), receipt.Bookmark), memory.ErrNotFound)
		time.Sleep(time.Minute)
		require.ErrorIs(t, r.there(key("s"), receipt.Bookmark), memory.ErrNotFound)
	})
}

func TestABookmarkThatIsForgedIsInvalid(t *testing.T) {
	store := open(t, newFake(t), &dynamomemory.Options{Replica: true})
	receipt, err := store.Append(t.Context(), key("s"), entry("a"), nil)
	require.NoError(t, err)
	good := string(receipt.Bookmark)
	id, mark, found := strings.Cut(strings.TrimPrefix(good, "at-"), "-")
	require.True(t, found)
	require.NotContains(t, good, "acme")
	for _, b := range []string{
		"at-" + id + "-", "at-" + id + "-" + mark + "0", "at-" + id + "-" + strings.ToUpper("abcdefab"), "at-" + id + "-" + mark + "-" + mark,
		id + "-" + mark, "at-" + id[1:] + "-" + mark, "at-" + strings.Repeat("v", 26) + "-" + mark, good + "\n",
	} {
		_, err := store.Open(t.Context(), key("s"), &memory.WindowOptions{AtLeast: memory.Bookmark(b)})
		require.ErrorIs(t, err, memory.ErrInvalid, b)
		_, err = store.Append(t.Context(), key("s"), entry("b"), &memory.AppendOptions{After: memory.Bookmark(b)})
		require.ErrorIs(t, err, memory.ErrInvalid, b)
	}
	require.Equal(t, []string{"a"}, texts(t, store, "s"))
	plain := open(t, newFake(t), nil) // a Store without the option takes it, too
	_, err = plain.Append(t.Context(), key("s"), entry("b"), &memory.AppendOptions{After: receipt.Bookmark})
	require.NoError(t, err)
}
