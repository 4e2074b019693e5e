// Package lambdatest runs the program of a Lambda function, as it is deployed, on
// this machine: it starts the program and speaks the Runtime API to it on the
// loopback, as the service does.
//
//	f, err := lambdatest.Start(ctx, "bootstrap", &lambdatest.Options{Env: env})
//	...
//	defer f.Close()
//	answer, err := f.Invoke(ctx, []byte(`{"text": "hello"}`))
//
// It knows invocations one after the other, their errors, those of the INIT phase,
// the deadline and the limits of payloads. It does not know response streaming,
// extensions, or the freezing of a function between invocations.
//
//   - https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
package lambdatest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// MaxPayload is the most bytes of an event, and of an answer.
	MaxPayload = 6 << 20
	// DefaultTimeout is how long an invocation may take where its context has no deadline.
	DefaultTimeout = 30 * time.Second

	prefix = "/2018-06-01/runtime/"
)

// ErrPayload reports an event or an answer of more than [MaxPayload] bytes.
var ErrPayload = errors.New("payload of more than 6 MB")

// Options adjusts a [Function]. A nil *Options means the zero value.
type Options struct {
	// Env is the environment of the function, beside what the service sets: nothing
	// of this process's own is in it.
	Env []string
	// Handler is the function's handler in its configuration: "bootstrap" if empty.
	Handler string
	// Name is the function's name: that of the program if empty.
	Name string
}

// WithDefaults returns what Start acts on. It accepts a nil receiver.
func (o *Options) WithDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	opts.Handler = cmp.Or(opts.Handler, "bootstrap")
	return opts
}

// An Error is what a function answers instead of a result.
type Error struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
}

func (e *Error) Error() string { return e.Type + ": " + e.Message }

// A Function is a running program. It is safe for concurrent use; invocations wait
// for each other.
type Function struct {
	cmd    *exec.Cmd
	api    *httptest.Server
	arn    string
	init   time.Duration
	stderr output

	queue chan *invocation
	ready chan struct{} // closed when the program asks for its first event
	ended chan struct{} // closed when the program is gone
	once  sync.Once

	mu      sync.Mutex
	running map[string]*invocation
	failed  error // of the INIT phase, or how the program ended
}

type invocation struct {
	id       string
	event    []byte
	deadline time.Time
	done     chan outcome
}

type outcome struct {
	answer []byte
	err    error
}

// Start runs program and returns when it asks for its first event, which ends its
// INIT phase. One that ends before, or says that it failed, is an error with what the
// program wrote.
func Start(ctx context.Context, program string, opts *Options) (*Function, error) {
	o := opts.WithDefaults()
	name := cmp.Or(o.Name, filepath.Base(program))
	f := &Function{
		arn:   "arn:aws:lambda:us-east-1:123456789012:function:" + name,
		queue: make(chan *invocation), ready: make(chan struct{}), ended: make(chan struct{}), running: map[string]*invocation{},
	}
	f.api = httptest.NewServer(http.HandlerFunc(f.serve))
	f.cmd = exec.CommandContext(context.WithoutCancel(ctx), program) // Close ends it
	f.cmd.Env = append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(f.api.URL, "http://"), "_HANDLER=" + o.Handler,
		"AWS_LAMBDA_FUNCTION_NAME=" + name, "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128",
		"AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1", "TZ=:UTC",
	}, o.Env...)
	f.cmd.Stdout, f.cmd.Stderr = &f.stderr, &f.stderr
	begin := time.Now()
	if err := f.cmd.Start(); err != nil {
		f.api.Close()
		return nil, fmt.Errorf("lambda %s: %w", name, err)
	}
	go f.wait()
	select {
	case <-f.ready:
		f.init = time.Since(begin)
		return f, nil
	case <-f.ended:
		f.api.Close()
		return nil, fmt.Errorf("lambda %s: %w: %s", name, f.failure(), f.Output())
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), f.Close())
	}
}

