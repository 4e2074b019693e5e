package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

// victimVariable holds what a process is to do that is killed by a test.
const victimVariable = "GENAISTORE_TEST_VICTIM"

// A victim is a process that kills itself at its nth write to DynamoDB, as SIGKILL
// ends it: before it is sent, or when the table has it and nobody knows.
type victim struct {
	Operation           string
	Key                 memory.Key
	At                  int64
	After               bool
	Cipher              bool
	Endpoint, Table, ID string // where, and the access key
}

// survived is how a victim ends whose operation came to its end before it was killed.
const survived = 3

// run starts a process that does v, and says whether it was killed.
func (v victim) run(t *testing.T) (killed bool) {
	t.Helper()
	what, err := json.Marshal(v)
	require.NoError(t, err)
	program, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = []string{victimVariable + "=" + string(what)}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err = cmd.Run()
	ended, ok := errors.AsType[*exec.ExitError](err)
	require.True(t, ok, "%v: %s", err, &stderr)
	if ended.ExitCode() == survived {
		return false
	}
	require.Contains(t, ended.String(), "killed", "%s", &stderr)
	return true
}

// die is what a process does that was started as a victim. It returns its exit code.
func die(what string) int {
	var v victim
	if err := json.Unmarshal([]byte(what), &v); err != nil {
		return failed(err)
	}
	store, err := v.store()
	if err != nil {
		return failed(err)
	}
	for _, op := range killable() {
		if op.name == v.Operation {
			if err := op.do(context.Background(), store, v.Key); err != nil {
				return failed(err)
			}
			return survived
		}
	}
	return failed(fmt.Errorf("no operation %q", v.Operation))
}

func failed(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func (v victim) store() (*dynamomemory.Store, error) {
	client := dynamodb.New(dynamodb.Options{
		Region: "us-east-1", BaseEndpoint: &v.Endpoint, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider(v.ID, "secret", ""),
		HTTPClient:  &lastBreath{at: v.At, after: v.After},
	})
	opts, err := victimOptions(v.Cipher)
	if err != nil {
		return nil, err
	}
	return dynamomemory.New(client, v.Table, opts)
}

func victimOptions(cipher bool) (*dynamomemory.Options, error) {
	if !cipher {
		return &dynamomemory.Options{}, nil
	}
	local, err := dynamomemory.NewLocalCipher(bytes.Repeat([]byte{7}, 32))
	return &dynamomemory.Options{Cipher: local}, err
}

// writes says whether a request to DynamoDB changes something.
func writes(r *http.Request) bool {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	return slices.Contains([]string{"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"}, operation)
}

// lastBreath sends requests until the process ends at one of them.
type lastBreath struct {
	at    int64
	after bool
	seen  atomic.Int64
}

func (l *lastBreath) Do(r *http.Request) (*http.Response, error) {
	last := writes(r) && l.seen.Add(1) == l.at
	if last && !l.after {
		return nil, end()
	}
	response, err := http.DefaultClient.Do(r)
	if last && err == nil {
		if _, err := io.ReadAll(response.Body); err != nil { // so that the server has done it
			return nil, err
		}
		return nil, errors.Join(end(), response.Body.Close())
	}
	return response, err
}

// end kills this process as others would: no deferred call runs. It returns only if
// that fails.
func end() error {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return err
	}
	if err := self.Kill(); err != nil {
		return err
	}
	select {} // until the signal is there
}
