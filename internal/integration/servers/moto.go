package servers

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed recipes/moto.txt
var motoRequirements []byte

// Moto serves most of AWS without its limits. It is the only stand-in here for the
// control plane of EFS and for Step Functions, and a second opinion elsewhere.
func moto() *server {
	return &server{
		name: NameMoto, version: "5.2.5", folder: "moto-5.2.5",
		builds: []tool{toolPip}, runs: []tool{toolPython},
		recipe: [][]byte{motoRequirements},
		install: func(ctx context.Context, dir string) error {
			pins := filepath.Join(dir, "moto.txt")
			if err := os.WriteFile(pins, motoRequirements, 0o644); err != nil {
				return err
			}
			return pip(ctx, dir, "install", "--quiet", "--disable-pip-version-check", "--no-input",
				"--require-hashes", "--only-binary", ":all:", "--target", filepath.Join(dir, "site"), "-r", pins)
		},
		command: func(p place) command {
			return command{
				path: "python3",
				args: []string{"-m", "moto.server", "-H", "127.0.0.1", "-p", strconv.Itoa(p.port)},
				env:  []string{"PYTHONPATH=" + filepath.Join(p.installed, "site"), "PYTHONNOUSERSITE=1"},
			}
		},
		ready: func(ctx context.Context, client *http.Client, base string) error {
			if err := answers("GET", "/moto-api/data.json", 200)(ctx, client, base); err != nil {
				return err
			}
			return motoConfigure(ctx, client, base)
		},
		gaps: motoGaps(),
	}
}

// motoConfigure has moto run state machines, which it only stores otherwise.
func motoConfigure(ctx context.Context, client *http.Client, base string) error {
	const settings = `{"stepfunctions": {"execute_state_machine": true}}`
	url := base + "/moto-api/config"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(settings))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("POST %s: %s", url, resp.Status)
	}
	return nil
}
