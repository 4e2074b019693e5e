package dynamomemory

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/memorytest"
)

// guarded is a fake whose requests are made by a role with policies, as IAM judges
// them: denied unless a policy allows it. Without policies the role is that of the
// tenant whose key the request names first.
func guarded(t *testing.T) (fake *awsfake.DynamoDB, assume func(policies ...policyDocument), denied func() []string) {
	fake = awsfake.NewDynamoDB()
	given := new(TableOptions).WithDefaults()
	_, err := fake.Client().CreateTable(t.Context(), given.createInput("talks"))
	require.NoError(t, err)
	var mu sync.Mutex
	var role []policyDocument
	var refused []string
	fake.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		data, _ := io.ReadAll(r.Body)
		if again, ok := r.Body.(io.Seeker); ok {
			again.Seek(0, io.SeekStart)
		}
		var in map[string]any
		if err := json.Unmarshal(data, &in); err != nil {
			t.Error(err)
		}
		resource := ourTable
		if index, ok := in["IndexName"].(string); ok {
			resource += "/index/" + index
		}
		mu.Lock()
		defer mu.Unlock()
		operation := awsfake.Operation(r)
		for _, part := range partsOf(operation, in) {
			allowed, policies := false, role
			if len(policies) == 0 {
				policies = []policyDocument{policyOf(t, ReadWrite, tenantOf(t, part.keys), nil)}
			}
			for _, policy := range policies {
				allowed = allowed || policy.allows("dynamodb:"+part.action, resource, part.keys...)
			}
			if !allowed {
				refused = append(refused, operation+" "+strings.Join(part.keys, " "))
				awsfake.Fail(w, r, http.StatusBadRequest, "AccessDeniedException", "not authorized to perform dynamodb:"+part.action)
				return true
			}
		}
		return false
	})
	return fake, func(policies ...policyDocument) {
			mu.Lock()
			defer mu.Unlock()
			role = policies
		}, func() []string {
			mu.Lock()
			defer mu.Unlock()
			return refused
		}
}

// part is what IAM judges of a request: an action with the partition keys it names.
type part struct {
	action string
	keys   []string
}

func partsOf(operation string, in map[string]any) []part {
	if operation != "TransactWriteItems" {
		return []part{{operation, leadingKeys(in)}}
	}
	var parts []part
	for _, action := range in["TransactItems"].([]any) {
		for name, of := range action.(map[string]any) {
			parts = append(parts, part{name + "Item", leadingKeys(of)})
		}
	}
	return parts
}

// leadingKeys finds the partition keys in a request: those of items and keys, and
// the values of a key condition, all of which begin alike.
func leadingKeys(in any) []string {
	var found []string
	switch in := in.(type) {
	case []any:
		for _, element := range in {
			found = append(found, leadingKeys(element)...)
		}
	case map[string]any:
		for name, element := range in {
			value, ok := element.(map[string]any)
			s, isString := value["S"].(string)
			if ok && isString && (name == "pk" || strings.HasPrefix(name, ":") && strings.HasPrefix(s, "T#")) {
				found = append(found, s)
				continue
			}
			found = append(found, leadingKeys(element)...)
		}
	}
	return found
}

func tenantOf(t *testing.T, keys []string) string {
	if len(keys) == 0 {
		t.Error("a request without a partition key")
		return ""
	}
	tenant, ok := decodePart(strings.Split(keys[0], "#")[1])
	require.True(t, ok)
	return tenant
}

// Whatever a Store does for a tenant is allowed to the role of that tenant: the
// whole suite passes under the policies of its tenants.
func TestTheSuitePassesUnderThePolicies(t *testing.T) {
	fake, _, denied := guarded(t)
	store, err := New(fake.Client(), "talks", nil)
	require.NoError(t, err)
	memorytest.Run(t, func(*testing.T) memory.Store { return store })
	require.Empty(t, denied())
}

func TestARoleReachesNoOtherTenantAndAReaderWritesNothing(t *testing.T) {
	fake, assume, denied := guarded(t)
	store := func() memory.Store { // of another process
		s, err := New(fake.Client(), "talks", nil)
		require.NoError(t, err)
		return s
	}
	ctx := t.Context()
	key := memory.Key{Tenant: "acme", App: "help", User: "ada", Session: "s1"}
	entry := memory.Entry{Messages: []memory.Message{memory.Text("user", "hello")}}
	assume(policyOf(t, ReadWrite, "acme", nil))
	_, err := store().Append(ctx, key, entry, nil)
	require.NoError(t, err)
	require.Empty(t, denied())

	assume(policyOf(t, ReadOnly, "acme", nil))
	window, err := store().Open(ctx, key, nil)
	require.NoError(t, err)
	require.Len(t, window.Records, 1)
	_, err = store().Append(ctx, key, entry, nil)
	require.ErrorIs(t, err, memory.ErrDenied)
	require.ErrorIs(t, store().Delete(ctx, key), memory.ErrDenied)

	assume(policyOf(t, ReadWrite, "acm", nil), policyOf(t, ReadWrite, "", nil), policyOf(t, ReadWrite, "acme2", nil))
	_, err = store().Open(ctx, key, nil)
	require.ErrorIs(t, err, memory.ErrDenied)
	_, err = store().Append(ctx, key, entry, nil)
	require.ErrorIs(t, err, memory.ErrDenied)

	assume(policyOf(t, ReadWrite, "acme", nil))
	window, err = store().Open(ctx, key, nil)
	require.NoError(t, err)
	require.Len(t, window.Records, 1, "nothing was written meanwhile")
}
