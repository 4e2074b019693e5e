package integration

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3vectors"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors/document"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/genaistore/genaistore/internal/integration/servers"
)

func TestS3Vectors(t *testing.T) {
	targets := []target[*s3vectors.Client]{
		{servers.NameS3Mock, servers.S3Mock},
		{servers.NameLocalS3, servers.LocalS3},
		{servers.NameMoto, func(t testing.TB) *s3vectors.Client { return s3vectors.NewFromConfig(servers.Moto(t)) }},
	}
	runChecks(t, targets, vectorChecks())
}

func vectorChecks() []check[*s3vectors.Client] {
	with := func(prove func(*index) error) func(*testing.T, *s3vectors.Client) error {
		return func(t *testing.T, c *s3vectors.Client) error {
			x, err := newIndex(t, c, dimensions, types.DistanceMetricCosine)
			if err != nil {
				return err
			}
			return prove(x)
		}
	}
	list := []check[*s3vectors.Client]{
		{servers.VectorBuckets, with(vectorBuckets)},
		{servers.VectorBucketConflict, with(vectorBucketConflict)},
		{servers.VectorIndexes, with(vectorIndexes)},
		{servers.IndexARN, with(indexARN)},
		{servers.PutGetVectors, with(putGetVectors)},
		{servers.AbsentKeysOmitted, with(absentKeysOmitted)},
		{servers.PutLimit, with(putLimit)},
		{servers.WrongDimension, with(wrongDimension)},
		{servers.MetadataLimit, with(metadataLimit)},
		{servers.ZeroVector, with(zeroVector)},
		{servers.QueryExact, with(queryExact)},
	}
	for capability, filters := range filters() {
		list = append(list, check[*s3vectors.Client]{capability, with(func(x *index) error { return filtered(x, filters) })})
	}
	return append(list, []check[*s3vectors.Client]{
		{servers.FilterNotFilterable, with(rejectedFilter("text", "chunk v001"))},
		{servers.FilterUnknown, with(rejectedFilter("tenant", map[string]any{"$regex": "t.*"}))},
		{servers.QueryUnrequested, with(queryUnrequested)},
		{servers.QueryDimension, with(queryDimension)},
		{servers.QueryLimit, with(queryLimit)},
		{servers.QueryBeyond100, with(queryBeyond100)},
		{servers.ListPaging, with(listPaging)},
		{servers.ListSegments, with(listSegments)},
		{servers.Overwrite, with(overwrite)},
		{servers.DeletedIsGone, with(deletedIsGone)},
		{servers.Euclidean, euclidean},
		{servers.VectorPolicy, with(vectorPolicy)},
		{servers.VectorTags, with(vectorTags)},
		{servers.VectorNotFound, with(vectorNotFound)},
		{servers.DeleteNotEmpty, with(deleteNotEmpty)},
	}...)
}

const dimensions = 8

// An index of a test is the only one of its bucket. After load it knows what is in it.
type index struct {
	*s3vectors.Client

	t            *testing.T
	bucket, name *string
	vectors      map[string][]float32
	metadata     map[string]map[string]any
}

// newIndex makes a bucket and an index whose key "text" is not filterable.
func newIndex(t *testing.T, c *s3vectors.Client, dimension int32, metric types.DistanceMetric) (*index, error) {
	x := &index{Client: c, t: t, bucket: new(servers.Unique(t, "smoke")), name: new("index")}
	if _, err := c.CreateVectorBucket(t.Context(), &s3vectors.CreateVectorBucketInput{VectorBucketName: x.bucket}); err != nil {
		return nil, err
	}
	t.Cleanup(x.remove)
	_, err := c.CreateIndex(t.Context(), &s3vectors.CreateIndexInput{
		VectorBucketName: x.bucket, IndexName: x.name, DataType: types.DataTypeFloat32,
		Dimension: &dimension, DistanceMetric: metric,
		MetadataConfiguration: &types.MetadataConfiguration{NonFilterableMetadataKeys: []string{"text"}},
	})
	return x, err
}

