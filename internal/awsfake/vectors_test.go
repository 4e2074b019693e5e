package awsfake_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors/document"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
)

func newIndex(t *testing.T) *s3vectors.Client {
	t.Helper()
	client := awsfake.NewVectors().Client()
	_, err := client.CreateVectorBucket(t.Context(), &s3vectors.CreateVectorBucketInput{VectorBucketName: new("bucket")})
	require.NoError(t, err)
	_, err = client.CreateIndex(t.Context(), docs())
	require.NoError(t, err)
	return client
}

func docs() *s3vectors.CreateIndexInput {
	return &s3vectors.CreateIndexInput{
		VectorBucketName: new("bucket"), IndexName: new("docs"), Dimension: new(int32(2)),
		DataType: types.DataTypeFloat32, DistanceMetric: types.DistanceMetricCosine,
		MetadataConfiguration: &types.MetadataConfiguration{NonFilterableMetadataKeys: []string{"text"}},
	}
}

func vector(key string, components ...float32) types.PutInputVector {
	return types.PutInputVector{
		Key: &key, Data: &types.VectorDataMemberFloat32{Value: components},
		Metadata: document.NewLazyDocument(map[string]any{"name": key, "year": 1843}),
	}
}

func putVectors(t *testing.T, client *s3vectors.Client, vectors ...types.PutInputVector) error {
	t.Helper()
	_, err := client.PutVectors(t.Context(), &s3vectors.PutVectorsInput{VectorBucketName: new("bucket"), IndexName: new("docs"), Vectors: vectors})
	return err
}

func TestVectorsDescribesItsIndexes(t *testing.T) {
	client := newIndex(t)
	_, err := client.CreateVectorBucket(t.Context(), &s3vectors.CreateVectorBucketInput{VectorBucketName: new("bucket")})
	var conflict *types.ConflictException
	require.ErrorAs(t, err, &conflict)
	_, err = client.CreateIndex(t.Context(), docs())
	require.ErrorAs(t, err, &conflict)

	out, err := client.GetIndex(t.Context(), &s3vectors.GetIndexInput{VectorBucketName: new("bucket"), IndexName: new("docs")})
	require.NoError(t, err)
	require.EqualValues(t, 2, *out.Index.Dimension)
	require.Equal(t, types.DistanceMetricCosine, out.Index.DistanceMetric)
	require.Equal(t, []string{"text"}, out.Index.MetadataConfiguration.NonFilterableMetadataKeys)
	require.NotNil(t, out.Index.CreationTime)

	byARN, err := client.GetIndex(t.Context(), &s3vectors.GetIndexInput{IndexArn: out.Index.IndexArn})
	require.NoError(t, err)
	require.Equal(t, out.Index, byARN.Index)

	_, err = client.GetIndex(t.Context(), &s3vectors.GetIndexInput{VectorBucketName: new("bucket"), IndexName: new("gone")})
	var notFound *types.NotFoundException
	require.ErrorAs(t, err, &notFound)
}

func TestVectorsReturnsWhatItWasGiven(t *testing.T) {
	client := newIndex(t)
	require.NoError(t, putVectors(t, client, vector("a", 1, 0), vector("b", 0, 1)))
	require.NoError(t, putVectors(t, client, vector("a", 0.1, 0.5)))

	get := func(in s3vectors.GetVectorsInput) []types.GetOutputVector {
		in.VectorBucketName, in.IndexName = new("bucket"), new("docs")
		out, err := client.GetVectors(t.Context(), &in)
		require.NoError(t, err)
		return out.Vectors
	}
	got := get(s3vectors.GetVectorsInput{Keys: []string{"gone", "a"}, ReturnData: true, ReturnMetadata: true})
	require.Len(t, got, 1)
	require.Equal(t, "a", *got[0].Key)
	require.Equal(t, &types.VectorDataMemberFloat32{Value: []float32{0.1, 0.5}}, got[0].Data)
	var metadata map[string]any
	require.NoError(t, got[0].Metadata.UnmarshalSmithyDocument(&metadata))
	require.Equal(t, "a", metadata["name"])

	got = get(s3vectors.GetVectorsInput{Keys: []string{"b"}})
	require.Nil(t, got[0].Data, "data was not asked for")
	require.Nil(t, got[0].Metadata, "metadata was not asked for")

	_, err := client.DeleteVectors(t.Context(), &s3vectors.DeleteVectorsInput{VectorBucketName: new("bucket"), IndexName: new("docs"), Keys: []string{"a", "gone"}})
	require.NoError(t, err)
	require.Empty(t, get(s3vectors.GetVectorsInput{Keys: []string{"a"}}))
}

