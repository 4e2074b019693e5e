package artifactstest

import (
	"slices"
	"time"

	"github.com/genaistore/genaistore/artifacts"
)

// promote points the alias "live" at one version after another.
func (x *fixture) promote(versions ...int64) {
	x.Helper()
	for _, n := range versions {
		x.apply(artifacts.SetAlias{Alias: "live", Version: n})
	}
}

// back rolls "live" back, which must go to version n.
func (x *fixture) back(n int64) {
	x.Helper()
	from := x.resolve(artifacts.Ref{Alias: "live"}).ID.Number
	previous, err := artifacts.Previous(x.Context(), x, x.name, "live")
	wantErr(x, "Previous", err, nil)
	want(x, "Previous", previous.ID, x.id(n))
	r := x.apply(artifacts.Rollback{Alias: "live", Reason: "worse"})
	equal(x, "moves", r.Moved, []artifacts.Move{{Alias: "live", From: from, To: n}}, slices.Equal)
	x.points("live", n)
	want(x, "why the version is not wanted", x.version(from).Quarantined, "worse")
	want(x, "why the target is not wanted", x.version(n).Quarantined, "")
}

// stuck wants "live" to have nothing to go back to.
func (x *fixture) stuck() {
	x.Helper()
	x.refuse(artifacts.ErrConflict, artifacts.Rollback{Alias: "live", Reason: "worse"})
	_, err := artifacts.Previous(x.Context(), x, x.name, "live")
	wantErr(x, "Previous", err, artifacts.ErrNotFound)
}

