package awsfake_test

import (
	"fmt"
	"hash/crc32"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
)

func sessions() *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName:   new("sessions"),
		BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: new("pk"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: new("sk"), AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: new("pk"), KeyType: types.KeyTypeHash},
			{AttributeName: new("sk"), KeyType: types.KeyTypeRange},
		},
	}
}

func newTable(t *testing.T) (*awsfake.DynamoDB, *dynamodb.Client) {
	t.Helper()
	fake := awsfake.NewDynamoDB()
	client := fake.Client()
	_, err := client.CreateTable(t.Context(), sessions())
	require.NoError(t, err)
	return fake, client
}

type attributes = map[string]types.AttributeValue

func text(s string) *types.AttributeValueMemberS { return &types.AttributeValueMemberS{Value: s} }

func key(pk, sk string) attributes { return attributes{"pk": text(pk), "sk": text(sk)} }

func putItem(t *testing.T, client *dynamodb.Client, item attributes) {
	t.Helper()
	_, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: new("sessions"), Item: item})
	require.NoError(t, err)
}

func TestDynamoDBDescribesItsTables(t *testing.T) {
	_, client := newTable(t)
	_, err := client.CreateTable(t.Context(), sessions())
	var inUse *types.ResourceInUseException
	require.ErrorAs(t, err, &inUse)

	out, err := client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: new("sessions")})
	require.NoError(t, err)
	require.Equal(t, types.TableStatusActive, out.Table.TableStatus)
	require.Equal(t, sessions().KeySchema, out.Table.KeySchema)
	require.Equal(t, types.BillingModePayPerRequest, out.Table.BillingModeSummary.BillingMode)

	_, err = client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: new("other")})
	var notFound *types.ResourceNotFoundException
	require.ErrorAs(t, err, &notFound)
}

func TestDynamoDBReturnsEveryKindOfValue(t *testing.T) {
	_, client := newTable(t)
	item := key("p", "s")
	item["values"] = &types.AttributeValueMemberM{Value: attributes{
		"text":    text(""),
		"number":  &types.AttributeValueMemberN{Value: "-1.50"},
		"bytes":   &types.AttributeValueMemberB{Value: []byte{0, 255}},
		"none":    &types.AttributeValueMemberB{Value: []byte{}},
		"yes":     &types.AttributeValueMemberBOOL{Value: false},
		"null":    &types.AttributeValueMemberNULL{Value: true},
		"map":     &types.AttributeValueMemberM{Value: attributes{}},
		"list":    &types.AttributeValueMemberL{Value: []types.AttributeValue{text("a"), &types.AttributeValueMemberL{Value: []types.AttributeValue{}}}},
		"texts":   &types.AttributeValueMemberSS{Value: []string{"a", "b"}},
		"numbers": &types.AttributeValueMemberNS{Value: []string{"1"}},
		"blobs":   &types.AttributeValueMemberBS{Value: [][]byte{{1}}},
	}}
	putItem(t, client, item)
	out, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: new("sessions"), Key: key("p", "s")})
	require.NoError(t, err)
	require.Equal(t, item, out.Item)

	out, err = client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: new("sessions"), Key: key("p", "t")})
	require.NoError(t, err)
	require.Nil(t, out.Item)
}

func TestDynamoDBWritesOnlyWhereTheConditionHolds(t *testing.T) {
	_, client := newTable(t)
	put := func(condition, note string) error {
		item := key("p", "s")
		item["note"] = text(note)
		_, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{
			TableName: new("sessions"), Item: item, ConditionExpression: &condition,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		})
		return err
	}
	var failed *types.ConditionalCheckFailedException
	require.ErrorAs(t, put("attribute_exists(pk)", "zero"), &failed)
	require.Nil(t, failed.Item)
	require.NoError(t, put("attribute_not_exists(pk)", "one"))
	require.ErrorAs(t, put("attribute_not_exists(pk)", "two"), &failed)
	require.Equal(t, text("one"), failed.Item["note"])
	require.NoError(t, put("attribute_exists(pk)", "three"))

	remove := func(condition string, values attributes) error {
		_, err := client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
			TableName: new("sessions"), Key: key("p", "s"), ConditionExpression: &condition, ExpressionAttributeValues: values,
		})
		return err
	}
	require.ErrorAs(t, remove("note = :n", attributes{":n": text("one")}), &failed)
	require.NoError(t, remove("attribute_not_exists(gone) AND (note = :x OR note = :n)", attributes{":n": text("three"), ":x": text("x")}))
	require.ErrorAs(t, remove("NOT attribute_not_exists(sk)", nil), &failed)
	_, err := client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: new("sessions"), Key: key("p", "s")})
	require.NoError(t, err, "deleting what is gone")
}

