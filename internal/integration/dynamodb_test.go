package integration

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/genaistore/genaistore/internal/integration/servers"
)

func TestDynamoDB(t *testing.T) {
	targets := []target[*dynamodb.Client]{
		{servers.NameDynamoDBLocal, servers.DynamoDBLocal},
		{servers.NameMoto, func(t testing.TB) *dynamodb.Client { return dynamodb.NewFromConfig(servers.Moto(t)) }},
	}
	runChecks(t, targets, dynamoDBChecks())
}

func dynamoDBChecks() []check[*dynamodb.Client] {
	return []check[*dynamodb.Client]{
		{servers.Tables, tables},
		{servers.ConditionalPut, conditionalPut},
		{servers.ConditionReturnsItem, conditionReturnsItem},
		{servers.UpdatedNew, updatedNew},
		{servers.UpdateExpressions, updateExpressions},
		{servers.QueryPaging, queryPaging},
		{servers.ExactPageHasKey, exactPageHasKey},
		{servers.SparseIndex, sparseIndex},
		{servers.LocalIndexFetches, localIndexFetches},
		{servers.BatchLimits, batchLimits},
		{servers.Transactions, transactions},
		{servers.TransactionToken, transactionToken},
		{servers.TokenMismatch, tokenMismatch},
		{servers.TTLSettings, ttlSettings},
		{servers.ItemSizeLimit, itemSizeLimit},
		{servers.PageSizeLimit, pageSizeLimit},
		{servers.ConsumedCapacity, consumedCapacity},
		{servers.Atomicity, atomicity},
		{servers.AddIndex, addIndex},
		{servers.PointInTimeRecovery, pointInTimeRecovery},
		{servers.TableTags, tableTags},
	}
}

type item = map[string]types.AttributeValue

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func num(n int) types.AttributeValue { return &types.AttributeValueMemberN{Value: strconv.Itoa(n)} }

func text(v types.AttributeValue) string {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return v.Value
	}
	return fmt.Sprintf("%T", v)
}

func key(hash, sort string) []types.KeySchemaElement {
	return []types.KeySchemaElement{
		{AttributeName: new(hash), KeyType: types.KeyTypeHash}, {AttributeName: new(sort), KeyType: types.KeyTypeRange},
	}
}

// schema has a local index "local" (pk, lsk; keys only) and a global index "global"
// (gpk, gsk; with body).
func schema(name string) *dynamodb.CreateTableInput {
	attributes := []types.AttributeDefinition{}
	for name, kind := range map[string]types.ScalarAttributeType{"pk": "S", "sk": "S", "lsk": "N", "gpk": "S", "gsk": "N"} {
		attributes = append(attributes, types.AttributeDefinition{AttributeName: new(name), AttributeType: kind})
	}
	return &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: attributes, KeySchema: key("pk", "sk"),
		LocalSecondaryIndexes: []types.LocalSecondaryIndex{{
			IndexName: new("local"), KeySchema: key("pk", "lsk"),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
		}},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName: new("global"), KeySchema: key("gpk", "gsk"),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeInclude, NonKeyAttributes: []string{"body"}},
		}},
	}
}

// table makes a table of schema, to be deleted when the test ends.
func table(t *testing.T, c *dynamodb.Client) (string, error) {
	name := servers.Unique(t, "smoke")
	if _, err := c.CreateTable(t.Context(), schema(name)); err != nil {
		return "", err
	}
	t.Cleanup(func() {
		ctx := contextAfter(t)
		if _, err := c.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &name}); err != nil {
			t.Errorf("table %s is left: %v", name, err)
		}
	})
	waiter := dynamodb.NewTableExistsWaiter(c, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 50*time.Millisecond, 2*time.Second
	})
	return name, waiter.Wait(t.Context(), &dynamodb.DescribeTableInput{TableName: &name}, time.Minute)
}

// filled is a table with ten items c/m0 to c/m9, of which the last is not in the
// global index.
func filled(t *testing.T, c *dynamodb.Client) (string, error) {
	name, err := table(t, c)
	if err != nil {
		return "", err
	}
	for i := range 10 {
		it := item{
			"pk": str("c"), "sk": str(fmt.Sprintf("m%d", i)), "lsk": num(100 - i),
			"gpk": str("t"), "gsk": num(i), "body": str("hello"), "more": str("x"),
		}
		if i == 9 {
			delete(it, "gpk")
		}
		if _, err := c.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &name, Item: it}); err != nil {
			return "", err
		}
	}
	return name, nil
}

func tables(t *testing.T, c *dynamodb.Client) error {
	name, err := table(t, c)
	if err != nil {
		return err
	}
	_, err = c.CreateTable(t.Context(), schema(name))
	return failsAs[*types.ResourceInUseException](err)
}

