package servers

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"
)

// Under GENAISTORE_AWS=1 the configuration is the SDK's own. Here it leads to a server
// of this test, which the test runs itself against.
func TestOnAWSTheFirstServersAreAWSAndTheOthersSkip(t *testing.T) {
	const variable = "GENAISTORE_AWS_TEST"
	if os.Getenv(variable) != "" {
		t.Run("first", func(t *testing.T) {
			o, err := DynamoDBLocal(t).ListTables(t.Context(), &dynamodb.ListTablesInput{})
			require.NoError(t, err)
			require.Equal(t, []string{"on-aws"}, o.TableNames)
			require.True(t, OnAWS(t))
			require.Regexp(t, "^mine-bucket-[a-z0-9]{16}$", Unique(t, "bucket"))
		})
		t.Run("gap", func(t *testing.T) {
			DynamoDBLocal(t)
			Need(t, NameDynamoDBLocal, TableTags) // AWS has no gaps
			Check(t, NameDynamoDBLocal, TableTags, func() error { return nil })
		})
		t.Run("second", func(t *testing.T) { Moto(t) })
		t.Run("unset", func(t *testing.T) { AWSResource(t, "GENAISTORE_AWS_NOT_SET") })
		t.Run("set", func(t *testing.T) { require.Equal(t, "1", AWSResource(t, variable)) })
		return
	}
	aws := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Target") != "DynamoDB_20120810.ListTables" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_, _ = w.Write([]byte(`{"TableNames":["on-aws"]}`))
	}))
	defer aws.Close()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), variable+"=1", "GENAISTORE_AWS=1", "GENAISTORE_AWS_PREFIX=mine", "GENAISTORE_CACHE="+t.TempDir(),
		"AWS_ENDPOINT_URL="+aws.URL, "AWS_ACCESS_KEY_ID=AKID", "AWS_SECRET_ACCESS_KEY=secret", "AWS_REGION=eu-central-1",
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "AWS_CA_BUNDLE=")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "skipped: moto 5.2.5: GENAISTORE_AWS=1 runs on AWS alone (second)\n")
	require.Contains(t, string(out), "skipped: AWS: needs GENAISTORE_AWS=1 and GENAISTORE_AWS_NOT_SET (unset)\n")
	require.Regexp(t, `(?m)^total +3   0          2        0$`, string(out))
}
