package memory_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/memory"
)

// full has something of everything that a session can have, and what is easily lost:
// empty beside nil, bytes that are no text, nanoseconds.
func full(tb testing.TB) *memory.InMemory {
	tb.Helper()
	store := &memory.InMemory{}
	entries := []memory.Entry{
		{
			Turn: "turn 1",
			Messages: []memory.Message{
				{
					Role: "user", Name: "Ada", Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Tokens: 3, Labels: map[string]string{"k": "<v>"},
					Extra: []byte{0xff, 0}, Parts: []memory.Part{
						{Text: "<hello> \u2028\x01"},
						{Blob: &memory.Blob{MediaType: "image/png", Name: "n", Data: []byte{}}},
						{Blob: &memory.Blob{URI: "s3://b/k"}},
						{Thought: true, Text: "hm"},
						{Extra: []byte(`{"kind":"new"}`)},
					},
				},
				{Labels: map[string]string{}, Parts: []memory.Part{}, Extra: []byte{}},
				{},
			},
			State: memory.Delta{
				Set: memory.States{
					Session: memory.State{"n": 0.1, "l": []any{}, "m": map[string]any{"x": nil, "y": true}},
					User:    memory.State{"mine": "v"}, App: memory.State{},
				},
				Unset: memory.Unset{Session: []string{"gone"}, User: []string{}, App: []string{"a"}},
			},
			Extra: []byte{},
		},
		{
			Turn: "turn 1", Messages: []memory.Message{
				{Role: "assistant", Parts: []memory.Part{{Call: &memory.ToolCall{ID: "c", Name: "f", Arguments: []byte(" {} ")}}, {Call: &memory.ToolCall{Arguments: []byte{}}}}},
				{Role: "tool", Parts: []memory.Part{{Result: &memory.ToolResult{
					ID: "c", Name: "f", Content: []byte(`"x"`), IsError: true, Parts: []memory.Part{{Result: &memory.ToolResult{Parts: []memory.Part{}}}, {Text: "in"}},
				}}}},
			},
		},
		{Messages: []memory.Message{memory.Text("user", "edited")}},
		{Messages: []memory.Message{memory.Text("user", "secret")}, Extra: []byte("x")},
		{Messages: []memory.Message{{Parts: []memory.Part{{Text: "kept"}, {Text: "secret"}}}}},
		{},
	}
	var ids []memory.RecordID
	for i, e := range entries {
		r, err := store.Append(tb.Context(), talk, e, &memory.AppendOptions{RequestID: fmt.Sprint("request ", i)})
		require.NoError(tb, err)
		ids = append(ids, r.Record.ID)
	}
	_, err := store.Update(tb.Context(), talk,
		memory.SetTitle{Title: "A title"}, memory.SetLabels{"colour": "blue"}, memory.SetGist{UpTo: ids[1], Text: "It began.", Tokens: 3},
		memory.Annotate{Record: ids[0], Notes: memory.Notes{Intent: "i", Sentiment: new(-0.25), Language: "en", Model: "m", Labels: map[string]string{"a": "b"}}},
		memory.Annotate{Record: ids[3], Notes: memory.Notes{Sentiment: new(0.0)}},
		memory.Edit{Record: ids[2], Messages: []memory.Message{memory.Text("user", "better")}},
		memory.Redact{Record: ids[3]}, memory.Redact{Record: ids[4], Part: &memory.PartRef{Part: 1}},
		memory.SetState{Set: memory.States{Session: memory.State{"later": "x"}}, Unset: memory.Unset{Session: []string{"n"}}},
		memory.Keep{Until: time.Now().Add(1000 * time.Hour)},
	)
	require.NoError(tb, err)
	return store
}

func export(tb testing.TB, store memory.Store, key memory.Key) string {
	tb.Helper()
	var buf bytes.Buffer
	_, err := memory.Export(tb.Context(), store, key, &buf)
	require.NoError(tb, err)
	return buf.String()
}

