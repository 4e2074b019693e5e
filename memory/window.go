package memory

import (
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
	// Active is when the session was last appended to. In listings it is exact to
	// five minutes, so that an append costs one write.
	Active  time.Time
	Version int64 // 1 at creation; counts Updates, and Appends with IfVersion
	Title   string
	Labels  map[string]string
	Parent  Parent
	Expires time.Time // zero if never
}

// A Parent is where a forked session branched off.
type Parent struct {
	Session string // empty if the session is no fork
	UpTo    RecordID
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
	calls := map[string]bool{}
	var out []Message
	for i, r := range w.Records {
		for _, m := range r.Messages {
			parts := make([]Part, 0, len(m.Parts))
			for _, p := range m.Parts {
				if p.Call != nil {
					calls[p.Call.ID] = true
				}
				if p.Result != nil && !calls[p.Result.ID] || r.Redacted && p.isEmpty() {
					continue
				}
				parts = append(parts, p)
			}
			if len(parts) == 0 && len(m.Parts) > 0 {
				continue
			}
			if m.Parts != nil {
				m.Parts = parts
			}
			out = append(out, m)
		}
		if i == len(w.Records)-1 {
			break
		}
		for _, o := range w.Orphans {
			if o.Record == r.ID {
				out = append(out, unanswered(r, o.CallID))
			}
		}
	}
	return out
}

func (p Part) isEmpty() bool {
	return p.Text == "" && p.Blob == nil && p.Call == nil && p.Result == nil && p.Extra == nil
}

func unanswered(r Record, id string) Message {
	name := ""
	for _, m := range r.Messages {
		for _, p := range m.Parts {
			if p.Call != nil && p.Call.ID == id {
				name = p.Call.Name
			}
		}
	}
	return Message{
		Role:   "tool",
		Labels: map[string]string{LabelSynthetic: "orphan tool call"},
		Parts:  []Part{{Result: &ToolResult{ID: id, Name: name, IsError: true, Content: []byte(`{"error":"no result was recorded"}`)}}},
	}
}

// Cut returns the index of the first of records that belongs into a window
// bounded by opts, whether it lies inside a turn, and nothing else: the rule of
// [WindowOptions], for stores. Records are oldest first and reach to the newest;
// gist is the tokens that the gist takes. If records are not the whole session,
// the first of them must not be taken: it is only there to show whether the
// second one starts a turn; the index is then at least 1.
func (o *WindowOptions) Cut(records []Record, gist int, whole bool) (from int, split bool) {
	opts := o.WithDefaults()
	first := 1
	if whole {
		first = 0
	}
	from = len(records)
	budget := opts.Tokens - gist
	for from > first && len(records)-from < opts.Last {
		if budget -= records[from-1].TokenCount(); opts.Tokens > 0 && budget < 0 {
			break
		}
		from--
	}
	if opts.Verbatim {
		return from, insideTurn(records, from)
	}
	at := from
	for insideTurn(records, at) {
		at++
	}
	if at < len(records) || at == from {
		return at, false
	}
	// Not even the newest turn fits: start inside it, where no result follows
	// whose call is cut off.
	for at = from; at < len(records); {
		cut := lastCutOff(records, at, whole)
		if cut < 0 {
			return at, true
		}
		at = cut + 1
	}
	return at, false
}

func insideTurn(records []Record, i int) bool {
	return i > 0 && i < len(records) && records[i].Turn != "" && records[i].Turn == records[i-1].Turn
}

// lastCutOff returns the index of the last record at or after from that has a
// result whose call lies before from, or -1. A call that is nowhere lies before
// it too, unless records are the whole session: then there never was one.
func lastCutOff(records []Record, from int, whole bool) int {
	seen := map[string]int{}
	last := -1
	for i, r := range records {
		for _, m := range r.Messages {
			for _, p := range m.Parts {
				if p.Call != nil {
					seen[p.Call.ID] = i
				}
				if p.Result == nil || i < from {
					continue
				}
				if call, ok := seen[p.Result.ID]; ok && call < from || !ok && !whole {
					last = i
				}
			}
		}
	}
	return last
}

// FindOrphans returns the tool calls in records without a later result in
// records, for [Window.Orphans].
func FindOrphans(records []Record) []Orphan {
	var open []Orphan
	for _, r := range records {
		for _, m := range r.Messages {
			for _, p := range m.Parts {
				if p.Call != nil {
					open = append(open, Orphan{Record: r.ID, CallID: p.Call.ID})
				}
				if p.Result != nil {
					if i := slices.IndexFunc(open, func(o Orphan) bool { return o.CallID == p.Result.ID }); i >= 0 {
						open = slices.Delete(open, i, i+1)
					}
				}
			}
		}
	}
	return open
}
