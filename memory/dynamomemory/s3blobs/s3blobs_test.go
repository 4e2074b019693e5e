package s3blobs_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory/s3blobs"
	"github.com/genaistore/genaistore/meter"
)

func Example() {
	ctx := context.Background()
	client := awsfake.NewS3("talks").Client() // or s3.NewFromConfig(cfg)
	blobs, err := s3blobs.New(client, "talks", &s3blobs.Options{Prefix: "memory/"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(blobs.Put(ctx, "t-acme/b1", []byte("a long story")))
	data, err := blobs.Get(ctx, "t-acme/b1")
	fmt.Printf("%s %v\n", data, err)
	fmt.Println(blobs.Delete(ctx, "t-acme/b1"))
	_, err = blobs.Get(ctx, "t-acme/b1")
	fmt.Println(errors.Is(err, memory.ErrNotFound))
	// Output:
	// <nil>
	// a long story <nil>
	// <nil>
	// true
}

// bucket is a fake that also lists versions and deletes many objects. In a bucket
// without versions each object has the version null.
type bucket struct {
	*awsfake.S3
	t         testing.TB
	versioned bool // answers deletes as a bucket with versions does
	page      int  // versions of a page
	asked     []string
	mu        sync.Mutex
}

func newBucket(t testing.TB) *bucket {
	b := &bucket{t: t, S3: awsfake.NewS3("talks"), page: 1000}
	b.Intercept(b.intercept)
	return b
}

func (b *bucket) intercept(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	query := r.URL.Query()
	switch {
	case r.Method == http.MethodGet && query.Has("versions"):
		b.asked = append(b.asked, "ListObjectVersions")
		b.listVersions(w, query)
	case r.Method == http.MethodPost && query.Has("delete"):
		b.asked = append(b.asked, "DeleteObjects")
		b.deleteObjects(w, r)
	case r.Method == http.MethodDelete && b.versioned:
		b.asked = append(b.asked, "DeleteObject")
		w.Header().Set("X-Amz-Delete-Marker", "true")
		w.WriteHeader(http.StatusNoContent)
	default:
		return false
	}
	return true
}

func (b *bucket) keys(prefix string) []string {
	// Without the interceptor's lock, which requests of a plain client take too.
	b.mu.Unlock()
	defer b.mu.Lock()
	var keys []string
	in := &s3.ListObjectsV2Input{Bucket: new("talks"), Prefix: &prefix}
	for {
		out, err := b.Client().ListObjectsV2(b.t.Context(), in)
		if err != nil {
			b.t.Error(err)
			return nil
		}
		for _, o := range out.Contents {
			keys = append(keys, *o.Key)
		}
		if out.NextContinuationToken == nil {
			return keys
		}
		in.ContinuationToken = out.NextContinuationToken
	}
}

func (b *bucket) listVersions(w http.ResponseWriter, query url.Values) {
	type version struct {
		Key       string
		VersionID string `xml:"VersionId"`
	}
	var page struct {
		XMLName             xml.Name `xml:"ListVersionsResult"`
		IsTruncated         bool
		NextKeyMarker       string `xml:",omitempty"`
		NextVersionIDMarker string `xml:"NextVersionIdMarker,omitempty"`
		Version             []version
	}
	for _, key := range b.keys(query.Get("prefix")) {
		if key <= query.Get("key-marker") {
			continue
		}
		if len(page.Version) == b.page {
			page.IsTruncated = true
			page.NextKeyMarker, page.NextVersionIDMarker = page.Version[b.page-1].Key, "null"
			break
		}
		page.Version = append(page.Version, version{key, "null"})
	}
	xml.NewEncoder(w).Encode(page)
}

func (b *bucket) deleteObjects(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Object []struct {
			Key       string
			VersionID string `xml:"VersionId"`
		}
	}
	data, _ := io.ReadAll(r.Body)
	if err := xml.Unmarshal(data, &in); err != nil {
		b.t.Error(err)
	}
	type failed struct{ Key, Code, Message string }
	var out struct {
		XMLName xml.Name `xml:"DeleteResult"`
		Error   []failed
	}
	if len(in.Object) > 1000 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	b.versioned = false // let the deletes below through
	b.mu.Unlock()
	defer b.mu.Lock()
	for _, o := range in.Object {
		switch {
		case strings.HasSuffix(o.Key, "locked"):
			out.Error = append(out.Error, failed{o.Key, "AccessDenied", "object lock"})
		case o.VersionID != "null":
			out.Error = append(out.Error, failed{o.Key, "NoSuchVersion", o.VersionID})
		default:
			if _, err := b.Client().DeleteObject(r.Context(), &s3.DeleteObjectInput{Bucket: new("talks"), Key: &o.Key}); err != nil {
				b.t.Error(err)
			}
		}
	}
	xml.NewEncoder(w).Encode(out)
}

func newStore(t testing.TB, client s3blobs.Client) *s3blobs.Store {
	store, err := s3blobs.New(client, "talks", &s3blobs.Options{Prefix: "memory/"})
	require.NoError(t, err)
	return store
}

func TestABlobComesBack(t *testing.T) {
	store := newStore(t, newBucket(t).Client())
	for name, data := range map[string][]byte{
		"t-a/empty": nil, "t-a/small": []byte("x"), "t-a/large": bytes.Repeat([]byte("0123456789"), 1<<19), "t-a%2540b/$&+=:@-_.~": {0, 255},
	} {
		require.NoError(t, store.Put(t.Context(), name, data))
		require.NoError(t, store.Put(t.Context(), name, data), "again")
		got, err := store.Get(t.Context(), name)
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got), name)
	}
}

