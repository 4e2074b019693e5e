package dax

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/aws/aws-dax-go-v2/dax"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/metrics"

	"github.com/genaistore/genaistore/memory"
)

// A connection is one official client, which knew a node when it was made.
type connection struct {
	dax *dax.Dax

	mu      sync.Mutex
	known   map[string]struct{} // tables whose key it has read
	calls   int                 // under way
	retired bool
}

// attempting is the making of a connection. The official client may take five seconds
// for each address that does not answer; callers wait for Timeout since the beginning.
type attempting struct {
	done  chan struct{}
	since time.Time
}

// connection returns a connection, with one more call counted, and makes it if there
// is none. It waits no longer than ctx. Who got it must release it.
func (c *Client) connection(ctx context.Context) (*connection, error) {
	c.mu.Lock()
	switch {
	case c.closed:
		c.mu.Unlock()
		return nil, fmt.Errorf("%w: %w", memory.ErrThrottled, errClosed)
	case time.Now().Before(c.paused):
		c.mu.Unlock()
		return nil, fmt.Errorf("%w: it failed and is left alone for %s", memory.ErrThrottled, c.opts.Pause)
	case c.conn != nil:
		defer c.mu.Unlock()
		return c.hold(), nil
	}
	if c.pending == nil {
		c.pending = &attempting{done: make(chan struct{}), since: time.Now()}
		attempt := context.WithoutCancel(ctx) // of all who wait for it
		c.work.Go(func() { c.connect(attempt) })
	}
	pending := c.pending
	c.mu.Unlock()

	timer := time.NewTimer(time.Until(pending.since.Add(c.opts.Timeout)))
	defer timer.Stop()
	select {
	case <-pending.done:
	case <-timer.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return nil, fmt.Errorf("%w: no node of %s answers", memory.ErrThrottled, c.opts.Endpoint)
	}
	return c.hold(), nil
}

// hold counts a call, until release. c.mu is held: after Close no call begins.
func (c *Client) hold() *connection {
	c.work.Add(1)
	c.conn.hold()
	return c.conn
}

func (c *Client) release(conn *connection) {
	conn.release()
	c.work.Done()
}

// connect makes a connection, and tells who waits for it.
func (c *Client) connect(ctx context.Context) {
	conn, err := c.dial(ctx)
	c.mu.Lock()
	close(c.pending.done)
	c.pending = nil
	if err != nil {
		c.paused = time.Now().Add(c.opts.Pause)
	} else if !c.closed {
		c.conn, c.failures = conn, 0
		conn = nil
	}
	c.mu.Unlock()
	if conn != nil { // made too late
		conn.retire()
	}
}

// dial makes an official client and makes sure that it has a node: one that never
// had any can wait for ever for locks of its own, in calls and in Close.
func (c *Client) dial(ctx context.Context) (*connection, error) {
	client, err := dax.New(c.config())
	if err != nil {
		return nil, err
	}
	// A request that names no table reaches a node's encoder, which refuses it, if
	// there is a node. So soon after New nothing else holds the client's locks.
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	_, err = client.GetItem(ctx, &dynamodb.GetItemInput{})
	if routeless, ok := errors.AsType[*smithy.OperationError](err); ok {
		return nil, errors.Join(routeless, client.Close())
	}
	return &connection{dax: client, known: map[string]struct{}{}}, nil
}

// config is the official client's configuration. Its own default reads the
// environment's and panics where that is broken.
func (c *Client) config() dax.Config {
	var cfg dax.Config
	cfg.HostPorts = []string{c.opts.Endpoint}
	cfg.Region = c.opts.Region
	cfg.Credentials = c.opts.Credentials
	cfg.MeterProvider = metrics.NopMeterProvider{}
	cfg.DialContext = c.dialNode
	// A call may need a second connection for the table's key, which waits behind
	// those that wait for that key, unless there may be as many as are wanted.
	cfg.MaxPendingConnectionsPerHost = 2*c.opts.Concurrency + 16
	cfg.ClusterUpdateInterval, cfg.ClusterUpdateThreshold = 4*time.Second, 125*time.Millisecond
	cfg.ClientHealthCheckInterval = 5 * time.Second
	// Never: the client panics if it looks for idle connections while it is closed.
	// There are at most as many as calls at once.
	cfg.IdleConnectionReapDelay = math.MaxInt64
	cfg.RequestTimeout = c.opts.Timeout
	// A read has another try, at another node. A write has none: it may have had its
	// effect. The table follows.
	cfg.ReadRetries, cfg.WriteRetries = 1, 0
	return cfg
}

// dialNode connects to a node within Timeout: the client gives it no context that
// ends.
func (c *Client) dialNode(ctx context.Context, network, address string) (net.Conn, error) {
	dial := c.opts.DialContext
	if dial == nil {
		dialer := net.Dialer{Timeout: c.opts.Timeout}
		dial = dialer.DialContext
		if u, err := url.Parse(c.opts.Endpoint); err == nil && u.Scheme == "daxs" {
			encrypted := tls.Dialer{NetDialer: &dialer, Config: c.tls(u.Hostname())}
			dial = encrypted.DialContext
		}
	}
	conn, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &guarded{Conn: conn}, nil
}

// tls is for nodes, which are dialled by their addresses and show the certificate of
// the cluster.
func (c *Client) tls(host string) *tls.Config {
	cfg := c.opts.TLS.Clone()
	if cfg == nil {
		cfg = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if cfg.ServerName == "" {
		cfg.ServerName = host
	}
	return cfg
}

func (conn *connection) hold() {
	conn.mu.Lock()
	defer conn.mu.Unlock()
	conn.calls++
}

func (conn *connection) release() {
	conn.mu.Lock()
	conn.calls--
	last := conn.retired && conn.calls == 0
	conn.mu.Unlock()
	if last {
		_ = conn.dax.Close()
	}
}

// retire closes a connection with its last call: the client panics in calls that are
// under way when it is closed. One with a call that never ends stays open, because
// its Close might wait for the same lock.
func (conn *connection) retire() {
	conn.hold()
	conn.mu.Lock()
	conn.retired = true
	conn.mu.Unlock()
	conn.release()
}

// knows reports whether conn has met table before.
func (conn *connection) knows(table string) bool {
	conn.mu.Lock()
	defer conn.mu.Unlock()
	_, ok := conn.known[table]
	return ok
}

func (conn *connection) learn(table string) {
	conn.mu.Lock()
	defer conn.mu.Unlock()
	conn.known[table] = struct{}{}
}
