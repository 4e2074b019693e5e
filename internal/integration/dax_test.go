package integration

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-dax-go-v2/dax"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/metrics"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/daxtest"
	"github.com/genaistore/genaistore/internal/integration/servers"
	"github.com/genaistore/genaistore/memory"
	ours "github.com/genaistore/genaistore/memory/dax"
	"github.com/genaistore/genaistore/memory/dynamomemory"
	"github.com/genaistore/genaistore/memory/memorytest"
)

// The official client, over sockets and signed, in front of a DynamoDB that nobody
// here wrote: each of its ten operations answers as DynamoDB itself does.
func TestDAXInFrontOfDynamoDBLocal(t *testing.T) {
	db := servers.DynamoDBLocal(t)
	credentials := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "SECRET", SessionToken: "TOKEN"}, nil
	})
	cluster, err := daxtest.Start(t.Context(), db, &daxtest.Options{Nodes: 3, Credentials: credentials})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Close()) })
	var cfg dax.Config
	cfg.HostPorts, cfg.Region, cfg.Credentials = []string{cluster.Endpoint()}, daxtest.DefaultRegion, credentials
	cfg.DialContext, cfg.MeterProvider, cfg.MaxPendingConnectionsPerHost = cluster.DialContext, metrics.NopMeterProvider{}, 100
	cfg.ClusterUpdateInterval, cfg.ClusterUpdateThreshold = 4*time.Second, 125*time.Millisecond
	cfg.ClientHealthCheckInterval, cfg.IdleConnectionReapDelay = 5*time.Second, time.Hour
	cfg.RequestTimeout, cfg.ReadRetries = time.Minute, 2
	client, err := dax.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })

	for name, operation := range daxOperations() {
		t.Run(name, func(t *testing.T) {
			answers := map[daxtest.Client][]any{}
			for _, c := range []daxtest.Client{db, client} {
				in := daxTable(servers.Unique(t, "dax"))
				create(t, db, in)
				answers[c] = operation(t, c, in.TableName)
			}
			require.Equal(t, answers[db], answers[client])
		})
	}
}

func daxTable(name string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest, KeySchema: key("pk", "sk"),
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: new("pk"), AttributeType: "S"}, {AttributeName: new("sk"), AttributeType: "N"}, {AttributeName: new("g"), AttributeType: "S"},
		},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{
			{IndexName: new("byG"), KeySchema: key("g", "sk"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll}},
		},
	}
}

func create(t *testing.T, db *dynamodb.Client, in *dynamodb.CreateTableInput) {
	t.Helper()
	_, err := db.CreateTable(t.Context(), in)
	require.NoError(t, err)
	require.NoError(t, dynamodb.NewTableExistsWaiter(db).Wait(t.Context(), &dynamodb.DescribeTableInput{TableName: in.TableName}, time.Minute))
	t.Cleanup(func() {
		_, err := db.DeleteTable(context.WithoutCancel(t.Context()), &dynamodb.DeleteTableInput{TableName: in.TableName})
		require.NoError(t, err)
	})
}

func daxKey(i int) item { return item{"pk": str("a"), "sk": num(i)} }

func fill(t *testing.T, c daxtest.Client, table *string, n int) {
	t.Helper()
	for i := range n {
		_, err := c.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: table, Item: item{
			"pk": str("a"), "sk": num(i * 10), "g": str("G"), "text": str(fmt.Sprint("m", i)),
			"meta": &types.AttributeValueMemberM{Value: item{"x": num(i), "l": &types.AttributeValueMemberL{Value: []types.AttributeValue{str("p"), str("q")}}}},
		}})
		require.NoError(t, err)
	}
}

// code is how an error is told.
func code(err error) string {
	switch {
	case err == nil:
		return ""
	case asType[*types.ConditionalCheckFailedException](err):
		return "condition"
	case asType[*types.ResourceNotFoundException](err):
		return "no table"
	}
	canceled, ok := errors.AsType[*types.TransactionCanceledException](err)
	if !ok {
		return err.Error()
	}
	out := "canceled"
	for _, r := range canceled.CancellationReasons {
		out += " " + aws.ToString(r.Code)
	}
	return out
}

func asType[E error](err error) bool { _, ok := errors.AsType[E](err); return ok }

