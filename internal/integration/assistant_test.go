package integration

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/integration/servers"
)

// assistant returns the example assistant, as the program that a person runs, on an
// empty database. `make integration` builds it before, because a run in a network of
// its own can fetch no modules.
func assistant(t *testing.T) (run func(env, args []string) (out, errs string, err error), endpoint string) {
	t.Helper()
	if servers.OnAWS(t) {
		t.Skip("the assistant takes an endpoint and keys of its own here")
	}
	program, err := filepath.Abs("../../.cache/assistant")
	require.NoError(t, err)
	if _, err := os.Stat(program); err != nil {
		t.Skip("the assistant is not built: make integration builds it")
	}
	base := servers.DynamoDBLocal(t).Options().BaseEndpoint
	require.NotNil(t, base)
	return func(env, args []string) (string, string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Env = append([]string{"HOME=" + t.TempDir(), "AWS_EC2_METADATA_DISABLED=true"}, env...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		return out.String(), errs.String(), err
	}, *base
}

func TestTheAssistantRemembersOnDynamoDB(t *testing.T) {
	run, endpoint := assistant(t)
	remembers(t, func(state string, args ...string) string {
		out, errs, err := run(nil, append(args, "--backend", "local-servers", "--dynamodb", endpoint, "--state", state))
		require.NoErrorf(t, err, "%v: %s", args, errs)
		require.Contains(t, errs, "DynamoDB table genaistore-assistant")
		return out
	})
}

// With --backend aws everything comes from the environment, as on AWS, but for the
// address of the service.
func TestTheAssistantRemembersOnAWS(t *testing.T) {
	run, endpoint := assistant(t)
	env := []string{
		"AWS_ENDPOINT_URL_DYNAMODB=" + endpoint, "AWS_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID=assistantonaws", "AWS_SECRET_ACCESS_KEY=secret",
	}
	state := t.TempDir()
	call := func(state string, args ...string) (string, string, error) {
		return run(env, append(args, "--backend", "aws", "--state", state))
	}
	_, errs, err := call(state, "history")
	require.Error(t, err)
	require.Contains(t, errs, "assistant setup --backend aws makes it")
	for _, made := range []string{"true", "false"} {
		out, errs, err := call(state, "setup")
		require.NoError(t, err, errs)
		require.Contains(t, out, "table genaistore-assistant is ready; made now: "+made)
	}
	remembers(t, func(state string, args ...string) string {
		out, errs, err := call(state, args...)
		require.NoErrorf(t, err, "%v: %s", args, errs)
		return out
	})
	_, errs, err = run(env[:2], []string{"history", "--backend", "aws", "--state", state})
	require.Error(t, err, "there are no credentials")
	require.Contains(t, errs, "credentials")
}

// remembers holds a conversation, and finds it again on another machine.
func remembers(t *testing.T, assistant func(state string, args ...string) string) {
	t.Helper()
	document := filepath.Join(t.TempDir(), "gauges.md")
	require.NoError(t, os.WriteFile(document, []byte("# Gauges\n\nReadings are copied every six hours.\n"), 0o600))
	state := t.TempDir()
	assistant(state, "ingest", document)
	require.Contains(t, assistant(state, "ask", "How often are readings copied?"), "every six hours. [1]")
	require.Contains(t, assistant(state, "search", "--intent", "question"), "How often are readings copied?")

	elsewhere := t.TempDir() // another machine: the conversation is in the table, not in a folder
	require.Contains(t, assistant(elsewhere, "history"), "user: How often are readings copied?  {question, sentiment +0.0}")
	require.Contains(t, assistant(elsewhere, "sessions"), "main: 2 records")
	require.Contains(t, assistant(elsewhere, "forget", "--yes"), "1 conversations of me erased")
	require.Contains(t, assistant(state, "sessions"), "has no conversations yet")
}
