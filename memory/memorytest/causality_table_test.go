package memorytest

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/genaistore/genaistore/internal/hlc"
	"github.com/genaistore/genaistore/memory"
)

// A table is what the stores of several processes write to, a step at a time: the
// log and the markers of an Append that is stored once. There is time between the
// steps.
type table struct {
	mu      sync.Mutex
	random  *rand.Rand
	logs    map[memory.Key]map[memory.RecordID]memory.Record // a record without a message is a tombstone
	markers map[requestKey]memory.RecordID
}

func newTable(seed uint64) *table {
	return &table{random: rand.New(rand.NewPCG(seed, 1)), logs: map[memory.Key]map[memory.RecordID]memory.Record{}, markers: map[requestKey]memory.RecordID{}}
}

func (t *table) log(key memory.Key) map[memory.RecordID]memory.Record {
	if t.logs[key] == nil {
		t.logs[key] = map[memory.RecordID]memory.Record{}
	}
	return t.logs[key]
}

// A node is a store in a process of its own, with a clock of its own.
type node struct {
	memory.Store // nil: no other method is called

	table *table
	skew  time.Duration
	fault string
	clock hlc.Clock
	seen  memory.RecordID
}

// quietly is how old an id may be for a record to be put under it.
const quietly = time.Second

func (n *node) sleep(most time.Duration) {
	n.table.mu.Lock()
	d := time.Duration(n.table.random.Int64N(int64(most)))
	n.table.mu.Unlock()
	time.Sleep(d)
}

// dies says whether the process dies here.
func (n *node) dies() bool {
	n.table.mu.Lock()
	defer n.table.mu.Unlock()
	return n.table.random.IntN(6) == 0
}

func (n *node) observe(id memory.RecordID) error {
	n.seen = max(n.seen, id)
	parsed, err := hlc.Parse(string(id))
	if err != nil {
		return err
	}
	return n.clock.Observe(parsed, time.Now().Add(n.skew))
}

func (n *node) next() (memory.RecordID, error) {
	id, err := n.clock.Next(time.Now().Add(n.skew))
	return memory.RecordID(id.String()), err
}

func (n *node) Append(_ context.Context, key memory.Key, e memory.Entry, opts *memory.AppendOptions) (memory.Receipt, error) {
	n.sleep(2 * time.Second)
	if after := memory.RecordID(strings.TrimPrefix(string(opts.After), "at-")); after != "" && n.fault != "ignores After" {
		if err := n.observe(after); err != nil {
			return memory.Receipt{}, err
		}
	}
	id, err := n.next()
	if err != nil {
		return memory.Receipt{}, err
	}
	r := memory.Record{RequestID: opts.RequestID, Entry: e}
	for {
		if opts.RequestID != "" && n.fault != "writes the record before its marker" {
			if id, err = n.mark(key, opts.RequestID, id); err != nil {
				return memory.Receipt{}, err
			}
		}
		n.sleep(quietly / 2)
		if n.dies() {
			return memory.Receipt{}, errLost
		}
		there, stored := n.put(key, id, r)
		switch {
		case there.Messages == nil: // fenced meanwhile
			continue
		case opts.RequestID != "" && n.fault == "writes the record before its marker":
			if n.dies() {
				return memory.Receipt{}, errLost
			}
			if _, err := n.mark(key, opts.RequestID, id); err != nil {
				return memory.Receipt{}, err
			}
		}
		err := n.observe(there.ID)
		return memory.Receipt{Record: there, Bookmark: memory.Bookmark("at-" + there.ID), Replayed: !stored}, err
	}
}

// mark returns the id under which a request is stored, that of its first attempt
// where one may still put a record there.
func (n *node) mark(key memory.Key, request string, id memory.RecordID) (memory.RecordID, error) {
	n.table.mu.Lock()
	defer n.table.mu.Unlock()
	k := requestKey{key, request}
	old, ok := n.table.markers[k]
	if !ok {
		n.table.markers[k] = id
		return id, nil
	}
	r, there := n.table.logs[key][old]
	parsed, err := hlc.Parse(string(old))
	if err != nil || there && r.Messages != nil {
		return old, err
	}
	if n.fault == "mints a new id for another attempt" {
		return id, nil
	}
	if !there && (old > n.seen && time.Since(parsed.Time()) < quietly || n.fault == "has no fence") {
		return old, nil
	}
	n.table.log(key)[old] = memory.Record{ID: old} // a tombstone, so that a late write finds the place taken
	if id <= old {
		if err := n.observe(old); err != nil {
			return "", err
		}
		id, err = n.next()
	}
	n.table.markers[k] = id
	return id, err
}

