package dynamomemory

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/fault"
)

// controlPlane is the part of DynamoDB that makes tables. It keeps what it is
// given, so that a request that lacks something makes a table that lacks it.
type controlPlane struct {
	mu      sync.Mutex
	table   *types.TableDescription
	ttl     types.TimeToLiveDescription
	pitr    bool
	calls   []string
	active  time.Time // when the table can be used
	settled time.Time // when it takes settings
	backups time.Time // when it can be recovered
	denied  string    // the action that is denied
	listed  time.Time // when DescribeTable knows the table
	noPITR  bool      // like DynamoDB Local
	fail    error     // of every call
}

const (
	buildTime  = 7 * time.Second
	settleTime = 12 * time.Second
	backupTime = 40 * time.Second
)

func (p *controlPlane) begin(ctx context.Context, action string) error {
	p.calls = append(p.calls, action)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case p.fail != nil:
		return p.fail
	case p.denied == action:
		return &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "not authorized to perform: dynamodb:" + action}
	case action != "CreateTable" && p.table == nil, action == "DescribeTable" && time.Now().Before(p.listed):
		return &types.ResourceNotFoundException{Message: new("Requested resource not found")}
	}
	return nil
}

func (p *controlPlane) CreateTable(ctx context.Context, in *dynamodb.CreateTableInput, _ ...func(*dynamodb.Options)) (*dynamodb.CreateTableOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.begin(ctx, "CreateTable"); err != nil {
		return nil, err
	}
	if p.table != nil {
		return nil, &types.ResourceInUseException{Message: new("Table already exists")}
	}
	p.table = described(in)
	p.listed = time.Now().Add(time.Second)
	p.active = time.Now().Add(buildTime)
	p.settled = time.Now().Add(settleTime)
	p.backups = time.Now().Add(backupTime)
	return &dynamodb.CreateTableOutput{TableDescription: p.table}, nil
}

// described is a table as DynamoDB describes what was asked for.
func described(in *dynamodb.CreateTableInput) *types.TableDescription {
	d := &types.TableDescription{
		TableName: in.TableName, TableArn: new("arn:aws:dynamodb:us-east-1:123456789012:table/" + *in.TableName), TableStatus: types.TableStatusActive,
		AttributeDefinitions: in.AttributeDefinitions, KeySchema: in.KeySchema, DeletionProtectionEnabled: in.DeletionProtectionEnabled,
	}
	if in.BillingMode == types.BillingModePayPerRequest {
		d.BillingModeSummary = &types.BillingModeSummary{BillingMode: in.BillingMode}
	}
	for _, i := range in.GlobalSecondaryIndexes {
		d.GlobalSecondaryIndexes = append(d.GlobalSecondaryIndexes, types.GlobalSecondaryIndexDescription{
			IndexName: i.IndexName, KeySchema: i.KeySchema, Projection: i.Projection, IndexStatus: types.IndexStatusActive,
		})
	}
	for _, i := range in.LocalSecondaryIndexes {
		d.LocalSecondaryIndexes = append(d.LocalSecondaryIndexes, types.LocalSecondaryIndexDescription{
			IndexName: i.IndexName, KeySchema: i.KeySchema, Projection: i.Projection,
		})
	}
	if sse := in.SSESpecification; sse != nil {
		key := "arn:aws:kms:us-east-1:123456789012:key/aws-managed"
		if sse.KMSMasterKeyId != nil {
			key = *sse.KMSMasterKeyId
			if !strings.HasPrefix(key, "arn:") {
				key = "arn:aws:kms:us-east-1:123456789012:key/" + key
			}
		}
		d.SSEDescription = &types.SSEDescription{SSEType: sse.SSEType, KMSMasterKeyArn: &key, Status: types.SSEStatusEnabled}
	}
	return d
}

func (p *controlPlane) DescribeTable(ctx context.Context, _ *dynamodb.DescribeTableInput, _ ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.begin(ctx, "DescribeTable"); err != nil {
		return nil, err
	}
	found := *p.table
	if found.TableStatus == types.TableStatusActive && time.Now().Before(p.active) {
		found.TableStatus = types.TableStatusCreating
	}
	return &dynamodb.DescribeTableOutput{Table: &found}, nil
}

