package hlc_test

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/fault"
	"github.com/genaistore/genaistore/internal/hlc"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func next(tb testing.TB, clock *hlc.Clock, now time.Time) hlc.ID {
	tb.Helper()
	id, err := clock.Next(now)
	require.NoError(tb, err)
	return id
}

// layout reads an id the way RFC 9562 draws a version 7 UUID, apart from the
// code under test.
func layout(id hlc.ID) (milli int64, counter int) {
	for _, b := range id[:6] {
		milli = milli<<8 | int64(b)
	}
	return milli, int(id[6]&0x0f)<<8 | int(id[7])
}

func TestAnIDIsAVersion7UUID(t *testing.T) {
	var clock hlc.Clock
	for range 100 {
		id := next(t, &clock, noon)
		require.EqualValues(t, 7, id[6]>>4, "version")
		require.EqualValues(t, 2, id[8]>>6, "variant")
		milli, _ := layout(id)
		require.Equal(t, noon.UnixMilli(), milli)
		require.Equal(t, noon, id.Time())
	}
}

// The text is stored in tables: it must not change.
func TestTheTextIsFixed(t *testing.T) {
	var id hlc.ID
	_, err := hex.Decode(id[:], []byte("019ab5d4a2007abc8123456789abcdef"))
	require.NoError(t, err)
	require.Equal(t, "01jaqt98g0fau828q5cu4qnjff", mustText(t, id))
}

func mustText(t *testing.T, id hlc.ID) string {
	t.Helper()
	back, err := hlc.Parse(id.String())
	require.NoError(t, err)
	require.Equal(t, id, back)
	return id.String()
}

func TestIDsOfOneMillisecondCountUp(t *testing.T) {
	var clock hlc.Clock
	for want := range 10 {
		_, counter := layout(next(t, &clock, noon.Add(999*time.Microsecond)))
		require.Equal(t, want, counter)
	}
	milli, counter := layout(next(t, &clock, noon.Add(time.Millisecond)))
	require.Equal(t, noon.UnixMilli()+1, milli)
	require.Zero(t, counter)
}

func TestAFullCounterGoesOnInTheNextMillisecond(t *testing.T) {
	var clock hlc.Clock
	var last hlc.ID
	for range 1 << 12 {
		id := next(t, &clock, noon)
		require.Equal(t, noon, id.Time())
		require.Positive(t, id.Compare(last))
		last = id
	}
	id := next(t, &clock, noon)
	require.Equal(t, noon.Add(time.Millisecond), id.Time())
	require.Positive(t, id.Compare(last))
}

func TestAClockSetBackKeepsItsOrder(t *testing.T) {
	var clock hlc.Clock
	before := next(t, &clock, noon)
	after := next(t, &clock, noon.Add(-hlc.MaxSkew))
	require.Positive(t, after.Compare(before))
}

func TestAClockSetBackTooFarRefuses(t *testing.T) {
	var clock hlc.Clock
	before := next(t, &clock, noon)
	_, err := clock.Next(noon.Add(-hlc.MaxSkew - time.Millisecond))
	require.ErrorIs(t, err, hlc.ErrSkew)
	require.ErrorIs(t, err, fault.Invalid)
	require.Positive(t, next(t, &clock, noon).Compare(before), "the refusal has broken the clock")
}

func TestWhatHasSeenAnIDSortsAfterIt(t *testing.T) {
	var fast, slow hlc.Clock
	seen := next(t, &fast, noon.Add(30*time.Second))
	require.NoError(t, slow.Observe(seen, noon))
	require.Positive(t, next(t, &slow, noon).Compare(seen))

	require.NoError(t, slow.Observe(next(t, new(hlc.Clock), noon), noon))
	require.Positive(t, next(t, &slow, noon).Compare(seen), "an older id has set the clock back")
}

func TestObserveRefusesTheFarFuture(t *testing.T) {
	var clock hlc.Clock
	limit := next(t, new(hlc.Clock), noon.Add(hlc.MaxSkew))
	beyond := next(t, new(hlc.Clock), noon.Add(hlc.MaxSkew+time.Millisecond))

	require.ErrorIs(t, clock.Observe(beyond, noon), hlc.ErrSkew)
	require.Equal(t, noon, next(t, &clock, noon).Time(), "the refused id has pulled the clock")
	require.NoError(t, clock.Observe(limit, noon))
}

func TestObserveRefusesWhatNoClockIssued(t *testing.T) {
	var clock hlc.Clock
	require.ErrorIs(t, clock.Observe(hlc.ID{}, noon), hlc.ErrInvalid)
	require.ErrorIs(t, clock.Observe(next(t, &clock, noon), time.UnixMilli(-1)), hlc.ErrInvalid)
}

func TestNextRefusesTimesThatDoNotFit(t *testing.T) {
	for _, now := range []time.Time{{}, time.UnixMilli(-1), time.UnixMilli(1 << 48)} {
		_, err := new(hlc.Clock).Next(now)
		require.ErrorIs(t, err, hlc.ErrInvalid)
		require.ErrorContains(t, err, "from 1970", "the text says what would be right")
	}
	for _, now := range []time.Time{time.UnixMilli(0), time.UnixMilli(1<<48 - 1)} {
		require.Equal(t, now.UTC(), next(t, new(hlc.Clock), now).Time())
	}
}

