// Package eino keeps the checkpoints of Eino (github.com/cloudwego/eino), of graphs and
// of agents, in a memory.Store, so that a run that was interrupted goes on from any
// machine.
package eino

import (
	"context"
	"errors"
	"fmt"

	"github.com/cloudwego/eino/compose"

	"github.com/genaistore/genaistore/memory"
)

// CheckPoints is a compose.CheckPointStore, and an adk.CheckPointStore, whose
// checkpoints are sessions of one user in a memory.Store. It is safe for concurrent
// use, also by several processes; of two that set one checkpoint the last one wins.
//
// A checkpoint has at most [memory.MaxEntry] bytes, and an id at most
// [memory.MaxKeyPart]. It lives as long as the store keeps records; what it replaces
// is not read any more, and goes with it. Errors match those of package memory.
type CheckPoints struct {
	store memory.Store
	owner memory.Key
}

var (
	_ compose.CheckPointStore = (*CheckPoints)(nil)
	_ interface {
		Delete(ctx context.Context, checkPointID string) error
	} = (*CheckPoints)(nil) // the framework's optional interface, which it keeps internal
)

// NewCheckPoints returns the checkpoints of owner, a key of a user: ids are unique in
// it alone, so that no user can resume another's run by its id. An error matches
// memory.ErrInvalid.
func NewCheckPoints(store memory.Store, owner memory.Key) (*CheckPoints, error) {
	if store == nil {
		return nil, fmt.Errorf("new checkpoints: %w: a memory.Store is needed", memory.ErrInvalid)
	}
	if err := owner.ValidateScope(); err != nil {
		return nil, fmt.Errorf("new checkpoints: %w", err)
	}
	if owner.User == "" || owner.Session != "" {
		return nil, fmt.Errorf("new checkpoints: %w: the key %s: one of a user, without a session, is needed", memory.ErrInvalid, owner)
	}
	return &CheckPoints{store: store, owner: owner}, nil
}

func (c *CheckPoints) key(id string) (memory.Key, error) {
	key := c.owner
	key.Session = id
	return key, key.Validate()
}

// Get implements compose.CheckPointStore.
func (c *CheckPoints) Get(ctx context.Context, checkPointID string) (checkPoint []byte, there bool, err error) {
	key, err := c.key(checkPointID)
	if err != nil {
		return nil, false, err
	}
	window, err := c.store.Open(ctx, key, &memory.WindowOptions{Last: 1, Verbatim: true, Scopes: memory.NoState})
	if errors.Is(err, memory.ErrNotFound) || err == nil && len(window.Records) == 0 {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	newest := window.Records[0]
	if newest.Turn != turn {
		return nil, false, fmt.Errorf("session %s: %w: it is a conversation and no checkpoint", key, memory.ErrConflict)
	}
	return newest.Extra, true, nil
}

// turn marks a record as a checkpoint, so that the id of a conversation is not taken
// for one.
const turn = "eino checkpoint"

// Set implements compose.CheckPointStore. It is one write.
func (c *CheckPoints) Set(ctx context.Context, checkPointID string, checkPoint []byte) error {
	key, err := c.key(checkPointID)
	if err != nil {
		return err
	}
	if checkPoint == nil {
		checkPoint = []byte{}
	}
	_, err = c.store.Append(ctx, key, memory.Entry{Turn: turn, Extra: checkPoint}, nil)
	return err
}

// Delete removes a checkpoint and all that it has replaced, as the framework does when
// a run is done. One that is not there is no error.
func (c *CheckPoints) Delete(ctx context.Context, checkPointID string) error {
	key, err := c.key(checkPointID)
	if err != nil {
		return err
	}
	return c.store.Delete(ctx, key)
}
