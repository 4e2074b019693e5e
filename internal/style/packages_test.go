package style_test

import (
	"fmt"
	"go/ast"
	"go/scanner"
	"go/token"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

func packageRules() []rule {
	return []rule{{
		name:  "no functional options",
		check: functionalOptions,
		bad: map[string]string{
			"memory/a.go": "package memory\nfunc WithTable(name string) Option { return nil }\ntype Option func(*config)",
		},
		want: []string{"a.go:2: WithTable", "a.go:3: Option"},
		good: map[string]string{
			"meter/a.go":  "package meter\nfunc With(ctx context.Context, m *Meter) context.Context { return nil }",
			"memory/a.go": "package memory\nfunc (o *Options) WithDefaults() Options { return *o }\ntype CountFunc func(Message) int",
		},
	}, {
		name:  "packages are named for what they give",
		check: packageNames,
		bad: map[string]string{
			"internal/util/a.go":   "package util",
			"memory/helpers/a.go":  "package helpers",
			"memory/models/a.go":   "package models",
			"internal/style/types": "not Go",
		},
		want: []string{"internal/util/a.go:1", "memory/helpers/a.go:1", "memory/models/a.go:1"},
		good: map[string]string{"internal/paging/a.go": "package paging", "examples/a/main.go": "package main"},
	}, {
		name:  "files stay under 500 lines of code",
		check: fileLengths,
		bad: map[string]string{
			"memory/a.go":      "package memory\n" + strings.Repeat("var _ = 1\n", 500),
			"memory/b_test.go": "package memory\nvar text = `\n" + strings.Repeat("x\n", 500) + "`\n",
		},
		want: []string{"a.go: 501 lines", "b_test.go: 503 lines"},
		good: map[string]string{
			"memory/a.go": "package memory\n" + strings.Repeat("// why\n\nvar _ = 1\n", 499),
			"memory/b.go": "// Longer than a file should be: it is the table of limits.\n\npackage memory\n" + strings.Repeat("var _ = 1\n", 600),
		},
	}, {
		name:  "packages say what they are for",
		check: packageComments,
		bad: map[string]string{
			"memory/a.go":        "package memory",
			"memory/b.go":        "package memory",
			"memory/doc_test.go": "// Package memory is described in a test.\npackage memory",
			"examples/a/main.go": "// Starts things.\npackage main",
		},
		want: []string{`examples/a: no comment that begins "Command a" or "A"`, `memory: no comment that begins "Package memory"`},
		good: map[string]string{
			"memory/a.go":           "// Package memory keeps conversations.\npackage memory",
			"memory/b.go":           "package memory",
			"memory/memory_test.go": "package memory_test",
			"examples/a/main.go":    "// Command a starts things.\npackage main",
			"examples/b/main.go":    "// B starts things.\npackage main",
		},
	}, {
		name:  "contracts and backends have a running example",
		check: examples,
		bad: map[string]string{
			"memory/a.go":                    "package memory",
			"memory/a_test.go":               "package memory_test\nfunc TestExample() {}\nfunc Exampleless() {}",
			"memory/dynamomemory/a.go":       "package dynamomemory",
			"artifacts/s3artifacts/x/x.go":   "package x",
			"artifacts/s3artifacts/x_try.go": "package s3artifacts",
		},
		want: []string{"artifacts/s3artifacts: ", "artifacts/s3artifacts/x: ", "memory: ", "memory/dynamomemory: "},
		good: map[string]string{
			"memory/a.go":                "package memory",
			"memory/a_test.go":           "package memory_test\nfunc ExampleStore() {}",
			"memory/memorytest/a.go":     "package memorytest",
			"memory/internal/wire/a.go":  "package wire",
			"vectors/embed/cmd/x/a.go":   "package main",
			"internal/paging/paging.go":  "package paging",
			"vectors/embed/empty/README": "",
		},
	}, {
		name:  "contracts link nothing but the standard library",
		check: contractImports,
		bad: map[string]string{
			"memory/a.go":              `package memory; import _ "` + module + `/internal/deep"`,
			"memory/a_test.go":         `package memory; import _ "github.com/stretchr/testify/require"`,
			"internal/deep/a.go":       `package deep; import _ "github.com/aws/aws-sdk-go-v2/aws"`,
			"internal/other/a.go":      `package other; import _ "github.com/aws/aws-sdk-go-v2/aws"`,
			"memory/memorytest/a.go":   `package memorytest; import _ "github.com/stretchr/testify/require"`,
			"memory/dynamomemory/a.go": `package dynamomemory; import _ "github.com/aws/aws-sdk-go-v2/aws"`,
		},
		want: []string{
			"memory: links github.com/aws/aws-sdk-go-v2/aws through internal/deep",
			"memory/memorytest: links github.com/stretchr/testify/require through memory/memorytest",
		},
		good: map[string]string{
			"genaistore.go":      `package genaistore; import _ "` + module + `/memory"`,
			"memory/a.go":        `package memory; import (_ "context"; _ "golang.org/x/sync/errgroup"; _ "` + module + `/internal/deep")`,
			"internal/deep/a.go": `package deep; import _ "io/fs"`,
			"memory/x/a.go":      `package x; import _ "github.com/aws/aws-sdk-go-v2/aws"`,
		},
	}}
}

func functionalOptions(repo repository) []string {
	var problems []string
	optionName := regexp.MustCompile(`Option(s|Func)?$`)
	for _, src := range repo.sources {
		for _, decl := range src.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if decl.Recv == nil && regexp.MustCompile(`^With[A-Z]`).MatchString(decl.Name.Name) {
					problems = append(problems, fmt.Sprintf("%s:%d: %s: add a field to Options", src.path, src.line(decl), decl.Name))
				}
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					spec, ok := spec.(*ast.TypeSpec)
					if !ok || !optionName.MatchString(spec.Name.Name) {
						continue
					}
					if _, ok := spec.Type.(*ast.FuncType); ok {
						problems = append(problems, fmt.Sprintf("%s:%d: %s: options are one struct", src.path, src.line(spec), spec.Name))
					}
				}
			}
		}
	}
	return problems
}

