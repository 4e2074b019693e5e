package dynamomemory

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/fault"
	"github.com/genaistore/genaistore/memory"
)

const ourTable = "arn:aws:dynamodb:us-east-1:123456789012:table/talks"

type policyDocument struct {
	Version   string
	Statement []statement
}

func policyOf(t testing.TB, access Access, tenant string, opts *TableOptions) policyDocument {
	text, err := Policy(access, ourTable, tenant, opts)
	require.NoError(t, err)
	return parsePolicy(t, text)
}

func parsePolicy(t testing.TB, text string) policyDocument {
	var doc policyDocument
	require.NoError(t, json.Unmarshal([]byte(text), &doc))
	require.Equal(t, "2012-10-17", doc.Version, "older ones have no escapes")
	return doc
}

// allows evaluates the policy as IAM does: one Allow that matches suffices.
func (d policyDocument) allows(action, resource string, leadingKeys ...string) bool {
	return slices.ContainsFunc(d.Statement, func(s statement) bool {
		if !slices.Contains(s.Action, action) || !slices.ContainsFunc(s.Resource, func(r string) bool { return like(r, resource) }) {
			return false
		}
		condition, bound := s.Condition["ForAllValues:StringLike"].(map[string]any)
		if !bound {
			return true
		}
		if null, ok := s.Condition["Null"].(map[string]any); ok && null["dynamodb:LeadingKeys"] == "false" && len(leadingKeys) == 0 {
			return false
		}
		for _, key := range leadingKeys {
			if !slices.ContainsFunc(condition["dynamodb:LeadingKeys"].([]any), func(p any) bool { return like(p.(string), key) }) {
				return false
			}
		}
		return true
	})
}

// like is StringLike: * and ? are wildcards, ${*}, ${?} and ${$} are characters, and
// any other ${name} is what the request says, here the name of who makes it.
func like(pattern, s string) bool {
	if pattern == "" {
		return s == ""
	}
	for _, c := range "*?$" {
		if rest, ok := strings.CutPrefix(pattern, "${"+string(c)+"}"); ok {
			return strings.HasPrefix(s, string(c)) && like(rest, s[1:])
		}
	}
	if strings.HasPrefix(pattern, "${") {
		if _, rest, ok := strings.Cut(pattern, "}"); ok {
			after, ok := strings.CutPrefix(s, "mallory")
			return ok && like(rest, after)
		}
	}
	switch {
	case pattern[0] == '*':
		return like(pattern[1:], s) || s != "" && like(pattern, s[1:])
	case s == "":
		return false
	case pattern[0] == '?' || pattern[0] == s[0]:
		return like(pattern[1:], s[1:])
	}
	return false
}

// partitions are the keys of every kind of partition that a tenant has.
func partitions(k memory.Key) []string {
	return []string{at(k).pk, userPK(k), appPK(k), directoryPK(k, 3), intentPK(k, "refund", time.Now(), 1)}
}

func TestAPolicyHoldsATenantToItsItems(t *testing.T) {
	tenants := []string{"", "acme", "acme2", "acm", "a*", "a?me", "*", "**", "#", "a#S", "%", "%23", "$", "${*}", "${aws:username}", "mallory", "T#", "é", strings.Repeat("#", 200), strings.Repeat("x", 256)}
	for _, tenant := range tenants {
		doc := policyOf(t, ReadWrite, tenant, nil)
		for _, other := range tenants {
			for _, pk := range partitions(memory.Key{Tenant: other, App: "app*", User: "ada", Session: "s#1"}) {
				require.Equal(t, tenant == other, doc.allows("dynamodb:PutItem", ourTable, pk), "%q on %q", tenant, pk)
				require.Equal(t, tenant == other, doc.allows("dynamodb:Query", ourTable+"/index/byIntent", pk), "%q on %q", tenant, pk)
			}
		}
	}
}

func FuzzPolicyTenant(f *testing.F) {
	f.Add("acme", "acm*", "app", "ada", "s1")
	f.Add("", "#", "", "T##", "")
	f.Add("${*}", "*", "a", "b", "c")
	f.Fuzz(func(t *testing.T, tenant, other, app, user, session string) {
		key := memory.Key{Tenant: other, App: app, User: user, Session: session}
		if key.ValidateScope() != nil || (memory.Key{Tenant: tenant}).ValidateScope() != nil {
			t.Skip()
		}
		doc := policyOf(t, ReadOnly, tenant, nil)
		for _, pk := range partitions(key) {
			require.Equal(t, tenant == other, doc.allows("dynamodb:GetItem", ourTable, pk), "%q on %q", tenant, pk)
		}
	})
}

func TestARequestForTwoTenantsIsDenied(t *testing.T) {
	doc := policyOf(t, ReadWrite, "acme", nil)
	require.True(t, doc.allows("dynamodb:BatchGetItem", ourTable, "T#acme#S#", "T#acme#U#"))
	require.False(t, doc.allows("dynamodb:BatchGetItem", ourTable, "T#acme#S#", "T#other#S#"))
	require.False(t, doc.allows("dynamodb:Query", ourTable), "no leading key at all")
}

