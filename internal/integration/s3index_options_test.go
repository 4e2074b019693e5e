package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3vectors"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/integration/servers"
	"github.com/genaistore/genaistore/vectors"
	"github.com/genaistore/genaistore/vectors/s3index"
)

// What an Index does beyond the contract, on servers that nobody here wrote.
func TestS3IndexOptions(t *testing.T) {
	for _, server := range []struct {
		servers.Name
		client func(testing.TB) vectorClient
	}{
		{servers.NameS3Mock, func(t testing.TB) vectorClient { return servers.S3Mock(t) }},
		{servers.NameLocalS3, func(t testing.TB) vectorClient { return untagged{servers.LocalS3(t)} }},
		{servers.NameMoto, func(t testing.TB) vectorClient { return forgetful{s3vectors.NewFromConfig(servers.Moto(t))} }},
	} {
		t.Run(string(server.Name), func(t *testing.T) {
			for _, tt := range []struct {
				name  string
				needs []servers.Capability
				prove func(*testing.T, vectorClient)
			}{
				{name: "nine digits are stored unchanged", prove: nineDigits},
				{name: "a load is resumed", prove: resumedLoad},
				{name: "a selection is counted and removed with a verdict", prove: countedSelection},
				{name: "a selection is removed by queries", needs: []servers.Capability{servers.QueryExact, servers.QueryBeyond100}, prove: queriedSelection},
				{name: "matches are rescored and a shortfall is checked", needs: []servers.Capability{servers.QueryExact}, prove: checkedQuery},
			} {
				t.Run(tt.name, func(t *testing.T) {
					client := server.client(t)
					for _, needed := range tt.needs {
						servers.Need(t, server.Name, needed)
					}
					tt.prove(t, client)
				})
			}
		})
	}
}

// circle yields n vectors that turn away from the first axis.
func circle(from, n int64) iter.Seq2[vectors.Vector, error] {
	return func(yield func(vectors.Vector, error) bool) {
		for i := from; i < n; i++ {
			angle := math.Pi * float64(i) / float64(n)
			v := vectors.Vector{Key: fmt.Sprintf("%05d", i), Data: []float32{float32(math.Cos(angle)), float32(math.Sin(angle)), 0.1}, Metadata: vectors.Metadata{"n": i, "odd": i%2 == 1}}
			if !yield(v, nil) {
				return
			}
		}
	}
}

func nineDigits(t *testing.T, client vectorClient) {
	x := openS3Index(t, client, newS3Bucket(t, client, vectors.Schema{Dimension: 300}), s3index.Options{NineDigits: true})
	v := vectors.Vector{Key: "a", Data: make([]float32, 300)}
	for i := range v.Data {
		v.Data[i] = float32(math.Sin(float64(i+1))) * float32(math.Pow(10, float64(i%14-8)))
	}
	_, err := x.Put(t.Context(), vectors.Of(v), nil)
	require.NoError(t, err)
	got, err := x.Get(t.Context(), []string{"a"}, &vectors.GetOptions{Fields: vectors.KeysAndData})
	require.NoError(t, err)
	require.Equal(t, v.Data, got[0].Data, "to the bit")
}

