package s3artifacts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/genaistore/genaistore/artifacts"
)

// A BucketClient is what [EnsureBucket] asks of S3. *s3.Client is one.
//
//nolint:interfacebloat // as many calls as it makes: it is a list of permissions
type BucketClient interface {
	CreateBucket(context.Context, *s3.CreateBucketInput, ...func(*s3.Options)) (*s3.CreateBucketOutput, error)
	HeadBucket(context.Context, *s3.HeadBucketInput, ...func(*s3.Options)) (*s3.HeadBucketOutput, error)
	GetBucketVersioning(context.Context, *s3.GetBucketVersioningInput, ...func(*s3.Options)) (*s3.GetBucketVersioningOutput, error)
	PutBucketVersioning(context.Context, *s3.PutBucketVersioningInput, ...func(*s3.Options)) (*s3.PutBucketVersioningOutput, error)
	GetBucketLifecycleConfiguration(context.Context, *s3.GetBucketLifecycleConfigurationInput, ...func(*s3.Options)) (*s3.GetBucketLifecycleConfigurationOutput, error)
	PutBucketLifecycleConfiguration(context.Context, *s3.PutBucketLifecycleConfigurationInput, ...func(*s3.Options)) (*s3.PutBucketLifecycleConfigurationOutput, error)
	GetBucketEncryption(context.Context, *s3.GetBucketEncryptionInput, ...func(*s3.Options)) (*s3.GetBucketEncryptionOutput, error)
	PutBucketEncryption(context.Context, *s3.PutBucketEncryptionInput, ...func(*s3.Options)) (*s3.PutBucketEncryptionOutput, error)
	GetPublicAccessBlock(context.Context, *s3.GetPublicAccessBlockInput, ...func(*s3.Options)) (*s3.GetPublicAccessBlockOutput, error)
	PutPublicAccessBlock(context.Context, *s3.PutPublicAccessBlockInput, ...func(*s3.Options)) (*s3.PutPublicAccessBlockOutput, error)
	GetObjectLockConfiguration(context.Context, *s3.GetObjectLockConfigurationInput, ...func(*s3.Options)) (*s3.GetObjectLockConfigurationOutput, error)
}

var _ BucketClient = (*s3.Client)(nil)

// BucketOptions says what a bucket should be like. A nil *BucketOptions means the
// zero value.
type BucketOptions struct {
	// Root is that of the store; lifecycle rules are for what lies below it.
	Root string
	// Region is where a bucket is created. Empty means where the client is; needed
	// outside us-east-1.
	Region string
	// KMSKeyID makes objects be encrypted with this key. Empty means by S3.
	KMSKeyID string
	// Unversioned leaves versioning as it is. Otherwise it is enabled, as a safety net:
	// what somebody deletes or overwrites by hand can be had back for Noncurrent.
	Unversioned bool
	// Noncurrent is how long versions that are not current are kept, in whole days: 30
	// days if zero.
	Noncurrent time.Duration
	// AbortUploads is how long an upload in parts may be open before S3 aborts it, in
	// whole days: 7 days if zero.
	AbortUploads time.Duration
	// Cold and Archive are the classes to which S3 moves what [Store.Tier] calls so, at
	// the end of the day. Cold is GLACIER_IR, or STANDARD_IA after 30 days; Archive is
	// GLACIER or DEEP_ARCHIVE. Empty means that nothing is moved.
	Cold, Archive string
	// Report changes nothing, and creates no bucket: it only says what differs.
	Report bool
}

const day = 24 * time.Hour

// WithDefaults returns what EnsureBucket acts on. It accepts a nil receiver.
func (o *BucketOptions) WithDefaults() BucketOptions {
	var opts BucketOptions
	if o != nil {
		opts = *o
	}
	if opts.Noncurrent == 0 {
		opts.Noncurrent = 30 * day
	}
	if opts.AbortUploads == 0 {
		opts.AbortUploads = 7 * day
	}
	return opts
}

// Validate reports an error that matches [artifacts.ErrInvalid] unless EnsureBucket
// can act on o. It accepts a nil receiver.
func (o *BucketOptions) Validate() error {
	opts := o.WithDefaults()
	if err := (&Options{Root: opts.Root}).Validate(); err != nil {
		return err
	}
	if !slices.Contains([]string{"", "GLACIER_IR", "STANDARD_IA"}, opts.Cold) || !slices.Contains([]string{"", "GLACIER", "DEEP_ARCHIVE"}, opts.Archive) {
		return fmt.Errorf("%w: Cold %.40q: GLACIER_IR or STANDARD_IA; Archive %.40q: GLACIER or DEEP_ARCHIVE", artifacts.ErrInvalid, opts.Cold, opts.Archive)
	}
	if opts.Noncurrent < day || opts.AbortUploads < day {
		return fmt.Errorf("%w: Noncurrent %v, AbortUploads %v: at least a day", artifacts.ErrInvalid, opts.Noncurrent, opts.AbortUploads)
	}
	return nil
}

