package dynamomemory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/genaistore/genaistore/internal/fault"
)

// An AdminClient makes the calls of [EnsureTable]; *dynamodb.Client is one.
// [AdminPolicy] allows them.
type AdminClient interface {
	CreateTable(ctx context.Context, in *dynamodb.CreateTableInput, options ...func(*dynamodb.Options)) (*dynamodb.CreateTableOutput, error)
	DescribeTable(ctx context.Context, in *dynamodb.DescribeTableInput, options ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
	DescribeTimeToLive(ctx context.Context, in *dynamodb.DescribeTimeToLiveInput, options ...func(*dynamodb.Options)) (*dynamodb.DescribeTimeToLiveOutput, error)
	UpdateTimeToLive(ctx context.Context, in *dynamodb.UpdateTimeToLiveInput, options ...func(*dynamodb.Options)) (*dynamodb.UpdateTimeToLiveOutput, error)
	DescribeContinuousBackups(ctx context.Context, in *dynamodb.DescribeContinuousBackupsInput, options ...func(*dynamodb.Options)) (*dynamodb.DescribeContinuousBackupsOutput, error)
	UpdateContinuousBackups(ctx context.Context, in *dynamodb.UpdateContinuousBackupsInput, options ...func(*dynamodb.Options)) (*dynamodb.UpdateContinuousBackupsOutput, error)
}

// TableOptions say what a table is to be like. The zero value is a table of one
// Region with both indexes, paid by the request, with expiry and point-in-time
// recovery.
type TableOptions struct {
	// Schema names the attributes and indexes, as [Options.Schema] does.
	Schema Schema

	// NoLSI leaves out the index by sentiment, for good: a local index is made
	// with its table or never. Strongly consistent global tables cannot have one.
	NoLSI bool
	// NoTTL is for tables that do not delete expired items, as strongly consistent
	// global tables do not. Reads leave them out all the same; to delete them is a
	// program of yours.
	NoTTL bool
	// NoRecovery does without point-in-time recovery, which costs by the size of
	// the table, and does not ask for it either.
	NoRecovery bool
	// DeletionProtection refuses to delete the table.
	DeletionProtection bool

	// KMSKey is what encrypts the table: the id, ARN or alias of a key. Empty is
	// DynamoDB's own key, without a charge: no table is unencrypted. The key that
	// AWS manages is "alias/aws/dynamodb".
	KMSKey string

	// Replicas are the Regions of a global table, that of the caller's own client
	// or stack first; none for a table in one Region.
	Replicas []Replica
	// Consistency is how the Regions of a global table agree. Strong needs three
	// Regions of one Region set, or two and a Witness.
	Consistency Consistency
	// Witness is a Region that takes part in the agreement of a strongly consistent
	// table and keeps no data that can be read.
	Witness string

	// CheckOnly makes EnsureTable create and change nothing: what it would turn on
	// is drift, and no table is an error that matches memory.ErrNotFound.
	CheckOnly bool
	// Wait is how long EnsureTable waits for a table or an index that is being
	// made; 10 minutes by default. The context may end it before.
	Wait time.Duration
}

// A Replica is one Region of a global table.
type Replica struct {
	Region string
	// KMSKey is the key of this Region, where TableOptions.KMSKey is no alias.
	KMSKey string
}

// Consistency is how the Regions of a global table agree.
type Consistency int

// The ways to agree.
const (
	// Eventual replicates after the write, usually within a second. The last
	// writer of an item wins.
	Eventual Consistency = iota
	// Strong replicates before a write returns. Such a table has neither local
	// indexes nor expiry nor transactions: set NoLSI and NoTTL, and NoLSI and
	// NoTransactions of Options.
	Strong
)

func (c Consistency) String() string {
	switch c {
	case Eventual:
		return "EVENTUAL"
	case Strong:
		return "STRONG"
	}
	return fmt.Sprintf("Consistency(%d)", int(c))
}

// defaultWait is more than the minutes that an index of a table with data takes.
const defaultWait = 10 * time.Minute

// awsManagedKey is the key in each account that DynamoDB makes by itself.
const awsManagedKey = "alias/aws/dynamodb"

// WithDefaults returns o with every default set. It accepts a nil receiver.
func (o *TableOptions) WithDefaults() TableOptions {
	var given TableOptions
	if o != nil {
		given = *o
	}
	given.Schema = given.Schema.WithDefaults()
	given.Wait = cmp.Or(given.Wait, defaultWait)
	return given
}

// Validate reports an error that matches memory.ErrInvalid where options
// contradict each other or what DynamoDB allows. It accepts a nil receiver.
func (o *TableOptions) Validate() error {
	given := o.WithDefaults()
	if err := given.Schema.Validate(); err != nil {
		return err
	}
	for _, index := range []string{given.Schema.IntentIndex, given.Schema.SentimentIndex} {
		if !isTableName(index) {
			return fmt.Errorf("%w: index name %q: 3 to 255 letters, digits, '_', '-' or '.'", fault.Invalid, index)
		}
	}
	for _, attribute := range given.Schema.attributes() {
		if len(attribute) > 255 || !utf8.ValidString(attribute) || strings.ContainsFunc(attribute, unicode.IsControl) {
			return fmt.Errorf("%w: attribute name %.60q: at most 255 bytes of UTF-8 without control characters", fault.Invalid, attribute)
		}
	}
	for _, key := range given.kmsKeys() {
		if !isKeyName(key) {
			return fmt.Errorf("%w: %.60q is not the id, the ARN or the alias of a key", fault.Invalid, key)
		}
	}
	if given.Wait < 0 {
		return fmt.Errorf("%w: a negative wait of %v", fault.Invalid, given.Wait)
	}
	return given.validateReplicas()
}

// attributes are all that the definition of a table names.
func (s *Schema) attributes() []string {
	return []string{s.PartitionKey, s.SortKey, s.IntentKey, s.IntentSort, s.Sentiment, s.TTL}
}

// kmsKeys are the keys given.
func (o *TableOptions) kmsKeys() []string {
	keys := []string{o.KMSKey}
	for _, r := range o.Replicas {
		keys = append(keys, r.KMSKey)
	}
	return slices.DeleteFunc(keys, func(key string) bool { return key == "" })
}

func (o *TableOptions) validateReplicas() error {
	if o.Consistency != Eventual && o.Consistency != Strong {
		return fmt.Errorf("%w: unknown %v", fault.Invalid, o.Consistency)
	}
	seen := map[string]bool{"": true, o.Witness: true}
	for _, r := range o.Replicas {
		if seen[r.Region] {
			return fmt.Errorf("%w: Region %q is empty or there twice", fault.Invalid, r.Region)
		}
		if !isRegion(r.Region) {
			return fmt.Errorf("%w: %q is no Region", fault.Invalid, r.Region)
		}
		seen[r.Region] = true
		if o.KMSKey != "" && !isAlias(o.KMSKey) && r.KMSKey == "" {
			return fmt.Errorf("%w: the replica in %s needs a key of its Region", fault.Invalid, r.Region)
		}
	}
	switch {
	case o.Consistency == Strong:
		return o.validateStrong()
	case len(o.Replicas) == 1:
		return fmt.Errorf("%w: a global table has at least two Regions", fault.Invalid)
	case o.Witness != "":
		return fmt.Errorf("%w: only a strongly consistent table has a witness", fault.Invalid)
	}
	return nil
}

// regionSets are the groups of Regions that a strongly consistent table may span.
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
func regionSets() [][]string {
	return [][]string{
		{"us-east-1", "us-east-2", "us-west-2"},
		{"eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1"},
		{"ap-northeast-1", "ap-northeast-2", "ap-northeast-3"},
	}
}

func (o *TableOptions) validateStrong() error {
	regions := o.regions()
	if o.Witness != "" {
		regions = append(regions, o.Witness)
	}
	switch {
	case len(regions) != 3:
		return fmt.Errorf("%w: a strongly consistent table spans three Regions, or two and a witness, not %q", fault.Invalid, regions)
	case !o.NoLSI:
		return fmt.Errorf("%w: a strongly consistent table has no local index: set NoLSI", fault.Invalid)
	case !o.NoTTL:
		return fmt.Errorf("%w: a strongly consistent table has no expiry: set NoTTL", fault.Invalid)
	}
	for _, set := range regionSets() {
		if subset(regions, set) {
			return nil
		}
	}
	return fmt.Errorf("%w: %q are not of one Region set: %q", fault.Invalid, regions, regionSets())
}

func (o *TableOptions) regions() []string {
	var regions []string
	for _, r := range o.Replicas {
		regions = append(regions, r.Region)
	}
	return regions
}

// Checked by hand: compiled expressions would cost whoever imports this package
// their allocations at its start.

func isTableName(s string) bool { return len(s) >= 3 && len(s) <= 255 && wholly(s, alnum+"_.-") }

func isRegion(s string) bool {
	return len(s) <= 64 && strings.Count(s, "-") >= 2 && wholly(s, lower+digits+"-")
}

func isKeyName(s string) bool { return len(s) <= 2048 && wholly(s, alnum+":/_-") }

const (
	lower  = "abcdefghijklmnopqrstuvwxyz"
	digits = "0123456789"
	alnum  = lower + "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + digits
)

// wholly says whether s is not empty and has no characters but those allowed.
func wholly(s, allowed string) bool { return s != "" && strings.Trim(s, allowed) == "" }

func validateTable(table string, opts *TableOptions) error {
	if !isTableName(table) {
		return fmt.Errorf("%w: table name %q: 3 to 255 letters, digits, '_', '-' or '.'", fault.Invalid, table)
	}
	return opts.Validate()
}

// A TableReport is what [EnsureTable] found and did.
type TableReport struct {
	ARN     string
	Created bool     // by this call
	Enabled []string // settings that this call turned on
	Drift   []Drift  // how the table differs from what is wanted
	// Unchecked has what could not be compared, and why: a server without
	// point-in-time recovery, as DynamoDB Local is, or a key given as an alias.
	Unchecked []string
}

// EnsureTable creates a table as opts describe it, or compares the one that exists
// field by field, and waits until it and its indexes can be used. It may run in
// many processes at once, and again.
//
// It never changes what exists, but for turning expiry and point-in-time recovery
// on in a table that is right otherwise. A table that differs is a [*DriftError],
// which matches memory.ErrConflict; nothing was changed then. Indexes and attributes
// beside those of the schema are no difference.
//
// A global table is made by its description, see [Describe]: EnsureTable compares
// it, and reports one that does not exist as memory.ErrNotFound. Other errors
// match memory.ErrDenied, where they name the action that is missing, ErrThrottled,
// also if the table is still being made when opts.Wait is over, and ErrInvalid.
// The report is valid beside an error as far as it got.
func EnsureTable(ctx context.Context, client AdminClient, table string, opts *TableOptions) (TableReport, error) {
	if err := validateTable(table, opts); err != nil {
		return TableReport{}, fmt.Errorf("ensure table %s: %w", table, err)
	}
	e := ensurer{client: client, table: table, opts: opts.WithDefaults()}
	ctx, cancel := context.WithTimeoutCause(ctx, e.opts.Wait, errStillWaiting)
	defer cancel()
	if err := e.run(ctx); err != nil {
		if errors.Is(context.Cause(ctx), errStillWaiting) {
			err = fmt.Errorf("%w: %s after %v: %w", fault.Throttled, cmp.Or(e.state, "no answer"), e.opts.Wait, err)
		}
		return e.report, fmt.Errorf("ensure table %s: %w", table, err)
	}
	return e.report, nil
}

var errStillWaiting = errors.New("the wait is over")

// ensurer is one run of EnsureTable.
type ensurer struct {
	client AdminClient
	table  string
	opts   TableOptions
	report TableReport
	// young is whether the table is made while this runs and may not be seen yet.
	young    bool
	readOnly bool
	state    string // what is waited for
}

func (e *ensurer) run(ctx context.Context) error {
	found, err := e.find(ctx)
	if errors.Is(err, fault.NotFound) {
		found, err = nil, e.create(ctx)
	}
	if err != nil {
		return err
	}
	if found, err = e.awaitActive(ctx, found); err != nil {
		return err
	}
	e.report.ARN = value(found.TableArn)
	e.compare(found)
	e.readOnly = e.opts.CheckOnly || len(e.report.Drift) > 0
	if err := e.ensureTTL(ctx); err != nil {
		return err
	}
	if err := e.ensureRecovery(ctx); err != nil {
		return err
	}
	if len(e.report.Drift) > 0 {
		return &DriftError{Table: e.table, Drift: e.report.Drift}
	}
	return nil
}

func (e *ensurer) find(ctx context.Context) (*types.TableDescription, error) {
	out, err := e.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &e.table})
	if err != nil {
		return nil, adminError("DescribeTable", err)
	}
	if out.Table == nil {
		return nil, fmt.Errorf("dynamodb:DescribeTable: %w: an answer without a table", fault.Corrupt)
	}
	return out.Table, nil
}

