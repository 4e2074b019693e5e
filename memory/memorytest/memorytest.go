// Package memorytest checks implementations of memory.Store.
//
// It uses only the standard library, so that a Store in another module can run it:
//
//	func TestMyStore(t *testing.T) {
//		memorytest.Run(t, func(t *testing.T) memory.Store { return newMyStore(t) })
//	}
//
// Each case uses an app, a user and sessions of its own with random names, so that
// all of them, and many runs, can share one store or one table. No case needs time
// to pass. What a contract leaves open, such as how long an index lags, a case waits
// for.
//
// Beside the suite are what tests of other code want: [Weather] makes a store fail
// as stores in production do, by a seed; [Patient] is a caller who repeats what may be
// repeated; [Causality] runs three processes that crash, and checks what they find.
package memorytest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/genaistore/genaistore/memory"
)

// A testCase is one promise in the documentation of package memory.
type testCase struct {
	name  string
	check func(f *fixture)
}

// Run tests the Store that newStore returns against every promise that
// memory.Store makes. It calls newStore once a subtest; the store may be the same
// each time.
func Run(t *testing.T, newStore func(t *testing.T) memory.Store) {
	t.Helper()
	groups := []struct {
		name  string
		cases []testCase
	}{
		{"Append", appendCases},
		{"Requests", requestCases},
		{"Limits", limitCases},
		{"Open", openCases},
		{"Window", windowCases},
		{"State", stateCases},
		{"Records", recordsCases},
		{"Update", updateCases},
		{"Change", changeCases},
		{"Fork", forkCases},
		{"Find", findCases},
		{"Erase", eraseCases},
		{"Always", alwaysCases},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.cases {
				t.Run(c.name, func(t *testing.T) { c.check(newFixture(t, newStore(t))) })
			}
		})
	}
}

// A fixture is a store and a session in it that is not there yet.
type fixture struct {
	*testing.T
	store memory.Store
	key   memory.Key
}

func newFixture(t *testing.T, store memory.Store) *fixture {
	return &fixture{t, store, memory.Key{Tenant: "suite", App: name("app"), User: name("user"), Session: name("session")}}
}

func name(kind string) string { return kind + "-" + strings.ToLower(rand.Text()[:16]) }

// other is f for another session of the same user.
func (f *fixture) other() *fixture {
	key := f.key
	key.Session = name("session")
	return f.at(key)
}

func (f *fixture) at(key memory.Key) *fixture { return &fixture{f.T, f.store, key} }

func (f *fixture) append(entry memory.Entry, opts *memory.AppendOptions) memory.Receipt {
	f.Helper()
	receipt, err := f.store.Append(f.Context(), f.key, entry, opts)
	if err != nil {
		f.Fatalf("Append: %v", err)
	}
	return receipt
}

// say appends a text that is a turn by itself.
func (f *fixture) say(text string) memory.Receipt {
	f.Helper()
	return f.append(entry("", text), nil)
}

func entry(turn, text string) memory.Entry {
	return memory.Entry{Turn: turn, Messages: []memory.Message{memory.Text("user", text)}}
}

func (f *fixture) open(opts *memory.WindowOptions) memory.Window {
	f.Helper()
	w, err := f.store.Open(f.Context(), f.key, opts)
	if err != nil {
		f.Fatalf("Open: %v", err)
	}
	return w
}

func (f *fixture) records(opts *memory.RangeOptions) []memory.Record {
	f.Helper()
	var all []memory.Record
	for r, err := range f.store.Records(f.Context(), f.key, opts) {
		if err != nil {
			f.Fatalf("Records: %v", err)
		}
		all = append(all, r)
	}
	return all
}

func (f *fixture) update(changes ...memory.Change) memory.Bookmark {
	f.Helper()
	b, err := f.store.Update(f.Context(), f.key, changes...)
	if err != nil {
		f.Fatalf("Update: %v", err)
	}
	return b
}

// refuse is an Update that must fail with want.
func (f *fixture) refuse(want error, changes ...memory.Change) {
	f.Helper()
	_, err := f.store.Update(f.Context(), f.key, changes...)
	f.want(err, want, "Update of %T", changes)
}

func (f *fixture) find(q memory.Query) []memory.Match {
	f.Helper()
	q.Tenant, q.App = f.key.Tenant, f.key.App
	var all []memory.Match
	for m, err := range f.store.Find(f.Context(), q) {
		if err != nil {
			f.Fatalf("Find: %v", err)
		}
		all = append(all, m)
	}
	return all
}

func (f *fixture) delete() {
	f.Helper()
	if err := f.store.Delete(f.Context(), f.key); err != nil {
		f.Fatalf("Delete: %v", err)
	}
}

// absent fails unless there is nothing of the session.
func (f *fixture) absent() {
	f.Helper()
	_, err := f.store.Open(f.Context(), f.key, nil)
	f.want(err, memory.ErrNotFound, "Open of what is not there")
	if all := f.records(nil); len(all) > 0 {
		f.Errorf("Records yields %d records of a session that is not there", len(all))
	}
	for _, m := range f.find(memory.Query{User: f.key.User}) {
		if m.Key == f.key {
			f.Errorf("Find yields a session that is not there")
		}
	}
}

func (f *fixture) want(err, want error, format string, args ...any) {
	f.Helper()
	if !errors.Is(err, want) {
		f.Errorf(format+": error %v, want one that matches %q", append(args, err, want)...)
	}
}

// equal compares deeply: nil is not empty.
func (f *fixture) equal(got, want any, what string) {
	f.Helper()
	if !reflect.DeepEqual(got, want) {
		f.Errorf("%s: got\n%s\nwant\n%s", what, show(got), show(want))
	}
}

func show(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// texts returns the first text of each record.
func texts(records []memory.Record) []string {
	out := []string{}
	for _, r := range records {
		text := ""
		if len(r.Messages) > 0 && len(r.Messages[0].Parts) > 0 {
			text = r.Messages[0].Parts[0].Text
		}
		out = append(out, text)
	}
	return out
}

func ids(records []memory.Record) []memory.RecordID {
	out := []memory.RecordID{}
	for _, r := range records {
		out = append(out, r.ID)
	}
	return out
}

func keys(matches []memory.Match) []memory.Key {
	out := []memory.Key{}
	for _, m := range matches {
		out = append(out, m.Key)
	}
	return out
}

// sameKeys compares without order.
func (f *fixture) sameKeys(got []memory.Match, want ...memory.Key) {
	f.Helper()
	order := func(a, b memory.Key) int { return strings.Compare(show(a), show(b)) }
	found := keys(got)
	slices.SortFunc(found, order)
	slices.SortFunc(want, order)
	f.equal(found, append([]memory.Key{}, want...), "the sessions found")
}

// patience is how long an index may lag before a case gives up on it.
const patience = 10 * time.Second

// eventually repeats check until it holds, at once where it does.
func (f *fixture) eventually(check func() bool, what string) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !check() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			f.Fatalf("not within %s: %s", patience, what)
		}
	}
}