// put stores r under id unless something is there, and returns what is.
func (n *node) put(key memory.Key, id memory.RecordID, r memory.Record) (there memory.Record, stored bool) {
	n.table.mu.Lock()
	defer n.table.mu.Unlock()
	if there, ok := n.table.logs[key][id]; ok {
		return there, false
	}
	parsed, _ := hlc.Parse(string(id))
	r.ID, r.Time = id, parsed.Time()
	n.table.log(key)[id] = r
	return r, true
}

func (n *node) read(key memory.Key) (all []memory.Record, err error) {
	n.sleep(time.Second)
	n.table.mu.Lock()
	for _, r := range n.table.logs[key] {
		if r.Messages != nil {
			all = append(all, r)
		}
	}
	n.table.mu.Unlock()
	slices.SortFunc(all, func(a, b memory.Record) int { return strings.Compare(string(a.ID), string(b.ID)) })
	if len(all) > 0 && n.fault != "forgets what it has returned" {
		err = n.observe(all[len(all)-1].ID)
	}
	return all, err
}

func (n *node) Open(_ context.Context, key memory.Key, opts *memory.WindowOptions) (memory.Window, error) {
	all, err := n.read(key)
	if err != nil || len(all) == 0 {
		return memory.Window{}, fmt.Errorf("open: %w", memory.ErrNotFound)
	}
	b := memory.Bookmark("at-" + all[len(all)-1].ID)
	low := max(0, len(all)-opts.Last)
	return memory.Window{Key: key, Records: all[low:], Earlier: low > 0, Bookmark: b}, nil
}

func (n *node) Records(_ context.Context, key memory.Key, opts *memory.RangeOptions) iter.Seq2[memory.Record, error] {
	return func(yield func(memory.Record, error) bool) {
		all, err := n.read(key)
		for _, r := range all {
			if o := opts.WithDefaults(); r.ID >= o.From && !r.Time.Before(o.Since) && !yield(r, nil) {
				return
			}
		}
		if err != nil {
			yield(memory.Record{}, err)
		}
	}
}

func (n *node) Delete(_ context.Context, key memory.Key) error {
	n.table.mu.Lock()
	defer n.table.mu.Unlock()
	delete(n.table.logs, key)
	return nil
}

// crowd runs schedules over a table whose processes have the skews given.
func crowd(t *testing.T, fault string, o CausalityOptions, skews [processes]time.Duration) (tally, error) {
	var sum tally
	var err error
	synctest.Test(t, func(t *testing.T) {
		shared := newTable(o.Seed)
		o.Weather = func(seed uint64) Weather {
			return Weather{Seed: seed, Throttle: 0.1, LostReply: 0.1, Stale: 0.5, Behind: 0.1}
		}
		open := func(process int) memory.Store { return &node{table: shared, skew: skews[process], fault: fault} }
		sum, err = causality(t.Context(), open, o)
	})
	return sum, err
}

func TestManyStoresOverOneTable(t *testing.T) {
	synchronised, skewed := [processes]time.Duration{}, [processes]time.Duration{25 * time.Second, 0, -30 * time.Second}
	good := CausalityOptions{Schedules: 200, Clocks: Synchronised, Overlap: 2 * quietly}
	loose := good
	loose.Clocks = Skewed
	strict := good
	strict.Clocks, strict.Overlap = OneClock, 0
	for _, c := range []struct {
		fault   string
		options CausalityOptions
		skews   [processes]time.Duration
		want    string
	}{
		{"", good, synchronised, ""},
		{"", loose, skewed, ""},
		{"", good, skewed, "does not sort after|appears below|has read on"},
		{"", strict, synchronised, "appears below|has read on|does not sort after"},
		{"forgets what it has returned", loose, skewed, "does not sort after .* which the process had seen"},
		{"ignores After", loose, skewed, "does not sort after .* which the process had seen"},
		{"has no fence", good, synchronised, "appears below|has read on|does not sort after"},
		{"mints a new id for another attempt", good, synchronised, "two records|stored twice"},
		{"writes the record before its marker", good, synchronised, "two records|nobody appended|stored twice"},
	} {
		if c.want != "" {
			c.options.Schedules = 5000 // it ends with the first that fails
		}
		sum, err := crowd(t, c.fault, c.options, c.skews)
		if line := firstLine(err); c.want == "" && err != nil || c.want != "" && !matches(c.want, line) {
			t.Errorf("%q, %+v, %v: after %+v %v, want an error like %q", c.fault, c.options, c.skews, sum, err, c.want)
		}
		t.Logf("%q, clocks %d: %+v %.150v", c.fault, c.options.Clocks, sum, firstLine(err))
	}
}
