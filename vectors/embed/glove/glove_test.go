package glove

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/vectors/embed"
	"github.com/genaistore/genaistore/vectors/embed/embedtest"
)

func TestKeepsTheContract(t *testing.T) {
	embedtest.Run(t, func(*testing.T) embed.Embedder { return New() })
}

func cosine(t *testing.T, e *Embedder, a, b string) float64 {
	t.Helper()
	v, err := e.Documents(t.Context(), []string{a})
	require.NoError(t, err)
	w, err := e.Query(t.Context(), b)
	require.NoError(t, err)
	var dot float64
	for i := range w {
		dot += float64(v[0][i]) * float64(w[i])
	}
	return dot
}

func TestTextsThatMeanAlikeAreNearer(t *testing.T) {
	e := New()
	for _, c := range []struct{ text, near, far string }{
		{"the physician treated the patient", "a doctor in a hospital", "a ship in a harbour"},
		{"petroleum exports", "crude oil shipments", "religious ceremonies"},
		{"Qwxzvut founded a company", "who is Qwxzvut?", "who is Plimbork?"},
		{"Zagorskian literature", "Zagorskia", "Novarestan"},
		{"founded in 1911", "1911", "1912"},
		{"9% unemployment", "percent", "harbour"},
	} {
		near, far := cosine(t, e, c.text, c.near), cosine(t, e, c.text, c.far)
		require.Greater(t, near, far+0.1, "%q: %q should be nearer than %q", c.text, c.near, c.far)
	}
}

func TestVectorsHaveLengthOne(t *testing.T) {
	for _, text := range []string{"x", "the", "river delta", strings.Repeat("mountains ", 5000)} {
		require.InDelta(t, 1, cosine(t, New(), text, text), 1e-5, text)
	}
}

func TestTheOrderOfWordsDoesNotMatter(t *testing.T) {
	require.InDelta(t, 1, cosine(t, New(), "cotton gold rice cotton gold cotton", "cotton cotton cotton gold gold rice"), 1e-6)
}

func TestCaseAndPunctuationDoNotMatter(t *testing.T) {
	require.InDelta(t, 1, cosine(t, New(), "Cotton, GOLD -- (Rice)!", "cotton gold rice"), 1e-6)
}

// Two unknown words with one element and opposite signs would leave nothing.
func TestWordsThatCancelEachOtherOutStillGiveADirection(t *testing.T) {
	tab, err := parse(data)
	require.NoError(t, err)
	seen := map[uint64]string{} // element and sign to word
	for i := range 100_000 {
		w := fmt.Sprintf("q%dz", i)
		slot := spread(tab.token([]byte(w)).stem)
		element, sign := slot%signature, slot>>63
		if other, ok := seen[element<<1|(1-sign)]; ok {
			require.InDelta(t, 1, cosine(t, New(), w+" "+other, other+" "+w), 1e-6)
			return
		}
		seen[element<<1|sign] = w
	}
	t.Fatal("no two words cancel each other out")
}

func TestABadTableIsReportedByEveryCall(t *testing.T) {
	e := build("\x03abc")
	for range 2 {
		_, err := e.Documents(t.Context(), []string{"word"})
		require.ErrorIs(t, err, embed.ErrCorrupt)
		_, err = e.Query(t.Context(), "word")
		require.ErrorIs(t, err, embed.ErrCorrupt)
	}
}

// countdown is cancelled after its error was asked for a number of times.
type countdown struct{ left int }

func (*countdown) Deadline() (time.Time, bool) { return time.Time{}, false }
func (*countdown) Done() <-chan struct{}       { return nil }
func (*countdown) Value(any) any               { return nil }
func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

func TestCancellationStopsOneLargeText(t *testing.T) {
	_, err := New().Query(&countdown{3}, strings.Repeat("word ", 100_000))
	require.ErrorIs(t, err, context.Canceled)
}

func TestTableIsSmallInMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	tab, err := parse(data)
	require.NoError(t, err)
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Len(t, tab.words, 30_000)
	held := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("the table holds %d KB beside the %d KB in the program", held>>10, len(data)>>10)
	require.Less(t, held, int64(3<<20))
	runtime.KeepAlive(tab)
}

func entry(word string, scale float32) string {
	bits := math.Float32bits(scale)
	return string(rune(len(word))) + word +
		string([]byte{byte(bits), byte(bits >> 8), byte(bits >> 16), byte(bits >> 24)}) + strings.Repeat("\x01", meaning)
}

func TestBrokenTablesAreRefused(t *testing.T) {
	_, err := parse(entry("a", 1) + entry("b", 0.5))
	require.NoError(t, err)
	for name, broken := range map[string]string{
		"empty":              "",
		"cut in a vector":    entry("a", 1)[:50],
		"cut after a length": entry("a", 1) + "\x05",
		"trailing byte":      entry("a", 1) + "\x00",
		"empty word":         entry("", 1),
		"word twice":         entry("a", 1) + entry("a", 1),
		"word not UTF-8":     entry("\xff", 1),
		"scale zero":         entry("a", 0),
		"scale negative":     entry("a", -1),
		"scale huge":         entry("a", 1e30),
		"scale not a number": entry("a", float32(math.NaN())),
	} {
		_, err := parse(broken)
		require.ErrorIs(t, err, embed.ErrCorrupt, name)
	}
}

// Whatever the table holds, what was parsed can be used.
func FuzzParse(f *testing.F) {
	f.Add(entry("a", 1)+entry("word", 0.02), "a word, another")
	f.Add(data[:5000], "the of in 12%")
	f.Add("\x00", "x")
	f.Fuzz(func(t *testing.T, table, text string) {
		e := build(table)
		v, err := e.Query(t.Context(), text)
		if err != nil {
			return
		}
		var squares float64
		for _, x := range v {
			squares += float64(x) * float64(x)
		}
		if math.Abs(squares-1) > 1e-3 {
			t.Errorf("length %v", math.Sqrt(squares))
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parse(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkQuery(b *testing.B) {
	benchmark(b, "Which Central American country lacks a Pacific coast?")
}

func BenchmarkPassage(b *testing.B) {
	benchmark(b, strings.Repeat("Cotton, gold and rice are the main exports of the landlocked country. ", 14))
}

func benchmark(b *testing.B, text string) {
	e := New()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Query(b.Context(), text); err != nil {
			b.Fatal(err)
		}
	}
}
