package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden transcript anew")

// A player runs commands of one assistant, each as a program of its own.
type player struct {
	state string
	in    string
}

func newPlayer(t *testing.T) *player {
	t.Helper()
	return &player{state: filepath.Join(t.TempDir(), "state")}
}

func (p *player) run(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	args = append(args, "--state", p.state)
	code = run(t.Context(), args, terminal{strings.NewReader(p.in), &stdout, &stderr})
	return code, stdout.String(), stderr.String()
}

// ok runs a command that must succeed, and returns what it printed.
func (p *player) ok(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := p.run(t, args...)
	require.Zerof(t, code, "%v: %s", args, errs)
	return out
}

// refused runs a command that must fail with one line that says what, and
// leave the saved state as it was.
func (p *player) refused(t *testing.T, code int, says string, args ...string) {
	t.Helper()
	path := filepath.Join(p.state, stateFile)
	before, beforeErr := os.ReadFile(path)
	got, out, errs := p.run(t, args...)
	require.Equalf(t, code, got, "%v: %s", args, errs)
	require.Containsf(t, errs, says, "%v", args)
	require.Equalf(t, 1, strings.Count(strings.TrimSuffix(errs, "\n"), "\n")+1, "one line: %s", errs)
	require.Emptyf(t, out, "%v", args)
	after, afterErr := os.ReadFile(path)
	require.Equal(t, before, after)
	require.Equal(t, beforeErr == nil, afterErr == nil)
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// The main job from end to end, as a person would do it. What it prints is held
// against testdata/transcript.txt; go test -update writes that anew.
func TestTranscript(t *testing.T) {
	t.Chdir("testdata")
	p := newPlayer(t)
	var got strings.Builder
	for _, step := range []struct{ in, args string }{
		{"", `ask|What is the capital of Namibia?`},
		{"", `ask|Which river is the border of Namibia in the south?`},
		{"", `history`},
		{"", `ingest|handbook`},
		{"", `ask|How often are backups of the tide gauges taken?`},
		{"", `checkpoint|publish|--reason|with the handbook`},
		{"", `ingest|handbook/gauges.md|factbook.txt`},
		{"", `checkpoint|publish`},
		{"", `checkpoint|list`},
		{"", `checkpoint|rollback|--reason|worse answers`},
		{"", `checkpoint|list`},
		{"Where is the Okavango delta?\nWhat is the population of Tuvalu?\nThat is wrong and useless!\n\n", `chat|--session|second`},
		{"", `history|--session|second`},
		{"", `sessions`},
		{"", `search|population`},
		{"", `search|--intent|complaint`},
		{"", `share|publish`},
		{"", `share|show`},
		{"", `forget|--yes`},
		{"", `sessions`},
	} {
		args := strings.Split(step.args, "|")
		p.in = step.in
		fmt.Fprintf(&got, "$ assistant %s\n", quoted(args))
		got.WriteString(p.ok(t, args...))
	}
	const golden = "transcript.txt"
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got.String()), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, strings.ReplaceAll(string(want), "\r\n", "\n"), got.String())
}

func quoted(args []string) string {
	out := make([]string, len(args))
	for i, a := range args {
		if out[i] = a; strings.Contains(a, " ") {
			out[i] = `"` + a + `"`
		}
	}
	return strings.Join(out, " ")
}

