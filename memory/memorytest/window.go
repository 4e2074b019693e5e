package memorytest

import (
	"fmt"
	"strings"

	"github.com/genaistore/genaistore/memory"
)

// script appends records that are written in short: "turn:what", where what is a
// word, "+id" for a tool call, "-id" for a tool result, or several of them with
// commas between.
func (f *fixture) script(lines ...string) []memory.RecordID {
	f.Helper()
	var all []memory.RecordID
	for _, line := range lines {
		turn, what, _ := strings.Cut(line, ":")
		e := memory.Entry{Turn: turn, Messages: []memory.Message{{Tokens: 10}}}
		for word := range strings.SplitSeq(what, ",") {
			p := memory.Part{Text: word}
			if id, ok := strings.CutPrefix(word, "+"); ok {
				p = memory.Part{Call: &memory.ToolCall{ID: id, Name: "tool"}}
			} else if id, ok := strings.CutPrefix(word, "-"); ok {
				p = memory.Part{Result: &memory.ToolResult{ID: id, Name: "tool"}}
			}
			e.Messages[0].Parts = append(e.Messages[0].Parts, p)
		}
		all = append(all, f.append(e, nil).Record.ID)
	}
	return all
}

// starts checks where the window begins: the number of records left out.
func (f *fixture) starts(all []memory.RecordID, opts memory.WindowOptions, from int, split bool) {
	f.Helper()
	w := f.open(&opts)
	f.equal(ids(w.Records), all[from:], fmt.Sprintf("the records with %+v", opts))
	f.equal(w.Split, split, fmt.Sprintf("split with %+v", opts))
	f.equal(w.Earlier, from > 0, fmt.Sprintf("earlier with %+v", opts))
}

