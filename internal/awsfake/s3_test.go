package awsfake_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
)

// unsigned lets a body that cannot be read twice be sent: its checksum follows in
// a trailer.
func unsigned(stack *middleware.Stack) error {
	return v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware(stack)
}

func object(t *testing.T, client *s3.Client, key string) string {
	t.Helper()
	out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: new("bucket"), Key: &key})
	require.NoError(t, err)
	data, err := io.ReadAll(out.Body)
	require.NoError(t, err)
	return string(data)
}

func putObject(t *testing.T, client *s3.Client, key, data string) string {
	t.Helper()
	out, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: new("bucket"), Key: &key, Body: strings.NewReader(data)})
	require.NoError(t, err)
	return *out.ETag
}

func TestS3ReturnsWhatItWasGiven(t *testing.T) {
	client := awsfake.NewS3("bucket").Client()
	for _, key := range []string{"a", "a/b c", "ü+%2F?&#", "./x//"} {
		out, err := client.PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: new("bucket"), Key: &key, Body: strings.NewReader("data of " + key),
			ContentType: new("text/plain"), ContentEncoding: new("identity"), Metadata: map[string]string{"author": "ada"},
		})
		require.NoError(t, err)
		require.Equal(t, "data of "+key, object(t, client, key))

		head, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: new("bucket"), Key: &key})
		require.NoError(t, err)
		require.Equal(t, *out.ETag, *head.ETag)
		require.EqualValues(t, len("data of "+key), *head.ContentLength)
		require.Equal(t, "text/plain", *head.ContentType)
		require.Equal(t, "identity", *head.ContentEncoding)
		require.Equal(t, map[string]string{"author": "ada"}, head.Metadata)

		_, err = client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: new("bucket"), Key: &key})
		require.NoError(t, err)
		_, err = client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: new("bucket"), Key: &key})
		var notFound *types.NotFound
		require.ErrorAs(t, err, &notFound)
	}
	_, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: new("bucket"), Key: new("gone")})
	require.NoError(t, err)
}

func TestS3KnowsItsBuckets(t *testing.T) {
	client := awsfake.NewS3().Client()
	_, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: new("bucket")})
	var none *types.NoSuchBucket
	require.ErrorAs(t, err, &none)
	_, err = client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: new("bucket")})
	require.NoError(t, err)
	_, err = client.HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: new("bucket")})
	require.NoError(t, err)
	_, err = client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: new("bucket")})
	var owned *types.BucketAlreadyOwnedByYou
	require.ErrorAs(t, err, &owned)
}

func TestS3WritesOnlyWhereTheConditionHolds(t *testing.T) {
	client := awsfake.NewS3("bucket").Client()
	put := func(data string, condition func(*s3.PutObjectInput)) error {
		in := &s3.PutObjectInput{Bucket: new("bucket"), Key: new("k"), Body: strings.NewReader(data)}
		condition(in)
		_, err := client.PutObject(t.Context(), in)
		return err
	}
	create := func(in *s3.PutObjectInput) { in.IfNoneMatch = new("*") }
	replace := func(etag string) func(*s3.PutObjectInput) {
		return func(in *s3.PutObjectInput) { in.IfMatch = &etag }
	}
	require.Equal(t, "NoSuchKey", code(t, put("0", replace(`"x"`))))
	require.NoError(t, put("1", create))
	require.Equal(t, "PreconditionFailed", code(t, put("2", create)))
	require.Equal(t, "1", object(t, client, "k"))

	old := putObject(t, client, "k", "3")
	require.NoError(t, put("4", replace(old)))
	require.Equal(t, "PreconditionFailed", code(t, put("5", replace(old))))
	require.Equal(t, "4", object(t, client, "k"))

	_, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: new("bucket"), Key: new("k"), IfMatch: &old})
	require.Equal(t, "PreconditionFailed", code(t, err))
	_, err = client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: new("bucket"), Key: new("k"), IfMatch: &old})
	require.Equal(t, "PreconditionFailed", code(t, err))
}

func TestS3ReadsRanges(t *testing.T) {
	client := awsfake.NewS3("bucket").Client()
	putObject(t, client, "k", "0123456789")
	putObject(t, client, "empty", "")
	for asked, want := range map[string]string{"bytes=2-4": "234", "bytes=8-": "89", "bytes=-3": "789", "bytes=5-99": "56789", "bytes=-99": "0123456789", "bytes=0-0": "0"} {
		out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: new("bucket"), Key: new("k"), Range: &asked})
		require.NoError(t, err)
		data, err := io.ReadAll(out.Body)
		require.NoError(t, err)
		require.Equal(t, want, string(data), asked)
		first := strings.Index("0123456789", want)
		require.Equal(t, fmt.Sprintf("bytes %d-%d/10", first, first+len(want)-1), *out.ContentRange)
	}
	for _, asked := range []string{"bytes=10-", "bytes=4-2", "bytes=-0", "bytes=x-", "lines=1-2"} {
		_, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: new("bucket"), Key: new("k"), Range: &asked})
		require.Equal(t, "InvalidRange", code(t, err), asked)
	}
	for _, asked := range []string{"bytes=0-", "bytes=-1"} {
		_, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: new("bucket"), Key: new("empty"), Range: &asked})
		require.Equal(t, "InvalidRange", code(t, err), asked)
	}
}

