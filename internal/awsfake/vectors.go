package awsfake

// The fake of Amazon S3 Vectors answers all operations of the service, among
// them those that version 1.7.2 of its Go client lacks. It is exact where the
// service is approximate, unless [VectorsOptions] ask for weather, and strongly
// consistent, like the service. It lacks:
//
//   - permissions: policies are kept and not evaluated, keys of KMS are not looked up
//   - quotas on the number of buckets, indexes and requests
//   - the texts of some errors, which nobody has recorded: of expired page tokens,
//     of sizes of metadata beside the filterable, and of values that are no scalars

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors"

	"github.com/genaistore/genaistore/vectors"
)

// VectorsOptions change what a fake of S3 Vectors is like.
type VectorsOptions struct {
	// Seed decides the order of lists, and the weather.
	Seed uint64
	// Classic makes new buckets like those from before 2026-09-30, which have
	// CLASSIC as their default index mode until that is changed.
	Classic bool
	// TokenLife is how long the token of a page of matches lives. 0 means 5 minutes.
	TokenLife time.Duration
	// Unavailable is the most vectors a Put may have before it is answered with a
	// ServiceUnavailableException. 0 means any number.
	Unavailable int
	// Throttle is the share of requests to vectors that are answered with a
	// TooManyRequestsException.
	Throttle float64
	// Shortfall is the share of matches that a query with a filter misses.
	Shortfall float64
	// NamesAbsent has a Get name keys that are not stored too, with data of no
	// elements, as some servers do and the service does not.
	NamesAbsent bool
	// Ambiguous is called for each vector that a filter selects in one reading of
	// what AWS leaves open and not in another.
	Ambiguous func(filter, key string, open []vectors.Ambiguity)
}

// Vectors is a fake of Amazon S3 Vectors. It is an [http.Handler] for clients in
// any language too: these sign for us-east-1 with "test" as both keys.
type Vectors struct {
	Server

	// Options must not change once there are requests.
	Options VectorsOptions

	mu      sync.Mutex
	buckets map[string]*vectorBucket
	tokens  map[string]*matchPages
	serial  uint64 // of tokens, and of what the weather decides
}

// NewVectors returns a fake without buckets.
func NewVectors() *Vectors {
	f := &Vectors{buckets: map[string]*vectorBucket{}, tokens: map[string]*matchPages{}}
	f.Server = Server{service: "s3vectors", serve: f.handle}
	return f
}

// Client returns a client of the fake.
func (f *Vectors) Client(options ...func(*s3vectors.Options)) *s3vectors.Client {
	return s3vectors.New(s3vectors.Options{Region: region, HTTPClient: &f.Server, Credentials: aws.CredentialsProviderFunc(retrieve)}, options...)
}

// ServeHTTP implements [http.Handler].
func (f *Vectors) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, ok := r.Body.(payload); !ok {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r = r.Clone(r.Context())
		r.Body = payload{bytes.NewReader(data), data}
	}
	f.Server.ServeHTTP(w, r)
}

// isVectors reports whether r is a request to S3 Vectors, whose path is the
// operation.
func isVectors(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Authorization"), "/s3vectors/aws4_request")
}

func (f *Vectors) operations() map[string]func(*http.Request) (any, error) {
	return map[string]func(*http.Request) (any, error){
		"CreateVectorBucket":              f.createBucket,
		"GetVectorBucket":                 f.getBucket,
		"ListVectorBuckets":               f.listBuckets,
		"DeleteVectorBucket":              f.deleteBucket,
		"PutVectorBucketPolicy":           f.putPolicy,
		"GetVectorBucketPolicy":           f.getPolicy,
		"DeleteVectorBucketPolicy":        f.deletePolicy,
		"PutVectorBucketDefaultIndexMode": f.putDefaultMode,
		"CreateIndex":                     f.createIndex,
		"GetIndex":                        f.getIndex,
		"ListIndexes":                     f.listIndexes,
		"DeleteIndex":                     f.deleteIndex,
		"UpdateIndexMode":                 f.updateMode,
		"PutVectors":                      f.put,
		"GetVectors":                      f.get,
		"DeleteVectors":                   f.remove,
		"ListVectors":                     f.list,
		"QueryVectors":                    f.query,
	}
}

// maxVectorsBody is the most bytes a request may have.
const maxVectorsBody = 20 << 20

func (f *Vectors) handle(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	operation, ok := f.operations()[Operation(r)]
	if ok && r.Method != http.MethodPost {
		ok = false
	}
	if resource, isTags := strings.CutPrefix(r.URL.Path, "/tags/"); isTags {
		operation, ok = func(r *http.Request) (any, error) { return f.tags(r, resource) }, true
	}
	if !ok {
		Fail(w, r, http.StatusNotImplemented, "NotImplemented", "the fake does not know "+r.Method+" "+r.URL.Path)
		return
	}
	var answer any
	err := f.weather(r)
	if err == nil && len(body(r)) > maxVectorsBody {
		err = invalid("Request body exceeds max allowed size")
	}
	if err == nil {
		answer, err = operation(r)
	}
	answerVectors(w, r, answer, err)
}