func putTwice(t *testing.T, c *dynamodb.Client) error {
	name, err := table(t, c)
	if err != nil {
		return err
	}
	put := func(v int) error {
		_, err := c.PutItem(t.Context(), &dynamodb.PutItemInput{
			TableName: &name, Item: item{"pk": str("p"), "sk": str("s"), "v": num(v)},
			ConditionExpression:                 new("attribute_not_exists(pk)"),
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		})
		return err
	}
	if err := put(1); err != nil {
		return fmt.Errorf("the first put: %w", err)
	}
	return put(2)
}

func conditionalPut(t *testing.T, c *dynamodb.Client) error {
	return failsAs[*types.ConditionalCheckFailedException](putTwice(t, c))
}

func conditionReturnsItem(t *testing.T, c *dynamodb.Client) error {
	failed, ok := errors.AsType[*types.ConditionalCheckFailedException](putTwice(t, c))
	if !ok {
		return errors.New("no ConditionalCheckFailedException")
	}
	return same("v", text(failed.Item["v"]), "1")
}

func updatedNew(t *testing.T, c *dynamodb.Client) error {
	name, err := table(t, c)
	if err != nil {
		return err
	}
	for i := range 2 {
		o, err := c.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
			TableName: &name, Key: item{"pk": str("p"), "sk": str("s")}, UpdateExpression: new("ADD seq :one"),
			ExpressionAttributeValues: item{":one": num(1)}, ReturnValues: types.ReturnValueUpdatedNew,
		})
		if err != nil {
			return err
		}
		if err := same("attributes", o.Attributes, item{"seq": num(i + 1)}); err != nil {
			return err
		}
	}
	return nil
}

func updateExpressions(t *testing.T, c *dynamodb.Client) error {
	name, err := table(t, c)
	if err != nil {
		return err
	}
	update := func(expression, condition string, values item) (*dynamodb.UpdateItemOutput, error) {
		in := &dynamodb.UpdateItemInput{
			TableName: &name, Key: item{"pk": str("p"), "sk": str("s")}, UpdateExpression: &expression,
			ExpressionAttributeValues: values, ReturnValues: types.ReturnValueAllNew,
		}
		if condition != "" {
			in.ConditionExpression = &condition
		}
		return c.UpdateItem(t.Context(), in)
	}
	list := func(v ...types.AttributeValue) types.AttributeValue { return &types.AttributeValueMemberL{Value: v} }
	_, err = update("SET a = if_not_exists(a, :zero) + :one, l = list_append(if_not_exists(l, :none), :x), m = :m REMOVE q", "",
		item{":zero": num(0), ":one": num(1), ":none": list(), ":x": list(str("x")), ":m": &types.AttributeValueMemberM{Value: item{"k": num(1)}}})
	if err != nil {
		return err
	}
	o, err := update("SET m.k = m.k + :one, l[0] = :y", "size(l) = :one AND attribute_type(m, :map) AND a IN (:one, :zero) AND contains(l, :x)",
		item{":one": num(1), ":zero": num(0), ":y": str("y"), ":map": str("M"), ":x": str("x")})
	if err != nil {
		return err
	}
	return same("attributes", o.Attributes, item{
		"pk": str("p"), "sk": str("s"), "a": num(1), "l": list(str("y")), "m": &types.AttributeValueMemberM{Value: item{"k": num(2)}},
	})
}

// pages reads a query to its end and returns the sort keys of each page.
func pages(ctx context.Context, c *dynamodb.Client, in *dynamodb.QueryInput) ([][]string, error) {
	var all [][]string
	for len(all) < 100 {
		o, err := c.Query(ctx, in)
		if err != nil {
			return nil, err
		}
		page := []string{}
		for _, it := range o.Items {
			page = append(page, text(it["sk"]))
		}
		all = append(all, page)
		if len(o.LastEvaluatedKey) == 0 {
			return all, nil
		}
		in.ExclusiveStartKey = o.LastEvaluatedKey
	}
	return nil, errors.New("a query does not end")
}

func queryPaging(t *testing.T, c *dynamodb.Client) error {
	name, err := filled(t, c)
	if err != nil {
		return err
	}
	got, err := pages(t.Context(), c, &dynamodb.QueryInput{
		TableName: &name, KeyConditionExpression: new("pk = :p AND begins_with(sk, :m)"),
		ExpressionAttributeValues: item{":p": str("c"), ":m": str("m")}, ScanIndexForward: new(false), Limit: new(int32(4)),
	})
	if err != nil {
		return err
	}
	return same("pages", got, [][]string{{"m9", "m8", "m7", "m6"}, {"m5", "m4", "m3", "m2"}, {"m1", "m0"}})
}

func exactPageHasKey(t *testing.T, c *dynamodb.Client) error {
	name, err := filled(t, c)
	if err != nil {
		return err
	}
	got, err := pages(t.Context(), c, &dynamodb.QueryInput{
		TableName: &name, KeyConditionExpression: new("pk = :p"), ExpressionAttributeValues: item{":p": str("c")}, Limit: new(int32(10)),
	})
	if err != nil {
		return err
	}
	return same("number of pages", len(got), 2)
}

