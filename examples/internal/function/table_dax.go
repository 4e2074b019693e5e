//go:build dax

package function

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/genaistore/genaistore/memory/dax"
	"github.com/genaistore/genaistore/memory/dynamomemory"
	"github.com/genaistore/genaistore/memory/dynamomemory/kmscipher"
)

var errNoKey = errors.New("DAX_ENDPOINT is set and KMS_KEY is not: behind a cache nothing but encryption keeps tenants apart")

// tableOptions puts a DAX cluster in front of the table, if there is one. The client of
// the cluster lives as long as the process.
func tableOptions(cfg aws.Config, table dynamomemory.Client, env func(string) string) (*dynamomemory.Options, error) {
	opts := &dynamomemory.Options{}
	if key := env("KMS_KEY"); key != "" {
		cipher, err := kmscipher.New(kms.NewFromConfig(cfg), key, nil)
		if err != nil {
			return nil, err
		}
		opts.Cipher = cipher
	}
	if endpoint := env("DAX_ENDPOINT"); endpoint != "" {
		if opts.Cipher == nil {
			return nil, errNoKey
		}
		cached, err := dax.New(table, &dax.Options{Endpoint: endpoint, Region: cfg.Region, Credentials: cfg.Credentials})
		if err != nil {
			return nil, err
		}
		opts.Cache = cached
	}
	return opts, nil
}
