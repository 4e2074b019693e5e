package s3index_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3vectors"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/vectors"
	"github.com/genaistore/genaistore/vectors/s3index"
	"github.com/genaistore/genaistore/vectors/vectorstest"
)

// fast lets tests that are not about pace run at once.
func fast() *s3index.Options {
	return &s3index.Options{RequestsPerSecond: 1e9, VectorsPerSecond: 1e9}
}

// make makes an index of that schema in a fake.
func create(t *testing.T, fake *awsfake.Vectors, schema vectors.Schema) *s3vectors.Client {
	t.Helper()
	client := fake.Client()
	_, err := client.CreateVectorBucket(t.Context(), &s3vectors.CreateVectorBucketInput{VectorBucketName: new("bucket")})
	require.NoError(t, err)
	schema = schema.WithDefaults()
	in := &s3vectors.CreateIndexInput{
		VectorBucketName: new("bucket"), IndexName: new("docs"), DataType: types.DataTypeFloat32, Tags: schema.Tags,
		Dimension: new(int32(schema.Dimension)), DistanceMetric: types.DistanceMetric(schema.Metric),
	}
	if len(schema.NonFilterable) > 0 {
		in.MetadataConfiguration = &types.MetadataConfiguration{NonFilterableMetadataKeys: schema.NonFilterable}
	}
	_, err = client.CreateIndex(t.Context(), in)
	require.NoError(t, err)
	return client
}

func open(t *testing.T, client s3index.Client, opts *s3index.Options) *s3index.Index {
	t.Helper()
	x, err := s3index.New(client, "bucket", "docs", opts)
	require.NoError(t, err)
	return x
}

// newFake returns a fake that fails the test if a filter that we send has two
// readings for a vector that has no lists.
func newFake(t *testing.T) *awsfake.Vectors {
	t.Helper()
	fake := awsfake.NewVectors()
	fake.Options.Ambiguous = func(filter, key string, open []vectors.Ambiguity) {
		for _, a := range open {
			if a.Missing {
				t.Errorf("filter %s on %s: %v", filter, key, a)
			}
		}
	}
	return fake
}

func TestIndexKeepsThePromises(t *testing.T) {
	vectorstest.Run(t, func(t *testing.T, schema vectors.Schema) vectors.Index {
		return open(t, create(t, newFake(t), schema), fast())
	})
}

func TestAnIndexWithEveryOptionKeepsThePromises(t *testing.T) {
	vectorstest.Run(t, func(t *testing.T, schema vectors.Schema) vectors.Index {
		opts := fast()
		opts.Repair, opts.Rescore, opts.NineDigits = true, 2, true
		return open(t, create(t, newFake(t), schema), opts)
	})
}

func FuzzIndex(f *testing.F) {
	vectorstest.Fuzz(f, func(t *testing.T, schema vectors.Schema) vectors.Index {
		return open(t, create(t, newFake(t), schema), fast())
	})
}

func TestATenantKeepsThePromises(t *testing.T) {
	vectorstest.Run(t, func(t *testing.T, schema vectors.Schema) vectors.Index {
		x, err := vectors.Tenant(open(t, create(t, newFake(t), schema), fast()), "acme")
		require.NoError(t, err)
		return x
	})
}

// clientOf has a client send its requests to do.
func clientOf(do s3vectors.HTTPClient) func(*s3vectors.Options) {
	return func(o *s3vectors.Options) { o.HTTPClient = do }
}