// content is what of a session Import brings back; ids and times are of their store.
func content(tb testing.TB, store memory.Store, key memory.Key) (memory.Window, []memory.Record) {
	tb.Helper()
	w, err := store.Open(tb.Context(), key, &memory.WindowOptions{Last: -1})
	require.NoError(tb, err)
	all := records(tb, store, key)
	for i := range all {
		if all[i].ID == w.Gist.UpTo {
			w.Gist.UpTo = memory.RecordID(fmt.Sprint("record ", i))
		}
		all[i].ID, all[i].RequestID, all[i].Time = "", "", time.Time{}
	}
	w.Key, w.Bookmark, w.Head.Created, w.Head.Active, w.Head.Version = memory.Key{}, "", time.Time{}, time.Time{}, 0
	w.Head.Expires = w.Head.Expires.Truncate(time.Second)
	return w, all
}

func TestAnImportedSessionIsTheSame(t *testing.T) {
	from, to := full(t), &memory.InMemory{}
	lines := export(t, from, talk)
	done, err := memory.Import(t.Context(), to, strings.NewReader(lines), &memory.ImportOptions{SharedState: true})
	require.NoError(t, err)
	require.Equal(t, memory.Imported{Sessions: 1, Records: 6}, done)

	wantWindow, want := content(t, from, talk)
	gotWindow, got := content(t, to, talk)
	require.Equal(t, wantWindow, gotWindow)
	require.Equal(t, want, got)
	for i, r := range records(t, to, talk) {
		require.Equal(t, memory.ImportRequest(records(t, from, talk)[i].ID), r.RequestID)
	}
	w, err := to.Open(t.Context(), talk.Owner(), nil)
	require.NoError(t, err)
	require.Equal(t, memory.State{"mine": "v"}, w.States.User)

	again, err := memory.Import(t.Context(), to, strings.NewReader(lines), nil)
	require.NoError(t, err)
	require.Equal(t, memory.Imported{Sessions: 1, Known: 6}, again)
	gotWindow, got = content(t, to, talk)
	require.Equal(t, wantWindow, gotWindow)
	require.Equal(t, want, got)
}

func TestAnImportLeavesTheStatesOfUserAndAppAlone(t *testing.T) {
	to := &memory.InMemory{}
	_, err := to.Update(t.Context(), talk.Owner(), memory.SetState{Set: memory.States{User: memory.State{"mine": "newer"}}})
	require.NoError(t, err)
	_, err = memory.Import(t.Context(), to, strings.NewReader(export(t, full(t), talk)), nil)
	require.NoError(t, err)
	w, err := to.Open(t.Context(), talk.Owner(), nil)
	require.NoError(t, err)
	require.Equal(t, memory.State{"mine": "newer"}, w.States.User)
	state := records(t, to, talk)[0].State
	require.Equal(t, memory.States{Session: memory.State{"n": 0.1, "l": []any{}, "m": map[string]any{"x": nil, "y": true}}}, state.Set)
	require.Equal(t, memory.Unset{Session: []string{"gone"}}, state.Unset)
}

// A failing store fails after so many writes.
type failing struct {
	memory.Store
	writes int
}

var errFailing = errors.New("failing")

func (s *failing) write() error {
	if s.writes--; s.writes < 0 {
		return errFailing
	}
	return nil
}

func (s *failing) Append(ctx context.Context, key memory.Key, e memory.Entry, opts *memory.AppendOptions) (memory.Receipt, error) {
	if err := s.write(); err != nil {
		return memory.Receipt{}, err
	}
	return s.Store.Append(ctx, key, e, opts)
}

func (s *failing) Update(ctx context.Context, key memory.Key, changes ...memory.Change) (memory.Bookmark, error) {
	if err := s.write(); err != nil {
		return "", err
	}
	return s.Store.Update(ctx, key, changes...)
}