func TestParseRefuses(t *testing.T) {
	good := next(t, new(hlc.Clock), noon).String()
	tests := []struct{ name, text, want string }{
		{"nothing", "", "0 characters"},
		{"too short", good[1:], "25 characters"},
		{"too long", good + "0", "27 characters"},
		{"upper case", "0" + strings.ToUpper(good[1:]), "none of 0-9 and a-v"},
		{"a letter past v", good[:25] + "w", "character 26"},
		{"a separator", good[:10] + "#" + good[11:], "character 11"},
		{"more than 128 bits", "8" + good[1:], "greater than any id"},
		{"another UUID version", good[:10] + "c" + good[11:], "not issued by a clock"},
		{"another variant", good[:13] + "v" + good[14:], "not issued by a clock"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id, err := hlc.Parse(tt.text)
			require.ErrorIs(t, err, hlc.ErrInvalid, id)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestFloorBoundsTimeRanges(t *testing.T) {
	at := noon.Add(500 * time.Microsecond)
	floor := hlc.Floor(at)
	require.Equal(t, noon, floor.Time())
	require.Equal(t, floor.String(), mustText(t, floor))
	for range 1000 {
		require.Positive(t, next(t, new(hlc.Clock), at).Compare(floor))
		require.Negative(t, next(t, new(hlc.Clock), noon.Add(-time.Millisecond)).Compare(floor))
	}
	require.Equal(t, time.UnixMilli(0).UTC(), hlc.Floor(time.Time{}).Time())
	require.Equal(t, time.UnixMilli(1<<48-1).UTC(), hlc.Floor(time.UnixMilli(1<<48)).Time())
}

func TestGoroutinesGetDistinctIncreasingIDs(t *testing.T) {
	const workers, each = 64, 20_000
	var clock hlc.Clock
	issued := make([][]hlc.ID, workers)
	var wg sync.WaitGroup
	for w := range issued {
		wg.Go(func() {
			for i := range each {
				if i%10 == 0 {
					if err := clock.Observe(hlc.Floor(noon.Add(time.Duration(i)*time.Millisecond)), noon); err != nil {
						t.Error(err)
					}
				}
				id, err := clock.Next(noon)
				if err != nil {
					t.Error(err)
				}
				issued[w] = append(issued[w], id)
			}
		})
	}
	wg.Wait()

	for w := range issued {
		require.True(t, slices.IsSortedFunc(issued[w], hlc.ID.Compare), "worker %d", w)
	}
	all := slices.SortedFunc(slices.Values(slices.Concat(issued...)), hlc.ID.Compare)
	for i := 1; i < len(all); i++ {
		// Without the random bits, which would hide a time and counter given twice.
		if bytes.Equal(all[i-1][:8], all[i][:8]) {
			t.Fatalf("%s and %s have the same time and counter", all[i-1], all[i])
		}
	}
	require.Len(t, all, workers*each)
}

func TestClocksThatKnowNothingOfEachOtherDoNotCollide(t *testing.T) {
	seen := map[hlc.ID]bool{}
	for range 10_000 {
		seen[next(t, new(hlc.Clock), noon)] = true
	}
	require.Len(t, seen, 10_000)
}

// Bytes, texts and the order of issue agree, whatever the clock is told.
func FuzzOrder(f *testing.F) {
	f.Add(uint64(1), uint16(50))
	f.Fuzz(func(t *testing.T, seed uint64, n uint16) {
		random := rand.New(rand.NewPCG(seed, 0))
		var clock hlc.Clock
		var last hlc.ID // the greatest that the clock has issued or seen
		for range n % 200 {
			now := noon.Add(time.Duration(random.IntN(int(hlc.MaxSkew))))
			if random.IntN(4) == 0 {
				seen := next(t, new(hlc.Clock), now.Add(time.Duration(random.IntN(int(hlc.MaxSkew)))))
				require.NoError(t, clock.Observe(seen, now))
				last = slices.MaxFunc([]hlc.ID{last, seen}, hlc.ID.Compare)
			}
			id, err := clock.Next(now)
			if err != nil {
				require.ErrorIs(t, err, hlc.ErrSkew)
				continue
			}
			require.Negative(t, last.Compare(id))
			require.Negative(t, bytes.Compare(last[:], id[:]))
			require.Less(t, last.String(), id.String())
			last = id
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(hlc.Floor(noon).String())
	f.Add("")
	f.Add("vvvvvvvvvvvvvvvvvvvvvvvvvv")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := hlc.Parse(text)
		if err != nil {
			require.ErrorIs(t, err, hlc.ErrInvalid)
			return
		}
		require.Equal(t, text, id.String())
		require.NoError(t, new(hlc.Clock).Observe(id, id.Time()))
	})
}

func FuzzTextKeepsTheOrderOfBytes(f *testing.F) {
	f.Add([]byte("0123456789abcdef"), []byte("0123456789abcdeg"))
	f.Fuzz(func(t *testing.T, x, y []byte) {
		var a, b hlc.ID
		copy(a[:], x)
		copy(b[:], y)
		require.Equal(t, bytes.Compare(a[:], b[:]), strings.Compare(a.String(), b.String()))
		require.Equal(t, bytes.Compare(a[:], b[:]), a.Compare(b))
	})
}

func BenchmarkNext(b *testing.B) {
	var clock hlc.Clock
	for b.Loop() {
		if _, err := clock.Next(time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNextParallel(b *testing.B) {
	var clock hlc.Clock
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := clock.Next(time.Now()); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkString(b *testing.B) {
	id := hlc.Floor(noon)
	for b.Loop() {
		_ = id.String()
	}
}

func BenchmarkParse(b *testing.B) {
	text := hlc.Floor(noon).String()
	for b.Loop() {
		if _, err := hlc.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
