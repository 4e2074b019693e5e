package awsfake_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
)

// code returns the code of the AWS error in err.
func code(t *testing.T, err error) string {
	t.Helper()
	var api smithy.APIError
	require.ErrorAs(t, err, &api)
	return api.ErrorCode()
}

// times answers the first n requests for operation with an error.
func times(n int64, operation string, status int, code string) awsfake.Interceptor {
	var seen atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if awsfake.Operation(r) != operation || seen.Add(1) > n {
			return false
		}
		awsfake.Fail(w, r, status, code, "injected")
		return true
	}
}

func TestBackoffTakesNoTime(t *testing.T) {
	began := time.Now()
	tests := []struct {
		name string
		fake func() (intercept func(awsfake.Interceptor), call func(context.Context) error)
		op   string
		code string
	}{
		{"DynamoDB", func() (func(awsfake.Interceptor), func(context.Context) error) {
			fake := awsfake.NewDynamoDB()
			client := fake.Client()
			return fake.Intercept, func(ctx context.Context) error {
				_, err := client.CreateTable(ctx, sessions())
				return err
			}
		}, "CreateTable", "ThrottlingException"},
		{"S3", func() (func(awsfake.Interceptor), func(context.Context) error) {
			fake := awsfake.NewS3("bucket")
			client := fake.Client()
			return fake.Intercept, func(ctx context.Context) error {
				_, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: new("bucket"), Key: new("k"), Body: strings.NewReader("x")})
				return err
			}
		}, "PutObject", "SlowDown"},
		{"S3 Vectors", func() (func(awsfake.Interceptor), func(context.Context) error) {
			fake := awsfake.NewVectors()
			client := fake.Client()
			return fake.Intercept, func(ctx context.Context) error {
				_, err := client.CreateVectorBucket(ctx, &s3vectors.CreateVectorBucketInput{VectorBucketName: new("bucket")})
				return err
			}
		}, "CreateVectorBucket", "TooManyRequestsException"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				intercept, call := tt.fake()
				intercept(times(2, tt.op, http.StatusServiceUnavailable, tt.code))
				start := time.Now()
				require.NoError(t, call(t.Context()))
				require.Positive(t, time.Since(start), "no backoff between the attempts")

				intercept(times(100, tt.op, http.StatusServiceUnavailable, tt.code))
				require.Equal(t, tt.code, code(t, call(t.Context())), "the client gives up in the end")
			})
		})
	}
	require.Less(t, time.Since(began), 5*time.Second)
}

func TestALostAnswerLeavesTheWorkDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := awsfake.NewS3("bucket")
		client := fake.Client()
		lost := false
		fake.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
			if lost {
				return false
			}
			lost = true
			next.ServeHTTP(w, r)
			awsfake.Lose(w)
			return true
		})
		_, err := client.PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: new("bucket"), Key: new("k"), Body: strings.NewReader("x"), IfNoneMatch: new("*"),
		})
		require.Equal(t, "PreconditionFailed", code(t, err), "the client retried what had been done")

		lost = false
		_, err = client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: new("bucket"), Key: new("k"), Body: strings.NewReader("x")},
			func(o *s3.Options) { o.RetryMaxAttempts = 1 })
		require.ErrorIs(t, err, syscall.ECONNRESET)
	})
}

func TestAnInterceptorMayUseTheFake(t *testing.T) {
	fake := awsfake.NewS3("bucket")
	client := fake.Client()
	first := true
	fake.Intercept(func(http.ResponseWriter, *http.Request, http.Handler) bool {
		if first {
			first = false
			_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: new("bucket"), Key: new("k"), Body: strings.NewReader("first")})
			require.NoError(t, err)
		}
		return false
	})
	_, err := client.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: new("bucket"), Key: new("k"), Body: strings.NewReader("second"), IfNoneMatch: new("*"),
	})
	require.Equal(t, "PreconditionFailed", code(t, err))
	fake.Intercept(nil)
	require.Equal(t, "first", object(t, client, "k"))
}

