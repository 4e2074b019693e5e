package dynamomemory

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/fault"
)

var update = flag.Bool("update", false, "write the golden files")

// tableKinds are each described in every language.
func tableKinds() map[string]*TableOptions {
	const key = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
	return map[string]*TableOptions{
		"single":    nil,
		"encrypted": {KMSKey: key, DeletionProtection: true, NoLSI: true},
		"eventual": {
			DeletionProtection: true,
			Replicas:           []Replica{{Region: "us-east-1"}, {Region: "eu-west-1"}},
		},
		"eventual-encrypted": {
			Replicas: []Replica{{"us-east-1", key}, {"eu-west-1", strings.ReplaceAll(key, "us-east-1", "eu-west-1")}},
		},
		"strong": {
			Consistency: Strong, NoLSI: true, NoTTL: true, KMSKey: awsManagedKey,
			Replicas: []Replica{{Region: "us-east-1"}, {Region: "us-east-2"}, {Region: "us-west-2"}},
		},
		"strong-witness": {
			Consistency: Strong, NoLSI: true, NoTTL: true, NoRecovery: true,
			Replicas: []Replica{{Region: "eu-west-1"}, {Region: "eu-central-1"}}, Witness: "eu-west-3",
		},
	}
}

func TestDescriptionsAreAsTheyWere(t *testing.T) {
	for name, opts := range tableKinds() {
		for format, suffix := range map[Format]string{CloudFormationYAML: ".yaml", CloudFormationJSON: ".json", Terraform: ".tf"} {
			path := filepath.Join("testdata", "table-"+name+suffix)
			t.Run(path, func(t *testing.T) {
				got, err := Describe(format, "conversations", opts)
				require.NoError(t, err)
				if *update {
					require.NoError(t, os.MkdirAll("testdata", 0o755))
					require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
				}
				want, err := os.ReadFile(path)
				require.NoError(t, err)
				require.Equal(t, string(want), got)
			})
		}
	}
}

// properties decodes a description.
func properties(t *testing.T, opts *TableOptions) (kind string, p map[string]any) {
	text, err := Describe(CloudFormationJSON, "conversations", opts)
	require.NoError(t, err)
	var template struct {
		Resources map[string]struct {
			Type           string
			DeletionPolicy string
			Properties     map[string]any
		}
	}
	require.NoError(t, json.Unmarshal([]byte(text), &template))
	require.Len(t, template.Resources, 1)
	resource := template.Resources["Conversations"]
	require.Equal(t, "Retain", resource.DeletionPolicy)
	return resource.Type, resource.Properties
}

func TestAStrongTableHasNeitherLocalIndexNorExpiryNorStream(t *testing.T) {
	kind, p := properties(t, tableKinds()["strong"])
	require.Equal(t, "AWS::DynamoDB::GlobalTable", kind)
	require.Equal(t, "STRONG", p["MultiRegionConsistency"])
	require.Len(t, p["Replicas"], 3)
	for _, absent := range []string{"LocalSecondaryIndexes", "TimeToLiveSpecification", "StreamSpecification"} {
		require.NotContains(t, p, absent)
	}
	require.Len(t, p["AttributeDefinitions"], 4, "an attribute that no key has is refused")
}

func TestAnEventualTableHasWhatReplicationReads(t *testing.T) {
	kind, p := properties(t, tableKinds()["eventual"])
	require.Equal(t, "AWS::DynamoDB::GlobalTable", kind)
	require.Contains(t, p, "StreamSpecification")
	require.NotContains(t, p, "PointInTimeRecoverySpecification", "which is a setting of replicas")
	for _, r := range p["Replicas"].([]any) {
		require.Contains(t, r, "PointInTimeRecoverySpecification")
		require.Equal(t, true, r.(map[string]any)["DeletionProtectionEnabled"])
	}
}

// The description and EnsureTable must mean one table: what is described is read
// back as what DynamoDB would tell of it.
func TestEnsureTableFindsNothingWrongWithWhatIsDescribed(t *testing.T) {
	for name, opts := range tableKinds() {
		t.Run(name, func(t *testing.T) {
			_, p := properties(t, opts)
			given := opts.WithDefaults()
			want := given.createInput("conversations")
			decode := func(name string, into any) {
				data, err := json.Marshal(p[name])
				require.NoError(t, err)
				require.NoError(t, json.Unmarshal(data, into))
			}
			made := *want
			made.KeySchema, made.AttributeDefinitions, made.GlobalSecondaryIndexes, made.LocalSecondaryIndexes = nil, nil, nil, nil
			decode("KeySchema", &made.KeySchema)
			decode("AttributeDefinitions", &made.AttributeDefinitions)
			decode("GlobalSecondaryIndexes", &made.GlobalSecondaryIndexes)
			decode("LocalSecondaryIndexes", &made.LocalSecondaryIndexes)
			plane := existing(opts)
			replicas, witnesses := plane.table.Replicas, plane.table.GlobalTableWitnesses
			consistency := plane.table.MultiRegionConsistency
			plane.table = described(&made)
			plane.table.Replicas, plane.table.GlobalTableWitnesses, plane.table.MultiRegionConsistency = replicas, witnesses, consistency
			report, err := EnsureTable(t.Context(), plane, "conversations", opts)
			require.NoError(t, err)
			require.Empty(t, report.Enabled)
		})
	}
}

func TestNamesCannotBreakOutOfADescription(t *testing.T) {
	opts := &TableOptions{Schema: Schema{TTL: `a"${x} %{y} 'z': # é`}}
	tf, err := Describe(Terraform, "conversations", opts)
	require.NoError(t, err)
	require.Contains(t, tf, `attribute_name = "a\"$${x} %%{y} 'z': # é"`)
	yaml, err := Describe(CloudFormationYAML, "conversations", opts)
	require.NoError(t, err)
	require.Contains(t, yaml, `AttributeName: "a\"${x} %{y} 'z': # é"`)
}

func TestTerraformTakesTheARNOfAKey(t *testing.T) {
	_, err := Describe(Terraform, "conversations", &TableOptions{KMSKey: "alias/ours"})
	require.ErrorIs(t, err, fault.Invalid)
	_, err = Describe(Format(9), "conversations", nil)
	require.ErrorIs(t, err, fault.Invalid)
}