func TestAnImportGoesOnWhereItStopped(t *testing.T) {
	from := full(t)
	lines := export(t, from, talk)
	wantWindow, want := content(t, from, talk)
	finished := false
	for writes := 0; !finished; writes++ {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
			to := &memory.InMemory{}
			_, err := memory.Import(t.Context(), &failing{to, writes}, strings.NewReader(lines), &memory.ImportOptions{SharedState: true})
			finished = err == nil
			if !finished {
				require.ErrorIs(t, err, errFailing)
			}
			time.Sleep(2 * memory.RequestLife) // no store remembers the request ids
			_, err = memory.Import(t.Context(), to, strings.NewReader(lines), &memory.ImportOptions{SharedState: true})
			require.NoError(t, err)
			gotWindow, got := content(t, to, talk)
			require.Equal(t, wantWindow, gotWindow)
			require.Equal(t, want, got)
		})
		require.Less(t, writes, 40)
	}
}

func TestAnImportCanHaveAnotherKey(t *testing.T) {
	store := full(t)
	other := memory.Key{Tenant: "t2", User: "v", Session: "copy"}
	rename := func(k memory.Key) memory.Key {
		require.Equal(t, talk, k)
		return other
	}
	_, err := memory.Import(t.Context(), store, strings.NewReader(export(t, store, talk)), &memory.ImportOptions{Rename: rename, SharedState: true})
	require.NoError(t, err)
	wantWindow, want := content(t, store, talk)
	gotWindow, got := content(t, store, other)
	require.Equal(t, wantWindow, gotWindow)
	require.Equal(t, want, got)
	_, err = memory.Import(t.Context(), store, strings.NewReader(export(t, store, talk)),
		&memory.ImportOptions{Rename: func(memory.Key) memory.Key { return memory.Key{} }})
	require.ErrorIs(t, err, memory.ErrInvalid)
}

func TestAnImportIntoASessionWithOtherRecords(t *testing.T) {
	lines := export(t, full(t), talk)
	to := &memory.InMemory{}
	speak(t, to, talk, "user", "mine")
	_, err := to.Update(t.Context(), talk, memory.SetTitle{Title: "mine"})
	require.NoError(t, err)
	_, err = memory.Import(t.Context(), to, strings.NewReader(lines), nil)
	require.ErrorIs(t, err, memory.ErrConflict)
	require.ErrorContains(t, err, "line 2")
	require.Len(t, records(t, to, talk), 1)

	for range 2 {
		_, err = memory.Import(t.Context(), to, strings.NewReader(lines), &memory.ImportOptions{Merge: true})
		require.NoError(t, err)
		require.Len(t, records(t, to, talk), 7)
	}
	w, err := to.Open(t.Context(), talk, nil)
	require.NoError(t, err)
	require.Equal(t, "mine", w.Head.Title)
	require.Zero(t, w.Gist)
}

func TestARepeatedImportLeavesASessionThatWentOn(t *testing.T) {
	lines := export(t, full(t), talk)
	to := &memory.InMemory{}
	_, err := memory.Import(t.Context(), to, strings.NewReader(lines), nil)
	require.NoError(t, err)
	id := speak(t, to, talk, "user", "and then")
	_, err = to.Update(t.Context(), talk, memory.SetGist{UpTo: id, Text: "further"}, memory.SetState{Set: memory.States{Session: memory.State{"later": "y"}}},
		memory.Annotate{Record: records(t, to, talk)[0].ID, Notes: memory.Notes{Intent: "corrected"}})
	require.NoError(t, err)
	before := export(t, to, talk)
	_, err = memory.Import(t.Context(), to, strings.NewReader(lines), nil)
	require.NoError(t, err)
	require.Equal(t, before, export(t, to, talk))
}

func TestAnImportDoesNotBringBackWhatWasRewound(t *testing.T) {
	lines := export(t, full(t), talk)
	to := &memory.InMemory{}
	_, err := memory.Import(t.Context(), to, strings.NewReader(lines), nil)
	require.NoError(t, err)
	_, err = to.Update(t.Context(), talk, memory.Rewind{})
	require.NoError(t, err)
	done, err := memory.Import(t.Context(), to, strings.NewReader(lines), nil)
	require.NoError(t, err)
	require.Equal(t, memory.Imported{Sessions: 1, Known: 6, Gists: 1}, done)
	require.Empty(t, records(t, to, talk))
}

