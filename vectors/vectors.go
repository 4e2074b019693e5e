// Package vectors keeps embeddings with metadata and finds the nearest ones.
//
// Code that uses vectors depends on [Index]. Build one with [InMemory] for tests
// and local runs, or with package s3index for Amazon S3 Vectors. Every
// implementation passes the suite in package vectorstest.
//
// An index holds vectors of one dimension under one metric. A vector has a key,
// float32 data and metadata; queries and lists select by metadata with a
// [Filter]. Limits are those of S3 Vectors and hold everywhere, so that what a
// test accepts, AWS accepts.
package vectors

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/genaistore/genaistore/internal/fault"
)

// The kinds of error; see package memory for what each asks of the caller.
var (
	ErrNotFound  = fault.NotFound // no such index; absent keys are no error
	ErrConflict  = fault.Conflict
	ErrInvalid   = fault.Invalid
	ErrThrottled = fault.Throttled
	ErrCorrupt   = fault.Corrupt
	ErrDenied    = fault.Denied
)

// An Index keeps vectors of one dimension and metric. It is safe for concurrent
// use and holds no lock while it runs its caller's code. It keeps nothing of its
// arguments and nothing it returns is shared with another caller. A cancelled
// context stops every method. What a method has written, every later call sees.
//
// An argument that breaks a rule of this package is ErrInvalid; but for the
// vectors of a Put, which are judged one by one, it changes nothing. Options may
// be nil, which means their zero value.
type Index interface {
	// Put stores vectors, each replacing the one with its key whole; of two with
	// the same key in one call the last wins. It takes them as they come, in
	// batches the service accepts, and holds no more than a few of these. An
	// error in the sequence ends it: what came before is stored, and the error is
	// returned.
	//
	// The error is nil only if every vector is stored or was skipped as asked.
	// One bad vector does not keep others out: it is in Report.Rejected, and the
	// error, which is Report.Err, matches ErrInvalid. Repeating a Put is safe. An
	// empty or nil sequence is a Put of nothing and succeeds.
	Put(ctx context.Context, vectors iter.Seq2[Vector, error], opts *PutOptions) (Report, error)

	// Get returns the vectors with these keys in the order of keys. Absent ones
	// are left out, repeated ones appear once.
	Get(ctx context.Context, keys []string, opts *GetOptions) ([]Vector, error)

	// Query yields the vectors nearest to query.Vector, nearest first, up to
	// query.TopK; those at the same distance in an order that repeats. The search
	// is of the moment the loop starts, and starts again with each loop. It may be
	// approximate: with a filter, and where few vectors match, it may yield fewer
	// than exist, never one that does not match. List with the same filter misses
	// none.
	Query(ctx context.Context, query Query) iter.Seq2[Match, error]

	// List yields every vector that opts select, exactly once if it is there
	// throughout, in no order. Each loop starts again, and may write to the index.
	// A filter may cost a pass over the whole index.
	List(ctx context.Context, opts *ListOptions) iter.Seq2[Vector, error]

	// Delete removes exactly what selection selects; absent keys are no error. It
	// reports how many there were: by Prefix and Filter always, by Keys and All
	// where that is known, else as if all keys had been there. An empty selection
	// is ErrInvalid: everything is Selection{All: true}. Repeating a Delete is
	// safe, also after one that was cancelled half way.
	Delete(ctx context.Context, selection Selection, opts *DeleteOptions) (Report, error)

	// Describe returns what the index was made for, defaults filled in.
	Describe(ctx context.Context) (Schema, error)
}

// A Vector is an embedding under a key of 1 to [MaxKey] characters.
type Vector struct {
	Key      string
	Data     []float32 // nil where a read did not ask for it
	Metadata Metadata  // nil where a read did not ask for it; empty if there is none
}

// Metadata describes a vector. Values are string, float64, bool, and []any of
// these; other number types, and slices and named types of these, are accepted
// and come back as float64 and []any. nil, maps, lists in lists, NaN, infinities
// and integers beyond 2^53 are ErrInvalid. A key is UTF-8 and not empty; whether
// it can be filtered on is in [Schema].
type Metadata map[string]any

// Fields selects what a read returns beside keys. Data is dear to decode, and
// metadata needs one more permission than keys alone.
type Fields uint8

// What Fields may be.
const (
	KeysAndMetadata Fields = iota
	KeysOnly
	KeysAndData
	Everything
)

// Data reports whether f asks for data.
func (f Fields) Data() bool { return f == KeysAndData || f == Everything }

// Metadata reports whether f asks for metadata.
func (f Fields) Metadata() bool { return f == KeysAndMetadata || f == Everything }

// PutOptions adjusts a Put. A nil *PutOptions means the zero value.
type PutOptions struct {
	// SkipEqual names a metadata key, such as a content hash: a vector whose
	// stored namesake has the same value there is not written. One without the
	// key is.
	SkipEqual string
	// Progress is called with what is done so far, from one goroutine at a time,
	// after each batch. No lock is held.
	Progress func(Report)
}

