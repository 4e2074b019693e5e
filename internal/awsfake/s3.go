package awsfake

// The fake of Amazon S3 lacks, and refuses:
//
//   - ACLs, object locks, annotations and every other operation that s3Operation
//     does not name
//   - checksums other than CRC32, CRC32C, CRC64NVME, SHA1 and SHA256
//   - several ranges in one request, and reads by part number
//   - the rename and the append of a directory bucket, and a delimiter in its lists
//   - more than one configuration of Intelligent-Tiering in a bucket, filters of it,
//     and dates in lifecycle rules
//
// It keeps the configuration of a bucket (encryption, public access, policy) as it
// was given and does nothing by it. Lifecycle rules, restores and the archives of
// Intelligent-Tiering go by its clock, see [Server.Jump]. A bucket whose name ends
// in --x-s3 is a directory bucket, with its endpoint and its sessions.
//
// Like S3 it is strongly consistent. It compares the conditions of a request
// (If-Match, If-None-Match) under one lock, so it never answers 409; inject that
// by Intercept, as a 503 SlowDown, a lost answer or a crash between two steps.
//
// What only Amazon's documents say, and no server that tests run on has shown:
//
//   - 403 in place of 404 where the caller may not list the bucket
//   - a directory bucket: unordered lists, a prefix that must end in a slash, no
//     versions, no tags, no classes, entity tags that are no MD5, part numbers
//     without gaps, sessions
//   - how long a restore takes (the longest time that is named), that it can be made
//     faster while it runs and not repeated, that a copy ends at a midnight
//   - lifecycle rules: that they act at midnight UTC, move objects down only, and
//     leave those below 128 KiB where they are unless a filter names a size
//   - the archives of Intelligent-Tiering, and that a restore leaves them for good
//   - the storage class of a copy is STANDARD unless it is asked for
//   - 409 ConditionalRequestConflict itself: what else S3 has done by then
//   - a request with a condition on a multipart upload whose key was deleted in
//     between; the fake looks at the key as it is when the upload is completed
//   - a key that has thousands of versions answers 503; the fake does not

import (
	"errors"
	"net/http"
	"slices"
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
	buckets map[string]*bucket
	mode    S3Mode
	serial  int // of versions and uploads
}

// An S3Mode is how a fake differs from S3 at its best.
type S3Mode struct {
	// Directory makes every bucket one of S3 Express One Zone.
	Directory bool
	// Blind answers 403 for a key that is not there, as S3 does to those who may
	// not list the bucket.
	Blind bool
	// Careless ignores If-None-Match and If-Match of writes, as old servers do.
	Careless bool
}

type bucket struct {
	versioning string               // Enabled, Suspended, or empty before the first of either
	keys       map[string][]*object // versions, oldest first
	uploads    map[string]*multipart
	config     map[string][]byte // by subresource
	directory  bool
	small      bool      // rules move small objects too, to archives
	aged       time.Time // the day that rules were last applied
}

func newBucket(name string) *bucket {
	return &bucket{
		keys: map[string][]*object{}, uploads: map[string]*multipart{}, config: map[string][]byte{},
		directory: strings.HasSuffix(name, directorySuffix),
	}
}

// NewS3 returns a fake with the buckets named, all empty.
func NewS3(buckets ...string) *S3 {
	f := &S3{buckets: map[string]*bucket{}}
	for _, name := range buckets {
		f.buckets[name] = newBucket(name)
	}
	f.service, f.serve = "s3", f.handle
	return f
}

// Public lets the fake answer requests without a signature, as a bucket does that
// is open to everybody. One that has a signature must still have the right one.
func (f *S3) Public() {
	f.public = true
}

// Behave changes how the fake answers from now on.
func (f *S3) Behave(mode S3Mode) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mode = mode
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
var known = []string{
	"x-id", "list-type", "prefix", "delimiter", "max-keys", "start-after", "continuation-token", "encoding-type",
	"versionId", "versions", "key-marker", "version-id-marker", "uploads", "uploadId", "partNumber", "part-number-marker",
	"max-parts", "max-uploads", "upload-id-marker", "tagging", "restore", "session", "id",
}

// configurations are the subresources of a bucket that are kept as they are given,
// with the name of their operation and the error where there is none.
var configurations = map[string][2]string{
	"lifecycle":         {"BucketLifecycleConfiguration", "NoSuchLifecycleConfiguration"},
	"encryption":        {"BucketEncryption", "ServerSideEncryptionConfigurationNotFoundError"},
	"publicAccessBlock": {"PublicAccessBlock", "NoSuchPublicAccessBlockConfiguration"},
	"policy":            {"BucketPolicy", "NoSuchBucketPolicy"},
	"object-lock":       {"ObjectLockConfiguration", "ObjectLockConfigurationNotFoundError"},

	"intelligent-tiering": {"BucketIntelligentTieringConfiguration", "NoSuchConfiguration"},
}