func (x *index) remove() {
	ctx := contextAfter(x.t)
	_, err1 := x.DeleteIndex(ctx, &s3vectors.DeleteIndexInput{VectorBucketName: x.bucket, IndexName: x.name})
	_, err2 := x.DeleteVectorBucket(ctx, &s3vectors.DeleteVectorBucketInput{VectorBucketName: x.bucket})
	if err := errors.Join(err1, err2); err != nil {
		x.t.Logf("vector bucket %s is left: %v", *x.bucket, err)
		if servers.OnAWS(x.t) {
			x.t.Fail()
		}
	}
}

func float32s(v ...float32) types.VectorData { return &types.VectorDataMemberFloat32{Value: v} }

func (x *index) put(vectors ...types.PutInputVector) error {
	_, err := x.PutVectors(x.t.Context(), &s3vectors.PutVectorsInput{VectorBucketName: x.bucket, IndexName: x.name, Vectors: vectors})
	return err
}

func vector(key string, metadata map[string]any, v ...float32) types.PutInputVector {
	in := types.PutInputVector{Key: &key, Data: float32s(v...)}
	if metadata != nil {
		in.Metadata = document.NewLazyDocument(metadata)
	}
	return in
}

// load puts n vectors v000, v001, … in one request.
func (x *index) load(n int) error {
	random := rand.New(rand.NewPCG(1, 2))
	x.vectors, x.metadata = map[string][]float32{}, map[string]map[string]any{}
	var in []types.PutInputVector
	for i := range n {
		key, v := fmt.Sprintf("v%03d", i), make([]float32, dimensions)
		for j := range v {
			v[j] = float32(random.NormFloat64())
		}
		m := map[string]any{
			"tenant": fmt.Sprintf("t%d", i%3), "year": 2000 + i%25, "ok": i%2 == 0,
			"tags": []string{"a", fmt.Sprint(i % 5)}, "text": "chunk " + key,
		}
		if i%10 == 0 {
			m["rare"] = "x"
		}
		x.vectors[key], x.metadata[key] = v, m
		in = append(in, vector(key, m, v...))
	}
	return x.put(in...)
}

func cosineDistance(a, b []float32) float64 {
	var dot, aa, bb float64
	for i := range a {
		dot += float64(a[i]) * float64(b[i])
		aa += float64(a[i]) * float64(a[i])
		bb += float64(b[i]) * float64(b[i])
	}
	return 1 - dot/math.Sqrt(aa)/math.Sqrt(bb)
}

// nearest is what a query must find: the keys of the k nearest vectors that keep.
func (x *index) nearest(q []float32, k int, keep func(m map[string]any) bool) []string {
	var keys []string
	for key := range x.vectors {
		if keep == nil || keep(x.metadata[key]) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Compare(cosineDistance(q, x.vectors[a]), cosineDistance(q, x.vectors[b]))
	})
	return keys[:min(k, len(keys))]
}

func (x *index) query(q []float32, k int32, with ...func(*s3vectors.QueryVectorsInput)) ([]types.QueryOutputVector, error) {
	in := &s3vectors.QueryVectorsInput{VectorBucketName: x.bucket, IndexName: x.name, QueryVector: float32s(q...), TopK: &k}
	for _, w := range with {
		w(in)
	}
	o, err := x.QueryVectors(x.t.Context(), in)
	if err != nil {
		return nil, err
	}
	return o.Vectors, nil
}

func where(filter any) func(*s3vectors.QueryVectorsInput) {
	return func(in *s3vectors.QueryVectorsInput) { in.Filter = document.NewLazyDocument(filter) }
}

func withAll(in *s3vectors.QueryVectorsInput) { in.ReturnDistance, in.ReturnMetadata = true, true }

func keysOf(vectors []types.QueryOutputVector) []string {
	keys := []string{}
	for _, v := range vectors {
		keys = append(keys, *v.Key)
	}
	return keys
}

