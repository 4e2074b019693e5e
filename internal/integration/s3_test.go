package integration

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/integration/servers"
)

func TestS3(t *testing.T) {
	targets := []target[*s3.Client]{
		{servers.NameVersitygw, servers.Versitygw},
		{servers.NameVersitygwTLS, servers.VersitygwTLS},
		{servers.NameMinIO, servers.MinIO},
		{servers.NameMoto, func(t testing.TB) *s3.Client { return servers.S3(servers.Moto(t)) }},
	}
	var checks []check[*s3.Client]
	for capability, prove := range s3Checks() {
		checks = append(checks, check[*s3.Client]{capability, func(t *testing.T, c *s3.Client) error {
			b, err := newBucket(t, c)
			if err != nil {
				return err
			}
			return prove(b)
		}})
	}
	runChecks(t, targets, checks)
}

// s3Checks yields the checks in the order of the report.
func s3Checks() func(yield func(servers.Capability, func(*bucket) error) bool) {
	list := []struct {
		servers.Capability
		prove func(*bucket) error
	}{
		{servers.Versioning, versioning},
		{servers.DefaultChecksum, defaultChecksum},
		{servers.IfNoneMatch, ifNoneMatch},
		{servers.IfMatch, ifMatch},
		{servers.IfNoneMatchAfterMarker, ifNoneMatchAfterMarker},
		{servers.ConditionalRace, conditionalRace},
		{servers.ConditionalOverwritesRaced, conditionalOverwrites},
		{servers.ChecksumAlgorithms, checksumAlgorithms},
		{servers.WrongChecksum, wrongChecksum},
		{servers.MultipartCRC64, multipartCRC64},
		{servers.MultipartComposite, multipartComposite},
		{servers.MultipartIfNoneMatch, multipartIfNoneMatch},
		{servers.ListObjectVersions, listVersions},
		{servers.ListObjectVersionsPaging, listVersionsPaging},
		{servers.RangeOfVersion, rangeOfVersion},
		{servers.GetPart, getPart},
		{servers.CopyVersion, copyVersion},
		{servers.CopySourceIfMatch, copySourceIfMatch},
		{servers.CopyIfNoneMatch, copyIfNoneMatch},
		{servers.CopyChecksum, copyChecksum},
		{servers.ListUploads, listUploads},
		{servers.ListPartsChecksums, listPartsChecksums},
		{servers.DeleteMarker, deleteMarker},
		{servers.MarkerNotAllowed, markerNotAllowed},
		{servers.DeleteIfMatch, deleteIfMatch},
		{servers.NullVersion, nullVersion},
		{servers.Listing, listing},
		{servers.KeyWithDoubleSlash, keyRoundTrip("x//y")},
		{servers.KeyWithTrailingSlash, keyRoundTrip("dir/")},
		{servers.StorageClasses, storageClasses},
		{servers.BogusStorageClass, bogusStorageClass},
		{servers.Restore, restore},
		{servers.Tagging, tagging},
		{servers.Signatures, signatures},
		{servers.ObjectAttributes, objectAttributes},
		{servers.LifecycleArchive, lifecycleArchive},
		{servers.LifecycleExpiry, lifecycleExpiry},
		{servers.TypedS3Errors, typedErrors},
		{servers.AppendByOffset, appendByOffset},
	}
	return func(yield func(servers.Capability, func(*bucket) error) bool) {
		for _, c := range list {
			if !yield(c.Capability, c.prove) {
				return
			}
		}
	}
}

func versioning(b *bucket) error {
	first, err1 := b.put("k", "one")
	second, err2 := b.put("k", "two")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if first == "" || first == second {
		return fmt.Errorf("versions %q and %q", first, second)
	}
	old, err1 := b.get("k", ofVersion(first))
	now, err2 := b.get("k")
	return errors.Join(err1, err2, same("old", old, "one"), same("now", now, "two"))
}

func ifNoneMatch(b *bucket) error {
	if _, err := b.put("k", "one", ifAbsent); err != nil {
		return err
	}
	_, err := b.put("k", "two", ifAbsent)
	now, getErr := b.get("k")
	return errors.Join(answered(err, preconditionFailed), getErr, same("content", now, "one"))
}

