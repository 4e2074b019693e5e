package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/genaistore/genaistore/memory"
)

type historyCommand struct {
	Last int `default:"20" help:"How many of the newest messages to show; 0 means all."`
}

func (c *historyCommand) run(ctx context.Context, a *assistant) error {
	if c.Last < 0 {
		return fmt.Errorf("%w: --last=%d: 0 means all", errUsage, c.Last)
	}
	var newest []memory.Record
	for r, err := range a.stores.Memory.Records(ctx, a.key, &memory.RangeOptions{Backward: true, Limit: c.Last, Notes: true}) {
		if err != nil {
			return err
		}
		newest = append(newest, r)
	}
	if len(newest) == 0 {
		return fmt.Errorf("session %s of %s has no history: ask something first, or choose another --session", a.key.Session, a.key.User)
	}
	for _, r := range slices.Backward(newest) {
		for _, m := range r.Messages {
			a.printf("%s: %s%s\n", m.Role, textOf(m), noteText(r.Notes))
		}
	}
	return nil
}

func noteText(n memory.Notes) string {
	switch {
	case n.Intent == "":
		return ""
	case n.Sentiment == nil:
		return fmt.Sprintf("  {%s, in %s}", n.Intent, n.Language)
	}
	return fmt.Sprintf("  {%s, sentiment %+.1f}", n.Intent, *n.Sentiment)
}

type sessionsCommand struct{}

func (*sessionsCommand) run(ctx context.Context, a *assistant) error {
	found := 0
	for m, err := range a.stores.Memory.Find(ctx, memory.Query{Tenant: a.key.Tenant, App: a.key.App, User: a.key.User}) {
		if err != nil {
			return err
		}
		records := 0
		for _, err := range a.stores.Memory.Records(ctx, m.Key, nil) {
			if err != nil {
				return err
			}
			records++
		}
		a.printf("%s: %d records\n", m.Key.Session, records)
		found++
	}
	if found == 0 {
		a.printf("%s has no conversations yet\n", a.key.User)
	}
	return nil
}

type forgetCommand struct {
	Yes bool `help:"Really erase."`
}

func (c *forgetCommand) run(ctx context.Context, a *assistant) error {
	if !c.Yes {
		return fmt.Errorf("%w: forget erases every conversation of %s: say --yes", errUsage, a.key.User)
	}
	done, err := memory.Forget(ctx, a.stores.Memory, a.key.Owner())
	if err != nil {
		return err
	}
	a.printf("%d conversations of %s erased\n", done.Sessions, a.key.User)
	a.changed = true
	return nil
}