func (p *controlPlane) DescribeTimeToLive(ctx context.Context, _ *dynamodb.DescribeTimeToLiveInput, _ ...func(*dynamodb.Options)) (*dynamodb.DescribeTimeToLiveOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.begin(ctx, "DescribeTimeToLive"); err != nil {
		return nil, err
	}
	have := p.ttl
	return &dynamodb.DescribeTimeToLiveOutput{TimeToLiveDescription: &have}, nil
}

func (p *controlPlane) UpdateTimeToLive(ctx context.Context, in *dynamodb.UpdateTimeToLiveInput, _ ...func(*dynamodb.Options)) (*dynamodb.UpdateTimeToLiveOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.begin(ctx, "UpdateTimeToLive"); err != nil {
		return nil, err
	}
	if time.Now().Before(p.settled) {
		return nil, &types.ResourceInUseException{Message: new("being created")}
	}
	if p.ttl.TimeToLiveStatus != "" {
		return nil, &smithy.GenericAPIError{Code: "ValidationException", Message: "TimeToLive is already enabled"}
	}
	p.ttl = types.TimeToLiveDescription{AttributeName: in.TimeToLiveSpecification.AttributeName, TimeToLiveStatus: types.TimeToLiveStatusEnabling}
	return &dynamodb.UpdateTimeToLiveOutput{}, nil
}

func unknownOperation() error {
	return &smithy.GenericAPIError{Code: "UnknownOperationException", Message: "An unknown operation was requested."}
}

func (p *controlPlane) DescribeContinuousBackups(ctx context.Context, _ *dynamodb.DescribeContinuousBackupsInput, _ ...func(*dynamodb.Options)) (*dynamodb.DescribeContinuousBackupsOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.begin(ctx, "DescribeContinuousBackups"); err != nil {
		return nil, err
	}
	if p.noPITR {
		return nil, unknownOperation()
	}
	status := types.PointInTimeRecoveryStatusDisabled
	if p.pitr {
		status = types.PointInTimeRecoveryStatusEnabled
	}
	return &dynamodb.DescribeContinuousBackupsOutput{ContinuousBackupsDescription: &types.ContinuousBackupsDescription{
		PointInTimeRecoveryDescription: &types.PointInTimeRecoveryDescription{PointInTimeRecoveryStatus: status},
	}}, nil
}

func (p *controlPlane) UpdateContinuousBackups(ctx context.Context, in *dynamodb.UpdateContinuousBackupsInput, _ ...func(*dynamodb.Options)) (*dynamodb.UpdateContinuousBackupsOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.begin(ctx, "UpdateContinuousBackups"); err != nil {
		return nil, err
	}
	if time.Now().Before(p.backups) {
		return nil, &types.ContinuousBackupsUnavailableException{Message: new("Backups are being enabled")}
	}
	p.pitr = *in.PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled
	return &dynamodb.UpdateContinuousBackupsOutput{}, nil
}

// writes are the calls that changed something.
func (p *controlPlane) writes() []string {
	var changed []string
	for _, call := range p.calls {
		if !strings.HasPrefix(call, "Describe") {
			changed = append(changed, call)
		}
	}
	return changed
}

// existing has a table of opts with all its settings.
func existing(opts *TableOptions) *controlPlane {
	given := opts.WithDefaults()
	p := &controlPlane{table: described(given.createInput("talks"))}
	if !given.NoTTL {
		p.ttl = types.TimeToLiveDescription{AttributeName: &given.Schema.TTL, TimeToLiveStatus: types.TimeToLiveStatusEnabled}
	}
	p.pitr = !given.NoRecovery
	for _, r := range given.Replicas {
		p.table.Replicas = append(p.table.Replicas, types.ReplicaDescription{RegionName: &r.Region})
	}
	if given.Consistency == Strong {
		p.table.MultiRegionConsistency = types.MultiRegionConsistencyStrong
		p.table.GlobalTableWitnesses = []types.GlobalTableWitnessDescription{{RegionName: &given.Witness}}
	}
	return p
}

func TestEnsureTableMakesATableAndWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane, start := &controlPlane{}, time.Now()
		report, err := EnsureTable(t.Context(), plane, "talks", &TableOptions{DeletionProtection: true, KMSKey: "k-1"})
		require.NoError(t, err)
		require.Equal(t, TableReport{
			ARN: "arn:aws:dynamodb:us-east-1:123456789012:table/talks", Created: true, Enabled: []string{"TTL", "point-in-time recovery"},
		}, report)
		require.GreaterOrEqual(t, time.Since(start), backupTime)
		require.Less(t, time.Since(start), backupTime+lastDelay)
		require.Equal(t, "exp", *plane.ttl.AttributeName)
		require.True(t, plane.pitr)

		made := plane.table
		require.Equal(t, "HASH pk (S), RANGE sk (S)", keyText(made.KeySchema, kindsOf(made)))
		require.Equal(t, "HASH ik (S), RANGE ir (S)", keyText(made.GlobalSecondaryIndexes[0].KeySchema, kindsOf(made)))
		require.Equal(t, "HASH pk (S), RANGE sen (N)", keyText(made.LocalSecondaryIndexes[0].KeySchema, kindsOf(made)))
		require.Equal(t, types.ProjectionTypeAll, made.GlobalSecondaryIndexes[0].Projection.ProjectionType)
		require.Equal(t, types.ProjectionTypeAll, made.LocalSecondaryIndexes[0].Projection.ProjectionType)
		require.Equal(t, types.BillingModePayPerRequest, made.BillingModeSummary.BillingMode)
		require.Equal(t, "arn:aws:kms:us-east-1:123456789012:key/k-1", *made.SSEDescription.KMSMasterKeyArn)
		require.True(t, *made.DeletionProtectionEnabled)
	})
}

func kindsOf(d *types.TableDescription) map[string]types.ScalarAttributeType {
	kinds := map[string]types.ScalarAttributeType{}
	for _, a := range d.AttributeDefinitions {
		kinds[*a.AttributeName] = a.AttributeType
	}
	return kinds
}

func TestEnsureTableAgainChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane := &controlPlane{}
		_, err := EnsureTable(t.Context(), plane, "talks", nil)
		require.NoError(t, err)
		plane.calls = nil
		report, err := EnsureTable(t.Context(), plane, "talks", nil)
		require.NoError(t, err)
		require.Equal(t, []string{"DescribeTable", "DescribeTimeToLive", "DescribeContinuousBackups"}, plane.calls)
		require.Equal(t, TableReport{ARN: "arn:aws:dynamodb:us-east-1:123456789012:table/talks"}, report)
	})
}

func TestTwoProcessesMakeOneTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane := &controlPlane{}
		reports, errs := make([]TableReport, 4), make([]error, 4)
		var wg sync.WaitGroup
		for i := range reports {
			wg.Go(func() { reports[i], errs[i] = EnsureTable(t.Context(), plane, "talks", nil) })
		}
		wg.Wait()
		require.NoError(t, errors.Join(errs...))
		created, enabled := 0, 0
		for _, r := range reports {
			if r.Created {
				created++
			}
			for _, field := range r.Enabled {
				if field == "TTL" {
					enabled++
				}
			}
			require.Empty(t, r.Drift)
		}
		require.Equal(t, 1, created)
		require.Equal(t, 1, enabled, "the others were refused and looked again")
	})
}

func TestACrashBetweenTheStepsIsHealedByTheNextRun(t *testing.T) {
	for _, last := range []string{"CreateTable", "DescribeTable", "DescribeTimeToLive", "UpdateTimeToLive", "DescribeContinuousBackups", "UpdateContinuousBackups"} {
		t.Run(last, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				plane := &controlPlane{}
				ctx, cancel := context.WithCancel(t.Context())
				_, err := EnsureTable(ctx, &dying{plane, last, cancel}, "talks", nil)
				require.ErrorIs(t, err, context.Canceled)
				_, err = EnsureTable(t.Context(), plane, "talks", nil)
				require.NoError(t, err)
				require.Equal(t, "exp", *plane.ttl.AttributeName)
				require.True(t, plane.pitr)
			})
		})
	}
}

// dying ends its caller with the answer to one call.
type dying struct {
	*controlPlane
	last   string
	cancel func()
}

func (d *dying) after(action string) error {
	if action != d.last {
		return nil
	}
	d.cancel()
	return context.Canceled
}

