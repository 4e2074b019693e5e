// Code generated from ../adk/live.go by go test -update; DO NOT EDIT.

package adkv1

import (
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/adk/session"

	"github.com/genaistore/genaistore/memory"
)

// A live session is what the runner holds: a copy, kept up to date by AppendEvent.
type live struct {
	owner *Sessions
	key   memory.Key

	mu      sync.RWMutex
	events  []*session.Event
	state   map[string]any
	updated time.Time
	seen    memory.Bookmark
}

func (l *live) bookmark() memory.Bookmark {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.seen
}

func (l *live) merge(delta map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.Copy(l.state, delta)
}

func (l *live) add(e *session.Event, seen memory.Bookmark) {
	stored := *e
	stored.Actions.StateDelta = withoutTemp(e.Actions.StateDelta)
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.Copy(l.state, e.Actions.StateDelta)
	l.events = append(l.events, &stored)
	l.updated, l.seen = e.Timestamp, seen
}

// ID implements session.Session.
func (l *live) ID() string { return l.key.Session }

// AppName implements session.Session.
func (l *live) AppName() string { return l.key.App }

// UserID implements session.Session.
func (l *live) UserID() string { return l.key.User }

// State implements session.Session.
func (l *live) State() session.State { //nolint:ireturn // the kit asks for it
	return (*liveState)(l)
}

// Events implements session.Session.
func (l *live) Events() session.Events { //nolint:ireturn // the kit asks for it
	l.mu.RLock()
	defer l.mu.RUnlock()
	return events(l.events)
}

// LastUpdateTime implements session.Session.
func (l *live) LastUpdateTime() time.Time {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.updated
}

type events []*session.Event

// Len implements session.Events.
func (e events) Len() int { return len(e) }

// At implements session.Events. It is nil where there is no event i.
func (e events) At(i int) *session.Event {
	if i < 0 || i >= len(e) {
		return nil
	}
	return e[i]
}

// All implements session.Events.
func (e events) All() iter.Seq[*session.Event] { return slices.Values(e) }

type liveState live

// Get implements session.State.
func (s *liveState) Get(key string) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if v, ok := s.state[key]; ok {
		return v, nil
	}
	return nil, session.ErrStateKeyNotExist
}

// Set implements session.State. It changes the session at hand; what an event's
// StateDelta carries is what is stored.
func (s *liveState) Set(key string, value any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state[key] = value
	return nil
}

// All implements session.State: the keys as they are when it is called.
func (s *liveState) All() iter.Seq2[string, any] {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return maps.All(maps.Clone(s.state))
}
