package main

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/internal/lambdatest"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

// programs builds each program once, as it is deployed.
type programs struct {
	mu    sync.Mutex
	built map[string]string
	dir   string
}

var builds programs

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "lambda")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	builds.dir, builds.built = dir, map[string]string{}
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func program(t *testing.T, pkg, tags string) string {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command")
	}
	builds.mu.Lock()
	defer builds.mu.Unlock()
	name := pkg + tags
	if path, ok := builds.built[name]; ok {
		return path
	}
	path := filepath.Join(builds.dir, fmt.Sprint("bootstrap", len(builds.built)))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-tags", "lambda.norpc,"+tags, "-trimpath", "-ldflags", "-s -w", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	builds.built[name] = path
	return path
}

// An account is AWS as the function meets it, over TLS on the loopback.
type account struct {
	tables *awsfake.DynamoDB
	texts  *awsfake.Comprehend
	models *awsfake.Bedrock
	env    []string
	keys   keys

	mu  sync.Mutex
	log []request // in the order of their arrival
}

// A request is for a service, over a connection.
type request struct{ service, connection string }

const table = "talks"

func newAccount(t *testing.T) *account {
	t.Helper()
	a := &account{tables: awsfake.NewDynamoDB(), texts: awsfake.NewComprehend()}
	a.models = awsfake.NewBedrock(func(model string, said []string) string {
		return fmt.Sprintf("%s heard %d messages, the last: %s", model, len(said), said[len(said)-1])
	})
	_, err := dynamomemory.EnsureTable(t.Context(), a.tables.Client(), table, &dynamomemory.TableOptions{NoTTL: true, NoRecovery: true})
	require.NoError(t, err)
	fakes := awsfake.Socket(map[string]aws.HTTPClient{"dynamodb": a.tables, "comprehend": a.texts, "bedrock": a.models, "kms": &a.keys})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scope := strings.Split(r.Header.Get("Authorization"), "/")
		a.mu.Lock()
		a.log = append(a.log, request{scope[3], r.RemoteAddr})
		a.mu.Unlock()
		fakes.ServeHTTP(w, r)
	}))
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	system, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt") // to be read as on Lambda, where there is one
	if !errors.Is(err, os.ErrNotExist) {
		require.NoError(t, err)
	}
	require.NoError(t, os.WriteFile(roots, append(system, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})...), 0o600))
	a.env = []string{
		"AWS_ENDPOINT_URL=" + server.URL, "SSL_CERT_FILE=" + roots, "SSL_CERT_DIR=/nonexistent", "HOME=/nonexistent",
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
		"TABLE=" + table, "TENANT=acme", "MODEL_ID=some.model-v1",
		"CLASSIFIER=arn:aws:comprehend:us-east-1:111122223333:document-classifier-endpoint/intents",
	}
	return a
}

// requests returns those of a service since the nth of all.
func (a *account) requests(service string, since int) []request {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found []request
	for _, r := range a.log[min(since, len(a.log)):] {
		if r.service == service {
			found = append(found, r)
		}
	}
	return found
}

func (a *account) store(t *testing.T) *dynamomemory.Store {
	t.Helper()
	store, err := dynamomemory.New(a.tables.Client(), table, nil)
	require.NoError(t, err)
	return store
}

