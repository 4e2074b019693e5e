package integration

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/genaistore/genaistore/internal/integration/servers"
)

func ttlSettings(t *testing.T, c *dynamodb.Client) error {
	name, err := table(t, c)
	if err != nil {
		return err
	}
	if _, err := c.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{
		TableName: &name, TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: new("expires"), Enabled: new(true)},
	}); err != nil {
		return err
	}
	o, err := c.DescribeTimeToLive(t.Context(), &dynamodb.DescribeTimeToLiveInput{TableName: &name})
	if err != nil {
		return err
	}
	if s := o.TimeToLiveDescription.TimeToLiveStatus; s != types.TimeToLiveStatusEnabled && s != types.TimeToLiveStatusEnabling {
		return fmt.Errorf("status %s", s)
	}
	return same("attribute", *o.TimeToLiveDescription.AttributeName, "expires")
}

func itemSizeLimit(t *testing.T, c *dynamodb.Client) error {
	name, err := table(t, c)
	if err != nil {
		return err
	}
	put := func(size int) error { // of names and values together
		body := strings.Repeat("x", size-len("pk")-len("p")-len("sk")-len("s")-len("body"))
		_, err := c.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &name, Item: item{"pk": str("p"), "sk": str("s"), "body": str(body)}})
		return err
	}
	const limit = 400 * 1024
	return errors.Join(put(limit), failsWith(put(limit+1), "ValidationException"))
}

func pageSizeLimit(t *testing.T, c *dynamodb.Client) error {
	name, err := table(t, c)
	if err != nil {
		return err
	}
	body := str(strings.Repeat("x", 300*1024))
	for i := range 6 {
		if _, err := c.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &name, Item: item{"pk": str("p"), "sk": str(strconv.Itoa(i)), "body": body}}); err != nil {
			return err
		}
	}
	got, err := pages(t.Context(), c, &dynamodb.QueryInput{ // the limit counts what is read, not what is returned
		TableName: &name, KeyConditionExpression: new("pk = :p"), ExpressionAttributeValues: item{":p": str("p")}, ProjectionExpression: new("sk"),
	})
	if err != nil {
		return err
	}
	items := 0
	for _, page := range got {
		items += len(page)
		if len(page) > 4 {
			return fmt.Errorf("a page of %d items of 300 KiB", len(page))
		}
	}
	return same("items", items, 6)
}

func consumedCapacity(t *testing.T, c *dynamodb.Client) error {
	name, err := table(t, c)
	if err != nil {
		return err
	}
	put, err := c.PutItem(t.Context(), &dynamodb.PutItemInput{
		TableName: &name, ReturnConsumedCapacity: types.ReturnConsumedCapacityIndexes,
		Item: item{"pk": str("p"), "sk": str("s"), "lsk": num(1), "gpk": str("g"), "gsk": num(1), "more": str(strings.Repeat("x", 2500))},
	})
	if err != nil {
		return err
	}
	if put.ConsumedCapacity == nil || put.ConsumedCapacity.Table == nil {
		return errors.New("no capacity of a put with its indexes")
	}
	tx, err := c.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
		TransactItems:          []types.TransactWriteItem{{Put: &types.Put{TableName: &name, Item: item{"pk": str("p"), "sk": str("t")}}}},
	})
	if err != nil {
		return err
	}
	if len(tx.ConsumedCapacity) != 1 {
		return errors.New("no capacity of a transaction")
	}
	return errors.Join(
		same("units of a 2.5 KB put", *put.ConsumedCapacity.CapacityUnits, 5.0), // 3 and one for each index
		same("of its table", *put.ConsumedCapacity.Table.CapacityUnits, 3.0),
		same("units of a small transaction", *tx.ConsumedCapacity[0].CapacityUnits, 2.0))
}

func atomicity(t *testing.T, c *dynamodb.Client) error {
	name, err := table(t, c)
	if err != nil {
		return err
	}
	var wins atomic.Int32
	errs := make([]error, 30)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			_, err := c.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
				TableName: &name, Key: item{"pk": str("p"), "sk": str("sum")},
				UpdateExpression: new("ADD n :n"), ExpressionAttributeValues: item{":n": num(1)},
			})
			if err != nil {
				errs[i] = err
				return
			}
			_, err = c.PutItem(t.Context(), &dynamodb.PutItemInput{
				TableName: &name, Item: item{"pk": str("p"), "sk": str("once")}, ConditionExpression: new("attribute_not_exists(pk)"),
			})
			if err == nil {
				wins.Add(1)
				return
			}
			errs[i] = failsAs[*types.ConditionalCheckFailedException](err)
		})
	}
	wg.Wait()
	return errors.Join(errors.Join(errs...), same("sum", sum(t.Context(), c, name), "30"), same("winners", wins.Load(), int32(1)))
}

func addIndex(t *testing.T, c *dynamodb.Client) error {
	name, err := filled(t, c)
	if err != nil {
		return err
	}
	if _, err := c.UpdateTable(t.Context(), &dynamodb.UpdateTableInput{
		TableName: &name,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: new("more"), AttributeType: "S"}, {AttributeName: new("sk"), AttributeType: "S"},
		},
		GlobalSecondaryIndexUpdates: []types.GlobalSecondaryIndexUpdate{{Create: &types.CreateGlobalSecondaryIndexAction{
			IndexName: new("later"), KeySchema: key("more", "sk"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
		}}},
	}); err != nil {
		return err
	}
	deadline := time.Now().Add(20 * time.Second)
	if servers.OnAWS(t) {
		deadline = time.Now().Add(10 * time.Minute)
	}
	for {
		d, err := c.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &name})
		if err != nil {
			return err
		}
		active := len(d.Table.GlobalSecondaryIndexes) == 2
		for _, index := range d.Table.GlobalSecondaryIndexes {
			active = active && index.IndexStatus == types.IndexStatusActive
		}
		if active {
			break
		}
		if time.Now().After(deadline) {
			return errors.New("the index does not become active")
		}
		select {
		case <-t.Context().Done():
			return t.Context().Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	got, err := pages(t.Context(), c, &dynamodb.QueryInput{
		TableName: &name, IndexName: new("later"), KeyConditionExpression: new("more = :o"), ExpressionAttributeValues: item{":o": str("x")},
	})
	if err != nil {
		return err
	}
	return same("items of the first page", len(got[0]), 10)
}

func pointInTimeRecovery(t *testing.T, c *dynamodb.Client) error {
	name, err := table(t, c)
	if err != nil {
		return err
	}
	o, err := c.UpdateContinuousBackups(t.Context(), &dynamodb.UpdateContinuousBackupsInput{
		TableName: &name, PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: new(true)},
	})
	if err != nil {
		return err
	}
	return same("status", o.ContinuousBackupsDescription.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus, types.PointInTimeRecoveryStatusEnabled)
}

func tableTags(t *testing.T, c *dynamodb.Client) error {
	name, err := table(t, c)
	if err != nil {
		return err
	}
	d, err := c.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &name})
	if err != nil {
		return err
	}
	if _, err := c.TagResource(t.Context(), &dynamodb.TagResourceInput{
		ResourceArn: d.Table.TableArn, Tags: []types.Tag{{Key: new("team"), Value: new("a")}},
	}); err != nil {
		return err
	}
	o, err := c.ListTagsOfResource(t.Context(), &dynamodb.ListTagsOfResourceInput{ResourceArn: d.Table.TableArn})
	if err != nil {
		return err
	}
	return same("tags", len(o.Tags), 1)
}
