package lambdatest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/lambdatest"
)

// The tests' own program is the function too, with a runtime of a few lines.
func TestMain(m *testing.M) {
	if api := os.Getenv("AWS_LAMBDA_RUNTIME_API"); api != "" {
		if err := function("http://" + api + "/2018-06-01/runtime/"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func function(api string) error {
	fmt.Fprintln(os.Stderr, "begins as", os.Getenv("_HANDLER"))
	switch os.Getenv("_HANDLER") {
	case "leaves":
		return nil
	case "breaks":
		return post(api+"init/error", `{"errorType":"NoTable","errorMessage":"there is no table"}`)
	}
	for {
		next, err := http.Get(api + "invocation/next")
		if err != nil {
			return err
		}
		event, err := io.ReadAll(next.Body)
		if err := errors.Join(err, next.Body.Close()); err != nil {
			return err
		}
		id := next.Header.Get("Lambda-Runtime-Aws-Request-Id")
		answer := api + "invocation/" + id
		switch text := string(event); text {
		case "die":
			return io.ErrUnexpectedEOF
		case "fail":
			err = post(answer+"/error", `{"errorType":"Sad","errorMessage":"no"}`)
		case "flood":
			err = post(answer+"/response", strings.Repeat("x", lambdatest.MaxPayload+1))
		case "stranger":
			if err = post(api+"invocation/other/response", "not mine"); err != nil {
				err = post(answer+"/response", err.Error())
			}
		default:
			err = post(answer+"/response", fmt.Sprint(text, " ", id, " ", next.Header.Get("Lambda-Runtime-Deadline-Ms") != ""))
		}
		if err != nil && event[0] != 'f' {
			return err
		}
	}
}

func post(url, body string) error {
	response, err := http.Post(url, "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusAccepted {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	return response.Body.Close()
}

func start(t *testing.T, handler string) (*lambdatest.Function, error) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	return lambdatest.Start(t.Context(), self, &lambdatest.Options{Handler: handler})
}

func running(t *testing.T) *lambdatest.Function {
	t.Helper()
	f, err := start(t, "answers")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f
}

func TestAFunctionAnswersItsEvents(t *testing.T) {
	f := running(t)
	require.Positive(t, f.Init())
	require.Contains(t, f.Output(), "begins as answers")
	for range 2 {
		answer, err := f.Repeat(t.Context(), "r1", []byte("hello"))
		require.NoError(t, err)
		require.Equal(t, "hello r1 true", string(answer))
	}
	first, err := f.Invoke(t.Context(), []byte("hello"))
	require.NoError(t, err)
	second, err := f.Invoke(t.Context(), []byte("hello"))
	require.NoError(t, err)
	require.NotEqual(t, first, second, "each invocation has an id")
	answer, err := f.Invoke(t.Context(), []byte("stranger"))
	require.NoError(t, err)
	require.Equal(t, "status 400", string(answer))
}

func TestInvocationsWaitForEachOther(t *testing.T) {
	f := running(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			id := fmt.Sprint(i)
			answer, err := f.Repeat(t.Context(), id, []byte("hello"))
			if err != nil || string(answer) != "hello "+id+" true" {
				t.Errorf("%s, %v", answer, err)
			}
		})
	}
	wg.Wait()
}

func TestFailuresOfAFunctionAreErrors(t *testing.T) {
	f := running(t)
	_, err := f.Invoke(t.Context(), []byte("fail"))
	var failure *lambdatest.Error
	require.ErrorAs(t, err, &failure)
	require.Equal(t, lambdatest.Error{Type: "Sad", Message: "no"}, *failure)
	_, err = f.Invoke(t.Context(), make([]byte, lambdatest.MaxPayload+1))
	require.ErrorIs(t, err, lambdatest.ErrPayload)
	_, err = f.Invoke(t.Context(), []byte("flood"))
	require.ErrorIs(t, err, lambdatest.ErrPayload)
	_, err = f.Invoke(t.Context(), []byte("hello"))
	require.NoError(t, err, "it goes on")
	_, err = f.Invoke(t.Context(), []byte("die"))
	require.ErrorContains(t, err, "in an invocation: the program ended: exit status 1: begins as answers\nunexpected EOF")
	_, err = f.Invoke(t.Context(), []byte("hello"))
	require.ErrorContains(t, err, "the program ended")
}

func TestAFunctionThatDoesNotStartIsAnError(t *testing.T) {
	_, err := start(t, "leaves")
	require.ErrorContains(t, err, "the program ended: exit status 0: begins as leaves")
	_, err = start(t, "breaks")
	require.ErrorContains(t, err, "NoTable: there is no table")
	_, err = lambdatest.Start(t.Context(), "/nowhere/bootstrap", nil)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestAContextEndsAnInvocation(t *testing.T) {
	f := running(t)
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	_, err := f.Invoke(ctx, []byte("hello"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