// A Drift is something in which a bucket is not what it should be.
type Drift struct {
	What      string // such as "versioning"
	Want, Got string
	Fixed     bool // it is now as it should be
}

// EnsureBucket creates a bucket for a store, or compares one that is there, changes
// what differs, and returns what differed. It may be repeated, and changes nothing
// that is as it should be. Lifecycle rules of others stay.
//
// What it cannot change is returned with Fixed false: a default retention of Object
// Lock, which would keep a collector from deleting, and what a store other than
// Amazon's does not know, whose Got is "unsupported". A bucket of somebody else is
// [artifacts.ErrDenied].
func EnsureBucket(ctx context.Context, client BucketClient, bucket string, options *BucketOptions) ([]Drift, error) {
	if err := options.Validate(); err != nil {
		return nil, fmt.Errorf("ensure bucket %s: %w", bucket, err)
	}
	e := &ensuring{client: client, bucket: &bucket, opts: options.WithDefaults()}
	for _, step := range []func(context.Context) error{e.exists, e.versioning, e.publicAccess, e.encryption, e.lifecycle, e.lock} {
		if err := step(ctx); err != nil {
			return e.drift, fmt.Errorf("ensure bucket %s: %w", bucket, err)
		}
		if e.absent {
			break
		}
	}
	return e.drift, nil
}

type ensuring struct {
	client BucketClient
	bucket *string
	opts   BucketOptions
	drift  []Drift
	absent bool
}

// unsupported notes that a store does not know a configuration, and says whether
// that is what an error says.
func (e *ensuring) unsupported(what, want string, err error) bool {
	if !unknown(err) {
		return false
	}
	e.drift = append(e.drift, Drift{What: what, Want: want, Got: "unsupported"})
	return true
}

// compare notes a difference and has it fixed.
func (e *ensuring) compare(what, want, got string, fix func() error) error {
	if want == got {
		return nil
	}
	d := Drift{What: what, Want: want, Got: got}
	if !e.opts.Report && fix != nil {
		if err := fix(); err != nil {
			return fmt.Errorf("%s: %w", what, classify(*e.bucket, err))
		}
		d.Fixed = true
	}
	e.drift = append(e.drift, d)
	return nil
}

// absence says that there is no such configuration.
func absence(err error, codes ...string) bool {
	api, is := errors.AsType[smithy.APIError](err)
	return is && slices.Contains(codes, api.ErrorCode())
}

func (e *ensuring) exists(ctx context.Context) error {
	_, err := e.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: e.bucket})
	if err = classify(*e.bucket, err); err == nil || !errors.Is(err, artifacts.ErrNotFound) {
		return err
	}
	e.absent = e.opts.Report
	return e.compare("bucket", "present", "absent", func() error {
		in := &s3.CreateBucketInput{Bucket: e.bucket}
		if e.opts.Region != "" && e.opts.Region != "us-east-1" {
			in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(e.opts.Region)}
		}
		_, err := e.client.CreateBucket(ctx, in)
		if absence(err, "BucketAlreadyOwnedByYou") {
			return nil // another process was first
		}
		return err
	})
}

func (e *ensuring) versioning(ctx context.Context) error {
	if e.opts.Unversioned {
		return nil
	}
	out, err := e.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: e.bucket})
	if e.unsupported("versioning", string(types.BucketVersioningStatusEnabled), err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("versioning: %w", classify(*e.bucket, err))
	}
	return e.compare("versioning", string(types.BucketVersioningStatusEnabled), string(out.Status), func() error {
		_, err := e.client.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
			Bucket: e.bucket, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
		})
		return err
	})
}

func (e *ensuring) publicAccess(ctx context.Context) error {
	out, err := e.client.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: e.bucket})
	if e.unsupported("public access", "blocked", err) {
		return nil
	}
	if err != nil && !absence(err, "NoSuchPublicAccessBlockConfiguration") {
		return fmt.Errorf("public access: %w", classify(*e.bucket, err))
	}
	got := "open"
	if err == nil && out.PublicAccessBlockConfiguration != nil {
		c := out.PublicAccessBlockConfiguration
		closed := 0
		for _, is := range []*bool{c.BlockPublicAcls, c.BlockPublicPolicy, c.IgnorePublicAcls, c.RestrictPublicBuckets} {
			if is != nil && *is {
				closed++
			}
		}
		if closed == 4 {
			got = "blocked"
		}
	}
	return e.compare("public access", "blocked", got, func() error {
		_, err := e.client.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{
			Bucket: e.bucket, PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{
				BlockPublicAcls: new(true), BlockPublicPolicy: new(true), IgnorePublicAcls: new(true), RestrictPublicBuckets: new(true),
			},
		})
		return err
	})
}

