package dynamomemory_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// The model is the real Append with the real client, several of them at once under one
// request id, and every order of their requests: each is answered, or is not, and then
// is carried out at any later time or never, while its caller goes on or dies. Time
// passes between any two of them. States are told apart by what is in the table, what
// is under way, and what each caller has heard.

// An action is one step of a schedule.
type action struct {
	do  string
	who int
}

func (a action) String() string { return a.do + " " + strconv.Itoa(a.who) }

// A search looks at every schedule that is not a way to a state that it has seen.
type search struct {
	seen      map[[sha256.Size]byte]bool
	schedules int
	steps     int // each from one state to another
	settled   int // states in which all had come to an end
}

// run explores a scope to its end, or to the first problem.
func run(t *testing.T, s scope) (found search, problem error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		found.seen = map[[sha256.Size]byte]bool{}
		w := newWorld(t, s)
		for open := [][]action{nil}; len(open) > 0 && w.problem == nil; {
			schedule := open[len(open)-1]
			open = append(open[:len(open)-1], found.follow(w, schedule)...)
		}
		problem = w.problem
	})
	return found, problem
}

// follow repeats a schedule, goes on until it meets a state that was seen, and returns
// the other ways that it has passed.
func (f *search) follow(w *world, schedule []action) (others [][]action) {
	w.begin()
	defer w.end()
	f.schedules++
	done := slices.Clone(schedule)
	for _, a := range schedule {
		w.do(a)
	}
	for w.problem == nil {
		f.steps++
		w.check()
		w.futile()
		state := w.state()
		if f.seen[state] {
			return others
		}
		f.seen[state] = true
		next := w.possible()
		if len(next) == 0 {
			f.settled++
			w.settle()
			return others
		}
		for _, a := range next[1:] {
			others = append(others, append(slices.Clone(done), a))
		}
		done = append(done, next[0])
		w.do(next[0])
	}
	return others
}

func (w *world) do(a action) {
	time.Sleep(time.Millisecond) // no two ids of one moment
	w.schedule = append(w.schedule, a.String())
	switch a.do {
	case "start":
		w.start(w.callers[a.who])
	case "answer":
		w.answered(w.callers[a.who])
	case "silence":
		w.silence++
		w.unanswered(w.callers[a.who])
	case "death":
		w.deaths++
		w.dies(w.callers[a.who])
	case "land":
		w.lands(a.who)
	case "tick":
		w.tick()
	case "read":
		w.read()
	}
	w.rest()
}

// possible returns what may happen next.
func (w *world) possible() (all []action) {
	if i := slices.IndexFunc(w.callers, func(p *caller) bool { return p.status == idle }); i >= 0 {
		all = append(all, action{"start", i}) // the callers are alike
	}
	for i, p := range w.callers {
		if p.status != running {
			continue
		}
		all = append(all, action{"answer", i})
		if w.deaths < w.scope.deaths {
			all = append(all, action{"death", i})
		}
		if w.silence < w.scope.silence && p.parked.writes() { // a read without an answer is an error, and so a death
			all = append(all, action{"silence", i})
		}
	}
	for i := range w.flying {
		all = append(all, action{"land", i})
	}
	if len(w.ticked) < w.scope.ticks {
		all = append(all, action{"tick", len(w.ticked)})
	}
	if w.reads < w.scope.reads && len(w.ticked) > 0 {
		all = append(all, action{"read", w.reads})
	}
	return all
}

// state is a sum of all that what happens next depends on. Ids stand for their order
// and their age, and callers, which are alike, for any order of them.
func (w *world) state() [sha256.Size]byte {
	items, err := w.fake.Items(tableName)
	if err != nil {
		w.fail("items: %v", err)
	}
	var shared strings.Builder
	for _, it := range items {
		shared.Write(it)
		shared.WriteByte('\n')
	}
	fmt.Fprintln(&shared, w.reads, w.silence, w.deaths, w.late, w.passed, len(w.ticked))
	if w.held != nil && w.reads < w.scope.reads {
		for _, r := range w.held.Records {
			fmt.Fprint(&shared, r.ID, " ")
		}
	}
	var flying []string
	for _, r := range w.flying {
		flying = append(flying, fmt.Sprint("\nflying ", r, w.minter[r.stores()] == r.from))
	}
	slices.Sort(flying)
	text := shared.String() + strings.Join(flying, "")
	mine := make([]string, len(w.callers))
	for i, p := range w.callers {
		mine[i] = "\n" + p.String() // the last one is different where it has read
	}
	text = w.canonical(text + "\x00" + strings.Join(mine, "\x00"))
	least := ""
	for _, order := range w.orders() {
		if s := renamed(text, order); least == "" || s < least {
			least = s
		}
	}
	return sha256.Sum256([]byte(least))
}

