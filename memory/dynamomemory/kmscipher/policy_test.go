package kmscipher

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/fault"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

const masterARN = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"

type policyStatement struct {
	Action    []string
	Resource  string
	Condition map[string]map[string]string
}

func policyOf(t *testing.T, table, tenant string) policyStatement {
	text, err := Policy(masterARN, table, tenant)
	require.NoError(t, err)
	var doc struct{ Statement []policyStatement }
	require.NoError(t, json.Unmarshal([]byte(text), &doc))
	require.Len(t, doc.Statement, 1)
	return doc.Statement[0]
}

func TestAPolicyAllowsTheCallsOfTheClient(t *testing.T) {
	var want []string
	for method := range reflect.TypeFor[Client]().Methods() {
		want = append(want, "kms:"+method.Name)
	}
	s := policyOf(t, "talks", "acme")
	require.ElementsMatch(t, want, s.Action)
	require.Equal(t, masterARN, s.Resource)
}

// What the policy asks for is what the cipher sends, and for one tenant only.
func TestAPolicyHoldsATenantToItsKeys(t *testing.T) {
	tenants := []string{"", "acme", "acme*", "*", "$", "${aws:username}", "%24", "T#", "a b", "a+b", "é"}
	for _, tenant := range tenants {
		asked := policyOf(t, "talks", tenant).Condition["StringEquals"]
		for _, other := range tenants {
			sent := encryptionContext(dynamomemory.Scope{Table: "talks", Tenant: other, App: "a", User: "ada", Session: "s1"})
			allowed := len(asked) == 2
			for name, value := range asked {
				have := sent[strings.TrimPrefix(name, "kms:EncryptionContext:")]
				allowed = allowed && have != "" && have == strings.ReplaceAll(value, "${$}", "$")
			}
			require.Equal(t, tenant == other, allowed, "%q on %q", tenant, other)
			for _, value := range asked {
				require.NotContains(t, strings.ReplaceAll(value, "${$}", ""), "${")
			}
		}
	}
}

func TestBadPoliciesAreRefused(t *testing.T) {
	for _, key := range []string{"", "alias/x", "arn:aws:kms:us-east-1:123456789012:alias/x", "arn:aws:kms:us-east-1:123456789012:key/*", "arn:aws:s3:::key/x"} {
		_, err := Policy(key, "talks", "acme")
		require.ErrorIs(t, err, fault.Invalid, key)
	}
	_, err := Policy(masterARN, "", "acme")
	require.ErrorIs(t, err, fault.Invalid)
	_, err = Policy(masterARN, "talks", "\x00")
	require.ErrorIs(t, err, fault.Invalid)
}
