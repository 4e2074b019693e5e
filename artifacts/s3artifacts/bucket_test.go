package s3artifacts_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/s3artifacts"
	"github.com/genaistore/genaistore/internal/awsfake"
)

func drifted(drift []s3artifacts.Drift) []string {
	var out []string
	for _, d := range drift {
		out = append(out, fmt.Sprintf("%s %t", d.What, d.Fixed))
	}
	return out
}

func TestEnsureBucketMakesAndRepairs(t *testing.T) {
	client := awsfake.NewS3().Client()
	ensure := func(opts *s3artifacts.BucketOptions) []string {
		drift, err := s3artifacts.EnsureBucket(t.Context(), client, "bucket", opts)
		require.NoError(t, err)
		return drifted(drift)
	}
	opts := &s3artifacts.BucketOptions{Root: "registry", KMSKeyID: "key"}
	require.Equal(t, []string{"bucket false"}, ensure(&s3artifacts.BucketOptions{Report: true}))
	require.Equal(t, []string{"bucket true", "versioning true", "public access true", "encryption true", "lifecycle true"}, ensure(opts))
	require.Empty(t, ensure(opts), "a second time changes nothing")

	// Rules of others stay, and one of ours that was changed is put back.
	out, err := client.GetBucketLifecycleConfiguration(t.Context(), &s3.GetBucketLifecycleConfigurationInput{Bucket: new("bucket")})
	require.NoError(t, err)
	out.Rules[0].AbortIncompleteMultipartUpload.DaysAfterInitiation = new(int32(99))
	rules := append(out.Rules, types.LifecycleRule{
		ID: new("theirs"), Status: types.ExpirationStatusEnabled, Filter: &types.LifecycleRuleFilter{Prefix: new("logs/")},
		Expiration: &types.LifecycleExpiration{Days: new(int32(3))},
	})
	_, err = client.PutBucketLifecycleConfiguration(t.Context(), &s3.PutBucketLifecycleConfigurationInput{
		Bucket: new("bucket"), LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: rules},
	})
	require.NoError(t, err)
	_, err = client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket: new("bucket"), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusSuspended},
	})
	require.NoError(t, err)
	report := *opts
	report.Report = true
	require.Equal(t, []string{"versioning false", "lifecycle false"}, ensure(&report))
	require.Equal(t, []string{"versioning true", "lifecycle true"}, ensure(opts))
	require.Empty(t, ensure(opts))
	out, err = client.GetBucketLifecycleConfiguration(t.Context(), &s3.GetBucketLifecycleConfigurationInput{Bucket: new("bucket")})
	require.NoError(t, err)
	require.True(t, slices.ContainsFunc(out.Rules, func(r types.LifecycleRule) bool { return *r.ID == "theirs" && *r.Expiration.Days == 3 }))
	require.Len(t, out.Rules, 2)

	for _, bad := range []*s3artifacts.BucketOptions{{Root: "/"}, {Noncurrent: time.Hour}, {AbortUploads: time.Hour}} {
		_, err := s3artifacts.EnsureBucket(t.Context(), client, "bucket", bad)
		require.ErrorIs(t, err, artifacts.ErrInvalid)
	}
}

func TestEnsureBucketNamesADefaultRetention(t *testing.T) {
	fake := awsfake.NewS3("bucket")
	fake.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if !r.URL.Query().Has("object-lock") {
			return false
		}
		_, _ = io.WriteString(w, `<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>9</Days></DefaultRetention></Rule></ObjectLockConfiguration>`)
		return true
	})
	drift, err := s3artifacts.EnsureBucket(t.Context(), fake.Client(), "bucket", nil)
	require.NoError(t, err)
	require.Equal(t, s3artifacts.Drift{What: "object lock", Want: "no default retention", Got: "COMPLIANCE"}, drift[len(drift)-1])
}

