package artifactstest

import (
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/genaistore/genaistore/artifacts"
)

// rank publishes a part under the ID "step".
func (x *fixture) rank(rank, ranks int, files fs.FS) (artifacts.Publication, error) {
	return x.Publish(x.Context(), x.name, files, &artifacts.PublishOptions{ID: "step", Rank: rank, Ranks: ranks})
}

// pends publishes a part that must leave these ranks missing.
func (x *fixture) pends(rank, ranks int, files fs.FS, missing ...int) {
	x.Helper()
	p, err := x.rank(rank, ranks, files)
	if err != nil || !slices.Equal(p.Pending, missing) || p.Version.ID.Number != 0 || p.Record.Seq != 0 || p.Again {
		x.Errorf("rank %d got %+v, %v, want ranks %v to be missing", rank, p, err, missing)
	}
}

var ranks = []promise{
	{"a version of many ranks is there when the last one came", func(x *fixture) {
		x.pends(2, 3, files("c", "3"), 0, 1)
		x.pends(0, 3, files("a", "1"), 1)
		x.absent(artifacts.Ref{})
		p, err := x.rank(1, 3, files("d/b", "2"))
		if err != nil || len(p.Pending) != 0 || p.Version.ID != x.id(1) || p.Version.Files != 3 || p.Version.Bytes != 3 {
			x.Fatalf("the last rank got %+v, %v, want version 1 with 3 files", p, err)
		}
		want(x, "all files", x.read(1, "a")+x.read(1, "d/b")+x.read(1, "c"), "123")
		want(x, "records", len(x.history(nil)), 1)
	}},
	{"nothing shows of a publication that is pending", func(x *fixture) {
		x.pends(0, 2, files("a", "1"), 1)
		x.absent(artifacts.Ref{})
		x.absent(artifacts.Ref{Number: 1})
		want(x, "versions", len(x.list(artifacts.Query{})), 0)
		want(x, "records", len(x.history(nil)), 0)
		_, err := x.Apply(x.Context(), x.name, artifacts.Delete{})
		wantErr(x, "Apply", err, artifacts.ErrNotFound)
		_, err = x.Open(x.Context(), x.id(1), ".")
		wantErr(x, "Open", err, artifacts.ErrNotFound)
	}},
	{"16 ranks at once make one version", func(x *fixture) {
		var (
			wg      sync.WaitGroup
			mu      sync.Mutex
			visible int
		)
		for i := range 16 {
			wg.Go(func() {
				p, err := x.rank(i, 16, files(fmt.Sprint("shard-", i), fmt.Sprint(i)))
				if err != nil {
					x.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if len(p.Pending) == 0 {
					visible++
				}
			})
		}
		wg.Wait()
		if visible == 0 {
			x.Fatal("every rank waits for another")
		}
		want(x, "files", x.version(1).Files, 16)
		want(x, "records", len(x.history(nil)), 1)
	}},
	{"a rank that comes again replaces its part", func(x *fixture) {
		x.pends(0, 2, files("a", "old", "b", "old"), 1)
		x.pends(0, 2, files("a", "new"), 1)
		if _, err := x.rank(1, 2, files("c", "1")); err != nil {
			x.Fatal(err)
		}
		want(x, "files", x.version(1).Files, 2)
		want(x, "a", x.read(1, "a"), "new")
	}},
	{"a rank that comes again after all came gets the version", func(x *fixture) {
		x.pends(0, 2, files("a", "1"), 1)
		if _, err := x.rank(1, 2, files("b", "1")); err != nil {
			x.Fatal(err)
		}
		for rank := range 2 {
			p, err := x.rank(rank, 2, files("a", "other"))
			if err != nil || !p.Again || p.Version.ID != x.id(1) || len(p.Pending) != 0 {
				x.Errorf("rank %d got %+v, %v, want version 1 again", rank, p, err)
			}
		}
		want(x, "a", x.read(1, "a"), "1")
	}},
	{"two parts with a path in common need the same content", func(x *fixture) {
		x.pends(0, 2, files("shared", "1", "a", "1"), 1)
		_, err := x.rank(1, 2, files("shared", "2"))
		wantErr(x, "other content", err, artifacts.ErrConflict)
		_, err = x.rank(1, 2, files("a/b", "2"))
		wantErr(x, "a file that is a directory", err, artifacts.ErrConflict)
		_, err = x.rank(1, 2, files("SHARED", "2"))
		wantErr(x, "a path in another case", err, artifacts.ErrConflict)
		x.absent(artifacts.Ref{})
		p, err := x.rank(1, 2, files("shared", "1", "b", "2"))
		if err != nil || p.Version.Files != 3 {
			x.Errorf("the same content: %+v, %v, want a version with 3 files", p, err)
		}
	}},
	{"parts that disagree on Ranks are ErrConflict", func(x *fixture) {
		x.pends(0, 3, files("a", "1"), 1, 2)
		_, err := x.rank(1, 2, files("b", "1"))
		wantErr(x, "2 of 3 ranks", err, artifacts.ErrConflict)
		_, err = x.rank(0, 1, files("b", "1"))
		wantErr(x, "1 of 3 ranks", err, artifacts.ErrConflict)
		x.absent(artifacts.Ref{})
		x.pends(1, 3, files("b", "1"), 2)
	}},
	{"a rank may have no files, but not all", func(x *fixture) {
		x.pends(0, 2, files(), 1)
		_, err := x.rank(1, 2, files())
		wantErr(x, "no files at all", err, artifacts.ErrInvalid)
		x.absent(artifacts.Ref{})
		p, err := x.rank(1, 2, files("a", "1"))
		if err != nil || p.Version.Files != 1 {
			x.Errorf("the last rank got %+v, %v, want a version with 1 file", p, err)
		}
	}},
	{"what a version is is taken from rank 0", func(x *fixture) {
		for _, rank := range []int{1, 0, 2} {
			opts := &artifacts.PublishOptions{
				ID: "step", Rank: rank, Ranks: 3, Kind: artifacts.Kind(fmt.Sprint("kind-", rank)), Owner: fmt.Sprint("owner-", rank),
				Lineage: artifacts.Lineage{Step: int64(rank)}, Tags: map[string]string{fmt.Sprint(rank): "v"},
				Metrics:    map[string]artifacts.Metric{fmt.Sprint(rank): {Value: 1}},
				MediaTypes: map[string]string{fmt.Sprint(rank): fmt.Sprint("media/", rank)},
				With:       []artifacts.Change{artifacts.SetAlias{Alias: fmt.Sprint("alias-", rank)}},
			}
			x.publish(files(fmt.Sprint(rank), "x"), opts)
		}
		v := x.version(1)
		want(x, "version", fmt.Sprint(v.Kind, v.Owner, v.Lineage.Step, v.Tags, v.Aliases, v.Metrics), "kind-0owner-00 map[0:v] [alias-0] map[0:{1 0 0}]")
		manifest, err := artifacts.Manifest(x.Context(), x, v.ID)
		wantErr(x, "Manifest", err, nil)
		for i, f := range manifest {
			want(x, "media type, which each rank gives for its files", f.MediaType, fmt.Sprint("media/", i))
		}
	}},
	{"where With fails a rank can try again", func(x *fixture) {
		x.versions(1)
		x.apply(artifacts.SetAlias{Alias: "live", Version: 1}, artifacts.Quarantine{Version: 1, Reason: "bad"})
		with := []artifacts.Change{artifacts.SetAlias{Alias: "old", Version: 1}}
		opts := func(rank int) *artifacts.PublishOptions {
			return &artifacts.PublishOptions{ID: "step", Rank: rank, Ranks: 2, With: with}
		}
		x.publish(files("a", "1"), opts(0))
		_, err := x.Publish(x.Context(), x.name, files("b", "1"), opts(1))
		wantErr(x, "an alias on a quarantined version", err, artifacts.ErrConflict)
		x.absent(artifacts.Ref{Number: 2})
		x.apply(artifacts.Release{Version: 1})
		p, err := x.Publish(x.Context(), x.name, files("b", "1"), opts(1))
		if err != nil || p.Version.ID != x.id(2) {
			x.Errorf("after the quarantine: %+v, %v, want version 2", p, err)
		}
		x.points("old", 1)
	}},
	{"publications that wait get their numbers when they are whole", func(x *fixture) {
		publish := func(id string, rank int) artifacts.Publication {
			return x.publish(files(fmt.Sprint(id, rank), id), &artifacts.PublishOptions{ID: id, Rank: rank, Ranks: 2})
		}
		publish("first", 0)
		publish("second", 0)
		want(x, "second", publish("second", 1).Version.ID.Number, 1)
		x.publish(files("a", "1"), nil)
		want(x, "first", publish("first", 1).Version.ID.Number, 3)
	}},
}
