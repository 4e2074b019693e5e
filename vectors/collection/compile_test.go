package collection_test

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a service would refuse is refused by the compiler.
func TestFiltersThatCannotBeAskedForDoNotCompile(t *testing.T) {
	const before = `package p
		import "github.com/genaistore/genaistore/vectors/collection"
		type doc struct {
			Year int
			Lang string
			Live bool
			Tags []string
		}
		var year, _ = collection.OrderedOf(func(d *doc) *int { return &d.Year })
		var lang, _ = collection.TextOf(func(d *doc) *string { return &d.Lang })
		var live, _ = collection.FieldOf(func(d *doc) *bool { return &d.Live })
		var tags, _ = collection.ListOf(func(d *doc) *[]string { return &d.Tags })
		`
	fset := token.NewFileSet()
	from := importer.ForCompiler(fset, "source", nil)
	check := func(line string) error {
		file, err := parser.ParseFile(fset, "p.go", before+line, 0)
		require.NoError(t, err)
		_, err = (&types.Config{Importer: from}).Check("p", fset, []*ast.File{file}, nil)
		return err
	}
	for _, good := range []string{"year.AtLeast(2020)", `lang.StartsWith("d")`, `lang.In("de", "en")`, "live.Equal(true)", `tags.Equal("x")`} {
		require.NoError(t, check("var _ = "+good), good)
	}
	for _, bad := range []string{
		`lang.AtLeast("de")`, `year.AtLeast("2020")`, `year.Equal("2020")`, `year.StartsWith("2")`, "live.Less(true)", "live.Equal(1)",
		"tags.AtLeast(1)", "tags.Equal(1)", "lang.Equal(nil)",
	} {
		require.Error(t, check("var _ = "+bad), bad)
	}
	require.Error(t, check("var _, _ = collection.OrderedOf(func(d *doc) *string { return &d.Lang })"), "an order of strings")
}
