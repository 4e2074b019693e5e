package memory_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/memory"
)

// record makes a record of a turn with the parts that words stand for: "+id" a call,
// "-id" a result, anything else a text.
func record(id, turn string, tokens int, words ...string) memory.Record {
	m := memory.Message{Role: "assistant", Tokens: tokens}
	for _, w := range words {
		switch w[0] {
		case '+':
			m.Parts = append(m.Parts, memory.Part{Call: &memory.ToolCall{ID: w[1:], Name: "tool " + w[1:]}})
		case '-':
			m.Parts = append(m.Parts, memory.Part{Result: &memory.ToolResult{ID: w[1:]}})
		default:
			m.Parts = append(m.Parts, memory.Part{Text: w})
		}
	}
	return memory.Record{ID: memory.RecordID(id), Entry: memory.Entry{Turn: turn, Messages: []memory.Message{m}}}
}

// window opens records as a store does.
func window(records ...memory.Record) memory.Window {
	return memory.Window{Records: records, Orphans: memory.FindOrphans(records)}
}

// said writes messages in the words that record takes; a repair is in brackets.
func said(messages []memory.Message) []string {
	out := []string{}
	for _, m := range messages {
		line := ""
		for _, p := range m.Parts {
			switch {
			case p.Call != nil:
				line += "+" + p.Call.ID
			case p.Result != nil && m.Labels[memory.LabelSynthetic] != "":
				line += "[" + p.Result.ID + "]"
			case p.Result != nil:
				line += "-" + p.Result.ID
			default:
				line += p.Text
			}
		}
		out = append(out, line)
	}
	return out
}

func TestMessagesAreWhatAModelTakes(t *testing.T) {
	redacted := record("2", "", 1, "-a")
	redacted.Redacted, redacted.Messages[0].Parts[0] = true, memory.Part{}
	half := record("3", "", 1, "x", "y")
	half.Redacted, half.Messages[0].Parts[0] = true, memory.Part{}
	unknown := record("4", "", 1, "x")
	unknown.Messages[0].Parts[0] = memory.Part{Extra: []byte("a kind not known here")}
	none := record("5", "", 1)
	tests := []struct {
		name    string
		records []memory.Record
		want    []string
	}{
		{"nothing", nil, []string{}},
		{"texts", []memory.Record{record("1", "", 1, "a"), record("2", "", 1, "b")}, []string{"a", "b"}},
		{"a call and its result", []memory.Record{record("1", "", 1, "+a"), record("2", "", 1, "-a"), record("3", "", 1, "b")}, []string{"+a", "-a", "b"}},
		{"an orphan is answered right after its record", []memory.Record{record("1", "", 1, "+a"), record("2", "", 1, "b")}, []string{"+a", "[a]", "b"}},
		{"of two calls one is answered", []memory.Record{record("1", "", 1, "+a", "+b"), record("2", "", 1, "-b"), record("3", "", 1, "c")}, []string{"+a+b", "[a]", "-b", "c"}},
		{"an orphan that is the last word may still run", []memory.Record{record("1", "", 1, "+a"), record("2", "", 1, "+b")}, []string{"+a", "[a]", "+b"}},
		{"a result without its call is left out", []memory.Record{record("1", "", 1, "-a"), record("2", "", 1, "-a", "b")}, []string{"b"}},
		{"a result before its call is left out", []memory.Record{record("1", "", 1, "-a"), record("2", "", 1, "+a")}, []string{"+a"}},
		{"a call id that is used again", []memory.Record{record("1", "", 1, "+a"), record("2", "", 1, "-a"), record("3", "", 1, "+a"), record("4", "", 1, "-a")}, []string{"+a", "-a", "+a", "-a"}},
		{"a redacted result", []memory.Record{record("1", "", 1, "+a"), redacted, record("3", "", 1, "b")}, []string{"+a", "[a]", "b"}},
		{"a redacted part", []memory.Record{half, record("4", "", 1, "b")}, []string{"y", "b"}},
		{"a part of a kind not known here", []memory.Record{unknown}, []string{""}},
		{"a message without parts", []memory.Record{none}, []string{""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := window(tt.records...)
			require.Equal(t, tt.want, said(w.Messages()))
			require.Equal(t, tt.want, said(w.Messages()), "Messages has changed the window")
		})
	}
}

func TestARepairSaysWhatItIs(t *testing.T) {
	w := window(record("1", "", 1, "+a"), record("2", "", 1, "b"))
	m := w.Messages()[1]
	require.Equal(t, "tool", m.Role)
	require.Equal(t, "orphan tool call", m.Labels[memory.LabelSynthetic])
	r := m.Parts[0].Result
	require.Equal(t, "tool a", r.Name)
	require.True(t, r.IsError)
	require.JSONEq(t, `{"error":"no result was recorded"}`, string(r.Content))
}