func (e *ensuring) encryption(ctx context.Context) error {
	if e.opts.KMSKeyID == "" {
		return nil // S3 encrypts everything with keys of its own
	}
	out, err := e.client.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: e.bucket})
	if e.unsupported("encryption", e.opts.KMSKeyID, err) {
		return nil
	}
	if err != nil && !absence(err, "ServerSideEncryptionConfigurationNotFoundError") {
		return fmt.Errorf("encryption: %w", classify(*e.bucket, err))
	}
	got := ""
	if err == nil && out.ServerSideEncryptionConfiguration != nil {
		for _, rule := range out.ServerSideEncryptionConfiguration.Rules {
			if by := rule.ApplyServerSideEncryptionByDefault; by != nil && by.SSEAlgorithm == types.ServerSideEncryptionAwsKms {
				got = value(by.KMSMasterKeyID)
			}
		}
	}
	return e.compare("encryption", e.opts.KMSKeyID, got, func() error {
		_, err := e.client.PutBucketEncryption(ctx, &s3.PutBucketEncryptionInput{
			Bucket: e.bucket, ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{Rules: []types.ServerSideEncryptionRule{{
				BucketKeyEnabled: new(true),
				ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{
					SSEAlgorithm: types.ServerSideEncryptionAwsKms, KMSMasterKeyID: &e.opts.KMSKeyID,
				},
			}}},
		})
		return err
	})
}

// rules are those that the store wants. Nothing that is current expires.
func (e *ensuring) rules() []types.LifecycleRule {
	rule := e.rule()
	out := []types.LifecycleRule{rule}
	for _, move := range []struct {
		temperature
		class string
	}{{cold, e.opts.Cold}, {archive, e.opts.Archive}} {
		if move.class == "" {
			continue
		}
		days := int32(0)
		if move.class == "STANDARD_IA" {
			days = 30 // S3 allows no less
		}
		out = append(out, types.LifecycleRule{
			ID: new(value(rule.ID) + ": " + move.String()), Status: types.ExpirationStatusEnabled,
			Filter: &types.LifecycleRuleFilter{And: &types.LifecycleRuleAndOperator{
				Prefix: rule.Filter.Prefix, Tags: []types.Tag{{Key: new(tierTag), Value: new(move.String())}},
			}},
			Transitions: []types.Transition{{Days: &days, StorageClass: types.TransitionStorageClass(move.class)}},
		})
	}
	return out
}

func (e *ensuring) rule() types.LifecycleRule {
	id, prefix := "genaistore", ""
	if e.opts.Root != "" {
		id, prefix = "genaistore "+e.opts.Root, e.opts.Root+"/"
	}
	days := func(d time.Duration) *int32 { return new(int32(d / day)) }
	rule := types.LifecycleRule{
		ID: &id, Status: types.ExpirationStatusEnabled, Filter: &types.LifecycleRuleFilter{Prefix: &prefix},
		AbortIncompleteMultipartUpload: &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: days(e.opts.AbortUploads)},
	}
	if !e.opts.Unversioned {
		rule.NoncurrentVersionExpiration = &types.NoncurrentVersionExpiration{NoncurrentDays: days(e.opts.Noncurrent)}
	}
	return rule
}

// text is what is compared of the rules of the store.
func text(rules []types.LifecycleRule) string {
	var out []string
	for _, r := range rules {
		one := fmt.Sprintf("%s: %s", value(r.ID), r.Status)
		if a := r.AbortIncompleteMultipartUpload; a != nil && a.DaysAfterInitiation != nil {
			one += fmt.Sprintf(", uploads end after %d days", *a.DaysAfterInitiation)
		}
		if n := r.NoncurrentVersionExpiration; n != nil && n.NoncurrentDays != nil {
			one += fmt.Sprintf(", old versions after %d days", *n.NoncurrentDays)
		}
		out = append(out, one+moves(r))
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

// moves is what a rule says of classes.
func moves(r types.LifecycleRule) string {
	var out strings.Builder
	if r.Filter != nil && r.Filter.And != nil {
		for _, tag := range r.Filter.And.Tags {
			fmt.Fprintf(&out, ", of the tag %s=%s", value(tag.Key), value(tag.Value))
		}
	}
	for _, move := range r.Transitions {
		if move.Days != nil {
			fmt.Fprintf(&out, ", to %s after %d days", move.StorageClass, *move.Days)
		}
	}
	return out.String()
}

func (e *ensuring) lifecycle(ctx context.Context) error {
	out, err := e.client.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: e.bucket})
	want := e.rules()
	if e.unsupported("lifecycle", text(want), err) {
		return nil
	}
	if err != nil && !absence(err, "NoSuchLifecycleConfiguration") {
		return fmt.Errorf("lifecycle: %w", classify(*e.bucket, err))
	}
	var ours, others []types.LifecycleRule
	if err == nil {
		for _, rule := range out.Rules {
			if id := value(want[0].ID); value(rule.ID) == id || strings.HasPrefix(value(rule.ID), id+":") {
				ours = append(ours, rule)
			} else {
				others = append(others, rule)
			}
		}
	}
	return e.compare("lifecycle", text(want), text(ours), func() error {
		_, err := e.client.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{
			Bucket: e.bucket, LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: append(others, want...)},
		})
		return err
	})
}

