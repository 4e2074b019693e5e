package artifactstest

import (
	"reflect"
	"time"

	"github.com/genaistore/genaistore/artifacts"
)

var logging = []promise{
	{"the log is a chain without gaps", func(x *fixture) {
		start := time.Now().Add(-time.Minute)
		x.versions(2)
		x.apply(artifacts.SetAlias{Alias: "live", Version: 1})
		x.publish(files("a", "1"), &artifacts.PublishOptions{ID: "mine", With: []artifacts.Change{artifacts.SetAlias{Alias: "live"}}})
		x.apply(artifacts.Rollback{Alias: "live", Reason: "worse"})
		h := x.history(nil)
		want(x, "records", len(h), 5)
		var prev artifacts.Record
		ids := map[string]bool{}
		for _, r := range h {
			wantErr(x, "the chain", r.Follows(prev), nil)
			if r.Time.Before(start) || r.Time.After(time.Now().Add(time.Minute)) || r.ID == "" || ids[r.ID] {
				x.Errorf("record %+v, want the time of now and an ID of its own", r)
			}
			ids[r.ID] = true
			prev = r
		}
		for i, n := range []int64{1, 2, 0, 3, 0} {
			want(x, "version of the record", h[i].Publish, n)
			if n > 0 {
				want(x, "content of the record", h[i].Content, x.version(n).Digest)
			}
		}
		want(x, "ID", h[3].ID, "mine")
		want(x, "what Apply returns", x.apply(artifacts.Delete{Version: 2}).Digest, x.history(nil)[5].Digest)
	}},
	{"a record says what was asked", func(x *fixture) {
		x.versions(3)
		at := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
		changes := []artifacts.Change{
			artifacts.Expect{Alias: "live"},
			artifacts.SetAlias{Alias: "live", Version: 1, Reason: "<first> & \u2028"},
			artifacts.SetAlias{Alias: "live", Version: 2},
			artifacts.Rollback{Alias: "live", Reason: "worse", Evidence: []artifacts.Sample{{Metric: "m", Value: -1.25e-9, N: 1 << 60, At: at}}},
			artifacts.RemoveAlias{Alias: "live", Reason: "done"},
			artifacts.Quarantine{Version: 3, Reason: "bad"},
			artifacts.Release{Version: 3, Reason: "good"},
			artifacts.Pin{Version: 3, By: "me"},
			artifacts.Pin{Version: 3, By: "you"},
			artifacts.Unpin{Version: 3, By: "me"},
			artifacts.Note{Version: 3, Metrics: map[string]artifacts.Metric{"m": {Value: 1e300, N: 3, Better: artifacts.Higher}}, Tags: map[string]string{"k": "v"}},
			artifacts.Delete{Version: 2, Reason: "space"},
		}
		x.apply(changes...)
		got := x.history(&artifacts.HistoryOptions{After: 3})[0].Changes
		for i, c := range changes {
			if i >= len(got) || !reflect.DeepEqual(got[i], c) {
				x.Fatalf("change %d is %#v, want %#v", i, got[min(i, len(got)-1)], c)
			}
		}
	}},
	{"history is after a record, forward and backward", func(x *fixture) {
		x.versions(5)
		for _, c := range []struct {
			opts artifacts.HistoryOptions
			want []int64
		}{
			{artifacts.HistoryOptions{}, []int64{1, 2, 3, 4, 5}},
			{artifacts.HistoryOptions{After: 3}, []int64{4, 5}},
			{artifacts.HistoryOptions{After: 5}, nil},
			{artifacts.HistoryOptions{After: 99}, nil},
			{artifacts.HistoryOptions{After: -1}, []int64{1, 2, 3, 4, 5}},
			{artifacts.HistoryOptions{Backward: true}, []int64{5, 4, 3, 2, 1}},
			{artifacts.HistoryOptions{After: 3, Backward: true}, []int64{5, 4}},
			{artifacts.HistoryOptions{After: 99, Backward: true}, nil},
		} {
			var got []int64
			for _, r := range x.history(&c.opts) {
				got = append(got, r.Seq)
			}
			if !reflect.DeepEqual(got, c.want) {
				x.Errorf("History(%+v) has records %v, want %v", c.opts, got, c.want)
			}
		}
	}},
	{"a name that does not exist has no history", func(x *fixture) {
		want(x, "records", len(x.history(nil)), 0)
		want(x, "records backward", len(x.history(&artifacts.HistoryOptions{Backward: true})), 0)
	}},
}
