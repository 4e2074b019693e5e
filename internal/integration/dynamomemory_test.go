package integration

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/integration/servers"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
	"github.com/genaistore/genaistore/memory/dynamomemory/costtest"
	"github.com/genaistore/genaistore/memory/memorytest"
)

// memoryTable makes a table for dynamomemory, to be deleted when the test ends.
func memoryTable(t testing.TB, c *dynamodb.Client) string {
	t.Helper()
	name := servers.Unique(t, "memory")
	names := new(dynamomemory.Schema).WithDefaults()
	attributes := []types.AttributeDefinition{}
	for name, kind := range map[string]types.ScalarAttributeType{
		names.PartitionKey: "S", names.SortKey: "S", names.IntentKey: "S", names.IntentSort: "S", names.Sentiment: "N",
	} {
		attributes = append(attributes, types.AttributeDefinition{AttributeName: new(name), AttributeType: kind})
	}
	everything := &types.Projection{ProjectionType: types.ProjectionTypeAll}
	_, err := c.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest, AttributeDefinitions: attributes,
		KeySchema: key(names.PartitionKey, names.SortKey),
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{
			{IndexName: &names.IntentIndex, KeySchema: key(names.IntentKey, names.IntentSort), Projection: everything},
		},
		LocalSecondaryIndexes: []types.LocalSecondaryIndex{
			{IndexName: &names.SentimentIndex, KeySchema: key(names.PartitionKey, names.Sentiment), Projection: everything},
		},
	})
	require.NoError(t, err)
	waiter := dynamodb.NewTableExistsWaiter(c, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 50*time.Millisecond, 2*time.Second
	})
	require.NoError(t, waiter.Wait(t.Context(), &dynamodb.DescribeTableInput{TableName: &name}, time.Minute))
	return name
}

func TestDynamoMemory(t *testing.T) {
	client := servers.DynamoDBLocal(t)
	store, err := dynamomemory.New(client, memoryTable(t, client), nil)
	require.NoError(t, err)
	memorytest.Run(t, func(*testing.T) memory.Store { return store })
}

func TestDynamoMemoryCosts(t *testing.T) {
	client := servers.DynamoDBLocal(t)
	store, err := dynamomemory.New(client, memoryTable(t, client), nil)
	require.NoError(t, err)
	costtest.Run(t, store, nil)
}