func ifMatch(b *bucket) error {
	one, err := b.putObject("k", "one")
	if err != nil {
		return err
	}
	if _, err := b.put("k", "two", ifETag(*one.ETag)); err != nil {
		return fmt.Errorf("the right ETag: %w", err)
	}
	_, stale := b.put("k", "three", ifETag(*one.ETag))
	_, absent := b.put("none", "x", ifETag(*one.ETag))
	return errors.Join(answered(stale, preconditionFailed), answered(absent, http.StatusNotFound))
}

func ifNoneMatchAfterMarker(b *bucket) error {
	if _, err := b.put("k", "one"); err != nil {
		return err
	}
	if _, err := b.delete(); err != nil {
		return err
	}
	_, err := b.put("k", "two", ifAbsent)
	return err
}

func conditionalRace(b *bucket) error {
	var wins atomic.Int32
	errs := make([]error, 20)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			_, err := b.put("k", strconv.Itoa(i), ifAbsent)
			if err == nil {
				wins.Add(1)
				return
			}
			errs[i] = answered(err, preconditionFailed, http.StatusConflict)
		})
	}
	wg.Wait()
	return errors.Join(errors.Join(errs...), same("winners", wins.Load(), int32(1)))
}

func conditionalOverwrites(b *bucket) error {
	if _, err := b.put("n", "0"); err != nil {
		return err
	}
	add := func() error {
		for range 200 {
			content, o, err := b.read("n")
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(content)
			if err != nil {
				return err
			}
			_, err = b.put("n", strconv.Itoa(n+1), ifETag(*o.ETag))
			if err == nil {
				return nil
			}
			if err := answered(err, preconditionFailed, http.StatusConflict); err != nil {
				return err
			}
		}
		return errors.New("lost 200 races")
	}
	errs := make([]error, 10)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = add() })
	}
	wg.Wait()
	n, err := b.get("n")
	return errors.Join(errors.Join(errs...), err, same("n", n, "10"))
}

func listVersions(b *bucket) error {
	first, err1 := b.put("k", "one")
	second, err2 := b.put("k", "two")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	o, err := b.ListObjectVersions(b.t.Context(), &s3.ListObjectVersionsInput{Bucket: b.name})
	if err != nil {
		return err
	}
	var got []string
	for _, v := range o.Versions {
		got = append(got, fmt.Sprint(value(v.VersionId), " ", *v.IsLatest))
	}
	return same("versions", got, []string{second + " true", first + " false"})
}

func listVersionsPaging(b *bucket) error {
	for i := range 6 {
		if _, err := b.put(fmt.Sprintf("k%d", i%2), "x"); err != nil {
			return err
		}
	}
	for _, size := range []int32{1, 2, 4} {
		in := &s3.ListObjectVersionsInput{Bucket: b.name, MaxKeys: &size}
		seen := map[string]int{}
		for page := 0; ; page++ {
			o, err := b.ListObjectVersions(b.t.Context(), in)
			if err != nil {
				return err
			}
			for _, v := range o.Versions {
				seen[*v.Key+" "+*v.VersionId]++
			}
			if o.IsTruncated == nil || !*o.IsTruncated {
				break
			}
			if page == 20 {
				return fmt.Errorf("pages of %d never end", size)
			}
			in.KeyMarker, in.VersionIdMarker = o.NextKeyMarker, o.NextVersionIdMarker
		}
		for version, n := range seen {
			if n != 1 {
				return fmt.Errorf("pages of %d: %s seen %d times", size, version, n)
			}
		}
		if len(seen) != 6 {
			return fmt.Errorf("pages of %d: %d versions of 6", size, len(seen))
		}
	}
	return nil
}

func rangeOfVersion(b *bucket) error {
	first, err := b.put("k", "0123456789")
	if err != nil {
		return err
	}
	if _, err := b.put("k", "later"); err != nil {
		return err
	}
	middle, err1 := b.get("k", ofVersion(first), inRange("bytes=2-4"))
	end, err2 := b.get("k", ofVersion(first), inRange("bytes=-3"))
	_, beyond := b.get("k", ofVersion(first), inRange("bytes=10-"))
	return errors.Join(err1, err2, same("middle", middle, "234"), same("end", end, "789"),
		answered(beyond, http.StatusRequestedRangeNotSatisfiable))
}