func TestABlobIsWrittenOnce(t *testing.T) {
	b := newBucket(t)
	store := newStore(t, b.Client())
	require.NoError(t, store.Put(t.Context(), "b1", []byte("one")))
	require.ErrorIs(t, store.Put(t.Context(), "b1", []byte("two")), memory.ErrCorrupt)
	got, err := store.Get(t.Context(), "b1")
	require.NoError(t, err)
	require.Equal(t, "one", string(got))
}

func TestWhatIsAbsentIsNotFoundAndAMissingBucketIsNot(t *testing.T) {
	store := newStore(t, newBucket(t).Client())
	_, err := store.Get(t.Context(), "none")
	require.ErrorIs(t, err, memory.ErrNotFound)
	require.NoError(t, store.Delete(t.Context(), "none"))

	elsewhere, err := s3blobs.New(newBucket(t).Client(), "another", nil)
	require.NoError(t, err)
	_, err = elsewhere.Get(t.Context(), "none")
	require.ErrorIs(t, err, memory.ErrInvalid)
	require.NotErrorIs(t, err, memory.ErrNotFound, "or a reader would take the blob for erased")
	require.ErrorIs(t, elsewhere.Put(t.Context(), "none", nil), memory.ErrInvalid)
}

func TestChangedBytesAreCorrupt(t *testing.T) {
	b := newBucket(t)
	store := newStore(t, b.Client())
	require.NoError(t, store.Put(t.Context(), "b1", []byte("one")))
	put := func(data string, metadata map[string]string) {
		_, err := b.Client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: new("talks"), Key: new("memory/b1"), Body: strings.NewReader(data), Metadata: metadata})
		require.NoError(t, err)
	}
	head, err := b.Client().HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: new("talks"), Key: new("memory/b1")})
	require.NoError(t, err)
	put("eno", head.Metadata)
	_, err = store.Get(t.Context(), "b1")
	require.ErrorIs(t, err, memory.ErrCorrupt)
	put("one", nil)
	_, err = store.Get(t.Context(), "b1")
	require.ErrorIs(t, err, memory.ErrCorrupt, "nobody says what it was")
	require.ErrorIs(t, store.Put(t.Context(), "b1", []byte("one")), memory.ErrCorrupt)
}

func TestACutBodyIsAnError(t *testing.T) {
	b := newBucket(t)
	store := newStore(t, b.Client(func(o *s3.Options) { o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired }))
	require.NoError(t, store.Put(t.Context(), "b1", []byte("a body of some length")))
	b.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		if r.Method != http.MethodGet {
			return false
		}
		next.ServeHTTP(&cutting{w}, r)
		return true
	})
	_, err := store.Get(t.Context(), "b1")
	require.ErrorIs(t, err, memory.ErrCorrupt)
}

// cutting loses the end of a body.
type cutting struct{ http.ResponseWriter }

func (c *cutting) WriteHeader(status int) {
	c.Header().Del("Content-Length")
	c.ResponseWriter.WriteHeader(status)
}

func (c *cutting) Write(data []byte) (int, error) {
	_, err := c.ResponseWriter.Write(data[:len(data)/2])
	return len(data), err
}

