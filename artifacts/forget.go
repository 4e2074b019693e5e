package artifacts

import (
	"context"
	"errors"
	"fmt"
)

// forgetAttempts is how often a version is looked at again because somebody
// moved its aliases meanwhile.
const forgetAttempts = 10

// Forget deletes every version of a tenant that owner owns, with the aliases and
// pins that would keep it, and returns how many there were. An alias that
// somebody moves to another version meanwhile stays. The bytes go when the backend
// collects. It may be run again after an error, and once more to prove that
// nothing is left. An empty owner is ErrInvalid, so that an empty variable erases
// nobody.
func Forget(ctx context.Context, store Store, tenant, owner string) (int, error) {
	if owner == "" {
		return 0, fmt.Errorf("forget: %w: the owner is empty", ErrInvalid)
	}
	gone := 0
	for v, err := range store.List(ctx, Query{Tenant: tenant, Owner: owner}) {
		if err == nil {
			err = forget(ctx, store, v)
		}
		if err != nil {
			return gone, fmt.Errorf("forget owner %s: %w", owner, err)
		}
		gone++
	}
	return gone, nil
}

// forget deletes one version, which is what it was when it was listed until an
// Expect says otherwise.
func forget(ctx context.Context, store Store, v Version) error {
	for conflicts := 0; ; {
		changes := obstacles(v)
		last := len(changes) < MaxChanges
		if last {
			changes = append(changes, Delete{Version: v.ID.Number, Reason: "owner forgotten"})
		}
		_, err := store.Apply(ctx, v.ID.Name, changes[:min(len(changes), MaxChanges)]...)
		switch {
		case err == nil && last:
			return nil
		case errors.Is(err, ErrConflict) && conflicts < forgetAttempts:
			conflicts++
		case err != nil:
			return err
		}
		v, err = store.Resolve(ctx, Ref{Name: v.ID.Name, Number: v.ID.Number})
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// obstacles returns the changes that let v be deleted, in pairs of an Expect and
// what it is for, or alone.
func obstacles(v Version) []Change {
	var changes []Change
	for _, alias := range v.Aliases {
		changes = append(changes, Expect{Alias: alias, Version: v.ID.Number}, RemoveAlias{Alias: alias, Reason: "owner forgotten"})
	}
	for _, by := range v.Pins {
		changes = append(changes, Unpin{Version: v.ID.Number, By: by})
	}
	return changes
}
