// Package s3artifacts keeps artifacts in an S3 bucket, with nothing else: the
// bucket is the registry.
//
//	store, err := s3artifacts.New(s3.NewFromConfig(cfg), "models", nil)
//
// Each name has a log of small objects, numbered without gaps. A record is created
// with If-None-Match: *, so of many writers one wins each number, and the others
// read what it wrote and decide again. Everything else is found from the log:
// lists of files, and the bytes, which lie under keys that are never used twice.
// A process that dies anywhere leaves a version whole or not visible; what it
// uploaded and never committed, [Store.Collect] deletes, beside writers and without
// a clock that has to be right.
//
// # What it costs
//
// Requests, after the first use of a name in a process:
//
//	Resolve                      1 GET (0 within Options.MaxStale)
//	Resolve of a new process     2 GET (more where a fold is larger than 64 KiB)
//	Open                         1 GET, and 1 for each 16 MiB that is read
//	Apply, also a rollback       1 GET and 1 PUT, and 1 PUT of the hint
//	Publish of unchanged files   1 GET and 1 PUT, and 1 PUT of the hint
//	the same by a new process    1 GET more where their list is long, see below
//	Publish of n new files       the same and n PUT (more for a file above Options.PartSize)
//	Publish with an ID           1 LIST more; the first of a name 1 PUT more, the first new
//	                             name of a process 1 GET, the first of a store 2 PUT
//	List                         1 LIST for 1,000 names, and 1 or 2 GET for each name
//
// A list of files of more than 64 KiB is an object of its own: 1 PUT, unless the
// files are those of a version that is live, and 1 GET in each process that opens
// them.
//
// # How warm it is kept
//
// An object is as warm as the warmest version that has it. [Store.Tier], run once a
// day, says by tags what may go to a colder class or to an archive, and the rules of
// [EnsureBucket] move it. A version that needs an archive is not Ready: a rollback
// goes past it, [Store.EnsureWarm] restores it, and [Store.Rollback] does both.
// Records, snapshots and lists of files are never moved. With Options.Hot files land
// in a bucket of S3 Express One Zone, and a version is Durable when [Store.Settle] has
// copied them home; records are at home from the start.
//
// # What it needs
//
// A store must honour If-None-Match on PutObject; [Store.Probe] finds out. The
// role of a writer needs what [Policy] returns: s3:GetObject, s3:PutObject,
// s3:ListBucket (without it S3 answers 403 for a record that is not there yet, and
// the store reports [artifacts.ErrDenied]) and s3:AbortMultipartUpload, and to go on
// with what was interrupted s3:ListBucketMultipartUploads and
// s3:ListMultipartUploadParts; one that
// collects also s3:DeleteObject, and with versions s3:DeleteObjectVersion,
// s3:ListBucketVersions and s3:GetBucketVersioning; one with a KMS key
// kms:GenerateDataKey and kms:Decrypt; one that tiers and restores
// s3:PutObjectTagging, s3:PutObjectVersionTagging and s3:RestoreObject. Readers need s3:GetObject and s3:ListBucket.
package s3artifacts

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/semaphore"

	"github.com/genaistore/genaistore/artifacts"
)

