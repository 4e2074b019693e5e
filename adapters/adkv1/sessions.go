// Code generated from ../adk/sessions.go by go test -update; DO NOT EDIT.

// Package adkv1 keeps the sessions of agents built with the Agent Development Kit for
// Go, version 1 (google.golang.org/adk), in a memory.Store, and their artifacts in an
// artifacts.Store.
//
// It is package adk for the other major version of the kit. Each reads what the
// other has written, but for what version 1 has no field for.
package adkv1

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	"google.golang.org/adk/platform"
	"google.golang.org/adk/session"

	"github.com/genaistore/genaistore/memory"
)

// DefaultLast is how many events a session has that is got without NumRecentEvents,
// as the kit's runner does before each turn.
const DefaultLast = 200

// SessionOptions adjusts [Sessions]. A nil *SessionOptions means the zero value.
type SessionOptions struct {
	// Tenant is the tenant of all keys. Empty means the default tenant.
	Tenant string
	// Last bounds the events of a session that is got without NumRecentEvents; zero
	// means [DefaultLast]. The session then begins where an invocation begins, unless
	// not even the newest one fits. The others stay in the store.
	Last int
	// Tokens bounds them too, by [memory.WindowOptions.Tokens]. Zero means no bound.
	Tokens int
}

// Sessions is a session.Service on a memory.Store. An app of the kit is an app of the
// store, a user a user, an event a record, and an invocation a turn.
//
// Events come back in the order of their AppendEvent, whatever their timestamps say;
// an event without an id, or with one that was there before, is an event like any
// other. What the state and tool arguments hold comes back as encoding/json decodes
// it. Keys with the prefix "temp:" live in the session at hand and are not stored;
// events that are partial are not stored.
//
// Its errors match those of package memory: memory.ErrNotFound for a session that is
// not there, memory.ErrConflict for a Create of one that is.
type Sessions struct {
	store memory.Store
	opts  SessionOptions
}

var _ session.Service = (*Sessions)(nil)

// NewSessions returns a service on store.
func NewSessions(store memory.Store, opts *SessionOptions) *Sessions {
	s := &Sessions{store: store}
	if opts != nil {
		s.opts = *opts
	}
	s.opts.Last = cmp.Or(s.opts.Last, DefaultLast)
	return s
}

func (s *Sessions) key(app, user, id string) memory.Key {
	return memory.Key{Tenant: s.opts.Tenant, App: app, User: user, Session: id}
}

// named makes sure that nothing of a key is missing, which would name another thing
// in the store: a user, or the default app. Its text names the fields as the kit's own
// services do, because programs look for that, and so do tests of the kit.
func named(app, user, id string) error {
	if app == "" || user == "" {
		return fmt.Errorf("%w: app_name and user_id are required, got app_name: %q, user_id: %q", memory.ErrInvalid, app, user)
	}
	if id == "" {
		return fmt.Errorf("%w: session_id is required, app_name: %q, user_id: %q", memory.ErrInvalid, app, user)
	}
	return nil
}

// Create implements session.Service.
func (s *Sessions) Create(ctx context.Context, req *session.CreateRequest) (*session.CreateResponse, error) {
	key := s.key(req.AppName, req.UserID, cmp.Or(req.SessionID, platform.NewUUID(ctx)))
	if err := named(key.App, key.User, key.Session); err != nil {
		return nil, err
	}
	states, temp, err := split(req.State)
	if err != nil {
		return nil, err
	}
	changes := []memory.Change{memory.Create{}}
	if len(req.State) > len(temp) {
		changes = append(changes, memory.SetState{Set: states})
	}
	if _, err := s.store.Update(ctx, key, changes...); err != nil {
		return nil, err
	}
	l, err := s.open(ctx, key, memory.WindowOptions{Last: -1})
	if err != nil {
		return nil, err
	}
	l.merge(temp)
	return &session.CreateResponse{Session: l}, nil
}

