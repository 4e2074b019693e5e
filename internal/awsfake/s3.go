package awsfake

// The fake of Amazon S3 lacks, and refuses:
//
//   - versions, multipart uploads, copies, tags, ACLs, encryption, storage classes,
//     object locks and every other operation that s3Operation does not name
//   - checksums other than CRC32, CRC32C and CRC64NVME
//   - several ranges in one request
//
// Like S3 it is strongly consistent. It compares the conditions of a request
// (If-Match, If-None-Match) under one lock, so it never answers 409; inject that
// by Intercept.

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// S3 is a fake of Amazon S3.
type S3 struct {
	Server
	mu      sync.Mutex
	buckets map[string]map[string]object
}

type object struct {
	data     []byte
	etag     string
	modified time.Time
	header   http.Header // what PutObject was given and GetObject returns
	sums     map[string]string
}

// NewS3 returns a fake with the buckets named, all empty.
func NewS3(buckets ...string) *S3 {
	f := &S3{buckets: map[string]map[string]object{}}
	for _, name := range buckets {
		f.buckets[name] = map[string]object{}
	}
	f.Server = Server{service: "s3", serve: f.handle}
	return f
}

// Client returns a client of the fake. It sends and checks checksums, as clients
// do that load their configuration.
func (f *S3) Client(options ...func(*s3.Options)) *s3.Client {
	return s3.New(s3.Options{
		Region:                     region,
		UsePathStyle:               true,
		HTTPClient:                 &f.Server,
		Credentials:                aws.CredentialsProviderFunc(retrieve),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	}, options...)
}

// known are the query parameters that the fake understands; another one asks for
// another operation.
var known = []string{"x-id", "list-type", "prefix", "delimiter", "max-keys", "start-after", "continuation-token", "encoding-type"}

func s3Operation(r *http.Request) string {
	for parameter := range r.URL.Query() {
		if !slices.Contains(known, parameter) && !strings.HasPrefix(parameter, "X-Amz-") {
			return ""
		}
	}
	_, key := split(r)
	switch {
	case r.Header.Get("X-Amz-Copy-Source") != "":
		return ""
	case key == "" && r.Method == http.MethodPut:
		return "CreateBucket"
	case key == "" && r.Method == http.MethodHead:
		return "HeadBucket"
	case key == "" && r.Method == http.MethodGet && r.URL.Query().Get("list-type") == "2":
		return "ListObjectsV2"
	case key == "":
		return ""
	}
	return map[string]string{
		http.MethodPut:    "PutObject",
		http.MethodGet:    "GetObject",
		http.MethodHead:   "HeadObject",
		http.MethodDelete: "DeleteObject",
	}[r.Method]
}

func split(r *http.Request) (bucket, key string) {
	bucket, key, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return bucket, key
}

func (f *S3) handle(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.dispatch(w, r)
	var refused *failure
	switch {
	case errors.As(err, &refused):
		Fail(w, r, refused.status, refused.code, refused.message)
	case err != nil:
		Fail(w, r, http.StatusBadRequest, "InvalidRequest", err.Error())
	}
}