func (x *index) get(keys ...string) (map[string]types.GetOutputVector, error) {
	o, err := x.GetVectors(x.t.Context(), &s3vectors.GetVectorsInput{
		VectorBucketName: x.bucket, IndexName: x.name, Keys: keys, ReturnData: true, ReturnMetadata: true,
	})
	if err != nil {
		return nil, err
	}
	found := map[string]types.GetOutputVector{}
	for _, v := range o.Vectors {
		found[*v.Key] = v
	}
	return found, nil
}

func data(v types.VectorData) []float32 {
	if v, ok := v.(*types.VectorDataMemberFloat32); ok {
		return v.Value
	}
	return nil
}

func vectorBuckets(x *index) error {
	o, err := x.GetVectorBucket(x.t.Context(), &s3vectors.GetVectorBucketInput{VectorBucketName: x.bucket})
	if err != nil {
		return err
	}
	l, err := x.ListVectorBuckets(x.t.Context(), &s3vectors.ListVectorBucketsInput{Prefix: x.bucket})
	if err != nil {
		return err
	}
	return errors.Join(same("name", value(o.VectorBucket.VectorBucketName), *x.bucket), same("listed", len(l.VectorBuckets), 1))
}

func vectorBucketConflict(x *index) error {
	_, err := x.CreateVectorBucket(x.t.Context(), &s3vectors.CreateVectorBucketInput{VectorBucketName: x.bucket})
	return failsAs[*types.ConflictException](err)
}

func (x *index) describe() (*types.Index, error) {
	o, err := x.GetIndex(x.t.Context(), &s3vectors.GetIndexInput{VectorBucketName: x.bucket, IndexName: x.name})
	if err != nil {
		return nil, err
	}
	return o.Index, nil
}

func vectorIndexes(x *index) error {
	d, err := x.describe()
	if err != nil {
		return err
	}
	if d.Dimension == nil || d.MetadataConfiguration == nil {
		return errors.New("no dimension or no metadata configuration")
	}
	return errors.Join(same("dimension", *d.Dimension, int32(dimensions)), same("metric", d.DistanceMetric, types.DistanceMetricCosine),
		same("not filterable", d.MetadataConfiguration.NonFilterableMetadataKeys, []string{"text"}))
}

func indexARN(x *index) error {
	if err := x.load(10); err != nil {
		return err
	}
	d, err := x.describe()
	if err != nil {
		return err
	}
	arn := value(d.IndexArn)
	if suffix := ":bucket/" + *x.bucket + "/index/" + *x.name; !strings.HasPrefix(arn, "arn:aws:s3vectors:") || !strings.HasSuffix(arn, suffix) {
		return fmt.Errorf("the ARN is %s", arn)
	}
	o, err := x.GetVectors(x.t.Context(), &s3vectors.GetVectorsInput{IndexArn: &arn, Keys: []string{"v001"}})
	if err != nil {
		return err
	}
	return same("vectors", len(o.Vectors), 1)
}

func putGetVectors(x *index) error {
	if err := x.load(500); err != nil {
		return err
	}
	found, err := x.get("v001", "v499")
	if err != nil {
		return err
	}
	for _, key := range []string{"v001", "v499"} {
		v, ok := found[key]
		if !ok || v.Metadata == nil {
			return fmt.Errorf("%s is absent or has no metadata", key)
		}
		var m map[string]any
		if err := v.Metadata.UnmarshalSmithyDocument(&m); err != nil {
			return err
		}
		if err := errors.Join(
			same("data", data(v.Data), x.vectors[key]), same("tenant", m["tenant"], x.metadata[key]["tenant"]),
			same("ok", m["ok"], x.metadata[key]["ok"]), same("year", fmt.Sprint(m["year"]), fmt.Sprint(x.metadata[key]["year"])),
			same("tags", fmt.Sprint(m["tags"]), fmt.Sprint(x.metadata[key]["tags"])), same("text", m["text"], x.metadata[key]["text"]),
		); err != nil {
			return err
		}
	}
	return nil
}

func absentKeysOmitted(x *index) error {
	if err := x.load(1); err != nil {
		return err
	}
	found, err := x.get("v000", "none")
	if err != nil {
		return err
	}
	return same("vectors", len(found), 1)
}

func ones(n int) []float32 { return slices.Repeat([]float32{1}, n) }

