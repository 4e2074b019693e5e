package memorytest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/genaistore/genaistore/memory"
)

// Fuzz runs random programs of all six methods against newStore's Store and against
// a plain model, and reports the first difference. Programs are short; each has an
// app of its own, so that the store may be the same each time.
func Fuzz(f *testing.F, newStore func(t *testing.T) memory.Store) {
	f.Helper()
	f.Add([]byte("an Append is a byte for each choice it makes"))
	f.Add([]byte("\x00\x00\x01\x02\x03\x00\x00\x01\x02\x03\x05\x00\x01\x04\x00\x00\x00\x00\x00\x00\x03\x00\x02\x05\x01\x06"))
	random := rand.New(rand.NewPCG(1, 1)) // so that plain go test runs a few programs too
	for range 12 {
		choices := make([]byte, 300)
		for i := range choices {
			choices[i] = byte(random.Uint32())
		}
		f.Add(choices)
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		p := &program{fixture: newFixture(t, newStore(t)), choices: choices, model: model{sessions: map[string]*branch{}, user: memory.State{}, app: memory.State{}}}
		for range 40 {
			if len(p.choices) == 0 || t.Failed() {
				break
			}
			p.step()
		}
		for _, s := range sessionNames {
			p.compare(s, memory.WindowOptions{Last: 1000, Notes: true, Scopes: memory.AllStates})
		}
		p.list()
	})
}

var sessionNames = []string{"s0", "s1", "s2"}

// A program reads its choices from the fuzzer's bytes.
type program struct {
	*fixture
	choices []byte
	model   model
	issued  []memory.RecordID // also those of other sessions and of records that are gone
	texts   int
}

// pick returns a number below n.
func (p *program) pick(n int) int {
	if len(p.choices) == 0 {
		return 0
	}
	c := p.choices[0]
	p.choices = p.choices[1:]
	return int(c) % n
}

func (p *program) on(session string) *fixture {
	key := p.key
	key.Session = session
	return p.at(key)
}

func (p *program) step() {
	session := sessionNames[p.pick(len(sessionNames))]
	switch p.pick(12) {
	case 0, 1, 2, 3, 4:
		p.appendTo(session)
	case 5, 6, 7, 8:
		p.change(session)
	case 9:
		p.on(session).delete()
		delete(p.model.sessions, session)
	case 10:
		p.walk(session)
	case 11:
		p.list()
	}
	p.compare(session, memory.WindowOptions{
		Last: p.pick(6) - 1, Tokens: p.pick(3) * p.pick(20), Verbatim: p.pick(4) == 0,
		Notes: p.pick(2) == 0, Scopes: memory.Scopes(p.pick(3)),
	})
}

func (p *program) agree(got, want error, what string) {
	p.Helper()
	if (got == nil) != (want == nil) || want != nil && !errors.Is(got, want) {
		p.Fatalf("%s: error %v, want %v", what, got, want)
	}
}

func (p *program) appendTo(session string) {
	e := memory.Entry{Turn: []string{"", "1", "2"}[p.pick(3)], Messages: p.messages(), State: p.delta()}
	opts := memory.AppendOptions{MustExist: p.pick(6) == 0, RequestID: []string{"", "", "r0", "r1"}[p.pick(4)]}
	if p.pick(4) == 0 {
		opts.IfVersion = int64(1 + p.pick(4))
	}
	if p.pick(4) == 0 {
		opts.After = p.at(p.key.Owner()).open(nil).Bookmark
	}
	receipt, err := p.store.Append(p.Context(), p.on(session).key, e, &opts)
	want, wantErr := p.model.append(session, e, opts)
	p.agree(err, wantErr, fmt.Sprintf("Append to %s with %+v", session, opts))
	if err != nil {
		return
	}
	if !want.Replayed {
		want.Record.ID, want.Record.Time = receipt.Record.ID, receipt.Record.Time
		if n := len(p.issued); n > 0 && receipt.Record.ID <= p.issued[n-1] {
			p.Fatalf("id %q does not sort after %q", receipt.Record.ID, p.issued[n-1])
		}
		p.issued = append(p.issued, receipt.Record.ID)
		p.model.stored(session, receipt.Record)
	}
	want.Bookmark = receipt.Bookmark
	p.equal(receipt, want, "the receipt")
}

func (p *program) messages() []memory.Message {
	m := memory.Message{Tokens: 1 + p.pick(8)}
	for range 1 + p.pick(2) {
		id := []string{"x", "y"}[p.pick(2)]
		switch p.pick(4) {
		case 0, 1:
			p.texts++
			m.Parts = append(m.Parts, memory.Part{Text: fmt.Sprint(p.texts)})
		case 2:
			m.Parts = append(m.Parts, memory.Part{Call: &memory.ToolCall{ID: id}})
		case 3:
			m.Parts = append(m.Parts, memory.Part{Result: &memory.ToolResult{ID: id}})
		}
	}
	return []memory.Message{m}
}

func (p *program) delta() (d memory.Delta) {
	kind := p.pick(8)
	if kind > 5 {
		return d
	}
	key, value := []string{"a", "b"}[p.pick(2)], float64(p.pick(3))
	set := []*memory.State{&d.Set.Session, &d.Set.User, &d.Set.App}
	unset := []*[]string{&d.Unset.Session, &d.Unset.User, &d.Unset.App}
	if kind < 3 {
		*set[kind] = memory.State{key: value}
	} else {
		*unset[kind-3] = []string{key}
	}
	return d
}

