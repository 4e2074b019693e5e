package kittests

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/adapters/adk/internal/kittests/ours"
	"github.com/genaistore/genaistore/artifacts/s3artifacts"
	"github.com/genaistore/genaistore/internal/integration/servers"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

const (
	// What the environment says: see the package's comment.
	envKit, envCache = "GENAISTORE_KIT", "GENAISTORE_CACHE"

	// passes and packages are what version of the kit has on its own service, so that
	// tests that stop to run are noticed.
	version, passes, packages = "v2.2.0", 1519, 23
)

// Servers run where there is no network but the loopback, so all that needs another
// comes first.
func TestMain(m *testing.M) {
	if os.Getenv(envKit) != "" {
		if _, err := prepare(context.Background()); err != nil {
			log.Fatal(err)
		}
	}
	servers.Main(m)
}

// stores are those that the environment names, or else fallback.
func stores(fallback string) []string {
	return strings.FieldsFunc(cmp.Or(os.Getenv(envKit), fallback), func(r rune) bool { return r == ',' })
}

// serve starts what a store needs, and says in the environment where it is.
func serve(t *testing.T, store string) {
	t.Helper()
	switch store {
	case ours.S3:
		serveS3(t)
		return
	case ours.DynamoDB:
	default:
		return
	}
	client := servers.DynamoDBLocal(t)
	table := servers.Unique(t, "kit")
	_, err := dynamomemory.EnsureTable(t.Context(), client, table, nil)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := client.DeleteTable(context.WithoutCancel(t.Context()), &dynamodb.DeleteTableInput{TableName: &table})
		require.NoError(t, err)
	})
	opts := client.Options()
	t.Setenv(ours.EnvTable, table)
	say(t, opts.BaseEndpoint, opts.Region, opts.Credentials)
}

func serveS3(t *testing.T) {
	t.Helper()
	client := servers.Versitygw(t)
	bucket := servers.Unique(t, "kit")
	opts := client.Options()
	_, err := s3artifacts.EnsureBucket(t.Context(), client, bucket, &s3artifacts.BucketOptions{Region: opts.Region, Unversioned: true})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		for pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket}); pages.HasMorePages(); { //nolint:forbidigo // what is listed is deleted
			page, err := pages.NextPage(ctx)
			require.NoError(t, err)
			for _, o := range page.Contents {
				_, err := client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: o.Key})
				require.NoError(t, err)
			}
		}
		_, err := client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &bucket})
		require.NoError(t, err)
	})
	t.Setenv(ours.EnvBucket, bucket)
	say(t, opts.BaseEndpoint, opts.Region, opts.Credentials)
}

// say puts into the environment how a server is reached.
func say(t *testing.T, endpoint *string, region string, provider aws.CredentialsProvider) {
	t.Helper()
	credentials, err := provider.Retrieve(t.Context())
	require.NoError(t, err)
	for name, value := range map[string]string{
		ours.EnvEndpoint: aws.ToString(endpoint), "AWS_REGION": region,
		"AWS_ACCESS_KEY_ID": credentials.AccessKeyID, "AWS_SECRET_ACCESS_KEY": credentials.SecretAccessKey, "AWS_SESSION_TOKEN": credentials.SessionToken,
	} {
		t.Setenv(name, value)
	}
}

// All tests of the kit pass on our sessions and artifacts that pass on its own.
func TestKit(t *testing.T) {
	names := stores("")
	if len(names) == 0 {
		t.Skip("set " + envKit + "=" + ours.Memory + " to run the kit's tests, which takes minutes")
	}
	t.Setenv("AWS_CA_BUNDLE", "") // read for each client that is made
	kit, err := prepare(t.Context())
	require.NoError(t, err)
	require.Len(t, kit.packages, packages)
	theirs, _ := kit.run(t, "")
	require.Equal(t, passes, theirs.count("pass"), "of %s; failed: %v", version, theirs.failed())
	for _, store := range names {
		t.Run(store, func(t *testing.T) {
			serve(t, store)
			got, calls := kit.run(t, store)
			apart := map[string]string{}
			if store == ours.DynamoDB || store == ours.Slow {
				apart = hasty()
			}
			for _, failed := range got.failed() {
				if why, ok := apart[failed.name]; ok {
					fmt.Printf("%-9s %s failed: %s\n", store, failed, why)
				}
			}
			for _, problem := range problems(theirs, got, kit.packages, calls, apart) {
				t.Error(problem)
			}
		})
	}
}

// A workspace has the copy of the kit, and our modules.
type workspace struct {
	folder   string
	copied   string
	packages []string
}

