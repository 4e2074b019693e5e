package artifactstest

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/genaistore/genaistore/artifacts"
)

var resolving = []promise{
	{"a version is found by number, alias, digest, and as the latest", func(x *fixture) {
		x.versions(3)
		x.apply(artifacts.SetAlias{Alias: "live", Version: 2})
		two := x.version(2)
		want(x, "by alias", x.resolve(artifacts.Ref{Alias: "live"}).ID, two.ID)
		want(x, "by digest", x.resolve(artifacts.Ref{Digest: two.Digest}).ID, two.ID)
		want(x, "latest", x.resolve(artifacts.Ref{}).ID, x.id(3))
	}},
	{"a digest finds the highest number that has it", func(x *fixture) {
		one := x.publish(files("a", "1"), nil).Version
		x.publish(files("a", "2"), nil)
		x.publish(files("a", "1"), nil)
		want(x, "by digest", x.resolve(artifacts.Ref{Digest: one.Digest}).ID, x.id(3))
		x.apply(artifacts.Quarantine{Version: 3, Reason: "bad"})
		want(x, "by digest, quarantined", x.resolve(artifacts.Ref{Digest: one.Digest}).ID, x.id(3))
		x.apply(artifacts.Delete{Version: 3})
		want(x, "by digest, when that is deleted", x.resolve(artifacts.Ref{Digest: one.Digest}).ID, x.id(1))
		x.apply(artifacts.Delete{Version: 1})
		x.absent(artifacts.Ref{Digest: one.Digest})
	}},
	{"latest is neither deleted nor quarantined", func(x *fixture) {
		x.versions(4)
		x.apply(artifacts.Quarantine{Version: 4, Reason: "bad"}, artifacts.Delete{Version: 3})
		want(x, "latest", x.resolve(artifacts.Ref{}).ID, x.id(2))
		x.apply(artifacts.Release{Version: 4})
		want(x, "latest, released", x.resolve(artifacts.Ref{}).ID, x.id(4))
		x.apply(artifacts.Quarantine{Version: 4, Reason: "bad"}, artifacts.Quarantine{Version: 2, Reason: "bad"}, artifacts.Quarantine{Version: 1, Reason: "bad"})
		x.absent(artifacts.Ref{})
		want(x, "the next version", x.publish(files("a", "1"), nil).Version.ID, x.id(5))
	}},
	{"a quarantined version is found and says why", func(x *fixture) {
		x.versions(1)
		x.apply(artifacts.SetAlias{Alias: "live", Version: 1}, artifacts.Quarantine{Version: 1, Reason: "leaks"})
		for _, ref := range []artifacts.Ref{{Number: 1}, {Alias: "live"}, {Digest: x.version(1).Digest}} {
			want(x, "reason", x.resolve(ref).Quarantined, "leaks")
		}
		want(x, "content", x.read(1, "w"), "x")
	}},
	{"what is not there is ErrNotFound and fs.ErrNotExist", func(x *fixture) {
		digest := artifacts.ContentDigest(nil)
		for _, ref := range []artifacts.Ref{{}, {Number: 1}, {Alias: "live"}, {Digest: digest}} {
			x.absent(ref)
		}
		x.versions(1)
		for _, ref := range []artifacts.Ref{{Number: 2}, {Alias: "live"}, {Digest: digest}} {
			x.absent(ref)
			ref.Name = x.name
			_, err := x.Resolve(x.Context(), ref)
			wantErr(x, ref.String(), err, fs.ErrNotExist)
		}
	}},
	{"a reference that breaks a rule is ErrInvalid", func(x *fixture) {
		x.versions(1)
		for _, ref := range []artifacts.Ref{
			{Number: -1},
			{Number: 1, Alias: "live"},
			{Alias: "live", Digest: artifacts.ContentDigest(nil)},
			{Alias: "latest"},
			{Alias: "12"},
			{Alias: "a/b"},
			{Alias: "a@b"},
			{Alias: "a:b"},
			{Alias: ".."},
			{Alias: "a\n"},
			{Alias: strings.Repeat("a", artifacts.MaxSegment+1)},
			{Digest: "sha256:12"},
			{Digest: strings.ToUpper(artifacts.ContentDigest(nil))},
			{Digest: artifacts.NewDigest().String()},
		} {
			ref.Name = x.name
			_, err := x.Resolve(x.Context(), ref)
			wantErr(x, fmt.Sprintf("%+v", ref), err, artifacts.ErrInvalid)
		}
		long := strings.Repeat("a", artifacts.MaxSegment)
		x.apply(artifacts.SetAlias{Alias: long, Version: 1}, artifacts.SetAlias{Alias: "ä v1", Version: 1})
		x.points(long, 1)
		x.points("ä v1", 1)
	}},
	{"a deleted version is gone and its number stays taken", func(x *fixture) {
		x.versions(2)
		digest := x.version(2).Digest
		x.apply(artifacts.Delete{Version: 2, Reason: "space"})
		x.absent(artifacts.Ref{Number: 2})
		x.absent(artifacts.Ref{Digest: digest})
		_, err := x.Open(x.Context(), x.id(2), "w")
		wantErr(x, "Open", err, artifacts.ErrNotFound)
		want(x, "latest", x.resolve(artifacts.Ref{}).ID, x.id(1))
		want(x, "the rest", x.read(1, "w"), "x")
		want(x, "the next version", x.publish(files("w", "xx"), nil).Version.ID, x.id(3))
		want(x, "content that was deleted once", x.read(3, "w"), "xx")
	}},
}
