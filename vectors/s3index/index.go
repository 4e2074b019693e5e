// Package s3index keeps vectors in Amazon S3 Vectors.
//
// Make an [Index] with [New] for an index that exists, or create one with
// [EnsureBucket] and [EnsureIndex]. It implements [vectors.Index] and passes its
// suite. Requests are packed by count and by bytes, paced to what an index takes,
// made smaller where the service is short of capacity, and a vector that it
// refuses is set aside and named while the rest goes on.
//
// Beyond the contract, [Index.Load] is a put that is resumed where it was killed;
// [Index.Plan], [Index.Count], [Index.Select] and [Index.Remove] say what a selection
// costs and whether it is complete; [Options] have queries rescored and repaired,
// because the service is approximate; [Index.Exact] misses nothing.
//
// The package speaks the service's API of 2026-09-30 through the service's Go
// client of any version: queries of up to 10,000 matches in pages of 100, index
// and query modes, all segments of a list. It reads and writes the bodies of
// requests to vectors itself, which costs a fraction of the client's time;
// credentials, signing, retries, endpoints and tracing stay the client's.
//
// [Policy] returns the permissions it needs. A query with a filter, or one that
// reads metadata, needs s3vectors:GetVectors beside s3vectors:QueryVectors, and so
// does a list that reads more than keys.
//
// An index takes 1,000 writing requests and 2,500 vectors a second. A Put is
// billed as 128 KB at least, which is about 32 vectors of 1,024 dimensions: put
// many in one call.
package s3index

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/s3vectors"

	"github.com/genaistore/genaistore/internal/pace"
	"github.com/genaistore/genaistore/vectors"
)

// Client is what an [Index] asks of S3 Vectors. *s3vectors.Client implements it.
type Client interface {
	GetIndex(ctx context.Context, in *s3vectors.GetIndexInput, opts ...func(*s3vectors.Options)) (*s3vectors.GetIndexOutput, error)
	ListTagsForResource(ctx context.Context, in *s3vectors.ListTagsForResourceInput, opts ...func(*s3vectors.Options)) (*s3vectors.ListTagsForResourceOutput, error)
	PutVectors(ctx context.Context, in *s3vectors.PutVectorsInput, opts ...func(*s3vectors.Options)) (*s3vectors.PutVectorsOutput, error)
	GetVectors(ctx context.Context, in *s3vectors.GetVectorsInput, opts ...func(*s3vectors.Options)) (*s3vectors.GetVectorsOutput, error)
	DeleteVectors(ctx context.Context, in *s3vectors.DeleteVectorsInput, opts ...func(*s3vectors.Options)) (*s3vectors.DeleteVectorsOutput, error)
	ListVectors(ctx context.Context, in *s3vectors.ListVectorsInput, opts ...func(*s3vectors.Options)) (*s3vectors.ListVectorsOutput, error)
	QueryVectors(ctx context.Context, in *s3vectors.QueryVectorsInput, opts ...func(*s3vectors.Options)) (*s3vectors.QueryVectorsOutput, error)
}

// A Mode says when an index evaluates filters. Indexes in buckets made on or after
// 2026-09-30 are Enhanced.
type Mode string

// The modes.
const (
	Classic  Mode = "CLASSIC"  // while it searches
	Enhanced Mode = "ENHANCED" // before it searches; at most 100 constraints, and StartsWith works
)

// Options adjusts an Index. A nil *Options means the defaults.
type Options struct {
	// QueryMode is sent with each query. Empty means the mode of the index, but
	// Enhanced for a filter with StartsWith, which knows no other.
	QueryMode Mode
	// Rescore is how many candidates a query reads for each match it is asked for,
	// with their data: matches are then ordered by distances computed here, which
	// those of the service are near to. 1 corrects the order, more find neighbours
	// that the service ranked too low. It costs a page and a request for data for
	// each 100 candidates. 0 means none.
	Rescore int
	// Repair has a query that finds fewer than TopK matches list the index for what
	// it missed, so that it yields all there are up to TopK. It costs such a query a
	// pass over the index, of metadata if there is a filter, and a request for data
	// for each 100 missed; others cost what they do without. Queries for more than
	// there is are such queries.
	Repair bool
	// Shortfall is called for each query that finds fewer than TopK matches and was
	// not left before, from the goroutine of its loop.
	Shortfall func(Shortfall)
	// Concurrency is how many requests one call has under way. 0 means 8.
	Concurrency int
	// Segments is how many parts of an index a list reads at a time, 1 to 16, once
	// there is more than a page. 0 means 16.
	Segments int
	// RequestsPerSecond and VectorsPerSecond are what this Index writes at most.
	// 0 means 1,000 and 2,500, which is what S3 Vectors takes; give less where
	// several processes write to one index.
	RequestsPerSecond float64
	VectorsPerSecond  float64
	// NineDigits has a Put write each number of a vector with nine digits and not with
	// as few as it needs. That takes less than half of the time and makes requests
	// about a tenth longer, so about a tenth dearer. What is stored is the same: the
	// text is off by at most 5e-9 of the number, a third of what could be read as
	// another float32.
	NineDigits bool
	// BodyBytes is the most a request to put vectors may have. 0 means 20 MiB,
	// which is what S3 Vectors takes.
	BodyBytes int
}

