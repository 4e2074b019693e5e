package awsfake

// The fake of Amazon DynamoDB lacks, and refuses:
//
//   - streams, TTL, tags, backups, and every operation that is not in
//     DynamoDB.operations, such as scans
//   - indexes that do not project all attributes, or that are made after the table
//   - paths into maps and lists in expressions
//   - functions other than attribute_exists, attribute_not_exists, begins_with and,
//     in updates, if_not_exists; ADD and DELETE in updates
//   - the parameters from before expressions (KeyConditions, Expected, ...)
//   - capacity apart for each index: INDEXES is answered as TOTAL
//
// It never throttles, its reads and indexes are always consistent and nothing
// expires: inject those by Intercept. Sizes, and so capacities, are DynamoDB's but for
// numbers, which are within a byte, and for batches of reads, which are charged an item at a time.

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

const (
	maxItem = 400 << 10
	maxPage = 1 << 20
)

// DynamoDB is a fake of Amazon DynamoDB.
type DynamoDB struct {
	Server
	mu     sync.Mutex
	tables map[string]*table
	tokens map[string]string // of transactions, with their requests
}

// NewDynamoDB returns a fake without tables.
func NewDynamoDB() *DynamoDB {
	f := &DynamoDB{tables: map[string]*table{}}
	f.Server = Server{service: "dynamodb", serve: f.handle}
	return f
}

// Client returns a client of the fake.
func (f *DynamoDB) Client(options ...func(*dynamodb.Options)) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{Region: region, HTTPClient: &f.Server, Credentials: aws.CredentialsProviderFunc(retrieve)}, options...)
}

type table struct {
	definition createTable
	hash, sort string // names of the key attributes; sort may be ""
	items      map[string]item
	indexes    map[string]secondaryIndex
}

// operations returns what the fake can do, by the name that requests carry.
func (f *DynamoDB) operations() map[string]func(*http.Request) (any, error) {
	return map[string]func(*http.Request) (any, error){
		"CreateTable":   f.createTable,
		"DescribeTable": f.describeTable,
		"PutItem":       f.putItem,
		"GetItem":       f.getItem,
		"UpdateItem":    f.updateItem,
		"DeleteItem":    f.deleteItem,
		"Query":         f.query,

		"BatchGetItem":       f.batchGetItem,
		"BatchWriteItem":     f.batchWriteItem,
		"TransactGetItems":   f.transactGetItems,
		"TransactWriteItems": f.transactWriteItems,
	}
}

func (f *DynamoDB) handle(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	operation, ok := f.operations()[Operation(r)]
	if !ok {
		Fail(w, r, http.StatusBadRequest, "UnknownOperationException", "the fake does not know "+Operation(r))
		return
	}
	answer, err := operation(r)
	var refused *failure
	var unmet *conditionFailure
	var canceled *cancellation
	switch {
	case err == nil:
		answerDynamoDB(w, http.StatusOK, answer)
	case errors.As(err, &unmet):
		answer := map[string]any{
			"__type":  "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
			"message": "The conditional request failed",
		}
		if unmet.old != nil {
			answer["Item"] = unmet.old
		}
		answerDynamoDB(w, http.StatusBadRequest, answer)
	case errors.As(err, &canceled):
		answerDynamoDB(w, http.StatusBadRequest, map[string]any{
			"__type":              "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
			"message":             "Transaction cancelled, please refer cancellation reasons for specific reasons",
			"CancellationReasons": canceled.reasons,
		})
	case errors.As(err, &refused):
		Fail(w, r, refused.status, refused.code, refused.message)
	default:
		Fail(w, r, http.StatusBadRequest, "SerializationException", err.Error())
	}
}

// answerDynamoDB writes JSON 1.0 with the checksum that the client verifies.
func answerDynamoDB(w http.ResponseWriter, status int, value any) {
	data, err := json.Marshal(value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(data)), 10))
	w.WriteHeader(status)
	w.Write(data)
}

// conditionFailure is a condition that does not hold, with the item that it does
// not hold for if the request asked for that.
type conditionFailure struct{ old item }

func (*conditionFailure) Error() string { return "the conditional request failed" }

type (
	keyElement   struct{ AttributeName, KeyType string }
	keyAttribute struct{ AttributeName, AttributeType string }
	createTable  struct {
		TableName              string
		AttributeDefinitions   []keyAttribute
		KeySchema              []keyElement
		GlobalSecondaryIndexes []indexDefinition `json:",omitempty"`
		LocalSecondaryIndexes  []indexDefinition `json:",omitempty"`
		BillingMode            string
		ProvisionedThroughput  *struct{ ReadCapacityUnits, WriteCapacityUnits int64 } `json:",omitempty"`
	}
)