func (d *dying) CreateTable(ctx context.Context, in *dynamodb.CreateTableInput, o ...func(*dynamodb.Options)) (*dynamodb.CreateTableOutput, error) {
	out, err := d.controlPlane.CreateTable(ctx, in, o...)
	return out, errors.Join(err, d.after("CreateTable"))
}

func (d *dying) DescribeTable(ctx context.Context, in *dynamodb.DescribeTableInput, o ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error) {
	out, err := d.controlPlane.DescribeTable(ctx, in, o...)
	if err != nil {
		return nil, err
	}
	return out, d.after("DescribeTable")
}

func (d *dying) DescribeTimeToLive(ctx context.Context, in *dynamodb.DescribeTimeToLiveInput, o ...func(*dynamodb.Options)) (*dynamodb.DescribeTimeToLiveOutput, error) {
	out, err := d.controlPlane.DescribeTimeToLive(ctx, in, o...)
	return out, errors.Join(err, d.after("DescribeTimeToLive"))
}

func (d *dying) UpdateTimeToLive(ctx context.Context, in *dynamodb.UpdateTimeToLiveInput, o ...func(*dynamodb.Options)) (*dynamodb.UpdateTimeToLiveOutput, error) {
	out, err := d.controlPlane.UpdateTimeToLive(ctx, in, o...)
	return out, errors.Join(err, d.after("UpdateTimeToLive"))
}

func (d *dying) DescribeContinuousBackups(ctx context.Context, in *dynamodb.DescribeContinuousBackupsInput, o ...func(*dynamodb.Options)) (*dynamodb.DescribeContinuousBackupsOutput, error) {
	out, err := d.controlPlane.DescribeContinuousBackups(ctx, in, o...)
	return out, errors.Join(err, d.after("DescribeContinuousBackups"))
}

func (d *dying) UpdateContinuousBackups(ctx context.Context, in *dynamodb.UpdateContinuousBackupsInput, o ...func(*dynamodb.Options)) (*dynamodb.UpdateContinuousBackupsOutput, error) {
	out, err := d.controlPlane.UpdateContinuousBackups(ctx, in, o...)
	return out, errors.Join(err, d.after("UpdateContinuousBackups"))
}

func TestEveryDeniedActionIsNamed(t *testing.T) {
	for action := range reflect.TypeFor[AdminClient]().Methods() {
		t.Run(action.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				plane := &controlPlane{denied: action.Name}
				_, err := EnsureTable(t.Context(), plane, "talks", nil)
				require.ErrorIs(t, err, fault.Denied)
				require.ErrorContains(t, err, "ensure table talks: dynamodb:"+action.Name+": denied")
				require.ErrorAs(t, err, new(*smithy.GenericAPIError))
			})
		})
	}
}

func TestErrorsOfDynamoDBKeepTheirKind(t *testing.T) {
	for code, kind := range map[string]error{
		"ThrottlingException":         fault.Throttled,
		"LimitExceededException":      fault.Throttled,
		"ExpiredTokenException":       fault.Denied,
		"UnrecognizedClientException": fault.Denied,
		"ValidationException":         fault.Invalid,
	} {
		plane := &controlPlane{fail: &smithy.GenericAPIError{Code: code}}
		_, err := EnsureTable(t.Context(), plane, "talks", nil)
		require.ErrorIs(t, err, kind, code)
	}
}

func TestWaitingEndsWithTheContextOrTheOption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane := existing(nil)
		plane.table.GlobalSecondaryIndexes[0].IndexStatus = types.IndexStatusCreating
		start := time.Now()
		_, err := EnsureTable(t.Context(), plane, "talks", &TableOptions{Wait: time.Minute})
		require.ErrorIs(t, err, fault.Throttled)
		require.ErrorContains(t, err, "index byIntent is CREATING after 1m0s")
		require.Equal(t, time.Minute, time.Since(start))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = EnsureTable(ctx, plane, "talks", nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, fault.Throttled)

		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = EnsureTable(cancelled, &controlPlane{}, "talks", nil)
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestATableThatCannotBeUsedIsNotWaitedFor(t *testing.T) {
	for status, kind := range map[types.TableStatus]error{
		types.TableStatusDeleting:                          fault.Conflict,
		types.TableStatusArchived:                          fault.Conflict,
		types.TableStatusInaccessibleEncryptionCredentials: fault.Denied,
	} {
		plane := existing(nil)
		plane.table.TableStatus = status
		_, err := EnsureTable(t.Context(), plane, "talks", nil)
		require.ErrorIs(t, err, kind)
		require.Equal(t, []string{"DescribeTable"}, plane.calls)
	}
}