// GetOptions adjusts a Get. A nil *GetOptions means keys and metadata.
type GetOptions struct{ Fields Fields }

// ListOptions adjusts a List. A nil *ListOptions means all, with metadata.
type ListOptions struct {
	Prefix string // of the key, of UTF-8
	Filter Filter
	Fields Fields
}

// DeleteOptions adjusts a Delete. A nil *DeleteOptions means the zero value.
type DeleteOptions struct {
	DryRun bool // reports what would be deleted and deletes nothing
}

// A Selection says what to delete: these keys, or all vectors that match both
// Prefix and Filter, or All. Keys go with nothing else, and so does All.
type Selection struct {
	Keys   []string
	Prefix string
	Filter Filter
	All    bool
}

// DefaultTopK is a query's TopK where none is given.
const DefaultTopK = 10

// A Query asks for neighbours.
type Query struct {
	Vector []float32
	TopK   int // 1 to [MaxTopK]; [DefaultTopK] if zero
	Filter Filter
	Fields Fields // data costs a Get a page
}

// A Match is a neighbour. Distance is the index's metric, smaller is nearer;
// [Schema.Score] maps it to 0…1, larger is nearer. Backends compute in float32:
// distances of two backends differ in the last digits.
type Match struct {
	Vector
	Distance float64
}

// A Report says what a write did. After a Put that ran to its end, Done, Skipped
// and the length of Rejected add up to the vectors of the sequence: one that a
// later one replaced counts as what became of that. A Put that ended early
// reports what was settled by then.
type Report struct {
	Done     int // written, or deleted
	Skipped  int // equal already, or absent already where that is known
	Rejected []Rejection
	Requests int   // to the service
	Bytes    int64 // sent to the service
}

// Err returns nil if nothing was rejected, else an error that says how many were
// and the first reason, and matches every kind among the reasons.
func (r Report) Err() error {
	if len(r.Rejected) == 0 {
		return nil
	}
	first := r.Rejected[0]
	err := fmt.Errorf("%d of the vectors rejected, the first %.80q: %w", len(r.Rejected), first.Key, first.Err)
	for _, kind := range []error{ErrInvalid, ErrThrottled} {
		i := slices.IndexFunc(r.Rejected, func(j Rejection) bool { return errors.Is(j.Err, kind) })
		if i > 0 && !errors.Is(err, kind) {
			err = fmt.Errorf("%w; %.80q: %w", err, r.Rejected[i].Key, r.Rejected[i].Err)
		}
	}
	return err
}

// A Rejection is one vector that was not written. Err matches ErrInvalid, or
// ErrThrottled if another try may store it.
type Rejection struct {
	Key string
	Err error
}

// A Schema is what an index was made for.
type Schema struct {
	Dimension     int      // 1 to [MaxDimension]; 0 while the first vector is to decide, see [InMemory]
	Metric        Metric   // [Cosine] if empty
	NonFilterable []string // metadata keys that no filter may name: at most [MaxNonFilterable]
	// Tags describe the index, the embedding model for instance. At most 50, keys
	// of 1 to 128 characters, values of at most 256, of letters, digits, spaces
	// and _.:/=+-@, keys not beginning with aws:.
	Tags map[string]string
	// Reserved is what a decorator keeps of the limits for itself, as [Tenant]
	// does. An index is made without.
	Reserved Reserved
}

// Reserved is what a decorator needs of each vector's limits: callers have so
// much less.
type Reserved struct {
	KeyCharacters int // of [MaxKey]
	MetadataKeys  int // of [MaxMetadataKeys]
	MetadataBytes int // of [MaxMetadataBytes] and of [MaxFilterableBytes]
	FilterDepth   int // of [MaxFilterDepth]
}

// A Metric measures distance.
type Metric string

// The metrics of S3 Vectors. For a dot product, normalise the vectors and use
// Cosine.
const (
	Cosine    Metric = "cosine"    // 1 - cos, from 0 to 2; a vector whose square is 0 in float32 has none and is ErrInvalid
	Euclidean Metric = "euclidean" // the straight-line distance
)

// Score maps a distance to 0…1, larger is nearer: 1 - d/2 for [Cosine], 1/(1+d)
// for [Euclidean].
func (s Schema) Score(distance float64) float64 {
	if s.Metric == Euclidean {
		return 1 / (1 + distance)
	}
	return min(1, max(0, 1-distance/2))
}

// Of returns the vectors as the sequence that Put takes.
func Of(vectors ...Vector) iter.Seq2[Vector, error] {
	return func(yield func(Vector, error) bool) {
		for _, v := range vectors {
			if !yield(v, nil) {
				return
			}
		}
	}
}