func TestACancelledContextStopsTheCall(t *testing.T) {
	fake := awsfake.NewS3("bucket")
	ctx, cancel := context.WithCancel(t.Context())
	fake.Intercept(func(http.ResponseWriter, *http.Request, http.Handler) bool {
		cancel() // while the request is under way: it may or may not be carried out
		return false
	})
	put := &s3.PutObjectInput{Bucket: new("bucket"), Key: new("k"), Body: strings.NewReader("x")}
	_, err := fake.Client().PutObject(ctx, put)
	require.ErrorIs(t, err, context.Canceled)

	fake.Intercept(func(http.ResponseWriter, *http.Request, http.Handler) bool {
		t.Error("a request was sent")
		return false
	})
	_, err = fake.Client().PutObject(ctx, put)
	require.ErrorIs(t, err, context.Canceled)
}

func TestABodyThatCannotBeReadIsNotSent(t *testing.T) {
	fake := awsfake.NewS3("bucket")
	boom := errors.New("boom")
	body := io.MultiReader(strings.NewReader("half of it"), iotest.ErrReader(boom))
	client := fake.Client(func(o *s3.Options) { o.Retryer = aws.NopRetryer{} })
	_, err := client.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: new("bucket"), Key: new("k"), Body: body, ContentLength: new(int64(20)),
	}, s3.WithAPIOptions(unsigned))
	require.ErrorIs(t, err, boom)
	_, err = fake.Client().GetObject(t.Context(), &s3.GetObjectInput{Bucket: new("bucket"), Key: new("k")})
	require.Equal(t, "NoSuchKey", code(t, err))
}

func TestRequestsForAnotherServiceAreRefused(t *testing.T) {
	fake := awsfake.NewS3("bucket")
	client := awsfake.NewDynamoDB().Client(func(o *dynamodb.Options) { o.HTTPClient = fake })
	_, err := client.CreateTable(t.Context(), sessions())
	require.Equal(t, "AccessDeniedException", code(t, err))
	require.ErrorContains(t, err, "not signed for /us-east-1/s3/")

	anonymous := fake.Client(func(o *s3.Options) { o.Credentials = aws.AnonymousCredentials{} })
	_, err = anonymous.GetObject(t.Context(), &s3.GetObjectInput{Bucket: new("bucket"), Key: new("k")})
	require.Equal(t, "AccessDeniedException", code(t, err))
}

// damage changes the bodies of requests on their way to the fake.
type damage struct {
	fake interface {
		Do(*http.Request) (*http.Response, error)
	}
	change func([]byte) []byte
}

func (d damage) Do(r *http.Request) (*http.Response, error) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	data = d.change(data)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
	return d.fake.Do(r)
}

func TestABodyThatIsNotTheOneSignedIsRefused(t *testing.T) {
	fake := awsfake.NewDynamoDB()
	client := fake.Client(func(o *dynamodb.Options) {
		o.HTTPClient = damage{fake, func(data []byte) []byte { return bytes.Replace(data, []byte("sessions"), []byte("sessionz"), 1) }}
	})
	_, err := client.CreateTable(t.Context(), sessions())
	require.Equal(t, "AccessDeniedException", code(t, err))
}

func TestWhatAFakeDoesNotKnowItRefuses(t *testing.T) {
	ctx := t.Context()
	_, err := awsfake.NewDynamoDB().Client().ListTables(ctx, &dynamodb.ListTablesInput{})
	require.Equal(t, "UnknownOperationException", code(t, err))
	create := sessions()
	create.TableClass = "STANDARD"
	_, err = awsfake.NewDynamoDB().Client().CreateTable(ctx, create)
	require.Equal(t, "SerializationException", code(t, err))
	require.ErrorContains(t, err, "TableClass")

	bucket := awsfake.NewS3("bucket").Client()
	_, err = bucket.GetObjectAcl(ctx, &s3.GetObjectAclInput{Bucket: new("bucket"), Key: new("k")})
	require.Equal(t, "NotImplemented", code(t, err))
	_, err = bucket.PutObject(ctx, &s3.PutObjectInput{Bucket: new("bucket"), Key: new("k"), ObjectLockLegalHoldStatus: "ON"})
	require.Equal(t, "NotImplemented", code(t, err))
}

func TestAnswersCarryTheTimeOfTheBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		fake := awsfake.NewS3("bucket")
		fake.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
			next.ServeHTTP(w, r)
			date, err := http.ParseTime(w.Header().Get("Date"))
			require.NoError(t, err)
			require.WithinDuration(t, time.Now(), date, time.Second)
			return true
		})
		_, err := fake.Client().HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: new("bucket")})
		require.NoError(t, err)
	})
}
