package dynamomemory_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

func TestErrorsOfTheServiceHaveAKind(t *testing.T) {
	tests := []struct {
		code string
		want error
	}{
		{"ThrottlingException", memory.ErrThrottled},
		{"ProvisionedThroughputExceededException", memory.ErrThrottled},
		{"RequestLimitExceeded", memory.ErrThrottled},
		{"InternalServerError", memory.ErrThrottled},
		{"AccessDeniedException", memory.ErrDenied},
		{"ExpiredTokenException", memory.ErrDenied},
		{"UnrecognizedClientException", memory.ErrDenied},
		{"ValidationException", memory.ErrInvalid},
		{"ItemCollectionSizeLimitExceededException", memory.ErrInvalid},
		{"ResourceNotFoundException", memory.ErrNotFound},
	}
	for _, tt := range tests {
		t.Run(tt.code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := newFake(t)
				store := open(t, fake, nil)
				require.NoError(t, appendTo(store, "s", entry("a"), nil))
				fake.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
					awsfake.Fail(w, r, http.StatusBadRequest, tt.code, "no")
					return true
				})
				for name, err := range everyCall(store) {
					require.ErrorIs(t, err, tt.want, name)
					var api smithy.APIError
					require.ErrorAs(t, err, &api, name)
					require.Equal(t, tt.code, api.ErrorCode())
				}
				fake.Intercept(nil)
				require.Equal(t, []string{"a"}, texts(t, store, "s"))
			})
		})
	}
}

// everyCall makes each call that needs the table and returns its error.
func everyCall(s memory.Store) map[string]error {
	ctx := context.Background()
	errs := map[string]error{
		"append":      appendTo(s, "s", entry("b"), nil),
		"append new":  appendTo(s, "new", entry("b"), nil),
		"append once": appendTo(s, "s", entry("b"), &memory.AppendOptions{RequestID: "r"}),
		"create":      update(s, "new", memory.Create{}),
		"fork":        update(s, "new", memory.Fork{From: "s"}),
		"title":       update(s, "s", memory.SetTitle{Title: "t"}),
		"annotate":    update(s, "s", memory.Annotate{Record: "x", Notes: memory.Notes{Intent: "i"}}),
		"delete":      s.Delete(ctx, key("s")),
	}
	_, errs["open"] = s.Open(ctx, key("s"), nil)
	_, errs["open user"] = s.Open(ctx, key("s").Owner(), nil)
	for name, q := range map[string]memory.Query{
		"find": {Tenant: "acme"}, "find intent": {Tenant: "acme", Intent: "i", Since: time.Now()},
	} {
		for _, err := range s.Find(ctx, q) {
			errs[name] = err
		}
	}
	for name, opts := range map[string]memory.RangeOptions{"records": {}, "by sentiment": {BySentiment: true}} {
		for _, err := range s.Records(ctx, key("s"), &opts) {
			errs[name] = err
		}
	}
	return errs
}

func TestAMissingTableIsSaid(t *testing.T) {
	store, err := dynamomemory.New(awsfake.NewDynamoDB().Client(), "nowhere", nil)
	require.NoError(t, err)
	for name, err := range everyCall(store) {
		require.ErrorIs(t, err, memory.ErrNotFound, name)
		require.ErrorContains(t, err, `there is no table "nowhere"`, name)
	}
}

func TestATableWithOtherKeysIsSaid(t *testing.T) {
	fake := awsfake.NewDynamoDB()
	other := dynamomemory.Schema{PartitionKey: "id", SortKey: "range"}
	_, err := dynamomemory.EnsureTable(t.Context(), fake.Client(), tableName, &dynamomemory.TableOptions{Schema: other, NoTTL: true, NoRecovery: true})
	require.NoError(t, err)
	for name, err := range everyCall(open(t, fake, nil)) {
		require.ErrorIs(t, err, memory.ErrInvalid, name)
	}
	err = appendTo(open(t, fake, nil), "s", entry("a"), nil)
	require.ErrorContains(t, err, "other keys than this Schema")
	require.NoError(t, appendTo(open(t, fake, &dynamomemory.Options{Schema: other}), "s", entry("a"), nil))
}

func TestAnIndexThatIsBeingBuiltIsSaid(t *testing.T) {
	fake := newFake(t)
	store := open(t, fake, nil)
	require.NoError(t, appendTo(store, "s", entry("a"), nil))
	fake.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		building := strings.Contains(peek(r), `"byIntent"`)
		if building {
			awsfake.Fail(w, r, http.StatusBadRequest, "ValidationException", "Cannot read from backfilling global secondary index: byIntent")
		}
		return building
	})
	for _, err := range store.Find(t.Context(), memory.Query{Tenant: "acme", Intent: "i", Since: time.Now()}) {
		require.ErrorIs(t, err, memory.ErrInvalid)
		require.ErrorContains(t, err, `index "byIntent" is missing, or still being built`)
	}
	require.NoError(t, update(store, "s", memory.SetTitle{Title: "t"}), "all else goes on")
}

// Without credentials nothing is sent, so that nothing can have been done.
func TestMissingCredentialsAreDenied(t *testing.T) {
	for name, opts := range map[string]func(o *dynamodb.Options){
		"credentials that cannot be had": func(o *dynamodb.Options) {
			o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{}, errors.New("the role cannot be assumed")
			})
		},
		"credentials that are refused": func(o *dynamodb.Options) {
			o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{}, &smithy.GenericAPIError{Code: "ExpiredTokenException", Message: "the token has expired"}
			})
		},
		"no region": func(o *dynamodb.Options) { o.Region = "" },
	} {
		t.Run(name, func(t *testing.T) {
			fake := newFake(t)
			store, err := dynamomemory.New(fake.Client(opts), tableName, nil)
			require.NoError(t, err)
			for call, err := range everyCall(store) {
				require.ErrorIs(t, err, memory.ErrDenied, call)
				require.NotErrorIs(t, err, memory.ErrThrottled, call)
			}
		})
	}
}

// A router is a client that is not the SDK's, and has no route.
type router struct{ dynamomemory.Client }

func (router) GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return nil, &smithy.OperationError{ServiceID: "another", OperationName: "GetItem", Err: errors.New("no routes found")}
}

func TestAnErrorOfAnotherClientIsNotDenied(t *testing.T) {
	store, err := dynamomemory.New(router{newFake(t).Client()}, tableName, nil)
	require.NoError(t, err)
	require.ErrorIs(t, appendTo(store, "s", entry("a"), nil), memory.ErrThrottled)
}
