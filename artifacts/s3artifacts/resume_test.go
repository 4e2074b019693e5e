package s3artifacts_test

import (
	"bytes"
	"context"
	"io/fs"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/s3artifacts"
	"github.com/genaistore/genaistore/internal/awsfake"
)

// weights are 23 MiB, of which no two parts are the same: five parts of 5 MiB.
func weights() []byte {
	var out []byte
	for i := range byte(23) {
		out = append(out, bytes.Repeat([]byte{i, 'w'}, 1<<19)...)
	}
	return out
}

var small = &s3artifacts.Options{PartSize: 5 << 20}

func openUploads(t *testing.T, client *s3.Client) []types.MultipartUpload {
	t.Helper()
	out, err := client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: new("bucket")})
	require.NoError(t, err)
	return out.Uploads
}

// counted counts the requests of an operation.
func counted(fake *awsfake.S3, operation string) *atomic.Int64 {
	var n atomic.Int64
	fake.Intercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if awsfake.Operation(r) == operation {
			n.Add(1)
		}
		return false
	})
	return &n
}

// A Publish that was killed after any number of parts goes on with them, in another
// process.
func TestAKilledPublishGoesOnWithItsParts(t *testing.T) {
	large := weights()
	for sent := range int64(6) {
		fake := awsfake.NewS3("bucket")
		client := fake.Client()
		ctx, kill := context.WithCancel(t.Context())
		var parts atomic.Int64
		fake.Intercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			operation := awsfake.Operation(r)
			if operation == "UploadPart" && parts.Add(1) > sent || operation == "CompleteMultipartUpload" {
				kill()
				return false
			}
			return false
		})
		_, err := open(t, client, small).Publish(ctx, ranker, artifacts.Files(map[string][]byte{"w": large}), nil)
		require.Error(t, err)
		there := len(openUploads(t, client))
		uploads := counted(fake, "UploadPart")
		p := publish(t, open(t, client, small), artifacts.Files(map[string][]byte{"w": large}), nil)
		fake.Intercept(nil)
		if there == 1 { // else the last request was answered before it was cancelled
			require.LessOrEqual(t, uploads.Load(), 5-sent, "%d parts were there", sent)
		}
		require.Equal(t, int64(1), p.Version.ID.Number)
		require.Empty(t, openUploads(t, client))
		require.Equal(t, string(large), text(t, open(t, client, nil), p.Version.ID, "w"))
	}
}

// What is there is taken if it is what would be sent, and nothing else is.
func TestPartsOfOthersAreNotTaken(t *testing.T) {
	large := weights()
	begin := func(t *testing.T, client *s3.Client, key string, parts ...[]byte) {
		t.Helper()
		up, err := client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: new("bucket"), Key: &key, ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c, ChecksumType: types.ChecksumTypeFullObject})
		require.NoError(t, err)
		for i, data := range parts {
			_, err := client.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: new("bucket"), Key: &key, UploadId: up.UploadId, PartNumber: new(int32(i + 1)), Body: bytes.NewReader(data), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c})
			require.NoError(t, err)
		}
	}
	d := artifacts.NewDigest()
	_, _ = d.Write(large)
	digits := d.String()[len("sha256t16m:"):]
	key := "a/acme/llm/ranker/=/b/" + digits[:2] + "/" + digits + ".nonce"
	const part = 5 << 20
	for _, tt := range []struct {
		name  string
		key   string
		parts [][]byte
		sent  int64
		left  int
	}{
		{"the first two", key, [][]byte{large[:part], large[part : 2*part]}, 3, 0},
		{"one that is another", key, [][]byte{large[:part], bytes.Repeat([]byte("x"), part)}, 4, 0},
		{"none yet", key, nil, 5, 0},
		{"parts of another size", key, [][]byte{large[:6<<20]}, 5, 1},
		{"of other content", key[:len(key)-10] + "0.nonce", [][]byte{large[:part]}, 5, 1},
		{"more than the file has", key, [][]byte{large[:part], large[part : 2*part], large[2*part : 3*part], large[3*part : 4*part], large[4*part:], large[:part]}, 5, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fake := awsfake.NewS3("bucket")
			client := fake.Client()
			begin(t, client, tt.key, tt.parts...)
			uploads := counted(fake, "UploadPart")
			p := publish(t, open(t, client, small), artifacts.Files(map[string][]byte{"w": large}), nil)
			require.Equal(t, tt.sent, uploads.Load())
			require.Len(t, openUploads(t, client), tt.left)
			require.Equal(t, string(large), text(t, open(t, client, nil), p.Version.ID, "w"))
		})
	}
}