func (e *ensurer) create(ctx context.Context) error {
	switch {
	case e.opts.CheckOnly:
		return fmt.Errorf("%w: no such table", fault.NotFound)
	case len(e.opts.Replicas) > 0:
		return fmt.Errorf("%w: a global table is made by its description", fault.NotFound)
	}
	_, err := e.client.CreateTable(ctx, e.opts.createInput(e.table))
	e.young = true
	if _, raced := errors.AsType[*types.ResourceInUseException](err); raced {
		return nil // another process makes it, and may want another one: compare
	}
	if err != nil {
		return adminError("CreateTable", err)
	}
	e.report.Created = true
	return nil
}

// awaitActive returns the table once it and its indexes can be used. It begins
// with what was found, or nothing.
func (e *ensurer) awaitActive(ctx context.Context, found *types.TableDescription) (*types.TableDescription, error) {
	for delay := firstDelay; ; delay = min(2*delay, lastDelay) {
		var err error
		if e.state, err = pending(found); err != nil {
			return nil, err
		}
		if e.state == "" {
			return found, nil
		}
		if err := sleep(ctx, delay); err != nil {
			return nil, err
		}
		found, err = e.find(ctx)
		if errors.Is(err, fault.NotFound) && e.young {
			found, err = nil, nil // reads of a table's description lag behind its creation
		}
		if err != nil {
			return nil, err
		}
	}
}

// A new table takes seconds, an index of one with data takes minutes.
const (
	firstDelay = 200 * time.Millisecond
	lastDelay  = 5 * time.Second
)

// pending says what a table must be waited for, if it must be.
func pending(found *types.TableDescription) (string, error) {
	if found == nil {
		return "the table is not listed yet", nil
	}
	switch found.TableStatus {
	case types.TableStatusActive:
	case types.TableStatusCreating, types.TableStatusUpdating:
		return fmt.Sprintf("the table is %s", found.TableStatus), nil
	case types.TableStatusDeleting:
		return "", fmt.Errorf("%w: the table is being deleted", fault.Conflict)
	case types.TableStatusInaccessibleEncryptionCredentials:
		return "", fmt.Errorf("%w: DynamoDB cannot use the key of the table; it archives the table after seven days", fault.Denied)
	default:
		return "", fmt.Errorf("%w: the table is %s", fault.Conflict, found.TableStatus)
	}
	for _, index := range found.GlobalSecondaryIndexes {
		switch index.IndexStatus {
		case types.IndexStatusCreating, types.IndexStatusUpdating:
			return fmt.Sprintf("index %s is %s", value(index.IndexName), index.IndexStatus), nil
		}
	}
	return "", nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func value[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}
