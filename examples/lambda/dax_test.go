package main

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/internal/daxtest"
	"github.com/genaistore/genaistore/internal/lambdatest"
)

// keys is a KMS whose wrapped keys are the keys themselves, with what they belong to.
type keys struct{ calls atomic.Int64 }

type wrappedKey struct {
	Key     []byte
	Context map[string]string
}

func (k *keys) Do(r *http.Request) (*http.Response, error) {
	k.calls.Add(1)
	var in struct {
		EncryptionContext map[string]string
		CiphertextBlob    []byte
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, err
	}
	made := wrappedKey{Key: bytes.Repeat([]byte{7}, 32), Context: in.EncryptionContext}
	status := http.StatusOK
	if awsfake.Operation(r) == "Decrypt" {
		if err := json.Unmarshal(in.CiphertextBlob, &made); err != nil || !maps.Equal(made.Context, in.EncryptionContext) {
			status = http.StatusBadRequest
		}
	}
	blob, err := json.Marshal(made)
	if err != nil {
		return nil, err
	}
	answer, err := json.Marshal(map[string]any{"Plaintext": made.Key, "CiphertextBlob": blob, "KeyId": keyARN, "__type": "InvalidCiphertextException"})
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}}, Body: io.NopCloser(bytes.NewReader(answer))}, err
}

const keyARN = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"

func TestTheProgramThroughDAX(t *testing.T) {
	a := newAccount(t)
	cluster, err := daxtest.Start(t.Context(), a.tables.Client(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Close()) })
	_, err = lambdatest.Start(t.Context(), program(t, ".", "dax"), &lambdatest.Options{Env: append(a.env, "DAX_ENDPOINT="+cluster.Endpoint())})
	require.ErrorContains(t, err, "KMS_KEY is not")
	f := a.start(t, program(t, ".", "dax"), "DAX_ENDPOINT="+cluster.Endpoint(), "KMS_KEY="+keyARN)
	_, err = ask(t, f, "r1", Request{Key: key, Text: "Hello there"})
	require.NoError(t, err)
	second, err := ask(t, f, "r2", Request{Key: key, Text: "a very secret thing"})
	require.NoError(t, err)
	require.Equal(t, "some.model-v1 heard 3 messages, the last: a very secret thing", second.Text)
	used := cluster.Stats()
	require.NotZero(t, used.AttributeLists, "it was written to")
	require.NotZero(t, used.ItemHits+used.ItemMisses, "it was asked")
	require.NotZero(t, a.keys.calls.Load(), "there is a key for the conversation")

	require.NoError(t, cluster.Close()) // DAX is lost, and the table is there
	third, err := ask(t, f, "r3", Request{Key: key, Text: "and now?"})
	require.NoError(t, err)
	require.Equal(t, "some.model-v1 heard 5 messages, the last: and now?", third.Text)
	again, err := ask(t, f, "r3", Request{Key: key, Text: "and now?"})
	require.NoError(t, err)
	require.Equal(t, third.Text, again.Text)
	require.EqualValues(t, 3, a.models.Calls())
}
