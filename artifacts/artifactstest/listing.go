package artifactstest

import (
	"fmt"
	"slices"

	"github.com/genaistore/genaistore/artifacts"
)

// shelf publishes versions under several names.
func (x *fixture) shelf() {
	x.Helper()
	for i, item := range []struct {
		path string
		opts artifacts.PublishOptions
	}{
		{"b", artifacts.PublishOptions{Kind: artifacts.Dataset, Owner: "ada"}},
		{"a/b", artifacts.PublishOptions{Owner: "ada", Tags: map[string]string{"stage": "dev", "team": "x"}}},
		{"a", artifacts.PublishOptions{Kind: artifacts.Dataset, Tags: map[string]string{"stage": "dev"}}},
		{"a-b", artifacts.PublishOptions{Owner: "bob"}},
		{"a/b", artifacts.PublishOptions{Owner: "bob", Tags: map[string]string{"stage": "prod", "team": "x"}}},
		{"ab", artifacts.PublishOptions{}},
		{"a/b/c", artifacts.PublishOptions{Owner: "ada"}},
		{"a/b", artifacts.PublishOptions{Kind: artifacts.Dataset, Owner: "ada", Tags: map[string]string{"stage": "dev"}}},
	} {
		if _, err := x.Publish(x.Context(), x.other(item.path), files("f", fmt.Sprint(i)), &item.opts); err != nil {
			x.Fatal(err)
		}
	}
}

var listing = []promise{
	{"List is by path, then newest first", func(x *fixture) {
		x.shelf()
		equal(x, "list", x.ids(artifacts.Query{}), []string{"a@1", "a-b@1", "a/b@3", "a/b@2", "a/b@1", "a/b/c@1", "ab@1", "b@1"}, slices.Equal)
	}},
	{"List of a prefix takes whole segments, of a path just that", func(x *fixture) {
		x.shelf()
		equal(x, "prefix a", x.ids(artifacts.Query{Prefix: "a"}), []string{"a@1", "a/b@3", "a/b@2", "a/b@1", "a/b/c@1"}, slices.Equal)
		equal(x, "prefix a/b", x.ids(artifacts.Query{Prefix: "a/b"}), []string{"a/b@3", "a/b@2", "a/b@1", "a/b/c@1"}, slices.Equal)
		equal(x, "path a/b", x.ids(artifacts.Query{Path: "a/b"}), []string{"a/b@3", "a/b@2", "a/b@1"}, slices.Equal)
		equal(x, "path absent", x.ids(artifacts.Query{Path: "absent"}), nil, slices.Equal)
	}},
	{"List selects by kind, owner and all tags", func(x *fixture) {
		x.shelf()
		equal(x, "kind", x.ids(artifacts.Query{Kind: artifacts.Dataset}), []string{"a@1", "a/b@3", "b@1"}, slices.Equal)
		equal(x, "owner", x.ids(artifacts.Query{Owner: "ada"}), []string{"a/b@3", "a/b@1", "a/b/c@1", "b@1"}, slices.Equal)
		equal(x, "tag", x.ids(artifacts.Query{Tags: map[string]string{"stage": "dev"}}), []string{"a@1", "a/b@3", "a/b@1"}, slices.Equal)
		equal(x, "tags", x.ids(artifacts.Query{Tags: map[string]string{"stage": "dev", "team": "x"}}), []string{"a/b@1"}, slices.Equal)
		equal(x, "all", x.ids(artifacts.Query{Prefix: "a", Kind: artifacts.Model, Owner: "bob", Tags: map[string]string{"team": "x"}}), []string{"a/b@2"}, slices.Equal)
	}},
	{"List sees notes", func(x *fixture) {
		x.versions(2)
		x.apply(artifacts.Note{Version: 1, Tags: map[string]string{"stage": "prod"}})
		equal(x, "tag", x.ids(artifacts.Query{Tags: map[string]string{"stage": "prod"}}), []string{"llm/ranker@1"}, slices.Equal)
	}},
	{"List of the latest takes those that the rest selects", func(x *fixture) {
		x.shelf()
		equal(x, "latest", x.ids(artifacts.Query{Latest: true}), []string{"a@1", "a-b@1", "a/b@3", "a/b/c@1", "ab@1", "b@1"}, slices.Equal)
		equal(x, "latest of bob", x.ids(artifacts.Query{Latest: true, Owner: "bob"}), []string{"a-b@1"}, slices.Equal)
		for _, c := range []artifacts.Change{artifacts.Quarantine{Version: 3, Reason: "bad"}, artifacts.Delete{Version: 2}} {
			if _, err := x.Apply(x.Context(), x.other("a/b"), c); err != nil {
				x.Fatal(err)
			}
		}
		equal(x, "latest of what is left", x.ids(artifacts.Query{Latest: true, Path: "a/b"}), []string{"a/b@1"}, slices.Equal)
	}},
	{"List leaves out deleted versions but not quarantined ones", func(x *fixture) {
		x.versions(3)
		x.apply(artifacts.Quarantine{Version: 3, Reason: "bad"}, artifacts.Delete{Version: 2})
		equal(x, "list", x.ids(artifacts.Query{}), []string{"llm/ranker@3", "llm/ranker@1"}, slices.Equal)
		want(x, "reason", x.list(artifacts.Query{})[0].Quarantined, "bad")
	}},
	{"List is of one tenant", func(x *fixture) {
		x.versions(1)
		other := newFixture(x.T, x.Store)
		other.versions(2)
		equal(x, "list", x.ids(artifacts.Query{}), []string{"llm/ranker@1"}, slices.Equal)
		want(x, "list of the other", len(other.list(artifacts.Query{})), 2)
		other.apply(artifacts.SetAlias{Alias: "live", Version: 2})
		x.points("live", 0)
	}},
	{"a query that breaks a rule is ErrInvalid, once", func(x *fixture) {
		for _, q := range []artifacts.Query{{Prefix: "a", Path: "b"}, {Prefix: "a/"}, {Path: "../a"}, {Tenant: "a/b"}} {
			if q.Tenant == "" {
				q.Tenant = x.name.Tenant
			}
			var errs []error
			for _, err := range x.List(x.Context(), q) {
				errs = append(errs, err)
			}
			if len(errs) != 1 {
				x.Fatalf("List(%+v) yielded %v, want one error", q, errs)
			}
			wantErr(x, fmt.Sprintf("List(%+v)", q), errs[0], artifacts.ErrInvalid)
		}
	}},
	{"lists begin again, end where the loop does, and let it write", func(x *fixture) {
		x.versions(3)
		versions, records := x.List(x.Context(), artifacts.Query{Tenant: x.name.Tenant}), x.History(x.Context(), x.name, nil)
		x.versions2() // a list begins when it is ranged over
		for range 2 {
			n := 0
			for v, err := range versions {
				if err != nil {
					x.Fatal(err)
				}
				x.apply(artifacts.Note{Version: v.ID.Number, Tags: map[string]string{"seen": v.Tags["seen"] + "."}})
				if n++; n == 2 {
					break
				}
			}
			want(x, "versions seen", n, 2)
			n = 0
			for _, err := range records {
				if err != nil {
					x.Fatal(err)
				}
				if n++; n == 2 {
					x.publish(files("more", fmt.Sprint(n)), nil)
					break
				}
			}
			want(x, "records seen", n, 2)
		}
		all := 0
		for range versions {
			all++
		}
		want(x, "versions", all, 6)
		all = 0
		for range records {
			all++
		}
		want(x, "records", all, len(x.history(nil)))
	}},
}
