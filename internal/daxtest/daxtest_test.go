package daxtest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-dax-go-v2/dax"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/metrics"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/internal/daxtest"
)

type item = map[string]types.AttributeValue

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func num(n string) types.AttributeValue { return &types.AttributeValueMemberN{Value: n} }

var secret = aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "SECRET", SessionToken: "TOKEN"}

func credentials(c aws.Credentials) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return c, nil })
}

const tableName = "table"

// newTable returns a client of a new table of pk and sk, whose type is given.
func newTable(t *testing.T, sort types.ScalarAttributeType) *dynamodb.Client {
	t.Helper()
	db := awsfake.NewDynamoDB().Client()
	_, err := db.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: new(tableName), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: new("pk"), AttributeType: "S"}, {AttributeName: new("sk"), AttributeType: sort}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: new("pk"), KeyType: "HASH"}, {AttributeName: new("sk"), KeyType: "RANGE"}},
	})
	require.NoError(t, err)
	return db
}

// config is the official client's, without what it would read of the environment.
func config(c *daxtest.Cluster) dax.Config {
	var cfg dax.Config
	cfg.HostPorts = []string{c.Endpoint()}
	cfg.Region = daxtest.DefaultRegion
	cfg.Credentials = credentials(secret)
	cfg.DialContext = c.DialContext
	cfg.MeterProvider = metrics.NopMeterProvider{}
	cfg.MaxPendingConnectionsPerHost = 1000
	cfg.ClusterUpdateInterval, cfg.ClusterUpdateThreshold = 4*time.Second, 125*time.Millisecond
	cfg.ClientHealthCheckInterval = 5 * time.Second
	cfg.IdleConnectionReapDelay = 1000 * time.Hour // a tick that meets Close panics
	cfg.RequestTimeout, cfg.ReadRetries, cfg.WriteRetries = time.Minute, 2, 2
	return cfg
}

// inBubble runs a test with a cluster and the official client, in a time of its own.
func inBubble(t *testing.T, opts *daxtest.Options, test func(*testing.T, *daxtest.Cluster, *dax.Dax, *dynamodb.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		db := newTable(t, "S")
		cluster, client := start(t, db, opts)
		test(t, cluster, client, db)
	})
}

func start(t *testing.T, db daxtest.Client, options *daxtest.Options) (*daxtest.Cluster, *dax.Dax) {
	t.Helper()
	opts := options.WithDefaults()
	opts.InMemory = opts.TLS == nil
	cluster, err := daxtest.Start(t.Context(), db, &opts)
	require.NoError(t, err)
	if opts.InMemory {
		t.Cleanup(func() { time.Sleep(10 * time.Second) }) // for which the client waits for nodes that are gone
	}
	t.Cleanup(func() { require.NoError(t, cluster.Close()) })
	client, err := dax.New(config(cluster))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return cluster, client
}

func get(t *testing.T, c *dax.Dax, sk string, consistent bool) string {
	t.Helper()
	out, err := c.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: new(tableName), Key: item{"pk": str("a"), "sk": str(sk)}, ConsistentRead: &consistent})
	require.NoError(t, err)
	if out.Item == nil {
		return "nothing"
	}
	return out.Item["v"].(*types.AttributeValueMemberS).Value
}

type putter interface {
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
}

func put(t *testing.T, c putter, sk, v string) {
	t.Helper()
	_, err := c.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: new(tableName), Item: item{"pk": str("a"), "sk": str(sk), "v": str(v)}})
	require.NoError(t, err)
}

func query(t *testing.T, c *dax.Dax) int {
	t.Helper()
	out, err := c.Query(t.Context(), &dynamodb.QueryInput{TableName: new(tableName), KeyConditionExpression: new("pk = :p"), ExpressionAttributeValues: item{":p": str("a")}})
	require.NoError(t, err)
	return len(out.Items)
}

