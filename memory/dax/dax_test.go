package dax_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	official "github.com/aws/aws-dax-go-v2/dax"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/metrics"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/internal/daxtest"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dax"
)

type item = map[string]types.AttributeValue

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func credentials(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "SECRET"}, nil
}

const tableName = "table"

// A lab is a table, a cluster in front of it, and both clients of the cluster.
type lab struct {
	t       *testing.T
	fake    *awsfake.DynamoDB
	table   *dynamodb.Client
	direct  atomic.Int64 // requests to the table that are not the cluster's
	cluster *daxtest.Cluster
	client  *dax.Client
}

// inLab runs a test in a time of its own, in which waiting takes none.
func inLab(t *testing.T, opts *daxtest.Options, test func(*testing.T, *lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &lab{t: t, fake: awsfake.NewDynamoDB()}
		l.table = l.fake.Client()
		_, err := l.table.CreateTable(t.Context(), &dynamodb.CreateTableInput{
			TableName: new(tableName), BillingMode: types.BillingModePayPerRequest,
			AttributeDefinitions: []types.AttributeDefinition{{AttributeName: new("pk"), AttributeType: "S"}, {AttributeName: new("sk"), AttributeType: "S"}},
			KeySchema:            []types.KeySchemaElement{{AttributeName: new("pk"), KeyType: "HASH"}, {AttributeName: new("sk"), KeyType: "RANGE"}},
		})
		require.NoError(t, err)
		o := opts.WithDefaults()
		o.InMemory = true
		l.cluster, err = daxtest.Start(t.Context(), l.table, &o)
		require.NoError(t, err)
		l.client, err = dax.New(l.counting(), l.options())
		require.NoError(t, err)
		t.Cleanup(func() {
			require.NoError(t, l.client.Close())
			require.NoError(t, l.cluster.Close())
			time.Sleep(30 * time.Second) // for which the official client waits for nodes that are gone
		})
		test(t, l)
	})
}

func (l *lab) options() *dax.Options {
	return &dax.Options{
		Endpoint: l.cluster.Endpoint(), Region: daxtest.DefaultRegion,
		Credentials: aws.CredentialsProviderFunc(credentials), DialContext: l.dial,
	}
}

// dial takes a millisecond, as in a network.
func (l *lab) dial(ctx context.Context, network, address string) (net.Conn, error) {
	time.Sleep(time.Millisecond)
	return l.cluster.DialContext(ctx, network, address)
}

// counting is a client of the table that counts its requests.
func (l *lab) counting() *dynamodb.Client {
	return l.fake.Client(func(o *dynamodb.Options) {
		next := o.HTTPClient
		o.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
			l.direct.Add(1)
			return next.Do(r)
		})
	})
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

// bare is the official client as its documentation has it, but for what it would read
// of the environment.
func (l *lab) bare() *official.Dax {
	l.t.Helper()
	var cfg official.Config
	cfg.HostPorts = []string{l.cluster.Endpoint()}
	cfg.Region = daxtest.DefaultRegion
	cfg.Credentials = aws.CredentialsProviderFunc(credentials)
	cfg.DialContext = l.dial
	cfg.MeterProvider = metrics.NopMeterProvider{}
	cfg.MaxPendingConnectionsPerHost = 10
	cfg.ClusterUpdateInterval, cfg.ClusterUpdateThreshold = 4*time.Second, 125*time.Millisecond
	cfg.ClientHealthCheckInterval, cfg.IdleConnectionReapDelay = 5*time.Second, 1000*time.Hour
	cfg.RequestTimeout, cfg.ReadRetries, cfg.WriteRetries = time.Minute, 2, 2
	client, err := official.New(cfg)
	require.NoError(l.t, err)
	l.t.Cleanup(func() {
		defer func() { _ = recover() }() // of the second Close
		_ = client.Close()
	})
	return client
}

type getter interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
}

func get(ctx context.Context, c getter, sk string) (string, error) {
	out, err := c.GetItem(ctx, &dynamodb.GetItemInput{TableName: new(tableName), Key: item{"pk": str("a"), "sk": str(sk)}})
	if err != nil || out.Item == nil {
		return "nothing", err
	}
	return out.Item["v"].(*types.AttributeValueMemberS).Value, nil
}

func (l *lab) get() string {
	l.t.Helper()
	v, err := get(l.t.Context(), l.client, "1")
	require.NoError(l.t, err)
	return v
}

