package dynamomemory

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/genaistore/genaistore/internal/hlc"
	"github.com/genaistore/genaistore/memory"
)

// Defaults and limits of [Options].
const (
	DefaultRetention = 30 * 24 * time.Hour
	DefaultSessions  = 4096
)

// Options adjusts a [Store]. A nil *Options means the zero value.
type Options struct {
	// Schema names the table's attributes and indexes.
	Schema Schema
	// Retention is how long a record is kept after its Append, and a session after
	// its last one. Zero means [DefaultRetention], negative for ever. At least
	// memory.RequestLife.
	Retention time.Duration
	// NoLSI is for tables without the index by sentiment, such as those with strong
	// consistency in several Regions: a read by sentiment then reads all
	// annotations of the session.
	NoLSI bool
	// Replica says that the table is one Region of a global table with eventual
	// consistency. A bookmark then says where its write is to be found, and an Open
	// AtLeast one that this Region does not have yet is memory.ErrBehind: try again,
	// or read in the Region that wrote. That is sure for the write that the bookmark
	// is of, and of Notes it says nothing: DynamoDB replicates each item by itself. A
	// session that is not there is ErrBehind for a minute after the bookmark, and
	// ErrNotFound then. Set it for the Stores of all Regions.
	Replica bool
	// NoTransactions is for tables that refuse them: global tables with strong
	// consistency. An Update of several items then keeps what it is to write in the
	// head of the session, in at most 300 KB, and carries it out from there; whoever
	// reads the session next goes on with it where its process has died. The states of
	// user and app are changed last, and seen by readers of other sessions then.
	NoTransactions bool
	// Compressor makes bodies smaller; nil means DEFLATE. What the default one has
	// written can be read with any other.
	Compressor Compressor
	// Blobs keeps the bodies of records over 350 KB; nil means chunks in the table.
	Blobs BlobStore
	// Cipher encrypts the content of records, gists and states; nil means that
	// DynamoDB's own encryption is enough. Keys, titles, labels and notes are not
	// encrypted, because they are searched. A Store with a Cipher reads the head
	// of the session before each Append, so that nothing is written under a key
	// that a Delete has erased.
	Cipher Cipher
	// Cache is another client of the table, which may answer reads by key from a
	// cache, such as a client of package dax; nil means none. All writes go through it.
	// A window that is opened with memory.WindowOptions.AtLeast then comes from the
	// cache if that has all of it, at least as it was at the bookmark; everything else is
	// read from the table. Every process that writes to the table must have the cache.
	//
	// It costs another write unit for each Append, and pays where a session is opened
	// many times between two: such an Open reads nothing in DynamoDB. Windows with
	// notes, with the states of user and app, or of more than 46 records, and those after
	// an Update until the next Append, are read from the table.
	//
	// A cache acts with permissions of its own, so that those of its callers keep no
	// tenant from another's items. So it needs a Cipher, unless Shared says that all who
	// reach the cache may read everything.
	Cache  Client
	Shared bool
	// Sessions is how many sessions a Store remembers in memory, to know which of
	// them exist; zero means [DefaultSessions].
	Sessions int
}

// WithDefaults returns what a Store acts on. It accepts a nil receiver.
func (o *Options) WithDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	opts.Schema = opts.Schema.WithDefaults()
	opts.Retention = cmp.Or(opts.Retention, DefaultRetention)
	opts.Sessions = cmp.Or(opts.Sessions, DefaultSessions)
	if opts.Compressor == nil {
		opts.Compressor = newDeflate()
	}
	return opts
}

// Validate reports an error that matches memory.ErrInvalid unless a Store can act on
// o. It accepts a nil receiver.
func (o *Options) Validate() error {
	if o == nil {
		return nil
	}
	if 0 < o.Retention && o.Retention < memory.RequestLife {
		return fmt.Errorf("%w: a retention of %s: at least %s, for which request ids are remembered", memory.ErrInvalid, o.Retention, memory.RequestLife)
	}
	if o.Cache != nil && o.Cipher == nil && !o.Shared {
		return fmt.Errorf("%w: a Cache without a Cipher: whoever reaches the cache can read every tenant's items; set Shared if all of them may", memory.ErrInvalid)
	}
	if o.Sessions < 0 {
		return fmt.Errorf("%w: %d sessions to remember: 0 means the default", memory.ErrInvalid, o.Sessions)
	}
	return o.Schema.Validate()
}

