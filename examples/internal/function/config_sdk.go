//go:build awsconfig

package function

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

// Config is what the clients of AWS need, from all that the SDK knows to look at.
func Config(ctx context.Context) (aws.Config, error) { return config.LoadDefaultConfig(ctx) }
