package memorytest

import (
	"fmt"
	"strings"
	"time"

	"github.com/genaistore/genaistore/memory"
)

var limitCases = []testCase{
	{"an entry has at most MaxEntry bytes", func(f *fixture) {
		text := strings.Repeat("x", memory.MaxEntry-len("user"))
		f.say(text)
		f.invalid(entry("", text+"x"), nil)
		f.invalid(entry("t", text), nil)
		f.equal(texts(f.records(nil)), []string{text}, "the records")
	}},
	{"an entry has at most MaxMessages messages", func(f *fixture) {
		f.append(memory.Entry{Messages: make([]memory.Message, memory.MaxMessages)}, nil)
		f.invalid(memory.Entry{Messages: make([]memory.Message, memory.MaxMessages+1)}, nil)
		f.equal(len(f.records(nil)[0].Messages), memory.MaxMessages, "messages")
	}},
	{"a message has at most MaxLabels labels, of MaxLabelValue bytes", func(f *fixture) {
		labels := map[string]string{}
		for i := range memory.MaxLabels {
			labels[fmt.Sprint(i)] = strings.Repeat("v", memory.MaxLabelValue)
		}
		f.append(memory.Entry{Messages: []memory.Message{{Labels: labels}}}, nil)
		f.equal(f.records(nil)[0].Messages[0].Labels, labels, "the labels")
		for _, bad := range []map[string]string{
			{"k": strings.Repeat("v", memory.MaxLabelValue+1)}, {"": "v"}, {"k\n": "v"}, {"k": "\xff"}, {strings.Repeat("k", memory.MaxKeyPart+1): "v"},
		} {
			f.invalid(memory.Entry{Messages: []memory.Message{{Labels: bad}}}, nil)
		}
		labels["one more"] = "v"
		f.invalid(memory.Entry{Messages: []memory.Message{{Labels: labels}}}, nil)
	}},
	{"turns and request ids have at most MaxKeyPart bytes", func(f *fixture) {
		most := strings.Repeat("é", memory.MaxKeyPart/2)
		r := f.append(entry(most, "a"), once(most)).Record
		f.equal(r.Turn, most, "the turn")
		f.equal(f.append(entry(most, "a"), once(most)).Replayed, true, "replay")
		f.invalid(entry(most+"x", ""), nil)
		f.invalid(entry("", ""), once(most+"x"))
		f.invalid(entry("a\nb", ""), nil)
		f.invalid(entry("", ""), once("\xff"))
	}},
	{"tool results nest at most MaxNesting deep", func(f *fixture) {
		nested := func(depth int) memory.Entry {
			p := memory.Part{Text: "x"}
			for range depth {
				p = memory.Part{Result: &memory.ToolResult{Parts: []memory.Part{p}}}
			}
			return memory.Entry{Messages: []memory.Message{{Parts: []memory.Part{p}}}}
		}
		f.append(nested(memory.MaxNesting), nil)
		f.equal(f.records(nil)[0].Entry, nested(memory.MaxNesting), "the entry")
		f.invalid(nested(memory.MaxNesting+1), nil)
	}},
	{"what refers to itself is invalid and creates nothing", func(f *fixture) {
		ring := &memory.ToolResult{}
		ring.Parts = []memory.Part{{Result: ring}}
		loop := map[string]any{}
		loop["k"] = loop
		messages := []memory.Message{{Parts: []memory.Part{{Result: ring}}}}
		for _, e := range []memory.Entry{{Messages: messages}, {State: memory.Delta{Set: memory.States{Session: memory.State{"k": loop}}}}} {
			_, err := f.store.Append(f.Context(), f.key, e, nil)
			f.want(err, memory.ErrInvalid, "Append of what refers to itself")
		}
		f.absent()
		id := f.say("a").Record.ID
		_, err := f.store.Update(f.Context(), f.key, memory.Edit{Record: id, Messages: messages})
		f.want(err, memory.ErrInvalid, "Edit to what refers to itself")
		f.equal(texts(f.records(nil)), []string{"a"}, "the records")
	}},
	{"an entry that cannot be stored is invalid and creates nothing", func(f *fixture) {
		for _, m := range []memory.Message{
			{Tokens: -1},
			{Role: "\xff"},
			{Name: "\xff"},
			{Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
			{Parts: []memory.Part{{Text: "\xff"}}},
			{Parts: []memory.Part{{Text: "x", Call: &memory.ToolCall{}}}},
			{Parts: []memory.Part{{Blob: &memory.Blob{}, Result: &memory.ToolResult{}}}},
			{Parts: []memory.Part{{Blob: &memory.Blob{Data: []byte{}, URI: "u"}}}},
			{Parts: []memory.Part{{Blob: &memory.Blob{Name: "\xff"}}}},
			{Parts: []memory.Part{{Call: &memory.ToolCall{ID: "\xff"}}}},
			{Parts: []memory.Part{{Result: &memory.ToolResult{Name: "\xff"}}}},
			{Parts: []memory.Part{{Result: &memory.ToolResult{Parts: []memory.Part{{Text: "\xff"}}}}}},
		} {
			f.invalid(memory.Entry{Messages: []memory.Message{m}}, nil)
		}
		f.invalid(entry("", "a"), &memory.AppendOptions{IfVersion: -1})
		f.absent()
	}},
	{"a bookmark that the store cannot read is invalid", func(f *fixture) {
		r := f.say("a")
		for _, b := range []memory.Bookmark{"no bookmark", "\xff", memory.Bookmark(strings.Repeat("x", memory.MaxBookmark+1)), r.Bookmark + "x", r.Bookmark[1:], memory.Bookmark(r.Record.ID)} {
			f.invalid(entry("", "b"), &memory.AppendOptions{After: b})
			_, err := f.store.Open(f.Context(), f.key, &memory.WindowOptions{AtLeast: b})
			f.want(err, memory.ErrInvalid, "Open at least %q", b)
		}
		f.equal(texts(f.records(nil)), []string{"a"}, "the records")
	}},
	{"a part of a key has at most MaxKeyPart bytes", func(f *fixture) {
		most := func(s string) string {
			return s + strings.Repeat("é", (memory.MaxKeyPart-len(s))/2) + strings.Repeat("x", len(s)%2)
		}
		long := f.at(memory.Key{Tenant: most("t"), App: most(f.key.App), User: most(f.key.User), Session: most("s")})
		long.say("a")
		long.update(memory.SetTitle{Title: "t"})
		long.sameKeys(long.find(memory.Query{User: long.key.User}), long.key)
		long.delete()
		long.absent()
	}},
	{"a bad key is invalid in every method", func(f *fixture) {
		long := strings.Repeat("x", memory.MaxKeyPart+1)
		for _, key := range []memory.Key{
			{},
			{App: f.key.App, User: "u"},
			{App: f.key.App, Session: "s"},
			{Tenant: long, User: "u", Session: "s"},
			{App: long, User: "u", Session: "s"},
			{User: long, Session: "s"},
			{User: "u", Session: long},
			{User: "a\x00b", Session: "s"},
			{User: "u", Session: "a\nb"},
			{User: "u", Session: "\xff"},
			{User: "u\u0085", Session: "s"},
		} {
			f.badKey(key)
		}
	}},
	{"keys that look alike are different", func(f *fixture) {
		user := f.key.User
		var all []memory.Key
		for _, k := range []memory.Key{
			{User: user + "/a", Session: "b"},
			{User: user, Session: "a/b"},
			{User: user, Session: "a#b"},
			{User: user, Session: "a%23b"},
			{User: user + "#a", Session: "b"},
			{User: user, Session: "A/b"},
			{User: user, Session: " a/b"},
			{User: user, Session: "a/b "},
			{User: user, Session: "é"},
			{User: user, Session: "e\u0301"},
			{User: user, Session: "名"},
			{User: user, Session: "%"},
		} {
			k.Tenant, k.App = f.key.Tenant, f.key.App
			f.at(k).append(memory.Entry{Messages: []memory.Message{memory.Text("user", show(k))}, State: memory.Delta{Set: memory.States{User: memory.State{k.User: true}}}}, nil)
			all = append(all, k)
		}
		for _, k := range all {
			w := f.at(k).open(&memory.WindowOptions{Scopes: memory.AllStates})
			f.equal(texts(w.Records), []string{show(k)}, "the records")
			f.equal(w.States.User, memory.State{k.User: true}, "the user's state")
		}
		f.sameKeys(f.find(memory.Query{}), all...)
	}},
	{"the tenant and the app may be empty", func(f *fixture) {
		var all []*fixture
		for _, k := range []memory.Key{{}, {Tenant: f.key.Tenant}, {App: f.key.App}, {Tenant: f.key.Tenant, App: f.key.App}} {
			k.User, k.Session = f.key.User, f.key.Session
			all = append(all, f.at(k))
		}
		for i, g := range all {
			g.say(fmt.Sprint(i))
		}
		for i, g := range all {
			f.equal(texts(g.records(nil)), []string{fmt.Sprint(i)}, "the records")
			g.sameKeys(g.find(memory.Query{User: g.key.User}), g.key)
			g.delete()
		}
	}},
}

// invalid is an Append that must fail with ErrInvalid and change nothing.
func (f *fixture) invalid(e memory.Entry, opts *memory.AppendOptions) {
	f.Helper()
	before := len(f.records(nil))
	_, err := f.store.Append(f.Context(), f.key, e, opts)
	f.want(err, memory.ErrInvalid, "Append of %.200s with %+v", show(e), opts)
	if after := len(f.records(nil)); after != before {
		f.Errorf("a refused Append has made %d records of %d", after, before)
	}
}

func (f *fixture) badKey(key memory.Key) {
	f.Helper()
	ctx := f.Context()
	_, err := f.store.Append(ctx, key, memory.Entry{}, nil)
	f.want(err, memory.ErrInvalid, "Append to %q", key)
	f.want(f.store.Delete(ctx, key), memory.ErrInvalid, "Delete of %q", key)
	_, err = f.store.Update(ctx, key, memory.Create{})
	f.want(err, memory.ErrInvalid, "Update of %q", key)
	n := 0
	for _, err := range f.store.Records(ctx, key, nil) {
		f.want(err, memory.ErrInvalid, "Records of %q", key)
		n++
	}
	f.equal(n, 1, "yields of Records with a bad key")
	if key.ValidateScope() == nil {
		return // the key of a user or an app, which Open takes
	}
	_, err = f.store.Open(ctx, key, nil)
	f.want(err, memory.ErrInvalid, "Open of %q", key)
}
