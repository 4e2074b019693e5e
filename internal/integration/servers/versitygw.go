package servers

import (
	"context"
	"maps"
	"path/filepath"
	"strconv"
)

// Versitygw is an S3 gateway on a directory. It checks what S3 checks (signatures,
// checksums, conditions), so it is the gate of what we do on S3.
func versitygw() *server {
	const module, version = "github.com/versity/versitygw", "v1.8.0"
	const sum = "h1:au+wI+aybno/STsQiSm35Uu6Q6iK5MWReQxgO6SEMFc="
	return &server{
		name: NameVersitygw, version: version, folder: "versitygw-" + version,
		builds: []tool{toolGo},
		recipe: [][]byte{[]byte(sum)},
		install: func(ctx context.Context, dir string) error {
			if err := verifyModule(ctx, dir, module+"@"+version, sum); err != nil {
				return err
			}
			return runEnv(ctx, dir, []string{"GOBIN=" + dir, "GOFLAGS=-trimpath", "CGO_ENABLED=0"},
				"go", "install", module+"/cmd/versitygw@"+version)
		},
		command: func(p place) command { return versitygwCommand(p) },
		ready:   answers("GET", "/", 403), // no signature
		gaps:    versitygwGaps(),
	}
}

// The same server over TLS, where the SDK sends checksums in trailers.
func versitygwTLS() *server {
	s := versitygw()
	s.name, s.tls = NameVersitygwTLS, true
	s.command = func(p place) command { return versitygwCommand(p, "--cert", p.cert, "--key", p.key) }
	s.gaps = maps.Clone(s.gaps)
	return s
}

func versitygwCommand(p place, flags ...string) command {
	// The two folders must be absolute, and both exist.
	args := append([]string{"--quiet", "--port", "127.0.0.1:" + strconv.Itoa(p.port)}, flags...)
	return command{
		path:    filepath.Join(p.installed, "versitygw"),
		args:    append(args, "posix", "--versioning-dir", filepath.Join(p.data, "versions"), filepath.Join(p.data, "objects")),
		env:     []string{"ROOT_ACCESS_KEY=" + accessKey, "ROOT_SECRET_KEY=" + secretKey},
		folders: []string{"versions", "objects"},
	}
}