// nothings are package names that say nothing and collect everything.
var nothings = strings.Fields("util utils common helper helpers types models model base core shared manager lib misc interfaces constants")

func packageNames(repo repository) []string {
	var problems []string
	for _, src := range repo.sources {
		if slices.Contains(nothings, strings.TrimSuffix(src.Name.Name, "_test")) {
			problems = append(problems, fmt.Sprintf("%s:%d: package %s: name it for what it gives", src.path, src.line(src.Name), src.Name))
		}
	}
	return problems
}

const (
	maxLines = 500
	// whyLong begins the comment at the top of a file that may be longer.
	whyLong = "Longer than a file should be: "
)

func fileLengths(repo repository) []string {
	var problems []string
	for _, src := range repo.sources {
		lines := codeLines(src)
		reason := slices.ContainsFunc(src.Comments, func(c *ast.CommentGroup) bool {
			return c.Pos() < src.Package && strings.Contains(strings.Join(strings.Fields(c.Text()), " ")+" ", whyLong)
		})
		if lines > maxLines && !reason {
			problems = append(problems, fmt.Sprintf("%s: %d lines of code, at most %d: split it by noun, or begin it with \"// %s…\"", src.path, lines, maxLines, whyLong))
		}
	}
	return problems
}

// codeLines counts the lines with something other than blanks and comments.
func codeLines(src source) int {
	fset := token.NewFileSet()
	file := fset.AddFile(src.path, -1, len(src.text))
	var s scanner.Scanner
	s.Init(file, []byte(src.text), nil, 0) // without comments
	lines := map[int]bool{}
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			return len(lines)
		}
		if tok == token.SEMICOLON && text == "\n" {
			continue
		}
		first := file.Line(pos)
		for n := range 1 + strings.Count(text, "\n") {
			lines[first+n] = true
		}
	}
}

// folders returns the sources that are no tests by folder, and the folders in order.
func folders(repo repository) (map[string][]source, []string) {
	packages := map[string][]source{}
	for _, src := range repo.sources {
		if !strings.HasSuffix(src.path, "_test.go") {
			packages[src.folder()] = append(packages[src.folder()], src)
		}
	}
	return packages, slices.Sorted(maps.Keys(packages))
}

func packageComments(repo repository) []string {
	var problems []string
	packages, order := folders(repo)
	for _, folder := range order {
		name := packages[folder][0].Name.Name
		begins := []string{"Package " + name}
		if name == "main" {
			command := path.Base(folder)
			begins = []string{"Command " + command, strings.ToUpper(command[:1]) + command[1:]}
		}
		described := slices.ContainsFunc(packages[folder], func(src source) bool {
			return slices.ContainsFunc(begins, func(b string) bool { return strings.HasPrefix(src.Doc.Text(), b+" ") })
		})
		if !described {
			problems = append(problems, fmt.Sprintf(`%s: no comment that begins "%s"`, folder, strings.Join(begins, `" or "`)))
		}
	}
	return problems
}

func examples(repo repository) []string {
	has := map[string]bool{}
	name := regexp.MustCompile(`^Example(_|[A-Z]|$)`)
	for _, src := range repo.sources {
		for _, decl := range src.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if ok && src.isTest() && name.MatchString(fn.Name.Name) {
				has[src.folder()] = true
			}
		}
	}
	var problems []string
	packages, order := folders(repo)
	for _, folder := range order {
		public := slices.ContainsFunc(contracts, func(c string) bool { return within(folder, c) }) && !strings.Contains(folder, "/internal/")
		if public && packages[folder][0].Name.Name != "main" && !isSuite(folder) && !has[folder] {
			problems = append(problems, folder+": no Example with // Output:")
		}
	}
	return problems
}

func contractImports(repo repository) []string {
	var problems []string
	packages, order := folders(repo)
	for _, folder := range order {
		if folder != "." && !slices.Contains(contracts, folder) && !isSuite(folder) {
			continue
		}
		seen := map[string]bool{}
		var visit func(folder string)
		visit = func(at string) {
			seen[at] = true
			for _, src := range packages[at] {
				for _, spec := range src.Imports {
					name := strings.Trim(spec.Path.Value, `"`)
					own, ours := strings.CutPrefix(name, module+"/")
					first, _, _ := strings.Cut(name, "/")
					switch {
					case ours && !seen[own]:
						visit(own)
					case !ours && strings.Contains(first, ".") && !within(name, "golang.org/x/sync"):
						problems = append(problems, fmt.Sprintf("%s: links %s through %s", folder, name, at))
					}
				}
			}
		}
		visit(folder)
	}
	return problems
}