// A Client is what the store asks of S3: its list of permissions. *s3.Client is one.
type Client interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	HeadObject(context.Context, *s3.HeadObjectInput, ...func(*s3.Options)) (*s3.HeadObjectOutput, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	DeleteObject(context.Context, *s3.DeleteObjectInput, ...func(*s3.Options)) (*s3.DeleteObjectOutput, error)
	ListObjectsV2(context.Context, *s3.ListObjectsV2Input, ...func(*s3.Options)) (*s3.ListObjectsV2Output, error)
	ListObjectVersions(context.Context, *s3.ListObjectVersionsInput, ...func(*s3.Options)) (*s3.ListObjectVersionsOutput, error)
	GetBucketVersioning(context.Context, *s3.GetBucketVersioningInput, ...func(*s3.Options)) (*s3.GetBucketVersioningOutput, error)
	CreateMultipartUpload(context.Context, *s3.CreateMultipartUploadInput, ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error)
	UploadPart(context.Context, *s3.UploadPartInput, ...func(*s3.Options)) (*s3.UploadPartOutput, error)
	CompleteMultipartUpload(context.Context, *s3.CompleteMultipartUploadInput, ...func(*s3.Options)) (*s3.CompleteMultipartUploadOutput, error)
	AbortMultipartUpload(context.Context, *s3.AbortMultipartUploadInput, ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error)
	ListMultipartUploads(context.Context, *s3.ListMultipartUploadsInput, ...func(*s3.Options)) (*s3.ListMultipartUploadsOutput, error)
	ListParts(context.Context, *s3.ListPartsInput, ...func(*s3.Options)) (*s3.ListPartsOutput, error)
	CopyObject(context.Context, *s3.CopyObjectInput, ...func(*s3.Options)) (*s3.CopyObjectOutput, error)
	PutObjectTagging(context.Context, *s3.PutObjectTaggingInput, ...func(*s3.Options)) (*s3.PutObjectTaggingOutput, error)
	RestoreObject(context.Context, *s3.RestoreObjectInput, ...func(*s3.Options)) (*s3.RestoreObjectOutput, error)
	UploadPartCopy(context.Context, *s3.UploadPartCopyInput, ...func(*s3.Options)) (*s3.UploadPartCopyOutput, error)
}

var _ Client = (*s3.Client)(nil)

// Options adjusts a Store. A nil *Options means the zero value.
type Options struct {
	// Root is where in the bucket the store is, such as "registry". Empty means the
	// whole bucket. Segments of letters, digits, ".", "_" and "-", at most 200 bytes.
	Root string
	// By is who writes, for Version.By and Record.By: a role or a job.
	By string
	// KMSKeyID encrypts what is written with this key of AWS KMS. Empty leaves it to
	// the bucket's default.
	KMSKeyID string
	// Class is the storage class of the files: STANDARD if empty, or INTELLIGENT_TIERING,
	// by which S3 finds out what is read. See [Store.Tier] for what knows it.
	Class string
	// Hot is a directory bucket of S3 Express One Zone, in which files land first:
	// milliseconds away, in one zone, so that a version is Durable only when
	// [Store.Settle] has copied it to the bucket of the store. Everything else is in that
	// one at once. The role needs s3express:CreateSession on it. Readers need no Hot.
	Hot string
	// MaxStale lets Resolve and Open answer from what the process read so long ago at
	// most, without a request. Zero means that they see everything that was written
	// before.
	MaxStale time.Duration
	// Concurrency is how many files a Publish reads and sends at a time: 8 if zero.
	Concurrency int
	// PartSize is how many bytes go in one request; a larger file is a multipart
	// upload. From 5 MiB; 8 MiB if zero. A file has at most 10,000 parts: one whose
	// size is known gets larger ones, and a stream ends there with ErrInvalid.
	PartSize int64
	// SingleWriter writes to a server that ignores If-None-Match, which is refused
	// otherwise. Then nothing keeps two writers from overwriting each other's records:
	// set it only where there will never be two. The store remembers it.
	SingleWriter bool
	// Memory bounds the bytes that all calls of the store hold together for files that
	// are being sent: 64 MiB if zero, and at least one part.
	Memory int64
}

const (
	mebibyte    = 1 << 20
	leastPart   = 5 * mebibyte
	inlineLimit = 64 << 10 // bytes of what lies in a record in place of an object of its own
)

// WithDefaults returns what a Store acts on. It accepts a nil receiver.
func (o *Options) WithDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Concurrency == 0 {
		opts.Concurrency = 8
	}
	if opts.PartSize == 0 {
		opts.PartSize = 8 * mebibyte
	}
	if opts.Memory == 0 {
		opts.Memory = 64 * mebibyte
	}
	if opts.Memory > 0 {
		opts.Memory = max(opts.Memory, opts.PartSize)
	}
	return opts
}

