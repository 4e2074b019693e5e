package dynamomemory_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

// The answer to each write in turn is lost. The AWS client asks again and meets its
// own first work, which must look to the caller as if nothing had happened.
func TestALostAnswerIsNoError(t *testing.T) { losesAnswers(t, nil) }

func TestALostAnswerIsNoErrorWithoutTransactions(t *testing.T) {
	skipSlow(t)
	losesAnswers(t, &dynamomemory.Options{NoTransactions: true})
}

func losesAnswers(t *testing.T, opts *dynamomemory.Options) {
	t.Helper()
	for _, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			for n := 1; ; n++ {
				lost := 0
				synctest.Test(t, func(t *testing.T) {
					fake := newFake(t)
					if op.before != nil {
						op.before(t, open(t, fake, opts))
					}
					store := open(t, fake, opts)
					seen := 0
					fake.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
						if !writes(r) {
							return false
						}
						if seen++; seen != n {
							return false
						}
						lost++
						next.ServeHTTP(w, r)
						awsfake.Lose(w)
						return true
					})
					require.NoError(t, op.do(store), "the answer to write %d was lost", n)
					fake.Intercept(nil)
					if op.always != nil {
						op.always(t, open(t, fake, opts))
					}
					if op.after != nil && op.again == nil {
						op.after(t, open(t, fake, opts))
					}
				})
				if lost == 0 {
					require.Greater(t, n, 2)
					return
				}
			}
		})
	}
}

// With a client that never repeats a request, an ambiguous answer is resolved by
// reading back.
func TestALostAnswerIsReadBack(t *testing.T) {
	fake := newFake(t)
	store, err := dynamomemory.New(fake.Client(func(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} }), tableName, nil)
	require.NoError(t, err)
	require.NoError(t, appendTo(store, "s", entry("a"), nil))
	lose := func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		if !writes(r) {
			return false
		}
		next.ServeHTTP(w, r)
		awsfake.Lose(w)
		return true
	}
	fake.Intercept(lose)
	require.NoError(t, appendTo(store, "s", entry("b"), nil))
	require.NoError(t, appendTo(store, "s", entry("c"), &memory.AppendOptions{IfVersion: 1}))
	require.NoError(t, update(store, "s", memory.SetState{Set: memory.States{Session: memory.State{"k": "v"}}}))
	fake.Intercept(nil)
	require.Equal(t, []string{"a", "b", "c"}, texts(t, store, "s"))
	w := window(t, store, "s")
	require.EqualValues(t, 3, w.Head.Version)
	require.Equal(t, memory.State{"k": "v"}, w.States.Session)
}

func TestAWriteThatDidNotArriveIsAnError(t *testing.T) {
	fake := newFake(t)
	store, err := dynamomemory.New(fake.Client(func(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} }), tableName, nil)
	require.NoError(t, err)
	require.NoError(t, appendTo(store, "s", entry("a"), nil))
	fake.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		awsfake.Lose(w)
		return writes(r)
	})
	require.ErrorIs(t, appendTo(store, "s", entry("b"), nil), memory.ErrThrottled)
	fake.Intercept(nil)
	require.Equal(t, []string{"a"}, texts(t, store, "s"))
}

func TestAClockThatIsOffWritesNothing(t *testing.T) {
	for name, off := range map[string]time.Duration{"ahead": 90 * time.Second, "behind": -90 * time.Second} {
		t.Run(name, func(t *testing.T) {
			fake := newFake(t)
			fake.Intercept(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
				w.Header().Set("Date", time.Now().Add(-off).UTC().Format(http.TimeFormat))
				return false
			})
			store := open(t, fake, nil)
			require.ErrorIs(t, appendTo(store, "s", entry("a"), nil), memory.ErrClockSkew)
			require.ErrorIs(t, update(store, "s", memory.Create{}), memory.ErrClockSkew)
			fake.Intercept(nil)
			fresh := open(t, fake, nil)
			require.False(t, opens(t, fresh, "s"))
			require.Empty(t, listed(t, fresh))
		})
	}
}

