package memory_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/memory"
)

func TestTheErrorsMatchWhatTheyAreDocumentedToMatch(t *testing.T) {
	require.ErrorIs(t, memory.ErrNotFound, fs.ErrNotExist)
	require.ErrorIs(t, memory.ErrDenied, fs.ErrPermission)
	require.ErrorIs(t, memory.ErrClockSkew, memory.ErrInvalid)
	require.ErrorIs(t, memory.ErrBehind, memory.ErrThrottled)
	require.NotErrorIs(t, memory.ErrInvalid, memory.ErrClockSkew)
	require.NotErrorIs(t, memory.ErrThrottled, memory.ErrBehind)
}

func TestSizeCountsEveryStringAndByte(t *testing.T) {
	e := memory.Entry{
		Turn: "1", Extra: []byte("12"),
		Messages: []memory.Message{{
			Role: "123", Name: "1234", Extra: []byte("12345"), Labels: map[string]string{"1": "12345"},
			Parts: []memory.Part{
				{Text: "1234567", Extra: []byte("12345678")},
				{Blob: &memory.Blob{MediaType: "1", Name: "12", Data: []byte("123"), URI: "1234"}},
				{Call: &memory.ToolCall{ID: "1", Name: "12", Arguments: []byte("123")}},
				{Result: &memory.ToolResult{ID: "1", Name: "12", Content: []byte("123"), Parts: []memory.Part{{Text: "1234"}}}},
			},
		}},
	}
	require.Equal(t, 1+2+3+4+5+6+7+8+10+6+10, e.Size())
	require.Zero(t, memory.Entry{}.Size())
}

func TestTokenCountIsWhatWasCountedOrAnEstimate(t *testing.T) {
	tests := []struct {
		name string
		m    memory.Message
		want int
	}{
		{"counted", memory.Message{Tokens: 7, Parts: []memory.Part{{Text: "ignored"}}}, 7},
		{"nothing", memory.Message{}, 4},
		{"a byte", memory.Text("user", "x"), 5},
		{"four bytes", memory.Text("user", "xxxx"), 5},
		{"five bytes", memory.Text("user", "xxxxx"), 6},
		{"rounded once, not for each part", memory.Message{Parts: []memory.Part{{Text: "x"}, {Text: "x"}, {Text: "x"}, {Text: "x"}}}, 5},
		{"a blob", memory.Message{Parts: []memory.Part{{Blob: &memory.Blob{Data: make([]byte, 1<<20)}}}}, 260},
		{"a call", memory.Message{Parts: []memory.Part{{Call: &memory.ToolCall{ID: "not counted", Name: "1234", Arguments: []byte("1234")}}}}, 6},
		{"a result with media", memory.Message{Parts: []memory.Part{{Result: &memory.ToolResult{Content: []byte("1234"), Parts: []memory.Part{{Blob: &memory.Blob{}}, {Text: "1234"}}}}}}, 262},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { require.Equal(t, tt.want, tt.m.TokenCount()) })
	}
	require.Equal(t, 9, memory.Entry{Messages: []memory.Message{{}, memory.Text("user", "x")}}.TokenCount())
	require.Equal(t, memory.Message{Role: "user", Parts: []memory.Part{{Text: "x"}}}, memory.Text("user", "x"))
}

func TestNormalOfAnEntryIsADeepCopy(t *testing.T) {
	local := time.FixedZone("", 3600)
	e := memory.Entry{
		Messages: []memory.Message{{Time: time.Now().In(local), Parts: []memory.Part{{Call: &memory.ToolCall{Arguments: []byte("{}")}}}}},
		State:    memory.Delta{Set: memory.States{Session: memory.State{"n": 1}}, Unset: memory.Unset{User: []string{"k"}}},
		Extra:    []byte("x"),
	}
	n, err := e.Normal()
	require.NoError(t, err)
	require.Equal(t, time.UTC, n.Messages[0].Time.Location())
	require.True(t, n.Messages[0].Time.Equal(e.Messages[0].Time))
	require.Equal(t, memory.State{"n": 1.0}, n.State.Set.Session)

	e.Messages[0].Parts[0].Call.Arguments[0], e.Extra[0], e.State.Unset.User[0] = '!', '!', "!"
	require.Equal(t, "{}", string(n.Messages[0].Parts[0].Call.Arguments))
	require.Equal(t, "x", string(n.Extra))
	require.Equal(t, []string{"k"}, n.State.Unset.User)
	require.Equal(t, local, e.Messages[0].Time.Location(), "the argument has changed")

	_, err = memory.Entry{Turn: "\n"}.Normal()
	require.ErrorIs(t, err, memory.ErrInvalid)
	_, err = memory.Entry{State: memory.Delta{Set: memory.States{App: memory.State{"": 1}}}}.Normal()
	require.ErrorIs(t, err, memory.ErrInvalid)
}

