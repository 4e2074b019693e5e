package awsfake_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors/document"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/vectors"
)

// post sends a request that the Go client has no members for.
func post(t *testing.T, send func(*http.Request) (*http.Response, error), url, operation, text string) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/"+operation, strings.NewReader(text))
	require.NoError(t, err)
	keys := aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}
	require.NoError(t, v4.NewSigner().SignHTTP(t.Context(), keys, r, sha256Hex(text), "s3vectors", "us-east-1", time.Now()))
	response, err := send(r)
	require.NoError(t, err)
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	answer := map[string]any{}
	require.NoError(t, json.NewDecoder(bytes.NewReader(data)).Decode(&answer), "%s", data)
	return response.StatusCode, answer
}

func do(t *testing.T, f *awsfake.Vectors, operation, text string) (int, map[string]any) {
	t.Helper()
	return post(t, f.Do, "https://s3vectors.us-east-1.api.aws", operation, text)
}

const at = `"vectorBucketName":"bucket","indexName":"docs"`

// loaded has n vectors that turn away from the first axis.
func loaded(t *testing.T, n int, options awsfake.VectorsOptions) *awsfake.Vectors {
	t.Helper()
	f := awsfake.NewVectors()
	client := f.Client()
	f.Options.Classic = options.Classic
	_, err := client.CreateVectorBucket(t.Context(), &s3vectors.CreateVectorBucketInput{VectorBucketName: new("bucket")})
	require.NoError(t, err)
	_, err = client.CreateIndex(t.Context(), docs())
	require.NoError(t, err)
	for start := 0; start < n; start += 500 {
		var batch []types.PutInputVector
		for i := start; i < min(n, start+500); i++ {
			v := vector(fmt.Sprintf("%05d", i), float32(n), float32(i))
			m := map[string]any{"n": i, "odd": i%2 == 1}
			if i%3 == 0 {
				m["third"] = []string{"yes", "really"}
			}
			v.Metadata = document.NewLazyDocument(m)
			batch = append(batch, v)
		}
		require.NoError(t, putVectors(t, client, batch...))
	}
	f.Options = options
	return f
}

func TestVectorsAnswersQueriesInPages(t *testing.T) {
	f := loaded(t, 730, awsfake.VectorsOptions{})
	const query = `{` + at + `,"queryVector":{"float32":[1,0]},"topK":250,"returnDistance":true`
	var keys []string
	token, pages := "", 0
	for {
		text := query + `}`
		if token != "" {
			text = query + `,"nextToken":"` + token + `"}`
		}
		status, answer := do(t, f, "QueryVectors", text)
		require.Equal(t, 200, status, "%v", answer)
		require.Equal(t, "cosine", answer["distanceMetric"])
		for _, v := range answer["vectors"].([]any) {
			keys = append(keys, v.(map[string]any)["key"].(string))
		}
		pages++
		next, ok := answer["nextToken"].(string)
		if !ok {
			break
		}
		token = next
	}
	require.Equal(t, 3, pages)
	require.Len(t, keys, 250)
	for i, key := range keys {
		require.Equal(t, fmt.Sprintf("%05d", i), key)
	}

	status, answer := do(t, f, "QueryVectors", strings.Replace(query, "250", "251", 1)+`,"nextToken":"`+token+`"}`)
	require.Equal(t, 400, status, "a token is good for its own query: %v", answer)

	out, err := f.Client().QueryVectors(t.Context(), &s3vectors.QueryVectorsInput{
		VectorBucketName: new("bucket"), IndexName: new("docs"), TopK: new(int32(250)), QueryVector: &types.VectorDataMemberFloat32{Value: []float32{1, 0}},
	})
	require.NoError(t, err)
	require.Len(t, out.Vectors, 100, "this version of the client sees one page")
	require.Nil(t, out.Vectors[0].Distance)
}

func TestVectorsForgetsTokensOfQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := loaded(t, 300, awsfake.VectorsOptions{TokenLife: time.Minute})
		const query = `{` + at + `,"queryVector":{"float32":[1,0]},"topK":300`
		_, answer := do(t, f, "QueryVectors", query+`}`)
		next := query + `,"nextToken":"` + answer["nextToken"].(string) + `"}`
		time.Sleep(59 * time.Second)
		status, _ := do(t, f, "QueryVectors", next)
		require.Equal(t, 200, status)
		time.Sleep(2 * time.Second)
		status, answer = do(t, f, "QueryVectors", next)
		require.Equal(t, 400, status)
		require.Contains(t, answer["message"], "expired")
	})
}

func TestVectorsFiltersQueries(t *testing.T) {
	f := loaded(t, 90, awsfake.VectorsOptions{})
	count := func(filter string) int {
		t.Helper()
		status, answer := do(t, f, "QueryVectors", `{`+at+`,"queryVector":{"float32":[1,0]},"topK":100,"filter":`+filter+`}`)
		require.Equal(t, 200, status, "%v", answer)
		return len(answer["vectors"].([]any))
	}
	for filter, want := range map[string]int{
		`{"odd":true}`: 45, `{"third":"yes"}`: 30, `{"third":{"$exists":false}}`: 60, `{"n":{"$gte":10,"$lt":20}}`: 10,
		`{"$or":[{"n":{"$in":[1,2,3]}},{"n":1e1}]}`: 4, `{"third":{"$startsWith":"rea"}}`: 30, `{"third":{"$ne":"yes"}}`: 60,
	} {
		require.Equal(t, want, count(filter), filter)
	}
}