func copyVersion(b *bucket) error {
	first, err := b.put("k", "one")
	if err != nil {
		return err
	}
	if _, err := b.put("k", "two"); err != nil {
		return err
	}
	if _, err := b.CopyObject(b.t.Context(), &s3.CopyObjectInput{
		Bucket: b.name, Key: new("copy"), CopySource: new(*b.name + "/k?versionId=" + first),
		MetadataDirective: types.MetadataDirectiveReplace, Metadata: map[string]string{"by": "copy"},
	}); err != nil {
		return err
	}
	content, o, err := b.read("copy")
	if err != nil {
		return err
	}
	return errors.Join(same("content", content, "one"), same("metadata", o.Metadata, map[string]string{"by": "copy"}))
}

func copySourceIfMatch(b *bucket) error {
	if _, err := b.put("k", "one"); err != nil {
		return err
	}
	_, err := b.CopyObject(b.t.Context(), &s3.CopyObjectInput{
		Bucket: b.name, Key: new("copy"), CopySource: new(*b.name + "/k"), CopySourceIfMatch: new(`"0123456789abcdef0123456789abcdef"`),
	})
	return answered(err, preconditionFailed)
}

func copyIfNoneMatch(b *bucket) error {
	_, err1 := b.put("k", "one")
	_, err2 := b.put("copy", "two")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	_, err := b.CopyObject(b.t.Context(), &s3.CopyObjectInput{
		Bucket: b.name, Key: new("copy"), CopySource: new(*b.name + "/k"), IfNoneMatch: new("*"),
	})
	return answered(err, preconditionFailed)
}

func deleteMarker(b *bucket) error {
	first, err := b.put("k", "one")
	if err != nil {
		return err
	}
	o, err := b.delete()
	if err != nil {
		return err
	}
	if o.DeleteMarker == nil || !*o.DeleteMarker || o.VersionId == nil {
		return errors.New("the answer has no delete marker")
	}
	_, gone := b.get("k")
	old, err := b.get("k", ofVersion(first))
	if err := errors.Join(failsAs[*types.NoSuchKey](gone), err, same("old version", old, "one")); err != nil {
		return err
	}
	if _, err := b.delete(func(in *s3.DeleteObjectInput) { in.VersionId = o.VersionId }); err != nil {
		return err
	}
	back, err := b.get("k")
	return errors.Join(err, same("content", back, "one"))
}

func markerNotAllowed(b *bucket) error {
	if _, err := b.put("k", "one"); err != nil {
		return err
	}
	o, err := b.delete()
	if err != nil {
		return err
	}
	_, err = b.get("k", ofVersion(value(o.VersionId)))
	return answered(err, http.StatusMethodNotAllowed)
}

func deleteIfMatch(b *bucket) error {
	one, err := b.putObject("k", "one")
	if err != nil {
		return err
	}
	if _, err := b.put("k", "two"); err != nil {
		return err
	}
	_, err = b.delete(func(in *s3.DeleteObjectInput) { in.IfMatch = one.ETag })
	return answered(err, preconditionFailed)
}

func nullVersion(b *bucket) error {
	if _, err := b.put("k", "kept"); err != nil {
		return err
	}
	if err := b.versioning(types.BucketVersioningStatusSuspended); err != nil {
		return err
	}
	for _, content := range []string{"one", "two"} {
		if _, err := b.put("k", content); err != nil {
			return err
		}
	}
	null, err := b.get("k", ofVersion("null"))
	if err != nil {
		return err
	}
	o, err := b.ListObjectVersions(b.t.Context(), &s3.ListObjectVersionsInput{Bucket: b.name})
	if err != nil {
		return err
	}
	return errors.Join(same("null version", null, "two"), same("versions", len(o.Versions), 2))
}

func listing(b *bucket) error {
	for _, key := range []string{"a/1", "a/2", "b/1", "c", "d"} {
		if _, err := b.put(key, key); err != nil {
			return err
		}
	}
	var got []string
	in := &s3.ListObjectsV2Input{Bucket: b.name, Delimiter: new("/"), MaxKeys: new(int32(2))}
	for range 10 {
		o, err := b.ListObjectsV2(b.t.Context(), in)
		if err != nil {
			return err
		}
		for _, p := range o.CommonPrefixes {
			got = append(got, *p.Prefix)
		}
		for _, o := range o.Contents {
			got = append(got, *o.Key)
		}
		if o.NextContinuationToken == nil {
			break
		}
		in.ContinuationToken = o.NextContinuationToken
	}
	return same("listed", got, []string{"a/", "b/", "c", "d"})
}