var windowCases = []testCase{
	{"a window does not begin inside a turn", func(f *fixture) {
		all := f.script("1:a", "1:b", "2:c", "2:d", "2:e", "3:f")
		for last, from := range map[int]int{1: 5, 2: 5, 3: 5, 4: 2, 5: 2, 6: 0} {
			f.starts(all, memory.WindowOptions{Last: last}, from, false)
		}
	}},
	{"an entry without a turn is a turn by itself", func(f *fixture) {
		all := f.script(":a", ":b", "1:c", "1:d", ":e", ":f")
		for last, from := range map[int]int{1: 5, 2: 4, 3: 4, 4: 2, 5: 1, 6: 0} {
			f.starts(all, memory.WindowOptions{Last: last}, from, false)
		}
	}},
	{"a turn that comes again later is another turn", func(f *fixture) {
		all := f.script("1:a", "2:b", "1:c", "1:d")
		for last, from := range map[int]int{2: 2, 3: 1} {
			f.starts(all, memory.WindowOptions{Last: last}, from, false)
		}
	}},
	{"a turn that does not fit is split, and the window says so", func(f *fixture) {
		all := f.script("1:a", "2:b", "2:c", "2:d", "2:e")
		for last, from := range map[int]int{1: 4, 2: 3, 3: 2} {
			f.starts(all, memory.WindowOptions{Last: last}, from, true)
		}
		f.starts(all, memory.WindowOptions{Last: 4}, 1, false)
	}},
	{"Verbatim takes exactly what fits", func(f *fixture) {
		all := f.script("1:a", "2:+x", "2:-x", "2:c", "3:d")
		for last, split := range map[int]bool{1: false, 2: true, 3: true, 4: false, 5: false} {
			f.starts(all, memory.WindowOptions{Last: last, Verbatim: true}, 5-last, split)
		}
		f.starts(all, memory.WindowOptions{Tokens: 25, Verbatim: true}, 3, true)
	}},
	{"a window does not begin at a tool result whose call is left out", func(f *fixture) {
		all := f.script(":a", ":+x", ":-x", ":b")
		for last, from := range map[int]int{1: 3, 2: 3, 3: 1, 4: 0} {
			f.starts(all, memory.WindowOptions{Last: last}, from, false)
		}
	}},
	{"a call and its result in one record may begin a window", func(f *fixture) {
		all := f.script(":a", ":+x,-x", ":b")
		f.starts(all, memory.WindowOptions{Last: 2}, 1, false)
	}},
	{"a result long after its call does not keep a window from beginning between", func(f *fixture) {
		all := f.script("1:+x", "2:a", "3:b", "3:-x", "4:c")
		for last, from := range map[int]int{1: 4, 2: 4, 3: 2, 4: 1} {
			f.starts(all, memory.WindowOptions{Last: last}, from, false)
		}
	}},
	{"a split window holds no result whose call is left out", func(f *fixture) {
		all := f.script("1:a", "2:+x,+y", "2:-x", "2:b", "2:-y", "2:c", "2:d")
		for last, from := range map[int]int{1: 6, 2: 5, 3: 5, 4: 5, 5: 5} {
			f.starts(all, memory.WindowOptions{Last: last}, from, true)
		}
		f.starts(all, memory.WindowOptions{Last: 6}, 1, false)
	}},
	{"where only a cut off result would be left the window is empty", func(f *fixture) {
		all := f.script("1:+x", "1:-x")
		f.starts(all, memory.WindowOptions{Last: 1}, 2, false)
		f.starts(all, memory.WindowOptions{Last: 1, Verbatim: true}, 1, true)
	}},
	{"a call id that was used before is no reason to keep a result", func(f *fixture) {
		all := f.script("1:+x", "1:-x", "1:+x", "1:-x", "1:a")
		f.starts(all, memory.WindowOptions{Last: 4}, 2, true)
		f.starts(all, memory.WindowOptions{Last: 2}, 4, true)
	}},
	{"Tokens bounds the sum of the records", func(f *fixture) {
		all := f.script(":a", ":b", "1:c", "1:d")
		for tokens, from := range map[int]int{40: 0, 39: 1, 30: 1, 29: 2, 20: 2} {
			f.starts(all, memory.WindowOptions{Tokens: tokens}, from, false)
		}
		f.starts(all, memory.WindowOptions{Tokens: 10}, 3, true)
		f.starts(all, memory.WindowOptions{Tokens: 9}, 4, false)
		f.starts(all, memory.WindowOptions{Tokens: 1000, Last: 3}, 1, false)
	}},
	{"the gist counts into Tokens", func(f *fixture) {
		all := f.script(":a", ":b", ":c")
		gist := memory.Gist{UpTo: all[0], Text: "so far", Tokens: 15}
		f.update(memory.SetGist(gist))
		for tokens, from := range map[int]int{45: 0, 44: 1, 35: 1, 34: 2, 24: 3, 1: 3} {
			f.starts(all, memory.WindowOptions{Tokens: tokens}, from, false)
			f.equal(f.open(&memory.WindowOptions{Tokens: tokens}).Gist, gist, "the gist")
		}
		f.starts(all, memory.WindowOptions{}, 0, false)
	}},
	{"messages that were not counted are estimated", func(f *fixture) {
		e := entry("", strings.Repeat("x", 81))
		tokens := e.TokenCount()
		f.append(e, nil)
		f.append(e, nil)
		f.equal(len(f.open(&memory.WindowOptions{Tokens: 2 * tokens}).Records), 2, "records that fit exactly")
		f.equal(len(f.open(&memory.WindowOptions{Tokens: 2*tokens - 1}).Records), 1, "records in one token less")
	}},
	{"calls without a result are listed as orphans", func(f *fixture) {
		all := f.script(":+a,+b", ":-b", ":x", ":+c", ":-c", ":+d")
		want := []memory.Orphan{{Record: all[0], CallID: "a"}, {Record: all[5], CallID: "d"}}
		f.equal(f.open(nil).Orphans, want, "the orphans")
		f.equal(f.open(&memory.WindowOptions{Last: 2}).Orphans, want[1:], "the orphans of a shorter window")
		f.equal(len(f.open(&memory.WindowOptions{Last: -1}).Orphans), 0, "orphans of no records")
	}},
	{"a redacted result leaves its call an orphan", func(f *fixture) {
		all := f.script(":+a", ":-a", ":x")
		f.update(memory.Redact{Record: all[1], Part: &memory.PartRef{}})
		f.equal(f.open(nil).Orphans, []memory.Orphan{{Record: all[0], CallID: "a"}}, "the orphans")
	}},
}
