// Package style_test holds the house rules that no linter checks. Each rule is a
// function over the tree of the repository, with a tree that breaks it.
package style_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

const module = "github.com/genaistore/genaistore"

// root is the folder of the repository.
const root = "../.."

// contracts are the packages that everything else is built on.
var contracts = []string{"memory", "artifacts", "vectors", "fsshare"}

// A rule looks at the whole repository and says what breaks it, as
// "path:line: what would be right".
type rule struct {
	name  string
	check func(repository) []string
	// bad breaks the rule once for each text in want, good does not break it.
	bad, good map[string]string
	want      []string
}

func rules() []rule {
	return slices.Concat(goroutineRules(), packageRules(), commentRules(), readmeRules(), wordRules(), moduleRules())
}

func TestTheRepositoryFollowsTheRules(t *testing.T) {
	repo, err := load(os.DirFS(root))
	require.NoError(t, err)
	require.NotEmpty(t, repo.sources)
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			for _, problem := range r.check(repo) {
				t.Error(problem)
			}
		})
	}
}

func TestEachRuleCanFail(t *testing.T) {
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			problems := r.check(loadMap(t, r.bad))
			require.Len(t, problems, len(r.want), problems)
			for i, want := range r.want {
				require.Contains(t, problems[i], want)
			}
			require.Empty(t, r.check(loadMap(t, r.good)))
		})
	}
}

func loadMap(t *testing.T, files map[string]string) repository {
	t.Helper()
	memory := fstest.MapFS{}
	for name, text := range files {
		memory[name] = &fstest.MapFile{Data: []byte(text)}
	}
	repo, err := load(memory)
	require.NoError(t, err)
	return repo
}

// A repository is what the rules look at.
type repository struct {
	sources []source          // every Go file of every module, in order of path
	texts   map[string]string // every file that people write, by path
}

// A source is one parsed Go file.
type source struct {
	path string
	text string
	fset *token.FileSet
	*ast.File
}

func (s source) line(n ast.Node) int { return s.fset.Position(n.Pos()).Line }
func (s source) folder() string      { return path.Dir(s.path) }
func (s source) isTest() bool        { return strings.HasSuffix(s.path, "_test.go") || isSuite(s.folder()) }

// isSuite reports whether folder is a suite, such as memory/memorytest, whose code
// is tests though its files are not named so.
func isSuite(folder string) bool {
	parent, name := path.Split(folder)
	return name == path.Base(parent)+"test" && slices.ContainsFunc(contracts, func(c string) bool { return within(folder, c) })
}

// within reports whether name is folder or lies below it.
func within(name, folder string) bool {
	return name == folder || strings.HasPrefix(name, folder+"/")
}

// in returns the path of the import as the file names it, or "" if it does not import it.
func (s source) in(importPath string) string {
	for _, spec := range s.Imports {
		if strings.Trim(spec.Path.Value, `"`) != importPath {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(importPath)
	}
	return ""
}

// written are the names and extensions of files that people write.
var written = []string{".go", ".md", ".yml", ".yaml", ".json", ".mod", ".sh", ".py", ".txt", ".xml", ".toml", "Makefile", "run", ".gitignore", "NOTICE"}

// maxText is the size from which a file that is not Go is data, which nobody wrote.
const maxText = 256 << 10

func load(tree fs.FS) (repository, error) {
	repo := repository{texts: map[string]string{}}
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch base := path.Base(name); {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", ".cache", ".bin", "testdata", "node_modules"}, base):
			return fs.SkipDir
		case entry.IsDir() || !slices.Contains(written, base) && !slices.Contains(written, path.Ext(base)):
			return nil
		}
		data, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		if path.Ext(name) != ".go" {
			if len(data) < maxText {
				repo.texts[name] = string(data)
			}
			return nil
		}
		repo.texts[name] = string(data)
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, data, parser.ParseComments|parser.SkipObjectResolution)
		repo.sources = append(repo.sources, source{name, string(data), fset, file})
		return err
	})
	return repo, err
}
