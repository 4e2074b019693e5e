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
func (*sharePublishCommand) run(ctx context.Context, a *assistant) error {
	config, err := a.configuration()
	if err != nil {
		return err
	}
	options := &fsshare.LockOptions{Purpose: "publish the assistant's configuration"}
	return fsshare.Hold(ctx, a.stores.Files, configLock, options, func(ctx context.Context, lock fsshare.Lock) error {
		name := fmt.Sprintf("config/%d.json", lock.Token())
		if _, err := a.stores.Files.WriteFile(ctx, name, bytes.NewReader(config), &fsshare.WriteOptions{Under: lock}); err != nil {
			return err
		}
		if err := lock.Commit(ctx, []byte(name)); err != nil {
			return err
		}
		a.changed = true
		a.printf("published %s under lock %s, token %d\n", name, configLock, lock.Token())
		return nil
	})
}

type shareShowCommand struct{}

func (*shareShowCommand) run(ctx context.Context, a *assistant) error {
	status, err := a.stores.Files.Inspect(ctx, configLock)
	if err != nil {
		return err
	}
	if status.Data == nil {
		return errors.New("no configuration was published yet: share publish")
	}
	config, err := fs.ReadFile(a.stores.Files.FS(ctx), string(status.Data))
	if err != nil {
		return err
	}
	a.printf("%s, token %d, held: %t\n%s\n", status.Data, status.Token, status.Held, strings.TrimSpace(string(config)))
	return nil
}
