package dynamomemory

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/fault"
)

func TestDriftIsReportedFieldByFieldAndChangesNothing(t *testing.T) {
	three := []Replica{{Region: "us-east-1"}, {Region: "us-east-2"}, {Region: "us-west-2"}}
	strong := &TableOptions{Replicas: three[:2], Witness: "us-west-2", Consistency: Strong, NoLSI: true, NoTTL: true}
	for name, c := range map[string]struct {
		opts   *TableOptions
		change func(*controlPlane)
		want   []Drift // Remedy is not compared
	}{
		"the partition key is a number": {
			change: func(p *controlPlane) { p.table.AttributeDefinitions[0].AttributeType = types.ScalarAttributeTypeN },
			want: []Drift{
				{Field: "key schema", Want: "HASH pk (S), RANGE sk (S)", Have: "HASH pk (N), RANGE sk (S)"},
				{Field: "index bySentiment", Want: "HASH pk (S), RANGE sen (N)", Have: "HASH pk (N), RANGE sen (N)"},
			},
		},
		"a table without a sort key": {
			change: func(p *controlPlane) { p.table.KeySchema = p.table.KeySchema[:1] },
			want:   []Drift{{Field: "key schema", Want: "HASH pk (S), RANGE sk (S)", Have: "HASH pk (S)"}},
		},
		"no index by intent": {
			change: func(p *controlPlane) { p.table.GlobalSecondaryIndexes = nil },
			want:   []Drift{{Field: "index byIntent", Want: "HASH ik (S), RANGE ir (S)", Have: "none"}},
		},
		"an index by intent that is being deleted": {
			change: func(p *controlPlane) { p.table.GlobalSecondaryIndexes[0].IndexStatus = types.IndexStatusDeleting },
			want:   []Drift{{Field: "index byIntent status", Want: "ACTIVE", Have: "DELETING"}},
		},
		"an index by intent of keys alone": {
			change: func(p *controlPlane) {
				p.table.GlobalSecondaryIndexes[0].Projection = &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly}
			},
			want: []Drift{{Field: "index byIntent projection", Want: "ALL", Have: "KEYS_ONLY"}},
		},
		"no index by sentiment": {
			change: func(p *controlPlane) { p.table.LocalSecondaryIndexes = nil },
			want:   []Drift{{Field: "index bySentiment", Want: "HASH pk (S), RANGE sen (N)", Have: "none"}},
		},
		"an index by sentiment that includes some": {
			change: func(p *controlPlane) {
				p.table.LocalSecondaryIndexes[0].Projection = &types.Projection{ProjectionType: types.ProjectionTypeInclude, NonKeyAttributes: []string{"b"}}
			},
			want: []Drift{{Field: "index bySentiment projection", Want: "ALL", Have: "INCLUDE b"}},
		},
		"provisioned capacity": {
			change: func(p *controlPlane) { p.table.BillingModeSummary = nil },
			want:   []Drift{{Field: "billing", Want: "PAY_PER_REQUEST", Have: "PROVISIONED"}},
		},
		"no deletion protection": {
			opts:   &TableOptions{DeletionProtection: true},
			change: func(p *controlPlane) { p.table.DeletionProtectionEnabled = nil },
			want:   []Drift{{Field: "deletion protection", Want: "on", Have: "off"}},
		},
		"DynamoDB's own key": {
			opts:   &TableOptions{KMSKey: "k-1"},
			change: func(p *controlPlane) { p.table.SSEDescription = nil },
			want:   []Drift{{Field: "encryption", Want: "KMS key k-1", Have: "DynamoDB's own key"}},
		},
		"another key": {
			opts:   &TableOptions{KMSKey: "k-1"},
			change: func(p *controlPlane) { p.table.SSEDescription.KMSMasterKeyArn = new("arn:aws:kms:r:1:key/xk-1") },
			want:   []Drift{{Field: "encryption", Want: "KMS key k-1", Have: "KMS key arn:aws:kms:r:1:key/xk-1"}},
		},
		"expiry of another attribute": {
			change: func(p *controlPlane) { p.ttl.AttributeName = new("expires") },
			want:   []Drift{{Field: "TTL", Want: "on, attribute exp", Have: "on, attribute expires"}},
		},
		"expiry that is being turned off": {
			change: func(p *controlPlane) { p.ttl.TimeToLiveStatus = types.TimeToLiveStatusDisabling },
			want:   []Drift{{Field: "TTL", Want: "on, attribute exp", Have: "being turned off"}},
		},
		"settings that are only checked": {
			opts:   &TableOptions{CheckOnly: true},
			change: func(p *controlPlane) { p.ttl, p.pitr = types.TimeToLiveDescription{}, false },
			want: []Drift{
				{Field: "TTL", Want: "on, attribute exp", Have: "off"},
				{Field: "point-in-time recovery", Want: "on", Have: "off"},
			},
		},
		"a wrong table whose settings are off": {
			change: func(p *controlPlane) {
				p.table.BillingModeSummary, p.ttl, p.pitr = nil, types.TimeToLiveDescription{}, false
			},
			want: []Drift{
				{Field: "billing", Want: "PAY_PER_REQUEST", Have: "PROVISIONED"},
				{Field: "TTL", Want: "on, attribute exp", Have: "off"},
				{Field: "point-in-time recovery", Want: "on", Have: "off"},
			},
		},
		"a replica less": {
			opts:   &TableOptions{Replicas: three},
			change: func(p *controlPlane) { p.table.Replicas = p.table.Replicas[:2] },
			want:   []Drift{{Field: "replicas", Want: "us-east-1 us-east-2 us-west-2", Have: "us-east-1 us-east-2"}},
		},
		"eventual consistency": {
			opts:   strong,
			change: func(p *controlPlane) { p.table.MultiRegionConsistency = "" },
			want:   []Drift{{Field: "consistency", Want: "STRONG", Have: "EVENTUAL"}},
		},
		"another witness": {
			opts:   strong,
			change: func(p *controlPlane) { p.table.GlobalTableWitnesses[0].RegionName = new("us-west-1") },
			want:   []Drift{{Field: "witness", Want: "us-west-2", Have: "us-west-1"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			plane := existing(c.opts)
			_, err := EnsureTable(t.Context(), plane, "talks", c.opts)
			require.NoError(t, err, "as it was")
			c.change(plane)
			report, err := EnsureTable(t.Context(), plane, "talks", c.opts)
			require.ErrorIs(t, err, fault.Conflict)
			drifted, ok := errors.AsType[*DriftError](err)
			require.True(t, ok)
			require.Equal(t, report.Drift, drifted.Drift)
			require.Equal(t, "talks", drifted.Table)
			for i, d := range report.Drift {
				require.NotEmpty(t, d.Remedy)
				require.ErrorContains(t, err, d.Field+": have "+d.Have+", want "+d.Want)
				report.Drift[i].Remedy = ""
			}
			require.Equal(t, c.want, report.Drift)
			require.Empty(t, plane.writes())
		})
	}
}

