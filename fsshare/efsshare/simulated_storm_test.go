package efsshare_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/efsshare"
	"github.com/genaistore/genaistore/fsshare/fssharetest"
)

// A storm: programs on three machines take one lock from each other while their
// machines are cut off, frozen, expired and killed, and the server restarts.
func TestSimulatedStorm(t *testing.T) {
	seeds := 30
	if testing.Short() {
		seeds = 5
	}
	total := storm{}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := storm{random: rand.New(rand.NewPCG(uint64(seed), 6))}
				w.rage(t)
				total.taken += w.taken
				total.commits += w.commits
				total.losses += w.losses
				total.refused += w.refused
			})
		})
	}
	t.Logf("%d acquisitions, %d commits, %d locks lost, %d stale commits refused", total.taken, total.commits, total.losses, total.refused)
	require.Greater(t, total.taken, 50*seeds)
	require.Greater(t, total.losses, seeds)
	require.Greater(t, total.refused, seeds/2)
}

type storm struct {
	random                          *rand.Rand
	mu                              sync.Mutex
	taken, commits, losses, refused int
	newest                          uint64 // the greatest token that was given
	latest                          uint64 // the token of the last commit
	holders                         map[*efsshare.Lock]grip
	frozen                          [3]bool
	thawed                          [3]time.Time
	excused                         bool // a restart or a revocation has happened, which a holder cannot know
}

// A grip is what a machine has of the lock.
type grip struct {
	machine int
	shared  bool
}

func (w *storm) rage(t *testing.T) {
	lease := time.Duration(10+w.random.IntN(80)) * time.Second
	server := fssharetest.NewNFS(&fssharetest.NFSOptions{Lease: lease, Courteous: w.random.IntN(2) == 0, Early: time.Duration(w.random.IntN(2)) * 900 * time.Millisecond})
	t.Cleanup(server.Close)
	w.holders = map[*efsshare.Lock]grip{}
	w.excused = w.random.IntN(2) == 0
	ctx, cancel := context.WithTimeout(t.Context(), 40*lease)
	defer cancel()
	var clients []*fssharetest.NFSClient
	var wg sync.WaitGroup
	for i := range 3 {
		c := server.Client(fmt.Sprint("machine", i))
		c.Delay(time.Millisecond)
		clients = append(clients, c)
		share := openOn(t, c)
		work := rand.New(rand.NewPCG(w.random.Uint64(), 7))
		wg.Go(func() {
			for ctx.Err() == nil {
				w.turn(ctx, t, share, i, time.Duration(1+work.Int64N(int64(lease/3))))
			}
		})
	}
	for ctx.Err() == nil {
		time.Sleep(time.Duration(w.random.Int64N(int64(2 * lease))))
		m := w.random.IntN(len(clients))
		c := clients[m]
		silence := time.Duration(w.random.Int64N(int64(2 * lease)))
		kinds := 2
		if w.excused {
			kinds = 4
		}
		switch w.random.IntN(kinds) {
		case 0:
			c.Cut()
			time.Sleep(silence)
			c.Mend()
		case 1:
			w.freeze(m, true)
			c.Freeze()
			time.Sleep(silence)
			w.freeze(m, false)
			c.Thaw()
		case 2:
			c.Expire()
		case 3:
			server.Stop()
			c.Cut()
			time.Sleep(silence / 4)
			server.Start()
			time.Sleep(silence / 2)
			c.Mend()
		}
	}
	wg.Wait()
}

func (w *storm) freeze(machine int, frozen bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frozen[machine], w.thawed[machine] = frozen, time.Now()
}

// turn takes the lock, works, commits, and gives it back: now and then a shared one,
// which is upgraded, or an exclusive one that is downgraded.
func (w *storm) turn(ctx context.Context, t *testing.T, share *efsshare.Share, machine int, work time.Duration) {
	shared := work%3 == 0
	l, err := share.Acquire(ctx, "lock", &fsshare.LockOptions{Shared: shared})
	if err != nil {
		w.mayFail(t, "Acquire", err, context.DeadlineExceeded)
		return
	}
	w.given(t, l, machine, shared)
	time.Sleep(work)
	if shared && work%2 == 0 {
		limit, cancel := context.WithTimeout(ctx, work)
		err := l.Upgrade(limit)
		cancel()
		if shared = err != nil; shared {
			w.mayFail(t, "Upgrade", err, fsshare.ErrConflict, context.DeadlineExceeded)
		} else {
			w.given(t, l, machine, false)
		}
	}
	if !shared {
		w.commit(ctx, t, l)
	}
	if !shared && work%5 == 0 {
		w.mu.Lock()
		w.holders[l] = grip{machine, true} // from the beginning of the call on
		w.mu.Unlock()
		if err := l.Downgrade(ctx); err != nil {
			w.mayFail(t, "Downgrade", err, context.DeadlineExceeded)
		}
		time.Sleep(work / 2)
	}
	w.mu.Lock()
	delete(w.holders, l)
	w.mu.Unlock()
	if errors.Is(l.Unlock(), fsshare.ErrLost) {
		w.mu.Lock()
		w.losses++
		w.mu.Unlock()
	}
}

// mayFail says that a call failed as it may not.
func (*storm) mayFail(t *testing.T, what string, err error, may ...error) {
	for _, may := range append(may, fsshare.ErrLost, fsshare.ErrHung) {
		if errors.Is(err, may) {
			return
		}
	}
	t.Errorf("%s = %v", what, err)
}

// given checks that no other has what excludes the lock that a machine was given.
func (w *storm) given(t *testing.T, l *efsshare.Lock, machine int, shared bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.taken++
	if l.Token() <= w.newest && !shared {
		t.Errorf("token %d after %d", l.Token(), w.newest)
	}
	if !shared {
		w.newest = l.Token()
	}
	for other, h := range w.holders {
		// A frozen machine's program does not run, and when it goes on, its first commit
		// finds out. One that is cut off knows before another has the lock.
		asleep := w.frozen[h.machine] || w.thawed[h.machine].Equal(time.Now())
		if other != l && !asleep && !w.excused && (!shared || !h.shared) && other.Context().Err() == nil {
			t.Errorf("token %d was given, and the holder of token %d does not know", l.Token(), other.Token())
		}
	}
	w.holders[l] = grip{machine, shared}
}

func (w *storm) commit(ctx context.Context, t *testing.T, l *efsshare.Lock) {
	err := l.Commit(ctx, []byte(fmt.Sprint(l.Token())))
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		w.commits++
		if l.Token() < w.latest {
			t.Errorf("a commit of token %d after one of %d", l.Token(), w.latest)
		}
		w.latest = max(w.latest, l.Token())
	case errors.Is(err, fsshare.ErrLost):
		w.refused++
	}
}