func TestProbeFindsWhatAStoreLacks(t *testing.T) {
	for name, tt := range map[string]struct {
		mode      awsfake.S3Mode
		intercept awsfake.Interceptor
		want      string
	}{
		"a bucket":              {},
		"a directory bucket":    {mode: awsfake.S3Mode{Directory: true}},
		"no conditions":         {mode: awsfake.S3Mode{Careless: true}, want: "If-None-Match"},
		"denied for not there":  {mode: awsfake.S3Mode{Blind: true}, want: "s3:ListBucket"},
		"ranges that are whole": {intercept: wholeRanges, want: "ranges"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := awsfake.NewS3("bucket")
			fake.Behave(tt.mode)
			fake.Intercept(tt.intercept)
			store := open(t, fake.Client(), nil)
			c, err := store.Probe(t.Context())
			require.NoError(t, err)
			if tt.want == "" {
				require.NoError(t, c.Err())
				require.Equal(t, s3artifacts.Capabilities{Conditions: true, MissingIsNotFound: true, ReadsWrites: true, Ranges: true, Lists: true, Checksums: true}, c)
			} else {
				require.ErrorIs(t, c.Err(), artifacts.ErrInvalid)
				require.ErrorContains(t, c.Err(), tt.want)
			}
			fake.Intercept(nil)
			fake.Behave(awsfake.S3Mode{})
			out, err := fake.Client().ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: new("bucket")})
			require.NoError(t, err)
			require.Empty(t, out.Contents, "a probe leaves nothing")
		})
	}
	_, err := open(t, awsfake.NewS3().Client(), nil).Probe(t.Context())
	require.ErrorContains(t, err, "NoSuchBucket")
}

func wholeRanges(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
	if r.Header.Get("Range") == "" {
		return false
	}
	_, _ = io.WriteString(w, "first")
	return true
}

func TestPoliciesNameWhatARoleMayDo(t *testing.T) {
	type statement struct {
		Effect           string
		Action, Resource []string
	}
	read := func(role s3artifacts.Role, tenants ...string) (all []statement, actions []string) {
		text, err := s3artifacts.Policy("bucket", "team", role, tenants...)
		require.NoError(t, err)
		var p struct{ Statement []statement }
		require.NoError(t, json.Unmarshal([]byte(text), &p))
		for _, s := range p.Statement {
			if s.Effect == "Allow" {
				actions = append(actions, s.Action...)
			}
		}
		slices.Sort(actions)
		return p.Statement, actions
	}
	_, actions := read(s3artifacts.Reader)
	require.Equal(t, []string{"s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"}, actions)
	_, actions = read(s3artifacts.Writer)
	require.NotContains(t, actions, "s3:DeleteObject")
	require.Contains(t, actions, "s3:PutObject")
	all, actions := read(s3artifacts.Collector, "acme", "")
	require.Contains(t, actions, "s3:DeleteObjectVersion")
	require.Contains(t, all[1].Resource, "arn:aws:s3:::bucket/team/a/acme/*")
	require.Contains(t, all[1].Resource, "arn:aws:s3:::bucket/team/n/=/*")
	require.Equal(t, "Deny", all[len(all)-1].Effect)
	require.Contains(t, all[len(all)-1].Resource, "arn:aws:s3:::bucket/team/a/acme/*/=/log/*")
	for _, bad := range []string{"a/b", "..", strings.Repeat("x", 200)} {
		_, err := s3artifacts.Policy("bucket", "", s3artifacts.Reader, bad)
		require.ErrorIs(t, err, artifacts.ErrInvalid)
	}
	_, err := s3artifacts.Policy("bucket", "", 7)
	require.ErrorIs(t, err, artifacts.ErrInvalid)
}

func TestDownloadsAreSigned(t *testing.T) {
	fake := awsfake.NewS3("bucket")
	client := fake.Client()
	store := open(t, client, nil)
	p := publish(t, store, files("dir/a b.txt", "1", "w", "2"), nil)
	var got []s3artifacts.Download
	for d, err := range store.Downloads(t.Context(), p.Version.ID, s3.NewPresignClient(client), time.Hour) {
		require.NoError(t, err)
		got = append(got, d)
	}
	require.Len(t, got, 2)
	require.Equal(t, "dir/a b.txt", got[0].Path)
	require.Contains(t, got[0].URL, "/b/")
	require.Contains(t, got[0].URL, "X-Amz-Expires=3600")
	require.Contains(t, got[0].URL, "a%2520b.txt")
	require.NotEmpty(t, got[0].CRC32C)
	require.True(t, strings.HasPrefix(got[0].URI, "s3://bucket/a/acme/llm/ranker/=/b/"))
	for _, expires := range []time.Duration{0, 8 * 24 * time.Hour} {
		for _, err := range store.Downloads(t.Context(), p.Version.ID, s3.NewPresignClient(client), expires) {
			require.ErrorIs(t, err, artifacts.ErrInvalid)
		}
	}
	for _, err := range store.Downloads(t.Context(), artifacts.ID{Name: ranker, Number: 9}, s3.NewPresignClient(client), time.Hour) {
		require.ErrorIs(t, err, artifacts.ErrNotFound)
	}
}

