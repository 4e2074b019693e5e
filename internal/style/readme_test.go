package style_test

import (
	"flag"
	"fmt"
	"go/ast"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func readmeRules() []rule {
	const hello = "// Hello says hello.\npackage main\n\nfunc main() {\n\tprintln(\"hello\")\n}\n"
	const example = "package memory_test\n\nfunc ExampleStore() {\n\tstore := open()\n\tif store != nil {\n\t\tprintln(store)\n\t}\n\t// Output: store\n}\n"
	block := func(mark, code string) string { return mark + "\n```go\n" + code + "```\n" }
	return []rule{{
		name:  "Go in a README is compiled code",
		check: readmes,
		bad: map[string]string{
			"README.md": "# genaistore\n" + block("", hello) + // line 3
				block("<!-- file: examples/hello/main.go -->", hello+"\n// and more\n") +
				block("<!-- file: examples/gone.go -->", hello) +
				block("<!-- file: memory/example_test.go ExampleStore -->", "store := open()\n") +
				block("<!-- file: memory/example_test.go ExampleGone -->", "store := open()\n"),
			"examples/hello/main.go": hello,
			"memory/example_test.go": example,
		},
		want: []string{"README.md:3: no <!-- file: ", "README.md:12: differs from", "README.md:23: there is no examples/gone.go", "README.md:32: differs", "README.md:36: there is no ExampleGone"},
		good: map[string]string{
			"README.md": "# genaistore\n" + block("<!-- file: examples/hello/main.go -->", hello) +
				block("<!-- file: memory/example_test.go ExampleStore -->\n", "store := open()\nif store != nil {\n\tprintln(store)\n}\n") +
				block("<!-- file: examples/hello/main.go main -->", "func main() {\n\tprintln(\"hello\")\n}\n") +
				"```sh\nmake\n```\n",
			"docs/DESIGN.md":         "```go\nnot checked\n```\n",
			"examples/hello/main.go": hello,
			"memory/example_test.go": example,
		},
	}}
}

// mark names the file a block shows, and the function if it is not the whole.
var mark = regexp.MustCompile(`^<!-- file: (\S+)(?: (\w+))? -->$`)

// readmes checks that each block of Go stands, as it is, in a file of the
// repository: a whole file, a function, or the body of an Example.
func readmes(repo repository) []string {
	var problems []string
	for _, name := range slices.Sorted(maps.Keys(repo.texts)) {
		if path.Base(name) != "README.md" {
			continue
		}
		lines := strings.Split(repo.texts[name], "\n")
		for i, line := range lines {
			if strings.TrimSpace(line) != "```go" {
				continue
			}
			end := i + 1 + max(0, slices.Index(lines[i+1:], "```"))
			if problem := compare(repo, markAbove(lines, i), strings.Join(lines[i+1:end], "\n")); problem != "" {
				problems = append(problems, fmt.Sprintf("%s:%d: %s", name, i+1, problem))
			}
		}
	}
	return problems
}

// update returns the text of a README with each marked block as it stands in the
// file it names.
func update(repo repository, text string) string {
	lines := strings.Split(text, "\n")
	var updated []string
	for i := 0; i < len(lines); i++ {
		updated = append(updated, lines[i])
		found := mark.FindStringSubmatch(markAbove(lines, i))
		at := slices.IndexFunc(repo.sources, func(src source) bool { return found != nil && src.path == found[1] })
		length := slices.Index(lines[i+1:], "```")
		if strings.TrimSpace(lines[i]) != "```go" || at < 0 || length < 0 {
			continue
		}
		if shown, ok := excerpt(repo.sources[at], found[2]); ok {
			updated = append(updated, strings.TrimSpace(shown))
			i += length
		}
	}
	return strings.Join(updated, "\n")
}

var write = flag.Bool("update", false, "write the marked blocks of README files anew")

func TestUpdateREADME(t *testing.T) {
	repo := loadMap(t, readmeRules()[0].good)
	want := repo.texts["README.md"]
	stale := strings.ReplaceAll(want, "println", "print")
	require.NotEqual(t, want, stale)
	require.Equal(t, strings.TrimSpace(want), strings.TrimSpace(update(repo, stale)))
	if !*write {
		return
	}
	repo, err := load(os.DirFS(root))
	require.NoError(t, err)
	for name, text := range repo.texts {
		if path.Base(name) == "README.md" {
			require.NoError(t, os.WriteFile(filepath.Join(root, filepath.FromSlash(name)), []byte(update(repo, text)), 0o644))
		}
	}
}

// markAbove returns the last line before i that is not blank.
func markAbove(lines []string, i int) string {
	for i--; i >= 0; i-- {
		if line := strings.TrimSpace(lines[i]); line != "" {
			return line
		}
	}
	return ""
}

func compare(repo repository, marked, shown string) string {
	found := mark.FindStringSubmatch(marked)
	if found == nil {
		return "no <!-- file: path [function] --> above this block"
	}
	at := slices.IndexFunc(repo.sources, func(src source) bool { return src.path == found[1] })
	if at < 0 {
		return "there is no " + found[1]
	}
	text, ok := excerpt(repo.sources[at], found[2])
	switch {
	case !ok:
		return "there is no " + found[2] + " in " + found[1]
	case strings.TrimSpace(text) != strings.TrimSpace(shown):
		return "differs from " + strings.TrimSpace(found[1]+" "+found[2]) + ": run make readme"
	}
	return ""
}

// excerpt returns the text of src, or of one of its functions, or what an
// Example does without its output.
func excerpt(src source, function string) (string, bool) {
	if function == "" {
		return src.text, true
	}
	for _, decl := range src.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Name.Name != function {
			continue
		}
		offset := src.fset.File(fn.Pos()).Offset
		if !strings.HasPrefix(function, "Example") {
			return src.text[offset(fn.Pos()):offset(fn.End())], true
		}
		body, _, _ := strings.Cut(src.text[offset(fn.Body.Lbrace)+1:offset(fn.Body.Rbrace)], "\n\t// Output:")
		return strings.ReplaceAll(body, "\n\t", "\n"), true
	}
	return "", false
}