// An error says where it is and what would be right.
func TestAnErrorNamesThePlace(t *testing.T) {
	tests := []struct {
		entry memory.Entry
		want  []string
	}{
		{memory.Entry{Messages: []memory.Message{{}, {Parts: []memory.Part{{}, {Text: "\xff"}}}}}, []string{"message 1", "part 1", "UTF-8"}},
		{memory.Entry{Messages: []memory.Message{{Labels: map[string]string{"k": strings.Repeat("v", 2000)}}}}, []string{"message 0", "label k", "1024"}},
		{memory.Entry{State: memory.Delta{Set: memory.States{User: memory.State{"k": []string{}}}}}, []string{`"k"`, "[]string", "[]any"}},
		{memory.Entry{Extra: make([]byte, memory.MaxEntry+1)}, []string{"4194305", "4194304", "artifacts"}},
	}
	for _, tt := range tests {
		err := tt.entry.Validate()
		require.ErrorIs(t, err, memory.ErrInvalid)
		for _, want := range tt.want {
			require.ErrorContains(t, err, want)
		}
	}
}

// A brittle store fails to delete once it has deleted enough.
type brittle struct {
	memory.Store
	left int
	err  error
}

func (b *brittle) Delete(ctx context.Context, key memory.Key) error {
	if b.left--; b.left < 0 {
		return b.err
	}
	return b.Store.Delete(ctx, key)
}

func TestForgetSaysHowFarItCame(t *testing.T) {
	boom := errors.New("boom")
	var store memory.InMemory
	user := key("").Owner()
	for _, s := range []string{"a", "b"} {
		say(t, &store, s, "x", nil)
	}
	done, err := memory.Forget(t.Context(), &brittle{&store, 1, boom}, user)
	require.ErrorIs(t, err, boom)
	require.ErrorContains(t, err, "forget /app/ada")
	require.Equal(t, memory.Erasure{Sessions: 1}, done)
	done, err = memory.Forget(t.Context(), &store, user)
	require.NoError(t, err)
	require.Equal(t, memory.Erasure{Sessions: 1}, done)
}

// What refers to itself has no end, and what refers to one thing twice at each level has
// one that nobody waits for.
func TestWhatRefersToItselfIsInvalid(t *testing.T) {
	ring := &memory.ToolResult{}
	ring.Parts = []memory.Part{{Result: ring}}
	bush := []memory.Part{{Text: "x"}}
	for range memory.MaxNesting {
		r := &memory.ToolResult{Parts: bush}
		bush = []memory.Part{{Result: r}, {Result: r}}
	}
	self := []any{nil}
	self[0] = self
	loop := map[string]any{}
	loop["k"] = loop
	thicket := any("x")
	for range memory.MaxNesting {
		thicket = []any{thicket, thicket}
	}
	var store memory.InMemory
	key := memory.Key{User: "u", Session: "s"}
	for name, e := range map[string]memory.Entry{
		"ring":    {Messages: []memory.Message{{Parts: []memory.Part{{Result: ring}}}}},
		"bush":    {Messages: []memory.Message{{Parts: bush}}},
		"self":    {State: memory.Delta{Set: memory.States{Session: memory.State{"k": self}}}},
		"loop":    {State: memory.Delta{Set: memory.States{User: memory.State{"k": loop}}}},
		"thicket": {State: memory.Delta{Set: memory.States{App: memory.State{"k": thicket}}}},
	} {
		require.ErrorIs(t, e.Validate(), memory.ErrInvalid, name)
		_, err := store.Append(t.Context(), key, e, nil)
		require.ErrorIs(t, err, memory.ErrInvalid, name)
	}
	_, err := store.Open(t.Context(), key, nil)
	require.ErrorIs(t, err, memory.ErrNotFound)
}
