package efsshare_test

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/fsshare/fssharetest"
	"github.com/genaistore/genaistore/fsshare/internal/kernel"
)

// Random programs of two machines that share a folder: each line of one is a call
// by one of them, and what it returns is a line too. The simulated NFS must return
// what a real one does.

// A call is one line of a program.
type call struct {
	machine int
	what    string
	name    string
	other   string
	slot    int // of the machine's open files
	at      int64
	text    string
	flag    int
	kind    kernel.LockKind
}

func (c call) String() string {
	s := fmt.Sprintf("%d: %s", c.machine+1, c.what)
	switch c.what {
	case "open":
		return fmt.Sprintf("%s %s %s as %d", s, c.name, flagNames(c.flag), c.slot)
	case "write":
		return fmt.Sprintf("%s %q at %d to %d", s, c.text, c.at, c.slot)
	case "append":
		return fmt.Sprintf("%s %q to %d", s, c.text, c.slot)
	case "lock":
		return fmt.Sprintf("%s %v byte %d of %d", s, [...]string{"none", "shared", "exclusive"}[c.kind], c.at, c.slot)
	case "locked":
		return fmt.Sprintf("%s byte %d of %d", s, c.at, c.slot)
	case "rename", "link":
		return fmt.Sprintf("%s %s %s", s, c.name, c.other)
	case "stat", "remove", "list", "mkdir":
		return s + " " + c.name
	case "expire", "pause":
		return s
	}
	return fmt.Sprintf("%s %d", s, c.slot)
}

