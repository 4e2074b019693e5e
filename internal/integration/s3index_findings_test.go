package integration

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3vectors"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors/document"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/integration/servers"
	"github.com/genaistore/genaistore/vectors"
	"github.com/genaistore/genaistore/vectors/s3index"
)

// What AWS does not document is asked of a server, and printed: run on AWS with
//
//	GENAISTORE_AWS=1 go test -count=1 -v -run TestOpenQuestionsOfS3Vectors
//
// Only that an answer can be had is checked: there is none that would be wrong.
func TestOpenQuestionsOfS3Vectors(t *testing.T) {
	for name, client := range map[servers.Name]func(testing.TB) *s3vectors.Client{servers.NameS3Mock: servers.S3Mock, servers.NameLocalS3: servers.LocalS3} {
		t.Run(string(name), func(t *testing.T) {
			c := client(t)
			ask(t, c, types.DistanceMetricCosine, cosineQuestions())
			ask(t, c, types.DistanceMetricEuclidean, []question{{"the distance of 0,0 and 3,4 is", euclideanDistance}})
		})
	}
}

// New buckets have no classic indexes, so this takes one that is there: its bucket
// and name with a slash between. It is asked and not written to.
func TestOpenQuestionsOfAClassicIndex(t *testing.T) {
	bucket, name, _ := strings.Cut(servers.AWSResource(t, "GENAISTORE_AWS_CLASSIC_INDEX"), "/")
	x := &index{Client: servers.S3Mock(t), t: t, bucket: &bucket, name: &name}
	described, err := x.describe()
	require.NoError(t, err)
	for _, mode := range []string{"CLASSIC", "ENHANCED"} {
		values := make([]int, 101)
		for i := range values {
			values[i] = i
		}
		vector := slices.Repeat([]float32{1}, int(*described.Dimension))
		_, err := x.QueryVectors(t.Context(), &s3vectors.QueryVectorsInput{
			VectorBucketName: x.bucket, IndexName: x.name, TopK: new(int32(1)), QueryVector: float32s(vector...),
			Filter: document.NewLazyDocument(map[string]any{"genaistore-test": map[string]any{"$in": values}}),
		}, member("queryMode", `"`+mode+`"`))
		t.Logf("101 constraints with queryMode %s: %s", mode, outcome(err))
	}
}

// A question returns what the server does.
type question struct {
	text   string
	answer func(x *index) string
}

func ask(t *testing.T, c *s3vectors.Client, metric types.DistanceMetric, questions []question) {
	t.Helper()
	for _, q := range questions {
		x, err := newIndex(t, c, 2, metric)
		require.NoError(t, err)
		found := q.answer(x)
		require.NotEmpty(t, found)
		t.Logf("%s: %s", q.text, found)
	}
}

func cosineQuestions() []question {
	return []question{
		{"$ne on what lacks the key", selects(map[string]any{"k": map[string]any{"$ne": "x"}}, nil)},
		{"$nin on what lacks the key", selects(map[string]any{"k": map[string]any{"$nin": []string{"x"}}}, nil)},
		{"$ne x on the list x, y", selects(map[string]any{"k": map[string]any{"$ne": "x"}}, []string{"x", "y"})},
		{"$gt 1 on the list 0, 2", selects(map[string]any{"k": map[string]any{"$gt": 1}}, []int{0, 2})},
		{"$gt 1 on the string 2", selects(map[string]any{"k": map[string]any{"$gt": 1}}, "2")},
		{"$startsWith x on the list xy", selects(map[string]any{"k": map[string]any{"$startsWith": "x"}}, []string{"xy"})},
		{"$startsWith x on the string xy", selects(map[string]any{"k": map[string]any{"$startsWith": "x"}}, "xy")},
		{"1 on the number 1.0", selects(map[string]any{"k": 1}, 1.0)},
		{"two fields, of which one matches", selects(map[string]any{"k": "x", "other": "x"}, "x")},
		{"51 ranges with two bounds", selects(ranges(51), 1)},
		{"nested metadata", stores(map[string]any{"k": map[string]any{"a": "b"}})},
		{"filterable metadata of 2,048 bytes as compact JSON", stores(map[string]any{"k": strings.Repeat("x", 2048-len(`{"k":""}`))})},
		{"filterable metadata of 2,049 bytes as compact JSON", stores(map[string]any{"k": strings.Repeat("x", 2049-len(`{"k":""}`))})},
		{"filterable metadata of 2,048 bytes in names and values", stores(map[string]any{"k": strings.Repeat("x", 2047)})},
		{"all metadata of 40,000 bytes as compact JSON", stores(map[string]any{"text": strings.Repeat("x", 40_000-len(`{"text":""}`))})},
		{"all metadata of 40,960 bytes as compact JSON", stores(map[string]any{"text": strings.Repeat("x", 40_960-len(`{"text":""}`))})},
		{"all metadata of 40,961 bytes as compact JSON", stores(map[string]any{"text": strings.Repeat("x", 40_961-len(`{"text":""}`))})},
		{"a key twice in one put", twice},
		{"numbers of nine digits", nineDigitsStored},
		{"a key of 1,024 characters of three bytes", func(x *index) string { return outcome(x.put(vector(strings.Repeat("日", 1024), nil, 1, 1))) }},
	}
}

