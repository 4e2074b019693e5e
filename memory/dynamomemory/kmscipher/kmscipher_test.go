package kmscipher

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/fault"
	"github.com/genaistore/genaistore/memory/dynamomemory"
	"github.com/genaistore/genaistore/meter"
)

// keyService is AWS KMS with keys made from their names: what it wraps is
// authentic and bound to the encryption context, as there.
type keyService struct {
	mu       sync.Mutex
	requests int
	contexts []map[string]string
	refuse   error
	short    bool // a key of the wrong size
}

func aead(key string) (cipher.AEAD, error) {
	block, err := aes.NewCipher([]byte(fmt.Sprintf("%-32.32s", key)))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (s *keyService) begin(ctx context.Context, bound map[string]string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	s.contexts = append(s.contexts, bound)
	if err := errors.Join(ctx.Err(), s.refuse); err != nil {
		return nil, err
	}
	for name, value := range bound {
		if name == "" || value == "" {
			return nil, &smithy.GenericAPIError{Code: "ValidationException", Message: "an empty member of the encryption context"}
		}
	}
	return json.Marshal(bound) // in the order of names
}

func (s *keyService) GenerateDataKey(ctx context.Context, in *kms.GenerateDataKeyInput, _ ...func(*kms.Options)) (*kms.GenerateDataKeyOutput, error) {
	bound, err := s.begin(ctx, in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	if in.KeySpec != types.DataKeySpecAes256 {
		return nil, &smithy.GenericAPIError{Code: "ValidationException"}
	}
	seal, err := aead(*in.KeyId)
	if err != nil {
		return nil, err
	}
	key := make([]byte, 32)
	rand.Read(key)
	if s.short {
		key = key[:16]
	}
	nonce := make([]byte, seal.NonceSize())
	rand.Read(nonce)
	blob := append([]byte(fmt.Sprintf("%-16.16s", *in.KeyId)), nonce...)
	return &kms.GenerateDataKeyOutput{KeyId: in.KeyId, Plaintext: key, CiphertextBlob: seal.Seal(blob, nonce, key, bound)}, nil
}

func (s *keyService) Decrypt(ctx context.Context, in *kms.DecryptInput, _ ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	bound, err := s.begin(ctx, in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	invalid := &types.InvalidCiphertextException{}
	const name, nonce = 16, 12
	if len(in.CiphertextBlob) < name+nonce {
		return nil, invalid
	}
	if strings.TrimSpace(string(in.CiphertextBlob[:name])) != *in.KeyId {
		return nil, &types.IncorrectKeyException{}
	}
	open, err := aead(*in.KeyId)
	if err != nil {
		return nil, err
	}
	key, err := open.Open(nil, in.CiphertextBlob[name:name+nonce], in.CiphertextBlob[name+nonce:], bound)
	if err != nil {
		return nil, invalid
	}
	return &kms.DecryptOutput{KeyId: in.KeyId, Plaintext: key}, nil
}

var ada = dynamomemory.Scope{Table: "talks", Tenant: "acme", App: "help", User: "ada", Session: "s1"}

func newCipher(t testing.TB, service *keyService, opts *Options) *Cipher {
	c, err := New(service, "master", opts)
	require.NoError(t, err)
	return c
}

func TestAKeyComesBack(t *testing.T) {
	service := &keyService{}
	key, wrapped, err := newCipher(t, service, nil).NewKey(t.Context(), ada)
	require.NoError(t, err)
	require.Len(t, key, 32)
	require.NotContains(t, string(wrapped), string(key))
	again, err := newCipher(t, service, nil).UnwrapKey(t.Context(), wrapped, ada) // another process
	require.NoError(t, err)
	require.Equal(t, key, again)
}

func TestEverySessionHasAKeyOfItsOwn(t *testing.T) {
	c := newCipher(t, &keyService{}, nil)
	a, _, err := c.NewKey(t.Context(), ada)
	require.NoError(t, err)
	b, _, err := c.NewKey(t.Context(), ada)
	require.NoError(t, err)
	require.NotEqual(t, a, b)
}

func TestAKeyIsBoundToItsWholeScope(t *testing.T) {
	for _, other := range []dynamomemory.Scope{
		{Table: "talks2", Tenant: "acme", App: "help", User: "ada", Session: "s1"},
		{Table: "talks", Tenant: "acm", App: "help", User: "ada", Session: "s1"},
		{Table: "talks", Tenant: "", App: "help", User: "ada", Session: "s1"},
		{Table: "talks", Tenant: "acme", App: "help2", User: "ada", Session: "s1"},
		{Table: "talks", Tenant: "acme", App: "hel", User: "pada", Session: "s1"}, // moved between parts
		{Table: "talks", Tenant: "acme", App: "help", User: "bob", Session: "s1"},
		{Table: "talks", Tenant: "acme", App: "help", User: "ada", Session: "s2"},
		{Table: "talks", Tenant: "acme", App: "help", User: "ada"},
	} {
		service := &keyService{}
		c := newCipher(t, service, nil)
		_, wrapped, err := c.NewKey(t.Context(), ada)
		require.NoError(t, err)
		_, err = c.UnwrapKey(t.Context(), wrapped, ada)
		require.NoError(t, err)
		_, err = c.UnwrapKey(t.Context(), wrapped, other) // although it is in memory
		require.ErrorIs(t, err, fault.Corrupt, "%+v", other)
	}
}

func TestTamperingIsCorrupt(t *testing.T) {
	service := &keyService{}
	c := newCipher(t, service, nil)
	_, wrapped, err := c.NewKey(t.Context(), ada)
	require.NoError(t, err)
	for i := range wrapped {
		forged := bytes.Clone(wrapped)
		forged[i] ^= 1
		_, err := c.UnwrapKey(t.Context(), forged, ada)
		require.ErrorIs(t, err, fault.Corrupt, "byte %d", i)
	}
	for _, forged := range [][]byte{nil, {}, wrapped[:10], wrapped[:len(wrapped)-1]} {
		_, err := c.UnwrapKey(t.Context(), forged, ada)
		require.ErrorIs(t, err, fault.Corrupt)
	}
}

// Who can write to the table must not choose whose master key is used.
func TestAKeyOfAnotherMasterIsCorrupt(t *testing.T) {
	service := &keyService{}
	theirs, err := New(service, "theirs", nil)
	require.NoError(t, err)
	_, wrapped, err := theirs.NewKey(t.Context(), ada)
	require.NoError(t, err)
	_, err = newCipher(t, service, nil).UnwrapKey(t.Context(), wrapped, ada)
	require.ErrorIs(t, err, fault.Corrupt)

	key, err := newCipher(t, service, &Options{Former: []string{"older", "theirs"}}).UnwrapKey(t.Context(), wrapped, ada)
	require.NoError(t, err, "a former master key")
	require.Len(t, key, 32)
}

func TestAWarmProcessAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := &keyService{}
		_, wrapped, err := newCipher(t, service, nil).NewKey(t.Context(), ada)
		require.NoError(t, err)
		c := newCipher(t, service, &Options{CacheTTL: time.Minute})
		var m meter.Meter
		ctx := meter.With(t.Context(), &m)
		for range 5 {
			key, err := c.UnwrapKey(ctx, wrapped, ada)
			require.NoError(t, err)
			require.NotEqual(t, make([]byte, 32), key)
			clear(key) // the caller's copy
			time.Sleep(14 * time.Second)
		}
		require.EqualValues(t, 1, m.Cost().Requests)

		// The permission is taken away: the cache ends by time, not by use.
		service.refuse = &smithy.GenericAPIError{Code: "AccessDeniedException"}
		_, err = c.UnwrapKey(ctx, wrapped, ada)
		require.ErrorIs(t, err, fault.Denied)
	})
}