func TestEveryKindOfValueComesBackAsItWent(t *testing.T) {
	for _, kind := range []types.ScalarAttributeType{"S", "N", "B"} {
		synctest.Test(t, func(t *testing.T) {
			db := newTable(t, kind)
			_, client := start(t, db, nil)
			sort := map[types.ScalarAttributeType]types.AttributeValue{"S": str("ü#1"), "N": num("-1700000000123"), "B": &types.AttributeValueMemberB{Value: []byte{0, 1, 2}}}[kind]
			it := item{
				"pk": str("a"), "sk": sort,
				"s": str("héllo"), "empty": str(""), "n": num("42"), "neg": num("-7"), "big": num("12345678901234567890123456789012345678"),
				"b": &types.AttributeValueMemberB{Value: []byte{1, 2}}, "bool": &types.AttributeValueMemberBOOL{Value: true}, "null": &types.AttributeValueMemberNULL{Value: true},
				"ss": &types.AttributeValueMemberSS{Value: []string{"a", "b"}}, "ns": &types.AttributeValueMemberNS{Value: []string{"1", "2"}}, "bs": &types.AttributeValueMemberBS{Value: [][]byte{{1}, {2}}},
				"l": &types.AttributeValueMemberL{Value: []types.AttributeValue{str("x"), num("1"), &types.AttributeValueMemberM{Value: item{"k": str("v")}}}},
				"m": &types.AttributeValueMemberM{Value: item{"a": str("b"), "e": &types.AttributeValueMemberM{Value: item{}}}},
			}
			_, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: new(tableName), Item: it})
			require.NoError(t, err)
			key := item{"pk": it["pk"], "sk": sort}
			direct, err := db.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: new(tableName), Key: key})
			require.NoError(t, err)
			require.Equal(t, it, direct.Item)
			for _, consistent := range []bool{false, true} {
				out, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: new(tableName), Key: key, ConsistentRead: &consistent})
				require.NoError(t, err)
				require.Equal(t, it, out.Item)
			}
		})
	}
}

func TestTheItemCacheIsWrittenThrough(t *testing.T) {
	inBubble(t, &daxtest.Options{ItemTTL: time.Minute}, func(t *testing.T, cluster *daxtest.Cluster, client *dax.Dax, db *dynamodb.Client) {
		put(t, client, "1", "new")
		require.Equal(t, "new", get(t, client, "1", false))
		require.EqualValues(t, 1, cluster.Stats().ItemHits)

		put(t, db, "1", "behind its back")
		require.Equal(t, "new", get(t, client, "1", false))
		require.Equal(t, "behind its back", get(t, client, "1", true), "a strong read passes by")
		require.Equal(t, "new", get(t, client, "1", false), "and leaves nothing")
		time.Sleep(time.Minute)
		require.Equal(t, "behind its back", get(t, client, "1", false))

		_, err := client.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
			TableName: new(tableName), Key: item{"pk": str("a"), "sk": str("1")},
			UpdateExpression: new("SET v = :v"), ExpressionAttributeValues: item{":v": str("updated")},
		})
		require.NoError(t, err)
		require.Equal(t, "updated", get(t, client, "1", false))
		_, err = client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: new(tableName), Key: item{"pk": str("a"), "sk": str("1")}})
		require.NoError(t, err)
		require.Equal(t, "nothing", get(t, client, "1", false))
	})
}

func TestWhatIsNotThereIsCachedToo(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, _ *daxtest.Cluster, client *dax.Dax, db *dynamodb.Client) {
		require.Equal(t, "nothing", get(t, client, "1", false))
		put(t, db, "1", "behind its back")
		require.Equal(t, "nothing", get(t, client, "1", false))
		put(t, client, "1", "through it")
		require.Equal(t, "through it", get(t, client, "1", false))
	})
}

func TestWritesDoNotReachTheQueryCache(t *testing.T) {
	inBubble(t, &daxtest.Options{QueryTTL: time.Minute}, func(t *testing.T, cluster *daxtest.Cluster, client *dax.Dax, _ *dynamodb.Client) {
		put(t, client, "1", "x")
		require.Equal(t, 1, query(t, client))
		put(t, client, "2", "x")
		require.Equal(t, 1, query(t, client))
		require.EqualValues(t, 1, cluster.Stats().QueryHits)
		time.Sleep(time.Minute)
		require.Equal(t, 2, query(t, client))
	})
}

func TestOtherNodesFollowLater(t *testing.T) {
	opts := &daxtest.Options{Nodes: 3, Replication: 150 * time.Millisecond}
	inBubble(t, opts, func(t *testing.T, _ *daxtest.Cluster, client *dax.Dax, _ *dynamodb.Client) {
		stale := func(wait time.Duration) (n int) {
			for i := range 30 {
				v := fmt.Sprint(wait, i)
				put(t, client, "1", v)
				time.Sleep(wait)
				if get(t, client, "1", false) != v {
					n++
				}
				time.Sleep(time.Second)
			}
			return n
		}
		require.Greater(t, stale(0), 5, "a read goes to any node")
		require.Zero(t, stale(200*time.Millisecond))
	})
}

