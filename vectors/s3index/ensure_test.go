package s3index_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3vectors"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/vectors"
	"github.com/genaistore/genaistore/vectors/s3index"
)

const (
	key      = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	otherKey = "arn:aws:kms:us-east-1:123456789012:key/other"
	docsARN  = "arn:aws:s3vectors:us-east-1:123456789012:bucket/bucket/index/docs"
)

func TestBucketAndIndexAreMadeOnce(t *testing.T) {
	client := newFake(t).Client()
	ctx := t.Context()
	schema := vectors.Schema{Dimension: 3, Metric: vectors.Euclidean, NonFilterable: []string{"text", "html"}, Tags: map[string]string{"model": "titan"}}
	for _, created := range []bool{true, false} {
		report, err := s3index.EnsureBucket(ctx, client, "bucket", &s3index.BucketOptions{KMSKey: key, Tags: map[string]string{"team": "a"}})
		require.NoError(t, err)
		require.Equal(t, s3index.Report{Created: created}, report)
		report, err = s3index.EnsureIndex(ctx, client, "bucket", "docs", schema, &s3index.IndexOptions{KMSKey: key, Mode: s3index.Enhanced})
		require.NoError(t, err)
		require.Equal(t, s3index.Report{Created: created}, report)
		schema.NonFilterable = []string{"html", "text"} // in any order
	}
	got, err := open(t, client, nil).Describe(ctx)
	require.NoError(t, err)
	require.ElementsMatch(t, schema.NonFilterable, got.NonFilterable)
	require.Equal(t, schema.Tags, got.Tags)

	schema.Tags = map[string]string{"model": "nova", "dims": "3"}
	report, err := s3index.EnsureIndex(ctx, client, "bucket", "docs", schema, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"dims", "model"}, report.Tagged)
	report, err = s3index.EnsureBucket(ctx, client, "bucket", &s3index.BucketOptions{KMSKey: key, Tags: map[string]string{"more": "b"}})
	require.NoError(t, err)
	require.Equal(t, []string{"more"}, report.Tagged)
}

func TestDriftIsNamed(t *testing.T) {
	client := newFake(t).Client()
	ctx := t.Context()
	_, err := s3index.EnsureBucket(ctx, client, "bucket", nil)
	require.NoError(t, err)
	_, err = s3index.EnsureIndex(ctx, client, "bucket", "docs", vectors.Schema{Dimension: 3, NonFilterable: []string{"text"}}, nil)
	require.NoError(t, err)

	_, err = s3index.EnsureBucket(ctx, client, "bucket", &s3index.BucketOptions{KMSKey: key})
	require.ErrorIs(t, err, vectors.ErrConflict)
	require.ErrorContains(t, err, "encryption: have AES256, want "+key)
	report, err := s3index.EnsureIndex(ctx, client, "bucket", "docs", vectors.Schema{Dimension: 4, Metric: vectors.Euclidean, NonFilterable: []string{"body"}}, &s3index.IndexOptions{KMSKey: otherKey, Mode: s3index.Classic})
	require.ErrorIs(t, err, vectors.ErrConflict)
	require.Equal(t, []s3index.Drift{
		{Setting: "dimension", Have: "3", Want: "4"},
		{Setting: "metric", Have: "cosine", Want: "euclidean"},
		{Setting: "non-filterable keys", Have: "[text]", Want: "[body]"},
		{Setting: "encryption", Have: "AES256", Want: otherKey},
		{Setting: "mode", Have: "ENHANCED", Want: "CLASSIC"},
	}, report.Drift)
	require.ErrorContains(t, err, "dimension: have 3, want 4")
	require.ErrorIs(t, s3index.UpdateMode(ctx, client, "bucket", "docs", s3index.Classic), vectors.ErrInvalid)
}

