package artifacts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Retention says which versions of a name are kept. What an alias points at and
// what is pinned is kept in any case. A version is deleted only if nothing here
// keeps it.
type Retention struct {
	// Last is how many of the newest versions are kept, at least 1.
	Last int
	// For is how long versions are kept after they were published.
	For time.Duration
	// Back is to how many versions before it each alias can still be rolled back.
	// Versions in quarantine do not count.
	Back int
	// Reason is what the log says of what is deleted; "retention" if empty.
	Reason string
}

// Validate reports an error that matches [ErrInvalid] unless r keeps something.
func (r Retention) Validate() error {
	if r.Last < 1 || r.For < 0 || r.Back < 0 {
		return fmt.Errorf("%w: retention of the last %d, for %v, %d back: at least the last version, the others 0 or more", ErrInvalid, r.Last, r.For, r.Back)
	}
	return validateText("reason", r.Reason)
}

// Retain deletes the versions of a name that r does not keep, and returns which, in
// ascending order. It may be run beside writers: what somebody pins or points an
// alias at meanwhile stays. It may be run again after an error. The bytes go when
// the backend collects. It reads the whole log if r.Back is not 0.
func Retain(ctx context.Context, store Store, name Name, r Retention) ([]int64, error) {
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("retain %s: %w", name, err)
	}
	due, err := r.due(ctx, store, name)
	if err != nil {
		return nil, fmt.Errorf("retain %s: %w", name, err)
	}
	if r.Reason == "" {
		r.Reason = "retention"
	}
	var gone []int64
	for some := range slices.Chunk(due, MaxChanges) {
		deleted, err := r.delete(ctx, store, name, some)
		gone = append(gone, deleted...)
		if err != nil {
			return gone, fmt.Errorf("retain %s: %w", name, err)
		}
	}
	return gone, nil
}

// due returns the versions that r does not keep, in ascending order.
func (r Retention) due(ctx context.Context, store Store, name Name) ([]int64, error) {
	var live []Version
	for v, err := range store.List(ctx, Query{Tenant: name.Tenant, Path: name.Path}) {
		if err != nil {
			return nil, err
		}
		live = append(live, v)
	}
	kept, err := r.behind(ctx, store, name, live)
	if err != nil {
		return nil, err
	}
	var due []int64
	for i, v := range live {
		if i >= r.Last && !kept[v.ID.Number] && len(v.Aliases)+len(v.Pins) == 0 && time.Since(v.Created) >= r.For {
			due = append(due, v.ID.Number)
		}
	}
	slices.Reverse(due)
	return due, nil
}

// behind returns the versions that an alias may be rolled back to.
func (r Retention) behind(ctx context.Context, store Store, name Name, live []Version) (map[int64]bool, error) {
	kept := map[int64]bool{}
	if r.Back == 0 || len(live) == 0 {
		return kept, nil
	}
	log, err := replay(ctx, store, name)
	if err != nil {
		return nil, err
	}
	usable := map[int64]bool{}
	for _, v := range live {
		usable[v.ID.Number] = v.Quarantined == ""
	}
	for alias, past := range log.past {
		seen := map[int64]bool{log.aliases[alias]: true}
		for _, n := range slices.Backward(past) {
			if len(seen) > r.Back {
				break
			}
			if usable[n] && !seen[n] {
				seen[n], kept[n] = true, true
			}
		}
	}
	return kept, nil
}

// delete deletes versions together, or, where that is refused, each that it may.
func (r Retention) delete(ctx context.Context, store Store, name Name, due []int64) ([]int64, error) {
	changes := make([]Change, len(due))
	for i, n := range due {
		changes[i] = Delete{Version: n, Reason: r.Reason}
	}
	_, err := store.Apply(ctx, name, changes...)
	if err == nil {
		return due, nil
	}
	if !errors.Is(err, ErrConflict) {
		return nil, err
	}
	var gone []int64
	for i, n := range due {
		_, err := store.Apply(ctx, name, changes[i])
		if err != nil && !errors.Is(err, ErrConflict) {
			return gone, err
		}
		if err == nil {
			gone = append(gone, n)
		}
	}
	return gone, nil
}
