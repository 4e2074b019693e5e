// Package daxtest is a DAX cluster for tests: nodes that speak DAX's wire protocol
// to the official client, in front of any DynamoDB.
//
// Each node has the caches of DAX. GetItem and BatchGetItem read through the item
// cache, which every write through the node updates; other nodes follow after
// [Options.Replication]. Query and Scan have a cache of their own, which no write
// touches. Both keep what they did not find as negative entries, until it is too old.
// Strongly consistent reads and TransactGetItems pass both by. TransactWriteItems
// answers first and fills the item cache afterwards.
//
// # What it proves, and what it cannot
//
// It shows that a program and the official client get along with the protocol, with
// errors, delays and losses, and with caches that are as stale as AWS's
// documentation allows them to be. It can prove nothing about the service itself:
// where no document says what DAX does, a node does what is worst for its clients.
// So every entry replicates, in the order of its arrival, also one that was read
// before a write that other nodes have already seen; a stopped node is still listed;
// and a delete leaves a negative entry.
//
// It has no parameter groups, metrics, control plane or maintenance, and no limit on
// attribute lists, which DAX keeps for ever.
package daxtest

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// Client is what a cluster needs of DynamoDB. *dynamodb.Client has it.
type Client interface {
	DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	BatchWriteItem(context.Context, *dynamodb.BatchWriteItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
	TransactGetItems(context.Context, *dynamodb.TransactGetItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactGetItemsOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
}

// Defaults of [Options].
const (
	DefaultTTL     = 5 * time.Minute // as DAX's parameter groups have it
	DefaultEntries = 100_000
	DefaultRegion  = "us-east-1"
)

// Options adjusts a [Cluster]. A nil *Options means the zero value.
type Options struct {
	// Nodes is how many there are; zero means one.
	Nodes int
	// ItemTTL and QueryTTL are how long entries of the caches live; zero means
	// [DefaultTTL], negative that nothing is cached.
	ItemTTL, QueryTTL time.Duration
	// Entries is how many entries each cache of each node holds; zero means
	// [DefaultEntries].
	Entries int
	// Replication is how long an entry takes to the other nodes' item caches.
	Replication time.Duration
	// Filling is how long after its answer a TransactWriteItems fills the item cache.
	Filling time.Duration
	// Credentials are what requests must be signed with; nil means that nobody looks.
	Credentials aws.CredentialsProvider
	// Region is where the cluster is, for signatures; "" means [DefaultRegion].
	Region string
	// TLS encrypts connections; nil means that they are not. Not with InMemory.
	TLS *tls.Config
	// InMemory does without sockets: clients connect by [Cluster.DialContext] alone,
	// and a test in a testing/synctest bubble waits for nothing.
	InMemory bool
	// Fault sees each request when it is whole, and says what befalls it; nil means
	// nothing. It must be safe for concurrent use.
	Fault func(Call) Fault
}

// WithDefaults returns what a Cluster acts on. It accepts a nil receiver.
func (o *Options) WithDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	opts.Nodes = cmp.Or(opts.Nodes, 1)
	opts.ItemTTL = cmp.Or(opts.ItemTTL, DefaultTTL)
	opts.QueryTTL = cmp.Or(opts.QueryTTL, DefaultTTL)
	opts.Entries = cmp.Or(opts.Entries, DefaultEntries)
	opts.Region = cmp.Or(opts.Region, DefaultRegion)
	return opts
}

// A Call is a request to a node.
type Call struct {
	Node   int
	Method string // such as "GetItem", "Endpoints" or "DefineKeySchema"
	Tables []string
	Write  bool
}

// A Fault is what befalls a call. The zero value is nothing.
type Fault struct {
	Delay time.Duration // before it is carried out
	Skip  bool          // it is not carried out
	Err   error         // what is answered instead of carrying it out
	Late  time.Duration // between its effect and its answer
	End   End
}

// An End is how a call ends.
type End int

// Ends.
const (
	Answered  End = iota // in order
	Closed               // without an answer: the client reads the end of the stream
	Reset                // without an answer: the client's read fails
	Garbage              // with bytes that are no answer
	Oversized            // with an answer that announces more than can be
	Silent               // never: the connection stays open
)

// A Cluster is a DAX cluster. It is safe for concurrent use.
type Cluster struct {
	client Client
	opts   Options
	lists  attributeLists
	nodes  []*node

	mu      sync.Mutex
	schemas map[string]schema

	ctx    context.Context //nolint:containedctx // of what nodes do between requests; ended by Close
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// Start starts a cluster in front of DynamoDB, which ends with ctx or Close. It
// listens on 127.0.0.1 alone.
func Start(ctx context.Context, client Client, options *Options) (*Cluster, error) {
	opts := options.WithDefaults()
	if opts.InMemory && opts.TLS != nil {
		return nil, errors.New("daxtest: TLS needs sockets")
	}
	c := &Cluster{client: client, opts: opts, lists: newAttributeLists(), schemas: map[string]schema{}}
	c.ctx, c.cancel = context.WithCancel(ctx)
	for i := range opts.Nodes {
		n := &node{cluster: c, index: i}
		c.nodes = append(c.nodes, n)
		if err := n.start(); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// Close ends all nodes and connections, and returns when nothing of c runs any more.
// It may be called again.
func (c *Cluster) Close() error {
	c.cancel()
	var errs []error
	for i := range c.nodes {
		errs = append(errs, c.StopNode(i))
	}
	c.work.Wait()
	return errors.Join(errs...)
}

// Endpoint is what clients are told to connect to: the first node.
func (c *Cluster) Endpoint() string {
	scheme := "dax"
	if c.opts.TLS != nil {
		scheme = "daxs"
	}
	return scheme + "://" + c.nodes[0].address().String()
}

// DialContext connects to a node by its address, and to nothing else.
func (c *Cluster) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	for _, n := range c.nodes {
		if n.address().String() == address {
			return n.dial(ctx, network)
		}
	}
	return nil, fmt.Errorf("dial %s: no node of this cluster", address)
}

// StopNode ends a node with all its connections, and empties its caches. It is still
// listed, as a node is that others do not miss yet.
func (c *Cluster) StopNode(i int) error { return c.nodes[i].stop() }

// StartNode starts a stopped node again, at its address.
func (c *Cluster) StartNode(i int) error { return c.nodes[i].start() }

// Disconnect closes all connections, as idle ones are and those of a restarted node.
func (c *Cluster) Disconnect() {
	for _, n := range c.nodes {
		n.disconnect()
	}
}

// Stats are counts since the start of a cluster, over all nodes.
type Stats struct {
	ItemHits, ItemMisses   int64
	QueryHits, QueryMisses int64
	Connections            int // open now
	AttributeLists         int // known, which DAX never forgets
}

// Stats returns what was counted.
func (c *Cluster) Stats() Stats {
	s := Stats{AttributeLists: c.lists.count()}
	for _, n := range c.nodes {
		s.Connections += n.connections()
		if n.items == nil {
			continue
		}
		hits, misses := n.items.counts()
		s.ItemHits, s.ItemMisses = s.ItemHits+hits, s.ItemMisses+misses
		hits, misses = n.queries.counts()
		s.QueryHits, s.QueryMisses = s.QueryHits+hits, s.QueryMisses+misses
	}
	return s
}

// schema returns the key of a table, from DynamoDB the first time.
func (c *Cluster) schema(ctx context.Context, table string) (schema, error) {
	c.mu.Lock()
	known, ok := c.schemas[table]
	c.mu.Unlock()
	if ok {
		return known, nil
	}
	out, err := c.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	if err != nil {
		return nil, err
	}
	s := schemaOf(out.Table)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.schemas[table] = s
	return s, nil
}

// replicate puts an entry into the item caches of the other nodes, later.
func (c *Cluster) replicate(from int, key string, it item) {
	for i, n := range c.nodes {
		if i != from {
			c.later(c.opts.Replication, func() { n.receive(key, it) })
		}
	}
}

// later runs fn after d, unless the cluster is closed first.
func (c *Cluster) later(d time.Duration, fn func()) {
	time.AfterFunc(d, func() {
		if c.ctx.Err() == nil {
			fn()
		}
	})
}