func TestBadInputIsOneClearLine(t *testing.T) {
	p := newPlayer(t)
	p.ok(t, "ingest", write(t, "small.md", "# Small\n\nA document to have some state.\n"))
	tests := []struct {
		name string
		code int
		says string
		args []string
	}{
		{"an unknown flag", exitUsage, "unknown flag --nope", []string{"ask", "--nope", "x"}},
		{"an unknown command", exitUsage, "unexpected argument", []string{"explode"}},
		{"no question", exitUsage, "expected", []string{"ask"}},
		{"an empty question", exitUsage, "question is empty", []string{"ask", "  "}},
		{"a question without words", exitFailed, "no letter or digit", []string{"ask", "?!"}},
		{"a file that is not there", exitFailed, "no such file", []string{"ingest", "gone.md"}},
		{"a binary file", exitFailed, "binary", []string{"ingest", write(t, "image.txt", "\x00\x01\xff")}},
		{"a file that is no document", exitFailed, "no document", []string{"ingest", write(t, "photo.png", "x")}},
		{"an empty document", exitFailed, "nothing to read", []string{"ingest", write(t, "empty.md", " \n")}},
		{"a folder without documents", exitFailed, "nothing to read", []string{"ingest", t.TempDir()}},
		{"JSON of another shape", exitFailed, "no list of passages", []string{"ingest", write(t, "x.json", `{"a": 1}`)}},
		{"a passage without text", exitFailed, "needs text", []string{"ingest", write(t, "x.json", `[{"id": "a"}]`)}},
		{"a good file beside a bad one", exitFailed, "no such file", []string{"ingest", write(t, "good.md", "# Good\n\nText."), "gone.md"}},
		{"servers without an address", exitUsage, "--dynamodb URL", []string{"ask", "x", "--backend", "local-servers"}},
		{"a server that is not there", exitFailed, "no DynamoDB that can be used at http://127.0.0.1:1", []string{"ask", "x", "--backend", "local-servers", "--dynamodb", "http://127.0.0.1:1"}},
		{"setup of what needs none", exitUsage, "needs no setup", []string{"setup"}},
		{"a backend that never will", exitUsage, "must be one of", []string{"ask", "x", "--backend", "tape"}},
		{"an empty user", exitUsage, "no user", []string{"ask", "x", "--user", ""}},
		{"a model that is no embedder", exitUsage, "amazon.titan-embed-text-v2", []string{"ask", "x", "--embed-model", "gpt"}},
		{"history of nobody", exitFailed, "has no history", []string{"history", "--session", "other"}},
		{"a history of minus one", exitUsage, "0 means all", []string{"history", "--last=-1"}},
		{"a search for nothing", exitUsage, "search for words", []string{"search"}},
		{"a rollback without a checkpoint", exitFailed, "publish one first", []string{"checkpoint", "rollback", "--reason", "x"}},
		{"a rollback without a reason", exitUsage, "--reason", []string{"checkpoint", "rollback"}},
		{"a share without a configuration", exitFailed, "share publish", []string{"share", "show"}},
		{"forgetting by accident", exitUsage, "--yes", []string{"forget"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { p.refused(t, tt.code, tt.says, tt.args...) })
	}
}

func TestAStateFolderThatIsAFileIsRefused(t *testing.T) {
	p := &player{state: write(t, "file", "x")}
	p.refused(t, exitFailed, "--state", "sessions")
}

func TestACorruptStateIsRefusedAndLeft(t *testing.T) {
	p := newPlayer(t)
	p.ok(t, "share", "publish")
	path := filepath.Join(p.state, stateFile)
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, at := range []int{0, len(good) / 3, len(good) / 2, len(good) - 30} {
		bad := bytes.Clone(good)
		bad[at] ^= 0x40
		require.NoError(t, os.WriteFile(path, bad, 0o600))
		code, out, _ := p.run(t, "share", "show")
		if code == exitDone { // a byte that nothing reads, such as a date in the archive
			require.Contains(t, out, "config/1.json")
			continue
		}
		p.refused(t, exitFailed, "cannot be read", "share", "show")
	}
	require.NoError(t, os.WriteFile(path, good[:len(good)/2], 0o600))
	p.refused(t, exitFailed, "cannot be read", "share", "show")
	require.NoError(t, os.WriteFile(path, good, 0o600))
	p.ok(t, "share", "show")
}

func TestASecondAssistantWaitsOutside(t *testing.T) {
	p := newPlayer(t)
	s, err := openState(p.state)
	require.NoError(t, err)
	p.refused(t, exitFailed, "in use", "sessions")
	require.NoError(t, s.close())
	p.ok(t, "sessions")
}

func TestACancelledCommandSavesNothing(t *testing.T) {
	p := newPlayer(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	code := run(ctx, []string{"ask", "What is the capital of Namibia?", "--state", p.state}, terminal{strings.NewReader(""), &out, &errs})
	require.Equal(t, exitFailed, code)
	require.Contains(t, errs.String(), "canceled")
	require.NoFileExists(t, filepath.Join(p.state, stateFile))
}

func TestHelpNamesEveryCommand(t *testing.T) {
	p := newPlayer(t)
	out := p.ok(t, "--help")
	for _, name := range []string{"ingest", "ask", "chat", "history", "sessions", "search", "forget", "checkpoint publish", "checkpoint list", "checkpoint history", "checkpoint load", "checkpoint rollback", "share publish", "share show"} {
		require.Contains(t, out, name)
	}
}

func TestIngestingAgainEmbedsOnlyWhatChanged(t *testing.T) {
	p := newPlayer(t)
	dir := t.TempDir()
	doc := filepath.Join(dir, "doc.md")
	require.NoError(t, os.WriteFile(doc, []byte("# One\n\nFirst text.\n\n# Two\n\nSecond text.\n"), 0o600))
	require.Contains(t, p.ok(t, "ingest", dir), "2 passages from 1 documents: 2 new or changed, 0 unchanged, 0 gone")
	require.Contains(t, p.ok(t, "ingest", dir), "0 new or changed, 2 unchanged, 0 gone")
	require.NoError(t, os.WriteFile(doc, []byte("# One\n\nFirst text.\n\n# Two\n\nOther text.\n"), 0o600))
	require.Contains(t, p.ok(t, "ingest", dir), "1 new or changed, 1 unchanged, 1 gone")
}

func TestAnUnreadableDocumentIsRefused(t *testing.T) {
	path := write(t, "secret.md", "# Secret\n")
	require.NoError(t, os.Chmod(path, 0))
	if f, err := os.Open(path); err == nil {
		require.NoError(t, f.Close())
		t.Skip("this user reads files whatever their mode")
	}
	p := newPlayer(t)
	p.refused(t, exitFailed, "permission denied", "ingest", path)
}
