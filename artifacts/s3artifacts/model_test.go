package s3artifacts_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/s3artifacts"
	"github.com/genaistore/genaistore/internal/awsfake"
)

// The model of the protocol, run over the real code: publishers, publishers of two
// ranks, movers of an alias, deleters and collectors that spare nothing work on one
// name; a scheduler lets one request pass at a time, in a random order, loses
// answers before and after they count, answers 409 and 503, and kills processes.
// After every few steps all that is visible must be whole.

var modelName = artifacts.Name{Tenant: "t", Path: "model"}

// A world is one schedule.
type world struct {
	fake   *awsfake.S3
	rand   *rand.Rand
	mutant s3artifacts.Mutant

	mu      sync.Mutex
	waiting []*waiter
	alive   int
	tx      int
	broken  []string
	steps   int
}

type waiter struct {
	actor *actor
	what  string
	let   chan outcome
}

type outcome int

const (
	pass outcome = iota
	lostBefore
	lostAfter
	conflict
	slowDown
	killed
)

type actor struct {
	id     int
	ctx    context.Context //nolint:containedctx // of a process
	cancel context.CancelFunc
	dead   bool
}

type actorKey struct{}

func newWorld(seed uint64, mutant s3artifacts.Mutant) *world {
	w := &world{fake: awsfake.NewS3("bucket"), rand: rand.New(rand.NewPCG(seed, 1)), mutant: mutant}
	w.fake.Intercept(w.intercept)
	return w
}

// intercept holds a request until the scheduler lets it go.
func (w *world) intercept(rw http.ResponseWriter, r *http.Request, next http.Handler) bool {
	a, _ := r.Context().Value(actorKey{}).(*actor)
	if a == nil {
		return false
	}
	one := &waiter{a, r.Method + " " + r.URL.Path, make(chan outcome)}
	w.mu.Lock()
	w.waiting = append(w.waiting, one)
	w.mu.Unlock()
	switch <-one.let {
	case lostBefore, killed:
		awsfake.Lose(rw)
	case lostAfter:
		next.ServeHTTP(rw, r)
		awsfake.Lose(rw)
	case conflict:
		awsfake.Fail(rw, r, http.StatusConflict, "ConditionalRequestConflict", "another request is in progress")
	case slowDown:
		awsfake.Fail(rw, r, http.StatusServiceUnavailable, "SlowDown", "please reduce your request rate")
	default:
		return false
	}
	return true
}

// store returns that of a process that has just started.
func (w *world) store() *s3artifacts.Store {
	client := w.fake.Client(func(o *s3.Options) { o.Retryer = aws.NopRetryer{} })
	store, err := s3artifacts.New(client, "bucket", &s3artifacts.Options{Concurrency: 1})
	if err != nil {
		w.fail("%v", err)
	}
	store.Mutate(w.mutant)
	return store
}

func (w *world) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
}

func (w *world) next() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tx++
	return w.tx
}

func (w *world) number(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rand.IntN(n)
}

func (w *world) spawn(n int, do func(ctx context.Context, a *actor)) {
	a := &actor{}
	w.mu.Lock()
	a.id = w.alive
	w.alive++
	w.mu.Unlock()
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), actorKey{}, a))
	a.ctx, a.cancel = ctx, cancel
	go func() {
		defer func() {
			cancel()
			w.mu.Lock()
			w.alive--
			w.mu.Unlock()
		}()
		for range n {
			if ctx.Err() == nil {
				do(ctx, a)
			}
		}
	}()
}

func (w *world) contents() fs.FS {
	files := map[string][]byte{}
	for len(files) < 3 {
		d := w.number(6)
		files[fmt.Sprint("f", d)] = []byte(strings.Repeat("content", d+1))
	}
	return artifacts.Files(files)
}

