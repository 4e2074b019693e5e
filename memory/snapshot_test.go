package memory

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite golden files")

func snapshot(tb testing.TB, m *InMemory) []byte {
	tb.Helper()
	var buf bytes.Buffer
	require.NoError(tb, m.Snapshot(&buf))
	return buf.Bytes()
}

// filled has something of everything.
func filled(tb testing.TB) *InMemory {
	tb.Helper()
	var m InMemory
	key := Key{Tenant: "t", App: "a", User: "u", Session: "s"}
	entry := Entry{
		Turn: "1",
		Messages: []Message{
			{Role: "user", Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Parts: []Part{{Text: "<hello> \u2028"}, {Blob: &Blob{Data: []byte{0xff}}}}, Labels: map[string]string{}},
			{Parts: []Part{{Call: &ToolCall{ID: "c", Arguments: []byte{}}}, {Result: &ToolResult{Parts: []Part{}, Content: []byte("x")}}}},
		},
		State: Delta{Set: States{Session: State{"k": 0.1, "l": []any{}, "m": map[string]any{"n": nil}}, User: State{"k": "v"}, App: State{"k": true}}, Unset: Unset{User: []string{}}},
		Extra: []byte{},
	}
	r, err := m.Append(tb.Context(), key, entry, &AppendOptions{RequestID: "r"})
	require.NoError(tb, err)
	_, err = m.Update(tb.Context(), key, SetTitle{Title: "t"}, SetLabels{"k": "v"}, SetGist{UpTo: r.Record.ID, Text: "g", Tokens: 2},
		Annotate{Record: r.Record.ID, Notes: Notes{Intent: "i", Sentiment: new(-0.5)}}, Keep{Until: time.Now().Add(1000 * time.Hour)})
	require.NoError(tb, err)
	fork := key
	fork.Session = "fork"
	_, err = m.Update(tb.Context(), fork, Fork{From: "s"})
	require.NoError(tb, err)
	_, err = m.Append(tb.Context(), fork, Entry{}, &AppendOptions{RequestID: "r", IfVersion: 1})
	require.NoError(tb, err)
	return &m
}

func TestARestoredStoreIsTheSame(t *testing.T) {
	m := filled(t)
	saved := snapshot(t, m)
	var back InMemory
	require.NoError(t, back.Restore(bytes.NewReader(saved)))
	require.Equal(t, string(saved), string(snapshot(t, &back)))

	keys := []Key{{Tenant: "t", App: "a", User: "u", Session: "s"}, {Tenant: "t", App: "a", User: "u", Session: "fork"}}
	for _, key := range keys {
		opts := &WindowOptions{Notes: true, Scopes: AllStates}
		want, err := m.Open(t.Context(), key, opts)
		require.NoError(t, err)
		opts.AtLeast = want.Bookmark
		got, err := back.Open(t.Context(), key, opts)
		require.NoError(t, err)
		require.Equal(t, want, got)

		first, err := m.Append(t.Context(), key, Entry{}, &AppendOptions{RequestID: "r"})
		require.NoError(t, err)
		again, err := back.Append(t.Context(), key, Entry{}, &AppendOptions{RequestID: "r"})
		require.NoError(t, err)
		require.True(t, again.Replayed)
		require.Equal(t, first, again)
	}
	for _, key := range keys {
		last, err := m.Append(t.Context(), key, Entry{}, nil)
		require.NoError(t, err)
		fresh, err := back.Append(t.Context(), key, Entry{}, &AppendOptions{After: last.Bookmark})
		require.NoError(t, err)
		require.Greater(t, fresh.Record.ID, last.Record.ID)
	}
}

func TestAnEmptyStoreCanBeSaved(t *testing.T) {
	saved := snapshot(t, new(InMemory))
	m := filled(t)
	require.NoError(t, m.Restore(bytes.NewReader(saved)))
	require.Equal(t, string(saved), string(snapshot(t, m)), "Restore replaces what was there")
}

func TestASnapshotLeavesOutWhatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := filled(t)
		time.Sleep(RequestLife)
		require.NotContains(t, string(snapshot(t, m)), `"Until"`)
		time.Sleep(1000 * time.Hour)
		saved := string(snapshot(t, m))
		require.NotContains(t, saved, `"User":"u","Session":"s"`)
		require.Contains(t, saved, `"Session":"fork"`)
	})
}

