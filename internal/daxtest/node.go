package daxtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// A node answers connections, one request after the other on each.
type node struct {
	cluster *Cluster
	index   int
	items   *cache[item]
	queries *cache[*page]

	mu       sync.Mutex
	at       *net.TCPAddr // from the first start on
	listener net.Listener // nil without sockets, and while stopped
	running  bool
	conns    map[net.Conn]struct{}
}

// start listens where it did before, if it did.
func (n *node) start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running {
		return nil
	}
	opts := n.cluster.opts
	if n.items == nil {
		n.items, n.queries = newCache[item](opts.ItemTTL, opts.Entries), newCache[*page](opts.QueryTTL, opts.Entries)
	}
	n.conns = map[net.Conn]struct{}{}
	if opts.InMemory {
		// TEST-NET-1 of RFC 5737, at DAX's port: nothing else has such an address.
		n.at, n.running = &net.TCPAddr{IP: net.IPv4(192, 0, 2, byte(n.index+1)).To4(), Port: 8111}, true
		return nil
	}
	at := n.at
	if at == nil {
		at = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1).To4()}
	}
	l, err := net.ListenTCP("tcp4", at)
	if err != nil {
		return fmt.Errorf("daxtest: node %d: %w", n.index, err)
	}
	n.at, n.listener, n.running = l.Addr().(*net.TCPAddr), l, true
	if opts.TLS != nil {
		n.listener = tls.NewListener(l, opts.TLS)
	}
	n.cluster.work.Go(func() { n.accept(n.listener) })
	return nil
}

func (n *node) stop() error {
	n.mu.Lock()
	if !n.running {
		n.mu.Unlock()
		return nil
	}
	n.running = false
	var err error
	if n.listener != nil {
		err = n.listener.Close()
	}
	n.mu.Unlock()
	n.disconnect()
	n.items.clear()
	n.queries.clear()
	return err
}

func (n *node) address() *net.TCPAddr {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.at
}

func (n *node) disconnect() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		_ = c.Close()
	}
}

func (n *node) connections() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.conns)
}

func (n *node) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		n.take(conn)
	}
}

// take serves a connection until it ends.
func (n *node) take(conn net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.running || n.cluster.ctx.Err() != nil {
		_ = conn.Close()
		return false
	}
	n.conns[conn] = struct{}{}
	n.cluster.work.Go(func() {
		n.serve(conn)
		n.mu.Lock()
		defer n.mu.Unlock()
		_ = conn.Close()
		delete(n.conns, conn)
	})
	return true
}

func (n *node) dial(ctx context.Context, network string) (net.Conn, error) {
	if !n.cluster.opts.InMemory {
		var d net.Dialer
		return d.DialContext(ctx, network, n.address().String())
	}
	client, server := net.Pipe()
	end := &pipeEnd{Conn: client}
	if !n.take(&pipeServer{Conn: server, client: end}) {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: n.address(), Err: syscall.ECONNREFUSED}
	}
	return end, nil
}

// pipeServer and pipeEnd are the ends of a connection without a socket. What a
// socket tells by a reset, they share.
type pipeServer struct {
	net.Conn
	client *pipeEnd
}

type pipeEnd struct {
	net.Conn
	mu  sync.Mutex
	cut bool
}

func (p *pipeEnd) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil && p.cut {
		err = syscall.ECONNRESET
	}
	return n, err
}

func (p *pipeServer) abort() {
	p.client.mu.Lock()
	p.client.cut = true
	p.client.mu.Unlock()
	_ = p.Close()
}

// abort closes a connection so that the other side's read fails.
func abort(conn net.Conn) {
	switch c := conn.(type) {
	case *pipeServer:
		c.abort()
		return
	case *tls.Conn:
		conn = c.NetConn()
	}
	if c, ok := conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0)
	}
	_ = conn.Close()
}

var errHandshake = errors.New("what connects is no DAX client")

// greet reads what begins a connection. It has no answer.
func greet(r *reader) error {
	magic, err := r.text()
	if err != nil || magic != "J7yne5G" {
		return errors.Join(errHandshake, err)
	}
	return all(
		func() error { _, err := r.int(); return err },      // layering
		func() error { _, err := r.nullText(); return err }, // session
		func() error { // about the client
			return r.each(majorMap, func(int) error {
				return all(func() error { _, err := r.text(); return err }, func() error { _, err := r.text(); return err })
			})
		},
		func() error { _, err := r.int(); return err }, // mode
	)
}

func (n *node) serve(conn net.Conn) {
	r := newReader(conn)
	if greet(r) != nil {
		return
	}
	var a auth
	for {
		q, ok := n.next(r, &a)
		if !ok || !n.answer(conn, q, a) {
			return
		}
	}
}

// next reads a request, and the authorizations before it, which have no answer of
// their own.
func (n *node) next(r *reader, a *auth) (*request, bool) {
	for {
		method, err := r.method()
		if err != nil {
			return nil, false
		}
		if method != methodAuthorize {
			q := &request{method: method}
			return q, q.read(r) == nil
		}
		p, err := r.proof()
		if err != nil {
			return nil, false
		}
		*a = n.cluster.authorize(p)
	}
}

