package dax_test

// The defects of the official client, each with what it does where that can be shown,
// and what a Client does.

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	official "github.com/aws/aws-dax-go-v2/dax"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/daxtest"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dax"
)

func TestABurstOnAColdClient(t *testing.T) {
	inLab(t, faulty("DefineKeySchema", daxtest.Fault{Delay: 2 * time.Millisecond}, always()), func(t *testing.T, l *lab) {
		burst := func(c getter) (failed int64, took time.Duration) {
			var n atomic.Int64
			var wg sync.WaitGroup
			start := time.Now()
			for i := range 200 {
				// Bound: 200.
				wg.Go(func() {
					if _, err := get(t.Context(), c, fmt.Sprint(i)); err != nil {
						n.Add(1)
					}
				})
			}
			wg.Wait()
			return n.Load(), time.Since(start)
		}
		bare := l.bare()
		failed, took := burst(bare)
		require.Positive(t, failed, "the bare client")
		require.Greater(t, took, 4*time.Second, "the bare client")

		failed, took = burst(l.client)
		require.Zero(t, failed)
		require.Less(t, took, time.Second)
		require.Zero(t, l.direct.Load(), "all through DAX")
	})
}

func TestNoNodeAtTheStart(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		require.NoError(t, l.cluster.StopNode(0))
		require.ErrorIs(t, l.client.Warm(t.Context()), memory.ErrThrottled)
		var wg sync.WaitGroup
		for range 8 {
			// Bound: 8.
			wg.Go(func() {
				for range 100 {
					_, err := get(t.Context(), l.client, "1")
					require.NoError(t, err)
					time.Sleep(time.Second)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 800, l.direct.Load())
		require.NoError(t, l.cluster.StartNode(0))
		time.Sleep(dax.DefaultPause)
		l.put("1", "x")
		require.Equal(t, "x", l.get())
		require.EqualValues(t, 800, l.direct.Load(), "DAX is used again")
	})
}

func TestASilentNodeAtTheStart(t *testing.T) {
	inLab(t, faulty("Endpoints", daxtest.Fault{End: daxtest.Silent}, always()), func(t *testing.T, l *lab) {
		for i := range 20 {
			start := time.Now()
			require.Equal(t, "nothing", l.get())
			if i > 0 {
				require.Zero(t, time.Since(start), "only the first call waits")
			} else {
				require.LessOrEqual(t, time.Since(start), dax.DefaultTimeout)
			}
			time.Sleep(time.Second / 2)
		}
	})
}

func TestATableThatIsUnknownOrDenied(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		in := &dynamodb.UpdateItemInput{TableName: new("absent"), Key: item{"pk": str("a"), "sk": str("1")}, UpdateExpression: new("SET v = :v"), ExpressionAttributeValues: item{":v": str("x")}}
		bare := l.bare()
		start := time.Now()
		_, err := bare.UpdateItem(t.Context(), in)
		require.Error(t, err)
		require.GreaterOrEqual(t, time.Since(start), time.Minute, "the bare client waits for an answer to nothing")

		start = time.Now()
		_, err = l.client.UpdateItem(t.Context(), in)
		_, ok := errors.AsType[*types.ResourceNotFoundException](err)
		require.True(t, ok, "%v", err)
		_, err = l.client.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
			{Delete: &types.Delete{TableName: new("absent"), Key: in.Key}},
		}})
		require.Error(t, err)
		require.Less(t, time.Since(start), time.Second/10)
	})
}

func TestCancellation(t *testing.T) {
	inLab(t, faulty("GetItem", daxtest.Fault{Late: 2 * time.Second}, always()), func(t *testing.T, l *lab) {
		canceled := func(c getter) (time.Duration, error) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(100*time.Millisecond, cancel)
			start := time.Now()
			_, err := get(ctx, c, "1")
			return time.Since(start), err
		}
		bare := l.bare()
		took, err := canceled(bare)
		require.NoError(t, err, "the bare client")
		require.GreaterOrEqual(t, took, 2*time.Second, "the bare client")

		require.NoError(t, l.client.Warm(t.Context()))
		took, err = canceled(l.client)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, 100*time.Millisecond, took)
	})
}

func TestDeadlines(t *testing.T) {
	inLab(t, faulty("GetItem", daxtest.Fault{Late: 2 * time.Second}, always()), func(t *testing.T, l *lab) {
		require.NoError(t, l.client.Warm(t.Context()))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := get(ctx, l.client, "1")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		start := time.Now()
		require.Equal(t, "nothing", l.get())
		require.Equal(t, dax.DefaultTimeout, time.Since(start), "then the table answers")
		require.EqualValues(t, 1, l.direct.Load())
		start = time.Now()
		require.Equal(t, "nothing", l.get())
		require.Zero(t, time.Since(start), "and is asked at once from then on")
	})
}