func flagNames(flag int) string {
	names := []string{[...]string{"r", "w", "rw"}[flag&(os.O_WRONLY|os.O_RDWR)]}
	for bit, name := range map[int]string{os.O_CREATE: "create", os.O_EXCL: "excl", os.O_TRUNC: "trunc"} {
		if flag&bit != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// cachesEnd is longer than what the machines believe is kept where programs pause.
const cachesEnd = 3300 * time.Millisecond

const (
	slots            = 3
	programLength    = 40
	recordedPrograms = 400
)

// newProgram draws one. With "expire", the server takes a machine's locks now and
// then; with "pause", the machines wait until what they believe is too old.
func newProgram(seed uint64, length int, with string) []call {
	r := rand.New(rand.NewPCG(seed, 5))
	names := []string{"a", "b", "d/a", "d/b"}
	kinds := []string{
		"open", "open", "open", "open", "close", "close", "read", "read", "read", "write", "write", "write", "sync", "fstat",
		"lock", "lock", "lock", "lock", "locked", "stat", "stat", "rename", "rename", "remove", "link", "list", "forget", "mkdir",
	}
	switch with {
	case "expire":
		kinds = append(kinds, with)
	case "pause":
		kinds = append(kinds, with, with)
	}
	flags := []int{os.O_RDONLY, os.O_RDWR, os.O_WRONLY, os.O_RDWR | os.O_CREATE, os.O_RDWR | os.O_CREATE, os.O_WRONLY | os.O_CREATE | os.O_EXCL, os.O_WRONLY | os.O_CREATE | os.O_TRUNC}
	pick := func(from []string) string { return from[r.IntN(len(from))] }
	var program []call
	for i := range length {
		program = append(program, call{
			machine: r.IntN(2), what: pick(kinds), name: pick(names), other: pick(names), slot: r.IntN(slots),
			at: r.Int64N(3), text: fmt.Sprintf("%02d", i), flag: flags[r.IntN(len(flags))], kind: kernel.LockKind(r.IntN(3)),
		})
		if c := &program[i]; c.what == "list" || c.what == "mkdir" {
			c.name = pick([]string{".", "d"})
		}
	}
	return program
}

// A machine runs its part of a program.
type machine struct {
	root   kernel.Root
	files  [slots]kernel.File
	expire func() error
	pause  func()
	closed func() // waits until the server knows of a close
}

func (m *machine) closeFile(f kernel.File) error {
	err := f.Close()
	m.closed()
	return err
}

func (m *machine) close() {
	for _, f := range m.files {
		if f != nil {
			_ = f.Close()
		}
	}
	_ = m.root.Close()
}

// runProgram returns what each call returned.
func runProgram(program []call, machines [2]*machine) []string {
	var results []string
	for _, c := range program {
		result, err := machines[c.machine].run(c)
		if err != nil {
			result += " " + errorName(err)
		}
		results = append(results, strings.TrimSpace(result))
	}
	return results
}

func errorName(err error) string {
	var errno syscall.Errno
	switch {
	case errors.Is(err, io.EOF):
		return "EOF"
	case errors.Is(err, os.ErrClosed):
		return "closed"
	case errors.As(err, &errno):
		if text, ok := errorTexts[errno]; ok {
			return text
		}
	}
	return err.Error()
}

// errorTexts are as on Linux, where the programs were recorded.
var errorTexts = map[syscall.Errno]string{
	syscall.ENOENT: "no such file or directory", syscall.EEXIST: "file exists", syscall.EIO: "input/output error", syscall.ESTALE: "stale file handle",
	syscall.EBADF: "bad file descriptor", syscall.ETXTBSY: "text file busy", syscall.EISDIR: "is a directory", syscall.ENOTDIR: "not a directory",
	syscall.ENOTEMPTY: "directory not empty", syscall.EPERM: "operation not permitted",
}

func (m *machine) run(c call) (string, error) {
	switch c.what {
	case "open":
		f, err := m.root.OpenFile(c.name, c.flag, 0o666)
		if err != nil {
			return "", err
		}
		if old := m.files[c.slot]; old != nil {
			err = m.closeFile(old)
		}
		m.files[c.slot] = f
		return "", err
	case "stat":
		info, err := m.root.Lstat(c.name)
		return size(info), err
	case "rename":
		return "", m.root.Rename(c.name, c.other)
	case "link":
		return "", m.root.Link(c.name, c.other)
	case "remove":
		return "", m.root.Remove(c.name)
	case "mkdir":
		return "", m.root.MkdirAll(c.name, 0o777)
	case "list":
		return m.list(c.name)
	case "expire":
		return "", m.expire()
	case "pause":
		m.pause()
		return "", nil
	}
	f := m.files[c.slot]
	if f == nil {
		return "not open", nil
	}
	switch c.what {
	case "close":
		m.files[c.slot] = nil
		return "", m.closeFile(f)
	case "read":
		b := make([]byte, 20)
		n, err := f.ReadAt(b, 0)
		return fmt.Sprintf("%q", b[:n]), err
	case "write":
		_, err := f.WriteAt([]byte(c.text), c.at)
		return "", err
	case "sync":
		return "", f.Sync()
	case "forget":
		return "", f.Forget()
	case "fstat":
		info, err := f.Stat()
		return size(info), err
	case "lock":
		busy, err := f.LockByte(c.kind, 1<<62+c.at)
		return fmt.Sprint(busy), err
	default:
		locked, err := f.ByteLocked(1<<62 + c.at)
		return fmt.Sprint(locked), err
	}
}

func size(info fs.FileInfo) string {
	switch {
	case info == nil:
		return ""
	case info.IsDir():
		return "directory"
	}
	return fmt.Sprintf("%d bytes", info.Size())
}

// list leaves out the numbers in the names of files that were removed while open.
func (m *machine) list(name string) (string, error) {
	f, err := m.root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	infos, err := f.Readdir(-1)
	found := map[string]int{}
	for _, info := range infos {
		n := info.Name()
		if strings.HasPrefix(n, ".nfs") {
			n = ".nfs"
		}
		found[n]++
	}
	return fmt.Sprint(found), err
}

// onSimulation runs a program on a new simulated server, which is as the real one
// and the mounts of the guest are.
func onSimulation(t *testing.T, program []call) (results []string) {
	t.Helper()
	opts := fssharetest.NFSOptions{Courteous: true}
	if slices.ContainsFunc(program, func(c call) bool { return c.what == "pause" }) {
		opts.FileMin, opts.FileMax, opts.DirMin, opts.DirMax = 3*time.Second, 3*time.Second, 3*time.Second, 3*time.Second
	}
	synctest.Test(t, func(t *testing.T) {
		server := fssharetest.NewNFS(&opts)
		defer server.Close()
		var machines [2]*machine
		for i := range machines {
			client := server.Client(fmt.Sprint("machine", i))
			root, _, err := client.Open(fssharetest.NFSDir)
			require.NoError(t, err)
			machines[i] = &machine{root: root, closed: func() {}, pause: func() { time.Sleep(cachesEnd) }, expire: func() error { client.Expire(); return nil }}
			defer machines[i].close()
		}
		results = runProgram(program, machines)
	})
	return results
}

// digest is a short sum of what a program returned.
func digest(results []string) string {
	sum := fnv.New64a()
	for _, r := range results {
		_, _ = io.WriteString(sum, r+"\n")
	}
	return fmt.Sprintf("%016x", sum.Sum64())
}

// What knfsd of Linux 6.1 and two clients of it returned, recorded in the guest by
// GENAISTORE_NFS_RECORD=1: the simulation returns it still.
func TestTheSimulatedNFSReturnsWhatARealOneReturned(t *testing.T) {
	text, err := os.ReadFile("testdata/programs.txt")
	require.NoError(t, err)
	programs, differing := 0, []string{}
	for line := range strings.Lines(string(text)) {
		var seed uint64
		var with, want string
		_, err := fmt.Sscanf(line, "recorded %s %d %s", &with, &seed, &want)
		require.NoError(t, err, line)
		programs++
		if digest(onSimulation(t, newProgram(seed, programLength, with))) != want {
			differing = append(differing, strings.TrimSpace(line))
		}
	}
	t.Logf("%d programs of %d calls", programs, programLength)
	require.Empty(t, differing)
	require.Greater(t, programs, 3*recordedPrograms/2)
}