func TestAServerWithoutPointInTimeRecoveryIsReported(t *testing.T) {
	plane := existing(nil)
	plane.noPITR = true
	report, err := EnsureTable(t.Context(), plane, "talks", nil)
	require.NoError(t, err)
	require.Equal(t, []string{"point-in-time recovery: this server does not know DescribeContinuousBackups"}, report.Unchecked)

	plane.calls = nil
	report, err = EnsureTable(t.Context(), plane, "talks", &TableOptions{NoRecovery: true})
	require.NoError(t, err)
	require.Empty(t, report.Unchecked)
	require.NotContains(t, plane.calls, "DescribeContinuousBackups")
}

func TestAGlobalTableIsNotMadeHere(t *testing.T) {
	plane := &controlPlane{}
	_, err := EnsureTable(t.Context(), plane, "talks", &TableOptions{Replicas: []Replica{{Region: "us-east-1"}, {Region: "eu-west-1"}}})
	require.ErrorIs(t, err, fault.NotFound)
	_, err = EnsureTable(t.Context(), plane, "talks", &TableOptions{CheckOnly: true})
	require.ErrorIs(t, err, fault.NotFound)
	require.Empty(t, plane.writes())
}

func TestBadOptionsAskNothingOfAWS(t *testing.T) {
	three := []Replica{{Region: "us-east-1"}, {Region: "us-east-2"}, {Region: "us-west-2"}}
	for name, opts := range map[string]*TableOptions{
		"one Region of many":                {Replicas: three[:1]},
		"a Region twice":                    {Replicas: []Replica{three[0], three[0]}},
		"no Region":                         {Replicas: []Replica{three[0], {}}},
		"a Region that is none":             {Replicas: []Replica{three[0], {Region: `x" }`}}},
		"a witness without strong":          {Replicas: three[:2], Witness: "us-west-2"},
		"strong with two Regions":           {Replicas: three[:2], Consistency: Strong, NoLSI: true, NoTTL: true},
		"strong across Region sets":         {Replicas: []Replica{three[0], three[1], {Region: "eu-west-1"}}, Consistency: Strong, NoLSI: true, NoTTL: true},
		"strong with a local index":         {Replicas: three, Consistency: Strong, NoTTL: true},
		"strong with expiry":                {Replicas: three, Consistency: Strong, NoLSI: true},
		"strong with its replica a witness": {Replicas: three, Witness: "us-west-2", Consistency: Strong, NoLSI: true, NoTTL: true},
		"unknown consistency":               {Consistency: 7},
		"a negative wait":                   {Wait: -1},
		"one key for two Regions":           {Replicas: three[:2], KMSKey: "arn:aws:kms:us-east-1:123456789012:key/1"},
		"a key with a quote":                {KMSKey: `a"b`},
		"an attribute that breaks lines":    {Schema: Schema{PartitionKey: "a\nb"}},
		"two attributes of one name":        {Schema: Schema{PartitionKey: "sk"}},
		"an index name with a space":        {Schema: Schema{IntentIndex: "by intent"}},
	} {
		t.Run(name, func(t *testing.T) {
			plane := &controlPlane{}
			_, err := EnsureTable(t.Context(), plane, "talks", opts)
			require.ErrorIs(t, err, fault.Invalid)
			require.Empty(t, plane.calls)
			_, err = Describe(CloudFormationJSON, "talks", opts)
			require.ErrorIs(t, err, fault.Invalid)
		})
	}
	for _, name := range []string{"", "ab", "a b c", "x/y/z", strings.Repeat("x", 256)} {
		plane := &controlPlane{}
		_, err := EnsureTable(t.Context(), plane, name, nil)
		require.ErrorIs(t, err, fault.Invalid, "%q", name)
		require.Empty(t, plane.calls)
	}
}