func sparseIndex(t *testing.T, c *dynamodb.Client) error {
	name, err := filled(t, c)
	if err != nil {
		return err
	}
	o, err := c.Query(t.Context(), &dynamodb.QueryInput{
		TableName: &name, IndexName: new("global"), KeyConditionExpression: new("gpk = :p AND gsk >= :n"),
		ExpressionAttributeValues: item{":p": str("t"), ":n": num(7)},
	})
	if err != nil {
		return err
	}
	want := []item{}
	for _, i := range []int{7, 8} {
		want = append(want, item{"pk": str("c"), "sk": str(fmt.Sprintf("m%d", i)), "gpk": str("t"), "gsk": num(i), "body": str("hello")})
	}
	return same("items", o.Items, want)
}

func localIndexFetches(t *testing.T, c *dynamodb.Client) error {
	name, err := filled(t, c)
	if err != nil {
		return err
	}
	o, err := c.Query(t.Context(), &dynamodb.QueryInput{
		TableName: &name, IndexName: new("local"), KeyConditionExpression: new("pk = :p"), ExpressionAttributeValues: item{":p": str("c")},
		Select: types.SelectAllAttributes, ConsistentRead: new(true), Limit: new(int32(1)),
	})
	if err != nil {
		return err
	}
	if len(o.Items) != 1 {
		return fmt.Errorf("%d items", len(o.Items))
	}
	return errors.Join(same("sk", text(o.Items[0]["sk"]), "m9"), same("more", text(o.Items[0]["more"]), "x"))
}

func batchLimits(t *testing.T, c *dynamodb.Client) error {
	name, err := table(t, c)
	if err != nil {
		return err
	}
	write := func(n int) error {
		var requests []types.WriteRequest
		for i := range n {
			requests = append(requests, types.WriteRequest{PutRequest: &types.PutRequest{Item: item{"pk": str("p"), "sk": str(strconv.Itoa(i))}}})
		}
		_, err := c.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{name: requests}})
		return err
	}
	return errors.Join(write(25), failsWith(write(26), "ValidationException"))
}

// A transaction adds n to the counter "sum" and puts an item that must not exist.
type transaction struct {
	put, token string
	n          int
}

func transact(ctx context.Context, c *dynamodb.Client, name string, tx transaction) error {
	in := &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Update: &types.Update{
			TableName: &name, Key: item{"pk": str("p"), "sk": str("sum")},
			UpdateExpression: new("ADD n :n"), ExpressionAttributeValues: item{":n": num(tx.n)},
		}},
		{Put: &types.Put{
			TableName: &name, Item: item{"pk": str("p"), "sk": str(tx.put)}, ConditionExpression: new("attribute_not_exists(pk)"),
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}},
	}}
	if tx.token != "" {
		in.ClientRequestToken = &tx.token
	}
	_, err := c.TransactWriteItems(ctx, in)
	return err
}

func sum(ctx context.Context, c *dynamodb.Client, name string) string {
	o, err := c.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &name, Key: item{"pk": str("p"), "sk": str("sum")}, ConsistentRead: new(true),
	})
	if err != nil {
		return err.Error()
	}
	return text(o.Item["n"])
}

func transactions(t *testing.T, c *dynamodb.Client) error {
	name, err := table(t, c)
	if err != nil {
		return err
	}
	if err := transact(t.Context(), c, name, transaction{"a", "", 1}); err != nil {
		return err
	}
	canceled, ok := errors.AsType[*types.TransactionCanceledException](transact(t.Context(), c, name, transaction{"a", "", 1}))
	if !ok || len(canceled.CancellationReasons) != 2 {
		return errors.New("no TransactionCanceledException with two reasons")
	}
	reason := canceled.CancellationReasons[1]
	return errors.Join(
		same("code", *reason.Code, "ConditionalCheckFailed"),
		same("item", reason.Item, item{"pk": str("p"), "sk": str("a")}),
		same("sum", sum(t.Context(), c, name), "1"))
}

func transactionToken(t *testing.T, c *dynamodb.Client) error {
	name, err := table(t, c)
	if err != nil {
		return err
	}
	for range 2 {
		if err := transact(t.Context(), c, name, transaction{"a", "token", 1}); err != nil {
			return err
		}
	}
	return same("sum", sum(t.Context(), c, name), "1")
}

func tokenMismatch(t *testing.T, c *dynamodb.Client) error {
	name, err := table(t, c)
	if err != nil {
		return err
	}
	if err := transact(t.Context(), c, name, transaction{"a", "token", 1}); err != nil {
		return err
	}
	return failsAs[*types.IdempotentParameterMismatchException](transact(t.Context(), c, name, transaction{"b", "token", 2}))
}
