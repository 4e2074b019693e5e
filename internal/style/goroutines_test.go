package style_test

import (
	"fmt"
	"go/ast"
	"strings"
)

// owners may start goroutines that outlive the call that started them, with the
// reason. A folder stands for all below it.
var owners = map[string]string{
	"internal/daxtest":         "a test server",
	"internal/nfstest":         "a test server, and the process that is the guest's first",
	"fsshare/efsshare/hold.go": "looks after a held lock, until Unlock or its loss",
	"fsshare/efsshare/pool.go": "keeps callers from a mount that hangs",
	"internal/lambdatest":      "waits for the end of the program that it started",
	"memory/dax":               "keeps callers from a client that ignores their contexts",
	"internal/integration":     "starts servers and waits for their output",
}

func goroutineRules() []rule {
	return []rule{{
		name:  "goroutines have an owner and a bound",
		check: goroutines,
		bad: map[string]string{
			"memory/a.go": `package memory
				func f() { go func() {}() }`,
			"memory/b.go": `package memory
				import "golang.org/x/sync/errgroup"
				func limited() { var g errgroup.Group; g.SetLimit(4) }
				func f() { g, ctx := errgroup.WithContext(ctx); g.Go(h) }`,
			"memory/c.go": `package memory
				import "sync"
				func f() { var wg sync.WaitGroup; for range n { wg.Go(h) } }`,
			"memory/gone/d.go": `package gone
				import eg "golang.org/x/sync/errgroup"
				type pool struct { g eg.Group }
				func (p *pool) f() { p.g.Go(h) }`,
		},
		want: []string{"a.go:2: go statement", "b.go:4: errgroup without SetLimit", "c.go:3: WaitGroup.Go", "d.go:4: errgroup without SetLimit"},
		good: map[string]string{
			"memory/a_test.go":        "package memory\nfunc f() { go func() {}() }",
			"memory/memorytest/a.go":  "package memorytest\nfunc f() { go func() {}() }",
			"internal/nfstest/x/a.go": "package x\nfunc f() { go func() {}() }",
			"memory/b.go": `package memory
				import "golang.org/x/sync/errgroup"
				func f() { g, ctx := errgroup.WithContext(ctx); g.SetLimit(4); g.Go(h) }`,
			"memory/c.go": `package memory
				import "sync"
				func f() { var wg sync.WaitGroup; wg.Go(h) }
				func g() {
					var wg sync.WaitGroup
					// Bound: one for each of the four stores.
					for range stores { wg.Go(h) }
				}`,
		},
	}, {
		name:  "tests sleep only under synctest",
		check: sleeps,
		bad: map[string]string{
			"memory/a_test.go":       "package memory\nimport \"time\"\nfunc f() {\n time.Sleep(1)\n}",
			"memory/memorytest/a.go": "package memorytest\nimport \"time\"\nfunc f() { time.Sleep(1) }",
		},
		want: []string{"a_test.go:4: time.Sleep", "a.go:3: time.Sleep"},
		good: map[string]string{
			"memory/a_test.go": "package memory\nimport (\n\"time\"\n\"testing/synctest\"\n)\nfunc f() { synctest.Test(t, func(*testing.T) { time.Sleep(1) }) }",
		},
	}}
}

func goroutines(repo repository) []string {
	var problems []string
	for _, src := range repo.sources {
		if src.isTest() || hasOwner(src.path) {
			continue
		}
		for _, decl := range src.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Body != nil {
				problems = append(problems, unowned(src, fn)...)
			}
		}
	}
	return problems
}

func hasOwner(name string) bool {
	for owner := range owners {
		if within(name, owner) {
			return true
		}
	}
	return false
}

// unowned says which statements of fn start goroutines without an owner or bound.
// It sees no types: in a file that imports errgroup every x.Go starts one of a
// group, else, if it imports sync, one of a WaitGroup.
func unowned(src source, fn *ast.FuncDecl) []string {
	errgroup, sync := src.in("golang.org/x/sync/errgroup") != "", src.in("sync") != ""
	limited := calls(fn, "SetLimit")
	var problems []string
	loops := 0
	var visit func(ast.Node) bool
	visit = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			problems = append(problems, fmt.Sprintf("%s:%d: go statement: use an errgroup with a limit", src.path, src.line(n)))
		case *ast.ForStmt, *ast.RangeStmt:
			loops++
			ast.Inspect(loopBody(n), visit)
			loops--
			return false
		case *ast.CallExpr:
			sel, ok := n.Fun.(*ast.SelectorExpr)
			switch {
			case !ok || sel.Sel.Name != "Go":
			case errgroup && !limited:
				problems = append(problems, fmt.Sprintf("%s:%d: errgroup without SetLimit in %s", src.path, src.line(n), fn.Name))
			case !errgroup && sync && loops > 0 && !hasBound(src, fn):
				problems = append(problems, fmt.Sprintf("%s:%d: WaitGroup.Go in a loop: write \"// Bound: …\" above it, or use an errgroup with a limit", src.path, src.line(n)))
			}
		}
		return true
	}
	ast.Inspect(fn.Body, visit)
	return problems
}

func loopBody(loop ast.Node) *ast.BlockStmt {
	if loop, ok := loop.(*ast.ForStmt); ok {
		return loop.Body
	}
	return loop.(*ast.RangeStmt).Body
}

func calls(fn *ast.FuncDecl, method string) bool {
	found := false
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		found = found || ok && sel.Sel.Name == method
		return !found
	})
	return found
}

func hasBound(src source, fn *ast.FuncDecl) bool {
	for _, group := range src.Comments {
		if fn.Pos() < group.Pos() && group.End() < fn.End() && strings.Contains(group.Text(), "Bound: ") {
			return true
		}
	}
	return false
}

func sleeps(repo repository) []string {
	var problems []string
	for _, src := range repo.sources {
		if !src.isTest() || src.in("testing/synctest") != "" {
			continue
		}
		ast.Inspect(src.File, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Sleep" {
				if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == src.in("time") {
					problems = append(problems, fmt.Sprintf("%s:%d: time.Sleep: test under testing/synctest, or wait for what is expected", src.path, src.line(n)))
				}
			}
			return true
		})
	}
	return problems
}
