package function

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/genaistore/genaistore/memory/dynamomemory"
)

// Table is the conversations that the environment names: TABLE, through the cluster
// DAX_ENDPOINT and encrypted under KMS_KEY where there is one, which takes the build tag
// dax. It asks nothing of anyone.
func Table(cfg aws.Config, env func(string) string) (*dynamomemory.Store, error) {
	if env("TABLE") == "" {
		return nil, errNoTable
	}
	client := dynamodb.NewFromConfig(cfg)
	opts, err := tableOptions(cfg, client, env)
	if err != nil {
		return nil, err
	}
	return dynamomemory.New(client, env("TABLE"), opts)
}

var errNoTable = errors.New("TABLE is not set")
