package guest

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"time"
)

// A Program is what a test has run on the second machine: the program that the first
// one runs, with other arguments and what its environment has besides.
type Program struct {
	Args []string
	Env  []string
}

func agentAddress() string { return netip.AddrPortFrom(ClientAddress(Second), 7000).String() }

// Run starts a program on the second machine and returns its
// standard input and its output, as one. It waits for a machine that is about to
// boot, up to a limit. The program's end is the output's; closing ends only the
// connection.
func Run(p Program) (io.ReadWriteCloser, error) {
	const patience, rest = 30 * time.Second, 50 * time.Millisecond
	for start := time.Now(); ; <-time.After(rest) {
		conn, err := net.DialTimeout("tcp4", agentAddress(), time.Second)
		if err == nil {
			return conn, json.NewEncoder(conn).Encode(p)
		}
		if time.Since(start) > patience {
			return nil, fmt.Errorf("the second machine does not answer: %w", err)
		}
	}
}

// agent runs programs for the tests on the first machine, for ever.
func agent(job Job) error {
	listener, err := net.Listen("tcp4", agentAddress())
	if err != nil {
		return err
	}
	for { // Bound: the machine's life, and a connection for each program of a test.
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer func() { _ = conn.Close() }()
			if err := runFor(conn, job); err != nil {
				fmt.Fprintln(conn, "agent:", err)
			}
		}()
	}
}

func runFor(conn net.Conn, job Job) error {
	var line []byte
	for b := make([]byte, 1); ; { // what follows the line is the program's to read
		if _, err := conn.Read(b); err != nil {
			return err
		}
		if b[0] == '\n' {
			break
		}
		line = append(line, b[0])
	}
	var p Program
	if err := json.Unmarshal(line, &p); err != nil {
		return err
	}
	stream, ok := conn.(*net.TCPConn)
	if !ok {
		return fmt.Errorf("%T is no TCP connection", conn)
	}
	file, err := stream.File()
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	// It ends with its machine, or by itself.
	cmd := exec.Command(job.Args[0], p.Args...)
	cmd.Env = append(append(os.Environ(), "TMPDIR="+Temp), p.Env...)
	if job.User != 0 {
		if err := asUser(cmd, job); err != nil {
			return err
		}
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = file, file, file
	return cmd.Run()
}
