package s3index

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors/document"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors/types"

	"github.com/genaistore/genaistore/vectors"
)

// answers gives every request to vectors the same answer, and one about the index
// the description of one.
type answers []byte

func (a answers) Do(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	body := []byte(a)
	if strings.HasSuffix(r.URL.Path, "/GetIndex") {
		body = []byte(`{"index":{"dimension":1024,"distanceMetric":"cosine"}}`)
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
}

func benchClient(body []byte) *s3vectors.Client {
	return s3vectors.New(s3vectors.Options{
		Region: "us-east-1", HTTPClient: answers(body),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
}

func documents(n int) []vectors.Vector {
	r := rand.New(rand.NewPCG(3, 4))
	text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 22)
	vs := make([]vectors.Vector, n)
	for i := range vs {
		vs[i] = randomVector(r, fmt.Sprintf("doc-%06d#%04d", i, i), 1024)
		vs[i].Metadata = vectors.Metadata{"source": "s3://b/k.pdf", "page": float64(i), "tags": []any{"a", "b"}, "text": text}
	}
	return vs
}

// putBench returns an index that knows its schema and is not paced.
func putBench(tb testing.TB, client Client, nine bool) *Index {
	tb.Helper()
	x, err := New(client, "bucket", "docs", &Options{RequestsPerSecond: 1e9, VectorsPerSecond: 1e9, NineDigits: nine})
	if err != nil {
		tb.Fatal(err)
	}
	x.description = &description{Dimension: 1024, DistanceMetric: "cosine"}
	x.description.MetadataConfiguration.NonFilterableMetadataKeys = []string{"text"}
	return x
}

// BenchmarkPut compares whole calls without a network: encoding, signing, and
// copying of the body. Ours checks every vector too.
func BenchmarkPut(b *testing.B) {
	vs := documents(500)
	client := benchClient([]byte("{}"))
	b.Run("client", func(b *testing.B) {
		in := &s3vectors.PutVectorsInput{VectorBucketName: new("bucket"), IndexName: new("docs")}
		for _, v := range vs {
			in.Vectors = append(in.Vectors, types.PutInputVector{Key: new(v.Key), Data: &types.VectorDataMemberFloat32{Value: v.Data}, Metadata: document.NewLazyDocument(map[string]any(v.Metadata))})
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := client.PutVectors(b.Context(), in); err != nil {
				b.Fatal(err)
			}
		}
	})
	for name, nine := range map[string]bool{"s3index": false, "s3index/nine": true} {
		b.Run(name, func(b *testing.B) {
			x := putBench(b, client, nine)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := x.Put(b.Context(), vectors.Of(vs...), nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("s3index/encode", func(b *testing.B) {
		x, err := New(client, "bucket", "docs", nil)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			batch := x.newBatch(8<<20, nil)
			for _, v := range vs {
				batch.add(v, 20<<20)
			}
			s := sending{index: x, batch: batch, paced: true}
			if err := s.send(b.Context(), batch.live()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkGet compares whole calls, up to metadata as a map.
func BenchmarkGet(b *testing.B) {
	vs := documents(100)
	body, keys := answerOf(vs)
	client := benchClient(body)
	b.Run("client", func(b *testing.B) {
		in := &s3vectors.GetVectorsInput{VectorBucketName: new("bucket"), IndexName: new("docs"), Keys: keys, ReturnData: true, ReturnMetadata: true}
		b.ReportAllocs()
		for b.Loop() {
			out, err := client.GetVectors(b.Context(), in)
			if err != nil || len(out.Vectors) != len(vs) {
				b.Fatal(err)
			}
			for _, v := range out.Vectors {
				var m map[string]any
				if err := v.Metadata.UnmarshalSmithyDocument(&m); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("s3index", func(b *testing.B) {
		x, err := New(client, "bucket", "docs", nil)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			found, err := x.Get(b.Context(), keys, &vectors.GetOptions{Fields: vectors.Everything})
			if err != nil || len(found) != len(vs) {
				b.Fatal(err)
			}
		}
	})
}

// answerOf returns the answer that has these vectors, and their keys.
func answerOf(vs []vectors.Vector) (body []byte, keys []string) {
	body = []byte(`{"vectors":[`)
	for i, v := range vs {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendRecord(body, v, appendFloat)
		keys = append(keys, v.Key)
	}
	return append(body, "]}"...), keys
}

// raceEnabled reports whether this was built with -race.
func raceEnabled() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
