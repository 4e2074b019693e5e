package kittests

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/adk/v2/model"
	"google.golang.org/adk/v2/session"
	"google.golang.org/genai"

	"github.com/genaistore/genaistore/adapters/adk"
	"github.com/genaistore/genaistore/adapters/adk/internal/kittests/ours"
	"github.com/genaistore/genaistore/meter"
)

// What a runner does: it makes a session once, gets it for each turn, and appends each
// event. The states of user and app are items of their own, read beside the session; an
// event goes to a session that exists, which is looked up.
func TestWhatTheCallsOfARunnerCostOnDynamoDB(t *testing.T) {
	serve(t, ours.DynamoDB)
	open, err := ours.Open(ours.DynamoDB)
	require.NoError(t, err)
	store, tenant := open()
	s := adk.NewSessions(store, &adk.SessionOptions{Tenant: tenant})
	var live session.Session
	create := func(ctx context.Context) error {
		resp, err := s.Create(ctx, &session.CreateRequest{AppName: "app", UserID: "ada", SessionID: "s"})
		if err == nil {
			live = resp.Session
		}
		return err
	}
	appendEvent := func(ctx context.Context) error {
		return s.AppendEvent(ctx, live, &session.Event{Timestamp: time.Now(), LLMResponse: model.LLMResponse{Content: genai.NewContentFromText("hello", "user")}})
	}
	get := func(ctx context.Context) error {
		_, err := s.Get(ctx, &session.GetRequest{AppName: "app", UserID: "ada", SessionID: "s"})
		return err
	}
	for _, tt := range []struct {
		name string
		call func(context.Context) error
		most meter.Cost
	}{
		{"Create", create, meter.Cost{Requests: 5, ReadUnits: 2, WriteUnits: 2}},
		{"AppendEvent", appendEvent, meter.Cost{Requests: 2, ReadUnits: 1, WriteUnits: 1}},
		{"AppendEvent again", appendEvent, meter.Cost{Requests: 2, ReadUnits: 1, WriteUnits: 1}},
		{"Get", get, meter.Cost{Requests: 2, ReadUnits: 1, WriteUnits: 0}},
	} {
		var m meter.Meter
		require.NoError(t, tt.call(meter.With(t.Context(), &m)), tt.name)
		c := m.Cost()
		fmt.Printf("%-17s %d requests %.1f read units %.1f write units\n", tt.name, c.Requests, c.ReadUnits, c.WriteUnits)
		require.LessOrEqual(t, c.Requests, tt.most.Requests, tt.name)
		require.LessOrEqual(t, c.ReadUnits, tt.most.ReadUnits, tt.name)
		require.LessOrEqual(t, c.WriteUnits, tt.most.WriteUnits, tt.name)
	}
}