func TestVectorsRefusesWithTheServicesWords(t *testing.T) {
	f := loaded(t, 3, awsfake.VectorsOptions{})
	long := strings.Repeat("x", 2048)
	const query = `{` + at + `,"queryVector":{"float32":[1,0]},"topK":1,`
	values := strings.TrimSuffix(strings.Repeat("1,", 101), ",")
	tests := []struct{ operation, text, says string }{
		{"CreateVectorBucket", `{"vectorBucketName":"ab"}`, "1 validation error detected. Value with length 2 at '/vectorBucketName' failed to satisfy constraint: Member must have length between 3 and 63, inclusive"},
		{"CreateVectorBucket", `{"vectorBucketName":"a_b&c"}`, "Invalid vector bucket name"},
		{"CreateVectorBucket", `{"vectorBucketName":"kms-bucket","encryptionConfiguration":{"sseType":"aws:kms","kmsKeyArn":"alias/mine"}}`, "kmsKeyArn"},
		{"CreateIndex", `{"vectorBucketName":"bucket","indexName":"other","dataType":"float32","distanceMetric":"cosine","dimension":0}`, "1 validation error detected. Value at '/dimension' failed to satisfy constraint: Member must be between 1 and 4096, inclusive"},
		{"CreateIndex", `{"vectorBucketName":"bucket","indexName":"other","dataType":"float32","distanceMetric":"dot","dimension":2}`, "1 validation error detected. Value at '/distanceMetric' failed to satisfy constraint: Member must satisfy enum value set: [euclidean, cosine]"},
		{"CreateIndex", `{"vectorBucketName":"bucket","indexName":"other","dataType":"float32","distanceMetric":"cosine","dimension":2,"metadataConfiguration":{"nonFilterableMetadataKeys":[]}}`, "between 1 and 10"},
		{"GetIndex", `{"indexName":"docs"}`, "Must specify either indexArn or both vectorBucketName and indexName"},
		{"GetVectorBucket", `{}`, "Must specify either vectorBucketName or vectorBucketArn but not both"},
		{"PutVectors", `{` + at + `,"vectors":[{"key":"my_first_vector","data":{"float32":[1]}}]}`, "Invalid record for key 'my_first_vector': vector must have length 2, but has length 1"},
		{"PutVectors", `{` + at + `,"vectors":[{"key":"k","data":{"float32":[1,2]},"metadata":{"s":"` + long + `"}}]}`, "Invalid record for key 'k': Filterable metadata must have at most 2048 bytes"},
		{"PutVectors", `{` + at + `,"vectors":[{"key":"k","data":{"float32":[1,2]},"metadata":{"text":"` + strings.Repeat(long, 20) + `"}}]}`, "Metadata must have at most 40960 bytes"},
		{"PutVectors", `{` + at + `,"vectors":[{"key":"k","data":{"float32":[1,2]},"metadata":{"s":null}}]}`, "Invalid record for key 'k'"},
		{"PutVectors", `{` + at + `,"vectors":[{"key":"k","data":{"float32":[1,2]},"metadata":{"s":{"a":1}}}]}`, "Invalid record for key 'k'"},
		{"PutVectors", `{` + at + `,"vectors":[{"key":"k","data":{"float32":["NaN",2]}}]}`, ""},
		{"PutVectors", `{` + at + `,"vectors":[]}` + strings.Repeat(" ", 20<<20), "Request body exceeds max allowed size"},
		{"QueryVectors", `{` + at + `,"queryVector":{"float32":[1,0]}}`, "1 validation error detected. Value at '/topK' failed to satisfy constraint: Member must not be null"},
		{"QueryVectors", query + `"queryMode":"CLASSIC"}`, "queryMode cannot be CLASSIC when indexMode is ENHANCED"},
		{"QueryVectors", query + `"filter":{"text":"x"}}`, "not filterable"},
		{"QueryVectors", query + `"filter":{"a":{"$like":"x"}}}`, "$like"},
		{"QueryVectors", query + `"filter":{"n":{"$in":[` + values + `]}}}`, "at most 100 constraints"},
		{"UpdateIndexMode", `{` + at + `,"indexMode":"CLASSIC"}`, "indexMode cannot be set to CLASSIC because the vector bucket does not support CLASSIC mode"},
		{"PutVectorBucketDefaultIndexMode", `{"vectorBucketName":"bucket","defaultIndexMode":"CLASSIC"}`, "defaultIndexMode cannot be set to CLASSIC because this vector bucket does not support CLASSIC mode"},
		{"ListVectors", `{` + at + `,"segmentCount":17,"segmentIndex":0}`, "between 1 and 16"},
		{"ListVectors", `{` + at + `,"nextToken":"x"}`, "nextToken"},
	}
	status, answer := do(t, f, "RenameIndex", `{`+at+`}`)
	require.Equal(t, 501, status, "%v", answer)
	for _, tt := range tests {
		status, answer := do(t, f, tt.operation, tt.text)
		require.Equal(t, 400, status, "%s: %v", tt.says, answer)
		require.Contains(t, answer["message"], tt.says)
	}
	_, answer = do(t, f, "PutVectors", `{`+at+`,"vectors":[{"key":"a","data":{"float32":[1,2]}},{"key":"k","data":{"float32":[1]}}]}`)
	require.Equal(t, "vectors[1].data", answer["fieldList"].([]any)[0].(map[string]any)["path"])
	status, answer = do(t, f, "ListVectors", `{`+at+`}`)
	require.Equal(t, 200, status)
	require.Len(t, answer["vectors"], 3, "nothing of what was refused is there")
}

func TestOldVectorBucketsHaveTheClassicMode(t *testing.T) {
	f := loaded(t, 3, awsfake.VectorsOptions{Classic: true})
	const prefix = `{` + at + `,"queryVector":{"float32":[1,0]},"topK":1,"filter":{"third":{"$startsWith":"y"}}`
	status, _ := do(t, f, "QueryVectors", prefix+`}`)
	require.Equal(t, 400, status)
	status, _ = do(t, f, "QueryVectors", prefix+`,"queryMode":"ENHANCED"}`)
	require.Equal(t, 200, status)
	status, _ = do(t, f, "UpdateIndexMode", `{`+at+`,"indexMode":"ENHANCED"}`)
	require.Equal(t, 200, status)
	_, answer := do(t, f, "GetIndex", `{`+at+`}`)
	require.Equal(t, "ENHANCED", answer["index"].(map[string]any)["indexMode"])
	status, _ = do(t, f, "QueryVectors", prefix+`}`)
	require.Equal(t, 200, status)
	status, _ = do(t, f, "UpdateIndexMode", `{`+at+`,"indexMode":"CLASSIC"}`)
	require.Equal(t, 200, status, "back is allowed where the bucket knows the mode")
}