func ranges(n int) map[string]any {
	of := make([]any, n)
	for i := range of {
		of[i] = map[string]any{"k": map[string]any{"$gte": -i, "$lte": i + 1}}
	}
	return map[string]any{"$or": of}
}

func outcome(err error) string {
	if err != nil {
		return fmt.Sprintf("refused: %.300s", err)
	}
	return "accepted"
}

// selects asks whether a filter selects a vector whose key k has that value, or
// which lacks it.
func selects(filter map[string]any, value any) func(x *index) string {
	return func(x *index) string {
		m := map[string]any{"there": true}
		if value != nil {
			m["k"] = value
		}
		if err := x.put(vector("a", m, 1, 1)); err != nil {
			return outcome(err)
		}
		found, err := x.query([]float32{1, 1}, 1, where(filter))
		switch {
		case err != nil:
			return outcome(err)
		case slices.Contains(keysOf(found), "a"):
			return "matches"
		}
		return "does not match"
	}
}

func stores(metadata map[string]any) func(x *index) string {
	return func(x *index) string { return outcome(x.put(vector("a", metadata, 1, 1))) }
}

func twice(x *index) string {
	if err := x.put(vector("a", map[string]any{"n": 1}, 1, 1), vector("a", map[string]any{"n": 2}, 1, 1)); err != nil {
		return outcome(err)
	}
	for _, n := range []int{1, 2} {
		if found, err := x.query([]float32{1, 1}, 1, where(map[string]any{"n": n})); err == nil && len(found) == 1 {
			return fmt.Sprintf("accepted, number %d is stored", n)
		}
	}
	return "accepted, and neither is found"
}

// nineDigitsStored puts numbers with nine digits and reads them back.
func nineDigitsStored(x *index) string {
	exact, err := s3index.New(x.Client, *x.bucket, *x.name, &s3index.Options{NineDigits: true})
	require.NoError(x.t, err)
	data := []float32{0.1, -1.0 / 3}
	if _, err := exact.Put(x.t.Context(), vectors.Of(vectors.Vector{Key: "a", Data: data}), nil); err != nil {
		return outcome(err)
	}
	found, err := exact.Get(x.t.Context(), []string{"a"}, &vectors.GetOptions{Fields: vectors.KeysAndData})
	if err != nil || len(found) != 1 {
		return fmt.Sprintf("not to be had: %d vectors, %v", len(found), err)
	}
	if slices.Equal(found[0].Data, data) {
		return "accepted, unchanged"
	}
	return fmt.Sprintf("accepted, %v became %v", data, found[0].Data)
}

func euclideanDistance(x *index) string {
	if err := x.put(vector("a", nil, 3, 4)); err != nil {
		return outcome(err)
	}
	found, err := x.query([]float32{0, 0}, 1, withAll)
	if err != nil || len(found) != 1 || found[0].Distance == nil {
		return fmt.Sprintf("not to be had: %d matches, %v", len(found), err)
	}
	return fmt.Sprintf("%v, off by %.1g", *found[0].Distance, math.Abs(float64(*found[0].Distance)-5))
}