func answerVectors(w http.ResponseWriter, r *http.Request, answer any, err error) {
	var refused *failure
	var record *recordFailure
	switch {
	case err == nil:
		answerJSON(w, http.StatusOK, answer)
	case errors.As(err, &record):
		w.Header().Set("X-Amzn-Errortype", "ValidationException")
		answerJSON(w, http.StatusBadRequest, map[string]any{
			"message": record.message, "fieldList": []map[string]string{{"path": record.path, "message": record.message}},
		})
	case errors.As(err, &refused):
		Fail(w, r, refused.status, refused.code, refused.message)
	default:
		Fail(w, r, http.StatusBadRequest, "ValidationException", err.Error())
	}
}

// A recordFailure is about one member of the request.
type recordFailure struct{ path, message string }

func (f *recordFailure) Error() string { return f.message }

// weather says whether a request to vectors fails today.
func (f *Vectors) weather(r *http.Request) error {
	operation := Operation(r)
	if !strings.HasSuffix(operation, "Vectors") {
		return nil
	}
	if f.Options.Throttle > 0 && f.chance(f.Options.Throttle) {
		return &failure{http.StatusTooManyRequests, "TooManyRequestsException", "Too many requests"}
	}
	if most := f.Options.Unavailable; most > 0 && operation == "PutVectors" {
		var in struct{ Vectors []json.RawMessage }
		if err := json.Unmarshal(body(r), &in); err == nil && len(in.Vectors) > most {
			return &failure{http.StatusServiceUnavailable, "ServiceUnavailableException", "Currently unable to handle the request"}
		}
	}
	return nil
}

// chance is true for a share of its calls, the same ones for a seed.
func (f *Vectors) chance(share float64) bool {
	f.serial++
	return float64(mix(f.Options.Seed^mix(f.serial))>>11)/(1<<53) < share
}

// mix is the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func absent(what string) error {
	return &failure{http.StatusNotFound, "NotFoundException", "The specified " + what + " could not be found"}
}

func conflict(message string) error {
	return &failure{http.StatusConflict, "ConflictException", message}
}

// unmet is how the service says that a member breaks its model.
func unmet(member, rule string) error {
	return invalid("1 validation error detected. Value at '/%s' failed to satisfy constraint: Member must %s", member, rule)
}

// checkLength refuses names longer than all names may be.
func checkLength(member, value string, least int) error {
	const most = 63
	if n := utf8.RuneCountInString(value); n < least || n > most {
		return invalid("1 validation error detected. Value with length %d at '/%s' failed to satisfy constraint: Member must have length between %d and %d, inclusive", n, member, least, most)
	}
	return nil
}

// checkRange refuses what is given and out of range.
func checkRange(member string, value *int, least, most int) error {
	if value != nil && (*value < least || *value > most) {
		return unmet(member, fmt.Sprintf("be between %d and %d, inclusive", least, most))
	}
	return nil
}

func checkEnum(member, value string, of ...string) error {
	if slices.Contains(of, value) {
		return nil
	}
	return unmet(member, "satisfy enum value set: ["+strings.Join(of, ", ")+"]")
}

var (
	vectorBucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*[a-z0-9]$`)
	vectorIndexName  = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*[a-z0-9]$`)
	kmsKeyARN        = regexp.MustCompile(`^arn:aws[-a-z0-9]*:kms:[-a-z0-9]*:[0-9]{12}:key/.+$`)
)

func arn(bucket, index string) string {
	name := fmt.Sprintf("arn:aws:s3vectors:%s:%s:bucket/%s", region, account, bucket)
	if index != "" {
		name += "/index/" + index
	}
	return name
}

// now is a time as the service writes it.
func now() float64 { return float64(time.Now().UnixMilli()) / 1000 }

// bucketAddress names a bucket, in either of the two ways that requests have.
type bucketAddress struct{ VectorBucketName, VectorBucketArn string }

func (f *Vectors) bucket(at bucketAddress) (*vectorBucket, error) {
	if (at.VectorBucketName == "") == (at.VectorBucketArn == "") {
		return nil, invalid("Must specify either vectorBucketName or vectorBucketArn but not both")
	}
	found, ok := f.buckets[cmp.Or(at.VectorBucketName, strings.TrimPrefix(at.VectorBucketArn, arn("", "")))]
	if !ok {
		return nil, absent("vector bucket")
	}
	return found, nil
}

// address names an index, in either of the two ways that requests have.
type address struct{ VectorBucketName, IndexName, IndexArn string }

func (f *Vectors) index(at address) (*vectorIndex, error) {
	bucket, name := at.VectorBucketName, at.IndexName
	if at.IndexArn != "" && bucket+name != "" || at.IndexArn == "" && (bucket == "" || name == "") {
		return nil, invalid("Must specify either indexArn or both vectorBucketName and indexName")
	}
	if at.IndexArn != "" {
		bucket, name, _ = strings.Cut(strings.TrimPrefix(at.IndexArn, arn("", "")), "/index/")
	}
	if found, ok := f.buckets[bucket]; ok && found.indexes[name] != nil {
		return found.indexes[name], nil
	}
	return nil, absent("index")
}