func prepare(ctx context.Context) (w workspace, err error) {
	root, err := filepath.Abs("../../../..")
	if err != nil {
		return w, err
	}
	m, sum, err := published(ctx)
	if err != nil {
		return w, err
	}
	if m.Version != version {
		return w, fmt.Errorf("%s is %s: count the passes of that version, these are of %s", kit, m.Version, version)
	}
	w.folder = filepath.Join(cmp.Or(os.Getenv(envCache), filepath.Join(root, ".cache")), "adk", m.Version)
	w.copied = filepath.Join(w.folder, "kit")
	if err := os.MkdirAll(w.folder, 0o755); err != nil {
		return w, err
	}
	if w.packages, err = copyKit(m, sum, w.copied); err != nil {
		return w, err
	}
	work := fmt.Sprintf("go 1.26.5\n\nuse (\n\t%q\n\t%q\n\t%q\n\t%q\n)\n", w.copied,
		root, filepath.Join(root, "adapters/adk"), filepath.Join(root, "adapters/adk/internal/kittests"))
	if err := os.WriteFile(filepath.Join(w.folder, "go.work"), []byte(work), 0o644); err != nil {
		return w, err
	}
	// This downloads what the tests link.
	if out, err := w.command(ctx, w.packages, "list", "-deps", "-test", "-f", "{{.ImportPath}}").CombinedOutput(); err != nil {
		return w, fmt.Errorf("%w: %s", err, out)
	}
	return w, nil
}

// command is the go command on packages of the kit, in the workspace.
func (w workspace) command(ctx context.Context, packages []string, args ...string) *exec.Cmd {
	for _, folder := range packages {
		args = append(args, "./"+folder)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = w.copied
	cmd.Env = append(os.Environ(), "GOWORK="+filepath.Join(w.folder, "go.work"))
	return cmd
}

// run runs the tests on a store, or on the kit's own service if it has no name.
func (w workspace) run(t *testing.T, store string) (results, map[string]int) {
	t.Helper()
	name := cmp.Or(store, "kit")
	raw, calls := filepath.Join(w.folder, name+".json"), filepath.Join(w.folder, name+".calls")
	require.NoError(t, os.WriteFile(calls, nil, 0o644))
	begin := time.Now()
	goTest := func(cmd *exec.Cmd) results {
		cmd.Env = append(cmd.Env, ours.EnvStore+"="+store, ours.EnvCalls+"="+calls, "GOPROXY=off",
			// Recorded answers are all the network that the kit's tests need.
			"HTTP_PROXY=http://127.0.0.1:1", "HTTPS_PROXY=http://127.0.0.1:1", "NO_PROXY=127.0.0.1,localhost")
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
			require.NoError(t, err)
		}
		require.NoError(t, os.WriteFile(raw, stdout.Bytes(), 0o644))
		got, err := readResults(&stdout)
		require.NoError(t, err)
		require.NotEmpty(t, got, "%s", stderr.String())
		return got
	}
	got := goTest(w.command(t.Context(), w.packages, "test", "-json", "-count=1", "-vet=off"))
	said := again(got, func(failed test) results {
		raw = filepath.Join(w.folder, name+"-again.json")
		return goTest(w.command(t.Context(), []string{strings.TrimPrefix(failed.pkg, kit+"/")}, "test", "-json", "-count=1", "-vet=off", "-run=^"+failed.name+"$"))
	})
	made := w.made(t, calls)
	services := 0
	for _, n := range made {
		services += n
	}
	fmt.Printf("%-9s %5d pass %3d fail %3d skip  %5d services of ours  %4.0fs  %s\n", name,
		got.count("pass"), got.count("fail"), got.count("skip"), services, time.Since(begin).Seconds(), raw)
	for _, line := range said {
		fmt.Printf("%-9s %s\n", name, line)
	}
	return got, made
}

// attempts is how often a test may run again that fails now and then on any service.
const attempts = 5

func again(got results, run func(test) results) (said []string) {
	for _, failed := range got.failed() {
		often, ok := unsteady()[failed.name]
		for n := 1; ok && n <= attempts && got[failed] == "fail"; n++ {
			got.merge(run(failed))
			said = append(said, fmt.Sprintf("%s failed, as on the kit's own service in %s; run again: %s", failed, often, got[failed]))
		}
	}
	return said
}

// made counts the services of ours by package.
func (w workspace) made(t *testing.T, calls string) map[string]int {
	t.Helper()
	lines, err := os.ReadFile(calls)
	require.NoError(t, err)
	made := map[string]int{}
	for line := range strings.Lines(string(lines)) {
		folder, err := filepath.Rel(w.copied, strings.TrimSpace(line))
		require.NoError(t, err)
		made[folder]++
	}
	return made
}
