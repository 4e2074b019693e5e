package main

import (
	"flag"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/examples/internal/template"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

var update = flag.Bool("update", false, "write template.json")

// cfn-lint checks the template in internal/integration.
func TestTheTemplateIsCurrent(t *testing.T) {
	want, err := template.Stack("A function that answers and remembers, example of genaistore", map[string]template.Function{
		"Answer": {Handler: "bootstrap", Timeout: 60, Access: dynamomemory.ReadWrite, Detects: true, Classifies: true, Converses: true},
	}, nil, template.Object{"FunctionName": template.Object{"Value": template.Ref("Answer")}})
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile("template.json", want, 0o644))
	}
	have, err := os.ReadFile("template.json")
	require.NoError(t, err)
	require.Equal(t, string(want), string(have), "go test ./lambda -run %s -update writes it", t.Name())
}