func TestALocalIndexIsSaidToBeMadeAtCreationOnly(t *testing.T) {
	plane := existing(&TableOptions{NoLSI: true})
	_, err := EnsureTable(t.Context(), plane, "talks", nil)
	require.ErrorContains(t, err, "a local index can only be made at the creation of its table")
}

func TestWhatATableHasBesideIsNoDrift(t *testing.T) {
	plane := existing(nil)
	plane.table.AttributeDefinitions = append(plane.table.AttributeDefinitions, types.AttributeDefinition{AttributeName: new("x"), AttributeType: "B"})
	plane.table.GlobalSecondaryIndexes = append(plane.table.GlobalSecondaryIndexes, types.GlobalSecondaryIndexDescription{
		IndexName: new("ours"), KeySchema: keySchema("x", "sk"), IndexStatus: types.IndexStatusActive,
	})
	plane.table.DeletionProtectionEnabled = new(true)
	plane.table.SSEDescription = &types.SSEDescription{SSEType: types.SSETypeKms}
	_, err := EnsureTable(t.Context(), plane, "talks", nil)
	require.NoError(t, err)
}

func TestSettingsThatAreOffAreTurnedOn(t *testing.T) {
	plane := existing(nil)
	plane.ttl, plane.pitr = types.TimeToLiveDescription{}, false
	report, err := EnsureTable(t.Context(), plane, "talks", nil)
	require.NoError(t, err)
	require.Equal(t, []string{"TTL", "point-in-time recovery"}, report.Enabled)
	require.Equal(t, []string{"UpdateTimeToLive", "UpdateContinuousBackups"}, plane.writes())
}

func TestAnExistingTableIsUsedByItsNames(t *testing.T) {
	schema := Schema{PartitionKey: "id", SortKey: "range", TTL: "ttl", IntentIndex: "gsi1", IntentKey: "gsi1pk", IntentSort: "gsi1sk", SentimentIndex: "lsi1", Sentiment: "score"}
	plane := existing(&TableOptions{Schema: schema})
	_, err := EnsureTable(t.Context(), plane, "talks", &TableOptions{Schema: schema})
	require.NoError(t, err)
	_, err = EnsureTable(t.Context(), plane, "talks", nil)
	drifted, ok := errors.AsType[*DriftError](err)
	require.True(t, ok)
	require.Len(t, drifted.Drift, 4, "keys, both indexes, expiry")
}

func TestAKeyGivenAsAnAliasIsNotCompared(t *testing.T) {
	opts := &TableOptions{KMSKey: "alias/talks"}
	plane := existing(opts)
	report, err := EnsureTable(t.Context(), plane, "talks", opts)
	require.NoError(t, err)
	require.Len(t, report.Unchecked, 1)
	require.Contains(t, report.Unchecked[0], "alias/talks")
}
