package main

import (
	"context"
	"fmt"

	"github.com/genaistore/genaistore/memory"
)

type historyCommand struct {
	Last int `default:"20" help:"How many of the newest messages to show; 0 means all."`
}

func (c *historyCommand) run(ctx context.Context, a *assistant) (bool, error) {
	if c.Last < 0 {
		return false, fmt.Errorf("%w: --last=%d: 0 means all", errUsage, c.Last)
	}
	var newest []memory.Record
	for r, err := range a.stores.Memory.Records(ctx, a.key, &memory.RangeOptions{Backward: true, Limit: c.Last, Notes: true}) {
		if err != nil {
			return false, err
		}
		newest = append(newest, r)
	}
	if len(newest) == 0 {
		return false, fmt.Errorf("session %s of %s has no history: ask something first, or choose another --session", a.key.Session, a.key.User)
	}
	for i := len(newest) - 1; i >= 0; i-- {
		for _, m := range newest[i].Messages {
			a.printf("%s: %s%s\n", m.Role, textOf(m), noteText(newest[i].Notes))
		}
	}
	return false, nil
}

func noteText(n memory.Notes) string {
	if n.Intent == "" || n.Sentiment == nil {
		return ""
	}
	return fmt.Sprintf("  {%s, sentiment %+.1f}", n.Intent, *n.Sentiment)
}

type sessionsCommand struct{}

func (c *sessionsCommand) run(ctx context.Context, a *assistant) (bool, error) {
	found := 0
	for m, err := range a.stores.Memory.Find(ctx, memory.Query{Tenant: a.key.Tenant, App: a.key.App, User: a.key.User}) {
		if err != nil {
			return false, err
		}
		records := 0
		for _, err := range a.stores.Memory.Records(ctx, m.Key, nil) {
			if err != nil {
				return false, err
			}
			records++
		}
		a.printf("%s: %d records\n", m.Key.Session, records)
		found++
	}
	if found == 0 {
		a.printf("%s has no conversations yet\n", a.key.User)
	}
	return false, nil
}

type forgetCommand struct {
	Yes bool `help:"Really erase."`
}

func (c *forgetCommand) run(ctx context.Context, a *assistant) (bool, error) {
	if !c.Yes {
		return false, fmt.Errorf("%w: forget erases every conversation of %s: say --yes", errUsage, a.key.User)
	}
	done, err := memory.Forget(ctx, a.stores.Memory, a.key.Owner())
	if err != nil {
		return false, err
	}
	a.printf("%d conversations of %s erased\n", done.Sessions, a.key.User)
	return true, nil
}
