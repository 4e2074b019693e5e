package s3index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3vectors"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors/types"

	"github.com/genaistore/genaistore/vectors"
)

// AdminClient is what [EnsureBucket], [EnsureIndex], [UpdateMode] and
// [UpdateDefaultMode] ask of S3 Vectors. *s3vectors.Client implements it.
type AdminClient interface {
	CreateVectorBucket(ctx context.Context, in *s3vectors.CreateVectorBucketInput, opts ...func(*s3vectors.Options)) (*s3vectors.CreateVectorBucketOutput, error)
	GetVectorBucket(ctx context.Context, in *s3vectors.GetVectorBucketInput, opts ...func(*s3vectors.Options)) (*s3vectors.GetVectorBucketOutput, error)
	CreateIndex(ctx context.Context, in *s3vectors.CreateIndexInput, opts ...func(*s3vectors.Options)) (*s3vectors.CreateIndexOutput, error)
	GetIndex(ctx context.Context, in *s3vectors.GetIndexInput, opts ...func(*s3vectors.Options)) (*s3vectors.GetIndexOutput, error)
	ListTagsForResource(ctx context.Context, in *s3vectors.ListTagsForResourceInput, opts ...func(*s3vectors.Options)) (*s3vectors.ListTagsForResourceOutput, error)
	TagResource(ctx context.Context, in *s3vectors.TagResourceInput, opts ...func(*s3vectors.Options)) (*s3vectors.TagResourceOutput, error)
}

// BucketOptions adjusts a vector bucket. A nil *BucketOptions means the defaults.
type BucketOptions struct {
	// KMSKey is the ARN of the key that encrypts what is in the bucket. Empty means
	// a key of S3.
	KMSKey string
	// Tags are given to the bucket; others that it has stay.
	Tags map[string]string
}

// WithDefaults returns what [EnsureBucket] acts on.
func (o *BucketOptions) WithDefaults() BucketOptions { return deref(o) }

// IndexOptions adjusts an index. A nil *IndexOptions means the defaults.
type IndexOptions struct {
	// KMSKey is the ARN of the key that encrypts the index. Empty means the bucket's
	// encryption.
	KMSKey string
	// Mode is the mode that the index must have. Empty means any. The mode is all
	// of an index that can be changed: see [UpdateMode].
	Mode Mode
}

// WithDefaults returns what [EnsureIndex] acts on.
func (o *IndexOptions) WithDefaults() IndexOptions { return deref(o) }

func deref[T any](o *T) (zero T) {
	if o == nil {
		return zero
	}
	return *o
}

// A Report says what an Ensure did and found.
type Report struct {
	Created bool
	Tagged  []string // tags that were added or changed
	Drift   []Drift  // what differs and was left as it is
}

// A Drift is a setting of something that exists which is not as declared.
type Drift struct{ Setting, Have, Want string }

// String says what would have to be done.
func (d Drift) String() string { return fmt.Sprintf("%s: have %s, want %s", d.Setting, d.Have, d.Want) }

// err returns an error that matches vectors.ErrConflict if there is drift.
func (r Report) err(remedy string) error {
	if len(r.Drift) == 0 {
		return nil
	}
	drifts := make([]string, len(r.Drift))
	for i, d := range r.Drift {
		drifts[i] = d.String()
	}
	return fmt.Errorf("%w: %s; %s", vectors.ErrConflict, strings.Join(drifts, "; "), remedy)
}

var keyARN = regexp.MustCompile(`^arn:aws[-a-z0-9]*:kms:[-a-z0-9]+:[0-9]{12}:key/[-a-zA-Z0-9]+$`)

func checkKey(key string) error {
	if key != "" && !keyARN.MatchString(key) {
		return fmt.Errorf("%w: KMS key %q: S3 Vectors takes the ARN of a key, no alias and no id", vectors.ErrInvalid, key)
	}
	return nil
}

func encryption(key string) *types.EncryptionConfiguration {
	if key == "" {
		return nil
	}
	return &types.EncryptionConfiguration{SseType: types.SseTypeAwsKms, KmsKeyArn: &key}
}

// EnsureBucket makes the vector bucket unless it exists, and compares it with opts
// if it does. Tags that it lacks are added. Encryption cannot be changed: if it
// differs the error matches [vectors.ErrConflict] and names both, as the report does.
// Repeating it is safe.
func EnsureBucket(ctx context.Context, client AdminClient, bucket string, opts *BucketOptions) (Report, error) {
	o := opts.WithDefaults()
	report, err := ensureBucket(ctx, client, bucket, o)
	if err == nil {
		err = report.err("make another bucket")
	}
	if err != nil {
		err = fmt.Errorf("ensure bucket %s: %w", bucket, err)
	}
	return report, err
}

func ensureBucket(ctx context.Context, client AdminClient, bucket string, o BucketOptions) (Report, error) {
	if err := cmp.Or(validateNames(bucket, "any"), checkKey(o.KMSKey), vectors.Schema{Tags: o.Tags}.Validate()); err != nil {
		return Report{}, err
	}
	var arn string
	err := exchanged(ctx, new(exchange), func(option func(*s3vectors.Options)) error {
		_, err := client.CreateVectorBucket(ctx, &s3vectors.CreateVectorBucketInput{VectorBucketName: &bucket, EncryptionConfiguration: encryption(o.KMSKey), Tags: o.Tags}, option)
		return err
	})
	if !errors.Is(err, vectors.ErrConflict) {
		return Report{Created: err == nil}, err
	}
	var report Report
	err = exchanged(ctx, new(exchange), func(option func(*s3vectors.Options)) error {
		out, err := client.GetVectorBucket(ctx, &s3vectors.GetVectorBucketInput{VectorBucketName: &bucket}, option)
		if err == nil && out.VectorBucket != nil {
			report.compare("encryption", describeEncryption(out.VectorBucket.EncryptionConfiguration), describeEncryption(encryption(o.KMSKey)))
			if out.VectorBucket.VectorBucketArn != nil {
				arn = *out.VectorBucket.VectorBucketArn
			}
		}
		return err
	})
	if err == nil {
		report.Tagged, err = ensureTags(ctx, client, arn, o.Tags)
	}
	return report, err
}

