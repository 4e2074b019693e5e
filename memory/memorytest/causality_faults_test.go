package memorytest

import (
	"context"
	"fmt"
	"iter"
	"math"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/genaistore/genaistore/memory"
)

// A faulty store does one thing wrong, every few calls.
type faulty struct {
	memory.InMemory
	fault string
	every int

	mu     sync.Mutex
	calls  int
	done   map[string]bool              // request ids that were seen
	hidden map[string]memory.RecordID   // by request id: in the log and not yet to be seen
	first  map[memory.Key]memory.Window // the first window of a session
}

func newFaulty(fault string, every int) *faulty {
	return &faulty{fault: fault, every: every, done: map[string]bool{}, hidden: map[string]memory.RecordID{}, first: map[memory.Key]memory.Window{}}
}

// now says whether it is time for the fault, if it is this one.
func (s *faulty) now(fault string) bool {
	if s.fault != fault {
		return false
	}
	s.calls++
	return s.calls%s.every == 0
}

const twice = "\u2060again"

func (s *faulty) Append(ctx context.Context, key memory.Key, e memory.Entry, o *memory.AppendOptions) (memory.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	opts := o.WithDefaults()
	request := key.Session + opts.RequestID
	replay := opts.RequestID != "" && s.done[request]
	s.done[request] = true
	switch {
	case opts.RequestID == "" && s.now("loses an acknowledged append"), replay && s.now("mints a new id on a replay"):
		elsewhere := key
		elsewhere.Session = name("elsewhere")
		r, err := s.InMemory.Append(ctx, elsewhere, e, &opts)
		r.Replayed = replay
		return r, err
	case replay && s.now("stores a replay again"):
		opts.RequestID += twice + fmt.Sprint(s.calls)
		r, err := s.InMemory.Append(ctx, key, e, &opts)
		r.Record.RequestID = o.RequestID
		return r, err
	case opts.RequestID != "" && !replay && s.now("completes an append at its old place"):
		r, err := s.InMemory.Append(ctx, key, e, &opts)
		s.hidden[request] = r.Record.ID
		if err == nil {
			err = errLost
		}
		return memory.Receipt{}, err
	case opts.RequestID != "" && s.now("forgets a request id"):
		opts.RequestID = ""
	}
	delete(s.hidden, request)
	return s.InMemory.Append(ctx, key, e, &opts)
}

func (s *faulty) Open(ctx context.Context, key memory.Key, opts *memory.WindowOptions) (memory.Window, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := opts.WithDefaults()
	first, known := s.first[key]
	switch {
	case known && o.AtLeast != "" && s.now("serves a stale read without regard to AtLeast"),
		known && o.AtLeast == "" && s.now("serves a stale read where a strong one was asked for"),
		known && o.Held != nil && s.now("believes an earlier window"):
		return first, nil
	}
	last := o.Last
	o.Last = math.MaxInt // what is hidden makes no window shorter
	w, err := s.InMemory.Open(ctx, key, &o)
	w.Records = s.visible(key, w.Records)
	if low := len(w.Records) - last; low > 0 {
		w.Records, w.Earlier = w.Records[low:], true
	}
	if err == nil && !known && len(w.Records) > 0 && !w.Earlier {
		s.first[key] = w
	}
	if s.now("leaves the newest record out of a window") && len(w.Records) > 1 {
		w.Records = w.Records[:len(w.Records)-1]
	}
	return w, err
}

func (s *faulty) visible(key memory.Key, in []memory.Record) []memory.Record {
	var out []memory.Record
	for _, r := range in {
		if _, ok := s.hidden[key.Session+r.RequestID]; ok && r.RequestID != "" {
			continue
		}
		r.RequestID, _, _ = strings.Cut(r.RequestID, twice)
		out = append(out, r)
	}
	return out
}

func (s *faulty) Records(ctx context.Context, key memory.Key, opts *memory.RangeOptions) iter.Seq2[memory.Record, error] {
	return func(yield func(memory.Record, error) bool) {
		all, err := readAll(s.InMemory.Records(ctx, key, opts))
		s.mu.Lock()
		all = s.visible(key, all)
		swap := len(all) > 1 && s.now("yields records out of order")
		s.mu.Unlock()
		if swap {
			all[0], all[1] = all[1], all[0]
		}
		for _, r := range all {
			if !yield(r, nil) {
				return
			}
		}
		if err != nil {
			yield(memory.Record{}, err)
		}
	}
}

func TestFaultsInAStoreAreFound(t *testing.T) {
	for fault, want := range map[string]string{
		"":                                     "",
		"loses an acknowledged append":         "is lost",
		"forgets a request id":                 "nobody appended",
		"mints a new id on a replay":           "request r[0-9]+ has two records|is lost",
		"stores a replay again":                "request r[0-9]+ has two records|was stored twice",
		"completes an append at its old place": "appears below|has read on|is lost",
		"serves a stale read without regard to AtLeast":        "is lost",
		"serves a stale read where a strong one was asked for": "is lost|in Held|a window of|the window has",
		"believes an earlier window":                           "is lost|in Held|a window of|the window has",
		"leaves the newest record out of a window":             "is lost|in Held|a window of|the window has",
		"yields records out of order":                          "does not sort after",
	} {
		t.Run(fault, func(t *testing.T) {
			for seed := range uint64(3) {
				store := newFaulty(fault, 5)
				sum, err := causality(t.Context(), func(int) memory.Store { return store }, CausalityOptions{Schedules: 200, Seed: 1000 * seed, Weather: Bad})
				if fault == "" && err != nil {
					t.Fatal(err)
				}
				if fault != "" && (err == nil || !matches(want, firstLine(err))) {
					t.Fatalf("after %+v: %v, want an error like %q", sum, err, want)
				}
				t.Logf("seed %d: %.150v", seed, err)
			}
		})
	}
}

// firstLine is err without the history of its schedule.
func firstLine(err error) string {
	if err == nil {
		return ""
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

func matches(pattern, line string) bool { return regexp.MustCompile(pattern).MatchString(line) }
