package memory

import (
	"bytes"
	"maps"
	"slices"
)

// Nothing that a store keeps is shared with a caller: these copy all that a
// record, a head, notes and a state refer to. A nil list or map stays nil, an empty
// one empty.

func (r Record) clone() Record {
	r.Messages, r.Extra = cloneMessages(r.Messages), bytes.Clone(r.Extra)
	r.State, r.Notes = r.State.clone(), r.Notes.clone()
	return r
}

func cloneMessages(messages []Message) []Message {
	out := slices.Clone(messages)
	for i := range out {
		m := &out[i]
		m.Parts, m.Labels, m.Extra = cloneParts(m.Parts), maps.Clone(m.Labels), bytes.Clone(m.Extra)
	}
	return out
}

func cloneParts(parts []Part) []Part {
	out := slices.Clone(parts)
	for i := range out {
		p := &out[i]
		p.Extra = bytes.Clone(p.Extra)
		if p.Blob != nil {
			p.Blob = new(*p.Blob)
			p.Blob.Data = bytes.Clone(p.Blob.Data)
		}
		if p.Call != nil {
			p.Call = new(*p.Call)
			p.Call.Arguments = bytes.Clone(p.Call.Arguments)
		}
		if p.Result != nil {
			p.Result = new(*p.Result)
			p.Result.Content, p.Result.Parts = bytes.Clone(p.Result.Content), cloneParts(p.Result.Parts)
		}
	}
	return out
}

func (d Delta) clone() Delta {
	return Delta{
		Set:   States{Session: d.Set.Session.clone(), User: d.Set.User.clone(), App: d.Set.App.clone()},
		Unset: Unset{Session: slices.Clone(d.Unset.Session), User: slices.Clone(d.Unset.User), App: slices.Clone(d.Unset.App)},
	}
}

func (s State) clone() State {
	if s == nil {
		return nil
	}
	out := make(State, len(s))
	for k, v := range s {
		out[k] = cloneValue(v)
	}
	return out
}

func cloneValue(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = cloneValue(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			out[k] = cloneValue(v[k])
		}
		return out
	}
	return v
}

func (n Notes) clone() Notes {
	if n.Sentiment != nil {
		n.Sentiment = new(*n.Sentiment)
	}
	n.Labels = maps.Clone(n.Labels)
	return n
}

func (h Head) clone() Head {
	h.Labels = maps.Clone(h.Labels)
	return h
}
