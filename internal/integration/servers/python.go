package servers

import (
	"context"
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The programs in Python that tests run beside the servers, installed as these are.
const (
	NameCFNLint Name = "cfn-lint"
	NamePeers   Name = "LangChain and LangGraph"
)

//go:embed recipes/cfnlint.txt
var cfnLintRequirements []byte

//go:embed recipes/peers.txt
var peerRequirements []byte

// cfnLint checks templates of CloudFormation by AWS's own specifications, which it carries.
func cfnLint() *server {
	return pythonPackages(NameCFNLint, "1.58.0", "cfn-lint-1.58.0", cfnLintRequirements)
}

// peers are what others keep conversations in on DynamoDB.
func peers() *server {
	return pythonPackages(NamePeers, "0.4.2 and 1.2.6", "peers", peerRequirements)
}

func programs() []*server { return []*server{cfnLint(), peers()} }

// pythonPackages is what pins list, each with its checksum; nothing is built from source.
func pythonPackages(name Name, version, folder string, pins []byte) *server {
	return &server{
		name: name, version: version, folder: folder,
		builds: []tool{toolPip}, runs: []tool{toolPython},
		recipe: [][]byte{pins},
		install: func(ctx context.Context, dir string) error {
			path := filepath.Join(dir, "requirements.txt")
			if err := os.WriteFile(path, pins, 0o644); err != nil {
				return err
			}
			return pip(ctx, dir, "install", "--quiet", "--disable-pip-version-check", "--no-input",
				"--require-hashes", "--only-binary", ":all:", "--target", filepath.Join(dir, "site"), "-r", path)
		},
	}
}

// pythonEnv has Python find the packages of an installation and no others.
func pythonEnv(installed string) []string {
	return []string{
		"PYTHONPATH=" + filepath.Join(installed, "site"), "PYTHONNOUSERSITE=1",
		"PYTHONDONTWRITEBYTECODE=1", "PYTHONWARNINGS=ignore",
	}
}

// Python returns a command that runs Python with the packages of NameCFNLint or
// NamePeers, and without our environment. The test is skipped, and counted, where they
// are missing.
func Python(t testing.TB, name Name, args ...string) *exec.Cmd {
	t.Helper()
	f, s := fleetOf(t), byName(name)
	if why := missing(t.Context(), s.runs); why != "" {
		f.report.missing(t, name, why)
	}
	if !f.cache.has(s) {
		f.report.missing(t, name, f.whyAbsent(t.Context(), s))
	}
	f.report.track(t, name)
	cmd := exec.CommandContext(t.Context(), "python3", args...)
	cmd.Env = append(pythonEnv(f.cache.folder(s)), "PATH="+os.Getenv("PATH"), "HOME="+t.TempDir())
	cmd.WaitDelay = 10 * time.Second
	return cmd
}
