package servers

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	installTimeout  = 20 * time.Minute
	parallelInstall = 2
)

// settings are what the environment decides, read once.
type settings struct {
	install, minio, strict, aws, namespace bool
	cache                                  cache
	awsPrefix                              string
}

// A fleet is the servers of one test process.
type fleet struct {
	settings
	isolated bool
	report   report

	mu      sync.Mutex
	running map[Name]*slot
	preload func() (string, error)
}

// A slot is one server, started by the first test that asks.
type slot struct {
	once    sync.Once
	process *process
	skip    string // why there is none
	err     error  // why it did not start
}

// current is the fleet of this process: getters are functions, because a suite's
// factory has a *testing.T and nothing else. Set by Main before any test runs.
var current *fleet

// Main runs the tests of a package with servers, stops these, prints what ran on
// what, and exits. Call it from TestMain and do nothing after it.
func Main(m *testing.M) { os.Exit(runMain(m)) }

func runMain(m *testing.M) int {
	if err := enter(); err != nil {
		return fail(err)
	}
	flag.Parse()
	s, err := environment()
	if err != nil {
		return fail(err)
	}
	if list := flag.Lookup("test.list"); list != nil && list.Value.String() != "" {
		return m.Run()
	}
	installed := 0 // or 1, the exit code if an installation failed
	if s.install && !inNamespace() {
		if err := s.installAll(); err != nil {
			installed = fail(err)
		}
	}
	if s.namespace && !inNamespace() {
		code, err := isolate()
		if err == nil {
			return max(code, installed)
		}
		why := strings.ReplaceAll(err.Error(), "\n", "; ")
		say("no network namespace here, so only each server's own option or a preload keeps it to 127.0.0.1: " + why)
	}
	current = newFleet(s)
	code := m.Run()
	current.stop()
	return max(code, installed, current.finish())
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "integration:", err)
	return 1
}

func say(line string) { fmt.Println("integration:", line) }

func environment() (settings, error) {
	s := settings{
		install:   os.Getenv("GENAISTORE_INSTALL") == "1",
		minio:     os.Getenv("GENAISTORE_MINIO") == "1",
		strict:    os.Getenv("GENAISTORE_STRICT") == "1",
		aws:       os.Getenv("GENAISTORE_AWS") == "1",
		awsPrefix: os.Getenv("GENAISTORE_AWS_PREFIX"),
		cache:     cache(os.Getenv("GENAISTORE_CACHE")),
	}
	s.namespace = !s.aws && os.Getenv(namespaceVariable) != "0"
	if s.aws {
		s.install = false // nothing of it would be used
	}
	if s.awsPrefix == "" {
		s.awsPrefix = "genaistore-test"
	}
	if s.cache == "" {
		root, err := repository()
		if err != nil {
			return settings{}, err
		}
		s.cache = cache(filepath.Join(root, ".cache", "servers"))
	}
	abs, err := filepath.Abs(string(s.cache))
	s.cache = cache(abs)
	return s, err
}

// repository finds the folder of the root module above the working directory.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module github.com/genaistore/genaistore\n") {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("not inside the repository: set GENAISTORE_CACHE")
		}
	}
}

// installAll installs what is missing and can be installed, each with a line that
// says how long it took. What lacks a tool is left for its tests to skip.
func (s settings) installAll() error {
	ctx, cancel := context.WithTimeout(context.Background(), installTimeout)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(parallelInstall)
	var mu sync.Mutex
	var failures []error
	seen := map[string]bool{}
	for _, srv := range append(all(), programs()...) {
		folder := s.cache.folder(srv)
		if seen[folder] || srv.asked && !s.minio {
			continue
		}
		seen[folder] = true
		g.Go(func() error {
			if s.cache.has(srv) {
				return nil
			}
			if why := missing(ctx, append(srv.builds, srv.runs...)); why != "" {
				say(fmt.Sprintf("not installing %s %s: %s", srv.name, srv.version, why))
				return nil
			}
			begin := time.Now()
			made, err := s.cache.install(ctx, srv)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failures = append(failures, fmt.Errorf("installing %s %s: %w", srv.name, srv.version, err))
			} else if made {
				say(fmt.Sprintf("installed %s %s in %s", srv.name, srv.version, time.Since(begin).Round(100*time.Millisecond)))
			}
			return nil
		})
	}
	return errors.Join(g.Wait(), errors.Join(failures...))
}

func newFleet(s settings) *fleet {
	f := &fleet{settings: s, isolated: inNamespace(), running: map[Name]*slot{}}
	f.preload = sync.OnceValues(f.buildPreload)
	return f
}

// buildPreload compiles what keeps a wild server on 127.0.0.1.
func (f *fleet) buildPreload() (string, error) {
	s := loopbackShim()
	if why := missing(context.Background(), s.builds); why != "" {
		return "", errors.New(why)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := f.cache.install(ctx, s); err != nil {
		return "", err
	}
	return filepath.Join(f.cache.folder(s), shimFile), nil
}

// server returns a running server, or why there is none.
func (f *fleet) server(name Name) *slot {
	f.mu.Lock()
	one, ok := f.running[name]
	if !ok {
		one = &slot{}
		f.running[name] = one
	}
	f.mu.Unlock()
	one.once.Do(func() { f.start(byName(name), one) })
	return one
}

func (f *fleet) start(s *server, one *slot) {
	ctx := context.Background() // the server outlives the test that asked first
	if one.skip = missing(ctx, s.runs); one.skip != "" {
		return
	}
	if !f.cache.has(s) {
		one.skip = f.whyAbsent(ctx, s)
		return
	}
	preload := ""
	if s.wild {
		var err error
		preload, err = f.preload()
		if err != nil && !f.isolated {
			one.skip = fmt.Sprintf("it binds every interface, and there is neither a network namespace nor a preload: %v", err)
			return
		}
	}
	one.process, one.err = starter{s, f.cache.folder(s), preload, freePort, say}.start(ctx)
}

func (f *fleet) whyAbsent(ctx context.Context, s *server) string {
	if why := missing(ctx, s.builds); why != "" {
		return "not installed, and " + why
	}
	switch {
	case s.asked && !f.minio:
		return "not installed; GENAISTORE_INSTALL=1 GENAISTORE_MINIO=1 installs it in minutes"
	case f.install:
		return "its installation failed"
	}
	return "not installed; GENAISTORE_INSTALL=1 installs it"
}

func (f *fleet) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, one := range f.running {
		if one.process != nil {
			f.report.server(name, one.process.took, peak(one.process.cmd.Process.Pid))
			one.process.stop()
		}
	}
}

// finish prints and keeps the report, and returns 1 under GENAISTORE_STRICT=1 if a
// server was missing.
func (f *fleet) finish() int {
	if len(f.report.entries) == 0 {
		return 0
	}
	fmt.Print(f.report.text(f.isolated))
	if path, err := f.keepReport(); err != nil {
		say(fmt.Sprintf("the report of every check is not kept: %v", err))
	} else {
		say("every check: " + path)
	}
	absent := f.report.absent()
	if f.strict && len(absent) > 0 {
		return fail(fmt.Errorf("GENAISTORE_STRICT=1, and these servers are missing: %s", strings.Join(absent, ", ")))
	}
	return 0
}

// keepReport writes the table of every check next to the servers, where CI finds it.
func (f *fleet) keepReport() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(string(f.cache), 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(string(f.cache), "report-"+filepath.Base(dir)+".md")
	return path, os.WriteFile(path, []byte(f.report.markdown()), 0o644)
}
