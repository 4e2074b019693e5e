package s3index

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func requireExact(t *testing.T, x float32) {
	t.Helper()
	text := string(appendFloat(nil, x))
	direct, err := strconv.ParseFloat(text, 32)
	require.NoError(t, err)
	wide, err := strconv.ParseFloat(text, 64)
	require.NoError(t, err)
	if float32(direct) != x || float32(wide) != x {
		t.Fatalf("%v (bits %x) is written %s, which is read %v, and by way of float64 %v", x, math.Float32bits(x), text, direct, float32(wide))
	}
	if !json.Valid([]byte(text)) {
		t.Fatalf("%s is not JSON", text)
	}
	shortest := digitsOf(strconv.FormatFloat(float64(x), 'e', -1, 32))
	if n := digitsOf(text); n > shortest+1 {
		t.Fatalf("%v is written with %d digits, %s, and needs %d", x, n, text, shortest)
	}
	back, end, err := parseFloat32([]byte(text+","), 0)
	require.NoError(t, err)
	if back != x || end != len(text) {
		t.Fatalf("%s is read %v up to %d, want %v", text, back, end, x)
	}
}

// requireNine checks what appendNine promises of x.
func requireNine(t *testing.T, x float32) {
	t.Helper()
	text := string(appendNine(nil, x))
	direct, err := strconv.ParseFloat(text, 32)
	require.NoError(t, err)
	wide, err := strconv.ParseFloat(text, 64)
	require.NoError(t, err)
	back, end, err := parseFloat32([]byte(text+","), 0)
	require.NoError(t, err)
	if float32(direct) != x || float32(wide) != x || back != x || end != len(text) || !json.Valid([]byte(text)) {
		t.Fatalf("%v (bits %x) is written %s, which is read %v, by way of float64 %v, and by us %v", x, math.Float32bits(x), text, direct, float32(wide), back)
	}
	abs := math.Abs(float64(x))
	if abs < 1e-6 || abs >= 1e6 {
		require.Equal(t, string(appendFloat(nil, x)), text)
		return
	}
	if off := math.Abs(wide-float64(x)) / abs; off > 5.0001e-9 {
		t.Fatalf("%v is written %s, which is off by %.3g of it", x, text, off)
	}
	if n := len(text); n > len("-0.00000")+9 {
		t.Fatalf("%v is written %s, of %d characters", x, text, n)
	}
}

// digitsOf counts significant digits.
func digitsOf(text string) int {
	mantissa, _, _ := strings.Cut(text, "e")
	mantissa = strings.TrimLeft(strings.NewReplacer(".", "", "-", "").Replace(mantissa), "0")
	return len(strings.TrimRight(mantissa, "0"))
}

func TestFloatsAreExactAndShort(t *testing.T) {
	for _, x := range []float32{0, float32(math.Copysign(0, -1)), 1, -1, 0.1, 0.5, 10, 1e5, 999999.94, 1e6, 1e-6, 9.999999e-7, 1e-45, math.MaxFloat32, 16777216, 1 << 19, 0.0009765625, 0.001, 123456, 3.4028235e38} {
		requireExact(t, x)
		requireExact(t, -x)
	}
	r := rand.New(rand.NewPCG(1, 2))
	longer := 0
	for range 60_000 {
		x := math.Float32frombits(r.Uint32())
		if x-x == 0 {
			requireExact(t, x)
		}
		y := float32(r.NormFloat64() / 32) // as embeddings are
		requireExact(t, y)
		if len(appendFloat(nil, y)) > len(strconv.FormatFloat(float64(y), 'g', -1, 32)) && y > 1e-4 {
			longer++
		}
	}
	require.Less(t, longer, 10, "as short as strconv but for what might be rounded wrong by way of float64")
	for e := -20; e < 20; e++ { // what is next to a power of two
		p := float32(math.Ldexp(1, e))
		for range 3 {
			requireExact(t, p)
			requireExact(t, math.Nextafter32(p, 0))
			p = math.Nextafter32(p, 1e30)
		}
	}
}

