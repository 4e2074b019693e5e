package memorytest

import (
	"cmp"
	"maps"
	"slices"

	"github.com/genaistore/genaistore/memory"
)

// A model is what a store must do, said as plainly as possible: no clock, no limits,
// no copies of what nobody changes. All sessions are of one user.
type model struct {
	sessions  map[string]*branch
	user, app memory.State
}

type branch struct {
	version  int64
	title    string
	labels   map[string]string
	parent   memory.Parent
	state    memory.State
	gist     memory.Gist
	records  []memory.Record // with their notes
	requests map[string]memory.Receipt
}

func newBranch() *branch {
	return &branch{version: 1, labels: map[string]string{}, state: memory.State{}, requests: map[string]memory.Receipt{}}
}

func (m *model) append(name string, e memory.Entry, opts memory.AppendOptions) (memory.Receipt, error) {
	s := m.sessions[name]
	if s == nil && (opts.MustExist || opts.IfVersion > 0) {
		return memory.Receipt{}, memory.ErrNotFound
	}
	if s == nil {
		s = newBranch()
		m.sessions[name] = s
	}
	if first, ok := s.requests[opts.RequestID]; ok {
		first.Replayed = true
		if r := s.at(first.Record.ID); r != nil {
			first.Record = *r
			first.Record.Notes = memory.Notes{}
		} else {
			first.Record = memory.Record{ID: first.Record.ID, Time: first.Record.Time, RequestID: opts.RequestID, Redacted: true}
		}
		return first, nil
	}
	receipt := memory.Receipt{Record: memory.Record{RequestID: opts.RequestID, Entry: e}}
	if opts.IfVersion > 0 {
		if s.version != opts.IfVersion {
			return memory.Receipt{}, memory.ErrConflict
		}
		s.version++
		receipt.Version = s.version
	}
	if opts.RequestID != "" {
		s.requests[opts.RequestID] = receipt
	}
	m.merge(s, e.State)
	return receipt, nil
}

// stored tells the model the id and the time of what it has appended.
func (m *model) stored(name string, r memory.Record) {
	s := m.sessions[name]
	s.records = append(s.records, r)
	if first, ok := s.requests[r.RequestID]; ok {
		first.Record.ID, first.Record.Time = r.ID, r.Time
		s.requests[r.RequestID] = first
	}
}

func (m *model) merge(s *branch, d memory.Delta) {
	apply := func(to memory.State, set memory.State, unset []string) {
		maps.Copy(to, set)
		for _, k := range unset {
			delete(to, k)
		}
	}
	apply(s.state, d.Set.Session, d.Unset.Session)
	apply(m.user, d.Set.User, d.Unset.User)
	apply(m.app, d.Set.App, d.Unset.App)
}

func (s *branch) at(id memory.RecordID) *memory.Record {
	for i := range s.records {
		if s.records[i].ID == id {
			return &s.records[i]
		}
	}
	return nil
}

func (s *branch) clone() *branch {
	c := *s
	c.labels, c.state, c.records = maps.Clone(s.labels), maps.Clone(s.state), slices.Clone(s.records)
	return &c
}

// update works on a copy of everything and keeps it if all goes well.
func (m *model) update(name string, changes []memory.Change) error {
	next := model{sessions: m.sessions, user: maps.Clone(m.user), app: maps.Clone(m.app)}
	var s *branch
	if old := m.sessions[name]; old != nil {
		s = old.clone()
		s.version++
	}
	ended := false
	for _, change := range changes {
		var err error
		if s, err = next.change(s, change); err != nil {
			return err
		}
		_, keep := change.(memory.Keep)
		ended = ended || keep
	}
	if onlyNotes(changes) {
		s.version--
	}
	m.user, m.app, m.sessions[name] = next.user, next.app, s
	if ended {
		delete(m.sessions, name)
	}
	return nil
}

func onlyNotes(changes []memory.Change) bool {
	for _, c := range changes {
		if _, ok := c.(memory.Annotate); !ok {
			return false
		}
	}
	return true
}