func (f *Function) wait() {
	err := f.cmd.Wait()
	f.mu.Lock()
	f.failed = cmp.Or(f.failed, fmt.Errorf("the program ended: %w", cmp.Or(err, errExit)))
	f.mu.Unlock()
	close(f.ended)
}

var errExit = errors.New("exit status 0")

func (f *Function) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// Init is how long the INIT phase took, from the start of the program.
func (f *Function) Init() time.Duration { return f.init }

// Process is the running program, for who wants to limit, stop or kill it.
func (f *Function) Process() *os.Process { return f.cmd.Process }

// Output is what the program has written so far.
func (f *Function) Output() string { return f.stderr.String() }

// Close kills the program and waits for its end.
func (f *Function) Close() error {
	err := f.cmd.Process.Kill()
	<-f.ended
	f.api.Close()
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Invoke sends one event under a new request id and returns the answer. An error of
// the function is an *[Error].
func (f *Function) Invoke(ctx context.Context, event []byte) ([]byte, error) {
	return f.Repeat(ctx, rand.Text(), event)
}

// Repeat is Invoke under a request id of the caller's: the service uses the same one
// for all attempts of an asynchronous invocation.
func (f *Function) Repeat(ctx context.Context, requestID string, event []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(event) > MaxPayload {
		return nil, fmt.Errorf("lambda: event: %w", ErrPayload)
	}
	in := &invocation{id: requestID, event: event, done: make(chan outcome, 1)}
	if deadline, ok := ctx.Deadline(); ok {
		in.deadline = deadline
	} else {
		in.deadline = time.Now().Add(DefaultTimeout)
	}
	select {
	case f.queue <- in:
	case <-f.ended:
		return nil, fmt.Errorf("lambda: %w: %s", f.failure(), f.Output())
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case out := <-in.done:
		return out.answer, out.err
	case <-f.ended:
		return nil, fmt.Errorf("lambda: in an invocation: %w: %s", f.failure(), f.Output())
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *Function) serve(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, prefix)
	parts := strings.Split(path, "/")
	switch {
	case ok && r.Method == http.MethodGet && path == "invocation/next":
		f.next(w, r)
	case ok && r.Method == http.MethodPost && path == "init/error":
		f.failInit(w, r)
	case ok && r.Method == http.MethodPost && len(parts) == 3 && parts[0] == "invocation" && slices.Contains([]string{"response", "error"}, parts[2]):
		f.finish(w, r, parts[1], parts[2] == "error")
	default:
		http.NotFound(w, r)
	}
}

func (f *Function) next(w http.ResponseWriter, r *http.Request) {
	f.once.Do(func() { close(f.ready) })
	select {
	case in := <-f.queue:
		f.mu.Lock()
		f.running[in.id] = in
		f.mu.Unlock()
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Lambda-Runtime-Aws-Request-Id", in.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(in.deadline.UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", f.arn)
		_, _ = w.Write(in.event) // a program that has gone meanwhile is seen by its end
	case <-r.Context().Done():
	case <-f.ended:
	}
}

func (f *Function) failInit(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxPayload))
	f.mu.Lock()
	f.failed = cmp.Or(err, decodeError(body))
	f.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
}

func (f *Function) finish(w http.ResponseWriter, r *http.Request, id string, failed bool) {
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxPayload+1))
	f.mu.Lock()
	in := f.running[id]
	delete(f.running, id)
	f.mu.Unlock()
	switch {
	case err != nil || in == nil:
		http.Error(w, `{"errorType":"InvalidRequestID"}`, http.StatusBadRequest)
		return
	case len(body) > MaxPayload:
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		in.done <- outcome{err: fmt.Errorf("lambda: answer: %w", ErrPayload)}
		return
	case failed:
		in.done <- outcome{err: decodeError(body)}
	default:
		in.done <- outcome{answer: body}
	}
	w.WriteHeader(http.StatusAccepted)
}

func decodeError(body []byte) error {
	failure := new(Error)
	if err := json.Unmarshal(body, failure); err != nil {
		return fmt.Errorf("an error that is no JSON: %.200q", body)
	}
	return failure
}

// output is what a program writes, while it is read.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