func TestAnExpiredSessionIsNotImported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := export(t, full(t), talk)
		time.Sleep(1001 * time.Hour)
		to := &memory.InMemory{}
		done, err := memory.Import(t.Context(), to, strings.NewReader(lines), nil)
		require.NoError(t, err)
		require.Equal(t, memory.Imported{Expired: 1}, done)
		_, err = to.Open(t.Context(), talk, nil)
		require.ErrorIs(t, err, memory.ErrNotFound)
	})
}

func TestAGistStaysWithTheNewestRecordItCovers(t *testing.T) {
	lines := strings.SplitAfter(export(t, full(t), talk), "\n")
	without := lines[0] + lines[1] + strings.Join(lines[3:7], "") + `{"end":{"records":5}}`
	to := &memory.InMemory{}
	_, err := memory.Import(t.Context(), to, strings.NewReader(without), nil)
	require.NoError(t, err)
	w, _ := content(t, to, talk)
	require.Equal(t, memory.RecordID("record 0"), w.Gist.UpTo)
	done, err := memory.Import(t.Context(), &memory.InMemory{}, strings.NewReader(lines[0]+lines[3]+`{"end":{"records":1}}`), nil)
	require.NoError(t, err)
	require.Equal(t, 1, done.Gists)
}

func TestAStateThatAppendsMadeTooLargeIsImported(t *testing.T) {
	from, to := &memory.InMemory{}, &memory.InMemory{}
	for i := range 2 {
		entry := memory.Entry{State: memory.Delta{Set: memory.States{Session: memory.State{fmt.Sprint(i): strings.Repeat("x", memory.MaxState-100)}}}}
		_, err := from.Append(t.Context(), talk, entry, nil)
		require.NoError(t, err)
	}
	_, err := memory.Import(t.Context(), to, strings.NewReader(export(t, from, talk)), nil)
	require.NoError(t, err)
	wantWindow, want := content(t, from, talk)
	gotWindow, got := content(t, to, talk)
	require.Equal(t, wantWindow, gotWindow)
	require.Equal(t, want, got)
}

func TestExportAllWritesWhatTheQuerySelects(t *testing.T) {
	store := full(t)
	for i := range 3 {
		speak(t, store, memory.Key{Tenant: "t", App: "a", User: "v", Session: fmt.Sprint(i)}, "user", fmt.Sprint(i))
	}
	var buf bytes.Buffer
	done, err := memory.ExportAll(t.Context(), store, memory.Query{Tenant: "t", App: "a"}, &buf)
	require.NoError(t, err)
	require.Equal(t, memory.Exported{Sessions: 4, Records: 9}, done)
	to := &memory.InMemory{}
	in, err := memory.Import(t.Context(), to, &buf, &memory.ImportOptions{SharedState: true})
	require.NoError(t, err)
	require.Equal(t, memory.Imported{Sessions: 4, Records: 9}, in)
	require.Equal(t, "2", records(t, to, memory.Key{Tenant: "t", App: "a", User: "v", Session: "2"})[0].Messages[0].Parts[0].Text)

	buf.Reset()
	done, err = memory.ExportAll(t.Context(), store, memory.Query{Tenant: "t", App: "a", Label: memory.Label{Key: "colour"}}, &buf)
	require.NoError(t, err)
	require.Equal(t, export(t, store, talk), buf.String())
	require.Equal(t, memory.Exported{Sessions: 1, Records: 6}, done)
	_, err = memory.ExportAll(t.Context(), store, memory.Query{Intent: "i", Since: time.Now()}, &buf)
	require.ErrorIs(t, err, memory.ErrInvalid)
	_, err = memory.ExportAll(t.Context(), store, memory.Query{Limit: -1}, &buf)
	require.ErrorIs(t, err, memory.ErrInvalid)
}

// A vanishing store lists sessions that are gone when one looks.
type vanishing struct{ memory.Store }

