package dynamomemory

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Who keeps conversations in DynamoDB alone links no other service and no other
// compressor: Lambdas start the faster for it.
func TestThisPackageLinksNothingOfItsOptions(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command")
	}
	const sdk = "github.com/aws/aws-sdk-go-v2/service/"
	foreign := func(pkg string) []string {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", pkg).Output()
		require.NoError(t, err)
		var found []string
		for dep := range strings.Lines(string(out)) {
			dep = strings.TrimSpace(dep)
			service, ok := strings.CutPrefix(dep, sdk)
			other := ok && !strings.HasPrefix(service, "dynamodb") && !strings.HasPrefix(service, "internal/")
			if other || strings.Contains(dep, "aws-dax-go") || strings.Contains(dep, "klauspost") {
				found = append(found, dep)
			}
		}
		return found
	}
	require.Empty(t, foreign("."))
	// That the test can fail:
	for pkg, dep := range map[string]string{
		"./kmscipher":      sdk + "kms",
		"./s3blobs":        sdk + "s3",
		"./zstdcompressor": "github.com/klauspost/compress/zstd",
	} {
		require.Contains(t, foreign(pkg), dep)
	}
}