func (m *model) change(s *branch, change memory.Change) (*branch, error) {
	switch c := change.(type) {
	case memory.Create:
		if s != nil {
			return nil, memory.ErrConflict
		}
		s = newBranch()
		s.title, s.labels = c.Title, map[string]string{"k": "v"}
		return s, nil
	case memory.Fork:
		if s != nil {
			return nil, memory.ErrConflict
		}
		return m.fork(c)
	}
	if s == nil {
		return nil, memory.ErrNotFound
	}
	switch c := change.(type) {
	case memory.Expect:
		// The version was moved on when the update began.
		if !s.isAt(c.Version) {
			return nil, memory.ErrConflict
		}
	case memory.SetTitle:
		s.title = c.Title
	case memory.SetLabels:
		if s.labels["k"] = c["k"]; c["k"] == "" {
			delete(s.labels, "k")
		}
	case memory.SetState:
		m.merge(s, memory.Delta(c))
	case memory.SetGist:
		if c.UpTo < s.gist.UpTo {
			return nil, memory.ErrConflict
		}
		if s.at(c.UpTo) == nil {
			return nil, memory.ErrNotFound
		}
		s.gist = memory.Gist(c)
	case memory.Rewind:
		s.records = slices.DeleteFunc(s.records, func(r memory.Record) bool { return r.ID > c.To })
		if s.gist.UpTo > c.To {
			s.gist = memory.Gist{}
		}
	case memory.Annotate:
		return s.record(c.Record, func(r *memory.Record) error { r.Notes = c.Notes; return nil })
	case memory.Edit:
		return s.record(c.Record, func(r *memory.Record) error {
			if r.Redacted {
				return memory.ErrConflict
			}
			r.Messages, r.Edited = c.Messages, true
			return nil
		})
	case memory.Redact:
		return s.record(c.Record, func(r *memory.Record) error { return redact(r, c.Part) })
	}
	return s, nil
}

// isAt compares with the version before the update that is under way. A session
// that the update itself has made is at version 1.
func (s *branch) isAt(version int64) bool {
	if s.version == 1 {
		return version == 1
	}
	return version == s.version-1
}

func (m *model) fork(c memory.Fork) (*branch, error) {
	from := m.sessions[c.From]
	if from == nil || c.UpTo != "" && from.at(c.UpTo) == nil {
		return nil, memory.ErrNotFound
	}
	s := newBranch()
	s.state, s.parent.Session = maps.Clone(from.state), c.From
	for _, r := range from.records {
		if c.UpTo == "" || r.ID <= c.UpTo {
			s.records = append(s.records, r)
			s.parent.UpTo = r.ID
		}
	}
	if from.gist.UpTo <= s.parent.UpTo {
		s.gist = from.gist
	}
	return s, nil
}

func (s *branch) record(id memory.RecordID, change func(*memory.Record) error) (*branch, error) {
	r := s.at(id)
	if r == nil {
		return nil, memory.ErrNotFound
	}
	return s, change(r)
}

func redact(r *memory.Record, part *memory.PartRef) error {
	if part == nil {
		r.Entry, r.Redacted = memory.Entry{Turn: r.Turn}, true
		return nil
	}
	if len(r.Messages) == 0 || part.Part >= len(r.Messages[0].Parts) {
		return memory.ErrNotFound
	}
	m := r.Messages[0]
	m.Parts = slices.Clone(m.Parts)
	m.Parts[part.Part] = memory.Part{}
	r.Messages, r.Redacted = []memory.Message{m}, true
	return nil
}

func (m *model) open(name string, opts memory.WindowOptions) (memory.Window, error) {
	s := m.sessions[name]
	if s == nil {
		return memory.Window{}, memory.ErrNotFound
	}
	w := memory.Window{Head: memory.Head{Version: s.version, Title: s.title, Labels: s.labels, Parent: s.parent}, Gist: s.gist}
	if opts.Scopes != memory.NoState {
		w.States.Session = s.state
	}
	if opts.Scopes == memory.AllStates {
		w.States.User, w.States.App = m.user, m.app
	}
	from := s.start(opts)
	w.Records, w.Earlier = append([]memory.Record{}, s.records[from:]...), from > 0
	if !opts.Notes {
		w.Records = bare(w.Records)
	}
	w.Split = from > 0 && from < len(s.records) && s.records[from].Turn != "" && s.records[from].Turn == s.records[from-1].Turn
	w.Orphans = orphans(w.Records)
	return w, nil
}

