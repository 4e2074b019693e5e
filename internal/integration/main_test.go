package integration

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/integration/servers"
)

func TestMain(m *testing.M) {
	if what := os.Getenv(victimVariable); what != "" {
		os.Exit(die(what))
	}
	servers.Main(m)
}

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

var update = flag.Bool("update", false, "write the tables of docs/SERVERS.md")

// The tables of the document are made from the gaps, which the checks hold to the
// truth on every server.
func TestTheTablesOfTheDocumentAreCurrent(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "SERVERS.md")
	old, err := os.ReadFile(path)
	require.NoError(t, err)
	doc := string(old)
	moto := servers.NameMoto
	var s3Capabilities []servers.Capability
	for capability := range s3Checks() {
		s3Capabilities = append(s3Capabilities, capability)
	}
	for name, table := range map[string]string{
		"DynamoDB":       gapTable(capabilities(dynamoDBChecks()), servers.NameDynamoDBLocal, moto),
		"S3":             gapTable(s3Capabilities, servers.NameVersitygw, servers.NameMinIO, moto),
		"S3 Vectors":     gapTable(capabilities(vectorChecks()), servers.NameS3Mock, servers.NameLocalS3, moto),
		"control planes": gapTable(capabilities(controlPlaneChecks()), moto),
	} {
		begin, end := "<!-- table: "+name+" -->\n", "<!-- end -->"
		before, rest, ok := strings.Cut(doc, begin)
		require.True(t, ok, begin)
		_, after, ok := strings.Cut(rest, end)
		require.True(t, ok, end)
		doc = before + begin + "\n" + table + "\n" + end + after
	}
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(doc), 0o644))
	}
	require.Equal(t, doc, string(old), "go test -run %s -update writes it", t.Name())
}

func capabilities[C any](checks []check[C]) []servers.Capability {
	var list []servers.Capability
	for _, c := range checks {
		list = append(list, c.Capability)
	}
	return list
}

func gapTable(capabilities []servers.Capability, names ...servers.Name) string {
	var b strings.Builder
	b.WriteString("| check |")
	for _, name := range names {
		fmt.Fprintf(&b, " %s %s |", name, servers.Version(name))
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(names)) + "\n")
	for _, c := range capabilities {
		fmt.Fprintf(&b, "| %s |", c)
		for _, name := range names {
			if how, lacks := servers.Lacks(name, c); lacks {
				fmt.Fprintf(&b, " **no**: %s |", how)
			} else {
				b.WriteString(" yes |")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}