// Validate reports an error that matches [artifacts.ErrInvalid] unless a Store can
// act on o. It accepts a nil receiver.
func (o *Options) Validate() error {
	opts := o.WithDefaults()
	root := regexp.MustCompile(`^([A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*)?$`)
	switch {
	case len(opts.Root) > 200 || !root.MatchString(opts.Root):
		return fmt.Errorf("%w: root %.220q: segments of letters, digits, '.', '_' and '-', at most 200 bytes", artifacts.ErrInvalid, opts.Root)
	case len(opts.By) > artifacts.MaxText:
		return fmt.Errorf("%w: By is %d bytes: at most %d", artifacts.ErrInvalid, len(opts.By), artifacts.MaxText)
	case opts.Concurrency < 0 || opts.MaxStale < 0:
		return fmt.Errorf("%w: Concurrency %d, MaxStale %v: 0 or more", artifacts.ErrInvalid, opts.Concurrency, opts.MaxStale)
	case opts.PartSize < leastPart || opts.PartSize > 5<<30:
		return fmt.Errorf("%w: PartSize %d: from 5 MiB to 5 GiB", artifacts.ErrInvalid, opts.PartSize)
	case opts.Class != "" && opts.Class != "STANDARD" && opts.Class != "INTELLIGENT_TIERING":
		return fmt.Errorf("%w: Class %.40q: STANDARD or INTELLIGENT_TIERING", artifacts.ErrInvalid, opts.Class)
	case strings.ContainsAny(opts.Hot, "/ ") || len(opts.Hot) > 63:
		return fmt.Errorf("%w: Hot %.80q: the name of a directory bucket", artifacts.ErrInvalid, opts.Hot)
	case opts.Memory < 0:
		return fmt.Errorf("%w: Memory %d: 0 or more", artifacts.ErrInvalid, opts.Memory)
	}
	return nil
}

// A Store is an artifacts.Store in an S3 bucket. It keeps what it read of each
// name, and nothing runs in it between calls.
type Store struct {
	client Client
	bucket string
	opts   Options
	memory *semaphore.Weighted
	skip   safeguards
	every  int64 // records between two snapshots
	least  int64 // bytes of an object that lifecycle rules move
	copies int64 // bytes that S3 copies in one request

	mu    sync.Mutex
	names map[artifacts.Name]*ledger
	lists lists

	format formatCheck
}

// safeguards are those of the protocol. Tests leave one out to see it missed.
type safeguards struct {
	condemned bool // that a key a collector condemned is not published
	nonce     bool // that a key is used once
	readback  bool // that a write without an answer is looked up
	fenced    bool // that a collector decides on the log that it commits to
	swept     bool // that what was condemned and swept while it was sent is found
	number    bool // that a collector counts the log before it asks what is in use
}

var _ artifacts.Store = (*Store)(nil)

// New returns a Store in a bucket, which must be there: see [EnsureBucket]. It asks
// nothing of S3. ErrInvalid reports options that no Store can act on.
func New(client Client, bucket string, options *Options) (*Store, error) {
	if err := options.Validate(); err != nil {
		return nil, fmt.Errorf("s3artifacts: %w", err)
	}
	if client == nil || bucket == "" || strings.ContainsAny(bucket, "/ ") {
		return nil, fmt.Errorf("s3artifacts: %w: bucket %.80q, and a client", artifacts.ErrInvalid, bucket)
	}
	opts := options.WithDefaults()
	return &Store{
		client: client, bucket: bucket, opts: opts, memory: semaphore.NewWeighted(opts.Memory),
		names: map[artifacts.Name]*ledger{}, every: snapshotEvery, least: leastMoved, copies: largestCopy,
	}, nil
}

// wrap says what was done to what.
func wrap(op string, what fmt.Stringer, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", op, what, err)
}