func putLimit(x *index) error {
	var in []types.PutInputVector
	for i := range 501 {
		in = append(in, vector(fmt.Sprint(i), nil, ones(dimensions)...))
	}
	return failsAs[*types.ValidationException](x.put(in...))
}

func wrongDimension(x *index) error {
	return failsAs[*types.ValidationException](x.put(vector("k", nil, ones(dimensions+1)...)))
}

func metadataLimit(x *index) error {
	big := map[string]any{"tenant": strings.Repeat("x", 3000)}
	return failsAs[*types.ValidationException](x.put(vector("k", big, ones(dimensions)...)))
}

func zeroVector(x *index) error {
	return failsAs[*types.ValidationException](x.put(vector("k", nil, make([]float32, dimensions)...)))
}

// list reads a list to its end and counts each key.
func (x *index) list(seen map[string]int, in *s3vectors.ListVectorsInput, with ...func(*s3vectors.Options)) (pages int, err error) {
	in.VectorBucketName, in.IndexName = x.bucket, x.name
	for pages = 1; pages <= 50; pages++ {
		o, err := x.ListVectors(x.t.Context(), in, with...)
		if err != nil {
			return pages, err
		}
		for _, v := range o.Vectors {
			seen[*v.Key]++
		}
		if in.NextToken = o.NextToken; in.NextToken == nil {
			return pages, nil
		}
	}
	return pages, errors.New("a list does not end")
}

func (x *index) each(seen map[string]int) error {
	for key, n := range seen {
		if n != 1 {
			return fmt.Errorf("%s is listed %d times", key, n)
		}
	}
	return same("listed", len(seen), len(x.vectors))
}

func listPaging(x *index) error {
	if err := x.load(250); err != nil {
		return err
	}
	seen := map[string]int{}
	pages, err := x.list(seen, &s3vectors.ListVectorsInput{MaxResults: new(int32(100))})
	return errors.Join(err, same("pages", pages, 3), x.each(seen))
}

func listSegments(x *index) error {
	if err := x.load(250); err != nil {
		return err
	}
	seen := map[string]int{}
	for i := range int32(4) {
		in := &s3vectors.ListVectorsInput{SegmentCount: new(int32(4)), SegmentIndex: i, MaxResults: new(int32(50))}
		if _, err := x.list(seen, in, segmentZero); err != nil {
			return err
		}
	}
	return x.each(seen)
}

// member adds a member to the body of a request, unless it is there: one that the
// SDK does not know, or leaves out.
func member(name, value string) func(o *s3vectors.Options) {
	return func(o *s3vectors.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Build.Add(middleware.BuildMiddlewareFunc(name, func(
				ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler,
			) (middleware.BuildOutput, middleware.Metadata, error) {
				if req, ok := in.Request.(*smithyhttp.Request); ok {
					body, err := io.ReadAll(req.GetStream())
					if err != nil {
						return middleware.BuildOutput{}, middleware.Metadata{}, err
					}
					if !bytes.Contains(body, []byte(`"`+name+`"`)) {
						body = append([]byte(`{"`+name+`":`+value+`,`), bytes.TrimPrefix(body, []byte("{"))...)
					}
					if in.Request, err = req.SetStream(bytes.NewReader(body)); err != nil {
						return middleware.BuildOutput{}, middleware.Metadata{}, err
					}
				}
				return next.HandleBuild(ctx, in)
			}), middleware.Before)
		})
	}
}

// segmentZero sends a segment index of 0, which the SDK leaves out as if it were not
// set; a list of segments is rejected without.
func segmentZero(o *s3vectors.Options) { member("segmentIndex", "0")(o) }

func overwrite(x *index) error {
	if err := x.load(10); err != nil {
		return err
	}
	v := ones(dimensions)
	if err := x.put(vector("v001", object{"tenant": "new"}, v...)); err != nil {
		return err
	}
	found, err := x.get("v001")
	if err != nil {
		return err
	}
	var m map[string]any
	if found["v001"].Metadata == nil {
		return errors.New("no metadata")
	}
	err = found["v001"].Metadata.UnmarshalSmithyDocument(&m)
	return errors.Join(err, same("data", data(found["v001"].Data), v), same("metadata", m, object{"tenant": "new"}))
}