func (f *S3) dispatch(w http.ResponseWriter, r *http.Request) error {
	operation := Operation(r)
	name, key := split(r)
	bucket, ok := f.buckets[name]
	switch {
	case operation == "":
		return &failure{http.StatusNotImplemented, "NotImplemented", "the fake does not know " + r.Method + " " + r.URL.RawQuery}
	case operation == "CreateBucket" && ok:
		return &failure{http.StatusConflict, "BucketAlreadyOwnedByYou", name}
	case operation == "CreateBucket":
		f.buckets[name] = map[string]object{}
		return nil
	case !ok:
		return &failure{http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist"}
	case operation == "PutObject":
		return put(w, r, bucket, key)
	case operation == "DeleteObject":
		return remove(w, r, bucket, key)
	case operation == "ListObjectsV2":
		return list(w, r, name, bucket)
	case operation != "HeadBucket":
		return get(w, r, bucket, key)
	}
	return nil
}

// meets compares the conditions of a write with what is there.
func meets(r *http.Request, old object, exists bool) error {
	unmet := &failure{http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold"}
	if none := r.Header.Get("If-None-Match"); none != "" && none != "*" {
		return &failure{http.StatusNotImplemented, "NotImplemented", "If-None-Match of a write must be *"}
	} else if none != "" && exists {
		return unmet
	}
	match := r.Header.Get("If-Match")
	switch {
	case match == "":
		return nil
	case !exists:
		return &failure{http.StatusNotFound, "NoSuchKey", "The specified key does not exist."}
	case match != "*" && strings.Trim(match, `"`) != strings.Trim(old.etag, `"`):
		return unmet
	}
	return nil
}

// kept are the headers that S3 stores with an object, besides X-Amz-Meta-.
var kept = []string{"Content-Type", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires"}

// passing are the other x-amz headers of an upload that the fake understands.
var passing = []string{"X-Amz-Content-Sha256", "X-Amz-Date", "X-Amz-Decoded-Content-Length", "X-Amz-Trailer", "X-Amz-Sdk-Checksum-Algorithm", "X-Amz-User-Agent", "X-Amz-Security-Token"}

func put(w http.ResponseWriter, r *http.Request, bucket map[string]object, key string) error {
	old, exists := bucket[key]
	if err := meets(r, old, exists); err != nil {
		return err
	}
	data, sums, err := upload(r)
	if err != nil {
		return err
	}
	sum := md5.Sum(data)
	stored := object{data, `"` + hex.EncodeToString(sum[:]) + `"`, time.Now().UTC(), http.Header{}, sums}
	for name, values := range r.Header {
		switch {
		case slices.Contains(kept, name) || strings.HasPrefix(name, "X-Amz-Meta-"):
			stored.header[name] = values
		case strings.HasPrefix(name, "X-Amz-") && !slices.Contains(passing, name) && !strings.HasPrefix(name, "X-Amz-Checksum-"):
			return &failure{http.StatusNotImplemented, "NotImplemented", "the fake does not know " + name}
		}
	}
	stored.header.Del("Content-Encoding")
	if own := slices.DeleteFunc(codings(r.Header), func(c string) bool { return c == "aws-chunked" }); len(own) > 0 {
		stored.header.Set("Content-Encoding", strings.Join(own, ","))
	}
	bucket[key] = stored
	w.Header().Set("Etag", stored.etag)
	for name, sum := range sums {
		w.Header().Set(name, sum)
	}
	return nil
}

func remove(w http.ResponseWriter, r *http.Request, bucket map[string]object, key string) error {
	old, exists := bucket[key]
	if err := meets(r, old, exists); err != nil {
		return err
	}
	delete(bucket, key)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func get(w http.ResponseWriter, r *http.Request, bucket map[string]object, key string) error {
	stored, ok := bucket[key]
	if !ok {
		return &failure{http.StatusNotFound, "NoSuchKey", "The specified key does not exist."}
	}
	if match := r.Header.Get("If-Match"); match != "" && match != stored.etag {
		return &failure{http.StatusPreconditionFailed, "PreconditionFailed", "the object is another one by now"}
	}
	w.Header().Set("Etag", stored.etag)
	if r.Header.Get("If-None-Match") == stored.etag {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	data, status := stored.data, http.StatusOK
	if asked := r.Header.Get("Range"); asked != "" {
		first, last, ok := byteRange(asked, len(data))
		if !ok {
			return &failure{http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "The requested range is not satisfiable"}
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, len(data)))
		data, status = data[first:last+1], http.StatusPartialContent
	}
	maps.Copy(w.Header(), stored.header)
	w.Header().Set("Accept-Ranges", "bytes")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.Header().Set("Last-Modified", stored.modified.Format(http.TimeFormat))
	if r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" && status == http.StatusOK {
		for name, sum := range stored.sums {
			w.Header().Set(name, sum)
			w.Header().Set("X-Amz-Checksum-Type", "FULL_OBJECT")
		}
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(data)
	}
	return nil
}

// byteRange reads bytes=first-last, bytes=first- or bytes=-length.
func byteRange(asked string, size int) (first, last int, ok bool) {
	spec, ok := strings.CutPrefix(asked, "bytes=")
	from, to, dash := strings.Cut(spec, "-")
	if !ok || !dash {
		return 0, 0, false
	}
	last = size - 1
	if from == "" {
		length, err := strconv.Atoi(to)
		return max(0, size-length), last, err == nil && length > 0 && size > 0
	}
	first, err := strconv.Atoi(from)
	if err == nil && to != "" {
		last, err = strconv.Atoi(to)
		last = min(last, size-1)
	}
	return first, last, err == nil && first <= last
}

type listing struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	Name, Prefix          string
	KeyCount, MaxKeys     int
	IsTruncated           bool
	NextContinuationToken string `xml:",omitempty"`
	Contents              []content
	CommonPrefixes        []commonPrefix
}

type (
	content struct {
		Key, ETag, StorageClass string
		Size                    int
		LastModified            time.Time
	}
	commonPrefix struct{ Prefix string }
)

func list(w http.ResponseWriter, r *http.Request, name string, bucket map[string]object) error {
	asked := r.URL.Query()
	page := listing{Name: name, Prefix: asked.Get("prefix"), MaxKeys: 1000}
	if limit := asked.Get("max-keys"); limit != "" {
		n, err := strconv.Atoi(limit)
		if err != nil || n < 0 {
			return &failure{http.StatusBadRequest, "InvalidArgument", "max-keys"}
		}
		page.MaxKeys = min(n, page.MaxKeys)
	}
	after := asked.Get("start-after")
	if token := asked.Get("continuation-token"); token != "" {
		last, err := base64.URLEncoding.DecodeString(token)
		if err != nil {
			return &failure{http.StatusBadRequest, "InvalidArgument", "The continuation token provided is incorrect"}
		}
		after = string(last)
	}
	page.fill(bucket, after, asked.Get("delimiter"))
	if asked.Get("encoding-type") == "url" {
		for i := range page.Contents {
			page.Contents[i].Key = url.QueryEscape(page.Contents[i].Key)
		}
	}
	w.Header().Set("Content-Type", "application/xml")
	return xml.NewEncoder(w).Encode(page)
}

// fill adds the keys greater than after, in order of their bytes. With a delimiter,
// keys that share what comes before it count as one common prefix.
func (page *listing) fill(bucket map[string]object, after, delimiter string) {
	last := ""
	for _, key := range slices.Sorted(maps.Keys(bucket)) {
		rest, ok := strings.CutPrefix(key, page.Prefix)
		entry := key
		if head, _, found := strings.Cut(rest, delimiter); found && delimiter != "" {
			entry = page.Prefix + head + delimiter
		}
		switch {
		case !ok || entry <= after || entry == last:
			continue
		case page.KeyCount == page.MaxKeys:
			page.IsTruncated = page.MaxKeys > 0
			page.NextContinuationToken = base64.URLEncoding.EncodeToString([]byte(last))
			return
		}
		last = entry
		page.KeyCount++
		if entry != key {
			page.CommonPrefixes = append(page.CommonPrefixes, commonPrefix{entry})
			continue
		}
		stored := bucket[key]
		page.Contents = append(page.Contents, content{key, stored.etag, "STANDARD", len(stored.data), stored.modified})
	}
}
