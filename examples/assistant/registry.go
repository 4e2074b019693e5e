package main

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/genaistore/genaistore/artifacts/s3artifacts"
)

// What the checkpoints are below in their bucket, which may hold other things, and
// what the bucket of local servers is called. Names of buckets on AWS are taken
// world-wide, so there is no default there.
const (
	registryRoot = "assistant"
	localBucket  = "genaistore-assistant"
)

// openRegistry opens the store of checkpoints, if the command line asks for one on S3.
func (a *assistant) openRegistry(ctx context.Context) error {
	client, bucket, err := a.s3Client(ctx)
	if err != nil || client == nil {
		return err
	}
	if a.line.Backend == backendLocal {
		// It costs nothing to make one here.
		_, err := s3artifacts.EnsureBucket(ctx, client, bucket, &s3artifacts.BucketOptions{Root: registryRoot, Unversioned: true})
		if err != nil {
			return fmt.Errorf("no S3 that can be used at %s: start one with go -C internal/integration run ./serve versitygw: %w", a.line.S3, err)
		}
	}
	store, err := s3artifacts.New(client, bucket, &s3artifacts.Options{Root: registryRoot, By: "assistant"})
	if err != nil {
		return fmt.Errorf("%w: --bucket: %w", errUsage, err)
	}
	a.stores.Artifacts = store
	return nil
}

// s3Client returns a client and a bucket, or none where checkpoints are not on S3.
func (a *assistant) s3Client(ctx context.Context) (*s3.Client, string, error) {
	line := a.line
	switch {
	case line.Backend == backendLocal && line.S3 != "":
		if line.Bucket == "" {
			line.Bucket = localBucket
		}
		return s3.New(s3.Options{
			Region: "us-east-1", BaseEndpoint: &line.S3, UsePathStyle: true, RetryMaxAttempts: 3,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: line.S3Key, SecretAccessKey: line.S3Secret}, nil
			}),
		}), line.Bucket, nil
	case line.Backend == backendAWS && line.Bucket != "":
		cfg, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return nil, "", fmt.Errorf("AWS configuration: %w", err)
		}
		return s3.NewFromConfig(cfg), line.Bucket, nil
	}
	return nil, "", nil
}

// setUpRegistry makes the bucket, or compares the one that is there.
func (a *assistant) setUpRegistry(ctx context.Context) error {
	client, bucket, err := a.s3Client(ctx)
	if err != nil || client == nil {
		return err
	}
	drift, err := s3artifacts.EnsureBucket(ctx, client, bucket, &s3artifacts.BucketOptions{Root: registryRoot, Region: client.Options().Region})
	if err != nil {
		return err
	}
	for _, d := range drift {
		a.printf("bucket %s: %s was %s, should be %s; changed now: %t\n", bucket, d.What, d.Got, d.Want, d.Fixed)
	}
	store, err := s3artifacts.New(client, bucket, &s3artifacts.Options{Root: registryRoot})
	if err != nil {
		return err
	}
	can, err := store.Probe(ctx)
	if err != nil {
		return err
	}
	if err := can.Err(); err != nil {
		return err
	}
	a.printf("bucket %s is ready\n", bucket)
	return nil
}