func TestRequestIDsOfARestoredStoreExpireInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m, back InMemory
		key := Key{User: "u", Session: "s"}
		for i := range 20 {
			_, err := m.Append(t.Context(), key, Entry{}, &AppendOptions{RequestID: fmt.Sprint(i)})
			require.NoError(t, err)
			time.Sleep(time.Minute)
		}
		require.NoError(t, back.Restore(bytes.NewReader(snapshot(t, &m))))
		time.Sleep(RequestLife - 10*time.Minute)
		_, err := back.Append(t.Context(), key, Entry{}, nil)
		require.NoError(t, err)
		require.Len(t, back.sessions[key].requests, 9)
	})
}

// Files of this schema are on people's disks: what they mean may not change.
func TestTheFormatOfSnapshots(t *testing.T) {
	const golden = "testdata/snapshot1.json"
	synctest.Test(t, func(t *testing.T) { // in the year 2000, in which nothing of the file has expired
		if *update {
			require.NoError(t, os.WriteFile(golden, snapshot(t, filled(t)), 0o600))
		}
		want, err := os.ReadFile(golden)
		require.NoError(t, err)
		var m InMemory
		require.NoError(t, m.Restore(bytes.NewReader(want)))
		require.Equal(t, string(want), string(snapshot(t, &m)))
		w, err := m.Open(t.Context(), Key{Tenant: "t", App: "a", User: "u", Session: "fork"}, &WindowOptions{Notes: true, Scopes: AllStates})
		require.NoError(t, err)
		require.Len(t, w.Records, 2)
		require.Equal(t, "<hello> \u2028", w.Records[0].Messages[0].Parts[0].Text)
		require.Equal(t, []byte{0xff}, w.Records[0].Messages[0].Parts[1].Blob.Data)
		require.Equal(t, State{"k": 0.1, "l": []any{}, "m": map[string]any{"n": nil}}, w.States.Session)
		require.Equal(t, "i", w.Records[0].Notes.Intent)
		require.Equal(t, Parent{Session: "s", UpTo: w.Records[0].ID}, w.Head.Parent)
		require.Equal(t, int64(2), w.Head.Version)
	})
}

// signed puts content into a file with the right checksum.
func signed(content string) string {
	sum := sha256.Sum256([]byte(content))
	return fmt.Sprintf(`{"Schema":1,"SHA256":%q,"Content":%s}`, hex.EncodeToString(sum[:]), content)
}

func TestABadSnapshotIsCorruptAndChangesNothing(t *testing.T) {
	m := filled(t)
	good := string(snapshot(t, m))
	content := func(old, repaired string) string {
		_, c, _ := strings.Cut(good, `"Content":`)
		c = strings.TrimSuffix(c, "}\n")
		require.Contains(t, c, old)
		return signed(strings.Replace(c, old, repaired, 1))
	}
	require.NoError(t, m.Restore(strings.NewReader(content(`"Title":"t"`, `"Title":"t"`))), "signed as it should be")
	var id string
	for _, s := range m.sessions {
		id = string(s.records[0].ID)
	}
	tests := []struct{ name, file string }{
		{"nothing", ""},
		{"no JSON", "x"},
		{"cut short", good[:len(good)-3]},
		{"a bit flipped in a text", strings.Replace(good, "hello", "hellp", 1)},
		{"more after the document", good + "{}"},
		{"another schema", strings.Replace(good, `"Schema":1`, `"Schema":2`, 1)},
		{"an unknown field", content(`"Title":"t"`, `"Titel":"t"`)},
		{"content that is null", signed("null") + "x"},
		{"a bad key", content(`"User":"u"`, `"User":""`)},
		{"a session twice", content(`"User":"u","Session":"s"`, `"User":"u","Session":"fork"`)},
		{"a bad bookmark", content(`"Latest":"at-`, `"Latest":"to-`)},
		{"a bad record id", content(`"ID":"`+id, `"ID":"!`+id[1:])},
		{"a version of nothing", content(`"Version":2`, `"Version":0`)},
		{"a bad record", content(`"Turn":"1"`, `"Turn":"\u0001"`)},
		{"a bad note", content(`"Sentiment":-0.5`, `"Sentiment":-5`)},
		{"a bad label", content(`{"k":"v"}`, `{"":"v"}`)},
		{"an empty request id", content(`"RequestID":"r","Record"`, `"RequestID":"","Record"`)},
		{"a state of a session among those of users", content(`"User":"u","Session":""`, `"User":"u","Session":"x"`)},
		{"a gist that counts backwards", content(`"Tokens":2}`, `"Tokens":-2}`)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.ErrorIs(t, m.Restore(strings.NewReader(tt.file)), ErrCorrupt)
			require.Equal(t, sha256.Sum256([]byte(good)), sha256.Sum256(snapshot(t, m)), "the store has changed")
		})
	}
}

