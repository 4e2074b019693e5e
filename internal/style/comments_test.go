package style_test

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strings"
)

func commentRules() []rule {
	return []rule{{
		name:  "comments say what the code does not",
		check: restatements,
		bad: map[string]string{
			"memory/a.go": "package memory\nfunc f() {\n\t// Create the new session.\n\tsession := newSession()\n\n\t// Return the result.\n\treturn result(session)\n}",
		},
		want: []string{"a.go:3: comment restates the code: Create the new session.", "a.go:6: comment restates"},
		good: map[string]string{
			"memory/a.go": "package memory\n\n// New session.\ntype newSession struct{}\n\n// f returns f.\nfunc f() {\n\t// DynamoDB charges for it even when the condition fails.\n\tsession := newSession()\n}",
		},
	}}
}

var word = regexp.MustCompile(`[a-z]{3,}`)

// filler is words that a comment can always add without saying more.
var filler = strings.Fields("and are check create define first for from get handle initialize into iterate loop new next now our over parse perform process return set that the then this with")

// restatements finds comments inside functions whose every word stands in the
// line below.
func restatements(repo repository) []string {
	var problems []string
	for _, src := range repo.sources {
		lines := strings.Split(strings.ToLower(src.text), "\n")
		for _, group := range src.Comments {
			next := src.fset.Position(group.End()).Line // counts from 1: the line after the comment
			if len(group.List) > 1 || next >= len(lines) || !inFunction(src, group) {
				continue
			}
			said := slices.DeleteFunc(word.FindAllString(strings.ToLower(group.Text()), -1), func(w string) bool {
				return slices.Contains(filler, w)
			})
			novel := slices.ContainsFunc(said, func(w string) bool { return !strings.Contains(lines[next], w[:3]) })
			if !novel && len(said) > 0 {
				problems = append(problems, fmt.Sprintf("%s:%d: comment restates the code: %s", src.path, src.line(group), strings.TrimSpace(group.Text())))
			}
		}
	}
	return problems
}

func inFunction(src source, group *ast.CommentGroup) bool {
	return slices.ContainsFunc(src.Decls, func(decl ast.Decl) bool {
		fn, ok := decl.(*ast.FuncDecl)
		return ok && fn.Body != nil && fn.Body.Pos() < group.Pos() && group.End() < fn.Body.End()
	})
}
