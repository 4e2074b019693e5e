// Package artifacts keeps checkpoints, models, datasets and documents as
// numbered versions: many files that become visible together or not at all,
// aliases that point at versions, and a log that says who moved what, when and
// why.
//
// Code that uses artifacts depends on [Store]. Build one with [InMemory] for
// tests and local runs, or with package s3artifacts for Amazon S3. Every
// implementation passes the suite in package artifactstest.
package artifacts

import (
	"context"
	"fmt"
	"io/fs"
	"iter"

	"github.com/genaistore/genaistore/internal/fault"
)

// The kinds of error; see package memory for what each asks of the caller.
var (
	ErrNotFound  = fault.NotFound // no such name, version, alias or file; also matches fs.ErrNotExist
	ErrConflict  = fault.Conflict // an expectation did not hold
	ErrInvalid   = fault.Invalid
	ErrThrottled = fault.Throttled
	ErrCorrupt   = fault.Corrupt // bytes fail their digest, a log fails its chain
	ErrDenied    = fault.Denied

	// ErrArchived reports a file that lies in an archive class and must be
	// restored first. It matches ErrThrottled: the same call may succeed later.
	ErrArchived = fmt.Errorf("archived (%w)", fault.Throttled)
)

// A Store keeps artifacts. It is safe for concurrent use and holds no lock while
// it runs its caller's code. A cancelled context stops every method; one that is
// cancelled during a write may leave it done or not done, never half done. What
// goes in and what comes out shares no memory with the store.
//
// History and List do nothing until they are ranged over, begin again each time,
// end with the first error, and let the loop write and break.
//
// Each name has one log, which grows by one record at a time. What a method
// returned is seen by every later call, on every machine. Every write may be
// repeated after an error of any kind and reaches the same end: a Publish with
// its ID, changes of an Apply under an [Expect] or by themselves.
//
// An argument that breaks a rule of this package is ErrInvalid and changes
// nothing. Options may be nil, which means their zero value.
type Store interface {
	// Publish makes files the next version of name: all of them, or nothing
	// anyone can see. Version numbers start at 1, have no gaps, and are never used
	// again. A repeated Publish with the same opts.ID publishes once and returns
	// the version of the first, whatever files says now, also if it was deleted
	// since. Content of a version of name that was not deleted is not sent again.
	//
	// With opts.Ranks each of many processes publishes its own part under one ID;
	// whoever comes last makes the version visible. Publish does not wait for the
	// others: until all have come, the publication is [Publication.Pending].
	//
	// The files are read once, in any order, several at a time, with the context
	// asked between reads (a store may read one a second time that is too large to
	// keep, to send it when it is known to be new; never one of unknown size). One
	// whose size or time changes while it is read fails the Publish with ErrConflict.
	// A file whose size is negative is read to its end, see [Streams]. Regular files
	// only: anything else, a path of more than [MaxFilePath] bytes, paths that are not
	// [Distinct], more than [MaxFiles] files and a version with no file at all are
	// ErrInvalid. An error of
	// the files themselves is in the chain of the one returned.
	Publish(ctx context.Context, name Name, files fs.FS, opts *PublishOptions) (Publication, error)

	// Resolve finds the version that ref means now. A version that was deleted is
	// ErrNotFound. "Latest" is the highest number that is neither deleted nor
	// quarantined; a number, a digest or an alias finds a quarantined version too,
	// and Version.Quarantined says why. A digest finds the highest number that has
	// it.
	Resolve(ctx context.Context, ref Ref) (Version, error)

	// Open opens one file of a version, or a directory; "." is the root. Paths are
	// those of io/fs, and another one is ErrInvalid. What is read is verified
	// against the digest of the file, also in ranges. The context ends the life of
	// the file.
	Open(ctx context.Context, id ID, path string) (File, error)

	// Apply puts changes into the log of name as one record: all or none, in the
	// order given, so that later ones see earlier ones, at least one and at most
	// [MaxChanges]. Where together they change nothing (an alias already there, a
	// version deleted before) no record is added and the newest one is returned.
	// ErrConflict reports an [Expect] that does not hold, a rollback with no version
	// to go back to, or a version that is quarantined, pinned or aliased where it
	// may not be; ErrNotFound a name that was never published or a version that
	// does not exist. A change the store does not know is ErrInvalid, never ignored.
	Apply(ctx context.Context, name Name, changes ...Change) (Record, error)

	// History yields the log of name in order, verified link by link, see [Record].
	// A name that does not exist has no history.
	History(ctx context.Context, name Name, opts *HistoryOptions) iter.Seq2[Record, error]

	// List yields the versions that query selects, by path, then newest first.
	// Deleted versions are left out, quarantined ones are not.
	List(ctx context.Context, query Query) iter.Seq2[Version, error]
}
