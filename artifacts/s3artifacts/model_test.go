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
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/s3artifacts"
	"github.com/genaistore/genaistore/internal/awsfake"
)

// The model of the protocol, run over the real code: publishers, publishers of two
// ranks, movers of an alias, deleters and collectors that spare nothing work on one
// name; a scheduler lets one request pass at a time, in a random order, loses
// answers before and after they count, answers 409 and 503, moves clocks and kills
// processes. After every few steps all that is visible must be whole, and when all
// have ended others finish and clean up.

var modelName = artifacts.Name{Tenant: "t", Path: "model"}

// A world is one schedule.
type world struct {
	fake   *awsfake.S3
	rand   *rand.Rand
	mutant s3artifacts.Mutant
	full   bool               // through the whole AWS client
	storm  bool               // answers 409 and 503 most of the time
	tiers  bool               // old versions go to an archive
	hot    bool               // files land in a hot tier
	finish bool               // has somebody come later
	shared *s3artifacts.Store // of a process that does several things at a time

	trace func(format string, args ...any) // may be nil

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

func (o outcome) String() string {
	return [...]string{"passes", "is lost", "is done, its answer lost", "409", "503", "killed"}[o]
}

type actor struct {
	id     int
	ctx    context.Context //nolint:containedctx // of a process
	cancel context.CancelFunc
	dead   bool
}

type actorKey struct{}

// newWorld prepares a schedule. By the seed the bucket is a plain one, has versions,
// or is a directory bucket.
func newWorld(seed uint64, mutant s3artifacts.Mutant) *world {
	w := &world{fake: awsfake.NewS3("bucket", zone), rand: rand.New(rand.NewPCG(seed, 1)), mutant: mutant, full: seed%20 == 0, storm: seed%8 == 5, finish: seed%2 == 0}
	w.tiers = seed%12 == 3 || seed%12 == 4
	w.hot = seed%10 == 7
	w.full = w.full || w.tiers || w.hot
	switch seed % 3 {
	case 1:
		if _, err := w.fake.Client().PutBucketVersioning(context.Background(), enabled()); err != nil {
			w.fail("%v", err)
		}
	case 2:
		w.fake.Behave(awsfake.S3Mode{Directory: true})
	}
	if w.tiers {
		w.archives()
	}
	w.fake.Public()
	w.fake.Intercept(w.intercept)
	w.shared = w.store()
	return w
}

func enabled() *s3.PutBucketVersioningInput {
	return &s3.PutBucketVersioningInput{
		Bucket: new("bucket"), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	}
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
	client := s3artifacts.Client(bareClient{fake: w.fake})
	if w.full {
		client = w.fake.Client(func(o *s3.Options) { o.Retryer = aws.NopRetryer{} })
	}
	opts := &s3artifacts.Options{Concurrency: 1}
	if w.hot {
		opts.Hot = zone
	}
	store, err := s3artifacts.New(client, "bucket", opts)
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

// either is the store of a process of its own, or that of one shared with others.
func (w *world) either() *s3artifacts.Store {
	if w.number(3) == 0 {
		return w.shared
	}
	return w.store()
}

func (w *world) publish(ctx context.Context, _ *actor) {
	tag := strconv.Itoa(w.next())
	p, err := w.either().Publish(ctx, modelName, w.contents(), &artifacts.PublishOptions{Tags: map[string]string{"tx": tag}})
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
	some := []time.Duration{s3artifacts.Never, s3artifacts.Never, time.Hour}
	_, err := w.either().Collect(ctx, modelName, &s3artifacts.CollectOptions{Age: some[w.number(3)], Grace: some[w.number(3)]})
	w.tolerated(ctx, err)
}

// archives makes the rules by which S3 archives, whatever its size.
func (w *world) archives() {
	_, err := w.fake.Client().PutBucketLifecycleConfiguration(context.Background(), &s3.PutBucketLifecycleConfigurationInput{
		Bucket: new("bucket"), LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{{
			ID: new("archive"), Status: types.ExpirationStatusEnabled, Transitions: toArchive(),
			Filter: &types.LifecycleRuleFilter{And: &types.LifecycleRuleAndOperator{
				ObjectSizeGreaterThan: new(int64(0)), Tags: []types.Tag{{Key: new("genaistore-tier"), Value: new("archive")}},
			}},
		}}},
	})
	if err != nil {
		w.fail("%v", err)
	}
}

func toArchive() []types.Transition {
	return []types.Transition{{Days: new(int32(0)), StorageClass: types.TransitionStorageClassGlacier}}
}

// tier archives all that is old, which is all that nothing keeps warm; settle copies
// what landed in the hot tier home.
func (w *world) tier(ctx context.Context, _ *actor) {
	_, err := w.either().Tier(ctx, modelName, &s3artifacts.Tiering{Cold: s3artifacts.Never, Archive: time.Nanosecond})
	w.tolerated(ctx, err)
}

func (w *world) settle(ctx context.Context, _ *actor) {
	_, err := w.either().Settle(ctx, modelName, &s3artifacts.SettleOptions{Last: 1})
	w.tolerated(ctx, err)
}

// wait moves all clocks of the bubble.
func wait(d time.Duration) { time.Sleep(d) }

// run lets one request pass at a time until every process has ended.
func (w *world) run() string {
	for {
		synctest.Wait()
		w.mu.Lock()
		waiting, alive := w.waiting, w.alive
		slices.SortFunc(waiting, func(a, b *waiter) int { return cmp.Or(a.actor.id-b.actor.id, strings.Compare(a.what, b.what)) })
		w.mu.Unlock()
		switch {
		case alive == 0 && len(waiting) > 0:
			w.stop() // what nobody waits for any more
			continue
		case alive == 0:
			if !w.finish {
				return w.check()
			}
			return cmp.Or(w.check(), w.aftermath())
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
		let := w.decide(one)
		if w.trace != nil {
			w.trace("%4d process %d: %s: %s", w.steps, one.actor.id, one.what, let)
		}
		one.let <- let
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
	if w.storm && w.number(3) > 0 {
		if write && w.number(2) == 0 {
			return conflict
		}
		return slowDown
	}
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
	case n < 80: // the clock of S3 goes wrong, or is put right
		w.fake.Jump(time.Duration(w.number(96)-48) * time.Hour)
	case n < 85: // all clocks
		time.Sleep(time.Duration(w.number(180)) * time.Minute)
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
		if alive+len(waiting) == 0 {
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

// schedule runs one schedule and says what went wrong.
func schedule(t *testing.T, seed uint64, mutant s3artifacts.Mutant) (wrong string, steps int) {
	synctest.Test(t, func(*testing.T) {
		w := newWorld(seed, mutant)
		if os.Getenv("GENAISTORE_SEED") != "" {
			w.trace = t.Logf
		}
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
		if w.tiers {
			w.spawn(4, w.tier)
		}
		if w.hot {
			w.spawn(4, w.settle)
		}
		wrong, steps = w.run(), w.steps
	})
	return wrong, steps
}

// setting reads a number from the environment, which 0 or absence leaves as it is.
func setting(t *testing.T, name string, usual int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// many runs schedules, as many at a time as there are processors, until one goes
// wrong, and returns how many ran and what went wrong.
func many(t *testing.T, n int, mutant s3artifacts.Mutant) (ran, requests int64, wrong string) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // a schedule leaves little behind
	var next, count, total atomic.Int64
	var found atomic.Pointer[string]
	t.Run("schedules", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				for seed := next.Add(1) - 1; seed < int64(n) && found.Load() == nil; seed = next.Add(1) - 1 {
					bad, steps := schedule(t, uint64(seed), mutant)
					total.Add(int64(steps))
					if bad != "" {
						found.CompareAndSwap(nil, new(fmt.Sprintf("seed %d: %s", seed, bad)))
					}
					if done := count.Add(1); done%10_000 == 0 {
						t.Logf("%d of %d schedules, %d requests", done, n, total.Load())
					}
				}
			})
		}
	})
	if text := found.Load(); text != nil {
		wrong = *text
	}
	return count.Load(), total.Load(), wrong
}

// Fewer run with the race detector and with -short, and more at night: see make
// nightly.
func TestModelNothingIsLostTornDoubledOrResurrected(t *testing.T) {
	if seed := setting(t, "GENAISTORE_SEED", -1); seed >= 0 {
		cryptotest.SetGlobalRandom(t, uint64(seed)) // so that it runs alike each time
		wrong, _ := schedule(t, uint64(seed), s3artifacts.Mutant(os.Getenv("GENAISTORE_MUTANT")))
		require.Empty(t, wrong)
		return
	}
	usual := 5000
	switch {
	case testing.Short():
		usual = 60
	case raced:
		usual = 200
	}
	ran, requests, wrong := many(t, setting(t, "GENAISTORE_SCHEDULES", usual), "")
	t.Logf("%d schedules, %d requests", ran, requests)
	require.Empty(t, wrong)
}

func TestModelCatchesEachMutant(t *testing.T) {
	for _, mutant := range s3artifacts.Mutants() {
		t.Run(string(mutant), func(t *testing.T) {
			if mutant == s3artifacts.Late && (raced || testing.Short()) {
				t.Skip("takes hundreds of schedules")
			}
			ran, requests, wrong := many(t, 5000, mutant)
			t.Logf("caught after %d schedules, %d requests: %s", ran, requests, wrong)
			require.NotEmpty(t, wrong, "not caught")
		})
	}
}