var rollingBack = []promise{
	{"a rollback goes to the version before, further back each time, and stops", func(x *fixture) {
		x.versions(4)
		x.promote(1, 3, 2, 4)
		x.back(2)
		x.back(3)
		x.back(1)
		x.stuck()
		x.points("live", 1)
	}},
	{"a rollback of A, B, A goes to B and never to A again", func(x *fixture) {
		x.versions(2)
		x.promote(1, 2, 1)
		x.back(2)
		x.stuck()
		x.apply(artifacts.Release{Version: 1})
		x.back(1) // the first time it was there is still before B
		x.stuck()
	}},
	{"a rollback passes over what is quarantined, deleted or where it is", func(x *fixture) {
		x.versions(5)
		x.promote(1, 5, 2, 3, 4, 5)
		x.apply(artifacts.Quarantine{Version: 4, Reason: "bad"}, artifacts.Delete{Version: 3})
		x.back(2)
		x.apply(artifacts.Release{Version: 4}) // it is later than 2
		x.back(1)
		x.stuck()
	}},
	{"a promotion after a rollback goes back to where that went", func(x *fixture) {
		x.versions(3)
		x.promote(1, 2)
		x.back(1)
		x.promote(3)
		x.back(1)
		x.stuck()
	}},
	{"the first version of an alias has nothing before it", func(x *fixture) {
		x.versions(2)
		x.promote(2)
		x.stuck()
		want(x, "quarantine of what stays", x.version(2).Quarantined, "")
	}},
	{"each alias goes back its own way", func(x *fixture) {
		x.versions(3)
		x.promote(1, 2)
		x.apply(artifacts.SetAlias{Alias: "canary", Version: 1})
		x.apply(artifacts.SetAlias{Alias: "canary", Version: 2})
		x.apply(artifacts.SetAlias{Alias: "canary", Version: 3})
		x.back(1)
		x.points("canary", 3)
		r := x.apply(artifacts.Rollback{Alias: "canary", Reason: "bad"})
		equal(x, "moves", r.Moved, []artifacts.Move{{Alias: "canary", From: 3, To: 1}}, slices.Equal)
		equal(x, "aliases", x.version(1).Aliases, []string{"canary", "live"}, slices.Equal)
	}},
	{"a rollback of an absent alias is ErrNotFound", func(x *fixture) {
		x.versions(2)
		x.promote(1, 2)
		x.apply(artifacts.RemoveAlias{Alias: "live"})
		x.refuse(artifacts.ErrNotFound, artifacts.Rollback{Alias: "live", Reason: "worse"})
		_, err := artifacts.Previous(x.Context(), x, x.name, "live")
		wantErr(x, "Previous", err, artifacts.ErrNotFound)
	}},
	{"an alias that is set again remembers where it was", func(x *fixture) {
		x.versions(3)
		x.promote(1, 2)
		x.apply(artifacts.RemoveAlias{Alias: "live"})
		x.promote(3)
		x.back(2)
		x.apply(artifacts.RemoveAlias{Alias: "live"})
		x.promote(2)
		x.back(1) // that it was at 2 before is no way back
	}},
	{"a rollback under Expect happens once", func(x *fixture) {
		x.versions(3)
		x.promote(1, 2, 3)
		rollback := []artifacts.Change{artifacts.Expect{Alias: "live", Version: 3}, artifacts.Rollback{Alias: "live", Reason: "worse"}}
		won := x.race(8, func(int) error {
			_, err := x.Apply(x.Context(), x.name, rollback...)
			return err
		})
		want(x, "winners", won, 1)
		x.points("live", 2)
	}},
	{"two rollbacks in one record go back twice", func(x *fixture) {
		x.versions(3)
		x.promote(1, 2, 3)
		r := x.apply(artifacts.Rollback{Alias: "live", Reason: "one"}, artifacts.Rollback{Alias: "live", Reason: "two"})
		equal(x, "moves", r.Moved, []artifacts.Move{{Alias: "live", From: 3, To: 2}, {Alias: "live", From: 2, To: 1}}, slices.Equal)
		want(x, "reasons", x.version(3).Quarantined+x.version(2).Quarantined, "onetwo")
	}},
	{"a promotion and its rollback in one record are not nothing", func(x *fixture) {
		x.versions(2)
		x.promote(1)
		r := x.apply(artifacts.SetAlias{Alias: "live", Version: 2}, artifacts.Rollback{Alias: "live", Reason: "worse"})
		want(x, "moves", len(r.Moved), 2)
		x.points("live", 1)
		want(x, "reason", x.version(2).Quarantined, "worse")
		x.stuck()
	}},
	{"the evidence of a rollback is in the log", func(x *fixture) {
		x.versions(2)
		x.promote(1, 2)
		at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600))
		x.apply(artifacts.Rollback{Alias: "live", Reason: "worse", Evidence: []artifacts.Sample{{Metric: "loss", Value: 2.5, N: 100, At: at}}})
		h := x.history(&artifacts.HistoryOptions{Backward: true})
		c, is := h[0].Changes[0].(artifacts.Rollback)
		if !is || len(c.Evidence) != 1 || c.Reason != "worse" || c.Alias != "live" {
			x.Fatalf("the log has %+v, want a rollback with a reason and a sample", h[0].Changes)
		}
		if s := c.Evidence[0]; s.Metric != "loss" || s.Value != 2.5 || s.N != 100 || !s.At.Equal(at) {
			x.Errorf("the sample is %+v", s)
		}
	}},
	{"ten guards that see the same make one rollback", func(x *fixture) {
		for range 3 {
			x.publish(files("a", "1"), &artifacts.PublishOptions{Metrics: map[string]artifacts.Metric{"loss": {Value: 1, Better: artifacts.Lower}}})
		}
		x.promote(1, 2, 3)
		guard := artifacts.Guard{Alias: "live", Metric: "loss", MaxRegression: 0.05, MinSamples: 10}
		live, base := x.version(3), x.version(2)
		records := len(x.history(nil))
		x.race(10, func(int) error {
			v, err := guard.Check(x.Context(), x, live, base, artifacts.Sample{Metric: "loss", Value: 2, N: 10})
			if err != nil || !v.RolledBack {
				x.Errorf("Check = %+v, %v, want it rolled back", v, err)
			}
			return err
		})
		x.points("live", 2)
		want(x, "records of the guards", len(x.history(nil))-records, 1)
	}},
}
