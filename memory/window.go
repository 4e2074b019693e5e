package memory

import (
	"iter"
	"slices"
	"time"
)

// A Window is a session as a model call needs it.
type Window struct {
	Key      Key
	Head     Head
	States   States // those that were asked for; empty, not nil, where there is nothing
	Gist     Gist
	Records  []Record // oldest first
	Bookmark Bookmark // at least everything in this window
	Earlier  bool     // the session has records before the first one here
	Split    bool     // the first record is not the first of its turn
	// Orphans are the tool calls in Records without a result in Records: tools that
	// run now, or that died. Records are never changed; [Window.Messages] answers
	// each orphan that is not the last word with a result marked as an error.
	Orphans []Orphan
}

// An Orphan is a tool call without a result.
type Orphan struct {
	Record RecordID
	CallID string
}

// A Head is what identifies and describes a session.
type Head struct {
	Created time.Time
	// Active is when the session was last appended to, or Created before that. It is
	// exact to five minutes, so that an append costs one write.
	Active time.Time
	// Version is 1 at creation. It counts Updates, but those of Annotate alone, and
	// Appends with IfVersion.
	Version int64
	Title   string
	Labels  map[string]string
	Parent  Parent
	Expires time.Time // zero if never
}

// A Parent is where a forked session branched off.
type Parent struct {
	Session string   // empty if the session is no fork
	UpTo    RecordID // the last record that was copied; empty if there was none
}

// LabelSynthetic is the label of a message that was never said: a repair by
// [Window.Messages]. Its value is the reason.
const LabelSynthetic = "synthetic"

// Messages returns the messages of the window as a model takes them. Every tool
// call has its result: an orphan is answered by a result marked as an error, in a
// message labelled [LabelSynthetic] right after the record of the call, unless
// that record is the last one, whose tools may still run. A result whose call is
// not in the window is left out, and with it a message that held nothing else.
// Redacted parts are left out too.
func (w Window) Messages() []Message {
	called := map[string]bool{}
	var out []Message
	for i, r := range w.Records {
		for _, m := range r.Messages {
			said := len(m.Parts) > 0
			if m.Parts != nil {
				m.Parts = r.showable(m.Parts, called)
			}
			if len(m.Parts) > 0 || !said {
				out = append(out, m)
			}
		}
		if i < len(w.Records)-1 {
			out = append(out, w.repairs(r)...)
		}
	}
	return out
}

// showable returns the parts of a message of r that a model may see, and adds
// their calls to called.
func (r Record) showable(parts []Part, called map[string]bool) []Part {
	out := make([]Part, 0, len(parts))
	for _, p := range parts {
		if p.Call != nil {
			called[p.Call.ID] = true
		}
		if p.Result != nil && !called[p.Result.ID] || r.Redacted && p.isEmpty() {
			continue
		}
		out = append(out, p)
	}
	return out
}

func (w Window) repairs(r Record) (out []Message) {
	for _, o := range w.Orphans {
		if o.Record == r.ID {
			out = append(out, unanswered(r, o.CallID))
		}
	}
	return out
}

func (p Part) isEmpty() bool {
	return p.Text == "" && p.Blob == nil && p.Call == nil && p.Result == nil && p.Extra == nil
}

func unanswered(r Record, id string) Message {
	name := ""
	for _, p := range allParts([]Record{r}) {
		if p.Call != nil && p.Call.ID == id {
			name = p.Call.Name
		}
	}
	return Message{
		Role:   "tool",
		Labels: map[string]string{LabelSynthetic: "orphan tool call"},
		Parts:  []Part{{Result: &ToolResult{ID: id, Name: name, IsError: true, Content: []byte(`{"error":"no result was recorded"}`)}}},
	}
}

// Cut returns the index of the first of records that belongs into a window
// bounded by opts, and whether it lies inside a turn: the rule of
// [WindowOptions], for stores. Records are oldest first and reach to the newest;
// before is the record right before them, nil if there is none, of which only the
// turn matters; gist is the tokens that the gist takes. Nothing older than before
// changes the result, so that a store need not read more than Last and one.
func (o *WindowOptions) Cut(records []Record, gist int, before *Record) (from int, split bool) {
	opts := o.WithDefaults()
	from = len(records)
	budget := opts.Tokens - gist
	for from > 0 && len(records)-from < opts.Last {
		if budget -= records[from-1].TokenCount(); opts.Tokens > 0 && budget < 0 {
			break
		}
		from--
	}
	if opts.Verbatim || from == 0 && before == nil {
		return from, insideTurn(records, from, before)
	}
	for at := from; at < len(records); at++ {
		if !insideTurn(records, at, before) && lastCutOff(records[at:at+1]) < 0 {
			return at, false
		}
	}
	// Moving the start may cut off another call, whose results come later still.
	for from < len(records) {
		cut := lastCutOff(records[from:])
		if cut < 0 {
			return from, true
		}
		from += cut + 1
	}
	return from, false
}

func insideTurn(records []Record, i int, before *Record) bool {
	if i > 0 {
		before = &records[i-1]
	}
	return before != nil && i < len(records) && records[i].Turn != "" && records[i].Turn == before.Turn
}

// lastCutOff returns the index of the last of records that has a result without
// its call before it in records, or -1.
func lastCutOff(records []Record) int {
	called := map[string]bool{}
	last := -1
	for i, p := range allParts(records) {
		if p.Call != nil {
			called[p.Call.ID] = true
		}
		if p.Result != nil && !called[p.Result.ID] {
			last = i
		}
	}
	return last
}

// FindOrphans returns the tool calls in records without a later result in
// records, for [Window.Orphans].
func FindOrphans(records []Record) []Orphan {
	var open []Orphan
	for i, p := range allParts(records) {
		if p.Call != nil {
			open = append(open, Orphan{Record: records[i].ID, CallID: p.Call.ID})
		}
		if p.Result == nil {
			continue
		}
		if i := slices.IndexFunc(open, func(o Orphan) bool { return o.CallID == p.Result.ID }); i >= 0 {
			open = slices.Delete(open, i, i+1)
		}
	}
	return open
}

// allParts yields the parts of all messages, each with the index of its record.
func allParts(records []Record) iter.Seq2[int, Part] {
	return func(yield func(int, Part) bool) {
		for i, r := range records {
			for _, m := range r.Messages {
				for _, p := range m.Parts {
					if !yield(i, p) {
						return
					}
				}
			}
		}
	}
}