func (s vanishing) Open(ctx context.Context, key memory.Key, opts *memory.WindowOptions) (memory.Window, error) {
	if err := s.Delete(ctx, key); err != nil {
		return memory.Window{}, err
	}
	return s.Store.Open(ctx, key, opts)
}

func TestExportAllLeavesOutWhatIsGone(t *testing.T) {
	var buf bytes.Buffer
	done, err := memory.ExportAll(t.Context(), vanishing{full(t)}, memory.Query{Tenant: "t", App: "a"}, &buf)
	require.NoError(t, err)
	require.Zero(t, done)
	require.Empty(t, buf.String())
}

// A busy session is appended to as soon as it was opened.
type busy struct{ memory.Store }

func (s busy) Open(ctx context.Context, key memory.Key, opts *memory.WindowOptions) (memory.Window, error) {
	w, err := s.Store.Open(ctx, key, opts)
	if err == nil {
		_, err = s.Append(ctx, key, memory.Entry{Messages: []memory.Message{memory.Text("user", "meanwhile")}}, nil)
	}
	return w, err
}

func TestAnExportEndsWhereItBegan(t *testing.T) {
	store := full(t)
	require.NotContains(t, export(t, busy{store}, talk), "meanwhile")
	empty := memory.Key{User: "u", Session: "empty"}
	_, err := store.Update(t.Context(), empty, memory.Create{})
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(export(t, store, empty), "\n"))
}