// WithDefaults returns what an Index acts on.
func (o *Options) WithDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	opts.Concurrency = cmp.Or(opts.Concurrency, 8)
	opts.Segments = cmp.Or(opts.Segments, 16)
	opts.RequestsPerSecond = cmp.Or(opts.RequestsPerSecond, 1000)
	opts.VectorsPerSecond = cmp.Or(opts.VectorsPerSecond, 2500)
	opts.BodyBytes = cmp.Or(opts.BodyBytes, 20<<20)
	return opts
}

func (o Options) validate() error {
	switch {
	case o.QueryMode != "" && o.QueryMode != Classic && o.QueryMode != Enhanced:
		return fmt.Errorf("%w: query mode %q: %q or %q", vectors.ErrInvalid, o.QueryMode, Classic, Enhanced)
	case o.Rescore < 0 || o.Rescore > vectors.MaxTopK:
		return fmt.Errorf("%w: %d candidates a match: from 0 to %d", vectors.ErrInvalid, o.Rescore, vectors.MaxTopK)
	case o.Segments < 1 || o.Segments > 16:
		return fmt.Errorf("%w: %d segments: from 1 to 16", vectors.ErrInvalid, o.Segments)
	case o.Concurrency < 1, o.RequestsPerSecond <= 0, o.VectorsPerSecond <= 0, o.BodyBytes < 1:
		return fmt.Errorf("%w: concurrency, rates and body bytes are positive", vectors.ErrInvalid)
	}
	return nil
}

// An Index is a [vectors.Index] on one index of S3 Vectors. It is safe for
// concurrent use.
type Index struct {
	client       Client
	bucket, name string
	opts         Options
	governor     *pace.Pacer // of requests and of vectors

	mu          sync.Mutex
	description *description // nil until it is read
	tags        map[string]string
}

var _ vectors.Index = (*Index)(nil)

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)
	indexName  = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
)

func validateNames(bucket, index string) error {
	if !bucketName.MatchString(bucket) {
		return fmt.Errorf("%w: vector bucket %q: 3 to 63 of a-z, 0-9 and hyphens, no hyphen at the ends", vectors.ErrInvalid, bucket)
	}
	if !indexName.MatchString(index) {
		return fmt.Errorf("%w: index %q: 3 to 63 of a-z, 0-9, hyphens and dots, a letter or digit at the ends", vectors.ErrInvalid, index)
	}
	return nil
}

// New returns the index of that name in a vector bucket. It asks nothing of the
// service: an index that is not there shows at its first use, as
// [vectors.ErrNotFound]. A name or option that cannot be is [vectors.ErrInvalid].
func New(client Client, bucket, index string, opts *Options) (*Index, error) {
	o := opts.WithDefaults()
	if err := cmp.Or(validateNames(bucket, index), o.validate()); err != nil {
		return nil, fmt.Errorf("new index: %w", err)
	}
	return &Index{client: client, bucket: bucket, name: index, opts: o, governor: pace.New(o.RequestsPerSecond, o.VectorsPerSecond)}, nil
}

// Describe implements [vectors.Index]. What it returns is read once: nothing but
// tags can change in an index that exists.
func (x *Index) Describe(ctx context.Context) (vectors.Schema, error) {
	d, err := x.describe(ctx)
	if err != nil {
		return vectors.Schema{}, x.wrap("describe", err)
	}
	tags, err := x.readTags(ctx, d.ARN)
	if err != nil {
		return vectors.Schema{}, x.wrap("describe", err)
	}
	s := d.schema()
	s.NonFilterable = slices.Clone(s.NonFilterable)
	s.Tags = maps.Clone(tags)
	return s, nil
}

// A description is what GetIndex answers.
type description struct {
	Dimension             int    `json:"dimension"`
	DistanceMetric        string `json:"distanceMetric"`
	ARN                   string `json:"indexArn"`
	IndexMode             Mode   `json:"indexMode"`
	MetadataConfiguration struct {
		NonFilterableMetadataKeys []string `json:"nonFilterableMetadataKeys"`
	} `json:"metadataConfiguration"`
	EncryptionConfiguration struct {
		KMSKeyARN string `json:"kmsKeyArn"`
	} `json:"encryptionConfiguration"`
}

func (d *description) schema() vectors.Schema {
	return vectors.Schema{Dimension: d.Dimension, Metric: vectors.Metric(d.DistanceMetric), NonFilterable: d.MetadataConfiguration.NonFilterableMetadataKeys}
}

// describe reads the description, or returns the one it has.
func (x *Index) describe(ctx context.Context) (*description, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	x.mu.Lock()
	known := x.description
	x.mu.Unlock()
	if known != nil {
		return known, nil
	}
	read, err := getIndex(ctx, x.client, x.bucket, x.name)
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.description = read
	return read, nil
}

func (x *Index) schema(ctx context.Context) (vectors.Schema, error) {
	d, err := x.describe(ctx)
	if err != nil {
		return vectors.Schema{}, err
	}
	return d.schema(), nil
}

func (x *Index) readTags(ctx context.Context, arn string) (map[string]string, error) {
	x.mu.Lock()
	known := x.tags
	x.mu.Unlock()
	if known != nil {
		return known, nil
	}
	tags, err := listTags(ctx, x.client, arn)
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.tags = tags
	return tags, nil
}

// wrap says what failed, on which index.
func (x *Index) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s/%s: %w", op, x.bucket, x.name, err)
}