func (f *DynamoDB) createTable(r *http.Request) (any, error) {
	var in createTable
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if len(in.TableName) < 3 || len(in.TableName) > 255 {
		return nil, invalid("TableName must be at least 3 characters long and at most 255 characters long")
	}
	if _, ok := f.tables[in.TableName]; ok {
		return nil, &failure{http.StatusBadRequest, "ResourceInUseException", "Table already exists: " + in.TableName}
	}
	t := &table{definition: in, items: map[string]item{}}
	var err error
	if t.hash, t.sort, err = keysOf(in.KeySchema); err != nil {
		return nil, err
	}
	if err := t.makeIndexes(); err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for _, name := range append(t.keyNames(), t.indexKeys()...) {
		used[name] = true
	}
	if len(in.AttributeDefinitions) != len(used) {
		return nil, invalid("Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions")
	}
	for name := range used {
		if !slices.Contains([]string{"S", "N", "B"}, t.keyType(name)) {
			return nil, invalid("Some key attributes are not defined in AttributeDefinitions: %s", name)
		}
	}
	f.tables[in.TableName] = t
	return map[string]any{"TableDescription": t.describe()}, nil
}

func (t *table) keyNames() []string {
	if t.sort == "" {
		return []string{t.hash}
	}
	return []string{t.hash, t.sort}
}

// keyType returns S, N or B, or "" for an attribute that is not defined.
func (t *table) keyType(name string) string {
	for _, defined := range t.definition.AttributeDefinitions {
		if defined.AttributeName == name {
			return defined.AttributeType
		}
	}
	return ""
}

func (t *table) describe() any {
	return struct {
		createTable
		TableStatus, TableArn string
		ItemCount             int
		BillingModeSummary    any
	}{
		t.definition, "ACTIVE", fmt.Sprintf("arn:aws:dynamodb:%s:%s:table/%s", region, account, t.definition.TableName),
		len(t.items),
		map[string]string{"BillingMode": t.definition.BillingMode},
	}
}

func (f *DynamoDB) describeTable(r *http.Request) (any, error) {
	var in struct{ TableName string }
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	t, err := f.table(in.TableName)
	if err != nil {
		return nil, err
	}
	return map[string]any{"Table": t.describe()}, nil
}

func (f *DynamoDB) table(name string) (*table, error) {
	t, ok := f.tables[name]
	if !ok {
		return nil, &failure{http.StatusBadRequest, "ResourceNotFoundException", "Requested resource not found: Table: " + name + " not found"}
	}
	return t, nil
}

// key returns the text that stands for the key attributes of it, which must be
// there, of the right type and not empty.
func (t *table) key(it item) (string, error) {
	var key strings.Builder
	for i, name := range t.keyNames() {
		value := it[name]
		if value.kind() != t.keyType(name) {
			return "", invalid("The provided key element does not match the schema: %s is %q, want %q", name, value.kind(), t.keyType(name))
		}
		size, limit := value.size(), []int{2048, 1024}[i]
		if value.N == nil && (size == 0 || size > limit) {
			return "", invalid("One or more parameter values are not valid: key %s has %d bytes, want 1 to %d", name, size, limit)
		}
		text := fmt.Sprint(value.value())
		if number, ok := new(big.Rat).SetString(text); ok && value.N != nil {
			text = number.RatString() // 1 and 1.0 are one key
		}
		fmt.Fprintf(&key, "%d:%s", len(text), text)
	}
	return key.String(), nil
}

// keyOnly checks that key has the key attributes and nothing else.
func (t *table) keyOnly(key item) (string, error) {
	if len(key) != len(t.keyNames()) {
		return "", invalid("The provided key element does not match the schema: it has %d attributes, want %d", len(key), len(t.keyNames()))
	}
	return t.key(key)
}

// readUnits is what reading size bytes costs.
func readUnits(size int, consistent bool) float64 {
	units := math.Ceil(float64(max(size, 1)) / 4096)
	if consistent {
		return units
	}
	return units / 2
}

func (f *DynamoDB) getItem(r *http.Request) (any, error) {
	var in struct {
		TableName              string
		Key                    item
		ConsistentRead         bool
		ReturnConsumedCapacity string
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	t, err := f.table(in.TableName)
	if err != nil {
		return nil, err
	}
	key, err := t.keyOnly(in.Key)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{}
	it, ok := t.items[key]
	if ok {
		answer["Item"] = it
	}
	return charge(answer, in.ReturnConsumedCapacity, in.TableName, readUnits(it.size(), in.ConsistentRead)), nil
}