// tolerated are the errors that a publisher may see without anything being wrong.
func (w *world) tolerated(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil && (errors.Is(err, artifacts.ErrCorrupt) || errors.Is(err, artifacts.ErrInvalid)) {
		w.fail("%v", err)
	}
}

func (w *world) publish(ctx context.Context, _ *actor) {
	tag := strconv.Itoa(w.next())
	p, err := w.store().Publish(ctx, modelName, w.contents(), &artifacts.PublishOptions{Tags: map[string]string{"tx": tag}})
	w.tolerated(ctx, err)
	if err == nil && p.Again {
		w.fail("publication %s was its own and says that it was another's", tag)
	}
}

func (w *world) ranks(id string, rank int) func(context.Context, *actor) {
	return func(ctx context.Context, _ *actor) {
		_, err := w.store().Publish(ctx, modelName, w.contents(), &artifacts.PublishOptions{ID: id, Ranks: 2, Rank: rank, Tags: map[string]string{"tx": id}})
		w.tolerated(ctx, err)
	}
}

func versions(ctx context.Context, store artifacts.Store) []int64 {
	var out []int64
	for v, err := range store.List(ctx, artifacts.Query{Tenant: "t", Path: modelName.Path}) {
		if err != nil {
			return nil
		}
		out = append(out, v.ID.Number)
	}
	return out
}

func (w *world) promote(ctx context.Context, _ *actor) {
	store := w.store()
	live := versions(ctx, store)
	if len(live) == 0 {
		return
	}
	var change artifacts.Change = artifacts.SetAlias{Alias: "prod", Version: live[w.number(len(live))]}
	if w.number(2) == 0 {
		change = artifacts.Rollback{Alias: "prod", Reason: fmt.Sprint("tx ", w.next())}
	}
	_, err := store.Apply(ctx, modelName, change)
	w.tolerated(ctx, err)
}

func (w *world) delete(ctx context.Context, _ *actor) {
	store := w.store()
	live := versions(ctx, store)
	if len(live) == 0 {
		return
	}
	_, err := store.Apply(ctx, modelName, artifacts.Delete{Version: live[w.number(len(live))]})
	w.tolerated(ctx, err)
}

func (w *world) collect(ctx context.Context, _ *actor) {
	_, err := w.store().Collect(ctx, modelName, &s3artifacts.CollectOptions{Age: s3artifacts.Never, Grace: s3artifacts.Never})
	w.tolerated(ctx, err)
}

// run lets one request pass at a time until every process has ended.
func (w *world) run() string {
	for {
		synctest.Wait()
		w.mu.Lock()
		waiting, alive := w.waiting, w.alive
		slices.SortFunc(waiting, func(a, b *waiter) int { return cmp.Or(a.actor.id-b.actor.id, strings.Compare(a.what, b.what)) })
		w.mu.Unlock()
		switch {
		case alive == 0:
			return w.check()
		case len(waiting) == 0:
			time.Sleep(time.Millisecond)
			continue
		}
		i := w.number(len(waiting))
		one := waiting[i]
		w.mu.Lock()
		w.waiting = slices.Delete(waiting, i, i+1)
		w.mu.Unlock()
		w.steps++
		one.let <- w.decide(one)
		if w.steps%25 == 0 {
			synctest.Wait()
			if wrong := w.check(); wrong != "" {
				w.stop()
				return wrong
			}
		}
	}
}

func (w *world) decide(one *waiter) outcome {
	if one.actor.dead {
		return killed
	}
	write := strings.HasPrefix(one.what, "PUT")
	switch n := w.number(600); {
	case n < 4:
		one.actor.dead = true
		one.actor.cancel()
		return killed
	case n < 20:
		return lostBefore
	case n < 60:
		return lostAfter
	case n < 70 && write:
		return conflict
	case n < 75:
		return slowDown
	}
	return pass
}