// answer carries a request out and reports whether the connection lives on.
func (n *node) answer(conn net.Conn, q *request, a auth) bool {
	var f Fault
	if fn := n.cluster.opts.Fault; fn != nil {
		f = fn(Call{Node: n.index, Method: q.name(), Tables: q.tableNames(), Write: q.isWrite()})
	}
	n.wait(f.Delay)
	w := &writer{}
	if !f.Skip {
		err := f.Err
		if err == nil {
			err = a.check(n.cluster)
		}
		if err == nil {
			err = n.carryOut(q, w)
		}
		if err != nil {
			w.buf = nil
			n.writeError(w, err, q)
		}
	}
	n.wait(f.Late)
	switch f.End {
	case Closed:
		return false
	case Reset:
		abort(conn)
		return false
	case Garbage:
		_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
		return false
	case Oversized:
		_, _ = conn.Write([]byte("\x9b\xff\xff\xff\xff\xff\xff\xff\xff")) // an array of 2^64-1
		return false
	case Silent:
		// Until the client or the cluster gives up.
		_, _ = conn.Read(make([]byte, 1))
		return false
	}
	_, err := conn.Write(w.buf)
	return err == nil
}

func (n *node) wait(d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-n.cluster.ctx.Done():
	}
}

// requestTimeout is how long a node waits for DynamoDB.
const requestTimeout = 30 * time.Second

func (n *node) carryOut(q *request, w *writer) error {
	ctx, cancel := context.WithTimeout(n.cluster.ctx, requestTimeout)
	defer cancel()
	w.array(0) // no error
	switch q.method {
	case methodEndpoints:
		n.cluster.writeEndpoints(w)
		return nil
	case methodDefineKeySchema:
		return n.defineKeySchema(ctx, q, w)
	case methodDefineAttributeListID:
		w.int(n.cluster.lists.id(q.names))
		return nil
	case methodDefineAttributeList:
		return n.defineAttributeList(q, w)
	case methodGetItem:
		return n.getItem(ctx, q, w)
	case methodPutItem:
		return n.putItem(ctx, q, w)
	case methodUpdateItem:
		return n.updateItem(ctx, q, w)
	case methodDeleteItem:
		return n.deleteItem(ctx, q, w)
	case methodQuery, methodScan:
		return n.search(ctx, q, w)
	case methodBatchGetItem:
		return n.batchGet(ctx, q, w)
	case methodBatchWriteItem:
		return n.batchWrite(ctx, q, w)
	case methodTransactWriteItems:
		return n.transactWrite(ctx, q, w)
	}
	return n.transactGet(ctx, q, w)
}

// writeEndpoints lists the nodes. The client dials the address and port.
func (c *Cluster) writeEndpoints(w *writer) {
	w.array(len(c.nodes))
	for i, n := range c.nodes {
		at := n.address()
		role := int64(2) // a replica
		if i == 0 {
			role = 1 // the leader
		}
		w.mapping(7)
		w.int(0)
		w.int(int64(i + 1)) // its id
		w.int(1)
		w.text(fmt.Sprintf("node-%d", i+1)) // its name
		w.int(2)
		w.bytes(at.IP)
		w.int(3)
		w.int(int64(at.Port))
		w.int(4)
		w.int(role)
		w.int(5)
		w.text(c.opts.Region + "a") // its zone
		w.int(6)
		w.int(0) // the leader's session
	}
}

func (n *node) defineKeySchema(ctx context.Context, q *request, w *writer) error {
	s, err := n.cluster.schema(ctx, q.table)
	if err != nil {
		return err
	}
	w.mapping(len(s))
	for _, k := range s {
		w.text(k.name)
		w.text(string(k.kind))
	}
	return nil
}

func (n *node) defineAttributeList(q *request, w *writer) error {
	names, err := n.cluster.lists.names(q.list)
	if err != nil {
		return err
	}
	w.array(len(names))
	for _, name := range names {
		w.text(name)
	}
	return nil
}

// store keeps what a write has left; nil for what it deleted.
func (n *node) store(key string, it item) {
	n.items.put(key, it)
	n.cluster.replicate(n.index, key, it)
}

// receive is store on another node, some time later.
func (n *node) receive(key string, it item) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running {
		n.items.put(key, it)
	}
}

func schemaOf(t *types.TableDescription) schema {
	var s schema
	for _, kind := range []types.KeyType{types.KeyTypeHash, types.KeyTypeRange} {
		for _, k := range t.KeySchema {
			if k.KeyType != kind {
				continue
			}
			for _, d := range t.AttributeDefinitions {
				if *d.AttributeName == *k.AttributeName {
					s = append(s, keyAttribute{*d.AttributeName, d.AttributeType})
				}
			}
		}
	}
	return s
}
