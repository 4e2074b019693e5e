package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/genaistore/genaistore/artifacts"
)

type checkpointHistoryCommand struct{}

// run shows the log of the checkpoints: who moved production, when and why.
func (*checkpointHistoryCommand) run(ctx context.Context, a *assistant) error {
	found := false
	for r, err := range a.stores.Artifacts.History(ctx, a.checkpoint(), nil) {
		if err != nil {
			return err
		}
		found = true
		a.printf("%d  %s  %s\n", r.Seq, r.Time.Format(time.DateTime), describe(r))
	}
	if !found {
		a.printf("no checkpoints yet: publish one\n")
	}
	return nil
}

func describe(r artifacts.Record) string {
	var said []string
	if r.Publish != 0 {
		said = append(said, fmt.Sprintf("version %d published", r.Publish))
	}
	for _, m := range r.Moved {
		said = append(said, fmt.Sprintf("%s from %d to %d", m.Alias, m.From, m.To))
	}
	for _, change := range r.Changes {
		switch c := change.(type) {
		case artifacts.SetAlias:
			said = append(said, c.Reason)
		case artifacts.Rollback:
			said = append(said, "rolled back: "+c.Reason)
		case artifacts.Delete:
			said = append(said, fmt.Sprintf("version %d deleted", c.Version))
		}
	}
	if len(said) == 0 {
		return "housekeeping"
	}
	return strings.Join(said, ", ")
}

type checkpointLoadCommand struct {
	Version int64 `arg:"" optional:"" help:"The version; production if none is given."`
}

// run makes the index here what a checkpoint is, such as on a machine that never
// ingested anything. It moves no alias.
func (c *checkpointLoadCommand) run(ctx context.Context, a *assistant) error {
	ref := artifacts.Ref{Name: a.checkpoint(), Number: c.Version}
	if c.Version == 0 {
		ref.Alias = production
	}
	v, err := a.stores.Artifacts.Resolve(ctx, ref)
	if errors.Is(err, artifacts.ErrNotFound) {
		return fmt.Errorf("there is no checkpoint %s: %w", ref, err)
	}
	if err != nil {
		return err
	}
	count, err := a.restore(ctx, v.ID)
	if err != nil {
		return err
	}
	a.printf("the index is version %d, with %d passages\n", v.ID.Number, count)
	a.changed = true
	return nil
}