func TestARecordFromTheFutureStopsWritesAndNoReads(t *testing.T) {
	fake := newFake(t)
	synctest.Test(t, func(t *testing.T) {
		ahead := open(t, fake, nil)
		time.Sleep(10 * time.Minute)
		require.NoError(t, appendTo(ahead, "s", entry("a"), nil))
	})
	synctest.Test(t, func(t *testing.T) { // starts at the same time as the other bubble
		store := open(t, fake, nil)
		require.Len(t, window(t, store, "s").Records, 1)
		require.ErrorIs(t, appendTo(store, "s", entry("b"), nil), memory.ErrClockSkew)
	})
}

func TestLargeRecords(t *testing.T) {
	for _, size := range []int{340 << 10, 390 << 10, 410 << 10, 1 << 20, memory.MaxEntry - 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			fake := newFake(t)
			store := open(t, fake, nil)
			want := text(size)
			require.NoError(t, appendTo(store, "s", entry(want), nil))
			require.NoError(t, appendTo(store, "s", entry("small"), nil))
			require.Equal(t, []string{want, "small"}, texts(t, open(t, fake, nil), "s"))
			id := window(t, store, "s").Records[0].ID
			require.NoError(t, update(store, "s", memory.Edit{Record: id, Messages: entry(want[:size-1]).Messages}))
			require.Equal(t, want[:size-1], texts(t, store, "s")[0])
			require.NoError(t, update(store, "s", memory.Redact{Record: id}))
			require.Empty(t, chunks(t, fake), "of what was redacted")
			require.NoError(t, update(store, "s", memory.Edit{Record: window(t, store, "s").Records[1].ID, Messages: entry(want).Messages}))
			require.NoError(t, update(store, "s", memory.Rewind{}))
			require.Empty(t, chunks(t, fake), "of what was rewound")
		})
	}
}

// items returns all items under a prefix in the partition of session s.
func items(t *testing.T, fake *awsfake.DynamoDB, prefix string) []map[string]types.AttributeValue {
	t.Helper()
	out, err := fake.Client().Query(t.Context(), &dynamodb.QueryInput{
		TableName: new(tableName), KeyConditionExpression: new("pk = :p AND begins_with(sk, :s)"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":p": &types.AttributeValueMemberS{Value: "T#acme#S#app#ada#s"}, ":s": &types.AttributeValueMemberS{Value: prefix},
		},
	})
	require.NoError(t, err)
	return out.Items
}

func chunks(t *testing.T, fake *awsfake.DynamoDB) []map[string]types.AttributeValue {
	t.Helper()
	return items(t, fake, "C#")
}

func TestManyLargeEditsFitIntoOneUpdate(t *testing.T) {
	fake := newFake(t)
	store := open(t, fake, nil)
	var changes []memory.Change
	for i := range memory.MaxChanges {
		r, err := store.Append(t.Context(), key("s"), entry(fmt.Sprint(i)), nil)
		require.NoError(t, err)
		changes = append(changes, memory.Edit{Record: r.Record.ID, Messages: entry(text(300<<10 + i)).Messages})
	}
	require.NoError(t, update(store, "s", changes...))
	for i, got := range texts(t, open(t, fake, nil), "s") {
		require.Equal(t, text(300<<10+i), got)
	}
}

