package s3artifacts

import (
	"context"
	"fmt"
	"time"

	"github.com/genaistore/genaistore/artifacts"
)

// Rollback rolls an alias back as [artifacts.Rollback] does, but past no version
// because it is archived: that one is restored first, in as many calls as it takes.
// Until it can be read the error matches [artifacts.ErrArchived], the Warmth says how
// far it is, and nothing has changed; the call that finds it warm rolls back. With
// WarmOptions.Keep it stays readable. Of many who call it for the same version one
// rolls back, and the others get ErrConflict. With DryRun it says what there is to
// restore, and rolls nothing back.
func (s *Store) Rollback(ctx context.Context, name artifacts.Name, change artifacts.Rollback, options *WarmOptions) (artifacts.Record, Warmth, error) {
	if err := firstError(ctx.Err(), name.Validate(), change.Validate(), options.Validate()); err != nil {
		return artifacts.Record{}, Warmth{}, wrap("roll back", name, err)
	}
	r, w, err := s.rollback(ctx, name, change, options)
	return r, w, wrap("roll back", name, err)
}

func (s *Store) rollback(ctx context.Context, name artifacts.Name, change artifacts.Rollback, options *WarmOptions) (r artifacts.Record, w Warmth, err error) {
	at, back, err := s.back(ctx, name, change.Alias)
	if err != nil {
		return r, w, err
	}
	opts := options.WithDefaults()
	if len(back) > 0 && (!back[0].Ready || opts.DryRun) {
		if w, err = s.EnsureWarm(ctx, back[0].ID, &opts); err != nil {
			return r, w, err
		}
		if !w.Warm() && !opts.DryRun {
			return r, w, fmt.Errorf("version %d: %w: it can be read by %s", back[0].ID.Number, artifacts.ErrArchived, w.Ready.UTC().Format(time.DateTime))
		}
	}
	if opts.DryRun {
		return r, w, nil
	}
	r, err = s.apply(ctx, name, []artifacts.Change{artifacts.Expect{Alias: change.Alias, Version: at}, change})
	return r, w, err
}

// Back returns where an alias can be rolled back to, the next version first: those
// that are live and not quarantined. What is not Ready lies in an archive:
// [artifacts.Rollback] goes past it, and [Store.Rollback] restores it. An alias that
// is absent is ErrNotFound. It costs what Resolve costs.
func (s *Store) Back(ctx context.Context, name artifacts.Name, alias string) ([]artifacts.Version, error) {
	if err := firstError(ctx.Err(), name.Validate(), artifacts.ValidateAlias(alias)); err != nil {
		return nil, wrap("back", name, err)
	}
	_, back, err := s.back(ctx, name, alias)
	return back, wrap("back", name, err)
}

func (s *Store) back(ctx context.Context, name artifacts.Name, alias string) (at int64, back []artifacts.Version, err error) {
	l, err := s.recent(ctx, name)
	if err != nil {
		return 0, nil, err
	}
	err = l.look(func(f *fold) error {
		v, err := f.log.Resolve(artifacts.Ref{Name: name, Alias: alias})
		if err != nil {
			return fmt.Errorf("alias %s: %w", alias, err)
		}
		at = v.ID.Number
		for v := range f.log.Back(alias) {
			whole, err := f.log.Resolve(artifacts.Ref{Name: name, Number: v.ID.Number}) // a copy
			if err != nil {
				return err
			}
			back = append(back, whole)
		}
		return nil
	})
	return at, back, err
}
