// Code generated from ../adk/sessions_test.go by go test -update; DO NOT EDIT.

package adkv1_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/adk/model"
	"google.golang.org/adk/session"
	"google.golang.org/adk/session/sessiontestsuite"
	"google.golang.org/genai"

	"github.com/genaistore/genaistore/adapters/adkv1"
	"github.com/genaistore/genaistore/memory"
)

// The kit's own suite.
func TestSuite(t *testing.T) {
	for _, opts := range []*adkv1.SessionOptions{nil, {Tenant: "t"}} {
		t.Run(fmt.Sprintf("%+v", opts), func(t *testing.T) {
			sessiontestsuite.RunServiceTests(t, sessiontestsuite.SuiteOptions{SupportsUserProvidedSessionID: true},
				func(*testing.T) session.Service { return adkv1.NewSessions(new(memory.InMemory), opts) })
		})
	}
}

func create(t *testing.T, s session.Service, id string, state map[string]any) session.Session {
	t.Helper()
	resp, err := s.Create(t.Context(), &session.CreateRequest{AppName: "app", UserID: "ada", SessionID: id, State: state})
	require.NoError(t, err)
	return resp.Session
}

func get(t *testing.T, s session.Service) session.Session {
	t.Helper()
	resp, err := s.Get(t.Context(), &session.GetRequest{AppName: "app", UserID: "ada", SessionID: "s"})
	require.NoError(t, err)
	return resp.Session
}

func said(invocation string, parts ...*genai.Part) *session.Event {
	return &session.Event{InvocationID: invocation, Author: "agent", LLMResponse: model.LLMResponse{Content: &genai.Content{Role: "model", Parts: parts}}}
}

var key = memory.Key{App: "app", User: "ada", Session: "s"}

// Events may have no id, or the same one twice; neither makes it a replay.
func TestEventsComeBackWhole(t *testing.T) {
	tests := []struct {
		name  string
		event *session.Event
	}{
		{"tool calls between texts", said("i",
			&genai.Part{Text: "first"}, &genai.Part{FunctionCall: &genai.FunctionCall{ID: "1", Name: "f", Args: map[string]any{}}},
			&genai.Part{Text: "thinking", Thought: true, ThoughtSignature: []byte{1, 2}},
			&genai.Part{FunctionCall: &genai.FunctionCall{ID: "2", Name: "f", WillContinue: new(true)}},
			&genai.Part{FunctionCall: &genai.FunctionCall{ID: "3", Name: "f", Args: map[string]any{"q": "x", "n": 1.5, "deep": map[string]any{"l": []any{}}}}, ThoughtSignature: []byte{3}})},
		{"tool results", said("i",
			&genai.Part{FunctionResponse: &genai.FunctionResponse{ID: "1", Name: "f", Response: map[string]any{}}},
			&genai.Part{FunctionResponse: &genai.FunctionResponse{ID: "2", Name: "f"}},
			&genai.Part{FunctionResponse: &genai.FunctionResponse{ID: "3", Name: "f", Response: map[string]any{"output": "x"}, Parts: []*genai.FunctionResponsePart{{InlineData: &genai.FunctionResponseBlob{MIMEType: "image/png", Data: []byte{1}}}}}})},
		{"media", said("i",
			&genai.Part{InlineData: &genai.Blob{MIMEType: "image/png", DisplayName: "a.png", Data: []byte{0, 0xff}}},
			&genai.Part{FileData: &genai.FileData{FileURI: "s3://b/k", MIMEType: "image/png"}, VideoMetadata: &genai.VideoMetadata{}},
			&genai.Part{FileData: &genai.FileData{MIMEType: "without a URI"}})},
		{"a part with two kinds of content", said("i", &genai.Part{Text: "t", FunctionCall: &genai.FunctionCall{Name: "f"}, InlineData: &genai.Blob{Data: []byte{1}}})},
		{"code", said("i", &genai.Part{ExecutableCode: &genai.ExecutableCode{Code: "1+1"}}, &genai.Part{CodeExecutionResult: &genai.CodeExecutionResult{Output: "2"}})},
		{"no content", &session.Event{ID: "e", InvocationID: "i"}},
		{"content without parts", said("i")},
		{"content with an empty list of parts", said("i", []*genai.Part{}...)},
		{"empty and nil maps", &session.Event{Actions: session.EventActions{StateDelta: map[string]any{}, ArtifactDelta: map[string]int64{}}}},
		{"state of all kinds", &session.Event{Actions: session.EventActions{StateDelta: map[string]any{"k": "v", "user:k": 1.5, "app:k": nil}, ArtifactDelta: map[string]int64{"a": 1}}}},
		{"times to the nanosecond", &session.Event{Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := adkv1.NewSessions(new(memory.InMemory), nil)
			live := create(t, s, "s", nil)
			for range 2 {
				require.NoError(t, s.AppendEvent(t.Context(), live, tt.event))
			}
			for _, got := range []session.Session{live, get(t, s)} {
				require.Equal(t, 2, got.Events().Len())
				require.Empty(t, cmp.Diff(tt.event, got.Events().At(1)))
			}
		})
	}
}

