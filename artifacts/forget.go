package artifacts

import (
	"context"
	"fmt"
)

// Forget deletes every version of a tenant that owner owns, with the aliases and
// pins that would keep it, and returns how many there were. The bytes go when
// the backend collects. It may be run again after an error, and once more to
// prove that nothing is left. An empty owner is ErrInvalid, so that an empty
// variable erases nobody.
func Forget(ctx context.Context, store Store, tenant, owner string) (int, error) {
	if owner == "" {
		return 0, fmt.Errorf("forget: %w: the owner is empty", ErrInvalid)
	}
	gone := 0
	for v, err := range store.List(ctx, Query{Tenant: tenant, Owner: owner}) {
		if err != nil {
			return gone, fmt.Errorf("forget owner %s: %w", owner, err)
		}
		var changes []Change
		for _, alias := range v.Aliases {
			changes = append(changes, RemoveAlias{Alias: alias, Reason: "owner forgotten"})
		}
		for _, by := range v.Pins {
			changes = append(changes, Unpin{Version: v.ID.Number, By: by})
		}
		changes = append(changes, Delete{Version: v.ID.Number, Reason: "owner forgotten"})
		if _, err := store.Apply(ctx, v.ID.Name, changes...); err != nil {
			return gone, fmt.Errorf("forget owner %s: %w", owner, err)
		}
		gone++
	}
	return gone, nil
}
