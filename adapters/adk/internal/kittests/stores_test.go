package kittests

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	modelv1 "google.golang.org/adk/model"
	sessionv1 "google.golang.org/adk/session"
	suitev1 "google.golang.org/adk/session/sessiontestsuite"
	"google.golang.org/adk/v2/model"
	"google.golang.org/adk/v2/session"
	"google.golang.org/adk/v2/session/sessiontestsuite"
	"google.golang.org/genai"

	"github.com/genaistore/genaistore/adapters/adk"
	"github.com/genaistore/genaistore/adapters/adk/internal/kittests/ours"
	"github.com/genaistore/genaistore/adapters/adkv1"
)

// The suites of both versions of the kit, on each store.
func TestSuites(t *testing.T) {
	for _, name := range stores(ours.Memory) {
		t.Run(name+" v1", func(t *testing.T) {
			serve(t, name)
			open, err := ours.Open(name)
			require.NoError(t, err)
			suitev1.RunServiceTests(t, suitev1.SuiteOptions{SupportsUserProvidedSessionID: true}, func(*testing.T) sessionv1.Service {
				store, tenant := open()
				return adkv1.NewSessions(store, &adkv1.SessionOptions{Tenant: tenant})
			})
		})
		t.Run(name+" v2", func(t *testing.T) {
			serve(t, name)
			open, err := ours.Open(name)
			require.NoError(t, err)
			sessiontestsuite.RunServiceTests(t, sessiontestsuite.SuiteOptions{SupportsUserProvidedSessionID: true}, func(*testing.T) session.Service {
				store, tenant := open()
				return adk.NewSessions(store, &adk.SessionOptions{Tenant: tenant})
			})
		})
	}
}

// A program that goes from one major version to the other takes its sessions along,
// and two of different versions may share one.
func TestEachVersionReadsTheOthersSessions(t *testing.T) {
	for _, name := range stores(ours.Memory) {
		t.Run(name, func(t *testing.T) {
			serve(t, name)
			open, err := ours.Open(name)
			require.NoError(t, err)
			store, tenant := open()
			old, current := adkv1.NewSessions(store, &adkv1.SessionOptions{Tenant: tenant}), adk.NewSessions(store, &adk.SessionOptions{Tenant: tenant})

			made, err := old.Create(t.Context(), &sessionv1.CreateRequest{AppName: "app", UserID: "ada", SessionID: "s", State: map[string]any{"user:k": "v"}})
			require.NoError(t, err)
			content := &genai.Content{Role: "model", Parts: []*genai.Part{{Text: "hello"}, {FunctionCall: &genai.FunctionCall{ID: "1", Name: "f", Args: map[string]any{}}}}}
			event := &sessionv1.Event{
				ID: "e", InvocationID: "i", Author: "agent", Branch: "b", LongRunningToolIDs: []string{"1"}, Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
				LLMResponse: modelv1.LLMResponse{Content: content, ErrorCode: "500", CustomMetadata: map[string]any{"m": 1.5}, TurnComplete: true},
				Actions:     sessionv1.EventActions{StateDelta: map[string]any{"k": 1.0}, TransferToAgent: "other", Escalate: true},
			}
			require.NoError(t, old.AppendEvent(t.Context(), made.Session, event))

			got, err := current.Get(t.Context(), &session.GetRequest{AppName: "app", UserID: "ada", SessionID: "s"})
			require.NoError(t, err)
			want := &session.Event{
				ID: "e", InvocationID: "i", Author: "agent", Branch: "b", LongRunningToolIDs: []string{"1"}, Timestamp: event.Timestamp,
				LLMResponse: model.LLMResponse{Content: content, ErrorCode: "500", CustomMetadata: map[string]any{"m": 1.5}, TurnComplete: true},
				Actions:     session.EventActions{StateDelta: map[string]any{"k": 1.0}, TransferToAgent: "other", Escalate: true},
			}
			require.Equal(t, want, got.Session.Events().At(0))
			v, err := got.Session.State().Get("user:k")
			require.NoError(t, err)
			require.Equal(t, "v", v)

			more := *want
			more.Output, more.Routes = "only version 2 has it", []string{"r"}
			require.NoError(t, current.AppendEvent(t.Context(), got.Session, &more))
			again, err := old.Get(t.Context(), &sessionv1.GetRequest{AppName: "app", UserID: "ada", SessionID: "s"})
			require.NoError(t, err)
			require.Equal(t, event, again.Session.Events().At(0))
			require.Equal(t, event, again.Session.Events().At(1))
		})
	}
}

func TestAStoreThatIsNotThereIsAClearError(t *testing.T) {
	_, err := ours.Open("tape")
	require.ErrorContains(t, err, `no store is called "tape"`)
}