func (a *account) start(t *testing.T, program string, env ...string) *lambdatest.Function {
	t.Helper()
	f, err := lambdatest.Start(t.Context(), program, &lambdatest.Options{Env: append(a.env, env...), Name: "lambda"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f
}

func ask(t *testing.T, f *lambdatest.Function, id string, event any) (Answer, error) {
	t.Helper()
	raw, ok := event.(string)
	if !ok {
		data, err := json.Marshal(event)
		require.NoError(t, err)
		raw = string(data)
	}
	out, err := f.Repeat(t.Context(), id, []byte(raw))
	if err != nil {
		return Answer{}, err
	}
	var a Answer
	require.NoError(t, json.Unmarshal(out, &a))
	return a, nil
}

func services() []string { return []string{"dynamodb", "comprehend", "bedrock"} }

// A transport gives a connection up whose request it is not sure to have written in
// 50 ms, as on a machine that is too busy: so there are some tries.
func TestTheFirstEventWaitsForNoConnection(t *testing.T) {
	for range 20 {
		a := newAccount(t)
		_, err := ask(t, a.start(t, program(t, ".", "")), "r1", Request{Key: key, Text: "Hello there"})
		require.NoError(t, err)
		if !slices.ContainsFunc(services(), func(s string) bool { return a.requests(s, 0)[0] != a.requests(s, 3)[0] }) {
			return
		}
	}
	t.Fatal("an event opened a connection that INIT had opened")
}

func TestTheProgramAnswersAndRemembers(t *testing.T) {
	a := newAccount(t)
	f := a.start(t, program(t, ".", ""))
	for _, service := range services() {
		require.Len(t, a.requests(service, 0), 1, "INIT asks each service once")
	}
	first, err := ask(t, f, "r1", Request{Key: key, Text: "Hello there"})
	require.NoError(t, err)
	require.Equal(t, "some.model-v1 heard 1 messages, the last: Hello there", first.Text)
	require.Equal(t, "greeting", first.Intent)
	second, err := ask(t, f, "r2", Request{Key: key, Text: "That is wrong and useless!"})
	require.NoError(t, err)
	require.Equal(t, "some.model-v1 heard 3 messages, the last: That is wrong and useless!", second.Text)
	require.Equal(t, "complaint", second.Intent)
	require.InDelta(t, -1, *second.Sentiment, 0)
	require.Equal(t, 2, second.Turns)

	again, err := ask(t, a.start(t, program(t, ".", "")), "r2", Request{Key: key, Text: "That is wrong and useless!"})
	require.NoError(t, err)
	require.Equal(t, second.Text, again.Text, "another instance repeats the invocation")
	require.Equal(t, second.Intent, again.Intent)
	require.EqualValues(t, 2, a.models.Calls())
	require.Len(t, records(t, a.store(t)), 4)
	w, err := a.store(t).Open(t.Context(), key, &memory.WindowOptions{AtLeast: second.Bookmark})
	require.NoError(t, err)
	require.Equal(t, memory.State{"turns": 2.0, "intent": "complaint"}, w.States.Session)
}

func TestBadEventsAreClearErrorsAndNothingElse(t *testing.T) {
	a := newAccount(t)
	f := a.start(t, program(t, ".", ""))
	text := func(s string) string {
		return `{"key": {"tenant": "acme", "app": "support", "user": "ada", "session": "s1"}, "text": "` + s + `"}`
	}
	for name, tt := range map[string]struct{ event, kind, says string }{
		"empty":            {"", "Invalid", "event: EOF"},
		"null":             {"null", "Invalid", "names no session"},
		"no object":        {`"hello"`, "Invalid", "cannot unmarshal string"},
		"cut off":          {text("hi")[:60], "Invalid", "unexpected EOF"},
		"two events":       {text("hi") + text("hi"), "Invalid", "more than one JSON value"},
		"a wrong type":     {`{"key": {"session": 5}}`, "Invalid", "cannot unmarshal number"},
		"an unknown field": {`{"kye": {}}`, "Invalid", `unknown field "kye"`},
		"no text":          {text(""), "Invalid", "the event has no text"},
		"too much text":    {text(strings.Repeat("x", 5<<20)), "Invalid", "at most 16384"},
		"another tenant":   {strings.Replace(text("hi"), "acme", "rival", 1), "Denied", "another tenant's key"},
		"bytes of no text": {text("\xff\xfe")[:20], "Invalid", "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ask(t, f, "r1", tt.event)
			var failure *lambdatest.Error
			require.ErrorAs(t, err, &failure)
			require.Equal(t, tt.kind, failure.Type)
			require.Contains(t, failure.Message, tt.says)
		})
	}
	require.Empty(t, records(t, a.store(t)))
	require.Zero(t, a.models.Calls())
	_, err := f.Repeat(t.Context(), "r1", []byte(text(strings.Repeat("x", lambdatest.MaxPayload))))
	require.ErrorIs(t, err, lambdatest.ErrPayload, "which Lambda itself refuses")

	for range 3 { // the same invocation with a good event, and repeated
		_, err := ask(t, f, "r1", text("hi"))
		require.NoError(t, err)
	}
	require.Len(t, records(t, a.store(t)), 2, "one append of each")
	require.EqualValues(t, 1, a.models.Calls())
}

// The answer to each request in turn is lost, or the function is killed before it.
func TestAnInvocationThatIsKilledAnywhereIsRepeatedOnce(t *testing.T) {
	for n := 1; ; n++ {
		a := newAccount(t)
		f := a.start(t, program(t, ".", ""))
		var seen atomic.Int64
		kill := func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
			if seen.Add(1) != int64(n) {
				return false
			}
			next.ServeHTTP(w, r)
			require.NoError(t, f.Process().Kill())
			awsfake.Lose(w)
			return true
		}
		for _, s := range []*awsfake.Server{&a.tables.Server, &a.texts.Server, &a.models.Server} {
			s.Intercept(kill)
		}
		_, err := ask(t, f, "r1", Request{Key: key, Text: "I love this"})
		for _, s := range []*awsfake.Server{&a.tables.Server, &a.texts.Server, &a.models.Server} {
			s.Intercept(nil)
		}
		if err == nil {
			require.Greater(t, n, 8, "an invocation has many requests")
			return
		}
		require.ErrorContains(t, err, "killed")
		answer, err := ask(t, a.start(t, program(t, ".", "")), "r1", Request{Key: key, Text: "I love this"})
		require.NoError(t, err)
		require.Equal(t, "some.model-v1 heard 1 messages, the last: I love this", answer.Text)
		require.Len(t, records(t, a.store(t)), 2, "killed at request %d", n)
		require.LessOrEqual(t, a.models.Calls(), int64(2))
	}
}