// A store that fails, as one that is out of reach does.
type broken struct {
	memory.Store
	err error
}

func (b *broken) Append(ctx context.Context, key memory.Key, e memory.Entry, opts *memory.AppendOptions) (memory.Receipt, error) {
	if b.err != nil {
		return memory.Receipt{}, b.err
	}
	return b.Store.Append(ctx, key, e, opts)
}

func TestTheLiveSessionChangesOnlyAfterTheWrite(t *testing.T) {
	boom := errors.New("boom")
	store := &broken{Store: new(memory.InMemory)}
	s := adkv1.NewSessions(store, nil)
	live := create(t, s, "s", nil)
	event := said("i", &genai.Part{Text: "a"})
	event.Actions.StateDelta = map[string]any{"k": "v", "temp:k": "v"}

	store.err = boom
	require.ErrorIs(t, s.AppendEvent(t.Context(), live, event), boom)
	require.Zero(t, live.Events().Len())
	_, err := live.State().Get("k")
	require.ErrorIs(t, err, session.ErrStateKeyNotExist)

	store.err = nil
	require.NoError(t, s.AppendEvent(t.Context(), live, event))
	require.Equal(t, 1, live.Events().Len())
	v, err := live.State().Get("k")
	require.NoError(t, err)
	require.Equal(t, "v", v)
}

func TestTemporaryKeysLiveAndAreNotStored(t *testing.T) {
	var store memory.InMemory
	s := adkv1.NewSessions(&store, nil)
	live := create(t, s, "s", map[string]any{"temp:a": 1, "k": 1.0})
	event := said("i", &genai.Part{Text: "a"})
	event.Actions.StateDelta = map[string]any{"temp:b": 2}
	require.NoError(t, s.AppendEvent(t.Context(), live, event))
	for k, want := range map[string]any{"temp:a": 1, "temp:b": 2, "k": 1.0} {
		v, err := live.State().Get(k)
		require.NoError(t, err)
		require.Equal(t, want, v)
	}
	require.Equal(t, map[string]any{"temp:b": 2}, event.Actions.StateDelta, "the caller's event has changed")
	require.Empty(t, live.Events().At(0).Actions.StateDelta)

	again := get(t, s)
	for k := range again.State().All() {
		require.Equal(t, "k", k)
	}
	require.NotNil(t, again.Events().At(0).Actions.StateDelta)
	require.Empty(t, again.Events().At(0).Actions.StateDelta)
}

func TestCreateIsConditional(t *testing.T) {
	s := adkv1.NewSessions(new(memory.InMemory), nil)
	var wg sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = s.Create(t.Context(), &session.CreateRequest{AppName: "app", UserID: "ada", SessionID: "s", State: map[string]any{"user:by": i}})
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			require.ErrorIs(t, err, memory.ErrConflict)
		}
	}
	require.Equal(t, 1, won)
}