// Whoever ends an upload that others go on with takes nothing from them.
func TestManyGoOnWithOneUpload(t *testing.T) {
	large := weights()
	fake := awsfake.NewS3("bucket")
	client := fake.Client()
	ctx, kill := context.WithCancel(t.Context())
	var parts atomic.Int64
	fake.Intercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if awsfake.Operation(r) == "UploadPart" && parts.Add(1) > 2 {
			kill()
		}
		return false
	})
	_, err := open(t, client, small).Publish(ctx, ranker, artifacts.Files(map[string][]byte{"w": large}), nil)
	require.ErrorIs(t, err, context.Canceled)
	fake.Intercept(nil)
	require.Len(t, openUploads(t, client), 1)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if _, err := open(t, client, small).Publish(t.Context(), ranker, artifacts.Files(map[string][]byte{"w": large}), nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Empty(t, openUploads(t, client))
	store := open(t, client, nil)
	for v := range int64(6) {
		require.Equal(t, string(large), text(t, store, artifacts.ID{Name: ranker, Number: v + 1}, "w"))
	}
}

// Uploads that end under somebody's hands, and stores that cannot list them, cost time
// and nothing else.
func TestAnUploadThatIsGoneIsBegunAgain(t *testing.T) {
	large := weights()
	for name, fault := range map[string]func(fake *awsfake.S3, once *sync.Once) awsfake.Interceptor{
		"it was aborted": func(fake *awsfake.S3, once *sync.Once) awsfake.Interceptor {
			var parts atomic.Int64
			return func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
				if awsfake.Operation(r) == "UploadPart" && parts.Add(1) == 3 {
					once.Do(func() {
						id := r.URL.Query().Get("uploadId")
						key := r.URL.Path[len("/bucket/"):]
						_, _ = fake.Client().AbortMultipartUpload(context.WithoutCancel(r.Context()), &s3.AbortMultipartUploadInput{Bucket: new("bucket"), Key: &key, UploadId: &id})
					})
				}
				return false
			}
		},
		"a part was sent again": func(_ *awsfake.S3, once *sync.Once) awsfake.Interceptor {
			return func(w http.ResponseWriter, r *http.Request, _ http.Handler) (answered bool) {
				if awsfake.Operation(r) == "CompleteMultipartUpload" {
					once.Do(func() {
						awsfake.Fail(w, r, http.StatusBadRequest, "InvalidPart", "One or more of the specified parts could not be found.")
						answered = true
					})
				}
				return answered
			}
		},
		"it was ended, and the server fails": func(*awsfake.S3, *sync.Once) awsfake.Interceptor {
			var parts atomic.Int64
			return func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
				if awsfake.Operation(r) != "UploadPart" || parts.Add(1) < 3 || parts.Load() > 8 {
					return false
				}
				awsfake.Fail(w, r, http.StatusInternalServerError, "InternalError", "KeyError")
				return true
			}
		},
		"nobody may list": func(*awsfake.S3, *sync.Once) awsfake.Interceptor {
			return func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
				if awsfake.Operation(r) != "ListMultipartUploads" {
					return false
				}
				awsfake.Fail(w, r, http.StatusForbidden, "AccessDenied", "Access Denied")
				return true
			}
		},
		"the store cannot list": func(*awsfake.S3, *sync.Once) awsfake.Interceptor {
			return func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
				if awsfake.Operation(r) != "ListMultipartUploads" {
					return false
				}
				awsfake.Fail(w, r, http.StatusNotImplemented, "NotImplemented", "no")
				return true
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			fake := awsfake.NewS3("bucket")
			client := fake.Client()
			fake.Intercept(fault(fake, new(sync.Once)))
			p := publish(t, open(t, client, small), artifacts.Files(map[string][]byte{"w": large}), nil)
			fake.Intercept(nil)
			require.Empty(t, openUploads(t, client))
			require.Equal(t, string(large), text(t, open(t, client, nil), p.Version.ID, "w"))
		})
	}
}

// turncoat is a file system whose file is another one when it is opened again.
type turncoat struct {
	fstest.MapFS
	opened atomic.Int64
}

func (c *turncoat) Open(name string) (fs.File, error) {
	if name == "w" && c.opened.Add(1) > 1 {
		c.MapFS = fstest.MapFS{"w": {Data: bytes.Repeat([]byte("other"), len(c.MapFS["w"].Data)/5)}}
	}
	return c.MapFS.Open(name)
}

func TestAFileThatChangesLeavesNoUpload(t *testing.T) {
	client := awsfake.NewS3("bucket").Client()
	_, err := open(t, client, small).Publish(t.Context(), ranker, &turncoat{MapFS: fstest.MapFS{"w": {Data: weights()[:20<<20]}}}, nil)
	require.ErrorIs(t, err, artifacts.ErrConflict)
	require.Empty(t, openUploads(t, client))
}
