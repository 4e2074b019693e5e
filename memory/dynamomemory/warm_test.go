package dynamomemory_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
	"github.com/genaistore/genaistore/meter"
)

func TestWarmIsOneRequestAndSavesTheFirstAppendOne(t *testing.T) {
	fake := newFake(t)
	var asked []string
	fake.Intercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		asked = append(asked, awsfake.Operation(r))
		return false
	})
	var warm, cold meter.Meter
	store := open(t, fake, nil)
	require.NoError(t, store.Warm(meter.With(t.Context(), &warm), key("s")))
	require.EqualValues(t, 1, warm.Cost().Requests)
	require.InDelta(t, 1, warm.Cost().ReadUnits, 0)
	require.Equal(t, []string{"GetItem"}, asked)

	asked = nil
	require.NoError(t, appendTo(open(t, fake, nil), "cold", entry("a"), nil))
	require.Equal(t, []string{"GetItem"}, asked[:1], "a clock that is not known")
	without := len(asked)
	asked = nil
	_, err := store.Append(meter.With(t.Context(), &cold), key("s"), entry("a"), nil)
	require.NoError(t, err)
	require.Len(t, asked, without-1)
	require.Equal(t, []string{"a"}, texts(t, store, "s"))
}

func TestWarmSaysWhatEveryCallWouldMeet(t *testing.T) {
	fake := newFake(t)
	missing, err := dynamomemory.New(fake.Client(), "elsewhere", nil)
	require.NoError(t, err)
	require.ErrorIs(t, missing.Warm(t.Context(), memory.Key{}), memory.ErrNotFound)
	require.ErrorIs(t, missing.Warm(t.Context(), memory.Key{App: "a\x00"}), memory.ErrInvalid)
	require.ErrorIs(t, missing.Warm(t.Context(), memory.Key{Session: "s"}), memory.ErrInvalid)

	store := open(t, fake, nil)
	require.NoError(t, store.Warm(t.Context(), memory.Key{}), "the default tenant and app")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, store.Warm(ctx, memory.Key{}), context.Canceled)

	down := errors.New("no route to host")
	silent, err := dynamomemory.New(fake.Client(func(o *dynamodb.Options) {
		o.HTTPClient, o.Retryer = doer(func(*http.Request) (*http.Response, error) { return nil, down }), aws.NopRetryer{}
	}), tableName, nil)
	require.NoError(t, err)
	err = silent.Warm(t.Context(), memory.Key{Tenant: "acme", App: "support"})
	require.ErrorIs(t, err, memory.ErrThrottled)
	require.ErrorIs(t, err, down)
	require.ErrorContains(t, err, "warm acme/support: ")
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

func TestWarmFindsAClockThatIsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		fake.Jump(-10 * time.Minute)
		store := open(t, fake, nil)
		require.ErrorIs(t, store.Warm(t.Context(), key("s")), memory.ErrClockSkew)
		fake.Jump(10 * time.Minute)
		require.NoError(t, store.Warm(t.Context(), key("s")), "the clock is right again")
	})
}

// A role of one tenant may do it, whose policy is for keys of that tenant.
func TestWarmReadsAKeyOfTheTenant(t *testing.T) {
	reader := &keyReader{Client: newFake(t).Client()}
	store, err := dynamomemory.New(reader, tableName, nil)
	require.NoError(t, err)
	require.NoError(t, store.Warm(t.Context(), memory.Key{Tenant: "a#b", App: "x", User: "ada", Session: "s"}))
	require.Equal(t, []string{"T#a%23b#A#x"}, reader.read)
}

type keyReader struct {
	*dynamodb.Client
	read []string
}

func (k *keyReader) GetItem(ctx context.Context, in *dynamodb.GetItemInput, opts ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	if s, ok := in.Key["pk"].(*types.AttributeValueMemberS); ok {
		k.read = append(k.read, s.Value)
	}
	return k.Client.GetItem(ctx, in, opts...)
}
