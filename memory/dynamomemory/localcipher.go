package dynamomemory

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"

	"github.com/genaistore/genaistore/memory"
)

// A LocalCipher is a [Cipher] that wraps data keys with one key in this process: for
// tests, and for programs that keep that key safe themselves.
type LocalCipher struct{ key []byte }

// NewLocalCipher returns a Cipher with the given 32-byte key.
func NewLocalCipher(key []byte) (*LocalCipher, error) {
	if len(key) != 32 {
		return nil, fmt.Errorf("new cipher: %w: a key of %d bytes: 32 are needed", memory.ErrInvalid, len(key))
	}
	return &LocalCipher{append([]byte{}, key...)}, nil
}

// NewKey implements [Cipher].
func (c *LocalCipher) NewKey(ctx context.Context, scope Scope) (key, wrapped []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	key = make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, nil, fmt.Errorf("new key: %w", err)
	}
	wrapped, err = encrypt(key, c.key, scope.associated())
	return key, wrapped, err
}

// UnwrapKey implements [Cipher].
func (c *LocalCipher) UnwrapKey(ctx context.Context, wrapped []byte, scope Scope) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return decrypt(wrapped, c.key, scope.associated())
}

// associated is the scope as associated data: no two scopes have the same.
func (s Scope) associated() string {
	var b strings.Builder
	for _, part := range []string{s.Table, s.Tenant, s.App, s.User, s.Session} {
		b.WriteString(strconv.Itoa(len(part)))
		b.WriteByte(':')
		b.WriteString(part)
	}
	return b.String()
}