// Defaults: what was never committed is spared for a week, what was condemned for a
// day, and the parts of ranks wait.
func TestCollectTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := awsfake.NewS3("bucket").Client()
		store := open(t, client, nil)
		collect := func(opts *s3artifacts.CollectOptions) s3artifacts.Collection {
			done, err := store.Collect(t.Context(), ranker, opts)
			require.NoError(t, err)
			return done
		}
		publish(t, store, files("w", "1"), nil)
		publish(t, store, files("w", "22"), nil)
		_, err := store.Publish(t.Context(), ranker, files("part", "0"), &artifacts.PublishOptions{ID: "step", Ranks: 2})
		require.NoError(t, err)
		_, err = store.Apply(t.Context(), ranker, artifacts.Delete{Version: 1})
		require.NoError(t, err)
		require.Equal(t, s3artifacts.Collection{Objects: 4}, collect(nil))
		time.Sleep(6 * 24 * time.Hour)
		_, err = store.Publish(t.Context(), ranker, files("part", "0"), &artifacts.PublishOptions{ID: "step", Ranks: 2})
		require.NoError(t, err, "a rank that comes again")
		time.Sleep(2 * 24 * time.Hour)
		require.Equal(t, s3artifacts.Collection{Objects: 5, Condemned: 2}, collect(&s3artifacts.CollectOptions{DryRun: true}))
		require.Equal(t, s3artifacts.Collection{Objects: 5, Condemned: 2}, collect(nil), "version 1, and the part that was replaced")
		require.Equal(t, s3artifacts.Collection{Objects: 5}, collect(nil), "a day of grace")
		time.Sleep(25 * time.Hour)
		require.Equal(t, s3artifacts.Collection{Objects: 5, Deleted: 2, Bytes: 2}, collect(&s3artifacts.CollectOptions{DryRun: true}))
		require.Equal(t, s3artifacts.Collection{Objects: 5, Deleted: 2, Bytes: 2}, collect(nil))
		require.Equal(t, s3artifacts.Collection{Objects: 3}, collect(nil))
		p, err := store.Publish(t.Context(), ranker, files("other", "1"), &artifacts.PublishOptions{ID: "step", Ranks: 2, Rank: 1})
		require.NoError(t, err)
		require.Equal(t, 2, p.Version.Files, "the part waited")
		require.Equal(t, map[string]string{"2/w": "22", "3/part": "0", "3/other": "1"}, content(t, store))
	})
}

// In a bucket with versions, a file is read by the version that was published, so
// that a foreign overwrite or delete changes nothing; a collector leaves no version.
func TestVersionsAreASafetyNet(t *testing.T) {
	client := awsfake.NewS3().Client()
	_, err := s3artifacts.EnsureBucket(t.Context(), client, "bucket", nil)
	require.NoError(t, err)
	store := open(t, client, nil)
	publish(t, store, files("w", "1"), nil)
	before := content(t, store)
	x := &tampered{T: t, client: client}
	key := x.find("b/")
	x.write(key, []byte("overwritten"))
	x.remove(key)
	require.Equal(t, before, content(t, open(t, client, nil)))

	_, err = store.Apply(t.Context(), ranker, artifacts.Delete{Version: 1})
	require.NoError(t, err)
	done, err := store.Collect(t.Context(), ranker, &s3artifacts.CollectOptions{Age: s3artifacts.Never, Grace: s3artifacts.Never})
	require.NoError(t, err)
	require.Equal(t, 1, done.Deleted)
	out, err := client.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: new("bucket"), Prefix: new(tamperedBase + "b/")})
	require.NoError(t, err)
	require.Empty(t, out.Versions)
	require.Empty(t, out.DeleteMarkers)
}