func TestExportRefusesWhatItCannotDo(t *testing.T) {
	store := &memory.InMemory{}
	_, err := memory.Export(t.Context(), store, talk, io.Discard)
	require.ErrorIs(t, err, memory.ErrNotFound)
	_, err = memory.Export(t.Context(), store, talk.Owner(), io.Discard)
	require.ErrorIs(t, err, memory.ErrInvalid)
	store = full(t)
	for n := range 8 {
		_, err = memory.Export(t.Context(), store, talk, &shortWriter{n})
		require.ErrorIs(t, err, io.ErrShortWrite)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = memory.Export(ctx, store, talk, io.Discard)
	require.ErrorIs(t, err, context.Canceled)
	_, err = memory.ExportAll(ctx, store, memory.Query{}, io.Discard)
	require.ErrorIs(t, err, context.Canceled)
	_, err = memory.Import(ctx, store, strings.NewReader(export(t, store, talk)), nil)
	require.ErrorIs(t, err, context.Canceled)
}

// shortWriter takes so many lines.
type shortWriter struct{ lines int }

func (w *shortWriter) Write(p []byte) (int, error) {
	if w.lines--; w.lines < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

func TestABrokenLineIsCorruptAndNothingAfterItIsWritten(t *testing.T) {
	const (
		head = `{"session":{"schema":1,"key":{"user":"u","session":"s"},"head":{"created":"2026-01-01T00:00:00Z","active":"2026-01-01T00:00:00Z","version":1}}}`
		one  = `{"record":{"id":"1","time":"2026-01-01T00:00:00Z","messages":[{"role":"user","parts":[{"text":"one"}]}]}}`
		two  = `{"record":{"id":"2","time":"2026-01-01T00:00:00Z"}}`
		end  = `{"end":{"records":2}}`
	)
	tests := map[string]struct {
		lines []string
		line  int
		text  string
	}{
		"no JSON":                         {[]string{head, one, `{`, end}, 3, ""},
		"two documents in a line":         {[]string{head, one, two + two, end}, 3, ""},
		"no object":                       {[]string{head, one, `7`, end}, 3, ""},
		"nothing known":                   {[]string{head, one, `{}`, end}, 3, "none of"},
		"two things at once":              {[]string{head, one, `{"end":{"records":1},"record":{"id":"2"}}`}, 3, "several"},
		"an unknown field":                {[]string{head, one, `{"end":{"records":1,"more":2}}`}, 3, "more"},
		"an unknown field in the head":    {[]string{strings.Replace(head, `"version"`, `"mood":"x","version"`, 1)}, 1, "mood"},
		"an unknown field in a blob":      {[]string{head, one, `{"record":{"id":"2","messages":[{"parts":[{"new":1,"blob":{"mood":"x"}}]}]}}`}, 3, "mood"},
		"unknown fields beside an extra":  {[]string{head, one, `{"record":{"id":"2","mood":1,"extra":"eA=="}}`}, 3, "mood"},
		"a later schema":                  {[]string{strings.Replace(head, `1`, `2`, 1)}, 1, "schema 2"},
		"a later schema with more in it":  {[]string{strings.Replace(head, `1,`, `2,"mood":"x",`, 1)}, 1, "schema 2"},
		"no schema":                       {[]string{strings.Replace(head, `"schema":1,`, ``, 1)}, 1, "schema 0"},
		"a record before a session":       {[]string{one}, 1, "outside"},
		"an end before a session":         {[]string{end}, 1, "outside"},
		"a session in a session":          {[]string{head, one, head}, 3, "before"},
		"no end":                          {[]string{head, one}, 3, "inside"},
		"too few records":                 {[]string{head, one, end}, 3, "1 records"},
		"a record twice":                  {[]string{head, one, one, end}, 3, "not after"},
		"records out of order":            {[]string{head, two, one, end}, 3, "not after"},
		"no id":                           {[]string{head, one, `{"record":{}}`, end}, 3, "id"},
		"a message that cannot be":        {[]string{head, one, `{"record":{"id":"2","messages":[{"parts":[{"text":"x","call":{}}]}]}}`}, 3, "one of"},
		"notes that cannot be":            {[]string{head, one, `{"record":{"id":"2","notes":{"sentiment":7}}}`}, 3, "sentiment"},
		"no key":                          {[]string{`{"session":{"schema":1,"key":{},"head":{}}}`}, 1, "key"},
		"a state that cannot be":          {[]string{strings.Replace(head, `"head"`, `"state":{"":1},"head"`, 1)}, 1, "state"},
		"a gist that cannot be":           {[]string{strings.Replace(head, `"head"`, `"gist":{"upTo":"1","text":"x","tokens":-1},"head"`, 1)}, 1, "gist"},
		"bytes that are no base64":        {[]string{head, one, `{"record":{"id":"2","extra":"?"}}`}, 3, "base64"},
		"a line too long":                 {[]string{head, one, `{"record":{"id":"2","turn":"` + strings.Repeat("x", 1000) + `"}}`, end}, 3, "600 bytes"},
		"a line too long without an end":  {[]string{head, one, strings.Repeat(" ", 100_000)}, 3, "600 bytes"},
		"a second session after a broken": {[]string{head, one, two, end, `{`, head}, 5, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			store := &memory.InMemory{}
			in := strings.Join(append(tt.lines, ""), "\n") + head + "\n" + strings.ReplaceAll(one, `"1"`, `"9"`) + "\n" + strings.ReplaceAll(end, "2", "1")
			if strings.HasPrefix(name, "no end") {
				in = strings.Join(tt.lines, "\n")
			}
			_, err := memory.Import(t.Context(), store, strings.NewReader(in), &memory.ImportOptions{MaxLine: 600})
			require.ErrorIs(t, err, memory.ErrCorrupt)
			require.ErrorContains(t, err, fmt.Sprintf("line %d: ", tt.line))
			require.ErrorContains(t, err, tt.text)
			if tt.line == 3 {
				require.Len(t, records(t, store, memory.Key{User: "u", Session: "s"}), 1)
			}
		})
	}
	store := &memory.InMemory{}
	_, err := memory.Import(t.Context(), store, strings.NewReader("\n"+head+"\r\n \n"+one+"\n"+two+"\n"+end), nil)
	require.NoError(t, err, "blank lines and a missing last newline do no harm")
	_, err = memory.Import(t.Context(), store, iotest.ErrReader(io.ErrClosedPipe), nil)
	require.ErrorIs(t, err, io.ErrClosedPipe)
	_, err = memory.Import(t.Context(), store, strings.NewReader(""), &memory.ImportOptions{MaxLine: -1})
	require.ErrorIs(t, err, memory.ErrInvalid)
	done, err := memory.Import(t.Context(), store, strings.NewReader(""), nil)
	require.NoError(t, err)
	require.Zero(t, done)
}

func TestUnknownFieldsBecomeExtra(t *testing.T) {
	const in = `{"session":{"schema":1,"key":{"user":"u","session":"s"},"head":{"created":"2026-01-01T00:00:00Z","active":"2026-01-01T00:00:00Z","version":1}}}
{"record":{"id":"1","time":"2026-01-01T00:00:00Z","score":1.50,"Turn":"t","messages":[{"role":"user","mood":{"a":[1]},"parts":[{"text":"x","new":true},{"result":{"parts":[{"deep":"y"}]}}]}]}}
{"end":{"records":1}}`
	store := &memory.InMemory{}
	_, err := memory.Import(t.Context(), store, strings.NewReader(in), nil)
	require.NoError(t, err)
	r := records(t, store, memory.Key{User: "u", Session: "s"})[0]
	require.Equal(t, "t", r.Turn)
	require.Equal(t, `{"score":1.50}`, string(r.Extra))
	require.JSONEq(t, `{"mood":{"a":[1]}}`, string(r.Messages[0].Extra))
	require.Equal(t, memory.Part{Text: "x", Extra: []byte(`{"new":true}`)}, r.Messages[0].Parts[0])
	require.JSONEq(t, `{"deep":"y"}`, string(r.Messages[0].Parts[1].Result.Parts[0].Extra))
}

// Files of this schema are on people's disks: what they mean may not change.
func TestTheFormatOfExports(t *testing.T) {
	golden, err := os.ReadFile("testdata/export1.jsonl")
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		to := &memory.InMemory{}
		_, err := memory.Import(t.Context(), to, bytes.NewReader(golden), &memory.ImportOptions{SharedState: true})
		require.NoError(t, err)
		from := full(t)
		wantWindow, want := content(t, from, talk)
		gotWindow, got := content(t, to, talk)
		require.Equal(t, wantWindow, gotWindow)
		require.Equal(t, want, got)
		require.Equal(t, anonymous(string(golden)), anonymous(export(t, from, talk)), "what is written is still the same")
	})
}