func TestS3VerifiesUploads(t *testing.T) {
	fake := awsfake.NewS3("bucket")
	client := fake.Client()
	large := strings.Repeat("0123456789abcdef", 20_000) // several chunks
	in := func() *s3.PutObjectInput {
		return &s3.PutObjectInput{Bucket: new("bucket"), Key: new("k"), Body: strings.NewReader(large)}
	}
	for _, algorithm := range []types.ChecksumAlgorithm{types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c, types.ChecksumAlgorithmCrc64nvme} {
		put := in()
		put.ChecksumAlgorithm = algorithm
		_, err := client.PutObject(t.Context(), put, s3.WithAPIOptions(unsigned))
		require.NoError(t, err)
		require.Equal(t, large, object(t, client, "k"))
	}
	out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: new("bucket"), Key: new("k"), ChecksumMode: types.ChecksumModeEnabled})
	require.NoError(t, err)
	require.NotEmpty(t, aws.ToString(out.ChecksumCRC64NVME))

	put := in()
	put.ChecksumCRC32 = new("AAAAAA==")
	_, err = client.PutObject(t.Context(), put)
	require.Equal(t, "BadDigest", code(t, err))

	put = in()
	put.ChecksumAlgorithm = types.ChecksumAlgorithmXxhash64
	_, err = client.PutObject(t.Context(), put)
	require.Error(t, err)
}

func TestS3NoticesDamagedUploads(t *testing.T) {
	fake := awsfake.NewS3("bucket")
	// Only changes that keep the length get past the signature.
	replace := func(from, to string) func([]byte) []byte {
		return func(data []byte) []byte {
			require.Contains(t, string(data), from)
			return bytes.Replace(data, []byte(from), []byte(to), 1)
		}
	}
	tests := []struct {
		name   string
		change func([]byte) []byte
		want   string
	}{
		{"a bit of a chunk", replace("hello", "jello"), "BadDigest"},
		{"a chunk header", replace("5\r\n", "x\r\n"), "InvalidRequest"},
		{"the size of a chunk", replace("5\r\n", "f\r\n"), "InvalidRequest"},
		{"the size of a chunk, past the end", replace("5\r\nhello", "fff\r\nhel"), "InvalidRequest"},
		{"a shorter chunk", replace("5\r\nhello", "4\r\nhell\r"), "InvalidRequest"},
		{"the last chunk", replace("\r\n0\r\n", "\r\nz\r\n"), "InvalidRequest"},
		{"the name of the trailer", replace("x-amz-checksum", "x-amz-chexksum"), "MalformedTrailerError"},
		{"the trailer", replace("crc32:", "crc32;"), "InvalidRequest"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client := fake.Client(func(o *s3.Options) {
				o.HTTPClient = damage{fake, tt.change}
				o.Retryer = aws.NopRetryer{}
				o.APIOptions = append(o.APIOptions, unsigned)
			})
			_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: new("bucket"), Key: new("k"), Body: strings.NewReader("hello")})
			require.Equal(t, tt.want, code(t, err))
			_, err = fake.Client().HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: new("bucket"), Key: new("k")})
			require.Error(t, err, "nothing was stored")
		})
	}
}

func TestS3ListsInPages(t *testing.T) {
	client := awsfake.NewS3("bucket").Client()
	for key := range strings.SplitSeq("b/2 a b/1 b/3/x b/3/y c b é&", " ") {
		putObject(t, client, key, "x")
	}
	tests := []struct {
		name string
		in   s3.ListObjectsV2Input
		want string
	}{
		{"all, in order of bytes", s3.ListObjectsV2Input{}, "a b b/1 b/2 b/3/x b/3/y c é&;"},
		{"pages", s3.ListObjectsV2Input{MaxKeys: new(int32(3))}, "a b b/1;b/2 b/3/x b/3/y;c é&;"},
		{"a full last page", s3.ListObjectsV2Input{MaxKeys: new(int32(4))}, "a b b/1 b/2;b/3/x b/3/y c é&;"},
		{"a prefix", s3.ListObjectsV2Input{Prefix: new("b/")}, "b/1 b/2 b/3/x b/3/y;"},
		{"a delimiter", s3.ListObjectsV2Input{Delimiter: new("/")}, "a b c é& (b/);"},
		{"a delimiter below a prefix", s3.ListObjectsV2Input{Prefix: new("b/"), Delimiter: new("/")}, "b/1 b/2 (b/3/);"},
		{"common prefixes count once, also over pages", s3.ListObjectsV2Input{Prefix: new("b"), Delimiter: new("/"), MaxKeys: new(int32(1))}, "b;(b/);"},
		{"a delimiter, one a page", s3.ListObjectsV2Input{Delimiter: new("/"), MaxKeys: new(int32(1))}, "a;b;(b/);c;é&;"},
		{"after a key", s3.ListObjectsV2Input{StartAfter: new("b/3/x")}, "b/3/y c é&;"},
		{"nothing", s3.ListObjectsV2Input{Prefix: new("z")}, ";"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.Bucket = new("bucket")
			got := ""
			for pages := s3.NewListObjectsV2Paginator(client, &tt.in); pages.HasMorePages(); { //nolint:forbidigo // the fake's paging is what is tested
				page, err := pages.NextPage(t.Context())
				require.NoError(t, err)
				var words []string
				for _, content := range page.Contents {
					words = append(words, *content.Key)
					require.EqualValues(t, 1, *content.Size)
				}
				for _, common := range page.CommonPrefixes {
					words = append(words, "("+*common.Prefix+")")
				}
				require.EqualValues(t, len(words), *page.KeyCount)
				got += strings.Join(words, " ") + ";"
			}
			require.Equal(t, tt.want, got)
		})
	}
}
