package ours

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

// Names of stores.
const (
	Memory = "memory"
	// Slow is Memory with the delay of a network, which tells what a test has against
	// DynamoDB from what it has against time.
	Slow     = "slow"
	DynamoDB = "dynamodb"
)

// Where [DynamoDB] is. Credentials and the Region are in the variables of AWS.
const (
	// EnvEndpoint is the URL of DynamoDB Local, or empty for AWS.
	EnvEndpoint = "GENAISTORE_KIT_ENDPOINT"
	// EnvTable is the name of the table, which must exist.
	EnvTable = "GENAISTORE_KIT_TABLE"
)

// Open returns a function that returns a store and a tenant that has nothing in it.
// The function may be called at the same time.
func Open(name string) (func() (memory.Store, string), error) {
	switch name {
	case Memory:
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

func client() *dynamodb.Client {
	cfg := aws.Config{
		Region: cmp.Or(os.Getenv("AWS_REGION"), "us-east-1"),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: os.Getenv("AWS_SESSION_TOKEN")}, nil
		}),
	}
	if endpoint := os.Getenv(EnvEndpoint); endpoint != "" {
		cfg.BaseEndpoint = &endpoint
	}
	return dynamodb.NewFromConfig(cfg)
}