func TestErrorsMatchThoseOfMemory(t *testing.T) {
	s := adkv1.NewSessions(new(memory.InMemory), nil)
	ctx := t.Context()
	_, err := s.Get(ctx, &session.GetRequest{AppName: "app", UserID: "ada", SessionID: "absent"})
	require.ErrorIs(t, err, memory.ErrNotFound)
	live := create(t, s, "s", nil)
	require.NoError(t, s.Delete(ctx, &session.DeleteRequest{AppName: "app", UserID: "ada", SessionID: "s"}))
	require.ErrorIs(t, s.AppendEvent(ctx, live, said("i")), memory.ErrNotFound)
	_, err = s.Get(ctx, &session.GetRequest{AppName: "app", UserID: "ada", SessionID: "s"})
	require.ErrorIs(t, err, memory.ErrNotFound, "the Append to a deleted session has made it again")

	for _, empty := range []error{
		s.AppendEvent(ctx, nil, said("i")), s.AppendEvent(ctx, live, nil),
		s.Delete(ctx, &session.DeleteRequest{AppName: "app", UserID: "ada"}), s.Delete(ctx, &session.DeleteRequest{UserID: "ada", SessionID: "s"}),
	} {
		require.ErrorIs(t, empty, memory.ErrInvalid)
	}
	_, err = s.List(ctx, &session.ListRequest{})
	require.ErrorIs(t, err, memory.ErrInvalid)
	_, err = s.Get(ctx, &session.GetRequest{AppName: "app", UserID: "ada"})
	require.ErrorIs(t, err, memory.ErrInvalid)
	_, err = s.Create(ctx, &session.CreateRequest{AppName: "app"})
	require.ErrorIs(t, err, memory.ErrInvalid)
	require.ErrorContains(t, err, `app_name and user_id are required, got app_name: "app"`, "the kit's own text")
	require.ErrorIs(t, s.AppendEvent(ctx, create(t, s, "t", nil), said("i", nil)), memory.ErrInvalid)
}

func TestStateThatHasNoExactFormIsRefused(t *testing.T) {
	s := adkv1.NewSessions(new(memory.InMemory), nil)
	for _, bad := range []any{math.NaN(), int64(1)<<53 + 1, struct{ N int64 }{1<<53 + 1}, struct{ N uint64 }{math.MaxUint64}, func() {}} {
		_, err := s.Create(t.Context(), &session.CreateRequest{AppName: "app", UserID: "ada", State: map[string]any{"k": bad}})
		require.ErrorIs(t, err, memory.ErrInvalid, "%v", bad)
	}
	type point struct {
		X int `json:"x"`
		L []string
	}
	p := &point{1, []string{"a"}}
	create(t, s, "s", map[string]any{"p": p, "ints": []int{1, 2}})
	require.Equal(t, &point{1, []string{"a"}}, p)
	got := maps.Collect(get(t, s).State().All())
	require.Equal(t, map[string]any{"p": map[string]any{"x": 1.0, "L": []any{"a"}}, "ints": []any{1.0, 2.0}}, got)
}

func TestTheDefaultWindowBeginsAtAnInvocation(t *testing.T) {
	s := adkv1.NewSessions(new(memory.InMemory), &adkv1.SessionOptions{Last: 4})
	live := create(t, s, "s", nil)
	for i := range 9 {
		require.NoError(t, s.AppendEvent(t.Context(), live, said(fmt.Sprint(i/3), &genai.Part{Text: fmt.Sprint(i)})))
	}
	require.Equal(t, 9, live.Events().Len())
	require.Equal(t, 3, get(t, s).Events().Len(), "the newest invocation")
	resp, err := s.Get(t.Context(), &session.GetRequest{AppName: "app", UserID: "ada", SessionID: "s", NumRecentEvents: 4})
	require.NoError(t, err)
	require.Equal(t, 4, resp.Session.Events().Len(), "as many as were asked for")

	tokens := adkv1.NewSessions(new(memory.InMemory), &adkv1.SessionOptions{Tokens: 12})
	live = create(t, tokens, "s", nil)
	for i := range 9 {
		require.NoError(t, tokens.AppendEvent(t.Context(), live, said(fmt.Sprint(i), &genai.Part{Text: "x"})))
	}
	require.Equal(t, 2, get(t, tokens).Events().Len(), "5 tokens each")
}

