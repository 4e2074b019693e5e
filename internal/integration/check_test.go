package integration

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/aws/smithy-go"

	"github.com/genaistore/genaistore/internal/integration/servers"
)

// A check proves one capability of a server, with what it makes itself, and returns
// what was wrong.
type check[C any] struct {
	servers.Capability
	prove func(t *testing.T, client C) error
}

// A target is a server that a list of checks runs on.
type target[C any] struct {
	servers.Name
	client func(t testing.TB) C
}

// runChecks runs every check on every server, each as a subtest of its own.
func runChecks[C any](t *testing.T, targets []target[C], checks []check[C]) {
	for _, target := range targets {
		t.Run(string(target.Name), func(t *testing.T) {
			for _, check := range checks {
				t.Run(string(check.Capability), func(t *testing.T) {
					client := target.client(t)
					servers.Check(t, target.Name, check.Capability, func() error { return check.prove(t, client) })
				})
			}
		})
	}
}

// failsWith is nil if err is an error of AWS with one of the codes.
func failsWith(err error, codes ...string) error {
	if err == nil {
		return fmt.Errorf("succeeded, expected %v", codes)
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return fmt.Errorf("expected %v: %w", codes, err)
	}
	if !slices.Contains(codes, api.ErrorCode()) {
		return fmt.Errorf("expected %v, got %s: %s", codes, api.ErrorCode(), api.ErrorMessage())
	}
	return nil
}

// failsAs is nil if err has a T in its chain.
func failsAs[T error](err error) error {
	if err == nil {
		return fmt.Errorf("succeeded, expected a %v", reflect.TypeFor[T]())
	}
	if _, ok := errors.AsType[T](err); !ok {
		return fmt.Errorf("expected a %v: %w", reflect.TypeFor[T](), err)
	}
	return nil
}

func same(what string, got, want any) error {
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("%s: %v, expected %v", what, got, want)
	}
	return nil
}

// contextAfter is for what a test removes: it outlives the test's own context.
func contextAfter(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}
