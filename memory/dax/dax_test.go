package dax_test

import (
	"context"
	"errors"
	"net"
	"net/http"
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