func TestDynamoDBReturnsWhatAWriteReplaced(t *testing.T) {
	_, client := newTable(t)
	item := key("p", "s")
	item["note"] = text("old")
	putItem(t, client, item)
	out, err := client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
		TableName: new("sessions"), Key: key("p", "s"), ReturnValues: types.ReturnValueAllOld,
	})
	require.NoError(t, err)
	require.Equal(t, item, out.Attributes)
}

// find queries partition p and returns the sort keys of all pages, one string a page.
func find(t *testing.T, client *dynamodb.Client, in dynamodb.QueryInput, values attributes) []string {
	t.Helper()
	in.TableName = new("sessions")
	in.ExpressionAttributeValues = attributes{":p": text("p")}
	maps.Copy(in.ExpressionAttributeValues, values)
	var pages []string
	for {
		out, err := client.Query(t.Context(), &in)
		require.NoError(t, err)
		page := ""
		for _, item := range out.Items {
			page += item["sk"].(*types.AttributeValueMemberS).Value
		}
		pages = append(pages, page)
		if out.LastEvaluatedKey == nil {
			return pages
		}
		require.Len(t, out.LastEvaluatedKey, 2, "the key and nothing else")
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

func TestDynamoDBQueries(t *testing.T) {
	_, client := newTable(t)
	for sk := range strings.SplitSeq("d b e a c ba bb é", " ") {
		putItem(t, client, key("p", sk))
		putItem(t, client, key("q", sk))
	}
	bounds := attributes{":l": text("b"), ":h": text("c")}
	tests := []struct {
		name   string
		in     dynamodb.QueryInput
		values attributes
		want   []string
	}{
		{"a partition, in order of bytes", dynamodb.QueryInput{KeyConditionExpression: new("pk = :p")}, nil, []string{"abbabbcdeé"}},
		{"backwards", dynamodb.QueryInput{KeyConditionExpression: new("pk = :p"), ScanIndexForward: new(false)}, nil, []string{"éedcbbbaba"}},
		{"between, both ends included", dynamodb.QueryInput{KeyConditionExpression: new("pk = :p AND sk BETWEEN :l AND :h")}, bounds, []string{"bbabbc"}},
		{"less than", dynamodb.QueryInput{KeyConditionExpression: new("pk = :p AND sk < :h")}, attributes{":h": text("b")}, []string{"a"}},
		{"at least", dynamodb.QueryInput{KeyConditionExpression: new("sk >= :l AND pk = :p")}, attributes{":l": text("d")}, []string{"deé"}},
		{"begins with", dynamodb.QueryInput{KeyConditionExpression: new("pk = :p AND begins_with(sk, :l)")}, attributes{":l": text("b")}, []string{"bbabb"}},
		{"pages", dynamodb.QueryInput{KeyConditionExpression: new("pk = :p"), Limit: new(int32(3))}, nil, []string{"abba", "bbcd", "eé"}},
		{"a full last page says that there may be more", dynamodb.QueryInput{KeyConditionExpression: new("pk = :p"), Limit: new(int32(4))}, nil, []string{"abbabb", "cdeé", ""}},
		{"pages backwards", dynamodb.QueryInput{KeyConditionExpression: new("pk = :p"), Limit: new(int32(5)), ScanIndexForward: new(false)}, nil, []string{"éedcbb", "baba"}},
		{"a filter counts after the limit", dynamodb.QueryInput{
			KeyConditionExpression: new("pk = :p"), Limit: new(int32(4)),
			FilterExpression: new("sk <> :l"),
		}, attributes{":l": text("b")}, []string{"ababb", "cdeé", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, find(t, client, tt.in, tt.values))
		})
	}
}

func TestDynamoDBPagesHoldAMegabyte(t *testing.T) {
	_, client := newTable(t)
	for i := range 6 {
		item := key("p", fmt.Sprint(i))
		item["data"] = text(strings.Repeat("x", 300<<10))
		putItem(t, client, item)
	}
	require.Equal(t, []string{"0123", "45"}, find(t, client, dynamodb.QueryInput{KeyConditionExpression: new("pk = :p")}, nil))
}

func TestDynamoDBSaysWhatItCosts(t *testing.T) {
	_, client := newTable(t)
	total := types.ReturnConsumedCapacityTotal
	write := func(size int) float64 {
		item := key("p", "s")
		item["data"] = text(strings.Repeat("x", size-len("pk"+"p"+"sk"+"s"+"data")))
		out, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: new("sessions"), Item: item, ReturnConsumedCapacity: total})
		require.NoError(t, err)
		return *out.ConsumedCapacity.CapacityUnits
	}
	require.InDelta(t, 1, write(1024), 0)
	require.InDelta(t, 2, write(1025), 0)
	require.InDelta(t, 5, write(4097), 0)
	require.InDelta(t, 5, write(100), 0, "the larger of the old and the new item counts")
	write(4097)

	read := func(consistent bool) float64 {
		out, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{
			TableName: new("sessions"), Key: key("p", "s"), ConsistentRead: &consistent, ReturnConsumedCapacity: total,
		})
		require.NoError(t, err)
		return *out.ConsumedCapacity.CapacityUnits
	}
	require.InDelta(t, 2, read(true), 0)
	require.InDelta(t, 1, read(false), 0)

	for i := range 4 {
		item := key("q", fmt.Sprint(i))
		item["data"] = text(strings.Repeat("x", 1000))
		putItem(t, client, item)
	}
	out, err := client.Query(t.Context(), &dynamodb.QueryInput{
		TableName: new("sessions"), KeyConditionExpression: new("pk = :p"), ExpressionAttributeValues: attributes{":p": text("q")},
		ConsistentRead: new(true), ReturnConsumedCapacity: total,
	})
	require.NoError(t, err)
	require.EqualValues(t, 4, out.ScannedCount)
	require.InDelta(t, 1, *out.ConsumedCapacity.CapacityUnits, 0, "a query rounds the sum up, not each item")
}

