package s3artifacts_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/s3artifacts"
)

// whole reads every file of a version, but for bytes that were read before.
func whole(ctx context.Context, store artifacts.Store, id artifacts.ID, read map[string]bool) error {
	files, err := artifacts.Manifest(ctx, store, id)
	if err != nil {
		return err
	}
	for _, info := range files {
		if read[info.URI+info.Digest] {
			continue
		}
		if _, err := fs.ReadFile(artifacts.FS(ctx, store, id), info.Path); err != nil {
			return err
		}
		read[info.URI+info.Digest] = true
	}
	return nil
}

// check reads everything there is, as a process that has just started.
func (w *world) check() string {
	w.mu.Lock()
	if len(w.broken) > 0 {
		defer w.mu.Unlock()
		return w.broken[0]
	}
	w.mu.Unlock()
	ctx := context.Background()
	client := s3artifacts.Client(bareClient{fake: w.fake})
	if w.hot {
		client = w.fake.Client()
	}
	store, err := s3artifacts.New(client, "bucket", nil)
	if err != nil {
		return err.Error()
	}
	seen := map[string]bool{}
	next := int64(1)
	for r, err := range store.History(ctx, modelName, nil) {
		if err != nil {
			return err.Error()
		}
		if r.Publish != 0 {
			if r.Publish != next || seen["id "+r.ID] {
				return fmt.Sprintf("version %d after %d, or published twice", r.Publish, next-1)
			}
			seen["id "+r.ID] = true
			next++
		}
		for _, c := range r.Changes {
			if rollback, is := c.(artifacts.Rollback); is {
				if seen[rollback.Reason] {
					return "rolled back twice: " + rollback.Reason
				}
				seen[rollback.Reason] = true
			}
		}
	}
	for v, err := range store.List(ctx, artifacts.Query{Tenant: "t", Path: modelName.Path}) {
		if err != nil {
			return err.Error()
		}
		if seen["tx "+v.Tags["tx"]+" visible"] {
			return "one publication, two versions"
		}
		seen["tx "+v.Tags["tx"]+" visible"] = true
		err := whole(ctx, store, v.ID, seen)
		if errors.Is(err, artifacts.ErrArchived) && !v.Ready {
			continue
		}
		if err != nil {
			return fmt.Sprintf("version %d is not whole: %v", v.ID.Number, err)
		}
	}
	return ""
}

// aftermath has somebody who comes later finish and clean up, without faults: both
// ranks of a step find or make its version, and two collectors leave nothing over.
func (w *world) aftermath() string {
	ctx := context.Background()
	for rank := range 2 {
		p, err := w.store().Publish(ctx, modelName, w.contents(), &artifacts.PublishOptions{ID: "step", Ranks: 2, Rank: rank, Tags: map[string]string{"tx": "step"}})
		switch {
		case errors.Is(err, artifacts.ErrConflict):
			return "" // they disagree about a file
		case err != nil:
			return err.Error()
		case rank == 1 && len(p.Pending) > 0:
			return fmt.Sprintf("both ranks came, and %v are waited for", p.Pending)
		}
	}
	all := &s3artifacts.CollectOptions{Age: s3artifacts.Never, Grace: s3artifacts.Never}
	w.fake.Jump(1000 * time.Hour) // whatever its clock says by now
	wait(2000 * time.Hour)
	for range 2 {
		if _, err := w.store().Collect(ctx, modelName, all); err != nil {
			return err.Error()
		}
	}
	done, err := w.store().Collect(ctx, modelName, all)
	if err != nil || done.Condemned+done.Deleted > 0 {
		return fmt.Sprintf("a third collector found more: %+v %v", done, err)
	}
	return w.check()
}
