// Package costtest asserts what the operations of package dynamomemory ask of
// DynamoDB, as DynamoDB reports it: requests and capacity units.
package costtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"math/big"
	"time"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/meter"
)

// TB is what [Run] needs of a *testing.T.
type TB interface {
	Helper()
	Context() context.Context
	Fatal(args ...any)
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
}

// A session is one that is measured, or about to be.
type session struct {
	TB
	ctx   context.Context //nolint:containedctx // the one that counts, or not
	store memory.Store
	key   memory.Key
	last  memory.Record
	held  memory.Window
	sleep func(time.Duration)
}

// A row is one operation: before prepares the session, do is what is counted.
type row struct {
	name       string
	before, do func(s *session)
	requests   int64
	wcu, rcu   float64
	sleeps     bool
}

// local returns how DynamoDB Local 3.3.1 counts where it does not count as the service
// does: it charges transactions once and nothing for an index that is empty.
func local() map[string][2]float64 {
	return map[string][2]float64{
		"set session state: read, head and state in a transaction": {2, 1},
		"by intent, 50 hits in a session: 4 shards and the head":   {0, 2},
	}
}

// Run asserts the table on store, which must remember what it has seen. Rows that
// need time to pass run if sleep, which lets it pass, is not nil; where it is nil the
// store is on DynamoDB Local.
func Run(t TB, store memory.Store, sleep func(time.Duration)) {
	t.Helper()
	newSession(t, store, sleep).say(1) // the first request of a process asks for the time
	for _, r := range rows() {
		if r.sleeps && sleep == nil {
			continue
		}
		got := r.cost(newSession(t, store, sleep))
		if other, ok := local()[r.name]; ok && sleep == nil {
			r.wcu, r.rcu = other[0], other[1]
		}
		t.Logf("| %s | %d | %v | %v |", r.name, got.Requests, got.WriteUnits, got.ReadUnits)
		if got.Requests != r.requests || got.WriteUnits != r.wcu || got.ReadUnits != r.rcu {
			t.Errorf("%s: %d requests, %v WCU, %v RCU: want %d, %v, %v", r.name, got.Requests, got.WriteUnits, got.ReadUnits, r.requests, r.wcu, r.rcu)
		}
	}
}

func (r row) cost(s *session) meter.Cost {
	if r.before != nil {
		r.before(s)
	}
	var m meter.Meter
	s.ctx = meter.With(s.ctx, &m)
	r.do(s)
	return m.Cost()
}

func newSession(t TB, store memory.Store, sleep func(time.Duration)) *session {
	name := func() string { return rand.Text()[:8] }
	return &session{TB: t, ctx: t.Context(), store: store, key: memory.Key{Tenant: "acme", App: name(), User: name(), Session: name()}, sleep: sleep}
}

// text makes a record of 0.9 KB: as random as text can be, it compresses by a sixth.
func text() string {
	out := make([]byte, 930)
	for i := range out {
		n, err := rand.Int(rand.Reader, big.NewInt(95))
		if err == nil {
			out[i] = byte(' ' + n.Int64())
		}
	}
	return string(out)
}

func entry() memory.Entry {
	return memory.Entry{Messages: []memory.Message{memory.Text("user", text())}}
}

func (s *session) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *session) append(e memory.Entry, opts *memory.AppendOptions) {
	s.Helper()
	r, err := s.store.Append(s.ctx, s.key, e, opts)
	s.must(err)
	s.last = r.Record
}

func (s *session) say(n int) {
	s.Helper()
	for range n {
		s.append(entry(), nil)
	}
}

func (s *session) update(changes ...memory.Change) {
	s.Helper()
	_, err := s.store.Update(s.ctx, s.key, changes...)
	s.must(err)
}

func (s *session) open(opts *memory.WindowOptions) {
	s.Helper()
	w, err := s.store.Open(s.ctx, s.key, opts)
	s.must(err)
	s.held = w
}

func (s *session) find(q memory.Query, want int) {
	s.Helper()
	q.Tenant, q.App = s.key.Tenant, s.key.App
	n := 0
	for _, err := range s.store.Find(s.ctx, q) {
		s.must(err)
		n++
	}
	if n != want {
		s.Errorf("%d found, want %d", n, want)
	}
}

func (s *session) records(opts memory.RangeOptions, want int) {
	s.Helper()
	n := 0
	for _, err := range s.store.Records(s.ctx, s.key, &opts) {
		s.must(err)
		n++
	}
	if n != want {
		s.Errorf("%d records, want %d", n, want)
	}
}

// state has n small values.
func state(n int) memory.State {
	out := memory.State{}
	for i := range n {
		out[fmt.Sprint("key", i)] = rand.Text()
	}
	return out
}

func withState(set memory.States) memory.Entry {
	e := entry()
	e.Messages[0].Parts[0].Text = e.Messages[0].Parts[0].Text[:600]
	e.State.Set = set
	return e
}

