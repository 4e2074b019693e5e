// Package genkit keeps the sessions of Genkit for Go (github.com/firebase/genkit/go) in
// a memory.Store.
//
// The framework's package session is experimental, and so is this one.
package genkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/firebase/genkit/go/core/x/session"

	"github.com/genaistore/genaistore/memory"
)

// StateKey is the key of a session's state that holds the framework's, as one string of
// JSON: numbers keep all their digits.
const StateKey = "genkit"

// A Store is a session.Store whose sessions are those of one user in a memory.Store.
// It is safe for concurrent use, also by several processes; of two that save one
// session the last one wins, as the framework's own stores have it.
//
// A state has at most [memory.MaxState] bytes of JSON. Errors match those of package
// memory.
type Store[S any] struct {
	store memory.Store
	owner memory.Key
}

// New returns a store of the sessions of owner, a key of a user: the framework's
// session ids are unique in it alone, so that no user can reach another's session by
// its id. An error matches memory.ErrInvalid.
func New[S any](store memory.Store, owner memory.Key) (*Store[S], error) {
	if store == nil {
		return nil, fmt.Errorf("new store: %w: a memory.Store is needed", memory.ErrInvalid)
	}
	if err := owner.ValidateScope(); err != nil {
		return nil, fmt.Errorf("new store: %w", err)
	}
	if owner.User == "" || owner.Session != "" {
		return nil, fmt.Errorf("new store: %w: the key %s: one of a user, without a session, is needed", memory.ErrInvalid, owner)
	}
	return &Store[S]{store: store, owner: owner}, nil
}

func (s *Store[S]) key(id string) (memory.Key, error) {
	key := s.owner
	key.Session = id
	return key, key.Validate()
}

// Get implements session.Store. It is nil where there is no session.
func (s *Store[S]) Get(ctx context.Context, sessionID string) (*session.Data[S], error) {
	key, err := s.key(sessionID)
	if err != nil {
		return nil, err
	}
	window, err := s.store.Open(ctx, key, &memory.WindowOptions{Last: -1})
	if errors.Is(err, memory.ErrNotFound) {
		return nil, nil //nolint:nilnil // as the framework has it
	}
	if err != nil {
		return nil, err
	}
	data := &session.Data[S]{ID: sessionID}
	saved, ok := window.States.Session[StateKey]
	if !ok {
		return nil, nil //nolint:nilnil // a session of another adapter
	}
	text, ok := saved.(string)
	if !ok {
		return nil, fmt.Errorf("session %s: %w: %q in its state is no string", key, memory.ErrCorrupt, StateKey)
	}
	if err := json.Unmarshal([]byte(text), &data.State); err != nil {
		return nil, fmt.Errorf("session %s: %w: its state is none of this type: %w", key, memory.ErrCorrupt, err)
	}
	return data, nil
}

// Save implements session.Store. It makes the session if there is none.
func (s *Store[S]) Save(ctx context.Context, sessionID string, data *session.Data[S]) error {
	key, err := s.key(sessionID)
	if err != nil {
		return err
	}
	if data == nil || data.ID != sessionID {
		return fmt.Errorf("%w: data of session %q are needed", memory.ErrInvalid, sessionID)
	}
	text, err := json.Marshal(data.State)
	if err != nil {
		return fmt.Errorf("%w: the state: %w", memory.ErrInvalid, err)
	}
	state := memory.SetState{Set: memory.States{Session: memory.State{StateKey: string(text)}}}
	_, err = s.store.Update(ctx, key, state)
	if !errors.Is(err, memory.ErrNotFound) {
		return err
	}
	_, err = s.store.Update(ctx, key, memory.Create{}, state)
	if errors.Is(err, memory.ErrConflict) { // somebody else has made it meanwhile
		_, err = s.store.Update(ctx, key, state)
	}
	return err
}
