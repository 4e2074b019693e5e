package dynamomemory

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"github.com/genaistore/genaistore/internal/fault"
	"github.com/genaistore/genaistore/memory"
)

// Access is what a policy allows.
type Access int

// The kinds of access to a tenant's items.
const (
	// ReadOnly reads. Opening a session finishes the work of a writer that died,
	// which a reader may not do: it then sees the session as that writer left it.
	ReadOnly Access = iota
	// ReadWrite reads, writes and deletes.
	ReadWrite
)

// Policy returns the IAM policy, as JSON, of a role that serves one tenant: the
// calls of [Client] on the table tableARN and its indexes, on the items of that
// tenant alone. The empty tenant is the default one, not all of them.
//
// The tenant is held by the condition key dynamodb:LeadingKeys, which is the
// partition key of the table, or that of an index where one is queried; each
// begins with the tenant. A request without that key is denied, so that no call
// that reads across partitions can pass by it. Behind DAX every caller has the
// role of the cluster, and this policy holds nobody.
//
//   - https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html
//   - https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
//
// Of opts the Schema, NoLSI and KMSKey count. An ARN that is not one of a table,
// or a tenant that is none, is an error that matches memory.ErrInvalid.
func Policy(access Access, tableARN, tenant string, opts *TableOptions) (string, error) {
	table, err := parseTable(tableARN, opts)
	if err != nil {
		return "", fmt.Errorf("policy for %s: %w", tableARN, err)
	}
	if err := (memory.Key{Tenant: tenant}).ValidateScope(); err != nil {
		return "", fmt.Errorf("policy for %s: %w", tableARN, err)
	}
	if access != ReadOnly && access != ReadWrite {
		return "", fmt.Errorf("policy for %s: %w: unknown access %d", tableARN, fault.Invalid, access)
	}
	var onTable, onIndex []string
	for call, allowed := range callPermissions() {
		if allowed.access > access {
			continue
		}
		onTable = append(onTable, allowed.actions...)
		if call == "Query" {
			onIndex = append(onIndex, allowed.actions...)
		}
	}
	given := opts.WithDefaults()
	indexes := []string{tableARN + "/index/" + given.Schema.IntentIndex}
	if !given.NoLSI {
		indexes = append(indexes, tableARN+"/index/"+given.Schema.SentimentIndex)
	}
	own := map[string]any{
		"ForAllValues:StringLike": map[string]any{"dynamodb:LeadingKeys": []string{escapeIAM("T#"+encodePart(tenant)+"#") + "*"}},
		// ForAllValues holds for a request that has no such key at all.
		"Null": map[string]any{"dynamodb:LeadingKeys": "false"},
	}
	statements := []statement{
		{Sid: "Items", Effect: "Allow", Action: sorted(onTable), Resource: []string{tableARN}, Condition: own},
		{Sid: "Indexes", Effect: "Allow", Action: sorted(onIndex), Resource: indexes, Condition: own},
	}
	return document(append(statements, table.keyStatements("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*")...))
}

// AdminPolicy returns the IAM policy, as JSON, of a role that runs [EnsureTable]
// on tableARN: the calls of [AdminClient] and no access to items. A role that
// only checks needs the actions that begin with Describe.
func AdminPolicy(tableARN string, opts *TableOptions) (string, error) {
	table, err := parseTable(tableARN, opts)
	if err != nil {
		return "", fmt.Errorf("admin policy for %s: %w", tableARN, err)
	}
	statements := []statement{{Sid: "Table", Effect: "Allow", Action: sorted(adminActions()), Resource: []string{tableARN}}}
	return document(append(statements, table.keyStatements(
		"kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*")...))
}

// A permission is what IAM asks of who makes a call, and the least access that
// makes it.
type permission struct {
	access  Access
	actions []string
}

