package trainer_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/s3artifacts"
	"github.com/genaistore/genaistore/examples/trainer"
	"github.com/genaistore/genaistore/internal/awsfake"
)

func newRun(ranks int) *trainer.Run {
	return &trainer.Run{Store: &artifacts.InMemory{}, Name: artifacts.Name{Tenant: "lab", Path: "llm/ranker"}, ID: "run-7", Ranks: ranks}
}

// shard writes the files of a rank, as a framework would, and returns their folder.
func shard(t *testing.T, rank int, data string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("shard-%d.safetensors", rank)), []byte(data), 0o600))
	return dir
}

// save saves a step with all ranks.
func save(t *testing.T, run *trainer.Run, step int64) artifacts.Version {
	t.Helper()
	var v artifacts.Version
	for rank := range run.Ranks {
		p, err := run.Save(t.Context(), step, rank, os.DirFS(shard(t, rank, fmt.Sprint(step, rank))))
		require.NoError(t, err)
		v = p.Version
	}
	require.Equal(t, run.Ranks, v.Files)
	return v
}

func production(t *testing.T, run *trainer.Run) int64 {
	t.Helper()
	v, err := run.Store.Resolve(t.Context(), artifacts.Ref{Name: run.Name, Alias: trainer.Production})
	require.NoError(t, err)
	return v.ID.Number
}

func TestATornCheckpointIsNotResumed(t *testing.T) {
	run := newRun(3)
	step, err := run.Resume(t.Context(), t.TempDir())
	require.NoError(t, err)
	require.Zero(t, step, "there is nothing yet")
	save(t, run, 100)
	for rank := range 2 {
		_, err := run.Save(t.Context(), 200, rank, os.DirFS(shard(t, rank, "torn")))
		require.NoError(t, err)
	}
	dir := filepath.Join(t.TempDir(), "restored")
	step, err = run.Resume(t.Context(), dir)
	require.NoError(t, err)
	require.EqualValues(t, 100, step)
	data, err := os.ReadFile(filepath.Join(dir, "shard-1.safetensors"))
	require.NoError(t, err)
	require.Equal(t, "100 1", string(data))

	// The job runs again from there. What the torn checkpoint has is not mixed in.
	run.Attempt++
	for _, rank := range []int{2, 1, 0} {
		_, err := run.Save(t.Context(), 200, rank, os.DirFS(shard(t, rank, "whole")))
		require.NoError(t, err)
	}
	dir = filepath.Join(t.TempDir(), "restored")
	step, err = run.Resume(t.Context(), dir)
	require.NoError(t, err)
	require.EqualValues(t, 200, step)
	for rank := range 3 {
		data, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("shard-%d.safetensors", rank)))
		require.NoError(t, err)
		require.Equal(t, "whole", string(data))
	}
}

func TestRanksSettleWhenTheSlowestHasCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := newRun(4)
		start := time.Now()
		var wg sync.WaitGroup
		for rank := range run.Ranks {
			wg.Go(func() {
				time.Sleep(time.Duration(rank) * 10 * time.Second)
				_, err := run.Save(t.Context(), 100, rank, artifacts.Files(map[string][]byte{fmt.Sprint(rank): nil}))
				require.NoError(t, err)
				v, err := run.Settle(t.Context(), 100)
				require.NoError(t, err)
				require.Equal(t, 4, v.Files)
			})
		}
		wg.Wait()
		require.InDelta(t, 30, time.Since(start).Seconds(), 1.5)
	})
}

func TestSettleGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := newRun(2)
		_, err := run.Save(t.Context(), 100, 0, artifacts.Files(map[string][]byte{"a": nil}))
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = run.Settle(ctx, 100)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestTheMostStepsAreResumedNotTheLastToBecomeWhole(t *testing.T) {
	run := newRun(2)
	_, err := run.Save(t.Context(), 100, 0, artifacts.Files(map[string][]byte{"a": nil}))
	require.NoError(t, err)
	save(t, run, 200)
	_, err = run.Save(t.Context(), 100, 1, artifacts.Files(map[string][]byte{"b": nil}))
	require.NoError(t, err)
	step, err := run.Resume(t.Context(), filepath.Join(t.TempDir(), "restored"))
	require.NoError(t, err)
	require.EqualValues(t, 200, step)
}

func TestAWorsePromotionIsRolledBackOnceByManyReplicas(t *testing.T) {
	run := newRun(1)
	loss := func(v float64) map[string]artifacts.Metric {
		return map[string]artifacts.Metric{"eval/loss": {Value: v, Better: artifacts.Lower}}
	}
	require.NoError(t, run.Promote(t.Context(), save(t, run, 100).ID.Number, loss(2)))
	require.NoError(t, run.Promote(t.Context(), save(t, run, 200).ID.Number, loss(1.5)))
	require.EqualValues(t, 2, production(t, run))

	guard := artifacts.Guard{Alias: trainer.Production, Metric: "eval/loss", MaxRegression: 0.05, MinSamples: 100}
	verdict, err := run.Watch(t.Context(), guard, artifacts.Sample{Metric: "eval/loss", Value: 1.9, N: 500})
	require.NoError(t, err)
	require.False(t, verdict.RolledBack, "better than the version before")
	verdict, err = run.Watch(t.Context(), guard, artifacts.Sample{Metric: "eval/loss", Value: 3, N: 500})
	require.NoError(t, err)
	require.True(t, verdict.RolledBack)
	require.EqualValues(t, 1, production(t, run))

	step, err := run.Resume(t.Context(), filepath.Join(t.TempDir(), "restored"))
	require.NoError(t, err)
	require.EqualValues(t, 100, step, "the run goes on from before what was rolled back")
	_, err = run.Watch(t.Context(), guard, artifacts.Sample{Metric: "eval/loss", Value: 3, N: 500})
	require.ErrorIs(t, err, artifacts.ErrNotFound, "the first version has none before it")
}

