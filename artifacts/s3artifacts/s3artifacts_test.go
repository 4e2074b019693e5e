package s3artifacts_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/artifactstest"
	"github.com/genaistore/genaistore/artifacts/s3artifacts"
	"github.com/genaistore/genaistore/internal/awsfake"
)

func open(t testing.TB, client s3artifacts.Client, opts *s3artifacts.Options) *s3artifacts.Store {
	t.Helper()
	store, err := s3artifacts.New(client, "bucket", opts)
	require.NoError(t, err)
	return store
}

func TestSuite(t *testing.T) {
	artifactstest.Run(t, func(t *testing.T) artifacts.Store { return open(t, awsfake.NewS3("bucket").Client(), nil) })
}

func TestSuiteInABucketWithVersions(t *testing.T) {
	artifactstest.Run(t, func(t *testing.T) artifacts.Store {
		client := awsfake.NewS3("bucket").Client()
		_, err := client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
			Bucket: new("bucket"), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
		})
		require.NoError(t, err)
		return open(t, client, &s3artifacts.Options{Root: "team/registry"})
	})
}

func TestSuiteInADirectoryBucket(t *testing.T) {
	artifactstest.Run(t, func(t *testing.T) artifacts.Store {
		fake := awsfake.NewS3("bucket")
		fake.Behave(awsfake.S3Mode{Directory: true})
		return open(t, fake.Client(), nil)
	})
}

// Every process starts with nothing but the bucket.
func TestSuiteWithAStoreThatRemembersNothing(t *testing.T) {
	artifactstest.Run(t, func(t *testing.T) artifacts.Store { return &forgetful{awsfake.NewS3("bucket").Client(), t} })
}