func TestALostAnswerToAPutIsNoProblem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(t)
		store := newStore(t, b.Client())
		var once atomic.Bool
		b.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
			if r.Method != http.MethodPut || once.Swap(true) {
				return false
			}
			next.ServeHTTP(w, r)
			awsfake.Lose(w)
			return true
		})
		require.NoError(t, store.Put(t.Context(), "b1", []byte("one")), "the client repeats it and meets its own object")
	})
}

// A server that knows of the object may close the connection before it has all of the
// body, every time.
func TestAPutOfWhatIsThereNeedsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(t)
		store := newStore(t, b.Client())
		require.NoError(t, store.Put(t.Context(), "b1", []byte("one")))
		b.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			if r.Method == http.MethodPut {
				awsfake.Lose(w)
			}
			return r.Method == http.MethodPut
		})
		require.NoError(t, store.Put(t.Context(), "b1", []byte("one")))
		require.Error(t, store.Put(t.Context(), "b1", []byte("two")))
		require.Error(t, store.Put(t.Context(), "b2", []byte("one")))
	})
}

func TestAPutThatMeetsAnotherIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for conflicts, want := range map[int32]error{1: nil, 4: nil, 5: memory.ErrThrottled} {
			b := newBucket(t)
			var left atomic.Int32
			left.Store(conflicts)
			b.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
				if r.Method != http.MethodPut || left.Add(-1) < 0 {
					return false
				}
				awsfake.Fail(w, r, http.StatusConflict, "ConditionalRequestConflict", "another write is under way")
				return true
			})
			store := newStore(t, b.Client())
			require.ErrorIs(t, store.Put(t.Context(), "b1", []byte("one")), want)
			if want == nil {
				got, err := store.Get(t.Context(), "b1")
				require.NoError(t, err)
				require.Equal(t, "one", string(got))
			}
		}
	})
}

func TestEraseTakesWholeSegmentsToTheRealEnd(t *testing.T) {
	b := newBucket(t)
	b.page = 7
	store := newStore(t, b.Client())
	ctx := t.Context()
	var want []string
	for i := range 30 {
		require.NoError(t, store.Put(ctx, fmt.Sprintf("t1/s/%02d", i), []byte("x")))
	}
	for _, name := range []string{"t12/s/1", "t1-s", "t0/a"} {
		require.NoError(t, store.Put(ctx, name, []byte("x")))
		want = append(want, "memory/"+name)
	}
	n, err := store.Erase(ctx, "t1")
	require.NoError(t, err)
	require.Equal(t, 30, n)
	b.mu.Lock()
	left := b.keys("")
	b.mu.Unlock()
	require.ElementsMatch(t, want, left)
	n, err = store.Erase(ctx, "t1")
	require.NoError(t, err)
	require.Zero(t, n)
	_, err = store.Erase(ctx, "")
	require.ErrorIs(t, err, memory.ErrInvalid, "an empty variable erases nothing")
}

func TestEraseSaysWhatStayed(t *testing.T) {
	store := newStore(t, newBucket(t).Client())
	require.NoError(t, store.Put(t.Context(), "t1/a", []byte("x")))
	require.NoError(t, store.Put(t.Context(), "t1/locked", []byte("x")))
	_, err := store.Erase(t.Context(), "t1")
	require.ErrorIs(t, err, memory.ErrDenied)
	require.ErrorContains(t, err, "t1/locked")
}

func TestDeleteErasesTheVersionsOfABucketThatKeepsThem(t *testing.T) {
	b := newBucket(t)
	store := newStore(t, b.Client())
	require.NoError(t, store.Put(t.Context(), "b1", []byte("x")))
	require.NoError(t, store.Put(t.Context(), "b12", []byte("x")))
	b.versioned = true
	require.NoError(t, store.Delete(t.Context(), "b1"))
	require.Equal(t, []string{"DeleteObject", "ListObjectVersions", "DeleteObjects"}, b.asked)
	_, err := store.Get(t.Context(), "b1")
	require.ErrorIs(t, err, memory.ErrNotFound)
	_, err = store.Get(t.Context(), "b12")
	require.NoError(t, err)
}

func TestObjectsAreEncryptedWithTheKeyGiven(t *testing.T) {
	b := newBucket(t)
	var seen http.Header
	b.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		seen = r.Header.Clone()
		w.WriteHeader(http.StatusOK)
		return true
	})
	store, err := s3blobs.New(b.Client(), "talks", &s3blobs.Options{KMSKey: "k-1"})
	require.NoError(t, err)
	require.NoError(t, store.Put(t.Context(), "b1", []byte("x")))
	require.Equal(t, "aws:kms", seen.Get("X-Amz-Server-Side-Encryption"))
	require.Equal(t, "k-1", seen.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"))
	require.Equal(t, "true", seen.Get("X-Amz-Server-Side-Encryption-Bucket-Key-Enabled"))
	require.Equal(t, "*", seen.Get("If-None-Match"))
}

