package dynamomemory

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/genaistore/genaistore/internal/fault"
)

// A Drift is one way in which a table differs from what is wanted.
type Drift struct {
	Field      string // such as "key schema", "index byIntent" or "TTL"
	Want, Have string
	Remedy     string // what would end it
}

func (d Drift) String() string {
	return fmt.Sprintf("%s: have %s, want %s; %s", d.Field, d.Have, d.Want, d.Remedy)
}

// A DriftError is a table that differs from what is wanted. It matches
// memory.ErrConflict.
type DriftError struct {
	Table string
	Drift []Drift // at least one
}

func (e *DriftError) Error() string {
	lines := make([]string, 0, len(e.Drift))
	for _, d := range e.Drift {
		lines = append(lines, d.String())
	}
	return fmt.Sprintf("%v: the table differs: %s", fault.Conflict, strings.Join(lines, "; "))
}

// Unwrap makes the error match memory.ErrConflict.
func (*DriftError) Unwrap() error { return fault.Conflict }

func (e *ensurer) drift(field, want, have, remedy string) {
	e.report.Drift = append(e.report.Drift, Drift{Field: field, Want: want, Have: have, Remedy: remedy})
}

// compare notes how a table differs from what is wanted.
func (e *ensurer) compare(found *types.TableDescription) {
	kinds := map[string]types.ScalarAttributeType{}
	for _, a := range found.AttributeDefinitions {
		kinds[value(a.AttributeName)] = a.AttributeType
	}
	want := e.opts.createInput(e.table)
	wanted := map[string]types.ScalarAttributeType{}
	for _, a := range want.AttributeDefinitions {
		wanted[*a.AttributeName] = a.AttributeType
	}
	if w, h := keyText(want.KeySchema, wanted), keyText(found.KeySchema, kinds); w != h {
		e.drift("key schema", w, h, "no key can be changed: use another table, or a Schema with its names")
	}

	var global, local []index
	for _, i := range found.GlobalSecondaryIndexes {
		global = append(global, index{value(i.IndexName), keyText(i.KeySchema, kinds), projectionText(i.Projection), i.IndexStatus})
	}
	for _, i := range found.LocalSecondaryIndexes {
		local = append(local, index{value(i.IndexName), keyText(i.KeySchema, kinds), projectionText(i.Projection), ""})
	}
	for _, i := range want.GlobalSecondaryIndexes {
		e.compareIndex(index{*i.IndexName, keyText(i.KeySchema, wanted), projectionText(i.Projection), ""}, global,
			"add it with UpdateTable, after deleting one of its name")
	}
	for _, i := range want.LocalSecondaryIndexes {
		e.compareIndex(index{*i.IndexName, keyText(i.KeySchema, wanted), projectionText(i.Projection), ""}, local,
			"a local index can only be made at the creation of its table: make a new table, or set NoLSI")
	}
	e.compareSettings(found)
	e.compareReplicas(found)
}

func (e *ensurer) compareSettings(found *types.TableDescription) {
	mode := types.BillingModeProvisioned // which DynamoDB does not say
	if found.BillingModeSummary != nil {
		mode = found.BillingModeSummary.BillingMode
	}
	if mode != types.BillingModePayPerRequest {
		e.drift("billing", string(types.BillingModePayPerRequest), string(mode), "UpdateTable changes it, once in 24 hours")
	}
	if e.opts.DeletionProtection && !value(found.DeletionProtectionEnabled) {
		e.drift("deletion protection", "on", off, "UpdateTable turns it on")
	}
	if e.opts.KMSKey == "" {
		return
	}
	sse := value(found.SSEDescription)
	switch {
	case sse.SSEType != types.SSETypeKms:
		e.drift("encryption", "KMS key "+e.opts.KMSKey, "DynamoDB's own key", "UpdateTable changes it")
	case isAlias(e.opts.KMSKey):
		e.report.Unchecked = append(e.report.Unchecked, fmt.Sprintf(
			"encryption: which key %s names is known to KMS alone; the table has %s", e.opts.KMSKey, value(sse.KMSMasterKeyArn)))
	case !sameKey(value(sse.KMSMasterKeyArn), e.opts.KMSKey):
		e.drift("encryption", "KMS key "+e.opts.KMSKey, "KMS key "+value(sse.KMSMasterKeyArn), "UpdateTable changes it")
	}
}

