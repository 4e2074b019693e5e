package s3blobs

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/genaistore/genaistore/internal/fault"
)

// Policy returns the IAM policy, as JSON, of a role that keeps and erases the blobs
// below a name, such as a tenant's first segment, in one bucket. Below "" it is the
// policy for all blobs of a [Store] with opts.
//
// The partition is that of the bucket: "aws", or "aws-cn" or "aws-us-gov". A bucket
// that is none and a bad name are errors that match memory.ErrInvalid.
func Policy(partition, bucket, below string, opts *Options) (string, error) {
	store, err := New(nil, bucket, opts)
	if err != nil {
		return "", err
	}
	if strings.Trim(bucket, bucketName) != "" || partition == "" || strings.Trim(partition, bucketName) != "" {
		return "", fmt.Errorf("s3 policy: %w: partition %q, bucket %q: letters, digits, dots and hyphens", fault.Invalid, partition, bucket)
	}
	prefix := store.opts.Prefix
	if below != "" {
		key, err := store.key(below)
		if err != nil {
			return "", fmt.Errorf("s3 policy: %w", err)
		}
		prefix = *key + "/"
	}
	literal := strings.NewReplacer("*", "${*}", "?", "${?}", "$", "${$}").Replace(prefix)
	root := "arn:" + partition + ":s3:::" + bucket
	type statement struct {
		Sid, Effect string
		Action      []string
		Resource    string
		Condition   map[string]any `json:",omitempty"`
	}
	data, err := json.MarshalIndent(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", []statement{
		{Sid: "Blobs", Effect: "Allow", Action: []string{"s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObject", "s3:PutObject"}, Resource: root + "/" + literal + "*"},
		{
			Sid: "Versions", Effect: "Allow", Action: []string{"s3:ListBucketVersions"}, Resource: root,
			Condition: map[string]any{"StringLike": map[string]any{"s3:prefix": literal + "*"}},
		},
	}}, "", "  ")
	return string(data), err
}

const bucketName = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"
