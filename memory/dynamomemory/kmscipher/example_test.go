package kmscipher_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
	"github.com/genaistore/genaistore/memory/dynamomemory/kmscipher"
)

// standIn takes the place of kms.NewFromConfig(cfg) here.
type standIn struct{ tenant string }

func (s *standIn) GenerateDataKey(_ context.Context, in *kms.GenerateDataKeyInput, _ ...func(*kms.Options)) (*kms.GenerateDataKeyOutput, error) {
	s.tenant = in.EncryptionContext["genaistore:tenant"]
	return &kms.GenerateDataKeyOutput{Plaintext: make([]byte, 32), CiphertextBlob: []byte("wrapped")}, nil
}

func (s *standIn) Decrypt(_ context.Context, in *kms.DecryptInput, _ ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	if in.EncryptionContext["genaistore:tenant"] != s.tenant {
		return nil, &types.InvalidCiphertextException{}
	}
	return &kms.DecryptOutput{Plaintext: make([]byte, 32)}, nil
}

// The key of a session is no key for another tenant, whoever copies it there.
func Example() {
	ctx := context.Background()
	cipher, err := kmscipher.New(&standIn{}, "alias/conversations", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	scope := dynamomemory.Scope{Table: "conversations", Tenant: "acme", App: "help", User: "ada", Session: "s1"}
	_, wrapped, err := cipher.NewKey(ctx, scope)
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := cipher.UnwrapKey(ctx, wrapped, scope)
	fmt.Println(len(key), err)

	scope.Tenant = "other"
	_, err = cipher.UnwrapKey(ctx, wrapped, scope)
	fmt.Println(errors.Is(err, memory.ErrCorrupt))
	// Output:
	// 32 <nil>
	// true
}
