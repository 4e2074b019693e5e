package style_test

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

func moduleRules() []rule {
	return []rule{{
		name:  "the root module stands alone",
		check: modules,
		bad: map[string]string{
			"go.mod":              "module " + module + "\n\nrequire " + module + "/adapters/adk v0.1.0\n\nreplace golang.org/x/sync => ./sync\n\ntool golang.org/x/tools/cmd/stringer\n",
			"adapters/adk/go.mod": "module " + module + "/adapters/adk\n\nrequire " + module + " v0.0.0\n",
		},
		want: []string{"adapters/adk/go.mod: it requires the root", "go.mod: it requires a nested", "go.mod: it replaces", "go.mod: it has a tool"},
		good: map[string]string{
			"go.mod":                "module " + module + "\n\nrequire golang.org/x/sync v0.24.0\n",
			"adapters/adk/go.mod":   "module " + module + "/adapters/adk\n\nrequire " + module + " v0.0.0\n\nreplace " + module + " => ../..\n",
			"internal/tools/go.mod": "module " + module + "/internal/tools\n\ntool golang.org/x/tools/cmd/stringer\n",
		},
	}, {
		name:  "docs/DESIGN.md has a reason for each folder",
		check: folderReasons,
		bad: map[string]string{
			"docs/DESIGN.md":           "* `memory` is the contract.\n",
			"memory/a.go":              "package memory",
			"memory/dynamomemory/a.go": "package dynamomemory",
			"internal/hlc/a.go":        "package hlc",
			"internal/hlc/text/a.go":   "package text",
		},
		want: []string{"internal/hlc: ", "memory/dynamomemory: "},
		good: map[string]string{
			"docs/DESIGN.md":         "* `memory` is the contract.\n* `examples` shows.",
			"memory/a.go":            "package memory",
			"memory/memorytest/a.go": "package memorytest",
			"genaistore.go":          "package genaistore",
			"examples/hello/a.go":    "package main",
			"examples/hello/x.txt":   "",
		},
	}}
}

func modules(repo repository) []string {
	var problems []string
	report := func(name, what string) { problems = append(problems, name+": it "+what) }
	has := func(text, pattern string) bool { return regexp.MustCompile(`(?m)` + pattern).MatchString(text) }
	for _, name := range slices.Sorted(maps.Keys(repo.texts)) {
		text := repo.texts[name]
		switch {
		case path.Base(name) != "go.mod":
		case name == "go.mod":
			if has(text, `^(require)?\s+`+module+`/`) {
				report(name, "requires a nested module: the arrow points to the root")
			}
			if has(text, `^replace\b`) {
				report(name, "replaces a module, which nobody who imports it would see")
			}
			if has(text, `^tool\b`) {
				report(name, "has a tool: pin it in internal/tools/go.mod")
			}
		case has(text, `^(require)?\s+`+module+` v`) && !has(text, `^(replace)?\s+`+module+` => (\.\./?)+$`) && !has(text, `^replace `+module+` => (\.\./?)+$`):
			report(name, "requires the root but does not replace it with its folder")
		}
	}
	return problems
}

// folderReasons wants the path of each package in docs/DESIGN.md, down to the
// second folder; suites, examples and adapters explain themselves.
func folderReasons(repo repository) []string {
	wanted := map[string]bool{}
	for _, src := range repo.sources {
		if parts := strings.Split(src.folder(), "/"); parts[0] == "examples" || parts[0] == "adapters" {
			wanted[parts[0]] = true
		} else if parts[0] != "." && !isSuite(src.folder()) {
			wanted[strings.Join(parts[:min(2, len(parts))], "/")] = true
		}
	}
	var problems []string
	for _, folder := range slices.Sorted(maps.Keys(wanted)) {
		if !strings.Contains(repo.texts["docs/DESIGN.md"], "`"+folder+"`") {
			problems = append(problems, fmt.Sprintf("%s: docs/DESIGN.md does not say why it is not part of a neighbour", folder))
		}
	}
	return problems
}
