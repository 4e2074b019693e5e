package main

import (
	"encoding/json"
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
	raw, err := os.ReadFile("machine.asl.json")
	require.NoError(t, err)
	var machine template.Object
	require.NoError(t, json.Unmarshal(raw, &machine))
	functions := map[string]template.Function{
		"FetchFunction":     {Handler: "fetch", Access: dynamomemory.ReadOnly},
		"SentimentFunction": {Handler: "sentiment", Access: dynamomemory.ReadOnly, Detects: true},
		"IntentFunction":    {Handler: "intent", Access: dynamomemory.ReadOnly, Classifies: true},
		"AnnotateFunction":  {Handler: "annotate", Access: dynamomemory.ReadWrite},
		"AskFunction":       {Handler: "ask", Access: dynamomemory.ReadWrite, Converses: true},
		"AppendFunction":    {Handler: "append", Access: dynamomemory.ReadWrite},
	}
	arns, may := template.Object{}, []any{}
	for name, f := range functions {
		f.Timeout = 55 // less than the machine waits
		functions[name] = f
		arns[name] = template.Att(name, "Arn")
	}
	for _, name := range []string{"Annotate", "Append", "Ask", "Fetch", "Intent", "Sentiment"} {
		may = append(may, template.Att(name+"Function", "Arn"))
	}
	want, err := template.Stack("A state machine that answers and remembers, example of genaistore", functions, template.Object{
		"Machine": template.Object{"Type": "AWS::StepFunctions::StateMachine", "Properties": template.Object{
			"StateMachineType": "STANDARD", "RoleArn": template.Att("MachineRole", "Arn"),
			"Definition": machine, "DefinitionSubstitutions": arns,
		}},
		"MachineRole": template.Role("states.amazonaws.com", "Functions", []any{"lambda:InvokeFunction"}, may),
	}, template.Object{"MachineArn": template.Object{"Value": template.Ref("Machine")}})
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile("template.json", want, 0o644))
	}
	have, err := os.ReadFile("template.json")
	require.NoError(t, err)
	require.Equal(t, string(want), string(have), "go test ./stepfunctions -run %s -update writes it", t.Name())
}
