package integration

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/integration/servers"
)

func TestMain(m *testing.M) { servers.Main(m) }

// A gap that nothing checks could close, or turn into something else, unseen.
func TestEveryKnownGapIsChecked(t *testing.T) {
	checked := map[servers.Capability]bool{}
	for _, c := range dynamoDBChecks() {
		checked[c.Capability] = true
	}
	for capability := range s3Checks() {
		checked[capability] = true
	}
	for _, c := range vectorChecks() {
		checked[c.Capability] = true
	}
	for _, c := range controlPlaneChecks() {
		checked[c.Capability] = true
	}
	for _, name := range servers.Names() {
		for capability := range servers.Gaps(name) {
			require.True(t, checked[capability], "%s: %s", name, capability)
		}
	}
}