func TestWhatCannotBeMadeIsNotAskedFor(t *testing.T) {
	fake := awsfake.NewVectors()
	client := fake.Client()
	ctx := t.Context()
	for name, o := range map[string]*s3index.BucketOptions{"a_b": nil, "bucket": {KMSKey: "alias/mine"}, "tagged": {Tags: map[string]string{"aws:x": ""}}} {
		_, err := s3index.EnsureBucket(ctx, client, name, o)
		require.ErrorIs(t, err, vectors.ErrInvalid, name)
	}
	_, err := s3index.EnsureIndex(ctx, client, "bucket", "docs", vectors.Schema{}, nil)
	require.ErrorContains(t, err, "is made for a dimension")
	_, err = s3index.EnsureIndex(ctx, client, "bucket", "docs", vectors.Schema{Dimension: 3}, nil)
	require.ErrorIs(t, err, vectors.ErrNotFound, "there is no bucket")
	require.ErrorIs(t, s3index.UpdateMode(ctx, client, "bucket", "docs", "FAST"), vectors.ErrInvalid)
	list, err := client.ListVectorBuckets(ctx, &s3vectors.ListVectorBucketsInput{})
	require.NoError(t, err)
	require.Empty(t, list.VectorBuckets)
}

func TestAnOldIndexIsUpgraded(t *testing.T) {
	fake := newFake(t)
	fake.Options.Classic = true
	client := create(t, fake, plain)
	_, err := s3index.EnsureIndex(t.Context(), client, "bucket", "docs", plain, &s3index.IndexOptions{Mode: s3index.Enhanced})
	require.ErrorContains(t, err, "mode: have CLASSIC, want ENHANCED")
	require.NoError(t, s3index.UpdateMode(t.Context(), client, "bucket", "docs", s3index.Enhanced))
	_, err = s3index.EnsureIndex(t.Context(), client, "bucket", "docs", plain, &s3index.IndexOptions{Mode: s3index.Enhanced})
	require.NoError(t, err)
}

// The permissions are those of the calls that the interfaces declare.
func TestPoliciesAllowTheCallsOfTheClients(t *testing.T) {
	write, err := s3index.Policy(s3index.ReadWrite, docsARN, key)
	require.NoError(t, err)
	admin, err := s3index.AdminPolicy(docsARN, "")
	require.NoError(t, err)
	calls := func(of reflect.Type) (names []string) {
		for method := range of.Methods() {
			names = append(names, method.Name)
		}
		return names
	}
	for _, call := range calls(reflect.TypeFor[s3index.Client]()) {
		require.Contains(t, write, `"s3vectors:`+call+`"`)
	}
	require.Equal(t, len(calls(reflect.TypeFor[s3index.Client]())), strings.Count(write, `"s3vectors:`))
	for _, call := range calls(reflect.TypeFor[s3index.AdminClient]()) {
		require.Contains(t, admin, `"s3vectors:`+call+`"`)
	}
	require.Contains(t, write, key)
	require.Contains(t, write, "s3vectors.us-east-1.amazonaws.com")
	require.NotContains(t, admin, "PutVectors")

	read, err := s3index.Policy(s3index.ReadOnly, docsARN, "")
	require.NoError(t, err)
	require.NotContains(t, read, "PutVectors")
	require.NotContains(t, read, "DeleteVectors")
	require.Contains(t, read, "GetVectors")
	only, err := s3index.Policy(s3index.QueryOnly, docsARN, "")
	require.NoError(t, err)
	require.NotContains(t, only, "GetVectors")
	for _, bad := range []string{"", "docs", "arn:aws:s3vectors:us-east-1:123456789012:bucket/bucket", strings.Replace(docsARN, "docs", "do*s", 1), strings.Replace(docsARN, "s3vectors", "s3", 1)} {
		_, err := s3index.Policy(s3index.ReadOnly, bad, "")
		require.ErrorIs(t, err, vectors.ErrInvalid, bad)
		_, err = s3index.AdminPolicy(bad, "")
		require.ErrorIs(t, err, vectors.ErrInvalid, bad)
	}
	_, err = s3index.Policy(s3index.ReadOnly, docsARN, "alias/x")
	require.ErrorIs(t, err, vectors.ErrInvalid)
	_, err = s3index.Policy(7, docsARN, "")
	require.ErrorIs(t, err, vectors.ErrInvalid)
}
