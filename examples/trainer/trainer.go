// Package trainer keeps the checkpoints of a distributed training run: what a
// sidecar of each rank does, and the job that promotes.
//
// No rank is special and none waits at a barrier. A Save that is repeated publishes
// nothing twice, and readers see whole checkpoints only.
package trainer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"time"

	"github.com/genaistore/genaistore/artifacts"
)

// Aliases that a run moves.
const (
	Candidate  = "candidate"  // the checkpoint that became whole last
	Production = "production" // what is served
)

// A Run is one training run.
type Run struct {
	Store artifacts.Store
	Name  artifacts.Name // of the checkpoints
	ID    string
	// Attempt counts how often the job was started again. It is a part of what a
	// checkpoint is known by, so that one is never made of shards of two lives, which
	// need not fit together.
	Attempt int
	Ranks   int
	Poll    time.Duration // between two looks at what other ranks did; a second if zero
}

// Save publishes what one rank has of the checkpoint of a step. Where the
// publication is pending, other ranks have yet to come.
func (r *Run) Save(ctx context.Context, step int64, rank int, shard fs.FS) (artifacts.Publication, error) {
	p, err := r.Store.Publish(ctx, r.Name, shard, &artifacts.PublishOptions{
		ID:   fmt.Sprintf("%s/%d/%d", r.ID, r.Attempt, step),
		Rank: rank, Ranks: r.Ranks,
		Kind:    artifacts.Checkpoint,
		Lineage: artifacts.Lineage{Run: r.ID, Step: step},
		With:    []artifacts.Change{artifacts.SetAlias{Alias: Candidate, Reason: r.ID}},
	})
	if err != nil {
		return p, fmt.Errorf("save step %d, rank %d: %w", step, rank, err)
	}
	return p, nil
}

// Settle waits until the checkpoint of a step is whole.
func (r *Run) Settle(ctx context.Context, step int64) (artifacts.Version, error) {
	tick := time.NewTicker(cmp.Or(r.Poll, time.Second))
	defer tick.Stop()
	for {
		v, err := r.find(ctx, func(v artifacts.Version) bool { return v.Lineage.Step == step })
		if !errors.Is(err, artifacts.ErrNotFound) {
			return v, err
		}
		select {
		case <-ctx.Done():
			return artifacts.Version{}, fmt.Errorf("settle step %d: %w", step, ctx.Err())
		case <-tick.C:
		}
	}
}

// find returns the version of this run with the most steps that is wanted. It
// need not be the one with the highest number: a step may become whole after the
// next one.
func (r *Run) find(ctx context.Context, wanted func(artifacts.Version) bool) (artifacts.Version, error) {
	var best artifacts.Version
	for v, err := range r.Store.List(ctx, artifacts.Query{Tenant: r.Name.Tenant, Path: r.Name.Path, Kind: artifacts.Checkpoint}) {
		if err != nil {
			return artifacts.Version{}, fmt.Errorf("checkpoints of %s: %w", r.ID, err)
		}
		if v.Lineage.Run == r.ID && wanted(v) && (best.ID.Number == 0 || v.Lineage.Step > best.Lineage.Step) {
			best = v
		}
	}
	if best.ID.Number == 0 {
		return best, fmt.Errorf("checkpoints of %s: %w", r.ID, artifacts.ErrNotFound)
	}
	return best, nil
}

// Resume makes dir hold the checkpoint with the most steps that nobody warned of, and
// returns its step: 0 if there is none. What dir has of it already is not fetched.
func (r *Run) Resume(ctx context.Context, dir string) (step int64, err error) {
	v, err := r.find(ctx, func(v artifacts.Version) bool { return v.Quarantined == "" })
	if errors.Is(err, artifacts.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, fmt.Errorf("resume from %s: %w", v.ID, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, fmt.Errorf("resume from %s: %w", v.ID, err)
	}
	_, err = artifacts.Checkout(ctx, r.Store, v.ID, root, nil)
	if err := errors.Join(err, root.Close()); err != nil {
		return 0, fmt.Errorf("resume from %s: %w", v.ID, err)
	}
	return v.Lineage.Step, nil
}

// Rows yields what a rank trains on in an epoch, from 0: the lines of its share of the
// shards of a dataset, which is another one in each epoch, after a row that it had seen
// when it saved its last checkpoint.
func (r *Run) Rows(ctx context.Context, data artifacts.ID, rank int, epoch uint64, after artifacts.RowID) iter.Seq2[artifacts.Row, error] {
	return artifacts.Rows(ctx, r.Store, data, &artifacts.ShardOptions{Workers: r.Ranks, Worker: rank, Seed: epoch + 1, After: after})
}

// Promote notes how a version did and puts it into production, unless somebody
// else moved production meanwhile: that is artifacts.ErrConflict, and the decision
// has to be made again.
func (r *Run) Promote(ctx context.Context, version int64, metrics map[string]artifacts.Metric) error {
	live, err := r.Store.Resolve(ctx, artifacts.Ref{Name: r.Name, Alias: Production})
	if err != nil && !errors.Is(err, artifacts.ErrNotFound) {
		return err
	}
	_, err = r.Store.Apply(ctx, r.Name,
		artifacts.Expect{Alias: Production, Version: live.ID.Number},
		artifacts.Note{Version: version, Metrics: metrics},
		artifacts.SetAlias{Alias: Production, Version: version, Reason: "promoted by " + r.ID})
	return err
}

// Watch compares a measurement of what guard's alias points at with how the
// version did that a rollback would go to, and goes there if it is worse. Every replica may call it.
func (r *Run) Watch(ctx context.Context, guard artifacts.Guard, sample artifacts.Sample) (artifacts.Verdict, error) {
	live, err := r.Store.Resolve(ctx, artifacts.Ref{Name: r.Name, Alias: guard.Alias})
	if err != nil {
		return artifacts.Verdict{}, err
	}
	baseline, err := artifacts.Previous(ctx, r.Store, r.Name, guard.Alias)
	if err != nil {
		return artifacts.Verdict{}, err
	}
	return guard.Check(ctx, r.Store, live, baseline, sample)
}

// Prune deletes all but the newest checkpoints, and returns how many. What an
// alias points at or somebody pinned stays.
func (r *Run) Prune(ctx context.Context, keep int) (int, error) {
	gone := 0
	for v, err := range r.Store.List(ctx, artifacts.Query{Tenant: r.Name.Tenant, Path: r.Name.Path, Kind: artifacts.Checkpoint}) {
		if err != nil {
			return gone, err
		}
		if keep--; keep >= 0 {
			continue
		}
		_, err := r.Store.Apply(ctx, r.Name, artifacts.Delete{Version: v.ID.Number, Reason: "pruned by " + r.ID})
		if errors.Is(err, artifacts.ErrConflict) {
			continue
		}
		if err != nil {
			return gone, err
		}
		gone++
	}
	return gone, nil
}
