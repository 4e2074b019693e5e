package ours

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/s3artifacts"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

// Names of stores.
const (
	Memory = "memory"
	// Slow is Memory with the delay of a network, which tells what a test has against
	// DynamoDB from what it has against time.
	Slow = "slow"
	// DynamoDB has the sessions; artifacts are in memory.
	DynamoDB = "dynamodb"
	// S3 has the artifacts; sessions are in memory.
	S3 = "s3"
)

// Where [DynamoDB] or [S3] is. Credentials and the Region are in the variables of AWS.
const (
	// EnvEndpoint is the URL of a server, or empty for AWS.
	EnvEndpoint = "GENAISTORE_KIT_ENDPOINT"
	// EnvTable is the name of the table, which must exist.
	EnvTable = "GENAISTORE_KIT_TABLE"
	// EnvBucket is the name of the bucket, which must exist.
	EnvBucket = "GENAISTORE_KIT_BUCKET"
)

// Open returns a function that returns a store and a tenant that has nothing in it.
// The function may be called at the same time.
func Open(name string) (func() (memory.Store, string), error) {
	switch name {
	case Memory, S3:
		return func() (memory.Store, string) { return new(memory.InMemory), "" }, nil
	case Slow:
		return func() (memory.Store, string) { return slow{new(memory.InMemory)}, "" }, nil
	case DynamoDB:
		store, err := dynamomemory.New(client(), os.Getenv(EnvTable), nil)
		if err != nil {
			return nil, err
		}
		return func() (memory.Store, string) { return store, rand.Text() }, nil
	}
	return nil, fmt.Errorf("%w: no store is called %q", memory.ErrInvalid, name)
}

// OpenArtifacts is Open for artifacts.
func OpenArtifacts(name string) (func() (artifacts.Store, string), error) {
	if name != S3 {
		return func() (artifacts.Store, string) { return new(artifacts.InMemory), "" }, nil
	}
	client := s3.NewFromConfig(config(), func(o *s3.Options) { o.UsePathStyle = o.BaseEndpoint != nil })
	store, err := s3artifacts.New(client, os.Getenv(EnvBucket), nil)
	return func() (artifacts.Store, string) { return store, rand.Text() }, err
}

func client() *dynamodb.Client { return dynamodb.NewFromConfig(config()) }

func config() aws.Config {
	cfg := aws.Config{
		Region: cmp.Or(os.Getenv("AWS_REGION"), "us-east-1"),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: os.Getenv("AWS_SESSION_TOKEN")}, nil
		}),
	}
	if endpoint := os.Getenv(EnvEndpoint); endpoint != "" {
		cfg.BaseEndpoint = &endpoint
	}
	return cfg
}