func TestBatches(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, cluster *daxtest.Cluster, client *dax.Dax, _ *dynamodb.Client) {
		var writes []types.WriteRequest
		var keys []item
		for i := range 20 {
			k := item{"pk": str("a"), "sk": str(fmt.Sprint(i))}
			writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: item{"pk": k["pk"], "sk": k["sk"], "v": str(fmt.Sprint(i))}}})
			keys = append(keys, k)
		}
		_, err := client.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{tableName: writes}})
		require.NoError(t, err)
		keys = append(keys, item{"pk": str("a"), "sk": str("absent")})
		for range 2 {
			out, err := client.BatchGetItem(t.Context(), &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{tableName: {Keys: keys}}})
			require.NoError(t, err)
			require.Len(t, out.Responses[tableName], 20)
		}
		require.EqualValues(t, 41, cluster.Stats().ItemHits, "20, and then what is absent too")
		require.EqualValues(t, 1, cluster.Stats().ItemMisses)

		_, err = client.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{tableName: {{DeleteRequest: &types.DeleteRequest{Key: keys[0]}}}}})
		require.NoError(t, err)
		require.Equal(t, "nothing", get(t, client, "0", false))
		out, err := client.BatchGetItem(t.Context(), &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{tableName: {Keys: keys[1:3], ProjectionExpression: new("v")}}})
		require.NoError(t, err)
		require.ElementsMatch(t, []item{{"v": str("1")}, {"v": str("2")}}, out.Responses[tableName])
	})
}

func TestErrorsKeepTheirTypes(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, _ *daxtest.Cluster, client *dax.Dax, _ *dynamodb.Client) {
		put(t, client, "1", "x")
		_, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: new(tableName), Item: item{"pk": str("a"), "sk": str("1")}, ConditionExpression: new("attribute_not_exists(pk)")})
		var failed *types.ConditionalCheckFailedException
		require.ErrorAs(t, err, &failed)
		_, err = client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: new("absent"), Key: item{"pk": str("a"), "sk": str("1")}})
		var absent *types.ResourceNotFoundException
		require.ErrorAs(t, err, &absent)
		_, err = client.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
			{Put: &types.Put{TableName: new(tableName), Item: item{"pk": str("a"), "sk": str("2")}}},
			{Put: &types.Put{TableName: new(tableName), Item: item{"pk": str("a"), "sk": str("1")}, ConditionExpression: new("attribute_not_exists(pk)")}},
		}})
		var canceled *types.TransactionCanceledException
		require.ErrorAs(t, err, &canceled)
		require.Equal(t, "ConditionalCheckFailed", aws.ToString(canceled.CancellationReasons[1].Code))
		require.Equal(t, "nothing", get(t, client, "2", true))
	})
}

func TestPagesAndConditions(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, _ *daxtest.Cluster, client *dax.Dax, _ *dynamodb.Client) {
		for i := range 7 {
			put(t, client, fmt.Sprint(i), "x")
		}
		in := &dynamodb.QueryInput{
			TableName: new(tableName), KeyConditionExpression: new("#p = :p AND sk BETWEEN :from AND :to"),
			ExpressionAttributeNames:  map[string]string{"#p": "pk"},
			ExpressionAttributeValues: item{":p": str("a"), ":from": str("1"), ":to": str("5")},
			ScanIndexForward:          new(false), Limit: new(int32(2)), ConsistentRead: new(true),
		}
		var got []string
		for {
			out, err := client.Query(t.Context(), in)
			require.NoError(t, err)
			for _, it := range out.Items {
				got = append(got, it["sk"].(*types.AttributeValueMemberS).Value)
			}
			if out.LastEvaluatedKey == nil {
				break
			}
			in.ExclusiveStartKey = out.LastEvaluatedKey
		}
		require.Equal(t, []string{"5", "4", "3", "2", "1"}, got)
	})
}

func TestSignaturesAreChecked(t *testing.T) {
	for name, test := range map[string]struct {
		server, client aws.Credentials
		ok             bool
	}{
		"right":        {secret, secret, true},
		"wrong secret": {aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "OTHER", SessionToken: "TOKEN"}, secret, false},
		"wrong key":    {aws.Credentials{AccessKeyID: "OTHER", SecretAccessKey: "SECRET", SessionToken: "TOKEN"}, secret, false},
		"wrong token":  {aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "SECRET", SessionToken: "OLD"}, secret, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := newTable(t, "S")
				cluster, err := daxtest.Start(t.Context(), db, &daxtest.Options{InMemory: true, Credentials: credentials(test.server)})
				require.NoError(t, err)
				defer func() { require.NoError(t, cluster.Close()) }()
				client, err := dax.New(config(cluster))
				require.NoError(t, err)
				defer func() { require.NoError(t, client.Close()) }()
				for range 3 {
					_, err = client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: new(tableName), Key: item{"pk": str("a"), "sk": str("1")}})
					require.Equal(t, test.ok, err == nil, "%v", err)
					time.Sleep(4 * time.Minute) // the client says again who it is
				}
			})
		})
	}
}