func (l *lab) put(sk, v string) {
	l.t.Helper()
	_, err := l.client.PutItem(l.t.Context(), &dynamodb.PutItemInput{TableName: new(tableName), Item: item{"pk": str("a"), "sk": str(sk), "v": str(v)}})
	require.NoError(l.t, err)
}

// faulty has fault befall the calls of one method, while on says so.
func faulty(method string, fault daxtest.Fault, on *atomic.Bool) *daxtest.Options {
	return &daxtest.Options{Fault: func(c daxtest.Call) daxtest.Fault {
		if c.Method == method && on.Load() {
			return fault
		}
		return daxtest.Fault{}
	}}
}

func always() *atomic.Bool {
	b := new(atomic.Bool)
	b.Store(true)
	return b
}

func TestReadsAndWritesGoThroughTheCache(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.put("1", "x")
		require.Equal(t, "x", l.get())
		require.EqualValues(t, 1, l.cluster.Stats().ItemHits)
		require.Zero(t, l.direct.Load())

		_, err := l.client.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
			TableName: new(tableName), Key: item{"pk": str("a"), "sk": str("1")},
			UpdateExpression: new("SET v = :v"), ExpressionAttributeValues: item{":v": str("updated")},
		})
		require.NoError(t, err)
		require.Equal(t, "updated", l.get())
		_, err = l.client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: new(tableName), Key: item{"pk": str("a"), "sk": str("1")}})
		require.NoError(t, err)
		require.Equal(t, "nothing", l.get())
		_, err = l.client.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{tableName: {
			{PutRequest: &types.PutRequest{Item: item{"pk": str("a"), "sk": str("2"), "v": str("y")}}},
		}}})
		require.NoError(t, err)
		out, err := l.client.BatchGetItem(t.Context(), &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{tableName: {Keys: []item{{"pk": str("a"), "sk": str("2")}}}}})
		require.NoError(t, err)
		require.Len(t, out.Responses[tableName], 1)
		require.Zero(t, l.direct.Load())
	})
}

func TestQueriesAndStrongReadsGoToTheTable(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.put("1", "x")
		for range 2 {
			out, err := l.client.Query(t.Context(), &dynamodb.QueryInput{TableName: new(tableName), KeyConditionExpression: new("pk = :p"), ExpressionAttributeValues: item{":p": str("a")}})
			require.NoError(t, err)
			require.Len(t, out.Items, 1)
			key := item{"pk": str("a"), "sk": str("1")}
			_, err = l.client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: new(tableName), Key: key, ConsistentRead: new(true)})
			require.NoError(t, err)
			_, err = l.client.BatchGetItem(t.Context(), &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{tableName: {Keys: []item{key}, ConsistentRead: new(true)}}})
			require.NoError(t, err)
		}
		require.EqualValues(t, 6, l.direct.Load())
	})
}

func TestTheItemInTheWayIsTold(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.put("1", "x")
		_, err := l.client.PutItem(t.Context(), &dynamodb.PutItemInput{
			TableName: new(tableName), Item: item{"pk": str("a"), "sk": str("1"), "v": str("y")},
			ConditionExpression: new("attribute_not_exists(pk)"), ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		})
		failed, ok := errors.AsType[*types.ConditionalCheckFailedException](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, str("x"), failed.Item["v"])
		require.Equal(t, "x", l.get())
	})
}

func TestOptionsAreChecked(t *testing.T) {
	table := awsfake.NewDynamoDB().Client()
	valid := dax.Options{Endpoint: "daxs://cluster", Region: "eu-central-1", Credentials: aws.CredentialsProviderFunc(credentials)}
	for name, change := range map[string]func(*dax.Options){
		"no endpoint":      func(o *dax.Options) { o.Endpoint = "" },
		"no host":          func(o *dax.Options) { o.Endpoint = "dax://" },
		"another scheme":   func(o *dax.Options) { o.Endpoint = "https://cluster" },
		"no scheme":        func(o *dax.Options) { o.Endpoint = "cluster:8111" },
		"no Region":        func(o *dax.Options) { o.Region = "" },
		"no credentials":   func(o *dax.Options) { o.Credentials = nil },
		"negative timeout": func(o *dax.Options) { o.Timeout = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			opts := valid
			change(&opts)
			_, err := dax.New(table, &opts)
			require.ErrorIs(t, err, memory.ErrInvalid)
		})
	}
	_, err := dax.New(nil, &valid)
	require.ErrorIs(t, err, memory.ErrInvalid)
	_, err = dax.New(table, nil)
	require.ErrorIs(t, err, memory.ErrInvalid)
}

// The rest are the defects of the official client, each with what it does where that
// can be shown, and what a Client does.

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
