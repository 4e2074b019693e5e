package artifactstest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/genaistore/genaistore/artifacts"
)

var everywhere = []promise{
	{"a cancelled context stops every method", func(x *fixture) {
		x.versions(2)
		before := x.state()
		ctx, cancel := context.WithCancel(x.Context())
		cancel()
		_, publish := x.Publish(ctx, x.name, files("a", "1"), nil)
		_, resolve := x.Resolve(ctx, artifacts.Ref{Name: x.name})
		_, open := x.Open(ctx, x.id(1), "w")
		_, apply := x.Apply(ctx, x.name, artifacts.Pin{Version: 1, By: "x"})
		errs := map[string]error{"Publish": publish, "Resolve": resolve, "Open": open, "Apply": apply, "History": nil, "List": nil}
		for _, errs["History"] = range x.History(ctx, x.name, nil) {
		}
		for _, errs["List"] = range x.List(ctx, artifacts.Query{Tenant: x.name.Tenant}) {
		}
		for method, err := range errs {
			wantErr(x, method, err, context.Canceled)
		}
		x.same(before)
	}},
	{"a context that is cancelled while files are read stops the Publish", func(x *fixture) {
		ctx, cancel := context.WithCancel(x.Context())
		defer cancel()
		odd := oddFS{files("a", "1", "b", "2"), map[string]oddity{"a": {reading: cancel}}}
		opts := &artifacts.PublishOptions{ID: "i"}
		_, err := x.Publish(ctx, x.name, odd, opts)
		wantErr(x, "Publish", err, context.Canceled)
		want(x, "records", len(x.history(nil)), 0)
		want(x, "repeated", x.publish(files("a", "1", "b", "2"), opts).Version.ID, x.id(1))
		want(x, "records", len(x.history(nil)), 1)
	}},
	{"a context that is cancelled in a loop ends it with its error", func(x *fixture) {
		x.versions(5)
		for _, list := range []func(ctx context.Context, seen func(error)){
			func(ctx context.Context, seen func(error)) {
				for _, err := range x.List(ctx, artifacts.Query{Tenant: x.name.Tenant}) {
					seen(err)
				}
			},
			func(ctx context.Context, seen func(error)) {
				for _, err := range x.History(ctx, x.name, nil) {
					seen(err)
				}
			},
		} {
			ctx, cancel := context.WithCancel(x.Context())
			n := 0
			var last error
			list(ctx, func(err error) {
				if last != nil {
					x.Errorf("after the error %v comes another step", last)
				}
				last = err
				n++
				cancel()
			})
			wantErr(x, fmt.Sprintf("the last of %d steps", n), last, context.Canceled)
			cancel()
		}
	}},
	{"what goes in is copied", func(x *fixture) {
		data := []byte("data")
		opts := &artifacts.PublishOptions{
			Tags: map[string]string{"k": "v"}, Metrics: map[string]artifacts.Metric{"m": {Value: 1}},
			Lineage: artifacts.Lineage{Parents: []artifacts.ID{x.id(7)}, Inputs: []artifacts.Input{{URI: "u"}}},
		}
		x.publish(artifacts.Files(map[string][]byte{"f": data}), opts)
		note := artifacts.Note{Version: 1, Tags: map[string]string{"n": "v"}, Metrics: map[string]artifacts.Metric{"n": {Value: 1}}}
		x.apply(note)
		x.apply(artifacts.SetAlias{Alias: "live", Version: 1})
		x.versions2()
		x.apply(artifacts.SetAlias{Alias: "live", Version: 2})
		rollback := artifacts.Rollback{Alias: "live", Reason: "r", Evidence: []artifacts.Sample{{Metric: "m"}}}
		x.apply(rollback)
		data[0], opts.Tags["k"], opts.Metrics["m"] = 'x', "x", artifacts.Metric{}
		opts.Lineage.Parents[0].Number, opts.Lineage.Inputs[0].URI = 1, "x"
		note.Tags["n"], note.Metrics["n"] = "x", artifacts.Metric{}
		rollback.Evidence[0].Metric = "x"
		v := x.version(1)
		want(x, "bytes", x.read(1, "f"), "data")
		want(x, "tags and metrics", fmt.Sprint(v.Tags, v.Metrics["m"].Value, v.Metrics["n"].Value), "map[k:v n:v] 1 1")
		want(x, "lineage", fmt.Sprint(v.Lineage.Parents[0].Number, v.Lineage.Inputs[0].URI), "7u")
		h := x.history(nil)
		want(x, "note in the log", h[1].Changes[0].(artifacts.Note).Tags["n"], "v")
		want(x, "evidence in the log", h[len(h)-1].Changes[0].(artifacts.Rollback).Evidence[0].Metric, "m")
		var prev artifacts.Record
		for _, r := range h {
			wantErr(x, "the chain", r.Follows(prev), nil)
			prev = r
		}
	}},
	{"what a rank gives is copied until all have come", func(x *fixture) {
		data := []byte("data")
		opts := &artifacts.PublishOptions{
			ID: "i", Ranks: 2, Tags: map[string]string{"k": "v"}, Metrics: map[string]artifacts.Metric{"m": {Value: 1}},
			Lineage: artifacts.Lineage{Parents: []artifacts.ID{x.id(7)}},
			With:    []artifacts.Change{artifacts.SetAlias{Alias: "live"}, artifacts.Note{Tags: map[string]string{"n": "v"}}},
		}
		x.publish(artifacts.Files(map[string][]byte{"f": data}), opts)
		data[0], opts.Tags["k"], opts.Metrics["m"] = 'x', "x", artifacts.Metric{}
		opts.Lineage.Parents[0].Number, opts.With[0] = 1, artifacts.SetAlias{Alias: "x"}
		opts.With[1].(artifacts.Note).Tags["n"] = "x"
		x.publish(files("g", ""), &artifacts.PublishOptions{ID: "i", Ranks: 2, Rank: 1})
		v := x.version(1)
		want(x, "version", fmt.Sprint(v.Tags, v.Metrics["m"].Value, v.Lineage.Parents[0].Number, v.Aliases), "map[k:v n:v] 1 7 [live]")
		want(x, "bytes", x.read(1, "f"), "data")
	}},
	{"what comes out is a copy", func(x *fixture) {
		p := x.publish(files("f", "1"), &artifacts.PublishOptions{
			Tags: map[string]string{"k": "v"}, Metrics: map[string]artifacts.Metric{"m": {Value: 1}},
			Lineage: artifacts.Lineage{Parents: []artifacts.ID{x.id(7)}, Inputs: []artifacts.Input{{URI: "u"}}},
			With:    []artifacts.Change{artifacts.SetAlias{Alias: "live"}, artifacts.Pin{By: "x"}, artifacts.Note{Tags: map[string]string{"n": "v"}}},
		})
		spoil := func(v artifacts.Version) {
			clear(v.Tags)
			clear(v.Metrics)
			v.Lineage.Parents[0].Number, v.Lineage.Inputs[0].URI, v.Aliases[0], v.Pins[0] = 1, "x", "x", "x"
		}
		ruin := func(r artifacts.Record) {
			clear(r.Changes[2].(artifacts.Note).Tags)
			r.Changes[0] = nil
			r.Moved[0].Alias = "x"
		}
		spoil(p.Version)
		ruin(p.Record)
		spoil(x.version(1))
		spoil(x.list(artifacts.Query{})[0])
		ruin(x.history(nil)[0])
		ruin(x.apply(artifacts.Expect{Alias: "live", Version: 1}))
		v := x.version(1)
		equal(x, "tags", v.Tags, map[string]string{"k": "v", "n": "v"}, maps.Equal)
		want(x, "the rest", fmt.Sprint(v.Metrics["m"].Value, v.Lineage.Parents[0].Number, v.Lineage.Inputs[0].URI, v.Aliases, v.Pins), "1 7u[live] [x]")
		h := x.history(nil)
		want(x, "moves", h[0].Moved[0].Alias, "live")
		wantErr(x, "the chain", h[0].Follows(artifacts.Record{}), nil)
	}},
	{"files and Progress may use the store", func(x *fixture) {
		x.versions(1)
		use := func() {
			if _, err := x.Resolve(x.Context(), artifacts.Ref{Name: x.name}); err != nil {
				x.Error(err)
			}
			if _, err := x.Apply(x.Context(), x.name, artifacts.SetAlias{Alias: "live", Version: 1}); err != nil {
				x.Error(err)
			}
		}
		x.publish(oddFS{files("a", "1"), map[string]oddity{"a": {reading: use}}}, &artifacts.PublishOptions{Progress: func(artifacts.Progress) { use() }})
		x.points("live", 1)
	}},
	{"methods may be called at the same time", func(x *fixture) {
		x.versions(1)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				p, err := x.Publish(x.Context(), x.name, files("f", fmt.Sprint(i)), nil)
				if err != nil {
					x.Error(err)
					return
				}
				if _, err := x.Apply(x.Context(), x.name, artifacts.SetAlias{Alias: "live", Version: p.Version.ID.Number}); err != nil {
					x.Error(err)
				}
				if _, err := x.Resolve(x.Context(), artifacts.Ref{Name: x.name, Alias: "live"}); err != nil {
					x.Error(err)
				}
				for _, err := range x.History(x.Context(), x.name, nil) {
					if err != nil {
						x.Error(err)
					}
				}
				for _, err := range x.List(x.Context(), artifacts.Query{Tenant: x.name.Tenant}) {
					if err != nil {
						x.Error(err)
					}
				}
			})
		}
		wg.Wait()
		want(x, "records", len(x.history(nil)), 17)
		live := x.resolve(artifacts.Ref{Alias: "live"})
		var moved []int64
		for _, r := range x.history(nil) {
			for _, m := range r.Moved {
				if len(moved) > 0 && moved[len(moved)-1] != m.From {
					x.Errorf("a move from %d, and the alias was at %d", m.From, moved[len(moved)-1])
				}
				moved = append(moved, m.To)
			}
		}
		want(x, "the last move", moved[len(moved)-1], live.ID.Number)
		want(x, "moves", len(slices.Compact(slices.Sorted(slices.Values(moved)))), 8)
	}},
}