func TestFaults(t *testing.T) {
	for name, test := range map[string]struct {
		fault   daxtest.Fault
		applied bool
		message string
	}{
		"skipped and closed": {daxtest.Fault{Skip: true, End: daxtest.Closed}, false, "EOF"},
		"closed":             {daxtest.Fault{End: daxtest.Closed}, true, "EOF"},
		"reset":              {daxtest.Fault{End: daxtest.Reset}, true, "reset by peer"},
		"garbage":            {daxtest.Fault{End: daxtest.Garbage}, true, ""},
		"silent":             {daxtest.Fault{Skip: true, End: daxtest.Silent}, false, "deadline exceeded"},
		"an error":           {daxtest.Fault{Err: &types.ProvisionedThroughputExceededException{Message: new("slow down")}}, false, "slow down"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := &daxtest.Options{Fault: func(c daxtest.Call) daxtest.Fault {
				if c.Method == "PutItem" {
					return test.fault
				}
				return daxtest.Fault{}
			}}
			inBubble(t, opts, func(t *testing.T, _ *daxtest.Cluster, client *dax.Dax, _ *dynamodb.Client) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				_, err := client.PutItem(ctx, &dynamodb.PutItemInput{TableName: new(tableName), Item: item{"pk": str("a"), "sk": str("1"), "v": str("x")}})
				require.ErrorContains(t, err, test.message)
				require.Equal(t, test.applied, get(t, client, "1", true) == "x")
			})
		})
	}
}

func TestDelays(t *testing.T) {
	opts := &daxtest.Options{Fault: func(c daxtest.Call) daxtest.Fault {
		if c.Write {
			return daxtest.Fault{Delay: time.Second, Late: 2 * time.Second}
		}
		return daxtest.Fault{}
	}}
	inBubble(t, opts, func(t *testing.T, _ *daxtest.Cluster, client *dax.Dax, _ *dynamodb.Client) {
		start := time.Now()
		put(t, client, "1", "x")
		require.Equal(t, 3*time.Second, time.Since(start))
	})
}

func TestANodeStopsAndComesBackEmpty(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, cluster *daxtest.Cluster, client *dax.Dax, db *dynamodb.Client) {
		put(t, client, "1", "x")
		put(t, db, "1", "behind its back")
		require.Equal(t, "x", get(t, client, "1", false))
		require.NoError(t, cluster.StopNode(0))
		synctest.Wait()
		require.Zero(t, cluster.Stats().Connections)
		_, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: new(tableName), Key: item{"pk": str("a"), "sk": str("1")}})
		require.Error(t, err)
		require.NoError(t, cluster.StartNode(0))
		time.Sleep(10 * time.Second)
		require.Equal(t, "behind its back", get(t, client, "1", false))
	})
}

func TestATransactionFillsTheCacheAfterItsAnswer(t *testing.T) {
	inBubble(t, &daxtest.Options{Filling: time.Second}, func(t *testing.T, _ *daxtest.Cluster, client *dax.Dax, _ *dynamodb.Client) {
		put(t, client, "1", "old")
		_, err := client.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
			{Update: &types.Update{TableName: new(tableName), Key: item{"pk": str("a"), "sk": str("1")}, UpdateExpression: new("SET v = :v"), ExpressionAttributeValues: item{":v": str("new")}}},
		}})
		require.NoError(t, err)
		require.Equal(t, "old", get(t, client, "1", false))
		require.Equal(t, "new", get(t, client, "1", true))
		time.Sleep(2 * time.Second)
		require.Equal(t, "new", get(t, client, "1", false))
	})
}

func TestTLS(t *testing.T) {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	db := newTable(t, "S")
	cluster, err := daxtest.Start(t.Context(), db, &daxtest.Options{TLS: cert.TLS})
	require.NoError(t, err)
	defer func() { require.NoError(t, cluster.Close()) }()
	roots := x509.NewCertPool()
	roots.AddCert(cert.Certificate())
	for _, trusted := range []bool{true, false} {
		cfg := config(cluster)
		own := &tls.Config{ServerName: "127.0.0.1"}
		if trusted {
			own.RootCAs = roots
		}
		cfg.DialContext = (&tls.Dialer{Config: own}).DialContext
		client, err := dax.New(cfg)
		require.NoError(t, err)
		_, err = client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: new(tableName), Key: item{"pk": str("a"), "sk": str("1")}})
		require.Equal(t, trusted, err == nil, "%v", err)
		require.NoError(t, client.Close())
	}
}

func TestANodeBelievesAConnectionForFiveMinutes(t *testing.T) {
	opts := &daxtest.Options{Credentials: credentials(secret)}
	inBubble(t, opts, func(t *testing.T, _ *daxtest.Cluster, client *dax.Dax, _ *dynamodb.Client) {
		for range 10 {
			require.Equal(t, "nothing", get(t, client, "1", false))
			time.Sleep(99 * time.Second)
		}
	})
}
