package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
)

// keeper is set in the environment of the process that keeps the machine.
const keeper = "GENAISTORE_NFS_KEEPER"

// errNobody ends the machine of a front that is gone.
var errNobody = errors.New("whoever started the guest is gone")

// keep runs this program once more, as the keeper of the machine, and waits for
// it. This process is the front: whoever waits for the guest may kill it, by any
// signal, and the keeper, which holds the other end of its standard input, ends
// the machine and removes what belongs to it.
func keep(ctx context.Context, args []string) (int, error) {
	self, err := os.Executable()
	if err != nil {
		return exitOwnFailure, err
	}
	// Not CommandContext: the keeper is asked to end, and cleans up.
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), keeper+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	separate(cmd)
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		return exitOwnFailure, err
	}
	if err := cmd.Start(); err != nil {
		return exitOwnFailure, err
	}
	stop := context.AfterFunc(ctx, func() { _ = lifeline.Close() })
	defer stop()
	err = cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return exitOwnFailure, err
	}
	return 0, nil
}

// withLifeline returns a context that ends with the front.
func withLifeline(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel(errNobody)
	}()
	return ctx, func() { cancel(nil) }
}
