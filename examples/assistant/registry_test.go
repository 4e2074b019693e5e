package main

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
)

// on runs a command with its checkpoints on an S3 server.
func (p *player) on(t *testing.T, url string, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	args = append(args, "--backend", "local-servers", "--s3", url, "--state", p.state)
	code = run(t.Context(), args, terminal{strings.NewReader(""), &stdout, &stderr})
	return code, stdout.String(), stderr.String()
}

// Two machines share the checkpoints, and nothing else.
func TestCheckpointsOnS3AreSharedByMachines(t *testing.T) {
	t.Setenv("AWS_CA_BUNDLE", "")
	fake := awsfake.NewS3(localBucket)
	fake.Public()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Authorization") // whatever the keys are
		resp, err := fake.Do(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		maps.Copy(w.Header(), resp.Header)
		w.WriteHeader(resp.StatusCode)
		_, err = io.Copy(w, resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	one, two := newPlayer(t), newPlayer(t)
	ok := func(p *player, args ...string) string {
		code, out, errs := p.on(t, server.URL, args...)
		require.Zero(t, code, errs)
		require.Contains(t, errs, "conversations are in memory, checkpoints in S3")
		return out
	}
	require.Contains(t, ok(one, "checkpoint", "list"), "no checkpoints yet")
	require.Contains(t, ok(one, "checkpoint", "history"), "no checkpoints yet")
	ok(one, "ingest", write(t, "a.md", "# Gauges\n\nReadings are copied every six hours.\n"))
	require.Contains(t, ok(one, "checkpoint", "publish", "--reason", "first"), "version 1 is production: 1 passages")

	require.Contains(t, ok(two, "checkpoint", "load"), "the index is version 1, with 1 passages")
	require.Contains(t, ok(two, "ask", "How often are readings copied?"), "every six hours. [1]")
	ok(two, "ingest", write(t, "b.md", "# Gates\n\nThe gates close at nine.\n"))
	require.Contains(t, ok(two, "checkpoint", "publish"), "version 2 is production: 2 passages")

	list := ok(one, "checkpoint", "list")
	require.Contains(t, list, "version 2: 2 passages")
	require.Contains(t, ok(one, "checkpoint", "rollback", "--reason", "gates are secret"), "version 1 is production again, with 1 passages; version 2 is quarantined")
	history := ok(two, "checkpoint", "history")
	require.Contains(t, history, "version 1 published, production from 0 to 1, first\n")
	require.Contains(t, history, "production from 2 to 1, rolled back: gates are secret\n")
	require.Contains(t, ok(two, "checkpoint", "load", "2"), "the index is version 2, with 2 passages")

	code, _, errs := two.on(t, server.URL, "checkpoint", "load", "7")
	require.Equal(t, exitFailed, code)
	require.Contains(t, errs, "there is no checkpoint assistant/index@7")
	code, _, errs = two.on(t, server.URL, "checkpoint", "list", "--bucket", "a/b")
	require.NotZero(t, code)
	require.Contains(t, errs, "bucket")
	code, _, errs = two.on(t, "http://127.0.0.1:1", "checkpoint", "list")
	require.Equal(t, exitFailed, code)
	require.Contains(t, errs, "no S3 that can be used at http://127.0.0.1:1: start one with go -C internal/integration run ./serve versitygw")
}
