// Nfsexec runs a program, such as a test binary, in a guest that has an NFSv4.1
// server and two clients of it; see package nfstest.
//
//	go run ./internal/nfstest/nfsexec -install
//	go test -count=1 -exec="go run github.com/genaistore/genaistore/internal/nfstest/nfsexec" ./fsshare/...
//
// It carries the program's arguments, environment, working directory, output and
// exit code. Its own failures end with exit code 99.
//
// Environment:
//
//	GENAISTORE_CACHE        folder of the kernel's cache; .cache of the checkout
//	GENAISTORE_NFS_SERVER   knfsd, the kernel's, or ganesha; knfsd
//	GENAISTORE_NFS_USER     the number of the user who runs the program; then the
//	                        server takes root for nobody. 0, which is root
//	GENAISTORE_NFS_LEASE    the server's lease time; 10s, which is the least
//	GENAISTORE_NFS_GRACE    the server's grace time; 10s, which is the least
//	GENAISTORE_NFS_TIMEOUT  when the guest is ended, whatever it does; 300s
//	GENAISTORE_NFS_VERBOSE  1: the guest's console is copied to standard error
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/genaistore/genaistore/internal/nfstest/ganesha"
	"github.com/genaistore/genaistore/internal/nfstest/guest"
	"github.com/genaistore/genaistore/internal/nfstest/uml"
)

const exitOwnFailure = 99

func main() {
	if guest.IsInit() {
		guest.Main()
	}
	// go test ends a binary that has run too long with SIGQUIT.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP)
	code, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "nfsexec:", err)
	}
	os.Exit(code)
}

func run(ctx context.Context, args []string) (int, error) {
	if len(args) == 0 {
		return exitOwnFailure, fmt.Errorf("usage: nfsexec -install, or nfsexec PROGRAM [ARGUMENT...]")
	}
	cache, err := uml.Cache()
	if err != nil {
		return exitOwnFailure, err
	}
	if args[0] == "-install" {
		kernel, err := uml.Install(ctx, cache, os.Stderr)
		if err != nil {
			return exitOwnFailure, err
		}
		fmt.Println(kernel.Image)
		folder, err := ganesha.Install(ctx, cache, os.Stderr)
		if err != nil {
			return exitOwnFailure, err
		}
		fmt.Println(folder)
		return 0, nil
	}
	kernel, err := uml.Find(cache)
	if err != nil {
		return exitOwnFailure, err
	}
	if os.Getenv(keeper) == "" {
		return keep(ctx, args)
	}
	signal.Ignore(syscall.SIGPIPE) // whoever read our output may be gone before us
	ctx, cancel := withLifeline(ctx)
	defer cancel()
	job, options, err := fromEnvironment(args)
	if err == nil && job.Server == guest.Ganesha {
		job.Packages, err = ganesha.Find(cache)
	}
	if err != nil {
		return exitOwnFailure, err
	}
	result, err := kernel.Do(ctx, job, uml.Streams{Stdout: os.Stdout, Stderr: os.Stderr}, options)
	if err != nil {
		return exitOwnFailure, err
	}
	if options.Console != nil {
		fmt.Fprintf(os.Stderr, "nfsexec: the guest was ready after %v\n", result.Ready)
	}
	return result.ExitCode, nil
}

func fromEnvironment(args []string) (guest.Job, *uml.Options, error) {
	var job guest.Job
	var options uml.Options
	for _, d := range []struct {
		name     string
		value    *time.Duration
		least    time.Duration
		standard time.Duration
	}{
		{"GENAISTORE_NFS_LEASE", &job.Lease, 10 * time.Second, 10 * time.Second},
		{"GENAISTORE_NFS_GRACE", &job.Grace, 10 * time.Second, 10 * time.Second},
		{"GENAISTORE_NFS_TIMEOUT", &options.Timeout, time.Second, uml.DefaultTimeout},
	} {
		*d.value = d.standard
		text := os.Getenv(d.name)
		if text == "" {
			continue
		}
		v, err := time.ParseDuration(text)
		if err != nil || v < d.least {
			return job, nil, fmt.Errorf("%s=%q: want a duration of at least %v, such as %v", d.name, text, d.least, d.standard)
		}
		*d.value = v
	}
	job.Server = cmp.Or(os.Getenv("GENAISTORE_NFS_SERVER"), guest.Knfsd)
	if job.Server != guest.Knfsd && job.Server != guest.Ganesha {
		return job, nil, fmt.Errorf("GENAISTORE_NFS_SERVER=%q: want %s or %s", job.Server, guest.Knfsd, guest.Ganesha)
	}
	if text := os.Getenv("GENAISTORE_NFS_USER"); text != "" {
		const most = 1<<31 - 1
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > most {
			return job, nil, fmt.Errorf("GENAISTORE_NFS_USER=%q: want a user's number, such as 1000", text)
		}
		job.User = n
	}
	if os.Getenv("GENAISTORE_NFS_VERBOSE") != "" {
		options.Console = io.Writer(os.Stderr)
	}
	program, err := filepath.Abs(args[0])
	if err != nil {
		return job, nil, err
	}
	job.Args = append([]string{program}, args[1:]...)
	job.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, keeper+"=") })
	if job.Dir, err = os.Getwd(); err != nil {
		return job, nil, err
	}
	job.Writable = writable(args[1:], job.Dir)
	return job, &options, nil
}

// writable lists the folders that a test binary was told to write files to: the
// rest of the host is read-only to it.
func writable(args []string, dir string) []string {
	var folders []string
	for _, arg := range args {
		name, path, ok := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !ok || path == "" {
			continue
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		switch name {
		case "test.outputdir", "test.gocoverdir", "test.fuzzcachedir":
			folders = append(folders, path)
		case "test.coverprofile", "test.testlogfile", "test.cpuprofile", "test.memprofile", "test.blockprofile", "test.mutexprofile", "test.trace":
			folders = append(folders, filepath.Dir(path))
		}
	}
	return folders
}