// anonymous replaces ids, which are random, by their number.
func anonymous(lines string) string {
	n := 0
	for line := range strings.Lines(lines) {
		_, id, ok := strings.Cut(line, `{"record":{"id":"`)
		if ok {
			n++
			id, _, _ = strings.Cut(id, `"`)
			lines = strings.ReplaceAll(lines, id, fmt.Sprint("id", n))
		}
	}
	return lines
}

func FuzzImport(f *testing.F) {
	golden, err := os.ReadFile("testdata/export1.jsonl")
	require.NoError(f, err)
	f.Add(golden)
	f.Add([]byte(`{"session":{"schema":1,"key":{"user":"u","session":"s"},"head":{"expires":"9999-01-01T00:00:00Z"}}}` + "\n" + `{"record":{"id":"1","new":1,"messages":[null,{}]}}` + "\n" + `{"end":{"records":1}}`))
	f.Add([]byte(base64.StdEncoding.EncodeToString(golden)))
	f.Fuzz(func(t *testing.T, in []byte) {
		first, second := &memory.InMemory{}, &memory.InMemory{}
		opts := &memory.ImportOptions{SharedState: true}
		_, err := memory.Import(t.Context(), first, bytes.NewReader(in), opts)
		if err != nil {
			kind := errors.Is(err, memory.ErrCorrupt) || errors.Is(err, memory.ErrConflict) || errors.Is(err, memory.ErrInvalid)
			require.True(t, kind, "%v", err)
		}
		for m, err := range first.Find(t.Context(), memory.Query{}) {
			require.NoError(t, err)
			_, err = memory.Import(t.Context(), second, strings.NewReader(export(t, first, m.Key)), opts)
			require.NoError(t, err)
			wantWindow, want := content(t, first, m.Key)
			gotWindow, got := content(t, second, m.Key)
			require.Equal(t, wantWindow, gotWindow)
			require.Equal(t, want, got)
		}
	})
}
