package artifacts

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// A Guard says when a version is worse than another.
type Guard struct {
	Alias         string
	Metric        string  // of the samples and of the baseline
	MaxRegression float64 // as a share of the baseline's value, at least 0
	MinSamples    int64   // fewer prove nothing
}

// A Verdict is what a [Guard] found.
type Verdict struct {
	Regression float64 // as a share of the baseline's value; negative is an improvement
	RolledBack bool    // the alias no longer points at the version, by this guard or another
}

// Check rolls the guard's alias back if the sample shows that live, which it
// points at, is worse than baseline, often that of [Previous], by more than g
// allows. Of many replicas that
// find the same, one does it and the others see that it is done. A baseline
// without the metric, with a value of 0, or that does not say which way is better
// is ErrInvalid: the guard could never fire.
func (g Guard) Check(ctx context.Context, store Store, live, baseline Version, s Sample) (Verdict, error) {
	if err := g.validate(s); err != nil {
		return Verdict{}, err
	}
	base, ok := baseline.Metrics[g.Metric]
	if !ok || base.Value == 0 || base.Better == Unknown {
		return Verdict{}, fmt.Errorf("guard on %s: %w: baseline %s needs the metric, not 0, and which way is better", g.Metric, ErrInvalid, baseline.ID)
	}
	worse := (s.Value - base.Value) / math.Abs(base.Value)
	if base.Better == Higher {
		worse = -worse
	}
	verdict := Verdict{Regression: worse}
	if s.N < g.MinSamples || worse <= g.MaxRegression {
		return verdict, nil
	}
	reason := fmt.Sprintf("guard on %.200s: %.4g against %.4g of version %d", g.Metric, s.Value, base.Value, baseline.ID.Number)
	_, err := store.Apply(ctx, live.ID.Name,
		Expect{Alias: g.Alias, Version: live.ID.Number},
		Rollback{Alias: g.Alias, Reason: reason, Evidence: []Sample{s}})
	if errors.Is(err, ErrConflict) {
		now, rerr := store.Resolve(ctx, Ref{Name: live.ID.Name, Alias: g.Alias})
		if rerr == nil && now.ID != live.ID || errors.Is(rerr, ErrNotFound) {
			err = nil
		}
	}
	verdict.RolledBack = err == nil
	return verdict, err
}

// Previous returns the version that a [Rollback] of alias would go to now: the
// baseline of a [Guard], and what an operator wants to see first. The version
// before in the log may be another one, which was rolled back or deleted since. It
// reads the whole log. ErrNotFound reports an alias that is absent or has nothing
// to go back to.
func Previous(ctx context.Context, store Store, name Name, alias string) (Version, error) {
	if err := ValidateAlias(alias); err != nil {
		return Version{}, fmt.Errorf("previous: %w", err)
	}
	log, err := replay(ctx, store, name)
	if err != nil {
		return Version{}, fmt.Errorf("previous of %s: %w", alias, err)
	}
	at := log.aliases[alias]
	if at == 0 {
		return Version{}, fmt.Errorf("previous of %s: there is no such alias: %w", alias, ErrNotFound)
	}
	for _, n := range slices.Backward(log.past[alias]) {
		if n == at {
			continue
		}
		v, err := store.Resolve(ctx, Ref{Name: name, Number: n})
		switch {
		case err == nil && v.Quarantined == "" && v.Ready:
			return v, nil
		case err != nil && !errors.Is(err, ErrNotFound):
			return Version{}, fmt.Errorf("previous of %s: %w", alias, err)
		}
	}
	return Version{}, fmt.Errorf("previous of %s: %w: it is at version %d with nothing to go back to", alias, ErrNotFound, at)
}

// replay reads the whole log of a name. Its versions are known by number alone.
func replay(ctx context.Context, store Store, name Name) (*Log, error) {
	var log Log
	for r, err := range store.History(ctx, name, nil) {
		if err != nil {
			return nil, err
		}
		var published *Version
		if r.Publish != 0 {
			published = &Version{ID: ID{Name: name}} // what it holds moves no alias
		}
		if err := log.Append(r, published); err != nil {
			return nil, err
		}
	}
	return &log, nil
}

func (g Guard) validate(s Sample) error {
	if err := s.Validate(); err != nil {
		return err
	}
	if s.Metric != g.Metric || g.MaxRegression < 0 || math.IsNaN(g.MaxRegression) || math.IsInf(g.MaxRegression, 0) || g.MinSamples < 0 {
		return fmt.Errorf("guard on %s: %w: a sample of %s, finite bounds of 0 or more", g.Metric, ErrInvalid, s.Metric)
	}
	return ValidateAlias(g.Alias)
}
