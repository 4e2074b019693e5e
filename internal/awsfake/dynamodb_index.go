package awsfake

import (
	"math"
	"slices"
)

type indexDefinition struct {
	IndexName             string
	KeySchema             []keyElement
	Projection            struct{ ProjectionType string }
	ProvisionedThroughput *struct{ ReadCapacityUnits, WriteCapacityUnits int64 } `json:",omitempty"`
}

// A secondaryIndex holds the items of its table that have its key attributes.
type secondaryIndex struct {
	hash, sort string
	global     bool
}

func keysOf(schema []keyElement) (hash, sort string, err error) {
	for i, element := range schema {
		switch {
		case i == 0 && element.KeyType == "HASH":
			hash = element.AttributeName
		case i == 1 && element.KeyType == "RANGE":
			sort = element.AttributeName
		default:
			return "", "", invalid("Invalid KeySchema: a HASH key, then at most one RANGE key")
		}
	}
	if hash == "" {
		return "", "", invalid("Invalid KeySchema: there is no HASH key")
	}
	return hash, sort, nil
}

func (t *table) makeIndexes() error {
	t.indexes = map[string]secondaryIndex{}
	for i, defined := range slices.Concat(t.definition.GlobalSecondaryIndexes, t.definition.LocalSecondaryIndexes) {
		hash, sort, err := keysOf(defined.KeySchema)
		if err != nil {
			return err
		}
		global := i < len(t.definition.GlobalSecondaryIndexes)
		if _, ok := t.indexes[defined.IndexName]; ok || defined.IndexName == "" {
			return invalid("Duplicate index name: %s", defined.IndexName)
		}
		if defined.Projection.ProjectionType != "ALL" {
			return invalid("the fake projects ALL, not %s", defined.Projection.ProjectionType)
		}
		if !global && (hash != t.hash || sort == "") {
			return invalid("Local Secondary indices must have the hash key of the table and a range key: %s", defined.IndexName)
		}
		t.indexes[defined.IndexName] = secondaryIndex{hash, sort, global}
	}
	return nil
}

func (t *table) indexKeys() (names []string) {
	for _, x := range t.indexes {
		names = append(names, x.hash)
		if x.sort != "" {
			names = append(names, x.sort)
		}
	}
	return names
}

func (x secondaryIndex) holds(it item) bool {
	_, hash := it[x.hash]
	_, sort := it[x.sort]
	return it != nil && hash && (sort || x.sort == "")
}

// checkIndexed refuses what cannot be a key of an index.
func (t *table) checkIndexed(it item) error {
	for _, name := range t.indexKeys() {
		value, ok := it[name]
		if ok && (value.kind() != t.keyType(name) || value.N == nil && value.size() == 0) {
			return invalid("One or more parameter values were invalid: Type mismatch or empty value for Index Key %s", name)
		}
	}
	return nil
}

// writeUnits is what replacing old by it costs, in the table and its indexes.
func (t *table) writeUnits(old, it item) float64 {
	kilobytes := func(size int) float64 { return math.Ceil(float64(max(size, 1)) / 1024) }
	units := kilobytes(max(old.size(), it.size()))
	for _, x := range t.indexes {
		was, is := x.holds(old), x.holds(it)
		moved := was && is && (!old[x.hash].equal(it[x.hash]) || x.sort != "" && !old[x.sort].equal(it[x.sort]))
		switch {
		case moved:
			units += kilobytes(old.size()) + kilobytes(it.size())
		case was && is && same(old, it):
		case was || is:
			units += kilobytes(max(old.size(), it.size()))
		}
	}
	return units
}

func same(a, b item) bool {
	if len(a) != len(b) {
		return false
	}
	for name, value := range a {
		if other, ok := b[name]; !ok || !value.equal(other) {
			return false
		}
	}
	return true
}

type query struct {
	TableName                 string
	IndexName                 string
	KeyConditionExpression    string
	FilterExpression          string
	ProjectionExpression      string
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues map[string]attribute
	ExclusiveStartKey         item
	ScanIndexForward          *bool
	Limit                     *int
	ConsistentRead            bool
	ReturnConsumedCapacity    string
}