func TestVectorsNamesWhatIsAbsentWhenAsked(t *testing.T) {
	f := loaded(t, 1, awsfake.VectorsOptions{NamesAbsent: true})
	status, answer := do(t, f, "GetVectors", `{`+at+`,"keys":["00000","gone"],"returnData":true,"returnMetadata":true}`)
	require.Equal(t, 200, status, "%v", answer)
	require.Contains(t, answer["vectors"], map[string]any{"key": "gone", "data": map[string]any{"float32": []any{}}, "metadata": map[string]any{}})
	require.Len(t, answer["vectors"], 2)
}

func TestVectorsRefusesBadRequests(t *testing.T) {
	client := newIndex(t)
	require.NoError(t, putVectors(t, client, vector("kept", 1, 1)))
	many := slices.Repeat([]types.PutInputVector{vector("a", 1, 1)}, 501)
	index := func(change func(*s3vectors.CreateIndexInput)) error {
		in := docs()
		in.IndexName = new("other")
		change(in)
		_, err := client.CreateIndex(t.Context(), in)
		return err
	}
	keys := make([]string, 101)
	for i := range keys {
		keys[i] = fmt.Sprint(i)
	}
	_, tooMany := client.GetVectors(t.Context(), &s3vectors.GetVectorsInput{VectorBucketName: new("bucket"), IndexName: new("docs"), Keys: keys})
	_, segment := client.ListVectors(t.Context(), &s3vectors.ListVectorsInput{VectorBucketName: new("bucket"), IndexName: new("docs"), SegmentCount: new(int32(2)), SegmentIndex: 2})
	tests := []struct {
		name string
		err  error
	}{
		{"another dimension, and nothing of the request is stored", putVectors(t, client, vector("a", 1, 1), vector("b", 1))},
		{"a zero vector under cosine", putVectors(t, client, vector("a", 0, 0))},
		{"an infinite component", putVectors(t, client, vector("a", math.MaxFloat32, float32(math.Inf(1))))},
		{"an empty key", putVectors(t, client, vector("", 1, 1))},
		{"501 vectors", putVectors(t, client, many...)},
		{"no vectors", putVectors(t, client, many[:0]...)},
		{"101 keys", tooMany},
		{"a segment past the last", segment},
		{"4097 dimensions", index(func(in *s3vectors.CreateIndexInput) { in.Dimension = new(int32(4097)) })},
		{"an unknown metric", index(func(in *s3vectors.CreateIndexInput) { in.DistanceMetric = "dot" })},
		{"a bad name", index(func(in *s3vectors.CreateIndexInput) { in.IndexName = new("Docs") })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, "ValidationException", code(t, tt.err))
		})
	}
	out, err := client.ListVectors(t.Context(), &s3vectors.ListVectorsInput{VectorBucketName: new("bucket"), IndexName: new("docs")})
	require.NoError(t, err)
	require.Len(t, out.Vectors, 1)
}

func TestVectorsListsInPagesAndSegments(t *testing.T) {
	client := newIndex(t)
	var want []string
	for i := range 25 {
		key := fmt.Sprintf("%02d", i)
		want = append(want, key)
		require.NoError(t, putVectors(t, client, vector(key, 1, 1)))
	}
	read := func(in s3vectors.ListVectorsInput) (got []string, pages int) {
		in.VectorBucketName, in.IndexName = new("bucket"), new("docs")
		for {
			out, err := client.ListVectors(t.Context(), &in)
			require.NoError(t, err)
			for _, v := range out.Vectors {
				got = append(got, *v.Key)
			}
			if pages++; aws.ToString(out.NextToken) == "" {
				return got, pages
			}
			in.NextToken = out.NextToken
		}
	}
	got, pages := read(s3vectors.ListVectorsInput{MaxResults: new(int32(10))})
	require.ElementsMatch(t, want, got)
	require.NotEqual(t, want, got, "lists are in no order of keys")
	require.Equal(t, 3, pages)
	_, pages = read(s3vectors.ListVectorsInput{MaxResults: new(int32(24))})
	require.Equal(t, 2, pages)
	_, pages = read(s3vectors.ListVectorsInput{MaxResults: new(int32(25))})
	require.Equal(t, 1, pages)

	var segments []string
	for i := range int32(4) {
		part, _ := read(s3vectors.ListVectorsInput{SegmentCount: new(int32(4)), SegmentIndex: i, MaxResults: new(int32(2))})
		require.NotEmpty(t, part)
		require.Less(t, len(part), len(want))
		segments = append(segments, part...)
	}
	require.ElementsMatch(t, want, segments)
}