func TestConnectionsThatANodeHasClosed(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.put("1", "x")
		for range 20 {
			l.cluster.Disconnect()
			require.Equal(t, "x", l.get())
			time.Sleep(dax.DefaultPause)
		}
	})
}

type updater interface {
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
}

func TestAResetWriteIsNotRepeatedInDAX(t *testing.T) {
	var calls atomic.Int64
	opts := &daxtest.Options{Fault: func(c daxtest.Call) daxtest.Fault {
		if c.Method != "UpdateItem" {
			return daxtest.Fault{}
		}
		if calls.Add(1) > 1 {
			return daxtest.Fault{}
		}
		return daxtest.Fault{End: daxtest.Reset}
	}}
	for name, test := range map[string]struct {
		client func(*lab) updater
		calls  int64
	}{
		"bare": {func(l *lab) updater { return l.bare() }, 2},
		"safe": {func(l *lab) updater { return l.client }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			calls.Store(0)
			inLab(t, opts, func(t *testing.T, l *lab) {
				l.put("1", "old")
				_, err := test.client(l).UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
					TableName: new(tableName), Key: item{"pk": str("a"), "sk": str("1")},
					UpdateExpression: new("SET v = :v"), ConditionExpression: new("v = :old"), ExpressionAttributeValues: item{":v": str("new"), ":old": str("old")},
					ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
				})
				failed, ok := errors.AsType[*types.ConditionalCheckFailedException](err)
				require.True(t, ok, "%v", err)
				require.Equal(t, test.calls, calls.Load())
				if name == "safe" { // who wrote it can see that it was written
					require.Equal(t, str("new"), failed.Item["v"])
				}
			})
		})
	}
}

func TestClose(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		bare := l.bare()
		require.NoError(t, bare.Close())
		require.Panics(t, func() { _, _ = get(t.Context(), bare, "1") }, "the bare client")
		require.Panics(t, func() { _ = bare.Close() }, "the bare client")

		l.put("1", "x")
		require.NoError(t, l.client.Close())
		require.NoError(t, l.client.Close())
		require.Equal(t, "x", l.get())
		require.EqualValues(t, 1, l.direct.Load())
		require.ErrorIs(t, l.client.Warm(t.Context()), memory.ErrThrottled)
	})
}

// The bare client looks for idle connections every half minute, and panics if it is
// closed then: in a goroutine of its own.
func TestCloseAtEachMoment(t *testing.T) {
	for _, after := range []time.Duration{0, 4 * time.Second, 5 * time.Second, 20 * time.Second, 30 * time.Second, time.Minute} {
		inLab(t, nil, func(t *testing.T, l *lab) {
			l.put("1", "x")
			time.Sleep(after)
			var wg sync.WaitGroup
			for range 10 {
				// Bound: 10.
				wg.Go(func() {
					_, err := get(t.Context(), l.client, "1")
					require.NoError(t, err)
				})
			}
			require.NoError(t, l.client.Close())
			wg.Wait()
		})
	}
}

func TestCloseWaitsForCalls(t *testing.T) {
	inLab(t, faulty("GetItem", daxtest.Fault{Late: time.Second / 2}, always()), func(t *testing.T, l *lab) {
		require.NoError(t, l.client.Warm(t.Context()))
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := get(t.Context(), l.client, "1")
			require.NoError(t, err)
		})
		time.Sleep(time.Second / 10)
		start := time.Now()
		require.NoError(t, l.client.Close())
		require.GreaterOrEqual(t, time.Since(start), time.Second*4/10)
		wg.Wait()
		require.Zero(t, l.direct.Load())
	})
}

func TestWhatIsSharedDoesNotFailWithTheFirstCaller(t *testing.T) {
	inLab(t, faulty("DefineKeySchema", daxtest.Fault{Delay: time.Second / 2}, always()), func(t *testing.T, l *lab) {
		second := func(c getter) error {
			first, cancel := context.WithTimeout(t.Context(), time.Second/10)
			defer cancel()
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = get(first, c, "1") })
			time.Sleep(50 * time.Millisecond)
			synctest.Wait()
			_, err := get(t.Context(), c, "1")
			wg.Wait()
			return err
		}
		bare := l.bare()
		require.Error(t, second(noRetries{bare}), "the bare client")

		require.NoError(t, l.client.Warm(t.Context()))
		require.NoError(t, second(l.client))
		require.Zero(t, l.direct.Load(), "through DAX")
	})
}

type noRetries struct{ getter }

func (n noRetries) GetItem(ctx context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return n.getter.GetItem(ctx, in, func(o *dynamodb.Options) { o.RetryMaxAttempts = 0 })
}

