//go:build unix

package s3index

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3vectors"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors/document"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/vectors"
)

// cpu returns what this process spent on call, which other work of the machine
// changes little, unlike the time that passed.
func cpu(t *testing.T, call func()) time.Duration {
	t.Helper()
	spent := func() time.Duration {
		var u syscall.Rusage
		require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := spent()
	call()
	return spent() - before
}

// The codec is worth its code only while it costs a fraction of the client's.
// Rounds alternate, and the median of their ratios counts.
func TestTheCodecTakesAFractionOfTheClientsCPU(t *testing.T) {
	if testing.Short() || testing.CoverMode() != "" || raceEnabled() {
		t.Skip("instrumentation takes most of the time, and -short has none to spare")
	}
	vs := documents(500)
	client := benchClient([]byte("{}"))
	in := &s3vectors.PutVectorsInput{VectorBucketName: new("bucket"), IndexName: new("docs")}
	for _, v := range vs {
		in.Vectors = append(in.Vectors, types.PutInputVector{Key: new(v.Key), Data: &types.VectorDataMemberFloat32{Value: v.Data}, Metadata: document.NewLazyDocument(map[string]any(v.Metadata))})
	}
	body, keys := answerOf(vs[:100])
	reader := benchClient(body)
	get := &s3vectors.GetVectorsInput{VectorBucketName: new("bucket"), IndexName: new("docs"), Keys: keys, ReturnData: true, ReturnMetadata: true}
	index, err := New(reader, "bucket", "docs", nil)
	require.NoError(t, err)

	put := func(nine bool) func() {
		x := putBench(t, client, nine)
		return func() {
			_, err := x.Put(t.Context(), vectors.Of(vs...), nil)
			require.NoError(t, err)
		}
	}
	theirs := func() {
		_, err := client.PutVectors(t.Context(), in)
		require.NoError(t, err)
	}
	tests := []struct {
		name      string
		least     float64
		theirs    func()
		ours      func()
		eachRound int
	}{
		{"put, shortest text", 1.2, theirs, put(false), 2},
		{"put, nine digits", 1.8, theirs, put(true), 2},
		{"get", 4, func() {
			out, err := reader.GetVectors(t.Context(), get)
			require.NoError(t, err)
			for _, v := range out.Vectors {
				var m map[string]any
				require.NoError(t, v.Metadata.UnmarshalSmithyDocument(&m))
			}
		}, func() {
			found, err := index.Get(t.Context(), keys, &vectors.GetOptions{Fields: vectors.Everything})
			require.NoError(t, err)
			require.Len(t, found, 100)
		}, 4},
	}
	const rounds = 9
	for _, tt := range tests {
		tt.theirs()
		tt.ours()
		var ratios []float64
		for range rounds {
			var a, b time.Duration
			for range tt.eachRound {
				a += cpu(t, tt.theirs)
				b += cpu(t, tt.ours)
			}
			ratios = append(ratios, float64(a)/float64(max(b, 1)))
		}
		slices.Sort(ratios)
		t.Logf("%s: %.2f times less CPU than the client (%.2f to %.2f)", tt.name, ratios[rounds/2], ratios[0], ratios[rounds-1])
		require.GreaterOrEqual(t, ratios[rounds/2], tt.least, tt.name)
	}
}
