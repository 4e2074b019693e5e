// Package artifactstest checks implementations of artifacts.Store.
//
// It uses only the standard library, so that a Store in another module can run it:
//
//	func TestMyStore(t *testing.T) {
//		artifactstest.Run(t, func(t *testing.T) artifacts.Store { return newMyStore(t) })
//	}
//
// Every case works under a tenant that it makes up, so that the stores of all
// cases may be the same bucket.
package artifactstest

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/genaistore/genaistore/artifacts"
)

type promise struct {
	name  string
	check func(x *fixture)
}

// Run tests the Store that newStore returns against every promise that
// [artifacts.Store] makes. It calls newStore once a subtest.
func Run(t *testing.T, newStore func(t *testing.T) artifacts.Store) {
	t.Helper()
	for _, promises := range [][]promise{publishing, content, ranks, resolving, changing, rollingBack, logging, listing, reading, everywhere, programs} {
		for _, p := range promises {
			t.Run(p.name, func(t *testing.T) { p.check(newFixture(t, newStore(t))) })
		}
	}
}

// A fixture is a store and a name in it that nobody else uses.
type fixture struct {
	*testing.T
	artifacts.Store
	name artifacts.Name
}

func newFixture(t *testing.T, store artifacts.Store) *fixture {
	return &fixture{t, store, artifacts.Name{Tenant: "t-" + strings.ToLower(rand.Text()), Path: "llm/ranker"}}
}

// other returns another name of the same tenant.
func (x *fixture) other(path string) artifacts.Name {
	return artifacts.Name{Tenant: x.name.Tenant, Path: path}
}

func (x *fixture) id(n int64) artifacts.ID { return artifacts.ID{Name: x.name, Number: n} }

func files(pairs ...string) fs.FS {
	m := map[string][]byte{}
	for pair := range slices.Chunk(pairs, 2) {
		m[pair[0]] = []byte(pair[1])
	}
	return artifacts.Files(m)
}

// publish publishes files under x.name, which must become visible.
func (x *fixture) publish(files fs.FS, opts *artifacts.PublishOptions) artifacts.Publication {
	x.Helper()
	p, err := x.Publish(x.Context(), x.name, files, opts)
	if err != nil {
		x.Fatalf("Publish: %v", err)
	}
	return p
}

// versions publishes n versions with different content.
func (x *fixture) versions(n int) {
	x.Helper()
	for i := range n {
		p := x.publish(files("w", strings.Repeat("x", i+1)), nil)
		if p.Version.ID != x.id(int64(i+1)) {
			x.Fatalf("published %v, want version %d", p.Version.ID, i+1)
		}
	}
}

func (x *fixture) apply(changes ...artifacts.Change) artifacts.Record {
	x.Helper()
	r, err := x.Apply(x.Context(), x.name, changes...)
	if err != nil {
		x.Fatalf("Apply(%+v): %v", changes, err)
	}
	return r
}

// refuse applies changes that must fail with want and change nothing.
func (x *fixture) refuse(want error, changes ...artifacts.Change) {
	x.Helper()
	before := x.state()
	if _, err := x.Apply(x.Context(), x.name, changes...); !errors.Is(err, want) {
		x.Errorf("Apply(%+v) = %v, want %v", changes, err, want)
	}
	x.same(before)
}

func (x *fixture) resolve(ref artifacts.Ref) artifacts.Version {
	x.Helper()
	ref.Name = x.name
	v, err := x.Resolve(x.Context(), ref)
	if err != nil {
		x.Fatalf("Resolve(%s): %v", ref, err)
	}
	return v
}

func (x *fixture) version(n int64) artifacts.Version {
	x.Helper()
	return x.resolve(artifacts.Ref{Number: n})
}

// absent wants ref to be ErrNotFound.
func (x *fixture) absent(ref artifacts.Ref) {
	x.Helper()
	ref.Name = x.name
	if v, err := x.Resolve(x.Context(), ref); !errors.Is(err, artifacts.ErrNotFound) {
		x.Errorf("Resolve(%s) = %v, %v, want ErrNotFound", ref, v.ID, err)
	}
}

// points wants an alias at version n, or absent for 0.
func (x *fixture) points(alias string, n int64) {
	x.Helper()
	if n == 0 {
		x.absent(artifacts.Ref{Alias: alias})
		return
	}
	if v := x.resolve(artifacts.Ref{Alias: alias}); v.ID.Number != n || !slices.Contains(v.Aliases, alias) {
		x.Errorf("alias %s points at version %d, known there as %v, want %d", alias, v.ID.Number, v.Aliases, n)
	}
}

func (x *fixture) history(opts *artifacts.HistoryOptions) []artifacts.Record {
	x.Helper()
	var out []artifacts.Record
	for r, err := range x.History(x.Context(), x.name, opts) {
		if err != nil {
			x.Fatalf("History: %v", err)
		}
		out = append(out, r)
	}
	return out
}

// list lists versions of x's tenant.
func (x *fixture) list(q artifacts.Query) []artifacts.Version {
	x.Helper()
	q.Tenant = x.name.Tenant
	var out []artifacts.Version
	for v, err := range x.List(x.Context(), q) {
		if err != nil {
			x.Fatalf("List(%+v): %v", q, err)
		}
		out = append(out, v)
	}
	return out
}

// ids returns what list yields, in the form path@42.
func (x *fixture) ids(q artifacts.Query) []string {
	x.Helper()
	var out []string
	for _, v := range x.list(q) {
		out = append(out, v.ID.String())
	}
	return out
}

// A state is what can be seen of an artifact.
type state struct {
	records  int
	last     string
	versions []string
}

func (x *fixture) state() state {
	x.Helper()
	s := state{versions: x.ids(artifacts.Query{})}
	for _, r := range x.history(nil) {
		s.records++
		s.last = r.Digest
	}
	return s
}

func (x *fixture) same(before state) {
	x.Helper()
	if now := x.state(); now.records != before.records || now.last != before.last || !slices.Equal(now.versions, before.versions) {
		x.Errorf("what failed changed something: %+v, before it was %+v", now, before)
	}
}

// read returns the bytes of a file of version n.
func (x *fixture) read(n int64, path string) string {
	x.Helper()
	f, err := x.Open(x.Context(), x.id(n), path)
	if err != nil {
		x.Fatalf("Open(%d, %s): %v", n, path, err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(f)
	if err != nil {
		x.Fatalf("read %s: %v", path, err)
	}
	return string(data)
}

func equal[T any](x *fixture, what string, got, want T, same func(a, b T) bool) {
	x.Helper()
	if !same(got, want) {
		x.Errorf("%s is %v, want %v", what, got, want)
	}
}

func want[T comparable](x *fixture, what string, got, want T) {
	x.Helper()
	if got != want {
		x.Errorf("%s is %v, want %v", what, got, want)
	}
}

func wantErr(x *fixture, what string, got, want error) {
	x.Helper()
	if !errors.Is(got, want) {
		x.Errorf("%s: %v, want %v", what, got, want)
	}
}
