// Package storetest is a conformance suite for session.Store of Genkit for Go, which
// has none of its own. It needs package testing alone.
package storetest

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/firebase/genkit/go/core/x/session"
)

// State is the state that the suite keeps.
type State struct {
	Name    string            `json:"name,omitempty"`
	Count   int64             `json:"count"`
	Price   float64           `json:"price"`
	Tags    []string          `json:"tags"`
	Nested  map[string]any    `json:"nested,omitempty"`
	Strings map[string]string `json:"strings,omitempty"`
}

// Run runs the suite. Open returns a new, empty store.
func Run(t *testing.T, open func(t *testing.T) session.Store[State]) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*testing.T, session.Store[State])
	}{
		{"an absent session is nil, not an error", absent},
		{"a state comes back as it was", roundTrip},
		{"Save replaces the whole state", replaces},
		{"sessions are apart", apart},
		{"what was saved and what was got is the caller's", shared},
		{"the framework's sessions live in it", lives},
		{"many may save at once, and one of them wins", concurrent},
		{"a cancelled context saves nothing", canceled},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

func save(t *testing.T, s session.Store[State], id string, state State) {
	t.Helper()
	if err := s.Save(t.Context(), id, &session.Data[State]{ID: id, State: state}); err != nil {
		t.Fatalf("Save: %v", err)
	}
}

func want(t *testing.T, s session.Store[State], id string, state State) {
	t.Helper()
	got, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	if got == nil || got.ID != id || !reflect.DeepEqual(got.State, state) {
		t.Fatalf("got %+v, want %+v", got, state)
	}
}

func absent(t *testing.T, s session.Store[State]) {
	got, err := s.Get(t.Context(), "absent")
	if err != nil || got != nil {
		t.Fatalf("Get of an absent session: %v, %v", got, err)
	}
	if _, err := session.Load(t.Context(), s, "absent"); err == nil {
		t.Fatal("Load of an absent session succeeded")
	}
}

func roundTrip(t *testing.T, s session.Store[State]) {
	for i, state := range []State{
		{},
		{Name: "héllo 世界 🎈\n\"quoted\" <b>", Count: 1<<63 - 1, Price: 0.1, Tags: []string{}, Strings: map[string]string{"": "empty"}},
		{Count: -1 << 63, Price: 1e300, Tags: []string{"a", "a"}, Nested: map[string]any{"a": []any{nil, true, "x", 1.5, map[string]any{}}}},
	} {
		id := fmt.Sprint("session ", i)
		save(t, s, id, state)
		want(t, s, id, state)
	}
}

func replaces(t *testing.T, s session.Store[State]) {
	save(t, s, "a", State{Name: "old", Tags: []string{"x"}})
	save(t, s, "a", State{Count: 2})
	want(t, s, "a", State{Count: 2})
}

func apart(t *testing.T, s session.Store[State]) {
	save(t, s, "a", State{Name: "a"})
	save(t, s, "A", State{Name: "A"})
	save(t, s, "a#b/c", State{Name: "odd"})
	want(t, s, "a", State{Name: "a"})
	want(t, s, "A", State{Name: "A"})
	want(t, s, "a#b/c", State{Name: "odd"})
}

func shared(t *testing.T, s session.Store[State]) {
	data := &session.Data[State]{ID: "a", State: State{Tags: []string{"x"}}}
	if err := s.Save(t.Context(), "a", data); err != nil {
		t.Fatal(err)
	}
	data.State.Tags[0] = "changed by who saved it"
	got, err := s.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	got.State.Tags[0] = "changed by who got it"
	want(t, s, "a", State{Tags: []string{"x"}})
}

func lives(t *testing.T, s session.Store[State]) {
	made, err := session.New(t.Context(), session.WithStore(s), session.WithInitialState(State{Name: "first"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := made.UpdateState(t.Context(), State{Name: "second", Count: 1}); err != nil {
		t.Fatal(err)
	}
	loaded, err := session.Load(t.Context(), s, made.ID())
	if err != nil {
		t.Fatal(err)
	}
	if got := loaded.State(); !reflect.DeepEqual(got, State{Name: "second", Count: 1}) {
		t.Fatalf("got %+v", got)
	}
	if err := loaded.UpdateState(t.Context(), State{Name: "third"}); err != nil {
		t.Fatal(err)
	}
	want(t, s, made.ID(), State{Name: "third"})
}

func concurrent(t *testing.T, s session.Store[State]) {
	var wg sync.WaitGroup
	for i := range 8 {
		// Bound: 8.
		wg.Go(func() {
			for range 5 {
				if err := s.Save(t.Context(), "a", &session.Data[State]{ID: "a", State: State{Name: fmt.Sprint(i), Count: int64(i)}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := s.Get(t.Context(), "a")
	if err != nil || got == nil || got.State.Name != fmt.Sprint(got.State.Count) {
		t.Fatalf("got %+v, %v: a state that nobody has saved", got, err)
	}
}

func canceled(t *testing.T, s session.Store[State]) {
	save(t, s, "a", State{Count: 1})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = s.Save(ctx, "a", &session.Data[State]{ID: "a", State: State{Count: 1}}) // it may have noticed too late
	want(t, s, "a", State{Count: 1})
}
