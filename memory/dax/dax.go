// Package dax reads conversations through a DynamoDB Accelerator (DAX) cluster: the
// official client, made safe to put in front of a table.
//
//	cached, err := dax.New(table, &dax.Options{Endpoint: "daxs://…", Region: "eu-central-1", Credentials: cfg.Credentials})
//	store, err := dynamomemory.New(table, "memory", &dynamomemory.Options{Cache: cached, Cipher: cipher})
//
// DAX pays where a session is read many times for each time it is written, and within
// a VPC. A Store with a cache writes a small item more with each Append, and its
// windows come from the cache only for who says what they have seen
// (memory.WindowOptions.AtLeast).
//
// # What it adds
//
// A [Client] sends what DAX may answer to DAX: reads by key that need not be strongly
// consistent, and all writes, so that the item cache has what was written. Queries and
// strong reads go to the table. So does everything else while DAX is not to be relied
// on: a call that gets no answer in time, an answer that is no error of DynamoDB, or
// no node at all, is repeated on the table. After five such calls in a row, or one
// that waited in vain, DAX is left alone for a while. Losing DAX therefore costs time,
// and nothing else.
//
// A write may so be carried out twice, as it may be by the retries of any client of
// AWS. A Store's writes are all conditional or the same when repeated.
//
// The official client (github.com/aws/aws-dax-go-v2 v1.0.3) stalls when many callers
// meet it cold, can wait for ever without a node, ignores cancellation, repeats writes
// by itself, changes its inputs, and panics after Close and on some answers. A Client
// does none of that; its tests show each of these with the bare client too.
//
// # Permissions
//
// DAX acts with the role of the cluster, whatever the caller's own permissions in
// DynamoDB: conditions on dynamodb:LeadingKeys hold nobody back. So a Store refuses a
// cache without a Cipher, unless it is told that all callers may read everything.
// Callers need dax:GetItem, dax:BatchGetItem, dax:PutItem, dax:UpdateItem, dax:DeleteItem,
// dax:BatchWriteItem, dax:ConditionCheckItem and their permissions on the table.
//
// No cluster of AWS has answered these tests, only internal/daxtest, which is our
// model of one.
package dax

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

// Defaults of [Options].
const (
	DefaultTimeout     = time.Second
	DefaultPause       = 10 * time.Second
	DefaultConcurrency = 256
)

// Options says where the cluster is, and how patient a [Client] is with it.
type Options struct {
	// Endpoint is the cluster's discovery endpoint, as in
	// "dax://my-cluster.abc.dax-clusters.eu-central-1.amazonaws.com", with the port 8111
	// if it names none, or with "daxs://" and 9111 for a cluster that encrypts.
	Endpoint string
	// Region is the cluster's.
	Region string
	// Credentials sign what is sent to the cluster.
	Credentials aws.CredentialsProvider
	// Timeout is how long a call, or a connection, may take through DAX; then the
	// table is asked. Zero means [DefaultTimeout].
	Timeout time.Duration
	// Pause is how long DAX is left alone when it failed; zero means [DefaultPause].
	Pause time.Duration
	// Concurrency is how many calls may be under way in DAX at once; those beyond go
	// to the table. Zero means [DefaultConcurrency].
	Concurrency int
	// TLS is for "daxs://"; nil means the roots of the system and the endpoint's name.
	TLS *tls.Config
	// DialContext opens connections to nodes; nil means by TCP, with TLS for "daxs://".
	// It must end within Timeout: nothing else ends it.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
}

// WithDefaults returns what a Client acts on. It accepts a nil receiver.
func (o *Options) WithDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	opts.Timeout = cmp.Or(opts.Timeout, DefaultTimeout)
	opts.Pause = cmp.Or(opts.Pause, DefaultPause)
	opts.Concurrency = cmp.Or(opts.Concurrency, DefaultConcurrency)
	return opts
}

// Validate reports an error that matches memory.ErrInvalid unless a Client can act
// on o.
func (o *Options) Validate() error {
	opts := o.WithDefaults()
	u, err := url.Parse(opts.Endpoint)
	switch {
	case err != nil || u.Hostname() == "" || !slices.Contains([]string{"dax", "daxs"}, u.Scheme):
		return fmt.Errorf("%w: the endpoint %q: dax://host or daxs://host is needed, as the cluster's discovery endpoint", memory.ErrInvalid, opts.Endpoint)
	case opts.Region == "":
		return fmt.Errorf("%w: the cluster's Region is needed", memory.ErrInvalid)
	case opts.Credentials == nil:
		return fmt.Errorf("%w: credentials are needed, such as aws.Config's", memory.ErrInvalid)
	case opts.Timeout < 0 || opts.Pause < 0 || opts.Concurrency < 0:
		return fmt.Errorf("%w: a negative timeout, pause or concurrency: 0 means the default", memory.ErrInvalid)
	case opts.TLS != nil && u.Scheme != "daxs":
		return fmt.Errorf("%w: a TLS configuration for %s: the endpoint of a cluster that encrypts begins with daxs://", memory.ErrInvalid, opts.Endpoint)
	}
	return nil
}

// A Client is a table behind DAX. It is safe for concurrent use; make one for each
// process, and close it.
type Client struct {
	table dynamomemory.Client
	opts  Options
	slots chan struct{}

	mu       sync.Mutex
	conn     *connection // nil while there is none
	pending  *attempting // to make one
	failures int         // in a row
	paused   time.Time   // until when DAX is left alone
	closed   bool
	work     sync.WaitGroup
}

var _ dynamomemory.Client = (*Client)(nil)

// New returns a Client of table, the same that the Store has. It connects to nothing
// and starts nothing: the first call does, or [Client.Warm]. An error matches
// memory.ErrInvalid.
func New(table dynamomemory.Client, options *Options) (*Client, error) {
	if table == nil {
		return nil, fmt.Errorf("new DAX client: %w: a client of the table is needed", memory.ErrInvalid)
	}
	if err := options.Validate(); err != nil {
		return nil, fmt.Errorf("new DAX client: %w", err)
	}
	opts := options.WithDefaults()
	return &Client{table: table, opts: opts, slots: make(chan struct{}, opts.Concurrency)}, nil
}

// Warm connects to the cluster, which the first call would otherwise not wait longer
// for than Timeout. An error matches memory.ErrThrottled, and means that calls go to
// the table for now.
func (c *Client) Warm(ctx context.Context) error {
	conn, err := c.connection(ctx)
	if err != nil {
		return fmt.Errorf("connect to DAX: %w", err)
	}
	c.release(conn)
	return nil
}

// Close ends the connections, and waits for calls that are under way, which Timeout
// bounds. Calls that come later go to the table. Close may be called again.
func (c *Client) Close() error {
	c.mu.Lock()
	conn := c.conn
	c.conn, c.closed = nil, true
	c.mu.Unlock()
	if conn != nil {
		conn.retire()
	}
	done := make(chan struct{})
	go func() {
		c.work.Wait()
		close(done)
	}()
	timer := time.NewTimer(patience(c.opts.Timeout) + c.opts.Timeout)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
		return fmt.Errorf("close the DAX client: %w", errStuck)
	}
}

var (
	errClosed = errors.New("the client is closed")
	errStuck  = errors.New("a call of the official client does not end, and is left behind")
)
