package dynamomemory

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/memory"
)

// The bytes are stored in tables: what a decoder takes it must give back.
func FuzzBody(f *testing.F) {
	var e encoder
	e.body(body{Entry: memory.Entry{
		Turn: "t", Extra: []byte{},
		Messages: []memory.Message{
			{Role: "user", Time: time.Unix(-5, 7).UTC(), Tokens: 3, Labels: map[string]string{"a": "b"}, Parts: []memory.Part{
				{Text: "x", Thought: true},
				{Blob: &memory.Blob{Data: []byte{1}}},
				{Call: &memory.ToolCall{ID: "1", Arguments: []byte("{}")}},
				{Result: &memory.ToolResult{ID: "1", IsError: true, Parts: []memory.Part{{Extra: []byte("e")}}}},
			}},
		},
		State: memory.Delta{Set: memory.States{User: memory.State{"k": []any{nil, true, 1.5, map[string]any{}}}}, Unset: memory.Unset{App: []string{"x"}}},
	}, requestID: "r", version: 4, edited: true})
	f.Add([]byte(e))
	f.Add([]byte{bodyVersion, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := decodeBody(data)
		if err != nil {
			require.ErrorIs(t, err, memory.ErrCorrupt)
			return
		}
		var again encoder
		again.body(b)
		same, err := decodeBody(again)
		require.NoError(t, err)
		var third encoder
		third.body(same)
		require.Equal(t, []byte(again), []byte(third))
	})
}

func FuzzDeflate(f *testing.F) {
	f.Add([]byte(strings.Repeat("hello ", 100)), 1000)
	f.Add([]byte{0, 1, 2}, 1)
	c := newDeflate()
	f.Fuzz(func(t *testing.T, data []byte, limit int) {
		if out, err := c.Decompress(nil, data, min(max(limit, 0), 1<<20)); err == nil {
			require.LessOrEqual(t, len(out), max(limit, 0))
		} else {
			require.ErrorIs(t, err, memory.ErrCorrupt)
		}
		small, err := c.Compress(nil, data)
		require.NoError(t, err)
		back, err := c.Decompress(nil, small, len(data))
		require.NoError(t, err)
		require.Equal(t, string(data), string(back))
		if len(data) > 0 {
			_, err = c.Decompress(nil, small, len(data)-1)
			require.ErrorIs(t, err, memory.ErrCorrupt)
		}
	})
}

// No two keys share a partition or a directory item, and every key can be read back.
func FuzzKeys(f *testing.F) {
	f.Add("t", "a", "u", "s", "t#S", "", "u", "s")
	f.Add("", "", "u#", "s", "", "", "u", "#s")
	f.Add(strings.Repeat("#", 256), "a", "u", "s", "%", "a", "%23", "s")
	f.Fuzz(func(t *testing.T, t1, a1, u1, s1, t2, a2, u2, s2 string) {
		one := memory.Key{Tenant: t1, App: a1, User: u1, Session: s1}
		two := memory.Key{Tenant: t2, App: a2, User: u2, Session: s2}
		if one.Validate() != nil || two.Validate() != nil {
			return
		}
		require.Equal(t, one == two, at(one).pk == at(two).pk)
		require.Equal(t, one.Owner() == two.Owner(), userPK(one) == userPK(two))
		require.Equal(t, one.Whole() == two.Whole(), appPK(one) == appPK(two))
		require.Equal(t, one.User == two.User && one.Session == two.Session, directorySK(one) == directorySK(two))
		if one.User != two.User {
			require.False(t, strings.HasPrefix(directorySK(one), encodePart(two.User)+"#"), "listed with another user")
		}
		require.LessOrEqual(t, len(at(one).pk), 2048)
		require.LessOrEqual(t, len(directorySK(one)), 1024)
		it := item{}
		if long(one) {
			it[attrNames] = strs([]string{one.Tenant, one.App, one.User, one.Session})
		}
		back, err := sessionKey(at(one).pk, it)
		require.NoError(t, err)
		require.Equal(t, one, back)
	})
}

func TestTheSortKeysOfOneQueryAreNeighbours(t *testing.T) {
	id := "01jaqt98g0fau828q5cu4qnjff"
	all := []string{skNotes + id, skChunk + id + "#0#000", skRecord + id, lastRecord, skGist, skHead, skState, requestSK("r")}
	require.True(t, slices.IsSorted(all), all)
}

// Cells arrive in any order and end the same.
func TestCellsConverge(t *testing.T) {
	type write struct {
		id    string
		set   memory.State
		unset []string
	}
	random := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		var writes []write
		for i := range 6 {
			w := write{id: string(rune('a' + i))}
			if random.IntN(3) == 0 {
				w.unset = []string{"k"}
			} else {
				w.set = memory.State{"k": float64(i), "l": float64(random.IntN(2))}
			}
			writes = append(writes, w)
		}
		want := cells{}
		for _, w := range writes {
			want.apply(w.id, w.set, w.unset)
		}
		random.Shuffle(len(writes), func(i, j int) { writes[i], writes[j] = writes[j], writes[i] })
		got := cells{}
		for _, w := range append(writes, writes[:3]...) {
			got.apply(w.id, w.set, w.unset)
		}
		require.Equal(t, want, got)
	}
}