// bare copies records without their notes.
func bare(records []memory.Record) []memory.Record {
	out := []memory.Record{}
	for _, r := range records {
		r.Notes = memory.Notes{}
		out = append(out, r)
	}
	return out
}

// start tries every place where a window may begin, the longest window first, and
// takes the first that is good; where none is, the first that may lie inside a turn.
func (s *branch) start(opts memory.WindowOptions) int {
	last := cmp.Or(opts.Last, memory.DefaultLast)
	inside := -1
	for from := range s.records {
		window := s.records[from:]
		tokens := s.gist.Tokens
		for _, r := range window {
			tokens += r.TokenCount()
		}
		if len(window) > last || opts.Tokens > 0 && tokens > opts.Tokens {
			continue
		}
		if opts.Verbatim || from == 0 {
			return from
		}
		sameTurn := window[0].Turn != "" && window[0].Turn == s.records[from-1].Turn
		if !sameTurn && !cutsOff(window[:1]) {
			return from
		}
		if inside < 0 && !cutsOff(window) {
			inside = from
		}
	}
	if inside >= 0 {
		return inside
	}
	return len(s.records)
}

// cutsOff says whether a result in window has no call before it there.
func cutsOff(window []memory.Record) bool {
	var calls []string
	for _, r := range window {
		for _, m := range r.Messages {
			for _, p := range m.Parts {
				if p.Call != nil {
					calls = append(calls, p.Call.ID)
				}
				if p.Result != nil && !slices.Contains(calls, p.Result.ID) {
					return true
				}
			}
		}
	}
	return false
}

func orphans(window []memory.Record) []memory.Orphan {
	all := []memory.Orphan{}
	var answered []bool
	for _, r := range window {
		for _, m := range r.Messages {
			for _, p := range m.Parts {
				if p.Call != nil {
					all, answered = append(all, memory.Orphan{Record: r.ID, CallID: p.Call.ID}), append(answered, false)
				}
				for i := range all {
					if p.Result != nil && all[i].CallID == p.Result.ID && !answered[i] {
						answered[i] = true
						break
					}
				}
			}
		}
	}
	open := []memory.Orphan{}
	for i := range all {
		if !answered[i] {
			open = append(open, all[i])
		}
	}
	return open
}

func (m *model) records(name string, opts memory.RangeOptions) []memory.Record {
	s := m.sessions[name]
	if s == nil {
		return []memory.Record{}
	}
	in := []memory.Record{}
	for _, r := range s.records {
		if r.ID >= opts.From && (opts.To == "" || r.ID <= opts.To) && (!opts.BySentiment || r.Notes.Sentiment != nil) {
			in = append(in, r)
		}
	}
	if opts.BySentiment {
		slices.SortFunc(in, func(a, b memory.Record) int {
			return cmp.Or(cmp.Compare(*a.Notes.Sentiment, *b.Notes.Sentiment), cmp.Compare(a.ID, b.ID))
		})
	}
	if opts.Backward {
		slices.Reverse(in)
	}
	if opts.Limit > 0 && len(in) > opts.Limit {
		in = in[:opts.Limit]
	}
	if !opts.Notes && !opts.BySentiment {
		return bare(in)
	}
	return in
}

// byIntent returns records of all sessions, the newest first. One that was copied by
// a fork is there once for each.
func (m *model) byIntent(intent string) []memory.RecordID {
	all := []memory.RecordID{}
	for _, s := range m.sessions {
		for _, r := range s.records {
			if r.Notes.Intent == intent {
				all = append(all, r.ID)
			}
		}
	}
	slices.Sort(all)
	slices.Reverse(all)
	return all
}