// stop ends every process.
func (w *world) stop() {
	for {
		synctest.Wait()
		w.mu.Lock()
		waiting, alive := w.waiting, w.alive
		w.waiting = nil
		w.mu.Unlock()
		if alive == 0 {
			return
		}
		for _, one := range waiting {
			one.actor.dead = true
			one.actor.cancel()
			one.let <- killed
		}
		if len(waiting) == 0 {
			time.Sleep(time.Second)
		}
	}
}

// check reads everything there is, as a process that has just started.
func (w *world) check() string {
	w.mu.Lock()
	if len(w.broken) > 0 {
		defer w.mu.Unlock()
		return w.broken[0]
	}
	w.mu.Unlock()
	ctx := context.Background()
	store := w.store()
	seen := map[string]bool{}
	next := int64(1)
	for r, err := range store.History(ctx, modelName, nil) {
		if err != nil {
			return err.Error()
		}
		if r.Publish != 0 {
			if r.Publish != next || seen["id "+r.ID] {
				return fmt.Sprintf("version %d after %d, or published twice", r.Publish, next-1)
			}
			seen["id "+r.ID] = true
			next++
		}
		for _, c := range r.Changes {
			if rollback, is := c.(artifacts.Rollback); is {
				if seen[rollback.Reason] {
					return "rolled back twice: " + rollback.Reason
				}
				seen[rollback.Reason] = true
			}
		}
	}
	for v, err := range store.List(ctx, artifacts.Query{Tenant: "t", Path: modelName.Path}) {
		if err != nil {
			return err.Error()
		}
		if seen["tx "+v.Tags["tx"]+" visible"] {
			return "one publication, two versions"
		}
		seen["tx "+v.Tags["tx"]+" visible"] = true
		err := fs.WalkDir(artifacts.FS(ctx, store, v.ID), ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			_, err = fs.ReadFile(artifacts.FS(ctx, store, v.ID), path)
			return err
		})
		if err != nil {
			return fmt.Sprintf("version %d is not whole: %v", v.ID.Number, err)
		}
	}
	return ""
}

// schedule runs one schedule and says what went wrong.
func schedule(t *testing.T, seed uint64, mutant s3artifacts.Mutant) (wrong string, steps int) {
	synctest.Test(t, func(*testing.T) {
		w := newWorld(seed, mutant)
		for range 3 {
			w.spawn(3, w.publish)
		}
		for rank := range 2 {
			w.spawn(2, w.ranks("step", rank))
		}
		w.spawn(3, w.promote)
		w.spawn(3, w.delete)
		for range 2 {
			w.spawn(3, w.collect)
		}
		wrong, steps = w.run(), w.steps
	})
	return wrong, steps
}

// schedules is how many schedules run: few in every test, more where the
// environment says so.
func schedules(t *testing.T, usual int) int {
	if text := os.Getenv("GENAISTORE_SCHEDULES"); text != "" {
		n, err := strconv.Atoi(text)
		require.NoError(t, err)
		return n
	}
	return usual
}

func TestModelNothingIsLostTornDoubledOrResurrected(t *testing.T) {
	n, total := schedules(t, 60), 0
	for seed := range n {
		wrong, steps := schedule(t, uint64(seed), "")
		require.Empty(t, wrong, "seed %d", seed)
		total += steps
		if seed%1000 == 999 {
			t.Logf("%d of %d schedules, %d requests", seed+1, n, total)
		}
	}
	t.Logf("%d schedules, %d requests", n, total)
}

func TestModelCatchesEachMutant(t *testing.T) {
	for _, mutant := range []s3artifacts.Mutant{s3artifacts.NoCheck, s3artifacts.NoNonce, s3artifacts.NoDup, s3artifacts.Unfenced, s3artifacts.Forgets} {
		t.Run(string(mutant), func(t *testing.T) {
			for seed := range 2000 {
				if wrong, _ := schedule(t, uint64(seed), mutant); wrong != "" {
					t.Logf("seed %d: %s", seed, wrong)
					return
				}
			}
			t.Error("not caught")
		})
	}
}