func TestFiftyWriters(t *testing.T) {
	fake := newFake(t)
	var wg sync.WaitGroup
	for w := range 50 {
		store := open(t, fake, nil)
		wg.Go(func() {
			for i := range 5 {
				e := entry(fmt.Sprint(w, "/", i))
				e.State.Set = memory.States{Session: memory.State{fmt.Sprint(w): i}, User: memory.State{fmt.Sprint(w): i}}
				if err := appendTo(store, "s", e, &memory.AppendOptions{RequestID: fmt.Sprint(w, "/", i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	store := open(t, fake, nil)
	got := texts(t, store, "s")
	require.Len(t, got, 250)
	seen := map[string]bool{}
	for _, s := range got {
		require.False(t, seen[s], s)
		seen[s] = true
	}
	w := window(t, store, "s")
	require.Len(t, w.States.Session, 50)
	require.Len(t, w.States.User, 50)
	for k, v := range w.States.Session {
		require.EqualValues(t, 4, v, k)
		require.EqualValues(t, 4, w.States.User[k], k)
	}
}

// A replay whose first attempt has left only its marker may not store where readers
// have passed.
func TestNothingAppearsBelowWhatAReaderHasPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		store := open(t, fake, nil)
		require.NoError(t, appendTo(store, "s", entry("a"), nil))
		fake.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			if awsfake.Operation(r) != "PutItem" || !strings.Contains(peek(r), `"E#`) {
				return false
			}
			awsfake.Fail(w, r, http.StatusBadRequest, "AccessDeniedException", "no")
			return true
		})
		once := &memory.AppendOptions{RequestID: "r"}
		require.ErrorIs(t, appendTo(store, "s", entry("b"), once), memory.ErrDenied)
		fake.Intercept(nil)
		time.Sleep(time.Minute)
		other := open(t, fake, nil)
		require.NoError(t, appendTo(other, "s", entry("c"), nil))
		passed := window(t, store, "s").Records[1].ID
		time.Sleep(time.Second)

		r, err := open(t, fake, nil).Append(t.Context(), key("s"), entry("b"), once)
		require.NoError(t, err)
		require.False(t, r.Replayed)
		require.Greater(t, r.Record.ID, passed)
		require.Equal(t, []string{"a", "c", "b"}, texts(t, store, "s"))
		r, err = store.Append(t.Context(), key("s"), entry("b"), once)
		require.NoError(t, err)
		require.True(t, r.Replayed)
		require.Equal(t, []string{"a", "c", "b"}, texts(t, store, "s"))
	})
}

func peek(r *http.Request) string {
	var b strings.Builder
	buffer := make([]byte, 1<<16)
	for {
		n, err := r.Body.Read(buffer)
		b.Write(buffer[:n])
		if err != nil {
			break
		}
	}
	return b.String()
}

func TestAnItemOfALaterVersionIsRefused(t *testing.T) {
	fake := newFake(t)
	store := open(t, fake, nil)
	require.NoError(t, appendTo(store, "s", entry("a"), nil))
	it := items(t, fake, "E#")[0]
	it["v"] = &types.AttributeValueMemberN{Value: "2"}
	_, err := fake.Client().PutItem(t.Context(), &dynamodb.PutItemInput{TableName: new(tableName), Item: it})
	require.NoError(t, err)
	_, err = store.Open(t.Context(), key("s"), nil)
	require.ErrorIs(t, err, memory.ErrCorrupt)
	require.ErrorContains(t, err, "upgrade")
}

func TestASessionThatOthersDeleteAndWriteIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		mine, theirs := open(t, fake, nil), open(t, fake, nil)
		e := entry("a")
		e.State.Set.Session = memory.State{"k": "old"}
		require.NoError(t, appendTo(mine, "s", e, nil))
		require.NoError(t, theirs.Delete(t.Context(), key("s")))
		e.Messages[0].Parts[0].Text = "b"
		e.State.Set.Session = memory.State{"k": "new"}
		require.NoError(t, appendTo(mine, "s", e, nil))
		for _, s := range []memory.Store{mine, theirs, open(t, fake, nil)} {
			require.Equal(t, []string{"b"}, texts(t, s, "s"))
			require.Equal(t, memory.State{"k": "new"}, window(t, s, "s").States.Session)
		}
		time.Sleep(10 * time.Minute)
		require.NoError(t, appendTo(mine, "s", entry("c"), nil))
		require.Equal(t, []string{"b", "c"}, texts(t, theirs, "s"))
		require.Equal(t, memory.State{"k": "new"}, window(t, theirs, "s").States.Session)
		require.Equal(t, []string{"s"}, listed(t, theirs))
		require.NoError(t, update(theirs, "s", memory.SetTitle{Title: "t"}))
	})
}

