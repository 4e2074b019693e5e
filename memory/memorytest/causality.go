package memorytest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/genaistore/genaistore/memory"
)

// CausalityOptions adjusts [Causality]. A nil *CausalityOptions means the zero value.
type CausalityOptions struct {
	// Schedules is how many there are; zero means 1,000, or 100 with -short.
	Schedules int
	// Seed is that of the first schedule; the others count on from it.
	Seed uint64
	// Weather is what the processes meet beside their own crashes; nil means [Storm].
	Weather func(seed uint64) Weather
	// Clocks says what the stores have to tell the time by.
	Clocks Clocks
	// Overlap is how far below the last record that a reader has passed a record may
	// still appear whose Append was under way then, or had failed and is repeated. A
	// reader who follows a session by its ids reads so much again. Zero means that none
	// may, as in a store that numbers records in the moment in which they can be seen.
	Overlap time.Duration
}

// Clocks is what the stores of a [Causality] have to tell the time by.
type Clocks uint8

// What [CausalityOptions.Clocks] may be.
const (
	// OneClock is that of one Store, or one that the stores share: a record sorts after
	// each record whose Append had returned when its own began.
	OneClock Clocks = iota
	// Synchronised are clocks that agree to the millisecond, in which records of
	// different processes may have either order.
	Synchronised
	// Skewed are clocks that agree to a minute: a record sorts after what its Store has
	// returned, and after its bookmark, and no more can be said.
	Skewed
)

// WithDefaults returns what Causality acts on. It accepts a nil receiver.
func (o *CausalityOptions) WithDefaults() CausalityOptions {
	var opts CausalityOptions
	if o != nil {
		opts = *o
	}
	if opts.Weather == nil {
		opts.Weather = Storm
	}
	return opts
}

