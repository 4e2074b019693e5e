package einotests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const framework = "github.com/cloudwego/eino"

// folders are those whose tests have a store of checkpoints.
var folders = []string{"compose", "adk"}

func TestEinosOwnTests(t *testing.T) {
	if os.Getenv("GENAISTORE_KIT") == "" {
		t.Skip("GENAISTORE_KIT is not set: Eino's own tests take minutes, make nightly runs them")
	}
	from := moduleDir(t)
	root := t.TempDir()
	to := filepath.Join(root, "eino")
	require.NoError(t, copyModule(to, from))
	patched := 0
	for _, folder := range folders {
		n, err := patchStores(filepath.Join(to, folder))
		require.NoError(t, err)
		require.Positive(t, n, folder)
		patched += n
		require.NoError(t, os.WriteFile(filepath.Join(to, folder, "zz_hook_test.go"), fmt.Appendf(nil, hook, folder), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(to, folder, "zz_ours_test.go"), fmt.Appendf(nil, ours, folder, framework, folder, folder, folder), 0o600))
	}
	workspace(t, root)
	for _, folder := range folders {
		t.Run(folder, func(t *testing.T) {
			on := run(t, to, folder, append(os.Environ(), "GOWORK="+filepath.Join(root, "go.work")))
			t.Logf("%s: %d passed and %d failed on ours; %d checkpoints set (%d stores replaced)", folder, on.pass, len(on.fail), on.used, patched)
			require.Positive(t, on.pass, "it does not build")
			require.Positive(t, on.used, "nothing was kept in our checkpoints")
			if len(on.fail) == 0 {
				return
			}
			plain := run(t, from, folder, os.Environ())
			for name := range on.fail {
				if !plain.fail[name] {
					t.Errorf("%s fails on our checkpoints alone", name)
				}
			}
		})
	}
}

// moduleDir returns where the framework is, at the version of go.mod.
func moduleDir(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-json", framework).Output()
	require.NoError(t, err)
	var m struct{ Dir string }
	require.NoError(t, json.Unmarshal(out, &m))
	return m.Dir
}

// copyModule is os.CopyFS without the module cache's mode, which lets nobody write.
func copyModule(to, from string) error {
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o600)
	})
}

// The two methods of a store, as the tests write them.
var (
	set = regexp.MustCompile(`(?m)^func \((\w+) \*\w+\) Set\(\w+ context\.Context, ([a-z]\w*) string, ([a-z]\w*) \[\]byte\) error \{\n`)
	get = regexp.MustCompile(`(?m)^func \((\w+) \*\w+\) Get\(\w+ context\.Context, ([a-z]\w*) string\) \(\[\]byte, bool, error\) \{\n`)
)

// patchStores has the stores of a folder's tests go through ours, but for those that
// fail whatever they are given.
func patchStores(folder string) (stores int, err error) {
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	for _, name := range files {
		source, readErr := os.ReadFile(name)
		if readErr != nil {
			return stores, readErr
		}
		if !get.Match(source) || !bytes.Contains(source, []byte("map[string][]byte")) {
			continue
		}
		stores += len(set.FindAll(source, -1))
		source = set.ReplaceAll(source, []byte("${0}\tif err := zzSet($1, $2, $3); err != nil {\n\t\treturn err\n\t}\n"))
		source = get.ReplaceAll(source, []byte("${0}\tif v, ok, err := zzGet($1, $2); ok || err != nil {\n\t\treturn v, ok, err\n\t}\n"))
		if err := os.WriteFile(name, source, 0o600); err != nil {
			return stores, err
		}
	}
	return stores, err
}

// hook is in the package under test, which ours imports and so cannot be imported by.
const hook = `package %s

var (
	ZZSet func(store any, id string, data []byte) error
	ZZGet func(store any, id string) ([]byte, bool, error)
)

func zzSet(store any, id string, data []byte) error { return ZZSet(store, id, data) }

func zzGet(store any, id string) ([]byte, bool, error) { return ZZGet(store, id) }
`

// ours keeps the checkpoints of each store, which is known by its address, as those of
// a user.
const ours = `package %s_test

import (
	"context"
	"fmt"
	"os"

	"%s/%s"

	"github.com/genaistore/genaistore/adapters/eino"
	"github.com/genaistore/genaistore/memory"
)

func init() {
	store := &memory.InMemory{}
	of := func(s any) *eino.CheckPoints {
		c, err := eino.NewCheckPoints(store, memory.Key{User: fmt.Sprintf("%%p", s)})
		if err != nil {
			panic(err)
		}
		return c
	}
	%s.ZZSet = func(s any, id string, data []byte) error {
		fmt.Fprintln(os.Stdout, "zz: kept in ours")
		return of(s).Set(context.Background(), id, data)
	}
	%s.ZZGet = func(s any, id string) ([]byte, bool, error) { return of(s).Get(context.Background(), id) }
}
`

// workspace has the copy build with this module, and this module with the copy.
func workspace(t *testing.T, root string) {
	t.Helper()
	module, err := filepath.Abs("../..")
	require.NoError(t, err)
	file := fmt.Sprintf("go 1.26.0\n\nuse (\n\t./eino\n\t%s\n)\n", module)
	require.NoError(t, os.WriteFile(filepath.Join(root, "go.work"), []byte(file), 0o600))
}

type result struct {
	pass, used int
	fail       map[string]bool
}

// run runs a folder's tests and counts what they say.
func run(t *testing.T, module, folder string, env []string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-json", "./"+folder)
	cmd.Dir, cmd.Env = module, env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() != 1) {
		t.Fatalf("go test: %v\n%s", err, stderr.String())
	}
	r := result{fail: map[string]bool{}}
	for line := range bytes.Lines(out) {
		var e struct{ Action, Test, Output string }
		if json.Unmarshal(line, &e) != nil {
			continue
		}
		switch {
		case e.Action == "output" && strings.Contains(e.Output, "zz: kept in ours"):
			r.used++
		case e.Test == "":
			if e.Action == "build-output" {
				t.Error(e.Output)
			}
		case e.Action == "pass":
			r.pass++
		case e.Action == "fail":
			r.fail[e.Test] = true
		}
	}
	return r
}