func (e *ensurer) compareReplicas(found *types.TableDescription) {
	if len(e.opts.Replicas) == 0 {
		return
	}
	const remedy = "deploy the description of the table"
	want, have := e.opts.regions(), []string{}
	for _, r := range found.Replicas {
		have = append(have, value(r.RegionName))
	}
	slices.Sort(want)
	slices.Sort(have)
	if !subset(want, have) {
		e.drift("replicas", strings.Join(want, " "), listText(have), remedy)
		return
	}
	consistency := Eventual.String() // which DynamoDB need not say
	if found.MultiRegionConsistency != "" {
		consistency = string(found.MultiRegionConsistency)
	}
	if consistency != e.opts.Consistency.String() {
		e.drift("consistency", e.opts.Consistency.String(), consistency, "the mode of a global table cannot be changed: make a new one")
	}
	if e.opts.Witness != "" {
		var witnesses []string
		for _, w := range found.GlobalTableWitnesses {
			witnesses = append(witnesses, value(w.RegionName))
		}
		if !slices.Contains(witnesses, e.opts.Witness) {
			e.drift("witness", e.opts.Witness, listText(witnesses), remedy)
		}
	}
}

// index is what is compared of an index of either kind.
type index struct {
	name, keys, projection string
	status                 types.IndexStatus
}

func (e *ensurer) compareIndex(want index, have []index, remedy string) {
	field := "index " + want.name
	at := slices.IndexFunc(have, func(i index) bool { return i.name == want.name })
	if at < 0 {
		e.drift(field, want.keys, "none", remedy)
		return
	}
	if have[at].keys != want.keys {
		e.drift(field, want.keys, have[at].keys, remedy)
	}
	if have[at].projection != want.projection {
		e.drift(field+" projection", want.projection, have[at].projection, remedy)
	}
	if have[at].status == types.IndexStatusDeleting {
		e.drift(field+" status", string(types.IndexStatusActive), string(have[at].status), "wait until it is gone, then add it with UpdateTable")
	}
}

func keyText(schema []types.KeySchemaElement, kinds map[string]types.ScalarAttributeType) string {
	var parts []string
	for _, element := range schema {
		name := value(element.AttributeName)
		parts = append(parts, fmt.Sprintf("%s %s (%s)", element.KeyType, name, kinds[name]))
	}
	return strings.Join(parts, ", ")
}

func projectionText(p *types.Projection) string {
	if p == nil {
		return "none"
	}
	if len(p.NonKeyAttributes) == 0 {
		return string(p.ProjectionType)
	}
	return fmt.Sprintf("%s %s", p.ProjectionType, strings.Join(p.NonKeyAttributes, " "))
}

func listText(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, " ")
}

func subset(part, whole []string) bool {
	return !slices.ContainsFunc(part, func(s string) bool { return !slices.Contains(whole, s) })
}

func isAlias(key string) bool {
	return strings.HasPrefix(key, "alias/") || strings.Contains(key, ":alias/")
}

// sameKey compares the ARN of a key with an ARN or an id.
func sameKey(arn, key string) bool {
	return arn == key || strings.HasSuffix(arn, ":key/"+key)
}

// createInput is the table in the words of DynamoDB, and what others are compared
// with.
func (o *TableOptions) createInput(table string) *dynamodb.CreateTableInput {
	s := &o.Schema
	all := &types.Projection{ProjectionType: types.ProjectionTypeAll}
	in := &dynamodb.CreateTableInput{
		TableName:   &table,
		BillingMode: types.BillingModePayPerRequest,
		KeySchema:   keySchema(s.PartitionKey, s.SortKey),
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: &s.PartitionKey, AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: &s.SortKey, AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: &s.IntentKey, AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: &s.IntentSort, AttributeType: types.ScalarAttributeTypeS},
		},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName: &s.IntentIndex, KeySchema: keySchema(s.IntentKey, s.IntentSort), Projection: all,
		}},
	}
	if !o.NoLSI {
		in.AttributeDefinitions = append(in.AttributeDefinitions,
			types.AttributeDefinition{AttributeName: &s.Sentiment, AttributeType: types.ScalarAttributeTypeN})
		in.LocalSecondaryIndexes = []types.LocalSecondaryIndex{{
			IndexName: &s.SentimentIndex, KeySchema: keySchema(s.PartitionKey, s.Sentiment), Projection: all,
		}}
	}
	if o.DeletionProtection {
		in.DeletionProtectionEnabled = new(true)
	}
	if o.KMSKey != "" {
		in.SSESpecification = &types.SSESpecification{Enabled: new(true), SSEType: types.SSETypeKms}
		if o.KMSKey != awsManagedKey { // which DynamoDB refuses to be named
			in.SSESpecification.KMSMasterKeyId = &o.KMSKey
		}
	}
	return in
}

func keySchema(hash, sort string) []types.KeySchemaElement {
	return []types.KeySchemaElement{
		{AttributeName: &hash, KeyType: types.KeyTypeHash},
		{AttributeName: &sort, KeyType: types.KeyTypeRange},
	}
}