func deletedIsGone(x *index) error {
	if err := x.load(10); err != nil {
		return err
	}
	if _, err := x.DeleteVectors(x.t.Context(), &s3vectors.DeleteVectorsInput{
		VectorBucketName: x.bucket, IndexName: x.name, Keys: []string{"v007", "none"},
	}); err != nil {
		return err
	}
	read, err := x.get("v007")
	if err != nil {
		return err
	}
	if v, ok := read["v007"]; ok && v.Data != nil { // some answer the key alone: see AbsentKeysOmitted
		return errors.New("it is still read")
	}
	found, err := x.query(x.vectors["v007"], 10)
	if err != nil {
		return err
	}
	return errors.Join(same("found", len(found), 9), same("still found", slices.Contains(keysOf(found), "v007"), false))
}

func euclidean(t *testing.T, c *s3vectors.Client) error {
	x, err := newIndex(t, c, 2, types.DistanceMetricEuclidean)
	if err != nil {
		return err
	}
	if err := x.put(vector("far", nil, 3, 4), vector("near", nil, 1, 0)); err != nil {
		return err
	}
	found, err := x.query([]float32{0, 0}, 2, withAll)
	if err != nil {
		return err
	}
	if err := same("keys", keysOf(found), []string{"near", "far"}); err != nil {
		return err
	}
	if found[1].Distance == nil {
		return errors.New("no distance")
	}
	t.Logf("the distance of (0,0) and (3,4) is %v", *found[1].Distance)
	return same("distance", *found[1].Distance, float32(5))
}

func (x *index) bucketARN() (string, error) {
	o, err := x.GetVectorBucket(x.t.Context(), &s3vectors.GetVectorBucketInput{VectorBucketName: x.bucket})
	if err != nil {
		return "", err
	}
	return value(o.VectorBucket.VectorBucketArn), nil
}

func vectorPolicy(x *index) error {
	arn, err := x.bucketARN()
	if err != nil {
		return err
	}
	policy := `{"Version":"2012-10-17","Statement":[{"Sid":"no","Effect":"Deny","Principal":"*","Action":"s3vectors:PutVectorBucketPolicy","Resource":"` + arn +
		`","Condition":{"StringEquals":{"aws:PrincipalTag/none":"none"}}}]}`
	if _, err := x.PutVectorBucketPolicy(x.t.Context(), &s3vectors.PutVectorBucketPolicyInput{VectorBucketName: x.bucket, Policy: &policy}); err != nil {
		return err
	}
	o, err := x.GetVectorBucketPolicy(x.t.Context(), &s3vectors.GetVectorBucketPolicyInput{VectorBucketName: x.bucket})
	if err != nil {
		return err
	}
	if !strings.Contains(value(o.Policy), "PrincipalTag") {
		return fmt.Errorf("policy %s", value(o.Policy))
	}
	return nil
}

func vectorTags(x *index) error {
	arn, err := x.bucketARN()
	if err != nil {
		return err
	}
	if _, err := x.TagResource(x.t.Context(), &s3vectors.TagResourceInput{ResourceArn: &arn, Tags: map[string]string{"a": "b"}}); err != nil {
		return err
	}
	o, err := x.ListTagsForResource(x.t.Context(), &s3vectors.ListTagsForResourceInput{ResourceArn: &arn})
	if err != nil {
		return err
	}
	return same("tags", o.Tags, map[string]string{"a": "b"})
}

func vectorNotFound(x *index) error {
	_, err := x.GetVectors(x.t.Context(), &s3vectors.GetVectorsInput{VectorBucketName: x.bucket, IndexName: new("none"), Keys: []string{"k"}})
	return failsAs[*types.NotFoundException](err)
}

func deleteNotEmpty(x *index) error {
	_, err := x.DeleteVectorBucket(x.t.Context(), &s3vectors.DeleteVectorBucketInput{VectorBucketName: x.bucket})
	return failsAs[*types.ConflictException](err)
}
