// Package ours makes the services that the kit's own tests keep their sessions and
// artifacts in.
// It is built twice: here, and as a copy in the module of the kit, whose tests import
// it. So it imports nothing internal.
package ours

import (
	"fmt"
	"os"

	"google.golang.org/adk/v2/artifact"
	"google.golang.org/adk/v2/session"

	"github.com/genaistore/genaistore/adapters/adk"
)

// What the environment of a test binary says.
const (
	// EnvStore names the store, as [Open] takes it. Empty means the kit's own service.
	EnvStore = "GENAISTORE_KIT_STORE"
	// EnvCalls names a file. Each service that is made adds a line: the folder of the
	// test that made it.
	EnvCalls = "GENAISTORE_KIT_CALLS"
)

// Makers return functions that make services without sessions, and without artifacts,
// or nil where the environment names no store.
func Makers() (sessions func() session.Service, files func() artifact.Service, err error) {
	name := os.Getenv(EnvStore)
	if name == "" {
		return nil, nil, nil // the kit then makes its own
	}
	folder, err := os.Getwd()
	if err != nil {
		return nil, nil, err
	}
	open, err := Open(name)
	if err != nil {
		return nil, nil, err
	}
	openArtifacts, err := OpenArtifacts(name)
	if err != nil {
		return nil, nil, err
	}
	calls, err := os.OpenFile(os.Getenv(EnvCalls), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, nil, err
	}
	// A line that is missing is found by who counts them.
	made := func() { _, _ = fmt.Fprintln(calls, folder) }
	sessions = func() session.Service {
		made()
		store, tenant := open()
		return adk.NewSessions(store, &adk.SessionOptions{Tenant: tenant})
	}
	files = func() artifact.Service {
		made()
		store, tenant := openArtifacts()
		return adk.NewArtifacts(store, &adk.ArtifactOptions{Tenant: tenant})
	}
	return sessions, files, nil
}