// keyRoundTrip also reads ordinary keys that are hard to encode.
func keyRoundTrip(odd string) func(*bucket) error {
	return func(b *bucket) error {
		for _, key := range []string{"a b", "a+b", "a%20b", "ünï-日本", "q?x=1&y", "h#h", "c:d;e,f=g@h", "it's (1)*!", odd} {
			if _, err := b.put(key, key); err != nil {
				return fmt.Errorf("%q: %w", key, err)
			}
			content, err := b.get(key)
			if err != nil {
				return fmt.Errorf("%q: %w", key, err)
			}
			if content != key {
				return fmt.Errorf("%q holds %q", key, content)
			}
		}
		o, err := b.ListObjectsV2(b.t.Context(), &s3.ListObjectsV2Input{Bucket: b.name})
		if err != nil {
			return err
		}
		var keys []string
		for _, o := range o.Contents {
			keys = append(keys, *o.Key)
		}
		if len(keys) != 9 || !strings.Contains(strings.Join(keys, "\n"), odd) {
			return fmt.Errorf("listed %q", keys)
		}
		return nil
	}
}

func signatures(b *bucket) error {
	if _, err := b.put("k", "one"); err != nil {
		return err
	}
	options := b.Options()
	good, err := options.Credentials.Retrieve(b.t.Context())
	if err != nil {
		return err
	}
	// The signer keeps what it derived from a key id's secret: this needs a new one.
	options.HTTPSignerV4, options.AuthSchemes = nil, nil
	options.Credentials = credentials.NewStaticCredentialsProvider(good.AccessKeyID, "wrong", good.SessionToken)
	_, err = s3.New(options).GetObject(b.t.Context(), &s3.GetObjectInput{Bucket: b.name, Key: new("k")})
	return answered(err, http.StatusForbidden)
}

func typedErrors(b *bucket) error {
	_, noKey := b.get("none")
	_, noBucket := b.GetObject(b.t.Context(), &s3.GetObjectInput{Bucket: new(servers.Unique(b.t, "none")), Key: new("k")})
	if _, err := b.put("k", "one"); err != nil {
		return err
	}
	_, notEmpty := b.DeleteBucket(b.t.Context(), &s3.DeleteBucketInput{Bucket: b.name})
	return errors.Join(failsAs[*types.NoSuchKey](noKey), failsWith(noBucket, "NoSuchBucket"), failsWith(notEmpty, "BucketNotEmpty"))
}

// A transport that keeps the header of the last request.
type recorder struct {
	s3.HTTPClient

	header http.Header
}

func (r *recorder) Do(req *http.Request) (*http.Response, error) {
	r.header = req.Header.Clone()
	return r.HTTPClient.Do(req)
}

// A configuration made by hand has no default for checksums: forget them, and every
// test here would pass without any.
func TestClientsSendChecksums(t *testing.T) {
	for name, c := range map[string]struct {
		client func(testing.TB) *s3.Client
		header string
	}{
		"over HTTP in a header":   {servers.Versitygw, "X-Amz-Checksum-Crc32"},
		"over HTTPS in a trailer": {servers.VersitygwTLS, "X-Amz-Trailer"},
	} {
		t.Run(name, func(t *testing.T) {
			if servers.OnAWS(t) {
				t.Skip("AWS is only spoken to over HTTPS")
			}
			b, err := newBucket(t, c.client(t))
			require.NoError(t, err)
			var sent *recorder
			_, err = b.PutObject(t.Context(), &s3.PutObjectInput{Bucket: b.name, Key: new("k"), Body: strings.NewReader("one")}, func(o *s3.Options) {
				sent = &recorder{HTTPClient: o.HTTPClient}
				o.HTTPClient = sent
			})
			require.NoError(t, err)
			require.NotEmpty(t, sent.header.Get(c.header), sent.header)
		})
	}
}
