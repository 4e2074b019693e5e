package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"sync"
	"time"
)

// errBusy is a port that something else took between choosing and binding it.
var errBusy = errors.New("port is busy")

// busy is how servers say it.
var busy = regexp.MustCompile(`(?i)already in use|BindException`)

const (
	startTimeout = 60 * time.Second // until a server answers
	stopTimeout  = 5 * time.Second  // until a server that was asked to end is killed
	startTries   = 3                // with another port each
)

// A process is a started server.
type process struct {
	cmd  *exec.Cmd
	data string
	port int
	done chan struct{}
	base string
	took time.Duration // until it answered
}

// A starter starts one server from its installation.
type starter struct {
	*server

	installed string
	preload   string // a library to load into it, or ""
	port      func(ctx context.Context) (int, error)
	say       func(line string)
}

// start starts the server and waits until it answers. A busy port gives one line and
// another try; anything else is an error with the end of the server's log.
func (s starter) start(ctx context.Context) (*process, error) {
	for try := 1; ; try++ {
		port, err := s.port(ctx)
		if err != nil {
			return nil, err
		}
		p, err := s.startOn(ctx, port)
		if err == nil {
			return p, nil
		}
		if !errors.Is(err, errBusy) || try == startTries {
			return nil, err
		}
		s.say(fmt.Sprintf("%s: port %d is busy, trying another", s.name, port))
	}
}

func (s starter) startOn(ctx context.Context, port int) (_ *process, err error) {
	data, err := os.MkdirTemp("", "genaistore-server-")
	if err != nil {
		return nil, err
	}
	p := &process{data: data, port: port, done: make(chan struct{}), base: fmt.Sprintf("http://127.0.0.1:%d", port)}
	defer func() {
		if err != nil {
			err = errors.Join(err, remove(data))
		}
	}()
	where := place{installed: s.installed, data: data, port: port}
	client := &http.Client{Timeout: 2 * time.Second}
	if s.tls {
		p.base = fmt.Sprintf("https://127.0.0.1:%d", port)
		where.cert, where.key = filepath.Join(data, "cert.pem"), filepath.Join(data, "key.pem")
		if err := selfSign(where.cert, where.key); err != nil {
			return nil, err
		}
		if client.Transport, err = trusting(where.cert); err != nil {
			return nil, err
		}
	}
	if err := p.run(ctx, s.command(where), s.preload); err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := p.await(ctx, s.server, client); err != nil {
		log := p.log()
		p.stop()
		if busy.MatchString(log) {
			return nil, fmt.Errorf("%w: %d", errBusy, port)
		}
		return nil, fmt.Errorf("%s: %w; its log ends:\n%s", s.name, err, tail(log, 15))
	}
	p.took = time.Since(begin)
	if open := p.exposed(); len(open) > 0 && !inNamespace() {
		p.stop()
		return nil, fmt.Errorf("%s listens on ports %v of every interface, not only of 127.0.0.1", s.name, open)
	}
	return p, nil
}

// A listener is a socket that a process listens on.
type listener struct {
	port     int
	loopback bool
}

// exposed lists the ports that other machines can reach, where the system tells.
func (p *process) exposed() []int {
	var open []int
	found, _ := listeners(p.cmd.Process.Pid)
	for _, l := range found {
		if !l.loopback {
			open = append(open, l.port)
		}
	}
	return open
}

// owns says whether the port is this process's, so that what answers there is not
// another one; where the system does not tell, it is believed.
func (p *process) owns() bool {
	found, known := listeners(p.cmd.Process.Pid)
	return !known || slices.ContainsFunc(found, func(l listener) bool { return l.port == p.port })
}

// run starts the program with little of our environment: no proxy, no credentials.
func (p *process) run(ctx context.Context, c command, preload string) error {
	for _, folder := range c.folders {
		if err := os.Mkdir(filepath.Join(p.data, folder), 0o755); err != nil {
			return err
		}
	}
	log, err := os.Create(filepath.Join(p.data, "server.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	// The server outlives the call that starts it: ctx may be a test's.
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), c.path, c.args...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = p.data, log, log
	for _, name := range []string{"PATH", "HOME", "JAVA_HOME", "TMPDIR", "SystemRoot"} {
		if value, ok := os.LookupEnv(name); ok {
			p.cmd.Env = append(p.cmd.Env, name+"="+value)
		}
	}
	p.cmd.Env = append(p.cmd.Env, c.env...)
	if preload != "" {
		p.cmd.Env = append(p.cmd.Env, "LD_PRELOAD="+preload)
	}
	tie(p.cmd)
	if err := spawn(p.cmd); err != nil {
		return err
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in ProcessState
		close(p.done)
	}()
	return nil
}

// await returns when the server answers as one that is ready, or cannot any more.
func (p *process) await(ctx context.Context, s *server, client *http.Client) error {
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.ready(ctx, client, p.base)
		if err == nil && p.owns() {
			return nil
		}
		if busy.MatchString(p.log()) { // not every server ends then
			return errBusy
		}
		select {
		case <-p.done:
			return fmt.Errorf("ended before it answered: %s", p.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// answers is ready when a request gives one of the codes.
func answers(method, path string, codes ...int) func(context.Context, *http.Client, string) error {
	return func(ctx context.Context, client *http.Client, base string) error {
		req, err := http.NewRequestWithContext(ctx, method, base+path, http.NoBody)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if !slices.Contains(codes, resp.StatusCode) {
			return fmt.Errorf("%s %s: %s", method, path, resp.Status)
		}
		return nil
	}
}

// stop asks the server to end, kills it if it does not, and removes its data. Safe
// to call again.
func (p *process) stop() {
	if err := terminate(p.cmd.Process.Pid); err == nil {
		select {
		case <-p.done:
		case <-time.After(stopTimeout):
		}
	}
	_ = kill(p.cmd.Process.Pid) // and what it may have started
	<-p.done
	_ = remove(p.data)
}

func (p *process) log() string {
	b, err := os.ReadFile(filepath.Join(p.data, "server.log"))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// freePort finds a port of 127.0.0.1 that nothing listens on now.
func freePort(ctx context.Context) (int, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// spawn starts cmd on a thread that lives as long as this process. The kernel ends
// a tied child when the thread that made it ends, and a goroutine's thread may.
func spawn(cmd *exec.Cmd) error {
	err := make(chan error, 1)
	spawner() <- func() { err <- cmd.Start() }
	return <-err
}

var spawner = sync.OnceValue(func() chan<- func() {
	calls := make(chan func())
	go func() {
		runtime.LockOSThread()
		for call := range calls {
			call()
		}
	}()
	return calls
})