func TestTheCacheIsBounded(t *testing.T) {
	service := &keyService{}
	c := newCipher(t, service, &Options{CacheSize: 2})
	var wrapped [3][]byte
	for i := range wrapped {
		var err error
		_, wrapped[i], err = c.NewKey(t.Context(), ada)
		require.NoError(t, err)
	}
	require.Equal(t, 2, c.cache.order.Len())
	require.Len(t, c.cache.items, 2)
	asked := service.requests
	for _, i := range []int{1, 2, 1} { // 0 is out
		_, err := c.UnwrapKey(t.Context(), wrapped[i], ada)
		require.NoError(t, err)
	}
	require.Equal(t, asked, service.requests)
	_, err := c.UnwrapKey(t.Context(), wrapped[0], ada) // puts 2 out, which was used before 1
	require.NoError(t, err)
	require.Equal(t, asked+1, service.requests)
	_, err = c.UnwrapKey(t.Context(), wrapped[1], ada)
	require.NoError(t, err)
	require.Equal(t, asked+1, service.requests)

	none := newCipher(t, service, &Options{CacheSize: -1})
	for range 2 {
		_, err := none.UnwrapKey(t.Context(), wrapped[0], ada)
		require.NoError(t, err)
	}
	require.Equal(t, asked+3, service.requests)
}