func TestDynamoDBRefusesBadRequests(t *testing.T) {
	_, client := newTable(t)
	putItem(t, client, key("p", "s"))
	put := func(item attributes, condition string, names map[string]string) error {
		in := &dynamodb.PutItemInput{TableName: new("sessions"), Item: item, ExpressionAttributeNames: names}
		if condition != "" {
			in.ConditionExpression = &condition
		}
		_, err := client.PutItem(t.Context(), in)
		return err
	}
	query := func(condition string) error {
		_, err := client.Query(t.Context(), &dynamodb.QueryInput{
			TableName: new("sessions"), KeyConditionExpression: &condition, ExpressionAttributeValues: attributes{":p": text("p")},
		})
		return err
	}
	large := key("p", "t")
	large["data"] = text(strings.Repeat("x", 400<<10))
	_, extraKey := client.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: new("sessions"), Key: attributes{"pk": text("p"), "sk": text("s"), "note": text("x")},
	})
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"a key with another attribute", extraKey, "3 attributes"},
		{"no sort key", put(attributes{"pk": text("p")}, "", nil), "sk"},
		{"an empty key", put(key("", "s"), "", nil), "0 bytes"},
		{"a key of another type", put(attributes{"pk": text("p"), "sk": &types.AttributeValueMemberN{Value: "1"}}, "", nil), `"N"`},
		{"a number that is none", put(attributes{"pk": text("p"), "sk": text("s"), "n": &types.AttributeValueMemberN{Value: "one"}}, "", nil), "not a number"},
		{"an empty set", put(attributes{"pk": text("p"), "sk": text("s"), "n": &types.AttributeValueMemberSS{Value: []string{}}}, "", nil), ""},
		{"400 KB", put(large, "", nil), "maximum allowed size"},
		{"an unused name", put(key("p", "s"), "attribute_exists(pk)", map[string]string{"#x": "x"}), "#x"},
		{"a name without an expression", put(key("p", "s"), "", map[string]string{"#x": "x"}), "#x"},
		{"an unknown name", put(key("p", "s"), "attribute_exists(#y)", nil), "#y"},
		{"an unknown function", put(key("p", "s"), "size(pk)", nil), "size"},
		{"a reserved name", put(key("p", "s"), "attribute_exists(name)", nil), "reserved"},
		{"half an expression", put(key("p", "s"), "attribute_exists(pk) AND", nil), "operand"},
		{"no parenthesis", put(key("p", "s"), "(attribute_exists(pk)", nil), "no )"},
		{"an odd character", put(key("p", "s"), "attribute_exists(pk) !", nil), "character"},
		{"two expressions", put(key("p", "s"), "attribute_exists(pk) attribute_exists(sk)", nil), "after its end"},
		{"a query without a partition", query("sk = :p"), "pk"},
		{"a query of a range of partitions", query("pk > :p"), "not supported"},
		{"a query of another attribute", query("pk = :p AND note = :p"), "not supported"},
		{"a query of two partitions", query("pk = :p OR pk = :p"), "not supported"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, "ValidationException", code(t, tt.err))
			require.ErrorContains(t, tt.err, tt.want)
		})
	}
}

