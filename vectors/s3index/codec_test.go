package s3index

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/vectors"
)

func randomVector(r *rand.Rand, key string, dimension int) vectors.Vector {
	v := vectors.Vector{Key: key, Data: make([]float32, dimension), Metadata: vectors.Metadata{}}
	for i := range v.Data {
		v.Data[i] = float32(r.NormFloat64() / math.Sqrt(float64(dimension)))
	}
	return v
}

func TestARecordIsReadBackAsItWasWritten(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	values := []any{"", "plain", "quote \" and \\ and \n", "\u2028ü日本🙂\x01", strings.Repeat("long ", 20), 0.0, -1.5e-7, 1e300, true, false, []any{}, []any{"a", 1.0, true, ""}}
	for range 2000 {
		var want []vectors.Match
		body := []byte(`{"vectors":[`)
		for i := range r.IntN(4) {
			v := randomVector(r, fmt.Sprintf("key \"%d\" ü", i), 1+r.IntN(9))
			for range r.IntN(5) {
				v.Metadata[fmt.Sprintf("name %d\t", r.IntN(9))] = values[r.IntN(len(values))]
			}
			if i > 0 {
				body = append(body, ',')
			}
			body = appendRecord(body, v, appendFloat)
			if len(v.Metadata) == 0 {
				v.Metadata = nil // which is not sent
			}
			want = append(want, vectors.Match{Vector: v})
		}
		body = append(body, `],"nextToken":"next"}`...)
		require.True(t, json.Valid(body), "%s", body)
		got, err := decodePage(body, 3)
		require.NoError(t, err)
		require.Equal(t, "next", got.next)
		require.Len(t, got.matches, len(want))
		for i := range want {
			require.Equal(t, want[i], got.matches[i])
		}
	}
}

func TestAnAnswerIsReadInAnyForm(t *testing.T) {
	for name, text := range map[string]string{
		"as the service writes it": `{"distanceMetric":"cosine","vectors":[{"key":"a","distance":0.25,"data":{"float32":[1,-0.5]},"metadata":{"n":1,"l":["x",2]}}]}`,
		"in another order":         `{"vectors":[{"metadata":{"l":["x",2],"n":1},"data":{"float32":[1,-0.5]},"distance":0.25,"key":"a"}],"distanceMetric":"cosine"}`,
		"with space":               " { \"vectors\" : [ { \"key\" : \"a\" ,\n\"distance\" : 2.5E-1 , \"data\" : { \"float32\" : [ 1.0 , -5e-1 ] } , \"metadata\" : { \"n\" : 1 , \"l\" : [ \"x\" , 2 ] } } ] } ",
		"with members between":     `{"more":{"a":[{"b":null}]},"vectors":[{"key":"a","x":[[]],"distance":0.25,"data":{"int8":[3],"float32":[1,-0.5]},"metadata":{"n":1,"nested":{"a":1},"nothing":null,"l":["x",2]}}]}`,
		"escaped":                  `{"v\u0065ctors":[{"key":"\u0061","distance":0.25,"data":{"float32":[1,-0.5]},"metadata":{"\u006e":1,"l":["\u0078",2]}}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decodePage([]byte(text), 2)
			require.NoError(t, err)
			require.Equal(t, []vectors.Match{{Vector: vectors.Vector{Key: "a", Data: []float32{1, -0.5}, Metadata: vectors.Metadata{"n": 1.0, "l": []any{"x", 2.0}}}, Distance: 0.25}}, got.matches)
		})
	}
	got, err := decodePage([]byte(`{"vectors":[{"key":"a","data":null,"metadata":null}]}`), 2)
	require.NoError(t, err)
	require.Equal(t, []vectors.Match{{Vector: vectors.Vector{Key: "a", Metadata: vectors.Metadata{}}}}, got.matches)
}

func TestADamagedAnswerIsCorrupt(t *testing.T) {
	whole := `{"vectors":[{"key":"a","distance":0.25,"data":{"float32":[1,-0.5]},"metadata":{"n":1,"l":["x",true]}}],"nextToken":"t"}`
	for n := range len(whole) {
		_, err := decodePage([]byte(whole[:n]), 2)
		require.ErrorIs(t, err, vectors.ErrCorrupt, "the first %d bytes", n)
	}
	for _, text := range []string{whole + "x", `[]`, `{"vectors":{}}`, `{"vectors":[{"key":1}]}`, `{"vectors":[{"data":{"float32":["x"]}}]}`, `{"vectors":[{"data":{"float32":[1e99]}}]}`, `{"a":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`} {
		_, err := decodePage([]byte(text), 2)
		require.ErrorIs(t, err, vectors.ErrCorrupt, text)
	}
}

func FuzzDecodePage(f *testing.F) {
	f.Add([]byte(`{"vectors":[{"key":"a","distance":0.25,"data":{"float32":[1,-0.5]},"metadata":{"n":1,"l":["x",true]}}],"nextToken":"t"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := decodePage(body, 2)
		if err != nil {
			require.ErrorIs(t, err, vectors.ErrCorrupt)
			return
		}
		again := []byte(`{"vectors":[`)
		for i, m := range got.matches {
			if i > 0 {
				again = append(again, ',')
			}
			again = appendRecord(again, m.Vector, appendFloat)
		}
		back, err := decodePage(append(again, "]}"...), 2)
		require.NoError(t, err)
		require.Len(t, back.matches, len(got.matches))
	})
}
