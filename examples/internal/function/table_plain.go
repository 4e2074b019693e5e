//go:build !dax

package function

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/genaistore/genaistore/memory/dynamomemory"
)

var errNoDAX = errors.New("DAX_ENDPOINT or KMS_KEY is set, and this program was built without -tags dax")

// tableOptions links neither DAX nor KMS.
func tableOptions(_ aws.Config, _ dynamomemory.Client, env func(string) string) (*dynamomemory.Options, error) {
	if env("DAX_ENDPOINT") != "" || env("KMS_KEY") != "" {
		return nil, errNoDAX
	}
	return &dynamomemory.Options{}, nil
}