func TestVectorsReportsWhatAWSLeavesOpen(t *testing.T) {
	var reported []string
	f := loaded(t, 4, awsfake.VectorsOptions{Ambiguous: func(filter, key string, open []vectors.Ambiguity) {
		reported = append(reported, fmt.Sprint(filter, key, open[0].Op))
	}})
	const query = `{` + at + `,"queryVector":{"float32":[1,0]},"topK":1,"filter":`
	do(t, f, "QueryVectors", query+`{"$and":[{"third":{"$exists":true}},{"third":{"$ne":"yes"}}]}}`)
	require.Empty(t, reported)
	do(t, f, "QueryVectors", query+`{"third":{"$ne":"yes"}}}`)
	require.ElementsMatch(t, []string{`{"third":{"$ne":"yes"}}00001ne`, `{"third":{"$ne":"yes"}}00002ne`}, reported)
}

func TestTheWeatherOfVectorsIsAsAsked(t *testing.T) {
	f := loaded(t, 1000, awsfake.VectorsOptions{Unavailable: 2, Shortfall: 0.3, Seed: 3})
	const three = `[{"key":"a","data":{"float32":[1,2]}},{"key":"b","data":{"float32":[1,2]}},{"key":"c","data":{"float32":[1,2]}}]`
	status, answer := do(t, f, "PutVectors", `{`+at+`,"vectors":`+three+`}`)
	require.Equal(t, 503, status, "%v", answer)
	status, _ = do(t, f, "PutVectors", `{`+at+`,"vectors":[{"key":"a","data":{"float32":[1,2]}},{"key":"b","data":{"float32":[1,2]}}]}`)
	require.Equal(t, 200, status)

	_, answer = do(t, f, "QueryVectors", `{`+at+`,"queryVector":{"float32":[1,0]},"topK":100,"filter":{"n":{"$lt":50}}}`)
	found := len(answer["vectors"].([]any))
	require.Greater(t, found, 20)
	require.Less(t, found, 48)
	_, answer = do(t, f, "QueryVectors", `{`+at+`,"queryVector":{"float32":[1,0]},"topK":100}`)
	require.Len(t, answer["vectors"], 100, "only filters miss some")

	throttled := loaded(t, 1, awsfake.VectorsOptions{Throttle: 0.5})
	refused := 0
	for range 100 {
		if status, _ := do(t, throttled, "GetVectors", `{`+at+`,"keys":["00000"]}`); status == 429 {
			refused++
		}
	}
	require.InDelta(t, 50, refused, 20)
}

func TestPagesOfAListEndAtAMegabyte(t *testing.T) {
	f := awsfake.NewVectors()
	client := f.Client()
	_, err := client.CreateVectorBucket(t.Context(), &s3vectors.CreateVectorBucketInput{VectorBucketName: new("bucket")})
	require.NoError(t, err)
	_, err = client.CreateIndex(t.Context(), docs())
	require.NoError(t, err)
	text := strings.Repeat("x", 35_000)
	for i := range 60 {
		v := vector(fmt.Sprint(i), 1, 1)
		v.Metadata = document.NewLazyDocument(map[string]any{"text": text})
		require.NoError(t, putVectors(t, client, v))
	}
	_, answer := do(t, f, "ListVectors", `{`+at+`,"maxResults":1000}`)
	require.Len(t, answer["vectors"], 30)
	require.NotEmpty(t, answer["nextToken"])
}