// Get implements session.Service. NumRecentEvents is exact; without it the options'
// bounds hold. After leaves out events by their timestamps.
func (s *Sessions) Get(ctx context.Context, req *session.GetRequest) (*session.GetResponse, error) {
	if err := named(req.AppName, req.UserID, req.SessionID); err != nil {
		return nil, err
	}
	opts := memory.WindowOptions{Last: s.opts.Last, Tokens: s.opts.Tokens}
	if req.NumRecentEvents > 0 {
		opts = memory.WindowOptions{Last: req.NumRecentEvents, Verbatim: true}
	}
	l, err := s.open(ctx, s.key(req.AppName, req.UserID, req.SessionID), opts)
	if err != nil {
		return nil, err
	}
	l.events = slices.DeleteFunc(l.events, func(e *session.Event) bool { return e.Timestamp.Before(req.After) })
	return &session.GetResponse{Session: l}, nil
}

// open reads a session with all states.
func (s *Sessions) open(ctx context.Context, key memory.Key, opts memory.WindowOptions) (*live, error) {
	opts.Scopes = memory.AllStates
	w, err := s.store.Open(ctx, key, &opts)
	if err != nil {
		return nil, err
	}
	l := &live{owner: s, key: key, state: join(w.States), updated: w.Head.Active, seen: w.Bookmark, events: []*session.Event{}}
	for _, r := range w.Records {
		events, err := decode(r)
		if err != nil {
			return nil, fmt.Errorf("record %s of %s: %w", r.ID, key, err)
		}
		for _, e := range events {
			l.events, l.updated = append(l.events, e), e.Timestamp
		}
	}
	return l, nil
}

// listAtOnce bounds the sessions that List reads at once.
const listAtOnce = 8

// List implements session.Service: sessions with their states and without events,
// newest first. It reads each session, as listings of the store carry no state.
func (s *Sessions) List(ctx context.Context, req *session.ListRequest) (*session.ListResponse, error) {
	if req.AppName == "" {
		return nil, fmt.Errorf("list sessions: %w: the app's name is empty", memory.ErrInvalid)
	}
	var keys []memory.Key
	for match, err := range s.store.Find(ctx, memory.Query{Tenant: s.opts.Tenant, App: req.AppName, User: req.UserID}) {
		if err != nil {
			return nil, err
		}
		keys = append(keys, match.Key)
	}
	found := make([]*live, len(keys))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(listAtOnce)
	for i, key := range keys {
		group.Go(func() error {
			l, err := s.open(ctx, key, memory.WindowOptions{Last: -1})
			if errors.Is(err, memory.ErrNotFound) {
				return nil // it was deleted after it was listed
			}
			found[i] = l
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	resp := &session.ListResponse{Sessions: []session.Session{}}
	for _, l := range found {
		if l != nil {
			resp.Sessions = append(resp.Sessions, l)
		}
	}
	return resp, nil
}

// Delete implements session.Service. A session that is not there is no error; the
// states of the user and the app stay.
func (s *Sessions) Delete(ctx context.Context, req *session.DeleteRequest) error {
	if err := named(req.AppName, req.UserID, req.SessionID); err != nil {
		return err
	}
	return s.store.Delete(ctx, s.key(req.AppName, req.UserID, req.SessionID))
}

// AppendEvent implements session.Service. The event is stored first; cur changes only
// if that went well. A partial event is neither stored nor added. cur may be of any
// type; one that is not of this service gets the state of the event and not the event.
func (s *Sessions) AppendEvent(ctx context.Context, cur session.Session, event *session.Event) error {
	if cur == nil || event == nil {
		return fmt.Errorf("append event: %w: the session or the event is nil", memory.ErrInvalid)
	}
	if err := named(cur.AppName(), cur.UserID(), cur.ID()); err != nil {
		return err
	}
	if event.Partial {
		return nil
	}
	entry, err := encode(event)
	if err != nil {
		return fmt.Errorf("append event: %w", err)
	}
	l, ours := cur.(*live)
	ours = ours && l.owner == s // another store could not read the bookmark
	opts := &memory.AppendOptions{MustExist: true}
	if ours {
		opts.After = l.bookmark()
	}
	receipt, err := s.store.Append(ctx, s.key(cur.AppName(), cur.UserID(), cur.ID()), entry, opts)
	if err != nil {
		return err
	}
	if ours {
		l.add(event, receipt.Bookmark)
		return nil
	}
	return setAll(cur.State(), event.Actions.StateDelta)
}

func setAll(state session.State, delta map[string]any) error {
	if state == nil {
		return nil
	}
	for k, v := range delta {
		if err := state.Set(k, v); err != nil {
			return err
		}
	}
	return nil
}