// bucket is how exact Head.Active is: how long a Store knows a session to be active
// without writing so again.
const bucket = 5 * time.Minute

// A Store keeps sessions in one table. It is safe for concurrent use; make one for
// each table and process.
//
// It remembers which sessions it has seen active within five minutes, so that an
// Append to one of them is one request. An Append to a session that another process
// has deleted within that time is therefore not lost and creates the session
// anew: it opens at once, with the title and labels of none, and is listed again
// with its first Append after these five minutes. [memory.AppendOptions.MustExist]
// asks the table.
type Store struct {
	api   Client // reads
	out   Client // writes
	cache Client // reads by key that need not be new; nil without one
	table string
	opts  Options
	names Schema

	clock  hlc.Clock
	skew   atomic.Int64           // of this machine to the service, as the last answer had it
	probed atomic.Bool            // whether skew says anything
	ahead  atomic.Pointer[hlc.ID] // the greatest id read that the clock does not follow
	told   atomic.Pointer[string] // the greatest id that a caller may know
	seen   *seen
	locks  [64]chan struct{}
}

var _ memory.Store = (*Store)(nil)

// New returns a Store on a table that exists. It asks nothing of the client. An
// error matches memory.ErrInvalid.
func New(client Client, table string, options *Options) (*Store, error) {
	if err := options.Validate(); err != nil {
		return nil, fmt.Errorf("new store: %w", err)
	}
	if client == nil || table == "" {
		return nil, fmt.Errorf("new store: %w: a client and the name of a table are needed", memory.ErrInvalid)
	}
	opts := options.WithDefaults()
	s := &Store{api: client, out: client, table: table, opts: opts, names: opts.Schema, seen: &seen{most: opts.Sessions, known: map[string]known{}}}
	if opts.Cache != nil {
		s.out, s.cache = opts.Cache, opts.Cache
	}
	for i := range s.locks {
		s.locks[i] = make(chan struct{}, 1)
	}
	return s, nil
}

// lock keeps the changes of this process to one session apart, which would
// otherwise fail each other's conditions. What other processes do, conditions hold.
func (s *Store) lock(ctx context.Context, pk string) (unlock func(), err error) {
	l := s.locks[hashOf(pk)%uint32(len(s.locks))]
	select {
	case l <- struct{}{}:
		return func() { <-l }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// next issues an id that sorts after all that this store has returned.
func (s *Store) next() (string, error) {
	if err := s.checkClock(); err != nil {
		return "", err
	}
	id, err := s.clock.Next(time.Now())
	if err != nil {
		return "", err
	}
	if ahead := s.ahead.Load(); ahead != nil && id.Compare(*ahead) <= 0 {
		return "", fmt.Errorf("%w: a record that was read is from %s, more than %s ahead of this machine", memory.ErrClockSkew, ahead.Time(), hlc.MaxSkew)
	}
	return id.String(), nil
}

// observe makes later ids sort after id. One too far ahead does not pull the clock,
// it stops writes instead.
func (s *Store) observe(text string) {
	s.tell(text)
	id, err := hlc.Parse(text)
	if err != nil || s.clock.Observe(id, time.Now()) == nil {
		return
	}
	for {
		ahead := s.ahead.Load()
		if ahead != nil && id.Compare(*ahead) <= 0 || s.ahead.CompareAndSwap(ahead, &id) {
			return
		}
	}
}

func (s *Store) tell(id string) {
	for {
		told := s.told.Load()
		if told != nil && id <= *told || s.told.CompareAndSwap(told, &id) {
			return
		}
	}
}

func (s *Store) lastTold() string {
	if told := s.told.Load(); told != nil {
		return *told
	}
	return ""
}

func timeOf(id string) time.Time {
	parsed, err := hlc.Parse(id)
	if err != nil {
		return time.Time{}
	}
	return parsed.Time()
}

func jitter(most time.Duration) time.Duration { return time.Duration(rand.Int64N(int64(most) + 1)) }

// expiry is the end of life, in epoch seconds, of what is written at t; 0 means none.
func (s *Store) expiry(t time.Time) int64 {
	if s.opts.Retention < 0 {
		return 0
	}
	return t.Add(s.opts.Retention).Unix()
}

// lowest is the sort key below which no record is alive.
func (s *Store) lowest(now time.Time) string {
	if s.opts.Retention < 0 {
		return skRecord
	}
	return skRecord + hlc.Floor(now.Add(-s.opts.Retention)).String()
}