func TestBucketsIndexesAndTagsAreListed(t *testing.T) {
	f := awsfake.NewVectors()
	client := f.Client()
	for i := range 5 {
		_, err := client.CreateVectorBucket(t.Context(), &s3vectors.CreateVectorBucketInput{VectorBucketName: new(fmt.Sprintf("bucket-%d", i)), Tags: map[string]string{"team": "a"}})
		require.NoError(t, err)
	}
	first, err := client.ListVectorBuckets(t.Context(), &s3vectors.ListVectorBucketsInput{MaxResults: new(int32(3))})
	require.NoError(t, err)
	require.Len(t, first.VectorBuckets, 3)
	second, err := client.ListVectorBuckets(t.Context(), &s3vectors.ListVectorBucketsInput{NextToken: first.NextToken})
	require.NoError(t, err)
	require.Len(t, second.VectorBuckets, 2)
	require.Nil(t, second.NextToken)

	in := docs()
	in.VectorBucketName = new("bucket-1")
	in.Tags = map[string]string{"model": "titan"}
	made, err := client.CreateIndex(t.Context(), in)
	require.NoError(t, err)
	_, err = client.TagResource(t.Context(), &s3vectors.TagResourceInput{ResourceArn: made.IndexArn, Tags: map[string]string{"more": "1"}})
	require.NoError(t, err)
	_, err = client.UntagResource(t.Context(), &s3vectors.UntagResourceInput{ResourceArn: made.IndexArn, TagKeys: []string{"model"}})
	require.NoError(t, err)
	tags, err := client.ListTagsForResource(t.Context(), &s3vectors.ListTagsForResourceInput{ResourceArn: made.IndexArn})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"more": "1"}, tags.Tags)
	indexes, err := client.ListIndexes(t.Context(), &s3vectors.ListIndexesInput{VectorBucketName: new("bucket-1"), Prefix: new("do")})
	require.NoError(t, err)
	require.Len(t, indexes.Indexes, 1)

	_, err = client.DeleteVectorBucket(t.Context(), &s3vectors.DeleteVectorBucketInput{VectorBucketName: new("bucket-1")})
	require.ErrorContains(t, err, "The specified vector bucket is not empty")
	_, err = client.DeleteIndex(t.Context(), &s3vectors.DeleteIndexInput{IndexArn: made.IndexArn})
	require.NoError(t, err)
	_, err = client.PutVectorBucketPolicy(t.Context(), &s3vectors.PutVectorBucketPolicyInput{VectorBucketName: new("bucket-1"), Policy: new("{}")})
	require.NoError(t, err)
	policy, err := client.GetVectorBucketPolicy(t.Context(), &s3vectors.GetVectorBucketPolicyInput{VectorBucketName: new("bucket-1")})
	require.NoError(t, err)
	require.Equal(t, "{}", *policy.Policy)
	_, err = client.DeleteVectorBucketPolicy(t.Context(), &s3vectors.DeleteVectorBucketPolicyInput{VectorBucketName: new("bucket-1")})
	require.NoError(t, err)
	_, err = client.GetVectorBucketPolicy(t.Context(), &s3vectors.GetVectorBucketPolicyInput{VectorBucketName: new("bucket-1")})
	require.ErrorContains(t, err, "The specified vector bucket policy could not be found")
	_, err = client.DeleteVectorBucket(t.Context(), &s3vectors.DeleteVectorBucketInput{VectorBucketName: new("bucket-1")})
	require.NoError(t, err)
	_, err = client.GetVectorBucket(t.Context(), &s3vectors.GetVectorBucketInput{VectorBucketName: new("bucket-1")})
	require.ErrorContains(t, err, "The specified vector bucket could not be found")
}

func TestVectorsServesHTTPToo(t *testing.T) {
	f := loaded(t, 3, awsfake.VectorsOptions{})
	server := httptest.NewServer(f)
	defer server.Close()
	status, answer := post(t, http.DefaultClient.Do, server.URL, "GetVectors", `{`+at+`,"keys":["00001"]}`)
	require.Equal(t, 200, status, "%v", answer)
	require.Len(t, answer["vectors"], 1)

	client := s3vectors.New(s3vectors.Options{
		Region: "us-east-1", BaseEndpoint: &server.URL,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
	require.NoError(t, putVectors(t, client, vector("over the network", 1, 1)))
	out, err := client.ListVectors(t.Context(), &s3vectors.ListVectorsInput{VectorBucketName: new("bucket"), IndexName: new("docs")})
	require.NoError(t, err)
	require.Len(t, out.Vectors, 4)
}

func sha256Hex(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
