package uml

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/genaistore/genaistore/internal/nfstest/guest"
)

// A second is what the host has beside a machine: another one, switched on when
// the first asks for it, and the wire between them, whose frames all pass through
// this process.
type second struct {
	kernel  Kernel
	job     guest.Job
	console io.Writer
	desk    *os.File // the end at which the first machine's requests come

	files []*os.File // that the first machine gets
	words []string   // that it is told

	first, other wire
	drop         atomic.Bool
	carrying     sync.WaitGroup

	mu  sync.Mutex
	on  context.CancelFunc // nil: it is off
	off chan error         // its end
	pid int
}

// A wire has an end at a machine and one at this process.
type wire struct{ inner, outer int }

func newWire() (wire, error) {
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	return wire{ends[0], ends[1]}, os.NewSyscallError("socketpair", err)
}

// The descriptors of a machine after its serial lines, and what it is told of them.
const (
	wireWord = "vec0:transport=fd,fd=%d,mac=02:00:00:00:00:%02x"
	deskWord = "ssl2=fd:%d"
	extra    = 5 // the first of them
)

func newSecond(ctx context.Context, k Kernel, job guest.Job, console io.Writer) (s *second, err error) {
	s = &second{kernel: k, job: guest.Job{Modules: job.Modules, Args: job.Args, Dir: job.Dir, User: job.User, Client: true}, console: console}
	if s.first, err = newWire(); err != nil {
		return nil, err
	}
	if s.other, err = newWire(); err != nil {
		return nil, err
	}
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	s.desk = os.NewFile(uintptr(ends[1]), "desk")
	s.carrying.Go(func() { s.carry(s.first.outer, s.other.outer) })
	s.carrying.Go(func() { s.carry(s.other.outer, s.first.outer) })
	s.carrying.Go(func() {
		_ = guest.Serve(s.desk, func(r guest.Request) (guest.Reply, error) { return guest.Reply{}, s.answer(ctx, r) })
	})
	s.files = []*os.File{os.NewFile(uintptr(ends[0]), "desk"), os.NewFile(uintptr(s.first.inner), "wire")}
	s.words = []string{fmt.Sprintf(deskWord, extra), fmt.Sprintf(wireWord, extra+1, 1)}
	return s, nil
}

// carry passes frames on, and drops those that the machine does not take.
func (s *second) carry(from, to int) {
	const most = 1 << 16
	for frame := make([]byte, most); ; {
		n, err := syscall.Read(from, frame)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || n <= 0 {
			return
		}
		if !s.drop.Load() {
			_ = syscall.Sendto(to, frame[:n], syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, nil)
		}
	}
}

func (s *second) answer(ctx context.Context, r guest.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.Do {
	case guest.DoBoot:
		return s.boot(ctx)
	case guest.DoFreeze:
		return s.signal(syscall.SIGSTOP)
	case guest.DoThaw:
		return s.signal(syscall.SIGCONT)
	case guest.DoKill:
		return s.kill()
	case guest.DoDrop:
		s.drop.Store(true)
	case guest.DoPass:
		s.drop.Store(false)
	default:
		return fmt.Errorf("what is %q", r.Do)
	}
	return nil
}

// boot switches the machine on; it is up some seconds later.
func (s *second) boot(ctx context.Context) error {
	if s.on != nil {
		return errors.New("the second machine is on already")
	}
	ctx, cancel := context.WithCancel(ctx)
	s.on, s.off = cancel, make(chan error, 1)
	started := make(chan int, 1)
	// A machine gets descriptors of its own, for they are closed when it ends.
	inner, err := syscall.Dup(s.other.inner)
	if err != nil {
		return err
	}
	o := Options{
		Console: s.console, Timeout: DefaultTimeout,
		Words:   []string{fmt.Sprintf(wireWord, extra, 2)},
		files:   []*os.File{os.NewFile(uintptr(inner), "wire")},
		started: func(pid int) { started <- pid },
	}
	go func() {
		_, err := s.kernel.do(ctx, s.job, Streams{io.Discard, io.Discard}, &o)
		s.off <- err
	}()
	select {
	case s.pid = <-started:
		return nil
	case err := <-s.off:
		s.on = nil
		return fmt.Errorf("the second machine did not start: %w", err)
	}
}

// signal reaches the kernel, which is one process; those of its programs do
// nothing without it.
func (s *second) signal(sig syscall.Signal) error {
	if s.on == nil {
		return errors.New("the second machine is off")
	}
	return os.NewSyscallError("kill", syscall.Kill(s.pid, sig))
}

func (s *second) kill() error {
	if s.on == nil {
		return nil
	}
	s.on()
	<-s.off // the error is that it was killed
	s.on = nil
	return nil
}

// close ends what is left when the first machine is off.
func (s *second) close() {
	_ = s.desk.Close()
	for _, fd := range []int{s.first.outer, s.other.outer} {
		_ = syscall.Shutdown(fd, syscall.SHUT_RDWR)
	}
	s.carrying.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.kill()
	for _, fd := range []int{s.first.outer, s.other.outer, s.other.inner} {
		_ = syscall.Close(fd)
	}
}
