package artifactstest

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/genaistore/genaistore/artifacts"
)

var changing = []promise{
	{"an alias points where it was set last", func(x *fixture) {
		x.versions(2)
		r := x.apply(artifacts.SetAlias{Alias: "live", Version: 1, Reason: "first"}, artifacts.SetAlias{Alias: "best", Version: 2})
		want(x, "the record publishes", r.Publish, 0)
		equal(x, "moves", r.Moved, []artifacts.Move{{Alias: "live", To: 1}, {Alias: "best", To: 2}}, slices.Equal)
		r = x.apply(artifacts.SetAlias{Alias: "live", Version: 2})
		equal(x, "moves", r.Moved, []artifacts.Move{{Alias: "live", From: 1, To: 2}}, slices.Equal)
		x.points("live", 2)
		equal(x, "aliases, sorted", x.version(2).Aliases, []string{"best", "live"}, slices.Equal)
		want(x, "aliases of 1", len(x.version(1).Aliases), 0)
	}},
	{"an alias that is removed is gone", func(x *fixture) {
		x.versions(1)
		x.apply(artifacts.SetAlias{Alias: "live", Version: 1})
		r := x.apply(artifacts.RemoveAlias{Alias: "live", Reason: "retired"})
		equal(x, "moves", r.Moved, []artifacts.Move{{Alias: "live", From: 1}}, slices.Equal)
		x.points("live", 0)
		want(x, "aliases of 1", len(x.version(1).Aliases), 0)
	}},
	{"changes that change nothing add no record", func(x *fixture) {
		x.versions(3)
		metric := artifacts.Metric{Value: 1, Better: artifacts.Lower}
		x.apply(
			artifacts.SetAlias{Alias: "live", Version: 1}, artifacts.Delete{Version: 3}, artifacts.Pin{Version: 1, By: "eval"},
			artifacts.Quarantine{Version: 2, Reason: "bad"},
			artifacts.Note{Version: 1, Tags: map[string]string{"k": "v"}, Metrics: map[string]artifacts.Metric{"m": metric}},
		)
		before := x.state()
		for _, c := range []artifacts.Change{
			artifacts.SetAlias{Alias: "live", Version: 1, Reason: "again"},
			artifacts.RemoveAlias{Alias: "absent"},
			artifacts.Delete{Version: 3},
			artifacts.Pin{Version: 1, By: "eval"},
			artifacts.Unpin{Version: 1, By: "nobody"},
			artifacts.Unpin{Version: 3, By: "nobody"},
			artifacts.Quarantine{Version: 2, Reason: "bad"},
			artifacts.Release{Version: 1},
			artifacts.Note{Version: 1, Tags: map[string]string{"k": "v", "absent": ""}, Metrics: map[string]artifacts.Metric{"m": metric}},
			artifacts.Note{Version: 1},
			artifacts.Expect{Alias: "live", Version: 1},
			artifacts.Expect{Alias: "absent"},
		} {
			want(x, fmt.Sprintf("the record of %+v", c), x.apply(c).Digest, before.last)
		}
		r := x.apply(artifacts.Pin{Version: 1, By: "other"}, artifacts.Unpin{Version: 1, By: "other"})
		want(x, "the record of a pin and its end", r.Digest, before.last)
		x.same(before)
	}},
	{"changes are applied all or none", func(x *fixture) {
		x.versions(2)
		x.apply(artifacts.SetAlias{Alias: "live", Version: 1})
		x.refuse(artifacts.ErrNotFound,
			artifacts.SetAlias{Alias: "live", Version: 2}, artifacts.Pin{Version: 2, By: "x"}, artifacts.Quarantine{Version: 1, Reason: "bad"},
			artifacts.Note{Version: 2, Tags: map[string]string{"k": "v"}}, artifacts.SetAlias{Alias: "other", Version: 3})
		x.points("live", 1)
		x.points("other", 0)
		want(x, "what 2 has", fmt.Sprint(x.version(2).Pins, x.version(2).Tags, x.version(1).Quarantined), "[] map[]")
		x.refuse(artifacts.ErrConflict, artifacts.RemoveAlias{Alias: "live"}, artifacts.Delete{Version: 1}, artifacts.Expect{Alias: "live", Version: 2})
		x.points("live", 1)
	}},
	{"later changes see earlier ones", func(x *fixture) {
		x.versions(3)
		x.apply(artifacts.SetAlias{Alias: "live", Version: 1}, artifacts.Pin{Version: 1, By: "x"}, artifacts.Quarantine{Version: 2, Reason: "bad"})
		r := x.apply(
			artifacts.Release{Version: 2}, artifacts.SetAlias{Alias: "live", Version: 2}, artifacts.Unpin{Version: 1, By: "x"}, artifacts.Delete{Version: 1},
			artifacts.SetAlias{Alias: "live", Version: 3},
		)
		equal(x, "moves", r.Moved, []artifacts.Move{{Alias: "live", From: 1, To: 2}, {Alias: "live", From: 2, To: 3}}, slices.Equal)
		x.points("live", 3)
		x.absent(artifacts.Ref{Number: 1})
		x.refuse(artifacts.ErrConflict, artifacts.Quarantine{Version: 2, Reason: "bad"}, artifacts.SetAlias{Alias: "live", Version: 2})
		x.refuse(artifacts.ErrNotFound, artifacts.Delete{Version: 2}, artifacts.SetAlias{Alias: "live", Version: 2})
	}},
	{"Expect looks at where the alias was when the Apply begins", func(x *fixture) {
		x.versions(2)
		x.apply(artifacts.Expect{Alias: "live"}, artifacts.SetAlias{Alias: "live", Version: 1})
		x.apply(artifacts.SetAlias{Alias: "live", Version: 2}, artifacts.Expect{Alias: "live", Version: 1})
		x.points("live", 2)
		x.refuse(artifacts.ErrConflict, artifacts.SetAlias{Alias: "live", Version: 1}, artifacts.Expect{Alias: "live", Version: 1})
		x.refuse(artifacts.ErrConflict, artifacts.Expect{Alias: "live"}, artifacts.SetAlias{Alias: "live", Version: 1})
		x.refuse(artifacts.ErrConflict, artifacts.Expect{Alias: "absent", Version: 1}, artifacts.SetAlias{Alias: "absent", Version: 1})
	}},
	{"one of 16 that expect the same wins", func(x *fixture) {
		x.versions(17)
		x.apply(artifacts.SetAlias{Alias: "live", Version: 17})
		won := x.race(16, func(i int) error {
			_, err := x.Apply(x.Context(), x.name, artifacts.Expect{Alias: "live", Version: 17}, artifacts.SetAlias{Alias: "live", Version: int64(i + 1)})
			return err
		})
		want(x, "winners", won, 1)
		want(x, "records", len(x.history(nil)), 17+2)
	}},
	{"a quarantined version gets no alias but keeps those it has", func(x *fixture) {
		x.versions(1)
		x.apply(artifacts.SetAlias{Alias: "live", Version: 1}, artifacts.Quarantine{Version: 1, Reason: "bad"})
		x.refuse(artifacts.ErrConflict, artifacts.SetAlias{Alias: "other", Version: 1})
		x.points("live", 1)
		x.apply(artifacts.Quarantine{Version: 1, Reason: "worse"})
		want(x, "the newest reason", x.version(1).Quarantined, "worse")
		x.apply(artifacts.Release{Version: 1, Reason: "checked"}, artifacts.SetAlias{Alias: "other", Version: 1})
		want(x, "reason, released", x.version(1).Quarantined, "")
		x.points("other", 1)
	}},
	{"a pinned version is deleted when nobody pins it", func(x *fixture) {
		x.versions(1)
		x.apply(artifacts.Pin{Version: 1, By: "paper"}, artifacts.Pin{Version: 1, By: "audit"})
		equal(x, "pins, sorted", x.version(1).Pins, []string{"audit", "paper"}, slices.Equal)
		x.refuse(artifacts.ErrConflict, artifacts.Delete{Version: 1})
		x.apply(artifacts.Unpin{Version: 1, By: "paper"})
		equal(x, "pins", x.version(1).Pins, []string{"audit"}, slices.Equal)
		x.refuse(artifacts.ErrConflict, artifacts.Delete{Version: 1})
		x.apply(artifacts.Unpin{Version: 1, By: "audit"}, artifacts.Delete{Version: 1})
		x.absent(artifacts.Ref{Number: 1})
	}},
	{"an aliased version is not deleted", func(x *fixture) {
		x.versions(2)
		x.apply(artifacts.SetAlias{Alias: "live", Version: 1})
		x.refuse(artifacts.ErrConflict, artifacts.Delete{Version: 1})
		x.apply(artifacts.SetAlias{Alias: "live", Version: 2}, artifacts.Delete{Version: 1})
		x.absent(artifacts.Ref{Number: 1})
	}},
	{"Delete of 0 deletes every version or none", func(x *fixture) {
		x.versions(3)
		x.apply(artifacts.SetAlias{Alias: "live", Version: 2})
		x.refuse(artifacts.ErrConflict, artifacts.Delete{})
		x.apply(artifacts.RemoveAlias{Alias: "live"}, artifacts.Pin{Version: 3, By: "x"})
		x.refuse(artifacts.ErrConflict, artifacts.Delete{})
		x.apply(artifacts.Unpin{Version: 3, By: "x"}, artifacts.Delete{})
		want(x, "versions", len(x.list(artifacts.Query{})), 0)
		x.absent(artifacts.Ref{})
		before := x.state()
		x.apply(artifacts.Delete{})
		x.same(before)
		want(x, "the next version", x.publish(files("a", "1"), nil).Version.ID, x.id(4))
	}},
	{"a Note adds, replaces and removes", func(x *fixture) {
		x.publish(files("a", "1"), &artifacts.PublishOptions{
			Tags: map[string]string{"keep": "1", "gone": "1", "new": "1"}, Metrics: map[string]artifacts.Metric{"keep": {Value: 1}, "new": {Value: 1}},
		})
		x.apply(artifacts.Note{Version: 1, Tags: map[string]string{"gone": "", "new": "2", "more": "3"}, Metrics: map[string]artifacts.Metric{"new": {Value: -0.5, N: 7, Better: artifacts.Higher}}})
		v := x.version(1)
		equal(x, "tags", v.Tags, map[string]string{"keep": "1", "new": "2", "more": "3"}, maps.Equal)
		equal(x, "metrics", v.Metrics, map[string]artifacts.Metric{"keep": {Value: 1}, "new": {Value: -0.5, N: 7, Better: artifacts.Higher}}, maps.Equal)
	}},
	{"a version has at most MaxTags tags and metrics, also by notes", func(x *fixture) {
		x.versions(1)
		for i := range artifacts.MaxTags {
			if i%10 == 0 {
				tags, metrics := map[string]string{}, map[string]artifacts.Metric{}
				for j := range 10 {
					tags[fmt.Sprint(i+j)], metrics[fmt.Sprint(i+j)] = "v", artifacts.Metric{Value: 1}
				}
				x.apply(artifacts.Note{Version: 1, Tags: tags, Metrics: metrics})
			}
		}
		x.refuse(artifacts.ErrInvalid, artifacts.Note{Version: 1, Tags: map[string]string{"one more": "v"}})
		x.refuse(artifacts.ErrInvalid, artifacts.Note{Version: 1, Metrics: map[string]artifacts.Metric{"one more": {}}})
		x.apply(artifacts.Note{Version: 1, Tags: map[string]string{"one more": "v", "0": ""}})
		want(x, "tags and metrics", len(x.version(1).Tags)+len(x.version(1).Metrics), 2*artifacts.MaxTags)
	}},
	{"a change of what does not exist is ErrNotFound", func(x *fixture) {
		all := func(n int64) []artifacts.Change {
			return []artifacts.Change{
				artifacts.SetAlias{Alias: "a", Version: n},
				artifacts.Quarantine{Version: n, Reason: "r"},
				artifacts.Release{Version: n},
				artifacts.Pin{Version: n, By: "x"},
				artifacts.Note{Version: n, Tags: map[string]string{"k": "v"}},
			}
		}
		for _, c := range append(all(1), artifacts.Delete{}, artifacts.Delete{Version: 1}, artifacts.RemoveAlias{Alias: "a"}, artifacts.Rollback{Alias: "a", Reason: "r"}, artifacts.Expect{Alias: "a"}) {
			x.refuse(artifacts.ErrNotFound, c) // a name that was never published
		}
		x.versions(2)
		x.apply(artifacts.Delete{Version: 1})
		for _, c := range append(all(1), append(all(3), artifacts.Delete{Version: 3}, artifacts.Unpin{Version: 3, By: "x"}, artifacts.Rollback{Alias: "a", Reason: "r"})...) {
			x.refuse(artifacts.ErrNotFound, c)
		}
	}},
	{"a change that breaks a rule is ErrInvalid", func(x *fixture) {
		x.versions(2)
		x.apply(artifacts.SetAlias{Alias: "a", Version: 1})
		x.apply(artifacts.SetAlias{Alias: "a", Version: 2})
		long := strings.Repeat("x", artifacts.MaxText+1)
		sample := artifacts.Sample{Metric: "m", Value: 1}
		for _, c := range []artifacts.Change{
			nil, new(artifacts.SetAlias{Alias: "a", Version: 1}), (*artifacts.Delete)(nil),
			stranger{artifacts.Delete{Version: 1}},
			artifacts.SetAlias{Alias: "", Version: 1},
			artifacts.SetAlias{Alias: "latest", Version: 1},
			artifacts.SetAlias{Alias: "7", Version: 1},
			artifacts.SetAlias{Alias: "b"},
			artifacts.SetAlias{Alias: "b", Version: -1},
			artifacts.SetAlias{Alias: "b", Version: 1, Reason: long},
			artifacts.RemoveAlias{},
			artifacts.RemoveAlias{Alias: "a", Reason: long},
			artifacts.Rollback{Alias: "a"},
			artifacts.Rollback{Reason: "r"},
			artifacts.Rollback{Alias: "a", Reason: "r", Evidence: slices.Repeat([]artifacts.Sample{sample}, artifacts.MaxTags+1)},
			artifacts.Rollback{Alias: "a", Reason: "r", Evidence: []artifacts.Sample{{Metric: "m", Value: math.NaN()}}},
			artifacts.Rollback{Alias: "a", Reason: "r", Evidence: []artifacts.Sample{{Metric: "m", At: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}}},
			artifacts.Quarantine{Version: 1},
			artifacts.Quarantine{Reason: "r"},
			artifacts.Release{},
			artifacts.Pin{Version: 1},
			artifacts.Pin{By: "x"},
			artifacts.Unpin{Version: 1},
			artifacts.Delete{Version: -1},
			artifacts.Note{},
			artifacts.Note{Version: 1, Tags: map[string]string{"": "v"}},
			artifacts.Note{Version: 1, Metrics: map[string]artifacts.Metric{"m": {Value: math.Inf(1)}}},
			artifacts.Note{Version: 1, Metrics: map[string]artifacts.Metric{"m": {Better: 3}}},
			artifacts.Expect{Alias: "a/b"},
			artifacts.Expect{Alias: "a", Version: -1},
		} {
			x.refuse(artifacts.ErrInvalid, c)
		}
		x.refuse(artifacts.ErrInvalid)
		many := make([]artifacts.Change, artifacts.MaxChanges+1)
		for i := range many {
			many[i] = artifacts.Pin{Version: 1, By: fmt.Sprint(i)}
		}
		x.refuse(artifacts.ErrInvalid, many...)
		x.apply(many[1:]...)
		want(x, "pins", len(x.version(1).Pins), artifacts.MaxChanges)
		x.apply(artifacts.Quarantine{Version: 1, Reason: long[1:]})
		want(x, "the longest reason", x.version(1).Quarantined, long[1:])
	}},
	{"an owner is forgotten with aliases and pins, and nobody else is", func(x *fixture) {
		ada, bob := &artifacts.PublishOptions{Owner: "ada"}, &artifacts.PublishOptions{Owner: "bob"}
		x.publish(files("a", "1"), ada)
		x.publish(files("a", "2"), bob)
		x.publish(files("a", "3"), ada)
		if _, err := x.Publish(x.Context(), x.other("z"), files("a", "4"), ada); err != nil {
			x.Fatal(err)
		}
		x.apply(artifacts.SetAlias{Alias: "live", Version: 1}, artifacts.Pin{Version: 3, By: "x"}, artifacts.SetAlias{Alias: "bob", Version: 2})
		for _, wanted := range []int{3, 0} {
			n, err := artifacts.Forget(x.Context(), x, x.name.Tenant, "ada")
			if err != nil || n != wanted {
				x.Errorf("Forget = %d, %v, want %d", n, err, wanted)
			}
		}
		equal(x, "what is left", x.ids(artifacts.Query{}), []string{"llm/ranker@2"}, slices.Equal)
		x.points("bob", 2)
		x.points("live", 0)
	}},
}

// A stranger is a change that no store knows.
type stranger struct{ artifacts.Change }