func full(s *session) {
	s.append(withState(memory.States{Session: state(10), User: state(2), App: state(2)}), nil)
	s.say(19)
	s.update(memory.SetGist{UpTo: s.last.ID, Text: text() + text() + text(), Tokens: 300})
}

func annotated(s *session) {
	for i := range 50 {
		s.append(memory.Entry{Messages: []memory.Message{memory.Text("user", "short")}}, nil)
		notes := memory.Notes{Intent: "buy", Sentiment: new(float64(i) / 100), Language: "en", Model: "comprehend"}
		s.update(memory.Annotate{Record: s.last.ID, Notes: notes})
	}
}

func rows() []row {
	once := func(s *session) { s.say(1) }
	known := func(s *session) {
		s.say(1)
		s.open(&memory.WindowOptions{Scopes: memory.AllStates})
	}
	return []row{
		{"append", once, func(s *session) { s.say(1) }, 1, 1, 0, false},
		{"first append of a session: directory, head, record", nil, func(s *session) { s.say(1) }, 3, 3, 0, false},
		{"Create: directory and head", nil, func(s *session) { s.update(memory.Create{Title: "t"}) }, 2, 2, 0, false},
		{"append that must find the session", once, func(s *session) { s.append(entry(), &memory.AppendOptions{MustExist: true}) }, 2, 1, 1, false},
		{"append with a request id", once, func(s *session) { s.append(entry(), &memory.AppendOptions{RequestID: "r"}) }, 2, 2, 0, false},
		{"append with an expected version", once, func(s *session) { s.append(entry(), &memory.AppendOptions{IfVersion: 1}) }, 2, 2, 0, false},
		{
			"append with session state", func(s *session) { s.append(withState(memory.States{Session: state(3)}), nil) },
			func(s *session) { s.append(withState(memory.States{Session: state(3)}), nil) }, 1, 1, 0, false,
		},
		{"append with the first session state: marker and record", once, func(s *session) { s.append(withState(memory.States{Session: state(3)}), nil) }, 2, 2, 0, false},
		{"append with user state, the first one: read, record, state", once, func(s *session) { s.append(withState(memory.States{User: state(3)}), nil) }, 3, 2, 1, false},
		{"append with user state", known, func(s *session) { s.append(withState(memory.States{User: state(3)}), nil) }, 2, 2, 0, false},
		{"append with user and app state", known, func(s *session) { s.append(withState(memory.States{User: state(3), App: state(2)}), nil) }, 3, 3, 0, false},
		{"activity, once in five minutes: directory, head, record", func(s *session) { s.say(1); s.sleep(6 * time.Minute) }, func(s *session) { s.say(1) }, 3, 3, 0, true},
		{"open: head, state, gist and the last 20", full, func(s *session) { s.open(nil) }, 1, 0, 6, false},
		{"open with the states of user and app", full, func(s *session) { s.open(&memory.WindowOptions{Scopes: memory.AllStates}) }, 2, 0, 8, false},
		{
			"delta since an earlier window", func(s *session) {
				for range 24 {
					s.say(1)
					s.sleep(15 * time.Second)
				}
				s.open(&memory.WindowOptions{Last: 22})
				s.say(2)
			},
			func(s *session) { s.open(&memory.WindowOptions{Held: &s.held}) }, 1, 0, 1, true,
		},
		{"list 50 sessions of a user", func(s *session) {
			for range 50 {
				s.key.Session = rand.Text()[:8]
				s.update(memory.Create{Title: "a title of a session that somebody has had"})
			}
		}, func(s *session) { s.find(memory.Query{User: s.key.User}, 50) }, 1, 0, 3, false},
		{"by intent, 50 hits in a session: 4 shards and the head", annotated, func(s *session) {
			s.find(memory.Query{Intent: "buy", Since: time.Now().Add(-time.Minute)}, 50)
		}, 5, 0, 3.5, false},
		{"the 10 most negative records of 50: head, index, records", annotated, func(s *session) {
			s.records(memory.RangeOptions{BySentiment: true, Limit: 10}, 10)
		}, 3, 0, 12, false},
		{"annotate: head and record are looked for", once, func(s *session) {
			s.update(memory.Annotate{Record: s.last.ID, Notes: memory.Notes{Intent: "buy", Sentiment: new(0.5)}})
		}, 2, 3, 2, false},
		{"set a title: read, head, directory", once, func(s *session) { s.update(memory.SetTitle{Title: "t"}) }, 3, 2, 1, false},
		{"set session state: read, head and state in a transaction", once, func(s *session) {
			s.update(memory.SetState{Set: memory.States{Session: state(3)}})
		}, 2, 4, 1, false},
		{"set user state: read, write", nil, func(s *session) {
			s.key.Session = ""
			s.update(memory.SetState{Set: memory.States{User: state(3)}})
		}, 2, 1, 1, false},
		{"all of 200 records: head and a page", func(s *session) { s.say(200) }, func(s *session) { s.records(memory.RangeOptions{}, 200) }, 2, 0, 46, false},
	}
}
