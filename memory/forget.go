package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// An Erasure says what a [Forget] did.
type Erasure struct {
	Sessions  int // erased
	StateKeys int // removed from the user's state
}

// Forget erases a user: every session, then the user's state. It may be run
// again after an error, and once more to prove that nothing is left: it then
// reports zeros. A key that names no user or names a session is ErrInvalid.
// Sessions that are created while it runs may stay; stop the user's writers first.
func Forget(ctx context.Context, store Store, user Key) (Erasure, error) {
	var done Erasure
	if user.User == "" || user.Session != "" {
		return done, fmt.Errorf("forget %s: %w: the key of a user has a User and no Session", user, ErrInvalid)
	}
	for match, err := range store.Find(ctx, Query{Tenant: user.Tenant, App: user.App, User: user.User}) {
		if err == nil {
			err = store.Delete(ctx, match.Key)
		}
		if err != nil {
			return done, fmt.Errorf("forget %s: %w", user, err)
		}
		done.Sessions++
	}
	w, err := store.Open(ctx, user, nil)
	if err != nil {
		return done, fmt.Errorf("forget %s: %w", user, err)
	}
	if len(w.States.User) == 0 {
		return done, nil
	}
	keys := slices.Sorted(maps.Keys(w.States.User))
	if _, err := store.Update(ctx, user, SetState{Unset: Unset{User: keys}}); err != nil {
		return done, fmt.Errorf("forget %s: %w", user, err)
	}
	done.StateKeys = len(keys)
	return done, nil
}
