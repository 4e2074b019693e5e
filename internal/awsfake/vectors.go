package awsfake

// The fake of Amazon S3 Vectors lacks, and refuses:
//
//   - queries, policies, tags, encryption, deleting and listing of indexes and buckets
//   - the limits on the size and number of metadata keys
//
// Like the service it is strongly consistent.

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors"
)

// Vectors is a fake of Amazon S3 Vectors.
type Vectors struct {
	Server
	mu      sync.Mutex
	buckets map[string]map[string]*index
}

type index struct {
	description indexDescription
	vectors     map[string]vector
}

type indexDescription struct {
	VectorBucketName      string          `json:"vectorBucketName"`
	IndexName             string          `json:"indexName"`
	IndexArn              string          `json:"indexArn"`
	DataType              string          `json:"dataType"`
	Dimension             int             `json:"dimension"`
	DistanceMetric        string          `json:"distanceMetric"`
	MetadataConfiguration json.RawMessage `json:"metadataConfiguration,omitempty"`
	CreationTime          float64         `json:"creationTime"`
}

type vector struct {
	Key      string          `json:"key"`
	Data     *vectorData     `json:"data,omitempty"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

type vectorData struct {
	Float32 []float32 `json:"float32"`
}

// NewVectors returns a fake without buckets.
func NewVectors() *Vectors {
	f := &Vectors{buckets: map[string]map[string]*index{}}
	f.Server = Server{service: "s3vectors", serve: f.handle}
	return f
}

// Client returns a client of the fake.
func (f *Vectors) Client(options ...func(*s3vectors.Options)) *s3vectors.Client {
	return s3vectors.New(s3vectors.Options{Region: region, HTTPClient: &f.Server, Credentials: aws.CredentialsProviderFunc(retrieve)}, options...)
}

// isVectors reports whether r is a request to S3 Vectors, whose path is the
// operation.
func isVectors(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Authorization"), "/s3vectors/aws4_request")
}

func (f *Vectors) operations() map[string]func(*http.Request) (any, error) {
	return map[string]func(*http.Request) (any, error){
		"CreateVectorBucket": f.createBucket,
		"CreateIndex":        f.createIndex,
		"GetIndex":           f.getIndex,
		"PutVectors":         f.put,
		"GetVectors":         f.get,
		"DeleteVectors":      f.remove,
		"ListVectors":        f.list,
	}
}

func (f *Vectors) handle(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	operation, ok := f.operations()[Operation(r)]
	if !ok || r.Method != http.MethodPost {
		Fail(w, r, http.StatusNotImplemented, "NotImplemented", "the fake does not know "+r.Method+" "+r.URL.Path)
		return
	}
	answer, err := operation(r)
	var refused *failure
	switch {
	case err == nil:
		answerJSON(w, http.StatusOK, answer)
	case errors.As(err, &refused):
		Fail(w, r, refused.status, refused.code, refused.message)
	default:
		Fail(w, r, http.StatusBadRequest, "ValidationException", err.Error())
	}
}

func absent(what string) error {
	return &failure{http.StatusNotFound, "NotFoundException", "The specified " + what + " could not be found"}
}

var vectorName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func (f *Vectors) createBucket(r *http.Request) (any, error) {
	var in struct{ VectorBucketName string }
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if !vectorName.MatchString(in.VectorBucketName) {
		return nil, invalid("vectorBucketName %q", in.VectorBucketName)
	}
	if _, ok := f.buckets[in.VectorBucketName]; ok {
		return nil, &failure{http.StatusConflict, "ConflictException", "A vector bucket with the specified name already exists"}
	}
	f.buckets[in.VectorBucketName] = map[string]*index{}
	return map[string]string{"vectorBucketArn": arn(in.VectorBucketName, "")}, nil
}

func arn(bucket, index string) string {
	name := fmt.Sprintf("arn:aws:s3vectors:%s:%s:bucket/%s", region, account, bucket)
	if index != "" {
		name += "/index/" + index
	}
	return name
}

func (f *Vectors) createIndex(r *http.Request) (any, error) {
	var in struct {
		VectorBucketName, VectorBucketArn, IndexName, DataType, DistanceMetric string
		Dimension                                                              int
		MetadataConfiguration                                                  json.RawMessage
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	name := cmp.Or(in.VectorBucketName, strings.TrimPrefix(in.VectorBucketArn, arn("", "")))
	bucket, ok := f.buckets[name]
	switch _, exists := bucket[in.IndexName]; {
	case !ok:
		return nil, absent("vector bucket")
	case exists:
		return nil, &failure{http.StatusConflict, "ConflictException", "An index with the specified name already exists"}
	case !vectorName.MatchString(in.IndexName):
		return nil, invalid("indexName %q", in.IndexName)
	case in.Dimension < 1 || in.Dimension > 4096:
		return nil, invalid("dimension %d, want 1 to 4096", in.Dimension)
	case in.DataType != "float32":
		return nil, invalid("dataType %q, want float32", in.DataType)
	case in.DistanceMetric != "cosine" && in.DistanceMetric != "euclidean":
		return nil, invalid("distanceMetric %q, want cosine or euclidean", in.DistanceMetric)
	}
	bucket[in.IndexName] = &index{
		description: indexDescription{
			name, in.IndexName, arn(name, in.IndexName), in.DataType, in.Dimension, in.DistanceMetric,
			in.MetadataConfiguration, float64(time.Now().UnixMilli()) / 1000,
		},
		vectors: map[string]vector{},
	}
	return map[string]string{"indexArn": arn(name, in.IndexName)}, nil
}

// address names an index, in either of the two ways that requests have.
type address struct{ VectorBucketName, IndexName, IndexArn string }

func (f *Vectors) index(at address) (*index, error) {
	bucket, name := at.VectorBucketName, at.IndexName
	if at.IndexArn != "" {
		if bucket != "" || name != "" {
			return nil, invalid("either indexArn, or vectorBucketName and indexName")
		}
		bucket, name, _ = strings.Cut(strings.TrimPrefix(at.IndexArn, arn("", "")), "/index/")
	}
	found, ok := f.buckets[bucket][name]
	if !ok {
		return nil, absent("index")
	}
	return found, nil
}

func (f *Vectors) getIndex(r *http.Request) (any, error) {
	var in address
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	found, err := f.index(in)
	if err != nil {
		return nil, err
	}
	return map[string]any{"index": found.description}, nil
}

func (f *Vectors) put(r *http.Request) (any, error) {
	var in struct {
		address
		Vectors []vector
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	found, err := f.index(in.address)
	if err != nil {
		return nil, err
	}
	if len(in.Vectors) < 1 || len(in.Vectors) > 500 {
		return nil, invalid("%d vectors, want 1 to 500", len(in.Vectors))
	}
	for _, v := range in.Vectors {
		if err := found.validate(v); err != nil {
			return nil, err
		}
	}
	for _, v := range in.Vectors {
		found.vectors[v.Key] = v
	}
	return map[string]any{}, nil
}

func (x *index) validate(v vector) error {
	norm := 0.0
	if v.Data != nil {
		for _, component := range v.Data.Float32 {
			norm += float64(component) * float64(component)
		}
	}
	switch {
	case v.Key == "" || len(v.Key) > 1024:
		return invalid("key of %d bytes, want 1 to 1024", len(v.Key))
	case v.Data == nil || len(v.Data.Float32) != x.description.Dimension:
		return invalid("Invalid record for key '%s': vector must have length %d", v.Key, x.description.Dimension)
	case norm == 0 && x.description.DistanceMetric == "cosine":
		return invalid("Invalid record for key '%s': zero vector with cosine distance", v.Key)
	}
	return nil
}

func (f *Vectors) get(r *http.Request) (any, error) {
	var in struct {
		address
		Keys                       []string
		ReturnData, ReturnMetadata bool
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	found, err := f.index(in.address)
	if err != nil {
		return nil, err
	}
	if len(in.Keys) < 1 || len(in.Keys) > 100 {
		return nil, invalid("%d keys, want 1 to 100", len(in.Keys))
	}
	return map[string]any{"vectors": found.pick(in.Keys, in.ReturnData, in.ReturnMetadata)}, nil
}

// pick returns the vectors that are there, with what the request asked for.
func (x *index) pick(keys []string, data, metadata bool) []vector {
	picked := []vector{}
	for _, key := range keys {
		v, ok := x.vectors[key]
		if !ok {
			continue
		}
		if !data {
			v.Data = nil
		}
		if !metadata {
			v.Metadata = nil
		}
		picked = append(picked, v)
	}
	return picked
}

func (f *Vectors) remove(r *http.Request) (any, error) {
	var in struct {
		address
		Keys []string
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	found, err := f.index(in.address)
	if err != nil {
		return nil, err
	}
	if len(in.Keys) < 1 || len(in.Keys) > 500 {
		return nil, invalid("%d keys, want 1 to 500", len(in.Keys))
	}
	for _, key := range in.Keys {
		delete(found.vectors, key)
	}
	return map[string]any{}, nil
}

func (f *Vectors) list(r *http.Request) (any, error) {
	var in struct {
		address
		MaxResults, SegmentCount, SegmentIndex int
		NextToken                              string
		ReturnData, ReturnMetadata             bool
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	found, err := f.index(in.address)
	if err != nil {
		return nil, err
	}
	limit, segments := cmp.Or(in.MaxResults, 500), cmp.Or(in.SegmentCount, 1)
	if limit < 1 || limit > 1000 || segments < 1 || segments > 16 || in.SegmentIndex < 0 || in.SegmentIndex >= segments {
		return nil, invalid("maxResults %d, segment %d of %d", limit, in.SegmentIndex, segments)
	}
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(found.vectors)), func(key string) bool {
		return key <= in.NextToken || segment(key, segments) != in.SegmentIndex
	})
	answer := map[string]any{}
	if len(keys) > limit {
		keys = keys[:limit]
		answer["nextToken"] = keys[limit-1]
	}
	answer["vectors"] = found.pick(keys, in.ReturnData, in.ReturnMetadata)
	return answer, nil
}

func segment(key string, segments int) int {
	hash := fnv.New32a()
	hash.Write([]byte(key))
	return int(hash.Sum32() % uint32(segments))
}
