//go:build !awsconfig

package function

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Config is what the clients of AWS need, read from the environment alone, where Lambda
// puts it for the life of a process. It reads no files and links no package config: a
// function is a third smaller and starts sooner for it. With the build tag awsconfig the
// SDK's own configuration takes its place, for where credentials come otherwise.
func Config(context.Context) (aws.Config, error) {
	cfg := aws.Config{Region: os.Getenv("AWS_REGION")}
	given := aws.Credentials{
		AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken: os.Getenv("AWS_SESSION_TOKEN"), Source: "environment",
	}
	switch {
	case cfg.Region == "":
		return aws.Config{}, errors.New("AWS_REGION is not set")
	case !given.HasKeys():
		return aws.Config{}, fmt.Errorf("%w: build with -tags awsconfig for other sources than the environment", errNoKeys)
	}
	cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return given, nil })
	if endpoint := os.Getenv("AWS_ENDPOINT_URL"); endpoint != "" {
		cfg.BaseEndpoint = &endpoint
	}
	return cfg, nil
}

var errNoKeys = errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")
