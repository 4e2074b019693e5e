package servers

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
)

// MinIO is the last public commit before its repository was archived. It is AGPL
// code, so nothing here imports it: it is built and run as a separate program. The
// build takes five minutes of CPU, so it is only made when GENAISTORE_MINIO=1.
func minIO() *server {
	const module, version = "github.com/minio/minio", "v0.0.0-20260212201848-7aac2a2c5b7c"
	const sum = "h1:/qdoYujxF5MBLDMVLeiYJ/7fBa1HikX39Dvzb9Ji8pA="
	return &server{
		name: NameMinIO, version: "2026-02-12", folder: "minio-" + version,
		builds: []tool{toolGo}, asked: true,
		recipe: [][]byte{[]byte(sum)},
		install: func(ctx context.Context, dir string) error {
			if err := verifyModule(ctx, dir, module+"@"+version, sum); err != nil {
				return err
			}
			src := filepath.Join(dir, "build")
			if err := os.Mkdir(src, 0o755); err != nil {
				return err
			}
			mod := "module build\n\ngo 1.26\n\nrequire " + module + " " + version + "\n"
			if err := os.WriteFile(filepath.Join(src, "go.mod"), []byte(mod), 0o644); err != nil {
				return err
			}
			return runEnv(ctx, src, []string{"GOFLAGS=-mod=mod", "CGO_ENABLED=0"},
				"go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "minio"), module)
		},
		command: func(p place) command {
			return command{
				path: filepath.Join(p.installed, "minio"),
				args: []string{"server", "--address", "127.0.0.1:" + strconv.Itoa(p.port), filepath.Join(p.data, "objects")},
				env: []string{
					"MINIO_ROOT_USER=" + accessKey, "MINIO_ROOT_PASSWORD=" + secretKey,
					"MINIO_BROWSER=off", "MINIO_UPDATE=off", "MINIO_CALLHOME_ENABLE=off",
				},
				folders: []string{"objects"},
			}
		},
		ready: answers("GET", "/minio/health/ready", 200),
		gaps:  minIOGaps(),
	}
}
