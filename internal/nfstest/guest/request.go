package guest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/genaistore/genaistore/internal/nfstest/knfsd"
)

// A Request is what a test asks of process 1, which may do what the test's user may
// not, and process 1 of the host, which has the second machine. It is one line of
// JSON, and so is its Reply.
type Request struct {
	Do      string
	Machine int
	Delay   time.Duration
	Target  string
	Options string
}

// Reply says what came of a Request.
type Reply struct {
	Error       string
	Unsupported bool // Error is that this server cannot do it
	Lease       time.Duration
	Clients     []knfsd.Client
}

// What can be asked of process 1.
const (
	DoCut      = "cut"
	DoMend     = "mend"
	DoDelay    = "delay"
	DoExpire   = "expire"
	DoStop     = "stop"
	DoResume   = "resume"
	DoEndGrace = "end grace"
	DoLease    = "lease"
	DoClients  = "clients"
	DoMount    = "mount"
	DoUnmount  = "unmount"
)

// What can be asked of the host, by way of process 1.
const (
	DoBoot   = "boot"
	DoFreeze = "freeze"
	DoThaw   = "thaw"
	DoKill   = "kill"
	DoDrop   = "drop frames"
	DoPass   = "pass frames"
)

// Exchange sends a request and waits for its reply.
func Exchange(line io.ReadWriter, request Request) (Reply, error) {
	if err := json.NewEncoder(line).Encode(request); err != nil {
		return Reply{}, err
	}
	text, err := bufio.NewReader(line).ReadBytes('\n')
	if err != nil {
		return Reply{}, fmt.Errorf("no reply to %q: %w", request.Do, err)
	}
	var reply Reply
	return reply, json.Unmarshal(text, &reply)
}

// Serve answers the requests that come through a line until it ends.
func Serve(line io.ReadWriter, answer func(Request) (Reply, error)) error {
	lines := bufio.NewScanner(line)
	for lines.Scan() {
		var request Request
		err := json.Unmarshal(lines.Bytes(), &request)
		var reply Reply
		if err == nil {
			reply, err = answer(request)
		}
		if err != nil {
			reply.Error, reply.Unsupported = err.Error(), errors.Is(err, errors.ErrUnsupported)
		}
		if err := json.NewEncoder(line).Encode(reply); err != nil {
			return err
		}
	}
	return lines.Err()
}

// Err is the error of a reply.
func (r Reply) Err() error {
	switch {
	case r.Error == "":
		return nil
	case r.Unsupported:
		return fmt.Errorf("%w: %s", errors.ErrUnsupported, r.Error)
	}
	return errors.New(r.Error)
}