// Causality lets three processes append to one session and read it, by random
// schedules, while calls fail before and after they were done and processes die and
// start again. Then and meanwhile it checks that
//
//   - no record is lost whose Append has returned, or that was read once;
//   - no Append is stored twice: one call once, one RequestID once, whoever repeats it
//     with whatever entry, and every repetition returns the same id;
//   - a record sorts after what its process had seen, after its bookmark, and after
//     the records before it as far as the clocks allow;
//   - no record appears below what a reader has passed, so that who reads on from the
//     last id it has misses nothing;
//   - a read with AtLeast has everything that the bookmark proves, and one without
//     has everything;
//   - an earlier window in Held changes nothing.
//
// It calls open for each process of each schedule, and again when a process starts
// anew, one call at a time; what open returns may be the same Store each time or one
// of many over the same table. Half of the steps are calls of all processes at once.
// A schedule has a session of its own and deletes it. A store may fail by itself too,
// in the middle of a call, with any error but one that a crash does not explain:
// ErrNotFound, ErrConflict, ErrInvalid, ErrCorrupt, ErrDenied. A failure says which
// seed repeats it.
//
// A backend whose stores share nothing but a table says what its clocks promise:
//
//	memorytest.Causality(t, func(int) memory.Store { return newStore(table) }, &memorytest.CausalityOptions{
//		Clocks: memorytest.Synchronised, Overlap: 10 * time.Second,
//	})
func Causality(t *testing.T, open func(process int) memory.Store, opts *CausalityOptions) {
	t.Helper()
	o := opts.WithDefaults()
	if o.Schedules == 0 {
		o.Schedules = 1000
		if testing.Short() {
			o.Schedules = 100
		}
	}
	sum, err := causality(t.Context(), open, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d schedules: %+v", o.Schedules, sum)
}

// A tally says how much a Causality has seen.
type tally struct {
	Acknowledged, Replayed, Unknown int // appends; the last have failed, done or not
	Reads, Stale                    int // the latter had less than there was
	Restarts                        int
}

func causality(ctx context.Context, open func(process int) memory.Store, o CausalityOptions) (tally, error) {
	var sum tally
	for i := range o.Schedules {
		s := newSchedule(open, o, o.Seed+uint64(i))
		s.run(ctx)
		if s.err != nil {
			return sum, fmt.Errorf("seed %d: %w%s", o.Seed+uint64(i), s.err, s.history())
		}
		sum.add(s.tally)
	}
	return sum, ctx.Err()
}

func (t *tally) add(o tally) {
	t.Acknowledged += o.Acknowledged
	t.Replayed += o.Replayed
	t.Unknown += o.Unknown
	t.Reads += o.Reads
	t.Stale += o.Stale
	t.Restarts += o.Restarts
}

const processes = 3

// A schedule is what three processes do to one session.
type schedule struct {
	open    func(process int) memory.Store
	options CausalityOptions
	seed    uint64
	random  *rand.Rand
	key     memory.Key
	procs   [processes]*process
	weather *Weathered // any of them, for what they share
	step    int
	log     []*op
	tally   tally
	err     error

	attempts map[string]*attempt // by the text of their entry
	requests map[string]*wish
	facts    map[memory.RecordID]*attempt // stored for certain: acknowledged or read
	acked    []memory.RecordID            // of facts, those whose Append had returned, in that order
	proves   map[memory.Bookmark]map[memory.RecordID]bool
}

// A process is one agent, from its start to its crash, and what outlives it.
type process struct {
	number   int
	store    *Weathered
	returned memory.RecordID // the greatest that its Store has returned
	window   *memory.Window  // the last it has opened
	bookmark memory.Bookmark // outlives it: a step function carries it
	log      map[memory.RecordID]bool
	passed   memory.Record // the last one of its log, which has everything up to there
	passedAt int           // the step in which it read that
}

// An attempt is one call of Append.
type attempt struct {
	text, request string
	process       int
	begun         int
	floor         memory.RecordID // its record must sort after this one, whatever the clocks
	acked         []memory.RecordID
	id            memory.RecordID // once known
	time          time.Time
}

// A wish is a request id, and all that asked for it.
type wish struct {
	begun int // the first attempt
	id    memory.RecordID
	fresh int // receipts that are no replay
}

// An op is one call in a step.
type op struct {
	step int
	p    *process
	do   func(context.Context)
	text string
	err  error

	attempt *attempt
	append  *memory.AppendOptions
	receipt memory.Receipt

	read   *memory.WindowOptions // of Open
	window memory.Window
	from   memory.RecordID // of Records
	list   []memory.Record
	must   map[memory.RecordID]bool // what the read must have
}

func newSchedule(open func(int) memory.Store, o CausalityOptions, seed uint64) *schedule {
	s := &schedule{
		open: open, options: o, seed: seed, random: rand.New(rand.NewPCG(seed, 7)),
		key:      memory.Key{Tenant: "causality", App: name("app"), User: name("user"), Session: name("session")},
		attempts: map[string]*attempt{}, requests: map[string]*wish{}, facts: map[memory.RecordID]*attempt{},
		proves: map[memory.Bookmark]map[memory.RecordID]bool{},
	}
	for i := range s.procs {
		s.start(i)
	}
	return s
}

// start begins process i, or begins it anew after a crash: of what it had read
// nothing is left.
func (s *schedule) start(i int) {
	p := &process{number: i, log: map[memory.RecordID]bool{}}
	if old := s.procs[i]; old != nil && s.random.IntN(2) == 0 {
		p.bookmark = old.bookmark
	}
	w := s.options.Weather(s.random.Uint64())
	if s.weather == nil {
		s.weather = w.Over(s.open(i))
		p.store = s.weather
	} else {
		p.store = s.weather.Elsewhere(s.open(i), w)
	}
	s.procs[i] = p
}

func (s *schedule) run(ctx context.Context) {
	for range 8 + s.random.IntN(8) {
		s.step++
		together := s.random.IntN(2) == 0
		var ops []*op
		for _, i := range s.random.Perm(processes) {
			ops = append(ops, s.plan(s.procs[i]))
			if !together {
				s.do(ctx, ops...)
				ops = nil
				s.step++
			}
		}
		s.do(ctx, ops...)
		if s.err != nil || ctx.Err() != nil {
			return
		}
	}
	s.settle(ctx)
}

// do makes calls at once and looks at what they returned. The process of a call
// that failed may have died of it.
func (s *schedule) do(ctx context.Context, ops ...*op) {
	var wg sync.WaitGroup
	// Bound: one call for each process.
	for _, o := range ops {
		if len(ops) == 1 {
			o.do(ctx)
			continue
		}
		wg.Go(func() { o.do(ctx) })
	}
	wg.Wait()
	s.log = append(s.log, ops...)
	for _, o := range ops {
		if s.err != nil {
			return
		}
		if err := s.check(o); err != nil {
			s.err = fmt.Errorf("step %d, process %d, %s: %w", o.step, o.p.number, o.text, err)
		}
		died := o.err != nil && s.random.IntN(4) == 0 || s.random.IntN(30) == 0
		if died && s.procs[o.p.number] == o.p {
			s.tally.Restarts++
			s.start(o.p.number)
		}
	}
}

func (s *schedule) plan(p *process) *op {
	o := &op{step: s.step, p: p}
	switch k := s.random.IntN(20); {
	case k < 9:
		s.planAppend(o)
	case k < 16:
		s.planOpen(o)
	default:
		s.planRecords(o)
	}
	return o
}

func (s *schedule) planAppend(o *op) {
	p := o.p
	o.attempt = &attempt{text: fmt.Sprint(len(s.attempts)), process: p.number, begun: s.step, floor: p.returned, acked: s.acked}
	o.append = &memory.AppendOptions{}
	switch k := s.random.IntN(10); {
	case k < 4 && len(s.requests) > 0:
		o.append.RequestID = fmt.Sprint("r", s.random.IntN(len(s.requests))) // anybody's, done or not
	case k < 7:
		o.append.RequestID = fmt.Sprint("r", len(s.requests))
	}
	if s.random.IntN(3) == 0 {
		o.append.After = s.bookmarkFor(p)
		for id := range s.proves[o.append.After] {
			o.attempt.floor = max(o.attempt.floor, id)
		}
	}
	s.attempts[o.attempt.text] = o.attempt
	if o.attempt.request = o.append.RequestID; o.attempt.request != "" && s.requests[o.attempt.request] == nil {
		s.requests[o.attempt.request] = &wish{begun: s.step}
	}
	e := entry("", o.attempt.text)
	o.text = fmt.Sprintf("append %s %q after %q", o.attempt.text, o.append.RequestID, o.append.After)
	o.do = func(ctx context.Context) { o.receipt, o.err = p.store.Append(ctx, s.key, e, o.append) }
}

// bookmarkFor is p's, or one that another process has handed on.
func (s *schedule) bookmarkFor(p *process) memory.Bookmark {
	return cmp.Or(p.bookmark, s.procs[s.random.IntN(processes)].bookmark)
}

func (s *schedule) planOpen(o *op) {
	p := o.p
	o.read = &memory.WindowOptions{Last: math.MaxInt, Verbatim: true, Scopes: memory.NoState}
	if s.random.IntN(3) == 0 {
		o.read.Last = 1 + s.random.IntN(4)
	}
	if s.random.IntN(3) == 0 {
		o.read.Held = p.window
	}
	o.must = s.everything()
	if s.random.IntN(2) == 0 {
		o.read.AtLeast = s.bookmarkFor(p)
	}
	if o.read.AtLeast != "" {
		o.must = maps.Clone(s.proves[o.read.AtLeast])
	}
	o.text = fmt.Sprintf("open last %d at least %q", o.read.Last, o.read.AtLeast)
	o.do = func(ctx context.Context) { o.window, o.err = p.store.Open(ctx, s.key, o.read) }
}

func (s *schedule) everything() map[memory.RecordID]bool {
	all := make(map[memory.RecordID]bool, len(s.facts))
	for id := range s.facts {
		all[id] = true
	}
	return all
}

// planRecords reads on from the last record of the process's log.
func (s *schedule) planRecords(o *op) {
	p := o.p
	o.must, o.from = s.everything(), p.passed.ID
	opts := &memory.RangeOptions{From: p.passed.ID}
	if s.options.Overlap > 0 && p.passed.ID != "" {
		o.from, opts = "", &memory.RangeOptions{Since: p.passed.Time.Add(-s.options.Overlap)}
		o.from = firstSince(s.facts, opts.Since)
	}
	o.text = fmt.Sprintf("records from %q since %s", opts.From, opts.Since)
	o.do = func(ctx context.Context) { o.list, o.err = readAll(p.store.Records(ctx, s.key, opts)) }
}

// firstSince returns the least id of a record that was written at since or later.
func firstSince(facts map[memory.RecordID]*attempt, since time.Time) memory.RecordID {
	first := memory.RecordID("~") // after every id
	for id, a := range facts {
		if !a.time.Before(since) {
			first = min(first, id)
		}
	}
	return first
}

// unexpected says whether no crash explains err.
func unexpected(err error) bool {
	for _, kind := range []error{memory.ErrNotFound, memory.ErrConflict, memory.ErrInvalid, memory.ErrCorrupt, memory.ErrDenied} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
