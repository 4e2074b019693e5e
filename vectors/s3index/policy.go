package s3index

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"github.com/genaistore/genaistore/vectors"
)

// Access is what a policy allows.
type Access int

// The kinds of access to an index.
const (
	// QueryOnly makes queries that have no filter and read no metadata.
	QueryOnly Access = iota
	// ReadOnly reads and queries with filters.
	ReadOnly
	// ReadWrite reads, writes and deletes vectors.
	ReadWrite
)

// Policy returns the IAM policy, as JSON, of a role that uses the index indexARN
// through an [Index]: the calls of [Client] and no more. kmsKey is the ARN of the
// key that encrypts the index, or empty. The policy of that key must also allow
// the principal indexing.s3vectors.amazonaws.com to decrypt. An ARN that is not one
// of an index or key, or an access that is not known, is [vectors.ErrInvalid].
func Policy(access Access, indexARN, kmsKey string) (string, error) {
	index, err := parseIndex(indexARN)
	if err == nil {
		err = checkKey(kmsKey)
	}
	if err == nil && (access < QueryOnly || access > ReadWrite) {
		err = fmt.Errorf("%w: access %d is not known", vectors.ErrInvalid, access)
	}
	if err != nil {
		return "", fmt.Errorf("policy for %s: %w", indexARN, err)
	}
	var actions []string
	for call, least := range callAccess() {
		if least <= access {
			actions = append(actions, "s3vectors:"+call)
		}
	}
	statements := []statement{{Sid: "Vectors", Effect: "Allow", Action: slices.Sorted(slices.Values(actions)), Resource: []string{indexARN}}}
	return policyText(append(statements, keyStatements(index, kmsKey)...))
}

// AdminPolicy returns the IAM policy, as JSON, of a role that runs [EnsureBucket],
// [EnsureIndex], [UpdateMode] and [UpdateDefaultMode] for the index indexARN and its bucket: the calls
// of [AdminClient] and no access to vectors. kmsKey is as in [Policy].
func AdminPolicy(indexARN, kmsKey string) (string, error) {
	index, err := parseIndex(indexARN)
	if err == nil {
		err = checkKey(kmsKey)
	}
	if err != nil {
		return "", fmt.Errorf("admin policy for %s: %w", indexARN, err)
	}
	bucket, _, _ := strings.Cut(indexARN, "/index/")
	tags := []string{"s3vectors:ListTagsForResource", "s3vectors:TagResource"}
	statements := []statement{
		{Sid: "Bucket", Effect: "Allow", Action: append([]string{"s3vectors:CreateVectorBucket", "s3vectors:GetVectorBucket", "s3vectors:PutVectorBucketDefaultIndexMode"}, tags...), Resource: []string{bucket}},
		{Sid: "Index", Effect: "Allow", Action: append([]string{"s3vectors:CreateIndex", "s3vectors:GetIndex", "s3vectors:UpdateIndexMode"}, tags...), Resource: []string{indexARN}},
	}
	return policyText(append(statements, keyStatements(index, kmsKey)...))
}

// callAccess has an entry for each call of Client: the least access that makes it.
func callAccess() map[string]Access {
	return map[string]Access{
		"GetIndex":            QueryOnly,
		"ListTagsForResource": QueryOnly,
		"QueryVectors":        QueryOnly,
		"GetVectors":          ReadOnly,
		"ListVectors":         ReadOnly,
		"PutVectors":          ReadWrite,
		"DeleteVectors":       ReadWrite,
	}
}

func parseIndex(indexARN string) (arn.ARN, error) {
	parsed, err := arn.Parse(indexARN)
	if err != nil {
		return arn.ARN{}, fmt.Errorf("%w: %w", vectors.ErrInvalid, err)
	}
	bucket, index, ok := strings.Cut(strings.TrimPrefix(parsed.Resource, "bucket/"), "/index/")
	if !ok || parsed.Service != "s3vectors" || len(parsed.AccountID) != 12 || parsed.Region == "" || strings.ContainsAny(indexARN, "*?$") || validateNames(bucket, index) != nil {
		return arn.ARN{}, fmt.Errorf("%w: not the ARN of an index, which is like arn:aws:s3vectors:us-east-1:123456789012:bucket/name/index/name", vectors.ErrInvalid)
	}
	return parsed, nil
}

type statement struct {
	Sid       string
	Effect    string
	Action    []string
	Resource  []string
	Condition map[string]map[string]string `json:",omitempty"`
}

// keyStatements allow the key to be used through S3 Vectors alone.
func keyStatements(index arn.ARN, key string) []statement {
	if key == "" {
		return nil
	}
	suffix := map[string]string{"aws-cn": "amazonaws.com.cn"}[index.Partition]
	if suffix == "" {
		suffix = "amazonaws.com"
	}
	through := map[string]string{"kms:ViaService": "s3vectors." + index.Region + "." + suffix}
	return []statement{{
		Sid: "Key", Effect: "Allow", Action: []string{"kms:Decrypt", "kms:GenerateDataKey"}, Resource: []string{key},
		Condition: map[string]map[string]string{"StringEquals": maps.Clone(through)},
	}}
}

func policyText(statements []statement) (string, error) {
	data, err := json.MarshalIndent(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", statements}, "", "  ")
	return string(data), err
}
