package integration

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/integration/servers"
)

// The example assistant, as the program that a person runs, keeps its
// conversations on DynamoDB. `make integration` builds it before, because a run in
// a network of its own can fetch no modules.
func TestTheAssistantRemembersOnDynamoDB(t *testing.T) {
	if servers.OnAWS(t) {
		t.Skip("the assistant takes an endpoint and keys of its own here")
	}
	program, err := filepath.Abs("../../.cache/assistant")
	require.NoError(t, err)
	if _, err := os.Stat(program); err != nil {
		t.Skip("the assistant is not built: make integration builds it")
	}
	endpoint := servers.DynamoDBLocal(t).Options().BaseEndpoint
	require.NotNil(t, endpoint)
	document := filepath.Join(t.TempDir(), "gauges.md")
	require.NoError(t, os.WriteFile(document, []byte("# Gauges\n\nReadings are copied every six hours.\n"), 0o600))
	state := t.TempDir()
	assistant := func(state string, args ...string) string {
		args = append(args, "--backend", "local-servers", "--dynamodb", *endpoint, "--state", state)
		cmd := exec.CommandContext(t.Context(), program, args...)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		require.NoErrorf(t, err, "%v: %s", args, errs.String())
		require.Contains(t, errs.String(), "DynamoDB table genaistore-assistant")
		return string(out)
	}
	assistant(state, "ingest", document)
	require.Contains(t, assistant(state, "ask", "How often are readings copied?"), "every six hours. [1]")
	require.Contains(t, assistant(state, "search", "--intent", "question"), "How often are readings copied?")

	elsewhere := t.TempDir() // another machine: the conversation is in the table, not in a folder
	require.Contains(t, assistant(elsewhere, "history"), "user: How often are readings copied?  {question, sentiment +0.0}")
	require.Contains(t, assistant(elsewhere, "sessions"), "main: 2 records")
	require.Contains(t, assistant(elsewhere, "forget", "--yes"), "1 conversations of me erased")
	require.Contains(t, assistant(state, "sessions"), "has no conversations yet")
}
