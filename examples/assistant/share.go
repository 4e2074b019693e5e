package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/genaistore/genaistore/fsshare"
)

type shareCommand struct {
	Publish sharePublishCommand `cmd:"" help:"Publish the configuration under a lock."`
	Show    shareShowCommand    `cmd:"" help:"Show the configuration and who published it."`
}

// configLock orders the publishers of the configuration. Its data is the name of
// the file that is current.
const configLock = "assistant/config"

type sharePublishCommand struct{}

// run writes the file under a name that no other holder of the lock uses, then
// moves the pointer through the lock. A reader finds the old configuration until
// the last step; a publisher that lost its lock leaves a file that nobody reads.
func (c *sharePublishCommand) run(ctx context.Context, a *assistant) (changed bool, err error) {
	config, err := a.configuration()
	if err != nil {
		return false, err
	}
	lock, err := a.stores.Files.Lock(ctx, configLock, &fsshare.LockOptions{Purpose: "publish the assistant's configuration"})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	name := fmt.Sprintf("config/%d.json", lock.Token())
	if _, err := a.stores.Files.WriteFile(lock.Context(), name, bytes.NewReader(config), &fsshare.WriteOptions{Under: lock}); err != nil {
		return false, err
	}
	if err := lock.Commit(lock.Context(), []byte(name)); err != nil {
		return false, err
	}
	a.printf("published %s under lock %s, token %d\n", name, configLock, lock.Token())
	return true, nil
}

type shareShowCommand struct{}

func (c *shareShowCommand) run(ctx context.Context, a *assistant) (bool, error) {
	status, err := a.stores.Files.Inspect(ctx, configLock)
	if err != nil {
		return false, err
	}
	if status.Data == nil {
		return false, errors.New("no configuration was published yet: share publish")
	}
	config, err := fs.ReadFile(a.stores.Files.FS(ctx), string(status.Data))
	if err != nil {
		return false, err
	}
	a.printf("%s, token %d, held: %t\n%s\n", status.Data, status.Token, status.Held, strings.TrimSpace(string(config)))
	return false, nil
}
