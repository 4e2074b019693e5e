package dynamomemory

import (
	"context"
	"time"

	"github.com/genaistore/genaistore/memory"
)

func (d *draft) setState(ctx context.Context, delta memory.Delta) error {
	delta, err := delta.Normal()
	if err != nil {
		return err
	}
	if len(delta.Set.Session)+len(delta.Unset.Session) > 0 {
		if err := d.loadFold(ctx); err != nil {
			return err
		}
		d.fold.apply(d.id, delta.Set.Session, delta.Unset.Session)
		d.foldNew, d.sized = true, true
	}
	user, app := sharedPlaces(d.Key)
	return firstErr(
		func() error { return d.setShared(ctx, user, delta.Set.User, delta.Unset.User) },
		func() error { return d.setShared(ctx, app, delta.Set.App, delta.Unset.App) },
	)
}

func (d *draft) setShared(ctx context.Context, at sharedPlace, set memory.State, unset []string) error {
	if len(set)+len(unset) == 0 {
		return nil
	}
	sh := d.shared[at.name]
	if sh == nil {
		it, err := d.get(ctx, at.pk, at.sk)
		if err != nil {
			return err
		}
		read, err := d.decodeShared(ctx, at, it)
		if err != nil {
			return err
		}
		if d.opts.Cipher != nil && read.vault.key == nil {
			if _, err := d.makeVault(ctx, at); err != nil {
				return err
			}
			return errAgain
		}
		sh = &sharing{shared: read, at: at, old: read.moved, there: it != nil}
		d.shared[at.name] = sh
		if last := max(read.moved, read.latest()); last > d.id {
			d.observe(last)
			return errAgain // with an id that sorts after what was read
		}
	}
	sh.apply(d.id, set, unset)
	sh.dirty = true
	return nil
}

// loadFold folds all records into the state.
func (d *draft) loadFold(ctx context.Context) error {
	if d.foldWhole {
		return nil
	}
	d.foldWhole = true
	if d.fold == nil {
		d.fold = &fold{cells: cells{}}
		return nil
	}
	if d.create {
		return nil
	}
	items, err := d.all(ctx, scan{pk: d.pk, low: str(max(skRecord+d.fold.upTo, d.lowest(d.now.Add(-slack*time.Second)))), high: str(lastRecord)})
	if err != nil {
		return err
	}
	for _, it := range items {
		r, err := d.Store.load(ctx, d.place, it, d.key)
		if err != nil {
			return err
		}
		if r.id > d.id {
			d.observe(r.id)
			return errAgain
		}
		if r.hasState() && r.id > d.fold.upTo && d.head.shows(r.id) {
			d.fold.apply(r.id, r.State.Set.Session, r.State.Unset.Session)
		}
	}
	return nil
}

// keepState makes what a record has done to the states independent of the record.
func (d *draft) keepState(ctx context.Context, r *record) error {
	if r.hasShared() && d.now.Sub(timeOf(r.id)) <= memory.RequestLife {
		if err := d.spread(ctx, d.Key, r.id, r.State); err != nil {
			return err
		}
	}
	if !r.hasState() || d.fold != nil && r.id <= d.fold.upTo {
		return nil
	}
	if err := d.loadFold(ctx); err != nil {
		return err
	}
	d.foldNew = true
	d.fold.apply(r.id, r.State.Set.Session, r.State.Unset.Session)
	return nil
}
