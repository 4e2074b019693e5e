package servers

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

//go:embed recipes/moto.txt
var motoRequirements []byte

// Moto serves most of AWS without its limits. It is the only stand-in here for the
// control plane of EFS and for Step Functions, and a second opinion elsewhere.
func moto() *server {
	s := pythonPackages(NameMoto, "5.2.5", "moto-5.2.5", motoRequirements)
	s.command = func(p place) command {
		return command{
			path: "python3",
			args: []string{"-m", "moto.server", "-H", "127.0.0.1", "-p", strconv.Itoa(p.port)},
			env:  pythonEnv(p.installed),
		}
	}
	s.ready = func(ctx context.Context, client *http.Client, base string) error {
		if err := answers("GET", "/moto-api/data.json", 200)(ctx, client, base); err != nil {
			return err
		}
		return motoConfigure(ctx, client, base)
	}
	s.gaps = motoGaps()
	return s
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
