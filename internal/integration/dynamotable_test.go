package integration

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/integration/servers"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

// onDynamoDB runs a test on every server that has tables.
func onDynamoDB(t *testing.T, run func(t *testing.T, client *dynamodb.Client, name servers.Name)) {
	t.Run(string(servers.NameDynamoDBLocal), func(t *testing.T) { run(t, servers.DynamoDBLocal(t), servers.NameDynamoDBLocal) })
	t.Run(string(servers.NameMoto), func(t *testing.T) {
		run(t, dynamodb.NewFromConfig(servers.Moto(t), func(o *dynamodb.Options) { o.HTTPClient = &oneByOne{next: o.HTTPClient} }), servers.NameMoto)
	})
}

// oneByOne has one request under way. A transaction that fails on moto puts back the
// tables as they were when it began, and so loses what others have written meanwhile.
type oneByOne struct {
	mu   sync.Mutex
	next dynamodb.HTTPClient
}

func (o *oneByOne) Do(r *http.Request) (*http.Response, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.next.Do(r)
}

// ownTable is a name whose table is deleted when the test ends, if there is one.
func ownTable(t *testing.T, client *dynamodb.Client) string {
	name := servers.Unique(t, "table")
	t.Cleanup(func() {
		_, err := client.DeleteTable(contextAfter(t), &dynamodb.DeleteTableInput{TableName: &name})
		if _, absent := errors.AsType[*types.ResourceNotFoundException](err); err != nil && !absent {
			t.Errorf("table %s is left: %v", name, err)
		}
	})
	return name
}

// lacksRecovery is whether a server does not know point-in-time recovery.
func lacksRecovery(name servers.Name) bool {
	_, lacks := servers.Lacks(name, servers.PointInTimeRecovery)
	return lacks
}

func TestATableIsMadeAndFoundAsItWasMade(t *testing.T) {
	onDynamoDB(t, func(t *testing.T, client *dynamodb.Client, server servers.Name) {
		table := ownTable(t, client)
		_, err := dynamomemory.EnsureTable(t.Context(), client, table, &dynamomemory.TableOptions{CheckOnly: true})
		require.ErrorIs(t, err, memory.ErrNotFound)

		made, err := dynamomemory.EnsureTable(t.Context(), client, table, nil)
		require.NoError(t, err)
		require.True(t, made.Created)
		require.Contains(t, made.Enabled, "TTL")
		require.Contains(t, made.ARN, table)
		recovery := !lacksRecovery(server) || servers.OnAWS(t)
		require.Equal(t, recovery, slices.Contains(made.Enabled, "point-in-time recovery"))
		require.Equal(t, !recovery, len(made.Unchecked) == 1, "%q", made.Unchecked)

		for _, opts := range []*dynamomemory.TableOptions{nil, {CheckOnly: true}, {NoLSI: true, NoTTL: true, NoRecovery: true}} {
			again, err := dynamomemory.EnsureTable(t.Context(), client, table, opts)
			require.NoError(t, err)
			require.False(t, again.Created)
			require.Empty(t, again.Enabled)
			require.Empty(t, again.Drift)
		}
		d, err := client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &table})
		require.NoError(t, err)
		require.Equal(t, types.BillingModePayPerRequest, d.Table.BillingModeSummary.BillingMode)
		require.Len(t, d.Table.GlobalSecondaryIndexes, 1)
		require.Len(t, d.Table.LocalSecondaryIndexes, 1)
		ttl, err := client.DescribeTimeToLive(t.Context(), &dynamodb.DescribeTimeToLiveInput{TableName: &table})
		require.NoError(t, err)
		require.Equal(t, "exp", *ttl.TimeToLiveDescription.AttributeName)
	})
}

func TestManyProcessesMakeOneTable(t *testing.T) {
	onDynamoDB(t, func(t *testing.T, client *dynamodb.Client, _ servers.Name) {
		table := ownTable(t, client)
		reports, errs := make([]dynamomemory.TableReport, 8), make([]error, 8)
		var wg sync.WaitGroup
		for i := range reports {
			wg.Go(func() { reports[i], errs[i] = dynamomemory.EnsureTable(t.Context(), client, table, nil) })
		}
		wg.Wait()
		require.NoError(t, errors.Join(errs...))
		created := 0
		for _, r := range reports {
			if r.Created {
				created++
			}
		}
		require.Equal(t, 1, created)
		_, err := dynamomemory.EnsureTable(t.Context(), client, table, &dynamomemory.TableOptions{CheckOnly: true})
		require.NoError(t, err)
	})
}