// String is what matters of a caller.
func (p *caller) String() string {
	switch p.status {
	case running:
		return fmt.Sprint("waits with ", p.parked, p.made, p.told, p.history)
	case done:
		return fmt.Sprint("done ", p.receipt.Record.ID, p.receipt.Replayed)
	case gone:
		return "gone"
	}
	return "idle"
}

// canonical replaces what differs between equal states.
func (w *world) canonical(text string) string {
	text = timePattern.ReplaceAllString(bodyPattern.ReplaceAllString(text, ""), "")
	var names []string
	for i, p := range w.callers {
		if p.nonce != "" {
			names = append(names, p.nonce, "‹"+strconv.Itoa(i)+"›")
		}
	}
	ids := idPattern.FindAllString(text, -1)
	slices.Sort(ids)
	for i, id := range slices.Compact(ids) {
		old := 0
		for _, t := range w.ticked {
			if timeOf(id).Before(t) {
				old++
			}
		}
		names = append(names, id, fmt.Sprintf("‹id %d %d›", i, old))
	}
	return strings.NewReplacer(names...).Replace(text)
}

// orders returns the permutations of the callers that are alike.
func (w *world) orders() (all [][]int) {
	var extend func(order []int)
	extend = func(order []int) {
		if len(order) == len(w.callers) {
			all = append(all, slices.Clone(order))
			return
		}
		for i := range w.callers {
			if !slices.Contains(order, i) && (!w.scope.opens || i != len(w.callers)-1 || len(order) == i) {
				extend(append(order, i))
			}
		}
	}
	extend(nil)
	return all
}

// renamed lists the callers in an order, and calls them by their place in it.
func renamed(text string, order []int) string {
	parts := strings.Split(text, "\x00")
	out := parts[0]
	var names []string
	for place, i := range order {
		out += parts[1+i]
		names = append(names, "‹"+strconv.Itoa(i)+"›", "‹"+strconv.Itoa(place)+"›")
	}
	return strings.NewReplacer(names...).Replace(out)
}

// schedulesVariable makes the tests that search for races search for longer: it is how
// many schedules the one of causality tries, and has the model look at its larger scopes.
const schedulesVariable = "GENAISTORE_SCHEDULES"

func TestOfManyAttemptsAtOneRequestIDOneIsStored(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		large bool
		scope scope
	}{
		{"two, both of which die or hear nothing", false, scope{callers: 2, silence: 2, deaths: 2}},
		{"two, and time", false, scope{callers: 2, ticks: 1, deaths: 1}},
		{"two, and a reader", false, scope{callers: 2, ticks: 1, reads: 1}},
		{"two, one of which has read", false, scope{callers: 2, opens: true, silence: 1, deaths: 1}},
		{"two that make the session, one of which dies", false, scope{callers: 2, new: true, deaths: 1}},
		{"two that make the session, one of which hears nothing", false, scope{callers: 2, new: true, silence: 1}},
		{"three, two of which die", false, scope{callers: 3, deaths: 2}},
		{"three, one of which hears nothing", false, scope{callers: 3, silence: 1}},
		{"two, a reader and a death", true, scope{callers: 2, ticks: 1, reads: 1, deaths: 1}},
		{"two, time, a death and a silence", true, scope{callers: 2, ticks: 1, silence: 1, deaths: 1}},
		{"two, and time twice", true, scope{callers: 2, ticks: 2}},
		{"three, and time", true, scope{callers: 3, ticks: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.large && os.Getenv(schedulesVariable) == "" || slow && tt.scope.ticks > 0 {
				t.Skipf("takes minutes, or much longer with the race detector: set %s and leave out -race", schedulesVariable)
			}
			found, problem := run(t, tt.scope)
			require.NoError(t, problem)
			require.NotZero(t, found.settled)
			t.Logf("%d schedules, %d states, %d of them ends, %d steps", found.schedules, len(found.seen), found.settled, found.steps)
		})
	}
}