// callPermissions has an entry for each call of Client.
func callPermissions() map[string]permission {
	return map[string]permission{
		"GetItem":        {ReadOnly, []string{"dynamodb:GetItem"}},
		"BatchGetItem":   {ReadOnly, []string{"dynamodb:BatchGetItem"}},
		"Query":          {ReadOnly, []string{"dynamodb:Query"}},
		"PutItem":        {ReadWrite, []string{"dynamodb:PutItem"}},
		"UpdateItem":     {ReadWrite, []string{"dynamodb:UpdateItem"}},
		"DeleteItem":     {ReadWrite, []string{"dynamodb:DeleteItem"}},
		"BatchWriteItem": {ReadWrite, []string{"dynamodb:BatchWriteItem"}},
		// A transaction is allowed by its parts; a Store's check nothing that they do
		// not also write.
		"TransactWriteItems": {ReadWrite, []string{"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}},
	}
}

func adminActions() []string {
	return []string{
		"dynamodb:CreateTable", "dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive", "dynamodb:UpdateTimeToLive",
		"dynamodb:DescribeContinuousBackups", "dynamodb:UpdateContinuousBackups",
	}
}

type statement struct {
	Sid       string
	Effect    string
	Action    []string
	Resource  []string
	Condition map[string]any `json:",omitempty"`
}

func document(statements []statement) (string, error) {
	data, err := json.MarshalIndent(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", statements}, "", "  ")
	return string(data), err
}

func sorted(actions []string) []string {
	unique := map[string]bool{}
	for _, a := range actions {
		unique[a] = true
	}
	return slices.Sorted(maps.Keys(unique))
}

// escapeIAM makes a string match itself alone in StringLike and in a resource.
func escapeIAM(s string) string {
	return strings.NewReplacer("*", "${*}", "?", "${?}", "$", "${$}").Replace(s)
}

// aTable is the table that a policy is for.
type aTable struct {
	arn.ARN
	key string // ARN of the KMS key that encrypts it, or ""
}

func parseTable(tableARN string, opts *TableOptions) (aTable, error) {
	parsed, err := arn.Parse(tableARN)
	if err != nil {
		return aTable{}, fmt.Errorf("%w: %w", fault.Invalid, err)
	}
	name, ok := strings.CutPrefix(parsed.Resource, "table/")
	if !ok || parsed.Service != "dynamodb" || !isOwned(parsed) {
		return aTable{}, fmt.Errorf("%w: not the ARN of a table, which is like arn:aws:dynamodb:us-east-1:123456789012:table/name", fault.Invalid)
	}
	if err := validateTable(name, opts); err != nil {
		return aTable{}, err
	}
	table := aTable{ARN: parsed}
	switch key := opts.WithDefaults().KMSKey; {
	case key == "" || key == awsManagedKey: // every principal of the account may use these through DynamoDB
	case !isKeyARN(key):
		return aTable{}, fmt.Errorf("%w: a policy names a key by its ARN, not %q", fault.Invalid, key)
	default:
		table.key = key
	}
	return table, nil
}

// isOwned says whether an ARN has a partition, a Region and an account, and no
// wildcard in them.
func isOwned(a arn.ARN) bool {
	return wholly(a.Partition, lower+digits+"-") && isRegion(a.Region) && len(a.AccountID) == 12 && wholly(a.AccountID, digits)
}

func isKeyARN(key string) bool {
	parsed, err := arn.Parse(key)
	id, ok := strings.CutPrefix(parsed.Resource, "key/")
	return err == nil && ok && parsed.Service == "kms" && isOwned(parsed) && wholly(id, alnum+"-")
}

// keyStatements allow what a customer's key asks of who uses the table, through
// DynamoDB only.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
func (t aTable) keyStatements(actions ...string) []statement {
	if t.key == "" {
		return nil
	}
	suffix := "amazonaws.com"
	if t.Partition == "aws-cn" {
		suffix = "amazonaws.com.cn"
	}
	return []statement{{
		Sid: "Key", Effect: "Allow", Action: actions, Resource: []string{t.key},
		Condition: map[string]any{"StringEquals": map[string]any{"kms:ViaService": "dynamodb." + t.Region + "." + suffix}},
	}}
}