// Order is that of AppendEvent, and After goes by the events' own times.
func TestTimestampsAreNoOrder(t *testing.T) {
	s := adkv1.NewSessions(new(memory.InMemory), nil)
	live := create(t, s, "s", nil)
	base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, hour := range []int{3, 1, 2} {
		e := said("i", &genai.Part{Text: fmt.Sprint(hour)})
		e.Timestamp = base.Add(time.Duration(hour) * time.Hour)
		require.NoError(t, s.AppendEvent(t.Context(), live, e))
	}
	resp, err := s.Get(t.Context(), &session.GetRequest{AppName: "app", UserID: "ada", SessionID: "s", After: base.Add(2 * time.Hour)})
	require.NoError(t, err)
	var got []string
	for e := range resp.Session.Events().All() {
		got = append(got, e.Content.Parts[0].Text)
	}
	require.Equal(t, []string{"3", "2"}, got)
	require.Equal(t, base.Add(2*time.Hour), live.LastUpdateTime())
	require.Nil(t, live.Events().At(3))
	require.Nil(t, live.Events().At(-1))
}

func TestListIsCompleteAndOfOneApp(t *testing.T) {
	var store memory.InMemory
	s := adkv1.NewSessions(&store, nil)
	for i := range 30 {
		create(t, s, fmt.Sprint(i), map[string]any{"i": i, "user:u": "shared"})
	}
	_, err := adkv1.NewSessions(&store, &adkv1.SessionOptions{Tenant: "other"}).Create(t.Context(), &session.CreateRequest{AppName: "app", UserID: "ada"})
	require.NoError(t, err)
	resp, err := s.List(t.Context(), &session.ListRequest{AppName: "app", UserID: "ada"})
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, l := range resp.Sessions {
		i, err := l.State().Get("i")
		require.NoError(t, err)
		require.Equal(t, l.ID(), fmt.Sprint(i))
		u, err := l.State().Get("user:u")
		require.NoError(t, err)
		require.Equal(t, "shared", u)
		seen[l.ID()] = true
	}
	require.Len(t, seen, 30)
}

// What another program has written into the session, or has redacted, is no reason
// to lose the session.
func TestOtherRecordsAreEventsToo(t *testing.T) {
	var store memory.InMemory
	s := adkv1.NewSessions(&store, nil)
	live := create(t, s, "s", nil)
	ctx := t.Context()
	entry := memory.Entry{Turn: "1", Messages: []memory.Message{
		memory.Text("user", "hello"),
		{Role: "assistant", Name: "bot", Time: time.Unix(1, 0), Parts: []memory.Part{{Call: &memory.ToolCall{ID: "c", Name: "f", Arguments: []byte(`{"q":1}`)}}}},
		{Role: "tool", Extra: []byte(`{"other":"framework"}`), Parts: []memory.Part{{Result: &memory.ToolResult{ID: "c", Name: "f", Content: []byte(`"text"`)}}}},
	}}
	foreign, err := store.Append(ctx, key, entry, nil)
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, s.AppendEvent(ctx, live, said("2", &genai.Part{Text: "secret"}, &genai.Part{Text: "kept"})))
	}
	w, err := store.Open(ctx, key, nil)
	require.NoError(t, err)
	_, err = store.Update(ctx, key, memory.Redact{Record: w.Records[1].ID}, memory.Redact{Record: w.Records[2].ID, Part: &memory.PartRef{}})
	require.NoError(t, err)

	var got []*session.Event
	for e := range get(t, s).Events().All() {
		got = append(got, e)
	}
	require.Len(t, got, 5)
	require.Equal(t, genai.NewContentFromText("hello", "user"), got[0].Content)
	require.Equal(t, "user", got[0].Author)
	require.Equal(t, foreign.Record.Time, got[0].Timestamp)
	require.Equal(t, "bot", got[1].Author)
	require.Equal(t, map[string]any{"q": 1.0}, got[1].Content.Parts[0].FunctionCall.Args)
	require.Equal(t, "user", got[2].Content.Role)
	require.Equal(t, map[string]any{"output": "text"}, got[2].Content.Parts[0].FunctionResponse.Response)
	require.Equal(t, "2", got[3].InvocationID)
	require.Nil(t, got[3].Content)
	require.Equal(t, []*genai.Part{{Text: "kept"}}, got[4].Content.Parts)
}

func TestAnEventFromANewerVersionIsAClearError(t *testing.T) {
	var store memory.InMemory
	s := adkv1.NewSessions(&store, nil)
	create(t, s, "s", nil)
	_, err := store.Append(t.Context(), key, memory.Entry{Messages: []memory.Message{{Extra: []byte(`{"adk":2,"event":{}}`)}}}, nil)
	require.NoError(t, err)
	_, err = s.Get(t.Context(), &session.GetRequest{AppName: "app", UserID: "ada", SessionID: "s"})
	require.ErrorIs(t, err, memory.ErrCorrupt)
	require.ErrorContains(t, err, "schema 2")
}

