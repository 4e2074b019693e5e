package uml

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Run boots the kernel with initPath, a program of the host, as process 1, and
// waits until the machine is off. What the guest writes to its two serial lines
// goes to the streams as it comes. folder is the machine's own, for its files;
// the caller removes it.
//
// The machine is killed with everything in it when ctx is done, when its time is
// up, and when this process dies. Then, two helpers of the kernel may survive: let
// a process call Run that nobody kills.
func (k Kernel) Run(ctx context.Context, initPath, folder string, streams Streams, options *Options) error {
	o := options.WithDefaults()
	words, err := commandLine(initPath, folder, o)
	if err != nil {
		return err
	}
	memory, err := memoryFolder(o.Memory, folder)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout, fmt.Errorf("the machine was still on after %v", o.Timeout))
	defer cancel()

	if err := adoptOrphans(); err != nil {
		return err
	}
	lines, wait, err := serialLines(streams)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, k.Image, words...)
	cmd.Dir = folder
	cmd.Env = []string{"TMPDIR=" + memory, "HOME=" + folder}
	cmd.Stdout, cmd.Stderr = o.Console, o.Console
	cmd.ExtraFiles = slices.Concat(lines, o.files)
	// A group of its own: the processes of the guest are processes of the host
	// too, and are in it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return killGroup(cmd.Process.Pid) }
	cmd.WaitDelay = 5 * time.Second

	err = runOnThread(cmd, o.started)
	for _, f := range cmd.ExtraFiles {
		_ = f.Close()
	}
	if cmd.Process != nil {
		endGroup(cmd.Process.Pid)
	}
	wait()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err != nil {
		return fmt.Errorf("run %s: %w", k.Name, err)
	}
	return nil
}

// runOnThread runs the command from a thread that lives as long as the command:
// Pdeathsig means the death of the thread that started the process.
func runOnThread(cmd *exec.Cmd, started func(pid int)) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return err
	}
	if started != nil {
		started(cmd.Process.Pid)
	}
	return cmd.Wait()
}

func killGroup(leader int) error {
	err := syscall.Kill(-leader, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// endGroup kills the processes of the guest, which outlive its kernel by moments,
// and waits for their end.
func endGroup(leader int) {
	_ = killGroup(leader)
	for {
		_, err := syscall.Wait4(-leader, nil, 0, nil)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return // there is none left
		}
	}
}

// adoptOrphans makes this process the parent of the processes whose parent dies
// below it, so that endGroup can wait for them.
func adoptOrphans() error {
	const prSetChildSubreaper = 36
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0); errno != 0 {
		return os.NewSyscallError("prctl", errno)
	}
	return nil
}

// serialLines returns the guest's ends of the two serial lines, and a function
// that waits until all that came through them has been written to the streams.
func serialLines(streams Streams) (lines []*os.File, wait func(), err error) {
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		return nil, nil, errors.Join(err, outR.Close(), outW.Close())
	}
	// Both end when the last process of the machine has ended.
	var copying sync.WaitGroup
	carry := func(w io.Writer, r *os.File) {
		_, _ = io.Copy(w, r)
		_ = r.Close()
	}
	copying.Go(func() { carry(streams.Stdout, outR) })
	copying.Go(func() { carry(streams.Stderr, errR) })
	return []*os.File{outW, errW}, copying.Wait, nil
}

// memoryFolder finds a place for the file that is the guest's memory; it has no
// name there. It is mapped as code too, so the file system must allow that, and
// it is best in memory itself.
func memoryFolder(size int64, spare string) (string, error) {
	const shm = "/dev/shm"
	const noExec = 0x8 // ST_NOEXEC
	for _, dir := range []string{shm, spare} {
		var s syscall.Statfs_t
		if err := syscall.Statfs(dir, &s); err != nil || s.Flags&noExec != 0 {
			continue
		}
		if free := int64(s.Bavail) * s.Bsize; free < size {
			continue
		}
		if dir == shm && syscall.Access(shm, 2|1) != nil {
			continue
		}
		return dir, nil
	}
	return "", fmt.Errorf("no place for %d MiB of guest memory: %s and %s are full or mounted noexec", size>>20, shm, spare)
}
