package nfstest

import (
	"bufio"
	"errors"
	"io"
	"path/filepath"
	"testing"

	"github.com/genaistore/genaistore/internal/nfstest/guest"
)

// Machine is a client with a kernel of its own, which can stand still or die.
type Machine struct {
	Client
}

// SecondMachine boots the second kernel, which takes some seconds, and returns it
// with the clients' folder of the test. It is switched off at the end of the test.
func SecondMachine(tb testing.TB, clients []Client) Machine {
	tb.Helper()
	if err := ask(guest.Request{Do: guest.DoBoot}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := errors.Join(ask(guest.Request{Do: guest.DoKill}), ask(guest.Request{Do: guest.DoPass})); err != nil {
			tb.Error(err)
		}
	})
	mount := guest.MountPoint(guest.Second)
	return Machine{Client{
		Number: guest.Second, Name: guest.Hostname(guest.Second), Mount: mount, Dir: filepath.Join(mount, filepath.Base(clients[0].Dir)),
	}}
}

// Freeze has the machine stand still, as AWS Lambda does between two invocations.
func (Machine) Freeze() error { return ask(guest.Request{Do: guest.DoFreeze}) }

// Thaw has it go on.
func (Machine) Thaw() error { return ask(guest.Request{Do: guest.DoThaw}) }

// Kill ends it, as a power failure does.
func (Machine) Kill() error { return ask(guest.Request{Do: guest.DoKill}) }

// Cut drops all that comes over its wire, in both directions.
func (Machine) Cut() error { return ask(guest.Request{Do: guest.DoDrop}) }

// Mend ends a Cut.
func (Machine) Mend() error { return ask(guest.Request{Do: guest.DoPass}) }

// A Program runs on a Machine.
type Program struct {
	Lines *bufio.Scanner // of its output and its errors
	in    io.ReadWriteCloser
}

// Start starts this test's binary on the machine, with these arguments and this
// environment beside its own. What it does when the machine is gone nobody knows.
func (Machine) Start(tb testing.TB, env []string, args ...string) Program {
	tb.Helper()
	conn, err := guest.Run(guest.Program{Args: args, Env: env})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return Program{Lines: bufio.NewScanner(conn), in: conn}
}

// Say writes a line to the program's standard input.
func (p Program) Say(line string) error {
	_, err := io.WriteString(p.in, line+"\n")
	return err
}

// Close closes the connection to the program.
func (p Program) Close() error { return p.in.Close() }