func TestFindOrphansPairsEachResultWithTheOldestCall(t *testing.T) {
	got := memory.FindOrphans([]memory.Record{record("1", "", 1, "+a"), record("2", "", 1, "+a", "-a"), record("3", "", 1, "-b", "+b")})
	require.Equal(t, []memory.Orphan{{Record: "2", CallID: "a"}, {Record: "3", CallID: "b"}}, got)
	require.Empty(t, memory.FindOrphans(nil))
}

func TestCutOfNothing(t *testing.T) {
	for _, opts := range []*memory.WindowOptions{nil, {Last: -1}, {Verbatim: true}, {Tokens: 1}} {
		from, split := opts.Cut(nil, 0, nil)
		require.Zero(t, from)
		require.False(t, split)
		before := record("1", "t", 1, "a")
		from, split = opts.Cut(nil, 5, &before)
		require.Zero(t, from)
		require.False(t, split)
	}
}

// random records: turns of one to five, calls and results that mostly match.
func randomRecords(r *rand.Rand) []memory.Record {
	var all []memory.Record
	turn := 0
	for i := range r.IntN(30) {
		if r.IntN(3) == 0 {
			turn++
		}
		name := ""
		if r.IntN(5) > 0 {
			name = fmt.Sprint(turn)
		}
		var words []string
		for range 1 + r.IntN(3) {
			words = append(words, []string{"a", "b", "+x", "-x", "+y", "-y"}[r.IntN(6)])
		}
		all = append(all, record(fmt.Sprintf("%03d", i), name, 1+r.IntN(9), words...))
	}
	return all
}

// missing returns the results in records without a call before them there.
func missing(records []memory.Record) (all []string) {
	var called []string
	for _, r := range records {
		for _, p := range r.Messages[0].Parts {
			if p.Call != nil {
				called = append(called, p.Call.ID)
			}
			if p.Result != nil && !slices.Contains(called, p.Result.ID) {
				all = append(all, p.Result.ID)
			}
		}
	}
	return all
}

func checkCut(t *testing.T, r *rand.Rand) {
	t.Helper()
	all := randomRecords(r)
	opts := &memory.WindowOptions{Last: r.IntN(12) - 1, Tokens: r.IntN(2) * r.IntN(60), Verbatim: r.IntN(4) == 0}
	gist := r.IntN(2) * r.IntN(20)
	from, split := opts.Cut(all, gist, nil)
	in, last := all[from:], opts.WithDefaults().Last

	require.LessOrEqual(t, len(in), max(0, last))
	sum := gist
	for _, rec := range in {
		sum += rec.TokenCount()
	}
	if opts.Tokens > 0 && len(in) > 0 {
		require.LessOrEqual(t, sum, opts.Tokens)
	}
	inside := from > 0 && from < len(all) && all[from].Turn != "" && all[from].Turn == all[from-1].Turn
	require.Equal(t, inside, split)
	if !opts.Verbatim && split {
		require.Empty(t, missing(in), "a split window has a result whose call is left out")
	}
	if !opts.Verbatim && from > 0 && len(in) > 0 {
		require.Empty(t, missing(in[:1]), "the window begins at a result whose call is left out")
	}
	if opts.Verbatim && from > 0 { // one more would be too much
		more := sum + all[from-1].TokenCount()
		require.True(t, len(in) >= last || opts.Tokens > 0 && more > opts.Tokens)
	}

	// A store that reads only what may be taken and one more finds the same.
	low := max(0, len(all)-max(0, last))
	var before *memory.Record
	if low > 0 {
		before = &all[low-1]
	}
	again, splitAgain := opts.Cut(all[low:], gist, before)
	require.Equal(t, from, low+again)
	require.Equal(t, split, splitAgain)
}

func TestCutKeepsItsPromises(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 5_000 {
		checkCut(t, r)
	}
}

// After Messages every result has its call, and every call but those of the last
// record its result.
func TestMessagesOfRandomWindowsArePaired(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 5_000 {
		w := window(randomRecords(r)...)
		messages := w.Messages()
		calls := map[string]int{}
		for _, m := range messages {
			for _, p := range m.Parts {
				if p.Call != nil {
					calls[p.Call.ID]++
				}
				if p.Result != nil {
					require.Contains(t, calls, p.Result.ID)
				}
			}
		}
		repaired := 0
		for _, m := range messages {
			if m.Labels[memory.LabelSynthetic] != "" {
				repaired++
			}
		}
		last := 0
		for _, o := range w.Orphans {
			if o.Record == w.Records[len(w.Records)-1].ID {
				last++
			}
		}
		require.Equal(t, len(w.Orphans)-last, repaired)
	}
}

func FuzzCut(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) { checkCut(t, rand.New(rand.NewPCG(a, b))) })
}
