package integration

import (
	"context"
	"path"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3vectors"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/integration/servers"
	"github.com/genaistore/genaistore/vectors"
	"github.com/genaistore/genaistore/vectors/s3index"
	"github.com/genaistore/genaistore/vectors/vectorstest"
)

// The promises of vectors.Index that a server keeps us from keeping, each with
// what it does otherwise.
const (
	topKTo100      = "TopK of more than 100 is refused"
	absentReturned = "keys of vectors that are not there are returned, without data"
	noStartsWith   = "$startsWith is refused"
	orderOfText    = "an order fails the query if a value is no number"
)

var (
	s3MockBreaks = map[string]string{
		"TopK is from 1 to 10,000":                                          topKTo100,
		"Query yields more than a page":                                     topKTo100,
		"Query yields all if there are fewer than TopK":                     topKTo100,
		"Query never yields one that does not match":                        topKTo100,
		"filters carry any number of values":                                topKTo100,
		"Get keeps the order of keys, leaves absent ones out, repeats none": absentReturned,
		"Delete by keys removes these, and absent ones are no error":        absentReturned,
		"a vector written by many at once is one of theirs":                 "data and metadata are written one after the other",
	}
	localS3Breaks = map[string]string{
		"keys are case-sensitive and of any characters":                "keys of space alone are lost",
		"an order selects numbers and no lists, strings or booleans":   orderOfText,
		"Or selects what any selects, and of nothing nothing":          orderOfText,
		"StartsWith selects strings that begin so, and lists with one": noStartsWith,
		"And selects what all select":                                  noStartsWith,
		"And and Or nest":                                              noStartsWith,
		"Describe returns what the index was made for":                 "indexes have no tags",
	}
)

func TestS3IndexOnS3Mock(t *testing.T) {
	runS3Index(t, func(t testing.TB) vectorClient { return servers.S3Mock(t) }, s3MockBreaks)
}

func TestS3IndexOnLocalS3(t *testing.T) {
	runS3Index(t, func(t testing.TB) vectorClient { return untagged{servers.LocalS3(t)} }, localS3Breaks)
}

// A vectorClient is what making, using and removing an index takes.
type vectorClient interface {
	s3index.Client
	s3index.AdminClient
	DeleteIndex(ctx context.Context, in *s3vectors.DeleteIndexInput, opts ...func(*s3vectors.Options)) (*s3vectors.DeleteIndexOutput, error)
	DeleteVectorBucket(ctx context.Context, in *s3vectors.DeleteVectorBucketInput, opts ...func(*s3vectors.Options)) (*s3vectors.DeleteVectorBucketOutput, error)
}

// forgetful is a client of a server that does not say which keys are not filterable.
type forgetful struct{ *s3vectors.Client }

// untagged is a client of a server that has no tags of indexes.
type untagged struct{ *s3vectors.Client }

func (untagged) ListTagsForResource(context.Context, *s3vectors.ListTagsForResourceInput, ...func(*s3vectors.Options)) (*s3vectors.ListTagsForResourceOutput, error) {
	return &s3vectors.ListTagsForResourceOutput{}, nil
}

func runS3Index(t *testing.T, client func(testing.TB) vectorClient, breaks map[string]string) {
	vectorstest.Run(t, func(t *testing.T, schema vectors.Schema) vectors.Index {
		c := client(t)
		promise := strings.ReplaceAll(path.Base(t.Name()), "_", " ")
		if how, ok := breaks[promise]; ok && !servers.OnAWS(t) {
			t.Skipf("known gap: %s", how)
		}
		return newS3Index(t, c, schema)
	})
}

// newS3Index makes an index in a bucket of its own.
func newS3Index(t *testing.T, client vectorClient, schema vectors.Schema) *s3index.Index {
	t.Helper()
	return openS3Index(t, client, newS3Bucket(t, client, schema), s3index.Options{})
}

// newS3Bucket makes a bucket with an index, for as long as the test runs.
func newS3Bucket(t *testing.T, client vectorClient, schema vectors.Schema) string {
	t.Helper()
	bucket := servers.Unique(t, "s3index")
	_, err := s3index.EnsureBucket(t.Context(), client, bucket, nil)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, name := contextAfter(t), "docs"
		_, err := client.DeleteIndex(ctx, &s3vectors.DeleteIndexInput{VectorBucketName: &bucket, IndexName: &name})
		require.NoError(t, err)
		_, err = client.DeleteVectorBucket(ctx, &s3vectors.DeleteVectorBucketInput{VectorBucketName: &bucket})
		require.NoError(t, err)
	})
	report, err := s3index.EnsureIndex(t.Context(), client, bucket, "docs", schema, nil)
	if _, forgets := client.(forgetful); forgets && len(report.Drift) == 1 && report.Drift[0].Setting == "non-filterable keys" {
		err = nil
	}
	require.NoError(t, err)
	return bucket
}

func openS3Index(t *testing.T, client vectorClient, bucket string, o s3index.Options) *s3index.Index {
	t.Helper()
	if !servers.OnAWS(t) { // no emulator has the limits of the service
		o.RequestsPerSecond, o.VectorsPerSecond = 1e9, 1e9
	}
	x, err := s3index.New(client, bucket, "docs", &o)
	require.NoError(t, err)
	return x
}

func TestS3IndexOnMoto(t *testing.T) {
	runS3Index(t, func(t testing.TB) vectorClient { return forgetful{s3vectors.NewFromConfig(servers.Moto(t))} }, motoBreaks())
}
