package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors/document"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors/types"

	"github.com/genaistore/genaistore/vectors"
	"github.com/genaistore/genaistore/vectors/s3index"
)

// spent is the processor time of this process, which is what a small Lambda runs
// out of, and what other work on the machine does not change much.
func spent() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// A service answers every request to vectors with the same body, in no time.
type service []byte

func (s service) Do(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	body := []byte(s)
	if strings.HasSuffix(r.URL.Path, "/GetIndex") {
		body = []byte(`{"index":{"dimension":1024,"distanceMetric":"cosine","metadataConfiguration":{"nonFilterableMetadataKeys":["text"]}}}`)
	}
	header := http.Header{"Content-Type": {"application/json"}}
	return &http.Response{StatusCode: http.StatusOK, Header: header, ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
}

func (s service) client() *s3vectors.Client {
	keys := func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
	}
	return s3vectors.New(s3vectors.Options{Region: "us-east-1", HTTPClient: s, Credentials: aws.CredentialsProviderFunc(keys)})
}

// codec returns whole calls of S3 Vectors without a network: what they encode,
// sign, and decode, up to metadata as a map.
func codec() ([]variant, error) {
	r := rand.New(rand.NewPCG(3, 4))
	text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 22)
	docs := make([]vectors.Vector, 500)
	for i := range docs {
		m := vectors.Metadata{"source": "s3://b/k.pdf", "page": float64(i), "tags": []any{"a", "b"}, "text": text}
		docs[i] = vectors.Vector{Key: fmt.Sprintf("doc-%06d", i), Data: unit(r, 1024), Metadata: m}
	}
	var answer bytes.Buffer
	answer.WriteString(`{"vectors":[`)
	in := &s3vectors.PutVectorsInput{VectorBucketName: new("bucket"), IndexName: new("docs")}
	var keys []string
	for i, v := range docs {
		in.Vectors = append(in.Vectors, types.PutInputVector{
			Key: new(v.Key), Data: &types.VectorDataMemberFloat32{Value: v.Data}, Metadata: document.NewLazyDocument(map[string]any(v.Metadata)),
		})
		if i < 100 {
			if i > 0 {
				answer.WriteByte(',')
			}
			fmt.Fprintf(&answer, `{"key":%q,"data":{"float32":%s},"metadata":%s}`, v.Key, strings.ReplaceAll(fmt.Sprint(v.Data), " ", ","), v.Metadata.AppendJSON(nil))
			keys = append(keys, v.Key)
		}
	}
	answer.WriteString("]}")
	put, get := service("{}").client(), service(answer.Bytes()).client()
	pace := &s3index.Options{RequestsPerSecond: 1e9, VectorsPerSecond: 1e9}
	ourPut, err1 := s3index.New(put, "bucket", "docs", pace)
	nine := *pace
	nine.NineDigits = true
	ninePut, err3 := s3index.New(put, "bucket", "docs", &nine)
	ourGet, err2 := s3index.New(get, "bucket", "docs", nil)
	const putPeer, getPeer = "S3 Vectors client, put 500 x 1024", "S3 Vectors client, get 100 x 1024"
	return []variant{
		{name: putPeer, run: func(ctx context.Context) error { _, err := put.PutVectors(ctx, in); return err }},
		{name: "S3 index, put", peers: []peer{{putPeer, 1.2}}, most: 1000, run: func(ctx context.Context) error { _, err := ourPut.Put(ctx, vectors.Of(docs...), nil); return err }},
		{name: "S3 index, put of nine digits", peers: []peer{{putPeer, 1.8}}, most: 1000, run: func(ctx context.Context) error { _, err := ninePut.Put(ctx, vectors.Of(docs...), nil); return err }},
		{name: getPeer, run: func(ctx context.Context) error { return clientGet(ctx, get, keys) }},
		{name: "S3 index, get", peers: []peer{{getPeer, 4}}, most: 1000, run: func(ctx context.Context) error {
			found, err := ourGet.Get(ctx, keys, &vectors.GetOptions{Fields: vectors.Everything})
			if err == nil && len(found) != len(keys) {
				err = fmt.Errorf("%d vectors of %d", len(found), len(keys))
			}
			return err
		}},
	}, errors.Join(err1, err2, err3)
}

func clientGet(ctx context.Context, client *s3vectors.Client, keys []string) error {
	out, err := client.GetVectors(ctx, &s3vectors.GetVectorsInput{VectorBucketName: new("bucket"), IndexName: new("docs"), Keys: keys, ReturnData: true, ReturnMetadata: true})
	if err != nil {
		return err
	}
	for _, v := range out.Vectors {
		var m map[string]any
		if err := v.Metadata.UnmarshalSmithyDocument(&m); err != nil {
			return err
		}
	}
	return nil
}
