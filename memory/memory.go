// Package memory keeps the conversations of agents: what was said, in order,
// and the little state around it.
//
// A session is an append-only log of records beside some mutable state. An
// agent appends each step as it happens and, before the next model call, opens
// a window: the head, the state, the gist and the newest records that fit.
//
// Code that uses memory depends on [Store]. Build one with [InMemory] for tests
// and local runs, or with package dynamomemory for Amazon DynamoDB. Every
// implementation passes the suite in package memorytest.
//
// # Words
//
// A message is one entry of a conversation. An [Entry] is what one Append
// stores: the messages of one step. A turn groups the entries of one exchange.
// A [Record] is an entry as it is stored, with its id. A [Window] is the newest
// records that fit a bound. A [Bookmark] proves what a reader must see. Tokens
// are those of language models.
package memory

import (
	"context"
	"fmt"
	"iter"

	"github.com/genaistore/genaistore/internal/fault"
	"github.com/genaistore/genaistore/internal/hlc"
)

// The kinds of error. A method that fails returns an error that matches one of
// these, or the context's error where that is the cause; the error of the
// service below stays in the chain for errors.As.
var (
	ErrNotFound  = fault.NotFound  // no such session or record; also matches fs.ErrNotExist
	ErrConflict  = fault.Conflict  // an expectation did not hold: read again, decide again
	ErrInvalid   = fault.Invalid   // a bad argument; the text says what would be right
	ErrThrottled = fault.Throttled // the service asks for patience; no proof that nothing was written: see [Store]
	ErrCorrupt   = fault.Corrupt   // stored bytes fail their checksum, schema or decryption
	ErrDenied    = fault.Denied    // the caller's credentials do not allow it; also matches fs.ErrPermission

	// ErrClockSkew reports a clock too far from another: a bookmark more than a
	// minute in the future of this machine, or this machine more than a minute off
	// the service. It matches ErrInvalid. Nothing was written.
	ErrClockSkew = hlc.ErrSkew
	// ErrBehind reports a store, such as a replica in another Region, that has not
	// seen the bookmark yet. It matches ErrThrottled.
	ErrBehind = fmt.Errorf("behind the bookmark (%w)", fault.Throttled)
)

// A Store keeps sessions. It is safe for concurrent use and holds no lock while
// it runs its caller's code. It keeps nothing of its arguments and nothing it
// returns is shared with another caller. A cancelled context stops every method
// before it changes anything; one that is cancelled during a write may leave it
// done or not done, never half done.
//
// After an error other than ErrInvalid, ErrNotFound and ErrConflict a write may
// have been done or not. It may be repeated: with the same
// [AppendOptions.RequestID] an Append happens once, without one it may be stored
// twice; a Delete reaches the same end, and so does an Update, which may find its
// own first work: [Create], [Fork], [Expect] and [Edit] of what it has redacted report
// ErrConflict then, changes of what it has removed ErrNotFound.
//
// An argument that breaks a rule of this package is ErrInvalid and changes
// nothing. Options may be nil, which means their zero value.
type Store interface {
	// Append adds one record to a session: all of entry or nothing. The record
	// sorts after every record that this Store has returned before, after
	// opts.After, and after every record whose Append had returned when this one
	// began on a machine with a synchronised clock.
	//
	// A session that does not exist is created, unless opts.MustExist or
	// opts.IfVersion asks for ErrNotFound instead. With opts.RequestID an Append
	// repeated within [RequestLife] stores nothing and returns the record of the
	// first one, whatever entry and opts.IfVersion say now; the receipt says so. The
	// record comes as it is today: edited, redacted or, where a Rewind has removed
	// it, as its id, time and request id, marked Redacted. An Append that failed is
	// not remembered. ErrConflict reports that opts.IfVersion does not hold.
	Append(ctx context.Context, key Key, entry Entry, opts *AppendOptions) (Receipt, error)

	// Open reads a session as a model call needs it: head, state, gist and the
	// newest records that fit opts, oldest first, in one strongly consistent
	// read. It sees every write that returned before it began, unless opts.AtLeast
	// allows less. A session that does not exist, has expired or was deleted is
	// ErrNotFound.
	//
	// A key without a session opens the state of its user, one without a user
	// the state of its app; those always exist, if only empty. Such a window has
	// nothing but Key, States and Bookmark.
	Open(ctx context.Context, key Key, opts *WindowOptions) (Window, error)

	// Records yields the records of a session in the order of their ids, or
	// backwards, to the real end. A session that does not exist has none. The loop
	// may write to the session; whether it sees those records is not said.
	//
	// An error is the last thing that Records and Find yield; they read nothing
	// before the loop begins, and anew for each loop.
	Records(ctx context.Context, key Key, opts *RangeOptions) iter.Seq2[Record, error]

	// Update applies changes to what may change in a session, all or none, in the
	// order given, at most [MaxChanges] of them and at least one. States of the
	// user and the app change as Entry.State says. With a key of a user or an app
	// only SetState is valid, and only for that state. Every change but [Create]
	// and [Fork], which come first, needs a session that exists. A change the
	// store does not know is ErrInvalid, never ignored.
	Update(ctx context.Context, key Key, changes ...Change) (Bookmark, error)

	// Find yields the sessions or records that query selects, newest first:
	// sessions by Head.Active as it is listed, records by id. The Version and Active of
	// a listed Head may be older than those that Open returns. Sessions of one user
	// or app are complete: each one created before the loop began is found, unless
	// it has expired or was deleted. Records by intent may lag by a few seconds.
	Find(ctx context.Context, query Query) iter.Seq2[Match, error]

	// Delete erases one session: records, state, gist, annotations and request
	// ids. The states of its user and app stay. Deleting an absent session succeeds.
	// A key without a session is ErrInvalid, so that an empty variable erases nobody;
	// [Forget] erases a user.
	Delete(ctx context.Context, key Key) error
}