func describeEncryption(e *types.EncryptionConfiguration) string {
	if e == nil || e.KmsKeyArn == nil {
		return "AES256"
	}
	return *e.KmsKeyArn
}

func (r *Report) compare(setting, have, want string) {
	if have != want {
		r.Drift = append(r.Drift, Drift{setting, have, want})
	}
}

// EnsureIndex makes the index for schema unless it exists, and compares it with
// schema and opts if it does. Tags that it lacks are added. All else cannot be
// changed, but for the mode: if it differs the error matches
// [vectors.ErrConflict] and names each difference, as the report does, and what was
// declared needs an index of another name. Repeating it is safe.
func EnsureIndex(ctx context.Context, client AdminClient, bucket, index string, schema vectors.Schema, opts *IndexOptions) (Report, error) { //nolint:revive // client and names come first everywhere; what is required is positional
	schema = schema.WithDefaults()
	report, err := ensureIndex(ctx, client, address{bucket, index}, schema, opts.WithDefaults())
	if err == nil {
		err = report.err("the mode is changed by UpdateMode, all else needs an index of another name, filled from this one")
	}
	if err != nil {
		err = fmt.Errorf("ensure index %s/%s: %w", bucket, index, err)
	}
	return report, err
}

// An address names an index.
type address struct{ bucket, index string }

func ensureIndex(ctx context.Context, client AdminClient, at address, schema vectors.Schema, o IndexOptions) (Report, error) {
	if err := cmp.Or(validateNames(at.bucket, at.index), checkKey(o.KMSKey), schema.Validate()); err != nil {
		return Report{}, err
	}
	if schema.Dimension == 0 {
		return Report{}, fmt.Errorf("%w: an index of S3 Vectors is made for a dimension, 1 to %d", vectors.ErrInvalid, vectors.MaxDimension)
	}
	in := &s3vectors.CreateIndexInput{
		VectorBucketName: &at.bucket, IndexName: &at.index, DataType: types.DataTypeFloat32, Dimension: new(int32(schema.Dimension)),
		DistanceMetric: types.DistanceMetric(schema.Metric), EncryptionConfiguration: encryption(o.KMSKey), Tags: schema.Tags,
	}
	if len(schema.NonFilterable) > 0 { // an empty list is not valid
		in.MetadataConfiguration = &types.MetadataConfiguration{NonFilterableMetadataKeys: schema.NonFilterable}
	}
	created := true
	err := exchanged(ctx, new(exchange), func(option func(*s3vectors.Options)) error {
		_, err := client.CreateIndex(ctx, in, option)
		return err
	})
	if errors.Is(err, vectors.ErrConflict) {
		created, err = false, nil
	}
	if err != nil {
		return Report{}, err
	}
	return compareIndex(ctx, client, at, schema, o, created)
}

func compareIndex(ctx context.Context, client AdminClient, at address, schema vectors.Schema, o IndexOptions, created bool) (Report, error) { //nolint:revive // one step of ensureIndex
	have, err := getIndex(ctx, client, at.bucket, at.index)
	if err != nil {
		return Report{}, err
	}
	report := Report{Created: created}
	report.compare("dimension", fmt.Sprint(have.Dimension), fmt.Sprint(schema.Dimension))
	report.compare("metric", have.DistanceMetric, string(schema.Metric))
	report.compare("non-filterable keys", sorted(have.schema().NonFilterable), sorted(schema.NonFilterable))
	if o.KMSKey != "" {
		report.compare("encryption", cmp.Or(have.EncryptionConfiguration.KMSKeyARN, "AES256"), o.KMSKey)
	}
	if o.Mode != "" {
		report.compare("mode", cmp.Or(string(have.IndexMode), "none"), string(o.Mode))
	}
	if !created {
		report.Tagged, err = ensureTags(ctx, client, have.ARN, schema.Tags)
	}
	return report, err
}

func sorted(keys []string) string {
	return fmt.Sprint(slices.Sorted(slices.Values(keys)))
}

// ensureTags adds what is missing of tags and returns their keys.
func ensureTags(ctx context.Context, client AdminClient, arn string, tags map[string]string) ([]string, error) {
	if len(tags) == 0 {
		return nil, nil
	}
	have, err := listTags(ctx, client, arn)
	if err != nil {
		return nil, err
	}
	missing := maps.Clone(tags)
	maps.DeleteFunc(missing, func(key, value string) bool {
		given, ok := have[key]
		return ok && given == value
	})
	if len(missing) == 0 {
		return nil, nil
	}
	err = exchanged(ctx, new(exchange), func(option func(*s3vectors.Options)) error {
		_, err := client.TagResource(ctx, &s3vectors.TagResourceInput{ResourceArn: &arn, Tags: missing}, option)
		return err
	})
	return slices.Sorted(maps.Keys(missing)), err
}
