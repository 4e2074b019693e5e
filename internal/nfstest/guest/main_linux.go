package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/genaistore/genaistore/internal/nfstest/netlink"
)

// IsInit reports whether this process is process 1 of a guest, and must call Main.
func IsInit() bool { return os.Getpid() == 1 && os.Getenv(JobFolder) != "" }

// Main does the job and switches the machine off. It does not return.
func Main() {
	result, err := run(os.Getenv(JobFolder))
	if err != nil {
		result.Error = err.Error()
		fmt.Fprintln(os.Stderr, "nfstest guest:", err)
	}
	if err := report(result); err != nil {
		fmt.Fprintln(os.Stderr, "nfstest guest: no result:", err)
	}
	syscall.Sync()
	_ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
	select {}
}

func run(folder string) (Result, error) {
	if err := mountTree(folder); err != nil {
		return Result{}, err
	}
	var job Job
	text, err := os.ReadFile(filepath.Join(host, JobFile))
	if err != nil {
		return Result{}, err
	}
	if err := json.Unmarshal(text, &job); err != nil {
		return Result{}, err
	}
	if job.Client {
		return Result{}, beClient(job)
	}
	if err := setUp(job); err != nil {
		return Result{}, err
	}
	return runProgram(job)
}

// setUp starts the server, mounts its clients and opens the desk. The kernel's
// server spends a second in waiting for a daemon that is not there; the rest is
// done meanwhile.
func setUp(job Job) error {
	modules, err := openModules(job.Modules)
	if err != nil {
		return err
	}
	d := desk{lease: job.Lease, cut: map[int]bool{}}
	if d.host, err = openSerial(hostLine, syscall.O_RDWR); err != nil {
		return err
	}
	if job.Server == Knfsd {
		if err := step("server modules", func() error { return modules.load("nfsd") }); err != nil {
			return err
		}
	}
	served := make(chan error, 1)
	go func() {
		served <- step("server", func() (err error) {
			d.server, err = serve(job, d.apart)
			return err
		})
	}()
	wired := errors.Join(
		step("client modules", func() error { return modules.load("veth", "sch_netem", "nfsv4") }),
		step("network", wire),
		step("folders", func() error { return mountWritable(job.Writable) }),
	)
	if err := errors.Join(wired, <-served); err != nil {
		return err
	}
	return errors.Join(step("clients", mountClients), d.open())
}

// beClient is the life of the second machine: it mounts what the first one exports,
// and runs programs until the host switches it off.
func beClient(job Job) error {
	modules, err := openModules(job.Modules)
	if err != nil {
		return err
	}
	conn, err := netlink.Dial()
	if err != nil {
		return err
	}
	return errors.Join(
		step("client modules", func() error { return modules.load("nfsv4") }),
		os.NewSyscallError("sethostname", syscall.Sethostname([]byte(Hostname(Second)))),
		step("network", func() error {
			return errors.Join(conn.SetUp("lo"), wireOuter(conn, ClientAddress(Second)), conn.Close())
		}),
		step("mount", func() error { return mountHere(Second, MountPoint(Second), standardOptions) }),
		agent(job),
	)
}

// step does a part of the work and notes on the console when it is done.
func step(name string, do func() error) error {
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	fmt.Fprintf(os.Stderr, "nfstest guest: %s after %v\n", name, uptime())
	return nil
}

// runProgram runs the job's program with its two output streams on serial lines,
// which carry them to the host as they are written, byte for byte.
func runProgram(job Job) (Result, error) {
	stdout, err := openSerial(0, syscall.O_WRONLY)
	if err != nil {
		return Result{}, err
	}
	stderr, err := openSerial(1, syscall.O_WRONLY)
	if err != nil {
		return Result{}, err
	}
	result := Result{Ready: uptime()}
	// Process 1 has nobody who could cancel it: the host ends the whole machine.
	cmd := exec.Command(job.Args[0], job.Args[1:]...)
	cmd.Dir = job.Dir
	cmd.Env = append(slices.Clone(job.Env), "TMPDIR="+Temp, Inside+"="+job.Server)
	if job.User != 0 {
		if err := asUser(cmd, job); err != nil {
			return Result{}, err
		}
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		result.ExitCode, err = exit.ExitCode(), nil
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			result.ExitCode = 128 + int(status.Signal())
		}
	}
	return result, errors.Join(err, drain(stdout), drain(stderr))
}

// asUser has the program run as somebody who may not read what root built: it gets
// a copy, and the working directory by inheritance.
func asUser(cmd *exec.Cmd, job Job) error {
	image, err := os.ReadFile(job.Args[0])
	if err != nil {
		return err
	}
	cmd.Path = filepath.Join(Temp, filepath.Base(job.Args[0]))
	cmd.Args[0] = cmd.Path
	if err := os.WriteFile(cmd.Path, image, 0o755); err != nil {
		return err
	}
	cmd.Dir = ""
	cmd.Env = append(cmd.Env, "HOME="+Temp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(job.User), Gid: uint32(job.User)}}
	return os.Chdir(job.Dir)
}

func report(result Result) error {
	text, err := json.Marshal(result)
	if err != nil {
		return err
	}
	// A name in the job's folder appears only with its whole content.
	part := filepath.Join(host, ResultFile+".part")
	if err := os.WriteFile(part, text, 0o600); err != nil {
		return err
	}
	return os.Rename(part, filepath.Join(host, ResultFile))
}

func uptime() time.Duration {
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), " ")
	s, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return time.Duration(s * float64(time.Second)).Round(10 * time.Millisecond)
}