func TestTheProgramSaysWhatItLacks(t *testing.T) {
	a := newAccount(t)
	for _, missing := range []string{"TABLE", "MODEL_ID", "AWS_ACCESS_KEY_ID"} {
		_, err := lambdatest.Start(t.Context(), program(t, ".", ""), &lambdatest.Options{Env: append(a.env, missing+"=")})
		require.ErrorContains(t, err, missing)
	}
	_, err := lambdatest.Start(t.Context(), program(t, ".", ""), &lambdatest.Options{Env: append(a.env, "CLASSIFIER=none")})
	require.ErrorContains(t, err, "document-classifier-endpoint")
	_, err = lambdatest.Start(t.Context(), program(t, ".", ""), &lambdatest.Options{Env: append(a.env, "DAX_ENDPOINT=daxs://cache")})
	require.ErrorContains(t, err, "built without -tags dax")

	f := a.start(t, program(t, ".", ""), "TABLE=other") // which is said in INIT, and by each event
	require.Eventually(t, func() bool { return strings.Contains(f.Output(), `there is no table \"other\"`) }, time.Minute, 10*time.Millisecond)
	_, err = ask(t, f, "r1", Request{Key: key, Text: "hi"})
	var failure *lambdatest.Error
	require.ErrorAs(t, err, &failure)
	require.Equal(t, "NotFound", failure.Type)
	require.Contains(t, failure.Message, `there is no table "other"`)
}

// The same program with all that the SDK knows to look at for credentials.
func TestTheProgramWithTheConfigurationOfTheSDK(t *testing.T) {
	a := newAccount(t)
	home := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(home, "credentials"), []byte("[default]\naws_access_key_id = test\naws_secret_access_key = test\n"), 0o600))
	f := a.start(t, program(t, ".", "awsconfig"), "AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(home, "credentials"))
	answer, err := ask(t, f, "r1", Request{Key: key, Text: "hi"})
	require.NoError(t, err)
	require.Equal(t, 1, answer.Turns)
}
