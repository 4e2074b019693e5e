// Package kmscipher has AWS KMS make and unwrap the data keys of sessions for
// package dynamomemory. Each session has a key of its own, which KMS returns only
// to who may use the master key for exactly that session; erasing the session's
// wrapped key makes what is left of it unreadable, in backups too.
package kmscipher

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"github.com/genaistore/genaistore/internal/fault"
	"github.com/genaistore/genaistore/memory/dynamomemory"
	"github.com/genaistore/genaistore/meter"
)

var _ dynamomemory.Cipher = (*Cipher)(nil)

// Client are the calls of AWS KMS that a Cipher makes; *kms.Client is one. A role
// that only reads needs Decrypt alone.
type Client interface {
	GenerateDataKey(ctx context.Context, in *kms.GenerateDataKeyInput, options ...func(*kms.Options)) (*kms.GenerateDataKeyOutput, error)
	Decrypt(ctx context.Context, in *kms.DecryptInput, options ...func(*kms.Options)) (*kms.DecryptOutput, error)
}

// Options configure a [Cipher]. The zero value is the default.
type Options struct {
	// Former are master keys that were used before: wrapped keys that are not of
	// the present one are tried with these, in order.
	Former []string
	// CacheSize is the most data keys that are kept in memory, so that a warm
	// process does not ask KMS again: 1,000 by default, none if negative.
	CacheSize int
	// CacheTTL is how long a data key is kept, and so how long a session can be
	// read after its key or the permission is gone: 5 minutes by default.
	CacheTTL time.Duration
}

const (
	defaultSize = 1000
	defaultTTL  = 5 * time.Minute
	keySize     = 32
)

// WithDefaults returns o with every default set. It accepts a nil receiver.
func (o *Options) WithDefaults() Options {
	var given Options
	if o != nil {
		given = *o
	}
	given.Former = slices.Clone(given.Former)
	given.CacheSize = cmp.Or(given.CacheSize, defaultSize)
	given.CacheTTL = cmp.Or(given.CacheTTL, defaultTTL)
	return given
}

// A Cipher wraps data keys with a master key in AWS KMS. It is safe for
// concurrent use.
type Cipher struct {
	client Client
	keys   []string // the present master key, then the former ones
	cache  cache
}

// New returns a Cipher with the master key named by id, ARN or alias. An alias
// that is pointed at a new key needs the old one in opts.Former. Opts may be nil.
// An empty key and a negative CacheTTL are errors that match memory.ErrInvalid.
func New(client Client, key string, opts *Options) (*Cipher, error) {
	given := opts.WithDefaults()
	keys := append([]string{key}, given.Former...)
	switch {
	case slices.Contains(keys, ""):
		return nil, fmt.Errorf("kms cipher: %w: a master key without a name", fault.Invalid)
	case given.CacheTTL < 0:
		return nil, fmt.Errorf("kms cipher: %w: a negative CacheTTL of %v; a negative CacheSize keeps nothing", fault.Invalid, given.CacheTTL)
	}
	return &Cipher{client: client, keys: keys, cache: cache{size: max(0, given.CacheSize), ttl: given.CacheTTL}}, nil
}

// NewKey implements dynamomemory.Cipher with one GenerateDataKey.
func (c *Cipher) NewKey(ctx context.Context, scope dynamomemory.Scope) (key, wrapped []byte, err error) {
	meter.Add(ctx, meter.Cost{Requests: 1})
	out, err := c.client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{
		KeyId: &c.keys[0], KeySpec: types.DataKeySpecAes256, EncryptionContext: encryptionContext(scope),
	})
	if err != nil {
		return nil, nil, fmt.Errorf("new key: %w", classify("GenerateDataKey", err))
	}
	if len(out.Plaintext) != keySize || len(out.CiphertextBlob) == 0 {
		return nil, nil, fmt.Errorf("new key: %w: KMS returned a key of %d bytes", fault.Corrupt, len(out.Plaintext))
	}
	c.cache.put(cacheKey(out.CiphertextBlob, scope), out.Plaintext)
	return out.Plaintext, out.CiphertextBlob, nil
}