func s3Operation(r *http.Request) string {
	asked := r.URL.Query()
	_, key := split(r)
	for subresource, names := range configurations {
		if asked.Has(subresource) {
			return verbs[r.Method] + names[0]
		}
	}
	if asked.Has("versioning") {
		return verbs[r.Method] + "BucketVersioning"
	}
	for parameter := range asked {
		if !slices.Contains(known, parameter) && !strings.HasPrefix(parameter, "X-Amz-") {
			return ""
		}
	}
	switch {
	case r.Header.Get(copySource) != "":
		return copyOperation(r)
	case asked.Has("session"):
		return "CreateSession"
	case key == "":
		return bucketOperation(r)
	case asked.Has("tagging"):
		return verbs[r.Method] + "ObjectTagging"
	case asked.Has("restore"):
		return "RestoreObject"
	case asked.Has("uploads") || asked.Has("uploadId"):
		return multipartOperation(r)
	}
	if verb := verbs[r.Method]; verb != "" {
		return verb + "Object"
	}
	return ""
}

var verbs = map[string]string{
	http.MethodPut:    "Put",
	http.MethodGet:    "Get",
	http.MethodHead:   "Head",
	http.MethodDelete: "Delete",
}

func bucketOperation(r *http.Request) string {
	asked := r.URL.Query()
	switch {
	case r.Method == http.MethodPut:
		return "CreateBucket"
	case r.Method == http.MethodHead:
		return "HeadBucket"
	case r.Method == http.MethodGet && asked.Has("versions"):
		return "ListObjectVersions"
	case r.Method == http.MethodGet && asked.Has("uploads"):
		return "ListMultipartUploads"
	case r.Method == http.MethodGet && asked.Get("list-type") == "2":
		return "ListObjectsV2"
	}
	return ""
}

func multipartOperation(r *http.Request) string {
	started := r.URL.Query().Has("uploadId")
	switch {
	case r.Method == http.MethodPost && !started:
		return "CreateMultipartUpload"
	case r.Method == http.MethodPost:
		return "CompleteMultipartUpload"
	case r.Method == http.MethodPut && started:
		return "UploadPart"
	case r.Method == http.MethodDelete && started:
		return "AbortMultipartUpload"
	case r.Method == http.MethodGet && started:
		return "ListParts"
	}
	return ""
}

func split(r *http.Request) (bucket, key string) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	if name := hosted(r); name != "" {
		return name, path
	}
	bucket, key, _ = strings.Cut(path, "/")
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
	b, ok := f.buckets[name]
	switch {
	case operation == "":
		return &failure{http.StatusNotImplemented, "NotImplemented", "the fake does not know " + r.Method + " " + r.URL.RawQuery}
	case operation == "CreateBucket" && ok:
		return &failure{http.StatusConflict, "BucketAlreadyOwnedByYou", name}
	case operation == "CreateBucket":
		f.buckets[name] = newBucket(name)
		return nil
	case !ok:
		return &failure{http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist"}
	case operation == "HeadBucket":
		return nil
	}
	if err := f.refused(r, b); err != nil {
		return err
	}
	f.age(b)
	for subresource := range configurations {
		if r.URL.Query().Has(subresource) {
			return b.configure(w, r, subresource)
		}
	}
	switch operation {
	case "PutObject":
		return f.put(w, r, b, key)
	case "CopyObject":
		return f.copyObject(w, r, b, key)
	case "UploadPartCopy":
		return f.copyPart(w, r, b, key)
	case "DeleteObject":
		return f.remove(w, r, b, key)
	case "CreateSession":
		return f.session(w, b)
	case "GetObjectTagging", "PutObjectTagging", "DeleteObjectTagging":
		return f.tag(w, r, b, key)
	case "RestoreObject":
		return f.restore(w, r, b, key)
	case "GetObject", "HeadObject":
		return f.get(w, r, b, key)
	case "ListObjectsV2":
		return f.list(w, r, name, b)
	case "ListObjectVersions":
		return listVersions(w, r, name, b)
	case "GetBucketVersioning", "PutBucketVersioning":
		return b.setVersioning(w, r)
	}
	return f.multipart(w, r, operation, b)
}