func TestInputsStayAsTheyAre(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		in := func() *dynamodb.TransactWriteItemsInput {
			return &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{{Put: &types.Put{TableName: new(tableName), Item: item{"pk": str("a"), "sk": str("1")}}}}}
		}
		bare, mine := l.bare(), in()
		_, err := bare.TransactWriteItems(t.Context(), mine)
		require.NoError(t, err)
		require.NotEqual(t, in(), mine, "the bare client")

		mine = in()
		for range 2 {
			_, err = l.client.TransactWriteItems(t.Context(), mine)
			require.NoError(t, err)
			require.Equal(t, in(), mine)
		}
	})
}

func TestABrokenProfile(t *testing.T) {
	t.Setenv("AWS_PROFILE", "absent")
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/config")
	require.Panics(t, func() { official.DefaultConfig() }, "the bare client")
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.put("1", "x")
		require.Equal(t, "x", l.get())
		require.Zero(t, l.direct.Load())
	})
}

func TestAnswersThatAreNone(t *testing.T) {
	for name, end := range map[string]daxtest.End{"garbage": daxtest.Garbage, "oversized": daxtest.Oversized} {
		for _, method := range []string{"GetItem", "DefineKeySchema", "Endpoints"} {
			t.Run(name+" to "+method, func(t *testing.T) {
				on := new(atomic.Bool)
				inLab(t, faulty(method, daxtest.Fault{End: end}, on), func(t *testing.T, l *lab) {
					if method == "Endpoints" {
						require.NoError(t, l.client.Warm(t.Context()))
					}
					if end == daxtest.Oversized && method == "GetItem" {
						bare := l.bare()
						_, err := get(t.Context(), bare, "1")
						require.NoError(t, err)
						on.Store(true)
						require.Panics(t, func() { _, _ = get(t.Context(), bare, "1") }, "the bare client")
					}
					on.Store(true)
					for range 30 {
						require.Equal(t, "nothing", l.get())
						time.Sleep(time.Second)
					}
					on.Store(false)
					time.Sleep(dax.DefaultPause)
					l.put("1", "x")
					n := l.direct.Load()
					require.Equal(t, "x", l.get())
					require.Equal(t, n, l.direct.Load(), "DAX is used again")
				})
			})
		}
	}
}

func TestASickClusterIsLeftAlone(t *testing.T) {
	var asked atomic.Int64
	opts := &daxtest.Options{Fault: func(c daxtest.Call) daxtest.Fault {
		if c.Method != "GetItem" {
			return daxtest.Fault{}
		}
		asked.Add(1)
		return daxtest.Fault{Skip: true, End: daxtest.Silent}
	}}
	inLab(t, opts, func(t *testing.T, l *lab) {
		for range 600 { // a minute
			require.Equal(t, "nothing", l.get())
			time.Sleep(time.Second / 10)
		}
		require.LessOrEqual(t, asked.Load(), int64(7))
	})
}

func TestErrorsOfOneItemLeaveTheClusterInUse(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.put("1", "x")
		for range 20 {
			_, err := l.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: new(tableName), Item: item{"pk": str("a"), "sk": str("1")}, ConditionExpression: new("attribute_not_exists(pk)")})
			_, ok := errors.AsType[*types.ConditionalCheckFailedException](err)
			require.True(t, ok, "%v", err)
		}
		require.Equal(t, "x", l.get())
		require.Zero(t, l.direct.Load())
	})
}

func TestThrottledByDAX(t *testing.T) {
	on := always()
	inLab(t, faulty("PutItem", daxtest.Fault{Err: &types.ProvisionedThroughputExceededException{Message: new("slow down")}}, on), func(t *testing.T, l *lab) {
		for range 10 {
			l.put("1", "x")
		}
		require.EqualValues(t, 10, l.direct.Load(), "the table's client knows how to wait")
		on.Store(false)
		l.put("2", "x")
		require.EqualValues(t, 10, l.direct.Load(), "which is no reason to leave DAX alone")
	})
}

func TestManyCallsAtOnce(t *testing.T) {
	inLab(t, faulty("GetItem", daxtest.Fault{Late: time.Second / 2}, always()), func(t *testing.T, l *lab) {
		opts := l.options()
		opts.Concurrency = 10
		client, err := dax.New(l.counting(), opts)
		require.NoError(t, err)
		require.NoError(t, client.Warm(t.Context()))
		var wg sync.WaitGroup
		for range 50 {
			// Bound: 50.
			wg.Go(func() {
				_, err := get(t.Context(), client, "1")
				require.NoError(t, err)
			})
		}
		wg.Wait()
		require.EqualValues(t, 40, l.direct.Load())
		require.NoError(t, client.Close())
	})
}
