package s3blobs_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory/s3blobs"
)

func TestAPolicyHoldsARoleToWholeSegments(t *testing.T) {
	text, err := s3blobs.Policy("aws", "talks", "t-a$b", &s3blobs.Options{Prefix: "memory/"})
	require.NoError(t, err)
	var doc struct {
		Statement []struct {
			Sid       string
			Action    []string
			Resource  string
			Condition map[string]map[string]string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(text), &doc))
	require.Len(t, doc.Statement, 2)
	blobs, versions := doc.Statement[0], doc.Statement[1]
	require.Equal(t, "arn:aws:s3:::talks/memory/t-a${$}b/*", blobs.Resource)
	require.Equal(t, []string{"s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObject", "s3:PutObject"}, blobs.Action)
	require.Equal(t, "arn:aws:s3:::talks", versions.Resource)
	require.Equal(t, map[string]map[string]string{"StringLike": {"s3:prefix": "memory/t-a${$}b/*"}}, versions.Condition)

	text, err = s3blobs.Policy("aws-cn", "talks", "", nil)
	require.NoError(t, err)
	require.Contains(t, text, `"arn:aws-cn:s3:::talks/*"`)
}

func TestBadS3PoliciesAreRefused(t *testing.T) {
	for _, c := range [][3]string{{"aws", "", "t"}, {"aws", "a*", "t"}, {"*", "talks", "t"}, {"", "talks", "t"}, {"aws", "talks", "*"}, {"aws", "talks", "a/../b"}, {"aws", "talks", "a/"}} {
		text, err := s3blobs.Policy(c[0], c[1], c[2], nil)
		require.ErrorIs(t, err, memory.ErrInvalid, strings.Join(c[:], " "))
		require.Empty(t, text)
	}
}
