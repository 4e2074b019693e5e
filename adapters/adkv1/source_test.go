package adkv1_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the sources anew from those of package adk")

// The two major versions of the kit differ in their types, not in what they ask of a
// service. So there is one source, ../adk, and this is it with other names.
func TestTheSourceIsThatOfPackageAdk(t *testing.T) {
	names := strings.NewReplacer(
		"google.golang.org/adk/v2", "google.golang.org/adk",
		"genaistore/adapters/adk", "genaistore/adapters/adkv1",
		"package adk\n", "package adkv1\n", "package adk_test\n", "package adkv1_test\n", "Package adk ", "Package adkv1 ",
		"adk.NewSessions", "adkv1.NewSessions", "adk.SessionOptions", "adkv1.SessionOptions",
		"adk.NewArtifacts", "adkv1.NewArtifacts", "adk.ArtifactOptions", "adkv1.ArtifactOptions", "adk.ArtifactKind", "adkv1.ArtifactKind",
		"Go (google.golang.org/adk/v2) in a memory.Store, and their artifacts in an\n// artifacts.Store.", "Go, version 1 (google.golang.org/adk), in a memory.Store, and their artifacts in an\n// artifacts.Store.",
		"It has the name of its folder, so that an import needs no alias; no package of the\n// kit itself is called adk.\n",
		"It is package adk for the other major version of the kit. Each reads what the\n// other has written, but for what version 1 has no field for.\n",
		"session.NewEvent(", "session.NewEventWithContext(", "CreateTime: v.Created", "CreateTime: float64(v.Created.Unix())",
	)
	for _, name := range []string{
		"artifacts.go", "event.go", "live.go", "sessions.go", "state.go", "artifacts_test.go", "fill_test.go", "sessions_test.go", "example_test.go",
	} {
		source, err := os.ReadFile(filepath.Join("..", "adk", name))
		require.NoError(t, err)
		want := "// Code generated from ../adk/" + name + " by go test -update; DO NOT EDIT.\n\n" + names.Replace(string(source))
		if *update {
			require.NoError(t, os.WriteFile(name, []byte(want), 0o644))
		}
		got, err := os.ReadFile(name)
		require.NoError(t, err, "go test -run %s -update writes it", t.Name())
		require.Equal(t, want, string(got), "%s: go test -run %s -update writes it", name, t.Name())
	}
}
