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

// What --backend may be beside memory.
const (
	backendLocal = "local-servers"
	backendAWS   = "aws"
)

// openConversations opens the store of conversations that the command line asks
// for. On other backends than memory the other three stores stay in memory, and in
// the state folder: their backends are not wired in yet.
func (a *assistant) openConversations(ctx context.Context) error {
	var store *dynamomemory.Store
	var err error
	switch a.line.Backend {
	case backendLocal:
		store, err = a.localDynamoDB(ctx)
	case backendAWS:
		store, err = a.awsDynamoDB(ctx)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	a.stores.Memory = store
	a.warnf("conversations are in DynamoDB table %s; documents, checkpoints and files are in memory and the state folder", a.line.Table)
	return nil
}

// localDynamoDB makes its table where there is none: it costs nothing.
func (a *assistant) localDynamoDB(ctx context.Context) (*dynamomemory.Store, error) {
	line := a.line
	if line.DynamoDB == "" {
		return nil, fmt.Errorf("%w: backend %s needs the address of DynamoDB Local: start it with go -C internal/integration run ./serve, and give --dynamodb URL", errUsage, backendLocal)
	}
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

// run makes the table on AWS, or compares the one that is there.
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
	return nil
}
