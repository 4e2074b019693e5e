package uml

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Defaults of Options.
const (
	DefaultMemory  = 512 << 20
	DefaultTimeout = 300 * time.Second
)

// Options are what may be said of a machine.
type Options struct {
	// Memory is what the guest sees, in bytes; it is taken from the host as the
	// guest touches it. Zero means DefaultMemory.
	Memory int64

	// Timeout ends the machine, whatever it does. Zero means DefaultTimeout.
	Timeout time.Duration

	// Console is written the messages of the kernel and of process 1. Nil means
	// that nobody reads them.
	Console io.Writer

	// Words are added to the kernel's command line. Those of the form NAME=value
	// reach process 1 as its environment. A word has no space and no quote.
	Words []string

	files   []*os.File    // that the machine gets after its serial lines; Run closes them
	started func(pid int) // called with the kernel's process
}

// WithDefaults returns the options with every zero value replaced by its default.
func (o *Options) WithDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Memory == 0 {
		d.Memory = DefaultMemory
	}
	if d.Timeout == 0 {
		d.Timeout = DefaultTimeout
	}
	return d
}

// Streams are the ends of the machine's two serial lines at the host.
type Streams struct {
	Stdout, Stderr io.Writer
}

// commandLine is what the kernel is told. The kernel splits it at spaces and
// knows no escape.
func commandLine(initPath, folder string, o Options) ([]string, error) {
	words := append([]string{
		fmt.Sprintf("mem=%dM", o.Memory>>20),
		"root=none", "rootfstype=hostfs", "rootflags=/", "ro",
		"init=" + initPath,
		// The console is the program's own standard output; ttyS0 and ttyS1 are
		// the first two extra files of the process.
		"con0=null,fd:1", "con=null", "ssl0=null,fd:3", "ssl1=null,fd:4", "ssl=null",
		"quiet", "panic=-1",
		// A benchmark of RAID that nobody uses here, 0.8 of the 1.1 s of a boot.
		"initcall_blacklist=raid6_select_algo",
		// Where the kernel would else write to the user's home.
		"uml_dir=" + folder + string(filepath.Separator), "umid=guest",
	}, o.Words...)
	for _, w := range words {
		if strings.ContainsAny(w, " \t\n\"'") {
			return nil, fmt.Errorf("the kernel's command line cannot carry %q: use folders without spaces and quotes (TMPDIR, GENAISTORE_CACHE)", w)
		}
	}
	return words, nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

const tailBytes = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if extra := len(t.kept) - tailBytes; extra > 0 {
		t.kept = append(t.kept[:0], t.kept[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(strings.ReplaceAll(string(t.kept), "\r", ""))
}
