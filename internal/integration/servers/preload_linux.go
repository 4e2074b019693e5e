package servers

import (
	"context"
	_ "embed"
	"os"
	"path/filepath"
)

//go:embed recipes/loopback.c
var shimSource []byte

const shimFile = "loopback.so"

// loopbackShim is what keeps a program to 127.0.0.1 that would bind every interface.
// It is not a server, but is made and kept like one.
func loopbackShim() *server {
	return &server{
		folder: "loopback", builds: []tool{toolCC}, recipe: [][]byte{shimSource},
		install: func(ctx context.Context, dir string) error {
			source := filepath.Join(dir, "loopback.c")
			if err := os.WriteFile(source, shimSource, 0o644); err != nil {
				return err
			}
			return run(ctx, dir, "cc", "-shared", "-fPIC", "-O2", "-o", filepath.Join(dir, shimFile), source, "-ldl")
		},
	}
}