func TestDynamoDBNumbersThatAreEqualAreOneKey(t *testing.T) {
	client := awsfake.NewDynamoDB().Client()
	create := sessions()
	create.AttributeDefinitions[1].AttributeType = types.ScalarAttributeTypeN
	_, err := client.CreateTable(t.Context(), create)
	require.NoError(t, err)
	number := func(n string) attributes {
		return attributes{"pk": text("p"), "sk": &types.AttributeValueMemberN{Value: n}}
	}
	for _, n := range []string{"10", "9", "9.0", "9.001", "-1"} {
		putItem(t, client, number(n))
	}
	out, err := client.Query(t.Context(), &dynamodb.QueryInput{
		TableName: new("sessions"), KeyConditionExpression: new("pk = :p"), ExpressionAttributeValues: attributes{":p": text("p")},
	})
	require.NoError(t, err)
	require.Equal(t, []map[string]types.AttributeValue{number("-1"), number("9.0"), number("9.001"), number("10")}, out.Items)
}

// The client compares the checksum when it closes the answer, and only logs a
// difference, so it cannot tell whether the fake's is right.
func TestDynamoDBAnswersCarryTheirChecksum(t *testing.T) {
	fake, client := newTable(t)
	fake.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		data := answer.Body.Bytes()
		require.Equal(t, fmt.Sprint(crc32.ChecksumIEEE(data)), answer.Header().Get("X-Amz-Crc32"))
		_, err := w.Write(data)
		require.NoError(t, err)
		return true
	})
	_, err := client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: new("sessions")})
	require.NoError(t, err)
	_, err = client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: new("gone")})
	require.Equal(t, "ResourceNotFoundException", code(t, err))
}

func TestDynamoDBPutsBackWhatASnapshotHolds(t *testing.T) {
	fake, client := newTable(t)
	putItem(t, client, attributes{"pk": text("p"), "sk": text("a"), "v": text("1")})
	before, err := fake.Items("sessions")
	require.NoError(t, err)
	require.Len(t, before, 1)
	restore := fake.Snapshot()
	for range 2 {
		putItem(t, client, attributes{"pk": text("p"), "sk": text("a"), "v": text("2")})
		putItem(t, client, key("p", "b"))
		after, err := fake.Items("sessions")
		require.NoError(t, err)
		require.Len(t, after, 2)
		require.NotEqual(t, before[0], after[0])
		restore()
		again, err := fake.Items("sessions")
		require.NoError(t, err)
		require.Equal(t, before, again)
	}
	_, err = fake.Items("nowhere")
	require.Error(t, err)
}