func TestASnapshotFromTheFuture(t *testing.T) {
	var saved []byte
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(2 * time.Minute)
		saved = snapshot(t, filled(t))
	})
	synctest.Test(t, func(t *testing.T) {
		m := filled(t)
		good := snapshot(t, m)
		require.ErrorIs(t, m.Restore(bytes.NewReader(saved)), ErrClockSkew)
		require.Equal(t, good, snapshot(t, m))
	})
}

func TestSnapshotAndRestoreReturnTheErrorsOfTheirArguments(t *testing.T) {
	boom := errors.New("boom")
	m := filled(t)
	good := snapshot(t, m)
	err := m.Restore(io.MultiReader(bytes.NewReader(good[:100]), iotest.ErrReader(boom)))
	require.ErrorIs(t, err, boom)
	require.NotErrorIs(t, err, ErrCorrupt)
	require.Equal(t, good, snapshot(t, m))
	require.ErrorIs(t, m.Snapshot(brokenWriter{boom}), boom)
}

func TestASnapshotIsWholeWhileOthersWrite(t *testing.T) {
	var m InMemory
	key := Key{User: "u", Session: "s"}
	_, err := m.Update(t.Context(), key, Create{})
	require.NoError(t, err)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 50 {
				e := Entry{State: Delta{Set: States{Session: State{fmt.Sprint(w): i}, User: State{fmt.Sprint(w): i}}}}
				if _, err := m.Append(t.Context(), key, e, &AppendOptions{RequestID: fmt.Sprint(w, i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 30 {
		var back InMemory
		require.NoError(t, back.Restore(bytes.NewReader(snapshot(t, &m))))
		w, err := back.Open(t.Context(), key, &WindowOptions{Last: 1000, Scopes: AllStates})
		require.NoError(t, err)
		require.Equal(t, w.States.Session, w.States.User)
		require.Len(t, back.due, len(w.Records), "records and their request ids")
	}
	wg.Wait()
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

// Whatever is read is refused and changes nothing, or is a store that can be saved
// and read again.
func FuzzRestore(f *testing.F) {
	good := snapshot(f, filled(f))
	_, content, _ := bytes.Cut(good, []byte(`"Content":`))
	f.Add(good, false)
	f.Add(bytes.TrimSuffix(content, []byte("}\n")), true)
	f.Add([]byte(`{"Latest":"","Sessions":[{"Key":{"User":"u","Session":"s"},"Head":{"Version":1}}],"States":null}`), true)
	f.Add([]byte(`{"Latest":"","Sessions":null,"States":[{"Key":{"User":"u"},"State":{"a":[{}]}}]}`), true)
	f.Fuzz(func(t *testing.T, raw []byte, sign bool) {
		file := string(raw)
		if sign {
			file = signed(file)
		}
		var m InMemory
		_, err := m.Append(t.Context(), Key{User: "u", Session: "before"}, Entry{}, nil)
		require.NoError(t, err)
		before := snapshot(t, &m)
		if err := m.Restore(strings.NewReader(file)); err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrClockSkew) {
				t.Fatalf("error %v is neither ErrCorrupt nor ErrClockSkew", err)
			}
			require.Equal(t, string(before), string(snapshot(t, &m)))
			return
		}
		saved := snapshot(t, &m)
		var back InMemory
		require.NoError(t, back.Restore(bytes.NewReader(saved)))
		require.Equal(t, string(saved), string(snapshot(t, &back)))
		for key := range m.sessions {
			_, err := m.Append(t.Context(), key, Entry{State: Delta{Set: States{Session: State{"k": "v"}}}}, nil)
			if err != nil && !errors.Is(err, ErrInvalid) { // a state that is full
				t.Fatal(err)
			}
		}
	})
}