func TestNineDigitsAreReadBackExactly(t *testing.T) {
	for e := -149; e < 128; e++ { // what is next to a power of two, where the distance to the next changes
		p := float32(math.Ldexp(1, e))
		for range 4 {
			requireNine(t, p)
			requireNine(t, -math.Nextafter32(p, 0))
			p = math.Nextafter32(p, math.MaxFloat32)
		}
	}
	for e := -7; e < 8; e++ { // and to a power of ten, where that of digits does
		p := float32(math.Pow(10, float64(e)))
		for q, i := math.Nextafter32(p, 0), 0; i < 50; i++ {
			requireNine(t, q)
			q = math.Nextafter32(q, math.MaxFloat32)
		}
	}
	r := rand.New(rand.NewPCG(5, 6))
	for range 100_000 {
		if x := math.Float32frombits(r.Uint32()); x-x == 0 {
			requireNine(t, x)
		}
		requireNine(t, float32(r.NormFloat64()/32)) // as embeddings are
	}
	require.Equal(t, "-0.0312500000", string(appendNine(nil, -1.0/32)))
	require.Equal(t, "123456.000", string(appendNine(nil, 123456)))
	require.Equal(t, "1.00000000", string(appendNine(nil, 1)))
}

func FuzzNine(f *testing.F) {
	f.Add(uint32(0x3f800000))
	f.Fuzz(func(t *testing.T, bits uint32) {
		if x := math.Float32frombits(bits); x-x == 0 {
			requireNine(t, x)
		}
	})
}

func FuzzFloat(f *testing.F) {
	f.Add(uint32(0x3f800000))
	f.Fuzz(func(t *testing.T, bits uint32) {
		if x := math.Float32frombits(bits); x-x == 0 {
			requireExact(t, x)
		}
	})
}

func FuzzParseFloat32(f *testing.F) {
	for _, s := range []string{"0.1", "-1e-7", "1.5E-5", "16777217", "16777217.0000000001", "1e39", "123456789012345678901234567890", "0.00000000000000000000000000001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !json.Valid([]byte(s)) || s == "" || s[0] != '-' && (s[0] < '0' || s[0] > '9') {
			return
		}
		s = strings.TrimSpace(s)
		want, wantErr := strconv.ParseFloat(s, 32)
		got, end, err := parseFloat32([]byte(s), 0)
		require.Equal(t, wantErr != nil, err != nil, "%s: %v, %v", s, wantErr, err)
		if err == nil {
			require.Equal(t, len(s), end)
			require.Equal(t, math.Float32bits(float32(want)), math.Float32bits(got), s)
		}
	})
}

func TestNumbersAreReadAsStrconvDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		x := math.Float64frombits(r.Uint64())
		if x-x != 0 {
			continue
		}
		for _, format := range []byte("eg") {
			text := strconv.FormatFloat(x, format, r.IntN(20), 64)
			want, err := strconv.ParseFloat(text, 64)
			if err != nil {
				continue
			}
			got, _, err := parseNumber([]byte(text), 0)
			require.NoError(t, err)
			require.Equal(t, math.Float64bits(want), math.Float64bits(got), text)
		}
		text := fmt.Sprintf("%.*f", r.IntN(12), r.NormFloat64())
		want, err := strconv.ParseFloat(text, 64)
		require.NoError(t, err)
		got, _, err := parseNumber([]byte(text), 0)
		require.NoError(t, err)
		require.Equal(t, math.Float64bits(want), math.Float64bits(got), text)
		want32, err := strconv.ParseFloat(text, 32)
		require.NoError(t, err)
		got32, _, err := parseFloat32([]byte(text), 0)
		require.NoError(t, err)
		require.Equal(t, math.Float32bits(float32(want32)), math.Float32bits(got32), text)
	}
}
