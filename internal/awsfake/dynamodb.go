package awsfake

// The fake of Amazon DynamoDB lacks, and refuses:
//
//   - secondary indexes, streams, TTL, tags, backups, and every operation that is
//     not in DynamoDB.operations: updates, batches, transactions, scans
//   - projections, and paths into maps and lists in expressions
//   - functions other than attribute_exists, attribute_not_exists and begins_with
//   - the parameters from before expressions (KeyConditions, Expected, ...)
//
// It never throttles and its reads are always consistent: inject those by
// Intercept. Sizes, and so capacities, are DynamoDB's but for numbers, which are
// within a byte.

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
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
}

// operations returns what the fake can do, by the name that requests carry.
func (f *DynamoDB) operations() map[string]func(*http.Request) (any, error) {
	return map[string]func(*http.Request) (any, error){
		"CreateTable":   f.createTable,
		"DescribeTable": f.describeTable,
		"PutItem":       f.putItem,
		"GetItem":       f.getItem,
		"DeleteItem":    f.deleteItem,
		"Query":         f.query,
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
		TableName             string
		AttributeDefinitions  []keyAttribute
		KeySchema             []keyElement
		BillingMode           string
		ProvisionedThroughput *struct{ ReadCapacityUnits, WriteCapacityUnits int64 } `json:",omitempty"`
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
	for i, element := range in.KeySchema {
		switch {
		case i == 0 && element.KeyType == "HASH":
			t.hash = element.AttributeName
		case i == 1 && element.KeyType == "RANGE":
			t.sort = element.AttributeName
		default:
			return nil, invalid("Invalid KeySchema: a HASH key, then at most one RANGE key")
		}
	}
	if t.hash == "" || len(in.AttributeDefinitions) != len(in.KeySchema) {
		return nil, invalid("Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions")
	}
	for _, name := range t.keyNames() {
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

type write struct {
	TableName                           string
	ConditionExpression                 string
	ExpressionAttributeNames            map[string]string
	ExpressionAttributeValues           map[string]attribute
	ReturnConsumedCapacity              string
	ReturnValues                        string
	ReturnValuesOnConditionCheckFailure string
	ReturnItemCollectionMetrics         string
}

func (f *DynamoDB) putItem(r *http.Request) (any, error) {
	var in struct {
		write
		Item item
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	for name, value := range in.Item {
		if err := value.validate(name); err != nil {
			return nil, err
		}
	}
	if in.Item.size() > maxItem {
		return nil, invalid("Item size has exceeded the maximum allowed size")
	}
	t, err := f.table(in.TableName)
	if err != nil {
		return nil, err
	}
	key, err := t.key(in.Item)
	if err != nil {
		return nil, err
	}
	return in.apply(t, key, in.Item)
}

func (f *DynamoDB) deleteItem(r *http.Request) (any, error) {
	var in struct {
		write
		Key item
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
	return in.apply(t, key, nil)
}

// apply replaces the item under key by it, or deletes it if that is nil, if the
// condition holds.
func (in write) apply(t *table, key string, it item) (any, error) {
	old := t.items[key]
	named := newExpressions(in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	if in.ConditionExpression != "" {
		holds, err := named.parse(in.ConditionExpression)
		if err != nil {
			return nil, err
		}
		if err := named.unused(); err != nil {
			return nil, err
		}
		if !holds.holds(old) {
			unmet := &conditionFailure{}
			if in.ReturnValuesOnConditionCheckFailure == "ALL_OLD" {
				unmet.old = old
			}
			return nil, unmet
		}
	} else if err := named.unused(); err != nil {
		return nil, err
	}
	if it == nil {
		delete(t.items, key)
	} else {
		t.items[key] = it
	}
	answer := map[string]any{}
	if in.ReturnValues == "ALL_OLD" && old != nil {
		answer["Attributes"] = old
	}
	units := math.Ceil(float64(max(old.size(), it.size(), 1)) / 1024)
	return charge(answer, in.ReturnConsumedCapacity, in.TableName, units), nil
}

// charge adds the consumed capacity to an answer, if the request asked for it.
func charge(answer map[string]any, asked, table string, units float64) map[string]any {
	if asked == "TOTAL" || asked == "INDEXES" {
		answer["ConsumedCapacity"] = map[string]any{"TableName": table, "CapacityUnits": units}
	}
	return answer
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

type query struct {
	TableName                 string
	KeyConditionExpression    string
	FilterExpression          string
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues map[string]attribute
	ExclusiveStartKey         item
	ScanIndexForward          *bool
	Limit                     *int
	ConsistentRead            bool
	ReturnConsumedCapacity    string
}

func (f *DynamoDB) query(r *http.Request) (any, error) {
	var in query
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	t, err := f.table(in.TableName)
	if err != nil {
		return nil, err
	}
	if in.Limit != nil && *in.Limit < 1 {
		return nil, invalid("Limit must be greater than or equal to 1")
	}
	wanted, filter, err := in.conditions(t)
	if err != nil {
		return nil, err
	}
	forward := in.ScanIndexForward == nil || *in.ScanIndexForward
	selected := t.selected(wanted, forward)
	if in.ExclusiveStartKey != nil {
		if _, err := t.keyOnly(in.ExclusiveStartKey); err != nil {
			return nil, err
		}
		selected = slices.DeleteFunc(selected, func(it item) bool {
			order, _ := it[t.sort].compare(in.ExclusiveStartKey[t.sort])
			return t.sort == "" || forward && order <= 0 || !forward && order >= 0
		})
	}

	// Both limits count what is read, before the filter, and a page that ends
	// exactly at the last item still says that there may be more.
	read, size := 0, 0
	page := []item{}
	more := false
	for _, it := range selected {
		read, size = read+1, size+it.size()
		if filter == nil || filter.holds(it) {
			page = append(page, it)
		}
		if more = in.Limit != nil && read == *in.Limit || size >= maxPage; more {
			break
		}
	}
	answer := map[string]any{"Items": page, "Count": len(page), "ScannedCount": read}
	if more {
		last := maps.Clone(selected[read-1])
		maps.DeleteFunc(last, func(name string, _ attribute) bool { return !slices.Contains(t.keyNames(), name) })
		answer["LastEvaluatedKey"] = last
	}
	return charge(answer, in.ReturnConsumedCapacity, in.TableName, readUnits(size, in.ConsistentRead)), nil
}

// conditions parses the two expressions of a query; filter may be nil.
func (in query) conditions(t *table) (key, filter condition, err error) {
	named := newExpressions(in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	if key, err = named.parse(in.KeyConditionExpression); err != nil {
		return nil, nil, err
	}
	partition, err := keys(key, t.hash, t.sort)
	if err != nil {
		return nil, nil, err
	}
	if partition.kind() != t.keyType(t.hash) {
		return nil, nil, invalid("One or more parameter values were invalid: Condition parameter type does not match schema type")
	}
	if in.FilterExpression != "" {
		if filter, err = named.parse(in.FilterExpression); err != nil {
			return nil, nil, err
		}
	}
	return key, filter, named.unused()
}

// selected returns the items for which c holds, in the order of the sort key.
func (t *table) selected(c condition, forward bool) []item {
	var found []item
	for _, it := range t.items {
		if c.holds(it) {
			found = append(found, it)
		}
	}
	slices.SortFunc(found, func(a, b item) int {
		order, _ := a[t.sort].compare(b[t.sort])
		if forward {
			return order
		}
		return -order
	})
	return found
}