// UnwrapKey implements dynamomemory.Cipher with one Decrypt, or none if the key is
// in memory. Besides the errors that dynamomemory.Cipher names, a key that is
// disabled, or will be or was deleted, is memory.ErrDenied.
func (c *Cipher) UnwrapKey(ctx context.Context, wrapped []byte, scope dynamomemory.Scope) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("unwrap key: %w", err)
	}
	if len(wrapped) == 0 {
		return nil, fmt.Errorf("unwrap key: %w: nothing to unwrap", fault.Corrupt)
	}
	id := cacheKey(wrapped, scope)
	if key := c.cache.get(id); key != nil {
		return key, nil
	}
	key, err := c.decrypt(ctx, wrapped, scope)
	if err != nil {
		return nil, fmt.Errorf("unwrap key: %w", err)
	}
	c.cache.put(id, key)
	return key, nil
}

func (c *Cipher) decrypt(ctx context.Context, wrapped []byte, scope dynamomemory.Scope) ([]byte, error) {
	var last error
	for _, master := range c.keys {
		meter.Add(ctx, meter.Cost{Requests: 1})
		// The master key is named although the wrapped key names it too: else who can
		// write to the table chooses a key of their own account.
		out, err := c.client.Decrypt(ctx, &kms.DecryptInput{
			CiphertextBlob: wrapped, KeyId: &master, EncryptionContext: encryptionContext(scope),
		})
		if _, other := errors.AsType[*types.IncorrectKeyException](err); other {
			last = err
			continue
		}
		if err != nil {
			return nil, classify("Decrypt", err)
		}
		if len(out.Plaintext) != keySize {
			return nil, fmt.Errorf("%w: a key of %d bytes", fault.Corrupt, len(out.Plaintext))
		}
		return out.Plaintext, nil
	}
	return nil, classify("Decrypt", last)
}

// The names of the encryption context, which CloudTrail logs and key policies may
// ask for as kms:EncryptionContext:<name>. The tenant is as the table has it;
// users and sessions are in the digest alone.
const (
	contextTable  = "genaistore:table"
	contextTenant = "genaistore:tenant"
	contextScope  = "genaistore:scope"
)

// encryptionContext binds a key to its scope: KMS unwraps it with the same one
// and no other.
func encryptionContext(scope dynamomemory.Scope) map[string]string {
	digest := digestOf(scope)
	return map[string]string{
		contextTable:  scope.Table,
		contextTenant: tenantContext(scope.Tenant),
		contextScope:  base64.RawURLEncoding.EncodeToString(digest[:]),
	}
}

// tenantContext is never empty, as KMS has it, and different for each tenant.
func tenantContext(tenant string) string { return "T#" + url.QueryEscape(tenant) }

// digestOf is different for different scopes: each part goes in with its length.
func digestOf(scope dynamomemory.Scope) [sha256.Size]byte {
	var buf []byte
	for _, part := range []string{scope.Table, scope.Tenant, scope.App, scope.User, scope.Session} {
		buf = binary.AppendUvarint(buf, uint64(len(part)))
		buf = append(buf, part...)
	}
	return sha256.Sum256(buf)
}

// cacheKey is different for the same bytes in another scope: what KMS would
// refuse must not be found in memory.
func cacheKey(wrapped []byte, scope dynamomemory.Scope) [sha256.Size]byte {
	digest := digestOf(scope)
	return sha256.Sum256(bytes.Join([][]byte{digest[:], wrapped}, nil))
}

// classify says what kind of error a call ended with, naming the action that a
// policy must allow.
func classify(action string, err error) error {
	kind := kindOf(err)
	if kind == nil {
		return fmt.Errorf("kms:%s: %w", action, err)
	}
	return fmt.Errorf("kms:%s: %w: %w", action, kind, err)
}

func kindOf(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return nil
	}
	switch api.ErrorCode() {
	case "InvalidCiphertextException", "IncorrectKeyException":
		return fault.Corrupt
	case "AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException", "InvalidSignatureException",
		"DisabledException", "KMSInvalidStateException", "NotFoundException":
		return fault.Denied
	case "ThrottlingException", "LimitExceededException", "KeyUnavailableException", "DependencyTimeoutException", "KMSInternalException":
		return fault.Throttled
	case "InvalidKeyUsageException", "ValidationException", "InvalidArnException":
		return fault.Invalid
	}
	return nil
}