func TestATableOfOthersIsLeftAlone(t *testing.T) {
	onDynamoDB(t, func(t *testing.T, client *dynamodb.Client, server servers.Name) {
		table := ownTable(t, client)
		_, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
			TableName: &table,
			AttributeDefinitions: []types.AttributeDefinition{
				{AttributeName: new("id"), AttributeType: types.ScalarAttributeTypeN},
			},
			KeySchema:             []types.KeySchemaElement{{AttributeName: new("id"), KeyType: types.KeyTypeHash}},
			ProvisionedThroughput: &types.ProvisionedThroughput{ReadCapacityUnits: new(int64(5)), WriteCapacityUnits: new(int64(5))},
		})
		require.NoError(t, err)
		_, err = dynamomemory.EnsureTable(t.Context(), client, table, &dynamomemory.TableOptions{Wait: time.Minute})
		require.ErrorIs(t, err, memory.ErrConflict)
		drifted, ok := errors.AsType[*dynamomemory.DriftError](err)
		require.True(t, ok)
		var fields []string
		for _, d := range drifted.Drift {
			fields = append(fields, d.Field)
		}
		want := []string{"key schema", "index byIntent", "index bySentiment", "billing", "TTL"}
		if !lacksRecovery(server) || servers.OnAWS(t) {
			want = append(want, "point-in-time recovery")
		}
		require.Equal(t, want, fields)
		ttl, err := client.DescribeTimeToLive(t.Context(), &dynamodb.DescribeTimeToLiveInput{TableName: &table})
		require.NoError(t, err)
		require.Equal(t, types.TimeToLiveStatusDisabled, ttl.TimeToLiveDescription.TimeToLiveStatus)
	})
}

func TestSettingsAreMadeAndTurnedOn(t *testing.T) {
	onDynamoDB(t, func(t *testing.T, client *dynamodb.Client, server servers.Name) {
		bare := &dynamomemory.TableOptions{NoTTL: true, NoRecovery: true, NoLSI: true}
		table := ownTable(t, client)
		_, err := dynamomemory.EnsureTable(t.Context(), client, table, bare)
		require.NoError(t, err)
		full := &dynamomemory.TableOptions{NoLSI: true}
		report, err := dynamomemory.EnsureTable(t.Context(), client, table, full)
		require.NoError(t, err)
		require.False(t, report.Created)
		require.Contains(t, report.Enabled, "TTL")

		_, err = dynamomemory.EnsureTable(t.Context(), client, table, &dynamomemory.TableOptions{Schema: dynamomemory.Schema{TTL: "expires"}, NoLSI: true})
		require.ErrorContains(t, err, "TTL: have on, attribute exp, want on, attribute expires")
		_, err = dynamomemory.EnsureTable(t.Context(), client, table, nil)
		require.ErrorContains(t, err, "a local index can only be made at the creation of its table")

		if server == servers.NameMoto && !servers.OnAWS(t) { // which keeps these settings without meaning them
			guarded := &dynamomemory.TableOptions{DeletionProtection: true, KMSKey: "alias/aws/dynamodb"}
			_, err = dynamomemory.EnsureTable(t.Context(), client, table, &dynamomemory.TableOptions{NoLSI: true, DeletionProtection: true})
			require.ErrorContains(t, err, "deletion protection: have off, want on")
			second := servers.Unique(t, "table")
			_, err = dynamomemory.EnsureTable(t.Context(), client, second, guarded)
			require.NoError(t, err)
			_, err = client.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: &second})
			require.Error(t, err, "it is protected")
		}
	})
}

// The descriptions of the golden files, in the eyes of who knows CloudFormation.
func TestTheDescriptionsAreValidCloudFormation(t *testing.T) {
	golden := filepath.Join("..", "..", "memory", "dynamomemory", "testdata")
	check := func(files ...string) (string, error) { return lintTemplates(t, files...) }
	var files []string
	for _, pattern := range []string{"table-*.yaml", "table-*.json"} {
		found, err := filepath.Glob(filepath.Join(golden, pattern))
		require.NoError(t, err)
		files = append(files, found...)
	}
	require.Len(t, files, 12)
	out, err := check(files...)
	require.NoError(t, err, out)

	// That it would notice:
	bad, err := dynamomemory.Describe(dynamomemory.CloudFormationYAML, "conversations", nil)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "bad.yaml")
	require.NoError(t, os.WriteFile(path, []byte(bad+"    Bad: {Type: AWS::DynamoDB::Table}\n"), 0o644))
	_, err = check(path)
	require.Error(t, err)
}

// The templates of the examples, with the policies that the packages generate.
func TestTheTemplatesOfTheExamplesAreValidCloudFormation(t *testing.T) {
	examples := filepath.Join("..", "..", "examples")
	lambda := filepath.Join(examples, "lambda", "template.json")
	out, err := lintTemplates(t, lambda, filepath.Join(examples, "stepfunctions", "template.json"))
	require.NoError(t, err, out)

	// That it would notice a role that nothing makes:
	text, err := os.ReadFile(lambda)
	require.NoError(t, err)
	bad := filepath.Join(t.TempDir(), "bad.json")
	require.NoError(t, os.WriteFile(bad, bytes.Replace(text, []byte("Role\",\n"), []byte("Roll\",\n"), 1), 0o644))
	_, err = lintTemplates(t, bad)
	require.Error(t, err)
}

// lintTemplates returns what cfn-lint says of templates, and an error if that is not nothing.
func lintTemplates(t *testing.T, files ...string) (string, error) {
	t.Helper()
	args := append([]string{"-c", "from cfnlint import runner; runner.main()", "--include-checks", "W", "--regions", "us-east-1", "--"}, files...)
	out, err := servers.Python(t, servers.NameCFNLint, args...).CombinedOutput()
	return string(out), err
}
