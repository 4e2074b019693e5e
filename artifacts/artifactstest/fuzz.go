package artifactstest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/genaistore/genaistore/artifacts"
)

// Fuzz runs random programs of Publish, Apply, Resolve, List and History against
// the Store of newStore and against a plain model, and reports the first
// difference. It calls newStore once a program.
func Fuzz(f *testing.F, newStore func(t *testing.T) artifacts.Store) {
	f.Helper()
	for _, seed := range []string{
		"", "\x00\x01\x02\x00\x03\x04\x10\x01\x00\x20\x02\x10\x30\x00\x00",
		"\x00\x00\x00\x00\x01\x00\x00\x02\x00\x02\x00\x01\x02\x00\x02\x02\x00\x01\x04\x00\x00\x04\x00\x00\x0b\x00\x00",
		"\x00\x00\x00\x01\x00\x01\x01\x01\x01\x06\x00\x01\x08\x00\x01\x07\x00\x01\x08\x00\x01\x05\x00\x02\x0b\x00\x00\x0c\x00\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, program []byte) { run(newFixture(t, newStore(t)), program) })
}

// run runs a program of at most 60 steps of three bytes.
func run(x *fixture, program []byte) {
	x.Helper()
	m := &model{aliases: map[string]int64{}, ids: map[string]int64{}}
	for i := 0; i+2 < len(program) && i < 3*60; i += 3 {
		m.step(x, program[i], program[i+1], program[i+2])
	}
	m.compare(x)
}

var programs = []promise{
	{"random programs do what a plain model does", func(x *fixture) {
		random := rand.NewChaCha8([32]byte{})
		for range 4 {
			program := make([]byte, 3*40)
			_, _ = random.Read(program) // never fails
			run(newFixture(x.T, x.Store), program)
		}
	}},
}

// A model is what the log of one name should come to, written for nothing but to
// be read: it keeps whole histories, and works on copies.
type model struct {
	versions []modelVersion
	aliases  map[string]int64
	way      []modelMove // all moves of all aliases, but those that were undone
	ids      map[string]int64
	records  int
}

type modelVersion struct {
	content    string
	deleted    bool
	quarantine string
	pins       map[string]bool
	tags       map[string]string
	metric     float64
}

type modelMove struct {
	alias string
	from  int64
}

func (m *model) clone() *model {
	c := *m
	c.versions = slices.Clone(m.versions)
	for i, v := range c.versions {
		c.versions[i].pins, c.versions[i].tags = map[string]bool{}, map[string]string{}
		maps.Copy(c.versions[i].pins, v.pins)
		maps.Copy(c.versions[i].tags, v.tags)
	}
	c.aliases, c.ids = maps.Clone(m.aliases), maps.Clone(m.ids)
	c.way = slices.Clone(m.way)
	return &c
}

func (m *model) String() string { return fmt.Sprintf("%+v %v %v", m.versions, m.aliases, m.way) }

func (m *model) find(n int64) *modelVersion {
	if n < 1 || n > int64(len(m.versions)) || m.versions[n-1].deleted {
		return nil
	}
	return &m.versions[n-1]
}

func (m *model) latest() int64 {
	for i, v := range slices.Backward(m.versions) {
		if !v.deleted && v.quarantine == "" {
			return int64(i + 1)
		}
	}
	return 0
}

func (m *model) move(alias string, to int64) {
	if from := m.aliases[alias]; from != to {
		if from != 0 {
			m.way = append(m.way, modelMove{alias, from})
		}
		if m.aliases[alias] = to; to == 0 {
			delete(m.aliases, alias)
		}
	}
}

// rollback undoes moves of alias until it is somewhere good.
func (m *model) rollback(alias, reason string) error {
	bad := m.aliases[alias]
	if bad == 0 {
		return artifacts.ErrNotFound
	}
	for i, step := range slices.Backward(m.way) {
		if step.alias != alias {
			continue
		}
		m.way = slices.Delete(m.way, i, i+1)
		if v := m.find(step.from); v != nil && v.quarantine == "" && step.from != bad {
			m.versions[bad-1].quarantine = reason
			m.aliases[alias] = step.from
			return nil
		}
	}
	return artifacts.ErrConflict
}

func (m *model) remove(n int64) error {
	if n > int64(len(m.versions)) {
		return artifacts.ErrNotFound
	}
	for i := range m.versions {
		v, number := &m.versions[i], int64(i+1)
		if v.deleted || n != 0 && n != number {
			continue
		}
		for _, at := range m.aliases {
			if at == number {
				return artifacts.ErrConflict
			}
		}
		if len(v.pins) > 0 {
			return artifacts.ErrConflict
		}
		v.deleted = true
	}
	return nil
}

func (m *model) change(c artifacts.Change) error {
	need := func(n int64, do func(v *modelVersion)) error {
		v := m.find(n)
		if v == nil {
			return artifacts.ErrNotFound
		}
		do(v)
		return nil
	}
	switch c := c.(type) {
	case artifacts.SetAlias:
		v := m.find(c.Version)
		if v == nil {
			return artifacts.ErrNotFound
		}
		if v.quarantine != "" {
			return artifacts.ErrConflict
		}
		m.move(c.Alias, c.Version)
	case artifacts.RemoveAlias:
		m.move(c.Alias, 0)
	case artifacts.Rollback:
		return m.rollback(c.Alias, c.Reason)
	case artifacts.Quarantine:
		return need(c.Version, func(v *modelVersion) { v.quarantine = c.Reason })
	case artifacts.Release:
		return need(c.Version, func(v *modelVersion) { v.quarantine = "" })
	case artifacts.Pin:
		return need(c.Version, func(v *modelVersion) { v.pins[c.By] = true })
	case artifacts.Unpin:
		if c.Version > int64(len(m.versions)) {
			return artifacts.ErrNotFound
		}
		delete(m.versions[c.Version-1].pins, c.By)
	case artifacts.Delete:
		return m.remove(c.Version)
	case artifacts.Note:
		return need(c.Version, func(v *modelVersion) {
			for k, tag := range c.Tags {
				if v.tags[k] = tag; tag == "" {
					delete(v.tags, k)
				}
			}
			if metric, has := c.Metrics["m"]; has {
				v.metric = metric.Value
			}
		})
	}
	return nil
}

// apply works on a copy, which becomes m if all changes go well.
func (m *model) apply(changes []artifacts.Change) error {
	next := m.clone()
	for _, c := range changes {
		if e, is := c.(artifacts.Expect); is && m.aliases[e.Alias] != e.Version {
			return artifacts.ErrConflict
		}
	}
	for _, c := range changes {
		if err := next.change(c); err != nil {
			return err
		}
	}
	if next.String() != m.String() {
		next.records++
	}
	*m = *next
	return nil
}

// step does one step of a program: what to do, and two numbers for it.
func (m *model) step(x *fixture, op, a, b byte) {
	x.Helper()
	switch op % 16 {
	case 0, 1:
		m.publish(x, op, a, b)
	case 12:
		m.compare(x)
	case 13:
		m.do(x, changeFor(op/16, a, b), changeFor(a, b, op/16), changeFor(b, a, op))
	default:
		m.do(x, changeFor(op, a, b))
	}
}

// changeFor makes a change of at most four versions, two aliases and two pins.
func changeFor(op, a, b byte) artifacts.Change {
	alias, n, by := []string{"live", "canary"}[a%2], int64(b%4)+1, []string{"me", "you"}[a%2]
	switch op % 16 {
	case 2, 3, 13:
		return artifacts.SetAlias{Alias: alias, Version: n}
	case 4, 14:
		return artifacts.Rollback{Alias: alias, Reason: fmt.Sprint("worse ", b%2)}
	case 5:
		return artifacts.Quarantine{Version: n, Reason: fmt.Sprint("bad ", a%2)}
	case 6, 15:
		return artifacts.Release{Version: n}
	case 7:
		return artifacts.Pin{Version: n, By: by}
	case 8:
		return artifacts.Unpin{Version: n, By: by}
	case 9:
		return artifacts.Delete{Version: n - int64(a%2)}
	case 10:
		return artifacts.Note{
			Version: n, Tags: map[string]string{fmt.Sprint(a % 3): []string{"", "v", "w"}[a/3%3]},
			Metrics: map[string]artifacts.Metric{"m": {Value: float64(a%4) + 1}},
		}
	case 11:
		return artifacts.RemoveAlias{Alias: alias}
	default:
		return artifacts.Expect{Alias: alias, Version: n - 1}
	}
}

func (m *model) publish(x *fixture, op, a, b byte) {
	x.Helper()
	next := int64(len(m.versions) + 1)
	if next > 8 {
		return
	}
	data := fmt.Sprint(a % 3)
	opts := &artifacts.PublishOptions{}
	if b%4 == 1 {
		opts.ID = fmt.Sprint(a % 4)
	}
	if b%8 == 2 {
		opts.IfNext = int64(a%4) + 1
	}
	if op%16 == 1 {
		opts.With = []artifacts.Change{artifacts.SetAlias{Alias: "live"}, changeFor(op/16, a, b)}
		if d, is := opts.With[1].(artifacts.Delete); is && d.Version == 0 {
			opts.With = opts.With[:1]
		}
	}
	p, err := x.Publish(x.Context(), x.name, files("f", data), opts)
	if n := m.ids[opts.ID]; opts.ID != "" && n != 0 {
		if err != nil || !p.Again || p.Version.ID.Number != n {
			x.Fatalf("Publish of %+v again = %+v, %v, want version %d", opts, p, err, n)
		}
		return
	}
	after := m.clone()
	var wanted error
	if opts.IfNext != 0 && opts.IfNext != next {
		wanted = artifacts.ErrConflict
	} else {
		for _, c := range opts.With {
			if e, is := c.(artifacts.Expect); is && m.aliases[e.Alias] != e.Version {
				wanted = artifacts.ErrConflict
			}
		}
		after.versions = append(after.versions, modelVersion{content: data, pins: map[string]bool{}, tags: map[string]string{}})
		after.ids[opts.ID] = next
		after.records++
		for _, c := range opts.With {
			if s, is := c.(artifacts.SetAlias); is && s.Version == 0 {
				c = artifacts.SetAlias{Alias: s.Alias, Version: next}
			}
			if wanted == nil {
				wanted = after.change(c)
			}
		}
	}
	if !errors.Is(err, wanted) || wanted == nil && (p.Version.ID.Number != next || p.Again) {
		x.Fatalf("Publish(%+v) = %+v, %v, want version %d or %v", opts, p, err, next, wanted)
	}
	if wanted == nil {
		*m = *after
	}
}

func (m *model) do(x *fixture, changes ...artifacts.Change) {
	x.Helper()
	wanted := artifacts.ErrNotFound
	if len(m.versions) > 0 {
		wanted = m.apply(changes)
	}
	r, err := x.Apply(x.Context(), x.name, changes...)
	if !errors.Is(err, wanted) {
		x.Fatalf("Apply(%+v) = %v, want %v; the model is %s", changes, err, wanted, m)
	}
	if err == nil && r.Seq != int64(m.records) {
		x.Fatalf("Apply(%+v) is record %d, want %d; the model is %s", changes, r.Seq, m.records, m)
	}
}

// compare looks at everything that can be seen.
func (m *model) compare(x *fixture) {
	x.Helper()
	var got, wanted []string
	for _, v := range x.list(artifacts.Query{}) {
		got = append(got, fmt.Sprint(v.ID.Number, v.Quarantined, v.Pins, v.Tags, v.Metrics["m"].Value, v.Aliases, x.read(v.ID.Number, "f")))
	}
	for i, v := range slices.Backward(m.versions) {
		if v.deleted {
			x.absent(artifacts.Ref{Number: int64(i + 1)})
			continue
		}
		pins, aliases := []string{}, []string{}
		for _, by := range []string{"me", "you"} {
			if v.pins[by] {
				pins = append(pins, by)
			}
		}
		for _, alias := range []string{"canary", "live"} {
			if m.aliases[alias] == int64(i+1) {
				aliases = append(aliases, alias)
			}
		}
		wanted = append(wanted, fmt.Sprint(i+1, v.quarantine, pins, v.tags, v.metric, aliases, v.content))
	}
	if !slices.Equal(got, wanted) {
		x.Fatalf("versions are\n%q, want\n%q", got, wanted)
	}
	for _, alias := range []string{"live", "canary"} {
		x.points(alias, m.aliases[alias])
	}
	if n := m.latest(); n == 0 {
		x.absent(artifacts.Ref{})
	} else {
		want(x, "latest", x.resolve(artifacts.Ref{}).ID.Number, n)
	}
	var prev artifacts.Record
	for _, r := range x.history(nil) {
		wantErr(x, "the chain", r.Follows(prev), nil)
		prev = r
	}
	want(x, "records", prev.Seq, int64(m.records))
}