func TestTwoJobsDoNotPromoteOverEachOther(t *testing.T) {
	run := newRun(1)
	one, two := save(t, run, 100).ID.Number, save(t, run, 200).ID.Number
	late := *run
	late.Store = &meanwhile{Store: run.Store, do: func() { require.NoError(t, run.Promote(t.Context(), two, nil)) }}
	require.ErrorIs(t, late.Promote(t.Context(), one, nil), artifacts.ErrConflict)
	require.Equal(t, two, production(t, run))
}

// A meanwhile store has something done between a Resolve and what follows.
type meanwhile struct {
	artifacts.Store
	do func()
}

func (m *meanwhile) Resolve(ctx context.Context, ref artifacts.Ref) (artifacts.Version, error) {
	v, err := m.Store.Resolve(ctx, ref)
	m.do()
	return v, err
}

func TestPruneKeepsTheNewestAndWhatIsInUse(t *testing.T) {
	run := newRun(1)
	for step := range int64(6) {
		save(t, run, step)
	}
	require.NoError(t, run.Promote(t.Context(), 1, nil))
	_, err := run.Store.Apply(t.Context(), run.Name, artifacts.Pin{Version: 2, By: "paper"})
	require.NoError(t, err)
	n, err := run.Prune(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	var left []int64
	for v, err := range run.Store.List(t.Context(), artifacts.Query{Tenant: "lab"}) {
		require.NoError(t, err)
		left = append(left, v.ID.Number)
	}
	require.Equal(t, []int64{6, 5, 2, 1}, left)
}

// Each row is seen once in an epoch, by one rank, also by ranks that die in the middle.
func TestARankGoesOnAfterTheRowOfItsCheckpoint(t *testing.T) {
	store, err := s3artifacts.New(awsfake.NewS3("lab").Client(), "lab", nil)
	require.NoError(t, err)
	run := newRun(2)
	run.Store = store
	shards := map[string][]byte{}
	for i := range 6 {
		shards[fmt.Sprintf("%d.jsonl", i)] = fmt.Appendf(nil, "%d.1\n%d.2\n%d.3\n", i, i, i)
	}
	data, err := store.Publish(t.Context(), artifacts.Name{Path: "data"}, artifacts.Files(shards), nil)
	require.NoError(t, err)
	orders := map[string]bool{}
	for epoch := range uint64(3) {
		seen := map[string]int{}
		order := ""
		for rank := range 2 {
			var after artifacts.RowID
			for died := false; !died; {
				died = true
				for row, err := range run.Rows(t.Context(), data.Version.ID, rank, epoch, after) {
					require.NoError(t, err)
					seen[string(row.Data)]++
					order += string(row.Data) + " "
					if after = row.ID; row.ID.Row == 2 {
						died = false // and starts again
						break
					}
				}
			}
		}
		require.Len(t, seen, 18)
		for row, n := range seen {
			require.Equal(t, 1, n, row)
		}
		orders[order] = true
	}
	require.Len(t, orders, 3, "each epoch has an order of its own")

	save(t, run, 100)
	dir := filepath.Join(t.TempDir(), "restored")
	for range 2 {
		step, err := run.Resume(t.Context(), dir)
		require.NoError(t, err)
		require.EqualValues(t, 100, step)
	}
}

func Example() {
	ctx := context.Background()
	run := &trainer.Run{Store: &artifacts.InMemory{}, Name: artifacts.Name{Tenant: "lab", Path: "llm/ranker"}, ID: "run-7", Ranks: 2}

	for _, step := range []int64{100, 200} {
		for rank := range run.Ranks {
			p, err := run.Save(ctx, step, rank, artifacts.Files(map[string][]byte{fmt.Sprintf("shard-%d", rank): {byte(step)}}))
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println("step", step, "rank", rank, "waits for", p.Pending)
		}
		v, err := run.Settle(ctx, step)
		if err != nil {
			log.Fatal(err)
		}
		loss := artifacts.Metric{Value: 2 - float64(step)/1000, Better: artifacts.Lower}
		if err := run.Promote(ctx, v.ID.Number, map[string]artifacts.Metric{"loss": loss}); err != nil {
			log.Fatal(err)
		}
	}

	guard := artifacts.Guard{Alias: trainer.Production, Metric: "loss", MaxRegression: 0.05}
	verdict, err := run.Watch(ctx, guard, artifacts.Sample{Metric: "loss", Value: 2.5, N: 1000})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("rolled back:", verdict.RolledBack)

	dir, err := os.MkdirTemp("", "trainer")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	step, err := run.Resume(ctx, dir)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("goes on from step", step)
	// Output:
	// step 100 rank 0 waits for [1]
	// step 100 rank 1 waits for []
	// step 200 rank 0 waits for [1]
	// step 200 rank 1 waits for []
	// rolled back: true
	// goes on from step 100
}