func daxOperations() map[string]func(*testing.T, daxtest.Client, *string) []any {
	return map[string]func(*testing.T, daxtest.Client, *string) []any{
		"PutItem and GetItem": func(t *testing.T, c daxtest.Client, table *string) (out []any) {
			it := item{
				"pk": str("ü"), "sk": num(-17), "s": str("héllo"), "big": &types.AttributeValueMemberN{Value: "12345678901234567890123456789012345678"},
				"b": &types.AttributeValueMemberB{Value: []byte{1, 2}}, "bool": &types.AttributeValueMemberBOOL{Value: true}, "null": &types.AttributeValueMemberNULL{Value: true},
				"ss": &types.AttributeValueMemberSS{Value: []string{"a"}}, "ns": &types.AttributeValueMemberNS{Value: []string{"1"}}, "bs": &types.AttributeValueMemberBS{Value: [][]byte{{1}}},
				"l": &types.AttributeValueMemberL{Value: []types.AttributeValue{str("x"), num(1)}}, "m": &types.AttributeValueMemberM{Value: item{"e": &types.AttributeValueMemberM{Value: item{}}}},
			}
			_, err := c.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: table, Item: it})
			require.NoError(t, err)
			for _, consistent := range []bool{false, true, false} {
				got, err := c.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: table, Key: item{"pk": it["pk"], "sk": it["sk"]}, ConsistentRead: &consistent})
				require.NoError(t, err)
				out = append(out, got.Item)
			}
			got, err := c.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: table, Key: item{"pk": it["pk"], "sk": it["sk"]}, ProjectionExpression: new("m.e, l[1], s")})
			require.NoError(t, err)
			none, err := c.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: table, Key: daxKey(1)})
			require.NoError(t, err)
			_, err = c.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: table, Item: it, ConditionExpression: new("attribute_not_exists(pk)")})
			_, absent := c.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: new("absent"), Key: daxKey(1)})
			return append(out, got.Item["s"], len(none.Item), code(err), code(absent))
		},
		"UpdateItem and DeleteItem": func(t *testing.T, c daxtest.Client, table *string) (out []any) {
			fill(t, c, table, 2)
			for _, values := range []types.ReturnValue{"", types.ReturnValueAllNew, types.ReturnValueAllOld, types.ReturnValueUpdatedNew, types.ReturnValueUpdatedOld} {
				got, err := c.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
					TableName: table, Key: daxKey(10), ReturnValues: values,
					UpdateExpression:          new("SET v = if_not_exists(v, :zero) + :one, meta.#y = list_append(meta.l, :l) REMOVE meta.x ADD cnt :one DELETE tags :t"),
					ConditionExpression:       new("attribute_exists(pk) AND (size(#text) < :big OR #text IN (:a, :b))"),
					ExpressionAttributeNames:  map[string]string{"#y": "y.z", "#text": "text"},
					ExpressionAttributeValues: item{":zero": num(0), ":one": num(1), ":l": &types.AttributeValueMemberL{Value: []types.AttributeValue{str("n")}}, ":big": num(100), ":a": str("a"), ":b": str("b"), ":t": &types.AttributeValueMemberSS{Value: []string{"x"}}},
				})
				require.NoError(t, err)
				out = append(out, len(got.Attributes))
				for _, name := range []string{"v", "cnt", "text"} {
					out = append(out, got.Attributes[name])
				}
			}
			got, err := c.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
				TableName: table, Key: daxKey(10), ReturnValues: types.ReturnValueAllOld,
				ConditionExpression: new("v = :v"), ExpressionAttributeValues: item{":v": num(5)},
			})
			require.NoError(t, err)
			_, again := c.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: table, Key: daxKey(10), ConditionExpression: new("attribute_exists(pk)")})
			return append(out, got.Attributes["meta"], code(again))
		},
		"Query": func(t *testing.T, c daxtest.Client, table *string) (out []any) {
			fill(t, c, table, 12)
			in := &dynamodb.QueryInput{
				TableName: table, KeyConditionExpression: new("pk = :p AND #s BETWEEN :from AND :to"),
				FilterExpression:          new("contains(#text, :m) OR NOT (meta.x > :n AND #text <> :m)"),
				ExpressionAttributeNames:  map[string]string{"#s": "sk", "#text": "text"},
				ExpressionAttributeValues: item{":p": str("a"), ":from": num(0), ":to": num(1000), ":m": str("m"), ":n": num(3)}, ScanIndexForward: new(false), Limit: new(int32(5)),
			}
			for {
				got, err := c.Query(t.Context(), in)
				require.NoError(t, err)
				out = append(out, got.Items, got.Count, got.ScannedCount, got.LastEvaluatedKey)
				if in.ExclusiveStartKey = got.LastEvaluatedKey; in.ExclusiveStartKey == nil {
					break
				}
			}
			indexed := &dynamodb.QueryInput{TableName: table, IndexName: new("byG"), KeyConditionExpression: new("g = :g AND sk >= :s"), ExpressionAttributeValues: item{":g": str("G"), ":s": num(50)}, Limit: new(int32(2))}
			for range 2 {
				got, err := c.Query(t.Context(), indexed)
				require.NoError(t, err)
				out = append(out, got.Items, got.LastEvaluatedKey)
				indexed.ExclusiveStartKey = got.LastEvaluatedKey
			}
			count, err := c.Query(t.Context(), &dynamodb.QueryInput{TableName: table, KeyConditionExpression: new("pk = :p"), ExpressionAttributeValues: item{":p": str("a")}, Select: types.SelectCount})
			require.NoError(t, err)
			return append(out, count.Count, len(count.Items))
		},
		"Scan": func(t *testing.T, c daxtest.Client, table *string) (out []any) {
			fill(t, c, table, 12)
			for segment := range int32(2) {
				got, err := c.Scan(t.Context(), &dynamodb.ScanInput{
					TableName: table, FilterExpression: new("begins_with(#text, :m)"), ExpressionAttributeNames: map[string]string{"#text": "text"},
					ExpressionAttributeValues: item{":m": str("m1")}, Segment: &segment, TotalSegments: new(int32(2)),
				})
				require.NoError(t, err)
				out = append(out, got.Items)
			}
			return out
		},
		"BatchWriteItem and BatchGetItem": func(t *testing.T, c daxtest.Client, table *string) (out []any) {
			var writes []types.WriteRequest
			var keys []item
			for i := range 25 {
				writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: item{"pk": str("a"), "sk": num(i - 12), "v": num(i)}}})
				keys = append(keys, daxKey(i-12))
			}
			_, err := c.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{*table: writes}})
			require.NoError(t, err)
			_, err = c.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{*table: {{DeleteRequest: &types.DeleteRequest{Key: keys[0]}}}}})
			require.NoError(t, err)
			for _, consistent := range []bool{true, false, false} {
				got, err := c.BatchGetItem(t.Context(), &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{*table: {Keys: keys, ConsistentRead: &consistent}}})
				require.NoError(t, err)
				sum := 0
				for _, it := range got.Responses[*table] {
					var n int
					_, err := fmt.Sscan(text(it["v"]), &n)
					require.NoError(t, err)
					sum += n
				}
				out = append(out, len(got.Responses[*table]), sum)
			}
			return out
		},
		"TransactWriteItems and TransactGetItems": func(t *testing.T, c daxtest.Client, table *string) []any {
			fill(t, c, table, 3)
			in := func() *dynamodb.TransactWriteItemsInput {
				return &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
					{Put: &types.Put{TableName: table, Item: item{"pk": str("b"), "sk": num(1), "x": num(1)}, ConditionExpression: new("attribute_not_exists(pk)")}},
					{Update: &types.Update{TableName: table, Key: daxKey(0), UpdateExpression: new("SET head = :h"), ExpressionAttributeValues: item{":h": num(7)}}},
					{Delete: &types.Delete{TableName: table, Key: daxKey(10)}},
					{ConditionCheck: &types.ConditionCheck{TableName: table, Key: daxKey(20), ConditionExpression: new("attribute_exists(pk)")}},
				}}
			}
			_, first := c.TransactWriteItems(t.Context(), in())
			_, second := c.TransactWriteItems(t.Context(), in())
			got, err := c.TransactGetItems(t.Context(), &dynamodb.TransactGetItemsInput{TransactItems: []types.TransactGetItem{
				{Get: &types.Get{TableName: table, Key: daxKey(0)}},
				{Get: &types.Get{TableName: table, Key: daxKey(10)}},
				{Get: &types.Get{TableName: table, Key: item{"pk": str("b"), "sk": num(1)}, ProjectionExpression: new("x")}},
			}})
			require.NoError(t, err)
			return []any{code(first), code(second), got.Responses[0].Item, len(got.Responses[1].Item), got.Responses[2].Item}
		},
	}
}

// The suite of package memory through DAX: three nodes that follow late, in front of
// DynamoDB Local, over sockets, each Open with the bookmark of what was seen.
func TestMemoryThroughDAX(t *testing.T) {
	db := servers.DynamoDBLocal(t)
	credentials := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "SECRET"}, nil
	})
	cluster, err := daxtest.Start(t.Context(), db, &daxtest.Options{Nodes: 3, Credentials: credentials, Replication: 50 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Close()) })
	client, err := ours.New(db, &ours.Options{Endpoint: cluster.Endpoint(), Region: daxtest.DefaultRegion, Credentials: credentials})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	table := servers.Unique(t, "through-dax")
	_, err = dynamomemory.EnsureTable(t.Context(), db, table, nil)
	require.NoError(t, err)
	store, err := dynamomemory.New(db, table, &dynamomemory.Options{Cache: client, Shared: true})
	require.NoError(t, err)
	memorytest.Run(t, func(*testing.T) memory.Store { return memorytest.Follow(store) })
	stats := cluster.Stats()
	t.Logf("%+v", stats)
	require.Positive(t, stats.ItemHits, "nothing came from the cache")
}
