//go:build !linux

package uml

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

// Run fails: the kernel is a Linux program.
func (Kernel) Run(_ context.Context, _, _ string, _ Streams, _ *Options) error {
	return unsupported()
}

func lock(string) (func(), error) { return nil, unsupported() }

func unsupported() error {
	return fmt.Errorf("run a kernel: %w: user-mode Linux runs on linux/amd64, not on %s", errors.ErrUnsupported, runtime.GOOS)
}
