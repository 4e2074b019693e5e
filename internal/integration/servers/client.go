package servers

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3vectors"
)

// DynamoDBLocal returns a client of DynamoDB Local, or of AWS. Each call has a
// database of its own on DynamoDB Local. The test is skipped, and counted, if the
// server is missing; what the test then does is counted too.
func DynamoDBLocal(t testing.TB) *dynamodb.Client {
	t.Helper()
	cfg := gate(t, NameDynamoDBLocal)
	if cfg.BaseEndpoint != nil {
		// One database per access key, which may hold letters and digits alone.
		cfg.Credentials = credentials.NewStaticCredentialsProvider("t"+strings.ToLower(rand.Text()), secretKey, "")
	}
	return dynamodb.NewFromConfig(cfg)
}

// Versitygw returns a client of versitygw over HTTP, or of AWS; see [DynamoDBLocal].
// Its buckets are shared: take names from [Unique].
func Versitygw(t testing.TB) *s3.Client {
	t.Helper()
	return S3(gate(t, NameVersitygw))
}

// VersitygwTLS returns a client of versitygw over HTTPS.
func VersitygwTLS(t testing.TB) *s3.Client {
	t.Helper()
	return S3(second(t, NameVersitygwTLS))
}

// MinIO returns a client of MinIO, which may answer 412 and close before it has read
// the body: a client with one attempt sees a broken connection then, this one retries.
func MinIO(t testing.TB) *s3.Client {
	t.Helper()
	return S3(second(t, NameMinIO))
}

// S3Mock returns a client of S3Mock's S3 Vectors, or of AWS; see [DynamoDBLocal].
func S3Mock(t testing.TB) *s3vectors.Client {
	t.Helper()
	return s3vectors.NewFromConfig(gate(t, NameS3Mock))
}

// LocalS3 returns a client of local-s3's S3 Vectors.
func LocalS3(t testing.TB) *s3vectors.Client {
	t.Helper()
	return s3vectors.NewFromConfig(second(t, NameLocalS3))
}

// Moto returns a configuration with moto's endpoint, for any service that moto has.
// State is shared by account and region: take names from [Unique]. Buckets need
// [S3].
func Moto(t testing.TB) aws.Config {
	t.Helper()
	return second(t, NameMoto)
}

// S3 makes a client of S3 that finds the buckets of a local server in its paths, as
// these have no names of hosts.
func S3(cfg aws.Config) *s3.Client {
	return s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = cfg.BaseEndpoint != nil })
}

// Unique returns a new name that tables, buckets and indexes accept: at most 60
// lower-case letters, digits and hyphens, beginning with GENAISTORE_AWS_PREFIX and
// what, so that what a broken run leaves on AWS can be found.
func Unique(t testing.TB, what string) string {
	t.Helper()
	name := strings.ToLower(fmt.Sprintf("%s-%s-%s", fleetOf(t).awsPrefix, what, rand.Text()[:16]))
	if len(name) > 60 {
		t.Fatalf("Unique: %q is longer than 60 bytes", name)
	}
	return name
}

// AWSResource returns the value of a variable that names something which a test on
// AWS cannot make itself (a file system, a directory bucket). The test is skipped,
// and counted, if it is not set or the tests do not run on AWS.
func AWSResource(t testing.TB, variable string) string {
	t.Helper()
	f := fleetOf(t)
	value := os.Getenv(variable)
	if f.aws && value != "" {
		f.report.track(t, NameAWS)
		return value
	}
	f.report.skip(t, NameAWS, "needs GENAISTORE_AWS=1 and "+variable)
	return ""
}

// Count puts a test into the report as one that ran on a server. Taking a client does
// that too; a suite whose cases share one counts each case with this.
func Count(t testing.TB, name Name) {
	t.Helper()
	f := fleetOf(t)
	if f.aws {
		name = NameAWS
	}
	f.report.track(t, name)
}

// OnAWS says whether the tests run on AWS.
func OnAWS(t testing.TB) bool {
	t.Helper()
	return fleetOf(t).aws
}

func fleetOf(t testing.TB) *fleet {
	t.Helper()
	if current == nil {
		t.Fatal("the TestMain of this package must be servers.Main")
	}
	return current
}

// gate is the configuration of the first server of a service, or of AWS.
func gate(t testing.TB, name Name) aws.Config {
	t.Helper()
	f := fleetOf(t)
	if !f.aws {
		return local(t, f, name)
	}
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRetryMaxAttempts(5))
	if err != nil {
		t.Fatalf("AWS configuration: %v", err)
	}
	f.report.track(t, NameAWS)
	return cfg
}

// second is the configuration of another server, which AWS makes superfluous.
func second(t testing.TB, name Name) aws.Config {
	t.Helper()
	f := fleetOf(t)
	if f.aws {
		f.report.skip(t, name, "GENAISTORE_AWS=1 runs on AWS alone")
	}
	return local(t, f, name)
}

func local(t testing.TB, f *fleet, name Name) aws.Config {
	t.Helper()
	one := f.server(name)
	if one.err != nil {
		f.report.track(t, name)
		t.Fatalf("%v", one.err)
	}
	if one.process == nil {
		f.report.missing(t, name, one.skip)
	}
	f.report.track(t, name)
	client, err := one.process.client()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return aws.Config{
		Region:           "us-east-1",
		BaseEndpoint:     new(one.process.base),
		Credentials:      credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
		RetryMaxAttempts: 5,
		HTTPClient:       client,
		// A Config that is not loaded has no default for these, and the clients would
		// send and check nothing.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	}
}

// client speaks to this server and no other machine, whatever host a request names:
// some operations put a prefix before the host, which 127.0.0.1 cannot resolve.
func (p *process) client() (*http.Client, error) {
	transport := &http.Transport{}
	if strings.HasPrefix(p.base, "https:") {
		var err error
		if transport, err = trusting(p.data + "/cert.pem"); err != nil {
			return nil, err
		}
	}
	transport.MaxIdleConnsPerHost = 64
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", p.port))
	}
	return &http.Client{Transport: transport, Timeout: 2 * time.Minute}, nil
}
