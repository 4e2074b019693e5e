package ours

import (
	"context"
	"fmt"

	"github.com/genaistore/genaistore/memory"
)

// Names of stores.
const (
	Memory   = "memory"
	DynamoDB = "dynamodb"
)

// Where [DynamoDB] is.
const (
	// EnvEndpoint is the URL of DynamoDB Local, or empty for AWS.
	EnvEndpoint = "GENAISTORE_KIT_DYNAMODB_ENDPOINT"
	// EnvTable is the name of the table, which must exist.
	EnvTable = "GENAISTORE_KIT_DYNAMODB_TABLE"
)

// Open returns a function that returns a store and a tenant that has nothing in it.
// It is called from many goroutines.
func Open(_ context.Context, name string) (func() (memory.Store, string), error) {
	switch name {
	case Memory:
		return func() (memory.Store, string) { return new(memory.InMemory), "" }, nil
	case DynamoDB:
		// The SEAM for package dynamomemory: open EnvTable at EnvEndpoint here, once for
		// the process, and return it with rand.Text() as the tenant.
		return nil, fmt.Errorf("%w: this build has no store on DynamoDB", memory.ErrInvalid)
	}
	return nil, fmt.Errorf("%w: no store is called %q", memory.ErrInvalid, name)
}
