//go:build !linux

package uml

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/genaistore/genaistore/internal/nfstest/guest"
)

// Run fails: the kernel is a Linux program.
func (Kernel) Run(_ context.Context, _, _ string, _ Streams, _ *Options) error {
	return unsupported()
}

// Do fails, as Run does.
func (Kernel) Do(context.Context, guest.Job, Streams, *Options) (guest.Result, error) {
	return guest.Result{}, unsupported()
}

func unsupported() error {
	return fmt.Errorf("run a kernel: %w: user-mode Linux runs on linux/amd64, not on %s", errors.ErrUnsupported, runtime.GOOS)
}
