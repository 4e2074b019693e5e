// Command share shows what fsshare does on a mounted file system: files put whole
// and read fresh, locks that end the program under them when they are lost, and a
// doctor for the mount.
//
//	share --dir /mnt/efs/team lock publish -- make publish
//	share --dir /mnt/efs/team who publish
//	share --dir /mnt/efs/team doctor
//	share --dir /mnt/efs/team selftest a    # and on another machine: selftest b
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/efsshare"
)

type commands struct {
	Dir    string   `default:"."                                        help:"A directory of the mount."`
	NFS    bool     `help:"Refuse a directory that is on no NFS mount."`
	Put    put      `cmd:""                                             help:"Write standard input to a file, whole or not at all."`
	Get    get      `cmd:""                                             help:"Print a file as it is on the server now."`
	Watch  watch    `cmd:""                                             help:"Print a line for each change of a file."`
	Lock   lock     `cmd:""                                             help:"Run a program while holding a lock; end it if the lock is lost."`
	Who    who      `cmd:""                                             help:"Say who holds a lock."`
	Doctor doctor   `cmd:""                                             help:"Say what is wrong with the mount."`
	Self   selftest `cmd:"" name:"selftest" help:"With a second machine, find out what the file system's server does."`
}

// streams are where a command reads and prints.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "share:", err)
	}
	os.Exit(code)
}

func run(ctx context.Context, args []string, io streams) (code int, err error) {
	var c commands
	parser, err := kong.New(&c, kong.Name("share"), kong.Description("Shared files and locks on a mounted file system."), kong.Writers(io.out, io.err))
	if err != nil {
		return 1, err
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return 2, err
	}
	share, err := efsshare.Open(ctx, c.Dir, &efsshare.Options{NFSOnly: c.NFS})
	if err != nil {
		return 1, err
	}
	defer func() { _ = share.Close() }()
	parsed.BindTo(ctx, (*context.Context)(nil))
	if err = parsed.Run(share, io); err == nil {
		return 0, nil
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && !errors.Is(err, fsshare.ErrLost) {
		return max(1, exit.ExitCode()), nil // the program has said why
	}
	return 1, err
}

type put struct {
	Name     string `arg:""`
	MustMake bool   `help:"Fail if the file exists."`
}

func (c put) Run(ctx context.Context, share *efsshare.Share, io streams) error {
	info, err := share.WriteFile(ctx, c.Name, io.in, &fsshare.WriteOptions{MustMake: c.MustMake})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(io.out, "%x  %s\n", info.SHA256, info.Name)
	return err
}

type get struct {
	Name string `arg:""`
}

func (c get) Run(ctx context.Context, share *efsshare.Share, io streams) error {
	data, err := fs.ReadFile(share.FS(ctx), c.Name)
	if err != nil {
		return err
	}
	_, err = io.out.Write(data)
	return err
}

type watch struct {
	Name  string        `arg:""`
	Every time.Duration `default:"2s" help:"A change is seen at most so much later."`
	Count int           `help:"End after so many lines."`
}

func (c watch) Run(ctx context.Context, share *efsshare.Share, io streams) error {
	lines := 0
	for event, err := range share.Watch(ctx, fsshare.Target{File: c.Name}, &fsshare.WatchOptions{Every: c.Every}) {
		if errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
		if event.Absent {
			_, err = fmt.Fprintf(io.out, "absent  %s\n", c.Name)
		} else {
			_, err = fmt.Fprintf(io.out, "%x  %s\n", event.Info.SHA256, c.Name)
		}
		if lines++; err != nil || lines == c.Count {
			return err
		}
	}
	return nil
}

type lock struct {
	Name    string        `arg:""`
	Program []string      `arg:""                                                     passthrough:""`
	Shared  bool          `help:"Share the lock with others that do."`
	Wait    time.Duration `help:"Give up after so long; for ever if 0."`
	Purpose string        `help:"What others are told who ask who holds it."`
}

func (c lock) Run(ctx context.Context, share *efsshare.Share, io streams) error {
	program := c.Program
	if len(program) > 0 && program[0] == "--" {
		program = program[1:]
	}
	if len(program) == 0 {
		return errors.New("lock: a program is missing: share lock NAME -- PROGRAM [ARGUMENT...]")
	}
	opts := &fsshare.LockOptions{Shared: c.Shared, Wait: c.Wait, Purpose: c.Purpose}
	return fsshare.Hold(ctx, share, c.Name, opts, func(ctx context.Context, l fsshare.Lock) error {
		// The context ends when the lock is lost, and the program with it.
		cmd := exec.CommandContext(ctx, program[0], program[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = io.in, io.out, io.err
		cmd.Env = append(os.Environ(), "SHARE_TOKEN="+strconv.FormatUint(l.Token(), 10))
		err := cmd.Run()
		if cause := context.Cause(ctx); err != nil && errors.Is(cause, fsshare.ErrLost) {
			return cause
		}
		return err
	})
}

type who struct {
	Name string `arg:""`
}

func (c who) Run(ctx context.Context, share *efsshare.Share, io streams) error {
	status, err := share.Inspect(ctx, c.Name)
	if err != nil {
		return err
	}
	h := status.Holder
	switch {
	case status.Token == 0 && !status.Held:
		_, err = fmt.Fprintln(io.out, "never held")
	case status.Token == 0:
		_, err = fmt.Fprintln(io.out, "shared")
	case status.Held:
		_, err = fmt.Fprintf(io.out, "held, last exclusively by %s %s %q, token %d, since %s\n", h.Host, h.Process, h.Purpose, status.Token, h.Since.Format(time.RFC3339))
	default:
		_, err = fmt.Fprintf(io.out, "free, last held by %s %s %q, token %d\n", h.Host, h.Process, h.Purpose, status.Token)
	}
	return err
}

type doctor struct {
	Probe bool `help:"Also ask the server, from a process that can be killed."`
}

func (c doctor) Run(ctx context.Context, share *efsshare.Share, io streams) error {
	r, err := share.Doctor(ctx, &efsshare.DoctorOptions{Probe: c.Probe})
	if err != nil {
		return err
	}
	lines := []string{fmt.Sprintf("%s is on %s (%s), mounted at %s: %s %s", r.Dir, r.Mount.Source, r.Mount.Type, r.Mount.Point, r.Kind, r.FileSystem)}
	if r.Mount.Lease > 0 {
		lines = append(lines, fmt.Sprintf("lease %v, expired for %v", r.Mount.Lease, r.Mount.Expired))
	}
	for _, f := range r.Findings {
		mark := "note  "
		if f.Danger {
			mark = "DANGER"
		}
		lines = append(lines, fmt.Sprintf("%s %s: %s\n       %s", mark, f.Check, f.Text, f.Remedy))
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(io.out, line); err != nil {
			return err
		}
	}
	return nil
}
