package efsshare_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// The lock protocol as a state machine, searched to the end: three processes that
// take the lock, write their token, commit and give back, and a server that may take
// the locks of any of them at any moment, while the process goes on and does not
// know. A process may stop for ever at any step (then it makes no more moves); a
// crash gives its locks back, and leaves the slot that was being written cut short.
// The mutants change one thing each, and the search must find what breaks.

const procs = 3

// A stage is what a process does next.
type stage uint8

const (
	idle      stage = iota
	atGate          // wants the turnstile
	atLock          // has the turnstile, wants the lock
	leaving         // has the lock, gives back the turnstile
	reading         // reads the page
	claiming        // begins to write its token
	syncing         // has written it when this is done
	holding         // believes that it holds
	upgrading       // holds the lock shared, and wants it alone
	finished
)

type process struct {
	stage  stage
	file   uint8 // which incarnation of the lock's file its descriptor is of
	read   uint8 // the token it has read
	token  uint8
	lost   bool // the server refuses its descriptor; it does not know
	reopen bool // it has another descriptor, which the server does not refuse
	slot   uint8
	left   uint8
}

// A world is a state of the model; it is comparable, and so is its own key.
type world struct {
	p     [procs]process
	gate  uint8    // who has it: a process plus one
	lock  uint8    // the same; alone
	share uint8    // a bit for each that shares the lock
	files uint8    // incarnations of the lock's file
	slots [2]uint8 // the tokens in the file; 0 in a slot that is cut short, or never was written
	token uint8    // the greatest that was given
	data  uint8    // the token under which the data was committed
	dirty string
}

// A mutant is the protocol with one thing changed.
type mutant struct {
	unlinks        bool // removes the lock's file when it gives back
	keepsToken     bool // uses the token that it read before it had the lock
	blockingShares bool // two that share wait for each other's leaving
	renames        bool // makes its data current by a rename
	newDescriptor  bool // proves that it holds by a write on a new descriptor
	oneSlot        bool // writes its token over the newest
	reuses         bool // goes on with the descriptor of a lost lock after an unlock
	shared         bool // the program under test: shares and upgrades
	rounds         uint8
}

// moves calls next with every state that one step leads to. A broken promise is
// said in dirty.
func (m mutant) moves(w world, next func(world)) {
	for i := range procs {
		m.step(w, i, next)
		if w.p[i].stage != idle && w.p[i].stage != finished {
			expired := w // the server takes what it has; it goes on
			expired.release(i)
			expired.p[i].lost = true
			next(expired)
			crashed := w
			crashed.release(i)
			crashed.p[i] = process{stage: finished}
			next(crashed)
		}
	}
}

func (w *world) release(i int) {
	if w.gate == uint8(i+1) {
		w.gate = 0
	}
	if w.lock == uint8(i+1) {
		w.lock = 0
	}
	w.share &^= 1 << i
}

// newest is the token that is read from the file.
func (w *world) newest() uint8 { return max(w.slots[0], w.slots[1]) }

// refused reports whether the server refuses what i writes through its descriptor.
func (w *world) refused(i int) bool { return w.p[i].lost && !w.p[i].reopen }

// fail ends a process that was told of its loss.
func (w world) fail(i int, next func(world)) {
	w.release(i)
	w.p[i] = process{stage: finished}
	next(w)
}

func (m mutant) step(w world, i int, next func(world)) {
	p := &w.p[i]
	me := uint8(i + 1)
	switch p.stage {
	case idle:
		if p.left == m.rounds {
			p.stage = finished
			next(w)
			return
		}
		p.left++
		p.stage, p.file, p.lost, p.reopen = atGate, w.files, false, false
		p.read = w.newest() // only a mutant uses what was read so early
		next(w)
	case atGate:
		if w.refused(i) {
			w.fail(i, next)
		} else if w.gate == 0 {
			w.gate, p.stage = me, atLock
			next(w)
		}
	case atLock:
		m.lockStep(w, i, next)
	case leaving:
		if w.gate == me {
			w.gate = 0
		}
		p.stage = reading
		if m.shared {
			p.stage = upgrading
		}
		next(w)
	case reading:
		if !m.keepsToken {
			p.read = w.newest()
		}
		p.stage = claiming
		next(w)
	case claiming:
		if w.refused(i) {
			w.fail(i, next)
			return
		}
		p.slot = 0
		if w.slots[0] == w.newest() != m.oneSlot {
			p.slot = 1
		}
		w.slots[p.slot], p.stage = 0, syncing
		next(w)
	case syncing:
		if w.refused(i) {
			w.fail(i, next)
			return
		}
		p.token = p.read + 1
		if p.token <= w.token {
			w.dirty = fmt.Sprintf("token %d after %d", p.token, w.token)
		}
		w.slots[p.slot], w.token, p.stage = p.token, p.token, holding
		next(w)
	case holding:
		m.holdStep(w, i, next)
	case upgrading:
		m.upgradeStep(w, i, next)
	}
}