func TestADroppedKeyIsWiped(t *testing.T) {
	c := newCipher(t, &keyService{}, &Options{CacheSize: 1})
	_, _, err := c.NewKey(t.Context(), ada)
	require.NoError(t, err)
	kept := c.cache.order.Front().Value.(*entry).key
	_, _, err = c.NewKey(t.Context(), ada)
	require.NoError(t, err)
	require.Equal(t, make([]byte, 32), kept)
}

func TestManyGoroutinesShareACipher(t *testing.T) {
	service := &keyService{}
	c := newCipher(t, service, &Options{CacheSize: 3})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			scope := ada
			scope.Session = fmt.Sprint(i)
			key, wrapped, err := c.NewKey(t.Context(), scope)
			for range 20 {
				if err != nil {
					t.Error(err)
					return
				}
				var again []byte
				if again, err = c.UnwrapKey(t.Context(), wrapped, scope); err == nil && !bytes.Equal(key, again) {
					t.Error("another session's key")
				}
			}
		})
	}
	wg.Wait()
}

func TestErrorsOfKMSKeepTheirKind(t *testing.T) {
	for code, kind := range map[string]error{
		"AccessDeniedException":    fault.Denied,
		"ExpiredTokenException":    fault.Denied,
		"DisabledException":        fault.Denied,
		"KMSInvalidStateException": fault.Denied,
		"NotFoundException":        fault.Denied,
		"ThrottlingException":      fault.Throttled,
		"KeyUnavailableException":  fault.Throttled,
		"InvalidKeyUsageException": fault.Invalid,
	} {
		c := newCipher(t, &keyService{refuse: &smithy.GenericAPIError{Code: code}}, nil)
		_, _, err := c.NewKey(t.Context(), ada)
		require.ErrorIs(t, err, kind, code)
		require.ErrorContains(t, err, "kms:GenerateDataKey")
		_, err = c.UnwrapKey(t.Context(), []byte("x"), ada)
		require.ErrorIs(t, err, kind, code)
		require.ErrorContains(t, err, "kms:Decrypt")
	}
	_, _, err := newCipher(t, &keyService{short: true}, nil).NewKey(t.Context(), ada)
	require.ErrorIs(t, err, fault.Corrupt)
}

func TestCancellationStopsACipher(t *testing.T) {
	service := &keyService{}
	c := newCipher(t, service, nil)
	_, wrapped, err := c.NewKey(t.Context(), ada)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = c.NewKey(ctx, ada)
	require.ErrorIs(t, err, context.Canceled)
	_, err = c.UnwrapKey(ctx, wrapped, ada) // from memory or not
	require.ErrorIs(t, err, context.Canceled)
}

// CloudTrail logs the encryption context: the people of a conversation are not in it.
func TestTheContextNamesNoUser(t *testing.T) {
	service := &keyService{}
	_, _, err := newCipher(t, service, nil).NewKey(t.Context(), dynamomemory.Scope{Table: "talks", User: "ada@example.org", Session: "about-her-divorce"})
	require.NoError(t, err)
	logged := fmt.Sprint(service.contexts)
	require.NotContains(t, logged, "ada")
	require.NotContains(t, logged, "divorce")
	require.Contains(t, logged, "genaistore:table:talks")
	require.Contains(t, logged, "genaistore:tenant:T#")
}

func TestBadOptionsAreRefused(t *testing.T) {
	_, err := New(&keyService{}, "", nil)
	require.ErrorIs(t, err, fault.Invalid)
	_, err = New(&keyService{}, "master", &Options{Former: []string{""}})
	require.ErrorIs(t, err, fault.Invalid)
	_, err = New(&keyService{}, "master", &Options{CacheTTL: -1})
	require.ErrorIs(t, err, fault.Invalid)
}

func FuzzScopeDigest(f *testing.F) {
	f.Add("t", "a", "b", "c", "d", "t", "a", "bc", "", "d")
	f.Add("", "", "", "", "", "", "", "", "", "\x00")
	f.Fuzz(func(t *testing.T, a, b, c, d, e, a2, b2, c2, d2, e2 string) {
		one, two := dynamomemory.Scope{Table: a, Tenant: b, App: c, User: d, Session: e}, dynamomemory.Scope{Table: a2, Tenant: b2, App: c2, User: d2, Session: e2}
		require.Equal(t, one == two, digestOf(one) == digestOf(two))
		require.Equal(t, b == b2, tenantContext(b) == tenantContext(b2))
	})
}