func (e *ensuring) lock(ctx context.Context) error {
	out, err := e.client.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: e.bucket})
	if absence(err, "ObjectLockConfigurationNotFoundError", "ObjectLockConfigurationNotFound") || unknown(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("object lock: %w", classify(*e.bucket, err))
	}
	if c := out.ObjectLockConfiguration; c != nil && c.Rule != nil && c.Rule.DefaultRetention != nil {
		return e.compare("object lock", "no default retention", string(c.Rule.DefaultRetention.Mode), nil)
	}
	return nil
}

// A Role says what a [Policy] allows.
type Role int

// The roles, each of which may do what the ones before may. A collector is also who
// tiers and restores.
const (
	Reader Role = iota
	Writer
	Collector
)

type statement struct {
	Effect    string
	Action    []string
	Resource  []string
	Condition map[string]map[string][]string `json:",omitempty"`
}

// Policy returns the IAM policy, as JSON, that a role needs for a store in a bucket
// below root, for all tenants or, if there are any names of tenants, for those
// alone ("" is the default tenant). Of the log a writer may only create records, if
// it is the only policy that allows it to write: S3 refuses its PutObject there
// without If-None-Match.
func Policy(bucket, root string, role Role, tenants ...string) (string, error) {
	s, err := New(noClient{}, bucket, &Options{Root: root})
	if err != nil || role < Reader || role > Collector {
		return "", fmt.Errorf("policy: %w: role %d: %w", artifacts.ErrInvalid, role, err)
	}
	arn := "arn:aws:s3:::" + bucket
	var data, prefixes, records []string
	if len(tenants) == 0 {
		data, prefixes, records = []string{arn + "/" + s.rooted("*")}, []string{s.rooted("*")}, []string{arn + "/" + s.rooted("a", "*", marker, "log", "*")}
	}
	if len(tenants) > 0 {
		data = append(data, arn+"/"+s.rooted(storeKey))
	}
	for _, tenant := range tenants {
		if err := (artifacts.Name{Tenant: tenant, Path: "any"}).Validate(); err != nil {
			return "", fmt.Errorf("policy: %w", err)
		}
		for _, folder := range []string{"a", "n", "mirror"} {
			below := s.rooted(folder, tenantSegment(tenant), "*")
			data, prefixes = append(data, arn+"/"+below), append(prefixes, below)
		}
		records = append(records, arn+"/"+s.rooted("a", tenantSegment(tenant), "*", marker, "log", "*"))
	}
	list := []string{"s3:ListBucket"}
	object := []string{"s3:GetObject", "s3:GetObjectVersion"}
	bucketWide := []string(nil)
	if role >= Writer {
		object = append(object, "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
		list = append(list, "s3:ListBucketMultipartUploads")
	}
	if role == Collector {
		object = append(object, "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObjectTagging", "s3:PutObjectVersionTagging", "s3:RestoreObject")
		list = append(list, "s3:ListBucketVersions")
		bucketWide = append(bucketWide, "s3:GetBucketVersioning")
	}
	statements := []statement{
		{"Allow", list, []string{arn}, map[string]map[string][]string{"StringLikeIfExists": {"s3:prefix": prefixes}}},
		{"Allow", object, data, nil},
	}
	if bucketWide != nil {
		statements = append(statements, statement{"Allow", bucketWide, []string{arn}, nil})
	}
	if role >= Writer {
		statements = append(statements,
			statement{"Deny", []string{"s3:PutObject"}, records, map[string]map[string][]string{"Null": {"s3:if-none-match": {"true"}}}},
			statement{"Deny", []string{"s3:DeleteObject", "s3:DeleteObjectVersion"}, records, nil})
	}
	out, err := json.MarshalIndent(map[string]any{"Version": "2012-10-17", "Statement": statements}, "", "  ")
	return string(out), err
}

// noClient stands where no request is made.
type noClient struct{ Client }