func TestErrorsOfS3KeepTheirKindAndNameTheAction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for code, c := range map[string]struct {
			status int
			kind   error
		}{
			"AccessDenied": {http.StatusForbidden, memory.ErrDenied},
			"ExpiredToken": {http.StatusBadRequest, memory.ErrDenied},
			"SlowDown":     {http.StatusServiceUnavailable, memory.ErrThrottled},
			"NoSuchBucket": {http.StatusNotFound, memory.ErrInvalid},
		} {
			b := newBucket(t)
			b.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
				awsfake.Fail(w, r, c.status, code, "no")
				return true
			})
			store := newStore(t, b.Client())
			_, err := store.Get(t.Context(), "b1")
			require.ErrorIs(t, err, c.kind, code)
			require.ErrorContains(t, err, "get blob b1: s3:GetObject")
			require.ErrorIs(t, store.Put(t.Context(), "b1", nil), c.kind, code)
			require.ErrorIs(t, store.Delete(t.Context(), "b1"), c.kind, code)
			_, err = store.Erase(t.Context(), "b1")
			require.ErrorIs(t, err, c.kind, code)
			require.ErrorContains(t, err, "ListBucketVersions")
		}
	})
}

func TestBadNamesAskNothingOfS3(t *testing.T) {
	b := newBucket(t)
	b.Intercept(func(http.ResponseWriter, *http.Request, http.Handler) bool {
		t.Error("a request was made")
		return false
	})
	store := newStore(t, b.Client())
	for _, name := range []string{"", "/", "a/", "/a", "a//b", ".", "a/../b", "a/./b", "a b", "a\x00", "é", "a#b", "a?b", `a\b`, strings.Repeat("x", 1025)} {
		require.ErrorIs(t, store.Put(t.Context(), name, nil), memory.ErrInvalid, "%q", name)
		_, err := store.Get(t.Context(), name)
		require.ErrorIs(t, err, memory.ErrInvalid, "%q", name)
		require.ErrorIs(t, store.Delete(t.Context(), name), memory.ErrInvalid, "%q", name)
		_, err = store.Erase(t.Context(), name)
		require.ErrorIs(t, err, memory.ErrInvalid, "%q", name)
	}
	_, err := s3blobs.New(b.Client(), "", nil)
	require.ErrorIs(t, err, memory.ErrInvalid)
	_, err = s3blobs.New(b.Client(), "talks", &s3blobs.Options{Prefix: "a b/"})
	require.ErrorIs(t, err, memory.ErrInvalid)
}

func TestCostsAndCancellation(t *testing.T) {
	store := newStore(t, newBucket(t).Client())
	var m meter.Meter
	ctx := meter.With(t.Context(), &m)
	require.NoError(t, store.Put(ctx, "b1", make([]byte, 1000)))
	require.Equal(t, meter.Cost{Requests: 1, BytesSent: 1000}, m.Cost())
	_, err := store.Get(ctx, "b1")
	require.NoError(t, err)
	require.Equal(t, meter.Cost{Requests: 2, BytesSent: 1000, BytesReceived: 1000}, m.Cost())
	require.NoError(t, store.Delete(ctx, "b1"))
	require.EqualValues(t, 3, m.Cost().Requests)

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, store.Put(cancelled, "b1", nil), context.Canceled)
	_, err = store.Get(cancelled, "b1")
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, store.Delete(cancelled, "b1"), context.Canceled)
	_, err = store.Erase(cancelled, "b1")
	require.ErrorIs(t, err, context.Canceled)
}

func FuzzNames(f *testing.F) {
	for _, name := range []string{"t-a/b", "a//b", "..", "a%2F", "é", "a b"} {
		f.Add(name, []byte("data"))
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		b := newBucket(t)
		store := newStore(t, b.Client())
		err := store.Put(t.Context(), name, data)
		if err != nil {
			require.ErrorIs(t, err, memory.ErrInvalid)
			return
		}
		got, err := store.Get(t.Context(), name)
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got))
		b.mu.Lock()
		defer b.mu.Unlock()
		require.Equal(t, []string{"memory/" + name}, b.keys(""))
	})
}