// wrapped is a session of another type, such as a plugin may pass.
type wrapped struct{ session.Session }

func TestASessionOfAnotherTypeWillDo(t *testing.T) {
	s := adkv1.NewSessions(new(memory.InMemory), nil)
	live := create(t, s, "s", nil)
	event := said("i", &genai.Part{Text: "a"})
	event.Actions.StateDelta = map[string]any{"k": "v"}
	require.NoError(t, s.AppendEvent(t.Context(), wrapped{live}, event))
	v, err := live.State().Get("k")
	require.NoError(t, err)
	require.Equal(t, "v", v)
	require.Equal(t, 1, get(t, s).Events().Len())

	elsewhere := adkv1.NewSessions(new(memory.InMemory), nil)
	create(t, elsewhere, "s", nil)
	require.NoError(t, elsewhere.AppendEvent(t.Context(), live, event), "a session of another service")
}

func TestALiveSessionMayBeUsedAtTheSameTime(t *testing.T) {
	s := adkv1.NewSessions(new(memory.InMemory), nil)
	live := create(t, s, "s", nil)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			e := said("i", &genai.Part{Text: "a"})
			e.Actions.StateDelta = map[string]any{fmt.Sprint(i): i}
			if err := s.AppendEvent(t.Context(), live, e); err != nil {
				t.Error(err)
			}
			for range live.State().All() {
				live.LastUpdateTime()
			}
			for range live.Events().All() {
				_ = live.State().Set("x", i)
			}
		})
	}
	wg.Wait()
	require.Equal(t, 16, live.Events().Len())
	require.Equal(t, 16, get(t, s).Events().Len())
}

// What is stored is messages as other frameworks know them, not a blob.
func TestOthersReadWhatWasStored(t *testing.T) {
	var store memory.InMemory
	s := adkv1.NewSessions(&store, nil)
	event := said("i",
		&genai.Part{Text: "let me see", Thought: true},
		&genai.Part{FunctionCall: &genai.FunctionCall{ID: "1", Name: "f", Args: map[string]any{"q": "x"}}},
		&genai.Part{FunctionCall: &genai.FunctionCall{ID: "2", Name: "f"}},
		&genai.Part{FunctionResponse: &genai.FunctionResponse{ID: "1", Name: "f"}},
		&genai.Part{FileData: &genai.FileData{FileURI: "s3://b/k", MIMEType: "image/png"}})
	event.Timestamp = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	event.UsageMetadata = &genai.GenerateContentResponseUsageMetadata{CandidatesTokenCount: 7}
	event.Actions.StateDelta = map[string]any{"k": 1, "user:k": 2, "app:k": 3, "temp:k": 4}
	require.NoError(t, s.AppendEvent(t.Context(), create(t, s, "s", nil), event))

	w, err := store.Open(t.Context(), key, &memory.WindowOptions{Scopes: memory.AllStates})
	require.NoError(t, err)
	r := w.Records[0]
	require.Equal(t, "i", r.Turn)
	require.Equal(t, memory.States{Session: memory.State{"k": 1.0}, User: memory.State{"k": 2.0}, App: memory.State{"k": 3.0}}, r.State.Set)
	require.Equal(t, r.State.Set, w.States)
	m := r.Messages[0]
	require.Equal(t, "model", m.Role)
	require.Equal(t, "agent", m.Name)
	require.Equal(t, event.Timestamp, m.Time)
	require.Equal(t, 7, m.TokenCount())
	require.Equal(t, []memory.Part{
		{Text: "let me see", Thought: true},
		{Call: &memory.ToolCall{ID: "1", Name: "f", Arguments: []byte(`{"q":"x"}`)}},
		{Call: &memory.ToolCall{ID: "2", Name: "f"}},
		{Result: &memory.ToolResult{ID: "1", Name: "f"}},
		{Blob: &memory.Blob{MediaType: "image/png", URI: "s3://b/k"}},
	}, m.Parts)
	require.NotContains(t, string(m.Extra), "let me see")
	require.Equal(t, []memory.Orphan{{Record: r.ID, CallID: "2"}}, w.Orphans)
}
