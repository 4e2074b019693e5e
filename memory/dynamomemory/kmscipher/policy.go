package kmscipher

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"github.com/genaistore/genaistore/internal/fault"
	"github.com/genaistore/genaistore/memory"
)

// Policy returns the IAM policy, as JSON, of a role that serves one tenant: the
// calls of [Client] with the master key keyARN, for data keys of sessions of that
// tenant in that table alone. The empty tenant is the default one, not all of
// them. Who may only read what there is needs kms:Decrypt without the other action.
//
// https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-encryption-context
//
// An ARN that is not one of a key, a table without a name and a tenant that is
// none are errors that match memory.ErrInvalid.
func Policy(keyARN, table, tenant string) (string, error) {
	parsed, err := arn.Parse(keyARN)
	id, ok := strings.CutPrefix(parsed.Resource, "key/")
	if err != nil || !ok || parsed.Service != "kms" || id == "" || strings.ContainsAny(keyARN, "*?$") {
		return "", fmt.Errorf("kms policy: %w: %q is not the ARN of a key", fault.Invalid, keyARN)
	}
	if table == "" {
		return "", fmt.Errorf("kms policy: %w: no table", fault.Invalid)
	}
	if err := (memory.Key{Tenant: tenant}).ValidateScope(); err != nil {
		return "", fmt.Errorf("kms policy: %w", err)
	}
	// StringEquals knows no wildcards, but variables.
	literal := func(s string) string { return strings.ReplaceAll(s, "$", "${$}") }
	data, err := json.MarshalIndent(map[string]any{
		"Version": "2012-10-17",
		"Statement": []any{map[string]any{
			"Sid":      "DataKeys",
			"Effect":   "Allow",
			"Action":   []string{"kms:Decrypt", "kms:GenerateDataKey"},
			"Resource": keyARN,
			"Condition": map[string]any{"StringEquals": map[string]any{
				"kms:EncryptionContext:" + contextTable:  literal(table),
				"kms:EncryptionContext:" + contextTenant: literal(tenantContext(tenant)),
			}},
		}},
	}, "", "  ")
	return string(data), err
}