func (p *program) id() memory.RecordID {
	if len(p.issued) == 0 {
		return "none"
	}
	return p.issued[len(p.issued)-1-p.pick(min(len(p.issued), 8))]
}

func (p *program) change(session string) {
	var changes []memory.Change
	for i := range 1 + p.pick(3) {
		changes = append(changes, p.oneChange(i)...)
	}
	if len(changes) == 0 {
		return
	}
	_, err := p.store.Update(p.Context(), p.on(session).key, changes...)
	p.agree(err, p.model.update(session, changes), fmt.Sprintf("Update of %s with %T %+v", session, changes, changes))
}

// oneChange returns a change or, where the choices are used up on one that would not
// be valid at place i, none.
func (p *program) oneChange(i int) []memory.Change {
	switch p.pick(13) {
	case 0:
		if i == 0 {
			return []memory.Change{memory.Create{Title: "created", Labels: map[string]string{"k": "v", "none": ""}}}
		}
	case 1:
		if i == 0 {
			return []memory.Change{memory.Fork{From: sessionNames[p.pick(3)], UpTo: []memory.RecordID{"", p.id()}[p.pick(2)]}}
		}
	case 2:
		return []memory.Change{memory.Expect{Version: int64(1 + p.pick(3))}}
	case 3:
		return []memory.Change{memory.SetTitle{Title: fmt.Sprint(p.pick(3))}}
	case 4:
		return []memory.Change{memory.SetLabels{"k": []string{"", "v", "w"}[p.pick(3)]}}
	case 5:
		return []memory.Change{memory.SetState(p.delta())}
	case 6:
		return []memory.Change{memory.SetGist{UpTo: p.id(), Text: "g", Tokens: p.pick(4)}}
	case 7:
		return []memory.Change{memory.Annotate{Record: p.id(), Notes: p.notes()}}
	case 8:
		return []memory.Change{memory.Edit{Record: p.id(), Messages: p.messages()}}
	case 9:
		return []memory.Change{memory.Redact{Record: p.id()}}
	case 10:
		return []memory.Change{memory.Redact{Record: p.id(), Part: &memory.PartRef{Part: p.pick(3)}}}
	case 11:
		return []memory.Change{memory.Rewind{To: []memory.RecordID{p.id(), p.id(), ""}[p.pick(3)]}}
	case 12:
		if p.pick(4) == 0 {
			return []memory.Change{memory.Keep{Until: time.Unix(1, 0)}}
		}
	}
	return nil
}

func (p *program) notes() (n memory.Notes) {
	if p.pick(4) == 0 {
		return n
	}
	n.Intent = []string{"", "buy"}[p.pick(2)]
	if s := p.pick(5); s < 4 {
		n.Sentiment = new(float64(s-1) / 2)
	}
	return n
}

// compare opens a session and its model.
func (p *program) compare(session string, opts memory.WindowOptions) {
	p.Helper()
	got, err := p.store.Open(p.Context(), p.on(session).key, &opts)
	want, wantErr := p.model.open(session, opts)
	p.agree(err, wantErr, "Open of "+session)
	if err != nil {
		return
	}
	want.Key, want.Bookmark = p.on(session).key, got.Bookmark
	want.Head.Created, want.Head.Active = got.Head.Created, got.Head.Active
	got.Head.Expires = time.Time{}
	if len(got.Head.Labels) == 0 {
		got.Head.Labels = map[string]string{}
	}
	got.Records, got.Orphans = append([]memory.Record{}, got.Records...), append([]memory.Orphan{}, got.Orphans...)
	p.equal(got, want, fmt.Sprintf("the window of %s with %+v", session, opts))
}

func (p *program) walk(session string) {
	opts := memory.RangeOptions{Backward: p.pick(2) == 0, Limit: p.pick(4), Notes: p.pick(2) == 0, BySentiment: p.pick(3) == 0}
	if p.pick(2) == 0 {
		opts.From = p.id()
	}
	if p.pick(2) == 0 {
		opts.To = p.id()
	}
	got := append([]memory.Record{}, p.on(session).records(&opts)...)
	p.equal(got, p.model.records(session, opts), fmt.Sprintf("the records of %s with %+v", session, opts))
}

func (p *program) list() {
	label := memory.Label{Key: []string{"", "k"}[p.pick(2)]}
	if label.Key != "" {
		label.Value = []string{"", "v", "w"}[p.pick(3)]
	}
	want := []memory.Key{}
	for name, s := range p.model.sessions {
		if value, ok := s.labels[label.Key]; label.Key == "" || ok && (label.Value == "" || label.Value == value) {
			want = append(want, p.on(name).key)
		}
	}
	p.sameKeys(p.find(memory.Query{User: p.key.User, Label: label}), want...)
	q := memory.Query{Intent: "buy", Since: time.Now().Add(-time.Hour)}
	ids := func() []memory.RecordID {
		all := []memory.RecordID{}
		for _, m := range p.find(q) {
			all = append(all, m.Record)
		}
		return all
	}
	p.eventually(func() bool { return slices.Equal(ids(), p.model.byIntent("buy")) }, fmt.Sprintf("the records by intent: %v of %v", ids(), p.model.byIntent("buy")))
}