func TestWhatPoliciesAllow(t *testing.T) {
	reads := []string{"BatchGetItem", "GetItem", "Query"}
	writes := []string{"BatchWriteItem", "DeleteItem", "PutItem", "UpdateItem"}
	other := []string{"Scan", "PartiQLSelect", "PartiQLUpdate", "PartiQLDelete", "DeleteTable", "UpdateTable", "CreateTable", "UpdateTimeToLive", "ExportTableToPointInTime"}
	readOnly, readWrite := policyOf(t, ReadOnly, "acme", nil), policyOf(t, ReadWrite, "acme", nil)
	text, err := AdminPolicy(ourTable, nil)
	require.NoError(t, err)
	admin := parsePolicy(t, text)
	for _, call := range slices.Concat(reads, writes, other) {
		action := "dynamodb:" + call
		require.Equal(t, slices.Contains(reads, call), readOnly.allows(action, ourTable, "T#acme#S#"), call)
		require.Equal(t, slices.Contains(reads, call) || slices.Contains(writes, call), readWrite.allows(action, ourTable, "T#acme#S#"), call)
		require.Equal(t, slices.Contains(adminActions(), action), admin.allows(action, ourTable), call)
		require.Equal(t, call == "Query", readWrite.allows(action, ourTable+"/index/byIntent", "T#acme#I#"), call)
		require.Equal(t, call == "Query", readWrite.allows(action, ourTable+"/index/bySentiment", "T#acme#S#"), call)
		require.False(t, readWrite.allows(action, ourTable+"2", "T#acme#S#"), call)
		require.False(t, readWrite.allows(action, ourTable+"/index/other", "T#acme#S#"), call)
	}
	require.False(t, policyOf(t, ReadOnly, "acme", &TableOptions{NoLSI: true}).allows("dynamodb:Query", ourTable+"/index/bySentiment", "T#acme#S#"))
	require.True(t, policyOf(t, ReadOnly, "acme", &TableOptions{Schema: Schema{IntentIndex: "gsi1"}}).allows("dynamodb:Query", ourTable+"/index/gsi1", "T#acme#I#"))
}

// A call that Client gains is denied in production by a policy that lacks it.
func TestPoliciesKnowEveryCallOfTheClients(t *testing.T) {
	allowed := callPermissions()
	for method := range reflect.TypeFor[Client]().Methods() {
		require.Contains(t, allowed, method.Name, "Client has a call that Policy does not allow")
		delete(allowed, method.Name)
	}
	require.Empty(t, allowed, "Policy allows calls that Client does not make")

	var actions []string
	for method := range reflect.TypeFor[AdminClient]().Methods() {
		actions = append(actions, "dynamodb:"+method.Name)
	}
	require.ElementsMatch(t, actions, adminActions())
}

func TestACustomersKeyIsUsedThroughDynamoDBOnly(t *testing.T) {
	const key = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
	doc := policyOf(t, ReadOnly, "acme", &TableOptions{KMSKey: key})
	last := doc.Statement[len(doc.Statement)-1]
	require.Equal(t, []string{key}, last.Resource)
	require.Equal(t, map[string]any{"StringEquals": map[string]any{"kms:ViaService": "dynamodb.us-east-1.amazonaws.com"}}, last.Condition)
	require.Len(t, policyOf(t, ReadOnly, "acme", &TableOptions{KMSKey: awsManagedKey}).Statement, 2)
}

func TestBadPoliciesAreRefused(t *testing.T) {
	for _, table := range []string{
		"", "talks", "arn:aws:dynamodb:us-east-1:123456789012:table/*", "arn:aws:dynamodb:*:123456789012:table/talks",
		"arn:aws:dynamodb:us-east-1:*:table/talks", "arn:aws:s3:us-east-1:123456789012:table/talks",
		"arn:aws:dynamodb:us-east-1:123456789012:table/talks/index/x", "arn:*:dynamodb:us-east-1:123456789012:table/talks",
		"arn:aws:dynamodb:us-east-1:123456789012:global-table/talks",
	} {
		_, err := Policy(ReadOnly, table, "acme", nil)
		require.ErrorIs(t, err, fault.Invalid, table)
		_, err = AdminPolicy(table, nil)
		require.ErrorIs(t, err, fault.Invalid, table)
	}
	for _, tenant := range []string{"a\nb", "\xff", strings.Repeat("x", 257)} {
		_, err := Policy(ReadOnly, ourTable, tenant, nil)
		require.ErrorIs(t, err, fault.Invalid, tenant)
	}
	_, err := Policy(Access(5), ourTable, "acme", nil)
	require.ErrorIs(t, err, fault.Invalid)
	_, err = Policy(ReadOnly, ourTable, "acme", &TableOptions{KMSKey: "alias/ours"})
	require.ErrorIs(t, err, fault.Invalid)
}