func TestTenantsDoNotMeet(t *testing.T) {
	fake := newFake(t)
	store := open(t, fake, nil)
	keys := []memory.Key{
		{Tenant: "a", App: "x", User: "u", Session: "s"},
		{Tenant: "a#S#x", User: "u", Session: "s"},
		{Tenant: "a%23S%23x", User: "u", Session: "s"},
		{App: "a#x", User: "u", Session: "s"},
		{Tenant: "", App: "x", User: "u", Session: "s"},
		{Tenant: strings.Repeat("#", 256), App: strings.Repeat("%", 256), User: strings.Repeat("#", 256), Session: strings.Repeat("#", 256)},
	}
	for i, k := range keys {
		e := entry(fmt.Sprint(i))
		e.State.Set = everywhere(i)
		r, err := store.Append(t.Context(), k, e, nil)
		require.NoError(t, err)
		_, err = store.Update(t.Context(), k, memory.Annotate{Record: r.Record.ID, Notes: memory.Notes{Intent: "i#"}})
		require.NoError(t, err)
	}
	for i, k := range keys {
		w, err := store.Open(t.Context(), k, &memory.WindowOptions{Scopes: memory.AllStates})
		require.NoError(t, err)
		require.Equal(t, everywhere(float64(i)), w.States)
		for _, q := range []memory.Query{{}, {User: k.User}, {Intent: "i#", Since: time.Now().Add(-time.Hour)}} {
			q.Tenant, q.App = k.Tenant, k.App
			n := 0
			for m, err := range store.Find(t.Context(), q) {
				require.NoError(t, err)
				require.Equal(t, k, m.Key)
				n++
			}
			require.Equal(t, 1, n, "%v %v", k, q)
		}
	}
}

// DynamoDB gives no order to equal keys in an index, and a limit falls among them.
func TestEqualSentimentsComeInTheOrderOfTheirRecords(t *testing.T) {
	fake := newFake(t)
	store := open(t, fake, nil)
	var want []memory.RecordID
	for i := range 12 {
		r, err := store.Append(t.Context(), key("s"), entry(fmt.Sprint(i)), nil)
		require.NoError(t, err)
		require.NoError(t, update(store, "s", memory.Annotate{Record: r.Record.ID, Notes: memory.Notes{Sentiment: new(float64(i / 6))}}))
		want = append(want, r.Record.ID)
	}
	for limit := 1; limit <= len(want); limit++ {
		for _, backward := range []bool{false, true} {
			n := 0
			for r, err := range store.Records(t.Context(), key("s"), &memory.RangeOptions{BySentiment: true, Limit: limit, Backward: backward}) {
				require.NoError(t, err)
				if backward {
					require.Equal(t, want[len(want)-1-n], r.ID)
				} else {
					require.Equal(t, want[n], r.ID)
				}
				n++
			}
			require.Equal(t, limit, n)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	client := awsfake.NewDynamoDB().Client()
	for name, opts := range map[string]dynamomemory.Options{
		"a retention shorter than request ids live": {Retention: time.Hour},
		"fewer than no sessions":                    {Sessions: -1},
		"one name for two attributes":               {Schema: dynamomemory.Schema{TTL: "pk"}},
		"the name of an attribute of our own":       {Schema: dynamomemory.Schema{TTL: "ver"}},
	} {
		_, err := dynamomemory.New(client, tableName, &opts)
		require.ErrorIs(t, err, memory.ErrInvalid, name)
	}
	_, err := dynamomemory.New(nil, tableName, nil)
	require.ErrorIs(t, err, memory.ErrInvalid)
	_, err = dynamomemory.New(client, "", nil)
	require.ErrorIs(t, err, memory.ErrInvalid)
}
