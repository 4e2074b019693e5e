package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

// What --backend may be.
const (
	backendMemory = "memory"
	backendLocal  = "local-servers"
	backendAWS    = "aws"
)

// openBackend opens the stores that the command line asks for: conversations on
// DynamoDB, checkpoints on S3. The others stay in memory, and in the state folder:
// their backends are not wired in yet.
func (a *assistant) openBackend(ctx context.Context) error {
	line := a.line
	if line.Backend == backendMemory {
		return nil
	}
	if line.Backend == backendLocal && line.DynamoDB == "" && line.S3 == "" {
		return fmt.Errorf("%w: backend %s needs the address of DynamoDB Local or of an S3 server: start them with go -C internal/integration run ./serve dynamodb-local versitygw, and give --dynamodb URL, --s3 URL or both", errUsage, backendLocal)
	}
	if err := a.openRegistry(ctx); err != nil {
		return err
	}
	if err := a.openConversations(ctx); err != nil {
		return err
	}
	conversations, checkpoints := "memory", "memory"
	if a.stores.Memory != a.saved.Memory {
		conversations = "DynamoDB table " + line.Table
	}
	if a.stores.Artifacts != a.saved.Artifacts {
		checkpoints = "S3"
	}
	a.warnf("conversations are in %s, checkpoints in %s; documents and files are in memory and the state folder", conversations, checkpoints)
	return nil
}

func (a *assistant) openConversations(ctx context.Context) error {
	var store *dynamomemory.Store
	var err error
	switch {
	case a.line.Backend == backendAWS:
		store, err = a.awsDynamoDB(ctx)
	case a.line.DynamoDB != "":
		store, err = a.localDynamoDB(ctx)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	a.stores.Memory = store
	return nil
}

// localDynamoDB makes its table where there is none: it costs nothing.
func (a *assistant) localDynamoDB(ctx context.Context) (*dynamomemory.Store, error) {
	line := a.line
	client := dynamodb.New(dynamodb.Options{
		Region: "us-east-1", BaseEndpoint: &line.DynamoDB, RetryMaxAttempts: 2,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "assistant", SecretAccessKey: "assistant"}, nil
		}),
	})
	_, err := dynamomemory.EnsureTable(ctx, client, line.Table, &dynamomemory.TableOptions{NoRecovery: true})
	if err != nil {
		return nil, fmt.Errorf("no DynamoDB that can be used at %s: start one with go -C internal/integration run ./serve: %w", line.DynamoDB, err)
	}
	return dynamomemory.New(client, line.Table, nil)
}

// awsDynamoDB never makes a table: that is for setup to do when asked.
func (a *assistant) awsDynamoDB(ctx context.Context) (*dynamomemory.Store, error) {
	line := a.line
	client, err := awsClient(ctx)
	if err != nil {
		return nil, err
	}
	_, err = dynamomemory.EnsureTable(ctx, client, line.Table, &dynamomemory.TableOptions{CheckOnly: true})
	if errors.Is(err, memory.ErrNotFound) {
		return nil, fmt.Errorf("table %s does not exist: assistant setup --backend aws makes it: %w", line.Table, err)
	}
	if err != nil {
		return nil, err
	}
	return dynamomemory.New(client, line.Table, nil)
}

func awsClient(ctx context.Context) (*dynamodb.Client, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("AWS configuration: %w", err)
	}
	return dynamodb.NewFromConfig(cfg), nil
}

type setupCommand struct{}

// run makes the table on AWS, and the bucket if there is to be one, or compares those
// that are there.
func (*setupCommand) run(ctx context.Context, a *assistant) error {
	if a.line.Backend != backendAWS {
		return fmt.Errorf("%w: backend %s needs no setup", errUsage, a.line.Backend)
	}
	client, err := awsClient(ctx)
	if err != nil {
		return err
	}
	report, err := dynamomemory.EnsureTable(ctx, client, a.line.Table, nil)
	if err != nil {
		return err
	}
	a.printf("table %s is ready; made now: %t\n", a.line.Table, report.Created)
	return a.setUpRegistry(ctx)
}
