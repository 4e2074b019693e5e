package dax

import (
	"context"
	"errors"
	"time"

	"github.com/aws/smithy-go"
)

// tolerated is how many calls in a row may fail before DAX is left alone: a pooled
// connection that a node has closed fails one call, and a node of three that is gone
// one write of three.
const tolerated = 5

// judge counts what became of a call.
func (c *Client) judge(conn *connection, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != conn {
		return // of a connection that is given up already
	}
	if err == nil || answered(err) {
		c.failures = 0
		return
	}
	c.failures++
	if c.failures >= tolerated || late(err) {
		c.pause(conn)
	}
}

// pause leaves DAX alone. When it is tried again, it is with a new connection, which
// finds the nodes that there are then.
func (c *Client) pause(conn *connection) {
	c.conn, c.failures = nil, 0
	c.paused = time.Now().Add(c.opts.Pause)
	conn.retire()
}

// answered reports whether err is an answer, of DAX or of DynamoDB: the client has
// types for it. It has none for what happens to a connection.
func answered(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	switch api.ErrorCode() {
	case "Unknown", "ResponseTimeout", "InternalServerError":
		return false
	}
	return true
}

func late(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return errors.Is(err, errNoAnswer) || errors.Is(err, context.DeadlineExceeded) || ok && api.ErrorCode() == "ResponseTimeout"
}