// lockStep takes the lock of the file that the descriptor is of. One that was
// removed excludes nobody.
func (m mutant) lockStep(w world, i int, next func(world)) {
	p := &w.p[i]
	if w.refused(i) {
		w.fail(i, next)
		return
	}
	if m.shared {
		if w.lock == 0 {
			w.share |= 1 << i
			p.stage = leaving
			next(w)
		}
		return
	}
	free := w.lock == 0 || w.p[w.lock-1].file != p.file
	if free && w.share == 0 {
		if w.lock != 0 && !w.p[w.lock-1].lost {
			w.dirty = "two hold the lock"
		}
		w.lock, p.stage = uint8(i+1), leaving
		next(w)
	}
}

// holdStep commits, or gives back.
func (m mutant) holdStep(w world, i int, next func(world)) {
	p := w.p[i]
	commit := w
	switch {
	case m.renames: // no server refuses a rename
		if p.token < w.data {
			commit.dirty = fmt.Sprintf("data of token %d replaced that of %d", p.token, w.data)
		}
		commit.data = p.token
		next(commit)
	case m.newDescriptor: // a heartbeat that a loss does not stop
		commit.p[i].reopen = true
		if p.token < w.data {
			commit.dirty = fmt.Sprintf("data of token %d replaced that of %d", p.token, w.data)
		}
		commit.data = p.token
		next(commit)
	case w.refused(i) && !m.reuses:
		w.fail(i, next)
		return
	default: // who unlocks what it has lost is not refused any more
		if p.token < w.data || p.token < w.token {
			commit.dirty = fmt.Sprintf("a commit of token %d, and %d was given", p.token, w.token)
		}
		commit.data = p.token
		next(commit)
	}
	back := w
	back.release(i)
	if m.unlinks {
		back.files++
	}
	back.p[i] = process{stage: idle, left: p.left}
	next(back)
}

// upgradeStep makes a shared lock exclusive: with the turnstile, which is tried for
// and not waited for, and then as soon as the others have left. Whoever does not get
// the turnstile gives up its share.
func (m mutant) upgradeStep(w world, i int, next func(world)) {
	p := &w.p[i]
	me := uint8(i + 1)
	if w.refused(i) {
		w.fail(i, next)
		return
	}
	if w.share == 1<<i && (w.gate == me || m.blockingShares) {
		w.share, w.lock, p.stage = 0, me, reading
		if w.gate == me {
			w.gate = 0
		}
		next(w)
		return
	}
	switch {
	case m.blockingShares || w.gate == me: // waits, with its share
	case w.gate == 0:
		w.gate = me
		next(w)
	default:
		w.release(i)
		w.p[i] = process{stage: idle, left: p.left}
		next(w)
	}
}

// search visits every state and returns the first broken promise, or "".
func (m mutant) search() (broken string, states int) {
	start := world{}
	seen := map[world]bool{start: true}
	queue := []world{start}
	for len(queue) > 0 {
		w := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		stuck := !m.done(w)
		m.goesOn(w, func(world) { stuck = false })
		if stuck {
			return "all wait for each other", len(seen)
		}
		m.moves(w, func(n world) {
			if n.dirty != "" && broken == "" {
				broken = n.dirty
			}
			if !seen[n] {
				seen[n] = true
				queue = append(queue, n)
			}
		})
		if broken != "" {
			return broken, len(seen)
		}
	}
	return "", len(seen)
}

// done reports whether every process has come to its end.
func (mutant) done(w world) bool {
	for _, p := range w.p {
		if p.stage != finished {
			return false
		}
	}
	return true
}

// goesOn makes the moves that need neither a loss nor a crash.
func (m mutant) goesOn(w world, next func(world)) {
	for i := range procs {
		m.step(w, i, next)
	}
}

func TestModelOfTheLockProtocol(t *testing.T) {
	for _, m := range []mutant{{rounds: 2}, {rounds: 1, shared: true}} {
		broken, states := m.search()
		require.Empty(t, broken)
		t.Logf("%d states, shared first: %t", states, m.shared)
		require.Greater(t, states, 10_000, "the search has not gone anywhere")
	}
}

func TestModelFindsEachMutant(t *testing.T) {
	for _, c := range []struct {
		name   string
		mutant mutant
		breaks string
	}{
		{"unlink on release", mutant{unlinks: true}, "two hold the lock"},
		{"token not read again", mutant{keepsToken: true}, "token"},
		{"blocking upgrade", mutant{blockingShares: true, shared: true}, "all wait for each other"},
		{"pointer by rename", mutant{renames: true}, "replaced that of"},
		{"heartbeat on a new descriptor", mutant{newDescriptor: true}, "replaced that of"},
		{"one slot written again and again", mutant{oneSlot: true}, "token"},
		{"a lost descriptor unlocked and used again", mutant{reuses: true}, "a commit of token"},
	} {
		c.mutant.rounds = 2
		broken, states := c.mutant.search()
		t.Logf("%s: %q after %d states", c.name, broken, states)
		require.Contains(t, broken, c.breaks, c.name)
	}
}
