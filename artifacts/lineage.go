package artifacts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
)

// An Ancestor is a version that another one was made from.
type Ancestor struct {
	Version Version // of one that is gone the ID alone
	Depth   int     // 1 for a parent
	Gone    bool    // it was deleted, or never there
}

// Ancestors yields what a version was made from, by [Lineage.Parents], and what that
// was made from, and so on: the nearest first, each once. One that is gone is where
// its branch ends.
func Ancestors(ctx context.Context, store Store, id ID) iter.Seq2[Ancestor, error] {
	return func(yield func(Ancestor, error) bool) {
		v, err := store.Resolve(ctx, Ref{Name: id.Name, Number: id.Number})
		if err = cmp.Or(id.Validate(), err); err != nil {
			yield(Ancestor{}, fmt.Errorf("ancestors: %w", err))
			return
		}
		seen := map[ID]bool{id: true}
		queue := unseen(Ancestor{Version: v}, seen)
		for len(queue) > 0 {
			next := queue[0]
			a, err := ancestor(ctx, store, next.Version.ID)
			if err != nil {
				yield(Ancestor{}, fmt.Errorf("ancestors of %s: %w", id, err))
				return
			}
			a.Depth = next.Depth
			if !yield(a, nil) {
				return
			}
			queue = append(queue[1:], unseen(a, seen)...)
		}
	}
}

// unseen returns the parents of a version that nobody has met, by their IDs.
func unseen(of Ancestor, seen map[ID]bool) []Ancestor {
	var out []Ancestor
	for _, parent := range of.Version.Lineage.Parents {
		if !seen[parent] {
			seen[parent] = true
			out = append(out, Ancestor{Version: Version{ID: parent}, Depth: of.Depth + 1})
		}
	}
	return out
}

func ancestor(ctx context.Context, store Store, id ID) (Ancestor, error) {
	v, err := store.Resolve(ctx, Ref{Name: id.Name, Number: id.Number})
	if errors.Is(err, ErrNotFound) {
		return Ancestor{Version: Version{ID: id}, Gone: true}, nil
	}
	return Ancestor{Version: v}, err
}

// MadeFrom yields the versions that query selects and that were made from a version
// directly: what has to be made again, or taken back, if that one turns out to be bad.
// A query with nothing in it but a tenant selects all.
func MadeFrom(ctx context.Context, store Store, id ID, query Query) iter.Seq2[Version, error] {
	return func(yield func(Version, error) bool) {
		for v, err := range store.List(ctx, query) {
			if err == nil && !slices.Contains(v.Lineage.Parents, id) {
				continue
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// Best returns the version with the best value of a metric of those that query
// selects and that are not in quarantine: the newest of several with the same value.
// Which way is better, the versions say; those that say otherwise than the newest that
// says it do not count. ErrNotFound reports that none has the metric.
func Best(ctx context.Context, store Store, query Query, metric string) (Version, error) {
	var best Version
	better := Unknown
	for v, err := range store.List(ctx, query) {
		if err != nil {
			return Version{}, fmt.Errorf("best by %.80q: %w", metric, err)
		}
		m, has := v.Metrics[metric]
		if !has || m.Better == Unknown || v.Quarantined != "" {
			continue
		}
		better = cmp.Or(better, m.Better)
		was := best.Metrics[metric].Value
		switch {
		case m.Better != better:
		case best.ID.Number == 0, better == Lower && m.Value < was, better == Higher && m.Value > was:
			best = v
		}
	}
	if best.ID.Number == 0 {
		return Version{}, fmt.Errorf("best by %.80q: %w: no version has it and says which way is better", metric, ErrNotFound)
	}
	return best, nil
}