func resumedLoad(t *testing.T, client vectorClient) {
	x := newS3Index(t, client, vectors.Schema{Dimension: 3})
	var saved []byte
	gone := errors.New("the disk is gone")
	source := func(end error) func(from int64) iter.Seq2[vectors.Vector, error] {
		return func(from int64) iter.Seq2[vectors.Vector, error] {
			return func(yield func(vectors.Vector, error) bool) {
				for v, err := range circle(from, 1200) {
					switch v.Metadata["n"] {
					case int64(1100):
						v.Data = nil
					case int64(700):
						err = end
					}
					if !yield(v, err) || err != nil {
						return
					}
				}
			}
		}
	}
	_, err := x.Load(t.Context(), source(gone), &s3index.LoadOptions{Save: func(_ context.Context, c s3index.Cursor) (err error) {
		saved, err = json.Marshal(c)
		return err
	}})
	require.ErrorIs(t, err, gone)
	var from s3index.Cursor
	require.NoError(t, json.Unmarshal(saved, &from))
	require.EqualValues(t, 700, from.Next)
	c, err := x.Load(t.Context(), source(nil), &s3index.LoadOptions{From: from})
	require.ErrorIs(t, err, vectors.ErrInvalid)
	require.True(t, c.Finished)
	require.Equal(t, 1199, c.Done)
	require.Equal(t, "01100", c.Rejected[0].Key)
	counted, err := x.Count(t.Context(), vectors.Selection{All: true}, nil)
	require.NoError(t, err)
	require.Equal(t, 1199, counted.Matched)
}

func countedSelection(t *testing.T, client vectorClient) {
	x := newS3Index(t, client, vectors.Schema{Dimension: 3})
	_, err := x.Put(t.Context(), circle(0, 650), nil)
	require.NoError(t, err)
	odd := vectors.Selection{Filter: vectors.Equal("odd", true)}
	plan, err := x.Plan(t.Context(), odd, nil)
	require.NoError(t, err)
	require.Equal(t, []int{650, 325}, []int{plan.Vectors, plan.Matches})
	require.True(t, plan.Exact)
	dry, err := x.Remove(t.Context(), odd, &s3index.SelectOptions{DryRun: true})
	require.NoError(t, err)
	require.Equal(t, []int{325, 0}, []int{dry.Matched, dry.Removed})
	removed, err := x.Remove(t.Context(), odd, nil)
	require.NoError(t, err)
	require.Equal(t, 325, removed.Removed)
	require.Equal(t, "complete", removed.Verdict())
	require.EqualValues(t, plan.Reads+plan.Writes, removed.Cost.Requests)
	left, err := x.Count(t.Context(), vectors.Selection{All: true}, nil)
	require.NoError(t, err)
	require.Equal(t, 325, left.Matched)
}

func queriedSelection(t *testing.T, client vectorClient) {
	x := newS3Index(t, client, vectors.Schema{Dimension: 3})
	_, err := x.Put(t.Context(), circle(0, 650), nil)
	require.NoError(t, err)
	few := vectors.Selection{Filter: vectors.Equal("odd", true)}
	removed, err := x.Remove(t.Context(), few, &s3index.SelectOptions{Approximate: true})
	require.NoError(t, err)
	require.False(t, removed.Complete)
	left, err := x.Count(t.Context(), few, nil)
	require.NoError(t, err)
	require.Equal(t, 325, removed.Removed+left.Matched)
	t.Logf("queries left %d of 325", left.Matched)
}

func checkedQuery(t *testing.T, client vectorClient) {
	var falls []s3index.Shortfall
	careful := openS3Index(t, client, newS3Bucket(t, client, vectors.Schema{Dimension: 3}), s3index.Options{Rescore: 2, Repair: true, Shortfall: func(s s3index.Shortfall) { falls = append(falls, s) }})
	_, err := careful.Put(t.Context(), circle(0, 200), nil)
	require.NoError(t, err)
	ask := func(q vectors.Query) (keys []string) {
		q.Vector = []float32{1, 0, 0.1}
		for found, err := range careful.Query(t.Context(), q) {
			require.NoError(t, err)
			keys = append(keys, found.Key)
		}
		return keys
	}
	var want []string
	for v := range circle(0, 200) {
		want = append(want, v.Key)
	}
	keys := ask(vectors.Query{TopK: 30})
	require.Equal(t, want[:30], keys)
	require.Empty(t, falls)
	keys = ask(vectors.Query{TopK: 40, Filter: vectors.In("n", 3, 5, 190)})
	require.Equal(t, []string{want[3], want[5], want[190]}, keys)
	require.Len(t, falls, 1)
	require.True(t, falls[0].Checked)
}
