package ours

import (
	"context"
	"crypto/rand"
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
func Open(ctx context.Context, name string) (func() (memory.Store, string), error) {
	switch name {
	case Memory:
		return func() (memory.Store, string) { return new(memory.InMemory), "" }, nil
	case DynamoDB:
		store, err := openDynamoDB(ctx)
		if err != nil {
			return nil, err
		}
		return func() (memory.Store, string) { return store, rand.Text() }, nil
	}
	return nil, fmt.Errorf("%w: no store is called %q", memory.ErrInvalid, name)
}

// openDynamoDB is the SEAM for package dynamomemory: open the table EnvTable at
// EnvEndpoint, once for a process. Until then the store is refused.
func openDynamoDB(context.Context) (memory.Store, error) {
	return nil, fmt.Errorf("%w: this build has no store on DynamoDB", memory.ErrInvalid)
}
